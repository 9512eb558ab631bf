import { shortId, type Tally, workloadFace } from '../facts';
import type { WorkloadSnapshot } from '../protocol';
import { ActionButton } from './button';

const MODES = { job: 'Jobs', batch: 'Batch', session: 'Session' } as const;

export function Header({
  state,
  jobs,
  stale,
  actions,
}: {
  state: WorkloadSnapshot;
  jobs: Tally;
  stale: string | null;
  actions: boolean;
}) {
  const face = workloadFace(state, jobs);
  return (
    <div class="qm-head">
      <span class="qm-mode">
        {jobs.total === 1 && state.mode === 'job' ? 'Job' : (MODES[state.mode] ?? state.mode)}
      </span>
      <span class="qm-backend" title={state.backend}>
        <span class="qm-dim qm-on">on </span>
        {state.backend}
      </span>
      <code class="qm-dim qm-id" title={origin(state)}>
        {shortId(state.service_id ?? state.id)}
      </code>
      {stale === null ? (
        <span class={`qm-state qm-tone-${face.tone}`} title={face.title}>
          <span class="qm-shape" aria-hidden="true">
            {face.shape}
          </span>
          <span>
            {face.word}
            {face.more !== '' && <span class="qm-more">, {face.more}</span>}
          </span>
        </span>
      ) : (
        <span class="qm-state qm-stale-word" title={`${face.word}. ${state.problem ?? ''}`}>
          {stale}
        </span>
      )}
      {actions && (
        <span class="qm-actions">
          <Actions state={state} jobs={jobs} />
        </span>
      )}
    </div>
  );
}

/** Each with the number of jobs it touches; those that touch none are not there. */
export function Actions({ state, jobs }: { state: WorkloadSnapshot; jobs: Tally }) {
  const open = state.mode !== 'job' && state.state !== 'closed' && state.accepting_jobs !== false;
  return (
    <>
      {jobs.failed > 0 && (
        <ActionButton key="resubmit" action="resubmit_failed" kind="primary">
          Resubmit failed ({jobs.failed})
        </ActionButton>
      )}
      {jobs.remaining > 0 && (
        <ActionButton key="remaining" action="cancel_remaining" kind="danger">
          Cancel remaining ({jobs.remaining})
        </ActionButton>
      )}
      {jobs.remaining === 0 && jobs.running > 1 && (
        <ActionButton key="all" action="cancel_all" kind="danger">
          Cancel all ({jobs.running})
        </ActionButton>
      )}
      {open && (
        <ActionButton key="close" action="close">
          Close
        </ActionButton>
      )}
    </>
  );
}

function origin({ id, service_id: now, instance, lineage }: WorkloadSnapshot): string {
  const before = lineage.filter(each => each !== now);
  return [now ?? id, instance, before.length > 0 ? `continues ${before.join(', ')}` : ''].filter(Boolean).join('\n');
}
