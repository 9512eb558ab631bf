/** What a snapshot means to a reader: words, shapes, tones, counts. Pure; no DOM. */
import { ago, duration, integer, usageSeconds } from './clock';
import type { Action, Event, Folded, JobSnapshot, JobState, WorkloadSnapshot } from './protocol';

/** Tones map to JupyterLab's colours in style.css; a tone never stands alone, a word and a shape go with it. */
export type Tone = 'ok' | 'active' | 'warn' | 'fail' | 'dim';

export interface Face {
  word: string;
  shape: string;
  tone: Tone;
}

const FACES: Record<JobState, Face> = {
  waiting: { word: 'Not sent yet', shape: '·', tone: 'dim' },
  unknown: { word: 'Unknown', shape: '?', tone: 'warn' },
  refused: { word: 'Refused', shape: '!', tone: 'fail' },
  dropped: { word: 'Dropped', shape: '⊘', tone: 'dim' },
  queued: { word: 'Queued', shape: '·', tone: 'dim' },
  running: { word: 'Running', shape: '▶', tone: 'active' },
  done: { word: 'Done', shape: '✓', tone: 'ok' },
  failed: { word: 'Failed', shape: '!', tone: 'fail' },
  cancelled: { word: 'Cancelled', shape: '⊘', tone: 'dim' },
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
  return FACES[state] ?? { word: String(state), shape: '?', tone: 'dim' }; // a newer kernel may know more states
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
  const over = state.mode === 'job' ? 'Ended' : 'Closed';
  if (capReached(state) !== null && jobs.running === 0) return face('Cap reached', '!', 'warn');
  switch (state.state) {
    case 'closed':
      if (jobs.failed > 0) return face(`${over}, ${jobs.failed} failed`, '!', 'fail');
      if (jobs.total > 0 && jobs.done === jobs.total) return face(state.mode === 'job' ? 'Done' : over, '✓', 'ok');
      return jobs.running > 0 ? face('Running', '▶', 'active', 'closing') : face(over, '■', 'dim');
    case 'inactive':
      return face('Inactive', '‖', 'warn');
    case 'open':
    case 'active': {
      if (state.mode === 'job' && jobs.finished) {
        return jobs.failed > 0 ? face(`Ended, ${jobs.failed} failed`, '!', 'fail') : face('Done', '✓', 'ok');
      }
      const closing = state.accepting_jobs === false ? 'closing' : '';
      if (jobs.running > 0) return face('Running', '▶', 'active', closing);
      if (jobs.remaining > 0) return face('Queued', '·', 'dim', closing);
      if (closing !== '') return face('Closing', '○', 'dim');
      if (state.state === 'open') return face('Open, no job yet', '○', 'dim');
      return state.mode === 'session' ? face('Idle, billed', '●', 'warn') : face('Idle', '○', 'dim');
    }
    default:
      return face('Not known yet', '?', 'dim');
  }
}

function serviceWords(state: WorkloadSnapshot): string {
  const words =
    {
      open: 'Pending',
      inactive: 'Pending',
      closed: 'Closed',
      unknown: 'not answered yet',
      active:
        state.accepting_jobs === false ? 'In progress, not accepting new jobs' : 'In progress, accepting new jobs',
    }[state.state] ?? state.state;
  const own = state.mode === 'job' ? '' : `The service says: ${words} (${state.state})`;
  return [own, state.state_reason === null ? '' : plainly(state.state_reason, state)].filter(Boolean).join(' · ');
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
  const n = (count: number): string => integer(count);
  return jobs.total === 0 ? 'No job yet' : `${n(jobs.done)} of ${n(jobs.total)} done`;
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
    const max = ttl.max_deadline === null ? '' : `, must end in ${duration(left(ttl.max_deadline))}`;
    const session = state.mode === 'session';
    return {
      ...base,
      label: session ? 'until it gives up the QPU' : 'until it goes idle',
      deadline: ttl.interactive_deadline,
      total: ttl.interactive_ttl,
      note: `${session ? 'billed while it waits; after that a job queues again' : 'after that a new job queues again'}${max}`,
      tone: !session ? 'dim' : left(ttl.interactive_deadline) < CRITICAL_IDLE ? 'fail' : 'warn',
      near: session,
    };
  }
  if (ttl.max_deadline !== null) {
    const near = left(ttl.max_deadline) < Math.min(NEAR_MAX, 0.25 * (ttl.max_ttl ?? Infinity));
    const at = near ? unfinished(state) : 0;
    const lost = at === 0 ? '' : `: what has not finished then (${many(at, 'job')} now) fails`;
    const idle =
      ttl.interactive_ttl === null
        ? ''
        : state.mode === 'session'
          ? `gives up the QPU ${duration(ttl.interactive_ttl)} after the last job`
          : `goes idle ${duration(ttl.interactive_ttl)} after the last job`;
    return {
      ...base,
      label: 'until it must end',
      deadline: ttl.max_deadline,
      total: ttl.max_ttl,
      note: near ? `max TTL${lost}` : state.state === 'inactive' ? 'inactive: the next job queues again' : idle,
      tone: !near ? 'dim' : left(ttl.max_deadline) < CRITICAL_MAX ? 'fail' : 'warn',
      near,
    };
  }
  if (ttl.empty_deadline !== null) {
    const note = 'max TTL starts with the first job';
    return { ...base, label: 'until it closes if left empty', deadline: ttl.empty_deadline, total: 1800, note };
  }
  const still = ttl.max_ttl === null ? '–' : duration(ttl.max_ttl);
  return {
    ...base,
    label: 'from the first job on',
    deadline: null,
    total: ttl.max_ttl,
    still,
    note: 'max TTL has not started',
  };
}

/** All timers of a workload, for a tooltip. */
export function timers(state: WorkloadSnapshot, now: number): string {
  const { ttl } = state;
  const line = (name: string, total: number | null, deadline: number | null): string =>
    total === null && deadline === null
      ? ''
      : `${name}${total === null ? '' : ` ${duration(total)}`}${deadline === null ? '' : `, ${duration(deadline - now)} left`}`;
  return [
    line('Max TTL', ttl.max_ttl, ttl.max_deadline),
    line('Interactive TTL', ttl.interactive_ttl, ttl.interactive_deadline),
    line('Active TTL', ttl.active_ttl, ttl.active_deadline),
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
  if (job.partition === null) return `job ${shortId(job.job_id ?? job.key)}`;
  const about = [job.label ?? '', job.pubs === null ? '' : pubs(job.pubs)].filter(Boolean).join(', ');
  return `partition ${jobNumber(job)}${about === '' ? '' : ` (${about})`}`;
}

/** The names that the user gave the runs, in their order; the first two of many. */
export function labelOf(jobs: readonly JobSnapshot[]): string | null {
  const labels = [...new Set(jobs.flatMap(({ label }) => label ?? []))];
  return labels.length === 0 ? null : labels.slice(0, 2).join(', ') + (labels.length > 2 ? ', …' : '');
}

/** "PUB 3", "PUBs 8–9". */
export function pubs(text: string): string {
  return `${/^\d+$/.test(text) || /^\d+\[.*\]$/.test(text) ? 'PUB' : 'PUBs'} ${text}`;
}

export function shortId(id: string): string {
  return id.length <= 11 ? id : `${id.slice(0, 4)}…${id.slice(-4)}`;
}

/** The failure in the service's words: what happened, its code, IBM's advice. Null where nothing was said. */
export function failure(job: JobSnapshot): { what: string; code: number | null; advice: string } | null {
  if (job.reason === null && job.reason_code === null && job.reason_solution === null) return null;
  return {
    what: sentence(job.reason ?? 'The service gave no reason'),
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
  const qpu = job.state === 'running' && job.qpu_used ? 'QPU used' : '';
  const attempt = job.attempt > 0 ? `attempt ${job.attempt + 1}` : '';
  return [qpu, text, job.note, attempt, job.private ? 'private' : ''].filter(Boolean).join(' · ');
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
  if (sum === null) return 'Expected usage unknown.';
  return `Expected usage ≈ ${usageSeconds(sum.seconds)}${sum.missing > 0 ? `, ${sum.missing} without an estimate` : ''}.`;
}

function expectedOf({ usage }: JobSnapshot): number | null {
  return usage.estimated ?? (usage.status === 'final' && usage.reported ? usage.reported : null);
}

/** "last seen 12 s ago", when what is shown may be old. */
export function staleness(state: WorkloadSnapshot, now: number, lost: boolean): string | null {
  if (state.problem === null && !lost) return null;
  return state.seen_at === null ? 'not seen yet' : `last seen ${ago(now - state.seen_at)} ago`;
}

export function many(n: number, noun: string): string {
  return `${integer(n)} ${noun}${n === 1 ? '' : 's'}`;
}
