/** The JupyterLab plugin: registers what JupyterLab's start needs of us, and loads the rest when there is use for it. */
import { ILayoutRestorer, type JupyterFrontEnd, type JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator } from '@jupyterlab/translation';
import { LabIcon } from '@jupyterlab/ui-components';
import '../cell/bridge';
import { MIME } from '../core/mime';
import { trans } from '../core/texts';
import { addCommands, offerCommands } from './commands';
import { DEFAULTS, follow, type Settings } from './desk/settings';
import svgstr from './icon.svg';
import { Place, RANK } from './notebook/place';
import { ways } from './notebook/ways';
import type { Navigation } from './panel/navigation';
import { Panel } from './panel/panel';
import { speakWith } from './texts';
import type { Workbench } from './workbench';

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
    const since = Date.now() / 1000;
    let settings: Settings = DEFAULTS;
    let stored: ISettingRegistry.ISettings | null = null;
    const { sessions, serverSettings } = app.serviceManager;
    const storage = browserStorage();
    const key = `qmode-widgets:${serverSettings.baseUrl}`;

    let bench: Workbench | null = null;
    const configured = follow(registry, ID, next => {
      const { side } = settings;
      // After the layout of the last visit is back: it would put the panel where it was.
      if (next.side !== side) void app.restored.then(() => app.shell.add(panel, next.side, { rank: 600 }));
      settings = next;
      bench?.configure(next);
    }).then(
      loaded => void (stored = loaded),
      () => undefined, // no schema for us on this server: the defaults hold
    );

    let begun: Promise<Workbench> | undefined;
    const begin = (): Promise<Workbench> =>
      (begun ??= Promise.all([import('./workbench'), configured]).then(
        ([{ Workbench: Made }]) => {
          const set = (name: keyof Settings, value: string): void => void stored?.set(name, value);
          return (bench = new Made({ app, id: ID, since, storage, key, panel, settings, set }));
        },
        (error: unknown) => {
          begun = undefined; // the server was away: the next one who asks tries again
          throw error;
        },
      ));

    const icon = new LabIcon({ name: 'qmode-widgets:workloads', svgstr });
    const to = ways(app);
    const navigation: Navigation = {
      reveal: (place, entry) => void to.reveal(place, entry),
      openQuickstart: () => void to.openQuickstart(''),
      insertAdopt: () => void to.insertAdopt(),
      insertBegin: () => void to.insertBegin(),
    };
    const load = async () => (await begin()).desk;
    const panel = new Panel(load, navigation, icon);
    app.shell.add(panel, settings.side, { rank: 600 });
    restorer?.add(panel, panel.id);
    addCommands({
      app,
      desk: () => bench?.desk ?? null,
      load,
      to,
      icon,
      show: () => app.shell.activateById(panel.id),
      settings: () => stored,
    });
    offerCommands(app, palette);

    // A kernel runs, or this browser remembers workloads.
    const look = (): void => {
      if (!sessions.running().next().done || remembers(storage, key)) void begin();
    };
    void app.restored.then(() => {
      look();
      sessions.runningChanged.connect(look);
    });
    if (rendermime !== null) {
      const outputs = async () => (await begin()).outputs;
      rendermime.addFactory({ safe: true, mimeTypes: [MIME], createRenderer: () => new Place(outputs) }, RANK);
      const watch = async (context: DocumentRegistry.Context): Promise<void> => {
        await app.restored;
        (await outputs()).watch(context);
      };
      app.docRegistry.addWidgetExtension('Notebook', { createNew: (_, context) => void watch(context) });
    }
    window.qmodeWidgetsBridge = {
      send: (process, request) => bench?.kernels.send(process, request) === true,
      texts: trans,
    };
  },
};

function remembers(storage: globalThis.Storage | null, key: string): boolean {
  try {
    return storage?.getItem(key) != null;
  } catch {
    return false;
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

export default plugin;
