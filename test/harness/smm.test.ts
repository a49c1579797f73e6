/** System-management mode: SDM vol. 3, chapter 34; APM vol. 2, chapter 10. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { NotModelled } from '../../src/cpu/not_modelled.js';
import { Reg, type RegisterName } from '../../src/cpu/registers.js';
import { EventState } from '../../src/harness/event_state.js';
import type { Profile } from '../../src/profiles/profile.js';
import * as broken from '../support/broken.js';
import * as smm from '../support/broken_smm.js';
import { GDT, IDT, KERNEL_CS, KERNEL_STACK, Rig, TASK, TSS, USER_CS, USER_SS, USER_STACK } from '../support/machine.js';
import { rule } from '../support/rule.js';
import { makeSmm, SMBASE, saved, setSaved } from '../support/smm.js';

const code = 'start: nop\n nop\n nop\n nop\nv2: nop\n iretq\nv18: nop\n iretq\nv1: nop\n iretq\n';
const plain = 'smi_handler: rsm\n';
/** SMM code with an IRET: two instructions up to it, and two after it. */
const withIret = `smi_handler: rsm
smi_handler_iret: leaq after_iret(%rip), %rax
 pushq $0x18
 pushq %rsp
 pushq $2
 pushq $0x10
 pushq %rax
 iretq
after_iret: nop
 rsm
smm_nmi: nop
 iretq
`;
const PREPARED = 6;

rule(
  'A-7: an SMI is taken at a boundary whatever IF is, and blocks NMIs and SMIs',
  smm.withoutBlockingInSmm,
  (make) => {
    const rig = makeSmm(make, code, plain, { regs: { RFLAGS: 2n } })
      .step()
      .fire('smi');
    assert.equal(rig.rip, rig.label('smi_handler'));
    assert.equal(rig.event(EventState.SMM), true);
    assert.equal(rig.event(EventState.SMI_PENDING), false);
    assert.equal(rig.machine.nmi.blocked, true);
  },
);

rule(
  'A-7: an SMI leaves the stacks of the system alone and begins on its own, in ring 0',
  [smm.keepingOverSmi(Reg.RSP), smm.keepingOverSmi(Reg.CS)],
  (make) => {
    const rig = makeSmm(make, `.section .text.user,"ax",@progbits\n${code}`, plain);
    const below = rig.word(USER_STACK - 8n);
    rig.fire('smi');
    assert.equal(rig.machine.cpu.cpl, 0);
    assert.equal(rig.get('RSP'), SMBASE + 0xfc00n);
    assert.equal(rig.word(USER_STACK - 8n), below);
  },
);

rule(
  'A-7: TF, IF and the other flags, DR7 and CR4 are cleared in SMM',
  [smm.keepingOverSmi(Reg.RFLAGS), smm.keepingOverSmi(Reg.DR7), smm.keepingOverSmi(Reg.CR4)],
  (make) => {
    const rig = makeSmm(make, code, 'smi_handler: nop\n rsm\n', { regs: { RFLAGS: 0x40747n, DR7: 0x455n } }).fire(
      'smi',
    );
    assert.equal(rig.get('RFLAGS'), 2n);
    assert.equal(rig.get('DR7'), 0x400n);
    assert.equal(rig.get('CR4'), 0x20n);
    assert.equal(rig.step().rip, rig.label('smi_handler') + 1n);
    assert.equal(rig.delivered, undefined);
  },
);

/** Every register has a value of its own, so that none can be mistaken for another. */
const STATE: Readonly<Partial<Record<RegisterName, bigint>>> = {
  RFLAGS: 0xad7n,
  ...{ CR3: 0x1234000n, DR6: 0xffff4ff1n, DR7: 0x0f0f0755n, FS_BASE: 0x1122334455n, GS_BASE: 0xffff888011223344n },
  ...{ LDTR: 0x78n, LDTR_BASE: 0xffffaaaabbbbccccn, LDTR_LIMIT: 0x2fn, DS: 0x18n, ES: 0x2bn, FS: 0x2an, GS: 0x1an },
};

/** The documented places: offset from SMBASE + 8000H, bytes. */
const INTEL: readonly (readonly [RegisterName, number, 2 | 4 | 8])[] = [
  ...([
    ['CR0', 0x7ff8, 8],
    ['CR3', 0x7ff0, 8],
    ['RFLAGS', 0x7fe8, 8],
    ['EFER', 0x7fe0, 8],
    ['RIP', 0x7fd8, 8],
  ] as const),
  ...([
    ['DR6', 0x7fd0, 8],
    ['DR7', 0x7fc8, 8],
    ['TR', 0x7fc4, 4],
    ['LDTR', 0x7fc0, 4],
    ['GS', 0x7fbc, 4],
  ] as const),
  ...([
    ['FS', 0x7fb8, 4],
    ['DS', 0x7fb4, 4],
    ['SS', 0x7fb0, 4],
    ['CS', 0x7fac, 4],
    ['ES', 0x7fa8, 4],
  ] as const),
  ...([
    ['RDI', 0x7f94, 8],
    ['RSI', 0x7f8c, 8],
    ['RBP', 0x7f84, 8],
    ['RSP', 0x7f7c, 8],
    ['RBX', 0x7f74, 8],
  ] as const),
  ...([
    ['RDX', 0x7f6c, 8],
    ['RCX', 0x7f64, 8],
    ['RAX', 0x7f5c, 8],
    ['R8', 0x7f54, 8],
    ['R9', 0x7f4c, 8],
  ] as const),
  ...([
    ['R10', 0x7f44, 8],
    ['R11', 0x7f3c, 8],
    ['R12', 0x7f34, 8],
    ['R13', 0x7f2c, 8],
    ['R14', 0x7f24, 8],
  ] as const),
  ...([
    ['R15', 0x7f1c, 8],
    ['SMBASE', 0x7ef8, 4],
    ['CR4', 0x7e40, 4],
  ] as const),
];
const AMD: readonly (readonly [RegisterName, number, 2 | 4 | 8])[] = [
  ...([
    ['RAX', 0x7ff8, 8],
    ['RCX', 0x7ff0, 8],
    ['RDX', 0x7fe8, 8],
    ['RBX', 0x7fe0, 8],
    ['RSP', 0x7fd8, 8],
  ] as const),
  ...([
    ['RBP', 0x7fd0, 8],
    ['RSI', 0x7fc8, 8],
    ['RDI', 0x7fc0, 8],
    ['R8', 0x7fb8, 8],
    ['R9', 0x7fb0, 8],
  ] as const),
  ...([
    ['R10', 0x7fa8, 8],
    ['R11', 0x7fa0, 8],
    ['R12', 0x7f98, 8],
    ['R13', 0x7f90, 8],
    ['R14', 0x7f88, 8],
  ] as const),
  ...([
    ['R15', 0x7f80, 8],
    ['RIP', 0x7f78, 8],
    ['RFLAGS', 0x7f70, 8],
    ['DR6', 0x7f68, 8],
    ['DR7', 0x7f60, 8],
  ] as const),
  ...([
    ['CR0', 0x7f58, 8],
    ['CR3', 0x7f50, 8],
    ['CR4', 0x7f48, 8],
    ['SMBASE', 0x7f00, 4],
    ['EFER', 0x7ed0, 8],
  ] as const),
  ...([
    ['ES', 0x7e00, 2],
    ['CS', 0x7e10, 2],
    ['SS', 0x7e20, 2],
    ['DS', 0x7e30, 2],
    ['FS', 0x7e40, 2],
  ] as const),
  ...([
    ['FS_BASE', 0x7e48, 8],
    ['GS', 0x7e50, 2],
    ['GS_BASE', 0x7e58, 8],
    ['GDTR_LIMIT', 0x7e64, 2],
  ] as const),
  ...([
    ['GDTR_BASE', 0x7e68, 8],
    ['LDTR', 0x7e70, 2],
    ['LDTR_LIMIT', 0x7e74, 4],
    ['LDTR_BASE', 0x7e78, 8],
  ] as const),
  ...([
    ['IDTR_LIMIT', 0x7e84, 2],
    ['IDTR_BASE', 0x7e88, 8],
    ['TR', 0x7e90, 2],
    ['TR_LIMIT', 0x7e94, 4],
  ] as const),
  ...([['TR_BASE', 0x7e98, 8]] as const),
];

rule('A-7: Intel: each register is saved at its place in the Intel 64 map', smm.withOtherMap, (make) => {
  const rig = makeSmm(make, code, plain, { regs: STATE }).step();
  const expected = rig.all(...INTEL.map(([name]) => name));
  rig.fire('smi');
  assert.deepEqual(Object.fromEntries(INTEL.map(([name, at, bytes]) => [name, saved(rig, at, bytes)])), expected);
  // The table has their bases in two halves each.
  const base = (low: number, high: number): bigint => saved(rig, low, 4) | (saved(rig, high, 4) << 32n);
  assert.equal(base(0x7e94, 0x7dd8), IDT);
  assert.equal(base(0x7e8c, 0x7dd0), GDT);
  assert.equal(base(0x7e9c, 0x7dd4), STATE.LDTR_BASE);
  assert.equal(saved(rig, 0x7efc, 4) & 0xffff0000n, 0x20000n);
});

rule('A-7: AMD: each register is saved at its place in the AMD64 map', smm.withOtherMap, (make) => {
  const rig = makeSmm(make, code, plain, { regs: STATE, profile: { vendor: 'amd' } }).step();
  const expected = rig.all(...AMD.map(([name]) => name));
  rig.fire('smi');
  assert.deepEqual(Object.fromEntries(AMD.map(([name, at, bytes]) => [name, saved(rig, at, bytes)])), expected);
  assert.equal(saved(rig, 0x7efc, 4), 0x20064n);
});

/** SMM code that changes what it can. */
const changing = `smi_handler: xor %eax, %eax
 xor %ecx, %ecx
 xor %edx, %edx
 xor %ebx, %ebx
 xor %ebp, %ebp
 xor %esi, %esi
 xor %edi, %edi
${[8, 9, 10, 11, 12, 13, 14, 15].map((n) => ` xor %r${n}d, %r${n}d\n`).join('')} rsm
`;

for (const vendor of ['intel', 'amd'] as const) {
  const registers = (Object.keys(Reg) as RegisterName[]).filter((name) => name !== 'EVENTS');
  rule(
    `A-7: ${vendor}: RSM brings back all registers, and ring 3`,
    [
      'RAX',
      'R15',
      'RIP',
      'RSP',
      'RFLAGS',
      'CS',
      'SS',
      'DS',
      'CR4',
      'EFER',
      'DR7',
      'FS_BASE',
      'GS_BASE',
      'IDTR_BASE',
      'GDTR_LIMIT',
    ].map((name) => smm.keepingOverRsm(Reg[name as RegisterName])),
    (make) => {
      const user = `.section .text.user,"ax",@progbits\n${code}`;
      const rig = makeSmm(make, user, changing, { regs: { ...STATE, CR3: 0n }, profile: { vendor } }).step();
      const before = rig.all(...registers);
      rig.fire('smi');
      for (let i = 0; rig.event(EventState.SMM) && i < 50; i++) rig.step();
      assert.deepEqual(rig.all(...registers), before);
      assert.equal(rig.event(EventState.SMM), false);
      assert.equal(rig.machine.nmi.blocked, false);
      assert.deepEqual(rig.all('CS', 'SS', 'TR', 'TR_BASE'), {
        ...{ CS: BigInt(USER_CS), SS: BigInt(USER_SS), TR: BigInt(TASK), TR_BASE: TSS },
      });
      assert.equal(rig.step().rip, rig.label('start') + 2n);
    },
  );
}

rule('A-7: SMM code may change RIP, RSP, RFLAGS and general registers in SMRAM', smm.withoutSmram, (make) => {
  const rig = makeSmm(make, code, plain).fire('smi');
  setSaved(rig, 0x7fd8, rig.label('start') + 3n);
  setSaved(rig, 0x7f7c, KERNEL_STACK - 64n);
  setSaved(rig, 0x7fe8, 0x40003n);
  setSaved(rig, 0x7f5c, 0x1234n);
  rig.step();
  assert.equal(rig.rip, rig.label('start') + 3n);
  assert.deepEqual(rig.all('RSP', 'RFLAGS', 'RAX'), { RSP: KERNEL_STACK - 64n, RFLAGS: 0x40003n, RAX: 0x1234n });
});

rule('A-7: CR2, DR0 to DR3 and the MSRs are not saved', smm.withoutSmram, (make) => {
  const changed = ['CR2', 'DR0', 'DR3', 'KERNEL_GS_BASE', 'STAR', 'LSTAR', 'FMASK', 'TSC_AUX', 'SYSENTER_EIP'] as const;
  const rig = makeSmm(make, code, plain).fire('smi');
  const values = Object.fromEntries(changed.map((name, i) => [name, BigInt(0x1000 + i)]));
  rig.set(values).step();
  assert.equal(rig.rip, rig.label('start'));
  assert.deepEqual(rig.all(...changed), values);
});

rule('A-7: RSM loads SMBASE from SMRAM', smm.keepingOverRsm(Reg.SMBASE), (make) => {
  const rig = makeSmm(make, code, plain).fire('smi');
  setSaved(rig, 0x7ef8, 0x7f008000n, 4);
  assert.equal(rig.step().get('SMBASE'), 0x7f008000n);
});

const SAVE_AREA = SMBASE + 0xfc00n;

for (const [what, text, code, regs] of [
  ['a read', 'start: movq (%rbx), %rax\n', 0n, { RBX: SAVE_AREA }],
  ['a write', 'start: movq %rax, (%rbx)\n', 2n, { RBX: SAVE_AREA }],
  ['a read of its tables', 'start: movl (%rbx), %eax\n', 0n, { RBX: SMBASE + 0xe000n }],
  ['a fetch', 'start: nop\n', 0x10n, { RIP: SMBASE + 0x8000n }],
] as const) {
  rule(`SDM 34.4.2: SMRAM cannot be reached outside SMM: ${what} is #PF`, smm.openingSmram, (make) => {
    const rig = makeSmm(make, text, plain, { regs });
    setSaved(rig, 0x7c00, 0x1234n);
    rig.step();
    assert.equal(rig.delivered, 14);
    assert.equal(rig.errorCode, code);
    assert.equal(rig.get('CR2'), 'RBX' in regs ? regs.RBX : regs.RIP);
    assert.equal(saved(rig, 0x7c00), 0x1234n);
  });
}

rule('SDM 34.4.2: nor can it by the processor itself: a frame that goes there is #PF', smm.openingSmram, (make) => {
  const rig = makeSmm(make, 'start: int3\n', plain, { regs: { RSP: SAVE_AREA }, gates: { 14: { ist: 1 } } }).step();
  assert.equal(rig.delivered, 14);
  assert.equal(rig.get('CR2'), SAVE_AREA - 8n);
});

const touching = 'smi_handler: pushq %rcx\n movq 0x400(%rsp), %rax\n popq %rdx\n nop\n rsm\n';

rule('SDM 34.4.2: SMM code reads, writes and executes SMRAM', smm.closingSmram, (make) => {
  const rig = makeSmm(make, code, touching, { regs: { RCX: 0x5678n } }).fire('smi');
  assert.equal(rig.rip, rig.label('smi_handler'));
  setSaved(rig, 0x7ff8, 0x80050033n);
  rig.step(3);
  assert.equal(rig.delivered, undefined);
  assert.deepEqual(rig.all('RAX', 'RDX'), { RAX: 0x80050033n, RDX: 0x5678n });
});

rule('SDM 34.4.2: RSM closes SMRAM again', [smm.leavingSmramOpen, smm.openingSmram], (make) => {
  const rig = makeSmm(make, 'start: movq (%rbx), %rax\n', plain, { regs: { RBX: SAVE_AREA } })
    .fire('smi')
    .step();
  assert.equal(rig.rip, rig.label('start'));
  assert.equal(rig.step().delivered, 14);
});

rule('SDM 34.4.2: whether SMRAM is open goes back with the state', smm.leavingSmramOpen, (make) => {
  const rig = makeSmm(make, 'start: movq (%rbx), %rax\n', touching, { regs: { RBX: SAVE_AREA } });
  const outside = rig.machine.snapshot();
  const inside = rig.fire('smi').machine.snapshot();
  rig.machine.restore(outside);
  assert.equal(rig.step().delivered, 14);
  rig.machine.restore(inside);
  assert.equal(rig.step().delivered, undefined);
  assert.equal(rig.rip, rig.label('smi_handler') + 1n);
});

test('an SMI with SMBASE where there is no memory is refused', () => {
  const rig = makeSmm((text, options) => new Rig(text, options), code, plain, { regs: { SMBASE: 0x30000n } });
  assert.throws(
    () => rig.fire('smi'),
    (e) => e instanceof NotModelled && /SMBASE is 0x30000/.test(e.what),
  );
});

rule('A-7: outside SMM, RSM is an undefined instruction', broken.skippingFaults, (make) => {
  assert.equal(makeSmm(make, 'start: rsm\n', plain).step().delivered, 6);
});

for (const [what, vendor, offset, value] of [
  ['a reserved bit of CR4', 'intel', 0x7e40, 0x8020n],
  ['CR0.PG without CR0.PE', 'intel', 0x7ff8, 0x80050032n],
  ['CR0.NW without CR0.CD', 'intel', 0x7ff8, 0xa0050033n],
  ['a reserved bit of EFER', 'amd', 0x7ed0, 0xd03n],
  ['EFER.LMA without CR4.PAE', 'amd', 0x7f48, 0n],
] as const) {
  rule(`A-7: an RSM that finds ${what} shuts the processor down`, smm.neverShuttingDown, (make) => {
    const rig = makeSmm(make, code, plain, { profile: { vendor } }).fire('smi');
    setSaved(rig, offset, value, 4);
    assert.equal(rig.step().event(EventState.SHUTDOWN), true);
    assert.equal(rig.machine.happened.shutdown, true);
  });
}

// NMIs and SMM.

rule(
  'A-7: an NMI in SMM is latched, and serviced after RSM before the next instruction',
  [smm.losingNmisInSmm, smm.withoutBlockingInSmm],
  (make) => {
    const rig = makeSmm(make, code, 'smi_handler: nop\n rsm\n').step().fire('smi').nmi().step();
    assert.equal(rig.rip, rig.label('smi_handler') + 1n);
    assert.equal(rig.machine.nmi.pending, true);
    assert.equal(rig.step().rip, rig.label('start') + 1n);
    assert.equal(rig.step().delivered, 2);
    assert.equal(rig.frame().rip, rig.label('start') + 1n);
  },
);

rule('A-7: one NMI is latched in SMM', smm.withoutBlockingInSmm, (make) => {
  const rig = makeSmm(make, code, 'smi_handler: nop\n rsm\n').fire('smi').nmi();
  assert.equal(rig.machine.nmi.pending, true);
  assert.equal(rig.machine.may('nmi'), false);
});

rule('A-7: NMIs that were blocked before the SMI are blocked after RSM', smm.withoutNmisBefore, (make) => {
  const rig = makeSmm(make, code, plain).nmi().fire('smi').nmi().step();
  assert.equal(rig.rip, rig.label('v2'));
  assert.equal(rig.machine.nmi.blocked, true);
  assert.equal(rig.step().rip, rig.label('v2') + 1n);
  // Its IRET lets the latched one through.
  assert.equal(rig.step(2).delivered, 2);
});

rule(
  'A-7: an IRET in SMM enables NMIs in SMM; they go to the handler of the firmware',
  smm.neverUnblockingInSmm,
  (make) => {
    const rig = makeSmm(make, code, withIret).fire('smi-iret').step(PREPARED).nmi();
    assert.equal(rig.delivered, undefined);
    assert.equal(rig.step().rip, rig.label('after_iret'));
    assert.equal(rig.machine.nmi.blocked, false);
    assert.equal(rig.step().delivered, 2);
    assert.equal(rig.rip, rig.label('smm_nmi'));
    assert.equal(rig.event(EventState.SMM), true);
    assert.equal(rig.step(2).rip, rig.label('after_iret'));
  },
);

const POLICIES: readonly (readonly [Profile['smmNmiPolicy'], boolean, boolean])[] = [
  ['preserved', true, true],
  ['iret-unblocks', true, false],
  ['rsm-unblocks', false, false],
];

for (const [smmNmiPolicy, plainly, afterIret] of POLICIES) {
  rule(`A-7: NMIs after an RSM in an NMI handler, policy ${smmNmiPolicy}`, smm.withOtherNmiPolicy, (make) => {
    const options = { profile: { smmNmiPolicy } };
    const one = makeSmm(make, code, withIret, options).nmi().fire('smi').step();
    assert.equal(one.rip, one.label('v2'));
    assert.equal(one.machine.nmi.blocked, plainly);
    const other = makeSmm(make, code, withIret, options)
      .nmi()
      .fire('smi-iret')
      .step(PREPARED + 3);
    assert.equal(other.rip, other.label('v2'));
    assert.equal(other.machine.nmi.blocked, afterIret);
  });

  rule(`A-7: NMIs that were not blocked are not after RSM, policy ${smmNmiPolicy}`, smm.blockingAfterRsm, (make) => {
    for (const [event, steps] of [
      ['smi', 1],
      ['smi-iret', PREPARED + 3],
    ] as const) {
      const rig = makeSmm(make, code, withIret, { profile: { smmNmiPolicy } }).fire(event).step(steps);
      assert.equal(rig.rip, rig.label('start'));
      assert.equal(rig.machine.nmi.blocked, false);
    }
  });
}

rule('A-7: an IRET that faults in SMM counts where it unblocks NMIs', broken.otherIretFaultRule, (make) => {
  const faulting = 'smi_handler: rsm\nsmi_handler_iret: pushq $0\n pushq $0\n pushq $0\n pushq $0\n iretq\n';
  for (const iretFaultUnblocksNmi of [true, false]) {
    const profile = { smmNmiPolicy: 'iret-unblocks', iretFaultUnblocksNmi } as const;
    const rig = makeSmm(make, code, faulting, { profile, regs: { IDTR_BASE: IDT } })
      .nmi()
      .fire('smi-iret')
      .step(5);
    assert.equal(rig.event(EventState.SMM_IRET), iretFaultUnblocksNmi);
  }
});

// SMIs among other events.

rule('A-7: an SMI in SMM is latched, and taken after RSM', [smm.losingSmisInSmm, smm.nestingSmis], (make) => {
  const rig = makeSmm(make, code, 'smi_handler: nop\n rsm\n').fire('smi').step().fire('smi');
  assert.equal(rig.rip, rig.label('smi_handler') + 1n);
  assert.equal(rig.machine.may('smi'), false);
  assert.equal(rig.step().rip, rig.label('start'));
  assert.equal(rig.step().rip, rig.label('smi_handler'));
});

rule('A-7: smi and smi-iret begin with SMM code of their own', smm.withOneHandler, (make) => {
  assert.equal(makeSmm(make, code, withIret).fire('smi').rip, makeSmm(make, code, withIret).label('smi_handler'));
  const rig = makeSmm(make, code, withIret).fire('smi-iret');
  assert.equal(rig.rip, rig.label('smi_handler_iret'));
});

rule('C-1: an SMI comes before an NMI at the same boundary', smm.beforeSmi(EventState.NMI_PENDING), (make) => {
  const rig = makeSmm(make, code, 'smi_handler: nop\n rsm\n').fire('smi').nmi().fire('smi').step(2);
  assert.equal(rig.rip, rig.label('start'));
  assert.equal(rig.step().rip, rig.label('smi_handler'));
  assert.equal(rig.machine.nmi.pending, true);
  // Then the NMI, still before the instruction.
  assert.equal(rig.step(2).rip, rig.label('start'));
  assert.equal(rig.step().delivered, 2);
});

rule(
  'C-1: an SMI comes before a pending debug exception, which waits for RSM',
  [smm.beforeSmi(EventState.PENDING_BS), smm.losingPendingDebug],
  (make) => {
    const rig = makeSmm(make, code, 'smi_handler: nop\n rsm\n').step();
    rig.set({ EVENTS: BigInt(EventState.PENDING_BS | EventState.SMI_PENDING) }).step();
    assert.equal(rig.rip, rig.label('smi_handler'));
    assert.equal(rig.step().delivered, undefined);
    assert.equal(rig.step().rip, rig.label('start') + 1n);
    assert.equal(rig.step().delivered, 1);
    assert.equal(rig.frame().rip, rig.label('start') + 1n);
  },
);

rule('C-1: #MC comes before an SMI at the same boundary', smm.beforeMachineCheck, (make) => {
  const rig = makeSmm(make, code, 'smi_handler: nop\n rsm\n').fire('smi').fire('smi').step(2);
  assert.equal(rig.rip, rig.label('start'));
  rig.fire('mc');
  assert.equal(rig.delivered, 18);
  assert.equal(rig.step().rip, rig.label('smi_handler'));
  assert.equal(rig.step(2).rip, rig.label('v18'));
});

for (const [what, text, bit] of [
  ['STI', 'start: cli\n sti\n nop\n nop\n', EventState.STI_SHADOW],
  ['MOV SS', 'start: movl %ss, %eax\n movl %eax, %ss\n nop\n nop\n', EventState.MOV_SS_SHADOW],
] as const) {
  rule(
    `A-7: ${what} holds an SMI back for one instruction where the profile says so`,
    smm.otherSmiShadowRule,
    (make) => {
      const blocking = makeSmm(make, text, plain, { profile: { shadowBlocksSmi: true } }).step(2);
      const next = blocking.rip + 1n;
      assert.equal(blocking.event(bit), true);
      assert.equal(blocking.fire('smi').event(EventState.SMM), false);
      assert.equal(blocking.step().rip, next);
      assert.equal(blocking.step().event(EventState.SMM), true);
      const open = makeSmm(make, text, plain, { profile: { shadowBlocksSmi: false } })
        .step(2)
        .fire('smi');
      assert.equal(open.event(EventState.SMM), true);
    },
  );
}

rule('A-7: blocking by STI ends with an SMI', smm.keepingShadowInSmm, (make) => {
  const rig = makeSmm(make, 'start: cli\n sti\n nop\n', plain).step(2).fire('smi');
  assert.equal(rig.event(EventState.STI_SHADOW), false);
  assert.equal(rig.step().event(EventState.STI_SHADOW), false);
});

const halting = 'start: hlt\nafter: nop\n nop\n';

rule(
  'A-7: an SMI wakes a halted processor; after RSM it halts again',
  [smm.sleepingOnInSmm, smm.withoutAutoHalt],
  (make) => {
    for (const [vendor, autoHalt] of [
      ['intel', 0x7f02],
      ['amd', 0x7ec9],
    ] as const) {
      const rig = makeSmm(make, halting, 'smi_handler: nop\n rsm\n', { profile: { vendor } }).step().fire('smi');
      assert.equal(saved(rig, autoHalt, 1), 1n);
      assert.equal(rig.step().rip, rig.label('smi_handler') + 1n);
      assert.equal(rig.step().event(EventState.HALTED), true);
      assert.equal(rig.rip, rig.label('after'));
      assert.equal(rig.step().rip, rig.label('after'));
    }
  },
);

rule('A-7: where SMM code clears auto HALT restart, RSM goes on after HLT', smm.alwaysHaltingAgain, (make) => {
  const rig = makeSmm(make, halting, plain).step().fire('smi');
  setSaved(rig, 0x7f02, 0n, 2);
  assert.equal(rig.step().event(EventState.HALTED), false);
  assert.equal(rig.step().rip, rig.label('after') + 1n);
});

test('without SMM code there are no SMIs', () => {
  const rig = new Rig(code);
  assert.deepEqual(rig.actions(['smi', 'smi-iret']), ['step']);
});

test('SMM code has the GDT and the IDT of the firmware, and the TSS of the system', () => {
  const rig = makeSmm((text, options) => new Rig(text, options), code, plain).fire('smi');
  assert.deepEqual(rig.all('GDTR_BASE', 'IDTR_BASE', 'CS', 'GS_BASE', 'TR'), {
    ...{
      GDTR_BASE: SMBASE + 0xe000n,
      IDTR_BASE: SMBASE + 0xe800n,
      CS: BigInt(KERNEL_CS),
      GS_BASE: 0n,
      TR: BigInt(TASK),
    },
  });
});
