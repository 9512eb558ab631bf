/** The one thing that needs the user now: cause, consequence, what to do. Pure; no DOM. */
import { againLabel, cancelLabel, endLabel, failedJobs, missingLabel, type Target, waitingJobs } from './ask';
import { bill, billText, idleText, missingJobs } from './bill';
import { clock, duration, integer, usageSeconds } from './clock';
import {
  capReached,
  countdown,
  expectedSum,
  failure,
  jobsIn,
  lostToMaxTtl,
  shownJobs,
  type Tally,
  type Tone,
} from './facts';
import type { Action, JobSnapshot, WorkloadSnapshot } from './protocol';
import { trans } from './texts';

export interface Banner {
  /** The same as long as it says the same: a dismissed one stays away until there is something new. */
  key: string;
  tone: Tone;
  shape: string;
  cause: string;
  /** At a service time. */
  consequence: string | ((now: number) => string);
  action: { action: Action; target: Target; label: string | ((now: number) => string) } | null;
  dismissable: boolean;
}

interface Moment {
  /** Service time; frozen when the data is old. */
  now: number;
  /** Service clock minus this machine's. */
  offset: number;
  /** There is no way to the kernel at the moment. */
  lost: boolean;
  /** Why nothing can be clicked, or null. */
  off: string | null;
}

/** What needs the user most, or null. */
export function banner(state: WorkloadSnapshot, jobs: Tally, moment: Moment): Banner | null {
  return (
    off(moment) ??
    unreachable(state, moment) ??
    cap(state, jobs, moment) ??
    deadline(state, jobs, moment) ??
    failed(state, jobs) ??
    missing(state, jobs) ??
    expectation(state, jobs)
  );
}

const NONE = { action: null, dismissable: false };

function off({ off: why }: Moment): Banner | null {
  return why === null ? null : { ...NONE, key: `off ${why}`, tone: 'dim', shape: '○', cause: why, consequence: '' };
}

function unreachable({ problem, state, mode }: WorkloadSnapshot, { lost }: Moment): Banner | null {
  const refresh = { action: 'refresh' as const, target: null, label: trans.__('Retry now') };
  if (lost) {
    const cause = trans.__('The connection to the kernel is lost');
    const consequence = trans.__('What is shown may be old.');
    return { ...NONE, key: 'lost', tone: 'warn', shape: '?', cause, consequence };
  }
  if (problem === null) return null;
  const stopped = [
    trans.__('Jobs on the service go on.'),
    ...(mode === 'session' && state !== 'closed' ? [trans.__('The session may still be open and billed.')] : []),
  ].join(' ');
  if (/\b401\b|\b403\b|token|api ?key|unauthori[sz]ed/i.test(problem)) {
    const consequence = `${trans.__('Save a valid API key and make the service anew.')} ${stopped}`;
    return {
      ...NONE,
      key: 'token',
      tone: 'fail',
      shape: '!',
      cause: trans.__('IBM rejected the key: %1', problem),
      consequence,
      action: refresh,
    };
  }
  return {
    ...NONE,
    key: 'service',
    tone: 'warn',
    shape: '?',
    cause: dot(problem),
    consequence: stopped,
    action: refresh,
  };
}

/** To run again whatever is missing, under a cap that fits; null: nothing is, or the instance has too little left. */
export function missingAction(state: WorkloadSnapshot): Banner['action'] {
  return again(state, missingJobs(state)).action;
}

/** What the missing jobs need, and whether they can have it. */
function again(state: WorkloadSnapshot, jobs: readonly JobSnapshot[]): Pick<Banner, 'action'> & { why: string } {
  const need = expectedSum(jobs)?.seconds ?? null;
  const left = state.usage.instance_left;
  if (jobs.length === 0) return { action: null, why: '' };
  if (need !== null && left !== null && left < need) {
    const why = trans.__('They need ≈ %1, the instance has %2 left.', usageSeconds(need), usageSeconds(left));
    return { action: null, why };
  }
  const cap = capFor(state, need);
  const target = cap === null ? null : String(cap);
  return { action: { action: 'resubmit_missing', target, label: missingLabel(jobs) }, why: '' };
}

const MARGIN = 1.2; // of an estimate

/** The usage cap in seconds under which what is missing fits; null: it fits, or there is none. */
export function capFor(state: WorkloadSnapshot, need: number | null): number | null {
  const { cap: bound, reported, instance_left: left } = state.usage;
  if (bound === null) return null;
  const used = reported ?? 0;
  if (need !== null && used + need <= bound && capReached(state) === null) return null;
  const wish = need === null ? 2 * bound : used + MARGIN * need;
  return Math.ceil(Math.max(need === null ? 0 : used + need, Math.min(wish, used + (left ?? Infinity))));
}

function cap(state: WorkloadSnapshot, jobs: Tally, { now, offset }: Moment): Banner | null {
  const acted = capReached(state);
  const { cap: bound } = state.usage;
  if (acted === null || bound === null) return null;
  const gone = missingJobs(state);
  const at = clock(acted, offset);
  const used = billText(bill(state, now));
  const { action, why } = again(state, gone);
  return {
    ...NONE,
    key: `cap ${acted}`,
    tone: 'warn',
    shape: '!',
    cause:
      used === ''
        ? trans.__('The usage cap of %1 was reached at %2', usageSeconds(bound), at)
        : trans.__('The usage cap of %1 was reached at %2 (%3 used)', usageSeconds(bound), at, used),
    consequence:
      gone.length === 0
        ? jobs.finished
          ? trans.__('All jobs were done by then.')
          : ''
        : joined(
            trans._n(
              '%2 job of %3 is not done.',
              '%2 jobs of %3 are not done.',
              gone.length,
              integer(gone.length),
              integer(jobs.total),
            ),
            why,
          ),
    action,
    dismissable: true,
  };
}

function deadline(state: WorkloadSnapshot, jobs: Tally, { now }: Moment): Banner | null {
  const shown = countdown(state, now);
  if (shown === null || !shown.near || shown.deadline === null || shown.tone === 'dim') return null;
  if (shown.deadline <= now) return null;
  const about = {
    ...NONE,
    key: `ttl ${shown.deadline} ${shown.tone}`,
    tone: shown.tone,
    shape: '◷',
    dismissable: true,
  };
  if (state.ttl.interactive_deadline !== null)
    return {
      ...about,
      cause: trans.__('The session is idle and billed'),
      consequence: at => idleText(state, at),
      action: { action: 'close', target: null, label: at => endLabel(state, at) },
    };
  const lost = lostToMaxTtl(state, now);
  const unfit = waitingJobs(shownJobs(state)).slice(-lost);
  return {
    ...about,
    cause: trans.__('Max TTL runs out in less than %1', duration(shown.tone === 'fail' ? 60 : 300)),
    consequence: trans._n(
      '%2 job of %3 will not be done by then, and fails',
      '%2 jobs of %3 will not be done by then, and fail',
      lost,
      integer(lost),
      integer(jobs.total),
    ),
    action:
      unfit.length === 0 ? null : { action: 'cancel', target: unfit.map(job => job.key), label: cancelLabel(unfit) },
  };
}

/** After a cancel or an end: nothing runs, and not all of it is done. */
function missing(state: WorkloadSnapshot, jobs: Tally): Banner | null {
  const gone = missingJobs(state);
  if (gone.length === 0 || !jobs.finished) return null;
  const { action, why } = again(state, gone);
  return {
    ...NONE,
    key: `missing ${gone.length} ${jobs.total}`,
    tone: 'dim',
    shape: '⊘',
    cause: trans._n(
      '%2 of %3 is missing',
      '%2 of %3 are missing',
      gone.length,
      integer(gone.length),
      integer(jobs.total),
    ),
    consequence: why,
    action,
    dismissable: true,
  };
}

function failed(state: WorkloadSnapshot, jobs: Tally): Banner | null {
  if (jobs.failed === 0) return null;
  const those = failedJobs(shownJobs(state));
  const untold = trans.__('The service gave no reason');
  const said = new Map<string, number>();
  let billed: number | null = 0;
  for (const job of those) {
    const why = failure(job);
    const text =
      why === null
        ? (job.note ?? untold)
        : `${why.what.replace(/\.$/, '')}${why.code === null ? '' : ` (${String(why.code)})`}`;
    said.set(text, (said.get(text) ?? 0) + 1);
    billed =
      billed === null || (job.state === 'failed' && job.usage.reported === null)
        ? null
        : billed + (job.usage.reported ?? 0);
  }
  const [[first, times] = ['', 0], ...others] = [...said].sort(
    ([x, a], [y, b]) => Number(x === untold) - Number(y === untold) || b - a,
  );
  const n = others.length;
  const which =
    n === 0
      ? first
      : trans._n('%4 × %3, and %2 other reason', '%4 × %3, and %2 other reasons', n, integer(n), first, times);
  const why =
    billed === null
      ? `${which}.`
      : billed === 0
        ? trans.__('%1, nothing billed.', which)
        : trans.__('%1, %2 billed.', which, usageSeconds(billed));
  // What may not be on the service at all, and what a closed workload takes no more, does not go on.
  const on = jobs.running + jobs.queued + (state.state === 'closed' ? 0 : jobsIn(shownJobs(state), 'waiting').length);
  const rest = on === 0 ? '' : ` ${trans._n('The other one goes on.', 'The other %1 go on.', on)}`;
  return {
    ...NONE,
    key: `failed ${those.map(job => job.key).join(' ')} ${jobs.failed}`,
    tone: 'fail',
    shape: '!',
    cause: trans._n('%1 of %2 failed', '%1 of %2 failed', jobs.failed, jobs.total),
    consequence: `${why}${rest}`,
    action: { action: 'resubmit_failed', target: null, label: againLabel(those) },
    dismissable: true,
  };
}

/** Said before it happens: what is expected does not fit under the cap. */
function expectation({ usage, state }: WorkloadSnapshot, jobs: Tally): Banner | null {
  const { cap: bound, estimated } = usage;
  if (bound === null || estimated === null || estimated <= bound || state === 'closed' || jobs.finished) return null;
  return {
    ...NONE,
    key: `over ${bound}`,
    tone: 'warn',
    shape: '!',
    cause: trans.__('The expected ≈ %1 exceed the cap of %2', usageSeconds(estimated), usageSeconds(bound)),
    consequence: trans.__('What has not started by then is cancelled.'),
    dismissable: true,
  };
}

function joined(...parts: readonly string[]): string {
  return parts.filter(Boolean).join(' ');
}

function dot(text: string): string {
  return text.trim().replace(/[.\s]+$/, '');
}
