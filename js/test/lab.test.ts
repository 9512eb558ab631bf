import type { Kernel, KernelMessage, KernelSpec, Session } from '@jupyterlab/services';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { PROTOCOL } from '../core/protocol';
import { Kernels } from '../lab/kernels/kernels';
import { hello, job, snapshot, workload } from './samples';

class Signal<S, A> {
  readonly slots = new Set<(sender: S, args: A) => void>();
  connect = (slot: (sender: S, args: A) => void): boolean => this.slots.add(slot).has(slot);
  disconnect = (slot: (sender: S, args: A) => void): boolean => this.slots.delete(slot);
  emit(sender: S, args: A): void {
    for (const slot of [...this.slots]) slot(sender, args);
  }
}

/** A kernel that may have the package: answers on its control channel as kernel.py does. */
class FakeKernel {
  readonly name = 'python3';
  readonly clientId = 'page';
  readonly username = '';
  status: Kernel.Status = 'idle';
  connectionStatus: Kernel.ConnectionStatus = 'connected';
  isDisposed = false;
  readonly statusChanged = new Signal<FakeKernel, Kernel.Status>();
  readonly connectionStatusChanged = new Signal<FakeKernel, Kernel.ConnectionStatus>();
  readonly iopubMessage = new Signal<FakeKernel, { content: unknown; header: object; parent_header: object }>();
  readonly asked: { type: string; content: unknown }[] = [];
  process = 'p1';
  imported = true;

  constructor(readonly id: string) {}

  sendControlMessage(message: KernelMessage.IMessage) {
    const { msg_type: type } = message.header;
    this.asked.push({ type, content: message.content });
    const comms = this.imported ? { 'qmode_widgets-beacon': {} } : {};
    const content = type === 'comm_info_request' ? { comms } : hello(['w1'], this.process);
    return { done: Promise.resolve({ ...message, content }) };
  }

  say(data: unknown, commId = 'qmode_widgets-beacon'): void {
    this.publish('comm_msg', { comm_id: commId, data });
  }

  publish(type: string, content: unknown, parent = {}): void {
    this.iopubMessage.emit(this, { header: { msg_type: type, session: this.process }, parent_header: parent, content });
  }
}

let models: Session.IModel[];
let connections: { kernel: FakeKernel; disposed: boolean; options: unknown }[];
let kernelsById: Map<string, FakeKernel>;
let manager: {
  ready: Promise<void>;
  runningChanged: Signal<unknown, Session.IModel[]>;
  running: () => Session.IModel[];
  connectTo: (options: Session.ISessionConnection.IOptions) => unknown;
};
let kernels: Kernels;

const model = (id: string, kernel: string, path: string, type = 'notebook'): Session.IModel => ({
  id,
  path,
  name: path,
  type,
  kernel: { id: kernel, name: 'python3' },
});

const settle = () => new Promise(done => setTimeout(done));

async function run(...now: Session.IModel[]): Promise<void> {
  models = now;
  manager.runningChanged.emit(manager, models);
  await settle();
}

beforeEach(() => {
  models = [];
  connections = [];
  kernelsById = new Map();
  manager = {
    ready: Promise.resolve(),
    runningChanged: new Signal(),
    running: () => models,
    connectTo: options => {
      const id = options.model.kernel?.id ?? '';
      const kernel = kernelsById.get(id) ?? new FakeKernel(id);
      kernelsById.set(id, kernel);
      const connection = { kernel, disposed: false, options: options.kernelConnectionOptions };
      connections.push(connection);
      return { kernel, isDisposed: false, dispose: () => void (connection.disposed = true) };
    },
  };
  const specs = { specs: { kernelspecs: { python3: { display_name: 'Python 3' } } } };
  // Only the part of JupyterLab's managers that we use is played.
  kernels = new Kernels(manager as unknown as Session.IManager, specs as unknown as KernelSpec.IManager);
});

const one = () => kernels.all[0]!;
const kernel = () => connections[0]!.kernel;

describe('following kernels', () => {
  it('connects once to each kernel, with comms left to the notebook', async () => {
    await run(model('s1', 'k1', 'dir/a.ipynb'), model('s2', 'k1', 'console', 'console'), model('s3', 'k2', 'b.ipynb'));
    expect(connections.map(each => each.options)).toEqual([{ handleComms: false }, { handleComms: false }]);
    expect(kernels.all.map(({ place, spec }) => [place.path, spec])).toEqual([
      ['dir/a.ipynb', 'Python 3'],
      ['b.ipynb', 'Python 3'],
    ]);
    await run(model('s1', 'k1', 'dir/renamed.ipynb'), model('s3', 'k2', 'b.ipynb'));
    expect(kernels.all.map(({ place }) => place.path)).toEqual(['dir/renamed.ipynb', 'b.ipynb']);
    expect(connections).toHaveLength(2);
  });

  it('asks a kernel without the package nothing it would log as an error, and finds it when it is imported', async () => {
    const bare = new FakeKernel('k1');
    bare.imported = false;
    kernelsById.set('k1', bare);
    await run(model('s1', 'k1', 'a.ipynb'));
    expect(bare.asked.map(({ type }) => type)).toEqual(['comm_info_request']);
    bare.say(hello([]));
    await settle();
    expect(bare.asked.at(-1)).toEqual({ type: 'qmode_request', content: { kind: 'attach', protocol: PROTOCOL } });
  });

  it('shows what the kernel says on the beacon, and nothing of other comms', async () => {
    await run(model('s1', 'k1', 'a.ipynb'));
    kernel().say(snapshot(workload({ id: 'other' })), 'some-widget');
    kernel().say(snapshot(workload()));
    expect([...one().channel.store.workloads.keys()]).toEqual(['w1']);
  });

  it('takes a kernel for busy only when a cell runs', async () => {
    await run(model('s1', 'k1', 'a.ipynb'));
    kernel().publish('status', { execution_state: 'busy' }, { msg_type: 'qmode_request' });
    expect(one().channel.busy).toBe(false);
    kernel().publish('status', { execution_state: 'busy' }, { msg_type: 'execute_request' });
    expect(one().channel.busy).toBe(true);
    kernel().publish('status', { execution_state: 'idle' }, { msg_type: 'qmode_request' });
    expect(one().channel.busy).toBe(true);
    kernel().publish('status', { execution_state: 'idle' }, { msg_type: 'execute_request' });
    expect(one().channel.busy).toBe(false);
  });
});

describe('kernels that go', () => {
  const open = workload({ jobs: [job(0, 'running')] });

  it('knows nothing of a restarted kernel until it has answered', async () => {
    await run(model('s1', 'k1', 'a.ipynb'));
    kernel().say(snapshot(open));
    expect(one().channel.answered).toBe(true);
    kernel().imported = false;
    kernel().statusChanged.emit(kernel(), 'restarting');
    expect(one().channel).toMatchObject({ answered: false, found: false });
    expect(one().channel.store.workloads.size).toBe(0);
    kernel().process = 'p2';
    kernel().publish('status', { execution_state: 'starting' });
    await settle();
    expect(one().channel).toMatchObject({ answered: true, found: false });
    kernel().say(hello(['w1'], 'p2'));
    kernel().say(snapshot(open));
    await settle();
    expect(one().channel.found).toBe(true);
    expect(one().channel.store.hello?.process).toBe('p2');
  });

  it('takes a new connection to a kernel that the server restarted by itself: its control channel leads nowhere', async () => {
    await run(model('s1', 'k1', 'a.ipynb'));
    kernel().say(snapshot(open));
    kernel().statusChanged.emit(kernel(), 'autorestarting');
    kernel().process = 'p2';
    kernelsById.delete('k1');
    kernel().publish('status', { execution_state: 'starting' });
    await settle();
    expect(connections.map(({ disposed }) => disposed)).toEqual([true, false]);
    expect(connections[1]!.kernel.asked.map(({ type }) => type)).toEqual(['comm_info_request', 'qmode_request']);
  });

  it('hears the last word of a process that ended, also after the next has spoken', async () => {
    await run(model('s1', 'k1', 'a.ipynb'));
    const heard = vi.fn();
    kernels.hear((_, message) => heard(message));
    kernel().process = 'p2';
    kernel().say(hello([], 'p2'));
    await settle();
    heard.mockClear();
    kernel().process = 'p1';
    kernel().say({ kind: 'farewell', closed: ['w1'] });
    expect(heard).toHaveBeenCalledWith({ kind: 'farewell', closed: ['w1'] });
    expect(one().channel.store.hello?.process).toBe('p2');
  });

  it('lets go of the connection when the session ends', async () => {
    await run(model('s1', 'k1', 'a.ipynb'));
    kernel().say(snapshot(open));
    await run();
    expect(connections[0]!.disposed).toBe(true);
    expect(kernel().iopubMessage.slots.size + kernel().statusChanged.slots.size).toBe(0);
    expect(kernels.all).toEqual([]);
  });

  it('shows a lost connection as old, and asks again when it is back', async () => {
    await run(model('s1', 'k1', 'a.ipynb'));
    kernel().say(snapshot(open));
    kernel().connectionStatus = 'disconnected';
    kernel().connectionStatusChanged.emit(kernel(), 'disconnected');
    expect(one().channel.store.lost).toBe(true);
    one().channel.store.command('w1', 'close');
    expect(one().channel.store.workloads.get('w1')!.clicks[0]).toMatchObject({ status: 'failed' });
    kernel().connectionStatus = 'connected';
    kernel().connectionStatusChanged.emit(kernel(), 'connected');
    expect(kernel().asked.at(-1)).toEqual({ type: 'qmode_request', content: { kind: 'attach', protocol: PROTOCOL } });
    expect(one().channel.store.lost).toBe(false);
  });
});

it('lends cells the control channel of their kernel only', async () => {
  await run(model('s1', 'k1', 'a.ipynb'), model('s2', 'k2', 'b.ipynb'));
  connections[1]!.kernel.process = 'p2';
  connections[1]!.kernel.say(hello([], 'p2'));
  await settle();
  const request = { kind: 'attach', protocol: PROTOCOL, workload: 'w1' } as const;
  expect(kernels.send('p2', request)).toBe(true);
  expect(connections[1]!.kernel.asked.at(-1)).toEqual({ type: 'qmode_request', content: request });
  expect(kernels.send('elsewhere', request)).toBe(false);
});

it('tells its listeners', async () => {
  const listener = vi.fn();
  const stop = kernels.subscribe(listener);
  await run(model('s1', 'k1', 'a.ipynb'));
  expect(listener).toHaveBeenCalled();
  stop();
  listener.mockClear();
  await run();
  expect(listener).not.toHaveBeenCalled();
});
