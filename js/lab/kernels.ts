/** All running kernels, followed. One connection each, whatever the number of notebooks and consoles on it. */
import type { KernelSpec, Session } from '@jupyterlab/services';
import { tally } from '../core/facts';
import type { Request, WorkloadSnapshot } from '../core/protocol';
import { Wire } from './wire';

/** A kernel as the panel shows it. */
export interface Follow {
  id: string;
  /** The notebook's path, or the console's name. */
  name: string;
  spec: string;
  wire: Wire;
}

/** A workload whose kernel is gone: the last that was seen of it. */
export interface Orphan {
  name: string;
  state: WorkloadSnapshot;
  /** Local time, in seconds, at which its kernel was missed. */
  since: number;
}

interface Entry extends Follow {
  session: Session.ISessionConnection;
  last: Map<string, WorkloadSnapshot>;
}

export class Kernels {
  readonly orphans = new Map<string, Orphan>();
  private readonly entries = new Map<string, Entry>();
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly sessions: Session.IManager,
    private readonly specs: KernelSpec.IManager,
  ) {
    sessions.runningChanged.connect(() => this.sync());
    void sessions.ready.then(() => this.sync());
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  get all(): Follow[] {
    return [...this.entries.values()];
  }

  /** For cells: send over the control channel of the kernel that greeted with `process`. */
  send(process: string, request: Request): boolean {
    const entry = this.all.find(each => each.wire.store.hello?.process === process);
    return entry?.wire.send(request) ?? false;
  }

  forget(workload: string): void {
    this.orphans.delete(workload);
    this.changed();
  }

  private sync(): void {
    const models = new Map<string, Session.IModel>();
    for (const model of this.sessions.running()) {
      const id = model.kernel?.id;
      if (id !== undefined && (!models.has(id) || model.type === 'notebook')) models.set(id, model);
    }
    for (const [id, entry] of this.entries) if (!models.has(id)) this.drop(entry);
    for (const [id, model] of models) {
      const name = model.path || model.name;
      const entry = this.entries.get(id);
      if (entry !== undefined)
        entry.name = name; // renamed, or untitled at first
      else this.follow(id, name, model);
    }
    this.changed();
  }

  private follow(id: string, name: string, model: Session.IModel): void {
    // Comms stay with the notebook's own connection: handling them here first would take its widgets away.
    const session = this.sessions.connectTo({ model, kernelConnectionOptions: { handleComms: false } });
    if (session.kernel === null) return session.dispose();
    const spec = this.specs.specs?.kernelspecs[session.kernel.name]?.display_name ?? session.kernel.name;
    const wire = new Wire(session.kernel, () => this.seen(id));
    this.entries.set(id, { id, name, spec, wire, session, last: new Map() });
  }

  private drop(entry: Entry): void {
    this.entries.delete(entry.id);
    this.orphan(entry, [...entry.last.values()]);
    entry.wire.dispose();
    entry.session.dispose();
  }

  /** Keep what was seen last, so that a kernel's end does not take its workloads off the screen unsaid. */
  private seen(id: string): void {
    const entry = this.entries.get(id);
    if (entry !== undefined) {
      const { store } = entry.wire;
      if (store.hello === null && entry.last.size > 0) this.orphan(entry, [...entry.last.values()]);
      entry.last = new Map([...store.workloads].map(([key, { state }]) => [key, state]));
      for (const key of entry.last.keys()) this.orphans.delete(key);
    }
    this.changed();
  }

  private orphan({ name }: Entry, states: WorkloadSnapshot[]): void {
    for (const state of states) {
      const over = state.state === 'closed' || (state.mode === 'job' && tally(state.jobs).finished);
      if (!over) this.orphans.set(state.id, { name, state, since: Date.now() / 1000 });
    }
  }

  private changed(): void {
    for (const listener of this.listeners) listener();
  }
}
