import assert from 'node:assert/strict';
import { NotModelled } from '../../src/cpu/not_modelled.js';
import { EventState } from '../../src/harness/event_state.js';
import { ApicError, Register } from '../../src/harness/local_apic.js';
import { messageAddress, writeMessage } from '../../src/harness/message.js';
import * as broken from '../support/broken_apic.js';
import { apicRegister, EOI, hasVector, rdmsr, withVectors, wrmsr, x2apic } from '../support/interrupts.js';
import { INTERRUPT_PAGES, type Options, type Rig } from '../support/machine.js';
import { type Make, rule } from '../support/rule.js';

const NO_INTERRUPTS = { regs: { RFLAGS: 2n } };
const VECTORS = [0x30, 0x31, 0x40, 0x50];
/** Handlers that end their interrupt, and that can be interrupted if `sti` is put in. */
const handlers = (inside = ''): string =>
  VECTORS.map(
    (v) => `v${v}: ${inside}\n push %rax\n push %rcx\n push %rdx\n${EOI} pop %rdx\n pop %rcx\n pop %rax\n iretq\n`,
  ).join('');
const NOPS = `start: nop\n nop\n nop\n nop\n${handlers()}`;
const PAGE = INTERRUPT_PAGES.localApic;
/** From x2APIC mode to xAPIC mode the way leads over "off", which resets the local APIC. */
const TO_XAPIC = `${wrmsr(0x1b, 0xfee00100)}${wrmsr(0x1b, 0xfee00900)}`;
const XAPIC_ON = `${TO_XAPIC}\tmovl $0x1ff, local_apic_page+0xf0\n`;

function rigOf(make: Make, text: string, options: Options = {}): Rig {
  return withVectors(make, text, VECTORS, options);
}

// Acceptance and priorities ---------------------------------------------------------------------------------------------

rule(
  'APIC-2: a message sets IRR; the delivery moves it to ISR; EOI clears it (SDM vol. 3, 10.8.4, 10.8.5)',
  [broken.withoutEoi, broken.withoutInService],
  (make) => {
    const rig = rigOf(make, NOPS, NO_INTERRUPTS).fire('msi:0x40');
    assert.deepEqual([hasVector(rig, Register.IRR, 0x40), hasVector(rig, Register.ISR, 0x40)], [true, false]);
    assert.equal(rig.event(EventState.INTR_PENDING), true);
    rig.set({ RFLAGS: 0x202n }).step();
    assert.equal(rig.delivered, 0x40);
    assert.deepEqual([hasVector(rig, Register.IRR, 0x40), hasVector(rig, Register.ISR, 0x40)], [false, true]);
    assert.equal(rig.event(EventState.INTR_PENDING), false);
    rig.runTo('start');
    assert.equal(hasVector(rig, Register.ISR, 0x40), false);
  },
);

rule(
  'APIC-2: a second message with a vector that is in service waits; a third collapses into it',
  [broken.withoutEoi, broken.withoutInService],
  (make) => {
    const rig = rigOf(make, `start: nop\n nop\n${handlers('sti')}`)
      .fire('msi:0x40')
      .step(2);
    assert.deepEqual(rig.actions(['msi:0x40']), ['step', 'msi:0x40']);
    assert.equal(rig.fire('msi:0x40').delivered, undefined);
    assert.deepEqual(rig.actions(['msi:0x40']), ['step']);
    // After the EOI it interrupts its own handler.
    for (let i = 0; i < 20 && rig.delivered === undefined; i++) rig.step();
    assert.equal(rig.delivered, 0x40);
    assert.notEqual(rig.frame().rip, rig.label('start'));
  },
);

rule(
  'APIC-2: a higher class interrupts a handler, the same class does not (SDM vol. 3, 10.8.3)',
  [broken.withoutInService, broken.priorityByVector, broken.priorityOfTask],
  (make) => {
    const rig = rigOf(make, `start: nop\n nop\n${handlers('sti\n nop')}`)
      .fire('msi:0x30')
      .step(2);
    assert.equal(rig.fire('msi:0x31').delivered, undefined, 'a higher vector of the same class');
    assert.equal(rig.step().delivered, undefined);
    assert.equal(rig.fire('msi:0x40').delivered, 0x40);
    assert.equal(hasVector(rig, Register.ISR, 0x30), true);
    assert.equal(hasVector(rig, Register.ISR, 0x40), true);
  },
);

rule('APIC-2: EOI ends the highest vector in service', [broken.withoutEoi, broken.eoiOfAll], (make) => {
  const rig = rigOf(make, `start: nop\n nop\n${handlers('sti\n nop')}`)
    .fire('msi:0x30')
    .step(2)
    .fire('msi:0x50');
  assert.equal(rig.delivered, 0x50);
  for (let i = 0; i < 30 && hasVector(rig, Register.ISR, 0x50); i++) rig.step();
  assert.equal(hasVector(rig, Register.ISR, 0x50), false);
  assert.equal(hasVector(rig, Register.ISR, 0x30), true);
});

rule('APIC-2: of several that wait the highest vector goes first', broken.withoutInService, (make) => {
  const rig = rigOf(make, NOPS, NO_INTERRUPTS).fire('msi:0x31').fire('msi:0x50').fire('msi:0x30');
  rig.set({ RFLAGS: 0x202n });
  const order: (number | undefined)[] = [];
  for (let i = 0; i < 3; i++) {
    order.push(rig.step().delivered);
    rig.runTo('start');
  }
  assert.deepEqual(order, [0x50, 0x31, 0x30]);
  assert.equal(rig.fire('msi:0x40').delivered, 0x40);
  assert.equal(hasVector(rig, Register.ISR, 0x40), true);
});

rule(
  'APIC-2: the TPR holds back its own class and those below it (SDM vol. 3, 10.8.3.1)',
  broken.withoutTaskPriority,
  (make) => {
    const rig = rigOf(make, `start: mov %r8, %cr8\nset: nop\n mov %r9, %cr8\nlow: nop\n${handlers()}`, {
      regs: { R8: 4n, R9: 3n },
    }).step();
    assert.equal(apicRegister(rig, Register.TPR), 0x40);
    assert.equal(rig.fire('msi:0x40').delivered, undefined);
    assert.equal(rig.fire('msi:0x50').delivered, 0x50);
    rig.runTo('set').step();
    assert.equal(rig.delivered, undefined);
    rig.runTo('low');
    assert.equal(rig.step().delivered, 0x40);
  },
);

rule(
  'APIC-2: CR8 is bits 7 to 4 of the TPR; a value above 15 is #GP(0) (SDM vol. 3, 10.8.6)',
  broken.wideCr8,
  (make) => {
    const rig = rigOf(make, `start:\n${x2apic(Register.TPR, 0x5a)}read: mov %cr8, %rbx\n mov %r8, %cr8\nv13: nop\n`, {
      regs: { R8: 16n },
    });
    rig.runTo('read').step();
    assert.equal(rig.get('RBX'), 5n);
    assert.equal(rig.step().delivered, 13);
    assert.equal(apicRegister(rig, Register.TPR), 0x5a);
  },
);

rule('APIC-2: CR8 is for ring 0', broken.wideCr8, (make) => {
  const user = make('.section .text.user,"ax"\nstart: mov %cr8, %rax\n.text\nv13: nop\n').step();
  assert.equal(user.delivered, 13);
  const kernel = make(`start:\n${x2apic(Register.TPR, 0x20)}read: mov %cr8, %rax\n`)
    .runTo('read')
    .step();
  assert.equal(kernel.get('RAX'), 2n);
});

rule(
  'APIC-2: the PPR is the TPR, or the class in service when that is higher (SDM vol. 3, 10.8.3.1)',
  broken.priorityOfTask,
  (make) => {
    const text = `start:\n${x2apic(Register.TPR, 0x2a)}ready: nop\n nop\nv64:\n${rdmsr(0x80a)}\nread: nop\n`;
    const rig = rigOf(make, `${text}v48: nop\nv49: nop\nv80: nop\n`).runTo('ready');
    rig.fire('msi:0x40').runTo('read');
    assert.equal(rig.get('RAX'), 0x40n);
    const idle = rigOf(make, `start:\n${x2apic(Register.TPR, 0x2a)}${rdmsr(0x80a)}read: nop\n${handlers()}`);
    assert.equal(idle.runTo('read').get('RAX'), 0x2an);
  },
);

rule(
  'APIC-2: while software disables the local APIC it accepts nothing, keeps what it has, and LVT entries stay masked (10.4.7.2)',
  broken.acceptingWhileDisabled,
  (make) => {
    const text = `start: nop\n${x2apic(Register.SVR, 0xff)}${x2apic(Register.LVT_ERROR, 0x50)}off: sti\n nop\n nop\n`;
    const rig = rigOf(make, `${text}${handlers()}`, NO_INTERRUPTS).fire('msi:0x30').runTo('off');
    assert.equal(apicRegister(rig, Register.LVT_ERROR), 0x10050);
    assert.deepEqual(rig.actions(['msi:0x40']), ['step'], 'a message would change nothing');
    writeMessage(rig.machine, messageAddress(0), 0x40);
    assert.equal(hasVector(rig, Register.IRR, 0x40), false);
    assert.equal(rig.step(3).delivered, 0x30);
  },
);

rule('APIC-2: NMIs are accepted while software disables the local APIC', broken.everythingFixed, (make) => {
  const rig = make(`start: nop\n${x2apic(Register.SVR, 0xff)}off: nop\nv2: iretq\n`).runTo('off');
  writeMessage(rig.machine, messageAddress(0), 0x400);
  assert.equal(rig.step().delivered, 2);
});

// Errors ----------------------------------------------------------------------------------------------------------------

rule(
  'APIC-3: a message with a vector below 16 is rejected with the error "receive illegal vector" (SDM vol. 3, 10.5.2, 10.5.3)',
  broken.acceptingAllVectors,
  (make) => {
    const rig = rigOf(make, `start: nop\n${x2apic(Register.ESR, 0)}${rdmsr(0x828)}end: nop\n`);
    writeMessage(rig.machine, messageAddress(0), 15);
    assert.equal(rig.event(EventState.INTR_PENDING), false);
    assert.equal(rig.runTo('end').get('RAX'), BigInt(ApicError.RECEIVE_ILLEGAL_VECTOR));
    writeMessage(rig.machine, messageAddress(0), 16);
    assert.equal(hasVector(rig, Register.IRR, 16), true);
  },
);

rule(
  'APIC-3: a self-IPI with a vector below 16 is an error of the sender and of the receiver',
  broken.acceptingAllVectors,
  (make) => {
    const rig = rigOf(
      make,
      `start:\n${x2apic(Register.SELF_IPI, 2)}${x2apic(Register.ESR, 0)}${rdmsr(0x828)}end: nop\n`,
    );
    rig.runTo('end');
    assert.equal(rig.get('RAX'), BigInt(ApicError.SEND_ILLEGAL_VECTOR | ApicError.RECEIVE_ILLEGAL_VECTOR));
    assert.equal(rig.machine.nmi.pending, false);
  },
);

rule(
  'APIC-3: the ESR shows the errors up to the last write to it, and each write begins anew',
  broken.errorsThatStay,
  (make) => {
    const rig = rigOf(
      make,
      `start: nop\n nop\n${x2apic(Register.ESR, 0)}once: nop\n${x2apic(Register.ESR, 0)}twice: nop\n`,
    );
    writeMessage(rig.machine, messageAddress(0), 3);
    rig.step();
    assert.equal(apicRegister(rig, Register.ESR), 0, 'not before it is written');
    assert.equal(apicRegister(rig.runTo('once'), Register.ESR), ApicError.RECEIVE_ILLEGAL_VECTOR);
    assert.equal(apicRegister(rig.runTo('twice'), Register.ESR), 0);
  },
);

rule(
  'APIC-3: an error raises the interrupt of LVT error, if that is not masked, once until the ESR is written',
  broken.silentErrors,
  (make) => {
    const rig = rigOf(make, `start:\n${x2apic(Register.LVT_ERROR, 0x50)}end: nop\n${handlers()}`).runTo('end');
    writeMessage(rig.machine, messageAddress(0), 3);
    assert.equal(rig.step().delivered, 0x50);
    rig.runTo('end');
    writeMessage(rig.machine, messageAddress(0), 4);
    assert.equal(rig.event(EventState.INTR_PENDING), false);
  },
);

// Messages and interprocessor interrupts --------------------------------------------------------------------------------

rule(
  'APIC-4: a device’s write to 0xFEExxxxx is a message: vector, delivery mode, destination (SDM vol. 3, 10.11)',
  [broken.everythingFixed, broken.everybodysMessages],
  (make) => {
    const fresh = (): Rig => rigOf(make, NOPS, NO_INTERRUPTS);
    const fixed = fresh();
    writeMessage(fixed.machine, messageAddress(0), 0x31);
    assert.equal(hasVector(fixed, Register.IRR, 0x31), true);
    const lowest = fresh();
    writeMessage(lowest.machine, messageAddress(0), 0x131);
    assert.equal(hasVector(lowest, Register.IRR, 0x31), true);
    const nmi = fresh();
    writeMessage(nmi.machine, messageAddress(0), 0x431);
    assert.equal(nmi.machine.nmi.pending, true);
    assert.equal(hasVector(nmi, Register.IRR, 0x31), false);
    const smi = fresh();
    writeMessage(smi.machine, messageAddress(0), 0x200);
    assert.equal(smi.event(EventState.SMI_PENDING), true);
    const init = fresh();
    writeMessage(init.machine, messageAddress(0), 0x500);
    assert.equal(init.event(EventState.INIT_PENDING), true);
    const other = fresh();
    writeMessage(other.machine, messageAddress(1), 0x31);
    assert.equal(hasVector(other, Register.IRR, 0x31), false, 'for another processor');
    const all = fresh();
    writeMessage(all.machine, messageAddress(0xff), 0x31);
    assert.equal(hasVector(all, Register.IRR, 0x31), true, 'for all');
    const elsewhere = fresh();
    writeMessage(elsewhere.machine, 0xfed00000, 0x31);
    assert.equal(hasVector(elsewhere, Register.IRR, 0x31), false, 'no message');
  },
);

rule('APIC-4: the end of a level-triggered message is ignored', broken.deaf, (make) => {
  const rig = rigOf(make, NOPS, NO_INTERRUPTS);
  writeMessage(rig.machine, messageAddress(0), 0x8031);
  assert.equal(hasVector(rig, Register.IRR, 0x31), false);
  writeMessage(rig.machine, messageAddress(0), 0xc031);
  assert.equal(hasVector(rig, Register.IRR, 0x31), true);
});

rule('APIC-4: a message in ExtINT mode lets the INTR pin give the vector', broken.everythingFixed, (make) => {
  const text = `start: nop\n${x2apic(Register.LVT_LINT0, 0x10700)}end: nop\n nop\n${handlers()}`;
  const rig = rigOf(make, text).runTo('end').fire('intr:0x40');
  assert.equal(rig.delivered, undefined, 'LINT0 is masked');
  writeMessage(rig.machine, messageAddress(0), 0x700);
  assert.equal(rig.step().delivered, 0x40);
  assert.equal(hasVector(rig, Register.ISR, 0x40), false, 'it needs no EOI');
});

const icr = (low: number, high = 0): string =>
  `start:\n${x2apic(Register.ICR, low, high)}end: nop\n nop\nv2: nop\n${handlers()}`;

rule('APIC-5: the self-IPI register (SDM vol. 3, 10.12.11)', broken.deaf, (make) => {
  const rig = rigOf(make, `start:\n${x2apic(Register.SELF_IPI, 0x40)}end: nop\n${handlers()}`).runTo('end');
  assert.equal(rig.step().delivered, 0x40);
  assert.equal(rig.frame().rip, rig.label('end'), 'before the next instruction');
});

for (const [what, low, high, arrives] of [
  ['shorthand self', 0x40040, 0, true],
  ['shorthand all', 0x80040, 0, true],
  ['the own ID', 0x40, 0, true],
  ['the ID of nobody', 0x40, 1, false],
  ['all, by the destination', 0x40, 0xffffffff, true],
  ['the own logical ID', 0x840, 1, true],
  ['logical IDs of others', 0x840, 0xfffe, false],
  ['another cluster', 0x840, 0x10001, false],
  ['lowest priority among all', 0x140, 0xffffffff, true],
] as const) {
  rule(
    `APIC-5: an IPI to ${what} (SDM vol. 3, 10.6, 10.12.10)`,
    arrives ? broken.deaf : broken.everybodysMessages,
    (make) => {
      const rig = rigOf(make, icr(low, high)).runTo('end');
      assert.equal(hasVector(rig, Register.IRR, 0x40), arrives);
      assert.equal(rig.event(EventState.INTR_PENDING), arrives);
    },
  );
}

rule('APIC-5: an NMI as an IPI to oneself, with IF clear', [broken.deaf, broken.everythingFixed], (make) => {
  const rig = rigOf(make, icr(0x4400), NO_INTERRUPTS).runTo('end');
  assert.equal(rig.step().delivered, 2);
  assert.equal(rig.machine.nmi.blocked, true);
});

rule('APIC-5: the end of a level (INIT level de-assert) is ignored', broken.deaf, (make) => {
  const ignored = rigOf(make, icr(0x8500)).runTo('end');
  assert.equal(ignored.event(EventState.INIT_PENDING), false);
  const sent = rigOf(make, icr(0xc500)).runTo('end');
  assert.equal(sent.event(EventState.INIT_PENDING), true);
});

rule('APIC-5: an INIT of the bootstrap processor is refused with its line', broken.deaf, (make) => {
  const rig = rigOf(make, icr(0x4500)).runTo('end');
  assert.throws(() => rig.step(), NotModelled);
});

rule('APIC-5: an INIT lets another processor wait for a start-up message', broken.deaf, (make) => {
  const rig = rigOf(make, icr(0x4500), NO_INTERRUPTS);
  rig.set({ APIC_BASE: 0xfee00c00n }).runTo('end').step();
  assert.equal(rig.event(EventState.WAIT_FOR_SIPI), true);
  assert.deepEqual(rig.actions(['nmi']), ['nmi'], 'nothing runs; an NMI is only latched');
  assert.equal(rig.nmi().delivered, undefined);
});

rule('APIC-5: what the manual calls invalid is refused with its line', broken.lenientMsrs, (make) => {
  for (const low of [0x300, 0x700, 0x40400, 0x80140]) {
    const rig = rigOf(make, icr(low));
    assert.throws(() => rig.runTo('end'), NotModelled, low.toString(16));
  }
  // Not so a reserved bit.
  assert.equal(rigOf(make, `${icr(0x1000)}v13: nop\n`).step(4).delivered, 13);
});

// x2APIC mode -----------------------------------------------------------------------------------------------------------

/** Whether WRMSR of `low` (and `high`) to an MSR is #GP(0). */
function refuses(make: Make, msr: number, low: number, high = 0, before = ''): boolean {
  const rig = rigOf(make, `start:\n${before}now:\n${wrmsr(msr, low, high)}end: nop\nv13: nop\n`)
    .runTo('now')
    .step(4);
  assert.ok(rig.delivered === undefined || (rig.delivered === 13 && rig.errorCode === 0n));
  return rig.delivered === 13;
}

function refusesRead(make: Make, msr: number, before = ''): boolean {
  const rig = rigOf(make, `start:\n${before}now:\n${rdmsr(msr)}end: nop\nv13: nop\n`)
    .runTo('now')
    .step(2);
  return rig.delivered === 13;
}

rule(
  'APIC-6: WRMSR of reserved bits and of read-only x2APIC registers is #GP(0) (SDM vol. 3, 10.12.1.2)',
  broken.lenientMsrs,
  (make) => {
    for (const [msr, low, high] of [
      [0x802, 0, 0],
      [0x803, 0, 0],
      [0x808, 0x100, 0],
      [0x808, 0, 1],
      [0x80a, 0, 0],
      [0x80b, 1, 0],
      [0x80d, 0, 0],
      [0x80f, 0x1000, 0],
      [0x810, 0, 0],
      [0x820, 0, 0],
      [0x828, 1, 0],
      [0x830, 0x1000, 0],
      [0x830, 0x2040, 0],
      [0x832, 0x700, 0],
      [0x837, 0x700, 0],
      [0x838, 0, 1],
      [0x839, 0, 0],
      [0x83e, 4, 0],
      [0x83f, 0x140, 0],
    ] as const) {
      assert.equal(refuses(make, msr, low, high), true, `0x${msr.toString(16)} := 0x${low.toString(16)}`);
    }
    for (const [msr, low] of [
      [0x808, 0x20],
      [0x80b, 0],
      [0x80f, 0x1ff],
      [0x828, 0],
      [0x832, 0x10040],
      [0x835, 0x10700],
      [0x837, 0x10040],
      [0x838, 0xffffffff],
      [0x83e, 0xb],
    ] as const) {
      assert.equal(refuses(make, msr, low), false, `0x${msr.toString(16)} := 0x${low.toString(16)}`);
    }
  },
);

rule('APIC-6: MSRs that x2APIC mode does not have are #GP(0) (SDM vol. 3, table 10-6)', broken.lenientMsrs, (make) => {
  for (const msr of [0x800, 0x801, 0x804, 0x809, 0x80c, 0x80e, 0x831, 0x83a, 0x840, 0x8ff]) {
    assert.equal(refuses(make, msr, 0), true, `write 0x${msr.toString(16)}`);
    assert.equal(refusesRead(make, msr), true, `read 0x${msr.toString(16)}`);
  }
  // Write-only.
  for (const msr of [0x80b, 0x83f]) assert.equal(refusesRead(make, msr), true, `read 0x${msr.toString(16)}`);
  for (const msr of [0x802, 0x803, 0x808, 0x80a, 0x80d, 0x80f, 0x817, 0x827, 0x828, 0x830, 0x837, 0x839])
    assert.equal(refusesRead(make, msr), false, `read 0x${msr.toString(16)}`);
});

rule('APIC-6: outside x2APIC mode its MSRs are #GP(0)', broken.lenientMsrs, (make) => {
  assert.equal(refuses(make, 0x80b, 0, 0, TO_XAPIC), true);
  assert.equal(refusesRead(make, 0x802, TO_XAPIC), true);
  assert.equal(refusesRead(make, 0x802, wrmsr(0x1b, 0xfee00100)), true);
});

rule('APIC-6: ID, version and logical ID in x2APIC mode', broken.lenientMsrs, (make) => {
  const rig = rigOf(make, `start:\n${rdmsr(0x802)}id: nop\n${rdmsr(0x803)}version: nop\n${rdmsr(0x80d)}logical: nop\n`);
  assert.equal(rig.runTo('id').get('RAX'), 0n);
  assert.equal(rig.runTo('version').get('RAX'), 0x60015n);
  assert.equal(rig.runTo('logical').get('RAX'), 1n);
  assert.equal(refuses(make, 0x80d, 0), true);
});

rule('APIC-6: the ICR is one 64-bit register', broken.lenientMsrs, (make) => {
  const rig = rigOf(make, `start:\n${x2apic(Register.ICR, 0x40, 9)}${rdmsr(0x830)}end: nop\n`).runTo('end');
  assert.deepEqual([rig.get('RDX'), rig.get('RAX')], [9n, 0x40n]);
  assert.equal(refusesRead(make, 0x831), true);
});

// IA32_APIC_BASE --------------------------------------------------------------------------------------------------------

const OFF = 0xfee00100;
const XAPIC = 0xfee00900;
const X2APIC = 0xfee00d00;

rule(
  'APIC-7: the modes of the local APIC and the transitions between them (SDM vol. 3, 10.12.5)',
  broken.lenientModes,
  (make) => {
    const toOff = wrmsr(0x1b, OFF);
    for (const [from, before, allowed] of [
      ['x2APIC', '', [OFF, X2APIC]],
      ['off', toOff, [OFF, XAPIC]],
      ['xAPIC', TO_XAPIC, [OFF, XAPIC, X2APIC]],
    ] as const) {
      for (const to of [OFF, XAPIC, X2APIC, 0xfee00500]) {
        const expected = !(allowed as readonly number[]).includes(to);
        assert.equal(refuses(make, 0x1b, to, 0, before), expected, `from ${from} to 0x${to.toString(16)}`);
      }
    }
  },
);

rule('APIC-7: reserved bits of IA32_APIC_BASE are #GP(0)', broken.lenientModes, (make) => {
  for (const bit of [0, 7, 9]) assert.equal(refuses(make, 0x1b, X2APIC | (1 << bit)), true, `bit ${bit}`);
  assert.equal(refuses(make, 0x1b, X2APIC, 1 << 20), true);
});

rule('APIC-7: another physical address is refused with its line', broken.lenientModes, (make) => {
  const rig = rigOf(make, `start:\n${wrmsr(0x1b, 0xfed00d00)}end: nop\n`);
  assert.throws(() => rig.runTo('end'), NotModelled);
  assert.equal(refuses(make, 0x1b, XAPIC), true);
});

rule('APIC-7: turning the local APIC off resets it (SDM vol. 3, 10.4.3)', broken.keepingRegisters, (make) => {
  const rig = rigOf(make, `start:\n${x2apic(Register.TPR, 0x20)}${TO_XAPIC}end: nop\n`, NO_INTERRUPTS);
  rig.fire('msi:0x40').runTo('end');
  assert.equal(apicRegister(rig, Register.TPR), 0);
  assert.equal(apicRegister(rig, Register.SVR), 0xff);
  assert.equal(apicRegister(rig, Register.LVT_LINT0), 0x10000);
  assert.equal(hasVector(rig, Register.IRR, 0x40), false);
  assert.equal(rig.event(EventState.INTR_PENDING), false);
});

// The xAPIC page --------------------------------------------------------------------------------------------------------

rule('APIC-8: registers are read through the xAPIC page (SDM vol. 3, 10.4.1)', broken.blankPages, (make) => {
  const rig = rigOf(
    make,
    `start:\n${XAPIC_ON}movl local_apic_page+0x30, %ebx\n movl local_apic_page+0xf0, %esi\nend: nop\n`,
  );
  rig.runTo('end');
  assert.deepEqual([rig.get('RBX'), rig.get('RSI')], [0x60015n, 0x1ffn]);
});

rule('APIC-8: and written, also by instructions that read first', [broken.deafPages, broken.blankPages], (make) => {
  const text = `start:\n${XAPIC_ON}movl $0x25, local_apic_page+0x80\n orl $0x50, local_apic_page+0x80\nend: nop\n`;
  const rig = rigOf(make, text).runTo('end');
  assert.equal(apicRegister(rig, Register.TPR), 0x75);
  assert.equal(rig.flag(1 << 6), false, 'the flags are those of the result');
});

rule('APIC-8: the page itself keeps nothing', broken.pagesThatRemember, (make) => {
  const rig = rigOf(make, `start:\n${XAPIC_ON}movl $0x25, local_apic_page+0x80\nend: nop\n`).runTo('end');
  assert.equal(rig.word(PAGE + 0x80n), 0n);
  assert.equal(rig.word(PAGE + 0xf0n), 0n);
});

rule('APIC-8: IPIs and EOI through the page', [broken.deafPages, broken.withoutEoi], (make) => {
  const text = `start:\n${XAPIC_ON}movl $0, local_apic_page+0x310\n movl $0x40, local_apic_page+0x300\nend: nop\n`;
  const rig = rigOf(make, `${text}v64: movl $0, local_apic_page+0xb0\n iretq\nv48: nop\nv49: nop\nv80: nop\n`).runTo(
    'end',
  );
  assert.equal(rig.step().delivered, 0x40);
  assert.equal(hasVector(rig, Register.ISR, 0x40), true);
  assert.equal(hasVector(rig.step(), Register.ISR, 0x40), false);
});

rule(
  'APIC-8: logical destinations of the flat and of the cluster model (SDM vol. 3, 10.6.2.2)',
  [broken.deaf, broken.everybodysMessages],
  (make) => {
    const arrives = (ldr: number, dfr: number, destination: number): boolean => {
      const rig = rigOf(
        make,
        `start:\n${XAPIC_ON}movl $${ldr << 24}, local_apic_page+0xd0\n movl $${dfr}, local_apic_page+0xe0\n` +
          ` movl $${destination << 24}, local_apic_page+0x310\n movl $0x840, local_apic_page+0x300\nend: nop\n`,
        NO_INTERRUPTS,
      ).runTo('end');
      return hasVector(rig, Register.IRR, 0x40);
    };
    const flat = -1;
    const cluster = 0x0fffffff;
    assert.equal(arrives(0x04, flat, 0x06), true);
    assert.equal(arrives(0x04, flat, 0x03), false);
    assert.equal(arrives(0x24, cluster, 0x26), true);
    assert.equal(arrives(0x24, cluster, 0x36), false);
    assert.equal(arrives(0x24, cluster, 0x21), false);
    assert.equal(arrives(0x24, cluster, 0xff), true);
  },
);

rule('APIC-8: the ID of the page is an 8-bit one that software can change', broken.deafPages, (make) => {
  const rig = rigOf(make, `start:\n${XAPIC_ON}movl $0x05000000, local_apic_page+0x20\nend: nop\n`, NO_INTERRUPTS);
  rig.runTo('end');
  writeMessage(rig.machine, messageAddress(0), 0x40);
  assert.equal(hasVector(rig, Register.IRR, 0x40), false);
  writeMessage(rig.machine, messageAddress(5), 0x40);
  assert.equal(hasVector(rig, Register.IRR, 0x40), true);
});

rule('APIC-8: a register that is not there is the error "illegal register address"', broken.deafPages, (make) => {
  const text = `start:\n${XAPIC_ON}movl $0, local_apic_page+0x3f0\n movl $0, local_apic_page+0x280\nend: nop\n`;
  assert.equal(apicRegister(rigOf(make, text).runTo('end'), Register.ESR), ApicError.ILLEGAL_REGISTER);
});

rule('APIC-8: what the manual leaves undefined is refused with its line', broken.deafPages, (make) => {
  for (const access of [
    'movb $0, local_apic_page+0x80',
    'movq $0, local_apic_page+0x80',
    'movl $0, local_apic_page+0x84',
    'pushq local_apic_page+0x80',
    'movl local_apic_page+0x82, %eax',
    'lgdt local_apic_page',
    'movabs $local_apic_page, %rdi\n movl $1, %ecx\n rep stosl',
  ]) {
    const rig = rigOf(make, `start:\n${XAPIC_ON}\t${access}\nend: nop\n`);
    assert.throws(() => rig.runTo('end'), NotModelled, access);
  }
});

rule('APIC-8: in x2APIC mode there is no page', broken.deafPages, (make) => {
  const rig = rigOf(make, 'start: movl $0, local_apic_page+0xb0\nend: nop\n');
  assert.throws(() => rig.runTo('end'), /x2APIC mode/);
});

rule('APIC-8: the page is not for ring 3', broken.blankPages, (make) => {
  const user = make('.section .text.user,"ax"\nstart: movl local_apic_page+0x20, %eax\n.text\nv14: nop\n').step();
  assert.equal(user.delivered, 14);
  assert.equal(user.errorCode, 5n);
  const kernel = rigOf(make, `start:\n${XAPIC_ON}movl local_apic_page+0x30, %eax\nend: nop\n`).runTo('end');
  assert.equal(kernel.get('RAX'), 0x60015n);
});

rule('APIC-9: time stands still: the timer’s current count is its initial count', broken.lenientMsrs, (make) => {
  const text = `start:\n${x2apic(Register.LVT_TIMER, 0x20040)}${x2apic(Register.INITIAL_COUNT, 100)}${rdmsr(0x839)}end: nop\n nop\n`;
  const rig = rigOf(make, text).runTo('end').step();
  assert.equal(rig.get('RAX'), 100n);
  assert.equal(rig.event(EventState.INTR_PENDING), false);
  assert.equal(refuses(make, 0x839, 1), true);
});
