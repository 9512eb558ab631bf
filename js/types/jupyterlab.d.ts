/**
 * The few JupyterLab 4.6 names we use. The real packages weigh hundreds of megabytes and serve for types only: at run
 * time they come from JupyterLab itself.
 */
declare module '@lumino/widgets' {
  export class Widget {
    readonly node: HTMLElement;
    id: string;
    readonly title: { label: string; caption: string; icon: unknown; className: string };
    readonly isDisposed: boolean;
    dispose(): void;
    addClass(name: string): void;
    protected onActivateRequest(msg: unknown): void;
  }
}

declare module '@jupyterlab/ui-components' {
  export class LabIcon {
    constructor(options: { name: string; svgstr: string });
  }
}

declare module '@jupyterlab/apputils' {
  export interface ICommandPalette {
    addItem(item: { command: string; category: string }): unknown;
  }
  export const ICommandPalette: unique symbol;
}

declare module '@jupyterlab/application' {
  import type { Widget } from '@lumino/widgets';
  import type { KernelSpec, Session } from '@jupyterlab/services';

  export interface JupyterFrontEnd {
    readonly serviceManager: { readonly sessions: Session.IManager; readonly kernelspecs: KernelSpec.IManager };
    readonly shell: {
      add(widget: Widget, area: 'left' | 'right', options?: { rank?: number }): void;
      activateById(id: string): void;
    };
    readonly commands: {
      addCommand(
        id: string,
        options: { label: string; caption?: string; icon?: unknown; execute: (args: object) => unknown },
      ): unknown;
      execute(id: string, args?: object): Promise<unknown>;
    };
  }
  export interface ILayoutRestorer {
    add(widget: Widget, name: string): void;
  }
  export const ILayoutRestorer: unique symbol;
  export interface JupyterFrontEndPlugin<T> {
    id: string;
    description?: string;
    autoStart: boolean;
    optional?: unknown[];
    activate(app: JupyterFrontEnd, ...services: never[]): T;
  }
}

declare module '@jupyterlab/services' {
  export interface ISignal<S, A> {
    connect(slot: (sender: S, args: A) => void): boolean;
    disconnect(slot: (sender: S, args: A) => void): boolean;
  }
  export namespace KernelMessage {
    interface IMessage {
      readonly content: unknown;
      readonly header: { readonly msg_type: string; readonly session: string };
      readonly parent_header: { readonly msg_type?: string };
    }
    function createMessage(options: {
      msgType: string;
      channel: 'control';
      username: string;
      session: string;
      content: object;
    }): IMessage;
  }
  export namespace Kernel {
    type Status = 'unknown' | 'starting' | 'idle' | 'busy' | 'terminating' | 'restarting' | 'autorestarting' | 'dead';
    type ConnectionStatus = 'connected' | 'connecting' | 'disconnected';
    interface IKernelConnection {
      readonly id: string;
      readonly name: string;
      readonly clientId: string;
      readonly username: string;
      readonly status: Status;
      readonly connectionStatus: ConnectionStatus;
      readonly isDisposed: boolean;
      readonly statusChanged: ISignal<IKernelConnection, Status>;
      readonly connectionStatusChanged: ISignal<IKernelConnection, ConnectionStatus>;
      readonly iopubMessage: ISignal<IKernelConnection, KernelMessage.IMessage>;
      sendControlMessage(
        message: KernelMessage.IMessage,
        expectReply?: boolean,
        disposeOnDone?: boolean,
      ): {
        readonly done: Promise<KernelMessage.IMessage | undefined>;
      };
    }
  }
  export namespace KernelSpec {
    interface IManager {
      readonly specs: { readonly kernelspecs: Record<string, { readonly display_name: string } | undefined> } | null;
    }
  }
  export namespace Session {
    interface IModel {
      readonly id: string;
      readonly path: string;
      readonly name: string;
      readonly type: string;
      readonly kernel: { readonly id: string; readonly name: string } | null;
    }
    interface ISessionConnection {
      readonly kernel: Kernel.IKernelConnection | null;
      readonly isDisposed: boolean;
      dispose(): void;
    }
    interface IManager {
      readonly ready: Promise<void>;
      readonly runningChanged: ISignal<IManager, IModel[]>;
      running(): Iterable<IModel>;
      connectTo(options: { model: IModel; kernelConnectionOptions?: { handleComms?: boolean } }): ISessionConnection;
    }
  }
}
