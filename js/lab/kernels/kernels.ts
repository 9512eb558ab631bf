/** All running kernels, followed. One connection each, whatever the number of notebooks and consoles on it. */
import type { KernelSpec, Session } from '@jupyterlab/services';
import type { Request } from '../../core/protocol';
import { Channel } from './channel';

/** Where a workload is looked after. */
export interface Place {
  /** The kernel's id. */
  kernel: string;
  /** The notebook's path, or the console's. */
  path: string;
  name: string;
  type: string;
}

/** A kernel as the panel shows it. */
export interface Follow {
  id: string;
  place: Place;
  /** The kernel's display name: "Python 3 (ipykernel)". */
  spec: string;
  /** The kernel spec's name: "python3". */
  kernelName: string;
  channel: Channel;
}

interface Entry extends Follow {
  session: Session.ISessionConnection;
}

export class Kernels {
  /** JupyterLab has told which kernels run. */
  ready = false;
  readonly whenReady: Promise<void>;
  private readonly entries = new Map<string, Entry>();
  private readonly listeners = new Set<() => void>();
  private readonly hearers = new Set<(follow: Follow, message: unknown) => void>();

  constructor(
    private readonly sessions: Session.IManager,
    private readonly specs: KernelSpec.IManager,
  ) {
    sessions.runningChanged.connect(() => this.sync());
    if (typeof window !== 'undefined')
      window.addEventListener('pagehide', () => this.all.forEach(({ channel }) => channel.leave()));
    this.whenReady = sessions.ready.then(() => {
      this.ready = true;
      this.sync();
    });
  }

  /** Called after every change; returns what ends it. */
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** Called with every message of our kernels' beacons, those of the stores included; returns what ends it. */
  hear(hearer: (follow: Follow, message: unknown) => void): () => void {
    this.hearers.add(hearer);
    return () => void this.hearers.delete(hearer);
  }

  get all(): Follow[] {
    return [...this.entries.values()];
  }

  find(kernel: string): Follow | undefined {
    return this.entries.get(kernel);
  }

  /** For cells: send over the control channel of the kernel that greeted with `process`. */
  send(process: string, request: Request): boolean {
    const entry = this.all.find(each => each.channel.store.hello?.process === process);
    return entry?.channel.send(request) ?? false;
  }

  private sync(): void {
    const models = new Map<string, Session.IModel>();
    for (const model of this.sessions.running()) {
      const id = model.kernel?.id;
      if (id !== undefined && (!models.has(id) || model.type === 'notebook')) models.set(id, model);
    }
    for (const [id, entry] of this.entries) if (!models.has(id)) this.drop(entry);
    for (const [id, model] of models) {
      const place = { kernel: id, path: model.path, name: model.name || basename(model.path), type: model.type };
      const entry = this.entries.get(id);
      if (entry !== undefined)
        entry.place = place; // renamed, or untitled at first
      else this.follow(place, model);
    }
    this.changed();
  }

  private follow(place: Place, model: Session.IModel): void {
    // Comms stay with the notebook's own connection: handling them here first would take its widgets away.
    const session = this.sessions.connectTo({ model, kernelConnectionOptions: { handleComms: false } });
    if (session.kernel === null) return session.dispose();
    const id = place.kernel;
    const spec = this.specs.specs?.kernelspecs[session.kernel.name]?.display_name ?? session.kernel.name;
    const channel = new Channel(
      session.kernel,
      () => this.changed(),
      message => this.heard(id, message),
      () => {
        const entry = this.entries.get(id);
        if (entry !== undefined) this.drop(entry);
        this.sync();
      },
    );
    this.entries.set(id, { id, place, spec, kernelName: session.kernel.name, channel, session });
  }

  private drop(entry: Entry): void {
    this.entries.delete(entry.id);
    entry.channel.dispose();
    entry.session.dispose();
  }

  private heard(id: string, message: unknown): void {
    const entry = this.entries.get(id);
    if (entry !== undefined) for (const hearer of this.hearers) hearer(entry, message);
  }

  private changed(): void {
    for (const listener of this.listeners) listener();
  }
}

function basename(path: string): string {
  return path.split('/').at(-1) ?? path;
}
