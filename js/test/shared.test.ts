/** Two pages on one notebook, as jupyter-collaboration joins them: with the documents that it joins. */
import { YCodeCell, YNotebook } from '@jupyter/ydoc';
import { describe, expect, it } from 'vitest';
import { isWriter, join, type NotebookModel, setData, sharedOutput } from '../lab/notebook/shared';

const MIME = 'application/vnd.qmode-widgets.workload+json';

interface Page {
  model: NotebookModel;
  notebook: YNotebook;
  cell: () => YCodeCell;
  heard: number;
}

/** Pages whose documents and awareness reach each other at once, or only when told to. */
async function pages(n: number): Promise<{ all: Page[]; meet: () => void; leave: (page: Page) => void }> {
  const { applyUpdate, encodeStateAsUpdate } = await import('yjs');
  const { applyAwarenessUpdate, encodeAwarenessUpdate, removeAwarenessStates } = await import('y-protocols/awareness');
  const all = Array.from({ length: n }, (): Page => {
    const notebook = new YNotebook();
    const page: Page = {
      notebook,
      model: { sharedModel: notebook, dirty: false },
      cell: () => notebook.getCell(0) as YCodeCell,
      heard: 0,
    };
    return page;
  });
  const meet = (): void => {
    for (const from of all)
      for (const to of all) {
        if (from === to) continue;
        applyUpdate(to.notebook.ydoc, encodeStateAsUpdate(from.notebook.ydoc));
        const { awareness } = from.notebook;
        const ids = [...awareness.getStates().keys()];
        applyAwarenessUpdate(to.notebook.awareness, encodeAwarenessUpdate(awareness, ids), 'test');
      }
  };
  all[0]!.notebook.insertCell(0, {
    cell_type: 'code',
    source: 'batch',
    metadata: {},
    outputs: [{ output_type: 'display_data', data: { [MIME]: { done: 0 } }, metadata: {} }],
  });
  meet();
  const leave = (page: Page): void => {
    const { clientID } = page.notebook.awareness;
    for (const other of all) if (other !== page) removeAwarenessStates(other.notebook.awareness, [clientID], 'left');
    all.splice(all.indexOf(page), 1);
  };
  return { all, meet, leave };
}

const write = (page: Page, done: number): void => {
  const output = sharedOutput(page.cell(), 0)!;
  setData(page.model, page.cell(), output, { [MIME]: { done } });
};
const outputs = (page: Page): unknown[] => page.cell().getOutputs();

describe('one document, one writer', () => {
  it('is written by one of the pages that have our extension, and by the next when it leaves', async () => {
    const { all, meet, leave } = await pages(3);
    const [a, b, c] = all as [Page, Page, Page];
    for (const page of [a, b]) join(page.model, () => page.heard++);
    meet();
    const writer = [a, b].filter(({ model }) => isWriter(model));
    expect(writer).toHaveLength(1);
    const [first] = writer as [Page];
    const second = first === a ? b : a;
    const lowest = Math.min(a.notebook.awareness.clientID, b.notebook.awareness.clientID);
    expect(first.notebook.awareness.clientID).toBe(lowest); // of those with our extension, whatever the third has
    expect(c.notebook.awareness.getStates().size).toBe(3);
    second.heard = 0;
    leave(first);
    expect(second.heard).toBeGreaterThan(0);
    expect(isWriter(second.model)).toBe(true);
  });

  it('keeps one output though two pages write at once', async () => {
    const { all, meet } = await pages(2);
    const [a, b] = all as [Page, Page];
    a.notebook.clearUndoHistory();
    write(a, 4); // each before it hears of the other
    write(b, 4);
    meet();
    meet();
    expect(outputs(a)).toHaveLength(1);
    expect(outputs(a)).toEqual(outputs(b));
    expect(outputs(a)).toMatchObject([{ data: { [MIME]: { done: 4 } } }]);
    expect(a.notebook.dirty).toBe(true);
    a.notebook.undo();
    expect(outputs(a)).toMatchObject([{ data: { [MIME]: { done: 4 } } }]); // no step of the user's
  });

  it('as a replaced output would be there twice', async () => {
    const { all, meet } = await pages(2);
    for (const page of all)
      page.cell().updateOutputs(0, 1, [{ output_type: 'display_data', data: { [MIME]: {} }, metadata: {} }]);
    meet();
    meet();
    expect(outputs(all[0]!)).toHaveLength(2);
  });

  it('is nobody else where nothing is shared, or kept in another way', () => {
    const plain = { sharedModel: {}, dirty: false };
    expect(isWriter(plain)).toBe(true);
    join(plain, () => undefined);
    expect(sharedOutput({}, 0)).toBeNull();
    expect(sharedOutput({ youtputs: { length: 1, get: () => ({ data: {} }) } }, 0)).toBeNull();
  });
});
