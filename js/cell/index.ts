/**
 * The cell's entry: core over an anywidget model. Messages come over the widget's comm; clicks take the sidebar's control
 * channel where our JupyterLab extension offers it (a busy kernel serves that at once), else the comm.
 */
import { mountCell } from '../core/mount';
import { Store } from '../core/store';
import { speak, trans } from '../core/texts';
import { bridge } from './bridge';

interface Model {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
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

/** Called once for each widget: the transport belongs to the model, the views to the cells that show it. */
export default function widget() {
  let store: Store | null = null;

  function initialize({ model }: { model: Model }): () => void {
    // In JupyterLab a widget in a layout of the user's own speaks as all around it; elsewhere it stays English.
    speak(window.qmodeWidgetsBridge?.texts ?? null);
    const made: Store = new Store(request => {
      // What a widget shows comes over its own comm: that is where it asks for it.
      if (request.kind !== 'command' || !bridge.send(made.hello?.process ?? '', request)) model.send(request);
      return true;
    });
    const start = (): void => {
      const { hello, snapshot, workload } = startOf(model);
      if (hello === undefined) return;
      // A problem of the control channel is the sidebar's: the comm of this widget works without it.
      made.receive(typeof hello === 'object' ? { ...hello, problem: null } : hello);
      made.receive(snapshot);
      model.set('_start', { workload }); // only in this page: a notebook that saves widgets saves no data of ours
    };
    const custom = (message: unknown): void => made.receive(message);
    // ipywidgets tells of the comm's life once it is over: the kernel was restarted or shut down, or the widget closed.
    const over = (): void =>
      made.end(
        trans.__(
          'The kernel that showed this has ended. To watch the workload again: %1',
          `qmode.attach(${JSON.stringify(startOf(model).workload ?? trans.__('its id'))}, service)`,
        ),
      );
    model.on('msg:custom', custom);
    model.on('comm_live_update', over);
    model.on('change:_start', start);
    start();
    made.attach(startOf(model).workload);
    store = made;
    return () => {
      model.off('msg:custom', custom);
      model.off('comm_live_update', over);
      model.off('change:_start', start);
      made.dispose();
    };
  }

  function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
    if (store === null) throw new Error('qmode_widgets: render before initialize');
    return mountCell(el, store, startOf(model).workload ?? '');
  }

  return { initialize, render };
}

function startOf(model: Model): Start {
  const start = model.get('_start');
  return typeof start === 'object' && start !== null ? (start as Start) : {};
}
