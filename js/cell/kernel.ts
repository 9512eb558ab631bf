/**
 * The kernel of the manager that holds a widget, where that manager has one: JupyterLab's, Notebook's and VS Code's do;
 * html-manager's and Colab's do not, and leave us the widget's comm.
 */
import { newId, type Request } from '../core/protocol';

/** What we use of `@jupyterlab/services`' kernel connection; VS Code passes it on to the kernel. */
interface Connection {
  readonly clientId?: string;
  sendControlMessage(
    message: object,
    expectReply?: boolean,
    disposeOnDone?: boolean,
  ): { readonly done?: PromiseLike<{ header?: { session?: string } } | undefined> } | undefined;
}

/** anywidget hands the manager on. */
export interface Managed {
  readonly widget_manager?: unknown;
}

function connectionOf({ widget_manager: manager }: Managed): Connection | null {
  const { kernel } = (manager ?? {}) as { kernel?: Partial<Connection> | null };
  return typeof kernel?.sendControlMessage === 'function' ? (kernel as Connection) : null;
}

function send(kernel: Connection, type: string, content: object, reply: boolean) {
  const header = {
    msg_id: newId(),
    msg_type: type,
    session: kernel.clientId ?? '',
    username: '',
    version: '5.4',
    date: new Date().toISOString(),
  };
  const message = { header, parent_header: {}, metadata: {}, content, buffers: [], channel: 'control' };
  return kernel.sendControlMessage(message, reply, true);
}

/** Over the control channel, which a running cell does not hold up; false if there is none. */
export function sendByControl(model: Managed, request: Request): boolean {
  const kernel = connectionOf(model);
  if (kernel === null) return false;
  try {
    send(kernel, 'qmode_request', request, false);
    return true;
  } catch {
    return false; // it is gone, or a manager's own notion of one
  }
}

/** The start of the kernel that answers there, busy or not; null: none does. */
export async function processOf(model: Managed): Promise<string | null> {
  const kernel = connectionOf(model);
  if (kernel === null) return null;
  try {
    return (await send(kernel, 'kernel_info_request', {}, true)?.done)?.header?.session ?? null;
  } catch {
    return null;
  }
}
