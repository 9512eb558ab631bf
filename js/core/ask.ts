/** What a click is about to do, as a question: what costs usage says how much first, what destroys asks once. */
import { integer, usageSeconds } from './clock';
import { endWord, expectedSum, expectedUsage, jobName, shownJobs, tally } from './facts';
import type { Action, WorkloadSnapshot } from './protocol';
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

/** Null: the action needs no question. */
export function question(state: WorkloadSnapshot, action: Action, target: string | null): Question | null {
  const jobs = shownJobs(state);
  const { remaining, running } = tally(jobs);
  const job = jobs.find(each => each.key === target);
  const name = job === undefined ? '' : jobName(job);
  const ask = (
    named: string,
    text: string,
    label: string,
    danger: boolean,
    also: Question['also'] = null,
  ): Question => ({
    name: named,
    text,
    yes: { label, action, danger },
    also,
  });
  switch (action) {
    case 'resubmit':
      return job === undefined
        ? null
        : ask(
            trans.__('Run %1 again?', name),
            sentences(expectedUsage([job]), afterClose(state)),
            trans.__('Run again'),
            false,
          );
    case 'resubmit_failed': {
      const failed = jobs.filter(each => each.state === 'failed' || each.state === 'refused');
      const n = failed.length;
      const text = sentences(
        trans._n('Run %2 failed job again?', 'Run %2 failed jobs again?', n, integer(n)),
        expectedUsage(failed),
        afterClose(state),
      );
      return ask(text, text, trans.__('Run %1 again', n), false);
    }
    case 'cancel':
      return job === undefined
        ? null
        : ask(
            trans.__('Cancel %1?', name),
            job.state === 'running'
              ? trans.__('What it used until then stays billed.')
              : trans.__('It has not started.'),
            trans.__('Cancel job'),
            true,
          );
    case 'drop':
      return job === undefined
        ? null
        : ask(
            trans.__('Drop %1?', name),
            trans.__('It has not been sent: its results will be missing.'),
            trans.__('Drop'),
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
      const label = trans.__('Cancel all %1', remaining + running);
      const all: Choice = { label, action: 'cancel_all', danger: true };
      return ask(text, text, trans.__('Cancel %1', remaining), true, running > 0 ? all : null);
    }
    case 'cancel_all': {
      const n = running + remaining;
      const text = sentences(
        trans._n('Cancel %2 job?', 'Cancel %2 jobs?', n, integer(n)),
        trans.__('What the running ones used until then stays billed.'),
      );
      return ask(text, text, trans.__('Cancel %1', n), true);
    }
    case 'close':
    case 'end': {
      const open = remaining + running;
      const begun =
        state.mode === 'session'
          ? trans.__('End this session? It takes no further jobs and never reopens.')
          : trans.__('End this batch? It takes no further jobs and never reopens.');
      if (open === 0) return ask(begun, begun, endWord(state), true);
      const left = trans._n('%2 job has not finished.', '%2 jobs have not finished.', open, integer(open));
      const text = sentences(begun, left);
      return {
        name: text,
        text,
        yes: { label: trans._n('Let it finish', 'Let them finish', open), action: 'close', danger: false },
        also: {
          label: open === 1 ? trans.__('Cancel it') : trans.__('Cancel all %1', open),
          action: 'end',
          danger: true,
        },
      };
    }
    case 'refresh':
      return null;
  }
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

/** " ≈ 8 s", for a button that costs usage. */
export function cost(jobs: Parameters<typeof expectedSum>[0]): string {
  const sum = expectedSum(jobs);
  return sum === null ? '' : ` ≈ ${usageSeconds(sum.seconds)}`;
}

function afterClose({ state, mode }: WorkloadSnapshot): string {
  if (state !== 'closed' || mode === 'job') return '';
  return mode === 'session'
    ? trans.__('This session is closed: a new one is opened for it.')
    : trans.__('This batch is closed: a new one is opened for it.');
}

/** Each of them whole; "" where there is nothing to say. */
function sentences(...parts: readonly string[]): string {
  return parts.filter(Boolean).join(' ');
}
