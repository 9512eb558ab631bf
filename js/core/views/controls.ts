/** What the views of one workload may do, handed down once. The object stays the same; what it tells is of now. */
import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import type { Question, Target } from '../ask';
import type { Action } from '../protocol';
import type { Click } from '../store';

/** Where a question stands and its outcome after it: a row's key, or one of the card's own places. */
export type Place = string;
export const HEAD: Place = ':head';
export const BANNER: Place = ':banner';
export const CHOSEN: Place = ':chosen';

export interface Asking extends Question {
  place: Place;
  target: Target;
}

export interface Controls {
  /** Begin an action: asks first, in the same place, where it costs or destroys. */
  begin(action: Action, place: Place, target?: Target): void;
  answer(asking: Asking, action: Action): void;
  leave(): void;
  dismiss(click: Click): void;
  /** "Cancel partition 5 (PUBs 8–9)". */
  naming(click: Click): string;
}

const none = (): void => undefined;
export const ControlsContext = createContext<Controls>({
  begin: none,
  answer: none,
  leave: none,
  dismiss: none,
  naming: () => '',
});

export function useControls(): Controls {
  return useContext(ControlsContext);
}
