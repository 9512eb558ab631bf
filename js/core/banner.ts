/** The one thing that needs the user now: cause, consequence, what to do. Pure; no DOM. */
import { clock, duration, integer, usageSeconds } from './clock';
import { capReached, countdown, endWord, failure, shownJobs, type Tally, type Tone } from './facts';
import type { Action, WorkloadSnapshot } from './protocol';
import { trans } from './texts';

export interface Banner {
  /** The same as long as it says the same: a dismissed one stays away until there is something new. */
  key: string;
  tone: Tone;
  shape: string;
  cause: string;
  consequence: string;
  action: { action: Action; label: string } | null;
  /** Code that does what no button can. */
  code: string | null;
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
    expectation(state, jobs)
  );
}

const NONE = { action: null, code: null, dismissable: false };

function off({ off: why }: Moment): Banner | null {
  return why === null ? null : { ...NONE, key: `off ${why}`, tone: 'dim', shape: '○', cause: why, consequence: '' };
}

function unreachable({ problem, state, mode }: WorkloadSnapshot, { lost }: Moment): Banner | null {
  const refresh = { action: 'refresh' as const, label: trans.__('Retry now') };
  if (lost) {
    const cause = trans.__('The connection to the kernel is lost');
    const consequence = trans.__('What is shown may be old.');
    return { ...NONE, key: 'lost', tone: 'warn', shape: '?', cause, consequence };
  }
  if (problem === null) return null;
  const stopped = [
    trans.__('Nothing here is newer until it answers; jobs on the service go on.'),
    ...(mode === 'session' && state !== 'closed' ? [trans.__('The session may still be open and billed.')] : []),
  ].join(' ');
  if (/\b401\b|\b403\b|token|api ?key|unauthori[sz]ed/i.test(problem)) {
    const code = 'service = QiskitRuntimeService(token="…")';
    const consequence = `${trans.__('Save a valid API key and make the service anew.')} ${stopped}`;
    return {
      ...NONE,
      key: 'token',
      tone: 'fail',
      shape: '!',
      cause: trans.__('IBM rejected the key: %1', problem),
      consequence,
      action: refresh,
      code,
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

function cap(state: WorkloadSnapshot, jobs: Tally, { offset }: Moment): Banner | null {
  const acted = capReached(state);
  const { cap: bound, reported } = state.usage;
  if (acted === null || bound === null) return null;
  const missing = jobs.total - jobs.done;
  const at = clock(acted, offset);
  return {
    ...NONE,
    key: `cap ${acted}`,
    tone: 'warn',
    shape: '!',
    cause:
      reported === null
        ? trans.__('The usage cap of %1 was reached at %2', usageSeconds(bound), at)
        : trans.__('The usage cap of %1 was reached at %2 (%3 used)', usageSeconds(bound), at, usageSeconds(reported)),
    consequence:
      missing === 0
        ? trans.__('All jobs were done by then.')
        : [
            trans._n('%2 job of %3 is not done.', '%2 jobs of %3 are not done.', missing, integer(missing), jobs.total),
            trans.__('Raise the cap, then run what is missing again.'),
          ].join(' '),
    code: `controller.usage_cap = ${Math.ceil(bound * 2)}`,
    dismissable: true,
  };
}

function deadline(state: WorkloadSnapshot, jobs: Tally, { now }: Moment): Banner | null {
  const shown = countdown(state, now);
  if (shown === null || !shown.near || shown.deadline === null || shown.tone === 'dim') return null;
  if (shown.deadline <= now) return null;
  const idle = state.ttl.interactive_deadline !== null;
  if (idle && state.mode !== 'session') return null;
  const open = jobs.running + jobs.remaining;
  return {
    ...NONE,
    key: `ttl ${shown.deadline} ${shown.tone}`,
    tone: shown.tone,
    shape: '◷',
    cause: idle
      ? trans.__('The session is idle and billed')
      : trans.__('Max TTL runs out in less than %1', duration(shown.tone === 'fail' ? 60 : 300)),
    consequence: idle
      ? trans.__('It is billed until it ends or its interactive TTL runs out.')
      : open === 0
        ? shown.note
        : trans._n(
            'Then what has not finished then (%2 job now) fails',
            'Then what has not finished then (%2 jobs now) fails',
            open,
            integer(open),
          ),
    action: idle ? { action: 'close', label: endWord(state) } : null,
    dismissable: true,
  };
}

function failed(state: WorkloadSnapshot, jobs: Tally): Banner | null {
  if (jobs.failed === 0) return null;
  const those = shownJobs(state).filter(job => job.state === 'failed' || job.state === 'refused');
  const untold = trans.__('no reason was given');
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
      : trans._n('%3 (%4), and %2 other reason', '%3 (%4), and %2 other reasons', n, integer(n), first, times);
  const why =
    billed === null
      ? `${which}.`
      : billed === 0
        ? trans.__('%1, nothing billed.', which)
        : trans.__('%1, %2 billed.', which, usageSeconds(billed));
  const on = jobs.running + jobs.remaining;
  const rest = on === 0 ? '' : ` ${trans._n('The other one goes on.', 'The other %1 go on.', on)}`;
  return {
    ...NONE,
    key: `failed ${those.map(job => job.key).join(' ')} ${jobs.failed}`,
    tone: 'fail',
    shape: '!',
    cause: trans._n('%1 of %2 failed', '%1 of %2 failed', jobs.failed, jobs.total),
    consequence: `${why}${rest}`,
    action: { action: 'resubmit_failed', label: trans.__('Run again') },
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
    consequence: trans.__('Jobs that have not started when it is reached will be cancelled.'),
    dismissable: true,
  };
}

function dot(text: string): string {
  return text.trim().replace(/[.\s]+$/, '');
}
