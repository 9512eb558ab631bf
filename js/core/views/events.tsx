import { useState } from 'preact/hooks';
import { clock, dateTime } from '../clock';
import { eventText } from '../facts';
import type { Event, Limit, WorkloadSnapshot } from '../protocol';
import { trans } from '../texts';

const SHOWN = 2;

/** The foot: what happened last, which bounds there are and who keeps them. */
export function Events({ state, offset }: { state: WorkloadSnapshot; offset: number }) {
  const [all, setAll] = useState(false);
  const events = [...state.events].reverse();
  const limits = state.limits.filter(limit => limit.name !== 'max TTL');
  if (events.length === 0 && limits.length === 0) return null;
  return (
    <div class="qm-events">
      <ul aria-label={trans.__('Events')}>
        {(all ? events : events.slice(0, SHOWN)).map(event => (
          <li key={event.id} class={`qm-event-${event.level}`}>
            <time class="qm-num" title={dateTime(event.time, offset)}>
              {clock(event.time, offset)}
            </time>{' '}
            {event.level !== 'info' && <span class="qm-hidden">{levelWord(event.level)}: </span>}
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
                {limit.where === 'kernel'
                  ? trans.__('kept by this kernel, ends with it')
                  : trans.__('kept by the service')}
              </span>
              {limit.acted !== null && ` · ${trans.__('acted %1', clock(limit.acted, offset))}`}
            </span>
          ))}
        </div>
      )}
      {(events.length > SHOWN || limits.length > 0) && (
        <button type="button" class="qm-link qm-plain" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? trans.__('show less') : more(events.length)}
        </button>
      )}
    </div>
  );
}

/** The service's option names are not words of a reader's. */
function limitText({ name, value }: Limit): string {
  const seconds = value.replace(/\s*max_execution_time$/, '');
  return seconds === value ? `${name} ${value}` : trans.__('%1 %2, the longest each job may run', name, seconds);
}

function levelWord(level: Event['level']): string {
  return level === 'error' ? trans.__('error') : trans.__('warning');
}

function more(events: number): string {
  if (events <= SHOWN) return trans.__('limits');
  return trans._n('all %1 event and limits', 'all %1 events and limits', events);
}
