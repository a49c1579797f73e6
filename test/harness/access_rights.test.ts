import assert from 'node:assert/strict';
import { Mnemonic } from 'iced-x86';
import { Flag, Reg } from '../../src/cpu/registers.js';
import { callGate, codeSegment, dataSegment, SystemType, systemDescriptor } from '../../src/harness/descriptors.js';
import * as broken from '../support/broken.js';
import * as brokenInstr from '../support/broken_instr.js';
import { GDT, KERNEL_CS, KERNEL_SS, SPARE, TASK, USER_CS, USER_SS } from '../support/machine.js';
import { type Make, rule } from '../support/rule.js';

const user = '.section .text.user,"ax"\n';
const LDT = GDT + 0x800n;
/** From %ax, into %ecx where they have a destination. */
const BYTES = {
  lar: '.byte 0x0f, 0x02, 0xc8',
  lsl: '.byte 0x0f, 0x03, 0xc8',
  verr: '.byte 0x0f, 0x00, 0xe0',
  verw: '.byte 0x0f, 0x00, 0xe8',
} as const;
const writable = 1n << 41n;
const conforming = 1n << 42n;
const absent = ~(1n << 47n);

interface Look {
  readonly selector: number;
  readonly descriptor?: bigint;
  readonly upper?: bigint;
  readonly user?: boolean;
  /** ZF beforehand. */
  readonly zf?: boolean;
}

/** The destination register (-1 if it was not written) and ZF. */
function look(make: Make, name: keyof typeof BYTES, one: Look): { value: bigint; zf: boolean } {
  const regs = { RAX: 0xabcd0000n | BigInt(one.selector), RCX: -1n, RFLAGS: one.zf ? 0x242n : 0x202n };
  const gdt = { [SPARE]: one.descriptor ?? 0n, [SPARE + 8]: one.upper ?? 0n };
  const rig = make(`${one.user ? user : ''}start: ${BYTES[name]}\n`, { regs, gdt });
  rig.step();
  assert.equal(rig.delivered, undefined);
  assert.equal(rig.rip, rig.label('start') + 3n);
  return { value: BigInt.asIntN(64, rig.get('RCX')), zf: rig.flag(Flag.ZF) };
}

const [tssLow] = systemDescriptor(0n, 0x67, SystemType.AVAILABLE_TSS);
const [ldtLow] = systemDescriptor(0n, 0x3f, SystemType.LDT);
const gate = callGate(0n, KERNEL_CS, 3)[0];
const interruptGate = (gate & ~(0xfn << 40n)) | (0xen << 40n);
const dpl3 = 3n << 45n;

const wrong = [brokenInstr.withOtherZf, broken.losing(Reg.RFLAGS)];

rule(
  'LAR gives bits 8 to 23 of the upper half of a descriptor and sets ZF',
  [...wrong, broken.losing(Reg.RCX)],
  (make) => {
    assert.deepEqual(look(make, 'lar', { selector: KERNEL_CS }), { value: 0xaf9b00n, zf: true });
    assert.deepEqual(look(make, 'lar', { selector: KERNEL_SS }), { value: 0xcf9300n, zf: true });
    assert.deepEqual(look(make, 'lar', { selector: USER_CS, user: true }), { value: 0xaffb00n, zf: true });
    // A descriptor need not be present to be looked at.
    assert.deepEqual(look(make, 'lar', { selector: SPARE, descriptor: dataSegment(0) & absent }), {
      value: 0xcf1300n,
      zf: true,
    });
  },
);

rule('LAR takes the LDT, the TSS and the call gate among system descriptors, LSL the first two', wrong, (make) => {
  assert.deepEqual(look(make, 'lar', { selector: TASK }), { value: 0x8b00n, zf: true });
  assert.deepEqual(look(make, 'lar', { selector: SPARE, descriptor: ldtLow }), { value: 0x8200n, zf: true });
  assert.deepEqual(look(make, 'lar', { selector: SPARE, descriptor: gate }), { value: 0xec00n, zf: true });
  assert.deepEqual(look(make, 'lar', { selector: SPARE, descriptor: interruptGate }), { value: -1n, zf: false });
  assert.deepEqual(look(make, 'lsl', { selector: SPARE, descriptor: tssLow }), { value: 0x67n, zf: true });
  assert.deepEqual(look(make, 'lsl', { selector: SPARE, descriptor: ldtLow }), { value: 0x3fn, zf: true });
  assert.deepEqual(look(make, 'lsl', { selector: SPARE, descriptor: gate }), { value: -1n, zf: false });
});

rule('LSL gives the limit in bytes', [...wrong, broken.losing(Reg.RCX)], (make) => {
  assert.deepEqual(look(make, 'lsl', { selector: KERNEL_CS }), { value: 0xffffffffn, zf: true });
  const small = (dataSegment(0) & ~(0xfn << 48n) & ~(1n << 55n) & ~0xffffn) | (2n << 48n) | 0x345n;
  assert.deepEqual(look(make, 'lsl', { selector: SPARE, descriptor: small }), { value: 0x20345n, zf: true });
});

rule('LAR, LSL, VERR and VERW clear ZF for what the ring or the RPL may not use, and write nothing', wrong, (make) => {
  for (const name of ['lar', 'lsl', 'verr', 'verw'] as const) {
    assert.deepEqual(look(make, name, { selector: KERNEL_SS, user: true, zf: true }), { value: -1n, zf: false }, name);
    assert.deepEqual(look(make, name, { selector: KERNEL_SS | 3, zf: true }), { value: -1n, zf: false }, name);
    assert.deepEqual(look(make, name, { selector: 3, zf: true }), { value: -1n, zf: false }, name);
    assert.deepEqual(look(make, name, { selector: 0x1230, zf: true }), { value: -1n, zf: false }, name);
    assert.deepEqual(look(make, name, { selector: KERNEL_SS | 4, zf: true }), { value: -1n, zf: false }, name);
  }
});

rule('LAR, LSL and VERR may use conforming code in every ring', wrong, (make) => {
  const one = { selector: SPARE | 3, descriptor: codeSegment(0) | conforming, user: true };
  for (const name of ['lar', 'lsl', 'verr'] as const) assert.equal(look(make, name, one).zf, true, name);
});

rule('VERR: data and readable code can be read', wrong, (make) => {
  const verr = (descriptor: bigint): boolean => look(make, 'verr', { selector: SPARE, descriptor }).zf;
  assert.equal(verr(dataSegment(0)), true);
  assert.equal(verr(dataSegment(0) & ~writable), true);
  assert.equal(verr(codeSegment(0)), true);
  assert.equal(verr(codeSegment(0) & ~writable), false);
  assert.equal(verr(tssLow | dpl3), false);
});

rule('VERW: writable data can be written', wrong, (make) => {
  const verw = (descriptor: bigint): boolean => look(make, 'verw', { selector: SPARE, descriptor }).zf;
  assert.equal(verw(dataSegment(0)), true);
  assert.equal(verw(dataSegment(0) & ~writable), false);
  assert.equal(verw(codeSegment(0)), false);
  assert.equal(look(make, 'verw', { selector: USER_SS, user: true }).zf, true);
});

rule('VERW takes its selector from memory, as kernels use it', [...wrong, broken.ignoring(Mnemonic.Verw)], (make) => {
  const rig = make(`.data\nselector: .word ${KERNEL_SS}\n.text\nstart: verw selector(%rip)\n`);
  assert.equal(rig.step().flag(Flag.ZF), true);
});

rule('LAR with 16- and 64-bit destinations', broken.losing(Reg.RCX), (make) => {
  const regs = { RAX: BigInt(KERNEL_CS), RCX: -1n };
  assert.equal(make('start: .byte 0x66, 0x0f, 0x02, 0xc8\n', { regs }).step().get('RCX'), 0xffffffff_ffff9b00n);
  assert.equal(make('start: .byte 0x48, 0x0f, 0x02, 0xc8\n', { regs }).step().get('RCX'), 0xaf9b00n);
});

rule(
  'LAR reads the LDT; a descriptor table that is not mapped is #PF',
  [brokenInstr.ignoringTi, broken.withoutCr2],
  (make) => {
    const regs = { RAX: 4n, LDTR: 0x60n, LDTR_BASE: LDT, LDTR_LIMIT: 7n };
    const rig = make(`start: ${BYTES.lar}\n`, { regs });
    rig.setWord(LDT, dataSegment(0));
    assert.equal(rig.step().get('RCX'), 0xcf9300n);
    const fault = make(`start: ${BYTES.lar}\n`, { regs: { ...regs, LDTR_BASE: 0x12345000n } }).step();
    assert.equal(fault.delivered, 14);
    assert.equal(fault.get('CR2'), 0x12345000n);
  },
);
