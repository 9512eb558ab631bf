import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

// What a page waits for: the cell's module with each notebook, the plugin's chunk with JupyterLab's start. Compressed.
const size = file => gzipSync(readFileSync(file), { level: 9 }).length;
const folder = '../qmode_widgets/labextension/static';
const start = readdirSync(folder).find(name =>
  readFileSync(`${folder}/${name}`, 'utf8').includes('qmode-widgets:sidebar'),
);
for (const [what, bytes, kib] of [
  ['the cell', size('../qmode_widgets/static/widget.js'), 32],
  ["JupyterLab's start", size(`${folder}/${start}`), 5],
]) {
  if (bytes > kib * 1024) throw new Error(`${what} loads ${bytes} bytes, more than ${kib} KiB: load some of it later`);
  console.log(`${what} loads ${(bytes / 1024).toFixed(1)} of ${kib} KiB`);
}
const compared = readdirSync(folder).find(
  name => name.startsWith('remoteEntry') && readFileSync(`${folder}/${name}`, 'utf8').includes('requiredVersion:"'),
);
if (compared) throw new Error(`${compared} compares versions of JupyterLab's packages again: see federation.cjs`);
