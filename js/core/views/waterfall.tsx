/** One row's course on the common axis. What still runs grows by a CSS variable that the table sets each second. */
import { at, type Axis, type Segment } from '../axis';

interface Props {
  axis: Axis;
  segments: readonly Segment[];
  /** For screen readers and on hover. */
  label: string;
}

export function Waterfall({ axis, segments, label }: Props) {
  return (
    <div class="qm-fall" title={label} role="img" aria-label={label}>
      {segments.map(({ kind, from, to, old }) => {
        const left = at(axis, from);
        const kinds = `qm-seg qm-seg-${kind}${old ? ' qm-seg-old' : ''}`;
        return to === null ? (
          <i key={`${kind}${from}`} class={`${kinds} qm-grows`} style={{ '--from': left }} />
        ) : (
          <i key={`${kind}${from}`} class={kinds} style={{ left: `${left}%`, width: `${at(axis, to) - left}%` }} />
        );
      })}
    </div>
  );
}
