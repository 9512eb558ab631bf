/** The house: imports point down only, in files and in rooms, and the core knows neither Jupyter nor anywidget. */
/// <reference types="vite/types/importMeta.d.ts" />
import { expect, it } from 'vitest';

const SOURCES = import.meta.glob<string>('../{core,lab,cell}/**/*.{ts,tsx}', {
  query: '?raw',
  import: 'default',
  eager: true,
});

/** From the ground floor up. */
const ROOMS = ['core', 'cell', 'lab/kernels', 'lab/desk', 'lab/notebook', 'lab/panel', 'lab'];

const folder = (file: string): string => file.slice(0, file.lastIndexOf('/'));
/** Of a file: core with its views, the cell, and each room of lab's. */
const roomOf = (file: string): string => folder(file).replace(/^core\/.*/, 'core');

/** By file, the files of ours that it imports, and the packages. */
const imports = new Map<string, { ours: string[]; packages: string[] }>();
const files = new Set(Object.keys(SOURCES).map(path => path.replace('../', '')));
for (const [path, source] of Object.entries(SOURCES)) {
  const file = path.replace('../', '');
  const found: { ours: string[]; packages: string[] } = { ours: [], packages: [] };
  for (const [, target = ''] of source.matchAll(/(?:\bfrom |\bimport \(?|\bimport\()'([^'\n]+)'/g)) {
    if (!target.startsWith('.')) found.packages.push(target);
    else {
      const name = new URL(target, `file:///${file}`).pathname.slice(1);
      const there = [name, `${name}.ts`, `${name}.tsx`].find(each => files.has(each));
      if (there !== undefined) found.ours.push(there);
    }
  }
  imports.set(file, found);
}

it('finds the imports', () => {
  expect(imports.get('lab/index.ts')?.ours).toContain('lab/workbench.ts'); // a late one
  expect(imports.get('lab/panel/panel.tsx')?.ours).toContain('lab/panel/list.tsx'); // likewise
});

it('has no circle, not of types either', () => {
  const state = new Map<string, 'open' | 'done'>();
  const visit = (file: string, way: readonly string[]): void => {
    if (state.get(file) === 'done') return;
    if (state.get(file) === 'open') throw new Error(`a circle: ${[...way.slice(way.indexOf(file)), file].join(' → ')}`);
    state.set(file, 'open');
    for (const next of imports.get(file)?.ours ?? []) visit(next, [...way, file]);
    state.set(file, 'done');
  };
  for (const file of files) visit(file, []);
});

it('imports point down', () => {
  const up = [...imports].flatMap(([file, { ours }]) =>
    ours
      .filter(other => ROOMS.indexOf(roomOf(other)) > ROOMS.indexOf(roomOf(file)))
      .map(other => `${file} imports ${other}`),
  );
  expect(up).toEqual([]);
  expect([...new Set([...files].map(roomOf))].sort()).toEqual([...ROOMS].sort());
});

it('the core and the cell know no Jupyter', () => {
  const known = [...imports].filter(([file]) => !file.startsWith('lab/')).flatMap(([, { packages }]) => packages);
  expect(new Set(known)).toEqual(new Set(['preact', 'preact/hooks']));
});
