/** Damaged kernels open or are refused. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { fuzz } from '../support/fuzz.js';
import { KERNEL_TARGETS } from './fuzz_targets.js';
import { METHODS, piped, programOf } from './packers.js';

const COUNT = 600;

for (const target of KERNEL_TARGETS) {
  const method = METHODS.find((name) => name === target.name);
  const program = method && programOf(method);
  const missing = program !== undefined && program !== 'gzip' && !piped(Buffer.alloc(10), [program, '-c']);
  const skip = missing && `there is no ${program}: run make setup conformance`;
  test(`damaged files: ${target.name}`, { skip }, async (t) => {
    const result = await fuzz(target, 7, COUNT);
    assert.deepEqual(result.failures, []);
    assert.equal(result.opened + result.refused, COUNT);
    assert.ok(result.refused > COUNT / 10 && result.messages.size > 1, `${result.refused}, ${result.messages.size}`);
    t.diagnostic(`slowest ${result.slowest.toFixed(0)} ms, ${result.memory.toFixed(0)} MiB`);
  });
}
