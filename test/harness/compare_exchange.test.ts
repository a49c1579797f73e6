import assert from 'node:assert/strict';
import { Mnemonic } from 'iced-x86';
import { Flag } from '../../src/cpu/registers.js';
import * as broken from '../support/broken.js';
import { KERNEL_STACK } from '../support/machine.js';
import { rule } from '../support/rule.js';

const ARITHMETIC = BigInt(Flag.CF | Flag.PF | Flag.AF | Flag.ZF | Flag.SF | Flag.OF);
const TEXT = 'start: cmpxchgl %ecx, %ebx\n';
const UPPER = 0x1111111100000000n;

rule(
  'CMPXCHG r32 that finds no match loads EAX and leaves its destination',
  broken.ignoring(Mnemonic.Cmpxchg),
  (make) => {
    const rig = make(TEXT, { regs: { RAX: UPPER | 3n, RBX: UPPER | 5n, RCX: UPPER | 7n, RFLAGS: 2n } }).step();
    assert.deepEqual(rig.all('RAX', 'RBX', 'RCX'), { RAX: 5n, RBX: UPPER | 5n, RCX: UPPER | 7n });
    // The flags of 3 - 5.
    assert.equal(rig.get('RFLAGS') & ARITHMETIC, BigInt(Flag.CF | Flag.AF | Flag.SF));
  },
);

rule('CMPXCHG r32 that finds a match writes its destination', broken.ignoring(Mnemonic.Cmpxchg), (make) => {
  const rig = make(TEXT, { regs: { RAX: UPPER | 5n, RBX: UPPER | 5n, RCX: UPPER | 7n, RFLAGS: 0x8d7n } }).step();
  assert.deepEqual(rig.all('RAX', 'RBX', 'RCX'), { RAX: UPPER | 5n, RBX: 7n, RCX: UPPER | 7n });
  assert.equal(rig.get('RFLAGS') & ARITHMETIC, BigInt(Flag.ZF | Flag.PF));
});

rule('CMPXCHG m32 writes memory only where it finds a match', broken.ignoring(Mnemonic.Cmpxchg), (make) => {
  const at = KERNEL_STACK - 0x100n;
  const rig = make('start: cmpxchgl %ecx, -0x100(%rsp)\n cmpxchgl %ecx, -0x100(%rsp)\n', {
    regs: { RAX: 1n, RCX: 7n },
  });
  rig.setWord(at, 0x2222222200000005n);
  assert.equal(rig.step().word(at), 0x2222222200000005n);
  assert.equal(rig.get('RAX'), 5n);
  assert.equal(rig.step().word(at), 0x2222222200000007n);
});

rule('CMPXCHG16B exchanges 16 bytes, and changes ZF alone', broken.ignoring(Mnemonic.Cmpxchg16b), (make) => {
  const at = KERNEL_STACK - 0x100n;
  const regs = { RAX: 1n, RDX: 2n, RBX: 3n, RCX: 4n, RFLAGS: 0x893n };
  const rig = make('start: cmpxchg16b -0x100(%rsp)\n', { regs });
  rig.setWord(at, 1n);
  rig.setWord(at + 8n, 2n);
  rig.step();
  assert.deepEqual([rig.word(at), rig.word(at + 8n), rig.get('RFLAGS')], [3n, 4n, 0x8d3n]);
  const other = make('start: cmpxchg16b -0x100(%rsp)\n', { regs: { ...regs, RFLAGS: 0x8d3n } });
  other.setWord(at, 5n);
  other.setWord(at + 8n, 6n);
  other.step();
  assert.deepEqual(other.all('RAX', 'RDX', 'RFLAGS'), { RAX: 5n, RDX: 6n, RFLAGS: 0x893n });
  assert.equal(other.word(at), 5n);
});

rule('CMPXCHG16B of bytes that are not aligned is #GP(0)', broken.ignoring(Mnemonic.Cmpxchg16b), (make) => {
  const rig = make('start: cmpxchg16b -0xf8(%rsp)\n').step();
  assert.equal(rig.delivered, 13);
  assert.equal(rig.errorCode, 0n);
});
