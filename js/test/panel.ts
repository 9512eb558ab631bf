/** Goes through what JupyterLab's panel can say, as crawl.ts does for the cell. */
import { act } from 'preact/test-utils';
import { vi } from 'vitest';
import type { Desk } from '../lab/desk/desk';
import { Signals } from '../lab/desk/signals';
import { reasonText } from '../lab/desk/triage';
import { draw, questionOf } from '../lab/panel/list';
import { kindOf, type Look, NOW } from './crawl';
import { deskOf, DESKS, ROWS, SEEN } from './desks';

async function show(desk: Desk, use: (box: HTMLElement) => unknown): Promise<void> {
  const box = document.createElement('div');
  document.body.append(box);
  let undraw = (): void => undefined;
  await act(() => {
    vi.advanceTimersByTime(100); // the desk gathers changes
    undraw = draw(box, desk, {
      reveal: () => undefined,
      openQuickstart: () => undefined,
      insertAdopt: () => undefined,
      insertBegin: () => undefined,
    });
  });
  await use(box);
  await act(() => undraw());
  box.remove();
  vi.clearAllTimers();
  vi.setSystemTime(NOW * 1000);
}

/** Shows each desk as it opens, and after a click on one button of each kind. */
export async function crawlPanel(name: string, look: Look): Promise<void> {
  const desk = DESKS[name]!;
  const kinds = new Map<string, number>();
  const of = (button: HTMLElement): string =>
    `${button.closest<HTMLElement>('[data-entry]')?.dataset.group ?? ''} ${kindOf(button)}`;
  await show(desk(), box => {
    look(name, box);
    box.querySelectorAll('button').forEach((button, n) => kinds.has(of(button)) || kinds.set(of(button), n));
  });
  for (const [kind, n] of kinds)
    await show(desk(), async box => {
      await act(async () => {
        box.querySelectorAll('button')[n]!.click();
        await vi.advanceTimersByTimeAsync(100);
      });
      look(`${name} > ${kind}`, box);
    });
}

export const PANELS = Object.keys(DESKS);

/** What is said of workloads outside the panel: notifications, and what a deadline or a failure means. */
export async function signalled(): Promise<[where: string, said: string][]> {
  const found: [string, string][] = [];
  const desk = deskOf(ROWS, SEEN, false);
  vi.advanceTimersByTime(100);
  for (const entry of desk.triage.entries.values()) found.push([entry.key, reasonText(entry, NOW)]);
  for (const { name, text } of new Signals(0).read(desk.triage, NOW)) found.push([name, text]);
  for (const action of ['end-idle', 'cancel-all'] as const) {
    const sweep = desk.sweep(action);
    if (sweep !== null) found.push([action, questionOf(sweep).text], [action, questionOf(sweep).yes.label]);
  }
  vi.clearAllTimers();
  return found;
}
