import type { ComponentChildren } from 'preact';
import type { Action } from '../protocol';
import { useControls } from './controls';

interface Props {
  action: Action;
  target?: string;
  kind?: 'danger' | 'primary' | 'plain';
  /** For screen readers where the text alone does not say what it acts on. */
  name?: string;
  children: ComponentChildren;
}

/** A button that begins an action and shows that it is under way. Never `disabled`: that would lose the focus. */
export function ActionButton({ action, target, kind = 'plain', name, children }: Props) {
  const { begin, pending, off } = useControls();
  if (off !== null) return null;
  const click = pending(action, target);
  return (
    <button
      type="button"
      class={`qm-button qm-${kind}`}
      data-action={action}
      aria-disabled={click !== undefined}
      aria-label={name}
      aria-busy={click !== undefined}
      title={click?.late ? 'The kernel has not taken this click yet; it may wait for the running cell.' : undefined}
      onClick={() => {
        if (click === undefined) begin(action, target);
      }}
    >
      {click === undefined ? children : <span class="qm-wait">{children}</span>}
    </button>
  );
}
