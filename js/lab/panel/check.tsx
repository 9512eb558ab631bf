/** What `qmode.check()` found: what needs doing is red and says what to do, and the page can be copied. */
import { CopyButton } from '../../core/views/button';
import type { CheckRow } from '../kernels/account';
import type { Desk } from '../desk/desk';
import { trans } from '../../core/texts';

const LOOKS: Record<CheckRow['state'], [shape: string, tone: string]> = {
  ok: ['✓', 'ok'],
  warning: ['!', 'warn'],
  failed: ['✕', 'fail'],
  'not checked': ['–', 'dim'],
};

export function Checked({ desk }: { desk: Desk }) {
  const { check } = desk.account;
  if (check === null) return null;
  const { status, rows, text, message } = check;
  const sections = [...new Set(rows.map(row => row.section))];
  return (
    <section class="qm-check" aria-label={trans.__('Check of this installation')}>
      <div class="qm-check-head">
        <h3>{trans.__('Check of this installation')}</h3>
        {status === 'done' && <CopyButton text={text} name={trans.__('the page, for an issue')} />}
        {status !== 'running' && (
          <button
            type="button"
            class="qm-button qm-x"
            title={trans.__('Put the check away')}
            aria-label={trans.__('Put the check away')}
            onClick={() => desk.account.putCheckAway()}
          >
            ×
          </button>
        )}
      </div>
      <p role="status">
        {status === 'running'
          ? trans.__('Looking at versions, JupyterLab, the account and each answer that is relied on: some seconds…')
          : status === 'failed'
            ? message
            : verdict(rows)}
      </p>
      {status !== 'failed' && (
        <p class="qm-dim">{trans.__('It only reads: nothing is submitted, changed or billed.')}</p>
      )}
      {sections.map(section => (
        <div key={section}>
          <h4>{section}</h4>
          <ul>
            {rows
              .filter(row => row.section === section)
              .map(row => (
                <Line key={row.name} row={row} />
              ))}
          </ul>
        </div>
      ))}
      {status === 'done' && (
        <details>
          <summary>{trans.__('As a page')}</summary>
          <pre class="qm-code">{text}</pre>
        </details>
      )}
    </section>
  );
}

function Line({ row: { name, state, found, remedy, consequence } }: { row: CheckRow }) {
  const [shape, tone] = LOOKS[state] ?? LOOKS['not checked'];
  return (
    <li data-state={state} class={state === 'failed' || state === 'warning' ? `qm-tone-${tone}` : ''}>
      <span class={`qm-shape qm-tone-${tone}`} aria-hidden="true">
        {shape}
      </span>
      <div>
        <b>{name}</b> <span class="qm-hidden">{wordOf(state)}: </span>
        {found}
        {remedy !== undefined && <p>→ {remedy}</p>}
        {consequence !== undefined && <p class="qm-dim">{trans.__('Until then: %1', consequence)}</p>}
      </div>
    </li>
  );
}

function wordOf(state: CheckRow['state']): string {
  switch (state) {
    case 'ok':
      return trans.__('in order');
    case 'warning':
      return trans.__('warning');
    case 'failed':
      return trans.__('failed');
    default:
      return trans.__('not checked');
  }
}

function verdict(rows: readonly CheckRow[]) {
  const count = (state: CheckRow['state']): number => rows.filter(row => row.state === state).length;
  const [failed, warned] = [count('failed'), count('warning')];
  if (failed > 0) return <strong class="qm-tone-fail">{trans._n('%1 thing fails.', '%1 things fail.', failed)}</strong>;
  if (warned > 0)
    return (
      <strong class="qm-tone-warn">
        {trans._n('%1 warning, nothing fails.', '%1 warnings, nothing fails.', warned)}
      </strong>
    );
  return <strong class="qm-tone-ok">{trans.__('All that was checked will work.')}</strong>;
}
