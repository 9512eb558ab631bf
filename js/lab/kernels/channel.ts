/**
 * One kernel of JupyterLab's, followed over its control channel and iopub: the mirror of qmode_widgets/frontend/kernel.py
 * and the only file that knows how messages travel in JupyterLab.
 */
import { type Kernel, KernelMessage } from '@jupyterlab/services';
import type { Request } from '../../core/protocol';
import { Store } from '../../core/store';

type ControlOptions = KernelMessage.IOptions<KernelMessage.IDebugRequestMsg>;

const TARGET = 'qmode_widgets';
const BEACON = 'qmode_widgets-beacon';
const REQUEST = 'qmode_request';
const ACCOUNT = 'qmode_account';
const AGAIN_MS = 2000; // then twice as long, each time
const ATTEMPTS = 4;

export class Channel {
  readonly store: Store;
  /** The kernel runs a cell. */
  busy = false;
  /** The kernel has said what it watches, or that it has no qmode_widgets: until then nothing is known of it. */
  answered = false;
  /** qmode_widgets is at work in this kernel. */
  found = false;
  private process = '';
  private disposed = false;
  private autorestarted = false;
  private turn = 0;
  private again: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly kernel: Kernel.IKernelConnection,
    private readonly changed: () => void,
    private readonly heard: (message: unknown) => void = () => undefined,
    /**
     * Asks for a new connection. A kernel that the server restarts by itself gets other ports, and jupyter_server gives
     * the reopened connection its buffered sockets back: its control channel then leads nowhere.
     */
    private readonly renew: () => void = () => undefined,
  ) {
    this.store = new Store(request => this.send(request));
    this.store.subscribe(changed);
    kernel.iopubMessage.connect(this.onIopub);
    kernel.statusChanged.connect(this.onStatus);
    kernel.connectionStatusChanged.connect(this.onConnection);
    this.discover();
  }

  send(request: Request): boolean {
    if (!this.reachable) return false;
    this.control(REQUEST, request).then(
      greeting => {
        this.store.receive(greeting);
        this.answered = true;
        this.setBusy(this.store.hello?.busy === true);
        this.changed();
      },
      () => undefined, // the kernel went away: its status says so
    );
    return true;
  }

  /** Ask the kernel's account service; what comes of it is heard. False: there is no way to the kernel. */
  account(request: object): boolean {
    if (!this.reachable || !this.found) return false;
    this.control(ACCOUNT, request).catch(() => undefined); // the kernel went away: its status says so
    return true;
  }

  /** Say that nobody here follows any more; a kernel that does not know the word lets it pass. */
  leave(): void {
    if (this.reachable && this.found)
      this.control(REQUEST, { kind: 'detach' } satisfies Request).catch(() => undefined);
  }

  dispose(): void {
    this.leave();
    this.kernel.iopubMessage.disconnect(this.onIopub);
    this.kernel.statusChanged.disconnect(this.onStatus);
    this.kernel.connectionStatusChanged.disconnect(this.onConnection);
    this.store.dispose();
    this.disposed = true;
    clearTimeout(this.again);
  }

  private get reachable(): boolean {
    const { isDisposed, status, connectionStatus } = this.kernel;
    return !isDisposed && status !== 'dead' && connectionStatus === 'connected';
  }

  /**
   * Is the package at work in this kernel? Asked so that a kernel without it logs no error. A kernel that restarts may
   * never hear it: then it is asked again, a few times.
   */
  private discover(attempt = 0): void {
    clearTimeout(this.again);
    const turn = ++this.turn;
    const mine = (): boolean => turn === this.turn && !this.disposed && !this.found && !this.answered;
    this.again = setTimeout(
      () => {
        if (!mine()) return;
        if (attempt < ATTEMPTS) this.discover(attempt + 1);
        else this.absent();
      },
      AGAIN_MS * 2 ** attempt,
    );
    this.control('comm_info_request', { target_name: TARGET }).then(
      content => {
        if (!mine()) return;
        const { comms } = (content ?? {}) as { comms?: object };
        if (comms !== undefined && Object.keys(comms).length > 0) this.attach();
        else this.absent();
      },
      () => undefined, // the kernel went away, or restarts
    );
  }

  private absent(): void {
    clearTimeout(this.again);
    this.answered = true;
    this.changed();
  }

  private attach(): void {
    clearTimeout(this.again);
    this.found = true;
    this.store.attach();
  }

  /** The control channel has a thread of its own in the kernel: it is served while a cell runs. */
  private async control(msgType: string, content: object): Promise<unknown> {
    const { username, clientId } = this.kernel;
    // JupyterLab's types list Jupyter's own control messages only; ours is one that the kernel side adds.
    const ours = { msgType, channel: 'control', username, session: clientId, content };
    const message = KernelMessage.createMessage(ours as unknown as ControlOptions);
    return (await this.kernel.sendControlMessage(message, true, true).done)?.content;
  }

  private readonly onIopub = (_: unknown, message: KernelMessage.IMessage): void => {
    const { session, msg_type: type } = message.header;
    if (type === 'comm_msg' && isFarewell(message)) return this.heard(message.content.data);
    if (session !== this.process) {
      // another start of the kernel, whoever restarted it
      if (this.process !== '') {
        if (this.autorestarted) return this.renew();
        this.forget();
        this.discover();
      }
      this.process = session;
    }
    // Only a cell makes a kernel busy to a user; our own requests have states too.
    if (
      type === 'status' &&
      'msg_type' in message.parent_header &&
      message.parent_header.msg_type === 'execute_request'
    ) {
      this.setBusy((message.content as { execution_state?: string }).execution_state === 'busy');
    }
    if (type !== 'comm_msg') return;
    const { comm_id: id, data } = message.content as { comm_id?: string; data?: unknown };
    if (id !== BEACON) return;
    if (!this.found) this.attach(); // the package has just been imported
    this.store.receive(data);
    this.heard(data);
  };

  private readonly onStatus = (_: unknown, status: Kernel.Status): void => {
    if (status !== 'restarting' && status !== 'autorestarting' && status !== 'dead') return;
    this.forget();
    this.autorestarted ||= status === 'autorestarting';
    if (status === 'dead') this.answered = true; // it watches nothing any more
    this.setBusy(false);
  };

  private readonly onConnection = (_: unknown, status: Kernel.ConnectionStatus): void => {
    if (this.found) this.store.connected(status === 'connected');
  };

  private setBusy(busy: boolean): void {
    if (this.busy === busy) return;
    this.busy = busy;
    this.changed();
  }

  private forget(): void {
    this.found = false;
    this.answered = false;
    this.store.reset();
  }
}

/** A kernel's last word. It may arrive when the next start of the kernel has already spoken. */
function isFarewell(message: KernelMessage.IMessage): message is KernelMessage.ICommMsgMsg<'iopub'> {
  const { comm_id: id, data } = message.content as { comm_id?: string; data?: { kind?: unknown } };
  return id === BEACON && data?.kind === 'farewell';
}
