/**
 * The main states of the cell's view. All data in them (names, ids, reasons) is Greek, so that a Latin letter is a text of
 * ours. Shown in unit tests and, in Chromium, at the widths that people have.
 */
import type { Event, JobSnapshot, JobState, Limit, Ttl, WorkloadSnapshot } from '../core/protocol';
import type { Store } from '../core/store';
import type { SavedView } from '../core/views/workload';
import { hello, job as plainJob, ttl, usage, workload as plainWorkload } from './samples';

export const NOW = 1_800_000_000;

export const job = (n: number, state: JobState, more: Partial<JobSnapshot> = {}): JobSnapshot =>
  plainJob(n, state, { key: `ρ${n}`, run: 'ρ', job_id: state === 'waiting' ? null : `ζ${n}00000000000`, ...more });
export const workload = (more: Partial<WorkloadSnapshot> = {}): WorkloadSnapshot =>
  plainWorkload({ id: 'ω1', workload_id: 'ω100000000000', backend: 'βέτα', seen_at: NOW, ...more });

const ran = (from: number, to: number | null): Partial<JobSnapshot> => ({
  created: NOW - from - 5,
  running: NOW - from,
  finished: to === null ? null : NOW - to,
});
export const said = { reason: 'Σφάλμα.', reason_code: 9707, reason_solution: 'Πάλι' };
export const paid = usage({ reported: 8.2, status: 'final' });
export const guess = usage({ estimated: 8, formula: '2 × 4' });
const acted: Limit = { name: 'usage cap', value: '6 δ', where: 'kernel', acted: NOW - 9 };
const longest: Limit = { name: 'usage cap', value: '9 δ max_execution_time', where: 'service', acted: null };
const events: Event[] = (['info', 'warning', 'error'] as const).map((level, id) => ({
  id,
  time: NOW - id,
  level,
  text: `Γεγονός ${id}`,
  job: null,
}));
export const running = ttl({ max_ttl: 28_800, max_deadline: NOW + 9000, interactive_ttl: 60, active_ttl: 600 });
export const soon = ttl({ max_ttl: 28_800, max_deadline: NOW + 200, interactive_ttl: 60 });
export const idle: Ttl = { ...running, interactive_deadline: NOW + 30 };

export const STATES: readonly JobState[] = [
  'waiting',
  'unknown',
  'refused',
  'dropped',
  'queued',
  'running',
  'done',
  'failed',
  'cancelled',
];

/** Lets time pass, in milliseconds. */
export type Wait = (milliseconds: number) => void;

export interface Page {
  state: WorkloadSnapshot;
  saved?: SavedView;
  /** What happens to the store once it is shown. */
  then?: (store: Store, wait: Wait) => void;
}

export const everything = (): JobSnapshot[] => [
  ...STATES.map((state, n) =>
    job(n, state, {
      ...(state === 'running' || state === 'done' || state === 'failed'
        ? ran(60 - n, state === 'running' ? null : 9)
        : {}),
      ...(state === 'failed' ? said : {}),
      usage: state === 'done' ? paid : guess,
      note: state === 'unknown' ? 'σημείωση' : null,
      service_status: state === 'queued' ? 'ουρά' : null,
      pubs: n % 2 === 0 ? '3–5' : '7',
      qpu_used: state === 'running',
      private: state === 'done',
      tags: state === 'done' ? ['ετικέτα'] : [],
      program: state === 'done' ? 'πρόγραμμα' : null,
      label: 'λάμδα',
      spans: state === 'done' ? [[NOW - 30, NOW - 20]] : [],
    }),
  ),
  job(7, 'failed', { ...said, key: 'ρ7α', superseded: true, number: 8 }),
  job(8, 'cancelled', { key: 'ρ8α', superseded: true, number: 9 }),
  job(12, 'queued', { attempt: 1, group: 'βήμα' }),
  job(13, 'running', { partition: null, usage: usage({ reported: 2, status: 'running' }) }),
];

const saved = (more: Partial<SavedView>): SavedView => ({
  folded: [
    { state: 'done', count: 998, usage: 4100 },
    { state: 'cancelled', count: 1, usage: null },
  ],
  reattach: () => undefined,
  pending: false,
  note: '',
  ...more,
});

const old = { problem: 'HTTP 503', seen_at: NOW - 12 };

export const PAGES: Record<string, () => Page> = {
  running: () => ({
    state: workload({
      jobs: everything(),
      events,
      limits: [longest],
      ttl: running,
      usage: usage({
        reported: 34.1,
        status: 'running',
        estimated: 96,
        cap: 120,
        instance_left: 500,
        formula: '2 × 48',
      }),
      instance: 'ιώτα',
      state_reason: 'λόγος',
    }),
  }),
  'one job': () => ({ state: workload({ mode: 'job', jobs: [job(0, 'running', { ...ran(5, null), usage: guess })] }) }),
  'one job, done': () => ({
    state: workload({ mode: 'job', jobs: [job(0, 'done', { ...ran(9, 1), usage: paid })], usage: paid }),
  }),
  'jobs that failed': () => ({
    state: workload({
      jobs: [
        job(0, 'failed', { ...said, usage: usage({ reported: 0, status: 'final', estimated: 8 }) }),
        job(1, 'failed', { ...said, usage: guess }),
        job(2, 'refused', { usage: guess }),
        job(3, 'failed', { reason_code: 1000 }),
        job(4, 'queued'),
        job(5, 'running'),
      ],
    }),
  }),
  'one that failed, for nothing': () => ({
    state: workload({
      jobs: [job(0, 'failed', { ...said, usage: usage({ reported: 0, status: 'final' }) }), job(1, 'queued')],
    }),
  }),
  'one that failed, paid': () => ({
    state: workload({ state: 'closed', closed: NOW - 5, jobs: [job(0, 'failed', { usage: paid }), job(1, 'done')] }),
  }),
  'idle session': () => ({
    state: workload({
      mode: 'session',
      ttl: idle,
      usage: usage({ reported: 241, status: 'running', idle: 54 }),
      jobs: [job(0, 'done', ran(90, 60)), job(1, 'done', ran(40, 30))],
    }),
  }),
  'idle session, running out': () => ({
    state: workload({ mode: 'session', ttl: { ...idle, interactive_deadline: NOW + 9, max_deadline: null } }),
    then: (_, wait) => wait(10_000),
  }),
  'idle batch': () => ({ state: workload({ ttl: { ...idle, max_deadline: null }, usage: paid }) }),
  'session in between': () => ({
    state: workload({ mode: 'session', state: 'inactive', ttl: running, jobs: [job(0, 'queued'), job(1, 'done')] }),
  }),
  'session that runs': () => ({
    state: workload({
      mode: 'session',
      ttl: running,
      jobs: [job(0, 'done', ran(90, 60)), job(1, 'running', ran(20, null)), job(2, 'queued')],
    }),
  }),
  'nearly done': () => ({
    state: workload({ jobs: [job(0, 'done', ran(90, 60)), job(1, 'running', ran(45, null))], accepting_jobs: false }),
  }),
  'must end soon': () => ({ state: workload({ ttl: soon, jobs: [job(0, 'running'), job(1, 'queued')] }) }),
  'must end soon, empty': () => ({ state: workload({ ttl: soon }) }),
  'must end at once': () => ({
    state: workload({ mode: 'session', ttl: { ...soon, max_deadline: NOW + 50 }, jobs: [job(0, 'running')] }),
  }),
  empty: () => ({ state: workload({ state: 'open', ttl: ttl({ empty_deadline: NOW + 1500 }) }) }),
  'empty session': () => ({ state: workload({ mode: 'session', state: 'open', ttl: ttl({ max_ttl: 600 }) }) }),
  'not seen yet': () => ({ state: workload({ state: 'unknown', seen_at: null, problem: 'HTTP 503' }) }),
  planned: () => ({
    state: workload({
      jobs: [0, 1, 2].map(n => job(n, 'waiting', { usage: guess, next_try: n === 0 ? NOW + 30 : null })),
      usage: usage({ estimated: 150, cap: 120 }),
      limits: [longest],
    }),
  }),
  'cap reached': () => ({
    state: workload({
      state: 'closed',
      closed: NOW - 5,
      limits: [acted],
      usage: usage({ reported: 6.4, status: 'final', cap: 6 }),
      jobs: [job(0, 'done'), job(1, 'cancelled')],
    }),
  }),
  'cap reached, all done': () => ({
    state: workload({ limits: [acted], usage: usage({ cap: 6 }), jobs: [job(0, 'done')] }),
  }),
  closed: () => ({
    state: workload({ state: 'closed', closed: NOW - 60, jobs: [0, 1].map(n => job(n, 'done')), events, usage: paid }),
  }),
  'closing session': () => ({
    state: workload({ mode: 'session', accepting_jobs: false, state: 'closed', jobs: [job(0, 'running')] }),
  }),
  many: () => ({
    state: workload({
      jobs: Array.from({ length: 1000 }, (_, n) =>
        job(n, n < 700 ? 'done' : n < 705 ? 'failed' : 'queued', n < 700 ? { usage: paid } : {}),
      ),
    }),
  }),
  stale: () => ({
    state: workload({ ...old, mode: 'session', jobs: [job(0, 'running', ran(20, null))] }),
    then: (_, wait) => wait(5000),
  }),
  'a key refused': () => ({ state: workload({ ...old, problem: 'HTTP 401', jobs: [job(0, 'running')] }) }),
  'read only': () => ({ state: workload({ read_only: 'λόγος', jobs: [job(0, 'running')] }) }),
  'way lost': () => ({ state: workload({ jobs: [job(0, 'running')] }), then: store => store.connected(false) }),
  'kernel ended': () => ({ state: workload({ jobs: [job(0, 'running')] }), then: store => store.end('Τέλος') }),
  'another protocol': () => ({
    state: workload(),
    then: store => store.receive({ ...hello(['ω1']), protocol: 1, version: '1' }),
  }),
  gone: () => ({ state: workload(), then: store => store.receive({ kind: 'gone', workload: 'ω1' }) }),
  'no kernel yet': () => ({ state: workload(), then: store => store.reset() }),
  'more that fail': () => ({
    state: workload({ jobs: [0, 1, 2, 3, 4].map(n => job(n, 'running')) }),
    then: store =>
      store.receive({
        ...{ kind: 'patch', workload: 'ω1', seq: 2, now: NOW, set: {} },
        jobs: Object.fromEntries([0, 1, 2, 3].map(n => [`ρ${n}`, { state: 'failed' }])),
      }),
  }),
  'one more that fails': () => ({
    state: workload({ jobs: [0, 1].map(n => job(n, 'running')) }),
    then: store =>
      store.receive({
        ...{ kind: 'patch', workload: 'ω1', seq: 2, now: NOW, set: {} },
        jobs: { ρ0: { state: 'failed', reason: 'Σφάλμα' } },
      }),
  }),
  saved: () => ({
    state: workload({ seen_at: NOW - 3600, jobs: [job(0, 'failed', said), job(1, 'queued')] }),
    saved: saved({}),
  }),
  'saved, looking': () => ({ state: workload({ seen_at: null }), saved: saved({ pending: true, folded: [] }) }),
  'saved, over': () => ({
    state: workload({ state: 'closed', jobs: [job(0, 'done')] }),
    saved: saved({ note: 'νότα', reattach: null }),
  }),
};
