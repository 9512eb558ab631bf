/** What a snapshot means to a reader: words, shapes, tones, counts. Pure; no DOM. */
import { ago, duration, usageSeconds } from './clock';
import type { Action, JobSnapshot, JobState, WorkloadSnapshot } from './protocol';

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

/** The order of counts and of merged segments. */
export const STATES: readonly JobState[] = [
  'done',
  'failed',
  'refused',
  'running',
  'unknown',
  'queued',
  'waiting',
  'cancelled',
  'dropped',
];

export function jobFace(state: JobState): Face {
  return FACES[state] ?? { word: String(state), shape: '?', tone: 'dim' }; // a newer kernel may know more states
}

/** The rows a reader sees: attempts that a later one replaced are left out. */
export function shownJobs(state: WorkloadSnapshot): JobSnapshot[] {
  return state.jobs.filter(job => !job.superseded);
}

export function counts(jobs: readonly JobSnapshot[]): Map<JobState, number> {
  const found = new Map<JobState, number>();
  for (const job of jobs) found.set(job.state, (found.get(job.state) ?? 0) + 1);
  return new Map([...found].sort(([a], [b]) => STATES.indexOf(a) - STATES.indexOf(b)));
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

export function tally(jobs: readonly JobSnapshot[]): Tally {
  const by = counts(jobs);
  const n = (...states: JobState[]): number => states.reduce((sum, state) => sum + (by.get(state) ?? 0), 0);
  const remaining = n('queued', 'waiting', 'unknown');
  return {
    total: jobs.length,
    done: n('done'),
    failed: n('failed', 'refused'),
    running: n('running'),
    remaining,
    finished: jobs.length > 0 && remaining + n('running') === 0,
  };
}

/** `more` gives way where there is little room. */
export interface WorkloadFace extends Face {
  more: string;
  title: string;
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
  switch (state.state) {
    case 'closed':
      if (jobs.failed > 0) return face('Closed', '!', 'fail');
      return jobs.total > 0 && jobs.done === jobs.total ? face('Closed', '✓', 'ok') : face('Closed', '■', 'dim');
    case 'inactive':
      return face('Inactive', '‖', 'warn');
    case 'open':
      return jobs.total === 0 ? face('Open, no job yet', '○', 'dim') : face('Queued', '·', 'dim');
    case 'active': {
      if (state.mode === 'job' && jobs.finished) {
        return jobs.failed > 0 ? face('Ended, some failed', '!', 'fail') : face('Done', '✓', 'ok');
      }
      const busy = jobs.running + jobs.remaining > 0;
      if (!busy && state.accepting_jobs === false) return face('Closing', '○', 'dim');
      if (!busy) return state.mode === 'session' ? face('Idle, billed', '●', 'warn') : face('Idle', '○', 'dim');
      const word = jobs.running > 0 ? 'Running' : 'Queued';
      const more = state.accepting_jobs === false ? 'closing' : state.mode === 'job' ? '' : 'accepts jobs';
      return face(word, jobs.running > 0 ? '●' : '·', jobs.running > 0 ? 'active' : 'dim', more);
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
  return [own, state.state_reason].filter(Boolean).join(' · ');
}

export interface Countdown {
  label: string;
  /** Service time at which it ends; null: it does not run. */
  deadline: number | null;
  /** Its full length, for the ring. */
  total: number | null;
  /** Shown while it does not run. */
  still: string;
  note: string;
  tone: Tone;
}

/** The countdown that matters now: the interactive TTL while idle, else max TTL; null where there is none. */
export function countdown(state: WorkloadSnapshot, now: number): Countdown | null {
  const { ttl } = state;
  if (state.mode === 'job' || state.state === 'closed') return null;
  const left = (deadline: number | null): number => (deadline ?? Infinity) - now;
  if (ttl.interactive_deadline !== null) {
    const max = ttl.max_deadline === null ? '' : `max TTL ${duration(left(ttl.max_deadline))} left`;
    const tone = state.mode === 'session' || left(ttl.interactive_deadline) < 15 ? 'warn' : 'active';
    return {
      label: 'Interactive TTL',
      deadline: ttl.interactive_deadline,
      total: ttl.interactive_ttl,
      still: '',
      note: max,
      tone,
    };
  }
  if (ttl.max_deadline !== null) {
    const idle =
      ttl.interactive_ttl === null ? '' : `interactive TTL starts when idle (${duration(ttl.interactive_ttl)})`;
    const note = state.state === 'inactive' ? 'inactive: the next job queues again' : idle;
    const short = left(ttl.max_deadline) < Math.max(60, 0.1 * (ttl.max_ttl ?? 0));
    return {
      label: 'Max TTL',
      deadline: ttl.max_deadline,
      total: ttl.max_ttl,
      still: '',
      note,
      tone: short ? 'warn' : 'active',
    };
  }
  if (ttl.empty_deadline !== null) {
    return {
      label: 'Closes if left empty',
      deadline: ttl.empty_deadline,
      total: 1800,
      still: '',
      note: 'max TTL starts with the first job',
      tone: 'dim',
    };
  }
  const still = ttl.max_ttl === null ? '–' : duration(ttl.max_ttl);
  return {
    label: 'Max TTL',
    deadline: null,
    total: ttl.max_ttl,
    still,
    note: 'starts with the first job',
    tone: 'dim',
  };
}

/** All timers of a workload, for the tooltip of the ring. */
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

/** Which partition, as a reader counts: from 1; the run's number in front where there are several. */
export function jobNumber(job: JobSnapshot, runs: readonly string[]): string {
  if (job.partition === null) return '–';
  const number = String(job.partition + 1);
  return runs.length > 1 && job.run !== null ? `${runs.indexOf(job.run) + 1}.${number}` : number;
}

export function runsOf(jobs: readonly JobSnapshot[]): string[] {
  return [...new Set(jobs.flatMap(job => (job.run === null ? [] : [job.run])))];
}

/** "partition 5 (PUBs 8–9)", or "job d2f1…b19". */
export function jobName(job: JobSnapshot, runs: readonly string[]): string {
  if (job.partition === null) return `job ${shortId(job.job_id ?? job.key)}`;
  return `partition ${jobNumber(job, runs)}${job.pubs === null ? '' : ` (PUBs ${job.pubs})`}`;
}

export function shortId(id: string): string {
  return id.length <= 11 ? id : `${id.slice(0, 4)}…${id.slice(-4)}`;
}

/** Why the job is where it is, in one line. */
export function jobReason(job: JobSnapshot): string {
  const said =
    job.reason_solution !== null && job.reason !== null ? `${job.reason}: ${job.reason_solution}` : job.reason;
  const failure = [job.reason_code, said].filter(part => part !== null && part !== '').join(' ');
  const attempt = job.attempt > 0 ? `attempt ${job.attempt + 1}` : '';
  const qpu = job.state === 'running' && job.qpu_used ? 'QPU used' : '';
  return [qpu, failure, job.note, attempt, job.private ? 'private' : ''].filter(Boolean).join(' · ');
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

/** Seconds from its start to its end, or to `now`; null before it starts. */
export function jobTime(job: JobSnapshot, now: number): number | null {
  const start = job.running ?? (job.state === 'failed' || job.state === 'done' ? job.created : null);
  if (start === null) return null;
  if (job.finished !== null) return job.finished - start;
  return job.state === 'running' ? now - start : null;
}

/** "≈ 8 s", the sum over jobs; says how many are without an estimate. */
export function expectedUsage(jobs: readonly JobSnapshot[]): string {
  const known = jobs.map(expectedOf).filter(seconds => seconds !== null);
  if (known.length === 0) return 'Expected usage unknown.';
  const missing = jobs.length - known.length;
  const sum = known.reduce((a, b) => a + b, 0);
  return `Expected usage ≈ ${usageSeconds(sum)}${missing > 0 ? `, ${missing} without an estimate` : ''}.`;
}

function expectedOf({ usage }: JobSnapshot): number | null {
  return usage.estimated ?? (usage.status === 'final' && usage.reported ? usage.reported : null);
}

/** "last seen 12 s ago", when what is shown may be old. */
export function staleness(state: WorkloadSnapshot, now: number, lost: boolean): string | null {
  if (state.problem === null && !lost) return null;
  return state.seen_at === null ? 'not seen yet' : `last seen ${ago(now - state.seen_at)} ago`;
}
