import type { RefObject } from 'preact';
import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { clock, useNow } from '../clock';
import { jobName, runsOf } from '../facts';
import type { JobSnapshot } from '../protocol';

const LEFT = 56;
const LANE = 13;

interface Bar {
  from: number;
  to: number;
  job: JobSnapshot;
}

/**
 * After the fact: when jobs were running on the service, in as many lanes as were in use, and below when the QPU really
 * ran them (execution spans). What the service has not told is not drawn.
 */
export function Timeline({ jobs, offset }: { jobs: readonly JobSnapshot[]; offset: number }) {
  return jobs.some(drawable) ? <Chart jobs={jobs} offset={offset} /> : null;
}

/** It started, and has ended or still runs. */
function drawable({ running, finished, state }: JobSnapshot): boolean {
  return running !== null && (state === 'running' || (finished !== null && finished >= running));
}

interface ChartProps {
  jobs: readonly JobSnapshot[];
  offset: number;
}

function Chart({ jobs, offset }: ChartProps) {
  const [box, width] = useWidth(820);
  const running = jobs.some(job => job.state === 'running' && job.running !== null);
  const time = useNow(running) + offset;
  // Drawn anew when something moves by a pixel, not with every tick: a thousand bars take their time.
  const first = Math.min(time, ...jobs.map(job => job.running ?? time));
  const pixel = Math.max(1, (time - first) / width);
  const now = running ? first + Math.ceil((time - first) / pixel) * pixel : first;
  const { height, label, marks } = useMemo(
    () => draw(jobs, offset, now, running, width),
    [jobs, offset, now, running, width],
  );
  return (
    <svg class="qm-timeline" ref={box} viewBox={`0 0 ${width} ${height}`} height={height} role="img" aria-label={label}>
      {marks}
    </svg>
  );
}

function draw(jobs: readonly JobSnapshot[], offset: number, now: number, running: boolean, width: number) {
  const work: Bar[] = jobs.filter(drawable).map(job => ({ from: job.running ?? now, to: job.finished ?? now, job }));
  const qpu: Bar[] = jobs.flatMap(job => job.spans.map(([from, to]) => ({ from, to, job })));
  const start = Math.min(...work.map(bar => bar.from));
  const end = Math.max(start + 1, ...work.map(bar => bar.to));
  const x = (time: number): number => LEFT + ((time - start) / (end - start)) * (width - LEFT - 4);
  const lanes = inLanes(work);
  const qpuY = lanes.length * LANE + 8;
  const height = qpuY + (qpu.length > 0 ? 16 : -4) + 16;
  const runs = runsOf(jobs);
  const bar = (each: Bar, y: number, h: number, kind: string) => (
    <rect
      key={`${each.job.key}@${each.from}`}
      class={kind}
      x={x(each.from)}
      y={y}
      width={Math.max(1.5, x(each.to) - x(each.from))}
      height={h}
      rx="2"
    >
      <title>{`${jobName(each.job, runs)}${each.job.attempt > 0 ? `, attempt ${each.job.attempt + 1}` : ''}: ${clock(each.from, offset)} to ${clock(each.to, offset)}`}</title>
    </rect>
  );
  const marks = (
    <>
      {lanes.map((bars, i) => (
        <g key={i}>
          <path class="qm-grid" d={`M${LEFT} ${i * LANE + 6.5}H${width}`} />
          <text x="0" y={i * LANE + 10}>
            lane {i + 1}
          </text>
          {bars.map(each => bar(each, i * LANE + 2, 9, `qm-work qm-work-${each.job.state}`))}
        </g>
      ))}
      {qpu.length > 0 && (
        <g>
          <path class="qm-grid" d={`M${LEFT} ${qpuY + 6.5}H${width}`} />
          <text x="0" y={qpuY + 10} class="qm-strong">
            QPU
          </text>
          {qpu.map(each => bar(each, qpuY, 13, `qm-qpu qm-job-${each.job.state}`))}
        </g>
      )}
      {running && <path class="qm-nowline" d={`M${x(now)} 0V${height - 14}`} />}
      <text x={LEFT} y={height - 3}>
        {clock(start, offset)}
      </text>
      <text x={width} y={height - 3} text-anchor="end">
        {running ? 'now' : clock(end, offset)}
      </text>
    </>
  );
  const label = `Timeline from ${clock(start, offset)} to ${clock(end, offset)}: ${work.length} jobs in ${lanes.length} lanes`;
  return { height, label, marks };
}

/** The fewest lanes in which no two bars overlap: each takes the first that is free. */
export function inLanes(bars: readonly Bar[]): Bar[][] {
  const lanes: Bar[][] = [];
  for (const bar of [...bars].sort((a, b) => a.from - b.from)) {
    const free = lanes.find(lane => (lane.at(-1)?.to ?? -Infinity) <= bar.from);
    if (free === undefined) lanes.push([bar]);
    else free.push(bar);
  }
  return lanes;
}

/** The width it is shown at, so that letters and bars keep their size at any width. */
function useWidth(first: number): [RefObject<SVGSVGElement | null>, number] {
  const box = useRef<SVGSVGElement>(null);
  const [width, setWidth] = useState(first);
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return;
    const observer = new ResizeObserver(() =>
      setWidth(Math.max(160, Math.round(element.getBoundingClientRect().width))),
    );
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [box, width];
}
