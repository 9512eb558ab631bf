/** What leads: how far it is, what it has used, when it must end. */
import { useContext, useMemo } from 'preact/hooks';
import { type Bill, bill, billText, expected, isBilled } from '../bill';
import { ago, clock as time, duration, integer, usageSeconds } from '../clock';
import {
  type Countdown,
  countdown,
  counts,
  jobCount,
  jobFace,
  jobName,
  paceOf,
  progress,
  type Tally,
  timers,
  toGo,
} from '../facts';
import type { Folded, JobSnapshot, JobState, Limit, Usage, WorkloadSnapshot } from '../protocol';
import { trans } from '../texts';
import { ClockContext, Tick } from './tick';

const CELLS = 60; // partitions up to here get a cell each

interface ProgressProps {
  jobs: readonly JobSnapshot[];
  folded: readonly Folded[];
  sum: Tally;
  filter: JobState | null;
  onFilter: (state: JobState | null) => void;
}

/** "3 of 6 done": in words, as a strip, and in counts that filter the table. */
export function Progress({ jobs, folded, sum, filter, onFilter }: ProgressProps) {
  const by = [...counts(jobs, folded)];
  const clock = useContext(ClockContext);
  const pace = useMemo(() => paceOf(jobs), [jobs]);
  return (
    <div class="qm-tile qm-progress">
      <div class="qm-big qm-num">{progress(sum, sum.total === 1 ? (by[0]?.[0] ?? null) : null)}</div>
      <div
        class={`qm-strip ${sum.total > 14 ? 'qm-dense' : ''}`}
        role="img"
        aria-label={by.map(([state, n]) => `${n} ${jobFace(state).word}`).join(', ') || trans.__('no job yet')}
      >
        {sum.total <= CELLS && folded.length === 0
          ? jobs.map(job => (
              <b
                key={job.key}
                class={`qm-cell qm-job-${job.state}`}
                title={`${jobName(job)}: ${jobFace(job.state).word}`}
              >
                {jobFace(job.state).shape}
              </b>
            ))
          : by.map(([state, n]) => (
              <b
                key={state}
                class={`qm-cell qm-merged qm-job-${state}`}
                style={{ flexGrow: n }}
                title={`${integer(n)} ${jobFace(state).word}`}
              >
                {jobFace(state).shape}
              </b>
            ))}
      </div>
      <div class="qm-counts qm-num">
        {by.map(([state, n]) => (
          <button
            type="button"
            key={state}
            class="qm-count"
            aria-pressed={filter === state}
            title={filter === state ? trans.__('Show all') : trans.__('Show only: %1', jobFace(state).word)}
            onClick={() => onFilter(filter === state ? null : state)}
          >
            {jobCount(state, n)}
          </button>
        ))}
        {sum.running > 0 && clock.live && (
          <span class="qm-togo">
            <Tick
              text={now => {
                const left = toGo(pace, now);
                if (left === null) return '';
                return `\u00a0· ${left < 1 ? trans.__('nearly done') : trans.__('about %1 to go', ago(left))}`;
              }}
            />
          </span>
        )}
      </div>
    </div>
  );
}

/** The sum, what it is made of, and what bounds it: reported is solid, idle hatched, expected pale; the cap is a tick. */
export function UsageTile({ state }: { state: WorkloadSnapshot }) {
  const { usage } = state;
  const clock = useContext(ClockContext);
  const now = bill(state, clock.read());
  const coming = expected(state);
  const runs = isBilled(state);
  const cap = state.limits.find(limit => limit.name === 'usage cap');
  const notes = [
    usage.cap === null ? '' : capNote(usageSeconds(usage.cap), cap),
    usage.instance_left === null ? '' : trans.__('%1 left in the instance', usageSeconds(usage.instance_left)),
  ].filter(Boolean);
  return (
    <div class="qm-tile qm-usage" title={usage.formula === null ? undefined : trans.__('Expected: %1', usage.formula)}>
      <div class="qm-big qm-num">
        <Tick
          text={at => billText(bill(state, at)) || (coming === null ? '–' : `≈ ${usageSeconds(coming)}`)}
          runs={runs}
        />
        <span class="qm-aside"> {aside(usage, now.seconds, coming)}</span>
      </div>
      <UsageBar usage={usage} now={now} expected={coming} />
      {state.mode === 'session' && now.seconds !== null && <Parts state={state} runs={runs} />}
      {notes.length > 0 && (
        <div class="qm-note qm-num">
          {notes.map((note, i) => (
            <span key={note}>
              {i > 0 && ' · '}
              <span class="qm-nowrap">{note}</span>
            </span>
          ))}
        </div>
      )}
    </div>
  );
}

/** What a session's time went to; the parts come to the sum, and the first of them to that of the rows. */
function Parts({ state, runs }: { state: WorkloadSnapshot; runs: boolean }) {
  const part = (kind: string, text: (parts: Bill) => string) => (
    <span class="qm-nowrap" key={kind}>
      <i class={`qm-swatch qm-part-${kind}`} aria-hidden="true" />
      <Tick text={now => text(bill(state, now))} runs={runs} />
    </span>
  );
  const { seconds, idle, qpu } = bill(state, state.seen_at ?? 0);
  if (seconds === null || (idle === null && qpu === null)) return null;
  const rounded = (value: number): string => usageSeconds(Math.round(10 * value) / 10);
  return (
    <div class="qm-note qm-num qm-parts">
      {qpu === null
        ? part('prep', now => trans.__('%1 while jobs ran', rounded((now.seconds ?? 0) - (now.idle ?? 0))))
        : [
            part('qpu', now => trans.__('%1 on the QPU', rounded(now.qpu ?? 0))),
            part('prep', now =>
              trans.__('%1 preparing', rounded((now.seconds ?? 0) - (now.qpu ?? 0) - (now.idle ?? 0))),
            ),
          ]}
      {idle !== null && part('idle', now => trans.__('%1 idle, billed', usageSeconds(Math.round(now.idle ?? 0))))}
    </div>
  );
}

/** What the number before it is. */
function aside({ status }: Usage, reported: number | null, expected: number | null): string {
  if (reported === null)
    return expected === null ? trans.__('usage not reported yet') : trans.__('expected, nothing used yet');
  if (expected !== null) return trans.__('used, ≈ %1 expected', usageSeconds(expected));
  return status === 'running' ? trans.__('used so far') : trans.__('used');
}

function capNote(cap: string, limit: Limit | undefined): string {
  if (limit === undefined) return trans.__('cap %1', cap);
  return limit.where === 'kernel'
    ? trans.__('cap %1, kept by this kernel', cap)
    : trans.__('cap %1, kept by the service', cap);
}

interface BarProps {
  usage: Usage;
  now: Bill;
  expected: number | null;
}

function UsageBar({ usage: { cap }, now, expected }: BarProps) {
  const used = now.seconds ?? 0;
  if (cap === null && expected === null) return null; // used of what? A full bar would say "all of it"
  const scale = Math.max(cap ?? 0, used, expected ?? 0) || 1;
  const share = (seconds: number): string => `${(100 * Math.max(0, seconds)) / scale}%`;
  const idle = Math.min(now.idle ?? 0, used);
  const within = Math.min(used, cap ?? Infinity);
  const near = cap !== null && used >= 0.8 * cap;
  return (
    <div class={`qm-bar ${near ? 'qm-tone-warn' : 'qm-tone-active'}`} aria-hidden="true">
      <i class="qm-solid" style={{ width: share(within - idle) }} />
      {idle > 0 && <i class="qm-part-idle" style={{ width: share(Math.min(idle, within)) }} />}
      {used > within && <i class="qm-over" style={{ width: share(used - within) }} />}
      {expected !== null && expected > used && <i class="qm-pale" style={{ width: share(expected - used) }} />}
      {cap !== null && <b class="qm-cap" style={{ left: share(cap) }} />}
    </div>
  );
}

/** When it must end: small until it is near. */
export function Deadline({
  state,
  shown,
  offset,
}: {
  state: WorkloadSnapshot;
  shown: Countdown | null;
  offset: number;
}) {
  if (shown === null) {
    if (state.closed === null) return null;
    return (
      <div class="qm-tile qm-time">
        <div class="qm-mid qm-num">
          {time(state.closed, offset)}
          <span class="qm-aside"> {trans.__('closed')}</span>
        </div>
      </div>
    );
  }
  const { deadline } = shown;
  const read = (now: number): string => (deadline === null ? shown.still : duration(deadline - now));
  return (
    <div
      class={`qm-tile qm-time ${shown.near ? `qm-near qm-tone-${shown.tone}` : ''}`}
      title={timers(state, state.seen_at ?? 0) || undefined}
    >
      <div class="qm-mid qm-num">
        <span role="timer" aria-label={shown.label}>
          <Tick text={read} runs={deadline !== null} />
        </span>
        <span class="qm-aside">
          {' '}
          <Tick
            text={now => (deadline !== null && deadline <= now ? trans.__('has run out') : shown.label)}
            runs={deadline !== null}
          />
        </span>
      </div>
      <div class="qm-note qm-num">
        <Tick text={now => countdown(state, now)?.note ?? ''} runs={deadline !== null} />
      </div>
    </div>
  );
}
