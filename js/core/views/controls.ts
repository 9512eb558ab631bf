/** What the views of one workload may do, handed down once. */
import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import type { Action } from '../protocol';
import type { Click } from '../store';

export interface Controls {
  /** Begin an action: asks first where it costs or destroys. */
  begin(action: Action, target?: string): void;
  /** The click under way for an action, if any. */
  pending(action: Action, target?: string): Click | undefined;
  /** Why nothing can be clicked, or null. */
  off: string | null;
}

export const ControlsContext = createContext<Controls>({ begin: () => undefined, pending: () => undefined, off: null });

export function useControls(): Controls {
  return useContext(ControlsContext);
}
