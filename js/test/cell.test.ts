import { act } from 'preact/test-utils';
import { afterEach, describe, expect, it, vi } from 'vitest';
import widget from '../cell/index';
import { PROTOCOL } from '../core/protocol';
import { hello, job, snapshot, workload } from './samples';

/** An anywidget model, as far as the cell's entry uses one. */
function mockModel() {
  const listeners = new Map<string, (value: never) => void>();
  const state: Record<string, unknown> = {
    _start: { workload: 'w1', hello: hello(['w1']), snapshot: snapshot(workload({ jobs: [job(0, 'running')] })) },
  };
  return {
    state,
    listeners,
    get: (name: string) => state[name],
    set: (name: string, value: unknown) => {
      state[name] = value;
    },
    send: vi.fn(),
    on: (event: string, callback: (value: never) => void) => void listeners.set(event, callback),
    off: (event: string) => void listeners.delete(event),
    emit: (event: string, value?: unknown) => act(() => listeners.get(event)?.(value as never)),
  };
}

/** With a kernel that answers, unless told otherwise. */
async function show(model: ReturnType<typeof mockModel>, answers = true) {
  const { initialize, render } = widget();
  const end = initialize({ model });
  const el = document.createElement('div');
  document.body.append(el);
  let unmount = (): void => undefined;
  await act(() => {
    unmount = render({ model, el });
  });
  if (answers) await model.emit('msg:custom', hello(['w1']));
  return {
    el,
    close: () => {
      unmount();
      end();
      el.remove();
    },
  };
}

const cancel = async (el: HTMLElement) => {
  await act(() => el.querySelector<HTMLElement>('[data-action=cancel]')!.click());
  await act(() => el.querySelector<HTMLElement>('[data-confirm=yes]')!.click());
};

afterEach(() => {
  delete window.qmodeWidgetsBridge;
});

it('keeps a state from the start, for a notebook that is saved before anything happened', async () => {
  const model = mockModel();
  const { close } = await show(model, false);
  close();
  const { initialize, render } = widget();
  const end = initialize({ model }); // the next page, from what the first one left in the model
  const el = document.body.appendChild(document.createElement('div'));
  await act(() => void render({ model, el }));
  expect(el.querySelector('.qm-card')?.getAttribute('data-saved')).toBe('true');
  expect(el.textContent).toContain('Running');
  end();
  el.remove();
});

it('shows the state that came with the widget at once, then asks for what follows', async () => {
  const model = mockModel();
  const { el, close } = await show(model);
  expect(el.textContent).toContain('▶ Running');
  expect(model.send).toHaveBeenCalledWith({ kind: 'attach', protocol: PROTOCOL, workload: 'w1' });
  // What would be saved with the notebook is a snapshot as documents keep it.
  expect(model.state).toMatchObject({ _start: { workload: 'w1', saved: { folded: [], process: 'p1' } } });
  expect(model.state._start).not.toHaveProperty('hello');
  await model.emit('msg:custom', {
    kind: 'patch',
    workload: 'w1',
    epoch: 1,
    seq: 2,
    now: 1,
    set: {},
    jobs: { 'r:0.0': { state: 'done' } },
  });
  expect(el.textContent).toContain('✓ Done');
  close();
  expect(model.listeners.size).toBe(0);
});

it('works where the sidebar cannot: its clicks need no control channel', async () => {
  const model = mockModel();
  model.state._start = {
    ...(model.state._start as object),
    hello: { ...hello(['w1']), problem: 'no control channel' },
  };
  const { el, close } = await show(model);
  await cancel(el);
  expect(model.send).toHaveBeenLastCalledWith(expect.objectContaining({ action: 'cancel' }));
  close();
});

it('follows a fresh state put into the model before the kernel has heard of the page', async () => {
  const model = mockModel();
  const { el, close } = await show(model);
  model.state._start = {
    workload: 'w1',
    hello: hello(['w1']),
    snapshot: snapshot(workload({ jobs: [job(0, 'failed')] }), 5),
  };
  await model.emit('change:_start');
  expect(el.textContent).toContain('! Failed');
  close();
});

it("sends clicks over the comm, or over the extension's control channel where there is one", async () => {
  const model = mockModel();
  const { el, close } = await show(model);
  await cancel(el);
  expect(model.send).toHaveBeenLastCalledWith(expect.objectContaining({ kind: 'command', action: 'cancel' }));
  close();

  const send = vi.fn(() => true);
  window.qmodeWidgetsBridge = { send };
  const other = mockModel();
  const second = await show(other);
  await cancel(second.el);
  expect(send).toHaveBeenLastCalledWith('p1', expect.objectContaining({ kind: 'command', action: 'cancel' }));
  // What it shows it asked for on its own comm: that is where the answer goes.
  expect(other.send.mock.calls).toEqual([[{ kind: 'attach', protocol: PROTOCOL, workload: 'w1' }]]);
  expect(send).toHaveBeenCalledOnce();
  second.close();
});

it('says that its kernel has ended, keeps what was last seen, and offers no click', async () => {
  const model = mockModel();
  const { el, close } = await show(model);
  await model.emit('comm_live_update');
  expect(el.textContent).toContain('qmode.attach("w1", service)');
  expect(el.textContent).toContain('▶ Running');
  expect(el.textContent).toContain('last seen');
  expect(el.querySelector('[data-action]')).toBeNull();
  close();
});

describe('over the manager’s own kernel', () => {
  /** As JupyterLab's and VS Code's managers have one; `process` is what it says of itself. */
  const managed = (process: string) => {
    const sent: { channel: string; header: { msg_type: string; session: string }; content: unknown }[] = [];
    const sendControlMessage = vi.fn((message: (typeof sent)[number]) => {
      sent.push(message);
      return { done: Promise.resolve({ header: { session: process } }) };
    });
    return { sent, model: { ...mockModel(), widget_manager: { kernel: { clientId: 'page', sendControlMessage } } } };
  };

  it('a click reaches a kernel that a cell keeps busy', async () => {
    const { sent, model } = managed('p1');
    const { el, close } = await show(model, false);
    await cancel(el); // the kernel has not answered over the comm, and cannot
    expect(sent.at(-1)).toMatchObject({
      channel: 'control',
      header: { msg_type: 'qmode_request', session: 'page' },
      content: { kind: 'command', action: 'cancel', target: 'r:0.0' },
    });
    expect(model.send.mock.calls).toEqual([[{ kind: 'attach', protocol: PROTOCOL, workload: 'w1' }]]); // what it shows comes over its comm
    close();
  });

  it('another start of the kernel is not the one that wrote the state', async () => {
    const { el, close } = await show(managed('p2').model, false);
    expect(el.querySelector('[data-action]')).toBeNull();
    expect(el.querySelector('.qm-card')!.getAttribute('data-saved')).toBe('true');
    close();
  });

  it('a manager without a kernel leaves the comm', async () => {
    const model = { ...mockModel(), widget_manager: { kernel: undefined } };
    const { el, close } = await show(model);
    await cancel(el);
    expect(model.send).toHaveBeenLastCalledWith(expect.objectContaining({ action: 'cancel' }));
    close();
  });
});

describe('state that was saved with a notebook', () => {
  it.each([
    ['by the kernel', { hello: hello(['w1']) }],
    ['by a page', {}],
  ])('%s is drawn as saved, and leads back, while no kernel answers', async (_, more) => {
    vi.useFakeTimers();
    const model = mockModel();
    const state = workload({ mode: 'session', seen_at: 900, jobs: [job(0, 'running', { running: 890 })] });
    model.state._start = {
      workload: 'w1',
      ...more,
      ...('hello' in more ? { snapshot: snapshot(state) } : { saved: snapshot(state) }),
    };
    const { el, close } = await show(model, false);
    expect(el.textContent).toContain('As of ');
    expect(el.textContent).toContain('looking for its kernel…');
    expect(el.querySelectorAll('tr[data-key]')).toHaveLength(1);
    expect(el.querySelector('[data-action]')).toBeNull();
    const before = el.querySelector('.qm-tiles')!.textContent;
    await act(() => void vi.advanceTimersByTime(3500));
    expect(el.textContent).toContain('qmode.attach("w1", service)');
    expect(el.querySelector('.qm-tiles')!.textContent).toBe(before); // no clock of it goes on
    await model.emit('msg:custom', hello(['w1'])); // it was busy, and is there
    await model.emit('msg:custom', snapshot(state, 2));
    expect(el.querySelector('[data-action]')).not.toBeNull();
    close();
    vi.useRealTimers();
  });

  it('says how to attach where nothing of it was saved', async () => {
    vi.useFakeTimers();
    const model = mockModel();
    model.state._start = { workload: 'w1' };
    const { el, close } = await show(model, false);
    expect(el.textContent).toContain('Waiting for the kernel…');
    await act(() => void vi.advanceTimersByTime(3500));
    expect(el.textContent).toContain('qmode.attach("w1", service)');
    close();
    vi.useRealTimers();
  });
});
