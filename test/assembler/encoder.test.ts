import assert from 'node:assert/strict';
import test from 'node:test';
import { Encoder } from '../../src/assembler/encoder.js';
import { hexOf } from './gnu.js';

const shown = (result: Uint8Array | string) => (typeof result === 'string' ? result : hexOf(result));

test('one instruction gives its bytes, and bad text gives the reason', async () => {
  const encoder = await Encoder.create();
  assert.equal(shown(encoder.encode('movq $0x13,%rax')), '48c7c013000000');
  assert.equal(shown(encoder.encode('frobq $0x13,%rax')), 'mnemonic');
  assert.equal(shown(encoder.encode('movq $0x13')), 'operands');
  // Keystone calls this a success without any bytes.
  assert.notEqual(shown(encoder.encode('jmpl *%eax')), '');
});

test('a crashed instance is replaced, and the one that crashed is not asked again', async () => {
  const encoder = await Encoder.create();
  const before = shown(encoder.encode('addq $0x1,%rax'));
  // A high byte register with a REX prefix makes Keystone end its program.
  assert.equal(shown(encoder.encode('sbbb %r10b,%ah')), 'crash');
  assert.equal(shown(encoder.encode('movq %rbx,%rcx')), '4889d9');
  assert.equal(shown(encoder.encode('sbbb %r11b,%ah')), 'crash');
  // Both instances are gone, and no other task could run yet: what is known is still given.
  assert.equal(shown(encoder.encode('movq %rbx,%rdx')), 'restarting');
  assert.equal(shown(encoder.encode('addq $0x1,%rax')), before);
  for (let i = 0; i < 100 && encoder.encode('movq %rbx,%rdx') === 'restarting'; i++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(shown(encoder.encode('movq %rbx,%rdx')), '4889da');
});
