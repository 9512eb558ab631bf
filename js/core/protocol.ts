/**
 * The messages between a kernel and its screens: the mirror of qmode_widgets/frontend/protocol.py. Read them side by
 * side. Unknown values are null; fields this version does not know are left alone. On the way, fields that have their
 * default are left out, and a snapshot says only once what most of its jobs share: see `expand`.
 */
import { trans } from './texts';

export const PROTOCOL = 2;

export type Mode = 'job' | 'batch' | 'session';
export type JobState =
  'waiting' | 'unknown' | 'refused' | 'dropped' | 'queued' | 'running' | 'done' | 'failed' | 'cancelled';
export type WorkloadState = 'open' | 'active' | 'inactive' | 'closed' | 'unknown';
/** `resubmit_missing`: whatever failed, was refused, cancelled or dropped; its target is the usage cap to set first. */
export type Action =
  | 'cancel'
  | 'drop'
  | 'cancel_remaining'
  | 'cancel_all'
  | 'close'
  | 'end'
  | 'resubmit'
  | 'resubmit_failed'
  | 'resubmit_missing'
  | 'refresh';

/** QPU usage in seconds. */
export interface Usage {
  reported: number | null;
  status: 'none' | 'running' | 'final';
  estimated: number | null;
  formula: string | null;
  idle: number | null;
  cap: number | null;
  instance_left: number | null;
}

/** Limits in seconds; deadlines are service time, null while their timer does not run. */
export interface Ttl {
  max_ttl: number | null;
  max_deadline: number | null;
  interactive_ttl: number | null;
  interactive_deadline: number | null;
  active_ttl: number | null;
  active_deadline: number | null;
  empty_deadline: number | null;
}

export interface Event {
  id: number;
  time: number;
  level: 'info' | 'warning' | 'error';
  text: string;
  job: string | null;
}

export interface Limit {
  name: string;
  value: string;
  where: 'service' | 'kernel';
  acted: number | null;
}

export interface JobSnapshot {
  key: string;
  state: JobState;
  job_id: string | null;
  run: string | null;
  partition: number | null;
  of: number | null;
  attempt: number;
  superseded: boolean;
  pubs: string | null;
  service_status: string | null;
  note: string | null;
  reason: string | null;
  reason_code: number | null;
  reason_solution: string | null;
  created: number | null;
  running: number | null;
  finished: number | null;
  usage: Usage;
  qpu_used: boolean;
  private: boolean;
  tags: string[];
  program: string | null;
  group: string | null;
  spans: [number, number][];
  /** Of its row, from 1; 0: not known. */
  number: number;
  label: string | null;
  /** When it is sent again, where sending it has come to nothing so far. */
  next_try: number | null;
}

export interface WorkloadSnapshot {
  id: string;
  mode: Mode;
  backend: string;
  workload_id: string | null;
  state: WorkloadState;
  accepting_jobs: boolean | null;
  state_reason: string | null;
  instance: string | null;
  jobs: JobSnapshot[];
  ttl: Ttl;
  usage: Usage;
  created: number | null;
  closed: number | null;
  clock_offset: number;
  seen_at: number | null;
  problem: string | null;
  events: Event[];
  limits: Limit[];
  lineage: string[];
  group: string | null;
  read_only: string | null;
}

/** Jobs that a saved snapshot only counts; `usage` is the sum of what was reported. */
export interface Folded {
  state: JobState;
  count: number;
  usage: number | null;
}

export interface Hello {
  kind: 'hello';
  protocol: number;
  version: string;
  process: string;
  busy: boolean;
  workloads: string[];
  problem: string | null;
}

/** Jobs as they travel: `usage` holds only the fields that differ, too. */
export type JobChange = Partial<Omit<JobSnapshot, 'usage'>> & { usage?: Partial<Usage> };
export type WorkloadChange = Partial<Omit<WorkloadSnapshot, 'jobs' | 'events' | 'usage'>> & { usage?: Partial<Usage> };

export interface Snapshot {
  kind: 'snapshot';
  workload: string;
  /** Grows when the workload comes anew in the same kernel. */
  epoch: number;
  seq: number;
  now: number;
  state: WorkloadChange & { events?: Event[] };
  common: JobChange;
  jobs: JobChange[];
}

/** A snapshot that a document keeps: some jobs are only counted. */
export interface Saved extends Snapshot {
  version: number;
  folded: Folded[];
  process: string;
}

export interface Patch {
  kind: 'patch';
  workload: string;
  epoch: number;
  seq: number;
  now: number;
  set: WorkloadChange;
  jobs: Record<string, JobChange>;
  /** Each new job's key, and the one it follows; null: it is the first. */
  after?: [string, string | null][];
  gone?: string[];
  order?: string[];
  events?: Event[];
}

export interface Gone {
  kind: 'gone';
  workload: string;
}

export interface Ack {
  kind: 'ack';
  id: string;
  status: 'accepted' | 'done' | 'failed';
  message: string;
}

export type Message = Hello | Snapshot | Patch | Gone | Ack;

export interface Attach {
  kind: 'attach';
  protocol: number;
  workload?: string;
}

export interface Command {
  kind: 'command';
  id: string;
  workload: string;
  action: Action;
  target: string | null;
}

/** This page goes, or no longer follows: from then on it does not count as one that draws outputs. */
export interface Detach {
  kind: 'detach';
}

export type Request = Attach | Command | Detach;

/** The kernel and this screen do not speak the same protocol. */
export class ProtocolMismatch extends Error {}

type Fields = Record<string, unknown>;

/**
 * A message from the kernel, checked as far as the store relies on it; null for a kind this version does not know.
 * Throws ProtocolMismatch on a greeting with another protocol number.
 */
export function decode(raw: unknown): Message | null {
  if (!isFields(raw)) return null;
  switch (raw.kind) {
    case 'hello':
      if (raw.protocol !== PROTOCOL) {
        throw new ProtocolMismatch(
          trans.__(
            "The kernel's qmode_widgets %1 speaks protocol %2, this screen %3: install the same version for JupyterLab and for the kernel, then reload the page.",
            text(raw.version),
            text(raw.protocol),
            PROTOCOL,
          ),
        );
      }
      return has(raw, { process: 'string' }) && Array.isArray(raw.workloads) ? (raw as unknown as Hello) : null;
    case 'snapshot':
      return numbered(raw) && isFields(raw.state) && isFields(raw.common) && Array.isArray(raw.jobs)
        ? (raw as unknown as Snapshot)
        : null;
    case 'patch':
      return numbered(raw) && isFields(raw.set) && isFields(raw.jobs) ? (raw as unknown as Patch) : null;
    case 'gone':
      return has(raw, { workload: 'string' }) ? (raw as unknown as Gone) : null;
    case 'ack':
      return has(raw, { id: 'string', status: 'string', message: 'string' }) ? (raw as unknown as Ack) : null;
    default:
      return null;
  }
}

const USAGE: Usage = {
  reported: null,
  status: 'none',
  estimated: null,
  formula: null,
  idle: null,
  cap: null,
  instance_left: null,
};
const TTL: Ttl = {
  max_ttl: null,
  max_deadline: null,
  interactive_ttl: null,
  interactive_deadline: null,
  active_ttl: null,
  active_deadline: null,
  empty_deadline: null,
};
const JOB: JobSnapshot = {
  key: '',
  state: 'unknown',
  job_id: null,
  run: null,
  partition: null,
  of: null,
  attempt: 0,
  superseded: false,
  pubs: null,
  service_status: null,
  note: null,
  reason: null,
  reason_code: null,
  reason_solution: null,
  created: null,
  running: null,
  finished: null,
  usage: USAGE,
  qpu_used: false,
  private: false,
  tags: [],
  program: null,
  group: null,
  spans: [],
  number: 0,
  label: null,
  next_try: null,
};
const WORKLOAD: WorkloadSnapshot = {
  id: '',
  mode: 'job',
  backend: '',
  workload_id: null,
  state: 'unknown',
  accepting_jobs: null,
  state_reason: null,
  instance: null,
  jobs: [],
  ttl: TTL,
  usage: USAGE,
  created: null,
  closed: null,
  clock_offset: 0,
  seen_at: null,
  problem: null,
  events: [],
  limits: [],
  lineage: [],
  group: null,
  read_only: null,
};

/** A job with the fields of a change; without a job, with the defaults of what the change leaves out. */
export function changedJob(job: JobSnapshot | undefined, change: JobChange): JobSnapshot {
  const base = job ?? JOB;
  const { usage, ...rest } = change;
  return { ...base, ...rest, usage: usage === undefined ? base.usage : { ...base.usage, ...usage } };
}

/** The workload with the fields of a change. */
export function changedWorkload(state: WorkloadSnapshot, change: WorkloadChange): WorkloadSnapshot {
  const { usage, ...rest } = change;
  return { ...state, ...rest, usage: usage === undefined ? state.usage : { ...state.usage, ...usage } };
}

/** The state in a snapshot, with all its fields. */
export function expand({ state, common, jobs }: Pick<Snapshot, 'state' | 'common' | 'jobs'>): WorkloadSnapshot {
  const shared = changedJob(undefined, common);
  return { ...changedWorkload(WORKLOAD, state), jobs: jobs.map(job => changedJob(shared, job)) };
}

/** The other way: a state as it travels. */
export function compact(state: WorkloadSnapshot): Pick<Snapshot, 'state' | 'common' | 'jobs'> {
  const { jobs, ...rest } = state;
  const usage = frequent<Usage>(jobs.map(job => job.usage));
  const common = difference<JobChange>(JOB, { ...frequent<JobSnapshot>(jobs, 'usage'), usage: { ...USAGE, ...usage } });
  const base = changedJob(undefined, common);
  return {
    state: difference<WorkloadChange & { events?: Event[] }>(WORKLOAD, rest),
    common,
    jobs: jobs.map(job => difference<JobChange>(base, job)),
  };
}

/** As a document keeps it: with every field, so that nothing depends on the defaults of who reads it. */
export function whole(state: WorkloadSnapshot): Pick<Snapshot, 'state' | 'common' | 'jobs'> {
  const { jobs, ...rest } = state;
  const short = compact(state);
  const { key, state: word, ...defaults } = JOB;
  void [key, word]; // each job has its own
  return {
    state: rest,
    common: { ...defaults, ...short.common, usage: { ...USAGE, ...short.common.usage } },
    jobs: short.jobs,
  };
}

/** The value that most rows have in each field, where more than one has it. */
function frequent<T extends object>(rows: readonly T[], leave?: keyof T): Partial<T> {
  const found: Partial<T> = {};
  for (const name of Object.keys(rows[0] ?? {}) as (keyof T)[]) {
    if (name === leave) continue;
    const counts = new Map<string, { value: T[keyof T]; times: number }>();
    for (const row of rows) {
      const text = JSON.stringify(row[name]);
      const entry = counts.get(text);
      if (entry === undefined) counts.set(text, { value: row[name], times: 1 });
      else entry.times++;
    }
    const [first] = [...counts.values()].sort((x, y) => y.times - x.times);
    if (first !== undefined && first.times > 1) found[name] = first.value;
  }
  return found;
}

function difference<T extends object>(old: object, now: object): T {
  const before = old as Fields;
  const found: Fields = {};
  for (const [name, value] of Object.entries(now)) {
    if (JSON.stringify(value) === JSON.stringify(before[name])) continue;
    found[name] = name === 'usage' ? difference(before.usage as object, value as object) : value;
  }
  return found as T;
}

/** A command's id: random enough for one page. `crypto.randomUUID` exists on localhost and https only. */
export function newId(): string {
  if (typeof crypto.randomUUID === 'function') return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('');
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function has(raw: Fields, types: Record<string, string>): boolean {
  return Object.entries(types).every(([name, type]) => typeof raw[name] === type);
}

function numbered(raw: Fields): boolean {
  return has(raw, { workload: 'string', epoch: 'number', seq: 'number', now: 'number' });
}

function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '?';
}
