import { act } from 'preact/test-utils';
import { afterEach, expect, it, vi } from 'vitest';
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

async function show(model: ReturnType<typeof mockModel>) {
  const { initialize, render } = widget();
  const end = initialize({ model });
  const el = document.createElement('div');
  document.body.append(el);
  let unmount = (): void => undefined;
  await act(() => {
    unmount = render({ model, el });
  });
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

it('shows the state that came with the widget at once, then asks for what follows', async () => {
  const model = mockModel();
  const { el, close } = await show(model);
  expect(el.textContent).toContain('▶ Running');
  expect(model.send).toHaveBeenCalledWith({ kind: 'attach', protocol: PROTOCOL, workload: 'w1' });
  expect(model.state).toEqual({ _start: { workload: 'w1' } }); // nothing of it would be saved with the notebook
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
