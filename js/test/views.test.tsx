import { act } from 'preact/test-utils';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { mountCell } from '../core/mount';
import type { Request, WorkloadSnapshot } from '../core/protocol';
import { Store } from '../core/store';
import { hello, job, patch, snapshot, ttl, usage, workload } from './samples';

const NOW = 1_800_000_000;
let box: HTMLElement;
let unmount: () => void;
let sent: Request[];
let store: Store;

beforeEach(() => {
  vi.useFakeTimers({ now: NOW * 1000 });
  box = document.createElement('div');
  document.body.append(box);
});
afterEach(() => {
  unmount();
  box.remove();
  vi.useRealTimers();
});

async function mount(state: WorkloadSnapshot): Promise<void> {
  sent = [];
  store = new Store(request => {
    sent.push(request);
    return true;
  });
  store.receive(hello(['w1']));
  store.receive(snapshot(state, 1, NOW));
  await act(() => {
    unmount = mountCell(box, store, 'w1');
  });
}

const all = (selector: string): HTMLElement[] => [...box.querySelectorAll<HTMLElement>(selector)];
const one = (selector: string): HTMLElement => {
  const found = box.querySelector<HTMLElement>(selector);
  if (found === null) throw new Error(`no ${selector} in ${box.textContent}`);
  return found;
};
const row = (key: string): HTMLElement => one(`tr[data-key="${key}"]`);
const click = (element: HTMLElement): Promise<void> => act(() => element.click());
const receive = (message: unknown): Promise<void> => act(() => store.receive(message));

describe('a workload', () => {
  it('shows a row for each partition and changes it with a patch', async () => {
    await mount(
      workload({
        jobs: [
          job(0, 'done', { usage: usage({ reported: 8.2, status: 'final' }) }),
          job(1, 'queued', { usage: usage({ estimated: 8 }) }),
        ],
      }),
    );
    expect(row('r:0.0').textContent).toContain('✓ Done');
    expect(row('r:0.0').textContent).toContain('8.2 s');
    expect(row('r:1.0').textContent).toContain('· Queued');
    expect(row('r:1.0').textContent).toContain('≈ 8 s');
    await receive(patch(2, { jobs: { 'r:1.0': { state: 'running', running: NOW } } }));
    expect(row('r:1.0').textContent).toContain('▶ Running');
  });

  it('never shows what is unknown as 0', async () => {
    await mount(workload({ jobs: [job(0, 'done')] }));
    expect(one('.qm-usage .qm-big').textContent).toBe('–');
    expect(row('r:0.0').querySelector('.qm-c-usage')!.textContent).toBe('–');
  });

  it('counts down by itself: no message, no request', async () => {
    await mount(workload({ ttl: ttl({ max_ttl: 100, max_deadline: NOW + 90 }) }));
    expect(one('[role=timer]').textContent).toBe('1:30');
    await act(() => {
      vi.advanceTimersByTime(30_000);
    });
    expect(one('[role=timer]').textContent).toBe('1:00');
    await act(() => {
      vi.advanceTimersByTime(90_000);
    });
    expect(one('[role=timer]').textContent).toBe('0:00');
    expect(one('.qm-time').textContent).toContain('has run out');
    expect(sent).toEqual([]);
  });

  it('stands still while the page is hidden, and when nothing runs', async () => {
    await mount(workload({ state: 'closed', jobs: [job(0, 'done')] }));
    expect(vi.getTimerCount()).toBe(0);
  });

  it('treats text from the service as text', async () => {
    const evil = '<img src=x onerror="window.pwned=1"><b>x</b>';
    await mount(
      workload({
        id: evil,
        backend: evil,
        jobs: [job(0, 'failed', { reason: evil, pubs: evil, note: evil })],
        events: [{ id: 1, time: 1, level: 'error', text: evil, job: null }],
      }),
    );
    unmount();
    store.receive(hello([evil]));
    store.receive({
      ...snapshot(
        workload({ id: evil, backend: evil, jobs: [job(0, 'failed', { reason: evil, pubs: evil })] }),
        1,
        NOW,
      ),
    });
    await act(() => {
      unmount = mountCell(box, store, evil);
    });
    expect(box.querySelector('img')).toBeNull();
    expect(row('r:0.0').textContent).toContain('<img src=x');
  });

  it('dims what may be old and says since when', async () => {
    await mount(workload({ seen_at: NOW - 12, problem: '503 from the service', jobs: [job(0, 'running')] }));
    expect(one('.qm-card').className).toContain('qm-stale');
    expect(one('.qm-head').textContent).toContain('last seen 12 s ago');
    await act(() => {
      vi.advanceTimersByTime(5000);
    });
    expect(one('.qm-head').textContent).toContain('last seen 17 s ago');
  });

  it('draws the timeline only from what is known', async () => {
    await mount(workload({ jobs: [job(0, 'queued')] }));
    expect(box.querySelector('.qm-timeline')).toBeNull();
    await receive(
      patch(2, {
        jobs: { 'r:0.0': { state: 'done', running: NOW - 20, finished: NOW, spans: [[NOW - 12, NOW - 5]] } },
      }),
    );
    expect(all('.qm-work')).toHaveLength(1);
    expect(all('.qm-qpu')).toHaveLength(1);
  });
});

describe('clicks', () => {
  const two = () =>
    workload({ jobs: [job(0, 'failed', { usage: usage({ estimated: 8 }) }), job(1, 'running'), job(2, 'queued')] });

  it('asks once, says the cost, and sends the command only then', async () => {
    await mount(two());
    await click(row('r:0.0').querySelector('button')!);
    expect(one('.qm-confirm').textContent).toContain('Expected usage ≈ 8 s');
    expect(document.activeElement).toBe(one('.qm-confirm'));
    expect(sent).toEqual([]);
    await click(one('[data-confirm=yes]'));
    expect(sent).toMatchObject([{ kind: 'command', action: 'resubmit', target: 'r:0.0', workload: 'w1' }]);
    expect(box.querySelector('.qm-confirm')).toBeNull();
  });

  it('"Not now" and Escape send nothing and give the focus back', async () => {
    await mount(two());
    const button = row('r:1.0').querySelector('button')!;
    for (const leave of [
      () => one('[data-confirm=no]').click(),
      () => one('.qm-confirm').dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true })),
    ]) {
      button.focus();
      await click(button);
      await act(leave);
      expect(box.querySelector('.qm-confirm')).toBeNull();
      expect(document.activeElement).toBe(button);
    }
    expect(sent).toEqual([]);
  });

  it('shows pending, then the outcome, in a live region', async () => {
    await mount(two());
    await click(row('r:1.0').querySelector('button')!);
    await click(one('[data-confirm=yes]'));
    const button = row('r:1.0').querySelector('button')!;
    expect(button.getAttribute('aria-busy')).toBe('true');
    await click(button);
    expect(sent).toHaveLength(1);
    const { id } = sent[0] as { id: string };
    await receive({ kind: 'ack', id, status: 'failed', message: 'the job is final (409)' });
    expect(one('[role=status]').getAttribute('aria-live')).toBe('polite');
    expect(one('[role=status]').textContent).toContain('Cancel partition 2 (PUBs 1): the job is final (409)');
    await click(one('[aria-label=Dismiss]'));
    expect(one('[role=status]').textContent).toBe('');
  });

  it("offers the header's actions with the number they touch", async () => {
    await mount(two());
    expect(all('.qm-head .qm-button').map(each => each.textContent)).toEqual([
      'Resubmit failed (1)',
      'Cancel remaining (1)',
      'Close',
    ]);
    await click(one('[data-action=cancel_remaining]'));
    await click(one('[data-confirm=also]'));
    expect(sent).toMatchObject([{ action: 'cancel_all', target: null }]);
  });

  it('are off, with the reason, when the kernel can only show', async () => {
    await mount(workload({ jobs: [job(0, 'running')], read_only: 'the client has changed' }));
    expect(box.textContent).toContain('Read only: the client has changed');
    expect(all('[data-action]')).toEqual([]);
  });

  it('keeps the focus in the workload when an update takes the button away', async () => {
    await mount(two());
    row('r:1.0').querySelector('button')!.focus();
    await receive(patch(2, { jobs: { 'r:1.0': { state: 'done' } } }));
    expect(one('.qm-card').contains(document.activeElement)).toBe(true);
  });
});

describe('many partitions', () => {
  it('keeps a thousand rows out of the page but in the count, and merges the strip', async () => {
    await mount(workload({ jobs: Array.from({ length: 1000 }, (_, n) => job(n, n < 700 ? 'done' : 'queued')) }));
    expect(all('tbody tr[data-key]').length).toBeLessThan(60);
    expect(one('table').getAttribute('aria-rowcount')).toBe('1001');
    expect(all('.qm-cell').map(each => each.style.flexGrow)).toEqual(['700', '300']);
  });

  it('filters by the counts under the strip', async () => {
    await mount(workload({ jobs: [job(0, 'done'), job(1, 'failed'), job(2, 'done')] }));
    await click(all('.qm-count')[1]!);
    expect(all('tbody tr[data-key]').map(each => each.dataset.key)).toEqual(['r:1.0']);
    await click(all('.qm-count')[1]!);
    expect(all('tbody tr[data-key]')).toHaveLength(3);
  });
});

it('says so when the kernel speaks another protocol', async () => {
  await mount(workload());
  await receive({ ...hello(['w1']), protocol: 2 });
  expect(one('[role=alert]').textContent).toMatch(/install the same version/);
});
