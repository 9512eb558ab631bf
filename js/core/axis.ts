/** The common time axis of a workload's rows, and what each row draws on it. Pure; no DOM. */
import type { JobSnapshot, WorkloadSnapshot } from './protocol';

export interface Axis {
  /** Service times. */
  start: number;
  end: number;
  /** Something still grows: the axis ends somewhat after now. */
  live: boolean;
}

/** Null while nothing has happened; `idle`: a session waits, billed, though none of its jobs runs. */
export function axisOf(jobs: readonly JobSnapshot[], now: number, idle: boolean): Axis | null {
  let [start, end, live] = [Infinity, -Infinity, idle];
  for (const { created, running, finished, state } of jobs) {
    const begun = created ?? running;
    if (begun === null) continue;
    start = Math.min(start, begun);
    end = Math.max(end, finished ?? running ?? begun);
    live ||= state === 'running' || state === 'queued';
  }
  if (start === Infinity) return null;
  return live
    ? { start, end: start + span(Math.max(now, end) - start), live }
    : { start, end: Math.max(end, start + 1), live };
}

/** A length with some room in it, of few steps: a growing axis is drawn anew a few times, not every second. */
function span(seconds: number): number {
  let length = 20;
  while (length < seconds * 1.08) length *= Math.SQRT2;
  return length;
}

/** Where a time stands on the axis, in percent. */
export function at(axis: Axis, time: number): number {
  return Math.min(100, Math.max(0, (100 * (time - axis.start)) / (axis.end - axis.start)));
}

/** `waited`: in the queue. `ran`: from the service's start to its end. `qpu`: execution spans, known afterwards. */
export type Kind = 'waited' | 'ran' | 'qpu' | 'failed' | 'cancelled';

export interface Segment {
  kind: Kind;
  from: number;
  /** Null: until now. */
  to: number | null;
  /** Of an attempt that a later one replaced. */
  old: boolean;
}

/** What is known of a job's course; nothing is drawn that the service has not told. */
export function segments(job: JobSnapshot, old = false): Segment[] {
  const { created, running, finished, state, spans } = job;
  const over = state !== 'queued' && state !== 'running';
  if (over && finished === null && running === null) return [];
  const found: Segment[] = [];
  const add = (kind: Kind, from: number, to: number | null): unknown => found.push({ kind, from, to, old });
  if (created !== null && (running ?? finished ?? Infinity) > created)
    add('waited', created, running ?? (over ? finished : null));
  if (running !== null && (!over || finished !== null)) {
    add(state === 'failed' ? 'failed' : state === 'cancelled' ? 'cancelled' : 'ran', running, over ? finished : null);
  }
  for (const [from, to] of spans) add('qpu', from, to);
  return found;
}

/**
 * What ran beside what: each row holds jobs that did not overlap, in as few rows as that takes. The service runs about
 * five at a time; it does not tell which of its lanes a job had, so these rows are not numbered.
 */
export function parallel(jobs: readonly JobSnapshot[]): Segment[][] {
  const rows: { end: number; segments: Segment[] }[] = [];
  const ran = jobs.flatMap(job => (job.running === null ? [] : [{ job, from: job.running }]));
  for (const { job, from } of ran.sort((a, b) => a.from - b.from)) {
    const drawn = segments(job, job.superseded).filter(({ kind }) => kind !== 'waited');
    if (drawn.length === 0) continue;
    const end = job.finished ?? Infinity;
    const free = rows.find(row => row.end <= from);
    if (free === undefined) rows.push({ end, segments: drawn });
    else {
      free.end = end;
      free.segments.push(...drawn);
    }
  }
  return rows.map(row => row.segments);
}

/** Two jobs ran beside each other. */
export function overlap(jobs: readonly JobSnapshot[]): boolean {
  let [start, end] = [-Infinity, -Infinity]; // of what was seen so far
  for (const { running, finished } of jobs) {
    if (running === null) continue;
    const until = finished ?? Infinity;
    if (running < end && until > start) return true;
    [start, end] = [Math.max(start, running), Math.max(end, until)];
  }
  return false;
}

/** When a session was billed though none of its jobs ran: between its first job's start and its end, or now (null). */
export function idleStretches(state: WorkloadSnapshot): [number, number | null][] {
  if (state.mode !== 'session') return [];
  const busy = state.jobs
    .flatMap(({ running, finished, state: word }): [number, number][] =>
      running === null
        ? []
        : word === 'running'
          ? [[running, Infinity]]
          : finished === null
            ? []
            : [[running, finished]],
    )
    .sort((a, b) => a[0] - b[0]);
  const found: [number, number | null][] = [];
  let end = busy[0]?.[1] ?? Infinity;
  for (const [from, to] of busy) {
    if (from > end + 0.5) found.push([end, from]);
    end = Math.max(end, to);
  }
  if (end !== Infinity) {
    if (state.state === 'active' && state.ttl.interactive_deadline !== null) found.push([end, null]);
    else if (state.closed !== null && state.closed > end + 0.5) found.push([end, state.closed]);
  }
  return found;
}
