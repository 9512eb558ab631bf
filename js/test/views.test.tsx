import { act } from 'preact/test-utils';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { clock, dateTime } from '../core/clock';
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
const button = (key: string): HTMLElement => row(key).querySelector<HTMLElement>('[data-action]')!;
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
    expect(one('.qm-usage .qm-big').textContent).toBe('– usage not reported yet');
    expect(box.querySelector('.qm-bar')).toBeNull(); // of what would it be full?
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
    expect(one('.qm-bottom').textContent).toContain('last seen 12 s ago');
    await act(() => {
      vi.advanceTimersByTime(5000);
    });
    expect(one('.qm-bottom').textContent).toContain('last seen 17 s ago');
  });

  it('stops every clock when it is old, and says why in words', async () => {
    const state = workload({
      mode: 'session',
      seen_at: NOW,
      ttl: ttl({ max_ttl: 100, max_deadline: NOW + 90 }),
      jobs: [job(0, 'running', { running: NOW - 5 })],
    });
    await mount(state);
    await receive(patch(2, { now: NOW, set: { problem: 'The service has not answered the last three requests' } }));
    await act(() => {
      vi.advanceTimersByTime(30_000);
    });
    expect(one('[role=timer]').textContent).toBe('1:30');
    expect(one('[data-banner=service]').textContent).toContain('has not answered the last three requests');
    expect(one('[data-banner=service]').textContent).toContain('The session may still be open and billed');
    expect(one('[data-banner=service] [data-action=refresh]').textContent).toBe('Retry now');
    await receive(patch(3, { now: NOW + 30, set: { problem: null, seen_at: NOW + 30 } }));
    expect(one('[role=timer]').textContent).toBe('1:00');
    expect(box.querySelector('[data-banner]')).toBeNull();
  });

  it('counts down to the next attempt to send a job, through an outage too', async () => {
    const waits = job(0, 'waiting', { created: null, note: 'too many submissions', next_try: NOW + 12 });
    await mount(workload({ jobs: [waits], problem: 'the service cannot be reached', seen_at: NOW - 60 }));
    expect(row('r:0.0').textContent).toMatch(/too many submissions.*next try in 12 s/);
    await act(() => {
      vi.advanceTimersByTime(5000);
    });
    expect(row('r:0.0').textContent).toContain('next try in 7 s');
    await act(() => {
      vi.advanceTimersByTime(8000);
    });
    expect(row('r:0.0').textContent).not.toContain('next try');
    await receive(patch(2, { now: NOW + 13, jobs: { 'r:0.0': { state: 'queued', note: null, next_try: null } } }));
    expect(row('r:0.0').textContent).not.toContain('too many submissions');
  });

  it('misses no change that arrives right after it was drawn', async () => {
    store = new Store(() => true);
    store.receive(hello(['w1']));
    store.receive(snapshot(workload({ jobs: [job(0, 'running')] }), 1, NOW));
    unmount = mountCell(box, store, 'w1'); // what waits for the next frame has not run yet
    store.receive(patch(2, { jobs: { 'r:0.0': { state: 'done' } } }));
    await act(() => undefined);
    expect(row('r:0.0').dataset.state).toBe('done');
  });

  it('draws the course of a job only from what is known', async () => {
    await mount(workload({ jobs: [job(0, 'waiting', { created: null })] }));
    expect(all('.qm-seg')).toEqual([]);
    await receive(
      patch(2, { now: NOW, jobs: { 'r:0.0': { state: 'running', created: NOW - 30, running: NOW - 20 } } }),
    );
    expect(all('.qm-seg').map(each => each.className)).toEqual(['qm-seg qm-seg-waited', 'qm-seg qm-seg-ran qm-grows']);
    const done = { state: 'done', finished: NOW, spans: [[NOW - 12, NOW - 5]] } as const;
    await receive(patch(3, { now: NOW, jobs: { 'r:0.0': { ...done, spans: [[NOW - 12, NOW - 5]] } } }));
    expect(all('.qm-seg-qpu')).toHaveLength(1);
    expect(parseFloat(one('.qm-seg-ran').style.width)).toBeCloseTo((100 * 20) / 30);
    expect(one('.qm-seg-qpu').style.left).toBe('60%');
  });

  it('hatches what a session was billed for though nothing ran', async () => {
    const ran = (n: number, from: number, to: number) =>
      job(n, 'done', { created: from, running: from, finished: to, group: `step ${n + 1}`, of: 1, run: `r${n}` });
    await mount(
      workload({ mode: 'session', state: 'closed', jobs: [ran(0, NOW - 100, NOW - 80), ran(1, NOW - 20, NOW)] }),
    );
    expect(all('.qm-idle').map(each => [each.style.left, each.style.width])).toEqual([['20%', '60%']]);
    expect(row('r:0.0').textContent).toContain('step 1');
  });

  it('ticks the idle time of a session from its own clock', async () => {
    const idle = ttl({ interactive_ttl: 60, interactive_deadline: NOW + 50 });
    const used = usage({ reported: 241, status: 'running', idle: 54 });
    await mount(workload({ mode: 'session', seen_at: NOW, ttl: idle, usage: used, jobs: [job(0, 'done')] }));
    expect(one('.qm-usage').textContent).toContain('54 s idle, billed');
    await act(() => {
      vi.advanceTimersByTime(5000);
    });
    expect(one('.qm-usage').textContent).toContain('59 s idle, billed');
    expect(one('.qm-usage').textContent).toContain('246 s used so far');
  });
});

describe('what leads', () => {
  it('is how far it is, then what it used, then when it must end', async () => {
    await mount(
      workload({
        jobs: [job(0, 'done'), job(1, 'failed'), job(2, 'queued')],
        usage: usage({ reported: 34.1, status: 'running', estimated: 96, cap: 120 }),
        ttl: ttl({ max_ttl: 28800, max_deadline: NOW + 27668 }),
      }),
    );
    expect(all('.qm-tile').map(each => each.className.split(' ')[1])).toEqual(['qm-progress', 'qm-usage', 'qm-time']);
    expect(one('.qm-progress .qm-big').textContent).toBe('1 of 3 done');
    expect(one('.qm-usage .qm-big').textContent).toBe('34.1 s used, ≈ 96 s expected');
    expect(one('.qm-cap').style.left).toBe('100%');
    expect(one('.qm-time').textContent).toContain('7:41:08 until it must end');
  });

  it('shows what went beyond the cap as beyond it', async () => {
    await mount(workload({ usage: usage({ reported: 150, status: 'running', cap: 120 }), jobs: [job(0, 'running')] }));
    expect(one('.qm-cap').style.left).toBe('80%');
    expect(one('.qm-over').style.width).toBe('20%');
  });

  it('says before it happens that what is expected does not fit under the cap', async () => {
    await mount(workload({ usage: usage({ estimated: 150, cap: 120 }), jobs: [job(0, 'queued')] }));
    expect(one('[data-banner=over]').textContent).toContain('The expected ≈ 150 s exceed the cap of 120 s');
  });

  it('makes a reached cap a matter for the user', async () => {
    const acted = { name: 'usage cap', value: '6 s', where: 'kernel' as const, acted: NOW };
    const used = usage({ reported: 6.4, status: 'final', cap: 6 });
    await mount(
      workload({ state: 'closed', limits: [acted], usage: used, jobs: [job(0, 'done'), job(1, 'cancelled')] }),
    );
    expect(one('[data-banner=cap]').textContent).toMatch(/cap of 6 s was reached .*1 job of 2 is not done/);
    expect(one('.qm-head').textContent).toContain('Cap reached');
  });

  it('says of failures what happened, what it cost, and what goes on; once dismissed it stays away', async () => {
    const why = { reason: 'Transient error on the QPU.', reason_code: 9707 };
    const free = usage({ reported: 0, status: 'final' });
    await mount(workload({ jobs: [job(0, 'failed', { ...why, usage: free }), job(1, 'running'), job(2, 'queued')] }));
    expect(one('[data-banner=failed]').textContent).toContain(
      '1 of 3 failed. Transient error on the QPU (9707), nothing billed. The other 2 go on.',
    );
    await click(one('[data-banner=failed] [aria-label=Dismiss]'));
    expect(box.querySelector('[data-banner]')).toBeNull();
    await receive(patch(2, { jobs: { 'r:1.0': { state: 'failed' } } }));
    expect(one('[data-banner=failed]').textContent).toContain('2 of 3 failed');
  });

  it('asks for a valid key where IBM rejected it', async () => {
    await mount(workload({ problem: 'HTTP 401: Unauthorized', jobs: [job(0, 'running')] }));
    expect(one('[data-banner=token]').textContent).toContain('IBM rejected the key');
  });
});

describe('clicks', () => {
  const two = () =>
    workload({ jobs: [job(0, 'failed', { usage: usage({ estimated: 8 }) }), job(1, 'running'), job(2, 'queued')] });

  it('asks once, says the cost, and sends the command only then', async () => {
    await mount(two());
    await click(button('r:0.0'));
    expect(one('.qm-confirm').textContent).toContain('Expected usage ≈ 8 s');
    expect(document.activeElement).toBe(one('.qm-confirm'));
    expect(sent).toEqual([]);
    await click(one('[data-confirm=yes]'));
    expect(sent).toMatchObject([{ kind: 'command', action: 'resubmit', target: 'r:0.0', workload: 'w1' }]);
    expect(box.querySelector('.qm-confirm')).toBeNull();
  });

  it('"Not now" and Escape send nothing and give the focus back', async () => {
    await mount(two());
    for (const leave of [
      () => one('[data-confirm=no]').click(),
      () => one('.qm-confirm').dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true })),
    ]) {
      const asked = button('r:1.0');
      asked.focus();
      await click(asked);
      await act(leave);
      expect(box.querySelector('.qm-confirm')).toBeNull();
      expect(document.activeElement).toBe(button('r:1.0'));
    }
    expect(sent).toEqual([]);
  });

  it('shows pending, then the outcome, in a live region', async () => {
    await mount(two());
    await click(button('r:1.0'));
    await click(one('[data-confirm=yes]'));
    const busy = button('r:1.0');
    expect(busy.getAttribute('aria-busy')).toBe('true');
    await click(busy);
    expect(sent).toHaveLength(1);
    const { id } = sent[0] as { id: string };
    await receive({ kind: 'ack', id, status: 'failed', message: 'the job is final (409)' });
    expect(one('[role=status]').getAttribute('aria-live')).toBe('polite');
    expect(one('[role=status]').textContent).toContain('Cancel partition 2 (PUB 1): the job is final (409)');
    expect(row('r:1.0').querySelector('.qm-outcome')!.textContent).toContain('the job is final (409)');
    await click(row('r:1.0').querySelector<HTMLElement>('[aria-label=Dismiss]')!);
    expect(row('r:1.0').querySelector('.qm-outcome')).toBeNull();
  });

  it("offers the header's actions with the number they touch", async () => {
    await mount(two());
    expect(all('.qm-head .qm-button').map(each => each.textContent)).toEqual(['Cancel…', 'End batch…']);
    await click(one('[data-action=cancel_remaining]'));
    await click(one('[data-confirm=also]'));
    expect(sent).toMatchObject([{ action: 'cancel_all', target: null }]);
  });

  it('are off, with the reason, when the kernel can only show', async () => {
    await mount(workload({ jobs: [job(0, 'running')], read_only: 'the client has changed' }));
    expect(box.textContent).toContain('Read only: the client has changed');
    expect(all('[data-action]')).toEqual([]);
  });

  it('answers in the place that asked: nothing else is added or moved', async () => {
    await mount(two());
    const before = all('.qm-card > *').map(each => each.className);
    await click(button('r:1.0'));
    expect(row('r:1.0').querySelector('.qm-confirm')!.textContent).toContain('stays billed');
    expect(all('.qm-card > *').map(each => each.className)).toEqual(before);
    // Where the pointer rests after the click is what changes nothing.
    expect([...row('r:1.0').querySelectorAll('.qm-confirm button')].at(-1)!.textContent).toBe('Not now');
    await click(one('[data-confirm=yes]'));
    await receive({ kind: 'ack', id: (sent[0] as { id: string }).id, status: 'done', message: 'cancelled' });
    expect(row('r:1.0').querySelector('.qm-outcome')!.textContent).toContain('✓cancelled');
    expect(all('.qm-card > *').map(each => each.className)).toEqual(before);
  });

  it('says what a click waits for within two seconds', async () => {
    await mount(two());
    await click(button('r:1.0'));
    await click(one('[data-confirm=yes]'));
    await act(() => {
      vi.advanceTimersByTime(2000);
    });
    expect(row('r:1.0').textContent).toContain('The kernel has not taken this click yet');
    await receive({ kind: 'ack', id: (sent[0] as { id: string }).id, status: 'accepted', message: '' });
    await act(() => {
      vi.advanceTimersByTime(1000);
    });
    expect(row('r:1.0').textContent).toMatch(/Waiting for the service, [23] s/);
  });

  it('ends a batch with what is still open finished or cancelled', async () => {
    await mount(two());
    await click(one('[data-action=close]'));
    expect(one('.qm-head .qm-confirm').textContent).toContain('2 jobs have not finished');
    await click(one('[data-confirm=also]'));
    expect(sent).toMatchObject([{ action: 'end', target: null }]);
  });

  it('cancels several that were chosen', async () => {
    await mount(two());
    await click(all('.qm-fold button').find(each => each.textContent === 'Select…')!);
    await click(row('r:1.0').querySelector<HTMLElement>('.qm-choose')!);
    await click(row('r:2.0').querySelector<HTMLElement>('.qm-choose')!);
    const chosen = one('[data-place=":chosen"]');
    expect(chosen.textContent).toBe('Cancel 2, saves ≈ ? s');
    await click(chosen);
    expect(sent).toEqual([]);
    expect(one('.qm-fold .qm-confirm').textContent).toContain('What the running one has used until then stays billed.');
    await click(one('[data-confirm=yes]'));
    expect(sent).toMatchObject([
      { action: 'cancel', target: 'r:1.0' },
      { action: 'cancel', target: 'r:2.0' },
    ]);
  });

  it('tells a screen reader of a job that fails', async () => {
    await mount(two());
    await receive(patch(2, { jobs: { 'r:1.0': { state: 'failed', reason: 'Transient error.' } } }));
    expect(one('[role=status]').textContent).toBe('partition 2 (PUB 1) failed: Transient error.');
  });

  it('lets no single key out to the notebook, and every shortcut with Ctrl', async () => {
    await mount(two());
    const heard: string[] = [];
    const listen = (event: Event): void => void heard.push((event as KeyboardEvent).key);
    document.body.addEventListener('keydown', listen);
    const press = (key: string, more = {}): unknown =>
      button('r:1.0').dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, ...more }));
    press('x');
    press('d');
    press('Enter', { shiftKey: true });
    press('s', { ctrlKey: true });
    document.body.removeEventListener('keydown', listen);
    expect(heard).toEqual(['s']);
  });

  it('keeps the focus in the workload when an update takes the button away', async () => {
    await mount(two());
    button('r:1.0').focus();
    await receive(patch(2, { jobs: { 'r:1.0': { state: 'done' } } }));
    expect(one('.qm-card').contains(document.activeElement)).toBe(true);
  });
});

describe('rows', () => {
  const order = (): (string | undefined)[] => all('tbody tr[data-key]').map(each => each.dataset.key);

  it('stand in the order in which they need the user, what is done folded with its sum', async () => {
    const used = (seconds: number) => ({ usage: usage({ reported: seconds, status: 'final' }) });
    await mount(
      workload({
        jobs: [
          job(0, 'done', { finished: 10, ...used(8) }),
          job(1, 'queued'),
          job(2, 'done', { finished: 30, ...used(8.2) }),
          job(3, 'running'),
          job(4, 'done', { finished: 20, ...used(8) }),
          job(5, 'failed'),
        ],
      }),
    );
    expect(order()).toEqual(['r:5.0', 'r:3.0', 'r:1.0', 'r:2.0']);
    expect(one('[data-unfold]').textContent).toBe('2 more done, 16 s');
    await click(one('[data-unfold]'));
    expect(order()).toHaveLength(6);
    await click(all('.qm-sort button')[1]!);
    expect(order()).toEqual(['r:0.0', 'r:1.0', 'r:2.0', 'r:3.0', 'r:4.0', 'r:5.0']);
  });

  it('keep their places while the pointer is on them', async () => {
    await mount(workload({ jobs: [job(0, 'running'), job(1, 'running'), job(2, 'queued')] }));
    await act(() => void one('.qm-scroll').dispatchEvent(new PointerEvent('pointerenter')));
    await receive(patch(2, { jobs: { 'r:1.0': { state: 'failed' } } }));
    expect(order()).toEqual(['r:0.0', 'r:1.0', 'r:2.0']);
    await act(() => void one('.qm-scroll').dispatchEvent(new PointerEvent('pointerleave')));
    expect(order()).toEqual(['r:1.0', 'r:0.0', 'r:2.0']);
  });

  it('keep them when they are done, and what is new comes after them, by itself in order', async () => {
    await mount(workload({ jobs: [job(0, 'running'), job(1, 'queued'), job(2, 'queued')] }));
    await act(() => void one('.qm-scroll').dispatchEvent(new PointerEvent('pointerenter')));
    const fresh = { 'r:3.0': job(3, 'done'), 'r:4.0': job(4, 'queued'), 'r:5.0': job(5, 'failed') };
    const after = [
      ['r:3.0', null],
      ['r:4.0', 'r:3.0'],
      ['r:5.0', 'r:4.0'],
    ];
    await receive(
      patch(2, { jobs: { 'r:0.0': { state: 'done' }, ...fresh }, after: after as [string, string | null][] }),
    );
    expect(order()).toEqual(['r:0.0', 'r:1.0', 'r:2.0', 'r:5.0', 'r:4.0']);
    expect(one('[data-unfold]').textContent).toBe('1 more done');
    await act(() => void one('.qm-scroll').dispatchEvent(new PointerEvent('pointerleave')));
    expect(order()).toEqual(['r:5.0', 'r:4.0', 'r:1.0', 'r:2.0', 'r:0.0']);
  });

  it('show a state that only a newer kernel knows, among the first', async () => {
    await mount(workload({ jobs: [job(0, 'running'), job(1, 'paused' as 'queued')] }));
    expect(order()).toEqual(['r:1.0', 'r:0.0']);
    expect(row('r:1.0').textContent).toContain('? Paused');
  });

  it('open to all that is known: the failure in full, advice, attempts, ids, times, tags', async () => {
    const why = {
      reason: 'A transient error occurred on the QPU.',
      reason_code: 9707,
      reason_solution: 'Submit the job again',
    };
    await mount(
      workload({
        jobs: [
          job(0, 'failed', { ...why, superseded: true, job_id: 'first0123456789' }),
          job(0, 'failed', {
            ...why,
            key: 'r:0.1',
            attempt: 1,
            created: 900,
            running: 903,
            finished: 918,
            tags: ['mine'],
          }),
        ],
      }),
    );
    await click(row('r:0.1').querySelector<HTMLElement>('.qm-expand')!);
    const detail = one('[data-detail="r:0.1"]').textContent;
    for (const part of [
      'A transient error occurred on the QPU. (9707) IBM’s advice: Submit the job again.',
      'waited 0:03 · ran 0:15',
      'Attempt 2. Attempt 1: failed, A transient error occurred on the QPU (9707) firs…6789',
      'tags: mine',
    ])
      expect(detail).toContain(part);
    expect(detail).not.toContain('.:');
  });

  it('are moved about with the arrow keys, one tab stop for all of them', async () => {
    await mount(workload({ jobs: [job(0, 'running'), job(1, 'running'), job(2, 'queued')] }));
    const stops = () => all('tbody [tabindex="0"]').map(each => each.closest('tr')!.dataset.key);
    expect(stops()).toEqual(['r:0.0', 'r:0.0']); // its details, and its action
    const press = (key: string) =>
      act(
        () =>
          void (document.activeElement ?? box).dispatchEvent(
            new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }),
          ),
      );
    row('r:0.0').querySelector<HTMLElement>('.qm-expand')!.focus();
    await press('ArrowDown');
    expect(document.activeElement!.closest('tr')!.dataset.key).toBe('r:1.0');
    await press('End');
    expect(document.activeElement!.closest('tr')!.dataset.key).toBe('r:2.0');
    expect(stops()).toEqual(['r:2.0', 'r:2.0']);
    await press('ArrowRight');
    expect(one('[data-detail="r:2.0"]')).not.toBeNull();
    await press('ArrowLeft');
    expect(box.querySelector('[data-detail]')).toBeNull();
  });
});

describe('many partitions', () => {
  it('keeps a thousand rows out of the page but in the count, and merges the strip', async () => {
    await mount(workload({ jobs: Array.from({ length: 1000 }, (_, n) => job(n, n < 700 ? 'done' : 'queued')) }));
    expect(all('tbody tr[data-key]').length).toBeLessThan(60);
    expect(one('table').getAttribute('aria-rowcount')).toBe('302'); // the head, what is queued, the one done last
    expect(one('[data-unfold]').textContent).toBe('699 more done');
    expect(one('[data-visible]').textContent).toContain('of 1,000');
    await click(one('[data-unfold]'));
    expect(one('table').getAttribute('aria-rowcount')).toBe('1001');
    expect(all('tbody tr[data-key]').length).toBeLessThan(60);
    expect(all('.qm-cell').map(each => each.style.flexGrow)).toEqual(['300', '700']);
  });

  it('tells the place of each row in the whole table, whatever comes, goes or is scrolled to', async () => {
    const rows = Array.from({ length: 300 }, (_, n) => job(n, n < 5 ? 'running' : 'queued'));
    await mount(workload({ jobs: rows }));
    const places = (): number[] => all('tbody tr[data-key]').map(each => Number(each.getAttribute('aria-rowindex')));
    const from = (first: number): number[] => places().map((_, i) => first + i);
    expect(places()).toEqual(from(2));
    await receive(patch(2, { jobs: { 'r:0.0': { state: 'done' }, 'r:5.0': { state: 'running' } } }));
    expect(all('tbody tr[data-key]')[0]!.dataset.key).toBe('r:1.0');
    expect(places()).toEqual(from(2));
    await click(row('r:2.0').querySelector<HTMLElement>('.qm-expand')!); // its details are no row of their own
    expect(places()).toEqual(from(2));
    row('r:2.0').querySelector<HTMLElement>('.qm-expand')!.focus();
    await act(
      () => void document.activeElement!.dispatchEvent(new KeyboardEvent('keydown', { key: 'End', bubbles: true })),
    );
    expect(places().at(-1)).toBe(301);
    expect(places()).toEqual(from(302 - places().length));
  });

  it('holds nothing of what it drew before', async () => {
    await mount(workload({ jobs: Array.from({ length: 70 }, (_, n) => job(n, 'queued')) }));
    const held = (): number => {
      const found = new Set<unknown>([Reflect.get(box, '__k')]); // what Preact has drawn there
      for (const each of found)
        if (!(each instanceof Node) && each !== store)
          for (const part of Object.values(each as object))
            if (typeof part === 'object' && part !== null) found.add(part);
      return found.size;
    };
    let seq = 1;
    const change = async (times: number): Promise<void> => {
      for (let n = 0; n < times; n++) await receive(patch(++seq, { jobs: { [`r:${seq % 7}.0`]: { note: `${seq}` } } }));
    };
    await change(20);
    const before = held();
    await change(60);
    expect(held()).toBeLessThan(1.1 * before);
  });

  it('keeps the focus on a row, however far a key leads: no event of scrolling is waited for', async () => {
    await mount(workload({ jobs: Array.from({ length: 300 }, (_, n) => job(n, 'queued')) }));
    const press = (key: string): Promise<void> =>
      act(
        () =>
          void (document.activeElement ?? box).dispatchEvent(
            new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }),
          ),
      );
    const at = (): string | undefined => document.activeElement!.closest('tr')?.dataset.key;
    row('r:0.0').querySelector<HTMLElement>('.qm-expand')!.focus();
    await press('End');
    expect(at()).toBe('r:299.0');
    await press('Home');
    expect(at()).toBe('r:0.0');
  });

  it('filters by the counts under the strip', async () => {
    await mount(workload({ jobs: [job(0, 'done'), job(1, 'failed'), job(2, 'done')] }));
    await click(all('.qm-count')[0]!);
    expect(all('tbody tr[data-key]').map(each => each.dataset.key)).toEqual(['r:1.0']);
    await click(all('.qm-count')[0]!);
    expect(all('tbody tr[data-key]')).toHaveLength(2);
  });
});

it('says so when the kernel speaks another protocol', async () => {
  await mount(workload());
  await receive({ ...hello(['w1']), protocol: 1 });
  expect(one('[role=alert]').textContent).toMatch(/install the same version/);
});

describe('what a document keeps', () => {
  it('tells the times of then, however old it is', async () => {
    const month = 30 * 86_400;
    const [begun, over] = [NOW - month - 100, NOW - month];
    const state = workload({
      state: 'closed',
      closed: over,
      clock_offset: 2,
      seen_at: over + 5,
      jobs: [job(0, 'done', { created: begun, running: begun, finished: over })],
      events: [{ id: 1, time: over, level: 'info', text: 'closed', job: null }],
    });
    store = Store.saved(snapshot(state, 0, over + 5));
    await act(() => {
      unmount = mountCell(box, store, 'w1', { folded: [], reattach: null, pending: false, note: '' });
    });
    expect(one('.qm-time').textContent).toBe(`${clock(over, 2)} closed`);
    expect(one('.qm-begin').textContent).toBe(clock(begun, 2));
    expect(one('.qm-events time').textContent).toBe(clock(over, 2));
    expect(one('.qm-saved').textContent).toBe(`As of ${dateTime(over + 5, 2)}`);
  });

  it('is shown as of its moment, with what is folded counted, and leads back', async () => {
    const back = vi.fn();
    const state = workload({ seen_at: NOW - 3600, jobs: [job(0, 'failed'), job(1, 'queued')] });
    sent = [];
    store = new Store(() => false);
    store.receive(snapshot(state, 0, NOW - 3600));
    await act(() => {
      unmount = mountCell(box, store, 'w1', {
        folded: [{ state: 'done', count: 998, usage: 4100 }],
        reattach: back,
        pending: false,
        note: '',
      });
    });
    expect(one('.qm-progress .qm-big').textContent).toBe('998 of 1,000 done');
    expect(one('.qm-saved').textContent).toMatch(/^As of .* no kernel watches it/);
    expect(one('.qm-fold').textContent).toContain('998 more done, 68.3 min');
    expect(all('[data-action]')).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
    await click(one('[data-reattach]'));
    expect(back).toHaveBeenCalledOnce();
  });
});
