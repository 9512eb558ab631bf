/**
 * What a click is about to do, as a question: what costs usage says how much first, what destroys asks once and says what
 * it saves. Every way to an action goes through here: rows, head, banner, a selection, the panel, the account.
 */
import { idleCost, idleText, missingJobs } from './bill';
import { integer, usageSeconds } from './clock';
import { capital, endWord, expectedOf, expectedSum, expectedUsage, jobName, jobsIn, shownJobs, tally } from './facts';
import type { Action, JobSnapshot, WorkloadSnapshot } from './protocol';
import { trans } from './texts';

export interface Choice {
  label: string;
  action: Action;
  danger: boolean;
}

export interface Question {
  /** Names what it is about, for screen readers: "Cancel partition 6 (PUBs 10–11)?". */
  name: string;
  text: string;
  yes: Choice;
  /** A wider choice beside it. */
  also: Choice | null;
}

/** A job's key, several, or what else the action needs; null: the whole workload. */
export type Target = string | readonly string[] | null;

type Jobs = readonly JobSnapshot[];

/** Null: the action needs no question. `now` is service time. */
export function question(
  state: WorkloadSnapshot,
  action: Action,
  target: Target,
  now = state.seen_at ?? 0,
): Question | null {
  const jobs = shownJobs(state);
  const { remaining, running } = tally(jobs);
  if (Array.isArray(target)) return aboutSelected(jobs.filter(job => target.includes(job.key)));
  const job = jobs.find(each => each.key === target);
  const name = job === undefined ? '' : jobName(job);
  const ask = (
    named: string,
    text: string,
    label: string,
    danger: boolean,
    also: Question['also'] = null,
  ): Question => ({ name: named, text, yes: { label, action, danger }, also });
  switch (action) {
    case 'resubmit':
      return job === undefined
        ? null
        : ask(
            trans.__('Run %1 again?', name),
            sentences(expectedUsage([job]), afterClose(state)),
            trans.__('Run again %1', spend([job])),
            false,
          );
    case 'resubmit_failed': {
      const failed = failedJobs(jobs);
      const n = failed.length;
      const text = sentences(
        trans._n('Run %2 failed job again?', 'Run %2 failed jobs again?', n, integer(n)),
        expectedUsage(failed),
        afterClose(state),
      );
      return ask(text, text, againLabel(failed), false);
    }
    case 'resubmit_missing': {
      const missing = missingJobs(state);
      const n = missing.length;
      const cap = typeof target === 'string' ? Number(target) : null;
      const text = sentences(
        trans._n('Run %2 missing job again?', 'Run %2 missing jobs again?', n, integer(n)),
        expectedUsage(missing),
        cap === null ? '' : trans.__('The usage cap becomes %1.', usageSeconds(cap)),
        afterClose(state),
      );
      return ask(text, text, missingLabel(missing), false);
    }
    case 'cancel':
      return job === undefined
        ? null
        : ask(
            trans.__('Cancel %1?', name),
            job.state === 'running'
              ? trans.__('What it used until then stays billed.')
              : trans.__('It has not started.'),
            trans.__('Cancel, saves %1', save([job])),
            true,
          );
    case 'drop':
      return job === undefined
        ? null
        : ask(
            trans.__('Drop %1?', name),
            trans.__('It has not been sent. It can be run later.'),
            trans.__('Drop, saves %1', save([job])),
            true,
          );
    case 'cancel_remaining': {
      const text = sentences(
        trans._n(
          'Cancel %2 job that has not started?',
          'Cancel %2 jobs that have not started?',
          remaining,
          integer(remaining),
        ),
        running > 0 ? trans._n('The %1 running goes on.', 'The %1 running go on.', running) : '',
      );
      const all: Choice = { label: cancelLabel(openJobs(jobs)), action: 'cancel_all', danger: true };
      return ask(text, text, cancelLabel(waitingJobs(jobs)), true, running > 0 ? all : null);
    }
    case 'cancel_all': {
      const n = running + remaining;
      const text = sentences(trans._n('Cancel %2 job?', 'Cancel %2 jobs?', n, integer(n)), billedUntil(running));
      return ask(text, text, cancelLabel(openJobs(jobs)), true);
    }
    case 'close':
    case 'end': {
      const open = openJobs(jobs);
      const n = open.length;
      const begun =
        state.mode === 'session'
          ? trans.__('End this session? It takes no further jobs and never reopens.')
          : trans.__('End this batch? It takes no further jobs and never reopens.');
      if (n === 0) {
        const text = sentences(begun, asSentence(idleText(state, now)));
        return ask(text, text, endLabel(state, now), true);
      }
      const left = trans._n('%2 job has not finished.', '%2 jobs have not finished.', n, integer(n));
      const text = sentences(begun, left);
      return {
        name: text,
        text,
        yes: {
          label: trans._n('Let %3 finish %2', 'Let %3 finish %2', n, spend(open), integer(n)),
          action: 'close',
          danger: false,
        },
        also: { label: cancelLabel(open), action: 'end', danger: true },
      };
    }
    case 'refresh':
      return null;
  }
}

function aboutSelected(chosen: Jobs): Question | null {
  const n = chosen.length;
  if (n === 0) return null;
  const running = jobsIn(chosen, 'running').length;
  const text = sentences(
    trans._n('Cancel %2 selected job?', 'Cancel %2 selected jobs?', n, integer(n)),
    running > 0 ? billedUntil(running) : trans.__('None of them has started.'),
  );
  return { name: text, text, yes: { label: cancelLabel(chosen), action: 'cancel', danger: true }, also: null };
}

/** Over several workloads that kernels watch: what "Cancel all" would do. */
export function cancelEverything(states: readonly WorkloadSnapshot[], named: string): Omit<Question, 'also'> {
  const open = states.flatMap(state => openJobs(shownJobs(state)));
  const running = open.filter(job => job.state === 'running').length;
  const text = sentences(
    trans._n('Cancel %3 job of %2?', 'Cancel %3 jobs of %2?', open.length, named, integer(open.length)),
    running === 0 ? trans.__('None of them has started.') : billedUntil(running),
  );
  return { name: text, text, yes: { label: cancelLabel(open), action: 'cancel_all', danger: true } };
}

/** Over several idle sessions: what "End all idle" would do. */
export function endIdle(states: readonly WorkloadSnapshot[], named: string, now: number): Omit<Question, 'also'> {
  const n = states.length;
  const seconds = states.reduce((sum, state) => sum + (idleCost(state, now + state.clock_offset) ?? 0), 0);
  const text = trans._n(
    'End the idle session %2? It takes no further jobs and never reopens.',
    'End %1 idle sessions? They take no further jobs and never reopen: %2.',
    n,
    named,
  );
  const label = trans._n('End session, saves ≈ %2', 'End %1 sessions, saves ≈ %2', n, rounded(seconds));
  return { name: text, text, yes: { label, action: 'close', danger: true } };
}

/** What is known of the jobs of a workload that no kernel watches. */
export interface Left {
  jobs: number;
  /** Seconds they are expected to use; null: not known. */
  expected: number | null;
}

/** Of a workload that no kernel watches, through the account. */
export function aboutListed(
  act: 'end' | 'cancel',
  mode: WorkloadSnapshot['mode'],
  { jobs, expected }: Left,
): Omit<Question, 'also'> {
  const seconds = `≈ ${expected === null ? trans.__('? s') : usageSeconds(expected)}`;
  const found = (text: string, label: string): Omit<Question, 'also'> => ({
    name: text,
    text,
    yes: { label, action: act === 'end' ? 'close' : 'cancel_all', danger: true },
  });
  if (act === 'cancel')
    return mode === 'job'
      ? found(
          trans.__('Cancel this job? What it has used until then stays billed.'),
          trans.__('Cancel, saves %1', seconds),
        )
      : found(
          trans.__('Cancel what is queued and close it? Running jobs go on; what they use stays billed.'),
          jobs === 0 ? trans.__('Cancel, saves %1', seconds) : trans.__('Cancel %1, saves %2', integer(jobs), seconds),
        );
  const still =
    jobs === 0
      ? trans.__('Queued jobs still run, %1.', seconds)
      : trans._n('%3 job queued %2 still runs.', '%3 jobs queued %2 still run.', jobs, seconds, integer(jobs));
  return mode === 'session'
    ? found(
        sentences(trans.__('End this session? It takes no further jobs and never reopens.'), still),
        trans.__('End session'),
      )
    : found(
        sentences(trans.__('End this batch? It takes no further jobs and never reopens.'), still),
        trans.__('End batch'),
      );
}

// --- what buttons say ------------------------------------------------------------------------------------------------

/** "≈ 24 s": what running these jobs is expected to use; "≈ ? s" where nobody knows. */
export function spend(jobs: Jobs): string {
  const sum = expectedSum(jobs);
  return `≈ ${sum === null ? trans.__('? s') : usageSeconds(sum.seconds)}`;
}

/** "≈ 24 s": what these jobs will not use once they are cancelled; at most, where some have begun. */
function save(jobs: Jobs): string {
  let [seconds, known, begun] = [0, false, false];
  for (const job of jobs) {
    const expected = expectedOf(job);
    begun ||= job.state === 'running';
    if (expected === null) continue;
    known = true;
    seconds += Math.max(0, expected - (job.usage.reported ?? 0));
  }
  if (!known) return `≈ ${trans.__('? s')}`;
  return begun ? trans.__('up to ≈ %1', usageSeconds(seconds)) : `≈ ${usageSeconds(seconds)}`;
}

/** "Cancel 8, saves ≈ 24 s". */
export function cancelLabel(jobs: Jobs): string {
  return trans.__('Cancel %1, saves %2', integer(jobs.length), save(jobs));
}

/** "Run partition 5 again ≈ 8 s", "Run 3 failed again ≈ 24 s". */
export function againLabel(failed: Jobs): string {
  const [job] = failed;
  return failed.length === 1 && job !== undefined
    ? trans.__('Run %1 again %2', jobName(job, false), spend(failed))
    : trans.__('Run %1 failed again %2', integer(failed.length), spend(failed));
}

/** "Run 4 missing again ≈ 32 s". */
export function missingLabel(missing: Jobs): string {
  return trans.__('Run %1 missing again %2', integer(missing.length), spend(missing));
}

/** "End session, saves ≈ 21 s" while it is idle. */
export function endLabel(state: WorkloadSnapshot, now: number): string {
  const seconds = idleCost(state, now);
  return seconds === null || seconds <= 0 ? endWord(state) : trans.__('End session, saves ≈ %1', rounded(seconds));
}

/** What a click did, for the line that reports it. */
export function naming(state: WorkloadSnapshot, action: Action, target: string | null): string {
  const job = state.jobs.find(each => each.key === target);
  const name = job === undefined ? trans.__('job') : jobName(job);
  switch (action) {
    case 'resubmit':
      return trans.__('Run %1 again', name);
    case 'resubmit_failed':
      return trans.__('Run failed again');
    case 'resubmit_missing':
      return trans.__('Run missing again');
    case 'cancel':
      return trans.__('Cancel %1', name);
    case 'drop':
      return trans.__('Drop %1', name);
    case 'cancel_remaining':
      return trans.__('Cancel remaining');
    case 'cancel_all':
      return trans.__('Cancel all');
    case 'close':
    case 'end':
      return endWord(state);
    case 'refresh':
      return trans.__('Refresh');
  }
}

// --- parts -----------------------------------------------------------------------------------------------------------

export function failedJobs(jobs: Jobs): Jobs {
  return jobsIn(jobs, 'failed', 'refused');
}

function openJobs(jobs: Jobs): Jobs {
  return jobsIn(jobs, 'queued', 'waiting', 'unknown', 'running');
}

export function waitingJobs(jobs: Jobs): Jobs {
  return jobsIn(jobs, 'queued', 'waiting', 'unknown');
}

function billedUntil(running: number): string {
  return trans._n(
    'What the running one has used until then stays billed.',
    'What the %1 running ones have used until then stays billed.',
    running,
  );
}

function afterClose({ state, mode }: WorkloadSnapshot): string {
  if (state !== 'closed' || mode === 'job') return '';
  return mode === 'session'
    ? trans.__('This session is closed: a new one is opened for it.')
    : trans.__('This batch is closed: a new one is opened for it.');
}

function rounded(seconds: number): string {
  return usageSeconds(Math.round(seconds));
}

/** A phrase as a sentence of its own. */
function asSentence(text: string): string {
  return text === '' ? '' : `${capital(text)}.`;
}

/** Each of them whole; "" where there is nothing to say. */
function sentences(...parts: readonly string[]): string {
  return parts.filter(Boolean).join(' ');
}
