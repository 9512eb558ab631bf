/**
 * Which workloads there are, each once, and in what order they deserve attention. Pure: what the kernels, the account
 * and the last visit know goes in, groups of rows come out.
 */
import type { Left } from '../../core/ask';
import { type Bill, bill, billText, expected, idleText } from '../../core/bill';
import { clock, dateTime, duration, usageSeconds } from '../../core/clock';
import {
  capReached,
  labelOf,
  lostToMaxTtl,
  paceOf,
  shortId,
  shownJobs,
  type Tally,
  tally,
  toGo,
} from '../../core/facts';
import type { Mode, WorkloadSnapshot } from '../../core/protocol';
import type { Store, Workload } from '../../core/store';
import { trans } from '../../core/texts';
import type { ReadListed } from '../kernels/account';
import type { Place } from '../kernels/kernels';

/** One kernel's view of a workload. */
export interface Watch {
  place: Place;
  store: Store;
  workload: Workload;
  busy: boolean;
}

/** What is kept of a workload when no kernel tells of it. Times are this machine's. */
export interface Remembered {
  id: string;
  /** The service's id of the session or batch, last. */
  workload: string;
  /** Every id under which the workload is known: it may have continued another one. */
  aliases: string[];
  label: string | null;
  mode: Mode;
  backend: string;
  instance: string | null;
  place: Place;
  word: string;
  spent: number | null;
  seen: number;
  created: number | null;
  maxDeadline: number | null;
  failed: number;
  done: number;
  total: number;
  capped: boolean;
  /** Jobs that the service held when it was last seen: they run, and are billed, whatever becomes of the kernel. */
  left: number;
  /** Seconds those are expected to use; null: not known. */
  expected: number | null;
  /** When it ended; null while it may go on. */
  ended: number | null;
  /** Why it ended, where the kernel said so when it exited. */
  end: 'closed on exit' | null;
}

export interface Thresholds {
  /** Seconds before the interactive TTL runs out. */
  interactive: number;
  /** Seconds before the max TTL runs out. */
  max: number;
  /** Part of the cap, 0 to 1. */
  cap: number;
}

export const GROUPS = ['needs', 'running', 'idle', 'open', 'asking', 'unwatched', 'today', 'earlier'] as const;
export type Group = (typeof GROUPS)[number];

export function groupTitle(group: Group): string {
  switch (group) {
    case 'needs':
      return trans.__('Needs you');
    case 'running':
      return trans.__('Running');
    case 'idle':
      return trans.__('Idle, billed');
    case 'open':
      return trans.__('Open, without jobs');
    case 'asking':
      return trans.__('Asking the kernels');
    case 'unwatched':
      return trans.__('No kernel watches');
    case 'today':
      return trans.__('Finished today');
    case 'earlier':
      return trans.__('Finished earlier');
  }
}

/** Why a workload needs its user; the first that applies is shown. */
export type Reason = 'interactive' | 'capped' | 'max' | 'failed' | 'cap' | 'unreachable';
const URGENCY: readonly Reason[] = ['interactive', 'capped', 'max', 'failed', 'cap', 'unreachable'];

export interface Entry {
  /** One of its ids; the same from one triage to the next. */
  key: string;
  aliases: ReadonlySet<string>;
  group: Group;
  reason: Reason | null;
  /** The best first: it takes the clicks. Empty where no kernel watches. */
  watches: readonly Watch[];
  listed: ReadListed | null;
  remembered: Remembered | null;
  jobs: Tally;
  /** The kernel or the service does not answer: what is shown is as of its last answer, and no clock of it goes on. */
  stale: boolean;
  /** Sorts within its group; smaller is more urgent. */
  rank: number;
}

export interface Triage {
  entries: ReadonlyMap<string, Entry>;
  groups: ReadonlyMap<Group, readonly Entry[]>;
  /** Seconds until a row moves by the clock alone; null: nothing will. */
  next: number | null;
}

export interface Known {
  watches: readonly Watch[];
  listed: readonly ReadListed[];
  remembered: readonly Remembered[];
  /** Kernels that run and have not yet said what they watch. */
  asking: ReadonlySet<string>;
  /** How many failures of a workload its user has put aside. */
  dismissed: ReadonlyMap<string, number>;
  thresholds: Thresholds;
  /** Seconds on this machine's clock. */
  now: number;
}

const UNREACHABLE = 30; // seconds without an answer before a workload counts as unreachable
const LATE = 15; // seconds: a kernel looks every 10 at least, so one that is later knows less

export function triage(known: Known): Triage {
  const entries = unite(known);
  let next = Infinity;
  for (const entry of entries) next = Math.min(next, judge(entry, known));
  const groups = new Map<Group, Entry[]>(GROUPS.map(group => [group, []]));
  for (const entry of entries) groups.get(entry.group)!.push(entry);
  for (const group of groups.values()) group.sort((a, b) => a.rank - b.rank || (a.key < b.key ? -1 : 1));
  return {
    entries: new Map(entries.map(entry => [entry.key, entry])),
    groups,
    next: Number.isFinite(next) ? next : null,
  };
}

// --- one entry a workload ------------------------------------------------------------------------------------------

interface Draft {
  aliases: Set<string>;
  watches: Watch[];
  listed: ReadListed | null;
  remembered: Remembered | null;
}

/** A workload is the same wherever one of its ids is: in two notebooks, in the account, in what was remembered. */
function unite({ watches, listed, remembered }: Known): Entry[] {
  const drafts = new Map<string, Draft>(); // by alias
  const found = new Set<Draft>();
  const join = (ids: Iterable<string>): Draft => {
    const aliases = [...ids];
    const known = [...new Set(aliases.flatMap(id => drafts.get(id) ?? []))];
    const into = known[0] ?? { aliases: new Set<string>(), watches: [], listed: null, remembered: null };
    for (const other of known.slice(1)) {
      found.delete(other);
      into.watches.push(...other.watches);
      into.listed ??= other.listed;
      into.remembered ??= other.remembered;
      other.aliases.forEach(id => into.aliases.add(id));
    }
    for (const id of aliases) into.aliases.add(id);
    for (const id of into.aliases) drafts.set(id, into);
    found.add(into);
    return into;
  };
  for (const watch of watches) join(aliasesOf(watch.workload.state)).watches.push(watch);
  for (const one of remembered) {
    const draft = join(one.aliases);
    if (draft.remembered === null || one.seen > draft.remembered.seen) draft.remembered = one;
  }
  for (const one of listed) join([one.id]).listed = one;
  return [...found].map(draft => {
    bestFirst(draft.watches);
    const best = draft.watches[0];
    const key = best?.workload.state.id ?? draft.remembered?.id ?? draft.listed?.id ?? '';
    const jobs = best === undefined ? tally([]) : tallyOf(best.workload.state);
    const stale = best !== undefined && (best.store.lost || best.workload.state.problem !== null);
    return { ...draft, key, jobs, stale, group: 'unwatched', reason: null, rank: 0 };
  });
}

/**
 * The kernel that can act and knows a recent state comes first. Kernels that look in turn stay in the same order: a row
 * names one notebook, and its link must not change under the pointer.
 */
function bestFirst(watches: Watch[]): void {
  const seen = (watch: Watch): number => watch.workload.state.seen_at ?? 0;
  const newest = Math.max(...watches.map(seen));
  const late = (watch: Watch): number => (newest - seen(watch) > LATE ? newest - seen(watch) : 0);
  watches.sort(
    (a, b) =>
      Number(a.store.lost) - Number(b.store.lost) ||
      Number(a.workload.state.read_only !== null) - Number(b.workload.state.read_only !== null) ||
      late(a) - late(b) ||
      (a.place.kernel < b.place.kernel ? -1 : 1),
  );
}

const aliasCache = new WeakMap<WorkloadSnapshot, readonly string[]>();

/** Its own id, the service's, those it continues; in job mode its jobs', which the account lists one by one. */
export function aliasesOf(state: WorkloadSnapshot): readonly string[] {
  let found = aliasCache.get(state);
  if (found === undefined) {
    const jobs = state.mode === 'job' ? state.jobs.flatMap(job => job.job_id ?? []) : [];
    found = [
      ...new Set([state.id, ...(state.workload_id === null ? [] : [state.workload_id]), ...state.lineage, ...jobs]),
    ];
    aliasCache.set(state, found);
  }
  return found;
}

const tallyCache = new WeakMap<WorkloadSnapshot, Tally>();

export function tallyOf(state: WorkloadSnapshot): Tally {
  let found = tallyCache.get(state);
  if (found === undefined) tallyCache.set(state, (found = tally(shownJobs(state))));
  return found;
}

// --- where each belongs --------------------------------------------------------------------------------------------

/** Nothing of it runs or will. A closed workload's queued jobs still run. */
export function isOver(state: WorkloadSnapshot, jobs: Tally): boolean {
  return state.mode === 'job' ? jobs.finished : state.state === 'closed' && jobs.running + jobs.remaining === 0;
}

/** The service's time as far as a watch knows it, at a time of this machine: it stands still where nobody answers. */
export function momentOf({ store, workload: { state, offset } }: Watch, now: number): number {
  return store.lost || state.problem !== null ? (state.seen_at ?? now + offset) : now + offset;
}

/** A session that is billed while nothing runs, and that can be ended. */
export function isIdle(state: WorkloadSnapshot, jobs: Tally): boolean {
  return (
    state.mode === 'session' &&
    state.state === 'active' &&
    state.accepting_jobs !== false &&
    jobs.running + jobs.remaining === 0
  );
}

/** The cap has acted: what it cancelled does not run. */
export function isCapped(state: WorkloadSnapshot): boolean {
  return capReached(state) !== null;
}

/** When the last of it ended, on the service's clock. */
export function endOf(state: WorkloadSnapshot): number | null {
  const finished = state.jobs.flatMap(job => job.finished ?? []);
  return state.closed ?? (finished.length > 0 ? finished.reduce((a, b) => Math.max(a, b)) : null);
}

/** Sets group, reason and rank; returns the seconds until the clock alone would change them. */
function judge(entry: Entry, known: Known): number {
  const watch = entry.watches[0];
  if (watch === undefined) return judgeUnwatched(entry, known);
  const { state, offset } = watch.workload;
  const now = known.now + offset;
  if (isOver(state, entry.jobs)) entry.group = (endOf(state) ?? now) >= midnight(now, offset) ? 'today' : 'earlier';
  else if (isIdle(state, entry.jobs)) entry.group = 'idle';
  else if (entry.jobs.running + entry.jobs.remaining > 0) entry.group = 'running';
  else entry.group = 'open';
  entry.rank = rankOf(entry, state);
  const [reason, next] = reasonOf(entry, watch, known, now);
  if (reason !== null) {
    entry.reason = reason;
    entry.group = 'needs';
    const { interactive_deadline: idle, max_deadline: max } = state.ttl;
    const until = reason === 'interactive' ? idle : reason === 'max' ? max : null;
    // Reasons lie a billion seconds apart, so that times sort within one.
    entry.rank = URGENCY.indexOf(reason) * 1e10 + (until ?? -(state.created ?? 0) + 5e9);
  }
  return next;
}

function judgeUnwatched(entry: Entry, { asking, now }: Known): number {
  const { remembered, listed } = entry;
  entry.rank = -(listed?.created ?? remembered?.created ?? 0);
  // What the page remembers never stands against a later answer of the account.
  const ended = remembered !== null && remembered.ended !== null && (listed === null || listed.at <= remembered.ended);
  if (ended && remembered?.ended != null) {
    entry.group = remembered.ended >= midnight(now, 0) ? 'today' : 'earlier';
    entry.rank = -remembered.ended;
  } else if (remembered !== null && asking.has(remembered.place.kernel)) entry.group = 'asking';
  return Infinity;
}

function rankOf({ group, jobs }: Entry, state: WorkloadSnapshot): number {
  const created = -(state.created ?? 0);
  if (group === 'running') return jobs.running > 0 ? created : created + 1e10;
  if (group === 'idle') return state.ttl.interactive_deadline ?? created + 1e10;
  if (group === 'today' || group === 'earlier') return -(endOf(state) ?? 0);
  return created;
}

/** The most urgent reason, and the seconds until the clock brings the next. */
function reasonOf(
  { jobs, watches, key }: Entry,
  { workload: { state }, store }: Watch,
  { thresholds, dismissed }: Known,
  now: number,
): [Reason | null, number] {
  const reasons = new Set<Reason>();
  let next = Infinity;
  const near = (reason: Reason, deadline: number | null, margin: number): void => {
    if (deadline === null || deadline < now) return;
    const wait = deadline - margin - now;
    if (wait <= 0) {
      reasons.add(reason);
      next = Math.min(next, deadline - now + 0.5); // it leaves this group when the deadline has passed
    } else next = Math.min(next, wait);
  };
  const over = isOver(state, jobs);
  // An old view raises no alarm by the clock: a job may have come that it has not heard of.
  if (!over && !store.lost) {
    if (isIdle(state, jobs)) near('interactive', state.ttl.interactive_deadline, thresholds.interactive);
    if (jobs.running + jobs.remaining > 0) {
      if (lostToMaxTtl(state, now) > 0) near('max', state.ttl.max_deadline, thresholds.max);
      else next = Math.min(next, slack(state, now));
    }
    if (state.problem !== null && state.seen_at !== null) {
      if (now - state.seen_at >= UNREACHABLE) reasons.add('unreachable');
      else next = Math.min(next, state.seen_at + UNREACHABLE - now);
    }
    const { cap, reported } = state.usage;
    if (isCapped(state)) reasons.add('capped');
    else if (cap !== null && cap > 0 && (reported ?? 0) >= thresholds.cap * cap) reasons.add('cap');
  }
  const put = Math.max(0, ...aliasesOf(state).map(id => dismissed.get(id) ?? 0), dismissed.get(key) ?? 0);
  if (jobs.failed > put) reasons.add('failed');
  if (over && isCapped(state) && jobs.done < jobs.total && put === 0) reasons.add('capped');
  return [URGENCY.find(reason => reasons.has(reason)) ?? null, watches.length > 0 ? next : Infinity];
}

/** Seconds in which what is left would no longer fit before max TTL, should nothing come of it until then. */
function slack(state: WorkloadSnapshot, now: number): number {
  const left = toGo(paceOf(shownJobs(state)), now);
  const { max_deadline: deadline } = state.ttl;
  return deadline === null || left === null ? Infinity : Math.max(1, deadline - now - left + 0.5);
}

/** The last midnight of this machine's calendar, on the service's clock. */
function midnight(now: number, offset: number): number {
  const date = new Date((now - offset) * 1000);
  date.setHours(0, 0, 0, 0);
  return date.getTime() / 1000 + offset;
}

// --- what a row says -----------------------------------------------------------------------------------------------

/** What the service still holds of a workload that no kernel watches, as far as the account or the page knows. */
export function leftOf({ listed, remembered }: Entry): Left {
  return {
    jobs: listed?.jobs ?? remembered?.left ?? 0,
    expected: listed?.expected ?? remembered?.expected ?? null,
  };
}

/** The user's name for it, else its short id. */
export function titleOf(entry: Entry): string {
  const { watches, listed, key } = entry;
  const state = watches[0]?.workload.state;
  const label = nameOf(entry);
  if (label) return label;
  const lone = state?.mode === 'job' && state.jobs.length === 1 ? state.jobs[0]?.job_id : null;
  return shortId(lone ?? state?.workload_id ?? listed?.id ?? key);
}

export function modeOf({ watches, remembered, listed, jobs }: Entry): string {
  const mode = watches[0]?.workload.state.mode ?? listed?.mode ?? remembered?.mode;
  if (mode === 'session') return trans.__('Session');
  if (mode === 'batch') return trans.__('Batch');
  return jobs.total > 1 ? trans.__('Jobs') : trans.__('Job');
}

/** When it began: what tells workloads apart that their user gave no name; "" for one with a name. */
export function startOf(entry: Entry, now: number): string {
  const { watches, remembered, listed } = entry;
  const workload = watches[0]?.workload;
  if (nameOf(entry) !== null) return '';
  const created =
    workload === undefined
      ? (listed?.created ?? remembered?.created ?? null)
      : workload.state.created === null
        ? null
        : workload.state.created - workload.offset;
  if (created === null) return '';
  return created >= midnight(now, 0) ? clock(created, 0) : dateTime(created, 0);
}

function nameOf({ watches, remembered, listed }: Entry): string | null {
  const state = watches[0]?.workload.state;
  return (state === undefined ? null : labelOf(state.jobs)) ?? remembered?.label ?? listed?.label ?? null;
}

export function backendOf({ watches, remembered, listed }: Entry): string {
  return watches[0]?.workload.state.backend ?? listed?.backend ?? remembered?.backend ?? '';
}

export function placeOf({ watches, remembered }: Entry): Place | null {
  return watches[0]?.place ?? remembered?.place ?? null;
}

/** What it has cost so far, the same sum as in the cell. */
export function spentOf({ watches: [watch], remembered, listed }: Entry, now: number): Bill {
  if (watch !== undefined) return bill(watch.workload.state, momentOf(watch, now));
  const seconds = listed?.usage ?? remembered?.spent ?? null;
  return { seconds, guessed: false, idle: null, qpu: null };
}

/** "≈ 246 s used, 59 s idle", "34 s used of ≈ 96 s"; "" where nothing is known. */
export function spentText(entry: Entry, now: number): string {
  const spent = spentOf(entry, now);
  const state = entry.watches[0]?.workload.state;
  const coming = state === undefined ? null : expected(state);
  const text = billText(spent);
  if (spent.seconds === null) return coming === null ? '' : trans.__('≈ %1 expected', usageSeconds(coming));
  if (spent.idle) return trans.__('%1 used, %2 idle', text, usageSeconds(Math.round(spent.idle)));
  if (coming !== null && coming > spent.seconds) return trans.__('%1 used of ≈ %2', text, usageSeconds(coming));
  return trans.__('%1 used', text);
}

/** What waiting on costs, while an idle session is billed. */
export function waitingText({ watches: [watch] }: Entry, now: number): string {
  return watch === undefined ? '' : idleText(watch.workload.state, momentOf(watch, now));
}

/** Of what is in sight here: usage of workloads that were open at some time today. */
export function spentToday(entries: Iterable<Entry>, now: number): Bill {
  const sum: Bill = { seconds: null, guessed: false, idle: null, qpu: null };
  for (const entry of entries) {
    if (entry.group === 'earlier') continue;
    const { seconds, guessed } = spentOf(entry, now);
    if (seconds === null) continue;
    sum.seconds = (sum.seconds ?? 0) + seconds;
    sum.guessed ||= guessed;
  }
  return sum;
}

/** Whether a row has all the words typed. */
export function matches(entry: Entry, typed: string): boolean {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const place = placeOf(entry);
  const state = entry.watches[0]?.workload.state;
  const text = [
    titleOf(entry),
    modeOf(entry),
    backendOf(entry),
    ...entry.aliases,
    place?.name,
    place?.path,
    state?.instance ?? entry.listed?.instance,
    state?.group,
  ]
    .join('\n')
    .toLowerCase();
  return words.every(word => text.includes(word));
}

/** The deadline that matters most over all workloads, for the status bar; null: none is near. */
export function nearest(triage: Triage): { entry: Entry; deadline: number } | null {
  let found: { entry: Entry; deadline: number } | null = null;
  for (const entry of triage.groups.get('needs') ?? []) {
    const workload = entry.watches[0]?.workload;
    if (workload === undefined || (entry.reason !== 'interactive' && entry.reason !== 'max')) continue;
    const { interactive_deadline: idle, max_deadline: max } = workload.state.ttl;
    const at = entry.reason === 'interactive' ? idle : max;
    if (at !== null && (found === null || at - workload.offset < found.deadline))
      found = { entry, deadline: at - workload.offset };
  }
  return found;
}

/** What a reason means, in words: cause and consequence, for a notification. */
export function reasonText(entry: Entry, now: number): string {
  const watch = entry.watches[0];
  if (watch === undefined || entry.reason === null) return '';
  const { state, offset } = watch.workload;
  const left = (deadline: number | null): string => duration((deadline ?? 0) - now - offset);
  const name = titleOf(entry);
  switch (entry.reason) {
    case 'interactive':
      return trans.__(
        '%1 on %2 is idle and billed; inactive in %3: %4.',
        name,
        state.backend,
        left(state.ttl.interactive_deadline),
        idleText(state, now + offset),
      );
    case 'max':
      return trans._n(
        '%2 on %3 must end in %4: %1 job will not be done by then, and fails.',
        '%2 on %3 must end in %4: %1 jobs will not be done by then, and fail.',
        lostToMaxTtl(state, now + offset),
        name,
        state.backend,
        left(state.ttl.max_deadline),
      );
    case 'capped':
      return trans.__('%1 has reached its usage cap: %2', name, spentText(entry, now));
    case 'cap':
      return trans.__(
        '%1 nears its usage cap of %2: %3',
        name,
        usageSeconds(state.usage.cap ?? 0),
        spentText(entry, now),
      );
    case 'failed':
      return failedText(entry);
    case 'unreachable':
      return trans.__('%1: the service does not answer. %2', name, state.problem ?? '');
  }
}

/** "1 job of trotter-24 failed: transient error on the QPU (9707)." */
export function failedText(entry: Entry): string {
  const name = titleOf(entry);
  const said = trans._n('%1 job of %2 failed', '%1 jobs of %2 failed', entry.jobs.failed, name);
  const jobs = entry.watches[0]?.workload.state.jobs ?? [];
  const failed = jobs.filter(job => !job.superseded && (job.state === 'failed' || job.state === 'refused')).at(-1);
  const why = [failed?.reason, failed?.reason_code == null ? null : `(${failed.reason_code})`]
    .filter(Boolean)
    .join(' ');
  return why === '' ? `${said}.` : `${said}: ${why}`;
}
