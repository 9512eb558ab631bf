import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PROTOCOL, type Request } from '../core/protocol';
import { Store } from '../core/store';
import { hello, job, patch, snapshot, workload } from './samples';

function setup(reachable = true) {
  const sent: Request[] = [];
  const store = new Store(
    request => {
      sent.push(request);
      return reachable;
    },
    () => 1000,
  );
  store.receive(hello(['w1']));
  store.receive(snapshot(workload({ jobs: [job(0, 'done'), job(1, 'running')] })));
  return { store, sent };
}

const state = (store: Store) => store.workloads.get('w1')!.state;
const clicks = (store: Store) => store.workloads.get('w1')!.clicks;

describe('snapshots and patches', () => {
  it('applies a patch to the job it names and leaves the others as they are', () => {
    const { store } = setup();
    const [first] = state(store).jobs;
    store.receive(patch(2, { jobs: { 'r:1.0': { state: 'done', finished: 1010 } } }));
    expect(state(store).jobs.map(each => each.state)).toEqual(['done', 'done']);
    expect(state(store).jobs[0]).toBe(first);
    expect(state(store).jobs[1]!.job_id).toBe('job1');
  });

  it('takes new jobs, their order, and jobs that went', () => {
    const { store } = setup();
    store.receive(patch(2, { jobs: { 'r:2.0': job(2, 'queued') }, order: ['r:2.0', 'r:0.0'] }));
    expect(state(store).jobs.map(each => each.key)).toEqual(['r:2.0', 'r:0.0']);
  });

  it('asks for a new snapshot once when a number is missing, and shows nothing half', () => {
    const { store, sent } = setup();
    store.receive(patch(3, { set: { state: 'closed' } }));
    store.receive(patch(4, { set: { backend: 'other' } }));
    expect(state(store).state).toBe('active');
    expect(sent).toEqual([{ kind: 'attach', protocol: PROTOCOL, workload: 'w1' }]);
    store.receive(snapshot(workload({ state: 'closed' }), 4));
    store.receive(patch(5, { set: { accepting_jobs: false } }));
    expect(state(store)).toMatchObject({ state: 'closed', accepting_jobs: false });
  });

  it('asks for nothing whose snapshot is on its way already, whichever of the answers comes first', () => {
    for (const before of [true, false]) {
      const sent: Request[] = [];
      const store = new Store(request => (sent.push(request), true));
      store.attach();
      sent.length = 0;
      store.receive(patch(2, { set: { state: 'closed' } })); // what a page that follows already is told
      if (before) store.receive(hello(['w1']));
      store.receive(patch(3, { set: { backend: 'other' } }));
      store.receive(snapshot(workload({ state: 'closed' }), 3));
      if (!before) store.receive(hello(['w1']));
      store.receive(patch(4, { set: { accepting_jobs: false } }));
      expect(state(store)).toMatchObject({ state: 'closed', accepting_jobs: false });
      expect(sent).toEqual([]);
      store.receive(patch(6, { set: { state: 'open' } })); // one was missed
      expect(sent).toEqual([{ kind: 'attach', protocol: PROTOCOL, workload: 'w1' }]);
    }
  });

  it('discards what is late or came before', () => {
    const { store } = setup();
    store.receive(patch(2, { set: { state: 'inactive' } }));
    store.receive(patch(2, { set: { state: 'open' } }));
    store.receive(snapshot(workload({ state: 'open' }), 1));
    expect(state(store).state).toBe('inactive');
  });

  it('takes the later feed of a workload that came anew, though it missed that the first had gone', () => {
    const { store, sent } = setup();
    store.receive(patch(2, { set: { state: 'inactive' } }));
    store.receive({ ...snapshot(workload({ state: 'open' }), 0), epoch: 2 });
    expect(state(store).state).toBe('open');
    store.receive(patch(3, { set: { state: 'closed' } })); // of the first
    expect(state(store).state).toBe('open');
    store.receive({ ...patch(1, { set: { state: 'active' } }), epoch: 2 });
    expect(state(store).state).toBe('active');
    expect(sent).toEqual([]);
    store.receive({ ...patch(1, { set: { state: 'closed' } }), epoch: 3 });
    expect(sent).toEqual([{ kind: 'attach', protocol: PROTOCOL, workload: 'w1' }]);
  });

  it('appends events and keeps a bounded number of them', () => {
    const { store } = setup();
    for (let n = 2; n < 302; n++)
      store.receive(patch(n, { events: [{ id: n, time: n, level: 'info', text: `e${n}`, job: null }] }));
    expect(state(store).events).toHaveLength(200);
    expect(state(store).events.at(-1)!.text).toBe('e301');
  });

  it("takes the service's clock from the snapshot, however late a message is", () => {
    const { store } = setup();
    const offset = () => store.workloads.get('w1')!.offset;
    expect(offset()).toBe(0);
    store.receive({ ...snapshot(workload({ clock_offset: 5 })), seq: 2, now: 1005 - 40 }); // 40 s on its way
    expect(offset()).toBe(5);
    store.receive({ ...patch(3, { set: { clock_offset: 7 } }), now: 1007 - 3 });
    expect(offset()).toBe(7);
  });

  it("does not trust this machine's clock where all messages say that it is wrong", () => {
    const ahead = new Store(
      () => true,
      () => 1000,
    );
    ahead.receive(snapshot(workload({ clock_offset: 5 }), 1, 705)); // the kernel's clock says 700
    expect(ahead.workloads.get('w1')!.offset).toBe(-295);
    const behind = new Store(
      () => true,
      () => 1000,
    );
    behind.receive(snapshot(workload({ clock_offset: 5 }), 1, 1305));
    expect(behind.workloads.get('w1')!.offset).toBe(305);
  });

  it('takes the age of a document for what it is', () => {
    const month = 30 * 86_400;
    const store = Store.saved(snapshot(workload({ clock_offset: 2, seen_at: 1000 - month }), 0, 1000 - month));
    expect(store.workloads.get('w1')!.offset).toBe(2);
  });

  it('forgets a workload that is gone, and all of another start of the kernel', () => {
    const { store } = setup();
    store.receive({ kind: 'gone', workload: 'w1' });
    expect(store.workloads.size).toBe(0);
    store.receive(snapshot(workload()));
    store.receive(hello([], 'another'));
    expect(store.workloads.size).toBe(0);
  });

  it('refuses another protocol with a message, and takes nothing from it', () => {
    const { store } = setup();
    store.receive({ ...hello(['w1']), protocol: 99, version: '9.9' });
    expect(store.problem).toMatch(/9\.9 speaks protocol 99.*install the same version/);
    store.receive(patch(2, { set: { state: 'closed' } }));
    expect(state(store).state).toBe('active');
  });

  it('ignores what is no message of ours', () => {
    const { store } = setup();
    for (const raw of [
      null,
      7,
      'x',
      [],
      {},
      { kind: 'news' },
      { kind: 'patch' },
      { kind: 'snapshot', workload: 'w1', seq: 9, now: 1, state: 3 },
    ])
      store.receive(raw);
    expect(state(store).state).toBe('active');
  });
});

describe('commands', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('is sent, accepted, done, and then taken off the screen', () => {
    const { store, sent } = setup();
    const id = store.command('w1', 'cancel', 'r:1.0');
    expect(sent.at(-1)).toEqual({ kind: 'command', id, workload: 'w1', action: 'cancel', target: 'r:1.0' });
    expect(clicks(store)).toMatchObject([{ status: 'sent', late: false }]);
    store.receive({ kind: 'ack', id, status: 'accepted', message: '' });
    expect(clicks(store)).toMatchObject([{ status: 'accepted' }]);
    store.receive({ kind: 'ack', id, status: 'done', message: '' });
    expect(clicks(store)).toMatchObject([{ status: 'done' }]);
    vi.advanceTimersByTime(60_000);
    expect(clicks(store)).toEqual([]);
  });

  it("keeps the service's error until it is dismissed", () => {
    const { store } = setup();
    const id = store.command('w1', 'cancel', 'r:1.0');
    store.receive({ kind: 'ack', id, status: 'failed', message: '409: job is final' });
    vi.advanceTimersByTime(600_000);
    expect(clicks(store)).toMatchObject([{ status: 'failed', message: '409: job is final' }]);
    store.forget(id);
    expect(clicks(store)).toEqual([]);
  });

  it('says when the kernel does not take a click, and that it may still arrive', () => {
    const { store } = setup();
    store.command('w1', 'close');
    vi.advanceTimersByTime(2000);
    expect(clicks(store)).toMatchObject([{ status: 'sent', late: true, message: '' }]);
    vi.advanceTimersByTime(60_000);
    expect(clicks(store)[0]!.message).toMatch(/may still arrive/);
  });

  it('does not call a click late once the kernel has taken it, however long the service needs', () => {
    const { store } = setup();
    const id = store.command('w1', 'close');
    store.receive({ kind: 'ack', id, status: 'accepted', message: '' });
    vi.advanceTimersByTime(600_000);
    expect(clicks(store)).toMatchObject([{ status: 'accepted', late: false, message: '' }]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('fails at once where there is no way to the kernel', () => {
    const { store } = setup(false);
    store.command('w1', 'close');
    expect(clicks(store)).toMatchObject([{ status: 'failed', message: expect.stringMatching(/nothing was sent/) }]);
  });

  it('does not survive a restart of the kernel', () => {
    const { store } = setup();
    store.command('w1', 'close');
    store.reset();
    expect(store.workloads.size).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('a lost way to the kernel', () => {
  it('asks for what was missed when it is back, and drops what went meanwhile', () => {
    const { store, sent } = setup();
    store.connected(false);
    expect(store.lost).toBe(true);
    store.connected(true);
    expect(sent).toEqual([{ kind: 'attach', protocol: PROTOCOL }]);
    store.receive(hello([]));
    expect(store.workloads.size).toBe(0);
  });

  it('does not drop what came after it asked, though the greeting is older', () => {
    const { store } = setup();
    store.attach();
    store.receive({ ...snapshot(workload({ id: 'w2' })) });
    store.receive(hello(['w1']));
    expect([...store.workloads.keys()]).toEqual(['w1', 'w2']);
  });
});
