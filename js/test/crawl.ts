/** Goes through what the cell's view can say: its main states, and in each what follows a click on every one of its buttons. */
import { act } from 'preact/test-utils';
import { vi } from 'vitest';
import { naming, question } from '../core/ask';
import { mountCell } from '../core/mount';
import type { Action, JobSnapshot, Request } from '../core/protocol';
import { countdown, jobFace, jobName, jobReason, shownJobs, tally, timers, workloadFace } from '../core/facts';
import { Store } from '../core/store';
import { everything, guess, idle, job, NOW, PAGES, paid, type Page, running, said, soon, workload } from './pages';
import { hello, snapshot, ttl } from './samples';

export { NOW, PAGES };

const wait = (milliseconds: number): void => void vi.advanceTimersByTime(milliseconds);

/** Clicks on their way, as the kernel answers them or not. */
const ANSWERS: Record<string, (store: Store, id: string) => void> = {
  late: () => void vi.advanceTimersByTime(3000),
  lost: () => void vi.advanceTimersByTime(61_000),
  accepted: (store, id) => {
    store.receive({ kind: 'ack', id, status: 'accepted', message: '' });
    vi.advanceTimersByTime(150_000);
  },
  done: (store, id) => store.receive({ kind: 'ack', id, status: 'done', message: '' }),
  failed: (store, id) => store.receive({ kind: 'ack', id, status: 'failed', message: 'Λάθος' }),
};

export type Look = (where: string, element: HTMLElement) => void;

async function show(page: Page, reachable: boolean, use: (box: HTMLElement, store: Store, sent: Request[]) => unknown) {
  const box = document.createElement('div');
  document.body.append(box);
  const sent: Request[] = [];
  const store = new Store(request => sent.push(request) > 0 && reachable);
  store.receive(hello(['ω1']));
  store.receive(snapshot(page.state, 1, NOW));
  let unmount = (): void => undefined;
  await act(() => {
    unmount = mountCell(box, store, 'ω1', page.saved ?? null);
  });
  if (page.then !== undefined) await act(() => page.then?.(store, wait));
  await use(box, store, sent);
  await act(() => unmount());
  store.dispose();
  box.remove();
  vi.setSystemTime(NOW * 1000);
}

/** What tells a button from its like: rows of one state have the same. */
export function kindOf(button: HTMLElement): string {
  const row = button.closest<HTMLElement>('tr')?.dataset.state ?? '';
  return [button.className, button.dataset.action, row, row === '' ? button.textContent : ''].join(' ');
}

/** Shows a page in each of its states: as it opens, and after a click on one button of each kind. */
export async function crawl(name: string, look: Look): Promise<void> {
  const page = PAGES[name];
  if (page === undefined) throw new Error(`no page ${name}`);
  const kinds = new Map<string, number>();
  await show(page(), true, box => {
    look(name, box);
    box.querySelectorAll('button').forEach((button, n) => kinds.has(kindOf(button)) || kinds.set(kindOf(button), n));
  });
  for (const [kind, n] of kinds)
    await show(page(), true, async box => {
      await act(() => box.querySelectorAll('button')[n]!.click());
      look(`${name} > ${kind}`, box);
      const choose = box.querySelector<HTMLElement>('.qm-choose:enabled');
      if (choose === null) return;
      await act(() => choose.click());
      look(`${name} > ${kind} > choose`, box);
    });
}

/** What becomes of a click: on its way, taken, over. */
export async function crawlClick(action: Action, target: string | null, look: Look): Promise<void> {
  const state = workload({ jobs: [job(0, 'failed', said), job(1, 'running'), job(2, 'waiting')] });
  for (const [name, answer] of Object.entries(ANSWERS))
    await show({ state }, true, async (box, store) => {
      await act(() => answer(store, store.command('ω1', action, target)));
      look(`${action} ${name}`, box);
    });
  await show({ state }, false, async (box, store) => {
    await act(() => void store.command('ω1', action, target));
    look(`${action} unsent`, box);
  });
}

const ACTIONS: readonly Action[] = [
  'cancel',
  'drop',
  'cancel_remaining',
  'cancel_all',
  'close',
  'end',
  'resubmit',
  'resubmit_failed',
  'refresh',
];

/** Every question and every name of an action; all that is said of jobs and workloads without being in sight at once. */
export function sayings(): [where: string, said: string][] {
  const found: [string, string][] = [];
  const add = (where: string, said: unknown): unknown =>
    JSON.stringify(said, (name, value: unknown) => {
      const tells = !['action', 'tone', 'shape'].includes(name);
      if (typeof value === 'string' && value !== '' && tells) found.push([`${where} ${name}`, value]);
      return tells ? value : undefined;
    });
  const sets: Record<string, JobSnapshot[]> = {
    none: [],
    some: everything(),
    few: [job(0, 'failed', { usage: guess }), job(1, 'running'), job(2, 'queued')],
    fails: [job(0, 'failed', { usage: guess }), job(1, 'failed')],
    waits: [job(0, 'queued', { usage: paid }), job(1, 'done')],
    runs: [job(0, 'running'), job(1, 'running'), job(2, 'waiting'), job(3, 'unknown')],
    done: [job(0, 'done'), job(1, 'done')],
    lone: [job(0, 'failed', { partition: null })],
  };
  for (const [set, jobs] of Object.entries(sets))
    for (const mode of ['job', 'batch', 'session'] as const)
      for (const word of ['open', 'active', 'inactive', 'closed', 'unknown'] as const)
        for (const accepting of [true, false]) {
          const state = workload({ mode, state: word, jobs, accepting_jobs: accepting });
          const where = `${mode} ${word} ${set}`;
          const { title, ...face } = workloadFace(state, tally(shownJobs(state)));
          add(`face ${where}`, face);
          add(`title ${where}`, title.replace(` (${word})`, '')); // the service's own word, as it gave it
          for (const times of [running, soon, idle, ttl(), ttl({ empty_deadline: NOW + 9 }), ttl({ max_ttl: 60 })]) {
            add(`countdown ${where}`, countdown({ ...state, ttl: times }, NOW));
            add(`timers ${where}`, timers({ ...state, ttl: times }, NOW));
          }
          for (const action of ACTIONS)
            if (mode !== 'job' || (action !== 'close' && action !== 'end'))
              for (const target of [null, ...jobs.map(({ key }) => key)]) {
                add(`question ${action} ${where}`, question(state, action, target));
                add(`naming ${action} ${where}`, naming(state, action, target));
              }
        }
  for (const each of everything()) add(`job ${each.state}`, [jobName(each), jobReason(each), jobFace(each.state).word]);
  return found;
}
