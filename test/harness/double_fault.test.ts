import assert from 'node:assert/strict';
import { deliver, Origin } from '../../src/harness/delivery.js';
import { Tss } from '../../src/harness/descriptors.js';
import { EventState } from '../../src/harness/event_state.js';
import { eventNamed } from '../../src/harness/events.js';
import type { Machine } from '../../src/harness/machine.js';
import * as broken from '../support/broken.js';
import {
  type Gate,
  istStack,
  KERNEL_STACK,
  type Options,
  type Rig,
  TASK,
  TSS,
  USER_STACK,
} from '../support/machine.js';
import { rule } from '../support/rule.js';

/** The first event: how it comes about as code and registers, or as something that is fired. */
interface First {
  readonly text: string;
  readonly regs?: Options['regs'];
  readonly fire?: (rig: Rig) => void;
  readonly vector: number;
}

const interrupt = (vector: number): First => ({
  text: 'start: nop',
  fire: (rig) => {
    const fire = (machine: Machine): void => deliver(machine, vector, Origin.INTERRUPT, undefined);
    rig.machine.fire({ ...eventNamed('nmi'), fire });
  },
  vector,
});

const BENIGN: Readonly<Record<string, First>> = {
  '#UD': { text: 'start: ud2', vector: 6 },
  '#BP': { text: 'start: int3', vector: 3 },
  'INT n': { text: 'start: int $0x1c', vector: 0x1c },
  'INT 13': { text: 'start: int $13', vector: 13 },
  NMI: { text: 'start: nop', fire: (rig) => rig.nmi(), vector: 2 },
  '#MC': { text: 'start: nop', fire: (rig) => rig.fire('mc'), vector: 18 },
  'an interrupt': interrupt(0x1c),
  'an interrupt with vector 13': interrupt(13),
  'an interrupt with vector 14': interrupt(14),
  'an interrupt with vector 8': interrupt(8),
};
const CONTRIBUTORY: Readonly<Record<string, First>> = {
  '#DE': { text: 'start: divl %ecx', regs: { RCX: 0n }, vector: 0 },
  // A gate with an IST slot beyond the limit of the TSS.
  '#TS': { text: 'start: int $0x1d', vector: 10 },
  '#NP': { text: 'start: int $0x1e', vector: 11 },
  '#SS': { text: 'start: movq (%rbp), %rcx', regs: { RBP: 0x8000000000000000n }, vector: 12 },
  '#GP': { text: 'start: movq (%rax), %rcx', regs: { RAX: 0x8000000000000000n }, vector: 13 },
};
const PAGE_FAULT: Readonly<Record<string, First>> = {
  '#PF': { text: 'start: movq (%rax), %rcx', regs: { RAX: 0x1000n }, vector: 14 },
};
const NOWHERE = 0xffffc90000200000n;
/** The IST slot 5 lies beyond this limit, 1 to 4 do not. */
const TSS_LIMIT = BigInt(Tss.IST1 + 8 * 4);

/** What makes the delivery of the first event raise the second: its gate. */
const SECOND: Readonly<Record<string, { vector: number; code: (first: First) => bigint; gate: Gate }>> = {
  '#TS': { vector: 10, code: () => BigInt(TASK), gate: { ist: 5 } },
  '#NP': { vector: 11, code: (first) => BigInt(first.vector * 8 + 2), gate: { present: false } },
  '#SS': { vector: 12, code: () => 0n, gate: { ist: 3 } },
  '#GP': { vector: 13, code: (first) => BigInt(first.vector * 8 + 2), gate: { type: 0 } },
  '#PF': { vector: 14, code: () => 2n, gate: { ist: 4 } },
};

function twoFaults(make: (text: string, options: Options) => Rig, first: First, second: string): Rig {
  const gates: Record<number, Gate> = {
    8: { ist: 1 },
    29: { ist: 5 },
    30: { present: false },
    [first.vector]: SECOND[second]!.gate,
  };
  const rig = make(first.text, { regs: { ...first.regs, TR_LIMIT: TSS_LIMIT }, gates });
  rig.setWord(TSS + BigInt(Tss.IST1 + 8 * 2), 0x8000000000000000n);
  rig.setWord(TSS + BigInt(Tss.IST1 + 8 * 3), NOWHERE);
  if (first.fire) first.fire(rig);
  else rig.step();
  return rig;
}

// Table 6-5, pair by pair: contributory in contributory, anything but a benign event in #PF.
const DOUBLE = [
  ...Object.entries(CONTRIBUTORY).flatMap(([name, first]) =>
    ['#TS', '#NP', '#SS', '#GP'].map((second) => [name, first, second] as const),
  ),
  ...Object.entries(PAGE_FAULT).flatMap(([name, first]) =>
    Object.keys(SECOND).map((second) => [name, first, second] as const),
  ),
];
for (const [name, first, second] of DOUBLE) {
  rule(`B-4: ${second} during the delivery of ${name} is #DF with error code 0`, broken.withoutDoubleFault, (make) => {
    const rig = twoFaults(make, first, second);
    assert.equal(rig.delivered, 8);
    assert.equal(rig.rip, rig.label('v8'));
    assert.equal(rig.get('RSP'), istStack(1) - 48n);
    assert.equal(rig.errorCode, 0n);
    assert.equal(rig.frame(true).rip, rig.label('start'));
    assert.equal(rig.frame(true).rsp, KERNEL_STACK);
  });
}

// All other pairs: one after the other. The first is lost, unless its cause is still there.
const SERIAL = [
  ...Object.entries(BENIGN).flatMap(([name, first]) =>
    // What the vector's own gate does to the second exception would be a third.
    Object.keys(SECOND).flatMap((second) =>
      SECOND[second]!.vector === first.vector ? [] : [[name, first, second] as const],
    ),
  ),
  ...Object.entries(CONTRIBUTORY).map(([name, first]) => [name, first, '#PF'] as const),
];
for (const [name, first, second] of SERIAL) {
  const software = first.text.includes('int');
  rule(
    `B-4: ${second} during the delivery of ${name} is delivered in its place`,
    [broken.withDoubleFaultAlways, broken.withOtherErrorCodes],
    (make) => {
      const rig = twoFaults(make, first, second);
      const { vector, code } = SECOND[second]!;
      const external = software && first.vector !== 10 && first.vector !== 11 ? 0n : 1n;
      assert.equal(rig.delivered, vector);
      assert.equal(rig.rip, rig.label(`v${vector}`));
      assert.equal(rig.errorCode, second === '#PF' ? code(first) : code(first) | external);
      assert.equal(rig.frame(true).rip, rig.label('start'));
      assert.equal(rig.frame(true).rsp, KERNEL_STACK);
    },
  );
}

rule(
  'B-4: a fault during the delivery of an NMI is delivered in its place: the NMI is lost',
  broken.withDoubleFaultAlways,
  (make) => {
    const rig = make('start: nop', { gates: { 2: { type: 0 } } }).nmi();
    assert.equal(rig.delivered, 13);
    assert.equal(rig.rip, rig.label('v13'));
    assert.equal(rig.machine.nmi.pending, false);
  },
);

rule('B-4: after NMI, #PF for it and #GP for that, the third is #DF', broken.withoutDoubleFault, (make) => {
  const rig = make('start: nop', { gates: { 2: { ist: 5 }, 14: { type: 0 }, 8: { ist: 1 } } });
  rig.setWord(TSS + BigInt(Tss.IST1 + 8 * 4), NOWHERE);
  assert.equal(rig.nmi().delivered, 8);
});

rule('B-4: the CR2 of a #PF that became #DF by another fault is its own', broken.withPageInCr2, (make) => {
  const rig = make('start: movq (%rax), %rcx', {
    regs: { RAX: 0x1234n },
    gates: { 14: { present: false }, 8: { ist: 1 } },
  }).step();
  assert.equal(rig.delivered, 8);
  assert.equal(rig.get('CR2'), 0x1234n);
});

rule('B-4: a fault during the delivery of #DF shuts the processor down', broken.withoutShutdown, (make) => {
  const rig = make('start: movq (%rax), %rcx', {
    regs: { RAX: 0x1000n },
    gates: { 14: { present: false }, 8: { present: false } },
  }).step();
  assert.equal(rig.event(EventState.SHUTDOWN), true);
  assert.equal(rig.machine.happened.shutdown, true);
  assert.equal(rig.delivered, undefined);
  assert.deepEqual(rig.actions(), []);
});

rule('B-4: a processor that is shut down executes nothing', broken.withoutShutdown, (make) => {
  const rig = make('start: nop', { regs: { IDTR_LIMIT: 0n } }).bp();
  assert.equal(rig.event(EventState.SHUTDOWN), true);
  rig.machine.step();
  assert.equal(rig.rip, rig.label('start'));
});

rule('B-5: a bad stack without IST ends in shutdown: #PF, #PF in #PF, #PF in #DF', broken.withoutShutdown, (make) => {
  const rig = make('start: push %rax', { regs: { RSP: NOWHERE } }).step();
  assert.equal(rig.event(EventState.SHUTDOWN), true);
});

rule('B-5: a bad stack with an IST for #DF is #DF on that stack', broken.withShutdownAlways, (make) => {
  const rig = make('start: push %rax', { regs: { RSP: NOWHERE }, gates: { 8: { ist: 1 } } }).step();
  assert.equal(rig.delivered, 8);
  assert.equal(rig.event(EventState.SHUTDOWN), false);
  assert.equal(rig.get('RSP'), istStack(1) - 48n);
  assert.equal(rig.frame(true).rsp, NOWHERE);
  assert.equal(rig.get('CR2'), NOWHERE - 8n);
});

rule(
  'a fault during the delivery of INT n is the fault of the instruction, with EXT clear',
  broken.savingNextRip,
  (make) => {
    const rig = make('start: int $0x1f', { gates: { 31: { present: false } } }).step();
    assert.equal(rig.delivered, 11);
    assert.equal(rig.errorCode, 31n * 8n + 2n);
    assert.equal(rig.frame(true).rip, rig.label('start'));
  },
);

rule('#GP during the delivery of INT 13 is #GP and not #DF: INT n is benign', broken.withDoubleFaultAlways, (make) => {
  const rig = make('.section .text.user,"ax"\nstart: int $13').step();
  assert.equal(rig.delivered, 13);
  assert.equal(rig.errorCode, 13n * 8n + 2n);
  assert.equal(rig.frame(true).rsp, USER_STACK);
});

rule('INT 8 from ring 3 through a gate with DPL 0 is #GP and no shutdown', broken.withShutdownAlways, (make) => {
  const rig = make('.section .text.user,"ax"\nstart: int $8').step();
  assert.equal(rig.event(EventState.SHUTDOWN), false);
  assert.equal(rig.delivered, 13);
  assert.equal(rig.errorCode, 8n * 8n + 2n);
});
