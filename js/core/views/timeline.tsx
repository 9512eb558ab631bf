import { clock, useNow } from '../clock';
import { jobName, runsOf } from '../facts';
import type { JobSnapshot } from '../protocol';

const WIDTH = 820;
const LEFT = 56;
const LANE = 13;

interface Bar { from: number; to: number; job: JobSnapshot }

/**
 * After the fact: when jobs were running on the service, in as many lanes as were in use, and below when the QPU really
 * ran them (execution spans). What the service has not told is not drawn.
 */
export function Timeline({ jobs, offset }: { jobs: readonly JobSnapshot[]; offset: number }) {
  const running = jobs.some(job => job.state === 'running' && job.running !== null);
  const now = useNow(running) + offset;
  const work: Bar[] = jobs.flatMap(job => {
    const to = job.finished ?? (job.state === 'running' ? now : null);
    return job.running === null || to === null || to < job.running ? [] : [{ from: job.running, to, job }];
  });
  if (work.length === 0) return null;
  const qpu: Bar[] = jobs.flatMap(job => job.spans.map(([from, to]) => ({ from, to, job })));
  const start = Math.min(...work.map(bar => bar.from));
  const end = Math.max(...work.map(bar => bar.to), start + 1);
  const x = (time: number): number => LEFT + ((time - start) / (end - start)) * (WIDTH - LEFT - 4);
  const lanes = inLanes(work);
  const qpuY = lanes.length * LANE + 8;
  const height = qpuY + (qpu.length > 0 ? 16 : -4) + 16;
  const runs = runsOf(jobs);
  const bar = (each: Bar, y: number, h: number, kind: string) => (
    <rect key={`${each.job.key}@${each.from}`} class={kind} x={x(each.from)} y={y} width={Math.max(1.5, x(each.to) - x(each.from))} height={h} rx="2">
      <title>{`${jobName(each.job, runs)}: ${clock(each.from, offset)} to ${clock(each.to, offset)}`}</title>
    </rect>
  );
  return (
    <svg class="qm-timeline" viewBox={`0 0 ${WIDTH} ${height}`} role="img"
      aria-label={`Timeline from ${clock(start, offset)} to ${clock(end, offset)}: ${work.length} jobs in ${lanes.length} lanes`}>
      {lanes.map((bars, i) => (
        <g key={i}>
          <path class="qm-grid" d={`M${LEFT} ${i * LANE + 6.5}H${WIDTH}`} />
          <text x="0" y={i * LANE + 10}>lane {i + 1}</text>
          {bars.map(each => bar(each, i * LANE + 2, 9, `qm-work qm-work-${each.job.state}`))}
        </g>))}
      {qpu.length > 0 && (
        <g>
          <path class="qm-grid" d={`M${LEFT} ${qpuY + 6.5}H${WIDTH}`} />
          <text x="0" y={qpuY + 10} class="qm-strong">QPU</text>
          {qpu.map(each => bar(each, qpuY, 13, `qm-qpu qm-job-${each.job.state}`))}
        </g>)}
      {running && <path class="qm-nowline" d={`M${x(now)} 0V${height - 14}`} />}
      <text x={LEFT} y={height - 3}>{clock(start, offset)}</text>
      <text x={WIDTH} y={height - 3} text-anchor="end">{running ? 'now' : clock(end, offset)}</text>
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
