import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { experiments } from '@rspack/core';
import { build, transform } from 'esbuild';

/** Nesting is written, and not yet read everywhere. */
const CSS = ['chrome111', 'firefox113', 'safari16.4'];

/** Styles travel inside the bundles, as text: a cell's module may load nothing else. */
const styles = {
  name: 'styles',
  setup: ({ onLoad }) =>
    onLoad({ filter: /\.css$/ }, async ({ path }) => ({
      contents: (await transform(await readFile(path, 'utf8'), { loader: 'css', minify: true, target: CSS })).code,
      loader: 'text',
    })),
};

const common = {
  bundle: true,
  format: 'esm',
  minify: true,
  target: 'es2022',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  loader: { '.svg': 'text', '.ipynb': 'json' },
  plugins: [styles],
  legalComments: 'none',
  logLevel: 'warning',
  charset: 'utf8',
};

// The whole of it would be 2 % of what a cell loads.
const LICENCE = '/*! Includes Preact (MIT licence): see preact.LICENSE.txt */';

// 1. The cell: one self-contained module for anywidget.
mkdirSync('../qmode_widgets/static', { recursive: true });
const cell = await build({ ...common, entryPoints: ['cell/index.ts'], write: false });
// Once more by SWC, as the builder does with the plugin: 3 % less for each cell to load.
const { code } = await experiments.swc.minify(cell.outputFiles[0].text, {
  module: true,
  compress: { passes: 3, ecma: 2022 },
  mangle: true,
  format: { ecma: 2022 },
});
writeFileSync('../qmode_widgets/static/widget.js', `${LICENCE}\n${code}\n`);
// 2. The JupyterLab plugin: @jupyterlab/* and @lumino/* come from JupyterLab itself; @jupyter/builder packs the rest.
//    Split, so that JupyterLab's start waits for the plugin alone: views and the quickstart come when they are needed.
rmSync('lib', { recursive: true, force: true });
await build({
  ...common,
  entryPoints: ['lab/index.ts'],
  outdir: 'lib',
  banner: { js: LICENCE },
  splitting: true,
  external: ['@jupyterlab/*', '@lumino/*'],
});
