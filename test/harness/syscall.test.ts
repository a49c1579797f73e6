import assert from 'node:assert/strict';
import { Mnemonic } from 'iced-x86';
import { Flag } from '../../src/cpu/registers.js';
import { Return } from '../../src/harness/machine.js';
import * as broken from '../support/broken.js';
import {
  FMASK,
  KERNEL_CS,
  KERNEL_GS,
  KERNEL_SS,
  KERNEL_STACK,
  USER_CS,
  USER_GS,
  USER_SS,
  USER_STACK,
} from '../support/machine.js';
import { rule } from '../support/rule.js';

const USER = '.section .text.user,"ax"\nstart: syscall\nafter: nop\n.text\nsyscall_entry: nop\n sysretq\n';
const KERNEL = 'start: sysretq\n.section .text.user,"ax"\nafter: nop\n';

rule("D-1': SYSCALL loads RIP from LSTAR and saves the next RIP in RCX", broken.ignoring(Mnemonic.Syscall), (make) => {
  const rig = make(USER).step();
  assert.equal(rig.rip, rig.label('syscall_entry'));
  assert.equal(rig.get('RCX'), rig.label('after'));
});

rule("D-1': SYSCALL saves RFLAGS in R11 and clears the flags that FMASK names", broken.withoutFmask, (make) => {
  const rflags = 0x202n | BigInt(Flag.DF | Flag.AC | Flag.NT | Flag.CF | Flag.ZF | Flag.ID | Flag.IOPL);
  const rig = make(USER, { regs: { RFLAGS: rflags } }).step();
  assert.equal(rig.get('R11'), rflags);
  assert.equal(rig.get('RFLAGS'), 2n);
  const part = make(USER, { regs: { RFLAGS: rflags, FMASK: BigInt(Flag.IF | Flag.DF) } }).step();
  assert.equal(part.get('RFLAGS'), rflags & ~BigInt(Flag.IF | Flag.DF));
});

rule("D-1': SYSCALL clears RF, whatever FMASK says", broken.withoutFmask, (make) => {
  const rig = make(USER, { regs: { RFLAGS: 0x10202n, FMASK: 0n } }).step();
  assert.equal(rig.get('RFLAGS'), 0x202n);
});

rule("D-1': SYSCALL takes CS and SS from STAR[47:32], and the ring is 0", broken.stayingInRing, (make) => {
  const rig = make(USER).step();
  assert.deepEqual(rig.all('CS', 'SS'), { CS: BigInt(KERNEL_CS), SS: BigInt(KERNEL_SS) });
  assert.equal(rig.machine.cpu.cpl, 0);
});

rule("D-1': SYSCALL changes neither RSP nor GS, and touches no memory", broken.switchingStackOnSyscall, (make) => {
  const rig = make(USER).step();
  assert.deepEqual(rig.all('RSP', 'GS_BASE', 'KERNEL_GS_BASE'), {
    RSP: USER_STACK,
    GS_BASE: USER_GS,
    KERNEL_GS_BASE: KERNEL_GS,
  });
  assert.equal(rig.machine.memory.journalLength, 0);
});

rule("D-1': SYSCALL in ring 0 works as in ring 3", broken.ignoring(Mnemonic.Syscall), (make) => {
  const rig = make('start: syscall\nafter: nop\nsyscall_entry: nop\n').step();
  assert.equal(rig.rip, rig.label('syscall_entry'));
  assert.equal(rig.get('RCX'), rig.label('after'));
  assert.equal(rig.get('RSP'), KERNEL_STACK);
});

rule("D-1': SYSCALL is #UD if EFER.SCE is clear", broken.withSyscallAlways, (make) => {
  assert.equal(make(USER, { regs: { EFER: 0xd00n } }).step().delivered, 6);
});

rule("D-2': SYSRET is #UD if EFER.SCE is clear", broken.withSyscallAlways, (make) => {
  assert.equal(make(KERNEL, { regs: { EFER: 0xd00n, RCX: 0x400000n } }).step().delivered, 6);
});

rule("D-2': SYSRETQ loads RIP from RCX, CS and SS from STAR[63:48], and keeps RSP", broken.stayingInRing, (make) => {
  const rig = make(KERNEL, { regs: { RCX: 0x400000n, R11: 0x202n } }).step();
  assert.deepEqual(rig.all('RIP', 'CS', 'SS', 'RSP'), {
    RIP: 0x400000n,
    CS: BigInt(USER_CS),
    SS: BigInt(USER_SS),
    RSP: KERNEL_STACK,
  });
  assert.equal(rig.machine.happened.returned, Return.SYSRET);
});

rule("D-2': SYSRETQ loads RFLAGS from R11 without RF and VM", broken.withoutSysretFlags, (make) => {
  const rig = make(KERNEL, { regs: { RCX: 0x400000n, R11: 0xffffffff_ffffffffn } }).step();
  assert.equal(rig.get('RFLAGS'), 0x3c7fd7n);
  assert.equal(
    make(KERNEL, { regs: { RCX: 0x400000n, R11: 0n } })
      .step()
      .get('RFLAGS'),
    2n,
  );
});

rule("D-2': SYSRET in ring 3 is #GP(0)", broken.withoutPrivilege, (make) => {
  const rig = make('.section .text.user,"ax"\nstart: sysretq\n', { regs: { RCX: 0x400000n } }).step();
  assert.equal(rig.delivered, 13);
  assert.equal(rig.errorCode, 0n);
});

rule(
  "D-2': SYSRET to a non-canonical RCX is #GP(0) in ring 0, on the user's RSP (Intel)",
  broken.otherSysretRule,
  (make) => {
    const rig = make(KERNEL, { regs: { RCX: 0x0000800000000000n, R11: 0x202n, RSP: USER_STACK - 8n } }).step();
    assert.equal(rig.delivered, 13);
    assert.equal(rig.errorCode, 0n);
    assert.deepEqual(rig.frame(true), {
      rip: rig.label('start'),
      cs: BigInt(KERNEL_CS),
      rflags: 0x10202n,
      rsp: USER_STACK - 8n,
      ss: BigInt(KERNEL_SS),
    });
    assert.equal(rig.get('RSP'), USER_STACK - 16n - 48n);
  },
);

rule("D-2': SYSRET to a non-canonical RCX is #GP(0) in ring 3, on RSP0 (AMD)", broken.otherSysretRule, (make) => {
  const rig = make(KERNEL, {
    regs: { RCX: 0x0000800000000000n, R11: 0x202n, RSP: USER_STACK - 8n },
    profile: { sysretChecksBeforeSwitch: false },
  }).step(2);
  assert.equal(rig.delivered, 13);
  assert.equal(rig.errorCode, 0n);
  assert.deepEqual(rig.frame(true), {
    rip: 0x0000800000000000n,
    cs: BigInt(USER_CS),
    rflags: 0x10202n,
    rsp: USER_STACK - 8n,
    ss: BigInt(USER_SS),
  });
});

rule("D-1', D-2': SYSCALL and SYSRET give back RIP, RFLAGS and the ring", broken.withoutSysretFlags, (make) => {
  const rig = make(USER, { regs: { RFLAGS: 0x40647n } }).step(3);
  assert.deepEqual(rig.all('RIP', 'RFLAGS', 'CS', 'SS', 'RSP'), {
    RIP: rig.label('after'),
    RFLAGS: 0x40647n,
    CS: BigInt(USER_CS),
    SS: BigInt(USER_SS),
    RSP: USER_STACK,
  });
  assert.equal(rig.get('FMASK'), FMASK);
});

rule("D-4': SWAPGS exchanges GS.base and KERNEL_GS_BASE", broken.ignoring(Mnemonic.Swapgs), (make) => {
  const rig = make('start: swapgs\n swapgs\n').step();
  assert.deepEqual(rig.all('GS_BASE', 'KERNEL_GS_BASE'), { GS_BASE: USER_GS, KERNEL_GS_BASE: KERNEL_GS });
  rig.step();
  assert.deepEqual(rig.all('GS_BASE', 'KERNEL_GS_BASE'), { GS_BASE: KERNEL_GS, KERNEL_GS_BASE: USER_GS });
});

rule("D-4': what follows a SWAPGS uses the new base", broken.ignoring(Mnemonic.Swapgs), (make) => {
  const text =
    '.data\nvalue: .quad 0x1122334455667788\n.text\nstart: swapgs\n movq %gs:8, %rax\n swapgs\n movq %gs:0, %rbx\n';
  const rig = make(`${text}.section .data..percpu,"aw"\n.quad 0x99aabbccddeeff00\n`);
  rig.set({ KERNEL_GS_BASE: rig.label('value') - 8n }).step(2);
  assert.equal(rig.get('RAX'), 0x1122334455667788n);
  assert.equal(rig.step(2).get('RBX'), 0x99aabbccddeeff00n);
});

rule("D-4': SWAPGS in ring 3 is #GP(0)", broken.withoutPrivilege, (make) => {
  const rig = make('.section .text.user,"ax"\nstart: swapgs\n').step();
  assert.equal(rig.delivered, 13);
  assert.equal(rig.errorCode, 0n);
  assert.deepEqual(rig.all('GS_BASE', 'KERNEL_GS_BASE'), { GS_BASE: USER_GS, KERNEL_GS_BASE: KERNEL_GS });
});
