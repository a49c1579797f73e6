import assert from 'node:assert/strict';
import { Mnemonic } from 'iced-x86';
import { NotModelled } from '../../src/cpu/not_modelled.js';
import { Reg } from '../../src/cpu/registers.js';
import { Origin } from '../../src/harness/delivery.js';
import * as broken from '../support/broken.js';
import * as brokenInstr from '../support/broken_instr.js';
import { KERNEL_STACK, type Rig, USER_STACK } from '../support/machine.js';
import { rule } from '../support/rule.js';

const user = '.section .text.user,"ax"\n';

const isGp = (rig: Rig): void => {
  assert.equal(rig.delivered, 13);
  assert.equal(rig.errorCode, 0n);
  assert.equal(rig.frame(true).rip, rig.label('start'));
};

/**
 * Instructions that are #GP(0) in ring 3 and would do something in ring 0; with a value for RAX that they would take.
 */
const PRIVILEGED: Readonly<Record<string, readonly [text: string, rax: bigint]>> = {
  hlt: ['hlt', 0n],
  clts: ['.byte 0x0f, 0x06', 0n],
  invd: ['.byte 0x0f, 0x08', 0n],
  wbinvd: ['.byte 0x0f, 0x09', 0n],
  'mov %cr0, %rax': ['movq %cr0, %rax', 0n],
  'mov %rax, %cr4': ['movq %rax, %cr4', 0x60n],
  'mov %dr7, %rax': ['.byte 0x0f, 0x21, 0xf8', 0n],
  'mov %rax, %dr7': ['.byte 0x0f, 0x23, 0xf8', 0x400n],
  'invpcid (%rsp), %rax': ['.byte 0x66, 0x0f, 0x38, 0x82, 0x04, 0x24', 0n],
  rdmsr: ['rdmsr', 0n],
  wrmsr: ['wrmsr', 0n],
  swapgs: ['swapgs', 0n],
};
for (const [name, [text, rax]] of Object.entries(PRIVILEGED)) {
  rule(`${name} in ring 3 is #GP(0)`, broken.withoutPrivilege, (make) => {
    const regs = { RSP: USER_STACK - 0x100n, RAX: rax, RCX: 0x48n, RDX: 0n };
    isGp(make(`${user}start: ${text}\n`, { regs }).step());
  });
}

/** Instructions of extensions that CPUID does not report, and those that are undefined outside their mode. */
const UNDEFINED: Readonly<Record<string, string>> = {
  stgi: '.byte 0x0f, 0x01, 0xdc',
  vmrun: '.byte 0x0f, 0x01, 0xd8',
  setssbsy: '.byte 0xf3, 0x0f, 0x01, 0xe8',
  encls: '.byte 0x0f, 0x01, 0xcf',
  xsetbv: '.byte 0x0f, 0x01, 0xd1',
  monitor: '.byte 0x0f, 0x01, 0xc8',
  mwait: '.byte 0x0f, 0x01, 0xc9',
};
for (const [name, text] of Object.entries(UNDEFINED)) {
  rule(`${name} in ring 3 is #UD`, broken.withOtherVectors, (make) => {
    assert.equal(make(`${user}start: ${text}\n`).step().delivered, 6);
  });
  rule(`${name} in ring 0 is refused`, broken.executingAnything, (make) => {
    assert.throws(() => make(`start: ${text}\n`).step(), NotModelled);
  });
}

rule('XSETBV in ring 3 is #GP(0) where CR4.OSXSAVE is set', broken.withOtherVectors, (make) => {
  isGp(make(`${user}start: .byte 0x0f, 0x01, 0xd1\n`, { regs: { CR4: 0x40060n } }).step());
});

/** What reads a counter, and the CR4 bit that decides about ring 3. */
const COUNTERS: Readonly<Record<string, readonly [text: string, forbids: bigint, allows: bigint]>> = {
  rdtsc: ['.byte 0x0f, 0x31', 0x64n, 0x60n],
  rdtscp: ['.byte 0x0f, 0x01, 0xf9', 0x64n, 0x60n],
  rdpmc: ['.byte 0x0f, 0x33', 0x60n, 0x160n],
};
for (const [name, [text, forbids, allows]] of Object.entries(COUNTERS)) {
  rule(`${name} in ring 3 is #GP(0) by CR4`, broken.skippingFaults, (make) => {
    isGp(make(`${user}start: ${text}\n`, { regs: { CR4: forbids } }).step());
  });
  rule(`${name} is refused where it would read`, broken.executingAnything, (make) => {
    assert.throws(() => make(`${user}start: ${text}\n`, { regs: { CR4: allows } }).step(), NotModelled);
    assert.throws(() => make(`start: ${text}\n`, { regs: { CR4: forbids } }).step(), NotModelled);
  });
}

rule('INTO and the pushes and pops of CS, SS, DS and ES are #UD in 64-bit mode', broken.skippingFaults, (make) => {
  for (const byte of [0xce, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x06, 0x07]) {
    const rig = make(`start: .byte ${byte}\n`).step();
    assert.equal(rig.delivered, 6);
    assert.equal(rig.machine.happened.origin, Origin.EXCEPTION);
  }
});

rule('WBINVD and INVD do nothing in ring 0', broken.skippingFaults, (make) => {
  const rig = make('start: .byte 0x0f, 0x08\n .byte 0x0f, 0x09\n ud2\n').step(2);
  assert.equal(rig.step().delivered, 6);
});

const MEMORY = KERNEL_STACK - 0x400n;

rule('INVPCID checks its type and its descriptor, and does nothing else', broken.ignoring(Mnemonic.Invpcid), (make) => {
  const run = (type: bigint, low: bigint, high: bigint, cr4 = 0x20060n): Rig => {
    const rig = make('start: .byte 0x66, 0x0f, 0x38, 0x82, 0x01\n', { regs: { RAX: type, RCX: MEMORY, CR4: cr4 } });
    rig.setWord(MEMORY, low);
    rig.setWord(MEMORY + 8n, high);
    return rig.step();
  };
  for (const type of [0n, 1n, 2n, 3n]) assert.equal(run(type, 0xfffn, 0x400000n).delivered, undefined);
  isGp(run(4n, 0n, 0n));
  isGp(run(2n, 0x1000n, 0n));
  isGp(run(0n, 0n, 0x800000000000n));
  assert.equal(run(2n, 0n, 0x800000000000n).delivered, undefined);
  // Without PCIDs there is only one.
  isGp(run(1n, 1n, 0n, 0x60n));
  assert.equal(run(3n, 1n, 0n, 0x60n).delivered, undefined);
  const fault = make('start: .byte 0x66, 0x0f, 0x38, 0x82, 0x01\n', { regs: { RAX: 0n, RCX: 0x12345000n } }).step();
  assert.equal(fault.delivered, 14);
});

// CPUID and RDPID.

const cpuid = (rig: Rig): Record<string, bigint> => rig.step().all('RAX', 'RBX', 'RCX', 'RDX');

rule(
  'CPUID leaf 0 names the vendor of the profile, and clears the upper halves',
  [broken.ignoring(Mnemonic.Cpuid), brokenInstr.keepingUpperHalves(Reg.RBX)],
  (make) => {
    const text = (leaf: Record<string, bigint>): string =>
      [leaf.RBX!, leaf.RDX!, leaf.RCX!].map((r) => Buffer.from(Uint32Array.of(Number(r)).buffer).toString()).join('');
    const upper = { RAX: 0xffffffff00000000n, RBX: -1n };
    const intel = cpuid(make('start: cpuid\n', { regs: upper }));
    assert.equal(text(intel), 'GenuineIntel');
    assert.equal(intel.RAX, 7n);
    assert.equal(intel.RBX! >> 32n, 0n);
    const amd = cpuid(make('start: cpuid\n', { regs: upper, profile: { vendor: 'amd' } }));
    assert.equal(text(amd), 'AuthenticAMD');
  },
);

rule('CPUID reports what the machine has, and not what it refuses', broken.ignoring(Mnemonic.Cpuid), (make) => {
  const at = (leaf: bigint, options: Parameters<typeof make>[1] = {}): Record<string, bigint> =>
    cpuid(make('start: cpuid\n', { ...options, regs: { RAX: leaf, RCX: 0n, ...options.regs } }));
  const bit = (word: bigint | undefined, n: bigint): boolean => ((word! >> n) & 1n) !== 0n;
  const one = at(1n);
  // MSR, SEP, and neither TSC, FPU, FXSR nor SSE2.
  assert.deepEqual(
    [5n, 11n, 0n, 4n, 24n, 26n].map((n) => bit(one.RDX, n)),
    [true, true, false, false, false, false],
  );
  // OSXSAVE follows CR4.
  assert.equal(bit(one.RCX, 27n), false);
  assert.equal(bit(at(1n, { regs: { CR4: 0x40060n } }).RCX, 27n), true);
  const seven = at(7n);
  assert.deepEqual(
    [0n, 7n, 20n, 5n].map((n) => bit(seven.RBX, n)),
    [true, true, true, false],
  );
  assert.deepEqual(
    [2n, 22n, 16n].map((n) => bit(seven.RCX, n)),
    [true, true, false],
  );
  assert.equal(bit(at(7n, { profile: { la57: true } }).RCX, 16n), true);
  assert.equal(bit(at(7n, { regs: { RCX: 1n }, profile: { fred: true } }).RAX, 17n), true);
  assert.equal(bit(at(7n, { regs: { RCX: 1n } }).RAX, 17n), false);
  assert.deepEqual(
    [11n, 29n, 27n].map((n) => bit(at(0x80000001n).RDX, n)),
    [true, true, false],
  );
  assert.equal(at(0x80000008n).RAX, 0x3034n);
});

rule(
  'CPUID beyond the last leaf: the last basic one on Intel, zero on AMD',
  broken.ignoring(Mnemonic.Cpuid),
  (make) => {
    const beyond = { RAX: 0x1234n, RCX: 0n };
    const seven = cpuid(make('start: cpuid\n', { regs: { RAX: 7n, RCX: 0n } }));
    assert.deepEqual(cpuid(make('start: cpuid\n', { regs: beyond })), seven);
    const amd = cpuid(make('start: cpuid\n', { regs: beyond, profile: { vendor: 'amd' } }));
    assert.deepEqual(amd, { RAX: 0n, RBX: 0n, RCX: 0n, RDX: 0n });
  },
);

rule('RDPID gives TSC_AUX in every ring', broken.losing(Reg.RAX), (make) => {
  const rig = make(`${user}start: .byte 0xf3, 0x0f, 0xc7, 0xf8\n`, { regs: { TSC_AUX: 0x12345678n, RAX: -1n } });
  assert.equal(rig.step().get('RAX'), 0x12345678n);
});
