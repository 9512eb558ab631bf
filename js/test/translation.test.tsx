/** Nothing that a reader sees or hears escapes the translator; see language.ts for how that shows. */
import { act } from 'preact/test-utils';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import widget from '../cell/index';
import type { Action } from '../core/protocol';
import { forms } from '../core/saved';
import { speak, trans } from '../core/texts';
import { crawl, crawlClick, NOW, PAGES, sayings } from './crawl';
import { MARKED, unmarked, unmarkedIn } from './language';
import { messages } from './messages';
import { crawlPanel, PANELS, signalled } from './panel';
import { hello, job, snapshot, workload } from './samples';

beforeEach(() => {
  vi.useFakeTimers({ now: NOW * 1000 });
  speak(MARKED);
});
afterEach(() => {
  speak(null);
  vi.useRealTimers();
});

describe('in another language', { timeout: 30_000 }, () => {
  const found = new Map<string, string>(); // what is not translated, and where it was first
  const look = (where: string, element: HTMLElement): void => {
    expect(element.textContent, where).toMatch(/\S/);
    for (const text of unmarkedIn(element)) if (!found.has(text)) found.set(text, where);
  };
  beforeEach(() => void found.clear());

  it.each(Object.keys(PAGES))('the cell is translated: %s', async name => {
    await crawl(name, look);
    expect(Object.fromEntries(found)).toEqual({});
  });

  it.each<[Action, string | null]>([
    ['resubmit', 'ρ0'],
    ['cancel', 'ρ1'],
    ['drop', 'ρ2'],
    ['resubmit_failed', null],
    ['cancel_remaining', null],
    ['cancel_all', null],
    ['close', null],
    ['end', null],
    ['refresh', null],
  ])('what becomes of a click is translated: %s', async (action, target) => {
    await crawlClick(action, target, look);
    expect(Object.fromEntries(found)).toEqual({});
  });

  it('every question, state and countdown is translated', () => {
    const said = sayings();
    expect(said.length).toBeGreaterThan(1000);
    expect(said.filter(([, text]) => unmarked(text) !== '')).toEqual([]);
  });

  it.each(PANELS)('the panel is translated: %s', async name => {
    await crawlPanel(name, look);
    expect(Object.fromEntries(found)).toEqual({});
  });

  it('every notification is translated', async () => {
    const said = await signalled();
    expect(said.length).toBeGreaterThan(10);
    expect(said.filter(([, text]) => unmarked(text) !== '')).toEqual([]);
  });

  it('a document is in English, as the kernel writes it', () => {
    const state = workload({ jobs: [job(0, 'done'), job(1, 'queued')] });
    const kept = forms(state, 'p1', 10);
    expect(kept['text/plain']).toContain('Batch w1 on ibm_fez: active, 1 of 2 done');
    expect(JSON.stringify(kept)).not.toMatch(/[⟦⟧]/);
    expect(trans).toBe(MARKED);
  });
});

describe('a widget', () => {
  const show = async (): Promise<string> => {
    const start = { workload: 'w1', hello: hello(['w1']), snapshot: snapshot(workload({ jobs: [job(0, 'running')] })) };
    const nothing = (): void => undefined;
    const model = { get: () => start, set: nothing, send: nothing, on: nothing, off: nothing };
    const { initialize, render } = widget();
    const end = initialize({ model });
    const el = document.createElement('div');
    let unmount = nothing;
    await act(() => {
      unmount = render({ model, el });
    });
    const text = el.textContent;
    unmount();
    end();
    return text;
  };
  afterEach(() => {
    delete window.qmodeWidgetsBridge;
  });

  it("speaks JupyterLab's language where our extension is, and English elsewhere", async () => {
    window.qmodeWidgetsBridge = { send: () => false, texts: MARKED };
    expect(await show()).toContain('▶ ⟦running⟧');
    window.qmodeWidgetsBridge = { send: () => false }; // an extension of before
    expect(await show()).toContain('▶ Running');
  });
});

describe('messages', () => {
  const { found, unreadable } = messages();

  it('are literal, so that tools find them', () => {
    expect(found.length).toBeGreaterThan(300);
    expect(unreadable).toEqual([]);
  });

  it('have one form each: with a number that decides, or without', () => {
    const forms = new Map<string, Set<string | null>>();
    for (const { one, many } of found) forms.set(one, (forms.get(one) ?? new Set()).add(many));
    expect([...forms].filter(([, each]) => each.size > 1)).toEqual([]);
  });

  it('have no space at their ends, which translators lose', () => {
    expect(found.filter(({ one, many }) => one !== one.trim() || (many ?? '') !== (many ?? '').trim())).toEqual([]);
  });
});
