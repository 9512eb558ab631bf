/**
 * All workloads in one list, alive: kernels, account and memory put together whenever one of them changes, and when the
 * clock brings a deadline near. The panel, the badge, the status item and the notifications all read it.
 */
import type { Target } from '../../core/ask';
import { expectedSum, labelOf, shownJobs } from '../../core/facts';
import type { Action, WorkloadSnapshot } from '../../core/protocol';
import type { Account, Source } from '../kernels/account';
import type { Kernels } from '../kernels/kernels';
import type { Memory } from './memory';
import type { Settings } from './settings';
import type { Signal } from './signals';
import {
  aliasesOf,
  backendOf,
  endOf,
  type Entry,
  isCapped,
  isIdle,
  isOver,
  type Remembered,
  tallyOf,
  titleOf,
  triage,
  type Triage,
  type Watch,
} from './triage';
import { trans } from '../../core/texts';

const GATHER_MS = 50; // changes of several kernels that come together are one
const SAVE_MS = 1000;

/** What is asked of several workloads at once; the question is the panel's to put. */
export interface Sweep {
  action: 'end-idle' | 'cancel-all';
  /** What it is about: its first workloads by name. */
  names: string;
  /** Jobs that it cancels. */
  jobs: number;
  entries: readonly Entry[];
}

export class Desk {
  private current: Triage = { entries: new Map(), groups: new Map(), next: null };
  private readonly listeners = new Set<() => void>();
  private gather: ReturnType<typeof setTimeout> | undefined;
  private wake: ReturnType<typeof setTimeout> | undefined;
  private save: ReturnType<typeof setTimeout> | undefined;
  private readonly kept = new WeakSet<WorkloadSnapshot>();
  /** The question over several workloads that stands in the panel. */
  asked: Sweep | null = null;
  /** The question that stands in a folded row, by the row's key. */
  rowAsked: { entry: string; action: Action; target: Target } | null = null;
  /** The panel is drawn. */
  inSight = false;

  constructor(
    readonly kernels: Kernels,
    readonly memory: Memory,
    readonly account: Account,
    private settings: Settings,
    private readonly now: () => number = () => Date.now() / 1000,
  ) {
    account.restore(memory.look);
    account.source = memory.account;
    kernels.subscribe(() => this.change());
    account.subscribe(() => {
      if (account.status !== 'on' || memory.look?.at === account.at) return this.change();
      memory.look = account.last;
      this.keep();
      this.change();
    });
    kernels.hear((_, message) => this.heard(message));
    memory.onOther(() => this.change());
    if (typeof window !== 'undefined') window.addEventListener('pagehide', () => memory.save());
    this.change();
  }

  /** Called after every change; returns what ends it. */
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  get triage(): Triage {
    return this.current;
  }

  configure(settings: Settings): void {
    this.settings = settings;
    this.account.setPace(settings.accountPace);
    this.change();
  }

  /** The entry a workload is in, by any of its ids. */
  find(id: string): Entry | undefined {
    const { entries } = this.current;
    return entries.get(id) ?? [...entries.values()].find(entry => entry.aliases.has(id));
  }

  /** Something changed: sort anew, soon. */
  change(): void {
    this.gather ??= setTimeout(() => {
      this.gather = undefined;
      this.update();
    }, GATHER_MS);
  }

  // --- what a user does --------------------------------------------------------------------------------------------

  open(entry: Entry, open: boolean): void {
    for (const id of entry.aliases) this.memory.opened.delete(id);
    if (open) this.memory.opened.add(entry.key);
    this.keep();
    this.tell();
  }

  isOpen(entry: Entry): boolean {
    const { opened } = this.memory;
    return opened.has(entry.key) || (opened.size > 0 && [...entry.aliases].some(id => opened.has(id)));
  }

  fold(group: string): void {
    const { folded } = this.memory;
    if (!folded.delete(group)) folded.add(group);
    this.keep();
    this.tell();
  }

  /** Put a workload's failures aside: they count as seen. */
  dismiss(entry: Entry): void {
    this.memory.dismissed.set(entry.key, Math.max(1, entry.jobs.failed));
    this.keep();
    this.change();
  }

  /** Take an unwatched workload off the list. */
  forget(entry: Entry): void {
    for (const id of entry.aliases) this.memory.workloads.delete(id);
    this.memory.forgotten.set(entry.key, this.now());
    this.keep();
    this.change();
  }

  /** What "End all idle" or "Cancel all" would do now; null: nothing to do. */
  sweep(action: Sweep['action']): Sweep | null {
    const all = [...this.current.entries.values()].filter(entry => actable(entry));
    const state = ({ watches }: Entry): WorkloadSnapshot => watches[0]!.workload.state;
    if (action === 'end-idle') {
      const entries = all.filter(entry => isIdle(state(entry), entry.jobs));
      if (entries.length === 0) return null;
      const names = entries.map(entry => trans.__('%1 on %2', titleOf(entry), backendOf(entry)));
      return { action, entries, jobs: 0, names: list(names) };
    }
    const entries = all.filter(({ jobs }) => jobs.running + jobs.remaining > 0);
    if (entries.length === 0) return null;
    const open = ({ jobs }: Entry): number => jobs.running + jobs.remaining;
    const names = entries.map(entry => `${titleOf(entry)} (${open(entry)})`);
    const jobs = entries.reduce((sum, entry) => sum + open(entry), 0);
    return { action, entries, jobs, names: list(names) };
  }

  carryOut({ action, entries }: Sweep): void {
    for (const { watches } of entries) {
      const watch = watches[0];
      watch?.store.command(watch.workload.state.id, action === 'end-idle' ? 'close' : 'cancel_all');
    }
  }

  /** Ask every kernel to refresh what it watches. */
  refresh(): void {
    for (const { watches, group } of this.current.entries.values()) {
      const watch = watches[0];
      if (watch === undefined || group === 'today' || group === 'earlier') continue;
      watch.store.command(watch.workload.state.id, 'refresh');
    }
  }

  ask(sweep: Sweep | null): void {
    this.asked = sweep;
    this.tell();
  }

  askRow(entry: string, action: Action | null, target: Target = null): void {
    this.rowAsked = action === null ? null : { entry, action, target };
    this.tell();
  }

  /** From a notification: the question is asked in the panel, where what it costs stands beside it. */
  begin(key: string, action: NonNullable<Signal['action']>, show: (entry: string | null) => void): void {
    const entry = this.find(key);
    if (entry === undefined) return;
    this.open(entry, false);
    this.askRow(entry.key, ROW_ACTION[action]);
    show(null);
  }

  /** Cancel what a kernel left on the service, through the account. */
  cancelLeft(key: string): void {
    const one = this.find(key)?.remembered;
    if (one != null && one.mode !== 'job') void this.account.act('cancel', one.workload);
  }

  /** Refresh what is watched, and the account if it is in sight. */
  refreshAll(): void {
    this.refresh();
    if (this.account.status === 'on') void this.account.look();
  }

  /** Look at the account: through a kernel that has a service, else through one of the panel's own. */
  async lookUp(): Promise<void> {
    if (!(await this.account.look())) await this.connect('saved');
  }

  async connect(source: Source): Promise<void> {
    this.memory.account = source;
    this.keep();
    await this.account.connect(source);
  }

  /** The panel came into sight, or left it. The account it was connected to before a reload is asked again. */
  async sight(visible: boolean): Promise<void> {
    this.inSight = visible;
    this.account.watch(visible);
    const { account } = this.memory;
    if (!visible || account === null || this.account.status !== 'off') return;
    await this.kernels.whenReady;
    if (this.inSight && this.account.status === 'off') await this.account.connect(account);
  }

  async disconnect(): Promise<void> {
    this.memory.account = null;
    this.keep();
    await this.account.disconnect();
  }

  // --- keeping up --------------------------------------------------------------------------------------------------

  private update(): void {
    const watches = this.kernels.all.flatMap(({ place, channel }) =>
      [...channel.store.workloads.values()].map((workload): Watch => ({
        place,
        store: channel.store,
        workload,
        busy: channel.busy,
      })),
    );
    for (const watch of watches) this.remember(watch);
    const seen = new Set(watches.flatMap(({ workload }) => aliasesOf(workload.state)));
    this.endUnlisted(seen);
    const { forgotten } = this.memory;
    const { interactiveWarning, maxWarning, capWarning } = this.settings;
    this.current = triage({
      watches,
      listed: this.account.listed.filter(({ id }) => seen.has(id) || !forgotten.has(id)),
      remembered: this.remembered(seen),
      asking: this.asking(),
      dismissed: this.memory.dismissed,
      thresholds: { interactive: interactiveWarning, max: maxWarning, cap: capWarning / 100 },
      now: this.now(),
    });
    clearTimeout(this.wake);
    const { next } = this.current;
    // Beyond a day a timer of the browser would overflow, and something else happens before.
    if (next !== null && next < 86_400) this.wake = setTimeout(() => this.update(), Math.max(100, next * 1000 + 20));
    this.tell();
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }

  private asking(): Set<string> {
    const asking = new Set(this.kernels.all.filter(({ channel }) => !channel.answered).map(({ id }) => id));
    // Before JupyterLab has told which kernels run, each may be one of them.
    if (!this.kernels.ready) for (const { place } of this.memory.workloads.values()) asking.add(place.kernel);
    return asking;
  }

  private remembered(seen: ReadonlySet<string>): Remembered[] {
    const { forgotten, workloads } = this.memory;
    return [...workloads.values()].filter(
      ({ id, aliases }) => !forgotten.has(id) || aliases.some(alias => seen.has(alias)),
    );
  }

  /** What the account no longer lists among the open ones has ended, at the latest when it was read. */
  private endUnlisted(seen: ReadonlySet<string>): void {
    const open = new Set(this.account.listed.map(({ id }) => id));
    for (const one of this.memory.workloads.values()) {
      const at = this.account.listedAt(one.instance);
      if (at === null || at <= one.seen || one.ended !== null) continue;
      if (one.aliases.some(id => seen.has(id) || open.has(id))) continue;
      this.memory.workloads.set(one.id, { ...one, ended: at });
      this.keep();
    }
  }

  private remember({ place, workload: { state, offset } }: Watch): void {
    if (this.kept.has(state)) return;
    this.kept.add(state);
    const jobs = tallyOf(state);
    const local = (time: number | null): number | null => (time === null ? null : time - offset);
    const last = this.memory.workloads.get(state.id);
    // A change that is taken up after the kernel's last word does not open again what that word called closed.
    const parted = last?.end === 'closed on exit' && !state.accepting_jobs;
    const next: Remembered = {
      id: state.id,
      workload: state.workload_id ?? state.id,
      aliases: aliasesOf(state).slice(0, 20),
      label: labelOf(state.jobs),
      mode: state.mode,
      backend: state.backend,
      instance: state.instance,
      place,
      word: state.state,
      spent: state.usage.status === 'none' ? null : state.usage.reported,
      seen: local(state.seen_at) ?? this.now(),
      created: local(state.created),
      maxDeadline: local(state.ttl.max_deadline),
      failed: jobs.failed,
      done: jobs.done,
      total: jobs.total,
      capped: isCapped(state),
      ...leftOf(state),
      ended: isOver(state, jobs) ? (local(endOf(state)) ?? last?.ended ?? this.now()) : parted ? last.ended : null,
      end: parted ? last.end : null,
    };
    this.memory.workloads.set(state.id, next);
    this.keep();
  }

  /** A kernel that exits says what it leaves open and what it closed. */
  private heard(message: unknown): void {
    const { kind, closed } = message as { kind?: unknown; closed?: unknown };
    if (kind !== 'farewell' || !Array.isArray(closed)) return;
    for (const one of this.memory.workloads.values()) {
      if (!one.aliases.some(id => closed.includes(id)) || one.ended !== null) continue;
      // What it left on the service still runs: over it is when the account no longer lists it.
      const ended = one.left > 0 ? null : this.now();
      this.memory.workloads.set(one.id, { ...one, word: 'closed', ended, end: 'closed on exit' });
    }
    this.keep();
    this.change();
  }

  private keep(): void {
    this.save ??= setTimeout(() => {
      this.save = undefined;
      this.memory.save();
    }, SAVE_MS);
  }
}

/** The jobs that the service holds, and what they are expected to use. */
function leftOf(state: WorkloadSnapshot): Pick<Remembered, 'left' | 'expected'> {
  const held = shownJobs(state).filter(job => job.state === 'queued' || job.state === 'running');
  return { left: held.length, expected: expectedSum(held)?.seconds ?? null };
}

const ROW_ACTION = {
  end: 'close',
  again: 'resubmit_failed',
  missing: 'resubmit_missing',
  cancel: 'cancel_all',
} as const;

/** A kernel watches it and may act. */
export function actable({ watches }: Entry): boolean {
  const watch = watches[0];
  return (
    watch !== undefined &&
    !watch.store.lost &&
    watch.workload.state.read_only === null &&
    (watch.store.hello?.problem ?? null) === null
  );
}

const NAMED = 5;

function list(names: readonly string[]): string {
  const more = names.length - NAMED;
  return names.slice(0, NAMED).join(', ') + (more > 0 ? ` ${trans._n('and %1 more', 'and %1 more', more)}` : '');
}
