import { describe, expect, it } from 'vitest';
import { question } from '../core/ask';
import { ago, duration, usageSeconds } from '../core/clock';
import {
  countdown,
  expectedUsage,
  jobAction,
  jobReason,
  jobTime,
  shownJobs,
  staleness,
  tally,
  workloadFace,
} from '../core/facts';
import type { JobState, WorkloadSnapshot } from '../core/protocol';
import { inLanes } from '../core/views/timeline';
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
    [1204, '1,204 s'],
    [8, '8 s'],
  ])('usage of %d is %s', (s, text) => expect(usageSeconds(s)).toBe(text));
  it.each([
    [12, '12 s'],
    [240, '4 min'],
    [7200, '2 h'],
    [400_000, '5 d'],
  ])('%d s ago is %s', (s, text) => expect(ago(s)).toBe(text));
});

describe('the countdown that matters now', () => {
  const running = ttl({ max_ttl: 28800, max_deadline: 10_000, interactive_ttl: 60 });

  it('is max TTL while jobs run, with when the interactive TTL would start', () => {
    expect(countdown(workload({ ttl: running }), 1000)).toMatchObject({
      label: 'Max TTL',
      deadline: 10_000,
      note: 'interactive TTL starts when idle (1:00)',
    });
  });

  it('is the interactive TTL while idle; in a session that is billed, so it warns', () => {
    const idle = { ...running, interactive_deadline: 1030 };
    expect(countdown(workload({ ttl: idle }), 1000)).toMatchObject({
      label: 'Interactive TTL',
      deadline: 1030,
      tone: 'active',
      note: 'max TTL 2:30:00 left',
    });
    expect(countdown(workload({ mode: 'session', ttl: idle }), 1000)!.tone).toBe('warn');
  });

  it('warns when max TTL is about to run out', () => {
    expect(countdown(workload({ ttl: running }), 9950)!.tone).toBe('warn');
  });

  it('shows what will run before the first job, without counting down', () => {
    expect(countdown(workload({ state: 'open', ttl: ttl({ max_ttl: 28800 }) }), 1000)).toMatchObject({
      deadline: null,
      still: '8:00:00',
    });
    expect(countdown(workload({ state: 'open', ttl: ttl({ empty_deadline: 2800 }) }), 1000)!.label).toBe(
      'Closes if left empty',
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
    expect(face(workload())).toMatchObject({ word: 'Idle', tone: 'dim' });
    expect(face(workload({ jobs: [job(0, 'running')] }))).toMatchObject({
      word: 'Running',
      more: 'accepts jobs',
      title: expect.stringContaining('In progress, accepting new jobs'),
    });
    expect(face(workload({ accepting_jobs: false, jobs: [job(0, 'running')] }))).toMatchObject({
      word: 'Running',
      more: 'closing',
    });
    expect(face(workload({ mode: 'session', accepting_jobs: false })).word).toBe('Closing');
    expect(face(workload({ state: 'closed', jobs: [job(0, 'failed')] }))).toMatchObject({
      word: 'Closed',
      tone: 'fail',
    });
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
    ]).toEqual(['cancel', 'cancel', 'drop', 'resubmit', 'resubmit', 'resubmit', null, null, null]);
  });

  it('puts the code, the reason and the way out into one line', () => {
    expect(
      jobReason(
        job(0, 'failed', { reason: 'transient', reason_code: 9707, reason_solution: 'retry the job', attempt: 1 }),
      ),
    ).toBe('9707 transient: retry the job · attempt 2');
    expect(jobReason(job(0, 'running', { qpu_used: true }))).toBe('QPU used');
  });

  it('is stale only when the last request failed or the kernel is out of reach', () => {
    expect(staleness(workload({ seen_at: 988 }), 1000, false)).toBeNull();
    expect(staleness(workload({ seen_at: 988, problem: '503' }), 1000, false)).toBe('last seen 12 s ago');
    expect(staleness(workload({ seen_at: 988 }), 1000, true)).toBe('last seen 12 s ago');
    expect(staleness(workload({ seen_at: null }), 1000, true)).toBe('not seen yet');
  });

  it('times a job from its start to its end, or to now', () => {
    expect(jobTime(job(0, 'done', { running: 900, finished: 921 }), 1000)).toBe(21);
    expect(jobTime(job(0, 'running', { running: 900 }), 1000)).toBe(100);
    expect(jobTime(job(0, 'queued'), 1000)).toBeNull();
  });
});

describe('questions', () => {
  const jobs = [
    job(0, 'failed', { usage: usage({ estimated: 8 }), pubs: '8–9' }),
    job(1, 'running'),
    job(2, 'queued'),
    job(3, 'waiting'),
  ];
  const state = workload({ jobs });

  it('says the expected usage before it is spent', () => {
    expect(question(state, 'resubmit', 'r:0.0')!.text).toBe('Resubmit partition 1 (PUBs 8–9)? Expected usage ≈ 8 s.');
    expect(question({ ...state, state: 'closed' }, 'resubmit_failed', null)!.text).toMatch(
      /^Resubmit 1 failed job\? .* a new one is opened/,
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
      yes: { label: 'Cancel 2', danger: true },
      also: { label: 'Cancel all 3', action: 'cancel_all' },
    });
  });

  it('asks nothing about a refresh or a job that is not there', () => {
    expect(question(state, 'refresh', null)).toBeNull();
    expect(question(state, 'cancel', 'gone')).toBeNull();
  });
});

it('puts overlapping bars into separate lanes, and no more than needed', () => {
  const bar = (from: number, to: number) => ({ from, to, job: job(0, 'done') });
  const lanes = inLanes([bar(5, 9), bar(0, 4), bar(3, 6), bar(4, 5)]);
  expect(lanes.map(lane => lane.map(each => [each.from, each.to]))).toEqual([
    [
      [0, 4],
      [4, 5],
      [5, 9],
    ],
    [[3, 6]],
  ]);
});
