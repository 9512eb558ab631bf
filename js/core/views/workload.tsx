import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { question, type Question } from '../ask';
import { duration, useNow } from '../clock';
import { shortId, shownJobs, staleness, tally, type Tally } from '../facts';
import type { Action, JobState, WorkloadSnapshot } from '../protocol';
import type { Store, Workload } from '../store';
import { ActionButton } from './button';
import { type Controls, ControlsContext } from './controls';
import { Header } from './header';
import { Confirm, Events, Outcomes } from './notices';
import { JobTable } from './table';
import { PartitionsTile, TimeTile, UsageTile } from './tiles';
import { Timeline } from './timeline';

interface Props {
  store: Store;
  workload: Workload;
  /** A card that opens, for lists; otherwise everything is there at once. */
  card?: boolean;
}

interface Asking extends Question {
  action: Action;
  target: string | null;
}

/** One workload. The same in a cell and in the sidebar: container queries arrange it, see style.css. */
export function WorkloadView({ store, workload, card = false }: Props) {
  const { state, offset, clicks } = workload;
  const [open, setOpen] = useState(!card);
  const [filter, setFilter] = useState<JobState | null>(null);
  const [asking, setAsking] = useState<Asking | null>(null);
  const root = useRef<HTMLElement>(null);
  const origin = useRef<HTMLElement | null>(null);
  useKeptFocus(root);

  const now = useNow(state.problem !== null || store.lost) + offset;
  const jobs = shownJobs(state);
  const sum = tally(jobs);
  const stale = staleness(state, now, store.lost);
  const listed = filter === null ? jobs : jobs.filter(job => job.state === filter);

  const leave = (): void => {
    setAsking(null);
    (origin.current?.isConnected ? origin.current : root.current)?.focus();
  };
  const controls: Controls = {
    off: store.ended ?? readOnly(state.read_only ?? store.hello?.problem ?? null),
    pending: (action, target) =>
      clicks.find(
        click =>
          click.action === action &&
          click.target === (target ?? null) &&
          (click.status === 'sent' || click.status === 'accepted'),
      ),
    begin: (action, target) => {
      origin.current = document.activeElement instanceof HTMLElement ? document.activeElement : null;
      const asked = question(state, action, target ?? null);
      if (asked === null) store.command(state.id, action, target ?? null);
      else setAsking({ ...asked, action, target: target ?? null });
    },
  };
  return (
    <ControlsContext.Provider value={controls}>
      <section
        class={`qm-card ${open ? 'qm-open' : 'qm-closed'} ${stale === null ? '' : 'qm-stale'}`}
        ref={root}
        tabIndex={-1}
        data-workload={state.id}
        data-state={state.state}
        aria-label={`${state.mode} ${state.id} on ${state.backend}`}
      >
        <Header state={state} jobs={sum} stale={stale} actions={open} />
        <div class="qm-tiles">
          <TimeTile state={state} offset={offset} jobs={sum} />
          <UsageTile usage={state.usage} session={state.mode === 'session'} />
          {(open || sum.total > 1) && (
            <PartitionsTile
              jobs={jobs}
              filter={filter}
              onFilter={next => {
                setFilter(next);
                setOpen(true);
              }}
            />
          )}
        </div>
        {controls.off !== null && (
          <div class="qm-off" role="note">
            {controls.off}
          </div>
        )}
        {asking !== null && (
          <Confirm
            question={asking}
            onNo={leave}
            onYes={action => {
              store.command(state.id, action, action === asking.action ? asking.target : null);
              leave();
            }}
          />
        )}
        <Outcomes state={state} clicks={clicks} onDismiss={id => store.forget(id)} />
        {open && jobs.length > 0 && (
          <>
            <JobTable jobs={listed} offset={offset} marked={asking?.target ?? null} />
            <Timeline jobs={state.jobs} offset={offset} />
          </>
        )}
        {open && <Events state={state} offset={offset} />}
        {card && <Foot state={state} jobs={sum} offset={offset} open={open} onToggle={() => setOpen(!open)} />}
      </section>
    </ControlsContext.Provider>
  );
}

function readOnly(why: string | null): string | null {
  return why === null ? null : `Read only: ${why}`;
}

/** Of a card: what it comes to in one line, and the way in. */
function Foot({
  state,
  jobs,
  offset,
  open,
  onToggle,
}: {
  state: WorkloadSnapshot;
  jobs: Tally;
  offset: number;
  open: boolean;
  onToggle: () => void;
}) {
  const { ttl } = state;
  const now = useNow(!open && ttl.interactive_deadline !== null && ttl.max_deadline !== null) + offset;
  const left =
    ttl.interactive_deadline !== null && ttl.max_deadline !== null ? `${duration(ttl.max_deadline - now)} left` : '';
  const text = [
    state.group,
    jobs.total === 0 ? 'no job yet' : `${jobs.done} of ${jobs.total} done`,
    jobs.failed > 0 ? `${jobs.failed} failed` : '',
    left,
  ]
    .filter(Boolean)
    .join(' · ');
  const idle =
    state.mode === 'session' &&
    state.state === 'active' &&
    state.accepting_jobs !== false &&
    jobs.running + jobs.remaining === 0;
  return (
    <div class="qm-foot">
      <span class="qm-note qm-num qm-grow">
        {open ? <code title={state.service_id ?? state.id}>{shortId(state.service_id ?? state.id)}</code> : text}
      </span>
      <span class="qm-actions">
        {!open && idle && (
          <ActionButton action="close" kind="primary">
            Close
          </ActionButton>
        )}
        {!open && !idle && jobs.failed > 0 && (
          <ActionButton action="resubmit_failed" kind="primary">
            Resubmit ({jobs.failed})
          </ActionButton>
        )}
        <button type="button" class="qm-button" aria-expanded={open} data-open onClick={onToggle}>
          {open ? 'Fold' : 'Open'}
        </button>
      </span>
    </div>
  );
}

/** When an update takes away the element that has the focus, the workload gets it: not the page's beginning. */
function useKeptFocus(root: { current: HTMLElement | null }): void {
  const within = useRef(false);
  useLayoutEffect(() => {
    const element = root.current;
    if (element === null) return;
    const into = (): void => {
      within.current = true;
    };
    const out = (event: FocusEvent): void => {
      // Chromium tells of a removed element with no new target while it is still the active one, or not at all.
      if (event.relatedTarget !== null && !element.contains(event.relatedTarget as Node)) within.current = false;
    };
    const away = (event: Event): void => {
      if (!element.contains(event.target as Node)) within.current = false;
    };
    element.addEventListener('focusin', into);
    element.addEventListener('focusout', out);
    document.addEventListener('pointerdown', away, true);
    return () => {
      element.removeEventListener('focusin', into);
      element.removeEventListener('focusout', out);
      document.removeEventListener('pointerdown', away, true);
    };
  }, []);
  useLayoutEffect(() => {
    if (within.current && document.activeElement === document.body) root.current?.focus({ preventScroll: true });
  });
}
