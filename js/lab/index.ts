/** The JupyterLab plugin: wires kernels, desk, panel, signals, settings and commands together. */
import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator } from '@jupyterlab/translation';
import { LabIcon } from '@jupyterlab/ui-components';
import '../cell/bridge';
import { trans } from '../core/texts';
import { Account } from './kernels/account';
import badge from './panel/badge.css';
import { addCommands, offerCommands } from './commands';
import { whereStatusBar } from './elsewhere';
import { Desk } from './desk/desk';
import svgstr from './icon.svg';
import { Kernels } from './kernels/kernels';
import { Memory } from './desk/memory';
import { Notices } from './desk/notices';
import { Outputs } from './notebook/output';
import type { Navigation } from './panel/navigation';
import { Panel } from './panel/panel';
import { ways } from './notebook/ways';
import { DEFAULTS, follow, type Settings } from './desk/settings';
import { Signals } from './desk/signals';
import { StatusItem } from './desk/status';
import { speakWith } from './texts';

const ID = 'qmode-widgets:sidebar';

const plugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'Quantum workloads of all running kernels and of the account: panel, status item and notifications.',
  autoStart: true,
  optional: [ILayoutRestorer, ICommandPalette, ISettingRegistry, ITranslator, IRenderMimeRegistry],
  activate: (
    app: JupyterFrontEnd,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    registry: ISettingRegistry | null,
    translator: ITranslator | null,
    rendermime: IRenderMimeRegistry | null,
  ) => {
    speakWith(translator);
    let settings: Settings = DEFAULTS;
    let stored: ISettingRegistry.ISettings | null = null;
    const { sessions, kernelspecs, serverSettings } = app.serviceManager;

    const memory = new Memory(browserStorage(), `qmode-widgets:${serverSettings.baseUrl}`);
    const signals = new Signals(Date.now() / 1000, memory.workloads.values());
    const kernels = new Kernels(sessions, kernelspecs);
    if (rendermime !== null) new Outputs(app, kernels, rendermime);
    const account = new Account(kernels, sessions, () => kernels.all.find(({ channel }) => channel.found)?.kernelName);
    const desk = new Desk(kernels, memory, account, settings);

    const icon = new LabIcon({ name: 'qmode-widgets:workloads', svgstr });
    const to = ways(app);
    const navigation: Navigation = {
      reveal: (place, entry) => void to.reveal(place, entry),
      openQuickstart: () => void to.openQuickstart(''),
      insertAdopt: () => void to.insertAdopt(),
      insertBegin: () => void to.insertBegin(),
    };
    const panel = new Panel(desk, navigation, icon);
    app.shell.add(panel, settings.side, { rank: 600 });
    restorer?.add(panel, panel.id);

    const show = (): void => app.shell.activateById(panel.id);
    const showEntry = (key: string | null): void => {
      const entry = key === null ? undefined : desk.find(key);
      if (entry !== undefined) desk.open(entry, true);
      show();
    };
    addCommands({ app, desk, to, icon, show, settings: () => stored });
    offerCommands(app, palette);

    document.head.append(Object.assign(document.createElement('style'), { textContent: badge }));
    desk.subscribe(() => panel.count(settings.badge ? (desk.triage.groups.get('needs')?.length ?? 0) : 0));
    new Notices(
      desk,
      signals,
      () => settings,
      showEntry,
      (name, value) => void stored?.set(name, value),
    );
    let item: { dispose(): void } | null = null;
    let statusBar: IStatusBar | null = null;
    const placeItem = (): void => {
      if (!settings.statusItem || statusBar === null) {
        item?.dispose();
        item = null;
      } else if (item === null && desk.triage.entries.size > 0) {
        // Not before there is something to tell: JupyterLab's start does not wait for it.
        const widget = new StatusItem(desk, show);
        const { isActive, activeStateChanged } = widget;
        item = statusBar.registerStatusItem(ID, {
          item: widget,
          align: 'right',
          rank: 90,
          isActive,
          activeStateChanged,
        });
      }
    };

    desk.subscribe(placeItem);
    const configured = follow(registry, ID, next => {
      const { side } = settings;
      // After the layout of the last visit is back: it would put the panel where it was.
      if (next.side !== side) void app.restored.then(() => app.shell.add(panel, next.side, { rank: 600 }));
      settings = next;
      desk.configure(next);
      placeItem();
    }).then(
      loaded => void (stored = loaded),
      () => undefined, // no schema for us on this server: the defaults hold
    );
    whereStatusBar(app, bar => {
      statusBar = bar;
      void configured.then(placeItem);
    });
    window.qmodeWidgetsBridge = { send: (process, request) => kernels.send(process, request), texts: trans };
  },
};

/** Reading it throws where the browser forbids storage. */
function browserStorage(): globalThis.Storage | null {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}

export default plugin;
