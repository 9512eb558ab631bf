/** What a snapshot means to a reader: words, shapes, tones, counts. Pure; no DOM. */
import { ago, duration, integer, usageSeconds } from './clock';
import type { Action, Event, Folded, JobSnapshot, JobState, WorkloadSnapshot } from './protocol';
import { trans } from './texts';

/** Tones map to JupyterLab's colours in style.css; a tone never stands alone, a word and a shape go with it. */
export type Tone = 'ok' | 'active' | 'warn' | 'fail' | 'dim';

export interface Face {
  word: string;
  shape: string;
  tone: Tone;
}

const LOOKS: Record<JobState, Omit<Face, 'word'>> = {
  waiting: { shape: '·', tone: 'dim' },
  unknown: { shape: '?', tone: 'warn' },
  refused: { shape: '!', tone: 'fail' },
  dropped: { shape: '⊘', tone: 'dim' },
  queued: { shape: '·', tone: 'dim' },
  running: { shape: '▶', tone: 'active' },
  done: { shape: '✓', tone: 'ok' },
  failed: { shape: '!', tone: 'fail' },
  cancelled: { shape: '⊘', tone: 'dim' },
};

/** What needs a reader first; counts and merged segments stand in this order too. The same as in saved.py. */
export const URGENCY: readonly JobState[] = [
  'failed',
  'refused',
  'unknown',
  'running',
  'queued',
  'waiting',
  'cancelled',
  'dropped',
  'done',
];

export function jobFace(state: JobState): Face {
  const { shape, tone } = LOOKS[state] ?? { shape: '?', tone: 'dim' }; // a newer kernel may know more states
  return { word: jobWord(state), shape, tone };
}

/** As a label. */
function jobWord(state: JobState): string {
  switch (state) {
    case 'waiting':
      return trans.__('Not sent yet');
    case 'unknown':
      return trans.__('Unknown');
    case 'refused':
      return trans.__('Refused');
    case 'dropped':
      return trans.__('Dropped');
    case 'queued':
      return trans.__('Queued');
    case 'running':
      return trans.__('Running');
    case 'done':
      return trans.__('Done');
    case 'failed':
      return trans.__('Failed');
    case 'cancelled':
      return trans.__('Cancelled');
    default:
      return String(state);
  }
}

/** In a sentence: "Attempt 1: failed". */
export function jobVerb(state: JobState): string {
  switch (state) {
    case 'waiting':
      return trans.__('not sent yet');
    case 'unknown':
      return trans.__('unknown');
    case 'refused':
      return trans.__('refused');
    case 'dropped':
      return trans.__('dropped');
    case 'queued':
      return trans.__('queued');
    case 'running':
      return trans.__('running');
    case 'done':
      return trans.__('done');
    case 'failed':
      return trans.__('failed');
    case 'cancelled':
      return trans.__('cancelled');
    default:
      return String(state);
  }
}

/** "1,204 done". Written out for each state: in most languages the word goes with the number. */
export function jobCount(state: JobState, count: number): string {
  const n = integer(count);
  switch (state) {
    case 'waiting':
      return trans._n('%2 not sent yet', '%2 not sent yet', count, n);
    case 'unknown':
      return trans._n('%2 unknown', '%2 unknown', count, n);
    case 'refused':
      return trans._n('%2 refused', '%2 refused', count, n);
    case 'dropped':
      return trans._n('%2 dropped', '%2 dropped', count, n);
    case 'queued':
      return trans._n('%2 queued', '%2 queued', count, n);
    case 'running':
      return trans._n('%2 running', '%2 running', count, n);
    case 'done':
      return trans._n('%2 done', '%2 done', count, n);
    case 'failed':
      return trans._n('%2 failed', '%2 failed', count, n);
    case 'cancelled':
      return trans._n('%2 cancelled', '%2 cancelled', count, n);
    default:
      return `${n} ${String(state)}`;
  }
}

/** "End session", on buttons. */
export function endWord({ mode }: WorkloadSnapshot): string {
  return mode === 'session' ? trans.__('End session') : trans.__('End batch');
}

/** The rows a reader sees: attempts that a later one replaced are left out. */
export function shownJobs(state: WorkloadSnapshot): JobSnapshot[] {
  return state.jobs.filter(job => !job.superseded);
}

export function counts(jobs: readonly JobSnapshot[], folded: readonly Folded[] = []): Map<JobState, number> {
  const found = new Map<JobState, number>();
  const add = (state: JobState, n: number): unknown => found.set(state, (found.get(state) ?? 0) + n);
  for (const job of jobs) add(job.state, 1);
  for (const { state, count } of folded) add(state, count);
  return new Map([...found].sort(([a], [b]) => URGENCY.indexOf(a) - URGENCY.indexOf(b)));
}

export interface Tally {
  total: number;
  done: number;
  failed: number;
  running: number;
  /** Not started: queued on the service, not sent yet, or in doubt. */
  remaining: number;
  /** Nothing more can come. */
  finished: boolean;
}

export function tally(jobs: readonly JobSnapshot[], folded: readonly Folded[] = []): Tally {
  const by = counts(jobs, folded);
  const n = (...states: JobState[]): number => states.reduce((sum, state) => sum + (by.get(state) ?? 0), 0);
  const remaining = n('queued', 'waiting', 'unknown');
  const total = n(...by.keys());
  return {
    total,
    done: n('done'),
    failed: n('failed', 'refused'),
    running: n('running'),
    remaining,
    finished: total > 0 && remaining + n('running') === 0,
  };
}

/** `more` gives way where there is little room. */
export interface WorkloadFace extends Face {
  more: string;
  title: string;
}

/** A usage cap of this workload has acted. */
export function capReached(state: WorkloadSnapshot): number | null {
  return state.limits.find(limit => limit.name === 'usage cap' && limit.acted !== null)?.acted ?? null;
}

/** The workload's state in words, with the service's own as `title`. */
export function workloadFace(state: WorkloadSnapshot, jobs: Tally): WorkloadFace {
  const title = serviceWords(state);
  const face = (word: string, shape: string, tone: Tone, more = ''): WorkloadFace => ({
    word,
    more,
    shape,
    tone,
    title,
  });
  const lone = state.mode === 'job';
  const over = (): string => (lone ? trans.__('Ended') : trans.__('Closed'));
  const { failed } = jobs;
  if (capReached(state) !== null && jobs.running === 0) return face(trans.__('Cap reached'), '!', 'warn');
  switch (state.state) {
    case 'closed':
      if (failed > 0) return face(lone ? endedFailed(failed) : closedFailed(failed), '!', 'fail');
      if (jobs.total > 0 && jobs.done === jobs.total) return face(lone ? trans.__('Done') : over(), '✓', 'ok');
      return jobs.running > 0
        ? face(trans.__('Running'), '▶', 'active', trans.__('closing'))
        : face(over(), '■', 'dim');
    case 'inactive':
      return face(trans.__('Inactive'), '‖', 'warn');
    case 'open':
    case 'active': {
      if (lone && jobs.finished)
        return failed > 0 ? face(endedFailed(failed), '!', 'fail') : face(trans.__('Done'), '✓', 'ok');
      const closing = state.accepting_jobs === false ? trans.__('closing') : '';
      if (jobs.running > 0) return face(trans.__('Running'), '▶', 'active', closing);
      if (jobs.remaining > 0) return face(trans.__('Queued'), '·', 'dim', closing);
      if (closing !== '') return face(trans.__('Closing'), '○', 'dim');
      if (state.state === 'open') return face(trans.__('Open, no job yet'), '○', 'dim');
      return state.mode === 'session'
        ? face(trans.__('Idle, billed'), '●', 'warn')
        : face(trans.__('Idle'), '○', 'dim');
    }
    default:
      return face(trans.__('Not known yet'), '?', 'dim');
  }
}

function endedFailed(n: number): string {
  return trans._n('Ended, %1 failed', 'Ended, %1 failed', n);
}

function closedFailed(n: number): string {
  return trans._n('Closed, %1 failed', 'Closed, %1 failed', n);
}

function serviceWords(state: WorkloadSnapshot): string {
  const own = state.mode === 'job' ? '' : trans.__('The service says: %1 (%2)', serviceWord(state), state.state);
  return [own, state.state_reason === null ? '' : plainly(state.state_reason, state)].filter(Boolean).join(' · ');
}

function serviceWord({ state, accepting_jobs: accepting }: WorkloadSnapshot): string {
  switch (state) {
    case 'open':
    case 'inactive':
      return trans.__('Pending');
    case 'closed':
      return trans.__('Closed');
    case 'unknown':
      return trans.__('not answered yet');
    case 'active':
      return accepting === false
        ? trans.__('In progress, not accepting new jobs')
        : trans.__('In progress, accepting new jobs');
    default:
      return String(state);
  }
}

/** The service calls every workload a session. */
export function plainly(text: string, { mode }: WorkloadSnapshot): string {
  return mode === 'batch' ? text.replaceAll(/\bsession([ _])/g, 'batch$1') : text;
}

export function eventText(event: Event, state: WorkloadSnapshot): string {
  return plainly(event.text, state);
}

/** "3 of 6 done": the first thing a reader wants to know. */
export function progress(jobs: Tally): string {
  return jobs.total === 0 ? trans.__('No job yet') : trans.__('%1 of %2 done', integer(jobs.done), integer(jobs.total));
}

/** What `toGo` needs of the jobs, so that a tick need not look at all of them. */
export interface Pace {
  /** Seconds that the jobs that are done ran, on average; null while none is done. */
  mean: number | null;
  waiting: number;
  /** When those that run have started. */
  started: number[];
}

export function paceOf(jobs: readonly JobSnapshot[]): Pace {
  let [sum, done, waiting] = [0, 0, 0];
  const started: number[] = [];
  for (const { state, running, finished } of jobs) {
    if (state === 'queued' || state === 'waiting') waiting++;
    else if (state === 'running' && running !== null) started.push(running);
    else if (state === 'done' && running !== null && finished !== null) {
      sum += finished - running;
      done++;
    }
  }
  return { mean: done === 0 ? null : sum / done, waiting, started };
}

/**
 * Seconds until the last job is done: what is left to run at the mean pace of the jobs that are done, as many at once as
 * run now. Null while none is done: a QPU estimate says nothing of the classical time around it.
 */
export function toGo({ mean, waiting, started }: Pace, now: number): number | null {
  if (mean === null || started.length === 0) return null;
  const left = started.map(time => Math.max(0, mean - (now - time)));
  const work = left.reduce((a, b) => a + b, 0) + waiting * mean;
  return Math.max(...left, work / started.length);
}

export interface Countdown {
  /** What happens at its end, after "0:16": "until it must end". */
  label: string;
  /** Service time at which it ends; null: it does not run. */
  deadline: number | null;
  /** Its full length. */
  total: number | null;
  /** Shown while it does not run. */
  still: string;
  note: string;
  tone: Tone;
  /** It is the most important thing now. */
  near: boolean;
}

function unfinished(state: WorkloadSnapshot): number {
  const { running, remaining } = tally(shownJobs(state));
  return running + remaining;
}

const NEAR_MAX = 300;
const CRITICAL_MAX = 60;
const CRITICAL_IDLE = 15;

/** The countdown that matters now: the interactive TTL while idle, else max TTL; null where there is none. */
export function countdown(state: WorkloadSnapshot, now: number): Countdown | null {
  const { ttl } = state;
  if (state.mode === 'job' || state.state === 'closed') return null;
  const left = (deadline: number | null): number => (deadline ?? Infinity) - now;
  const base = { still: '', near: false, tone: 'dim' as Tone };
  if (ttl.interactive_deadline !== null) {
    const session = state.mode === 'session';
    return {
      ...base,
      label: session ? trans.__('until it gives up the QPU') : trans.__('until it goes idle'),
      deadline: ttl.interactive_deadline,
      total: ttl.interactive_ttl,
      note: afterIdle(session, ttl.max_deadline === null ? null : duration(left(ttl.max_deadline))),
      tone: !session ? 'dim' : left(ttl.interactive_deadline) < CRITICAL_IDLE ? 'fail' : 'warn',
      near: session,
    };
  }
  if (ttl.max_deadline !== null) {
    const near = left(ttl.max_deadline) < Math.min(NEAR_MAX, 0.25 * (ttl.max_ttl ?? Infinity));
    return {
      ...base,
      label: trans.__('until it must end'),
      deadline: ttl.max_deadline,
      total: ttl.max_ttl,
      note: near ? atMaxTtl(unfinished(state)) : untilMaxTtl(state),
      tone: !near ? 'dim' : left(ttl.max_deadline) < CRITICAL_MAX ? 'fail' : 'warn',
      near,
    };
  }
  if (ttl.empty_deadline !== null) {
    const label = trans.__('until it closes if left empty');
    const note = trans.__('max TTL starts with the first job');
    return { ...base, label, deadline: ttl.empty_deadline, total: 1800, note };
  }
  const still = ttl.max_ttl === null ? '–' : duration(ttl.max_ttl);
  return {
    ...base,
    label: trans.__('from the first job on'),
    deadline: null,
    total: ttl.max_ttl,
    still,
    note: trans.__('max TTL has not started'),
  };
}

/** While it is idle; `max` is the time until it must end, where that is known. */
function afterIdle(session: boolean, max: string | null): string {
  if (session)
    return max === null
      ? trans.__('billed while it waits; after that a job queues again')
      : trans.__('billed while it waits; after that a job queues again, must end in %1', max);
  return max === null
    ? trans.__('after that a new job queues again')
    : trans.__('after that a new job queues again, must end in %1', max);
}

/** While max TTL is near. */
function atMaxTtl(open: number): string {
  return open === 0
    ? trans.__('max TTL')
    : trans._n(
        'max TTL: what has not finished then (%2 job now) fails',
        'max TTL: what has not finished then (%2 jobs now) fails',
        open,
        integer(open),
      );
}

/** While max TTL is far. */
function untilMaxTtl({ state, mode, ttl }: WorkloadSnapshot): string {
  if (state === 'inactive') return trans.__('inactive: the next job queues again');
  if (ttl.interactive_ttl === null) return '';
  return mode === 'session'
    ? trans.__('gives up the QPU %1 after the last job', duration(ttl.interactive_ttl))
    : trans.__('goes idle %1 after the last job', duration(ttl.interactive_ttl));
}

/** All timers of a workload, for a tooltip. */
export function timers(state: WorkloadSnapshot, now: number): string {
  const { ttl } = state;
  const line = (name: string, total: number | null, deadline: number | null): string => {
    if (total === null && deadline === null) return '';
    const limit = total === null ? name : `${name} ${duration(total)}`;
    return deadline === null ? limit : trans.__('%1, %2 left', limit, duration(deadline - now));
  };
  return [
    line(trans.__('Max TTL'), ttl.max_ttl, ttl.max_deadline),
    line(trans.__('Interactive TTL'), ttl.interactive_ttl, ttl.interactive_deadline),
    line(trans.__('Active TTL'), ttl.active_ttl, ttl.active_deadline),
  ]
    .filter(Boolean)
    .join('\n');
}

/** How rows are called. The kernel numbers them through all runs; an iteration goes by its own name. */
export function jobNumber(job: JobSnapshot): string {
  if (job.group !== null)
    return (job.of ?? 1) > 1 && job.partition !== null ? `${job.group}.${job.partition + 1}` : job.group;
  if (job.partition === null) return '–';
  return String(job.number || job.partition + 1);
}

/** "partition 5 (PUBs 8–9)", "step 3", or "job d2f1…b19". */
export function jobName(job: JobSnapshot): string {
  if (job.group !== null) return jobNumber(job);
  if (job.partition === null) return trans.__('job %1', shortId(job.job_id ?? job.key));
  const about = [job.label ?? '', job.pubs === null ? '' : pubs(job.pubs)].filter(Boolean).join(', ');
  return about === '' ? trans.__('partition %1', jobNumber(job)) : trans.__('partition %1 (%2)', jobNumber(job), about);
}

/** The names that the user gave the runs, in their order; the first two of many. */
export function labelOf(jobs: readonly JobSnapshot[]): string | null {
  const labels = [...new Set(jobs.flatMap(({ label }) => label ?? []))];
  return labels.length === 0 ? null : labels.slice(0, 2).join(', ') + (labels.length > 2 ? ', …' : '');
}

/** "PUB 3", "PUBs 8–9". */
export function pubs(text: string): string {
  return isOnePub(text) ? trans.__('PUB %1', text) : trans.__('PUBs %1', text);
}

/** The word alone, for where it may be left out. */
export function pubsWord(text: string): string {
  return isOnePub(text) ? trans.__('PUB') : trans.__('PUBs');
}

function isOnePub(text: string): boolean {
  return /^\d+$/.test(text) || /^\d+\[.*\]$/.test(text);
}

export function shortId(id: string): string {
  return id.length <= 11 ? id : `${id.slice(0, 4)}…${id.slice(-4)}`;
}

/** The failure in the service's words: what happened, its code, IBM's advice. Null where nothing was said. */
export function failure(job: JobSnapshot): { what: string; code: number | null; advice: string } | null {
  if (job.reason === null && job.reason_code === null && job.reason_solution === null) return null;
  return {
    what: sentence(job.reason ?? trans.__('The service gave no reason')),
    code: job.reason_code,
    advice: job.reason_solution === null ? '' : sentence(job.reason_solution),
  };
}

/** One full stop at the end, whatever the service wrote there. */
export function sentence(text: string): string {
  const bare = text.trim().replace(/[.:;\s]+$/, '');
  return bare === '' ? '' : `${bare}.`;
}

/** Why the job is where it is, in one line. */
export function jobReason(job: JobSnapshot): string {
  const said = failure(job);
  const text =
    said === null ? '' : `${said.what.replace(/\.$/, '')}${said.code === null ? '' : ` (${String(said.code)})`}`;
  const qpu = job.state === 'running' && job.qpu_used ? trans.__('QPU used') : '';
  const attempt = job.attempt > 0 ? trans.__('attempt %1', job.attempt + 1) : '';
  return [qpu, text, job.note, attempt, job.private ? trans.__('private') : ''].filter(Boolean).join(' · ');
}

/** The one action a row offers. */
export function jobAction(job: JobSnapshot): Action | null {
  switch (job.state) {
    case 'queued':
    case 'running':
      return 'cancel';
    case 'waiting':
      return 'drop';
    case 'failed':
    case 'cancelled':
    case 'refused':
      return 'resubmit';
    default:
      return null;
  }
}

/** "≈ 8 s", the sum over jobs; null where none has an estimate. */
export function expectedSum(jobs: readonly JobSnapshot[]): { seconds: number; missing: number } | null {
  const known = jobs.map(expectedOf).filter(seconds => seconds !== null);
  if (known.length === 0) return null;
  return { seconds: known.reduce((a, b) => a + b, 0), missing: jobs.length - known.length };
}

/** "Expected usage ≈ 8 s."; says how many are without an estimate. */
export function expectedUsage(jobs: readonly JobSnapshot[]): string {
  const sum = expectedSum(jobs);
  if (sum === null) return trans.__('Expected usage unknown.');
  const seconds = usageSeconds(sum.seconds);
  return sum.missing === 0
    ? trans.__('Expected usage ≈ %1.', seconds)
    : trans._n(
        'Expected usage ≈ %2, %1 without an estimate.',
        'Expected usage ≈ %2, %1 without an estimate.',
        sum.missing,
        seconds,
      );
}

function expectedOf({ usage }: JobSnapshot): number | null {
  return usage.estimated ?? (usage.status === 'final' && usage.reported ? usage.reported : null);
}

/** "last seen 12 s ago", when what is shown may be old. */
export function staleness(state: WorkloadSnapshot, now: number, lost: boolean): string | null {
  if (state.problem === null && !lost) return null;
  return lastSeen(state, now);
}

/** "last seen 12 s ago". */
export function lastSeen({ seen_at: seen }: WorkloadSnapshot, now: number): string {
  return seen === null ? trans.__('not seen yet') : trans.__('last seen %1 ago', ago(now - seen));
}
