import assert from 'node:assert/strict';
import { Mnemonic } from 'iced-x86';
import { NotModelled } from '../../src/cpu/not_modelled.js';
import { Flag, Reg } from '../../src/cpu/registers.js';
import { EventState } from '../../src/harness/event_state.js';
import { Return } from '../../src/harness/machine.js';
import * as broken from '../support/broken.js';
import { otherwise } from '../support/broken_debug.js';
import * as brokenInstr from '../support/broken_instr.js';
import { KERNEL_CS, KERNEL_SS, RSP0_STACK, USER_STACK } from '../support/machine.js';
import { rule } from '../support/rule.js';

const USER = '.section .text.user,"ax"\nstart: sysenter\nafter: nop\n.text\nentry: nop\n';
const KERNEL = 'start: sysexit\nwide: .byte 0x48, 0x0f, 0x35\nentry: nop\n';
const SET_UP = { SYSENTER_CS: BigInt(KERNEL_CS), SYSENTER_ESP: RSP0_STACK - 0x40n };
const noSysenter = { sysenterInLongMode: false } as const;

rule(
  "D-3': SYSENTER loads CS and SS from SYSENTER_CS, RSP and RIP from their MSRs, and saves nothing",
  [broken.ignoring(Mnemonic.Sysenter), broken.losing(Reg.RSP)],
  (make) => {
    const rig = make(USER, { regs: SET_UP });
    rig.set({ SYSENTER_EIP: rig.label('entry') });
    const before = rig.all('RAX', 'RCX', 'RDX', 'R11', 'GS_BASE');
    rig.step();
    assert.deepEqual(rig.all('RIP', 'RSP', 'CS', 'SS'), {
      RIP: rig.label('entry'),
      RSP: RSP0_STACK - 0x40n,
      CS: BigInt(KERNEL_CS),
      SS: BigInt(KERNEL_SS),
    });
    assert.deepEqual(rig.all('RAX', 'RCX', 'RDX', 'R11', 'GS_BASE'), before);
    assert.equal(rig.machine.cpu.cpl, 0);
    assert.equal(rig.machine.memory.journalLength, 0);
  },
);

rule(
  "D-3': SYSENTER clears IF, RF and VM, and keeps TF, NT, AC and DF",
  [brokenInstr.clearingAllOnSysenter, brokenInstr.keepingIfOnSysenter],
  (make) => {
    const kept = BigInt(Flag.NT | Flag.AC | Flag.DF | Flag.TF | Flag.CF | Flag.ID);
    const rig = make(USER, { regs: { ...SET_UP, RFLAGS: 0x10202n | kept } });
    rig.set({ SYSENTER_EIP: rig.label('entry') }).step();
    assert.equal(rig.get('RFLAGS'), 2n | kept);
  },
);

rule("D-3': the RPL bits of SYSENTER_CS are ignored", broken.ignoring(Mnemonic.Sysenter), (make) => {
  const rig = make(USER, { regs: { ...SET_UP, SYSENTER_CS: BigInt(KERNEL_CS | 3) } }).step();
  assert.deepEqual(rig.all('CS', 'SS'), { CS: BigInt(KERNEL_CS), SS: BigInt(KERNEL_SS) });
});

rule("D-3': SYSENTER is #GP(0) where SYSENTER_CS is null", broken.ignoring(Mnemonic.Sysenter), (make) => {
  for (const cs of [0n, 3n]) {
    const rig = make(USER, { regs: { SYSENTER_CS: cs } }).step();
    assert.equal(rig.delivered, 13);
    assert.equal(rig.errorCode, 0n);
  }
});

rule("D-3': SYSENTER and SYSEXIT are #UD on AMD", otherwise('sysenterInLongMode'), (make) => {
  assert.equal(make(USER, { regs: SET_UP, profile: noSysenter }).step().delivered, 6);
  assert.equal(make(KERNEL, { regs: SET_UP, profile: noSysenter }).step().delivered, 6);
});

rule(
  "D-3': SYSEXIT with REX.W goes to RDX in 64-bit mode with RSP from RCX, and leaves the flags",
  [broken.losing(Reg.RSP), brokenInstr.unblockingOnFarTransfers],
  (make) => {
    const flags = 0x202n | BigInt(Flag.AC | Flag.DF | Flag.NT);
    const regs = { ...SET_UP, RCX: USER_STACK - 8n, RDX: 0x7f0000400000n, RFLAGS: flags };
    const rig = make(KERNEL, { regs: { ...regs, EVENTS: BigInt(EventState.NMI_BLOCKED) } });
    rig.set({ RIP: rig.label('wide') }).step();
    assert.deepEqual(rig.all('RIP', 'RSP', 'CS', 'SS', 'RFLAGS', 'EVENTS'), {
      RIP: 0x7f0000400000n,
      RSP: USER_STACK - 8n,
      CS: BigInt((KERNEL_CS + 32) | 3),
      SS: BigInt((KERNEL_CS + 40) | 3),
      RFLAGS: flags,
      EVENTS: BigInt(EventState.NMI_BLOCKED),
    });
    assert.equal(rig.machine.happened.returned, Return.SYSEXIT);
  },
);

rule(
  "D-3': SYSEXIT without REX.W goes to EDX in compatibility mode, where nothing can be executed",
  [brokenInstr.ignoringCompatibility, brokenInstr.keepingUpperHalves(Reg.RSP)],
  (make) => {
    const rig = make(KERNEL, { regs: { ...SET_UP, RCX: 0xffff0000_00008000n, RDX: 0xffffffff_00400000n } }).step();
    assert.deepEqual(rig.all('RIP', 'RSP', 'CS', 'SS'), {
      RIP: 0x400000n,
      RSP: 0x8000n,
      CS: BigInt((KERNEL_CS + 16) | 3),
      SS: BigInt((KERNEL_CS + 24) | 3),
    });
    assert.equal(rig.event(EventState.COMPATIBILITY), true);
    assert.throws(() => rig.step(), NotModelled);
  },
);

rule(
  "D-3': SYSEXIT is #GP(0) in ring 3, without SYSENTER_CS, and with a pointer that is not canonical",
  [broken.withoutPrivilege, broken.skippingFaults],
  (make) => {
    const isGp = (rig: ReturnType<typeof make>): void => {
      assert.equal(rig.step().delivered, 13);
      assert.equal(rig.errorCode, 0n);
      assert.equal(rig.frame(true).cs & 3n, rig.frame(true).rip < 0x1000000n ? 3n : 0n);
    };
    isGp(make('.section .text.user,"ax"\nstart: sysexit\n', { regs: SET_UP }));
    isGp(make(KERNEL, { regs: { SYSENTER_CS: 0n } }));
    for (const pointers of [
      { RCX: 0x800000000000n, RDX: 0n },
      { RCX: 0n, RDX: 0x800000000000n },
    ]) {
      const rig = make(KERNEL, { regs: { ...SET_UP, ...pointers } });
      isGp(rig.set({ RIP: rig.label('wide') }));
    }
  },
);

rule(
  "D-2': SYSRET without REX.W goes to ECX in compatibility mode, with CS from STAR[63:48] as it is",
  [brokenInstr.ignoringCompatibility, brokenInstr.keepingUpperHalves(Reg.RIP)],
  (make) => {
    const text = 'start: .byte 0x0f, 0x07\nnop\n';
    const rig = make(text, { regs: { RCX: 0x80000000_00400000n, R11: 0x246n } }).step();
    assert.deepEqual(rig.all('RIP', 'CS', 'SS', 'RFLAGS'), { RIP: 0x400000n, CS: 0x23n, SS: 0x2bn, RFLAGS: 0x246n });
    assert.equal(rig.event(EventState.COMPATIBILITY), true);
    assert.equal(rig.machine.happened.returned, Return.SYSRET);
  },
);

rule(
  'an event in compatibility mode is delivered in 64-bit mode, and its IRET goes back there',
  brokenInstr.stayingInCompatibility,
  (make) => {
    const text = 'start: .byte 0x0f, 0x07\nv2: iretq\n';
    const compatible = 0x00cffb000000ffffn;
    const rig = make(text, { regs: { RCX: 0x400000n, R11: 0x202n }, gdt: { 32: compatible } })
      .step()
      .nmi();
    assert.equal(rig.event(EventState.COMPATIBILITY), false);
    assert.deepEqual([rig.frame().rip, rig.frame().cs], [0x400000n, 0x23n]);
    rig.step();
    assert.equal(rig.event(EventState.COMPATIBILITY), true);
    assert.deepEqual(rig.all('RIP', 'CS'), { RIP: 0x400000n, CS: 0x23n });
  },
);
