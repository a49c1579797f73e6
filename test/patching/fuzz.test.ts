import assert from 'node:assert/strict';
import test from 'node:test';
import { fuzz } from '../support/fuzz.js';
import { PATCHING_TARGET } from './fuzz_target.js';

test('damaged tables are read, or refused', async (t) => {
  const result = await fuzz(PATCHING_TARGET, 5, 3000);
  assert.deepEqual(result.failures, []);
  assert.ok(
    result.opened > 300 && result.refused > 300 && result.messages.size > 10,
    [...result.messages.keys()].join('\n'),
  );
  t.diagnostic(`slowest ${result.slowest.toFixed(0)} ms, ${result.memory.toFixed(0)} MiB`);
});
