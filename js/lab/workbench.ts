/**
 * All that follows workloads: kernels, account, desk, the outputs of documents, signals and the status item. Loaded when
 * there is something to follow, or somebody looks: JupyterLab's start does not wait for it.
 */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { IStatusBar } from '@jupyterlab/statusbar';
import { Desk } from './desk/desk';
import { Memory } from './desk/memory';
import { Notices } from './desk/notices';
import type { Settings } from './desk/settings';
import { Signals } from './desk/signals';
import { StatusItem } from './desk/status';
import { whereStatusBar } from './elsewhere';
import { Account } from './kernels/account';
import { Kernels } from './kernels/kernels';
import { Outputs } from './notebook/output';
import badge from './panel/badge.css';
import type { Panel } from './panel/panel';

interface Surroundings {
  app: JupyterFrontEnd;
  /** The plugin's. */
  id: string;
  /** When the page began, in seconds. */
  since: number;
  storage: globalThis.Storage | null;
  /** Of the storage. */
  key: string;
  panel: Panel;
  settings: Settings;
  /** Changes a setting. */
  set: (name: keyof Settings, value: string) => void;
}

export class Workbench {
  readonly kernels: Kernels;
  readonly desk: Desk;
  readonly outputs: Outputs;
  private settings: Settings;
  private item: { dispose(): void } | null = null;
  private statusBar: IStatusBar | null = null;

  constructor(private readonly around: Surroundings) {
    const { app, since, storage, key, settings, set } = around;
    this.settings = settings;
    const { sessions, kernelspecs } = app.serviceManager;
    const memory = new Memory(storage, key);
    const signals = new Signals(since, memory.workloads.values());
    this.kernels = new Kernels(sessions, kernelspecs);
    this.outputs = new Outputs(app, this.kernels);
    const { kernels } = this;
    const account = new Account(kernels, sessions, () => kernels.all.find(({ channel }) => channel.found)?.kernelName);
    this.desk = new Desk(kernels, memory, account, settings);
    document.head.append(Object.assign(document.createElement('style'), { textContent: badge }));
    this.desk.subscribe(() => this.count());
    new Notices(this.desk, signals, () => this.settings, this.show, set);
    this.desk.subscribe(() => this.placeItem());
    whereStatusBar(app, bar => {
      this.statusBar = bar;
      this.placeItem();
    });
  }

  configure(settings: Settings): void {
    this.settings = settings;
    this.desk.configure(settings);
    this.count();
    this.placeItem();
  }

  /** Show the panel; with this entry's row opened. */
  readonly show = (key: string | null): void => {
    const entry = key === null ? undefined : this.desk.find(key);
    if (entry !== undefined) this.desk.open(entry, true);
    this.around.app.shell.activateById(this.around.panel.id);
  };

  private count(): void {
    this.around.panel.count(this.settings.badge ? (this.desk.triage.groups.get('needs')?.length ?? 0) : 0);
  }

  private placeItem(): void {
    if (!this.settings.statusItem || this.statusBar === null) {
      this.item?.dispose();
      this.item = null;
    } else if (this.item === null && this.desk.triage.entries.size > 0) {
      const item = new StatusItem(this.desk, () => this.show(null));
      const { isActive, activeStateChanged } = item;
      const options = { item, align: 'right', rank: 90, isActive, activeStateChanged } as const;
      this.item = this.statusBar.registerStatusItem(this.around.id, options);
    }
  }
}
