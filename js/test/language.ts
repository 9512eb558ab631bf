/**
 * A language to test with: ⟦…⟧ stands around every piece of a message, and what is put into it stands outside. What has
 * a Latin letter outside the marks is a text that never went through the translator.
 */
import type { Texts } from '../core/texts';

export const MARKED: Texts = {
  __: (text, ...args) => marked(text, args),
  _n: (one, many, n, ...args) => marked(n === 1 ? one : many, [n, ...args]),
};

function marked(text: string, args: readonly unknown[]): string {
  return text
    .split(/(%\d)/)
    .map((piece, i) => {
      if (i % 2 === 0) return piece === '' ? '' : `⟦${piece}⟧`;
      const n = Number(piece.slice(1));
      if (n > args.length) throw new Error(`"${text}" has no ${piece}`);
      return String(args[n - 1]);
    })
    .join('');
}

/** What the kernel, the service or the browser gave. */
const DATA = [
  /\b[A-Z][a-z]{2} \d+, \d{4}\b/g, // a date of Intl's
  /(?<=\(⟧?)(?:open|active|inactive|closed|unknown)(?=⟦?\))/g, // the service's own word for a workload
  /HTTP \d+/g,
  /usage cap(?=⟦? )/g, // a limit's name
];

/** What of a text nobody can translate; "" if there is nothing. */
export function unmarked(text: string): string {
  const rest = DATA.reduce((left, data) => left.replaceAll(data, ''), text).replaceAll(/⟦[^⟦⟧]*⟧/g, '');
  return /\p{Script=Latin}/u.test(rest) ? rest : '';
}

/** The same, of all that an element shows or says: texts, names, hints. Code is code. */
export function unmarkedIn(element: HTMLElement): string[] {
  const found = new Set<string>();
  const add = (text: string): unknown => unmarked(text) !== '' && found.add(text);
  const code = new Set([...element.querySelectorAll('code, pre')].map(each => each.textContent));
  const visit = (node: Element): void => {
    if (node.matches('style, code, pre')) return;
    for (const name of ['aria-label', 'title', 'placeholder', 'alt', 'aria-description', 'aria-valuetext']) {
      const text = node.getAttribute(name);
      if (text !== null && !code.has(text)) add(text);
    }
    for (const child of node.childNodes)
      if (child instanceof Element) visit(child);
      else add(child.textContent ?? '');
  };
  visit(element);
  return [...found];
}
