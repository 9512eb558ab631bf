import { describe, expect, it, vi } from 'vitest';
import type { WorkloadSnapshot } from '../core/protocol';
import { type Locks, Memory } from '../lab/desk/memory';
import { Signals } from '../lab/desk/signals';
import { type Remembered, triage } from '../lab/desk/triage';
import { job, snapshot, ttl, usage, workload } from './samples';
import { known, remembered, watchesOf } from './watches';

const NOW = known().now;
const BEFORE = NOW - 1000; // this page began

const begin = (last: Remembered[] = []) => new Signals(BEFORE, last);
const read = (signals: Signals, ...states: WorkloadSnapshot[]) =>
  signals.read(triage(known({ watches: watchesOf('k1', ...states) })), NOW);
const young = (more: Partial<WorkloadSnapshot>) => workload({ created: NOW - 100, seen_at: NOW, ...more });

describe('signals', () => {
  it('tells of failures as they come, gathered for each workload', () => {
    const signals = begin();
    expect(read(signals, young({ jobs: [job(0, 'running'), job(1, 'running'), job(2, 'queued')] }))).toEqual([]);
    const failed = job(0, 'failed', { reason: 'transient', reason_code: 9707 });
    const one = read(signals, young({ jobs: [failed, job(1, 'running'), job(2, 'queued')] }));
    expect(one).toMatchObject([{ kind: 'failed', level: 'error', action: 'again', name: 'failed:w1:1' }]);
    expect(one[0]!.text).toBe('1 job of w1 failed: transient (9707)');
    expect(read(signals, young({ jobs: [failed, job(1, 'running'), job(2, 'queued')] }))).toEqual([]);
    const three = read(signals, young({ jobs: [failed, job(1, 'failed'), job(2, 'running')] }));
    expect(three).toMatchObject([{ name: 'failed:w1:2' }]);
  });

  it('says once that a batch ended, with its sum; a session between two iterations has not', () => {
    const signals = begin();
    const running = [job(0, 'done'), job(1, 'running')];
    const done = [job(0, 'done'), job(1, 'done')];
    const spent = usage({ reported: 16.4, status: 'final' });
    expect(read(signals, young({ jobs: running }), young({ id: 's', mode: 'session', jobs: running }))).toEqual([]);
    const ended = read(signals, young({ jobs: done, usage: spent }), young({ id: 's', mode: 'session', jobs: done }));
    expect(ended).toMatchObject([{ kind: 'finished', level: 'success', entry: 'w1', action: null }]);
    expect(ended[0]!.text).toBe('w1 finished: 2 of 2 done, 16.4 s used.');
    expect(read(signals, young({ jobs: done, usage: spent, state: 'closed', closed: NOW }))).toEqual([]);
  });

  it('tells of an end with failures once, not as failure and end', () => {
    const signals = begin();
    read(signals, young({ jobs: [job(0, 'done'), job(1, 'running')] }));
    expect(read(signals, young({ jobs: [job(0, 'done'), job(1, 'failed')] }))).toMatchObject([
      { kind: 'failed', level: 'error', action: 'again' },
    ]);
  });

  it('warns of a deadline under a name of its own, and offers to end an idle session', () => {
    const idle = young({
      mode: 'session',
      jobs: [job(0, 'done')],
      ttl: ttl({ interactive_ttl: 60, interactive_deadline: NOW + 16 }),
    });
    const [signal] = read(begin(), idle);
    expect(signal).toMatchObject({ kind: 'ttl', level: 'warning', action: 'end', until: 16 });
    expect(signal!.text).toBe(
      'w1 on ibm_fez is idle and billed; inactive in 0:16: waiting on costs at most ≈ 16 s more.',
    );
    const later = { ...idle, ttl: ttl({ interactive_ttl: 60, interactive_deadline: NOW + 25 }) };
    expect(read(begin(), later)[0]!.name).not.toBe(signal!.name);
  });

  it('says what a kernel that ended has left on the service, once', () => {
    const signals = begin();
    const queued = young({ jobs: [job(0, 'done'), job(1, 'queued', { usage: usage({ estimated: 3 }) })] });
    read(signals, queued);
    const gone = (left: number) =>
      triage(known({ remembered: [remembered({ left, expected: 3, word: 'closed', end: 'closed on exit' })] }));
    const asked = signals.read(gone(1), NOW);
    expect(asked).toMatchObject([{ kind: 'left', level: 'warning', action: 'cancel' }]);
    expect(asked[0]!.text).toBe(
      'The kernel of w1 has ended. On the service 1 job is still queued or runs, ≈ 3 s: that is billed.',
    );
    expect(signals.read(gone(1), NOW)).toEqual([]);
    expect(begin().read(gone(1), NOW)).toEqual([]); // a page that was opened later
    read(signals, queued);
    expect(signals.read(gone(0), NOW)).toEqual([]);
  });

  it('tells of a reached cap once', () => {
    const signals = begin();
    const state = young({ jobs: [job(0, 'running')], usage: usage({ cap: 60, reported: 61, status: 'running' }) });
    read(signals, state);
    const acted = { ...state, limits: [{ name: 'usage cap', value: '60 s', where: 'kernel', acted: NOW } as const] };
    expect(read(signals, acted)).toMatchObject([{ kind: 'cap', level: 'error' }]);
    expect(read(signals, acted)).toEqual([]);
  });

  it('does not repeat what happened before the page began', () => {
    const old = workload({ created: BEFORE - 10, jobs: [job(0, 'failed')], state: 'closed', closed: BEFORE - 5 });
    expect(read(begin(), old)).toEqual([]);
  });

  it('tells after a reload what happened meanwhile', () => {
    const was = remembered({ total: 2, done: 1 });
    const now = workload({
      created: BEFORE - 10,
      jobs: [job(0, 'done'), job(1, 'done')],
      state: 'closed',
      closed: NOW,
    });
    expect(read(begin([was]), now)).toMatchObject([{ kind: 'finished' }]);
    expect(read(begin([remembered({ total: 2, done: 2, ended: NOW })]), now)).toEqual([]);
  });

  it('is silent when the user ended it, and while the kernel cannot be reached', () => {
    const signals = begin();
    const running = young({ jobs: [job(0, 'done'), job(1, 'running')] });
    read(signals, running);
    const watches = watchesOf('k1', running);
    watches[0]!.store.command('w1', 'cancel_all');
    const over = young({ jobs: [job(0, 'done'), job(1, 'cancelled')], state: 'closed', closed: NOW });
    watches[0]!.store.receive(snapshot(over, 2, NOW));
    expect(watches[0]!.store.workloads.get('w1')!.state.state).toBe('closed');
    const ended = [{ ...watches[0]!, workload: watches[0]!.store.workloads.get('w1')! }];
    expect(signals.read(triage(known({ watches: ended })), NOW)).toEqual([]);
    ended[0]!.store.connected(false);
    expect(begin().read(triage(known({ watches: ended })), NOW)).toEqual([]);
    watches[0]!.store.dispose();
  });
});

describe('memory', () => {
  const box = () => {
    const items = new Map<string, string>();
    return {
      getItem: (key: string) => items.get(key) ?? null,
      setItem: (key: string, value: string) => void items.set(key, value),
    };
  };
  const open = (storage: ReturnType<typeof box>, locks: Locks | null = null) =>
    new Memory(storage, 'qm', () => NOW, locks);

  it('survives a reload', () => {
    const storage = box();
    const first = open(storage);
    first.workloads.set('w1', remembered());
    first.opened.add('w1');
    first.dismissed.set('w1', 2);
    first.account = 'embedded';
    first.save();
    const second = open(storage);
    expect(second.workloads.get('w1')).toEqual(remembered());
    expect([...second.opened]).toEqual(['w1']);
    expect(second.dismissed.get('w1')).toBe(2);
    expect(second.account).toBe('embedded');
  });

  it('gives a signal in one tab only, once', async () => {
    const storage = box();
    const [one, two] = [open(storage), open(storage)];
    expect(await one.claim('failed:w1:1')).toBe(true);
    expect(await two.claim('failed:w1:1')).toBe(false);
    expect(await open(storage).claim('failed:w1:1')).toBe(false);
    expect(await two.claim('failed:w1:2')).toBe(true);
  });

  it('settles by a lock between tabs whose storage has not met yet', async () => {
    const held = new Set<string>();
    const request = (name: string, _: object, then: (lock: object | null) => unknown): Promise<unknown> => {
      const free = !held.has(name);
      held.add(name);
      return Promise.resolve(then(free ? {} : null));
    };
    const locks = { request } as unknown as Locks;
    const claims = [open(box(), locks), open(box(), locks)].map(tab => tab.claim('failed:w1:1'));
    expect(await Promise.all(claims)).toEqual([true, false]);
  });

  it('shares what was put aside between the tabs of one person', () => {
    const storage = box();
    const [one, two] = [open(storage), open(storage)];
    const heard = vi.fn();
    two.onOther(heard);
    one.dismissed.set('w1', 2);
    one.save();
    window.dispatchEvent(new StorageEvent('storage', { key: 'qm' }));
    expect(heard).toHaveBeenCalledOnce();
    expect(two.dismissed.get('w1')).toBe(2);
    window.dispatchEvent(new StorageEvent('storage', { key: 'another' }));
    expect(heard).toHaveBeenCalledOnce();
  });

  it('keeps what another tab knows better', () => {
    const storage = box();
    const [one, two] = [open(storage), open(storage)];
    one.workloads.set('w1', remembered({ seen: NOW - 60 }));
    two.workloads.set('w1', remembered({ seen: NOW - 5, spent: 40 }));
    two.save();
    one.save();
    expect(open(storage).workloads.get('w1')!.spent).toBe(40);
  });

  it('forgets in time, stays small, and does not trip over what is not its own', async () => {
    const storage = box();
    const memory = open(storage);
    memory.workloads.set('old', remembered({ id: 'old', seen: NOW - 4 * 86_400 }));
    for (let i = 0; i < 150; i++) memory.workloads.set(`w${i}`, remembered({ id: `w${i}`, seen: NOW - 1000 + i }));
    memory.save();
    const kept = [...open(storage).workloads.keys()];
    expect(kept).toHaveLength(100);
    expect(kept).toContain('w149');
    expect(kept).not.toContain('old');
    for (const text of ['{', 'null', '{"version":99}', '[]']) {
      storage.setItem('qm', text);
      storage.setItem('qm:said', text);
      expect(open(storage).workloads.size).toBe(0);
      expect(await open(storage).claim('x')).toBe(true);
    }
    const full = {
      getItem: () => null,
      setItem: () => {
        throw new Error('full');
      },
    };
    new Memory(full, 'qm').save();
  });
});
