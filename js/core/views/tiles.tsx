import { clock, duration, usageSeconds, useNow } from '../clock';
import { countdown, counts, jobFace, jobName, runsOf, STATES, type Tally, timers } from '../facts';
import type { JobSnapshot, JobState, Usage, WorkloadSnapshot } from '../protocol';

const CELLS = 60; // partitions up to here get a cell each
const RING = 2 * Math.PI * 15;

/** What matters now, largest: the running countdown. Ticks by itself from an absolute deadline. */
export function TimeTile({ state, offset, jobs }: { state: WorkloadSnapshot; offset: number; jobs: Tally }) {
  const { ttl } = state;
  const runs =
    state.state !== 'closed' && (ttl.interactive_deadline ?? ttl.max_deadline ?? ttl.empty_deadline) !== null;
  const now = useNow(runs) + offset;
  const shown = countdown(state, now);
  if (shown === null) return <ProgressTile state={state} offset={offset} jobs={jobs} />;
  const left = shown.deadline === null ? null : Math.max(0, shown.deadline - now);
  const part = left === null || !shown.total ? (left === null ? 1 : 0) : Math.min(1, left / shown.total);
  const ends = shown.deadline === null ? '' : `ends ${clock(shown.deadline, offset)}`;
  return (
    <div class="qm-tile qm-time" title={[ends, timers(state, now)].filter(Boolean).join('\n')}>
      <Ring part={part} tone={shown.tone} />
      <div>
        <h4>{shown.label}</h4>
        <div class="qm-big qm-num" role="timer">
          {left === null ? shown.still : duration(left)}
        </div>
        <div class="qm-note qm-num">{left === 0 ? 'has run out' : shown.note}</div>
      </div>
    </div>
  );
}

/** Without a countdown (job mode, closed): how far it is. */
function ProgressTile({ state, offset, jobs }: { state: WorkloadSnapshot; offset: number; jobs: Tally }) {
  const closed = state.closed === null ? '' : `closed ${clock(state.closed, offset)}`;
  return (
    <div class="qm-tile qm-time">
      <Ring part={jobs.total === 0 ? 0 : jobs.done / jobs.total} tone={jobs.failed > 0 ? 'fail' : 'ok'} />
      <div>
        <h4>Done</h4>
        <div class="qm-big qm-num">{jobs.total === 0 ? '–' : `${jobs.done} of ${jobs.total}`}</div>
        <div class="qm-note qm-num">{closed}</div>
      </div>
    </div>
  );
}

function Ring({ part, tone }: { part: number; tone: string }) {
  return (
    <svg class={`qm-ring qm-tone-${tone}`} viewBox="0 0 36 36" aria-hidden="true">
      <circle cx="18" cy="18" r="15" class="qm-track" />
      {part > 0 && <circle cx="18" cy="18" r="15" class="qm-arc" stroke-dasharray={`${part * RING} ${RING}`} />}
    </svg>
  );
}

/** Reported is solid, billed idle time hatched, what is still expected pale with ≈. */
export function UsageTile({ usage, session }: { usage: Usage; session: boolean }) {
  const reported = usage.status === 'none' ? null : usage.reported;
  const expected = usage.status === 'final' ? null : usage.estimated;
  const known = Math.max(reported ?? 0, expected ?? 0);
  const scale = Math.max(usage.cap ?? 0, known) || 1;
  const share = (seconds: number): string => `${(100 * Math.max(0, seconds)) / scale}%`;
  const idle = Math.min(usage.idle ?? 0, reported ?? 0);
  const near = usage.cap !== null && (reported ?? 0) >= 0.8 * usage.cap;
  const notes = [
    session && idle > 0 ? `${usageSeconds(idle)} of it idle` : '',
    expected === null ? '' : reported === null ? 'expected' : `≈ ${usageSeconds(expected)} expected`,
    usage.cap === null ? '' : `cap ${usageSeconds(usage.cap)}`,
    usage.instance_left === null ? '' : `instance ${usageSeconds(usage.instance_left)} left`,
  ].filter(Boolean);
  return (
    <div class="qm-tile qm-usage" title={usage.formula === null ? undefined : `Expected: ${usage.formula}`}>
      <h4>Usage{usage.status === 'running' && <span class="qm-note"> so far</span>}</h4>
      <div class={`qm-big qm-num ${reported === null && expected !== null ? 'qm-estimate' : ''}`}>
        {reported !== null ? usageSeconds(reported) : expected !== null ? `≈ ${usageSeconds(expected)}` : '–'}
      </div>
      <div class={`qm-bar ${near ? 'qm-tone-warn' : 'qm-tone-active'}`} aria-hidden="true">
        <i class="qm-solid" style={{ width: share((reported ?? 0) - idle) }} />
        {idle > 0 && <i class="qm-hatch" style={{ width: share(idle) }} />}
        {expected !== null && expected > (reported ?? 0) && (
          <i class="qm-pale" style={{ width: share(expected - (reported ?? 0)) }} />
        )}
      </div>
      <div class="qm-note qm-num">
        {reported !== null && <span class="qm-used">{usageSeconds(reported)} used, </span>}
        {notes.length > 0
          ? notes.map((note, i) => (
              <span key={i}>
                {i > 0 && ' · '}
                <span class="qm-nowrap">{note}</span>
              </span>
            ))
          : reported === null
            ? 'nothing reported yet'
            : 'reported by the service'}
      </div>
    </div>
  );
}

/** A cell for each partition, or proportional segments beyond sixty; under it counts that filter the table. */
export function PartitionsTile({
  jobs,
  filter,
  onFilter,
}: {
  jobs: readonly JobSnapshot[];
  filter: JobState | null;
  onFilter: (state: JobState | null) => void;
}) {
  const by = [...counts(jobs)];
  return (
    <div class="qm-tile qm-parts">
      <h4>{jobs.every(job => job.partition !== null) ? 'Partitions' : 'Jobs'}</h4>
      <div
        class={`qm-strip ${jobs.length > 14 ? 'qm-dense' : ''}`}
        role="img"
        aria-label={by.map(([state, n]) => `${n} ${jobFace(state).word}`).join(', ') || 'none yet'}
      >
        {jobs.length <= CELLS ? (
          <Cells jobs={jobs} />
        ) : (
          by.map(([state, n]) => (
            <b
              key={state}
              class={`qm-cell qm-job-${state}`}
              style={{ flexGrow: n }}
              title={`${n} ${jobFace(state).word}`}
            />
          ))
        )}
      </div>
      <div class="qm-counts qm-num">
        {by.length === 0 && <span class="qm-note">none yet</span>}
        {by.map(([state, n]) => (
          <button
            type="button"
            key={state}
            class="qm-count"
            aria-pressed={filter === state}
            title={filter === state ? 'Show all' : `Show only: ${jobFace(state).word}`}
            onClick={() => onFilter(filter === state ? null : state)}
          >
            {n.toLocaleString('en')} {jobFace(state).word.toLowerCase()}
          </button>
        ))}
      </div>
    </div>
  );
}

function Cells({ jobs }: { jobs: readonly JobSnapshot[] }) {
  const runs = runsOf(jobs);
  const room = jobs.length <= 24; // shapes need width; colour is not alone: the counts stand below
  return (
    <>
      {jobs.map(job => {
        const { word, shape } = jobFace(job.state);
        return (
          <b key={job.key} class={`qm-cell qm-job-${job.state}`} title={`${jobName(job, runs)}: ${word}`}>
            {room && STATES.indexOf(job.state) < 4 ? shape : ''}
          </b>
        );
      })}
    </>
  );
}
