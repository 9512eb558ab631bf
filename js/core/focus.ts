/** Where the focus is, for views that draw anew and must not lose it. */
import { useLayoutEffect } from 'preact/hooks';

/**
 * Tells `note` of each element inside `root` that takes the focus, and of null when it goes elsewhere. Chromium tells of a
 * removed element with no new target while it is still the active one, or not at all: that is not elsewhere.
 */
export function useFocusInside(root: { current: HTMLElement | null }, note: (target: Element | null) => void): void {
  useLayoutEffect(() => {
    const element = root.current;
    if (element === null) return;
    const into = (event: FocusEvent): void => note(event.target as Element);
    const out = (event: FocusEvent): void => {
      if (event.relatedTarget !== null && !element.contains(event.relatedTarget as Node)) note(null);
    };
    const away = (event: Event): void => {
      if (!element.contains(event.target as Node)) note(null);
    };
    element.addEventListener('focusin', into);
    element.addEventListener('focusout', out);
    document.addEventListener('pointerdown', away, true);
    return () => {
      element.removeEventListener('focusin', into);
      element.removeEventListener('focusout', out);
      document.removeEventListener('pointerdown', away, true);
    };
  }, []);
}
