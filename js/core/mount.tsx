/** Puts views over a store into an element, and takes them out again. */
import { type ComponentChildren, render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import css from './style.css';
import type { Store } from './store';
import { WorkloadView } from './views/workload';

/** Redraws its children's owner with every change of a store. */
export function useStore(store: Store): void {
  const [, redraw] = useState(0);
  useEffect(() => store.subscribe(() => redraw(n => n + 1)), [store]);
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

/** The cell's view: one workload, all of it. */
function Cell({ store, id }: { store: Store; id: string }) {
  useStore(store);
  const workload = store.workloads.get(id);
  if (store.problem !== null)
    return (
      <div class="qm-card qm-message" role="alert">
        {store.problem}
      </div>
    );
  if (workload !== undefined) return <WorkloadView key={id} store={store} workload={workload} />;
  const text =
    store.hello === null
      ? 'Waiting for the kernel…'
      : 'This kernel no longer watches this workload: attach to it again to go on.';
  return (
    <div class="qm-card qm-message" role="status">
      <span class="qm-mode">Workload</span> <code class="qm-dim">{id}</code> <span class="qm-dim">{text}</span>
    </div>
  );
}

export function mountCell(element: HTMLElement, store: Store, id: string): () => void {
  render(
    <Frame>
      <Cell store={store} id={id} />
    </Frame>,
    element,
  );
  return () => render(null, element);
}
