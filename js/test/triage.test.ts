import { describe, expect, it } from 'vitest';
import type { WorkloadSnapshot } from '../core/protocol';
import { Store } from '../core/store';
import {
  type Entry,
  type Group,
  type Known,
  matches,
  nearest,
  spentText,
  spentToday,
  titleOf,
  triage,
  type Watch,
} from '../lab/desk/triage';
import { leftText } from '../lab/desk/signals';
import { job, snapshot, ttl, usage, workload } from './samples';
import { known, remembered, watchesOf } from './watches';

const NOW = known().now;

const groupsOf = (what: Known): Partial<Record<Group, string[]>> =>
  Object.fromEntries(
    [...triage(what).groups].flatMap(([group, entries]) => (entries.length ? [[group, entries.map(e => e.key)]] : [])),
  );
const only = (what: Known): Entry => [...triage(what).entries.values()][0]!;

const idle = (id: string, left: number, more: Partial<WorkloadSnapshot> = {}): WorkloadSnapshot =>
  workload({
    id,
    mode: 'session',
    jobs: [job(0, 'done')],
    ttl: ttl({ interactive_ttl: 60, interactive_deadline: NOW + left }),
    seen_at: NOW,
    ...more,
  });

describe('one entry a workload', () => {
  it('counts a batch attached in two notebooks once, and takes the one that knows more', () => {
    const old = watchesOf('k1', workload({ id: 'w1', seen_at: NOW - 20 }));
    const fresh = watchesOf('k2', workload({ id: 'w1', seen_at: NOW }));
    const { entries } = triage(known({ watches: [...old, ...fresh] }));
    expect([...entries.keys()]).toEqual(['w1']);
    expect(only(known({ watches: [...old, ...fresh] })).watches.map(w => w.place.kernel)).toEqual(['k2', 'k1']);
  });

  it('names the same notebook while two kernels look in turn', () => {
    const seen = (first: number, second: number): Watch[] => [
      ...watchesOf('k1', workload({ id: 'w1', seen_at: NOW - first })),
      ...watchesOf('k2', workload({ id: 'w1', seen_at: NOW - second })),
    ];
    const named = [seen(0, 10), seen(10, 0), seen(3, 1), seen(0, 0)].map(
      watches => only(known({ watches })).watches[0]!.place.name,
    );
    expect(named).toEqual(['k1.ipynb', 'k1.ipynb', 'k1.ipynb', 'k1.ipynb']);
  });

  it('prefers a kernel that can be reached', () => {
    const lost = watchesOf('k1', workload({ seen_at: NOW }));
    lost[0]!.store.connected(false);
    const there = watchesOf('k2', workload({ seen_at: NOW - 20 }));
    expect(only(known({ watches: [...lost, ...there] })).watches[0]!.place.kernel).toBe('k2');
  });

  it('knows a continued workload by the ids it continues, wherever they are remembered or listed', () => {
    const watches = watchesOf('k1', workload({ id: 'new', workload_id: 'new', lineage: ['old'] }));
    const listed = [
      {
        id: 'old',
        mode: 'batch',
        backend: 'ibm_fez',
        instance: 'i',
        status: 'in_progress',
        created: 1,
        usage: 2,
        label: null,
        at: 0,
      },
    ] as const;
    const groups = groupsOf(
      known({ watches, listed, remembered: [remembered({ id: 'older', aliases: ['older', 'old'] })] }),
    );
    expect(Object.values(groups).flat()).toEqual(['new']);
  });

  it('knows the jobs of a run in job mode, which the account lists one by one', () => {
    const watches = watchesOf('k1', workload({ id: 'run', mode: 'job', jobs: [job(0, 'running'), job(1, 'queued')] }));
    const listed = ['job0', 'job1', 'other'].map(id => ({
      id,
      mode: 'job' as const,
      backend: 'ibm_fez',
      instance: 'i',
      status: 'pending',
      created: 1,
      usage: null,
      label: null,
      at: 0,
    }));
    expect(groupsOf(known({ watches, listed }))).toEqual({ running: ['run'], unwatched: ['other'] });
  });

  it('joins three that were apart when one with all their ids comes', () => {
    const rememberedOnes = [remembered({ id: 'a', aliases: ['a'] }), remembered({ id: 'b', aliases: ['b'] })];
    const watches = watchesOf('k1', workload({ id: 'c', lineage: ['a', 'b'] }));
    expect(triage(known({ watches, remembered: rememberedOnes })).entries.size).toBe(1);
  });
});

describe('where each belongs', () => {
  it('sorts by what needs its user, then what runs, costs, waits, ended', () => {
    const today = new Date(NOW * 1000).setHours(0, 0, 0, 0) / 1000;
    const watches = watchesOf(
      'k1',
      workload({ id: 'runs', jobs: [job(0, 'running')] }),
      idle('idle', 50),
      idle('near', 16),
      workload({ id: 'failed', jobs: [job(0, 'failed'), job(1, 'running')] }),
      workload({ id: 'empty', jobs: [] }),
      workload({ id: 'ended', state: 'closed', closed: today + 1 }),
      workload({ id: 'yesterday', state: 'closed', closed: today - 1 }),
    );
    expect(groupsOf(known({ watches, remembered: [remembered({ id: 'gone', aliases: ['gone'] })] }))).toEqual({
      needs: ['near', 'failed'],
      running: ['runs'],
      idle: ['idle'],
      open: ['empty'],
      unwatched: ['gone'],
      today: ['ended'],
      earlier: ['yesterday'],
    });
  });

  it('puts the nearest deadline first, and what runs before what is queued', () => {
    const watches = watchesOf(
      'k1',
      idle('later', 25),
      idle('sooner', 5),
      workload({ id: 'queued', jobs: [job(0, 'queued')], created: 5 }),
      workload({ id: 'running', jobs: [job(0, 'running')], created: 1 }),
    );
    const groups = groupsOf(known({ watches }));
    expect(groups.needs).toEqual(['sooner', 'later']);
    expect(groups.running).toEqual(['running', 'queued']);
  });

  it('says when a row will move by the clock alone', () => {
    expect(triage(known({ watches: watchesOf('k1', idle('w1', 50)) })).next).toBeCloseTo(20);
    expect(triage(known({ watches: watchesOf('k1', idle('w1', 16)) })).next).toBeCloseTo(16.5);
    expect(triage(known({ watches: watchesOf('k1', workload()) })).next).toBeNull();
  });

  it('takes service time through the clock offset', () => {
    const store = new Store(
      () => true,
      () => NOW,
    );
    const state = idle('w1', 3600 + 16);
    store.receive(snapshot(state, 1, NOW + 3600)); // the service's clock is an hour ahead
    const [watch] = watchesOf('k1', state);
    const watches = [{ ...watch!, store, workload: store.workloads.get('w1')! }];
    const found = triage(known({ watches }));
    expect(found.groups.get('needs')!.map(e => e.key)).toEqual(['w1']);
    expect(nearest(found)).toMatchObject({ deadline: NOW + 16 });
  });

  it('raises no alarm by the clock while the kernel cannot be reached: a job may have come', () => {
    const watches = watchesOf('k1', idle('w1', 16));
    watches[0]!.store.connected(false);
    expect(groupsOf(known({ watches }))).toEqual({ idle: ['w1'] });
  });

  it('knows an idle batch from an idle session: only a session is billed', () => {
    const watches = watchesOf('k1', idle('w1', 16, { mode: 'batch' }));
    expect(groupsOf(known({ watches }))).toEqual({ open: ['w1'] });
  });

  it('lets a failure be put aside until another job fails', () => {
    const state = workload({ jobs: [job(0, 'failed'), job(1, 'done')], state: 'closed', closed: NOW - 1 });
    const dismissed = new Map([['w1', 1]]);
    expect(groupsOf(known({ watches: watchesOf('k1', state) }))).toEqual({ needs: ['w1'] });
    expect(groupsOf(known({ watches: watchesOf('k1', state), dismissed })).needs).toBeUndefined();
    const worse = { ...state, jobs: [job(0, 'failed'), job(1, 'failed')] };
    expect(groupsOf(known({ watches: watchesOf('k1', worse), dismissed }))).toEqual({ needs: ['w1'] });
  });

  it.each([
    ['capped', { limits: [{ name: 'usage cap', value: '60 s', where: 'kernel', acted: NOW } as const] }],
    ['cap', { usage: usage({ reported: 48, status: 'running', cap: 60 }) }],
    ['max', { ttl: ttl({ max_deadline: NOW + 300 }) }],
    ['unreachable', { problem: 'no answer', seen_at: NOW - 40 }],
  ])('%s needs its user', (reason, more) => {
    const state = workload({ jobs: [job(0, 'running')], seen_at: NOW, ...more });
    expect(only(known({ watches: watchesOf('k1', state) }))).toMatchObject({ group: 'needs', reason });
  });

  it('does not call a workload unwatched before its kernel has answered', () => {
    expect(groupsOf(known({ remembered: [remembered()], asking: new Set(['k1']) }))).toEqual({ asking: ['w1'] });
    expect(groupsOf(known({ remembered: [remembered()] }))).toEqual({ unwatched: ['w1'] });
    expect(groupsOf(known({ remembered: [remembered({ ended: NOW })], asking: new Set(['k1']) }))).toEqual({
      today: ['w1'],
    });
  });
});

describe('the service outranks memory', () => {
  const of = (more: Partial<Known>): Entry => only(known(more));
  const listed = {
    id: 'w1',
    mode: 'session',
    backend: 'ibm_fez',
    instance: 'i',
    status: 'pending',
    label: null,
  } as const;
  const ended = remembered({ ended: NOW - 30, end: 'closed on exit', word: 'closed' });

  it('files nothing under finished that the account still lists after it', () => {
    expect(of({ remembered: [ended] }).group).toBe('today');
    const row = { ...listed, created: 1, usage: 0 };
    expect(of({ remembered: [ended], listed: [{ ...row, at: NOW - 5 }] }).group).toBe('unwatched');
    expect(of({ remembered: [ended], listed: [{ ...row, at: NOW - 60 }] }).group).toBe('today'); // read before the end
  });

  it('calls a closed workload finished only when no job is left', () => {
    const closed = { mode: 'session', state: 'closed', closed: NOW - 5, seen_at: NOW } as const;
    const queued = only(known({ watches: watchesOf('k1', workload({ ...closed, jobs: [job(0, 'queued')] })) }));
    expect(queued.group).toBe('running');
    const done = only(known({ watches: watchesOf('k1', workload({ ...closed, jobs: [job(0, 'done')] })) }));
    expect(done.group).toBe('today');
  });

  it('says what the account knows of the jobs left, else what the page last saw', () => {
    const before = remembered({ left: 1, expected: 3 });
    expect(leftText(of({ remembered: [before] }))).toBe('1 job is still queued or runs, ≈ 3 s');
    const row = { ...listed, created: 1, usage: 0, at: NOW, jobs: 2, expected: 40 };
    expect(leftText(of({ remembered: [before], listed: [row] }))).toBe('2 jobs are still queued or run, ≈ 40 s');
    expect(leftText(of({ listed: [{ ...row, jobs: 0, expected: null }] }))).toBe('');
  });

  it('calls what cannot be reached old, whatever else is to be said of it', () => {
    const failed = workload({ problem: 'HTTP 503', seen_at: NOW - 40, jobs: [job(0, 'failed'), job(1, 'queued')] });
    expect(only(known({ watches: watchesOf('k1', failed) }))).toMatchObject({ stale: true, reason: 'failed' });
    expect(only(known({ watches: watchesOf('k1', { ...failed, problem: null }) })).stale).toBe(false);
  });
});

describe('what a row says', () => {
  const entry = (state: WorkloadSnapshot): Entry => only(known({ watches: watchesOf('k1', state) }));

  it('names it by its label, else by its short id', () => {
    expect(titleOf(entry(workload({ id: 'd2f0b8c4k3a0008v77a1' })))).toBe('d2f0…77a1');
    expect(titleOf(entry(workload({ jobs: [job(0, 'done', { label: 'trotter-24' })] })))).toBe('trotter-24');
    expect(titleOf(entry(workload({ mode: 'job', id: 'run', jobs: [job(0, 'queued')] })))).toBe('job0');
  });

  it('tells reported from expected, and never 0 for unknown', () => {
    expect(spentText(entry(workload()), NOW)).toBe('');
    expect(spentText(entry(workload({ usage: usage({ estimated: 96 }) })), NOW)).toBe('≈ 96 s expected');
    expect(
      spentText(entry(workload({ usage: usage({ reported: 34.1, status: 'running', estimated: 96 }) })), NOW),
    ).toBe('34.1 s used of ≈ 96 s');
    expect(spentText(entry(workload({ usage: usage({ reported: 241, status: 'running', idle: 54 }) })), NOW)).toBe(
      '241 s used, 54 s idle',
    );
    expect(spentToday([entry(workload())], NOW).seconds).toBeNull();
  });

  it('is found by any word of its name, id, backend, instance or notebook', () => {
    const found = entry(workload({ instance: 'open-plan', jobs: [job(0, 'done', { label: 'VQE, LiH' })] }));
    for (const typed of ['', 'vqe', 'LIH fez', 'w1', 'open-plan', 'k1.ipynb', 'batch'])
      expect(matches(found, typed)).toBe(true);
    expect(matches(found, 'vqe torino')).toBe(false);
  });
});
