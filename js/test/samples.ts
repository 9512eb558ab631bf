/** Messages as a kernel sends them, short to write. */
import {
  compact,
  type Hello,
  type JobSnapshot,
  type JobState,
  type Patch,
  type Snapshot,
  type Ttl,
  type Usage,
  type WorkloadSnapshot,
} from '../core/protocol';

export const usage = (more: Partial<Usage> = {}): Usage => ({
  reported: null,
  status: 'none',
  estimated: null,
  formula: null,
  idle: null,
  cap: null,
  instance_left: null,
  ...more,
});

export const ttl = (more: Partial<Ttl> = {}): Ttl => ({
  max_ttl: null,
  max_deadline: null,
  interactive_ttl: null,
  interactive_deadline: null,
  active_ttl: null,
  active_deadline: null,
  empty_deadline: null,
  ...more,
});

export const job = (n: number, state: JobState, more: Partial<JobSnapshot> = {}): JobSnapshot => ({
  key: `r:${n}.0`,
  state,
  job_id: state === 'waiting' ? null : `job${n}`,
  run: 'r',
  partition: n,
  of: 3,
  attempt: 0,
  superseded: false,
  pubs: `${n}`,
  service_status: null,
  note: null,
  reason: null,
  reason_code: null,
  reason_solution: null,
  created: 900,
  running: null,
  finished: null,
  usage: usage(),
  qpu_used: false,
  private: false,
  tags: [],
  program: null,
  group: null,
  spans: [],
  number: n + 1,
  label: null,
  next_try: null,
  ...more,
});

export const workload = (more: Partial<WorkloadSnapshot> = {}): WorkloadSnapshot => ({
  id: 'w1',
  mode: 'batch',
  backend: 'ibm_fez',
  workload_id: null,
  state: 'active',
  accepting_jobs: true,
  state_reason: null,
  instance: null,
  jobs: [],
  ttl: ttl(),
  usage: usage(),
  created: null,
  closed: null,
  clock_offset: 0,
  seen_at: 1000,
  problem: null,
  events: [],
  limits: [],
  lineage: [],
  group: null,
  read_only: null,
  ...more,
});

export const hello = (workloads: string[], process = 'p1'): Hello => ({
  kind: 'hello',
  protocol: 2,
  version: '0.1.0',
  process,
  busy: false,
  workloads,
  problem: null,
});

export const snapshot = (state: WorkloadSnapshot, seq = 1, now = 1000): Snapshot => ({
  kind: 'snapshot',
  workload: state.id,
  epoch: 1,
  seq,
  now,
  ...compact(state),
});

export const patch = (seq: number, more: Partial<Patch>): Patch => ({
  kind: 'patch',
  workload: 'w1',
  epoch: 1,
  seq,
  now: 1000,
  set: {},
  jobs: {},
  ...more,
});
