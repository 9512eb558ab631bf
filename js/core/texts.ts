/**
 * All texts of ours, in the user's language. Who has a translator hands its texts to `speak`: JupyterLab's extension
 * does. Without one, as in other notebooks, the English text stands for itself.
 *
 * For each message write `trans.__('%1 of %2 done', done, total)`, or `trans._n('%1 job', '%1 jobs', n)` where a number
 * decides the form; `%1` is that number then. Tools collect the messages from the sources: they are literal strings,
 * whole sentences, and never one message in both forms.
 */

/** What we use of a translator; the same as of JupyterLab's translation bundles. */
export interface Texts {
  __(text: string, ...args: readonly unknown[]): string;
  _n(one: string, many: string, n: number, ...args: readonly unknown[]): string;
}

/** `%1`, `%2`, … are replaced as JupyterLab's bundles do it; `%%` is a percent sign. */
const ENGLISH: Texts = {
  __: (text, ...args) => filled(text, args),
  _n: (one, many, n, ...args) => filled(n === 1 ? one : many, [n, ...args]),
};

/** Read it in every function, never at import: the language is not known then. */
export let trans: Texts = ENGLISH;

/** From now on; null: English. */
export function speak(texts: Texts | null): void {
  trans = texts ?? ENGLISH;
}

/** What `make` says, in English whatever is spoken. */
export function inEnglish<T>(make: () => T): T {
  const spoken = trans;
  trans = ENGLISH;
  try {
    return make();
  } finally {
    trans = spoken;
  }
}

function filled(text: string, args: readonly unknown[]): string {
  return text.replace(/%(%|\d)/g, (_, n: string) => (n === '%' ? '%' : String(args[Number(n) - 1])));
}
