/** What JupyterLab has and not every other frontend: Voila lacks these modules, and would load nothing that imports them. */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ILauncher } from '@jupyterlab/launcher';
import type { IStatusBar } from '@jupyterlab/statusbar';

export function whereLauncher(app: JupyterFrontEnd, use: (launcher: ILauncher) => void): void {
  void find(async () => app.resolveOptionalService((await import('@jupyterlab/launcher')).ILauncher), use);
}

export function whereStatusBar(app: JupyterFrontEnd, use: (bar: IStatusBar) => void): void {
  void find(async () => app.resolveOptionalService((await import('@jupyterlab/statusbar')).IStatusBar), use);
}

async function find<T>(look: () => Promise<T | null>, use: (service: T) => void) {
  let service: T | null;
  try {
    service = await look();
  } catch {
    return; // this frontend has no such module
  }
  if (service !== null) use(service);
}
