/**
 * What a document keeps of a workload: the mirror of qmode_widgets/frontend/saved.py. At most 60 rows; of the others a
 * count and a sum.
 */
import { jobFace, progress, tally, URGENCY } from './facts';
import { MIME } from './mime';
import { expand, type Folded, type JobSnapshot, type Saved, whole, type WorkloadSnapshot } from './protocol';
import { inEnglish } from './texts';

const VERSION = 1; // of what a document holds; those without one are older still
const KEPT = 60;
const EVENTS = 10;
const LONGEST = 200; // of a reason, in text and HTML

interface Fold {
  kept: WorkloadSnapshot;
  folded: Folded[];
}

function fold(state: WorkloadSnapshot): Fold {
  const events = state.events.slice(-EVENTS);
  if (state.jobs.length <= KEPT) return { kept: { ...state, events }, folded: [] };
  const shown = state.jobs.filter(job => !job.superseded);
  const place = (job: JobSnapshot): number => URGENCY.indexOf(job.state);
  const first = new Set([...shown].sort((a, b) => place(a) - place(b)).slice(0, KEPT));
  const folded = URGENCY.flatMap(word => {
    const rest = shown.filter(job => job.state === word && !first.has(job));
    const used = rest.map(job => job.usage.reported).filter(seconds => seconds !== null);
    const usage = used.length === 0 ? null : round(used.reduce((a, b) => a + b, 0));
    return rest.length === 0 ? [] : [{ state: word, count: rest.length, usage }];
  });
  return { kept: { ...state, events, jobs: state.jobs.filter(job => first.has(job)) }, folded };
}

/** What is kept of a workload, for our own views. */
export function keep(state: WorkloadSnapshot, process: string, asOf: number): Saved {
  return written(state, fold(state), process, asOf);
}

function written(state: WorkloadSnapshot, { kept, folded }: Fold, process: string, asOf: number): Saved {
  const now = state.seen_at ?? round(asOf);
  const about = { kind: 'snapshot', version: VERSION, workload: state.id, epoch: 0, seq: 0, now } as const;
  return { ...about, ...whole(kept), folded, process };
}

/** Everything that an output holds of the workload, by MIME type. */
export function forms(state: WorkloadSnapshot, process: string, asOf: number): Record<string, unknown> {
  const { kept, folded } = fold(state);
  const saved = written(state, { kept, folded }, process, asOf);
  // In English, as the kernel writes it: a document is read by others than the one whose JupyterLab renews it.
  return inEnglish(() => ({ [MIME]: saved, 'text/html': asHtml(kept, folded), 'text/plain': asText(kept, folded) }));
}

/** A saved snapshot as it stands in a document; null where that is none of ours, or of a later version. */
export function read(raw: unknown): { saved: Saved; state: WorkloadSnapshot } | null {
  const saved = raw as Partial<Saved> | null;
  if (
    typeof saved !== 'object' ||
    saved === null ||
    typeof saved.workload !== 'string' ||
    typeof saved.state !== 'object' ||
    !Array.isArray(saved.jobs) ||
    !((saved.version ?? 0) <= VERSION)
  )
    return null;
  const common = saved.common ?? {};
  const found = { epoch: 0, ...saved, common, folded: saved.folded ?? [], process: saved.process ?? '' } as Saved;
  return { saved: found, state: expand(found) };
}

function asHtml(kept: WorkloadSnapshot, folded: readonly Folded[]): string {
  const line = (cells: readonly string[], tag: string): string =>
    `<tr>${cells.map(cell => `<${tag} style="text-align:left">${escaped(cell)}</${tag}>`).join('')}</tr>`;
  const shown = kept.jobs.filter(job => !job.superseded);
  const body = shown.map((job, i) => line(cells(job, i + 1), 'td')).join('');
  const more = folded.length === 0 ? '' : `<p>and ${escaped(lines(folded).join(', '))}</p>`;
  const caption = `<caption style="text-align:left">${escaped(title(kept, folded))}</caption>`;
  const head = shown.length === 0 ? '' : `<thead>${line(['#', 'PUBs', 'State', 'Job', 'Usage', ''], 'th')}</thead>`;
  return `<table>${caption}${head}<tbody>${body}</tbody></table>${more}`;
}

function asText(kept: WorkloadSnapshot, folded: readonly Folded[]): string {
  const shown = kept.jobs.filter(job => !job.superseded);
  const rows = shown.map((job, i) =>
    cells(job, i + 1)
      .join('  ')
      .trimEnd(),
  );
  return [title(kept, folded), ...rows, ...lines(folded).map(line => `and ${line}`)].join('\n');
}

function title(state: WorkloadSnapshot, folded: readonly Folded[]): string {
  const sum = tally(
    state.jobs.filter(job => !job.superseded),
    folded,
  );
  const seen =
    state.seen_at === null
      ? 'not seen yet'
      : `as of ${new Date(Math.floor(state.seen_at - state.clock_offset) * 1000).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
  const words = progress(sum).replaceAll(',', '').replace('No', 'no');
  const done = `${words}${sum.failed > 0 ? `, ${sum.failed} failed` : ''}`;
  const mode = state.mode.charAt(0).toUpperCase() + state.mode.slice(1);
  return `${mode} ${state.workload_id ?? state.id} on ${state.backend}: ${stateWord(state)}, ${done}, usage ${usageText(state)} (${seen})`;
}

/** Closed by its user, while the service has not said that it is closed: closing. */
function stateWord({ state, accepting_jobs }: WorkloadSnapshot): string {
  return (state === 'open' || state === 'active') && accepting_jobs === false ? 'closing' : state;
}

function cells(job: JobSnapshot, number: number): string[] {
  const { shape, word } = jobFace(job.state);
  const said = [job.reason_code, job.reason].filter(part => part !== null).join(' ');
  const place = String(job.number || number);
  return [
    place,
    `${job.label === null ? '' : `${job.label}: `}${job.pubs ?? '–'}`,
    `${shape} ${word}${job.attempt > 0 ? ` (attempt ${job.attempt + 1})` : ''}`,
    job.job_id ?? '–',
    usageText(job),
    (said || (job.note ?? '')).slice(0, LONGEST),
  ];
}

function lines(folded: readonly Folded[]): string[] {
  return folded.map(
    ({ state, count, usage }) =>
      `${count} ${jobFace(state).word.toLowerCase()}${usage ? ` (${usage.toFixed(1)} s)` : ''}`,
  );
}

function usageText({ usage }: Pick<JobSnapshot, 'usage'>): string {
  if (usage.reported !== null) return `${usage.reported.toFixed(1)} s`;
  return usage.estimated === null ? '–' : `≈ ${usage.estimated.toFixed(1)} s`;
}

function escaped(text: string): string {
  const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#x27;' };
  return text.replaceAll(/[&<>"']/g, found => names[found] ?? found);
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
