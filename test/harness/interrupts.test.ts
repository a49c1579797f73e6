import assert from 'node:assert/strict';
import { Flag } from '../../src/cpu/registers.js';
import { EventState } from '../../src/harness/event_state.js';
import { Register } from '../../src/harness/local_apic.js';
import * as broken from '../support/broken_apic.js';
import { apicRegister, withVectors, wrmsr, x2apic } from '../support/interrupts.js';
import { KERNEL_STACK, RSP0_STACK, USER_CS } from '../support/machine.js';
import { rule } from '../support/rule.js';

const NOPS = 'start: nop\n nop\n nop\n nop\nv2: iretq\nv48: nop\n iretq\nv49: iretq\nv64: iretq\n';
const NO_INTERRUPTS = { regs: { RFLAGS: 2n } };

rule(
  'A-1: vector 2 from the INTR pin runs the NMI handler without blocking NMIs',
  [broken.vectorsThatBlock, broken.ignoringInterruptFlag],
  (make) => {
    const rig = make(NOPS).fire('intr:2');
    assert.equal(rig.delivered, 2);
    assert.equal(rig.rip, rig.label('v2'));
    assert.equal(rig.machine.nmi.blocked, false);
    assert.equal(rig.nmi().delivered, 2, 'a real NMI is still taken');
    const masked = make(NOPS, NO_INTERRUPTS).fire('intr:2');
    assert.equal(masked.delivered, undefined, 'it is maskable');
  },
);

rule('E-1: vector 18 from the INTR pin is no machine check', broken.vectorsThatBlock, (make) => {
  const rig = make('start: nop\nv18: nop\n', { regs: { CR4: 0x60n } }).fire('intr:0x12');
  assert.equal(rig.delivered, 18);
  assert.equal(rig.event(EventState.MCIP), false);
  rig.fire('mc');
  assert.equal(rig.machine.happened.shutdown, false);
});

rule('C-1: an interrupt waits while RFLAGS.IF is clear', broken.ignoringInterruptFlag, (make) => {
  const rig = withVectors(make, NOPS, [48], NO_INTERRUPTS).fire('intr:0x30');
  assert.equal(rig.delivered, undefined);
  assert.equal(rig.event(EventState.INTR_PENDING), true);
  assert.equal(rig.step().rip, rig.label('start') + 1n);
});

rule('C-1: a delivery through an interrupt gate clears IF', broken.ignoringInterruptFlag, (make) => {
  const rig = withVectors(make, NOPS, [48, 64]).fire('intr:0x30').fire('intr:0x40');
  assert.equal(rig.flag(Flag.IF), false);
  assert.equal(rig.delivered, undefined, 'the second waits for the end of the first');
  rig.step(2);
  assert.equal(rig.rip, rig.label('start'));
  assert.equal(rig.step().delivered, 64);
});

rule('C-1: an NMI goes before an interrupt', broken.interruptsBeforeNmis, (make) => {
  const rig = withVectors(make, 'start: mov %r8d, %ss\n nop\n nop\nv2: iretq\nv48: iretq\n', [48], {
    regs: { R8: 0x18n },
  });
  rig.step().fire('intr:0x30').fire('nmi').step();
  assert.deepEqual([rig.delivered, rig.rip], [undefined, rig.label('start') + 4n]);
  assert.equal(rig.step().delivered, 2);
  assert.equal(rig.step(2).delivered, 48, 'the interrupt is taken after the return');
});

rule('C-2: STI holds interrupts back for one instruction', broken.takingInterruptsInShadows, (make) => {
  const rig = withVectors(make, 'start: sti\n nop\n nop\nv48: iretq\n', [48], NO_INTERRUPTS).fire('intr:0x30');
  assert.equal(rig.step().rip, rig.label('start') + 1n);
  assert.equal(rig.step().delivered, undefined);
  assert.equal(rig.rip, rig.label('start') + 2n);
  assert.equal(rig.step().delivered, 48);
  assert.equal(rig.frame().rip, rig.label('start') + 2n);
});

rule('C-3: MOV SS holds interrupts back for one instruction', broken.takingInterruptsInShadows, (make) => {
  const rig = withVectors(make, 'start: mov %r8d, %ss\n nop\n nop\nv48: iretq\n', [48], { regs: { R8: 0x18n } });
  assert.equal(rig.step().fire('intr:0x30').delivered, undefined);
  assert.equal(rig.step().delivered, undefined);
  assert.equal(rig.step().delivered, 48);
});

rule('C-2: STI; HLT wakes for an interrupt that was pending', broken.takingInterruptsInShadows, (make) => {
  const rig = withVectors(make, 'start: sti\n hlt\nafter: nop\nv48: iretq\n', [48], NO_INTERRUPTS).fire('intr:0x30');
  rig.step(2);
  assert.equal(rig.event(EventState.HALTED), true, 'HLT executes in the shadow');
  assert.equal(rig.step().delivered, 48);
  assert.equal(rig.frame().rip, rig.label('after'));
  assert.equal(rig.event(EventState.HALTED), false);
});

rule('C-4: the delivery of an NMI ends the shadow of STI: the interrupt goes before HLT', broken.sleepingOn, (make) => {
  // The processor of this profile takes NMIs in the shadow.
  const options = { ...NO_INTERRUPTS, profile: { stiShadowBlocksNmi: false } };
  const rig = withVectors(make, 'start: sti\nsleep: hlt\n nop\nv2: iretq\nv48: iretq\n', [48], options).fire(
    'intr:0x30',
  );
  assert.equal(rig.step().nmi().delivered, 2);
  assert.equal(rig.step().rip, rig.label('sleep'));
  assert.equal(rig.step().delivered, 48, 'before HLT, which then sleeps');
  assert.equal(rig.frame().rip, rig.label('sleep'));
  rig.step(2);
  assert.equal(rig.event(EventState.HALTED), true);
  assert.equal(rig.actions([]).length, 0);
  assert.equal(rig.nmi().event(EventState.HALTED), false, 'an NMI would wake it');
});

rule('C-1: an interrupt that is masked by IF does not end HLT', broken.ignoringInterruptFlag, (make) => {
  const rig = withVectors(make, 'start: hlt\n nop\nv48: iretq\n', [48], NO_INTERRUPTS).step().fire('intr:0x30');
  assert.equal(rig.event(EventState.HALTED), true);
  assert.deepEqual(rig.actions(['intr:0x30', 'intr:0x31']), ['intr:0x31']);
});

rule('C-1: HLT ends with the interrupt that is taken', broken.sleepingOn, (make) => {
  const rig = withVectors(make, 'start: hlt\nafter: nop\nv48: iretq\n', [48]).step();
  assert.deepEqual(rig.actions(['intr:0x30']), ['intr:0x30']);
  assert.equal(rig.fire('intr:0x30').delivered, 48);
  assert.equal(rig.event(EventState.HALTED), false);
  assert.equal(rig.frame().rip, rig.label('after'));
});

rule(
  'APIC-1: several vectors can wait at the INTR pin: the lowest goes first, each once',
  [broken.highestVectorFirst, broken.pinStaysAsserted],
  (make) => {
    const rig = withVectors(make, NOPS, [48, 49, 64], NO_INTERRUPTS).fire('intr:0x40').fire('intr:0x30');
    assert.deepEqual(rig.actions(['intr:0x30', 'intr:0x31']), ['step', 'intr:0x31'], 'one that waits is no other');
    rig.set({ RFLAGS: 0x202n });
    assert.equal(rig.step().delivered, 48);
    rig.runTo('start');
    assert.equal(rig.step().delivered, 64);
    rig.runTo('start');
    assert.equal(rig.event(EventState.INTR_PENDING), false);
    assert.equal(rig.step().delivered, undefined);
  },
);

for (const vector of [8, 13, 14]) {
  rule(`B-1: an interrupt with vector ${vector} pushes no error code`, broken.errorCodeWithInterrupt, (make) => {
    const rig = make(`start: nop\nv${vector}: iretq\n`).fire(`intr:${vector}`);
    assert.equal(rig.delivered, vector);
    assert.equal(rig.frame().rip, rig.label('start'));
    assert.equal(rig.step().rip, rig.label('start'));
    assert.equal(rig.get('RSP'), KERNEL_STACK);
  });
}

rule('B-1: an interrupt in ring 3 takes the stack of RSP0', broken.ignoringInterruptFlag, (make) => {
  const text = '.section .text.user,"ax"\nstart: nop\n nop\n.text\nv48: iretq\n';
  const rig = withVectors(make, text, [48]).fire('intr:0x30');
  assert.equal(rig.get('RSP'), RSP0_STACK - 40n);
  assert.equal(rig.frame().cs, BigInt(USER_CS));
  const masked = withVectors(make, text, [48], NO_INTERRUPTS).fire('intr:0x30');
  assert.equal(masked.delivered, undefined);
});

rule(
  'B-4: an interrupt is benign whatever its vector: a fault of its delivery is delivered in its place',
  broken.errorCodeWithInterrupt,
  (make) => {
    const rig = make('start: nop\nv11: nop\nv14: nop\nv13: nop\n', { gates: { 14: { present: false } } });
    rig.fire('intr:14');
    assert.equal(rig.delivered, 11);
    assert.equal(rig.errorCode, BigInt(14 * 8 + 2 + 1));
    assert.equal(rig.event(EventState.INTR_PENDING), false, 'the interrupt has been acknowledged');
    const sound = make('start: nop\nv14: nop\n').fire('intr:14');
    assert.equal(sound.frame().rip, sound.label('start'));
  },
);

rule(
  'APIC-1: the INTR pin reaches the processor through LINT0 in ExtINT mode (SDM vol. 3, 10.5.1)',
  broken.pinBypassesApic,
  (make) => {
    const masked = withVectors(
      make,
      `start:\n${x2apic(Register.LVT_LINT0, 0x10700)}end: nop\n nop\nv48: iretq\n`,
      [48],
    );
    masked.runTo('end').fire('intr:0x30');
    assert.equal(masked.delivered, undefined);
    assert.equal(masked.step().delivered, undefined);
    assert.equal(masked.event(EventState.INTR_PENDING), true);
  },
);

rule('APIC-1: an LVT entry LINT0 with a vector of its own', broken.pinBypassesApic, (make) => {
  const rig = withVectors(
    make,
    `start:\n${x2apic(Register.LVT_LINT0, 0x40)}end: nop\nv48: iretq\nv64: iretq\n`,
    [48, 64],
  );
  assert.equal(rig.runTo('end').fire('intr:0x30').delivered, 64);
});

rule('APIC-1: with the local APIC off the INTR pin is the processor’s own', broken.lenientModes, (make) => {
  const off = `start:\n${wrmsr(0x1b, 0xfee00100)}off: nop\nv48: iretq\nv13: nop\n`;
  const rig = withVectors(make, off, [48]).runTo('off').fire('intr:0x30');
  assert.equal(rig.delivered, 48);
  assert.equal(apicRegister(rig, Register.ISR + 1), 0);
  assert.deepEqual(rig.actions(['msi:0x40']), ['step'], 'messages reach nobody');
  const refused = withVectors(make, `start:\n${wrmsr(0x1b, 0xfee00900)}off: nop\nv13: nop\n`, [48]).step(4);
  assert.equal(refused.delivered, 13);
});
