import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import type { Target } from '../ask';
import type { Action } from '../protocol';
import { trans } from '../texts';
import { type Place, useControls } from './controls';

interface Props {
  action: Action;
  place: Place;
  target?: Target;
  kind?: 'danger' | 'primary' | 'plain' | 'solid';
  /** For screen readers where the text alone does not say what it acts on. */
  name?: string;
  /** It is under way. */
  busy?: boolean;
  tabIndex?: number;
  children: ComponentChildren;
}

/** A button that begins an action and shows that it is under way. Never `disabled`: that would lose the focus. */
export function ActionButton({ action, place, target, kind = 'plain', name, busy = false, tabIndex, children }: Props) {
  const { begin } = useControls();
  return (
    <button
      type="button"
      class={`qm-button qm-${kind}`}
      data-action={action}
      data-place={place}
      aria-disabled={busy}
      aria-busy={busy}
      aria-label={name}
      tabIndex={tabIndex}
      onClick={() => {
        if (!busy) begin(action, place, target);
      }}
    >
      {busy ? (
        <span class="qm-wait">{typeof children === 'string' ? children.replace(/…$/, '') : children}</span>
      ) : (
        children
      )}
    </button>
  );
}

interface CopyProps {
  text: string;
  /** For screen readers. */
  name: string;
  /** What the button shows, if not "copy". */
  shown?: string;
}

/** Copies a text and says so. */
export function CopyButton({ text, name, shown }: CopyProps) {
  const [said, say] = useState<string | null>(null);
  if (typeof navigator.clipboard === 'undefined') return shown === undefined ? null : <code title={text}>{shown}</code>; // not a secure origin
  const copy = (): void =>
    void navigator.clipboard.writeText(text).then(
      () => say(trans.__('copied')),
      () => say(trans.__('not allowed')),
    );
  return (
    <button type="button" class="qm-link qm-plain" title={text} onClick={copy} onBlur={() => say(null)}>
      {said ?? (shown === undefined ? trans.__('copy') : <code>{shown}</code>)}
      <span class="qm-hidden"> {name}</span>
    </button>
  );
}
