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
    let stored: ISettingRegistry.ISettings | null = null;
    const { sessions, serverSettings } = app.serviceManager;
    const key = `qmode-widgets:${serverSettings.baseUrl}`;

    let side: 'left' | 'right' = 'left';
    const dock = (): void => {
      const open = panel.isVisible;
      app.shell.add(panel, side, { rank: 600 });
      if (open) app.shell.activateById(panel.id); // it was moved: the other side would keep it shut
    };
    const placeAsSet = (): void => {
      const next = stored?.composite.side === 'right' ? 'right' : 'left';
      // After the layout of the last visit is back: it would put the panel where it was.
      if (next !== side) void app.restored.then(dock);
      side = next;
    };
    const configured = registry?.load(ID).then(
      loaded => {
        stored = loaded;
        placeAsSet();
        loaded.changed.connect(placeAsSet);
      },
      () => undefined, // no schema for us on this server: the defaults hold
    );

    let bench: Workbench | null = null;
    let begun: Promise<Workbench> | undefined;
    const begin = (): Promise<Workbench> =>
      (begun ??= Promise.all([import('./workbench'), configured]).then(
        ([{ Workbench: Made }]) => (bench = new Made({ app, id: ID, since, key, panel, stored })),
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
    dock();
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
      if (!sessions.running().next().done || remembers(key)) void begin();
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

/** Reading the storage throws where the browser forbids it. */
function remembers(key: string): boolean {
  try {
    return window.localStorage.getItem(key) !== null;
  } catch {
    return false;
  }
}

export default plugin;
