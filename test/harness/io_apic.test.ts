import assert from 'node:assert/strict';
import test from 'node:test';
import { NotModelled } from '../../src/cpu/not_modelled.js';
import { EventState } from '../../src/harness/event_state.js';
import { Register } from '../../src/harness/local_apic.js';
import * as broken from '../support/broken_apic.js';
import { apicRegister, EOI, hasVector, withVectors } from '../support/interrupts.js';
import { Rig } from '../support/machine.js';
import { type Make, rule } from '../support/rule.js';

/** Writes a register of the I/O APIC through its index and its data register. */
const write = (register: number, value: number): string =>
  `\tmovl $${register}, io_apic_page\n\tmovl $${value | 0}, io_apic_page+0x10\n`;
const read = (register: number): string => `\tmovl $${register}, io_apic_page\n\tmovl io_apic_page+0x10, %ebx\n`;
/** A redirection table entry. */
const entry = (pin: number, low: number, high = 0): string => write(0x11 + 2 * pin, high) + write(0x10 + 2 * pin, low);

const HANDLER = `v64: push %rax\n push %rcx\n push %rdx\n${EOI} pop %rdx\n pop %rcx\n pop %rax\n iretq\n`;

function rigOf(make: Make, setup: string): Rig {
  return withVectors(make, `start:\n${setup}end: nop\n nop\nv2: nop\n${HANDLER}`, [64]).runTo('end');
}

rule('APIC-10: ID, version and number of pins of the I/O APIC', broken.blankPages, (make) => {
  assert.equal(rigOf(make, read(1)).get('RBX'), 0x170011n);
  assert.equal(rigOf(make, write(0, -1) + read(0)).get('RBX'), 0x0f000000n);
});

rule('APIC-10: a redirection table entry: what can be written, and how it begins', broken.blankPages, (make) => {
  assert.equal(rigOf(make, read(0x10)).get('RBX'), 0x10000n);
  assert.equal(rigOf(make, entry(3, -1, -1) + read(0x16)).get('RBX'), 0x1afffn);
  assert.equal(rigOf(make, entry(3, -1, -1) + read(0x17)).get('RBX'), 0xff000000n);
});

rule('APIC-10: an edge at a pin sends its message once', broken.deafPages, (make) => {
  const rig = rigOf(make, entry(4, 0x40));
  rig.machine.ioApic.setLine(4, true);
  assert.equal(rig.step().delivered, 64);
  rig.runTo('end');
  assert.equal(rig.event(EventState.INTR_PENDING), false, 'the line is still asserted');
  rig.machine.ioApic.setLine(4, false);
  rig.machine.ioApic.setLine(4, true);
  assert.equal(rig.step().delivered, 64);
});

rule('APIC-10: an edge at a masked pin is lost', broken.maskedPinsInterrupt, (make) => {
  const rig = rigOf(make, entry(4, 0x10040));
  rig.machine.ioApic.setLine(4, true);
  assert.equal(rig.event(EventState.INTR_PENDING), false);
});

rule('APIC-10: the destination of an entry decides who gets the message', broken.everybodysMessages, (make) => {
  const rig = rigOf(make, entry(4, 0x40, 1 << 24));
  rig.machine.ioApic.setLine(4, true);
  assert.equal(rig.event(EventState.INTR_PENDING), false);
});

rule('APIC-10: an entry can send NMIs', broken.everythingFixed, (make) => {
  const rig = rigOf(make, entry(4, 0x400));
  rig.machine.ioApic.setLine(4, true);
  assert.equal(rig.step().delivered, 2);
});

rule(
  'APIC-11: a level-triggered interrupt sets TMR and remote IRR and comes again after its EOI while the line is asserted',
  [broken.withoutEoiBroadcast, broken.withoutTriggerMode, broken.withoutEoi],
  (make) => {
    const rig = rigOf(make, entry(4, 0x8040));
    rig.machine.ioApic.setLine(4, true);
    assert.equal(hasVector(rig, Register.TMR, 64), true);
    assert.equal(rig.step().delivered, 64);
    rig.runTo('end');
    assert.equal(rig.step().delivered, 64);
    rig.machine.ioApic.setLine(4, false);
    rig.runTo('end');
    assert.equal(rig.step().delivered, undefined);
    rig.machine.ioApic.setLine(4, true);
    assert.equal(rig.event(EventState.INTR_PENDING), true);
  },
);

rule(
  'APIC-11: while remote IRR is set a level-triggered pin sends nothing',
  [broken.withoutRemoteIrr, broken.withoutTriggerMode],
  (make) => {
    const rig = rigOf(make, entry(4, 0x8040));
    rig.machine.ioApic.setLine(4, true);
    assert.equal(rig.step().delivered, 64);
    rig.machine.ioApic.setLine(4, false);
    rig.machine.ioApic.setLine(4, true);
    assert.equal(hasVector(rig, Register.IRR, 64), false);
    assert.equal(hasVector(rig, Register.TMR, 64), true);
  },
);

rule('APIC-11: an edge clears the vector’s bit of the TMR', broken.withoutTriggerMode, (make) => {
  const rig = rigOf(make, entry(4, 0x8040) + entry(5, 0x40));
  rig.machine.ioApic.setLine(4, true);
  assert.equal(hasVector(rig, Register.TMR, 64), true);
  rig.machine.ioApic.setLine(5, true);
  assert.equal(apicRegister(rig, Register.TMR + 2), 0);
});

rule('APIC-11: unmasking a level-triggered pin that is asserted interrupts', broken.deafPages, (make) => {
  const rig = withVectors(make, `start:\n${entry(4, 0x18040)}wait: nop\n${entry(4, 0x8040)}end: nop\n${HANDLER}`, [64]);
  rig.runTo('wait').machine.ioApic.setLine(4, true);
  assert.equal(rig.event(EventState.INTR_PENDING), false);
  assert.equal(rig.runTo('end').step().delivered, 64);
});

rule('APIC-10: other accesses to the page of the I/O APIC are refused with their line', broken.deafPages, (make) => {
  for (const access of ['movb $0, io_apic_page', 'movl $0, io_apic_page+0x40', 'movl io_apic_page+4, %eax'])
    assert.throws(() => rigOf(make, `\t${access}\n`), NotModelled, access);
});

rule(
  'APIC-12: a device pulses the line of an edge-triggered pin, each time anew',
  broken.devicesThatNeverRelease,
  (make) => {
    const rig = rigOf(make, entry(4, 0x40));
    for (let n = 0; n < 2; n++) {
      assert.equal(rig.machine.ioApic.wouldRequest(4), true);
      rig.machine.ioApic.request(4);
      assert.equal(rig.step().delivered, 64);
      rig.runTo('end');
    }
  },
);

rule(
  'APIC-12: at a level-triggered pin it holds the line, also while the pin is masked, until the interrupt has been ended',
  [broken.devicesThatNeverRelease, broken.devicesThatOnlyPulse, broken.withoutEoiBroadcast],
  (make) => {
    const rig = withVectors(
      make,
      `start:\n${entry(4, 0x18040)}wait: nop\n${entry(4, 0x8040)}end: nop\n nop\n${HANDLER}`,
      [64],
    );
    rig.runTo('wait').machine.next('irq:4');
    assert.equal(rig.machine.ioApic.wouldRequest(4), false, 'it has asked already');
    assert.equal(rig.runTo('end').step().delivered, 64);
    rig.runTo('end');
    assert.equal(rig.event(EventState.INTR_PENDING), false, 'the line is down');
    assert.equal(rig.machine.ioApic.wouldRequest(4), true);
  },
);

test('APIC-12: a device that notes in memory that it has something does so whether or not its pin is masked', () => {
  const rig = rigOf((text, options) => new Rig(text, options), '');
  const { machine } = rig;
  const word = machine.memory.hiddenWord('I/O APIC') + 7;
  machine.ioApic.status.set(4, word);
  machine.next('irq:4');
  assert.equal(machine.memory.u32[2 * word], 1);
  assert.equal(rig.event(EventState.INTR_PENDING), false);
});
