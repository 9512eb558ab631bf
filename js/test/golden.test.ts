/** What Python really sends (golden.json is written and checked by tests/unit/frontend/test_protocol.py). */
import { expect, it } from 'vitest';
import { decode } from '../core/protocol';
import { Store } from '../core/store';
import golden from './golden.json';

it('understands every message of the kernel', () => {
  for (const message of Object.values(golden)) expect(decode(message)).toBe(message);
});

it("arrives at the kernel's state by snapshot and patch", () => {
  const store = new Store(() => true);
  store.receive(golden.hello);
  store.receive(golden.snapshot);
  store.receive(golden.patch);
  expect(store.workloads.get('d2f0')!.state).toEqual(golden.after.state);
});
