/**
 * How a cell reaches the control channel of its kernel: our JupyterLab extension puts this object on the window. Both
 * sides may come from different versions of the package, so it is as small as can be and never changes its meaning.
 */
import type { Request } from '../core/protocol';
import type { Texts } from '../core/texts';

export interface Bridge {
  /** Sends to the kernel whose greeting said `process`; false if the extension has no way to it. */
  send(process: string, request: Request): boolean;
  /** JupyterLab's language; an extension older than the widget has none. */
  readonly texts?: Texts;
}

declare global {
  interface Window {
    qmodeWidgetsBridge?: Bridge;
  }
}

export const bridge: Bridge = {
  send: (process, request) => process !== '' && window.qmodeWidgetsBridge?.send(process, request) === true,
};
