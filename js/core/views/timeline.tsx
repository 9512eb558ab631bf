import type { RefObject } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { clock, useNow } from '../clock';
import { jobName, runsOf } from '../facts';
import type { JobSnapshot } from '../protocol';

const LEFT = 56;
const LANE = 13;

interface Bar { from: number; to: number; job: JobSnapshot }

/**
 * After the fact: when jobs were running on the service, in as many lanes as were in use, and below when the QPU really
 * ran them (execution spans). What the service has not told is not drawn.
 */
export function Timeline({ jobs, offset }: { jobs: readonly JobSnapshot[]; offset: number }) {
  return jobs.some(job => job.running !== null) ? <Chart jobs={jobs} offset={offset} /> : null;
}

function Chart({ jobs, offset }: { jobs: readonly JobSnapshot[]; offset: number }) {
  const [box, width] = useWidth(820);
  const running = jobs.some(job => job.state === 'running' && job.running !== null);
  const now = useNow(running) + offset;
  const work: Bar[] = jobs.flatMap(job => {
    const to = job.finished ?? (job.state === 'running' ? now : null);
    return job.running === null || to === null || to < job.running ? [] : [{ from: job.running, to, job }];
  });
  const qpu: Bar[] = jobs.flatMap(job => job.spans.map(([from, to]) => ({ from, to, job })));
  const start = Math.min(now, ...work.map(bar => bar.from));
  const end = Math.max(start + 1, ...work.map(bar => bar.to));
  const x = (time: number): number => LEFT + ((time - start) / (end - start)) * (width - LEFT - 4);
  const lanes = inLanes(work);
  const qpuY = lanes.length * LANE + 8;
  const height = qpuY + (qpu.length > 0 ? 16 : -4) + 16;
  const runs = runsOf(jobs);
  const bar = (each: Bar, y: number, h: number, kind: string) => (
    <rect key={`${each.job.key}@${each.from}`} class={kind} x={x(each.from)} y={y} width={Math.max(1.5, x(each.to) - x(each.from))} height={h} rx="2">
      <title>{`${jobName(each.job, runs)}${each.job.attempt > 0 ? `, attempt ${each.job.attempt + 1}` : ''}: ${clock(each.from, offset)} to ${clock(each.to, offset)}`}</title>
    </rect>
  );
  return (
    <svg class="qm-timeline" ref={box} viewBox={`0 0 ${width} ${height}`} height={height} role="img"
      aria-label={`Timeline from ${clock(start, offset)} to ${clock(end, offset)}: ${work.length} jobs in ${lanes.length} lanes`}>
      {lanes.map((bars, i) => (
        <g key={i}>
          <path class="qm-grid" d={`M${LEFT} ${i * LANE + 6.5}H${width}`} />
          <text x="0" y={i * LANE + 10}>lane {i + 1}</text>
          {bars.map(each => bar(each, i * LANE + 2, 9, `qm-work qm-work-${each.job.state}`))}
        </g>))}
      {qpu.length > 0 && (
        <g>
          <path class="qm-grid" d={`M${LEFT} ${qpuY + 6.5}H${width}`} />
          <text x="0" y={qpuY + 10} class="qm-strong">QPU</text>
          {qpu.map(each => bar(each, qpuY, 13, `qm-qpu qm-job-${each.job.state}`))}
        </g>)}
      {running && <path class="qm-nowline" d={`M${x(now)} 0V${height - 14}`} />}
      <text x={LEFT} y={height - 3}>{clock(start, offset)}</text>
      <text x={width} y={height - 3} text-anchor="end">{running ? 'now' : clock(end, offset)}</text>
    </svg>
  );
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
    const observer = new ResizeObserver(() => setWidth(Math.max(160, Math.round(element.getBoundingClientRect().width))));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [box, width];
}
