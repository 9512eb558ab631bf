/** `node test/gallery.mjs <file> [<source>]`: the samples and the views, or another source, as one script for a page. */
import { build } from 'esbuild';

await build({
  entryPoints: [process.argv[3] ?? 'test/gallery.tsx'],
  outfile: process.argv[2],
  bundle: true,
  format: 'iife',
  charset: 'utf8',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  loader: { '.css': 'text' },
  logLevel: 'warning',
});
