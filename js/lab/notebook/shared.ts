/**
 * A notebook that several pages show at once (jupyter-collaboration: two people, or two tabs of one). Each of them draws
 * our outputs, and one of them writes into the document: the one with the lowest id among those that have our extension,
 * and the next when it leaves. It sets fields of the output that is there: an output that is replaced by two pages at once
 * is there twice.
 */

/** What we use of `@jupyter/ydoc`, and of an older one that has less of it. */
interface Awareness {
  readonly clientID: number;
  getStates(): ReadonlyMap<number, Readonly<Record<string, unknown>>>;
  setLocalStateField(name: string, value: unknown): void;
  on(event: 'change', listener: () => void): void;
}

interface SharedOutput {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
}

interface SharedCell {
  readonly youtputs?: { readonly length: number; get(index: number): unknown };
  transact?(change: () => void, undoable: boolean): void;
  dirty?: boolean;
}

/** A notebook's model, in JupyterLab and Notebook. */
export interface NotebookModel {
  readonly sharedModel: unknown;
  dirty: boolean;
}

const FIELD = 'qmodeWidgets';

function awarenessOf({ sharedModel }: NotebookModel): Awareness | null {
  const { awareness } = sharedModel as { awareness?: Partial<Awareness> };
  const known = typeof awareness?.getStates === 'function' && typeof awareness.setLocalStateField === 'function';
  return known ? (awareness as Awareness) : null;
}

/** Say that this page may write; `changed` is called when pages come and go. */
export function join(model: NotebookModel, changed: () => void): void {
  const awareness = awarenessOf(model);
  awareness?.setLocalStateField(FIELD, true);
  awareness?.on('change', changed);
}

/** This page is the one that writes. */
export function isWriter(model: NotebookModel): boolean {
  const awareness = awarenessOf(model);
  if (awareness === null) return true;
  for (const [id, state] of awareness.getStates()) if (state[FIELD] === true && id < awareness.clientID) return false;
  return true;
}

/** An output of a cell as the document has it; null where this version keeps it otherwise. */
export function sharedOutput(cell: unknown, index: number): SharedOutput | null {
  const outputs = (cell as SharedCell | null)?.youtputs;
  const found = (
    outputs !== undefined && index < outputs.length ? outputs.get(index) : null
  ) as Partial<SharedOutput> | null;
  return typeof found?.get === 'function' && typeof found.set === 'function' ? (found as SharedOutput) : null;
}

/** Set an output's data where it stands. */
export function setData(model: NotebookModel, cell: unknown, output: SharedOutput, data: object): void {
  const shared = cell as SharedCell;
  const change = (): void => output.set('data', data);
  if (shared.transact === undefined) change();
  else shared.transact(change, false);
  if ('dirty' in shared) shared.dirty = true;
  else model.dirty = true;
}
