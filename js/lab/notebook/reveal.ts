/** From a row to the cell: opens the notebook and scrolls to the cell whose output shows the workload. */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { Widget } from '@lumino/widgets';
import type { Entry } from '../desk/triage';
import type { Place } from '../kernels/kernels';

/** What we use of a notebook's panel; its own types would cost a dependency on all of JupyterLab's editor. */
interface Cell {
  readonly node: HTMLElement;
  readonly model: { readonly sharedModel: { readonly outputs?: unknown; getSource(): string } };
}

interface NotebookPanel extends Widget {
  readonly revealed: Promise<void>;
  readonly context: { readonly ready: Promise<void> };
  readonly content: Widget & {
    readonly widgets: readonly Cell[];
    activeCellIndex: number;
    deselectAll(): void;
    scrollToItem(index: number, align?: string): Promise<void>;
  };
}

export async function reveal(app: JupyterFrontEnd, place: Place, entry: Entry): Promise<void> {
  if (place.type !== 'notebook') {
    await app.commands.execute('console:open', { path: place.path, name: place.name, activate: true });
    return;
  }
  const opened: unknown = await app.commands.execute('docmanager:open', { path: place.path });
  if (!isNotebook(opened)) return;
  await opened.context.ready;
  await opened.revealed;
  const index = cellOf(opened.content.widgets, entry.aliases);
  if (index < 0) return;
  opened.content.deselectAll();
  opened.content.activeCellIndex = index;
  await opened.content.scrollToItem(index, 'center');
}

/** The last cell that shows one of the ids: drawn, in its saved output, else in its source. */
export function cellOf(cells: readonly Cell[], ids: ReadonlySet<string>): number {
  const has = (text: string): boolean => [...ids].some(id => text.includes(id));
  const last = (of: (cell: Cell) => boolean): number => cells.reduce((found, cell, i) => (of(cell) ? i : found), -1);
  const drawn = last(({ node }) =>
    [...node.querySelectorAll('[data-workload]')].some(view => ids.has(view.getAttribute('data-workload') ?? '')),
  );
  if (drawn >= 0) return drawn;
  const saved = last(({ model: { sharedModel } }) => has(JSON.stringify(sharedModel.outputs ?? '')));
  return saved >= 0 ? saved : last(({ model: { sharedModel } }) => has(sharedModel.getSource()));
}

function isNotebook(widget: unknown): widget is NotebookPanel {
  const { content, context } = (widget ?? {}) as Partial<NotebookPanel>;
  return Array.isArray(content?.widgets) && typeof content.scrollToItem === 'function' && context !== undefined;
}
