/** What JupyterLab's panel shows: the pages that a row tells apart, and an account that knows more. */
import type { Session } from '@jupyterlab/services';
import { Store } from '../core/store';
import { Desk } from '../lab/desk/desk';
import { Memory } from '../lab/desk/memory';
import { DEFAULTS } from '../lab/desk/settings';
import { Account, type Check, type Look as Seen } from '../lab/kernels/account';
import type { Kernels } from '../lab/kernels/kernels';
import { NOW, PAGES } from './pages';
import { hello, snapshot } from './samples';
import { remembered } from './watches';

/** Those pages that a row tells apart. */
export const ROWS = [
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
export function deskOf(names: readonly string[], seen: Seen | null, lost: boolean, notebook = 'κ1'): Desk {
  const place = { kernel: 'κ1', path: notebook, name: notebook, type: 'notebook' };
  const store = new Store(() => true);
  store.receive(hello(names.map((_, n) => `ω${n}`)));
  names.forEach((name, n) => {
    const { state } = PAGES[name]!();
    store.receive(snapshot({ ...state, id: `ω${n}`, workload_id: null, lineage: [] }, 1, NOW));
  });
  if (lost) store.connected(false);
  const channel = { store, busy: true, answered: true, found: true, account: () => false };
  const all = [{ id: 'κ1', place, spec: 'π', kernelName: 'π', channel }];
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
export const SEEN: Seen = {
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

const found = { section: 'Αρχή', found: 'Εύρημα' };
const CHECKS: readonly Check[] = [
  { status: 'running', rows: [], text: '', message: '' },
  { status: 'failed', rows: [], text: '', message: 'Λάθος' },
  {
    status: 'done',
    rows: [
      { ...found, name: 'α', state: 'ok' },
      { ...found, name: 'β', state: 'not checked' },
      { ...found, name: 'γ', state: 'warning', remedy: 'Πράξη' },
      { ...found, name: 'δ', state: 'failed', remedy: 'Πράξη', consequence: 'Τέλος.' },
    ],
    text: 'Σελίδα',
    message: '',
  },
  { status: 'done', rows: [{ ...found, name: 'γ', state: 'warning' }], text: 'Σελίδα', message: '' },
  { status: 'done', rows: [{ ...found, name: 'α', state: 'ok' }], text: 'Σελίδα', message: '' },
];

function checked(n: number): Desk {
  const desk = deskOf(n < 2 ? [] : ['running'], null, false);
  desk.account.check = CHECKS[n]!;
  return desk;
}

export const DESKS: Record<string, () => Desk> = {
  empty: () => deskOf([], null, false),
  'check runs': () => checked(0),
  'check not possible': () => checked(1),
  'check with failures': () => checked(2),
  'check with warnings': () => checked(3),
  'check in order': () => checked(4),
  account: () => deskOf([], SEEN, false),
  all: () => deskOf(ROWS, SEEN, false),
  'way lost': () => deskOf(ROWS, null, true),
};
