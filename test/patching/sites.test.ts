/** What the boot code does to branches that are listed: returns, retpolines, static calls, paravirt sites and the rest. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { InputError } from '../../src/errors.js';
import type { Image } from '../../src/image/image.js';
import { bytesOf, sample, withFeatures } from './support.js';

const thunks = sample('thunks.S');
const bare = sample('thunks.S', { BARE: '' });
const kernel = sample('kernel.S', { BANNER: '"Linux version 6.1.0-56-amd64"' });

function branch(image: Image, opcode: string, from: string, to: bigint, skip = 0): string {
  const displacement = Number(to - image.find(from)!.address) - skip - 5;
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(displacement);
  return opcode + bytes.toString('hex');
}

const at = (image: Image, name: string): bigint => image.find(name)!.address;

for (const [what, image] of [
  ['listed', thunks],
  ['found in the line map', bare],
] as const) {
  test(`sites that are ${what}: without thunks, branches go through the register and returns are returns`, () => {
    const after = withFeatures(image);
    assert.equal(bytesOf(after, 'calls', 'calls_high'), 'ffd00f1f00');
    assert.equal(bytesOf(after, 'jumps', 'returns'), 'ffe2cc6690cc');
    assert.equal(bytesOf(after, 'returns', 'upper').slice(0, 10), 'c3cccccccc');
    assert.equal(bytesOf(after, 'upper', 'end'), 'c3cccccccc');
  });

  test(`sites that are ${what}: with retpolines they stay, with LFENCE they are inlined`, () => {
    assert.equal(bytesOf(withFeatures(image, 'retpoline'), 'calls', 'returns'), bytesOf(image, 'calls', 'returns'));
    const after = withFeatures(image, 'retpoline', 'retpoline_lfence');
    assert.equal(bytesOf(after, 'calls', 'calls_high'), '0faee8ffd0');
    assert.equal(bytesOf(after, 'jumps', 'returns'), '0faee8ffe2cc');
  });

  test(`sites that are ${what}: returns go to the thunk of the mitigation`, () => {
    for (const [features, thunk] of [
      [['rethunk', 'unret'], 'retbleed_return_thunk'],
      [['rethunk', 'unret', 'srso'], 'srso_return_thunk'],
    ] as const) {
      const after = withFeatures(image, ...features);
      assert.equal(bytesOf(after, 'upper', 'end'), branch(after, 'e9', 'upper', at(after, thunk)));
    }
    // Against ITS only in the lower half of a cache line.
    const after = withFeatures(image, 'rethunk');
    assert.equal(bytesOf(after, 'upper', 'end'), 'c3cccccccc');
    assert.equal(
      bytesOf(after, 'returns', 'upper').slice(0, 10),
      branch(after, 'e9', 'returns', at(after, 'its_return_thunk')),
    );
  });
}

test('a prefix belongs to the site; a site that ends in the lower half of a line goes to the ITS thunk of its register', () => {
  assert.equal(bytesOf(withFeatures(thunks), 'calls_high', 'jumps'), '41ffd30f1f00');
  assert.equal(bytesOf(withFeatures(thunks, 'retpoline', 'retpoline_lfence'), 'calls_high', 'jumps'), '0faee841ffd3');
  const after = withFeatures(thunks, 'indirect_thunk_its');
  const its = at(after, '__x86_indirect_its_thunk_array');
  assert.equal(bytesOf(after, 'calls', 'calls_high'), branch(after, 'e8', 'calls', its));
  assert.equal(bytesOf(after, 'calls_high', 'jumps'), `2e${branch(after, 'e8', 'calls_high', its + 11n * 64n, 1)}`);
});

test('static calls go to what their key holds', () => {
  const after = withFeatures(kernel);
  const to = at(after, 'native_one');
  assert.equal(bytesOf(after, 'static_one', 'static_tail'), branch(after, 'e8', 'static_one', to));
  assert.equal(bytesOf(after, 'static_tail', 'static_none'), branch(after, 'e9', 'static_tail', to));
  assert.equal(bytesOf(after, 'static_none', 'static_tail_none'), '0f1f440000');
  assert.equal(bytesOf(after, 'static_tail_none', 'static_zero'), 'c3cccccccc');
  assert.equal(bytesOf(after, 'static_zero', 'para'), '2e2e2e31c0');
});

test('paravirt sites call what pv_ops holds, __fentry__ is not called, a sealed ENDBR is a NOP', () => {
  const after = withFeatures(kernel);
  assert.equal(bytesOf(after, 'para', 'para_nop'), `${branch(after, 'e8', 'para', at(after, 'native_one'))}6690`);
  assert.equal(bytesOf(after, 'para_nop', 'para_null'), '0f1f8000000000');
  assert.equal(
    bytesOf(after, 'para_null', 'endbr'),
    `${branch(after, 'e8', 'para_null', at(after, 'paravirt_BUG'))}6690`,
  );
  assert.equal(bytesOf(after, 'fentry', 'static_one'), '0f1f440000');
  assert.equal(bytesOf(after, 'endbr', 'limit'), '660f1f00');
});

test('a static tail call of nothing is a return, through the thunk only where static calls are written again', () => {
  const place = (image: Image): string => bytesOf(image, 'static_tail_none', 'static_zero');
  assert.equal(place(withFeatures(kernel, 'rethunk')), 'c3cccccccc');
  const again = sample('kernel.S', { BANNER: '"Linux version 6.12.1"', REINIT: '' });
  const after = withFeatures(again, 'rethunk');
  assert.equal(place(after), branch(after, 'e9', 'static_tail_none', at(after, '__x86_return_thunk')));
  assert.equal(place(withFeatures(again)), 'c3cccccccc');
});

test('the end of user memory is written into the instructions that compare with it', () => {
  const after = withFeatures(kernel);
  assert.equal(bytesOf(after, 'limit', 'end'), '48b800f0ffffff7f0000');
  const row = after
    .sectionAt(at(after, 'limit'))!
    .lines.find(({ offset }) => offset === Number(at(after, 'limit') - after.sectionAt(at(after, 'limit'))!.address));
  assert.match(row!.text, /0x0*7FFFFFFFF000/i);
});

test('what another version of Linux does otherwise is done otherwise, or refused', () => {
  const newer = sample('kernel.S', { BANNER: '"Linux version 6.15.0"' });
  assert.equal(bytesOf(withFeatures(newer), 'endbr', 'limit'), '0f1f40d6');
  const older = sample('kernel.S', { BANNER: '"Linux version 4.19.5"' });
  assert.throws(
    () => withFeatures(older),
    (error) => error instanceof InputError && /from Linux 5.13.*4\.19\.5/.test(error.message),
  );
});
