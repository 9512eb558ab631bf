import type { Banner as About } from '../banner';
import type { WorkloadSnapshot } from '../protocol';
import type { Click } from '../store';
import { trans } from '../texts';
import { Answer } from './answer';
import { ActionButton } from './button';
import { type Asking, BANNER } from './controls';
import { Tick } from './tick';

interface Props {
  about: About;
  state: WorkloadSnapshot;
  asking: Asking | null;
  click: Click | undefined;
  off: boolean;
  onDismiss: () => void;
}

/** The one slot under the header for what needs the user: cause, consequence, action. */
export function Banner({ about, state, asking, click, off, onDismiss }: Props) {
  const { tone, shape, cause, consequence, action, dismissable } = about;
  const busy =
    action !== null && click?.action === action.action && (click.status === 'sent' || click.status === 'accepted');
  return (
    <div class={`qm-banner qm-banner-${tone}`} data-banner={about.key.split(' ')[0]} role="note">
      <span class={`qm-shape qm-tone-${tone}`} aria-hidden="true">
        {shape}
      </span>
      <span class="qm-banner-text">
        <b>{cause}</b>
        {typeof consequence === 'string' ? (
          after(cause, consequence)
        ) : (
          <Tick text={now => after(cause, consequence(now))} />
        )}
      </span>
      <span class="qm-actions">
        <Answer place={BANNER} asking={asking} click={undefined} problem={state.problem}>
          {action !== null && !off && (
            <ActionButton action={action.action} place={BANNER} target={action.target} kind="solid" busy={busy}>
              {typeof action.label === 'string' ? action.label : <Tick text={action.label} />}
            </ActionButton>
          )}
          {dismissable && (
            <button type="button" class="qm-button qm-quiet" aria-label={trans.__('Dismiss')} onClick={onDismiss}>
              ✕
            </button>
          )}
        </Answer>
      </span>
    </div>
  );
}

/** After the cause, in any language: the consequence begins a sentence, or goes on with the cause's. */
function after(cause: string, consequence: string): string {
  if (consequence === '') return '';
  if (/[.!?。！？]$/.test(cause)) return ` ${consequence}`;
  // Scripts without small letters begin with "other letters", and a figure begins a sentence too.
  return `${/^[\p{Lu}\p{Lt}\p{Lo}\d]/u.test(consequence) ? '. ' : ': '}${consequence}`;
}
