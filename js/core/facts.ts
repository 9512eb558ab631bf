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
  return { word: capital(jobVerb(state)), shape, tone };
}

/** A phrase as it begins a sentence, or stands by itself. */
export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
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

/** Made once for each list of jobs: a tick must not go through a thousand of them. */
function once<T>(make: (jobs: readonly JobSnapshot[]) => T): (jobs: readonly JobSnapshot[]) => T {
  const made = new WeakMap<readonly JobSnapshot[], T>();
  return jobs => {
    let found = made.get(jobs);
    if (found === undefined) made.set(jobs, (found = make(jobs)));
    return found;
  };
}

const shown = once(jobs => jobs.filter(job => !job.superseded));

/** The rows a reader sees: attempts that a later one replaced are left out. */
export function shownJobs(state: WorkloadSnapshot): readonly JobSnapshot[] {
  return shown(state.jobs);
}

const counted = once(jobs => {
  const found = new Map<JobState, number>();
  for (const { state } of jobs) found.set(state, (found.get(state) ?? 0) + 1);
  return found;
});

export function counts(jobs: readonly JobSnapshot[], folded: readonly Folded[] = []): Map<JobState, number> {
  const found = new Map(counted(jobs));
  for (const { state, count } of folded) found.set(state, (found.get(state) ?? 0) + count);
  return new Map([...found].sort(([a], [b]) => URGENCY.indexOf(a) - URGENCY.indexOf(b)));
}

/** Those in one of some states. */
export function jobsIn(jobs: readonly JobSnapshot[], ...states: JobState[]): JobSnapshot[] {
  return jobs.filter(job => states.includes(job.state));
}

export interface Tally {
  total: number;
  done: number;
  failed: number;
  running: number;
  /** Not started: queued on the service, not sent yet, or in doubt. */
  remaining: number;
  /** Of those, queued on the service. */
  queued: number;
  /** Nothing more can come. */
  finished: boolean;
}

export function tally(jobs: readonly JobSnapshot[], folded: readonly Folded[] = []): Tally {
  return folded.length === 0 ? tallied(jobs) : summed(jobs, folded);
}

const tallied = once(jobs => summed(jobs, []));

function summed(jobs: readonly JobSnapshot[], folded: readonly Folded[]): Tally {
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
    queued: n('queued'),
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
      if (jobs.queued > 0) return face(trans.__('Queued'), '·', 'dim', closing);
      if (jobs.remaining > 0) return face(trans.__('Not sent yet'), '·', 'dim', closing);
      if (closing !== '') return face(trans.__('Closing'), '○', 'dim');
      if (state.state === 'open') return face(trans.__('Open, no job yet'), '○', 'dim');
      return state.mode === 'session'
        ? face(trans.__('Idle, billed'), '●', 'warn')
        : face(trans.__('Waiting, free'), '○', 'dim');
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

/** "3 of 6 done": the first thing a reader wants to know; of a lone job its state. */
export function progress(jobs: Tally, lone: JobState | null = null): string {
  if (lone !== null) return jobFace(lone).word;
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

export const paceOf = once((jobs): Pace => {
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
});

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

/**
 * How many of the jobs that have not ended will not be done by a deadline, at the pace of those that are done, as many at
 * once as run now. All of them where there is no pace yet.
 */
export function lateJobs({ mean, started }: Pace, open: number, now: number, deadline: number): number {
  if (mean === null || started.length === 0) return open;
  let fit = 0;
  for (const time of started) {
    const room = deadline - now - Math.max(0, mean - (now - time));
    if (room >= 0) fit += 1 + Math.floor(room / (mean || 1));
  }
  return Math.max(0, open - fit);
}

/** How many jobs max TTL will cost; 0: what is left fits, or nothing is left. */
export function lostToMaxTtl(state: WorkloadSnapshot, now: number): number {
  const jobs = shownJobs(state);
  const { running, remaining } = tally(jobs);
  const { max_deadline: deadline } = state.ttl;
  return deadline === null ? 0 : lateJobs(paceOf(jobs), running + remaining, now, deadline);
}

export interface Countdown {
  /** What happens at its end, after "0:16": "until it must end". */
  label: string;
  /** Service time at which it ends; null: it does not run. */
  deadline: number | null;
  /** Shown while it does not run. */
  still: string;
  note: string;
  tone: Tone;
  /** It is the most important thing now. */
  near: boolean;
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
  if (ttl.interactive_deadline !== null && state.accepting_jobs !== false) {
    const session = state.mode === 'session';
    return {
      ...base,
      label: trans.__('until it is inactive'),
      deadline: ttl.interactive_deadline,
      note: afterIdle(ttl.max_deadline === null ? null : duration(left(ttl.max_deadline))),
      tone: !session ? 'dim' : left(ttl.interactive_deadline) < CRITICAL_IDLE ? 'fail' : 'warn',
      near: session,
    };
  }
  if (ttl.max_deadline !== null) {
    const lost = lostToMaxTtl(state, now);
    const near = left(ttl.max_deadline) < Math.min(NEAR_MAX, 0.25 * (ttl.max_ttl ?? Infinity)) && lost > 0;
    return {
      ...base,
      label: trans.__('until it must end'),
      deadline: ttl.max_deadline,
      note: near ? atMaxTtl(lost) : untilMaxTtl(state),
      tone: !near ? 'dim' : left(ttl.max_deadline) < CRITICAL_MAX ? 'fail' : 'warn',
      near,
    };
  }
  if (ttl.empty_deadline !== null) {
    const label = trans.__('until it closes if left empty');
    const note = trans.__('max TTL starts with the first job');
    return { ...base, label, deadline: ttl.empty_deadline, note };
  }
  const still = ttl.max_ttl === null ? '–' : duration(ttl.max_ttl);
  return {
    ...base,
    label: trans.__('from the first job on'),
    deadline: null,
    still,
    note: trans.__('max TTL has not started'),
  };
}

/** While it is idle; `max` is the time until it must end, where that is known. */
function afterIdle(max: string | null): string {
  return [trans.__('then a job queues again'), ...(max === null ? [] : [trans.__('must end in %1', max)])].join(', ');
}

/** While max TTL is near. */
function atMaxTtl(lost: number): string {
  return trans._n('%2 job will not be done by then', '%2 jobs will not be done by then', lost, integer(lost));
}

/** While max TTL is far. */
function untilMaxTtl({ state, ttl, accepting_jobs: accepting }: WorkloadSnapshot): string {
  if (state === 'inactive') return trans.__('inactive: the next job queues again');
  if (ttl.interactive_ttl === null || accepting === false) return '';
  return trans.__('inactive %1 after the last job', duration(ttl.interactive_ttl));
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

/** "partition 5 (PUBs 8–9)", "step 3", or "job d2f1…b19"; without what is in it: "partition 5". */
export function jobName(job: JobSnapshot, whole = true): string {
  if (job.group !== null) return jobNumber(job);
  if (job.partition === null) return trans.__('job %1', shortId(job.job_id ?? job.key));
  if (!whole) return trans.__('partition %1', jobNumber(job));
  const about = [job.label ?? '', job.pubs === null ? '' : pubs(job.pubs)].filter(Boolean).join(', ');
  return about === '' ? trans.__('partition %1', jobNumber(job)) : trans.__('partition %1 (%2)', jobNumber(job), about);
}

/** The names that the user gave the runs, in their order. */
export const labelsOf = once((jobs): readonly string[] => {
  const found = new Set<string>();
  for (const { label } of jobs) if (label !== null) found.add(label);
  return [...found];
});

/** The first two of them. */
export function labelOf(jobs: readonly JobSnapshot[]): string | null {
  const labels = labelsOf(jobs);
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

/** It can be taken back: on the service or, where it was not sent yet, here. */
export function isCancellable(job: JobSnapshot): boolean {
  const action = jobAction(job);
  return action === 'cancel' || action === 'drop';
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
    case 'dropped':
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

/** What it is expected to use, in seconds; null: not known. */
export function expectedOf({ usage }: JobSnapshot): number | null {
  return usage.estimated ?? (usage.status === 'final' && usage.reported ? usage.reported : null);
}

/** "last seen 12 s ago". */
export function lastSeen({ seen_at: seen }: WorkloadSnapshot, now: number): string {
  return seen === null ? trans.__('not seen yet') : trans.__('last seen %1 ago', ago(now - seen));
}
