/**
 * All that follows workloads: kernels, account, desk, the outputs of documents, signals and the status item. Loaded when
 * there is something to follow, or somebody looks: JupyterLab's start does not wait for it.
 */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { IStatusBar } from '@jupyterlab/statusbar';
import { Desk } from './desk/desk';
import { Memory } from './desk/memory';
import { Notices } from './desk/notices';
import { read, type Settings } from './desk/settings';
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
  /** Of what the browser's storage keeps of us. */
  key: string;
  panel: Panel;
  /** The user's settings; null: the defaults hold. */
  stored: ISettingRegistry.ISettings | null;
}

export class Workbench {
  readonly kernels: Kernels;
  readonly desk: Desk;
  readonly outputs: Outputs;
  private settings: Settings;
  private item: { dispose(): void } | null = null;
  private statusBar: IStatusBar | null = null;

  constructor(private readonly around: Surroundings) {
    const { app, since, key, stored } = around;
    this.settings = read(stored?.composite ?? {});
    stored?.changed.connect(() => this.configure(read(stored.composite)));
    const { sessions, kernelspecs } = app.serviceManager;
    const memory = new Memory(browserStorage(), key);
    const signals = new Signals(since, memory.workloads.values());
    this.kernels = new Kernels(sessions, kernelspecs);
    this.outputs = new Outputs(app, this.kernels);
    const { kernels } = this;
    const account = new Account(kernels, sessions, () => kernels.all.find(({ channel }) => channel.found)?.kernelName);
    this.desk = new Desk(kernels, memory, account, this.settings);
    document.head.append(Object.assign(document.createElement('style'), { textContent: badge }));
    this.desk.subscribe(() => this.count());
    new Notices(
      this.desk,
      signals,
      () => this.settings,
      this.show,
      (name, value) => void stored?.set(name, value),
    );
    this.desk.subscribe(() => this.placeItem());
    whereStatusBar(app, bar => {
      this.statusBar = bar;
      this.placeItem();
    });
  }

  private configure(settings: Settings): void {
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

/** Reading it throws where the browser forbids storage. */
function browserStorage(): globalThis.Storage | null {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}
