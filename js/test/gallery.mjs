/** `node test/gallery.mjs <file>`: the samples and the views as one script for a page. */
import { build } from 'esbuild';

await build({
  entryPoints: ['test/gallery.tsx'],
  outfile: process.argv[2],
  bundle: true,
  format: 'iife',
  charset: 'utf8',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  loader: { '.css': 'text' },
  logLevel: 'warning',
});
