import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { failedJobs, naming, question, type Target } from '../ask';
import { banner } from '../banner';
import { dateTime } from '../clock';
import { countdown, failure, jobFace, jobName, lastSeen, shownJobs, tally, type Tally } from '../facts';
import { useFocusInside } from '../focus';
import type { Action, Folded, JobSnapshot, JobState, WorkloadSnapshot } from '../protocol';
import type { Click, Store, Workload } from '../store';
import { trans } from '../texts';
import { Banner } from './banner';
import { type Asking, type Controls, ControlsContext } from './controls';
import { Events } from './events';
import { Header } from './header';
import { Deadline, Progress, UsageTile } from './lead';
import { JobTable, slot } from './table';
import { type Clock, ClockContext, Tick } from './tick';

/** What a document holds, while no kernel watches the workload. */
export interface SavedView {
  folded: readonly Folded[];
  /** Begins to watch it again; null: there is no kernel for that. */
  reattach: (() => void) | null;
  /** It is not known yet whether a kernel watches it. */
  pending: boolean;
  /** What came of that, or what to do instead. */
  note: string;
}

interface Props {
  store: Store;
  workload: Workload;
  saved?: SavedView | null;
}

const UNFOLDED: readonly Folded[] = [];

/** One workload. The same in a cell and in the sidebar: container queries arrange it, see style.css. */
export function WorkloadView({ store, workload, saved = null }: Props) {
  const { state, offset, clicks } = workload;
  const [filter, setFilter] = useState<JobState | null>(null);
  const [asking, setAsking] = useState<Asking | null>(null);
  const [dismissed, setDismissed] = useState('');
  const root = useRef<HTMLDivElement>(null);
  const origin = useRef<HTMLElement | null>(null);
  useKeptFocus(root);

  const folded = saved?.folded ?? UNFOLDED;
  const jobs = useMemo(() => shownJobs(state), [state.jobs]);
  const sum = useMemo(() => tally(jobs, folded), [jobs, folded]);
  const earlier = useMemo(() => attempts(state.jobs), [state.jobs]);
  const failed = useMemo(() => failedJobs(jobs), [jobs]);

  const old = state.problem !== null || store.lost || saved !== null;
  const clock = useMemo<Clock>(() => {
    const seen = state.seen_at ?? 0;
    return old ? { read: () => seen, live: false } : { read: () => Date.now() / 1000 + offset, live: true };
  }, [old, old ? state.seen_at : offset]);
  const off = store.ended ?? readOnly(state.read_only ?? store.hello?.problem ?? null);
  const about =
    saved !== null
      ? null
      : banner(state, sum, { now: clock.read(), offset, lost: store.lost && store.ended === null, off });

  // What the buttons do, always of this moment; the object itself stays, so that rows need not be drawn anew.
  const now = useRef({ store, state, asking, clock });
  now.current = { store, state, asking, clock };
  const controls = useRef<Controls | null>(null);
  controls.current ??= made(now, origin, setAsking);

  useLayoutEffect(() => {
    if (asking === null) giveBack(origin, root.current);
  }, [asking]);

  const head = last(clicks, click => click.target === null && click.action !== 'refresh');
  const shownDeadline = countdown(state, clock.read());
  return (
    <ControlsContext.Provider value={controls.current}>
      <ClockContext.Provider value={clock}>
        <div
          role="group"
          class={`qm-card ${old ? 'qm-stale' : ''}`}
          ref={root}
          tabIndex={-1}
          data-workload={state.id}
          data-state={state.state}
          data-saved={saved !== null}
          aria-label={nameOf(state)}
          onKeyDown={keepKeys}
        >
          <Header
            state={state}
            jobs={sum}
            failed={failed}
            actions={off === null && saved === null}
            offered={about?.action?.action === 'resubmit_failed' && about.key !== dismissed}
            asking={asking}
            click={head}
          />
          {saved !== null && <SavedLine state={state} saved={saved} over={isOver(state, sum)} />}
          {about !== null && about.key !== dismissed && (
            <Banner
              about={about}
              state={state}
              asking={asking}
              click={last(clicks, click => click.target === null)}
              off={off !== null}
              onDismiss={() => setDismissed(about.key)}
            />
          )}
          <div class={`qm-tiles ${shownDeadline?.near === true ? 'qm-tiles-near' : ''}`}>
            <Progress jobs={jobs} folded={folded} sum={sum} filter={filter} onFilter={setFilter} />
            <UsageTile state={state} />
            <Deadline state={state} shown={shownDeadline} offset={offset} />
          </div>
          {jobs.length > 0 && (
            <JobTable
              state={state}
              jobs={jobs}
              folded={folded}
              earlier={earlier}
              offset={offset}
              filter={filter}
              onFilter={setFilter}
              asking={asking}
              clicks={clicks}
              off={off !== null || saved !== null}
            />
          )}
          <div class="qm-bottom">
            <Events state={state} offset={offset} />
            {old && saved === null && (
              <span class="qm-stale-word qm-num">
                <Seen state={state} offset={offset} />
              </span>
            )}
          </div>
          <Said state={state} clicks={clicks} failed={failed} />
        </div>
      </ClockContext.Provider>
    </ControlsContext.Provider>
  );
}

function made(
  now: { current: { store: Store; state: WorkloadSnapshot; asking: Asking | null; clock: Clock } },
  origin: { current: HTMLElement | null },
  setAsking: (asking: Asking | null) => void,
): Controls {
  const leave = (): void => setAsking(null);
  return {
    begin: (action, place, target) => {
      const { store, state, clock } = now.current;
      origin.current = document.activeElement instanceof HTMLElement ? document.activeElement : null;
      const asked = question(state, action, target ?? null, clock.read());
      if (asked === null) carryOut(store, state, action, target ?? null);
      else setAsking({ ...asked, place, target: target ?? null });
    },
    answer: (asking, action) => {
      const { store, state } = now.current;
      carryOut(store, state, action, asking.target);
      leave();
    },
    leave,
    dismiss: click => now.current.store.forget(click.id),
    naming: click => naming(now.current.state, click.action, click.target),
  };
}

function carryOut(store: Store, state: WorkloadSnapshot, action: Action, target: Target): void {
  if (target === null || typeof target === 'string') return void store.command(state.id, action, target);
  for (const key of target) {
    const job = state.jobs.find(each => each.key === key);
    store.command(state.id, job?.state === 'waiting' ? 'drop' : 'cancel', key);
  }
}

/** After a question the focus goes to the button that asked, if there still is one. */
function giveBack(origin: { current: HTMLElement | null }, root: HTMLElement | null): void {
  const asked = origin.current;
  origin.current = null;
  if (asked === null || root === null) return;
  const active = document.activeElement;
  if (active !== null && active !== document.body && active !== root && active.isConnected) return;
  const { action, place } = asked.dataset;
  const same = `[data-action="${CSS.escape(action ?? '')}"][data-place="${CSS.escape(place ?? '')}"]`;
  const row = `[data-row="${CSS.escape(place ?? '')}"]`;
  (root.querySelector<HTMLElement>(same) ?? root.querySelector<HTMLElement>(row) ?? root).focus({
    preventScroll: true,
  });
}

/** JupyterLab's notebook reads single keys as commands ("x" cuts the cell): not while the focus is in here. */
function keepKeys(event: KeyboardEvent): void {
  if (!(event.ctrlKey || event.metaKey || event.altKey) || event.key === 'Enter') event.stopPropagation();
}

function last(clicks: readonly Click[], of: (click: Click) => boolean): Click | undefined {
  return clicks.findLast(of);
}

function isOver(state: WorkloadSnapshot, jobs: Tally): boolean {
  return state.state === 'closed' ? jobs.running + jobs.remaining === 0 : state.mode === 'job' && jobs.finished;
}

function attempts(jobs: readonly JobSnapshot[]): Map<string, JobSnapshot[]> {
  const found = new Map<string, JobSnapshot[]>();
  for (const job of jobs) {
    if (!job.superseded) continue;
    const key = slot(job);
    const there = found.get(key);
    if (there === undefined) found.set(key, [job]);
    else there.push(job);
  }
  return found;
}

function readOnly(why: string | null): string | null {
  return why === null ? null : trans.__('Read only: %1', why);
}

function nameOf({ mode, id, backend }: WorkloadSnapshot): string {
  switch (mode) {
    case 'batch':
      return trans.__('batch %1 on %2', id, backend);
    case 'session':
      return trans.__('session %1 on %2', id, backend);
    default:
      return trans.__('job %1 on %2', id, backend);
  }
}

/** "last seen 12 s ago": the one thing that goes on when every clock stands still. */
function Seen({ state, offset }: { state: WorkloadSnapshot; offset: number }) {
  const real = useMemo<Clock>(() => ({ read: () => Date.now() / 1000 + offset, live: true }), [offset]);
  return (
    <ClockContext.Provider value={real}>
      <Tick text={now => lastSeen(state, now)} />
    </ClockContext.Provider>
  );
}

/** Of a document's own snapshot: as of when, and the way back. */
function SavedLine({ state, saved, over }: { state: WorkloadSnapshot; saved: SavedView; over: boolean }) {
  const asOf =
    state.seen_at === null ? lastSeen(state, 0) : trans.__('As of %1', dateTime(state.seen_at, state.clock_offset));
  const note = saved.pending
    ? trans.__('looking for its kernel…')
    : over
      ? ''
      : trans.__('no kernel watches it; it may have gone on since');
  return (
    <div class="qm-saved" role="note">
      <span class="qm-grow qm-num">
        <b>{asOf}</b>
        {note !== '' && ` · ${note}`}
        {saved.note !== '' && <span class="qm-saved-note"> · {saved.note}</span>}
      </span>
      {saved.reattach !== null && (
        <button type="button" class="qm-button qm-primary" data-reattach onClick={saved.reattach}>
          {trans.__('Reattach')}
        </button>
      )}
    </div>
  );
}

interface SaidProps {
  state: WorkloadSnapshot;
  clicks: readonly Click[];
  failed: readonly JobSnapshot[];
}

/** For screen readers: what came of the last click, and jobs that fail. */
function Said({ state, clicks, failed }: SaidProps) {
  const known = useRef<Set<string> | null>(null);
  const news = useRef('');
  const spoken = useRef('');
  const fresh = known.current === null ? [] : failed.filter(job => !known.current?.has(job.key));
  known.current = new Set(failed.map(job => job.key));
  if (fresh.length > 3) news.current = trans._n('%1 job failed', '%1 jobs failed', fresh.length);
  else if (fresh.length > 0)
    news.current = fresh
      .map(job => trans.__('%1 failed: %2', jobName(job), failure(job)?.what ?? jobFace(job.state).word))
      .join(' ');
  const over = last(clicks, click => click.status === 'done' || click.status === 'failed');
  const outcome =
    over === undefined ? '' : `${naming(state, over.action, over.target)}: ${over.message || trans.__('done')}`;
  if (outcome !== spoken.current) {
    spoken.current = outcome;
    if (outcome !== '') news.current = outcome;
  }
  return (
    <div class="qm-hidden" role="status" aria-live="polite">
      {news.current}
    </div>
  );
}

/** When an update takes away the element that has the focus, the workload gets it: not the page's beginning. */
function useKeptFocus(root: { current: HTMLElement | null }): void {
  const within = useRef(false);
  useFocusInside(root, target => {
    within.current = target !== null;
  });
  useLayoutEffect(() => {
    if (within.current && document.activeElement === document.body) root.current?.focus({ preventScroll: true });
  });
}
