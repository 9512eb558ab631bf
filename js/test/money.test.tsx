/** Over all states of the samples: what spends or saves says how much, or that nobody knows. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { crawl, NOW, PAGES } from './crawl';
import { crawlPanel, PANELS } from './panel';

vi.setConfig({ testTimeout: 30_000 }); // many states in each
beforeEach(() => void vi.useFakeTimers({ now: NOW * 1000 }));
afterEach(() => void vi.useRealTimers());

const SPENDS = '[data-action=resubmit], [data-action=resubmit_failed], [data-action=resubmit_missing]';
const ANSWERS = '[data-confirm=yes], [data-confirm=also]';
const AMOUNT = /≈ (\?|[\d,.]+) (s|min|h)/;
// What takes no further jobs and has none left costs and saves nothing.
const FREE = /^End (batch|session)$/;

let seen = 0;
const look = (where: string, element: HTMLElement): void => {
  for (const button of element.querySelectorAll<HTMLElement>(`${SPENDS}, ${ANSWERS}`)) {
    const text = button.textContent ?? '';
    const asked = button.closest('.qm-ask, .qm-confirm')?.textContent ?? text;
    if (FREE.test(text) && !/still run|not finished/.test(asked)) continue;
    expect(asked, `${where}: ${text}`).toMatch(AMOUNT);
    seen++;
  }
};

it.each(Object.keys(PAGES))('in the cell: %s', async name => crawl(name, look));
it.each(PANELS)('in the panel: %s', async name => crawlPanel(name, look));
it('has looked at something', () => expect(seen).toBeGreaterThan(100));
