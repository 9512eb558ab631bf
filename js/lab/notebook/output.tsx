/**
 * Draws the outputs of controllers in documents: live while a kernel watches the workload, from the document's own
 * snapshot otherwise. The snapshot is renewed when the workload ends, when its kernel goes and when the notebook is saved.
 *
 * Why a MIME type with a renderer, and not the widget: a widget's view lives in the kernel's comm, and a document that is
 * opened without it shows "model not found". Here the output itself is the model; what is live comes from the
 * connection the sidebar has anyway, so that a cell costs no message of its own, works while the kernel is busy, and is
 * there again after a page reload.
 */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { Session } from '@jupyterlab/services';
import { Widget } from '@lumino/widgets';
import { shownJobs, tally } from '../../core/facts';
import type { mountCell } from '../../core/mount';
import type { WorkloadSnapshot } from '../../core/protocol';
import { MIME } from '../../core/mime';
import { forms, read } from '../../core/saved';
import { Store } from '../../core/store';
import { trans } from '../../core/texts';
import type { Follow, Kernels } from '../kernels/kernels';
import { isWriter, join, setData, sharedOutput } from './shared';

const WIDGET = 'application/vnd.jupyter.widget-view+json';
const SETTLE = 2500; // milliseconds in which a page that was just opened finds its kernels

/** A cell, as far as we look into it. */
interface Cell extends Widget {
  model: {
    sharedModel: unknown;
    outputs?: { readonly length: number; get(index: number): unknown };
  };
}

type Forms = IRenderMime.IMimeModel['data'];

/** The cells of a shared notebook. */
interface SharedCells {
  readonly cells: readonly { getSource(): string }[];
  insertCell(at: number, cell: object): unknown;
}

/** What a notebook offers that a plain document does not; JupyterLab and Notebook share it. */
interface NotebookPanel extends Widget {
  context: DocumentRegistry.Context & { sessionContext: { session: Session.ISessionConnection | null } };
  content: Widget & { widgets: readonly Cell[]; activeCellIndex: number };
}

export class Outputs {
  private readonly shown = new Set<Output>();
  private readonly watched = new WeakSet<object>();
  /** What was written into the document, by the output's own model, which does not hear of it. */
  private readonly written = new WeakMap<object, { instead: unknown; data: Forms }>();

  constructor(
    private readonly app: JupyterFrontEnd,
    readonly kernels: Kernels,
  ) {
    kernels.subscribe(() => {
      for (const output of this.shown) output.refresh();
    });
  }

  /** What the document says, as far as the output's model or this page knows. */
  data(model: IRenderMime.IMimeModel): Forms {
    const written = this.written.get(model);
    return written?.instead === model.data[MIME] && written !== undefined ? written.data : model.data;
  }

  /**
   * Write into the document, unless it says that already. False: another page does it; ask again when pages come and go.
   */
  write(output: Output, model: IRenderMime.IMimeModel, found: Forms): boolean {
    const panel = this.notebook(output);
    if (panel !== null && !isWriter(panel.context.model)) return false;
    const { [WIDGET]: widget, ...rest } = this.data(model);
    void widget; // a widget of a kernel that may be gone: a document without it opens the same everywhere
    const data = { ...rest, ...found };
    const cell = panel?.content.widgets.find(each => each.node.contains(output.node)) ?? null;
    const shared = cell === null ? null : sharedOutput(cell.model.sharedModel, indexOf(cell, model));
    const there = shared === null ? this.data(model) : (shared.get('data') as Forms);
    if (canonical(found[MIME]) === canonical(there?.[MIME])) return true; // nothing that would make it unsaved
    if (panel === null || cell === null || shared === null) model.setData({ data });
    else {
      setData(panel.context.model, cell.model.sharedModel, shared, data);
      this.written.set(model, { instead: model.data[MIME], data });
    }
    return true;
  }

  forget(output: Output): void {
    this.shown.delete(output);
  }

  /** The notebook that an output stands in. */
  notebook(output: Widget): NotebookPanel | null {
    for (const widget of this.app.shell.widgets('main'))
      if (widget.node.contains(output.node) && 'context' in widget && 'content' in widget)
        return widget as NotebookPanel;
    return null;
  }

  /** Whether attaching again can work: there is something left to watch, and a kernel in this notebook to do it. */
  canReattach(output: Output, state: WorkloadSnapshot): boolean {
    return !isOver(state) && (this.notebook(output)?.context.sessionContext.session?.kernel ?? null) !== null;
  }

  /** Run a cell that attaches again, below the output's; it is inserted unless it is there. */
  async reattach(output: Output, state: WorkloadSnapshot): Promise<string> {
    const panel = this.notebook(output);
    const kernel = panel?.context.sessionContext.session?.kernel;
    if (panel == null || kernel == null) return trans.__('this notebook has no kernel: start one first');
    const { content, context } = panel;
    const index = content.widgets.findIndex(cell => cell.node.contains(output.node));
    const source = `import qmode_widgets as qmode\n\ncontroller = qmode.attach(${JSON.stringify(state.id)}, service)\ncontroller`;
    const model = context.model.sharedModel as unknown as SharedCells;
    if (model.cells[index + 1]?.getSource() !== source)
      model.insertCell(index + 1, { cell_type: 'code', source, metadata: {} });
    content.activeCellIndex = index + 1;
    const asked = kernel.requestExecute({
      code: '',
      silent: true,
      user_expressions: { there: "'service' in globals()" },
    });
    const expressions = ((await asked.done).content as { user_expressions?: Record<string, unknown> }).user_expressions;
    const there =
      (expressions?.there as { data?: Record<string, string> } | undefined)?.data?.['text/plain'] === 'True';
    if (!there)
      return state.instance === null
        ? trans.__('run the cell that makes `service`, then the new cell below')
        : trans.__('run the cell that makes `service` for the instance %1, then the new cell below', state.instance);
    await this.app.commands.execute('notebook:run-cell');
    return '';
  }

  /** What draws one output. */
  create(): Output {
    const output = new Output(this);
    this.shown.add(output);
    return output;
  }

  /** Follow a notebook: outputs are written into it when it is saved, and when its pages come and go. */
  watch(context: DocumentRegistry.Context): void {
    if (this.watched.has(context)) return;
    this.watched.add(context);
    context.saveState.connect((_, state) => {
      if (state !== 'started') return;
      for (const output of this.shown) if (this.notebook(output)?.context === context) output.save();
    });
    join(context.model, () => {
      for (const output of this.shown) if (this.notebook(output)?.context === context) output.settle();
    });
  }
}

/** One output of a cell. */
class Output extends Widget implements IRenderMime.IRenderer {
  private model: IRenderMime.IMimeModel | null = null;
  private saved: ReturnType<typeof read> = null;
  private asSaved: Store | null = null;
  private live: { follow: Follow; store: Store } | null = null;
  private last: WorkloadSnapshot | null = null;
  private owed: Forms | null = null; // what another page is to write
  private note = '';
  private offered = false; // to attach again
  private readonly made = Date.now();
  private unmount = (): void => undefined;
  private turn = 0;
  private drawn: Promise<void> = Promise.resolve();

  constructor(private readonly outputs: Outputs) {
    super();
    this.addClass('qm-output');
  }

  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this.model = model;
    const saved = read(this.outputs.data(model)[MIME]);
    const changed = JSON.stringify(saved?.saved) !== JSON.stringify(this.saved?.saved);
    this.saved = saved;
    if (changed) this.asSaved = null;
    this.refresh(changed);
    return this.drawn;
  }

  override dispose(): void {
    if (this.isDisposed) return;
    this.outputs.forget(this);
    this.turn++;
    this.unmount();
    super.dispose();
  }

  /** Live or saved, as it is now. */
  refresh(changed = false): void {
    if (this.saved === null) {
      this.node.textContent = trans.__('This output is of a later version of qmode_widgets: update the extension.');
      return;
    }
    const { workload } = this.saved.saved;
    const follow = this.follow(workload, this.saved.saved.process);
    const store = follow?.channel.store ?? null;
    const state = store?.workloads.get(workload)?.state;
    if (store !== null && follow !== null && state !== undefined) {
      const fresh = this.live?.store !== store;
      this.live = { follow, store };
      this.last = state;
      if (fresh) this.draw(store, workload);
      // Not at once: the output area may be about to put this renderer into its place.
      if (isOver(state)) setTimeout(() => this.save());
      return;
    }
    if (this.live !== null) {
      this.live = null;
      if (this.last !== null) this.write(this.last, '');
      this.drawSaved();
    } else if (changed || this.outputs.canReattach(this, this.saved.state) !== this.offered) this.drawSaved();
  }

  /** Write what is known into the document. */
  save(): void {
    if (this.live === null || !this.isAttached) return;
    const { workload } = this.saved?.saved ?? {};
    const state = workload === undefined ? undefined : this.live.store.workloads.get(workload)?.state;
    if (state !== undefined) this.write(state, this.live.store.hello?.process ?? '');
  }

  private write(state: WorkloadSnapshot, process: string): void {
    if (this.model === null || this.isDisposed) return;
    const found = forms(state, process || (this.saved?.saved.process ?? ''), Date.now() / 1000 + state.clock_offset);
    this.saved = read(found[MIME]);
    this.asSaved = null;
    this.owed = found as Forms;
    this.settle();
  }

  /** Write what is owed, where this page is the one that writes. */
  settle(): void {
    const { owed, model } = this;
    if (owed !== null && model !== null && !this.isDisposed && this.outputs.write(this, model, owed)) this.owed = null;
  }

  private drawSaved(): void {
    if (this.saved === null) return;
    const { saved, state } = this.saved;
    if (this.asSaved === null) {
      this.asSaved = Store.saved(saved);
    }
    const pending = Date.now() < this.made + SETTLE && this.note === '';
    if (pending) setTimeout(() => this.live === null && !this.isDisposed && this.drawSaved(), SETTLE);
    this.offered = this.outputs.canReattach(this, state);
    this.draw(this.asSaved, saved.workload, {
      folded: saved.folded,
      reattach: this.offered && !pending ? () => this.reattach(state) : null,
      pending,
      note: this.note,
    });
  }

  /** The views come with the first output: JupyterLab's start does not wait for them. */
  private draw(...what: Parameters<typeof mountCell> extends [unknown, ...infer Rest] ? Rest : never): void {
    const turn = ++this.turn;
    this.drawn = import('../../core/mount').then(({ mountCell: mount }) => {
      if (turn === this.turn) this.unmount = mount(this.node, ...what);
    });
  }

  private reattach(state: WorkloadSnapshot): void {
    const say = (note: string): void => {
      this.note = note;
      if (this.live === null && !this.isDisposed) this.drawSaved();
    };
    say(trans.__('attaching…'));
    this.outputs.reattach(this, state).then(say, (error: unknown) => say(String(error)));
  }

  protected override onAfterAttach(): void {
    if (this.live === null) this.drawSaved(); // only now it is known whether it stands in a notebook
  }

  /** The kernel that watches the workload: the one that made this output, else any. */
  private follow(workload: string, process: string): Follow | null {
    const all = this.outputs.kernels.all.filter(({ channel }) => channel.store.workloads.has(workload));
    return all.find(({ channel }) => channel.store.hello?.process === process) ?? all[0] ?? null;
  }
}

/** Which of the cell's outputs a model is of. */
function indexOf({ model: { outputs } }: Cell, model: IRenderMime.IMimeModel): number {
  for (let i = 0; i < (outputs?.length ?? 0); i++) if (outputs?.get(i) === model) return i;
  return outputs?.length ?? 0;
}

/** Nothing runs any more; a bill that is still completed then changes what is kept once more. */
function isOver(state: WorkloadSnapshot): boolean {
  const { running, remaining, finished } = tally(shownJobs(state));
  return state.mode === 'job' ? finished : state.state === 'closed' && running + remaining === 0;
}

/** For comparing what is in the document with what would be: the same text whatever the order of names and the moment. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (name, each: unknown) => {
    if (name === 'seen_at' || name === 'now' || name === 'clock_offset') return undefined;
    if (typeof each !== 'object' || each === null || Array.isArray(each)) return each;
    return Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
