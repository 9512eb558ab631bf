import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { naming, type Question } from '../ask';
import { clock, dateTime } from '../clock';
import type { Action, WorkloadSnapshot } from '../protocol';
import type { Click } from '../store';

const SHOWN_EVENTS = 2;

/** Asks once, inline. The question takes the focus, so that it is read aloud; Escape is "Not now". */
export function Confirm({
  question,
  onYes,
  onNo,
}: {
  question: Question;
  onYes: (action: Action) => void;
  onNo: () => void;
}) {
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => box.current?.focus(), [question.text]);
  return (
    <div
      class="qm-confirm"
      ref={box}
      tabIndex={-1}
      role="group"
      aria-label={question.text}
      onKeyDown={event => {
        if (event.key === 'Escape') {
          event.stopPropagation();
          onNo();
        }
      }}
    >
      <span class="qm-grow">{question.text}</span>
      <span class="qm-actions">
        <button
          type="button"
          data-confirm="yes"
          class={`qm-button ${question.yes.danger ? 'qm-danger' : 'qm-primary'}`}
          onClick={() => onYes(question.yes.action)}
        >
          {question.yes.label}
        </button>
        {question.also !== null && <Also also={question.also} onYes={onYes} />}
        <button type="button" data-confirm="no" class="qm-button" onClick={onNo}>
          Not now
        </button>
      </span>
    </div>
  );
}

function Also({ also, onYes }: { also: NonNullable<Question['also']>; onYes: (action: Action) => void }) {
  return (
    <button type="button" data-confirm="also" class="qm-button qm-danger" onClick={() => onYes(also.action)}>
      {also.label}
    </button>
  );
}

/** What became of clicks. Read aloud as it changes; failures stay until dismissed. */
export function Outcomes({
  state,
  clicks,
  onDismiss,
}: {
  state: WorkloadSnapshot;
  clicks: readonly Click[];
  onDismiss: (id: string) => void;
}) {
  return (
    <div class="qm-outcomes" role="status" aria-live="polite">
      {clicks.map(click => {
        const said = outcome(click);
        return said === null ? null : (
          <div key={click.id} class={`qm-outcome qm-outcome-${click.status}`} data-status={click.status}>
            <span class="qm-shape" aria-hidden="true">
              {click.status === 'failed' ? '!' : click.status === 'done' ? '✓' : '…'}
            </span>
            <span class="qm-grow">
              <strong>{naming(state, click.action, click.target)}</strong>: {said}
            </span>
            {(click.status === 'failed' || click.status === 'done') && (
              <button type="button" class="qm-button qm-quiet" aria-label="Dismiss" onClick={() => onDismiss(click.id)}>
                ×
              </button>
            )}
          </div>
        );
      })}
    </div>
  );
}

function outcome({ status, late, message }: Click): string | null {
  switch (status) {
    case 'sent':
      return (
        message ||
        (late
          ? 'waiting. The kernel has not taken the click yet. If a cell is running here, it may wait until the cell ends.'
          : null)
      );
    case 'accepted':
      return message || 'under way';
    case 'done':
      return message || 'done';
    case 'failed':
      return message || 'failed';
  }
}

/** The newest lines first; the rest on request. */
export function Events({ state, offset }: { state: WorkloadSnapshot; offset: number }) {
  const [all, setAll] = useState(false);
  const events = [...state.events].reverse();
  const acted = state.limits.filter(limit => limit.where === 'kernel');
  if (events.length === 0 && acted.length === 0) return null;
  return (
    <div class="qm-events">
      <ul aria-label="Events">
        {(all ? events : events.slice(0, SHOWN_EVENTS)).map(event => (
          <li key={event.id} class={`qm-event-${event.level}`}>
            <time class="qm-num" title={dateTime(event.time, offset)}>
              {clock(event.time, offset)}
            </time>{' '}
            {event.text}
          </li>
        ))}
      </ul>
      {events.length > SHOWN_EVENTS && (
        <button type="button" class="qm-link" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? 'Show fewer' : `Show all ${events.length}`}
        </button>
      )}
      {state.limits.length > 0 && (
        <div class="qm-limits">
          {state.limits.map(limit => (
            <span
              key={limit.name}
              title={
                limit.where === 'kernel'
                  ? 'Kept by this kernel: it ends with the kernel'
                  : 'Kept by the service, also without this kernel'
              }
            >
              {limit.name} {limit.value}{' '}
              <span class="qm-where">{limit.where === 'kernel' ? 'this kernel' : 'service'}</span>
              {limit.acted !== null && ` · acted ${clock(limit.acted, offset)}`}
            </span>
          ))}
        </div>
      )}
    </div>
  );
}
