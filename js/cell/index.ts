/**
 * The cell's entry: core over an anywidget model. Messages come over the widget's comm; clicks take the sidebar's control
 * channel where our JupyterLab extension offers it (a busy kernel serves that at once), else the comm.
 */
import { mountCell } from '../core/mount';
import { Store } from '../core/store';
import type { Request } from '../core/protocol';
import { bridge } from './bridge';

interface Model {
  get(name: string): unknown;
  send(content: unknown): void;
  on(event: string, callback: (value: never) => void): void;
  off(event: string, callback: (value: never) => void): void;
}

/** What the kernel puts into the widget's state when a page opens it. */
interface Start {
  hello?: unknown;
  snapshot?: unknown;
  workload?: string;
}

const stores = new WeakMap<object, Store>();

/** The transport belongs to the model: several cells may show one. */
function initialize({ model }: { model: Model }): () => void {
  const store: Store = new Store(send);
  const start = (): void => {
    const { hello, snapshot } = startOf(model);
    store.receive(hello);
    store.receive(snapshot);
  };
  const custom = (message: unknown): void => store.receive(message);

  function send(request: Request): boolean {
    if (!bridge.send(store.hello?.process ?? '', request)) model.send(request);
    return true;
  }

  stores.set(model, store);
  model.on('msg:custom', custom);
  model.on('change:_start', start);
  start();
  store.attach(startOf(model).workload ?? '');
  return () => {
    model.off('msg:custom', custom);
    model.off('change:_start', start);
    store.dispose();
    stores.delete(model);
  };
}

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const store = stores.get(model);
  if (store === undefined) throw new Error('qmode_widgets: render before initialize');
  return mountCell(el, store, startOf(model).workload ?? '');
}

function startOf(model: Model): Start {
  const start = model.get('_start');
  return typeof start === 'object' && start !== null ? (start as Start) : {};
}

export default { initialize, render };
