import { Component } from 'preact';
import { spend } from '../ask';
import { type Axis, segments } from '../axis';
import { ago, dateTime, duration, usageSeconds } from '../clock';
import {
  failure,
  isCancellable,
  jobAction,
  jobFace,
  jobName,
  jobNumber,
  jobReason,
  jobVerb,
  pubsWord,
  shortId,
} from '../facts';
import type { Action, JobSnapshot } from '../protocol';
import type { Click } from '../store';
import { trans } from '../texts';
import { Answer } from './answer';
import { ActionButton, CopyButton } from './button';
import type { Asking } from './controls';
import { ClockContext, REAL, Tick } from './tick';
import { Waterfall } from './waterfall';

interface Offer {
  label: string;
  /** With what it acts on: "Cancel partition 5 (PUBs 8–9)". */
  name: string;
  kind: 'primary' | 'plain';
}

function offer(action: Action | null, job: string, again: JobSnapshot): Offer | null {
  switch (action) {
    case 'cancel':
      return { label: trans.__('Cancel'), name: trans.__('Cancel %1', job), kind: 'plain' };
    case 'drop':
      return { label: trans.__('Drop'), name: trans.__('Drop %1', job), kind: 'plain' };
    case 'resubmit':
      return {
        label: trans.__('Run again %1', spend([again])),
        name: `${trans.__('Run again %1', spend([again]))}: ${job}`,
        kind: 'primary',
      };
    default:
      return null;
  }
}

export interface RowProps {
  job: JobSnapshot;
  /** Attempts that this one replaced, oldest first. */
  earlier: readonly JobSnapshot[];
  offset: number;
  axis: Axis | null;
  /** Reached by the Tab key; the arrow keys move on from it. */
  current: boolean;
  open: boolean;
  /** Null: not in the choosing of several. */
  chosen: boolean | null;
  asking: Asking | null;
  click: Click | undefined;
  problem: string | null;
  /** Rows are told apart by the names of their runs. */
  labelled: boolean;
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
    const { job, open, current, labelled, asking, click } = this.props;
    const name = jobName(job);
    const { word, shape, tone } = jobFace(job.state);
    const reason = jobReason(job);
    const course = this.fall();
    const service = job.service_status === null ? '' : trans.__('The service says: %1', job.service_status);
    return (
      <tr
        role="row"
        data-key={job.key}
        data-state={job.state}
        class={[open && 'qm-opened', (asking ?? click) && 'qm-answers'].filter(Boolean).join(' ') || undefined}
      >
        <td role="cell" class="qm-c-n qm-num">
          {this.choice(name)}
          <button
            type="button"
            class="qm-expand"
            aria-expanded={open}
            title={name}
            aria-label={trans.__('Details of %1', name)}
            tabIndex={current ? 0 : -1}
            data-row={job.key}
            onClick={() => this.props.onToggle(job.key)}
          >
            <span class="qm-chevron" aria-hidden="true" />
            {jobNumber(job)}
          </button>
        </td>
        <td role="cell" class="qm-c-pubs qm-num" title={[job.label, job.pubs].filter(Boolean).join(': ') || undefined}>
          {labelled && job.label !== null && <b>{job.label} </b>}
          {job.pubs !== null && <span class="qm-pubs-word">{pubsWord(job.pubs)} </span>}
          {job.pubs ?? <span class="qm-dim">–</span>}
        </td>
        <td
          role="cell"
          class="qm-c-state"
          // Without a course there is room for what is said of it.
          colSpan={course === null ? 2 : 1}
          title={[reason, service].filter(Boolean).join(' · ') || undefined}
        >
          <div class="qm-clip">
            <span class={`qm-tone-${tone} qm-word`}>
              <span class="qm-shape" aria-hidden="true">
                {shape}
              </span>{' '}
              {word}
            </span>
            {reason !== '' && <span class="qm-reason"> {reason}</span>}
            {job.next_try !== null && job.state === 'waiting' && <NextTry at={job.next_try - this.props.offset} />}
          </div>
        </td>
        {course !== null && (
          <td role="cell" class="qm-c-fall">
            {course}
          </td>
        )}
        <td role="cell" class="qm-c-usage qm-r qm-num">
          <RowUsage job={job} />
        </td>
        <td role="cell" class="qm-c-act qm-r">
          {this.action(name)}
        </td>
      </tr>
    );
  }

  private choice(name: string) {
    const { job, chosen, onChoose } = this.props;
    if (chosen === null) return null;
    return (
      <input
        type="checkbox"
        class="qm-choose"
        checked={chosen}
        disabled={!isCancellable(job)}
        aria-label={trans.__('Choose %1', name)}
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

  private action(name: string) {
    const { job, asking, click, problem, off, current } = this.props;
    const action = jobAction(job);
    if (off && click === undefined) return null;
    const button = offer(action, name, job);
    const busy = click !== undefined && (click.status === 'sent' || click.status === 'accepted');
    return (
      <Answer place={job.key} asking={asking} click={click} problem={problem}>
        {action !== null && button !== null && !off && (
          <ActionButton
            key={action}
            action={action}
            place={job.key}
            target={job.key}
            kind={button.kind}
            name={button.name}
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
  const waited = created === null || until === null ? '' : trans.__('waited %1', duration(until - created));
  const ran =
    running === null
      ? ''
      : finished === null
        ? over
          ? ''
          : trans.__('runs since %1', dateTime(running, offset))
        : trans.__('ran %1', duration(finished - running));
  return [waited, ran].filter(Boolean).join(', ') || trans.__('queued');
}

function RowUsage({ job: { usage, state } }: { job: JobSnapshot }) {
  if (usage.reported !== null && usage.status !== 'none' && (usage.status === 'final' || usage.reported > 0)) {
    return (
      <span title={usage.status === 'running' ? trans.__('so far') : trans.__('reported by the service')}>
        {usageSeconds(usage.reported)}
        {usage.status === 'running' && '…'}
      </span>
    );
  }
  const pointless = state === 'cancelled' || state === 'dropped' || state === 'refused';
  if (usage.estimated === null || pointless) return <span class="qm-dim">–</span>;
  return (
    <span class="qm-dim" title={usage.formula ?? trans.__('expected')}>
      ≈ {usageSeconds(usage.estimated)}
    </span>
  );
}

/** Counts down to the next attempt to send it: by this page's clock, for the service's stands still in an outage. */
function NextTry({ at }: { at: number }) {
  return (
    <span class="qm-reason qm-num">
      <ClockContext.Provider value={REAL}>
        <Tick text={now => (now < at ? ` · ${trans.__('next try in %1', ago(at - now))}` : '')} />
      </ClockContext.Provider>
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
  const { created, running, finished } = job;
  const qpu = job.spans.reduce((sum, [from, to]) => sum + to - from, 0);
  const times = [
    created === null ? '' : trans.__('created %1', dateTime(created, offset)),
    running === null ? '' : trans.__('started %1', dateTime(running, offset)),
    finished === null ? '' : trans.__('ended %1', dateTime(finished, offset)),
    created === null || running === null ? '' : trans.__('waited %1', duration(running - created)),
    running === null || finished === null ? '' : trans.__('ran %1', duration(finished - running)),
  ];
  const about = [
    job.label === null ? '' : trans.__('run: %1', job.label),
    job.program ?? '',
    job.private ? trans.__('private: its result can be read once') : '',
    job.tags.length === 0 ? '' : trans.__('tags: %1', job.tags.join(', ')),
    job.service_status === null ? '' : trans.__('the service says: %1', job.service_status),
  ];
  const list = (parts: string[]) => parts.filter(Boolean).join(' · ');
  return (
    <tr role="row" class={`qm-detail qm-detail-${job.state}`} data-detail={job.key}>
      <td role="cell" colSpan={columns}>
        {said !== null && (
          <p>
            {said.what} {said.code !== null && <b class="qm-num">({String(said.code)})</b>}{' '}
            {said.advice !== '' && trans.__('IBM’s advice: %1', said.advice)}
          </p>
        )}
        {job.note !== null && <p>{job.note}</p>}
        <p class="qm-num">
          {job.job_id === null ? (
            trans.__('No job on the service yet')
          ) : (
            <>
              {trans.__('Job')} <code>{job.job_id}</code>{' '}
              <CopyButton text={job.job_id} name={trans.__('Copy job id %1', job.job_id)} />
            </>
          )}
          {list(times) !== '' && <> · {list(times)}</>}
          {job.state === 'running' && running !== null && (
            <>
              {' · '}
              <Tick text={now => trans.__('running for %1', duration(now - running))} />
            </>
          )}
          {qpu > 0 && ` · ${trans.__('on the QPU for %1', usageSeconds(Math.round(10 * qpu) / 10))}`}
        </p>
        {(job.attempt > 0 || earlier.length > 0) && (
          <p class="qm-num">
            {trans.__('Attempt %1.', job.attempt + 1)}{' '}
            {earlier.map(each => (
              <span key={each.key}>
                {trans.__('Attempt %1: %2', each.attempt + 1, jobVerb(each.state))}
                {failure(each) === null
                  ? ''
                  : `, ${failure(each)?.what.replace(/\.$/, '')}${each.reason_code === null ? '' : ` (${String(each.reason_code)})`}`}
                {each.job_id !== null && (
                  <>
                    {' '}
                    <code title={each.job_id}>{shortId(each.job_id)}</code>{' '}
                    <CopyButton text={each.job_id} name={trans.__('Copy job id %1', each.job_id)} />
                  </>
                )}
                .{' '}
              </span>
            ))}
          </p>
        )}
        {job.usage.estimated !== null && (
          <p class="qm-dim qm-num">
            {trans.__('Expected ≈ %1', usageSeconds(job.usage.estimated))}
            {job.usage.formula === null ? '' : `: ${job.usage.formula}`}
          </p>
        )}
        {list(about) !== '' && <p class="qm-dim">{list(about)}</p>}
      </td>
    </tr>
  );
}
