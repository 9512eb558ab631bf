/**
 * The account as a kernel sees it: the mirror of qmode_widgets/frontend/account.py. Requests travel to a kernel that has
 * a service, or to one of the panel's own; what came of them is heard on the kernel's beacon. The token never leaves
 * that kernel.
 */
import { ServerConnection, type Session } from '@jupyterlab/services';
import { Poll } from '@lumino/polling';
import { type Mode, newId } from '../../core/protocol';
import type { Follow, Kernels } from './kernels';
import { trans } from '../../core/texts';

/** One instance of the account. Seconds of QPU usage; null: the service does not tell. */
export interface Instance {
  name: string;
  plan: string | null;
  used: number | null;
  /** What stops work when it is used up. */
  limit: number | null;
  /** A share, not a cap: above it work runs at lower priority. */
  allocation: number | null;
  left: number | null;
  reached: boolean;
  /** When seconds come back next, and how many; null where nothing is known of it. */
  returns: { at: number; seconds: number } | null;
}

/** A workload as the account lists it. */
export interface Listed {
  id: string;
  mode: Mode;
  backend: string;
  instance: string;
  status: string;
  created: number | null;
  usage: number | null;
  label: string | null;
  /** Jobs that are queued or run, and the seconds they are expected to use; left out by a kernel that does not tell. */
  jobs?: number | null;
  expected?: number | null;
}

/** With the moment at which it was read, on this machine's clock. */
export type ReadListed = Listed & { at: number };

export type Act = 'watch' | 'end' | 'cancel';

/** A click on a workload that no kernel watches. */
export interface Acting {
  id: string;
  act: Act;
  status: 'sent' | 'done' | 'failed';
  message: string;
}

/** One thing that a check looked at. */
export interface CheckRow {
  section: string;
  name: string;
  state: 'ok' | 'warning' | 'failed' | 'not checked';
  found: string;
  /** What to do about it. */
  remedy?: string;
  /** What does not work until then. */
  consequence?: string;
}

/** What `qmode.check()` found in a kernel: for each row, and as the page that can be pasted into an issue. */
export interface Check {
  status: 'running' | 'done' | 'failed';
  rows: readonly CheckRow[];
  text: string;
  /** Why nothing could be checked. */
  message: string;
}

export type Source = 'saved' | 'embedded';

export interface Look {
  instances: Instance[];
  workloads: Listed[];
  unseen: string[];
  at: number;
}

const PATH = 'quantum-account';
const LAST = 'last visit'; // in the place of a kernel's id
const LOST_MS = 60_000;
const CHECK_MS = 180_000; // a service that hangs is waited for twice
const ABOUT_MS = 10_000; // a kernel may have to ask IBM which instances there are
const GRACE_MS = 60_000; // a panel put out of sight for a moment keeps its kernel

const BARE = 'import qmode_widgets'; // enough to be asked
const CODE: Record<Source, string> = {
  saved: 'import qmode_widgets.frontend.account as account\naccount.connect()',
  embedded:
    'import qmode_widgets as qmode\nimport qmode_widgets.frontend.account as account\n' +
    'account.connect(qmode.emulator.start().connect())',
};

export class Account {
  status: 'off' | 'starting' | 'asking' | 'on' = 'off';
  /** Why the account cannot be shown. */
  problem: string | null = null;
  readonly acting = new Map<string, Acting>();
  private readonly looks = new Map<string, Look>(); // by kernel
  private readonly strays = new Map<string, Pick<Look, 'workloads' | 'at'>>(); // likewise
  private readonly listeners = new Set<() => void>();
  private readonly asked = new Map<string, ReturnType<typeof setTimeout>>();
  private readonly abouts = new Map<string, (instances: string[]) => void>();
  private readonly checks = new Map<string, (check: Check) => void>();
  /** The last check of this installation, until it is put away. */
  check: Check | null = null;
  /** What an own kernel connects to. */
  source: Source | null = null;
  private own: Session.ISessionConnection | null = null;
  private poll: Poll | null = null;
  private visible = false;
  private pace = 60;
  private grace: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly kernels: Kernels,
    private readonly sessions: Session.IManager,
    /** The kernel to start: one that has the package, as far as anybody knows. */
    private readonly preferred: () => string | undefined = () => undefined,
  ) {
    kernels.hear((follow, message) => this.heard(follow.id, message));
    kernels.subscribe(() => this.prune());
    if (typeof window !== 'undefined') window.addEventListener('pagehide', () => this.endWithPage());
  }

  /** What the last visit saw, until somebody looks again. */
  restore(look: Look | null): void {
    if (look !== null && this.looks.size === 0) this.looks.set(LAST, look);
  }

  /** All that is known of the account, to be restored. */
  get last(): Look | null {
    if (this.looks.size === 0) return null;
    return { instances: this.instances, workloads: this.listed, unseen: this.unseen, at: this.at ?? 0 };
  }

  /** The panel came into sight, or left it. Nothing is asked while nobody looks. */
  watch(visible: boolean): void {
    this.visible = visible;
    clearTimeout(this.grace);
    this.keepAsking();
    if (!visible && this.own !== null)
      this.grace = setTimeout(() => {
        if (!this.watches) void this.disconnect();
      }, GRACE_MS);
  }

  /** Seconds between two looks; 0: only when asked. */
  setPace(seconds: number): void {
    if (seconds === this.pace) return;
    this.pace = seconds;
    this.poll?.dispose();
    this.poll = null;
    this.keepAsking();
  }

  private keepAsking(): void {
    if (!this.visible || this.pace === 0) return void this.poll?.stop();
    this.poll ??= new Poll({
      auto: false,
      name: 'qmode-widgets:account',
      factory: async () => {
        if (this.status === 'on') await this.look();
        else if (this.status === 'off') this.lookForStrays();
      },
      frequency: { interval: Math.max(5, this.pace) * 1000, backoff: 2, max: 600_000 },
      standby: 'when-hidden',
    });
    const { phase } = this.poll.state;
    if (phase === 'constructed' || phase === 'stopped') void this.poll.start();
  }

  /** The page closes: its kernel goes too, unless it watches something. Another tab's goes with that tab. */
  private endWithPage(): void {
    const { own } = this;
    if (own === null || this.watches) return;
    const { serverSettings } = own;
    const url = `${serverSettings.baseUrl}api/sessions/${own.id}`;
    void ServerConnection.makeRequest(url, { method: 'DELETE', keepalive: true }, serverSettings).catch(
      () => undefined,
    );
  }

  /** Called after every change; returns what ends it. */
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  get instances(): Instance[] {
    const found = new Map<string, Instance>();
    for (const look of this.looks.values()) for (const one of look.instances) found.set(one.name, one);
    return [...found.values()];
  }

  get listed(): ReadListed[] {
    const found = new Map<string, ReadListed>();
    const looks = [...this.looks.values(), ...this.strays.values()].sort((a, b) => a.at - b.at);
    for (const { at, workloads } of looks) for (const one of workloads) found.set(one.id, { ...one, at });
    return [...found.values()];
  }

  get unseen(): string[] {
    return [...new Set([...this.looks.values()].flatMap(look => look.unseen))];
  }

  /** When the oldest of what is shown was read, on this machine's clock. */
  get at(): number | null {
    const times = [...this.looks.values()].map(look => look.at);
    return times.length > 0 ? Math.min(...times) : null;
  }

  /** When an instance was listed whole; null: it was not. */
  listedAt(instance: string | null): number | null {
    for (const look of this.looks.values())
      if (look.instances.some(({ name }) => name === instance) && look.unseen.length === 0) return look.at;
    return null;
  }

  /** The panel runs a kernel of its own for the account. */
  get hasOwn(): boolean {
    return this.own !== null;
  }

  /** Look at the account through the kernels that have a service; false if there is none. */
  async look(): Promise<boolean> {
    const kernels = await this.able();
    if (kernels.length === 0) return false;
    if (this.status === 'off') this.status = 'asking';
    for (const follow of kernels) this.ask(follow, { kind: 'look', id: newId() });
    this.changed();
    return true;
  }

  /**
   * Ask each kernel for what was opened while it ran and no controller of its has: by a library with an HTTP client of
   * its own, by another program. It needs no look at the account. A kernel that cannot tell is silent.
   */
  private lookForStrays(): void {
    for (const { channel } of this.kernels.all) if (channel.found) channel.account({ kind: 'strays', id: newId() });
  }

  /** Start a kernel for the account; the page's other tabs share it. */
  async connect(source: Source): Promise<void> {
    this.source = source;
    this.status = 'starting';
    this.problem = null;
    this.changed();
    try {
      const follow = await this.start(CODE[source]);
      this.status = 'asking';
      this.changed();
      this.ask(follow, { kind: 'look', id: newId() });
    } catch (error) {
      await this.disconnect();
      this.problem = reasonOf(error);
      this.changed();
    }
  }

  /** The panel's own kernel, once it has run this and its package has said hello. */
  private async start(code: string): Promise<Follow> {
    const name = this.preferred();
    this.own ??= await this.sessions.startNew(
      {
        path: PATH,
        name: trans.__('Quantum account'),
        type: 'console',
        ...(name === undefined ? {} : { kernel: { name } }),
      },
      { kernelConnectionOptions: { handleComms: false } },
    );
    const { kernel } = this.own;
    if (kernel === null) throw new Error(trans.__('the server started no kernel'));
    const reply = await kernel.requestExecute({ code, store_history: false, stop_on_error: true }).done;
    if (reply?.content.status !== 'ok') throw new Error(failure(reply?.content));
    return this.followed(kernel.id);
  }

  /**
   * Run `qmode.check()`: in a kernel that has a service, else in one that has the package, else in one of the panel's
   * own, which ends again. It reads only.
   */
  async runCheck(): Promise<void> {
    if (this.check?.status === 'running') return;
    this.check = { status: 'running', rows: [], text: '', message: '' };
    this.changed();
    let borrowed = false;
    try {
      let follow = (await this.able())[0] ?? this.kernels.all.find(({ channel }) => channel.found);
      borrowed = follow === undefined && this.own === null;
      follow ??= await this.start(BARE);
      this.check = await this.checkIn(follow);
    } catch (error) {
      this.check = { ...this.check, status: 'failed', message: reasonOf(error) };
    }
    if (borrowed && this.status === 'off') await this.disconnect();
    this.changed();
  }

  private checkIn(follow: Follow): Promise<Check> {
    const id = newId();
    return new Promise((resolve, reject) => {
      this.checks.set(id, resolve);
      if (!this.ask(follow, { kind: 'check', id }, CHECK_MS)) reject(new Error(trans.__('no way to the kernel')));
    });
  }

  putCheckAway(): void {
    this.check = null;
    this.changed();
  }

  /** End the panel's own kernel. */
  async disconnect(): Promise<void> {
    const { own } = this;
    this.own = null;
    this.status = 'off';
    if (own !== null) {
      this.looks.delete(own.kernel?.id ?? '');
      await own.shutdown().catch(() => undefined); // it had ended already
      own.dispose();
    }
    this.changed();
  }

  /** The own kernel watches workloads: it must not end by itself. */
  get watches(): boolean {
    const follow = this.kernels.find(this.own?.kernel?.id ?? '');
    return [...(follow?.channel.store.workloads.values() ?? [])].some(({ state }) => state.state !== 'closed');
  }

  /** Watch, end or cancel a workload of the account that no kernel watches. */
  async act(act: Act, workload: string): Promise<void> {
    const id = newId();
    const acting: Acting = { id, act, status: 'sent', message: '' };
    this.acting.set(workload, acting);
    this.changed();
    const known = [...this.looks, ...this.strays];
    const kernel = known.find(([, look]) => look.workloads.some(one => one.id === workload))?.[0];
    const follow = this.kernels.find(kernel ?? '') ?? (await this.able())[0] ?? (await this.reconnect());
    if (follow === undefined || !this.ask(follow, { kind: 'act', id, act, workload }))
      this.answer(
        id,
        'failed',
        trans.__('No kernel that knows the account can be reached: look at the account again.'),
      );
  }

  dismiss(workload: string): void {
    this.acting.delete(workload);
    this.changed();
  }

  // --- ways to a kernel --------------------------------------------------------------------------------------------

  /** Few kernels that together know every instance: the panel's own first. */
  private async able(): Promise<Follow[]> {
    const own = this.own?.kernel?.id;
    const found = this.kernels.all
      .filter(({ channel }) => channel.found)
      .sort((a, b) => Number(b.id === own) - Number(a.id === own));
    const about = await Promise.all(found.map(follow => this.about(follow)));
    const covered = new Set<string>();
    return found.filter((_, i) => {
      const fresh = (about[i] ?? []).filter(instance => !covered.has(instance));
      fresh.forEach(instance => covered.add(instance));
      return fresh.length > 0;
    });
  }

  /** After a reload the account may be known while its kernel has gone. */
  private async reconnect(): Promise<Follow | undefined> {
    await this.connect(this.source ?? 'saved');
    return this.kernels.find(this.own?.kernel?.id ?? '');
  }

  /** Fingerprints of the instances a kernel knows; none if it has no service, or does not answer. */
  private about({ channel }: Follow): Promise<string[]> {
    const id = newId();
    return new Promise(resolve => {
      const settle = (instances: string[]): void => {
        clearTimeout(timer);
        this.abouts.delete(id);
        resolve(instances);
      };
      const timer = setTimeout(() => settle([]), ABOUT_MS);
      this.abouts.set(id, settle);
      if (!channel.account({ kind: 'about', id })) settle([]);
    });
  }

  /** False: there is no way to the kernel. What comes of it is heard. */
  private ask(
    { channel }: Follow,
    request: { kind: string; id: string; act?: Act; workload?: string },
    patience = LOST_MS,
  ): boolean {
    if (!channel.account(request)) return false;
    const minutes = Math.round(patience / 60_000);
    const lost = (): void =>
      this.answer(
        request.id,
        'failed',
        trans._n('The kernel has not answered for a minute.', 'The kernel has not answered for %1 minutes.', minutes),
      );
    this.asked.set(request.id, setTimeout(lost, patience));
    return true;
  }

  /** The kernel, once its package has said hello. */
  private followed(kernel: string): Promise<Follow> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        stop();
        reject(new Error(trans.__('the kernel started, but its qmode_widgets does not answer')));
      }, 20_000);
      const check = (): void => {
        const follow = this.kernels.find(kernel);
        if (follow === undefined || !follow.channel.found) return;
        clearTimeout(timer);
        stop();
        resolve(follow);
      };
      const stop = this.kernels.subscribe(check);
      check();
    });
  }

  // --- what is heard -----------------------------------------------------------------------------------------------

  private heard(kernel: string, message: unknown): void {
    const said = message as { kind?: unknown; id?: unknown; status?: unknown; message?: unknown };
    if (said.kind === 'account' && isLook(message)) {
      this.settle(String(said.id));
      const { instances, workloads, unseen } = message;
      this.looks.delete(LAST);
      this.strays.clear(); // the account lists them too
      this.looks.set(kernel, { instances, workloads, unseen, at: Date.now() / 1000 });
      this.status = 'on';
      this.problem = null;
      this.keepAsking();
      this.changed();
    } else if (said.kind === 'account-strays') {
      const { workloads } = message as { workloads?: unknown };
      if (!Array.isArray(workloads) || this.status === 'on') return;
      this.strays.set(kernel, { workloads: workloads as Listed[], at: Date.now() / 1000 });
      this.changed();
    } else if (said.kind === 'account-about') {
      const { instances } = message as { instances?: unknown };
      this.abouts.get(String(said.id))?.(Array.isArray(instances) ? instances.map(String) : []);
    } else if (said.kind === 'account-check') {
      const { rows, text } = message as { rows?: unknown; text?: unknown };
      const check: Check = { status: 'done', rows: Array.isArray(rows) ? rows : [], text: String(text), message: '' };
      this.settle(String(said.id));
      this.checks.get(String(said.id))?.(check);
      this.checks.delete(String(said.id));
    } else if (said.kind === 'account-answer') {
      if (said.status === 'done' || said.status === 'failed')
        this.answer(String(said.id), said.status, String(said.message ?? ''));
    }
  }

  private answer(id: string, status: 'done' | 'failed', message: string): void {
    const asked = this.settle(id);
    for (const [workload, acting] of this.acting)
      if (acting.id === id) {
        this.acting.set(workload, { ...acting, status, message });
        this.changed();
        return;
      }
    if (status !== 'failed') return;
    const check = this.checks.get(id);
    if (check !== undefined) {
      this.checks.delete(id);
      return check({ status: 'failed', rows: [], text: '', message });
    }
    if (!asked) return;
    if (this.looks.size === 0) this.status = this.own === null ? 'off' : this.status;
    this.problem = message;
    this.changed();
  }

  /** False: it was not asked, or asked without waiting for an answer. */
  private settle(id: string): boolean {
    clearTimeout(this.asked.get(id));
    return this.asked.delete(id);
  }

  /** What a kernel said of the account grows old with the kernel. */
  private prune(): void {
    const { own } = this;
    if (own !== null && own.isDisposed) this.own = null;
    let gone = false;
    for (const kernel of this.strays.keys())
      if (this.kernels.find(kernel) === undefined) gone = this.strays.delete(kernel) || gone;
    for (const kernel of this.looks.keys())
      if (kernel !== LAST && this.kernels.find(kernel) === undefined) gone = this.looks.delete(kernel) || gone;
    if (!gone) return;
    if (this.looks.size === 0) this.status = 'off';
    this.changed();
  }

  private changed(): void {
    for (const listener of this.listeners) listener();
  }
}

export function isLook(message: unknown): message is Look {
  const { instances, workloads, unseen } = (message ?? {}) as Partial<Look>;
  return Array.isArray(instances) && Array.isArray(workloads) && Array.isArray(unseen);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function failure(content: unknown): string {
  const { ename, evalue } = (content ?? {}) as { ename?: string; evalue?: string };
  if (ename === 'ModuleNotFoundError')
    return trans.__('This kernel has no qmode_widgets: install it into the kernel’s environment. (%1)', evalue ?? '');
  return evalue ?? ename ?? trans.__('the kernel gave no reason');
}
