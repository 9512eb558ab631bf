import { describe, expect, it } from 'vitest';
import { question } from '../core/ask';
import { parallel } from '../core/axis';
import { ago, duration, usageSeconds } from '../core/clock';
import {
  countdown,
  expectedUsage,
  jobAction,
  labelOf,
  jobReason,
  jobName,
  jobNumber,
  paceOf,
  progress,
  sentence,
  toGo,
  shownJobs,
  tally,
  workloadFace,
} from '../core/facts';
import type { JobState, WorkloadSnapshot } from '../core/protocol';
import { job, ttl, usage, workload } from './samples';

const face = (state: WorkloadSnapshot) => workloadFace(state, tally(shownJobs(state)));

describe('durations', () => {
  it.each([
    [16, '0:16'],
    [723, '12:03'],
    [27668, '7:41:08'],
    [0.4, '0:00'],
    [-5, '0:00'],
    [3600, '1:00:00'],
  ])('%d s is %s', (s, text) => expect(duration(s)).toBe(text));
  it.each([
    [8.24, '8.2 s'],
    [0, '0 s'],
    [34.1, '34.1 s'],
    [299, '299 s'],
    [1204, '20.1 min'],
    [7200, '2 h'],
    [8, '8 s'],
  ])('usage of %d is %s', (s, text) => expect(usageSeconds(s)).toBe(text));
  it.each([
    [12, '12 s'],
    [240, '240 s'],
    [310, '5 min'],
    [7200, '2 h'],
    [400_000, '5 d'],
  ])('%d s ago is %s', (s, text) => expect(ago(s)).toBe(text));
});

describe('the countdown that matters now', () => {
  const running = ttl({ max_ttl: 28800, max_deadline: 10_000, interactive_ttl: 60 });

  it('is max TTL while jobs run, small and calm, with what comes after the last job', () => {
    expect(countdown(workload({ ttl: running }), 1000)).toMatchObject({
      label: 'until it must end',
      deadline: 10_000,
      note: 'inactive 1:00 after the last job',
      near: false,
      tone: 'dim',
    });
  });

  it('is the interactive TTL while idle; in a session that is billed, so it warns, at last in red', () => {
    const idle = { ...running, interactive_deadline: 1030 };
    expect(countdown(workload({ ttl: idle }), 1000)).toMatchObject({
      label: 'until it is inactive',
      deadline: 1030,
      tone: 'dim',
      near: false,
      note: 'then a job queues again, must end in 2:30:00',
    });
    const session = workload({ mode: 'session', ttl: idle });
    expect(countdown(session, 1000)).toMatchObject({ tone: 'warn', near: true });
    expect(countdown(session, 1016)).toMatchObject({ tone: 'fail', near: true });
  });

  it('warns when max TTL is about to run out, and says what then happens', () => {
    const state = workload({ ttl: running, jobs: [job(0, 'running'), job(1, 'queued'), job(2, 'done')] });
    expect(countdown(state, 9750)).toMatchObject({ tone: 'warn', near: true });
    expect(countdown(state, 9750)!.note).toBe('2 jobs will not be done by then');
    expect(countdown(state, 9950)!.tone).toBe('fail');
  });

  it('does not warn of max TTL where what is left fits at the pace of what is done, nor where nothing is left', () => {
    const done = job(0, 'done', { running: 9700, finished: 9710 });
    const going = job(1, 'running', { running: 9745 });
    const rest = (n: number) => Array.from({ length: n }, (_, i) => job(i + 2, 'queued'));
    const of = (n: number) => countdown(workload({ ttl: running, jobs: [done, going, ...rest(n)] }), 9750)!;
    expect(of(3)).toMatchObject({ near: false, tone: 'dim' }); // 45 of 250 s
    expect(of(30)).toMatchObject({ near: true, note: '6 jobs will not be done by then' });
    expect(countdown(workload({ ttl: running, jobs: [done] }), 9950)).toMatchObject({ near: false });
  });

  it('says nothing of a further job where none is taken', () => {
    const closing = { accepting_jobs: false, ttl: { ...running, interactive_deadline: 1030 } };
    expect(countdown(workload(closing), 1000)).toMatchObject({ label: 'until it must end', note: '' });
  });

  it('shows what will run before the first job, without counting down', () => {
    expect(countdown(workload({ state: 'open', ttl: ttl({ max_ttl: 28800 }) }), 1000)).toMatchObject({
      deadline: null,
      still: '8:00:00',
    });
    expect(countdown(workload({ state: 'open', ttl: ttl({ empty_deadline: 2800 }) }), 1000)!.label).toBe(
      'until it closes if left empty',
    );
  });

  it('is unknown as "–", and not there in job mode or once closed', () => {
    expect(countdown(workload(), 0)!.still).toBe('–');
    expect(countdown(workload({ mode: 'job' }), 0)).toBeNull();
    expect(countdown(workload({ state: 'closed', ttl: running }), 0)).toBeNull();
  });
});

describe('state in words', () => {
  it("says what it means for the user, and the service's own words as title", () => {
    expect(face(workload({ mode: 'session' }))).toMatchObject({ word: 'Idle, billed', tone: 'warn' });
    expect(face(workload())).toMatchObject({ word: 'Waiting, free', tone: 'dim' });
    expect(face(workload({ jobs: [job(0, 'waiting')] })).word).toBe('Not sent yet');
    expect(face(workload({ jobs: [job(0, 'waiting'), job(1, 'queued')] })).word).toBe('Queued');
    expect(face(workload({ jobs: [job(0, 'running')] }))).toMatchObject({
      word: 'Running',
      title: expect.stringContaining('In progress, accepting new jobs'),
    });
    expect(face(workload({ accepting_jobs: false, jobs: [job(0, 'running')] }))).toMatchObject({
      word: 'Running',
      more: 'closing',
    });
    expect(face(workload({ mode: 'session', accepting_jobs: false })).word).toBe('Closing');
    expect(face(workload({ state: 'closed', jobs: [job(0, 'failed')] }))).toMatchObject({
      word: 'Closed, 1 failed',
      tone: 'fail',
    });
    // What runs is running, whatever the workload's own state says yet.
    expect(face(workload({ state: 'open', jobs: [job(0, 'running'), job(1, 'queued')] })).word).toBe('Running');
    expect(face(workload({ mode: 'job', jobs: [job(0, 'done')] }))).toMatchObject({ word: 'Done', tone: 'ok' });
    expect(face(workload({ state: 'unknown' })).word).toBe('Not known yet');
  });

  it('leaves out attempts that a later one replaced', () => {
    const jobs = [job(0, 'failed', { superseded: true }), job(0, 'done', { key: 'r:0.1', attempt: 1 })];
    expect(tally(shownJobs(workload({ jobs })))).toMatchObject({ total: 1, failed: 0, done: 1, finished: true });
  });

  it('offers one action for each state, none where nothing can be done', () => {
    const of = (state: JobState) => jobAction(job(0, state));
    expect([
      of('queued'),
      of('running'),
      of('waiting'),
      of('failed'),
      of('refused'),
      of('cancelled'),
      of('done'),
      of('unknown'),
      of('dropped'),
    ]).toEqual(['cancel', 'cancel', 'drop', 'resubmit', 'resubmit', 'resubmit', null, null, 'resubmit']);
  });

  it('puts the code, the reason and the way out into one line', () => {
    expect(
      jobReason(
        job(0, 'failed', { reason: 'transient', reason_code: 9707, reason_solution: 'retry the job', attempt: 1 }),
      ),
    ).toBe('transient (9707) · attempt 2');
    expect(jobReason(job(0, 'running', { qpu_used: true }))).toBe('QPU used');
  });

  it('ends a sentence of the service with one full stop', () => {
    expect(sentence('A transient error occurred on the QPU.')).toBe('A transient error occurred on the QPU.');
    expect(sentence('retry the job')).toBe('retry the job.');
    expect(jobReason(job(0, 'failed', { reason: 'Error on the QPU.', reason_code: 9707 }))).toBe(
      'Error on the QPU (9707)',
    );
  });

  it('takes a reached cap for what it is, not for a green end', () => {
    const acted = { name: 'usage cap', value: '6 s', where: 'kernel' as const, acted: 990 };
    const state = workload({ state: 'closed', limits: [acted], jobs: [job(0, 'done'), job(1, 'cancelled')] });
    expect(face(state)).toMatchObject({ word: 'Cap reached', tone: 'warn' });
  });

  it('never calls a batch a session', () => {
    const reason = { state_reason: 'session activated' };
    expect(face(workload(reason)).title).toContain('batch activated');
    expect(face(workload({ ...reason, mode: 'session' })).title).toContain('session activated');
  });

  it('numbers rows through all runs, and calls iterations by their name', () => {
    expect(jobNumber(job(0, 'done', { number: 7 }))).toBe('7');
    expect(jobName(job(0, 'done', { number: 7, pubs: '3' }))).toBe('partition 7 (PUB 3)');
    expect(jobName(job(0, 'done', { number: 7, pubs: '3–5' }))).toBe('partition 7 (PUBs 3–5)');
    expect(jobNumber(job(0, 'done', { group: 'step 3', of: 1 }))).toBe('step 3');
    expect(jobNumber(job(1, 'done', { group: 'step 3', of: 2 }))).toBe('step 3.2');
  });

  it('says how far it is, and how long from what it has seen', () => {
    const ran = (n: number) => job(n, 'done', { running: 900, finished: 910 });
    const jobs = [ran(0), ran(1), job(2, 'running', { running: 996 }), job(3, 'queued'), job(4, 'waiting')];
    expect(progress(tally(jobs))).toBe('2 of 5 done');
    expect(toGo(paceOf(jobs), 1000)).toBe(6 + 20);
    expect(toGo(paceOf([job(0, 'running', { running: 996 })]), 1000)).toBeNull(); // nothing is done: nothing is known
  });
});

describe('questions', () => {
  const jobs = [
    job(0, 'failed', { usage: usage({ estimated: 8 }), pubs: '8–9' }),
    job(1, 'running', { usage: usage({ estimated: 8, reported: 2, status: 'running' }) }),
    job(2, 'queued', { usage: usage({ estimated: 8 }) }),
    job(3, 'waiting', { usage: usage({ estimated: 8 }) }),
  ];
  const state = workload({ jobs });

  it('says the expected usage before it is spent', () => {
    expect(question(state, 'resubmit', 'r:0.0')).toMatchObject({
      name: 'Run partition 1 (PUBs 8–9) again?',
      text: 'Expected usage ≈ 8 s.',
    });
    expect(question({ ...state, state: 'closed' }, 'resubmit_failed', null)!.text).toMatch(
      /^Run 1 failed job again\? .* a new one is opened/,
    );
  });

  it('never says 0 for an unknown usage', () => {
    expect(expectedUsage([job(0, 'failed', { usage: usage({ reported: 0, status: 'final' }) })])).toBe(
      'Expected usage unknown.',
    );
    expect(expectedUsage([jobs[0]!, job(1, 'failed')])).toBe('Expected usage ≈ 8 s, 1 without an estimate.');
  });

  it('counts what is cancelled and offers the running ones too', () => {
    expect(question(state, 'cancel_remaining', null)).toMatchObject({
      text: 'Cancel 2 jobs that have not started? The 1 running goes on.',
      yes: { label: 'Cancel 2, saves ≈ 16 s', danger: true },
      also: { label: 'Cancel 3, saves up to ≈ 22 s', action: 'cancel_all' },
    });
  });

  it('asks in one place whether what is open is to finish or to be cancelled', () => {
    expect(question(state, 'close', null)).toMatchObject({
      text: 'End this batch? It takes no further jobs and never reopens. 3 jobs have not finished.',
      yes: { label: 'Let 3 finish ≈ 24 s', action: 'close' },
      also: { label: 'Cancel 3, saves up to ≈ 22 s', action: 'end', danger: true },
    });
    expect(question(workload({ mode: 'session' }), 'close', null)).toMatchObject({
      yes: { label: 'End session', action: 'close' },
      also: null,
    });
  });

  it('asks about several at once, and says what has begun', () => {
    expect(question(state, 'cancel', ['r:1.0', 'r:2.0'])).toMatchObject({
      text: 'Cancel 2 selected jobs? What the running one has used until then stays billed.',
      yes: { label: 'Cancel 2, saves up to ≈ 14 s', danger: true },
    });
    expect(question(state, 'cancel', ['r:2.0'])!.text).toBe('Cancel 1 selected job? None of them has started.');
  });

  it('names the row it runs again, and says "?" where no expectation is known', () => {
    expect(question(state, 'resubmit_failed', null)!.yes.label).toBe('Run partition 1 again ≈ 8 s');
    expect(question(workload({ jobs: [job(0, 'queued')] }), 'cancel', 'r:0.0')!.yes.label).toBe('Cancel, saves ≈ ? s');
  });

  it('says what waiting on would cost where an idle session is ended', () => {
    const idle = workload({ mode: 'session', ttl: ttl({ interactive_ttl: 60, interactive_deadline: 1021 }) });
    expect(question(idle, 'close', null, 1000)).toMatchObject({
      text: expect.stringContaining('Waiting on costs at most ≈ 21 s more.'),
      yes: { label: 'End session, saves ≈ 21 s' },
    });
  });

  it('asks nothing about a refresh or a job that is not there', () => {
    expect(question(state, 'refresh', null)).toBeNull();
    expect(question(state, 'cancel', 'gone')).toBeNull();
  });
});

it('the names that a user gave runs stand for the workload and its rows', () => {
  const named = [job(0, 'done', { label: 'scan A' }), job(1, 'done', { label: 'scan A' }), job(2, 'done')];
  expect(labelOf(named)).toBe('scan A');
  expect(labelOf([...named, job(3, 'done', { label: 'B' }), job(4, 'done', { label: 'C' })])).toBe('scan A, B, …');
  expect(labelOf([job(0, 'done')])).toBeNull();
  expect(jobName(named[0]!)).toContain('scan A');
});

it('what ran in parallel takes as few rows as it can, and invents nothing', () => {
  const ran = (n: number, running: number, finished: number | null) =>
    job(n, finished === null ? 'running' : 'done', { created: 0, running, finished });
  const rows = parallel([
    ran(0, 0, 10),
    ran(1, 2, 8),
    ran(2, 8, 12),
    ran(3, 11, null),
    job(4, 'queued', { created: 0 }),
  ]);
  expect(rows.map(row => row.map(({ from, to }) => [from, to]))).toEqual([
    [
      [0, 10],
      [11, null],
    ],
    [
      [2, 8],
      [8, 12],
    ],
  ]);
});
