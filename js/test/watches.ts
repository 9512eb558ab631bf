/** What kernels, account and memory know, short to write. */
import type { Snapshot, WorkloadSnapshot } from '../core/protocol';
import { Store } from '../core/store';
import type { Known, Remembered, Watch } from '../lab/desk/triage';
import { snapshot } from './samples';

const NOW = 1_764_000_000;

/** A kernel that told of these workloads. */
export function watchesOf(kernel: string, ...states: WorkloadSnapshot[]): Watch[] {
  const store = new Store(
    () => true,
    () => NOW,
  );
  for (const state of states) store.receive(snapshot(state, 1, NOW) satisfies Snapshot);
  return states.map(state => ({
    place: { kernel, path: `${kernel}.ipynb`, name: `${kernel}.ipynb`, type: 'notebook' },
    store,
    workload: store.workloads.get(state.id)!,
    busy: false,
  }));
}

export const remembered = (more: Partial<Remembered> = {}): Remembered => ({
  id: 'w1',
  workload: 'w1',
  aliases: ['w1'],
  label: null,
  mode: 'batch',
  backend: 'ibm_fez',
  instance: null,
  place: { kernel: 'k1', path: 'k1.ipynb', name: 'k1.ipynb', type: 'notebook' },
  word: 'active',
  spent: 12,
  seen: NOW - 60,
  created: NOW - 600,
  maxDeadline: null,
  failed: 0,
  done: 0,
  total: 0,
  capped: false,
  left: 0,
  expected: null,
  ended: null,
  end: null,
  ...more,
});

export const known = (more: Partial<Known> = {}): Known => ({
  watches: [],
  listed: [],
  remembered: [],
  asking: new Set(),
  dismissed: new Map(),
  thresholds: { interactive: 30, max: 600, cap: 0.8 },
  now: NOW,
  ...more,
});
