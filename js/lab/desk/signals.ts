/**
 * What a user should hear of while looking elsewhere: a deadline near, a cap reached, a failed job, an end. Pure: compares
 * what was last seen of each workload with what is there now. Each signal has a name of its own, under which it is given
 * once.
 */
import { billText, missingJobs } from '../../core/bill';
import { usageSeconds } from '../../core/clock';
import { trans } from '../../core/texts';
import {
  type Entry,
  failedText,
  isCapped,
  isIdle,
  isOver,
  leftOf,
  reasonText,
  type Remembered,
  spentOf,
  titleOf,
  type Triage,
} from './triage';

export type Kind = 'ttl' | 'cap' | 'failed' | 'finished' | 'left';

export interface Signal {
  /** Given once under this name, in whatever tab. */
  name: string;
  kind: Kind;
  /** The entry's key. */
  entry: string;
  level: 'info' | 'success' | 'warning' | 'error';
  text: string;
  /** What can be done about it besides looking. */
  action: 'end' | 'again' | 'missing' | 'cancel' | null;
  /** Seconds after which it says nothing any more; null: it stands until it is read. */
  until: number | null;
}

interface Seen {
  failed: number;
  capped: boolean;
  /** How many jobs it had when it was finished; null: it was not. */
  finished: number | null;
}

export class Signals {
  private readonly seen = new Map<string, Seen>();
  private readonly watched = new Set<string>(); // by a kernel, in this page's time

  /**
   * `since` is when this page began: what happened to a workload that is older and was never seen is no news.
   * `remembered` is what the last visit saw.
   */
  constructor(
    private readonly since: number,
    remembered: Iterable<Remembered> = [],
  ) {
    for (const { id, mode, failed, capped, ended, done, total } of remembered) {
      const finished = ended !== null || (mode === 'batch' && total > 0 && done + failed === total) ? total : null;
      this.seen.set(id, { failed, capped, finished });
    }
  }

  /** What is new; call with every triage. */
  read({ entries }: Triage, now: number): Signal[] {
    return [...entries.values()].flatMap(entry => this.readOne(entry, now));
  }

  private readOne(entry: Entry, now: number): Signal[] {
    const watch = entry.watches[0];
    if (watch === undefined) return this.left(entry);
    this.watched.add(entry.key);
    if (watch.store.lost) return [];
    const { state, offset, clicks } = watch.workload;
    const { jobs } = entry;
    // A session's jobs may all have ended between two iterations: it is finished when it is over.
    const over = isOver(state, jobs) || (state.mode === 'batch' && jobs.finished);
    const current: Seen = { failed: jobs.failed, capped: isCapped(state), finished: over ? jobs.total : null };
    const old = [...entry.aliases].map(id => this.seen.get(id)).find(seen => seen !== undefined);
    const begun = state.created === null ? null : state.created - offset;
    const unheard = begun !== null && begun < this.since ? current : { failed: 0, capped: false, finished: null };
    const last = old ?? unheard;
    this.seen.set(entry.key, current);

    const found: Signal[] = [];
    const name = titleOf(entry);
    const ended = current.finished !== null && current.finished !== last.finished && jobs.total > 0;
    const byUser = clicks.some(({ action }) => action === 'close' || action === 'cancel_all');
    if (entry.reason === 'interactive' || entry.reason === 'max') {
      const deadline = entry.reason === 'interactive' ? state.ttl.interactive_deadline : state.ttl.max_deadline;
      const left = (deadline ?? 0) - offset - now;
      found.push({
        name: `ttl:${entry.key}:${entry.reason}:${Math.round((deadline ?? 0) / 5)}`,
        kind: 'ttl',
        entry: entry.key,
        level: 'warning',
        text: reasonText(entry, now),
        action: isIdle(state, jobs) ? 'end' : null,
        until: Math.max(1, left),
      });
    }
    if (current.capped && !last.capped)
      found.push({
        name: `cap:${entry.key}`,
        kind: 'cap',
        entry: entry.key,
        level: 'error',
        text: trans.__(
          '%1 has reached its usage cap, %2 used: what had not started is cancelled.',
          name,
          spent(entry, now),
        ),
        action: missingJobs(state).length > 0 ? 'missing' : null,
        until: null,
      });
    if (current.failed > last.failed && !ended)
      found.push({
        name: `failed:${entry.key}:${current.failed}`,
        kind: 'failed',
        entry: entry.key,
        level: 'error',
        text: failedText(entry),
        action: 'again',
        until: null,
      });
    if (ended && !byUser && !current.capped) {
      const failed = current.failed > 0;
      found.push({
        name: `finished:${entry.key}:${current.finished}:${current.failed}`,
        kind: failed && current.failed > last.failed ? 'failed' : 'finished',
        entry: entry.key,
        level: failed ? 'error' : 'success',
        text: finishedText(entry, now),
        action: failed ? 'again' : null,
        until: failed ? null : 10,
      });
    }
    return found;
  }

  /** Its kernel has ended, and the service goes on with what it holds. */
  private left(entry: Entry): Signal[] {
    if (entry.group !== 'unwatched' || entry.remembered === null || !this.watched.delete(entry.key)) return [];
    const still = leftText(entry);
    if (still === '') return [];
    return [
      {
        name: `left:${entry.key}:${Math.round(entry.remembered.seen)}`,
        kind: 'left',
        entry: entry.key,
        level: 'warning',
        text: trans.__('The kernel of %1 has ended. On the service %2: that is billed.', titleOf(entry), still),
        action: 'cancel',
        until: null,
      },
    ];
  }
}

function spent(entry: Entry, now: number): string {
  return billText(spentOf(entry, now)) || '–';
}

/** "1 job is still queued or runs, ≈ 3 s"; "" where none is left. */
export function leftText(entry: Entry): string {
  const { jobs: left, expected } = leftOf(entry);
  if (left === 0) return '';
  return expected === null
    ? trans._n('%1 job is still queued or runs', '%1 jobs are still queued or run', left)
    : trans._n(
        '%1 job is still queued or runs, ≈ %2',
        '%1 jobs are still queued or run, ≈ %2',
        left,
        usageSeconds(expected),
      );
}

function finishedText(entry: Entry, now: number): string {
  const { jobs } = entry;
  const parts = [
    trans.__('%1 of %2 done', jobs.done, jobs.total),
    jobs.failed > 0 ? trans.__('%1 failed', jobs.failed) : '',
    spentOf(entry, now).seconds === null ? '' : trans.__('%1 used', spent(entry, now)),
  ].filter(Boolean);
  return trans.__('%1 finished: %2.', titleOf(entry), parts.join(', '));
}
