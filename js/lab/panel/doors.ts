import type { Entry } from '../desk/triage';
import type { Place } from '../kernels/kernels';

/** What the panel asks of JupyterLab. */
export interface Doors {
  reveal: (place: Place, entry: Entry) => void;
  openQuickstart: () => void;
  insertAdopt: () => void;
}
