import { useState } from 'preact/hooks';
import { clock, dateTime } from '../clock';
import { eventText } from '../facts';
import type { Limit, WorkloadSnapshot } from '../protocol';

const SHOWN = 2;

/** The foot: what happened last, which bounds there are and who keeps them. */
export function Events({ state, offset }: { state: WorkloadSnapshot; offset: number }) {
  const [all, setAll] = useState(false);
  const events = [...state.events].reverse();
  const limits = state.limits.filter(limit => limit.name !== 'max TTL');
  if (events.length === 0 && limits.length === 0) return null;
  return (
    <div class="qm-events">
      <ul aria-label="Events">
        {(all ? events : events.slice(0, SHOWN)).map(event => (
          <li key={event.id} class={`qm-event-${event.level}`}>
            <time class="qm-num" title={dateTime(event.time, offset)}>
              {clock(event.time, offset)}
            </time>{' '}
            {event.level !== 'info' && <span class="qm-hidden">{event.level}: </span>}
            {eventText(event, state)}
          </li>
        ))}
      </ul>
      {all && limits.length > 0 && (
        <div class="qm-limits">
          {limits.map(limit => (
            <span key={limit.name}>
              {limitText(limit)}{' '}
              <span class="qm-where">
                {limit.where === 'kernel' ? 'kept by this kernel, ends with it' : 'kept by the service'}
              </span>
              {limit.acted !== null && ` · acted ${clock(limit.acted, offset)}`}
            </span>
          ))}
        </div>
      )}
      {(events.length > SHOWN || limits.length > 0) && (
        <button type="button" class="qm-link qm-plain" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? 'show less' : events.length > SHOWN ? `all ${events.length} events and limits` : 'limits'}
        </button>
      )}
    </div>
  );
}

/** The service's option names are not words of a reader's. */
function limitText({ name, value }: Limit): string {
  return `${name} ${value.replace(/\s*max_execution_time$/, ', the longest each job may run')}`;
}
