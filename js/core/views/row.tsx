import { useState } from 'preact/hooks';
import { dateTime, duration, usageSeconds, useNow } from '../clock';
import { jobAction, jobFace, jobName, jobNumber, jobReason, jobTime, shortId } from '../facts';
import type { Action, JobSnapshot } from '../protocol';
import { ActionButton } from './button';
import { useControls } from './controls';

const ACTIONS: Partial<Record<Action, { label: string; kind: 'danger' | 'primary' | 'plain' }>> = {
  cancel: { label: 'Cancel', kind: 'plain' },
  drop: { label: 'Drop', kind: 'plain' },
  resubmit: { label: 'Resubmit', kind: 'primary' },
};

interface RowProps {
  job: JobSnapshot;
  offset: number;
  runs: readonly string[];
  /** Its place in the whole table, the head counted. */
  index: number;
  marked: boolean;
}

export function Row({ job, offset, runs, index, marked }: RowProps) {
  const { word, shape, tone } = jobFace(job.state);
  const reason = jobReason(job);
  const action = jobAction(job);
  const button = action === null ? undefined : ACTIONS[action];
  const said = job.service_status === null ? '' : `The service says: ${job.service_status}`;
  return (
    <tr
      role="row"
      data-key={job.key}
      data-state={job.state}
      aria-rowindex={index}
      class={marked ? 'qm-marked' : undefined}
    >
      <td role="cell" class="qm-c-n qm-num">
        {jobNumber(job, runs)}
      </td>
      <td
        role="cell"
        class="qm-c-pubs qm-num"
        title={[job.pubs, job.group, job.program, ...job.tags].filter(Boolean).join(' · ')}
      >
        {job.pubs !== null && <span class="qm-pubs-word">PUBs </span>}
        {job.pubs ?? (job.group === null ? '–' : <span class="qm-dim">{job.group}</span>)}
      </td>
      <td role="cell" class="qm-c-state" title={[said, reason].filter(Boolean).join('\n')}>
        <span class={`qm-tone-${tone}`}>
          <span class="qm-shape" aria-hidden="true">
            {shape}
          </span>{' '}
          {word}
        </span>
        {reason !== '' && <span class="qm-reason"> {reason}</span>}
      </td>
      <td role="cell" class="qm-c-job">
        {job.job_id === null ? <span class="qm-dim">–</span> : <code title={job.job_id}>{shortId(job.job_id)}</code>}
      </td>
      <td role="cell" class="qm-c-usage qm-r qm-num">
        <RowUsage job={job} />
      </td>
      <td role="cell" class="qm-c-time qm-r qm-num">
        <Elapsed job={job} offset={offset} />
      </td>
      <td role="cell" class="qm-c-act qm-r">
        {action !== null && button !== undefined && (
          <ActionButton
            key={action}
            action={action}
            target={job.key}
            kind={button.kind}
            name={`${button.label} ${jobName(job, runs)}`}
          >
            {button.label}
          </ActionButton>
        )}
        {job.job_id !== null && action === null && <Copy text={job.job_id} />}
      </td>
    </tr>
  );
}

function RowUsage({ job: { usage, state } }: { job: JobSnapshot }) {
  if (usage.reported !== null && usage.status !== 'none' && (usage.status === 'final' || usage.reported > 0)) {
    return (
      <span title={usage.status === 'running' ? 'so far' : 'reported by the service'}>
        {usageSeconds(usage.reported)}
        {usage.status === 'running' && '…'}
      </span>
    );
  }
  const pointless = state === 'cancelled' || state === 'dropped' || state === 'refused';
  if (usage.estimated === null || pointless) return <span class="qm-dim">–</span>;
  return (
    <span class="qm-dim" title={usage.formula ?? 'expected'}>
      ≈ {usageSeconds(usage.estimated)}
    </span>
  );
}

function Elapsed({ job, offset }: { job: JobSnapshot; offset: number }) {
  const now = useNow(job.state === 'running' && job.running !== null) + offset;
  const seconds = jobTime(job, now);
  const at = (name: string, time: number | null): string => (time === null ? '' : `${name} ${dateTime(time, offset)}`);
  const title = [at('created', job.created), at('running', job.running), at('finished', job.finished)]
    .filter(Boolean)
    .join('\n');
  return <span title={title || undefined}>{seconds === null ? '' : duration(seconds)}</span>;
}

/** Rows that offer no action let the job's id be copied: it is what other tools ask for. */
function Copy({ text }: { text: string }) {
  const { off } = useControls();
  const [done, setDone] = useState(false);
  if (off !== null || typeof navigator.clipboard === 'undefined') return null;
  return (
    <button
      type="button"
      class="qm-button qm-quiet"
      aria-label={`Copy job id ${text}`}
      onClick={() =>
        void navigator.clipboard.writeText(text).then(
          () => setDone(true),
          () => undefined,
        )
      }
      onBlur={() => setDone(false)}
    >
      {done ? 'Copied' : 'Copy id'}
    </button>
  );
}
