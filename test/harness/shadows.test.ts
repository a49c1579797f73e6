/** The shadow of MOV SS and the debug exceptions that it defers (SDM vol. 3, 6.8.3 and 17.3.1.2; CVE-2018-8897). */
import assert from 'node:assert/strict';
import { Flag } from '../../src/cpu/registers.js';
import { EventState } from '../../src/harness/event_state.js';
import { arm, BD, BS, dr6, On } from '../support/breakpoints.js';
import * as broken from '../support/broken.js';
import * as debug from '../support/broken_debug.js';
import {
  KERNEL_CS,
  KERNEL_SS,
  KERNEL_STACK,
  type Options,
  type Rig,
  USER_CS,
  USER_GS,
  USER_SS,
  USER_STACK,
} from '../support/machine.js';
import { type Make, rule } from '../support/rule.js';

const TF = BigInt(Flag.TF);

/** A machine whose first instruction loads SS from a watched word; `text` follows it. */
function deferring(make: Make, text: string, options: Options & { user?: boolean } = {}): Rig {
  const at = (options.user ? USER_STACK : KERNEL_STACK) - 0x800n;
  const section = options.user ? '.section .text.user,"ax"\n' : '';
  const rig = make(`${section}start: movw (%rbx), %ss\n${text}`, {
    ...options,
    regs: { RBX: at, DR0: at, DR7: arm(0, On.ACCESS, 2), ...options.regs },
  });
  rig.setWord(at, BigInt(options.user ? USER_SS : KERNEL_SS));
  return rig;
}

rule(
  'C-3: a data breakpoint that MOV SS hits is reported after the next instruction',
  [debug.withoutDeferring, debug.losingDeferred],
  (make) => {
    const rig = deferring(make, 'next: incq %rax\nhere: nop\n').step();
    assert.deepEqual([rig.event(EventState.PENDING_B0), rig.event(EventState.MOV_SS_SHADOW)], [true, true]);
    assert.deepEqual([rig.step().delivered, rig.rip], [undefined, rig.label('here')]);
    assert.deepEqual([rig.step().delivered, rig.get('DR6'), rig.frame().rip], [1, dr6(1), rig.label('here')]);
  },
);

rule('C-3: what the next instruction hits itself is reported with it', debug.losingDeferred, (make) => {
  const rig = deferring(make, 'pushq %rax\n nop\n', {
    regs: {
      RSP: KERNEL_STACK - 0x100n,
      DR1: KERNEL_STACK - 0x108n,
      DR7: arm(0, On.ACCESS, 2) | arm(1, On.WRITE, 8),
      RFLAGS: 2n | TF,
    },
  }).step(3);
  assert.deepEqual([rig.delivered, rig.get('DR6')], [1, dr6(BS | 3)]);
});

rule(
  'C-3: an NMI waits for the instruction after MOV SS, and then for the deferred #DB',
  debug.takingNmisFirst,
  (make) => {
    const rig = deferring(make, 'next: nop\nhere: nop\nv1: nop\nv2: nop\n').step().nmi();
    assert.equal(rig.delivered, undefined);
    assert.deepEqual([rig.step().delivered, rig.rip], [undefined, rig.label('here')]);
    assert.deepEqual([rig.step().delivered, rig.frame().rip], [1, rig.label('here')]);
    assert.deepEqual([rig.step().delivered, rig.frame().rip], [2, rig.label('v1')]);
  },
);

for (const [text, vector] of [
  ['int3', 3],
  ['int $20', 20],
] as const) {
  rule(
    `D-1: the #DB that MOV SS has deferred comes at the first instruction of the handler of ${text}, in ring 0`,
    [debug.withoutDeferring, debug.losingDeferred, debug.losingPendingOnDelivery],
    (make) => {
      const rig = deferring(make, `${text}\nafter: nop\n.text\nv3:\nv20: nop\nv1: nop\n`, {
        user: true,
        gates: { 20: { dpl: 3 } },
      }).step(2);
      assert.deepEqual([rig.delivered, rig.frame().rip, rig.frame().cs], [vector, rig.label('after'), BigInt(USER_CS)]);
      assert.deepEqual([rig.step().delivered, rig.get('DR6'), rig.rip], [1, dr6(1), rig.label('v1')]);
      assert.deepEqual([rig.frame().rip, rig.frame().cs], [rig.label('v20'), BigInt(KERNEL_CS)]);
    },
  );
}

rule(
  'D-1: after SYSCALL it comes at the entry in ring 0, on the RSP and the GS base of ring 3',
  [debug.withoutDeferring, debug.losingDeferred],
  (make) => {
    const rig = deferring(make, 'syscall\n.text\nsyscall_entry: swapgs\nv1: nop\n', {
      user: true,
      regs: { RFLAGS: 0x202n | TF },
    }).step(3);
    assert.deepEqual([rig.delivered, rig.get('DR6')], [1, dr6(1)]);
    assert.deepEqual([rig.frame().rip, rig.frame().cs], [rig.label('syscall_entry'), BigInt(KERNEL_CS)]);
    assert.deepEqual([rig.frame().rsp, rig.get('RSP'), rig.get('GS_BASE')], [USER_STACK, USER_STACK - 40n, USER_GS]);
  },
);

rule('D-1: after SYSENTER it comes at the entry in ring 0', [debug.withoutDeferring, debug.losingDeferred], (make) => {
  const rig = deferring(make, 'sysenter\n.text\nentry: nop\nv1: nop\n', {
    user: true,
    regs: { SYSENTER_CS: 0x10n, SYSENTER_ESP: KERNEL_STACK },
    profile: { sysenterInLongMode: true },
  });
  rig.set({ SYSENTER_EIP: rig.label('entry') }).step(3);
  assert.deepEqual([rig.delivered, rig.frame().rip, rig.frame().cs], [1, rig.label('entry'), BigInt(KERNEL_CS)]);
});

rule(
  'C-3: a fault of the next instruction drops the deferred #DB, or not: as the profile says',
  debug.otherwise('faultDropsDeferredDebug'),
  (make) => {
    for (const [faultDropsDeferredDebug, after] of [
      [true, undefined],
      [false, 1],
    ] as const) {
      const rig = deferring(make, 'here: ud2\nv6: nop\n nop\n', { profile: { faultDropsDeferredDebug } }).step(2);
      assert.deepEqual([rig.delivered, rig.frame().rip], [6, rig.label('here')]);
      assert.deepEqual([rig.step().delivered, rig.get('DR6')], [after, dr6(after ?? 0)]);
    }
  },
);

rule(
  'C-3: general detect in the next instruction is such a fault',
  debug.otherwise('faultDropsDeferredDebug'),
  (make) => {
    const rig = deferring(make, 'movq %dr0, %rax\nv1: nop\n', {
      regs: { DR7: arm(0, On.ACCESS, 2) | 0x2000n },
      profile: { faultDropsDeferredDebug: true },
    }).step(2);
    assert.deepEqual([rig.delivered, rig.get('DR6')], [1, dr6(BD)]);
    assert.equal(rig.step().delivered, undefined);
  },
);

rule('C-3: an INT1 comes in place of the deferred #DB', debug.keepingDeferredAfterInt1, (make) => {
  const rig = deferring(make, 'int1\nafter: nop\nv1: nop\n').step(2);
  assert.deepEqual([rig.delivered, rig.get('DR6'), rig.frame().rip], [1, dr6(0), rig.label('after')]);
  assert.deepEqual([rig.step().delivered, rig.get('DR6')], [undefined, dr6(0)]);
});

rule(
  'C-4: a machine check ends the shadow of MOV SS; the deferred #DB comes at its handler',
  [broken.keepingShadows, debug.losingPendingOnDelivery],
  (make) => {
    const rig = deferring(make, 'next: nop\nv1: nop\nv18: nop\n').step();
    rig.fire('mc');
    assert.deepEqual([rig.delivered, rig.event(EventState.MOV_SS_SHADOW)], [18, false]);
    assert.deepEqual([rig.step().delivered, rig.frame().rip], [1, rig.label('v18')]);
  },
);

rule(
  'C-2: of two MOV SS in a row the second has no shadow, or has one: as the profile says',
  debug.otherwise('secondShadowExtends'),
  (make) => {
    for (const secondShadowExtends of [false, true]) {
      const rig = deferring(make, 'movw %ax, %ss\n nop\n nop\n', {
        regs: { RAX: BigInt(KERNEL_SS) },
        profile: { secondShadowExtends },
      }).step(2);
      assert.equal(rig.event(EventState.MOV_SS_SHADOW), secondShadowExtends);
      assert.equal(rig.step().delivered, secondShadowExtends ? undefined : 1);
      if (secondShadowExtends) assert.equal(rig.step().delivered, 1);
    }
  },
);

rule('C-2: the second of two MOV SS is traced if it has no shadow', debug.otherwise('secondShadowExtends'), (make) => {
  const rig = make('start: movw %ax, %ss\n movw %ax, %ss\n nop\n', {
    regs: { RAX: BigInt(KERNEL_SS), RFLAGS: 2n | TF },
  });
  assert.deepEqual([rig.step(2).delivered, rig.step().delivered, rig.get('DR6')], [undefined, 1, dr6(BS)]);
});

rule('C-3: the event db in the shadow of MOV SS is deferred too', debug.withoutDeferring, (make) => {
  const rig = make('start: movw %ax, %ss\n nop\nhere: nop\n', { regs: { RAX: BigInt(KERNEL_SS) } }).step();
  rig.fire('db');
  assert.equal(rig.delivered, undefined);
  // It collapses into the one that is pending.
  assert.deepEqual(rig.actions(['db']), ['step']);
  assert.deepEqual([rig.step().delivered, rig.step().delivered, rig.frame().rip], [undefined, 1, rig.label('here')]);
});

rule('C-3: an interrupt waits for the instruction after MOV SS', debug.withoutMovSsShadow, (make) => {
  const rig = make('start: movw %ax, %ss\n nop\nhere: nop\n', { regs: { RAX: BigInt(KERNEL_SS) } }).step();
  rig.machine.pin.raise(20);
  assert.equal(rig.step().delivered, undefined);
  assert.deepEqual([rig.step().delivered, rig.frame().rip], [20, rig.label('here')]);
});
