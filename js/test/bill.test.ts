import { describe, expect, it } from 'vitest';
import { banner, capFor } from '../core/banner';
import { bill, billText, idleText } from '../core/bill';
import { shownJobs, tally } from '../core/facts';
import type { WorkloadSnapshot } from '../core/protocol';
import { spentText, triage } from '../lab/desk/triage';
import { job, ttl, usage, workload } from './samples';
import { known, watchesOf } from './watches';

const idle = (more: Partial<WorkloadSnapshot> = {}): WorkloadSnapshot =>
  workload({
    mode: 'session',
    seen_at: 1000,
    ttl: ttl({ interactive_ttl: 60, interactive_deadline: 1021 }),
    usage: usage({ reported: 241, status: 'running', idle: 54 }),
    ...more,
  });

describe('the bill', () => {
  it('goes on while a session is active, marked, and never past a deadline', () => {
    expect(bill(idle(), 1000)).toMatchObject({ seconds: 241, guessed: false, idle: 54 });
    expect(billText(bill(idle(), 1005))).toBe('≈ 246 s');
    expect(bill(idle(), 1005).idle).toBe(59);
    expect(bill(idle(), 5000)).toMatchObject({ seconds: 262, idle: 75 });
    const busy = idle({ ttl: ttl({ max_deadline: 1010 }), jobs: [job(0, 'running')] });
    expect(bill(busy, 1005)).toMatchObject({ seconds: 246, idle: 54 }); // it is not idle
    expect(bill(busy, 2000).seconds).toBe(251);
  });

  it('stands still for what is over, what is inactive, and every batch', () => {
    expect(bill(idle({ state: 'closed', usage: usage({ reported: 241, status: 'final' }) }), 2000).seconds).toBe(241);
    expect(bill(idle({ state: 'inactive' }), 2000).seconds).toBe(241);
    expect(bill(idle({ mode: 'batch' }), 2000).seconds).toBe(241);
    expect(bill(workload(), 2000)).toMatchObject({ seconds: null, guessed: false });
  });

  it('adds up: what the rows report, what is between them, what was idle', () => {
    const row = (n: number, reported: number) => job(n, 'done', { usage: usage({ reported, status: 'final' }) });
    const parts = bill(idle({ jobs: [row(0, 100), row(1, 60)] }), 1000);
    expect(parts).toMatchObject({ seconds: 241, qpu: 160, idle: 54 }); // 27 s of preparing
    expect(bill(idle({ jobs: [row(0, 200), row(1, 60)] }), 1000).qpu).toBeNull(); // they ran side by side
  });

  it('is the same in the panel and in the cell', () => {
    const now = known().now;
    const state = idle({ seen_at: now - 20, ttl: ttl({ interactive_ttl: 60, interactive_deadline: now + 21 }) });
    const entry = [...triage(known({ watches: watchesOf('k1', state) })).entries.values()][0]!;
    expect(spentText(entry, now)).toBe('≈ 261 s used, 74 s idle');
    expect(billText(bill(state, now))).toBe('≈ 261 s');
  });

  it('says what waiting on costs at most', () => {
    expect(idleText(idle(), 1000)).toBe('waiting on costs at most ≈ 21 s more');
    expect(idleText(idle({ mode: 'batch' }), 1000)).toBe('');
    expect(idleText(idle(), 1030)).toBe('');
  });
});

describe('what is missing', () => {
  const estimated = usage({ estimated: 8 });
  const gone = [1, 2, 3, 4].map(n => job(n, 'cancelled', { usage: estimated }));
  const about = (more: Partial<WorkloadSnapshot>) => {
    const state = workload({ state: 'closed', jobs: [job(0, 'done'), ...gone], ...more });
    return banner(state, tally(shownJobs(state)), { now: 1000, offset: 0, lost: false, off: null });
  };

  it('can be run again after a cancel, with its seconds', () => {
    expect(about({})).toMatchObject({
      cause: '4 of 5 are missing',
      action: { action: 'resubmit_missing', target: null, label: 'Run 4 missing again ≈ 32 s' },
    });
    expect(about({ jobs: [...gone, job(5, 'queued')] })?.action).toBeUndefined(); // not while something is to come
  });

  it('gets a cap under which it fits, and no more than the instance has left', () => {
    const acted = { name: 'usage cap', value: '600 s', where: 'kernel', acted: 990 } as const;
    const used = { reported: 601, status: 'final', cap: 600 } as const;
    const of = (left: number | null) => about({ limits: [acted], usage: usage({ ...used, instance_left: left }) });
    expect(of(null)!.action!.target).toBe('640'); // 601 + 1.2 × 32
    expect(of(34)!.action!.target).toBe('635');
    expect(of(4)!.action).toBeNull();
    expect(of(4)!.consequence).toBe('4 jobs of 5 are not done. They need ≈ 32 s, the instance has 4 s left.');
  });

  it('keeps a cap that fits', () => {
    expect(capFor(workload({ usage: usage({ reported: 10, status: 'final', cap: 600 }) }), 32)).toBeNull();
    expect(capFor(workload({ usage: usage({ reported: 580, status: 'final', cap: 600 }) }), 32)).toBe(619);
    expect(capFor(workload(), 32)).toBeNull();
  });
});

it('does not say that an unknown job of a closed batch goes on', () => {
  const state = workload({ state: 'closed', jobs: [job(0, 'failed'), job(1, 'unknown')] });
  const about = banner(state, tally(shownJobs(state)), { now: 1000, offset: 0, lost: false, off: null });
  expect(about!.cause).toBe('1 of 2 failed');
  expect(about!.consequence).not.toContain('go');
});

it('offers to cancel what will not be done before max TTL, and only that', () => {
  const rows = [
    job(0, 'done', { running: 900, finished: 940 }),
    job(1, 'running', { running: 980 }),
    ...[2, 3, 4, 5].map(n => job(n, 'queued', { usage: usage({ estimated: 8 }) })),
  ];
  const state = workload({ jobs: rows, ttl: ttl({ max_ttl: 28_800, max_deadline: 1100 }) });
  const about = banner(state, tally(rows), { now: 1000, offset: 0, lost: false, off: null });
  expect(about!.consequence).toBe('2 jobs of 6 will not be done by then, and fail');
  expect(about!.action).toMatchObject({
    action: 'cancel',
    target: ['r:4.0', 'r:5.0'],
    label: 'Cancel 2, saves ≈ 16 s',
  });
});
