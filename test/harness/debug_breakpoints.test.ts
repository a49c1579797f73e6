/** Breakpoints on instructions and data, what event delivery touches included (SDM vol. 3, 17.2.4, 17.2.5 and 17.3.1). */
import assert from 'node:assert/strict';
import { Flag } from '../../src/cpu/registers.js';
import { arm, dr6, On } from '../support/breakpoints.js';
import * as broken from '../support/broken.js';
import * as debug from '../support/broken_debug.js';
import {
  GDT,
  IDT,
  istStack,
  KERNEL_SS,
  KERNEL_STACK,
  type Rig,
  RSP0_STACK,
  TSS,
  USER_STACK,
} from '../support/machine.js';
import { type Make, rule } from '../support/rule.js';

const user = '.section .text.user,"ax"\n';
const RF = BigInt(Flag.RF);

// Instruction breakpoints.

/** A machine with a breakpoint on the instruction at `here`. */
function breaking(make: Make, text: string, n = 0): Rig {
  const rig = make(text, { regs: { DR7: arm(n, On.INSTRUCTION) } });
  return rig.set({ [`DR${n}`]: rig.label('here') });
}

rule(
  'C-5: a breakpoint on an instruction is a fault before it, and pushes RF as it is',
  [debug.withoutInstructionBreakpoints, debug.breakingAfter, debug.pushingOtherRf, debug.withoutDr6],
  (make) => {
    for (let n = 0; n < 4; n++) {
      const rig = breaking(make, 'start: nop\nhere: incq %rax\n', n);
      const rax = rig.get('RAX');
      assert.equal(rig.step().delivered, undefined);
      assert.deepEqual([rig.step().delivered, rig.get('DR6'), rig.get('RAX')], [1, dr6(1 << n), rax]);
      assert.deepEqual([rig.frame().rip, rig.frame().rflags], [rig.label('here'), 0x202n]);
    }
  },
);

rule(
  'C-5: RF suppresses a breakpoint on one instruction, which clears RF',
  [debug.ignoringRf, broken.keepingRfForever],
  (make) => {
    const rig = breaking(make, 'start: nop\nhere: nop\n jmp here\n')
      .step()
      .set({ RFLAGS: 0x202n | RF });
    assert.deepEqual([rig.step().delivered, rig.flag(Flag.RF)], [undefined, false]);
    assert.deepEqual([rig.step().delivered, rig.step().delivered], [undefined, 1]);
  },
);

rule('C-5: IRET that restores RF goes on past the breakpoint, once', debug.ignoringRf, (make) => {
  const rig = breaking(make, 'start: nop\nhere: incq %rbx\n jmp here\nv1: orl $0x10000, 16(%rsp)\n iretq\n');
  const rbx = rig.get('RBX');
  rig.step(2);
  assert.equal(rig.delivered, 1);
  assert.equal(rig.step(2).rip, rig.label('here'));
  assert.deepEqual([rig.step().delivered, rig.get('RBX')], [undefined, rbx + 1n]);
  assert.equal(rig.step(2).delivered, 1);
});

rule(
  'C-5: a breakpoint is hit on an instruction that followed another one before',
  debug.withoutInstructionBreakpoints,
  (make) => {
    const rig = make('start: nop\nhere: decq %rbx\n nop\n jnz here\n movq %rcx, %dr7\n jmp start\n', {
      regs: { RBX: 3n, RCX: arm(0, On.INSTRUCTION) },
    });
    rig.set({ DR0: rig.label('here') });
    rig.step(1 + 3 * 3 + 3);
    assert.equal(rig.delivered, undefined);
    assert.equal(rig.step().delivered, 1);
  },
);

rule(
  'C-1: a breakpoint on an instruction comes before the fault of its fetch or decoding',
  debug.withoutInstructionBreakpoints,
  (make) => {
    const undefinedCode = breaking(make, 'start: nop\nhere: ud2\n').step(2);
    assert.equal(undefinedCode.delivered, 1);
    const unmapped = make('start: jmp *%rbx\n', {
      regs: { RBX: 0x1234000n, DR0: 0x1234000n, DR7: arm(0, On.INSTRUCTION) },
    });
    assert.equal(unmapped.step(2).delivered, 1);
  },
);

rule('C-1: an NMI comes before a breakpoint on an instruction', broken.neverTaking, (make) => {
  const rig = breaking(make, 'start: nop\nhere: nop\n').step().nmi();
  assert.deepEqual([rig.delivered, rig.frame().rip, rig.get('DR6')], [2, rig.label('here'), dr6(0)]);
});

rule(
  'C-5: L and G both enable a breakpoint; one that is not enabled is ignored',
  [debug.withAllBreakpointsEnabled, debug.withGlobalBitsAlone],
  (make) => {
    const local = (arm(0, On.INSTRUCTION) & ~0xffn) | 1n;
    for (const [dr7, expected] of [
      [arm(0, On.INSTRUCTION), 1],
      [local, 1],
      [0x400n, undefined],
      // Another one is enabled.
      [arm(1, On.INSTRUCTION), undefined],
    ] as const) {
      const rig = breaking(make, 'start: nop\nhere: nop\n').set({ DR7: dr7 });
      assert.equal(rig.step(2).delivered, expected);
    }
  },
);

rule('C-3: a MOV SS suppresses a breakpoint on the next instruction', debug.withoutMovSsShadow, (make) => {
  const rig = breaking(make, `start: movl $${KERNEL_SS}, %eax\n movw %ax, %ss\nhere: nop\n nop\n`);
  assert.equal(rig.step(3).delivered, undefined);
  assert.equal(rig.rip, rig.label('here') + 1n);
});

// Data breakpoints.

const AT = KERNEL_STACK - 0x800n;

/** Runs `text` with breakpoint 0 on AT: the vectors delivered in the first steps. */
function watching(make: Make, text: string, on: number, length = 8, steps = 2): Rig {
  return make(`start: ${text}\nafter: nop\n`, {
    regs: { RBX: AT, DR0: AT, DR7: arm(0, on, length), CR4: 0x60n },
  }).step(steps);
}

rule(
  'C-5: a data breakpoint is a trap after the instruction, with the address of the next one',
  [debug.withoutDataBreakpoints, debug.reportingBeforehand, debug.withoutDr6],
  (make) => {
    const rig = watching(make, 'movq %rcx, (%rbx)', On.WRITE);
    assert.deepEqual([rig.delivered, rig.get('DR6'), rig.frame().rip], [1, dr6(1), rig.label('after')]);
    assert.equal(rig.word(AT), rig.get('RCX'));
  },
);

rule(
  'C-5: R/W 1 is hit by writes, R/W 3 by reads and writes',
  [debug.takingReadsForWrites, debug.watchingWritesAlone],
  (make) => {
    for (const [text, on, expected] of [
      ['movq %rcx, (%rbx)', On.WRITE, 1],
      ['movq (%rbx), %rcx', On.WRITE, undefined],
      ['incq (%rbx)', On.WRITE, 1],
      ['movq %rcx, (%rbx)', On.ACCESS, 1],
      ['movq (%rbx), %rcx', On.ACCESS, 1],
      // An address is not an access, nor is a fetch.
      ['leaq (%rbx), %rcx', On.ACCESS, undefined],
      // Without CR4.DE, R/W 2 is for nothing.
      ['movq %rcx, (%rbx)', On.IO, undefined],
    ] as const) {
      assert.equal(watching(make, text, on).delivered, expected, text);
    }
  },
);

rule(
  'C-5: an access hits the aligned bytes that LEN says if they have a byte in common',
  [debug.watchingFirstBytes, debug.ignoringLengths],
  (make) => {
    for (const [register, length, from, size, hit] of [
      [0n, 1, 0n, 1, true],
      [0n, 1, 1n, 1, false],
      [0n, 1, -7n, 8, true],
      [0n, 1, -8n, 8, false],
      [0n, 2, 1n, 1, true],
      [0n, 2, 2n, 2, false],
      // The low bits of the address register do not count.
      [3n, 4, 0n, 1, true],
      [3n, 4, 4n, 4, false],
      [4n, 8, 7n, 1, true],
      [4n, 8, 8n, 4, false],
      [0n, 8, -3n, 4, true],
      [0n, 4, 3n, 8, true],
    ] as const) {
      const suffix = { 1: 'b %al', 2: 'w %ax', 4: 'l %eax', 8: 'q %rax' }[size];
      const rig = make(`start: mov${suffix}, (%rbx)\n nop\n`, {
        regs: { RBX: AT + from, DR2: AT + register, DR7: arm(2, On.WRITE, length) },
      }).step(2);
      assert.deepEqual(
        [rig.delivered, rig.get('DR6')],
        hit ? [1, dr6(4)] : [undefined, dr6(0)],
        `${register} ${length} ${from} ${size}`,
      );
    }
  },
);

rule('C-5: pushes, calls and the stack reads of POP and RET are accesses', debug.withoutDataBreakpoints, (make) => {
  for (const text of ['pushq %rax', 'call after', 'pushfq', 'pushq %fs']) {
    const rig = make(`start: ${text}\nafter: nop\n`, { regs: { DR0: KERNEL_STACK - 8n, DR7: arm(0, On.WRITE, 8) } });
    assert.equal(rig.step(2).delivered, 1, text);
  }
  for (const text of ['popq %rax', 'popfq', 'ret']) {
    const rig = make(`start: ${text}\nafter: nop\n`, {
      regs: { DR0: KERNEL_STACK - 8n, DR7: arm(0, On.ACCESS, 8), RSP: KERNEL_STACK - 8n },
    });
    rig.setWord(KERNEL_STACK - 8n, rig.label('after'));
    assert.equal(rig.step(2).delivered, 1, text);
  }
});

rule(
  'C-5: a repeated string instruction traps after the iteration that hits, with RF in the image unless it was the last',
  [broken.repeatingInOneStep, debug.withoutDataBreakpoints, debug.pushingOtherRf],
  (make) => {
    for (const [count, rf] of [
      [3n, RF],
      [2n, 0n],
    ] as const) {
      const rig = make('start: rep stosb\nafter: nop\nv1: iretq\n', {
        regs: { RDI: AT, RCX: count, DR3: AT + 1n, DR7: arm(3, On.WRITE) },
      }).step(2);
      assert.equal(rig.delivered, undefined);
      assert.deepEqual([rig.step().delivered, rig.get('RCX')], [1, count - 2n]);
      assert.deepEqual([rig.frame().rip, rig.frame().rflags & RF], [rig.label(rf ? 'start' : 'after'), rf]);
      // And it goes on from there.
      rig.runTo('after');
      assert.equal(rig.get('RDI'), AT + count);
    }
  },
);

rule('C-5: an instruction that faults reports no data breakpoint', debug.reportingFaultedAccesses, (make) => {
  const rig = make('start: movsq\nv14: nop\n nop\n', {
    regs: { RSI: AT, RDI: 0n, DR0: AT, DR7: arm(0, On.ACCESS, 8) },
  });
  assert.equal(rig.step().delivered, 14);
  assert.deepEqual([rig.step().delivered, rig.get('DR6')], [undefined, dr6(0)]);
});

rule('C-5: one #DB reports all breakpoints that an instruction hits', debug.withoutDr6, (make) => {
  const rig = make('start: movsq\nafter: nop\n', {
    regs: { RSI: AT, RDI: AT + 8n, DR1: AT, DR2: AT + 8n, DR7: arm(1, On.ACCESS, 8) | arm(2, On.WRITE, 8) },
  }).step(2);
  assert.deepEqual([rig.delivered, rig.get('DR6'), rig.frame().rip], [1, dr6(6), rig.label('after')]);
});

rule(
  'C-5: a breakpoint on ports is a trap after IN or OUT, if CR4.DE is set',
  [debug.withDe(false), debug.withDe(true)],
  (make) => {
    for (const [text, port, de, hit] of [
      ['.byte 0xee', 0x80n, true, true],
      ['.byte 0xee', 0x80n, false, false],
      // A word at 0x7f, and a byte, read and written.
      ['.byte 0x66, 0xef', 0x7fn, true, true],
      ['.byte 0xec', 0x81n, true, true],
      ['.byte 0xee', 0x82n, true, false],
      // Memory at the same address is no port.
      ['movb %al, (%rbx)', 0n, true, false],
    ] as const) {
      const rig = make(`start: ${text}\nafter: nop\n`, {
        regs: { RDX: port, RBX: AT, DR0: port === 0n ? AT : 0x80n, DR7: arm(0, On.IO, 2), CR4: de ? 0x68n : 0x60n },
      }).step(2);
      assert.deepEqual(
        [rig.delivered, rig.get('DR6')],
        hit ? [1, dr6(1)] : [undefined, dr6(0)],
        `${text} ${port} ${de}`,
      );
      if (hit) assert.equal(rig.frame().rip, rig.label('after'));
    }
  },
);

// Event delivery.

/** Delivers by `text` with breakpoint 0 on `address`, and looks at the first boundary of the handler. */
function deliveryTouching(make: Make, text: string, address: bigint, on: number, ist = 0): void {
  const rig = make(`${text}\nv3: nop\nv1: nop\n`, {
    regs: { DR0: address, DR7: arm(0, on, 8) },
    gates: { 3: { ist } },
  }).step();
  assert.deepEqual([rig.delivered, rig.rip], [3, rig.label('v3')]);
  assert.deepEqual([rig.step().delivered, rig.get('DR6')], [1, dr6(1)], `0x${address.toString(16)}`);
  assert.equal(rig.frame().rip, rig.label('v3'));
}

const DELIVERED_BY_INT3 = 'start: int3\n';

rule(
  'C-5: the frame, gate, descriptor and TSS reads of a delivery hit data breakpoints, reported at the handler',
  [debug.ignoringDeliveries, debug.withoutDataBreakpoints],
  (make) => {
    for (let i = 1n; i <= 5n; i++) deliveryTouching(make, DELIVERED_BY_INT3, KERNEL_STACK - 8n * i, On.WRITE);
    deliveryTouching(make, DELIVERED_BY_INT3, IDT + 48n, On.ACCESS);
    deliveryTouching(make, DELIVERED_BY_INT3, IDT + 56n, On.ACCESS);
    deliveryTouching(make, DELIVERED_BY_INT3, GDT + 0x10n, On.ACCESS);
    deliveryTouching(make, DELIVERED_BY_INT3, TSS + 0x24n + 8n, On.ACCESS, 2);
    deliveryTouching(make, DELIVERED_BY_INT3, istStack(2) - 40n, On.WRITE, 2);
    deliveryTouching(make, `${user}${DELIVERED_BY_INT3}.text\n`, TSS + 4n, On.ACCESS);
    deliveryTouching(make, `${user}${DELIVERED_BY_INT3}.text\n`, RSP0_STACK - 8n, On.WRITE);
  },
);

rule('C-5: an attempt to deliver that faults reports nothing', debug.reportingFaultedAccesses, (make) => {
  const rig = make('start: int3\nv11: nop\n nop\n', {
    regs: { DR0: IDT + 48n, DR7: arm(0, On.ACCESS, 8) },
    gates: { 3: { present: false } },
  });
  assert.equal(rig.step().delivered, 11);
  assert.equal(rig.step().delivered, undefined);
});

rule(
  'C-5: an NMI that hits a breakpoint on its stack is followed by #DB at its first instruction',
  debug.ignoringDeliveries,
  (make) => {
    const rig = make('start: nop\nv2: nop\nv1: iretq\n', {
      regs: { DR0: istStack(1) - 8n, DR7: arm(0, On.WRITE, 8) },
      gates: { 2: { ist: 1 } },
    }).nmi();
    assert.equal(rig.rip, rig.label('v2'));
    assert.deepEqual([rig.step().delivered, rig.frame().rip], [1, rig.label('v2')]);
    // The IRET of its handler unblocks NMIs in the NMI handler.
    rig.step();
    assert.equal(rig.machine.nmi.blocked, false);
  },
);

rule('C-5: IRET and segment loads read memory like any instruction', debug.withoutDataBreakpoints, (make) => {
  const iret = make('start: iretq\nafter: nop\n', {
    regs: { RSP: KERNEL_STACK - 40n, DR0: KERNEL_STACK - 16n, DR7: arm(0, On.ACCESS, 8) },
  });
  [iret.label('after'), 0x10n, 2n, KERNEL_STACK, 0x18n].forEach((word, i) => {
    iret.setWord(KERNEL_STACK - 40n + BigInt(8 * i), word);
  });
  assert.deepEqual([iret.step().delivered, iret.rip], [undefined, iret.label('after')]);
  assert.deepEqual([iret.step().delivered, iret.frame().rip], [1, iret.label('after')]);
  const load = make('start: movw %ax, %ds\n nop\n', {
    regs: { RAX: 0x18n, DR0: GDT + 0x18n, DR7: arm(0, On.ACCESS, 8) },
  });
  assert.equal(load.step(2).delivered, 1);
});

rule(
  'C-5: a breakpoint on what the delivery of #DB touches recurs for ever, unless the profile says otherwise',
  debug.otherwise('noNestedDataBreakpoint'),
  (make) => {
    for (const [noNestedDataBreakpoint, again] of [
      [false, 1],
      [true, undefined],
    ] as const) {
      const rig = make('start: nop\n nop\nv1: nop\n nop\n nop\n', {
        regs: { DR0: istStack(3) - 8n, DR7: arm(0, On.WRITE, 8), RFLAGS: 0x102n },
        gates: { 1: { ist: 3 } },
        profile: { noNestedDataBreakpoint },
      }).step(2);
      assert.equal(rig.delivered, 1);
      for (let i = 0; i < 3; i++) assert.equal(rig.step().delivered, again);
    }
  },
);

rule('C-5: only #DB itself is exempt from data breakpoints while it is delivered', debug.ignoringDeliveries, (make) => {
  const rig = make('start: int3\nv3: nop\n', {
    regs: { DR0: KERNEL_STACK - 8n, DR7: arm(0, On.WRITE, 8) },
    profile: { noNestedDataBreakpoint: true },
  });
  assert.equal(rig.step(2).delivered, 1);
});

rule(
  'D-7: a watched word of the user stack that SYSCALL does not touch is not reported by it',
  debug.tracingDeliveries,
  (make) => {
    const rig = make(`${user}start: syscall\n int3\n.text\nsyscall_entry: nop\n`, {
      regs: { DR0: USER_STACK - 8n, DR7: arm(0, On.ACCESS, 8), RFLAGS: 0x302n },
    });
    assert.equal(rig.step().step().delivered, undefined);
    assert.equal(make('start: int3\nv3: nop\n', { regs: { RFLAGS: 0x302n } }).step(2).delivered, undefined);
  },
);

rule('a data breakpoint fired by name is B0 of the instruction before the boundary', debug.withoutDr6, (make) => {
  const rig = make('start: nop\nhere: nop\nv1: nop\n').step();
  assert.deepEqual(rig.actions(['db']), ['step', 'db']);
  rig.fire('db');
  assert.deepEqual([rig.delivered, rig.frame().rip, rig.get('DR6')], [1, rig.label('here'), dr6(1)]);
});
