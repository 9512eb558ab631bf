import { readdirSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

// What a page waits for, compressed: the cell's module with each notebook; the container and its plugin when JupyterLab starts.
const size = file => gzipSync(readFileSync(file), { level: 9 }).length;
const folder = '../qmode_widgets/labextension/static';
const container = readdirSync(folder).find(name => name.startsWith('remoteEntry'));
for (const [what, bytes, kib] of [
  ['the cell', size('../qmode_widgets/static/widget.js'), 32],
  ["JupyterLab's start", size(`${folder}/${container}`), 9],
]) {
  if (bytes > kib * 1024) throw new Error(`${what} loads ${bytes} bytes, more than ${kib} KiB: load some of it later`);
  console.log(`${what} loads ${(bytes / 1024).toFixed(1)} of ${kib} KiB`);
}
const text = readFileSync(`${folder}/${container}`, 'utf8');
if (text.includes('requiredVersion:"'))
  throw new Error(`${container} compares versions of JupyterLab's packages again: see federation.cjs`);
if (!text.includes('qmode-widgets:sidebar'))
  throw new Error(`${container} lacks the plugin, which is a second script again: see federation.cjs`);
