import assert from 'node:assert/strict';
import { Tss } from '../../src/harness/descriptors.js';
import { EventState } from '../../src/harness/event_state.js';
import * as broken from '../support/broken.js';
import { istStack, KERNEL_STACK, type Options, type Rig, TSS, USER_STACK } from '../support/machine.js';
import { rule } from '../support/rule.js';

/** Raises the first exception: each source of one as code and registers. */
const FIRST: Readonly<Record<string, { text: string; regs: Options['regs'] }>> = {
  '#DE': { text: 'start: divl %ecx', regs: { RCX: 0n } },
  '#GP': { text: 'start: movq (%rax), %rcx', regs: { RAX: 0x8000000000000000n } },
  '#SS': { text: 'start: movq (%rbp), %rcx', regs: { RBP: 0x8000000000000000n } },
  '#NP': { text: 'start: int $0x1f', regs: {} },
  '#PF': { text: 'start: movq (%rax), %rcx', regs: { RAX: 0x1000n } },
  '#UD': { text: 'start: ud2', regs: {} },
};
const VECTOR: Readonly<Record<string, number>> = { '#DE': 0, '#UD': 6, '#NP': 11, '#SS': 12, '#GP': 13, '#PF': 14 };
const NOWHERE = 0xffffc90000200000n;

/** What makes the delivery of the first exception raise the second: its gate. */
const SECOND: Readonly<Record<string, { gate: { present?: boolean; type?: number; ist?: number } }>> = {
  '#NP': { gate: { present: false } },
  '#GP': { gate: { type: 0 } },
  '#PF': { gate: { ist: 5 } },
};

function twoFaults(make: (text: string, options: Options) => Rig, first: string, second: string): Rig {
  const { text, regs } = FIRST[first]!;
  const gates = { [VECTOR[first]!]: SECOND[second]!.gate, 8: { ist: 1 }, 31: { present: first !== '#NP' } };
  const rig = make(text, { regs: regs ?? {}, gates });
  rig.setWord(TSS + BigInt(Tss.IST1 + 8 * 4), NOWHERE);
  return rig.step();
}

const DOUBLE: readonly (readonly [string, string])[] = [
  ...['#NP', '#GP'].flatMap((second) => ['#DE', '#GP', '#SS', '#PF'].map((first) => [first, second] as const)),
  ['#PF', '#PF'],
];
for (const [first, second] of DOUBLE) {
  rule(`B-4: ${second} during the delivery of ${first} is #DF with error code 0`, broken.withoutDoubleFault, (make) => {
    const rig = twoFaults(make, first, second);
    assert.equal(rig.delivered, 8);
    assert.equal(rig.rip, rig.label('v8'));
    assert.equal(rig.get('RSP'), istStack(1) - 48n);
    assert.equal(rig.errorCode, 0n);
    assert.equal(rig.frame(true).rip, rig.label('start'));
    assert.equal(rig.frame(true).rsp, KERNEL_STACK);
  });
}

const SERIAL: readonly (readonly [string, string])[] = [
  ['#UD', '#NP'],
  ['#UD', '#GP'],
  ['#UD', '#PF'],
  ['#DE', '#PF'],
  ['#GP', '#PF'],
];
for (const [first, second] of SERIAL) {
  rule(
    `B-4: ${second} during the delivery of ${first} is delivered in its place`,
    broken.withDoubleFaultAlways,
    (make) => {
      const rig = twoFaults(make, first, second);
      assert.equal(rig.delivered, VECTOR[second]);
      assert.equal(rig.rip, rig.label(`v${VECTOR[second]}`));
      assert.equal(rig.frame(true).rip, rig.label('start'));
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

rule('B-4: the CR2 of a #PF that became #DF is that of the first #PF', broken.withPageInCr2, (make) => {
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
