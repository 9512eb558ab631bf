/**
 * The panel's texts in the user's language: JupyterLab's translator, kept in one place so that pure modules need not
 * hand it around. Without a language pack the English text stands for itself.
 */
import type { ITranslator, TranslationBundle } from '@jupyterlab/translation';

const DOMAIN = 'qmode_widgets';

/** What we use of a translation bundle. */
export type Texts = Pick<TranslationBundle, '__' | '_n'>;

/** English: `%1`, `%2`, … are replaced as JupyterLab's bundles do it; `%%` is a percent sign. */
const ENGLISH: Texts = {
  __: (text, ...args) => filled(text, args),
  _n: (one, many, n, ...args) => filled(n === 1 ? one : many, [n, ...args]),
};

/** Read `trans.__('…')` and `trans._n('%1 job', '%1 jobs', n)` in every function, never at import. */
export let trans: Texts = ENGLISH;

export function speak(translator: ITranslator | null): void {
  trans = translator?.load(DOMAIN) ?? ENGLISH;
}

function filled(text: string, args: readonly unknown[]): string {
  return text.replace(/%(%|\d)/g, (_, n: string) => (n === '%' ? '%' : String(args[Number(n) - 1])));
}
