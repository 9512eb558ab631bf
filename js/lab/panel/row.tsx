/** A workload in two lines: what it is and where; what is left of it and what it spent. Unfolds to the cell's view. */
import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { aboutListed, againLabel, type Choice, endLabel, failedJobs, question, type Target } from '../../core/ask';
import { missingAction } from '../../core/banner';
import { isBilled } from '../../core/bill';
import { ago, dateTime, duration, usageSeconds } from '../../core/clock';
import { counts, jobFace, paceOf, shownJobs, toGo, workloadFace } from '../../core/facts';
import type { Action, JobSnapshot, JobState, WorkloadSnapshot } from '../../core/protocol';
import { Tick } from '../../core/views/tick';
import { WorkloadView } from '../../core/views/workload';
import type { Act } from '../kernels/account';
import type { Place } from '../kernels/kernels';
import { actable, type Desk } from '../desk/desk';
import { trans } from '../../core/texts';
import { leftText } from '../desk/signals';
import {
  backendOf,
  type Entry,
  isIdle,
  leftOf,
  modeOf,
  momentOf,
  placeOf,
  spentOf,
  spentText,
  startOf,
  titleOf,
  waitingText,
} from '../desk/triage';

/** As a bar fills: what is over, what runs, what waits. */
const PROGRESS: readonly JobState[] = [
  'done',
  'failed',
  'refused',
  'running',
  'unknown',
  'queued',
  'waiting',
  'cancelled',
  'dropped',
];
const CELLS = 24; // jobs up to here get a cell each in the strip

interface Props {
  entry: Entry;
  desk: Desk;
  reveal: (place: Place, entry: Entry) => void;
}

export function Row({ entry, desk, reveal }: Props) {
  const open = desk.isOpen(entry);
  const watch = entry.watches[0];
  const title = titleOf(entry);
  const toggle = (): void => desk.open(entry, !open);
  return (
    <div
      role="group"
      class={`qm-row ${toneOf(entry)} ${entry.stale ? 'qm-old' : ''}`}
      data-entry={entry.key}
      data-group={entry.group}
      aria-label={title}
    >
      <div
        class="qm-two"
        onClick={event => {
          // The whole row unfolds for a pointer; the title's button does for everybody else.
          if (watch !== undefined && !(event.target as Element).closest('button, a')) toggle();
        }}
      >
        <div class="qm-line">
          {watch === undefined ? (
            <span class="qm-title1">
              <Name entry={entry} />
            </span>
          ) : (
            <button type="button" class="qm-title1 qm-bare" aria-expanded={open} onClick={toggle}>
              <Name entry={entry} />
            </button>
          )}
          <Value entry={entry} />
        </div>
        <div class="qm-line">
          <Where entry={entry} reveal={reveal} />
          <Detail entry={entry} />
        </div>
        {!open &&
          watch !== undefined &&
          entry.jobs.total > 1 &&
          entry.group !== 'today' &&
          entry.group !== 'earlier' && <Strip jobs={shownJobs(watch.workload.state)} />}
      </div>
      {watch === undefined ? (
        <Unwatched entry={entry} desk={desk} />
      ) : open ? (
        <WorkloadView store={watch.store} workload={watch.workload} />
      ) : (
        <Watched entry={entry} desk={desk} />
      )}
    </div>
  );
}

/** Its title; "11:04:05" beside it where nothing else tells a workload from its like. */
function Name({ entry }: { entry: Entry }) {
  const title = titleOf(entry);
  const start = startOf(entry, Date.now() / 1000);
  return (
    <>
      <span class="qm-name" title={[title, ...[...entry.aliases].slice(0, 5)].join('\n')}>
        {title}
      </span>
      {start !== '' && <span class="qm-start qm-num"> {start}</span>}
    </>
  );
}

function toneOf({ reason }: Entry): string {
  if (reason === null) return '';
  return reason === 'failed' || reason === 'capped' ? 'qm-bad' : 'qm-att';
}

/** Left of the second line. Where it is narrow, mode and backend give way first, so that the link can be hit. */
function Where({ entry, reveal }: Pick<Props, 'entry' | 'reveal'>) {
  const kind = `${modeOf(entry)} · ${backendOf(entry)}`;
  return (
    <span class="qm-where">
      <span class="qm-kind" title={kind}>
        {kind}
      </span>
      <PlaceLink entry={entry} reveal={reveal} />
    </span>
  );
}

/** The notebook, as a link to its cell; with the number of others that show the same workload. */
function PlaceLink({ entry, reveal }: Pick<Props, 'entry' | 'reveal'>) {
  const place = placeOf(entry);
  if (place === null) {
    if (entry.listed === null) return null;
    const elsewhere = trans.__('started elsewhere');
    return (
      <span class="qm-away" title={elsewhere}>
        {' · '}
        {elsewhere}
      </span>
    );
  }
  const others = entry.watches.slice(1).map(watch => watch.place.path || watch.place.name);
  return (
    <>
      <span>{' · '}</span>
      <button
        type="button"
        class="qm-link qm-place"
        title={[trans.__('Go to the cell in %1', place.path || place.name), ...others].join('\n')}
        onClick={() => reveal(place, entry)}
      >
        {place.name}
      </button>
      {others.length > 0 && <span title={others.join('\n')}> +{others.length}</span>}
      {entry.watches[0]?.busy && (
        <span class="qm-away" title={trans.__('(busy)')}>
          {' '}
          {trans.__('(busy)')}
        </span>
      )}
    </>
  );
}

/** Right of the first line: the deadline when it is near, else how far it is. */
function Value({ entry }: { entry: Entry }) {
  const { reason, jobs, watches, group, remembered, listed } = entry;
  const watch = watches[0];
  if (watch === undefined)
    return (
      <span class="qm-value">
        {group === 'unwatched' && listed === null && remembered?.word === 'closed'
          ? trans.__('closing')
          : stateWord(remembered?.ended != null ? 'closed' : (listed?.status ?? remembered?.word))}
      </span>
    );
  const { state, offset } = watch.workload;
  const { interactive_deadline: idle, max_deadline: max } = state.ttl;
  if (!entry.stale && (reason === 'interactive' || group === 'idle') && idle !== null)
    return (
      <Left
        deadline={idle - offset}
        label={trans.__('until it is inactive')}
        tone={reason === 'interactive' ? 'qm-tone-warn' : ''}
      />
    );
  if (!entry.stale && reason === 'max' && max !== null)
    return <Left deadline={max - offset} label={trans.__('until it must end')} tone="qm-tone-warn" />;
  const face = workloadFace(state, jobs);
  const over = group === 'today' || group === 'earlier';
  const text =
    jobs.total > 1
      ? trans.__('%1 of %2', jobs.done.toLocaleString('en'), jobs.total.toLocaleString('en'))
      : jobs.total === 1
        ? jobFace(shownJobs(state)[0]!.state).word
        : face.word;
  return (
    <span class="qm-value qm-num" title={face.title}>
      {over && <span aria-hidden="true">{face.shape} </span>}
      {text}
    </span>
  );
}

/** The service's words for a workload, as a reader knows them. */
function stateWord(word: string | undefined): string {
  switch (word) {
    case 'open':
    case 'pending':
      return trans.__('open');
    case 'active':
    case 'in_progress':
      return trans.__('in progress');
    case 'inactive':
      return trans.__('inactive');
    case 'closed':
    case 'completed':
      return trans.__('closed');
    default:
      return word === undefined || word === 'unknown' ? '?' : word;
  }
}

function Left({ deadline, label, tone }: { deadline: number; label: string; tone: string }) {
  return (
    <span
      class={`qm-value qm-num ${tone}`}
      role="timer"
      aria-label={label}
      title={`${label}, ${dateTime(deadline, 0)}`}
    >
      <Tick text={now => duration(deadline - now)} />
    </span>
  );
}

/** Right of the second line: why it is where it is. */
function Detail({ entry }: { entry: Entry }) {
  const { reason, group, jobs, watches, remembered, listed } = entry;
  const watch = watches[0];
  const dim = (children: ComponentChildren) => <span class="qm-why qm-num">{children}</span>;
  if (watch === undefined) {
    const spent = spentOf(entry, 0).seconds;
    const used = spent === null ? '' : trans.__('%1 used', usageSeconds(spent));
    if (remembered?.end === 'closed on exit' && remembered.ended !== null)
      return dim(trans.__('closed when its kernel ended'));
    if (listed === null && remembered !== null) return <Seen at={remembered.seen} used={used} />;
    return dim(used);
  }
  const { state, offset } = watch.workload;
  // Whatever else there is to say of it was said before it fell silent.
  if (entry.stale) return <Seen at={(state.seen_at ?? 0) - offset} used={trans.__('no answer')} />;
  switch (reason) {
    case 'interactive':
      return dim(trans.__('idle, billed'));
    case 'max':
      return dim(trans.__('must end'));
    case 'capped':
      return <span class="qm-why qm-tone-fail">{trans.__('! cap reached')}</span>;
    case 'cap':
      return <span class="qm-why qm-tone-warn">{trans.__('near its cap')}</span>;
    case 'failed':
      return <span class="qm-why qm-tone-fail qm-num">{trans.__('! %1 failed', jobs.failed)}</span>;
    case 'unreachable':
    case null:
      break;
  }
  if (group === 'idle') return dim(trans.__('idle, billed'));
  if (group === 'running') return <Going state={state} offset={offset} entry={entry} />;
  return (
    <span class="qm-why qm-num">
      <Spent entry={entry} />
    </span>
  );
}

/** It goes on while a session is billed. */
function Spent({ entry }: { entry: Entry }) {
  return <Tick text={now => spentText(entry, now)} runs={isGoing(entry)} />;
}

function isGoing({ stale, watches: [watch] }: Entry): boolean {
  return !stale && watch !== undefined && isBilled(watch.workload.state);
}

function Seen({ at, used }: { at: number; used: string }) {
  return (
    <span class="qm-why qm-num">
      <Tick text={now => [trans.__('seen %1 ago', ago(now - at)), used].filter(Boolean).join(' · ')} />
    </span>
  );
}

/** "≈ 14 min left" at the pace of what is done; before there is a pace, how long it has waited. */
function Going({ state, offset, entry }: { state: WorkloadSnapshot; offset: number; entry: Entry }) {
  const jobs = useMemo(() => shownJobs(state), [state.jobs]);
  const pace = useMemo(() => paceOf(jobs), [jobs]);
  const since = useMemo(() => jobs.reduce((first, job) => Math.min(first, job.created ?? Infinity), Infinity), [jobs]);
  const text = (now: number): string => {
    if (entry.jobs.running === 0)
      return entry.jobs.queued > 0 && Number.isFinite(since)
        ? trans.__('queued for %1', duration(now + offset - since))
        : trans.__('not sent yet');
    const left = entry.jobs.total > 1 ? toGo(pace, now + offset) : null;
    return left === null ? spentText(entry, now) : trans.__('≈ %1 left', ago(left));
  };
  return (
    <span class="qm-why qm-num">
      <Tick text={text} />
    </span>
  );
}

/** A cell a job, or proportional segments beyond: shape and count stand in words beside it. */
function Strip({ jobs }: { jobs: readonly JobSnapshot[] }) {
  const found = counts(jobs);
  const by = PROGRESS.flatMap((state): [JobState, number][] => (found.has(state) ? [[state, found.get(state)!]] : []));
  const label = by.map(([state, n]) => `${n} ${jobFace(state).word}`).join(', ');
  return (
    <span class="qm-thin" role="img" aria-label={label} title={label}>
      {jobs.length <= CELLS
        ? jobs.map(job => <i key={job.key} class={`qm-job-${job.state}`} />)
        : by.map(([state, n]) => <i key={state} class={`qm-job-${state}`} style={{ flexGrow: n }} />)}
    </span>
  );
}

// --- a folded row's own action ------------------------------------------------------------------------------------

function Watched({ entry, desk }: { entry: Entry; desk: Desk }) {
  const { reason, group, jobs } = entry;
  const { store, workload } = entry.watches[0]!;
  const { state, clicks } = workload;
  const failed = failedJobs(shownJobs(state));
  const again = useRef<HTMLButtonElement>(null);
  const own = clicks.filter(click => click.target === null && click.action !== 'refresh').at(-1);
  const under = own !== undefined && (own.status === 'sent' || own.status === 'accepted');
  const moment = (now: number): number => momentOf(entry.watches[0]!, now);
  const asking = (name: Action, target: Target) => question(state, name, target, moment(Date.now() / 1000));
  const begin = (name: Action, target: Target): void => {
    if (asking(name, target) === null) store.command(state.id, name);
    else desk.askRow(entry.key, name, target);
  };
  const leave = (): void => {
    desk.askRow(entry.key, null);
    setTimeout(() => again.current?.focus());
  };
  const about = desk.rowAsked?.entry === entry.key ? desk.rowAsked : null;
  // From a notification, which does not know what cap would fit.
  const row =
    about?.action === 'resubmit_missing' && about.target === null
      ? { ...about, target: missingAction(state)?.target ?? null }
      : about;
  const asked = row === null ? null : asking(row.action, row.target);
  const missing = reason === 'capped' ? missingAction(state) : null;
  const action: { name: Action; target: Target; label: string | ((now: number) => string) } | null =
    reason === 'unreachable'
      ? { name: 'refresh', target: null, label: trans.__('Try again') }
      : isIdle(state, jobs)
        ? { name: 'close', target: null, label: now => endLabel(state, moment(now)) }
        : missing !== null
          ? { name: missing.action, target: missing.target, label: missing.label }
          : reason === 'failed'
            ? { name: 'resubmit_failed', target: null, label: againLabel(failed) }
            : null;
  const shown = group === 'needs' || group === 'idle';
  if (asked !== null)
    return (
      <Ask
        text={asked.text}
        choices={[asked.yes, ...(asked.also === null ? [] : [asked.also])]}
        onNo={leave}
        onChoice={choice => {
          store.command(state.id, choice.action, typeof row?.target === 'string' ? row.target : null);
          leave();
        }}
      />
    );
  if (!shown && own === undefined) return null;
  return (
    <div class="qm-does">
      <span class="qm-note qm-num qm-grow" role="status">
        {(own === undefined || own.status === 'done') && (
          <Tick
            text={now =>
              [spentText(entry, now), entry.stale ? '' : waitingText(entry, now)].filter(Boolean).join(' · ')
            }
            runs={isGoing(entry)}
          />
        )}
        {own?.status === 'done' && ` · ✓ ${own.message || trans.__('done')}`}
        {own?.status === 'failed' && <span class="qm-tone-fail">! {own.message}</span>}
        {under && (own.message || (own.late ? trans.__('waiting for the kernel…') : trans.__('under way…')))}
      </span>
      <span class="qm-acts">
        {action !== null && actable(entry) && (
          <button
            type="button"
            ref={again}
            class="qm-button qm-primary"
            data-action={action.name}
            aria-disabled={under}
            onClick={() => {
              if (!under) begin(action.name, action.target);
            }}
          >
            {typeof action.label === 'string' ? action.label : <Tick text={action.label} />}
            <span class="qm-hidden">: {titleOf(entry)}</span>
          </button>
        )}
        {(reason === 'failed' || (reason === 'capped' && group === 'needs' && jobs.remaining + jobs.running === 0)) && (
          <button
            type="button"
            class="qm-button qm-x"
            title={trans.__('Seen: put it aside')}
            aria-label={trans.__('Put %1 aside', titleOf(entry))}
            onClick={() => desk.dismiss(entry)}
          >
            ×
          </button>
        )}
      </span>
    </div>
  );
}

/** Asks once, in the place of the button. Takes the focus, so that it is read aloud; Escape is "Not now". */
export function Ask<T extends Pick<Choice, 'label' | 'danger'>>({
  text,
  choices,
  onChoice,
  onNo,
}: {
  text: string;
  choices: readonly T[];
  onChoice: (choice: T) => void;
  onNo: () => void;
}) {
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => box.current?.focus(), [text]);
  return (
    <div
      class="qm-ask"
      ref={box}
      tabIndex={-1}
      role="group"
      aria-label={text}
      onKeyDown={event => {
        if (event.key !== 'Escape') return;
        event.stopPropagation();
        onNo();
      }}
    >
      <p>{text}</p>
      <span class="qm-actions">
        {choices.map((choice, i) => (
          <button
            key={i}
            type="button"
            data-confirm={i === 0 ? 'yes' : 'also'}
            class={`qm-button ${choice.danger ? 'qm-danger' : 'qm-primary'}`}
            onClick={() => onChoice(choice)}
          >
            {choice.label}
          </button>
        ))}
        {/* Last, where the button was that asked: a double click changes nothing. */}
        <button type="button" data-confirm="no" class="qm-button" onClick={onNo}>
          {trans.__('Not now')}
        </button>
      </span>
    </div>
  );
}

// --- a workload that no kernel watches ----------------------------------------------------------------------------

function Unwatched({ entry, desk }: { entry: Entry; desk: Desk }) {
  const { account } = desk;
  const { listed, remembered, group } = entry;
  const id = listed?.id ?? remembered?.workload ?? entry.key;
  const acting = account.acting.get(id);
  const under = acting?.status === 'sent';
  if (group !== 'unwatched') return null;
  const mode = listed?.mode ?? remembered?.mode ?? 'job';
  const left = leftOf(entry);
  const row = desk.rowAsked?.entry === entry.key ? desk.rowAsked.action : null;
  const act = row === null ? null : row === 'close' ? 'end' : 'cancel';
  if (act !== null) {
    const { text, yes } = aboutListed(act, mode, left);
    return (
      <Ask
        text={text}
        choices={[yes]}
        onNo={() => desk.askRow(entry.key, null)}
        onChoice={() => {
          desk.askRow(entry.key, null);
          void account.act(act, id);
        }}
      />
    );
  }
  const still = leftText(entry);
  return (
    <div class="qm-does">
      <span class="qm-note qm-grow" role="status">
        {acting?.status === 'failed' && <span class="qm-tone-fail">! {acting.message}</span>}
        {acting?.status === 'done' && `✓ ${acting.message}`}
        {under && trans.__('under way…')}
        {acting === undefined && still !== '' && <span class="qm-tone-warn">{still}</span>}
        {listed === null && acting === undefined && still === '' && trans.__('It may still be open and cost usage.')}
      </span>
      <span class="qm-acts">
        {listed === null && (
          <button type="button" class="qm-button" onClick={() => void desk.lookUp()}>
            {trans.__('Look it up')}
          </button>
        )}
        {listed !== null && (
          <AccountButton act="watch" off={under} onClick={() => void account.act('watch', id)} title={titleOf(entry)}>
            {trans.__('Watch it')}
          </AccountButton>
        )}
        {listed !== null && mode !== 'job' && (
          <AccountButton act="end" off={under} onClick={() => desk.askRow(entry.key, 'close')} title={titleOf(entry)}>
            {endLabelOf(mode)}
          </AccountButton>
        )}
        {(listed !== null || (left.jobs > 0 && mode !== 'job')) && (
          <AccountButton
            act="cancel"
            off={under}
            onClick={() => desk.askRow(entry.key, 'cancel_all')}
            title={titleOf(entry)}
          >
            {trans.__('Cancel…')}
          </AccountButton>
        )}
        {listed === null && (
          <button type="button" class="qm-button" onClick={() => desk.forget(entry)}>
            {trans.__('Forget')}
          </button>
        )}
      </span>
    </div>
  );
}

function AccountButton({
  act,
  off,
  title,
  onClick,
  children,
}: {
  act: Act;
  off: boolean;
  title: string;
  onClick: () => void;
  children: string;
}) {
  return (
    <button
      type="button"
      class={`qm-button ${act === 'watch' ? '' : 'qm-danger'}`}
      data-act={act}
      aria-disabled={off}
      aria-label={`${children}: ${title}`}
      onClick={() => {
        if (!off) onClick();
      }}
    >
      {children}
    </button>
  );
}

function endLabelOf(mode: string): string {
  return mode === 'session' ? trans.__('End session…') : trans.__('End batch…');
}
