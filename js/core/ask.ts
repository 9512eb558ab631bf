/** What a click is about to do, as a question: what costs usage says how much first, what destroys asks once. */
import { usageSeconds } from './clock';
import { expectedSum, expectedUsage, many, jobName, shownJobs, tally } from './facts';
import type { Action, WorkloadSnapshot } from './protocol';

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
  const stays = 'What it used until then stays billed.';
  switch (action) {
    case 'resubmit':
      return job === undefined
        ? null
        : ask(`Run ${name} again?`, `${expectedUsage([job])}${afterClose(state)}`, 'Run again', false);
    case 'resubmit_failed': {
      const failed = jobs.filter(each => each.state === 'failed' || each.state === 'refused');
      const text = `Run ${many(failed.length, 'failed job')} again? ${expectedUsage(failed)}${afterClose(state)}`;
      return ask(text, text, `Run ${failed.length} again`, false);
    }
    case 'cancel':
      return job === undefined
        ? null
        : ask(`Cancel ${name}?`, job.state === 'running' ? stays : 'It has not started.', 'Cancel job', true);
    case 'drop':
      return job === undefined
        ? null
        : ask(`Drop ${name}?`, 'It has not been sent: its results will be missing.', 'Drop', true);
    case 'cancel_remaining': {
      const text = `Cancel ${many(remaining, 'job')} that ${remaining === 1 ? 'has' : 'have'} not started?${
        running > 0 ? ` The ${running} running ${running === 1 ? 'goes' : 'go'} on.` : ''
      }`;
      const all: Choice = { label: `Cancel all ${remaining + running}`, action: 'cancel_all', danger: true };
      return ask(text, text, `Cancel ${remaining}`, true, running > 0 ? all : null);
    }
    case 'cancel_all': {
      const text = `Cancel ${many(running + remaining, 'job')}? What the running ones used until then stays billed.`;
      return ask(text, text, `Cancel ${running + remaining}`, true);
    }
    case 'close':
    case 'end': {
      const open = remaining + running;
      const begun = `End this ${state.mode}? It takes no further jobs and never reopens.`;
      const text = open === 0 ? begun : `${begun} ${many(open, 'job')} ${open === 1 ? 'has' : 'have'} not finished.`;
      return open === 0
        ? ask(text, text, `End ${state.mode}`, true)
        : {
            name: text,
            text,
            yes: { label: open === 1 ? 'Let it finish' : 'Let them finish', action: 'close', danger: false },
            also: { label: open === 1 ? 'Cancel it' : `Cancel all ${open}`, action: 'end', danger: true },
          };
    }
    case 'refresh':
      return null;
  }
}

/** What a click did, for the line that reports it. */
export function naming(state: WorkloadSnapshot, action: Action, target: string | null): string {
  const job = state.jobs.find(each => each.key === target);
  const name = job === undefined ? 'job' : jobName(job);
  switch (action) {
    case 'resubmit':
      return `Run ${name} again`;
    case 'resubmit_failed':
      return 'Run failed again';
    case 'cancel':
      return `Cancel ${name}`;
    case 'drop':
      return `Drop ${name}`;
    case 'cancel_remaining':
      return 'Cancel remaining';
    case 'cancel_all':
      return 'Cancel all';
    case 'close':
    case 'end':
      return `End ${state.mode}`;
    case 'refresh':
      return 'Refresh';
  }
}

/** " ≈ 8 s", for a button that costs usage. */
export function cost(jobs: Parameters<typeof expectedSum>[0]): string {
  const sum = expectedSum(jobs);
  return sum === null ? '' : ` ≈ ${usageSeconds(sum.seconds)}`;
}

function afterClose(state: WorkloadSnapshot): string {
  return state.state === 'closed' && state.mode !== 'job'
    ? ` This ${state.mode} is closed: a new one is opened for it.`
    : '';
}
