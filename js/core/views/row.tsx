import { Component } from 'preact';
import { type Axis, segments } from '../axis';
import { dateTime, duration, usageSeconds } from '../clock';
import { failure, jobAction, jobFace, jobReason, pubs, shortId } from '../facts';
import type { Action, JobSnapshot } from '../protocol';
import type { Click } from '../store';
import { Answer } from './answer';
import { ActionButton, CopyButton } from './button';
import type { Asking } from './controls';
import { Tick } from './tick';
import { Waterfall } from './waterfall';

const ACTIONS: Partial<Record<Action, { label: string; kind: 'danger' | 'primary' | 'plain' }>> = {
  cancel: { label: 'Cancel', kind: 'plain' },
  drop: { label: 'Drop', kind: 'plain' },
  resubmit: { label: 'Run again', kind: 'primary' },
};

export interface RowProps {
  job: JobSnapshot;
  /** Attempts that this one replaced, oldest first. */
  earlier: readonly JobSnapshot[];
  number: string;
  name: string;
  offset: number;
  axis: Axis | null;
  /** Its place in the whole table, the head counted. */
  index: number;
  /** Reached by the Tab key; the arrow keys move on from it. */
  current: boolean;
  open: boolean;
  /** Null: not in the choosing of several. */
  chosen: boolean | null;
  asking: Asking | null;
  click: Click | undefined;
  problem: string | null;
  off: boolean;
  onToggle: (key: string) => void;
  onChoose: (key: string) => void;
}

/** Drawn anew only when something about it changed: a thousand rows may stand beside it. */
export class Row extends Component<RowProps> {
  override shouldComponentUpdate(next: Readonly<RowProps>): boolean {
    const names = Object.keys(next) as (keyof RowProps)[];
    return names.some(name => next[name] !== this.props[name]);
  }

  override render() {
    const { job, number, name, index, open, current } = this.props;
    const { word, shape, tone } = jobFace(job.state);
    const reason = jobReason(job);
    return (
      <tr
        role="row"
        data-key={job.key}
        data-state={job.state}
        aria-rowindex={index}
        class={open ? 'qm-opened' : undefined}
      >
        <td role="cell" class="qm-c-n qm-num">
          {this.choice()}
          <button
            type="button"
            class="qm-expand"
            aria-expanded={open}
            aria-label={`Details of ${name}`}
            tabIndex={current ? 0 : -1}
            data-row={job.key}
            onClick={() => this.props.onToggle(job.key)}
          >
            <span class="qm-chevron" aria-hidden="true" />
            {number}
          </button>
        </td>
        <td role="cell" class="qm-c-pubs qm-num" title={job.pubs ?? undefined}>
          {job.pubs !== null && <span class="qm-pubs-word">{pubs(job.pubs).split(' ')[0]} </span>}
          {job.pubs ?? <span class="qm-dim">–</span>}
        </td>
        <td
          role="cell"
          class="qm-c-state"
          title={job.service_status === null ? undefined : `The service says: ${job.service_status}`}
        >
          <span class={`qm-tone-${tone} qm-word`}>
            <span class="qm-shape" aria-hidden="true">
              {shape}
            </span>{' '}
            {word}
          </span>
          {reason !== '' && <span class="qm-reason"> {reason}</span>}
        </td>
        <td role="cell" class="qm-c-fall">
          {this.fall()}
        </td>
        <td role="cell" class="qm-c-usage qm-r qm-num">
          <RowUsage job={job} />
        </td>
        <td role="cell" class="qm-c-act qm-r">
          {this.action()}
        </td>
      </tr>
    );
  }

  private choice() {
    const { job, name, chosen, onChoose } = this.props;
    if (chosen === null) return null;
    const can = jobAction(job) === 'cancel' || jobAction(job) === 'drop';
    return (
      <input
        type="checkbox"
        class="qm-choose"
        checked={chosen}
        disabled={!can}
        aria-label={`Choose ${name}`}
        onChange={() => onChoose(job.key)}
      />
    );
  }

  private fall() {
    const { job, earlier, axis, offset } = this.props;
    if (axis === null) return null;
    const drawn = [...earlier.flatMap(each => segments(each, true)), ...segments(job)];
    return drawn.length === 0 ? null : <Waterfall axis={axis} segments={drawn} label={course(job, offset)} />;
  }

  private action() {
    const { job, name, asking, click, problem, off, current } = this.props;
    const action = jobAction(job);
    const button = action === null ? undefined : ACTIONS[action];
    if (off && click === undefined) return null;
    const busy = click !== undefined && (click.status === 'sent' || click.status === 'accepted');
    return (
      <Answer place={job.key} asking={asking} click={click} problem={problem}>
        {action !== null && button !== undefined && !off && (
          <ActionButton
            key={action}
            action={action}
            place={job.key}
            target={job.key}
            kind={button.kind}
            name={`${button.label === 'Run again' ? 'Run' : button.label} ${name}${button.label === 'Run again' ? ' again' : ''}`}
            busy={busy}
            tabIndex={current ? 0 : -1}
          >
            {button.label}
          </ActionButton>
        )}
      </Answer>
    );
  }
}

/** "waited 0:03, ran 0:15", as far as the service has told. */
function course({ created, running, finished, state }: JobSnapshot, offset: number): string {
  const over = state !== 'queued' && state !== 'running';
  const until = running ?? (over ? finished : null);
  const waited = created === null || until === null ? '' : `waited ${duration(until - created)}`;
  const ran =
    running === null
      ? ''
      : finished === null
        ? over
          ? ''
          : `runs since ${dateTime(running, offset)}`
        : `ran ${duration(finished - running)}`;
  return [waited, ran].filter(Boolean).join(', ') || 'queued';
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

interface DetailProps {
  job: JobSnapshot;
  earlier: readonly JobSnapshot[];
  offset: number;
  columns: number;
}

/** All that is known of a job: the failure in full, its attempts, ids, times, usage, tags. */
export function Detail({ job, earlier, offset, columns }: DetailProps) {
  const said = failure(job);
  const at = (name: string, time: number | null): string => (time === null ? '' : `${name} ${dateTime(time, offset)}`);
  const waited = job.created !== null && job.running !== null ? `waited ${duration(job.running - job.created)}` : '';
  const ran = job.running !== null && job.finished !== null ? `ran ${duration(job.finished - job.running)}` : '';
  const qpu = job.spans.reduce((sum, [from, to]) => sum + to - from, 0);
  const times = [at('created', job.created), at('started', job.running), at('ended', job.finished), waited, ran];
  const about = [
    job.label === null ? '' : `run: ${job.label}`,
    job.program ?? '',
    job.private ? 'private: its result can be read once' : '',
    job.tags.length === 0 ? '' : `tags: ${job.tags.join(', ')}`,
    job.service_status === null ? '' : `the service says: ${job.service_status}`,
  ];
  const list = (parts: string[]) => parts.filter(Boolean).join(' · ');
  return (
    <tr role="row" class={`qm-detail qm-detail-${job.state}`} data-detail={job.key}>
      <td role="cell" colSpan={columns}>
        {said !== null && (
          <p>
            {said.what} {said.code !== null && <b class="qm-num">({String(said.code)})</b>}{' '}
            {said.advice !== '' && <>IBM’s advice: {said.advice}</>}
          </p>
        )}
        {job.note !== null && <p>{job.note}</p>}
        <p class="qm-num">
          {job.job_id === null ? (
            'No job on the service yet'
          ) : (
            <>
              Job <code>{job.job_id}</code> <CopyButton text={job.job_id} name={`Copy job id ${job.job_id}`} />
            </>
          )}
          {list(times) !== '' && <> · {list(times)}</>}
          {job.state === 'running' && job.running !== null && (
            <>
              {' · running for '}
              <Tick text={now => duration(now - (job.running ?? now))} />
            </>
          )}
          {qpu > 0 && ` · on the QPU for ${usageSeconds(Math.round(10 * qpu) / 10)}`}
        </p>
        {(job.attempt > 0 || earlier.length > 0) && (
          <p class="qm-num">
            Attempt {job.attempt + 1}.{' '}
            {earlier.map(each => (
              <span key={each.key}>
                Attempt {each.attempt + 1}: {jobFace(each.state).word.toLowerCase()}
                {failure(each) === null
                  ? ''
                  : `, ${failure(each)?.what.replace(/\.$/, '')}${each.reason_code === null ? '' : ` (${String(each.reason_code)})`}`}
                {each.job_id !== null && (
                  <>
                    {' '}
                    <code title={each.job_id}>{shortId(each.job_id)}</code>{' '}
                    <CopyButton text={each.job_id} name={`Copy job id ${each.job_id}`} />
                  </>
                )}
                .{' '}
              </span>
            ))}
          </p>
        )}
        {job.usage.estimated !== null && (
          <p class="qm-dim qm-num">
            Expected ≈ {usageSeconds(job.usage.estimated)}
            {job.usage.formula === null ? '' : `: ${job.usage.formula}`}
          </p>
        )}
        {list(about) !== '' && <p class="qm-dim">{list(about)}</p>}
      </td>
    </tr>
  );
}
