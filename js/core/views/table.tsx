import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { runsOf } from '../facts';
import type { JobSnapshot } from '../protocol';
import { Row } from './row';

const ALL = 60; // up to here every row is in the page; beyond, only those in sight
const SPARE = 8; // rows kept above and below, so that scrolling does not flash

const COLUMNS = [
  ['#', 'qm-c-n'],
  ['PUBs', 'qm-c-pubs'],
  ['State', 'qm-c-state'],
  ['Job', 'qm-c-job'],
  ['Usage', 'qm-c-usage qm-r'],
  ['Time', 'qm-c-time qm-r'],
  ['Action', 'qm-c-act'],
] as const;

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
    setView(old =>
      old.top === element.scrollTop && old.height === element.clientHeight && old.row === row
        ? old
        : { top: element.scrollTop, height: element.clientHeight, row },
    );
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
    <div
      class="qm-scroll"
      ref={box}
      onScroll={virtual ? measure : undefined}
      tabIndex={0}
      role="region"
      aria-label="Jobs, scrollable"
    >
      <table class="qm-table" role="table" aria-rowcount={jobs.length + 1}>
        <thead>
          <tr role="row" aria-rowindex={1}>
            {COLUMNS.map(([name, kind]) => (
              <th key={name} role="columnheader" class={kind} scope="col">
                {name === 'Action' ? <span class="qm-hidden">{name}</span> : name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {first > 0 && (
            <tr key="above" aria-hidden="true">
              <td class="qm-gap" colSpan={COLUMNS.length} style={{ height: `${first * view.row}px` }} />
            </tr>
          )}
          {jobs.slice(first, last).map((job, i) => (
            <Row
              key={job.key}
              job={job}
              offset={offset}
              runs={runs}
              index={first + i + 2}
              marked={job.key === marked}
            />
          ))}
          {last < jobs.length && (
            <tr key="below" aria-hidden="true">
              <td class="qm-gap" colSpan={COLUMNS.length} style={{ height: `${(jobs.length - last) * view.row}px` }} />
            </tr>
          )}
        </tbody>
      </table>
    </div>
  );
}
