import assert from 'node:assert/strict';
import test from 'node:test';
import { Disassembler } from '../../src/cpu/disassembler.js';

const disassembler = await Disassembler.create();
const text = (hex: string, address = 0n): string =>
  disassembler.text(Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex')), address);

test('entry code, in AT&T syntax', () => {
  assert.deepEqual(
    ['0f01f8', '48cf', '480f07', '48cb', '6aff', 'f6 44 24 10 03', '65 48 8b 24 25 00 00 00 00', 'f30f1efa'].map(
      (hex) => text(hex),
    ),
    ['swapgs', 'iretq', 'sysretq', 'lretq', 'pushq $-1', 'testb $3, 0x10(%rsp)', 'movq %gs:0, %rsp', 'endbr64'],
  );
});

test('a branch has its target, at any address', () => {
  assert.equal(text('e800000000', 0xffffffff81000d30n), 'callq 0xffffffff81000d35');
  assert.equal(text('7463', 0x100n), 'je 0x165');
  // The same bytes elsewhere: the cache must not mix them up.
  assert.equal(text('7463', 0x200n), 'je 0x265');
  assert.equal(text('ebfe', 0xfffffe0000000000n), 'jmp 0xfffffe0000000000');
});

test('large immediates are hexadecimal', () => {
  assert.equal(text('48b8010000000000d1b0'), 'movabsq $0xb0d1000000000001, %rax');
});

test('only the first instruction counts, and bytes behind it may be anything', () => {
  assert.equal(text('90 06 06'), 'nop');
  assert.deepEqual(disassembler.instruction(Uint8Array.of(0x48, 0xcf, 0xff), 0n), {
    mnemonic: 'iretq',
    operands: '',
    size: 2,
  });
});

test('what is no instruction, or not all of one, is shown as bytes', () => {
  assert.equal(text('06'), '.byte 0x06');
  assert.equal(text('f3'), '.byte 0xf3');
  assert.equal(text('e80000'), '.byte 0xe8, 0x00, 0x00');
  assert.equal(disassembler.instruction(new Uint8Array(0), 0n), undefined);
  // After a refusal it goes on as before.
  assert.equal(text('cc'), 'int3');
});

test('instructions that differ only in the prefix are told apart', () => {
  assert.deepEqual(
    ['0f01ca', 'f30f01ca', 'f20f01ca', '0f01e8', 'f30f01e8', 'f20f01e8', '0f01d9', 'f30f01d9'].map((hex) => text(hex)),
    ['clac', 'eretu', 'erets', 'serialize', 'setssbsy', 'xsusldtrk', 'vmmcall', 'vmgexit'],
  );
});

test('the answer is kept, for each address', () => {
  const ask = (address: bigint) => disassembler.instruction(Uint8Array.of(0x74, 0x63), address);
  assert.equal(ask(0x1000n), ask(0x1000n));
  assert.notEqual(ask(0x1000n), ask(0x1001n));
});
