/**
 * What a workload has cost so far: the one sum that cell, panel, status item and notifications show. Pure; no DOM.
 *
 * A batch's usage is what its jobs report. A session's is the time for which it was active: it goes on where the last
 * answer left it, up to a deadline at the latest.
 */
import { usageSeconds } from './clock';
import { jobsIn, shownJobs } from './facts';
import type { WorkloadSnapshot } from './protocol';
import { trans } from './texts';

export interface Bill {
  /** Null: nothing was reported. */
  seconds: number | null;
  /** It is what was reported and what we add for the time since. */
  guessed: boolean;
  /** Of it, billed though no job ran; null: not known, or no session. */
  idle: number | null;
  /** Of a session's, what the rows report; null: not known, or more than the clock, for jobs ran side by side. */
  qpu: number | null;
}

/** A session is billed at this moment, idle or not. */
export function isBilled({ mode, state, usage }: WorkloadSnapshot): boolean {
  return mode === 'session' && state === 'active' && usage.status === 'running' && usage.reported !== null;
}

/** `now` is service time: of the last answer where what is shown may be old. */
export function bill(state: WorkloadSnapshot, now: number): Bill {
  const { usage, ttl, seen_at: seen } = state;
  if (usage.status === 'none' || usage.reported === null)
    return { seconds: null, guessed: false, idle: null, qpu: null };
  const end = Math.min(now, ttl.interactive_deadline ?? Infinity, ttl.max_deadline ?? Infinity);
  const more = isBilled(state) ? Math.max(0, end - (seen ?? now)) : 0;
  const seconds = usage.reported + more;
  const idle = usage.idle === null ? null : usage.idle + (ttl.interactive_deadline === null ? 0 : more);
  let [qpu, told] = [0, false];
  for (const { usage } of state.jobs) {
    told ||= usage.reported !== null;
    qpu += usage.reported ?? 0;
  }
  const fits = told && qpu + (idle ?? 0) <= seconds + 0.5;
  return { seconds, guessed: more > 0, idle, qpu: state.mode === 'session' && fits ? qpu : null };
}

/** "34.1 s", "≈ 246 s"; "" where nothing was reported. */
export function billText({ seconds, guessed }: Bill): string {
  if (seconds === null) return '';
  return guessed ? `≈ ${usageSeconds(Math.round(seconds))}` : usageSeconds(seconds);
}

/** What is expected of the whole of it, beyond what was billed; null: nothing, or not known. */
export function expected({ usage }: WorkloadSnapshot): number | null {
  return usage.status === 'final' ? null : usage.estimated;
}

/** What waiting on costs at most, in seconds, while an idle session is billed; null: nothing. */
export function idleCost(state: WorkloadSnapshot, now: number): number | null {
  const { interactive_deadline: idle, max_deadline: max } = state.ttl;
  if (state.mode !== 'session' || state.state !== 'active' || idle === null) return null;
  return Math.max(0, Math.min(idle, max ?? Infinity) - now);
}

/** "waiting on costs at most ≈ 21 s more"; "" where it costs nothing. */
export function idleText(state: WorkloadSnapshot, now: number): string {
  const seconds = idleCost(state, now);
  return seconds === null || seconds === 0
    ? ''
    : trans.__('waiting on costs at most ≈ %1 more', usageSeconds(Math.round(seconds)));
}

/** Jobs whose work is not done and will not be without the user: failed, refused, cancelled, dropped. */
export function missingJobs(state: WorkloadSnapshot) {
  return jobsIn(shownJobs(state), 'failed', 'refused', 'cancelled', 'dropped');
}
