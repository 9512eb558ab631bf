import { againLabel } from '../ask';
import { labelOf, shortId, type Tally, workloadFace } from '../facts';
import type { JobSnapshot, Mode, WorkloadSnapshot } from '../protocol';
import type { Click } from '../store';
import { trans } from '../texts';
import { Answer } from './answer';
import { ActionButton, CopyButton } from './button';
import { type Asking, HEAD } from './controls';

interface Props {
  state: WorkloadSnapshot;
  jobs: Tally;
  failed: readonly JobSnapshot[];
  actions: boolean;
  /** The banner offers to run again what failed. */
  offered: boolean;
  asking: Asking | null;
  click: Click | undefined;
}

export function Header({ state, jobs, failed, actions, offered, asking, click }: Props) {
  const face = workloadFace(state, jobs);
  const id = state.workload_id ?? state.id;
  const label = labelOf(state.jobs);
  return (
    <div class="qm-head">
      <span class="qm-name">{modeName(state.mode, jobs.total)}</span>
      {label !== null && (
        <span class="qm-label" title={label}>
          {label}
        </span>
      )}
      <span class="qm-backend" title={state.backend}>
        <span class="qm-dim qm-on">{trans.__('on')} </span>
        {state.backend}
      </span>
      <span class="qm-id qm-dim">
        <CopyButton text={id} shown={shortId(id)} name={trans.__('Copy the id %1', id)} />
      </span>
      {state.instance !== null && <span class="qm-chip qm-on">{state.instance}</span>}
      <span class={`qm-state qm-tone-${face.tone}`} title={face.title}>
        <span class="qm-shape" aria-hidden="true">
          {face.shape}
        </span>
        {face.word}
        {face.more !== '' && <span class="qm-more qm-dim">{face.more}</span>}
      </span>
      {actions && (
        <span class="qm-actions">
          <Answer place={HEAD} asking={asking} click={click} problem={state.problem}>
            {failed.length > 0 && !offered && (
              <ActionButton action="resubmit_failed" place={HEAD} kind="primary" busy={busy(click, 'resubmit_failed')}>
                {againLabel(failed)}
              </ActionButton>
            )}
            {jobs.remaining + jobs.running > 0 && (
              <ActionButton
                action={jobs.remaining > 0 ? 'cancel_remaining' : 'cancel_all'}
                place={HEAD}
                busy={busy(click, 'cancel_remaining', 'cancel_all')}
              >
                {trans.__('Cancel…')}
              </ActionButton>
            )}
            {state.mode !== 'job' && state.state !== 'closed' && state.accepting_jobs !== false && (
              <ActionButton action="close" place={HEAD} busy={busy(click, 'close', 'end')}>
                {state.mode === 'session' ? trans.__('End session…') : trans.__('End batch…')}
              </ActionButton>
            )}
          </Answer>
        </span>
      )}
    </div>
  );
}

function modeName(mode: Mode, jobs: number): string {
  switch (mode) {
    case 'batch':
      return trans.__('Batch');
    case 'session':
      return trans.__('Session');
    case 'job':
      return jobs === 1 ? trans.__('Job') : trans.__('Jobs');
    default:
      return mode; // a newer kernel may know more modes
  }
}

function busy(click: Click | undefined, ...actions: string[]): boolean {
  return (
    click !== undefined && actions.includes(click.action) && (click.status === 'sent' || click.status === 'accepted')
  );
}
