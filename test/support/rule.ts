/**
 * A rule of the machine as a test: what must hold, and at least one machine, broken on purpose, on which the same
 * assertions fail. A check that cannot fail is no check.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Broken } from './broken.js';
import { type Options, Rig } from './machine.js';

export type Make = (text: string, options?: Options) => Rig;

const sound: Make = (text, options) => new Rig(text, options);

function brokenBy(broken: Broken): Make {
  return (text, options) => {
    const rig = new Rig(text, options);
    broken(rig.machine);
    return rig;
  };
}

export function rule(name: string, broken: Broken | readonly Broken[], body: (make: Make) => void): void {
  test(name, () => {
    body(sound);
    for (const one of [broken].flat()) {
      assert.throws(() => body(brokenBy(one)), assert.AssertionError, `holds on a machine that is broken: ${one.name}`);
    }
  });
}
