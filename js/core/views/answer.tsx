/** A question and its outcome, in the place of the button that asked: nothing else moves. */
import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { ago } from '../clock';
import type { Click } from '../store';
import { trans } from '../texts';
import { type Asking, type Place, useControls } from './controls';
import { ClockContext, REAL, Tick } from './tick';

interface Props {
  place: Place;
  asking: Asking | null;
  /** The last click that this place answers. */
  click: Click | undefined;
  /** Why the service does not answer, if it does not. */
  problem: string | null;
  children: ComponentChildren;
}

/** The place's buttons, or over them: the question, that it is under way, or what came of it. */
export function Answer({ place, asking, click, problem, children }: Props) {
  if (asking !== null && asking.place === place) return <Asked asking={asking} />;
  if (click === undefined) return <>{children}</>;
  if (click.status === 'failed' || click.status === 'done') return <Outcome click={click} />;
  return (
    <div class="qm-answer qm-pending">
      <Waiting click={click} problem={problem} />
      {children}
    </div>
  );
}

function Asked({ asking }: { asking: Asking }) {
  const { answer, leave } = useControls();
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    box.current?.focus({ preventScroll: true });
    box.current?.scrollIntoView({ block: 'nearest' }); // of the last row, it may reach beyond the table
  }, []);
  return (
    <div
      class="qm-answer qm-confirm"
      ref={box}
      tabIndex={-1}
      role="group"
      aria-label={asking.name}
      onKeyDown={event => {
        if (event.key !== 'Escape') return;
        event.stopPropagation();
        leave();
      }}
    >
      <span class="qm-answer-text">{asking.name === asking.text ? asking.text : `${asking.name} ${asking.text}`}</span>
      {asking.also !== null && (
        <button
          type="button"
          class={`qm-button ${asking.also.danger ? 'qm-danger' : 'qm-primary'}`}
          data-confirm="also"
          onClick={() => asking.also && answer(asking, asking.also.action)}
        >
          {asking.also.label}
        </button>
      )}
      <button
        type="button"
        class={`qm-button ${asking.yes.danger ? 'qm-danger' : 'qm-primary'}`}
        data-confirm="yes"
        onClick={() => answer(asking, asking.yes.action)}
      >
        {asking.yes.label}
      </button>
      {/* Last, where the button was that asked: a double click changes nothing. */}
      <button type="button" class="qm-button" data-confirm="no" onClick={leave}>
        {trans.__('Not now')}
      </button>
    </div>
  );
}

const PATIENCE = 2; // seconds after which a click says what it waits for

/** Under way: after two seconds it says what it waits for. */
function Waiting({ click, problem }: { click: Click; problem: string | null }) {
  const text = (): string => {
    const since = Date.now() / 1000 - click.since;
    if (click.message !== '' && click.status === 'sent') return click.message;
    if (click.late) return trans.__('The kernel has not taken this click yet; it may wait for the running cell.');
    if (since < PATIENCE || click.status === 'sent') return '';
    return problem === null ? trans.__('Waiting for the service, %1', ago(since)) : `${problem}, ${ago(since)}`;
  };
  return (
    <span class="qm-waiting qm-num">
      <ClockContext.Provider value={REAL}>
        <Tick text={text} />
      </ClockContext.Provider>
    </span>
  );
}

function Outcome({ click }: { click: Click }) {
  const { dismiss } = useControls();
  const failed = click.status === 'failed';
  return (
    <div class={`qm-answer qm-outcome qm-outcome-${click.status}`}>
      <span class={`qm-shape qm-tone-${failed ? 'fail' : 'ok'}`} aria-hidden="true">
        {failed ? '!' : '✓'}
      </span>
      <span class="qm-answer-text">{click.message || trans.__('done')}</span>
      {failed && (
        <button
          type="button"
          class="qm-button qm-quiet"
          aria-label={trans.__('Dismiss')}
          onClick={() => dismiss(click)}
        >
          ✕
        </button>
      )}
    </div>
  );
}
