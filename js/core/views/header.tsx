import { useMemo } from 'preact/hooks';
import { cost } from '../ask';
import { labelOf, shortId, type Tally, workloadFace } from '../facts';
import type { JobSnapshot, WorkloadSnapshot } from '../protocol';
import type { Click } from '../store';
import { Answer } from './answer';
import { ActionButton, CopyButton } from './button';
import { type Asking, HEAD } from './controls';

const MODES = { job: 'Jobs', batch: 'Batch', session: 'Session' } as const;

interface Props {
  state: WorkloadSnapshot;
  jobs: Tally;
  failed: readonly JobSnapshot[];
  /** "last seen 12 s ago", where what is shown may be old. */
  stale: string | null;
  actions: boolean;
  asking: Asking | null;
  click: Click | undefined;
}

export function Header({ state, jobs, failed, stale, actions, asking, click }: Props) {
  const face = workloadFace(state, jobs);
  const mode = jobs.total === 1 && state.mode === 'job' ? 'Job' : (MODES[state.mode] ?? state.mode);
  const id = state.workload_id ?? state.id;
  const label = useMemo(() => labelOf(state.jobs), [state.jobs]);
  return (
    <div class="qm-head">
      <span class="qm-name">{mode}</span>
      {label !== null && (
        <span class="qm-label" title={label}>
          {label}
        </span>
      )}
      <span class="qm-backend" title={state.backend}>
        <span class="qm-dim qm-on">on </span>
        {state.backend}
      </span>
      <span class="qm-id qm-dim">
        <CopyButton text={id} shown={shortId(id)} name={`Copy the id ${id}`} />
      </span>
      {state.instance !== null && <span class="qm-chip qm-on">{state.instance}</span>}
      <span class={`qm-state qm-tone-${face.tone}`} title={face.title}>
        <span class="qm-shape" aria-hidden="true">
          {face.shape}
        </span>
        {face.word}
        {face.more !== '' && <span class="qm-more qm-dim">{face.more}</span>}
      </span>
      {stale !== null && <span class="qm-stale-word qm-num">{stale}</span>}
      {actions && (
        <span class="qm-actions">
          <Answer place={HEAD} asking={asking} click={click} problem={state.problem}>
            {failed.length > 0 && (
              <ActionButton
                action="resubmit_failed"
                place={HEAD}
                kind="primary"
                busy={busy(click, 'resubmit_failed')}
                name={`Run ${failed.length} failed again${cost(failed)}`}
              >
                Run failed again{cost(failed)}
              </ActionButton>
            )}
            {jobs.remaining + jobs.running > 0 && (
              <ActionButton
                action={jobs.remaining > 0 ? 'cancel_remaining' : 'cancel_all'}
                place={HEAD}
                busy={busy(click, 'cancel_remaining', 'cancel_all')}
              >
                Cancel…
              </ActionButton>
            )}
            {state.mode !== 'job' && state.state !== 'closed' && state.accepting_jobs !== false && (
              <ActionButton action="close" place={HEAD} busy={busy(click, 'close', 'end')}>
                End {state.mode}…
              </ActionButton>
            )}
          </Answer>
        </span>
      )}
    </div>
  );
}

function busy(click: Click | undefined, ...actions: string[]): boolean {
  return (
    click !== undefined && actions.includes(click.action) && (click.status === 'sent' || click.status === 'accepted')
  );
}
