import { describe, expect, it } from 'vitest';
import { DEFAULTS, read } from '../lab/desk/settings';
import schema from '../schema/sidebar.json';

describe('settings', () => {
  it('have the defaults that the settings editor shows', () => {
    const shown = Object.entries(schema.properties).map(([name, property]) => [name, property.default]);
    expect(Object.fromEntries(shown)).toEqual(DEFAULTS);
  });

  it('keep what is right and replace what is not', () => {
    expect(read({ side: 'right', accountPace: 0, capWarning: 50, notifyCap: false })).toEqual({
      ...DEFAULTS,
      side: 'right',
      accountPace: 0,
      capWarning: 50,
      notifyCap: false,
    });
    expect(read({ side: 'top', accountPace: -3, maxWarning: '600', statusItem: 'no', stranger: 1 })).toEqual(DEFAULTS);
    expect(read({})).toEqual(DEFAULTS);
  });
});
