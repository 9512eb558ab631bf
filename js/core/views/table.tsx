import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { clock, dateTime, duration, usageSeconds, useNow } from '../clock';
import { jobAction, jobFace, jobName, jobNumber, jobReason, jobTime, runsOf, shortId } from '../facts';
import type { Action, JobSnapshot } from '../protocol';
import { ActionButton } from './button';
import { useControls } from './controls';

const ALL = 60;              // up to here every row is in the page; beyond, only those in sight
const SPARE = 8;             // rows kept above and below, so that scrolling does not flash

const ACTIONS: Partial<Record<Action, { label: string; kind: 'danger' | 'primary' | 'plain' }>> = {
  cancel: { label: 'Cancel', kind: 'plain' },
  drop: { label: 'Drop', kind: 'plain' },
  resubmit: { label: 'Resubmit', kind: 'primary' },
};

interface Props {
  jobs: readonly JobSnapshot[];
  offset: number;
  /** The row a question is about. */
  marked: string | null;
}

/**
 * A row per partition; scrolls by itself, virtually when there are many. Roles are spelt out: the sidebar lays rows out as a grid,
 * and a table that is displayed otherwise loses its meaning to screen readers.
 */
export function JobTable({ jobs, offset, marked }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ top: 0, height: 480, row: 30 });
  const virtual = jobs.length > ALL;

  const measure = (): void => {
    const element = box.current;
    if (element === null) return;
    const row = element.querySelector<HTMLElement>('tbody tr[data-key]')?.offsetHeight || view.row;
    setView(old => (old.top === element.scrollTop && old.height === element.clientHeight && old.row === row
      ? old : { top: element.scrollTop, height: element.clientHeight, row }));
  };
  useLayoutEffect(() => {
    if (!virtual || box.current === null) return;
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(box.current);
    return () => observer.disconnect();
  }, [virtual]);

  const first = virtual ? Math.max(0, Math.min(Math.floor(view.top / view.row) - SPARE, jobs.length - 1)) : 0;
  const last = virtual ? Math.min(jobs.length, Math.ceil((view.top + view.height) / view.row) + SPARE) : jobs.length;
  const runs = runsOf(jobs);
  return (
    <div class="qm-scroll" ref={box} onScroll={virtual ? measure : undefined} tabIndex={0} role="region" aria-label="Jobs, scrollable">
      <table class="qm-table" role="table" aria-rowcount={jobs.length + 1}>
        <thead>
          <tr role="row" aria-rowindex={1}>
            <th role="columnheader" class="qm-c-n" scope="col">#</th><th role="columnheader" class="qm-c-pubs" scope="col">PUBs</th><th role="columnheader" class="qm-c-state" scope="col">State</th>
            <th role="columnheader" class="qm-c-job" scope="col">Job</th><th role="columnheader" class="qm-c-usage qm-r" scope="col">Usage</th>
            <th role="columnheader" class="qm-c-time qm-r" scope="col">Time</th><th role="columnheader" class="qm-c-act" scope="col"><span class="qm-hidden">Action</span></th>
          </tr>
        </thead>
        <tbody>
          {first > 0 && <tr key="above" aria-hidden="true"><td class="qm-gap" colSpan={7} style={{ height: `${first * view.row}px` }} /></tr>}
          {jobs.slice(first, last).map((job, i) => (
            <Row key={job.key} job={job} offset={offset} runs={runs} index={first + i + 2} marked={job.key === marked} />))}
          {last < jobs.length && <tr key="below" aria-hidden="true"><td class="qm-gap" colSpan={7} style={{ height: `${(jobs.length - last) * view.row}px` }} /></tr>}
        </tbody>
      </table>
    </div>
  );
}

function Row({ job, offset, runs, index, marked }: { job: JobSnapshot; offset: number; runs: readonly string[]; index: number; marked: boolean }) {
  const { word, shape, tone } = jobFace(job.state);
  const reason = jobReason(job);
  const action = jobAction(job);
  const button = action === null ? undefined : ACTIONS[action];
  const said = job.service_status === null ? '' : `The service says: ${job.service_status}`;
  return (
    <tr role="row" data-key={job.key} data-state={job.state} aria-rowindex={index} class={marked ? 'qm-marked' : undefined}>
      <td role="cell" class="qm-c-n qm-num">{jobNumber(job, runs)}</td>
      <td role="cell" class="qm-c-pubs qm-num" title={[job.pubs, job.group, job.program, ...job.tags].filter(Boolean).join(' · ')}>
        {job.pubs !== null && <span class="qm-pubs-word">PUBs </span>}{job.pubs ?? (job.group === null ? '–' : <span class="qm-dim">{job.group}</span>)}</td>
      <td role="cell" class="qm-c-state" title={[said, reason].filter(Boolean).join('\n')}>
        <span class={`qm-tone-${tone}`}><span class="qm-shape" aria-hidden="true">{shape}</span> {word}</span>
        {reason !== '' && <span class="qm-reason"> {reason}</span>}</td>
      <td role="cell" class="qm-c-job">{job.job_id === null ? <span class="qm-dim">–</span> : <code title={job.job_id}>{shortId(job.job_id)}</code>}</td>
      <td role="cell" class="qm-c-usage qm-r qm-num"><RowUsage job={job} /></td>
      <td role="cell" class="qm-c-time qm-r qm-num"><Elapsed job={job} offset={offset} /></td>
      <td role="cell" class="qm-c-act qm-r">{action !== null && button !== undefined && (
        <ActionButton key={action} action={action} target={job.key} kind={button.kind} name={`${button.label} ${jobName(job, runs)}`}>{button.label}</ActionButton>)}
        {job.job_id !== null && action === null && <Copy text={job.job_id} />}</td>
    </tr>
  );
}

function RowUsage({ job: { usage, state } }: { job: JobSnapshot }) {
  if (usage.reported !== null && usage.status !== 'none' && (usage.status === 'final' || usage.reported > 0)) {
    return <span title={usage.status === 'running' ? 'so far' : 'reported by the service'}>{usageSeconds(usage.reported)}{usage.status === 'running' && '…'}</span>;
  }
  const pointless = state === 'cancelled' || state === 'dropped' || state === 'refused';
  if (usage.estimated === null || pointless) return <span class="qm-dim">–</span>;
  return <span class="qm-dim" title={usage.formula ?? 'expected'}>≈ {usageSeconds(usage.estimated)}</span>;
}

function Elapsed({ job, offset }: { job: JobSnapshot; offset: number }) {
  const now = useNow(job.state === 'running' && job.running !== null) + offset;
  const seconds = jobTime(job, now);
  const at = (name: string, time: number | null): string => (time === null ? '' : `${name} ${dateTime(time, offset)}`);
  const title = [at('created', job.created), at('running', job.running), at('finished', job.finished)].filter(Boolean).join('\n');
  return <span title={title || undefined} data-since={job.running === null ? undefined : clock(job.running, offset)}>{seconds === null ? '' : duration(seconds)}</span>;
}

/** Rows that offer no action let the job's id be copied: it is what other tools ask for. */
function Copy({ text }: { text: string }) {
  const { off } = useControls();
  const [done, setDone] = useState(false);
  if (off !== null || typeof navigator.clipboard === 'undefined') return null;
  return (
    <button type="button" class="qm-button qm-quiet" aria-label={`Copy job id ${text}`}
      onClick={() => void navigator.clipboard.writeText(text).then(() => setDone(true), () => undefined)}
      onBlur={() => setDone(false)}>{done ? 'Copied' : 'Copy id'}</button>
  );
}
