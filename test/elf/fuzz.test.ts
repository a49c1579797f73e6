import assert from 'node:assert/strict';
import test from 'node:test';
import { fuzz } from '../support/fuzz.js';
import { ELF_TARGET } from './fuzz_target.js';
import { toolsMissing } from './gcc.js';

test('damaged objects and executables open or are refused', { skip: toolsMissing }, async (t) => {
  const result = await fuzz(ELF_TARGET, 5, 4000);
  assert.deepEqual(result.failures, []);
  assert.equal(result.opened + result.refused, 4000);
  // Changes that do no harm, and many kinds of harm.
  assert.ok(
    result.opened > 400 && result.messages.size > 40,
    `${result.opened} opened, ${result.messages.size} messages`,
  );
  t.diagnostic(`slowest ${result.slowest.toFixed(0)} ms, ${result.memory.toFixed(0)} MiB`);
});
