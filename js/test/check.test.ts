/** The check of this installation, as the panel asks a kernel for it. */
import type { Session } from '@jupyterlab/services';
import { act } from 'preact/test-utils';
import { afterEach, expect, it, vi } from 'vitest';
import { Desk } from '../lab/desk/desk';
import { Memory } from '../lab/desk/memory';
import { DEFAULTS } from '../lab/desk/settings';
import { Account } from '../lab/kernels/account';
import type { Kernels } from '../lab/kernels/kernels';
import { draw } from '../lab/panel/list';

const ROWS = [
  { section: 'Network', name: 'proxy', state: 'ok', found: 'none' },
  {
    section: 'Account',
    name: '<img src=x onerror=alert(1)>',
    state: 'failed',
    found: '<b>no account</b>',
    remedy: 'Save one.',
    consequence: 'Nothing works.',
  },
];

interface Asked {
  kind: string;
  id: string;
}

/** Kernels that have the package, or none, and what is asked of them. */
function playground(found: boolean) {
  const asked: Asked[] = [];
  const listeners: ((follow: unknown, message: unknown) => void)[] = [];
  const hear = (message: unknown): void => listeners.forEach(listener => listener(follow, message));
  const channel = {
    found,
    busy: false,
    answered: true,
    store: { workloads: new Map(), problem: null, hello: null },
    account: (request: Asked) => {
      asked.push(request);
      if (request.kind === 'about')
        queueMicrotask(() => hear({ kind: 'account-about', id: request.id, instances: [] }));
      return true;
    },
  };
  const place = { kernel: 'k1', path: 'a.ipynb', name: 'a.ipynb', type: 'notebook' };
  const follow = { id: 'k1', place, channel };
  const kernels = {
    all: found ? [follow] : [],
    ready: true,
    subscribe: () => () => undefined,
    hear: (listener: (follow: unknown, message: unknown) => void) => {
      listeners.push(listener);
      return () => undefined;
    },
    find: (id: string) => (id === 'k1' ? follow : undefined),
  };
  const own = { kernel: { id: 'k1' }, isDisposed: false, dispose: vi.fn(), shutdown: vi.fn(() => Promise.resolve()) };
  const code: string[] = [];
  const reply = { content: { status: 'ok' } };
  const startNew = vi.fn(() =>
    Promise.resolve({
      ...own,
      kernel: {
        id: 'k1',
        requestExecute: (request: { code: string }) => {
          code.push(request.code);
          channel.found = true;
          return { done: Promise.resolve(reply) };
        },
      },
    }),
  );
  const account = new Account(kernels as unknown as Kernels, { startNew } as unknown as Session.IManager);
  const desk = new Desk(kernels as unknown as Kernels, new Memory(null, '', undefined, null), account, DEFAULTS);
  return { account, desk, asked, code, own, reply, say: hear };
}

const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};
const request = (asked: Asked[]): Asked => asked.find(({ kind }) => kind === 'check')!;
const answer = (id: string): unknown => ({ kind: 'account-check', id, ok: false, rows: ROWS, text: 'The page.' });

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

it('asks a kernel that has the package, and starts none', async () => {
  const { account, asked, code, say } = playground(true);
  const done = account.runCheck();
  expect(account.check?.status).toBe('running');
  await vi.waitFor(() => expect(request(asked)).toBeDefined());
  say(answer(request(asked).id));
  await done;
  expect(account.check).toMatchObject({ status: 'done', text: 'The page.', rows: ROWS });
  expect(code).toEqual([]);
});

it('starts a kernel where none has the package, without any account, and ends it again', async () => {
  const { account, asked, code, own, say } = playground(false);
  const done = account.runCheck();
  await vi.waitFor(() => expect(request(asked)).toBeDefined());
  expect(code).toEqual(['import qmode_widgets']);
  say(answer(request(asked).id));
  await done;
  expect(account.check?.status).toBe('done');
  expect(own.shutdown).toHaveBeenCalledOnce();
  expect([account.hasOwn, account.status, account.problem]).toEqual([false, 'off', null]);
});

it('says why nothing could be checked', async () => {
  const { account, reply } = playground(false);
  Object.assign(reply, { content: { status: 'error', ename: 'ModuleNotFoundError', evalue: "No module named 'q'" } });
  await account.runCheck();
  expect(account.check).toMatchObject({ status: 'failed' });
  expect(account.check?.message).toContain('install it into the kernel’s environment');
});

it('hears a kernel that refuses, or is too old to know what is asked', async () => {
  const { account, asked, say } = playground(true);
  const done = account.runCheck();
  await vi.waitFor(() => expect(request(asked)).toBeDefined());
  say({ kind: 'account-answer', id: request(asked).id, status: 'failed', message: "unknown request 'check'" });
  await done;
  expect(account.check).toMatchObject({ status: 'failed', message: "unknown request 'check'" });
  expect(account.problem).toBeNull(); // the account itself has none
});

it('shows each row as text, the failing ones with what to do, and copies the page', async () => {
  const { account, desk, asked, say } = playground(true);
  const written = vi.fn(() => Promise.resolve());
  vi.spyOn(navigator, 'clipboard', 'get').mockReturnValue({ writeText: written } as unknown as Clipboard);
  const box = document.body.appendChild(document.createElement('div'));
  const nothing = (): void => undefined;
  let undraw = nothing;
  await act(async () => {
    undraw = draw(box, desk, { reveal: nothing, openQuickstart: nothing, insertAdopt: nothing, insertBegin: nothing });
    box.querySelector<HTMLElement>('[data-empty=check]')?.click();
    await settle();
  });
  await vi.waitFor(() => expect(request(asked)).toBeDefined());
  await act(async () => {
    say(answer(request(asked).id));
    await settle();
    await new Promise(resolve => setTimeout(resolve, 80)); // the desk gathers changes
  });
  const check = box.querySelector('.qm-check')!;
  expect(check.querySelector('[role=status]')!.textContent).toBe('1 thing fails.');
  expect(check.querySelector('img, li b b')).toBeNull();
  const failed = check.querySelector('li[data-state=failed]')!;
  expect(failed.className).toContain('qm-tone-fail');
  expect(failed.textContent).toContain('<b>no account</b>→ Save one.Until then: Nothing works.');
  expect(check.querySelector('pre')!.textContent).toBe('The page.');
  await act(() => [...check.querySelectorAll('button')].find(each => each.textContent?.startsWith('copy'))?.click());
  expect(written).toHaveBeenCalledWith('The page.');
  await act(async () => {
    check.querySelector<HTMLElement>('[aria-label="Put the check away"]')!.click();
    await new Promise(resolve => setTimeout(resolve, 80));
  });
  expect([account.check, box.querySelector('.qm-check')]).toEqual([null, null]);
  undraw();
});
