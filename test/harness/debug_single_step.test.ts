/** The single-step trap (SDM vol. 3, 17.3.1.4) and priorities around it (6.9, table 6-2). */
import assert from 'node:assert/strict';
import { Mnemonic } from 'iced-x86';
import { Flag } from '../../src/cpu/registers.js';
import { EventState } from '../../src/harness/event_state.js';
import { arm, BS, dr6, On } from '../support/breakpoints.js';
import * as broken from '../support/broken.js';
import * as debug from '../support/broken_debug.js';
import { FMASK, KERNEL_SS, KERNEL_STACK, USER_STACK } from '../support/machine.js';
import { rule } from '../support/rule.js';

const user = '.section .text.user,"ax"\n';
const TF = BigInt(Flag.TF);
const RF = BigInt(Flag.RF);
const TRACED = { RFLAGS: 0x202n | TF };

rule(
  'C-5: an instruction that begins with TF set is followed by #DB with BS, which the handler does not inherit',
  [debug.withoutSingleStep, debug.withoutDr6, broken.keepingTf],
  (make) => {
    const rig = make('start: incq %rax\nhere: nop\nv1: nop\n nop\n', { regs: TRACED });
    const rax = rig.get('RAX');
    assert.deepEqual([rig.step().delivered, rig.get('RAX')], [undefined, rax + 1n]);
    assert.deepEqual([rig.step().delivered, rig.get('DR6')], [1, dr6(BS)]);
    assert.deepEqual([rig.frame().rip, rig.frame().rflags], [rig.label('here'), rig.frame().rflags | TF]);
    assert.deepEqual([rig.step().delivered, rig.step().delivered], [undefined, undefined]);
  },
);

rule('C-5: IRET from its handler steps on, one instruction at a time', debug.withoutSingleStep, (make) => {
  const rig = make('start: incq %rax\n incq %rax\n incq %rax\nend: nop\nv1: incq %rbx\n iretq\n', { regs: TRACED });
  const { RAX, RBX } = rig.all('RAX', 'RBX');
  rig.step(3 * 4);
  assert.equal(rig.rip, rig.label('end'));
  assert.deepEqual(rig.all('RAX', 'RBX'), { RAX: RAX! + 3n, RBX: RBX! + 3n });
});

rule('C-5: POPFQ that sets TF is not traced, the next instruction is', debug.lookingAtTfAfter, (make) => {
  const rig = make('start: popfq\n nop\nhere: nop\n', { regs: { RSP: KERNEL_STACK - 8n } });
  rig.setWord(KERNEL_STACK - 8n, 0x102n);
  assert.deepEqual([rig.step().delivered, rig.step().delivered], [undefined, undefined]);
  assert.deepEqual([rig.step().delivered, rig.frame().rip], [1, rig.label('here')]);
});

rule('C-5: POPFQ that clears TF is still traced', debug.lookingAtTfAfter, (make) => {
  const rig = make('start: popfq\nhere: nop\n', { regs: { RSP: KERNEL_STACK - 8n, ...TRACED } });
  rig.setWord(KERNEL_STACK - 8n, 2n);
  assert.deepEqual([rig.step(2).delivered, rig.frame().rip, rig.frame().rflags], [1, rig.label('here'), 2n]);
});

rule('C-5: IRET that sets TF is not traced, the instruction that it returns to is', debug.lookingAtTfAfter, (make) => {
  const rig = make(`start: iretq\n${user}target: nop\nhere: nop\n`, { regs: { RSP: KERNEL_STACK - 40n } });
  [rig.label('target'), 0x33n, 0x102n, USER_STACK, 0x2bn].forEach((word, i) => {
    rig.setWord(KERNEL_STACK - 40n + BigInt(8 * i), word);
  });
  rig.step(2);
  assert.deepEqual([rig.delivered, rig.rip], [undefined, rig.label('here')]);
  assert.deepEqual([rig.step().delivered, rig.frame().rip, rig.frame().cs], [1, rig.label('here'), 0x33n]);
});

rule(
  "D-1': SYSCALL looks at TF after FMASK: masked, it is no trap; unmasked, it is one at the entry in ring 0",
  debug.lookingAtTfBefore,
  (make) => {
    const text = `${user}start: syscall\n.text\nsyscall_entry: nop\n nop\n`;
    const masked = make(text, { regs: TRACED });
    assert.deepEqual([masked.step(2).delivered, masked.get('R11') & TF], [undefined, TF]);
    const unmasked = make(text, { regs: { ...TRACED, FMASK: FMASK & ~TF } }).step(2);
    assert.deepEqual([unmasked.delivered, unmasked.get('DR6')], [1, dr6(BS)]);
    assert.deepEqual([unmasked.frame().rip, unmasked.frame().cs], [unmasked.label('syscall_entry'), 0x10n]);
  },
);

rule(
  "D-2': SYSRET that sets TF is a trap at once, before the first instruction of ring 3",
  debug.lookingAtTfBefore,
  (make) => {
    const rig = make(`start: sysretq\n${user}target: nop\n`, { regs: { R11: 0x302n } });
    rig.set({ RCX: rig.label('target') });
    assert.deepEqual([rig.step().delivered, rig.rip], [undefined, rig.label('target')]);
    assert.deepEqual([rig.step().delivered, rig.frame().rip, rig.frame().cs], [1, rig.label('target'), 0x33n]);
  },
);

rule(
  "D-3': SYSENTER keeps TF: a trap at the first instruction of the entry, in ring 0",
  debug.withoutSingleStep,
  (make) => {
    const rig = make(`${user}start: sysenter\n.text\nentry: nop\n`, {
      regs: { ...TRACED, SYSENTER_CS: 0x10n, SYSENTER_ESP: KERNEL_STACK },
      profile: { sysenterInLongMode: true },
    });
    rig.set({ SYSENTER_EIP: rig.label('entry') }).step(2);
    assert.deepEqual([rig.delivered, rig.get('DR6')], [1, dr6(BS)]);
    assert.deepEqual([rig.frame().rip, rig.frame().cs, rig.frame().rflags & TF], [rig.label('entry'), 0x10n, TF]);
  },
);

rule('C-5: INT n, INT3 and faults save TF and clear it, and are not traced', debug.tracingDeliveries, (make) => {
  for (const [text, vector] of [
    ['int3', 3],
    ['int $20', 20],
    ['ud2', 6],
  ] as const) {
    const rig = make(`start: ${text}\nv3:\nv6:\nv20: nop\n nop\n`, { regs: TRACED }).step();
    assert.deepEqual([rig.delivered, rig.frame().rflags & TF], [vector, TF]);
    assert.deepEqual([rig.step().delivered, rig.step().delivered], [undefined, undefined], text);
  }
});

rule(
  'C-5: a repeated string instruction is traced after each iteration, with RF in the image but after the last',
  [broken.repeatingInOneStep, debug.pushingOtherRf],
  (make) => {
    const rig = make('start: rep stosb\nafter: nop\nv1: iretq\n', {
      regs: { ...TRACED, RDI: KERNEL_STACK - 0x800n, RCX: 2n },
    }).step(2);
    assert.deepEqual([rig.delivered, rig.get('RCX')], [1, 1n]);
    assert.deepEqual([rig.frame().rip, rig.frame().rflags & RF], [rig.label('start'), RF]);
    rig.step(3);
    assert.deepEqual([rig.delivered, rig.get('RCX')], [1, 0n]);
    assert.deepEqual([rig.frame().rip, rig.frame().rflags & RF], [rig.label('after'), 0n]);
  },
);

rule('C-5: a single step and a data breakpoint are one #DB', debug.withoutSingleStep, (make) => {
  const rig = make('start: movq %rax, -8(%rsp)\n nop\nv1: nop\n nop\n', {
    regs: { ...TRACED, DR0: KERNEL_STACK - 8n, DR7: arm(0, On.WRITE, 8) },
  }).step(2);
  assert.deepEqual([rig.delivered, rig.get('DR6')], [1, dr6(BS | 1)]);
});

rule('C-5: HLT with TF set is traced: the trap wakes the processor', broken.sleepingOn, (make) => {
  const rig = make('start: hlt\nhere: nop\nv1: iretq\n', { regs: TRACED }).step();
  assert.deepEqual(rig.actions([]), ['step']);
  assert.deepEqual([rig.step().delivered, rig.frame().rip], [1, rig.label('here')]);
  assert.equal(rig.step(2).event(EventState.HALTED), false);
});

rule('C-5: an STI is traced in its own shadow', debug.withoutSingleStep, (make) => {
  const rig = make('start: sti\nhere: nop\n', { regs: { RFLAGS: 2n | TF } }).step();
  assert.equal(rig.event(EventState.STI_SHADOW), true);
  assert.deepEqual([rig.step().delivered, rig.frame().rip], [1, rig.label('here')]);
});

rule(
  'C-1: a pending trap comes before a pending NMI, the NMI before the first instruction of the #DB handler',
  [debug.takingNmisFirst, debug.holdingNmisInDebugHandler],
  (make) => {
    const rig = make('start: nop\nhere: nop\nv1: nop\nv2: nop\n', { regs: TRACED }).step();
    rig.machine.nmi.raise();
    assert.deepEqual([rig.step().delivered, rig.frame().rip], [1, rig.label('here')]);
    assert.deepEqual([rig.step().delivered, rig.frame().rip], [2, rig.label('v1')]);
  },
);

rule(
  'C-1: a machine check comes before a pending trap, which comes at the first instruction of its handler',
  debug.losingPendingOnDelivery,
  (make) => {
    const rig = make('start: nop\nhere: nop\nv1: nop\nv18: nop\n', { regs: TRACED }).step();
    rig.fire('mc');
    assert.deepEqual([rig.delivered, rig.frame().rip], [18, rig.label('here')]);
    assert.deepEqual([rig.step().delivered, rig.frame().rip], [1, rig.label('v18')]);
  },
);

rule('C-5: MOV to DR7 and to the flags take effect at the next instruction', broken.ignoring(Mnemonic.Mov), (make) => {
  const rig = make('start: movq %rcx, %dr7\n pushq %rax\nhere: nop\n', {
    regs: { RCX: arm(0, On.WRITE, 8), DR0: KERNEL_STACK - 8n },
  });
  assert.deepEqual([rig.step(2).delivered, rig.step().delivered, rig.frame().rip], [undefined, 1, rig.label('here')]);
});

rule('C-3: a MOV SS is not traced, neither at once nor later; the next instruction is', debug.tracingMovSs, (make) => {
  const regs = { ...TRACED, RAX: BigInt(KERNEL_SS) };
  const rig = make('start: movw %ax, %ss\n nop\nhere: nop\n', { regs });
  assert.deepEqual([rig.step().delivered, rig.step().delivered], [undefined, undefined]);
  assert.deepEqual([rig.step().delivered, rig.get('DR6'), rig.frame().rip], [1, dr6(BS), rig.label('here')]);
  const interrupt = make('start: movw %ax, %ss\n int3\nv3: nop\n', { regs });
  assert.deepEqual([interrupt.step(2).delivered, interrupt.step().delivered], [3, undefined]);
});

rule(
  'C-1: a pending trap comes before an interrupt, which waits for IF in the handler',
  debug.takingInterruptsFirst,
  (make) => {
    const rig = make('start: nop\nhere: nop\nv1: iretq\n', { regs: TRACED }).step();
    rig.machine.pin.raise(20);
    assert.deepEqual([rig.step().delivered, rig.frame().rip], [1, rig.label('here')]);
    assert.deepEqual([rig.step().delivered, rig.rip], [undefined, rig.label('here')]);
    assert.deepEqual([rig.step().delivered, rig.frame().rip], [20, rig.label('here')]);
  },
);
