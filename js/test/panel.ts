/** Goes through what JupyterLab's panel can say, as crawl.ts does for the cell. */
import type { Session } from '@jupyterlab/services';
import { act } from 'preact/test-utils';
import { vi } from 'vitest';
import { Store } from '../core/store';
import { Account, type Look as Seen } from '../lab/kernels/account';
import { Desk } from '../lab/desk/desk';
import type { Kernels } from '../lab/kernels/kernels';
import { draw } from '../lab/panel/list';
import { Memory } from '../lab/desk/memory';
import { DEFAULTS } from '../lab/desk/settings';
import { Signals } from '../lab/desk/signals';
import { reasonText } from '../lab/desk/triage';
import { kindOf, type Look, NOW, PAGES } from './crawl';
import { hello, snapshot } from './samples';
import { remembered } from './watches';

const place = { kernel: 'κ1', path: 'κ1', name: 'κ1', type: 'notebook' };

/** Those pages that a row tells apart. */
const ROWS = [
  'running',
  'one job',
  'one job, done',
  'one that failed, paid',
  'idle session',
  'idle session, running out',
  'session in between',
  'must end soon',
  'empty',
  'planned',
  'cap reached',
  'closed',
  'stale',
  'read only',
];

/** A kernel that watches the workloads of some pages, and an account that knows more. */
function deskOf(names: readonly string[], seen: Seen | null, lost: boolean): Desk {
  const store = new Store(() => true);
  store.receive(hello(names.map((_, n) => `ω${n}`)));
  names.forEach((name, n) => {
    const { state } = PAGES[name]!();
    store.receive(snapshot({ ...state, id: `ω${n}`, workload_id: null, lineage: [] }, 1, NOW));
  });
  if (lost) store.connected(false);
  const wire = { store, busy: true, answered: true, found: true, account: () => false };
  const all = [{ id: 'κ1', place, spec: 'π', kernelName: 'π', wire }];
  const nothing = (): void => undefined;
  const kernels = { all, ready: true, subscribe: () => nothing, hear: () => nothing, find: () => all[0] };
  const memory = new Memory(null, '', undefined, null);
  memory.look = seen;
  if (seen !== null)
    for (const [id, more] of Object.entries({
      μ1: {},
      μ2: { ended: NOW - 60, end: 'closed on exit' as const },
      μ3: { ended: NOW - 40_000, mode: 'session' as const },
      μ4: { mode: 'job' as const, spent: null },
    }))
      memory.workloads.set(id, remembered({ id, aliases: [id], backend: 'βέτα', place, seen: NOW - 90, ...more }));
  // Only the part of JupyterLab's managers that we use is played.
  const sessions = { startNew: () => Promise.reject(new Error('Λάθος')) } as unknown as Session.IManager;
  const account = new Account(kernels as unknown as Kernels, sessions);
  return new Desk(kernels as unknown as Kernels, memory, account, DEFAULTS);
}

const instance = { plan: 'π', used: 34, limit: 600, allocation: 900, left: 566, reached: false, returns: null };
const listed = { backend: 'βέτα', instance: 'ι', created: NOW - 900, usage: 12, label: null };
const SEEN: Seen = {
  instances: [
    { ...instance, name: 'ι', returns: { at: NOW + 86_400, seconds: 60 } },
    { ...instance, name: 'ια', used: null },
    { ...instance, name: 'ιβ', limit: null, reached: true },
  ],
  workloads: [
    { ...listed, id: 'ν1', mode: 'session', status: 'active' },
    { ...listed, id: 'ν2', mode: 'batch', status: 'inactive' },
    { ...listed, id: 'ν3', mode: 'job', status: 'open', usage: null },
    { ...listed, id: 'ν4', mode: 'job', status: 'closed' },
  ],
  unseen: ['ο'],
  at: NOW - 90,
};

const DESKS: Record<string, () => Desk> = {
  empty: () => deskOf([], null, false),
  account: () => deskOf([], SEEN, false),
  all: () => deskOf(ROWS, SEEN, false),
  'way lost': () => deskOf(ROWS, null, true),
};

async function show(desk: Desk, use: (box: HTMLElement) => unknown): Promise<void> {
  const box = document.createElement('div');
  document.body.append(box);
  let undraw = (): void => undefined;
  await act(() => {
    vi.advanceTimersByTime(100); // the desk gathers changes
    undraw = draw(box, desk, {
      reveal: () => undefined,
      openQuickstart: () => undefined,
      insertAdopt: () => undefined,
      insertBegin: () => undefined,
    });
  });
  await use(box);
  await act(() => undraw());
  box.remove();
  vi.clearAllTimers();
  vi.setSystemTime(NOW * 1000);
}

/** Shows each desk as it opens, and after a click on one button of each kind. */
export async function crawlPanel(name: string, look: Look): Promise<void> {
  const desk = DESKS[name]!;
  const kinds = new Map<string, number>();
  const of = (button: HTMLElement): string =>
    `${button.closest<HTMLElement>('[data-entry]')?.dataset.group ?? ''} ${kindOf(button)}`;
  await show(desk(), box => {
    look(name, box);
    box.querySelectorAll('button').forEach((button, n) => kinds.has(of(button)) || kinds.set(of(button), n));
  });
  for (const [kind, n] of kinds)
    await show(desk(), async box => {
      await act(async () => {
        box.querySelectorAll('button')[n]!.click();
        await vi.advanceTimersByTimeAsync(100);
      });
      look(`${name} > ${kind}`, box);
    });
}

export const PANELS = Object.keys(DESKS);

/** What is said of workloads outside the panel: notifications, and what a deadline or a failure means. */
export async function signalled(): Promise<[where: string, said: string][]> {
  const found: [string, string][] = [];
  const desk = deskOf(ROWS, SEEN, false);
  vi.advanceTimersByTime(100);
  for (const entry of desk.triage.entries.values()) found.push([entry.key, reasonText(entry, NOW)]);
  for (const { name, text } of new Signals(0).read(desk.triage, NOW)) found.push([name, text]);
  for (const action of ['end-idle', 'cancel-all'] as const) {
    const sweep = desk.sweep(action);
    if (sweep !== null) found.push([action, sweep.question.text], [action, sweep.question.yes.label]);
  }
  vi.clearAllTimers();
  return found;
}
