/**
 * What one kernel said of its workloads, and the clicks under way. Knows no transport: messages come in through
 * `receive`, requests leave through the `send` it was given.
 */
import {
  type Ack,
  type Action,
  changedJob,
  changedWorkload,
  decode,
  expand,
  type Hello,
  newId,
  type Patch,
  PROTOCOL,
  ProtocolMismatch,
  type Request,
  type Snapshot,
  type WorkloadSnapshot,
} from './protocol';
import { trans } from './texts';

/** A click: sent, taken by the kernel, then over. `late` says that it waits longer than a live kernel would need. */
export interface Click {
  id: string;
  action: Action;
  target: string | null;
  status: 'sent' | 'accepted' | 'done' | 'failed';
  late: boolean;
  message: string;
  /** When it was made, in seconds on this machine's clock. */
  since: number;
}

export interface Workload {
  state: WorkloadSnapshot;
  /** Of its feed in the kernel; a later one takes its place. */
  epoch: number;
  /** Number of the last message that is in `state`. */
  seq: number;
  /** Service clock minus this machine's, in seconds: the snapshot's own figure, but for a wrong clock here. */
  offset: number;
  clicks: readonly Click[];
  /** When its last message came, in messages. */
  touched: number;
}

/** Sends a request; false if there is no way to the kernel at the moment. */
export type Send = (request: Request) => boolean;

const AHEAD = 60; // seconds by which no message is late: a clock that is further off than that is wrong
const BEHIND = 1; // no message comes early
const LATE_MS = 1500;
const LOST_MS = 60_000;
const KEEP_MS = 4000; // an outcome stands where the next click goes
const MAX_REMARKS = 200;

export class Store {
  readonly workloads = new Map<string, Workload>();
  hello: Hello | null = null;
  /** Why nothing can be shown or clicked. */
  problem: string | null = null;
  /** The way to the kernel is lost for the moment: what is shown grows old. */
  lost = false;
  /** Why it will not come back. */
  ended: string | null = null;

  private readonly listeners = new Set<() => void>();
  private readonly timers = new Map<string, ReturnType<typeof setTimeout>[]>();
  private readonly asked = new Set<string>();
  private askedForAll = false; // until the greeting names those whose snapshots are on their way
  private received = 0;
  private late = Infinity; // how late, in seconds, the message came that was least late
  private attachedAt = 0;

  constructor(
    private readonly send: Send,
    private readonly now: () => number = () => Date.now() / 1000,
  ) {}

  /** Of what a document holds: nothing in it tells of this machine's clock, for nobody knows when it was written. */
  static saved(snapshot: Snapshot): Store {
    const store = new Store(() => false);
    store.replace(snapshot, null);
    return store;
  }

  /** Called after every change; returns what ends it. */
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  /** Ask for the greeting and the snapshots of one workload or of all. */
  attach(workload?: string): void {
    if (workload === undefined) {
      this.attachedAt = this.received;
      this.askedForAll = true;
    }
    const request = { kind: 'attach', protocol: PROTOCOL } as const;
    this.send(workload === undefined ? request : { ...request, workload });
  }

  receive(raw: unknown): void {
    let message;
    try {
      message = decode(raw);
    } catch (error) {
      if (!(error instanceof ProtocolMismatch)) throw error;
      this.problem = error.message;
      this.changed();
      return;
    }
    if (message === null) return;
    this.received++;
    if (this.problem !== null && message.kind !== 'hello') return; // another protocol: nothing it says can be trusted
    switch (message.kind) {
      case 'hello':
        this.greet(message);
        break;
      case 'snapshot':
        this.replace(message, message.now);
        break;
      case 'patch':
        this.patch(message);
        break;
      case 'gone':
        this.workloads.delete(message.workload);
        break;
      case 'ack':
        this.answer(message);
        break;
    }
    this.changed();
  }

  /** Send a command; its progress shows in the workload's `clicks`. */
  command(workload: string, action: Action, target: string | null = null): string {
    const id = newId();
    const entry = this.workloads.get(workload);
    if (entry === undefined) return id;
    const click: Click = { id, action, target, status: 'sent', late: false, message: '', since: this.now() };
    // A new click on the same thing takes the old one's outcome off the screen.
    const others = entry.clicks.filter(
      each => each.target !== target || each.status === 'sent' || each.status === 'accepted',
    );
    this.workloads.set(workload, { ...entry, clicks: [...others, click] });
    if (!this.send({ kind: 'command', id, workload, action, target })) {
      this.finish(id, 'failed', trans.__('There is no connection to the kernel: nothing was sent.'));
    } else {
      this.timers.set(id, [
        setTimeout(() => this.update(id, { late: true }), LATE_MS),
        setTimeout(
          () =>
            this.update(id, {
              message: trans.__(
                'The kernel has not answered for a minute. The click may still arrive: refresh before you repeat it.',
              ),
            }),
          LOST_MS,
        ),
      ]);
    }
    this.changed();
    return id;
  }

  /** The kernel is gone or starts anew: what it knew is void, clicks under way are lost. */
  reset(): void {
    this.late = Infinity;
    this.hello = null;
    this.problem = null;
    this.clearTimers();
    this.workloads.clear();
    this.asked.clear();
    this.askedForAll = false;
    this.changed();
  }

  /** The way to the kernel was lost, or is back: then ask for what was missed. */
  connected(there: boolean): void {
    if (there === !this.lost) return;
    this.lost = !there;
    if (there) {
      this.asked.clear();
      this.attach();
    }
    this.changed();
  }

  /** The kernel's end, as far as this screen goes: what is shown stays, and nothing can be clicked. */
  end(why: string): void {
    this.lost = true;
    this.ended = why;
    this.clearTimers();
    this.changed();
  }

  dispose(): void {
    this.clearTimers();
    this.listeners.clear();
  }

  private greet(hello: Hello): void {
    if (this.hello !== null && this.hello.process !== hello.process) this.reset();
    this.hello = hello;
    this.problem = null;
    // Gone unheard of, while there was no connection. One that came since we asked may be newer than the greeting.
    const known = new Set(hello.workloads);
    for (const [id, { touched }] of this.workloads)
      if (!known.has(id) && touched <= this.attachedAt) this.workloads.delete(id);
    if (this.askedForAll) for (const id of known) if (!this.workloads.has(id)) this.asked.add(id);
    this.askedForAll = false;
  }

  /** `sent` is when the message left, in service time; null: it comes from a document. */
  private replace(message: Snapshot, sent: number | null): void {
    const { workload, epoch, seq } = message;
    const old = this.workloads.get(workload);
    if (old !== undefined && (epoch < old.epoch || (epoch === old.epoch && seq < old.seq))) return; // a late reply
    this.asked.delete(workload);
    const state = expand(message);
    this.workloads.set(workload, {
      state,
      epoch,
      seq,
      offset: this.offset(state, sent),
      clicks: old?.clicks ?? [],
      touched: this.received,
    });
  }

  private patch(patch: Patch): void {
    const old = this.workloads.get(patch.workload);
    const { epoch, seq } = patch;
    if (old !== undefined && (epoch < old.epoch || (epoch === old.epoch && seq <= old.seq))) return;
    if (old === undefined || epoch !== old.epoch || seq !== old.seq + 1) {
      if (!this.askedForAll && !this.asked.has(patch.workload)) {
        // once per gap
        this.asked.add(patch.workload);
        this.attach(patch.workload);
      }
      return;
    }
    const state = applied(old.state, patch);
    const offset = this.offset(state, patch.now);
    this.workloads.set(patch.workload, { ...old, seq: patch.seq, offset, touched: this.received, state });
  }

  /**
   * The kernel knows the service's clock; this machine's is the kernel's own, or as right. That it is not shows in the
   * messages: they come late, by seconds on a busy machine, but never early, and never all of them by a minute.
   */
  private offset({ clock_offset: offset }: WorkloadSnapshot, sent: number | null): number {
    if (sent === null) return offset;
    this.late = Math.min(this.late, this.now() - (sent - offset));
    return this.late > AHEAD || this.late < -BEHIND ? offset - this.late : offset;
  }

  private answer({ id, status, message }: Ack): void {
    if (status === 'accepted') {
      this.stopTimers(id); // the kernel has taken it: from here on only the service can be slow
      this.update(id, { status, late: false, message });
    } else this.finish(id, status, message);
  }

  private finish(id: string, status: 'done' | 'failed', message: string): void {
    this.stopTimers(id);
    this.update(id, { status, late: false, message });
    if (status === 'done') this.timers.set(id, [setTimeout(() => this.forget(id), KEEP_MS)]);
  }

  /** Take an outcome off the screen. */
  forget(id: string): void {
    this.stopTimers(id);
    for (const [key, entry] of this.workloads) {
      if (entry.clicks.some(click => click.id === id)) {
        this.workloads.set(key, { ...entry, clicks: entry.clicks.filter(click => click.id !== id) });
        this.changed();
      }
    }
  }

  private update(id: string, change: Partial<Click>): void {
    for (const [key, entry] of this.workloads) {
      if (!entry.clicks.some(click => click.id === id)) continue;
      const clicks = entry.clicks.map(click => (click.id === id ? { ...click, ...change } : click));
      this.workloads.set(key, { ...entry, clicks });
      this.changed();
    }
  }

  private stopTimers(id: string): void {
    this.timers.get(id)?.forEach(clearTimeout);
    this.timers.delete(id);
  }

  private clearTimers(): void {
    for (const timers of this.timers.values()) timers.forEach(clearTimeout);
    this.timers.clear();
  }

  private changed(): void {
    for (const listener of this.listeners) listener();
  }
}

/** A snapshot with a patch applied; what did not change keeps its identity. */
function applied(state: WorkloadSnapshot, { set, jobs, after, gone, order, events }: Patch): WorkloadSnapshot {
  const next = changedWorkload(state, set);
  if (order !== undefined) {
    const byKey = new Map(state.jobs.map(job => [job.key, job]));
    next.jobs = order.flatMap(key => {
      const [job, change] = [byKey.get(key), jobs[key]];
      return change !== undefined ? [changedJob(job, change)] : job !== undefined ? [job] : [];
    });
  } else if (after !== undefined || gone !== undefined || Object.keys(jobs).length > 0) {
    const left = new Set(gone);
    const stay = gone === undefined ? state.jobs : state.jobs.filter(job => !left.has(job.key));
    const changes = new Map(Object.entries(jobs)); // each of a thousand jobs asks: a map is the faster to say no
    next.jobs = stay.map(job => {
      const change = changes.get(job.key);
      return change === undefined ? job : changedJob(job, change);
    });
    for (const [key, before] of after ?? []) {
      const at = before === null ? 0 : next.jobs.findLastIndex(job => job.key === before) + 1;
      next.jobs.splice(
        at === 0 && before !== null ? next.jobs.length : at,
        0,
        changedJob(undefined, jobs[key] ?? { key }),
      );
    }
  }
  if (events !== undefined) next.events = kept([...state.events, ...events]);
  return next;
}

/** The last remarks, and every warning: thousands of remarks must push none of those out. */
function kept<E extends { level: string }>(events: E[]): E[] {
  let over = events.filter(event => event.level === 'info').length - MAX_REMARKS;
  return over <= 0 ? events : events.filter(event => event.level !== 'info' || over-- <= 0);
}
