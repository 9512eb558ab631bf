/** Puts views over a store into an element, and takes them out again. */
import { type ComponentChildren, render } from 'preact';
import { useLayoutEffect, useState } from 'preact/hooks';
import type { Store, Workload } from './store';
import { trans } from './texts';
import { type SavedView, WorkloadView } from './views/workload';
import css from './style.css'; // last: what reads alike stands together, and packs smaller

// Both subscribe before anything else can happen: an effect that waits for the next frame misses what comes until then.

/** Redraws its children's owner with every change of a store. */
export function useStore(store: Store): void {
  const [, redraw] = useState(0);
  useLayoutEffect(() => store.subscribe(() => redraw(n => n + 1)), [store]);
}

/** One workload of a store; redraws for its changes and the store's own, not for those of its neighbours. */
export function useWorkload(store: Store, id: string): Workload | undefined {
  const [, redraw] = useState(0);
  useLayoutEffect(() => {
    let seen = look(store, id);
    return store.subscribe(() => {
      const now = look(store, id);
      if (now.some((part, i) => part !== seen[i])) redraw(n => n + 1);
      seen = now;
    });
  }, [store, id]);
  return store.workloads.get(id);
}

function look(store: Store, id: string): unknown[] {
  return [store.workloads.get(id), store.hello, store.problem, store.lost, store.ended];
}

/** The frame all views stand in: brings the style along, and the box that container queries measure. */
export function Frame({ children }: { children: ComponentChildren }) {
  return (
    <div class="qm">
      <style>{css}</style>
      {children}
    </div>
  );
}

interface CellProps {
  store: Store;
  id: string;
  saved: SavedView | null;
  /** What to do where nothing is known of it. */
  note: string;
}

/**
 * The cell's view: one workload, all of it. What redraws itself stands alone in what its parent draws. Beside anything
 * else the parent would hold what it first drew, and by way of rows that are not drawn anew all that was drawn since.
 */
function Cell(props: CellProps) {
  return <Redrawn {...props} />;
}

function Redrawn({ store, id, saved, note }: CellProps) {
  const workload = useWorkload(store, id);
  if (store.problem !== null)
    return (
      <div class="qm-card qm-message" role="alert">
        {store.problem}
      </div>
    );
  if (workload !== undefined) return <WorkloadView key={id} store={store} workload={workload} saved={saved} />;
  const text =
    store.hello === null
      ? trans.__('Waiting for the kernel…')
      : trans.__('This kernel no longer watches this workload: attach to it again to go on.');
  return (
    <div class="qm-card qm-message" role="status">
      <span class="qm-name">{trans.__('Workload')}</span> <code class="qm-dim">{id}</code>{' '}
      <span class="qm-dim">
        {text} {note}
      </span>
    </div>
  );
}

/** Shows a workload of a store, or what a document saved of it; drawing again into the same element changes that. */
export function mountCell(
  element: HTMLElement,
  store: Store,
  id: string,
  saved: SavedView | null = null,
  note = '',
): () => void {
  render(
    <Frame>
      <Cell store={store} id={id} saved={saved} note={note} />
    </Frame>,
    element,
  );
  return () => render(null, element);
}
