import assert from 'node:assert/strict';
import { Mnemonic } from 'iced-x86';
import { Reg } from '../../src/cpu/registers.js';
import { codeSegment, dataSegment } from '../../src/harness/descriptors.js';
import * as broken from '../support/broken.js';
import { otherwise } from '../support/broken_debug.js';
import * as brokenInstr from '../support/broken_instr.js';
import { GDT, KERNEL_CS, KERNEL_SS, KERNEL_STACK, SPARE, USER_CS, USER_SS } from '../support/machine.js';
import { rule } from '../support/rule.js';

const user = '.section .text.user,"ax"\n';
const absent = ~(1n << 47n);
const based = (descriptor: bigint, base: bigint): bigint =>
  descriptor | ((base & 0xffffffn) << 16n) | ((base >> 24n) << 56n);

rule('MOV loads DS and ES with the selector', broken.ignoring(Mnemonic.Mov), (make) => {
  const rig = make('start: movl %eax, %ds\n movl %ecx, %es\n', {
    regs: { RAX: BigInt(KERNEL_SS), RCX: BigInt(USER_SS) },
  });
  assert.deepEqual(rig.step(2).all('DS', 'ES'), { DS: BigInt(KERNEL_SS), ES: BigInt(USER_SS) });
});

rule('MOV to FS and GS loads the base of the descriptor, 32 bits', broken.ignoring(Mnemonic.Mov), (make) => {
  const rig = make('start: movl %eax, %fs\n movl %eax, %gs\n', {
    regs: { RAX: BigInt(SPARE) },
    gdt: { [SPARE]: based(dataSegment(0), 0xfedcba98n) },
  }).step(2);
  assert.deepEqual(rig.all('FS', 'GS', 'FS_BASE', 'GS_BASE'), {
    FS: BigInt(SPARE),
    GS: BigInt(SPARE),
    FS_BASE: 0xfedcba98n,
    GS_BASE: 0xfedcba98n,
  });
});

rule(
  'a null selector in DS, ES, FS and GS is allowed in every ring; it clears the base of GS (Intel)',
  broken.keepingGsBase,
  (make) => {
    const rig = make(`${user}start: movl %eax, %ds\n movl %eax, %gs\n`, { regs: { RAX: 3n } }).step(2);
    assert.deepEqual(rig.all('DS', 'GS', 'GS_BASE'), { DS: 3n, GS: 3n, GS_BASE: 0n });
  },
);

rule('a null SS is allowed in ring 0 with RPL 0', broken.ignoring(Mnemonic.Mov), (make) => {
  assert.equal(
    make('start: movl %eax, %ss\n', { regs: { RAX: 0n } })
      .step()
      .get('SS'),
    0n,
  );
});

interface Refusal {
  readonly text: string;
  readonly value: number;
  readonly descriptor?: bigint;
  readonly vector?: number;
  readonly code: number;
}

const REFUSALS: Readonly<Record<string, Refusal>> = {
  'a null SS with RPL 3 in ring 0 is #GP(0)': { text: 'start: movl %eax, %ss', value: 3, code: 0 },
  'a null SS in ring 3 is #GP(0)': { text: `${user}start: movl %eax, %ss`, value: 3, code: 0 },
  'an SS with another RPL than the CPL is #GP(selector)': {
    text: 'start: movl %eax, %ss',
    value: KERNEL_SS | 3,
    code: KERNEL_SS,
  },
  'an SS with another DPL than the CPL is #GP(selector)': {
    text: 'start: movl %eax, %ss',
    value: USER_SS & ~3,
    code: USER_SS & ~3,
  },
  'an SS that is code is #GP(selector)': { text: 'start: movl %eax, %ss', value: KERNEL_CS, code: KERNEL_CS },
  'an SS that is read-only is #GP(selector)': {
    text: 'start: movl %eax, %ss',
    value: SPARE,
    descriptor: dataSegment(0) & ~(1n << 41n),
    code: SPARE,
  },
  'an SS that is not present is #SS(selector)': {
    text: 'start: movl %eax, %ss',
    value: SPARE,
    descriptor: dataSegment(0) & absent,
    vector: 12,
    code: SPARE,
  },
  'a DS that is not present is #NP(selector)': {
    text: 'start: movl %eax, %ds',
    value: SPARE,
    descriptor: dataSegment(0) & absent,
    vector: 11,
    code: SPARE,
  },
  'a DS that is a system descriptor is #GP(selector)': {
    text: 'start: movl %eax, %ds',
    value: SPARE,
    descriptor: dataSegment(0) & ~(1n << 44n),
    code: SPARE,
  },
  'a DS that is code that cannot be read is #GP(selector)': {
    text: 'start: movl %eax, %ds',
    value: SPARE,
    descriptor: codeSegment(0) & ~(1n << 41n),
    code: SPARE,
  },
  'a DS of ring 0 in ring 3 is #GP(selector)': {
    text: `${user}start: movl %eax, %ds`,
    value: KERNEL_SS | 3,
    code: KERNEL_SS,
  },
  'a DS beyond the limit of the GDT is #GP(selector)': { text: 'start: movl %eax, %ds', value: 0x1233, code: 0x1230 },
};
for (const [what, refusal] of Object.entries(REFUSALS)) {
  rule(`MOV: ${what}`, [broken.ignoring(Mnemonic.Mov), broken.withOtherErrorCodes], (make) => {
    const gdt = refusal.descriptor === undefined ? {} : { [SPARE]: refusal.descriptor };
    const rig = make(refusal.text, { regs: { RAX: BigInt(refusal.value) }, gdt }).step();
    assert.equal(rig.delivered, refusal.vector ?? 13);
    assert.equal(rig.errorCode, BigInt(refusal.code));
    assert.equal(rig.frame(true).rip, rig.label('start'));
  });
}

rule('MOV to CS is #UD', broken.skippingFaults, (make) => {
  assert.equal(make('start: .byte 0x8e, 0xc8\n').step().delivered, 6);
});

rule('C-3: MOV to SS casts a shadow, MOV to DS does not', broken.withoutShadows, (make) => {
  const ss = make('start: movl %eax, %ss', { regs: { RAX: BigInt(KERNEL_SS) } }).step();
  assert.equal(ss.get('EVENTS'), 8n);
  const ds = make('start: movl %eax, %ds', { regs: { RAX: BigInt(KERNEL_SS) } }).step();
  assert.equal(ds.get('EVENTS'), 0n);
});

rule('MOV from a segment register zero-extends to 32 and 64 bits', broken.losing(Reg.RAX), (make) => {
  const rig = make('start: movl %cs, %eax\n movq %ss, %rcx\n').step(2);
  assert.deepEqual(rig.all('RAX', 'RCX'), { RAX: BigInt(KERNEL_CS), RCX: BigInt(KERNEL_SS) });
});

rule('MOV from a segment register to a 16-bit register or memory writes 16 bits', broken.losing(Reg.RAX), (make) => {
  const rig = make('start: movw %cs, %ax\n movw %cs, (%rsp)\n', {
    regs: { RAX: 0x1111222233334444n, RSP: KERNEL_STACK - 8n },
  });
  rig.setWord(KERNEL_STACK - 8n, 0x5555666677778888n);
  rig.step(2);
  assert.equal(rig.get('RAX'), 0x1111222233330010n);
  assert.equal(rig.word(KERNEL_STACK - 8n), 0x5555666677770010n);
});

rule('MOV loads a segment register from 16 bits of memory', broken.ignoring(Mnemonic.Mov), (make) => {
  const rig = make('start: movw (%rsp), %ds\n', { regs: { RSP: KERNEL_STACK - 2n } });
  rig.setWord(KERNEL_STACK - 8n, BigInt(USER_CS) << 48n);
  assert.equal(rig.step().get('DS'), BigInt(USER_CS));
});

rule('PUSH of FS pushes 8 bytes, zero-extended; POP loads GS and its base', broken.ignoring(Mnemonic.Pop), (make) => {
  const rig = make('start: push %fs\n pop %gs\n', { regs: { FS: BigInt(USER_SS) } });
  rig.setWord(KERNEL_STACK - 8n, -1n);
  rig.step();
  assert.equal(rig.word(KERNEL_STACK - 8n), BigInt(USER_SS));
  assert.equal(rig.get('RSP'), KERNEL_STACK - 8n);
  rig.step();
  assert.deepEqual(rig.all('GS', 'GS_BASE', 'RSP'), { GS: BigInt(USER_SS), GS_BASE: 0n, RSP: KERNEL_STACK });
});

rule('a null selector keeps the bases of FS and GS on AMD', otherwise('nullSelectorClearsBase'), (make) => {
  const regs = { RAX: 0n, FS_BASE: 0x1234n, GS_BASE: 0x5678n };
  const rig = make('start: movl %eax, %fs\n movl %eax, %gs\n', { regs, profile: { nullSelectorClearsBase: false } });
  assert.deepEqual(rig.step(2).all('FS', 'GS', 'FS_BASE', 'GS_BASE'), {
    ...{ FS: 0n, GS: 0n },
    ...{ FS_BASE: 0x1234n, GS_BASE: 0x5678n },
  });
});

rule(
  'a segment load sets the accessed bit, and writes only if it is clear',
  brokenInstr.withoutDescriptorWrites,
  (make) => {
    const gdt = { [SPARE]: dataSegment(0) & ~(1n << 40n), [SPARE + 8]: dataSegment(0) };
    const rig = make('start: movl %eax, %ds\n movl %ecx, %es\n', {
      regs: { RAX: BigInt(SPARE), RCX: BigInt(SPARE + 8) },
      gdt,
    }).step();
    assert.equal(rig.word(GDT + BigInt(SPARE)), dataSegment(0));
    const written = rig.machine.memory.journalLength;
    assert.ok(written > 0);
    rig.step();
    assert.equal(rig.machine.memory.journalLength, written);
  },
);

rule('a delivery sets the accessed bit of its code segment', brokenInstr.withoutDescriptorWrites, (make) => {
  const gates = { 2: { selector: SPARE } };
  const rig = make('start: nop\n', { gates, gdt: { [SPARE]: codeSegment(0) & ~(1n << 40n) } }).nmi();
  assert.equal(rig.delivered, 2);
  assert.equal(rig.word(GDT + BigInt(SPARE)), codeSegment(0));
});

rule('PUSH and POP of FS and GS with a 16-bit operand move 2 bytes', broken.losing(Reg.RSP), (make) => {
  const regs = { FS: BigInt(USER_SS), RSP: KERNEL_STACK - 8n };
  const rig = make('start: .byte 0x66, 0x0f, 0xa0\n .byte 0x66, 0x0f, 0xa9\n', { regs });
  rig.setWord(KERNEL_STACK - 16n, -1n);
  rig.step();
  assert.equal(rig.get('RSP'), KERNEL_STACK - 10n);
  assert.equal(rig.word(KERNEL_STACK - 16n) >> 48n, BigInt(USER_SS));
  assert.equal(rig.word(KERNEL_STACK - 16n) & 0xffffn, 0xffffn);
  assert.deepEqual(rig.step().all('GS', 'RSP'), { GS: BigInt(USER_SS), RSP: KERNEL_STACK - 8n });
});

const POINTER = KERNEL_STACK - 0x400n;

rule('LSS loads SS and the register, without a shadow', brokenInstr.castingLssShadow, (make) => {
  const rig = make('start: .byte 0x48, 0x0f, 0xb2, 0x20\n', {
    regs: { RAX: POINTER },
    gdt: { [SPARE]: dataSegment(0) },
  });
  rig.setWord(POINTER, 0x123456789abcn);
  rig.setWord(POINTER + 8n, BigInt(SPARE));
  assert.deepEqual(rig.step().all('SS', 'RSP', 'EVENTS'), { SS: BigInt(SPARE), RSP: 0x123456789abcn, EVENTS: 0n });
});

rule('LFS and LGS load the selector, the base and the register', brokenInstr.losingAll(Reg.FS, Reg.GS_BASE), (make) => {
  const gdt = { [SPARE]: based(dataSegment(0), 0x12345678n) };
  const rig = make('start: .byte 0x0f, 0xb4, 0x08\n .byte 0x66, 0x0f, 0xb5, 0x18\n', {
    regs: { RAX: POINTER, RCX: -1n, RBX: -1n },
    gdt,
  });
  rig.setWord(POINTER, (BigInt(SPARE) << 32n) | 0x89abcdefn);
  assert.deepEqual(rig.step().all('FS', 'FS_BASE', 'RCX'), {
    FS: BigInt(SPARE),
    FS_BASE: 0x12345678n,
    RCX: 0x89abcdefn,
  });
  rig.setWord(POINTER, (BigInt(SPARE) << 16n) | 0xcdefn);
  assert.deepEqual(rig.step().all('GS', 'GS_BASE', 'RBX'), {
    GS: BigInt(SPARE),
    GS_BASE: 0x12345678n,
    RBX: 0xffffffff_ffffcdefn,
  });
});

rule('LSS with a selector that cannot be loaded faults and loads nothing', broken.ignoring(Mnemonic.Lss), (make) => {
  const rig = make('start: .byte 0x48, 0x0f, 0xb2, 0x20\n', { regs: { RAX: POINTER } });
  rig.setWord(POINTER + 8n, BigInt(USER_SS));
  rig.step();
  assert.deepEqual([rig.delivered, rig.errorCode, rig.frame(true).rsp], [13, BigInt(USER_SS & ~3), KERNEL_STACK]);
});

rule(
  'a RIP-relative operand with a segment override has the base of the segment added',
  broken.losing(Reg.DS),
  (make) => {
    const rig = make('.data\nselectors: .word 0, 0, 0x18\n.text\nstart: movw %gs:selectors(%rip), %ds\n', {
      regs: { GS_BASE: 4n },
    });
    assert.equal(rig.step().get('DS'), BigInt(KERNEL_SS));
  },
);
