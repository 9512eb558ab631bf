/** The one thing that needs the user now: cause, consequence, what to do. Pure; no DOM. */
import { clock, duration, usageSeconds } from './clock';
import { capReached, countdown, failure, many, shownJobs, type Tally, type Tone } from './facts';
import type { Action, WorkloadSnapshot } from './protocol';

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
    deadline(state, moment) ??
    failed(state, jobs) ??
    expectation(state, jobs)
  );
}

const NONE = { action: null, code: null, dismissable: false };

function off({ off: why }: Moment): Banner | null {
  return why === null ? null : { ...NONE, key: `off ${why}`, tone: 'dim', shape: '○', cause: why, consequence: '' };
}

function unreachable({ problem, state, mode }: WorkloadSnapshot, { lost }: Moment): Banner | null {
  const refresh = { action: 'refresh' as const, label: 'Retry now' };
  if (lost) {
    const cause = 'The connection to the kernel is lost';
    return { ...NONE, key: 'lost', tone: 'warn', shape: '?', cause, consequence: 'What is shown may be old.' };
  }
  if (problem === null) return null;
  const open = state === 'closed' ? '' : mode === 'session' ? ' The session may still be open and billed.' : '';
  const stopped = `Nothing here is newer until it answers; jobs on the service go on.${open}`;
  if (/\b401\b|\b403\b|token|api ?key|unauthori[sz]ed/i.test(problem)) {
    const code = 'service = QiskitRuntimeService(token="…")';
    const consequence = `Save a valid API key and make the service anew. ${stopped}`;
    return {
      ...NONE,
      key: 'token',
      tone: 'fail',
      shape: '!',
      cause: `IBM rejected the key: ${problem}`,
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
  return {
    ...NONE,
    key: `cap ${acted}`,
    tone: 'warn',
    shape: '!',
    cause: `The usage cap of ${usageSeconds(bound)} was reached at ${clock(acted, offset)}${reported === null ? '' : ` (${usageSeconds(reported)} used)`}`,
    consequence:
      missing === 0
        ? 'All jobs were done by then.'
        : `${many(missing, 'job')} of ${jobs.total} ${missing === 1 ? 'is' : 'are'} not done. Raise the cap, then run what is missing again.`,
    code: `controller.usage_cap = ${Math.ceil(bound * 2)}`,
    dismissable: true,
  };
}

function deadline(state: WorkloadSnapshot, { now }: Moment): Banner | null {
  const shown = countdown(state, now);
  if (shown === null || !shown.near || shown.deadline === null || shown.tone === 'dim') return null;
  if (shown.deadline <= now) return null;
  const idle = state.ttl.interactive_deadline !== null;
  if (idle && state.mode !== 'session') return null;
  return {
    ...NONE,
    key: `ttl ${shown.deadline} ${shown.tone}`,
    tone: shown.tone,
    shape: '◷',
    cause: idle
      ? 'The session is idle and billed'
      : `Max TTL runs out in less than ${duration(shown.tone === 'fail' ? 60 : 300)}`,
    consequence: idle
      ? 'It is billed until it ends or its interactive TTL runs out.'
      : shown.note.replace(/^max TTL: /, 'Then '),
    action: idle ? { action: 'close', label: 'End session' } : null,
    dismissable: true,
  };
}

const UNTOLD = 'no reason was given';

function failed(state: WorkloadSnapshot, jobs: Tally): Banner | null {
  if (jobs.failed === 0) return null;
  const those = shownJobs(state).filter(job => job.state === 'failed' || job.state === 'refused');
  const said = new Map<string, number>();
  let billed: number | null = 0;
  for (const job of those) {
    const why = failure(job);
    const text =
      why === null
        ? (job.note ?? UNTOLD)
        : `${why.what.replace(/\.$/, '')}${why.code === null ? '' : ` (${String(why.code)})`}`;
    said.set(text, (said.get(text) ?? 0) + 1);
    billed =
      billed === null || (job.state === 'failed' && job.usage.reported === null)
        ? null
        : billed + (job.usage.reported ?? 0);
  }
  const [[first, times] = ['', 0], ...others] = [...said].sort(
    ([x, a], [y, b]) => Number(x === UNTOLD) - Number(y === UNTOLD) || b - a,
  );
  const which = others.length === 0 ? first : `${first} (${times}), and ${many(others.length, 'other reason')}`;
  const cost = billed === null ? '' : billed === 0 ? ', nothing billed' : `, ${usageSeconds(billed)} billed`;
  const on = jobs.running + jobs.remaining;
  return {
    ...NONE,
    key: `failed ${those.map(job => job.key).join(' ')} ${jobs.failed}`,
    tone: 'fail',
    shape: '!',
    cause: `${jobs.failed} of ${jobs.total} failed`,
    consequence: `${which}${cost}.${on === 0 ? '' : on === 1 ? ' The other one goes on.' : ` The other ${on} go on.`}`,
    action: { action: 'resubmit_failed', label: 'Run again' },
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
    cause: `The expected ≈ ${usageSeconds(estimated)} exceed the cap of ${usageSeconds(bound)}`,
    consequence: 'Jobs that have not started when it is reached will be cancelled.',
    dismissable: true,
  };
}

function dot(text: string): string {
  return text.trim().replace(/[.\s]+$/, '');
}
