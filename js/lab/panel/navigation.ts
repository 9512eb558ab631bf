import type { Entry } from '../desk/triage';
import type { Place } from '../kernels/kernels';

/** What the panel asks of JupyterLab. */
export interface Navigation {
  reveal: (place: Place, entry: Entry) => void;
  openQuickstart: () => void;
  insertAdopt: () => void;
  /** A first batch on the embedded service, in a notebook of its own. */
  insertBegin: () => void;
}
