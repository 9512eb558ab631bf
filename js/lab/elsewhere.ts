/** What JupyterLab has and not every other frontend: Voila lacks these modules, and would load nothing that imports them. */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import type { ILauncher } from '@jupyterlab/launcher';
import type { IStatusBar } from '@jupyterlab/statusbar';

type Token = NonNullable<JupyterFrontEndPlugin<void>['requires']>[number];

export function whereLauncher(app: JupyterFrontEnd, use: (launcher: ILauncher) => void): void {
  void find(app, 'launcher', async () => (await import('@jupyterlab/launcher')).ILauncher, use);
}

export function whereStatusBar(app: JupyterFrontEnd, use: (bar: IStatusBar) => void): void {
  void find(app, 'status-bar', async () => (await import('@jupyterlab/statusbar')).IStatusBar, use);
}

/** Only a plugin is given a service: one is registered once the service's token is there. */
async function find<T>(app: JupyterFrontEnd, name: string, load: () => Promise<Token>, use: (service: T) => void) {
  try {
    const id = `qmode-widgets:${name}`;
    app.registerPlugin({ id, requires: [await load()], activate: (_, service) => use(service as T) });
    await app.activatePlugin(id);
  } catch {
    // This frontend has none.
  }
}
