/** The panel's content: the account on top, then groups of rows. */
import { render, type VNode } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { cancelEverything, endIdle, type Question } from '../../core/ask';
import { ago, integer, usageSeconds } from '../../core/clock';
import { useFocusInside } from '../../core/focus';
import { Frame } from '../../core/mount';
import { Tick } from '../../core/views/tick';
import type { Instance } from '../kernels/account';
import type { Desk, Sweep } from '../desk/desk';
import { Checked } from './check';
import css from './panel.css';
import type { Navigation } from './navigation';
import { Ask, Row } from './row';
import { trans } from '../../core/texts';
import { type Entry, type Group, GROUPS, groupTitle, matches, spentOf } from '../desk/triage';

const FILTER_FROM = 6; // rows

export function draw(node: HTMLElement, desk: Desk, navigation: Navigation): () => void {
  render(
    <Frame>
      <style>{css}</style>
      <Panel desk={desk} navigation={navigation} />
    </Frame>,
    node,
  );
  return () => render(null, node);
}

interface PanelProps {
  desk: Desk;
  navigation: Navigation;
}

/** Alone what redraws itself, see `Cell`. */
function Panel(props: PanelProps) {
  return <Workloads {...props} />;
}

function Workloads({ desk, navigation }: PanelProps) {
  const [, redraw] = useState(0);
  useLayoutEffect(() => desk.subscribe(() => redraw(n => n + 1)), [desk]); // before a change can be missed
  const [typed, setTyped] = useState('');
  const root = useRef<HTMLDivElement>(null);
  useKeptRow(root);
  const { groups, entries } = desk.triage;
  const chosen = (group: Group): Entry[] => (groups.get(group) ?? []).filter(entry => matches(entry, typed));
  const found = GROUPS.reduce((sum, group) => sum + chosen(group).length, 0);
  const filtering = entries.size >= FILTER_FROM || typed !== '';
  return (
    <div ref={root}>
      <div class="qm-top">
        <h2 class="qm-title">{trans.__('Quantum workloads')}</h2>
        <button
          type="button"
          class="qm-button qm-x"
          title={trans.__('Refresh')}
          aria-label={trans.__('Refresh')}
          onClick={() => desk.refreshAll()}
        >
          ↻
        </button>
      </div>
      <AccountHead desk={desk} />
      <Checked desk={desk} />
      {filtering && (
        <input
          type="search"
          class="qm-filter"
          placeholder={trans.__('Filter')}
          aria-label={trans.__('Filter workloads by name, id, backend or notebook')}
          value={typed}
          onInput={event => setTyped(event.currentTarget.value)}
        />
      )}
      <Problems desk={desk} />
      {entries.size === 0 && <Empty desk={desk} navigation={navigation} />}
      {typed !== '' && (
        <p class="qm-note" role="status">
          {trans._n('%1 workload', '%1 workloads', found)}
        </p>
      )}
      {/* Siblings, all of them: a row that changes its group keeps what was asked in it. */}
      <div>{GROUPS.flatMap(group => groupRows(group, chosen(group), typed !== '', desk, navigation))}</div>
      {desk.account.unseen.length > 0 && (
        <p class="qm-note">{trans.__('Not seen: %1', desk.account.unseen.join('; '))}</p>
      )}
    </div>
  );
}

function groupRows(
  group: Group,
  entries: readonly Entry[],
  unfold: boolean,
  desk: Desk,
  navigation: Navigation,
): VNode[] {
  if (entries.length === 0) return [];
  const past = group === 'today' || group === 'earlier';
  const open = unfold || past === desk.memory.folded.has(group);
  const spent = past ? entries.reduce((sum, entry) => sum + (spentOf(entry, 0).seconds ?? 0), 0) : null;
  const title = (
    <>
      <span class={group === 'needs' ? 'qm-tone-warn' : ''}>{groupTitle(group)}</span>{' '}
      <span class="qm-count1 qm-num">
        {entries.length}
        {spent !== null && ` · ${usageSeconds(spent)}`}
        {group === 'unwatched' && desk.account.status === 'on' && `, ${trans.__('from the account')}`}
      </span>
    </>
  );
  const head = (
    <h3 class="qm-group" key={`group ${group}`} data-group={group}>
      {past ? (
        <button type="button" class="qm-bare" aria-expanded={open} onClick={() => desk.fold(group)}>
          <span aria-hidden="true">{open ? '▾' : '▸'}</span> {title}
        </button>
      ) : (
        <span class="qm-grow">{title}</span>
      )}
      {group === home('end-idle', desk) && <SweepButton desk={desk} action="end-idle" />}
      {group === home('cancel-all', desk) && <SweepButton desk={desk} action="cancel-all" />}
    </h3>
  );
  // Where it was asked: under the heading with its button.
  const question =
    desk.asked !== null && home(desk.asked.action, desk) === group ? [<Swept key="question" desk={desk} />] : [];
  if (!open) return [head, ...question];
  return [
    head,
    ...question,
    ...entries.map(entry => <Row key={entry.key} entry={entry} desk={desk} reveal={navigation.reveal} />),
  ];
}

/** The group whose heading has the button; the first one where that group is empty. */
function home(action: Sweep['action'], desk: Desk): Group {
  const own: Group = action === 'end-idle' ? 'idle' : 'running';
  const { groups } = desk.triage;
  return (groups.get(own)?.length ?? 0) > 0 ? own : (GROUPS.find(group => (groups.get(group)?.length ?? 0) > 0) ?? own);
}

function SweepButton({ desk, action }: { desk: Desk; action: Sweep['action'] }) {
  const sweep = desk.sweep(action);
  if (sweep === null) return null;
  return (
    <button type="button" class="qm-link" data-sweep={action} onClick={() => desk.ask(sweep)}>
      {action === 'end-idle'
        ? trans.__('End all idle…')
        : trans._n('Cancel %2 job…', 'Cancel all %2 jobs…', sweep.jobs, integer(sweep.jobs))}
    </button>
  );
}

/** What a sweep is about to do, and what it spends or saves. */
export function questionOf({ action, entries, names }: Sweep): Omit<Question, 'also'> {
  const states = entries.flatMap(({ watches }) => watches[0]?.workload.state ?? []);
  return action === 'end-idle' ? endIdle(states, names, Date.now() / 1000) : cancelEverything(states, names);
}

function Swept({ desk }: { desk: Desk }) {
  if (desk.asked === null) return null;
  const { text, yes } = questionOf(desk.asked);
  return (
    <Ask
      text={text}
      choices={[yes]}
      onNo={() => desk.ask(null)}
      onChoice={() => {
        if (desk.asked !== null) desk.carryOut(desk.asked);
        desk.ask(null);
      }}
    />
  );
}

// --- the account ---------------------------------------------------------------------------------------------------

function AccountHead({ desk }: { desk: Desk }) {
  const { account } = desk;
  const { instances } = account;
  return (
    <div class="qm-account">
      {instances.map(instance => (
        <Allowance key={instance.name} instance={instance} />
      ))}
      {account.problem !== null && (
        <p class="qm-ban" role="alert">
          {account.problem}
          {!account.hasOwn && (
            <>
              {' '}
              <button type="button" class="qm-link" onClick={() => void desk.connect('embedded')}>
                {trans.__('Use the embedded service')}
              </button>
            </>
          )}
          {account.check === null && (
            <>
              {' '}
              <button type="button" class="qm-link" onClick={() => void account.runCheck()}>
                {trans.__('Check this installation')}
              </button>
            </>
          )}
        </p>
      )}
      <div class="qm-note qm-account-line" role="status">
        {account.status === 'starting' && trans.__('Starting a kernel for the account…')}
        {account.status === 'asking' && trans.__('Asking the account…')}
        {account.status !== 'starting' && account.status !== 'asking' && account.at !== null && (
          <ReadAt at={account.at} />
        )}
        {account.status === 'off' && desk.triage.entries.size > 0 && (
          <button type="button" class="qm-link" data-account="look" onClick={() => void desk.lookUp()}>
            {trans.__('Look at my account')}
          </button>
        )}
        {account.hasOwn && account.status !== 'starting' && (
          <button
            type="button"
            class="qm-link"
            data-account="disconnect"
            title={trans.__('Ends the kernel “Quantum account”')}
            onClick={() => void desk.disconnect()}
          >
            {trans.__('Disconnect')}
          </button>
        )}
      </div>
    </div>
  );
}

function ReadAt({ at }: { at: number | null }) {
  return (
    <span class="qm-grow qm-num">{at !== null && <Tick text={now => trans.__('Read %1 ago', ago(now - at))} />}</span>
  );
}

/** Used, left, and when seconds come back. An allocation is a share, not a cap, and says so. */
function Allowance({ instance }: { instance: Instance }) {
  const { name, plan, used, limit, allocation, left, reached, returns } = instance;
  const parts = [
    name === plan || plan === null ? name : `${name} (${plan})`,
    used === null
      ? trans.__('usage unknown')
      : limit === null
        ? trans.__('%1 used', usageSeconds(used))
        : trans.__('%1 of %2 used', usageSeconds(used), usageSeconds(limit)),
    reached ? trans.__('limit reached') : left === null ? '' : trans.__('%1 left', usageSeconds(left)),
    allocation === null || allocation === limit ? '' : trans.__('%1 allocated, no cap', usageSeconds(allocation)),
    returns === null
      ? ''
      : trans.__('≈ %1 back on %2', usageSeconds(returns.seconds), new Date(returns.at * 1000).toLocaleDateString()),
  ].filter(Boolean);
  const share = limit === null || limit === 0 || used === null ? null : Math.min(1, used / limit);
  return (
    <div class="qm-allow qm-num" data-instance={name}>
      {share !== null && (
        <div
          class={`qm-meter ${reached ? 'qm-tone-fail' : share >= 0.9 ? 'qm-tone-warn' : 'qm-tone-active'}`}
          aria-hidden="true"
        >
          <i class="qm-solid" style={{ width: `${100 * share}%` }} />
        </div>
      )}
      <span>{parts.join(' · ')}</span>
    </div>
  );
}

// --- nothing there, or nothing to trust ----------------------------------------------------------------------------

/** A kernel of another protocol, or one whose buttons are off. */
function Problems({ desk }: { desk: Desk }) {
  const found = desk.kernels.all.flatMap(({ id, place, channel: { store } }) => {
    const problem = store.problem ?? store.hello?.problem ?? null;
    return problem === null ? [] : [{ id, name: place.name, problem }];
  });
  return (
    <>
      {found.map(({ id, name, problem }) => (
        <p key={id} class="qm-ban" role="alert">
          <strong>{name}</strong>: {problem}
        </p>
      ))}
    </>
  );
}

function Empty({ desk, navigation }: { desk: Desk; navigation: Navigation }) {
  const { status } = desk.account;
  return (
    <div class="qm-empty">
      <p>
        {status === 'on'
          ? trans.__('No kernel watches a workload, and the account has none open.')
          : trans.__('No kernel watches a workload.')}
      </p>
      <div class="qm-choices">
        <button type="button" class="qm-button qm-primary" data-empty="quickstart" onClick={navigation.openQuickstart}>
          {trans.__('Open the quickstart')}
        </button>
        <button type="button" class="qm-button" data-empty="begin" onClick={navigation.insertBegin}>
          {trans.__('Insert into a new notebook')}
        </button>
        {status === 'off' && (
          <button type="button" class="qm-button" data-empty="account" onClick={() => void desk.lookUp()}>
            {trans.__('Look at my account')}
          </button>
        )}
        {status === 'off' && (
          <button type="button" class="qm-button" data-empty="embedded" onClick={() => void desk.connect('embedded')}>
            {trans.__('Look at the embedded service')}
          </button>
        )}
        <button type="button" class="qm-button" data-empty="check" onClick={() => void desk.account.runCheck()}>
          {trans.__('Check this installation')}
        </button>
      </div>
      <p class="qm-dim">
        {trans.__(
          'The embedded service is a small IBM Quantum on this machine: it needs no account, and nothing on it is billed.',
        )}
      </p>
    </div>
  );
}

/** A row that moves to another group keeps the focus it had. */
function useKeptRow(root: { current: HTMLElement | null }): void {
  const last = useRef<string | null>(null);
  useFocusInside(root, target => {
    last.current = target?.closest('[data-entry]')?.getAttribute('data-entry') ?? null;
  });
  useLayoutEffect(() => {
    if (last.current === null || document.activeElement !== document.body) return;
    const row = root.current?.querySelector(`[data-entry=${CSS.escape(last.current)}]`);
    row?.querySelector<HTMLElement>('button')?.focus({ preventScroll: true });
  });
}
