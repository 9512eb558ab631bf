import { useContext, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { at, axisOf, idleStretches, overlap, parallel } from '../axis';
import { clock as time, everySecond, integer, usageSeconds } from '../clock';
import { isCancellable, jobsIn, jobVerb, labelsOf, URGENCY } from '../facts';
import type { Folded, JobSnapshot, JobState, WorkloadSnapshot } from '../protocol';
import type { Click } from '../store';
import { trans } from '../texts';
import { cancelLabel } from '../ask';
import { Answer } from './answer';
import { ActionButton } from './button';
import { type Asking, CHOSEN } from './controls';
import { Detail, Row } from './row';
import { Waterfall } from './waterfall';
import { ClockContext } from './tick';

const ALL = 60; // up to here every row is in the page; beyond, only those in sight
const SPARE = 6; // rows kept above and below, so that scrolling does not flash
const NEAR_BEGIN = 30; // per cent of the axis up to which "now" needs the room of its first label
const FEW = 12; // where all are done, up to here they are shown at once

const COLUMNS = 6;

interface Props {
  state: WorkloadSnapshot;
  jobs: readonly JobSnapshot[];
  folded: readonly Folded[];
  earlier: ReadonlyMap<string, readonly JobSnapshot[]>;
  offset: number;
  filter: JobState | null;
  onFilter: (state: JobState | null) => void;
  asking: Asking | null;
  clicks: readonly Click[];
  off: boolean;
}

const NOTHING: readonly JobSnapshot[] = [];

/** The place of a job's row, the same for all its attempts. */
export function slot(job: JobSnapshot): string {
  return job.run === null || job.partition === null ? job.key : `${job.run}:${job.partition}`;
}

/**
 * A row per partition, what needs the user first, what is done folded; scrolls by itself, virtually when there are many.
 * Roles are spelt out: narrow places lay rows out as a grid, and a table that is displayed otherwise loses its meaning to
 * screen readers.
 */
export function JobTable(props: Props) {
  const { state, jobs, folded, earlier, offset, filter, onFilter, asking, clicks, off } = props;
  const clock = useContext(ClockContext);
  const box = useRef<HTMLDivElement>(null);
  const table = useRef<HTMLTableElement>(null);
  const line = useRef<HTMLElement>(null);
  const fall = useRef({ left: 0, width: 0 }); // where the column with the axis stands
  const [byNumber, setByNumber] = useState(false);
  const [together, setTogether] = useState(false);
  const strip = useRef<HTMLDivElement>(null);
  const [unfolded, setUnfolded] = useState(false);
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const [chosen, setChosen] = useState<ReadonlySet<string> | null>(null);
  const [current, setCurrent] = useState<string | null>(null);

  // ---- which rows, in which order
  const held = useRef(false); // the pointer or the focus is on the rows: nothing moves under it
  const order = useRef<readonly JobSnapshot[]>([]);
  const [, release] = useState(0);
  const finished = jobs.length > 0 && jobs.length <= FEW && jobs.every(job => job.state === 'done');
  const all = unfolded || finished;
  const wish = `${filter ?? ''} ${byNumber} ${all}`;
  const wished = useRef(wish);
  const fixed = (held.current || asking !== null) && wished.current === wish; // another order was asked for: it is given
  wished.current = wish;
  const rows = useMemo(() => arranged(jobs, filter, byNumber, all, fixed ? order.current : null), [jobs, wish, fixed]);
  order.current = rows;
  const done = useMemo(() => jobsIn(jobs, 'done'), [jobs]);
  const labelled = labelsOf(jobs).length > 1;
  const hidden = useMemo(
    () => (filter === null && !byNumber && !all ? foldedDone(done, rows) : null),
    [done, rows, wish],
  );

  const hold = (on: boolean): void => {
    if (held.current === on) return;
    held.current = on;
    if (!on) release(n => n + 1);
  };

  // ---- the axis
  const idle = useMemo(() => idleStretches(state), [state.jobs, state.ttl, state.state]);
  const axisNow = axisOf(
    jobs,
    clock.read(),
    idle.some(([, to]) => to === null),
  );
  const axis = useMemo(() => axisNow, [axisNow?.start, axisNow?.end, axisNow?.live]);
  const [, reaxis] = useState(0);
  const grow = useStable((): void => {
    if (axis === null || !axis.live || table.current === null) return;
    const now = at(axis, clock.read());
    // Each of the few that grow by itself: a variable on the table would have the browser look at every row.
    for (const place of [table.current, strip.current])
      for (const element of place?.querySelectorAll<HTMLElement>('.qm-grows, .qm-now') ?? [])
        element.style.setProperty('--now', String(now));
    const begin = table.current.querySelector<HTMLElement>('.qm-begin');
    if (begin !== null) begin.style.visibility = now < NEAR_BEGIN ? 'hidden' : 'visible';
    if (line.current !== null) {
      const { left, width } = fall.current;
      line.current.style.display = width > 0 ? 'block' : 'none';
      line.current.style.left = `${left + (now / 100) * width}px`;
    }
    if (now >= 100) reaxis(n => n + 1);
  });
  useLayoutEffect(grow);
  useEffect(() => (axis?.live === true && clock.live ? everySecond(grow) : undefined), [axis?.live, clock.live]);

  // ---- which of them are in the page
  const [view, setView] = useState({ top: 0, height: 480 });
  const [row, setRow] = useState(33);
  const heights = useRef(new Map<string, number>()); // of opened details
  const virtual = rows.length > ALL;
  const measure = (): void => {
    const element = box.current;
    if (element === null) return;
    // All is read before anything is written: a read after a write has the browser lay out the whole page once more.
    const column = element.querySelector<HTMLElement>('th.qm-c-fall');
    const before = fall.current;
    fall.current = { left: column?.offsetLeft ?? 0, width: column?.offsetWidth ?? 0 };
    const moved = fall.current.left !== before.left || fall.current.width !== before.width;
    const { scrollTop: top, clientHeight: height } = element;
    const more = top + height < element.scrollHeight - 2;
    for (const detail of element.querySelectorAll<HTMLElement>('tr[data-detail]'))
      heights.current.set(detail.dataset.detail ?? '', detail.offsetHeight);
    setRow(element.querySelector<HTMLElement>('tbody tr[data-key]:not(.qm-answers)')?.offsetHeight || row);
    setView(old => (old.top === top && old.height === height ? old : { top, height }));
    element.toggleAttribute('data-more', more);
    if (moved) grow(); // not for each row that comes or goes: the page would be laid out twice
  };
  useLayoutEffect(() => {
    if (box.current === null || table.current === null) return;
    // Called as soon as the page is laid out, before it is seen: asking earlier would have it laid out twice.
    const observer = new ResizeObserver(measure);
    for (const each of [box.current, table.current]) observer.observe(each);
    return () => observer.disconnect();
  }, [virtual]);
  const { first, last, above, below } = useMemo(
    () => window_(rows, open, heights.current, row, view, virtual),
    [rows, open, row, view, virtual],
  );

  // Not set by the rows: when one leaves, all below it move up, and would be drawn anew for that alone.
  useLayoutEffect(() => {
    let index = first + 2; // the head has the first
    for (const each of table.current?.querySelectorAll('tr[data-key]') ?? [])
      each.setAttribute('aria-rowindex', String(index++));
  });

  // ---- moving about
  const present = current !== null && rows.some(job => slot(job) === current);
  const at0 = present ? current : rows[0] === undefined ? null : slot(rows[0]);
  const focusRow = useRef<string | null>(null);
  const move = (event: KeyboardEvent): void => {
    const target = event.target as HTMLElement;
    const index = rows.findIndex(job => slot(job) === at0);
    const page = Math.max(1, Math.floor(view.height / row) - 1);
    const to = {
      ArrowDown: index + 1,
      ArrowUp: index - 1,
      Home: 0,
      End: rows.length - 1,
      PageDown: index + page,
      PageUp: index - page,
    }[event.key];
    const key = rows[index]?.key ?? '';
    if (to !== undefined && target.closest('.qm-answer') === null) {
      event.preventDefault();
      const next = rows[Math.min(rows.length - 1, Math.max(0, to))];
      if (next === undefined) return;
      setCurrent(slot(next));
      focusRow.current = next.key;
      const top = heightOf(rows, open, heights.current, row, rows.indexOf(next));
      const element = box.current;
      if (element !== null && virtual) {
        if (top < element.scrollTop) element.scrollTop = top;
        else if (top + 2 * row > element.scrollTop + element.clientHeight)
          element.scrollTop = top + 2 * row - element.clientHeight;
        // Not when the browser tells of the scroll: until then the focus would be on a row that is there no more.
        setView({ top: element.scrollTop, height: element.clientHeight });
      }
      release(n => n + 1);
    } else if ((event.key === 'ArrowRight' && !open.has(key)) || (event.key === 'ArrowLeft' && open.has(key))) {
      if (target.dataset.row === undefined) return;
      event.preventDefault();
      toggle(key);
    }
  };
  useLayoutEffect(() => {
    if (focusRow.current === null) return;
    const button = box.current?.querySelector<HTMLElement>(`[data-row="${CSS.escape(focusRow.current)}"]`);
    if (button == null) return;
    focusRow.current = null;
    button.focus({ preventScroll: virtual });
    if (!virtual) button.scrollIntoView({ block: 'nearest' });
  });

  const toggle = useStable((key: string): void => {
    const next = new Set(open);
    if (!next.delete(key)) next.add(key);
    setOpen(next);
    const job = jobs.find(each => each.key === key);
    if (job !== undefined) setCurrent(slot(job));
  });
  const choose = useStable((key: string): void => {
    const next = new Set(chosen);
    if (!next.delete(key)) next.add(key);
    setChosen(next);
  });
  const begun = useRef(wish);
  useLayoutEffect(() => {
    if (box.current === null || begun.current === wish) return;
    begun.current = wish;
    box.current.scrollTop = 0; // another order begins at its beginning
  }, [wish]);

  const clickOf = useMemo(() => {
    const found = new Map<string, Click>();
    for (const click of clicks) if (click.target !== null) found.set(click.target, click);
    return found;
  }, [clicks]);

  const cancellable = useMemo(() => jobs.filter(isCancellable), [jobs]);
  const selected = chosen === null ? [] : cancellable.filter(job => chosen.has(job.key));
  const total = jobs.length + folded.reduce((sum, { count }) => sum + count, 0);
  const summary = hidden === null ? folded : [hidden, ...folded];
  return (
    <>
      <div
        class="qm-scroll"
        ref={box}
        onScroll={measure}
        onKeyDown={move}
        onPointerEnter={() => hold(true)}
        onPointerLeave={() => hold(false)}
        onFocusCapture={() => hold(true)}
        onBlurCapture={event => {
          if (!box.current?.contains(event.relatedTarget as Node | null)) hold(false);
        }}
        role="group"
        aria-label={trans.__('Jobs')}
      >
        <div class="qm-rows">
          <table
            class={`qm-table ${labelled ? 'qm-labelled' : ''}`}
            role="table"
            ref={table}
            aria-rowcount={rows.length + 1}
          >
            <thead>
              <tr role="row" aria-rowindex={1}>
                <th role="columnheader" class="qm-c-n" scope="col">
                  #
                </th>
                <th role="columnheader" class="qm-c-pubs" scope="col">
                  {trans.__('PUBs')}
                </th>
                <th role="columnheader" class="qm-c-state" scope="col">
                  {trans.__('State')}
                </th>
                <th role="columnheader" class="qm-c-fall qm-num" scope="col">
                  <span class="qm-hidden">{trans.__('Course, from left to right:')} </span>
                  {axis !== null && (
                    <span class="qm-axis">
                      <span class="qm-begin">{time(axis.start, offset)}</span>
                      {idle.map(([from, to]) =>
                        to === null ? (
                          <i
                            key={from}
                            class="qm-idle qm-grows"
                            style={{ '--from': at(axis, from) }}
                            title={trans.__('idle, billed')}
                          />
                        ) : (
                          <i
                            key={from}
                            class="qm-idle"
                            style={{ left: `${at(axis, from)}%`, width: `${at(axis, to) - at(axis, from)}%` }}
                            title={trans.__('idle, billed')}
                          />
                        ),
                      )}
                      {axis.live ? (
                        <span class="qm-now">{trans.__('now')}</span>
                      ) : (
                        <span>{time(axis.end, offset)}</span>
                      )}
                    </span>
                  )}
                </th>
                <th role="columnheader" class="qm-c-usage qm-r" scope="col">
                  {trans.__('Usage')}
                </th>
                <th role="columnheader" class="qm-c-act" scope="col">
                  <span class="qm-hidden">{trans.__('Action')}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {above > 0 && (
                <tr key="above" aria-hidden="true">
                  <td class="qm-gap" colSpan={COLUMNS} style={{ height: `${above}px` }} />
                </tr>
              )}
              {rows.slice(first, last).flatMap(job => {
                const place = slot(job);
                const before = earlier.get(place) ?? NOTHING;
                const shown = (
                  <Row
                    key={place}
                    job={job}
                    earlier={before}
                    offset={offset}
                    axis={axis}
                    current={place === at0}
                    open={open.has(job.key)}
                    chosen={chosen === null ? null : chosen.has(job.key)}
                    asking={asking?.place === job.key ? asking : null}
                    click={clickOf.get(job.key) ?? clickOf.get(before.at(-1)?.key ?? '')}
                    problem={state.problem}
                    labelled={labelled}
                    off={off}
                    onToggle={toggle}
                    onChoose={choose}
                  />
                );
                return open.has(job.key)
                  ? [shown, <Detail key={`${place}+`} job={job} earlier={before} offset={offset} columns={COLUMNS} />]
                  : [shown];
              })}
              {below > 0 && (
                <tr key="below" aria-hidden="true">
                  <td class="qm-gap" colSpan={COLUMNS} style={{ height: `${below}px` }} />
                </tr>
              )}
            </tbody>
          </table>
          {axis?.live === true && <i class="qm-nowline" ref={line} />}
        </div>
      </div>
      {together && axis !== null && (
        <div class="qm-together" data-together ref={strip}>
          {parallel(state.jobs).map((row, n, { length }) => (
            <Waterfall
              key={n}
              axis={axis}
              segments={row}
              label={trans.__('what ran in parallel, row %1 of %2', n + 1, length)}
            />
          ))}
        </div>
      )}
      <div class="qm-fold qm-num">
        {hidden !== null || unfolded ? (
          <button
            type="button"
            class="qm-link qm-plain"
            aria-expanded={unfolded}
            data-unfold
            onClick={() => setUnfolded(!unfolded)}
          >
            <span class="qm-chevron" aria-hidden="true" />
            {unfolded ? trans.__('Fold what is done') : summed(summary)}
          </button>
        ) : (
          summary.length > 0 && <span class="qm-dim">{summed(summary)}</span>
        )}
        {(virtual || folded.length > 0) && (
          <span class="qm-dim" data-visible>
            {visible(rows, view, row, total)}
          </span>
        )}
        <span class="qm-grow" />
        {(selected.length > 0 || asking?.place === CHOSEN) && (
          <Answer place={CHOSEN} asking={asking} click={undefined} problem={null}>
            <ActionButton action="cancel" place={CHOSEN} target={selected.map(job => job.key)} kind="danger">
              {cancelLabel(selected)}
            </ActionButton>
          </Answer>
        )}
        {!off && cancellable.length > 1 && (
          <button
            type="button"
            class="qm-link qm-plain"
            aria-pressed={chosen !== null}
            onClick={() => setChosen(chosen === null ? new Set() : null)}
          >
            {chosen === null ? trans.__('Select…') : trans.__('Select none')}
          </button>
        )}
        {(filter === 'failed' || jobs.some(job => job.state === 'failed')) && jobs.length > 1 && (
          <button
            type="button"
            class="qm-link qm-plain"
            aria-pressed={filter === 'failed'}
            onClick={() => onFilter(filter === 'failed' ? null : 'failed')}
          >
            {trans.__('failed only')}
          </button>
        )}
        {axis !== null && (together || overlap(jobs)) && (
          <button type="button" class="qm-link qm-plain" aria-pressed={together} onClick={() => setTogether(!together)}>
            {trans.__('in parallel')}
          </button>
        )}
        {jobs.length > 1 && done.length < jobs.length && (
          <span class="qm-sort" role="group" aria-label={trans.__('Order of the rows')}>
            <button type="button" class="qm-link qm-plain" aria-pressed={!byNumber} onClick={() => setByNumber(false)}>
              {trans.__('needs you first')}
            </button>
            {' · '}
            <button type="button" class="qm-link qm-plain" aria-pressed={byNumber} onClick={() => setByNumber(true)}>
              {trans.__('by number')}
            </button>
          </span>
        )}
      </div>
    </>
  );
}

/** Rows as they are shown. With `fixed`, rows that are there keep their places, and new ones come last. */
function arranged(
  jobs: readonly JobSnapshot[],
  filter: JobState | null,
  byNumber: boolean,
  all: boolean,
  fixed: readonly JobSnapshot[] | null,
): JobSnapshot[] {
  if (filter !== null)
    return jobs.filter(job => job.state === filter || (filter === 'failed' && job.state === 'refused'));
  if (byNumber) return [...jobs];
  const places = new Map(fixed?.map((job, i) => [slot(job), i]));
  const stay: { job: JobSnapshot; place: number }[] = [];
  const groups = new Map(URGENCY.map(state => [state, [] as JobSnapshot[]]));
  for (const job of jobs) {
    const place = fixed === null ? undefined : places.get(slot(job));
    if (place !== undefined) stay.push({ job, place });
    else (groups.get(job.state) ?? groups.get('failed'))?.push(job); // a newer kernel may know more states
  }
  const rows = stay.sort((a, b) => a.place - b.place).map(({ job }) => job);
  const done = groups.get('done') ?? [];
  if (!all) groups.delete('done');
  for (const group of groups.values()) for (const job of group) rows.push(job);
  if (!all && !rows.some(job => job.state === 'done')) {
    const newest = done.reduce<JobSnapshot | null>(
      (best, job) => ((job.finished ?? 0) >= (best?.finished ?? 0) ? job : best),
      null,
    );
    if (newest !== null) rows.push(newest);
  }
  return rows;
}

function heightOf(
  rows: readonly JobSnapshot[],
  open: ReadonlySet<string>,
  details: ReadonlyMap<string, number>,
  row: number,
  to: number,
): number {
  let sum = to * row;
  if (open.size > 0)
    for (let i = 0; i < to; i++) {
      const key = rows[i]?.key ?? '';
      if (open.has(key)) sum += details.get(key) ?? 0;
    }
  return sum;
}

function window_(
  rows: readonly JobSnapshot[],
  open: ReadonlySet<string>,
  details: ReadonlyMap<string, number>,
  row: number,
  view: { top: number; height: number },
  virtual: boolean,
) {
  if (!virtual) return { first: 0, last: rows.length, above: 0, below: 0 };
  const height = (to: number): number => heightOf(rows, open, details, row, to);
  let first = Math.min(rows.length - 1, Math.floor(view.top / row));
  while (first > 0 && height(first) > view.top) first--;
  first = Math.max(0, first - SPARE);
  let last = first;
  while (last < rows.length && height(last) < view.top + view.height) last++;
  last = Math.min(rows.length, last + SPARE);
  return { first, last, above: height(first), below: height(rows.length) - height(last) };
}

function visible(
  rows: readonly JobSnapshot[],
  view: { top: number; height: number },
  row: number,
  total: number,
): string {
  const first = Math.min(rows.length, Math.floor(view.top / row) + 1);
  const last = Math.min(rows.length, Math.max(first, Math.floor((view.top + view.height) / row) - 1));
  return trans.__('%1–%2 of %3', integer(first), integer(last), integer(total));
}

/** Of the jobs that are done, those without a row; null: each has one. */
function foldedDone(done: readonly JobSnapshot[], rows: readonly JobSnapshot[]): Folded | null {
  const shown = new Set(jobsIn(rows, 'done'));
  let [count, usage]: [number, number | null] = [0, null];
  for (const job of done) {
    if (shown.has(job)) continue;
    count++;
    if (job.usage.reported !== null) usage = (usage ?? 0) + job.usage.reported;
  }
  return count === 0 ? null : { state: 'done', count, usage };
}

function summed(parts: readonly Folded[]): string {
  return parts
    .map(({ state, count, usage }) => {
      const more = trans._n('%2 more %3', '%2 more %3', count, integer(count), jobVerb(state));
      return usage === null ? more : `${more}, ${usageSeconds(Math.round(10 * usage) / 10)}`;
    })
    .join(' · ');
}

/** A function that stays the same, and does what the latest one does. */
function useStable<A extends unknown[]>(latest: (...args: A) => void): (...args: A) => void {
  const ref = useRef(latest);
  ref.current = latest;
  return useRef((...args: A): void => ref.current(...args)).current;
}
