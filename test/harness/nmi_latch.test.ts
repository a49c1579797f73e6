import assert from 'node:assert/strict';
import { EventState } from '../../src/harness/event_state.js';
import * as broken from '../support/broken.js';
import { KERNEL_STACK, USER_CS, USER_SS, USER_STACK } from '../support/machine.js';
import { rule } from '../support/rule.js';

const handler = 'start: nop\n nop\n nop\nv2: nop\n nop\n iretq\n';

rule('A-1: an NMI is delivered at an instruction boundary although IF is clear', broken.neverTaking, (make) => {
  const rig = make(handler, { regs: { RFLAGS: 2n } })
    .step()
    .nmi();
  assert.equal(rig.rip, rig.label('v2'));
  assert.equal(rig.frame().rip, rig.label('start') + 1n);
});

rule('A-1: the delivery of an NMI blocks NMIs', broken.withoutNmiBlocking, (make) => {
  const rig = make(handler).nmi();
  assert.equal(rig.machine.nmi.blocked, true);
  assert.equal(rig.machine.nmi.pending, false);
});

rule('A-1: an NMI that arrives while NMIs are blocked is not delivered', broken.withoutNmiBlocking, (make) => {
  const rig = make(handler).nmi().nmi();
  assert.equal(rig.delivered, undefined);
  assert.equal(rig.rip, rig.label('v2'));
  assert.equal(rig.step().rip, rig.label('v2') + 1n);
});

rule('A-1: INT 2 runs the handler without blocking NMIs', broken.blockingOnInt2, (make) => {
  const rig = make('start: int $2\n nop\nv2: nop\n iretq\n').step();
  assert.equal(rig.rip, rig.label('v2'));
  assert.equal(rig.machine.nmi.blocked, false);
  assert.equal(rig.nmi().delivered, 2);
});

rule('A-2: one NMI is latched while NMIs are blocked', broken.losingBlockedNmis, (make) => {
  const rig = make(handler).nmi().nmi();
  assert.equal(rig.machine.nmi.pending, true);
});

rule(
  'A-2: further NMIs collapse into the latched one: of five NMIs at one boundary two run',
  broken.withoutNmiBlocking,
  (make) => {
    const rig = make(handler);
    let runs = 0;
    const count = (): void => {
      if (rig.delivered === 2) runs++;
    };
    for (let i = 0; i < 5; i++) {
      rig.nmi();
      count();
    }
    for (let i = 0; i < 20 && rig.rip !== rig.label('start') + 2n; i++) {
      rig.step();
      count();
    }
    assert.equal(runs, 2);
    assert.equal(rig.machine.nmi.pending, false);
    assert.equal(rig.get('RSP'), KERNEL_STACK);
  },
);

rule('A-2: an NMI that is pending already is no action', broken.losingBlockedNmis, (make) => {
  const rig = make(handler).nmi();
  assert.deepEqual(rig.actions(), ['step', 'nmi', 'bp']);
  rig.nmi();
  assert.deepEqual(rig.actions(), ['step', 'bp']);
});

rule('A-3: IRET unblocks NMIs', broken.neverUnblocking, (make) => {
  const rig = make(handler).nmi().step(3);
  assert.equal(rig.rip, rig.label('start'));
  assert.equal(rig.machine.nmi.blocked, false);
});

rule(
  'A-3: the pending NMI is delivered after the IRET, before the first instruction of the interrupted code',
  [broken.losingBlockedNmis, broken.neverUnblocking],
  (make) => {
    const rig = make(handler).nmi().nmi().step(3);
    assert.equal(rig.rip, rig.label('start'));
    assert.deepEqual(rig.actions(), ['step']);
    rig.step();
    assert.equal(rig.delivered, 2);
    assert.equal(rig.rip, rig.label('v2'));
    assert.equal(rig.frame().rip, rig.label('start'));
    assert.equal(rig.machine.nmi.blocked, true);
    assert.equal(rig.machine.nmi.pending, false);
  },
);

rule('A-3: the IRET of another handler inside the NMI handler unblocks NMIs', broken.neverUnblocking, (make) => {
  const rig = make('start: nop\nv2: nop\n int3\n nop\n iretq\nv3: iretq\n').nmi().step(2);
  assert.equal(rig.rip, rig.label('v3'));
  assert.equal(rig.machine.nmi.blocked, true);
  rig.step();
  assert.equal(rig.rip, rig.label('v2') + 2n);
  assert.equal(rig.machine.nmi.blocked, false);
  assert.equal(rig.nmi().frame().rip, rig.label('v2') + 2n);
});

const faulting =
  'start: nop\nv2: movq $0x0badbad000000000, %rax\n movq %rax, (%rsp)\n iretq\nv13: nop\n addq $8, %rsp\n iretq\n';

rule('A-3: an IRET that faults unblocks NMIs (Intel)', broken.otherIretFaultRule, (make) => {
  const rig = make(faulting, { profile: { iretFaultUnblocksNmi: true } })
    .nmi()
    .step(3);
  assert.equal(rig.rip, rig.label('v13'));
  assert.equal(rig.machine.nmi.blocked, false);
});

rule('A-3: an IRET that faults leaves NMIs blocked where the profile says so', broken.otherIretFaultRule, (make) => {
  const rig = make(faulting, { profile: { iretFaultUnblocksNmi: false } })
    .nmi()
    .step(3);
  assert.equal(rig.rip, rig.label('v13'));
  assert.equal(rig.machine.nmi.blocked, true);
});

rule(
  'A-3: after an IRET that faults, the pending NMI is delivered before the first instruction of the #GP handler',
  broken.otherIretFaultRule,
  (make) => {
    const rig = make(faulting).nmi().nmi().step(3);
    assert.equal(rig.rip, rig.label('v13'));
    assert.deepEqual(rig.actions(), ['step']);
    assert.equal(rig.step().rip, rig.label('v2'));
    assert.equal(rig.frame().rip, rig.label('v13'));
  },
);

rule('A-3: an IRET that faults while NMIs are not blocked does not block them', broken.blockingOnFault, (make) => {
  const rig = make('start: movq $0, 8(%rsp)\n iretq\n', {
    regs: { RSP: KERNEL_STACK - 64n },
    profile: { iretFaultUnblocksNmi: false },
  });
  rig.step(2);
  assert.equal(rig.delivered, 13);
  assert.equal(rig.machine.nmi.blocked, false);
});

rule('A-4: RET does not unblock NMIs', broken.unblockingOnAnyReturn, (make) => {
  const rig = make('start: nop\nv2: call f\n nop\nf: ret\n').nmi().step(2);
  assert.equal(rig.rip, rig.label('v2') + 5n);
  assert.equal(rig.machine.nmi.blocked, true);
});

rule('A-4: SYSRET does not unblock NMIs', broken.unblockingOnAnyReturn, (make) => {
  const rig = make(
    '.section .text.user,"ax"\nstart: nop\nafter: nop\n.text\nv2: movq $after, %rcx\n movl $0x202, %r11d\n sysretq\n',
  );
  rig.nmi().step(3);
  assert.equal(rig.rip, rig.label('after'));
  assert.deepEqual(rig.all('CS', 'SS'), { CS: BigInt(USER_CS), SS: BigInt(USER_SS) });
  assert.equal(rig.machine.nmi.blocked, true);
});

rule('A-4: JMP and POPF do not unblock NMIs', broken.unblockingOnPop, (make) => {
  const rig = make('start: nop\nv2: pushfq\n popfq\n jmp 1f\n1: nop\n').nmi().step(4);
  assert.equal(rig.machine.nmi.blocked, true);
});

rule('A-6: an NMI wakes a halted processor; its frame names the instruction after HLT', broken.sleepingOn, (make) => {
  const rig = make('start: hlt\nafter: nop\nv2: nop\n iretq\n').step();
  assert.equal(rig.event(EventState.HALTED), true);
  assert.deepEqual(rig.actions(), ['nmi']);
  rig.nmi();
  assert.equal(rig.rip, rig.label('v2'));
  assert.equal(rig.frame().rip, rig.label('after'));
  assert.equal(rig.event(EventState.HALTED), false);
  rig.step(3);
  assert.equal(rig.rip, rig.label('after') + 1n);
});

rule('A-6: a halted processor executes nothing', broken.withoutHalt, (make) => {
  const rig = make('start: hlt\nafter: nop\n').step();
  rig.machine.step();
  assert.equal(rig.rip, rig.label('after'));
});

rule('A-6: an NMI does not wake a processor that halts in the NMI handler', broken.withoutNmiBlocking, (make) => {
  const rig = make('start: nop\nv2: hlt\n').nmi().step().nmi();
  assert.equal(rig.delivered, undefined);
  assert.deepEqual(rig.actions(), []);
});

rule(
  'B-4: an NMI whose delivery faults is consumed and leaves NMIs blocked (Intel)',
  broken.otherFaultingDeliveryRule,
  (make) => {
    const rig = make('start: nop\n', { gates: { 2: { present: false } } }).nmi();
    assert.equal(rig.delivered, 11);
    assert.equal(rig.machine.nmi.pending, false);
    assert.equal(rig.machine.nmi.blocked, true);
  },
);

rule(
  'B-4: an NMI whose delivery faults leaves NMIs unblocked where the profile says so',
  broken.otherFaultingDeliveryRule,
  (make) => {
    const rig = make('start: nop\n', {
      gates: { 2: { present: false } },
      profile: { faultingDeliveryBlocksNmi: false },
    }).nmi();
    assert.equal(rig.delivered, 11);
    assert.equal(rig.machine.nmi.pending, false);
    assert.equal(rig.machine.nmi.blocked, false);
  },
);

rule('C-2: the NMI is not held back by STI', broken.otherStiShadowRule, (make) => {
  const rig = make('start: sti\n nop\n', { regs: { RFLAGS: 2n } }).step();
  assert.equal(rig.event(EventState.STI_SHADOW), true);
  assert.equal(rig.nmi().delivered, 2);
  assert.equal(rig.frame().rip, rig.label('start') + 1n);
});

rule(
  'C-2: the NMI is held back by STI for one instruction where the profile says so',
  broken.otherStiShadowRule,
  (make) => {
    const rig = make('start: sti\n nop\n nop\n', {
      regs: { RFLAGS: 2n },
      profile: { stiShadowBlocksNmi: true },
    }).step();
    assert.equal(rig.nmi().delivered, undefined);
    rig.step();
    assert.equal(rig.rip, rig.label('start') + 2n);
    assert.equal(rig.step().delivered, 2);
    assert.equal(rig.frame().rip, rig.label('start') + 2n);
  },
);

rule(
  'C-3: MOV SS holds an NMI back until the end of the next instruction',
  [broken.withoutShadows, broken.withEndlessShadows],
  (make) => {
    const rig = make('start: movl %eax, %ss\n nop\n nop\n', { regs: { RAX: 0x18n } }).step();
    assert.equal(rig.event(EventState.MOV_SS_SHADOW), true);
    assert.equal(rig.nmi().delivered, undefined);
    rig.step();
    assert.equal(rig.delivered, undefined);
    assert.equal(rig.event(EventState.MOV_SS_SHADOW), false);
    rig.step();
    assert.equal(rig.delivered, 2);
    assert.equal(rig.frame().rip, rig.label('start') + 3n);
  },
);

rule('C-3: of two MOV SS in a row only the first holds NMIs back', broken.withEndlessShadows, (make) => {
  const rig = make('start: movl %eax, %ss\n movl %eax, %ss\n nop\n', { regs: { RAX: 0x18n } })
    .step()
    .nmi()
    .step();
  assert.equal(rig.event(EventState.MOV_SS_SHADOW), false);
  assert.equal(rig.step().delivered, 2);
});

rule('C-3: HLT in the shadow of MOV SS is woken by the NMI that was held back', broken.sleepingOn, (make) => {
  const rig = make('start: movl %eax, %ss\n hlt\nafter: nop\n', { regs: { RAX: 0x18n } })
    .step()
    .nmi()
    .step();
  assert.equal(rig.event(EventState.HALTED), true);
  assert.deepEqual(rig.actions(), ['step']);
  rig.step();
  assert.equal(rig.frame().rip, rig.label('after'));
  assert.equal(rig.event(EventState.HALTED), false);
});

rule('C-4: the delivery of an event ends the shadow of STI', broken.keepingShadows, (make) => {
  const rig = make('start: sti\n nop\n', { regs: { RFLAGS: 2n } })
    .step()
    .nmi();
  assert.equal(rig.event(EventState.STI_SHADOW), false);
});

rule('C-4: a fault ends the shadow of MOV SS', broken.keepingShadows, (make) => {
  const rig = make('start: movl %eax, %ss\n ud2\n', { regs: { RAX: 0x18n } }).step(2);
  assert.equal(rig.delivered, 6);
  assert.equal(rig.event(EventState.MOV_SS_SHADOW), false);
});

rule('A-1: an NMI from ring 3 runs in ring 0 and returns to ring 3', broken.stayingInRingOnDelivery, (make) => {
  const rig = make('.section .text.user,"ax"\nstart: nop\n nop\n.text\nv2: iretq\n').step().nmi();
  assert.equal(rig.machine.cpu.cpl, 0);
  assert.deepEqual(rig.frame(), {
    rip: rig.label('start') + 1n,
    cs: BigInt(USER_CS),
    rflags: 0x202n,
    rsp: USER_STACK,
    ss: BigInt(USER_SS),
  });
  rig.step();
  assert.equal(rig.machine.cpu.cpl, 3);
  assert.deepEqual(rig.all('RIP', 'RSP', 'CS', 'SS', 'RFLAGS'), {
    RIP: rig.label('start') + 1n,
    RSP: USER_STACK,
    CS: BigInt(USER_CS),
    SS: BigInt(USER_SS),
    RFLAGS: 0x202n,
  });
});
