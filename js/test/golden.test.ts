/** What Python really sends (golden.json is written and checked by tests/unit/frontend/test_protocol.py). */
import { expect, it } from 'vitest';
import { decode, expand, type Snapshot } from '../core/protocol';
import { MIME } from '../core/mime';
import { forms, read } from '../core/saved';
import { Store } from '../core/store';
import version1 from './documents/version-1.json';
import golden from './golden.json';
import { job, workload } from './samples';

it('understands every message of the kernel', () => {
  for (const message of Object.values(golden)) expect(decode(message)).toBe(message);
});

it("arrives at the kernel's state by snapshot and patch", () => {
  const store = new Store(() => true);
  store.receive(golden.hello);
  store.receive(golden.snapshot);
  store.receive(golden.patch);
  expect(store.workloads.get('d2f0')!.state).toEqual(expand(golden.after as unknown as Snapshot));
});

it('keeps in documents what the kernel keeps, and reads it again', () => {
  for (const [whole, kept] of [
    [golden.after, golden.saved],
    [golden.many, golden.folded],
  ] as const) {
    const state = expand(whole as unknown as Snapshot);
    const { html, ...theirs } = kept;
    const ours = forms(state, 'p1', 10);
    expect(ours['text/html']).toBe(html);
    const [read1, read2] = [read(ours[MIME]), read(theirs)];
    expect(read1?.state).toEqual(read2?.state);
    expect(read1?.saved.folded).toEqual(theirs.folded);
    expect(read1?.saved).toMatchObject({ workload: 'd2f0', process: 'p1', now: 10 });
  }
  expect(golden.folded.jobs).toHaveLength(60);
  expect(golden.folded.folded.map(({ state, count }) => [state, count])).toEqual([['done', 20]]);
});

it('keeps a document small, however many jobs failed and however much is said of each', () => {
  const why = {
    reason: 'A transient error occurred on the QPU while the job was executed, and its result could not be retrieved.',
    reason_code: 9707,
    reason_solution: 'Submit the job again; if it persists contact IBM support with the job id.',
  };
  const jobs = Array.from({ length: 1000 }, (_, n) => job(n, 'failed', { ...why, job_id: `d2f1c3kq${n}08o9b123` }));
  const kept = forms(workload({ jobs }), 'p1', 10);
  expect(
    new TextEncoder().encode(
      Object.values(kept)
        .map(form => JSON.stringify(form))
        .join(''),
    ).length,
  ).toBeLessThan(50_000);
});

it('reads a document of the first version as it was written, and none of a later one', () => {
  const found = read(version1)!;
  expect(found.state.jobs).toHaveLength(60);
  expect(found.saved.folded).toEqual([{ state: 'done', count: 20, usage: expect.any(Number) as number }]);
  expect(found.state.jobs[0]).toMatchObject({ key: 'r:0.0', state: 'failed', number: 1, of: 80, superseded: false });
  expect(read({ ...version1, version: 2 })).toBeNull();
});
