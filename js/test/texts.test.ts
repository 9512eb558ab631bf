import { afterEach, describe, expect, it } from 'vitest';
import { trans } from '../core/texts';
import { speakWith as speak } from '../lab/texts';
import { failedText, groupTitle, titleOf, triage } from '../lab/desk/triage';
import { job, workload } from './samples';
import { known, watchesOf } from './watches';

afterEach(() => speak(null));

describe('texts', () => {
  it('are English without a language pack, with their parts in place', () => {
    expect(trans.__('%1 of %2', 3, 6)).toBe('3 of 6');
    expect(trans.__('100%% of %1', 'x')).toBe('100% of x');
    expect([1, 2].map(n => trans._n('%1 job of %2', '%1 jobs of %2', n, 'w'))).toEqual(['1 job of w', '2 jobs of w']);
  });

  it('go through the translator, in the domain of the package', () => {
    const domains: string[] = [];
    const bundle = {
      __: (text: string, ...args: unknown[]) => `«${text}»${args.join()}`,
      _n: (one: string, many: string, n: number, ...args: unknown[]) =>
        `«${n === 1 ? one : many}»${[n, ...args].join()}`,
    };
    // Of a translator only `load` is called.
    speak({ load: (domain: string) => (domains.push(domain), bundle) } as unknown as Parameters<typeof speak>[0]);
    expect(domains).toEqual(['qmode_widgets']);
    expect(groupTitle('needs')).toBe('«Needs you»');
    const watches = watchesOf('k1', workload({ jobs: [job(0, 'failed'), job(1, 'failed')] }));
    const entry = [...triage(known({ watches })).entries.values()][0]!;
    expect(titleOf(entry)).toBe('w1'); // a name is nobody's to translate
    expect(failedText(entry)).toBe('«%1 jobs of %2 failed»2,w1.');
  });
});
