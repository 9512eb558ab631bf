/** The messages in the sources, found as tools for translators find them: literal strings, where they are spoken. */
/// <reference types="vite/types/importMeta.d.ts" />
const SOURCES = import.meta.glob<string>(['../{core,lab,cell}/**/*.{ts,tsx}', '!../core/texts.ts'], {
  query: '?raw',
  import: 'default',
  eager: true,
});

export interface Message {
  file: string;
  one: string;
  many: string | null;
}

const LITERAL = String.raw`\s*('(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")\s*`;
const CALL = new RegExp(String.raw`^trans\.(?:__\(${LITERAL}|_n\(${LITERAL},${LITERAL},)`);

/** `unreadable` holds what speaks and is no literal. */
export function messages(): { found: Message[]; unreadable: string[] } {
  const found: Message[] = [];
  const unreadable: string[] = [];
  for (const [file, source] of Object.entries(SOURCES))
    for (const { index } of source.matchAll(/\btrans\.\w+\(/g)) {
      const call = CALL.exec(source.slice(index));
      if (call === null) unreadable.push(`${file}: ${source.slice(index, index + 60)}`);
      else found.push({ file, one: plain(call[1] ?? call[2]!), many: call[3] === undefined ? null : plain(call[3]) });
    }
  return { found, unreadable };
}

function plain(literal: string): string {
  return literal.slice(1, -1).replaceAll(/\\(.)/g, '$1');
}
