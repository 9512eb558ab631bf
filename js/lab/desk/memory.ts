/**
 * What the panel remembers over reloads, in the browser's own storage: the last state of each workload, opened and
 * folded rows, failures put aside, and what was already signalled. Nothing of it is needed to find a workload again: the
 * service is asked for that.
 */
import { isLook, type Look } from '../kernels/account';
import type { Remembered } from './triage';

const VERSION = 2;
const MOST = 100; // workloads
const KEEP_OPEN = 3 * 86_400; // seconds an unwatched workload is shown when nobody can tell what became of it
const KEEP_ENDED = 86_400;
const KEEP_CLAIM = 3 * 86_400;
const HOLD_MS = 10_000;

/** The part of `localStorage` that is used; tests bring their own. */
export type Storage = Pick<globalThis.Storage, 'getItem' | 'setItem'>;

/** The part of `navigator.locks` that is used. */
export type Locks = Pick<LockManager, 'request'>;

interface Kept {
  version: number;
  workloads: Remembered[];
  opened: string[];
  /** Groups whose fold differs from the default. */
  folded: string[];
  dismissed: Record<string, number>;
  forgotten: Record<string, number>;
  offered: boolean;
  account: 'saved' | 'embedded' | null;
  look: Look | null;
}

const EMPTY: Kept = {
  version: VERSION,
  workloads: [],
  opened: [],
  folded: [],
  dismissed: {},
  forgotten: {},
  offered: false,
  account: null,
  look: null,
};

export class Memory {
  readonly workloads = new Map<string, Remembered>();
  readonly opened: Set<string>;
  readonly folded: Set<string>;
  readonly dismissed: Map<string, number>;
  /** Unwatched workloads the user took off the list, and when. */
  readonly forgotten: Map<string, number>;
  offered: boolean;
  /** What the panel's own kernel was connected to when the page was left. */
  account: Kept['account'];
  /** The account as it was last seen. */
  look: Look | null;
  private saved = '';

  constructor(
    private readonly storage: Storage | null,
    private readonly key: string,
    private readonly now: () => number = () => Date.now() / 1000,
    private readonly locks: Locks | null = globalThis.navigator?.locks ?? null,
  ) {
    const kept = this.read();
    for (const one of kept.workloads) this.workloads.set(one.id, one);
    this.opened = new Set(kept.opened);
    this.folded = new Set(kept.folded);
    this.dismissed = new Map(Object.entries(kept.dismissed));
    this.forgotten = new Map(Object.entries(kept.forgotten));
    this.offered = kept.offered;
    this.account = kept.account;
    this.look = isLook(kept.look) && now() - kept.look.at < KEEP_OPEN ? kept.look : null;
    this.prune();
  }

  /** Write what changed. Another tab's newer knowledge of a workload is kept. */
  save(): void {
    if (this.storage === null) return;
    this.merge();
    this.prune();
    const kept: Kept = {
      version: VERSION,
      workloads: [...this.workloads.values()],
      opened: [...this.opened],
      folded: [...this.folded],
      dismissed: Object.fromEntries(this.dismissed),
      forgotten: Object.fromEntries(this.forgotten),
      offered: this.offered,
      account: this.account,
      look: this.look,
    };
    const text = JSON.stringify(kept);
    if (text === this.saved) return;
    try {
      this.storage.setItem(this.key, text);
      this.saved = text;
    } catch {
      // Full or forbidden: the panel works, and forgets with the page.
    }
  }

  /** Take over what another tab of this person's knows better: what was put aside there is put aside. */
  merge(): void {
    const kept = this.read();
    for (const other of kept.workloads) {
      const own = this.workloads.get(other.id);
      if (own !== undefined && other.seen > own.seen) this.workloads.set(other.id, other);
    }
    for (const [theirs, ours] of [
      [kept.dismissed, this.dismissed],
      [kept.forgotten, this.forgotten],
    ] as const)
      for (const [id, n] of Object.entries(theirs)) ours.set(id, Math.max(n, ours.get(id) ?? 0));
  }

  /** Called when another tab has written; browsers tell only of others. */
  onOther(listener: () => void): void {
    if (typeof window === 'undefined') return;
    window.addEventListener('storage', ({ key }) => {
      if (key !== this.key) return;
      this.merge();
      listener();
    });
  }

  /**
   * True for the first tab, and the first time, that says something: each signal is given once. Storage alone does not
   * settle it between tabs that hear of it together: it reaches another tab a moment later. So the browser's lock does,
   * where there is one (not on plain http). Without both, every tab speaks for itself.
   */
  async claim(what: string): Promise<boolean> {
    if (this.storage === null) return true;
    const key = `${this.key}:said`;
    if (this.isSaid(key, what) || !(await hold(this.locks, `${key}:${what}`)) || this.isSaid(key, what)) return false;
    const since = this.now() - KEEP_CLAIM;
    const kept = Object.entries(said(this.storage, key)).filter(([, at]) => at > since);
    try {
      this.storage.setItem(key, JSON.stringify({ ...Object.fromEntries(kept), [what]: this.now() }));
    } catch {
      // Full: better said twice than never.
    }
    return true;
  }

  private isSaid(key: string, what: string): boolean {
    return this.storage !== null && what in said(this.storage, key);
  }

  private read(): Kept {
    try {
      const kept: unknown = JSON.parse(this.storage?.getItem(this.key) ?? 'null');
      if (isKept(kept)) return { ...EMPTY, ...kept };
    } catch {
      // Another version's, or damaged: begin anew.
    }
    return EMPTY;
  }

  private prune(): void {
    const now = this.now();
    for (const [id, { ended, seen }] of this.workloads)
      if (ended === null ? now - seen > KEEP_OPEN : now - ended > KEEP_ENDED) this.workloads.delete(id);
    const oldest = [...this.workloads.values()].sort((a, b) => a.seen - b.seen);
    for (const { id } of oldest.slice(0, Math.max(0, oldest.length - MOST))) this.workloads.delete(id);
    for (const [id, at] of this.forgotten) if (now - at > KEEP_OPEN) this.forgotten.delete(id);
    for (const [id] of [...this.dismissed].slice(0, Math.max(0, this.dismissed.size - 2 * MOST)))
      this.dismissed.delete(id);
    const [first] = [...this.opened];
    if (this.opened.size > MOST && first !== undefined) this.opened.delete(first);
  }
}

function isKept(value: unknown): value is Partial<Kept> {
  if (typeof value !== 'object' || value === null) return false;
  const { version, workloads, opened } = value as Partial<Kept>;
  return version === VERSION && Array.isArray(workloads) && Array.isArray(opened);
}

/** What was said, and when. */
function said(storage: Storage, key: string): Record<string, number> {
  try {
    const found: unknown = JSON.parse(storage.getItem(key) ?? '{}');
    return typeof found === 'object' && found !== null ? (found as Record<string, number>) : {};
  } catch {
    return {};
  }
}

/** True if this tab has the name for itself; no other has it until what it does is in storage everywhere. */
function hold(locks: Locks | null, name: string): Promise<boolean> {
  if (locks === null) return Promise.resolve(true);
  return new Promise(resolve => {
    locks
      .request(name, { ifAvailable: true }, lock => {
        resolve(lock !== null);
        return lock === null ? undefined : new Promise(done => setTimeout(done, HOLD_MS));
      })
      .catch(() => resolve(true));
  });
}
