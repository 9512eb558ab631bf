/** What leads: how far it is, what it has used, when it must end. */
import type { ComponentChildren } from 'preact';
import { useContext, useMemo } from 'preact/hooks';
import { ago, clock as time, duration, integer, usageSeconds } from '../clock';
import {
  type Countdown,
  countdown,
  counts,
  jobFace,
  jobName,
  paceOf,
  progress,
  type Tally,
  timers,
  toGo,
} from '../facts';
import type { Folded, JobSnapshot, JobState, Limit, Usage, WorkloadSnapshot } from '../protocol';
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
      <div class="qm-big qm-num">{progress(sum)}</div>
      <div
        class={`qm-strip ${sum.total > 14 ? 'qm-dense' : ''}`}
        role="img"
        aria-label={by.map(([state, n]) => `${n} ${jobFace(state).word}`).join(', ') || 'no job yet'}
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
            title={filter === state ? 'Show all' : `Show only: ${jobFace(state).word}`}
            onClick={() => onFilter(filter === state ? null : state)}
          >
            {integer(n)} {jobFace(state).word.toLowerCase()}
          </button>
        ))}
        {sum.running > 0 && clock.live && (
          <span class="qm-togo">
            <Tick
              text={now => {
                const left = toGo(pace, now);
                return left === null ? '' : left < 1 ? '\u00a0· nearly done' : `\u00a0· about ${ago(left)} to go`;
              }}
            />
          </span>
        )}
      </div>
    </div>
  );
}

/** Reported is solid, billed idle time hatched, what is still expected pale with ≈; the cap is a tick. */
export function UsageTile({ state }: { state: WorkloadSnapshot }) {
  const { usage } = state;
  const reported = usage.status === 'none' ? null : usage.reported;
  const expected = usage.status === 'final' ? null : usage.estimated;
  const idling =
    state.mode === 'session' &&
    state.state === 'active' &&
    state.ttl.interactive_deadline !== null &&
    usage.idle !== null;
  // Idle time is billed by the session's own clock: it goes on where the last answer left it.
  const since = (now: number): number => (idling ? Math.max(0, now - (state.seen_at ?? now)) : 0);
  const cap = state.limits.find(limit => limit.name === 'usage cap');
  const notes: ComponentChildren[] = [];
  if (usage.idle !== null && (usage.idle >= 0.5 || idling))
    notes.push(
      <>
        <Tick text={now => usageSeconds(Math.round((usage.idle ?? 0) + since(now)))} runs={idling} /> idle, billed
      </>,
    );
  if (usage.cap !== null) notes.push(`cap ${usageSeconds(usage.cap)}${keeper(cap)}`);
  if (usage.instance_left !== null) notes.push(`${usageSeconds(usage.instance_left)} left in the instance`);
  return (
    <div class="qm-tile qm-usage" title={usage.formula === null ? undefined : `Expected: ${usage.formula}`}>
      <div class="qm-big qm-num">
        {reported !== null ? (
          idling ? (
            <Tick text={now => usageSeconds(Math.round(10 * (reported + since(now))) / 10)} />
          ) : (
            usageSeconds(reported)
          )
        ) : expected !== null ? (
          `≈ ${usageSeconds(expected)}`
        ) : (
          '–'
        )}
        <span class="qm-aside">
          {reported !== null
            ? expected === null
              ? ` used${usage.status === 'running' ? ' so far' : ''}`
              : ` used, ≈ ${usageSeconds(expected)} expected`
            : expected !== null
              ? ' expected, nothing used yet'
              : ' usage not reported yet'}
        </span>
      </div>
      <UsageBar usage={usage} reported={reported} expected={expected} />
      <div class="qm-note qm-num">
        {notes.map((note, i) => (
          <span key={i}>
            {i > 0 && ' · '}
            <span class="qm-nowrap">{note}</span>
          </span>
        ))}
      </div>
    </div>
  );
}

function keeper(limit: Limit | undefined): string {
  return limit === undefined ? '' : limit.where === 'kernel' ? ', kept by this kernel' : ', kept by the service';
}

interface BarProps {
  usage: Usage;
  reported: number | null;
  expected: number | null;
}

function UsageBar({ usage: { cap, idle: billed }, reported, expected }: BarProps) {
  const used = reported ?? 0;
  if (cap === null && expected === null) return null; // used of what? A full bar would say "all of it"
  const scale = Math.max(cap ?? 0, used, expected ?? 0) || 1;
  const share = (seconds: number): string => `${(100 * Math.max(0, seconds)) / scale}%`;
  const idle = Math.min(billed ?? 0, used);
  const within = Math.min(used, cap ?? Infinity);
  const near = cap !== null && used >= 0.8 * cap;
  return (
    <div class={`qm-bar ${near ? 'qm-tone-warn' : 'qm-tone-active'}`} aria-hidden="true">
      <i class="qm-solid" style={{ width: share(within - idle) }} />
      {idle > 0 && <i class="qm-hatch" style={{ width: share(Math.min(idle, within)) }} />}
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
          <span class="qm-aside"> closed</span>
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
        <span role="timer" aria-label={`${shown.label}`}>
          <Tick text={read} runs={deadline !== null} />
        </span>
        <span class="qm-aside">
          {' '}
          <Tick
            text={now => (deadline !== null && deadline <= now ? 'has run out' : shown.label)}
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
