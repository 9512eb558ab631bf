/**
 * The cell's entry: core over an anywidget model. Messages come over the widget's comm; clicks take a control channel where
 * there is one, the sidebar's or that of the manager's own kernel (a busy kernel serves it at once), else the comm.
 *
 * What the model holds when a page opens it may have been saved with a notebook long ago, by a page or by the kernel. So it
 * is drawn as saved until a kernel is heard: one that answers, or the very one that wrote it.
 */
import { mountCell } from '../core/mount';
import type { Saved } from '../core/protocol';
import { keep, read } from '../core/saved';
import { Store } from '../core/store';
import { speak, trans } from '../core/texts';
import { bridge } from './bridge';
import { capital } from '../core/facts';
import { type Managed, processOf, sendByControl } from './kernel';

interface Model extends Managed {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
  send(content: unknown): void;
  on(event: string, callback: (value: never) => void): void;
  off(event: string, callback: (value: never) => void): void;
}

/** What stands in the model: greeting and snapshot of the kernel when a page opens it, and what a page keeps of them. */
interface Start {
  hello?: unknown;
  snapshot?: unknown;
  workload?: string;
  saved?: unknown;
}

const ANSWER_MS = 3000; // in which a kernel that is there answers
const KEEP_MS = 5000; // between two writings into the model

/** Called once for each widget: the transport belongs to the model, the views to the cells that show it. */
export default function widget() {
  let view: View | null = null;

  function initialize({ model }: { model: Model }): () => void {
    // In JupyterLab a widget in a layout of the user's own speaks as all around it; elsewhere it stays English.
    speak(window.qmodeWidgetsBridge?.texts ?? null);
    const made = (view = new View(model));
    return () => made.dispose();
  }

  function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
    if (view === null) throw new Error('qmode_widgets: render before initialize');
    return view.mount(el, startOf(model).workload ?? '');
  }

  return { initialize, render };
}

/** One widget's model, live or as saved, and the elements that show it. */
class View {
  private readonly store: Store;
  private readonly saved: { store: Store; about: Saved } | null;
  private readonly elements = new Map<HTMLElement, () => void>();
  private alive = false;
  private waiting = true;
  private kept = 0;
  private readonly timer: ReturnType<typeof setTimeout>;
  private readonly stop: () => void;

  constructor(private readonly model: Model) {
    const store = (this.store = new Store(request => {
      // What a widget shows comes over its own comm: that is where it asks for it.
      if (request.kind === 'command') {
        const byBridge = bridge.send(store.hello?.process ?? '', request);
        if (byBridge || sendByControl(model, request)) return true;
      }
      model.send(request);
      return true;
    }));
    const { saved, snapshot, hello, workload } = startOf(model);
    const kept = read(saved ?? snapshot)?.saved ?? null;
    this.saved = kept === null ? null : { store: Store.saved(kept), about: kept };
    this.start();
    model.on('msg:custom', this.custom);
    model.on('comm_live_update', this.over);
    model.on('change:_start', this.renewed);
    store.attach(workload);
    this.stop = store.subscribe(this.keep);
    this.timer = setTimeout(() => {
      this.waiting = false;
      this.draw();
    }, ANSWER_MS);
    const process = (hello as { process?: unknown } | undefined)?.process ?? kept?.process;
    void processOf(model).then(answered => answered !== null && answered === process && this.hear());
  }

  mount(element: HTMLElement, workload: string): () => void {
    this.elements.set(element, () => undefined);
    this.drawInto(element, workload);
    return () => {
      this.elements.get(element)?.();
      this.elements.delete(element);
    };
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.stop();
    this.model.off('msg:custom', this.custom);
    this.model.off('comm_live_update', this.over);
    this.model.off('change:_start', this.renewed);
    this.store.dispose();
  }

  private readonly custom = (message: unknown): void => {
    this.store.receive(message);
    this.hear();
  };

  private readonly renewed = (): void => {
    if (this.start()) this.hear();
  };

  // ipywidgets tells of the comm's life once it is over: the kernel was restarted or shut down, or the widget closed.
  private readonly over = (): void => {
    this.waiting = false;
    this.draw();
    this.store.end(`${trans.__('The kernel that showed this has ended.')} ${capital(this.again())}`);
  };

  /** What the kernel put into the model; false: that is not its. */
  private start(): boolean {
    const { hello, snapshot, workload, saved } = startOf(this.model);
    if (hello === undefined) return false;
    // A problem of the control channel is the sidebar's: the comm of this widget works without it.
    this.store.receive(typeof hello === 'object' ? { ...hello, problem: null } : hello);
    this.store.receive(snapshot);
    this.model.set('_start', { workload, saved: saved ?? snapshot }); // only in this page, until it keeps a state itself
    return true;
  }

  /** A kernel looks after it. */
  private hear(): void {
    if (this.alive) return;
    this.alive = true;
    this.keep();
    this.draw();
  }

  /** For a notebook that saves its widgets: the last state, folded. */
  private readonly keep = (): void => {
    const { workload } = startOf(this.model);
    const state = this.store.workloads.get(workload ?? '')?.state;
    const now = Date.now();
    if (!this.alive || state === undefined || (now < this.kept + KEEP_MS && state.state !== 'closed')) return;
    this.kept = now;
    this.model.set('_start', { workload, saved: keep(state, this.store.hello?.process ?? '', now / 1000) });
  };

  private draw(): void {
    for (const element of this.elements.keys()) this.drawInto(element, startOf(this.model).workload ?? '');
  }

  private drawInto(element: HTMLElement, workload: string): void {
    const { saved } = this;
    const note = this.waiting ? '' : this.again();
    const unmount =
      this.alive || saved === null
        ? mountCell(element, this.store, workload, null, note)
        : mountCell(element, saved.store, workload, {
            folded: saved.about.folded,
            reattach: null,
            pending: this.waiting,
            note,
          });
    this.elements.set(element, unmount);
  }

  private again(): string {
    const id = JSON.stringify(startOf(this.model).workload ?? trans.__('its id'));
    return trans.__('to watch it again: %1', `qmode.attach(${id}, service)`);
  }
}

function startOf(model: Model): Start {
  const start = model.get('_start');
  return typeof start === 'object' && start !== null ? (start as Start) : {};
}
