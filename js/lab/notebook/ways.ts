/** From the panel and the commands to notebooks. The code is loaded with the first click: JupyterLab's start does not wait for it. */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { Entry } from '../desk/triage';
import type { Place } from '../kernels/kernels';

export interface Ways {
  reveal(place: Place, entry: Entry): Promise<void>;
  openQuickstart(folder: string): Promise<void>;
  insertAdopt(): Promise<void>;
  insertBegin(): Promise<void>;
}

export function ways(app: JupyterFrontEnd): Ways {
  return {
    reveal: async (place, entry) => (await import('./reveal')).reveal(app, place, entry),
    openQuickstart: async folder => (await import('./open')).openQuickstart(app, folder),
    insertAdopt: async () => (await import('./open')).insertAdopt(app),
    insertBegin: async () => (await import('./open')).insertBegin(app),
  };
}
