/** What a click is about to do, as a question: what costs usage says how much first, what destroys asks once. */
import { expectedUsage, jobName, runsOf, shownJobs, tally } from './facts';
import type { Action, WorkloadSnapshot } from './protocol';

export interface Question {
  text: string;
  yes: { label: string; action: Action; danger: boolean };
  /** A wider choice beside it. */
  also: { label: string; action: Action } | null;
}

export function question(state: WorkloadSnapshot, action: Action, target: string | null): Question | null {
  const jobs = shownJobs(state);
  const runs = runsOf(jobs);
  const { remaining, running } = tally(jobs);
  const job = jobs.find(each => each.key === target);
  const ask = (text: string, label: string, danger: boolean, also: Question['also'] = null): Question => ({
    text,
    yes: { label, action, danger },
    also,
  });
  switch (action) {
    case 'resubmit':
      return job === undefined
        ? null
        : ask(`Resubmit ${jobName(job, runs)}? ${expectedUsage([job])}${afterClose(state)}`, 'Resubmit', false);
    case 'resubmit_failed': {
      const failed = jobs.filter(each => each.state === 'failed' || each.state === 'refused');
      return ask(
        `Resubmit ${many(failed.length, 'failed job')}? ${expectedUsage(failed)}${afterClose(state)}`,
        `Resubmit ${failed.length}`,
        false,
      );
    }
    case 'cancel':
      return job === undefined
        ? null
        : ask(
            `Cancel ${jobName(job, runs)}? ${
              job.state === 'running' ? 'What it has used until then stays billed.' : 'It has not started.'
            }`,
            'Cancel job',
            true,
          );
    case 'drop':
      return job === undefined
        ? null
        : ask(`Drop ${jobName(job, runs)}? It has not been sent; its results will be missing.`, 'Drop', true);
    case 'cancel_remaining':
      return ask(
        `Cancel ${many(remaining, 'job')} that ${remaining === 1 ? 'has' : 'have'} not started?${
          running > 0 ? ` The ${running} running ${running === 1 ? 'goes' : 'go'} on.` : ''
        }`,
        `Cancel ${remaining}`,
        true,
        running > 0 ? { label: `Cancel all ${remaining + running}`, action: 'cancel_all' } : null,
      );
    case 'cancel_all':
      return ask(
        `Cancel ${many(running + remaining, 'job')}? What the running ones have used until then stays billed.`,
        `Cancel ${running + remaining}`,
        true,
      );
    case 'close':
      return ask(
        `Close this ${state.mode}? It takes no further jobs and never reopens${
          remaining > 0 ? '; queued jobs still run' : ''
        }.`,
        `Close ${state.mode}`,
        true,
      );
    case 'refresh':
      return null;
  }
}

/** What a click did, for the line that reports it. */
export function naming(state: WorkloadSnapshot, action: Action, target: string | null): string {
  const jobs = shownJobs(state);
  const job = state.jobs.find(each => each.key === target);
  const name = job === undefined ? 'job' : jobName(job, runsOf(jobs));
  switch (action) {
    case 'resubmit':
      return `Resubmit ${name}`;
    case 'resubmit_failed':
      return 'Resubmit failed';
    case 'cancel':
      return `Cancel ${name}`;
    case 'drop':
      return `Drop ${name}`;
    case 'cancel_remaining':
      return 'Cancel remaining';
    case 'cancel_all':
      return 'Cancel all';
    case 'close':
      return 'Close';
    case 'refresh':
      return 'Refresh';
  }
}

function afterClose(state: WorkloadSnapshot): string {
  return state.state === 'closed' ? ` This ${state.mode} is closed: a new one is opened for it.` : '';
}

function many(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}
