/** The account: what the panel asks of kernels while it is in sight, and what it makes of the answers. */
import type { Session } from '@jupyterlab/services';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Account, type Listed } from '../lab/kernels/account';
import type { Kernels } from '../lab/kernels/kernels';

type Asked = { kind: string; id: string; act?: string; workload?: string };

const STRAY: Listed = {
  id: 'batch-1',
  mode: 'batch',
  backend: 'ibm_x',
  instance: 'payg',
  status: 'active',
  created: 1,
  usage: null,
  label: null,
};

/** Two kernels, of which one has our package. */
function played() {
  const asked: Asked[] = [];
  let hear: (follow: { id: string }, message: unknown) => void = () => undefined;
  let gone: () => void = () => undefined;
  const follow = (id: string, found: boolean) => ({
    id,
    channel: { found, store: { workloads: new Map() }, account: (request: Asked) => asked.push(request) > 0 },
  });
  const kernels = {
    all: [follow('k1', true), follow('k2', false)],
    find: (id: string) => kernels.all.find(one => one.id === id),
    subscribe: (listener: () => void) => ((gone = listener), () => undefined),
    hear: (listener: typeof hear) => ((hear = listener), () => undefined),
  };
  const account = new Account(kernels as unknown as Kernels, {} as Session.IManager);
  const say = (message: object): void => hear({ id: 'k1' }, message);
  return { account, asked, say, kernels, end: () => ((kernels.all = []), gone()) };
}

const second = (n: number) => vi.advanceTimersByTimeAsync(n * 1000);
const kinds = (asked: Asked[]): string[] => asked.map(({ kind }) => kind);

describe('workloads that opened while a kernel ran and that no controller has', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('are asked for every minute while the panel is in sight, without a look at the account', async () => {
    const { account, asked } = played();
    account.watch(true);
    await second(1);
    expect(kinds(asked)).toEqual(['strays']); // of the kernel that has the package
    await second(60);
    expect(kinds(asked)).toEqual(['strays', 'strays']);
    account.watch(false);
    await second(600);
    expect(asked).toHaveLength(2);
  });

  it('are not asked for where the account is read only when asked', async () => {
    const { account, asked } = played();
    account.setPace(0);
    account.watch(true);
    await second(600);
    expect(asked).toEqual([]);
  });

  it('are listed, and watched through the kernel that told', async () => {
    const { account, asked, say } = played();
    let changes = 0;
    account.subscribe(() => changes++);
    account.watch(true);
    await second(1);
    say({ kind: 'account-strays', id: asked[0]!.id, workloads: [STRAY] });
    expect(account.listed.map(({ id }) => id)).toEqual(['batch-1']);
    expect(changes).toBe(1);
    expect([account.status, account.at]).toEqual(['off', null]); // nobody looked at the account
    void account.act('watch', 'batch-1');
    expect(asked.at(-1)).toMatchObject({ kind: 'act', act: 'watch', workload: 'batch-1' });
    say({ kind: 'account-strays', id: 'later', workloads: [] });
    expect(account.listed).toEqual([]);
  });

  it('are part of the account where that is read, and go with their kernel', async () => {
    const { account, asked, say, end } = played();
    account.watch(true);
    await second(1);
    say({ kind: 'account-strays', id: asked[0]!.id, workloads: [STRAY] });
    say({ kind: 'account', id: 'look', instances: [], workloads: [], unseen: [] });
    expect(account.listed).toEqual([]);
    say({ kind: 'account-strays', id: 'late', workloads: [STRAY] });
    expect(account.listed).toEqual([]);
    end();
    expect(account.status).toBe('off');
    say({ kind: 'account-strays', id: 'again', workloads: [STRAY] });
    expect(account.listed).toHaveLength(1);
    end();
    expect(account.listed).toEqual([]);
  });

  it('are no problem of the account where a kernel cannot tell', async () => {
    const { account, asked, say } = played();
    account.watch(true);
    await second(1);
    say({ kind: 'account-answer', id: asked[0]!.id, status: 'failed', message: 'unknown request' });
    expect(account.problem).toBeNull();
  });
});
