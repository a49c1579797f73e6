import assert from 'node:assert/strict';
import { Vector } from '../../src/cpu/cpu.js';
import { Flag } from '../../src/cpu/registers.js';
import { codeSegment, dataSegment, GateType, Tss } from '../../src/harness/descriptors.js';
import type { Machine } from '../../src/harness/machine.js';
import * as broken from '../support/broken.js';
import {
  istStack,
  KERNEL_CS,
  KERNEL_SS,
  KERNEL_STACK,
  RSP0_STACK,
  SPARE,
  TASK,
  TSS,
  USER_CS,
  USER_SS,
  USER_STACK,
} from '../support/machine.js';
import { rule } from '../support/rule.js';

const nops = 'start: nop\n nop\n nop\n';
const user = '.section .text.user,"ax"\nstart: nop\n nop\n';

rule('B-1: the frame is SS, RSP, RFLAGS, CS, RIP, from the top of the stack down', broken.withSwappedFrame, (make) => {
  const rig = make(nops, { regs: { RFLAGS: 0x246n } })
    .step()
    .nmi();
  assert.equal(rig.get('RSP'), KERNEL_STACK - 40n);
  assert.deepEqual(
    [8n, 16n, 24n, 32n, 40n].map((below) => rig.word(KERNEL_STACK - below)),
    [BigInt(KERNEL_SS), KERNEL_STACK, 0x246n, BigInt(KERNEL_CS), rig.label('start') + 1n],
  );
});

rule(
  'B-1: an exception with an error code pushes it below RIP',
  [broken.withoutErrorCodes, broken.withOtherErrorCodes],
  (make) => {
    const rig = make('start: movl %eax, %ss\n', { regs: { RAX: 0x68n } }).step();
    assert.equal(rig.get('RSP'), KERNEL_STACK - 48n);
    assert.equal(rig.word(KERNEL_STACK - 48n), 0x68n);
    assert.equal(rig.word(KERNEL_STACK - 40n), rig.label('start'));
  },
);

rule('B-1: an NMI, a breakpoint and #UD push no error code', broken.withErrorCodeAlways, (make) => {
  assert.equal(make(nops).nmi().get('RSP'), KERNEL_STACK - 40n);
  assert.equal(make(nops).bp().get('RSP'), KERNEL_STACK - 40n);
  assert.equal(make('start: ud2').step().get('RSP'), KERNEL_STACK - 40n);
});

rule('B-1: a gate with an IST number switches to that stack without a change of ring', broken.ignoringIst, (make) => {
  const rig = make(nops, { gates: { 2: { ist: 3 } } }).nmi();
  assert.equal(rig.get('RSP'), istStack(3) - 40n);
  assert.equal(rig.frame().rsp, KERNEL_STACK);
});

rule(
  'B-1: a gate with an IST number switches to that stack from ring 3, and not to RSP0',
  broken.ignoringIst,
  (make) => {
    const rig = make(user, { gates: { 2: { ist: 7 } } }).nmi();
    assert.equal(rig.get('RSP'), istStack(7) - 40n);
    assert.equal(rig.frame().rsp, USER_STACK);
  },
);

rule('B-1: an IST stack is used from its top again, also by an event on that stack', broken.continuingOnIst, (make) => {
  const rig = make(`${nops}v2: nop\nv3: nop\n`, { gates: { 2: { ist: 1 }, 3: { ist: 1 } } })
    .nmi()
    .step()
    .bp();
  assert.equal(rig.get('RSP'), istStack(1) - 40n);
  assert.equal(rig.frame().rip, rig.label('v2') + 1n);
  assert.equal(rig.frame().rsp, istStack(1) - 40n);
});

rule('B-1: without IST an event from ring 3 switches to RSP0', broken.ignoringRsp0, (make) => {
  const rig = make(user).nmi();
  assert.equal(rig.get('RSP'), RSP0_STACK - 40n);
  assert.deepEqual(rig.frame(), {
    rip: rig.label('start'),
    cs: BigInt(USER_CS),
    rflags: 0x202n,
    rsp: USER_STACK,
    ss: BigInt(USER_SS),
  });
});

rule('B-1: without IST an event in ring 0 stays on the current stack', broken.alwaysUsingRsp0, (make) => {
  const rig = make(nops, { regs: { RSP: KERNEL_STACK - 0x100n } }).nmi();
  assert.equal(rig.get('RSP'), KERNEL_STACK - 0x128n);
});

for (const below of [1n, 8n, 15n]) {
  rule(
    `B-1: the stack pointer is aligned to 16 bytes before the frame (RSP ${16n - below} above)`,
    broken.withoutAlignment,
    (make) => {
      const rig = make(nops, { regs: { RSP: KERNEL_STACK - below } }).nmi();
      assert.equal(rig.get('RSP'), KERNEL_STACK - 16n - 40n);
      assert.equal(rig.frame().rsp, KERNEL_STACK - below);
    },
  );
}

rule('B-1: IST and RSP0 pointers are aligned to 16 bytes too', broken.withoutTssAlignment, (make) => {
  const ist = make(nops, { gates: { 2: { ist: 1 } } });
  ist.setWord(TSS + BigInt(Tss.IST1), istStack(1) - 8n);
  assert.equal(ist.nmi().get('RSP'), istStack(1) - 16n - 40n);
  const rsp0 = make(user);
  rsp0.setWord(TSS + BigInt(Tss.RSP0), RSP0_STACK - 4n);
  assert.equal(rsp0.nmi().get('RSP'), RSP0_STACK - 16n - 40n);
});

rule('B-1: IST and RSP0 are read from the TSS at each delivery', broken.withStaleTss, (make) => {
  const rig = make(user, { gates: { 3: { ist: 2, dpl: 3 } } });
  rig.setWord(TSS + BigInt(Tss.RSP0), KERNEL_STACK);
  rig.setWord(TSS + BigInt(Tss.IST1 + 8), istStack(6));
  assert.equal(rig.nmi().get('RSP'), KERNEL_STACK - 40n);
  assert.equal(rig.bp().get('RSP'), istStack(6) - 40n);
});

rule('B-1: IST numbers count from 1: each names its own slot', broken.shiftingIst, (make) => {
  for (const ist of [1, 2, 3, 4, 5, 6, 7]) {
    assert.equal(
      make(nops, { gates: { 2: { ist } } })
        .nmi()
        .get('RSP'),
      istStack(ist) - 40n,
    );
  }
});

rule('B-1: SS becomes the null selector when the ring changes', broken.keepingSs, (make) => {
  assert.equal(make(user).nmi().get('SS'), 0n);
});

rule('B-1: SS keeps its selector when the ring does not change, IST or not', broken.clearingSsAlways, (make) => {
  assert.equal(make(nops).nmi().get('SS'), BigInt(KERNEL_SS));
  assert.equal(
    make(nops, { gates: { 2: { ist: 1 } } })
      .nmi()
      .get('SS'),
    BigInt(KERNEL_SS),
  );
});

rule('B-1: CS is loaded from the gate with RPL = the new CPL', broken.stayingInRingOnDelivery, (make) => {
  const rig = make(user, { gates: { 2: { selector: KERNEL_CS | 3 } } }).nmi();
  assert.equal(rig.get('CS'), BigInt(KERNEL_CS));
});

rule('B-1: an interrupt gate clears IF', broken.keepingIf, (make) => {
  const rig = make(nops).nmi();
  assert.equal(rig.flag(Flag.IF), false);
  assert.equal(rig.frame().rflags, 0x202n);
});

rule('B-1: a trap gate leaves IF as it is', broken.clearingIfAlways, (make) => {
  assert.equal(
    make(nops, { gates: { 2: { type: GateType.TRAP } } })
      .nmi()
      .flag(Flag.IF),
    true,
  );
});

rule('B-1: a delivery clears NT and RF, and saves them', [broken.keepingNt, broken.keepingRf], (make) => {
  const rflags = BigInt(Flag.ONE | Flag.NT | Flag.RF);
  const rig = make(nops, { regs: { RFLAGS: rflags } }).nmi();
  assert.equal(rig.get('RFLAGS'), 2n);
  assert.equal(rig.frame().rflags, rflags);
});

rule('B-1: a delivery clears TF, and saves it', broken.keepingTf, (make) => {
  const rflags = BigInt(Flag.ONE | Flag.TF);
  const rig = make(nops, { regs: { RFLAGS: rflags } }).nmi();
  assert.equal(rig.get('RFLAGS'), 2n);
  assert.equal(rig.frame().rflags, rflags);
});

rule('B-1: a delivery leaves DF, AC, IOPL and the arithmetic flags as they are', broken.clearingAllFlags, (make) => {
  const rflags = BigInt(Flag.ONE | Flag.DF | Flag.AC | Flag.IOPL | Flag.ID | Flag.CF | Flag.ZF | Flag.SF | Flag.OF);
  assert.equal(
    make(nops, { regs: { RFLAGS: rflags } })
      .nmi()
      .get('RFLAGS'),
    rflags,
  );
});

rule('B-1: general registers, GS base and CR3 are not changed by a delivery', broken.swappingGsOnDelivery, (make) => {
  const names = [
    'RAX',
    'RBX',
    'RCX',
    'RDX',
    'RSI',
    'RDI',
    'RBP',
    'R8',
    'R11',
    'R15',
    'GS_BASE',
    'KERNEL_GS_BASE',
    'CR3',
  ] as const;
  const rig = make(user, { regs: { CR3: 0x5000n } });
  const before = rig.all(...names);
  assert.deepEqual(rig.nmi().all(...names), before);
});

rule('the frame of a fault names the instruction that faulted', broken.savingNextRip, (make) => {
  const rig = make('start: nop\n ud2\n').step(2);
  assert.equal(rig.frame().rip, rig.label('start') + 1n);
});

rule('the frame of a breakpoint that is fired at a boundary names the boundary', broken.savingNextRip, (make) => {
  const rig = make(nops).step().bp();
  assert.equal(rig.rip, rig.label('v3'));
  assert.equal(rig.frame().rip, rig.label('start') + 1n);
});

rule('RF is set in the RFLAGS that a fault pushes, and clear in the handler', broken.withoutRfInFrame, (make) => {
  const rig = make('start: ud2').step();
  assert.equal(rig.frame().rflags, 0x10202n);
  assert.equal(rig.flag(Flag.RF), false);
});

rule('RF is as it was in the RFLAGS that an NMI pushes', broken.withRfInEveryFrame, (make) => {
  assert.equal(make(nops).nmi().frame().rflags, 0x202n);
  assert.equal(
    make(nops, { regs: { RFLAGS: 0x10202n } })
      .nmi()
      .frame().rflags,
    0x10202n,
  );
});

rule('A-1: the DPL of the gate is not checked for an NMI, nor for an exception', broken.withGateDplAlways, (make) => {
  assert.equal(make(user).nmi().delivered, 2);
  const ud = make('.section .text.user,"ax"\nstart: ud2\n').step();
  assert.equal(ud.rip, ud.label('v6'));
});

rule(
  'a breakpoint from ring 3 through a gate with DPL 0 is #GP with the gate in its error code',
  broken.withoutGateDpl,
  (make) => {
    const rig = make(user, { gates: { 3: { dpl: 0 } } }).bp();
    assert.equal(rig.delivered, 13);
    assert.equal(rig.errorCode, 3n * 8n + 2n);
  },
);

rule(
  'B-5: a gate that is not present is #NP with IDT and EXT in the error code',
  [broken.ignoringGatePresence, broken.withoutIdtAndExtBits],
  (make) => {
    const rig = make(nops, { gates: { 2: { present: false } } }).nmi();
    assert.equal(rig.delivered, 11);
    assert.equal(rig.rip, rig.label('v11'));
    assert.equal(rig.errorCode, 2n * 8n + 3n);
    assert.equal(rig.frame(true).rip, rig.label('start'));
  },
);

rule('B-5: a gate of another type is #GP with IDT and EXT in the error code', broken.withoutIdtAndExtBits, (make) => {
  for (const type of [0, 5, 0xc, 0xd]) {
    const rig = make(nops, { gates: { 2: { type } } }).nmi();
    assert.equal(rig.delivered, 13);
    assert.equal(rig.errorCode, 2n * 8n + 3n);
  }
});

rule(
  'B-5: a vector beyond the limit of the IDT is #GP with IDT and EXT in the error code',
  broken.withoutIdtAndExtBits,
  (make) => {
    const rig = make('start: ud2', { regs: { IDTR_LIMIT: 6n * 16n + 14n } });
    // The #GP gate lies beyond the limit as well: see that the delivery fails with #GP in #GP, hence #DF and shutdown.
    rig.step();
    assert.equal(rig.machine.happened.shutdown, true);
    const int = make('start: int $0x20').step();
    assert.equal(int.delivered, 13);
    assert.equal(int.errorCode, 0x20n * 8n + 2n);
  },
);

rule('a null selector in the gate is #GP(EXT)', broken.withoutIdtAndExtBits, (make) => {
  const rig = make(nops, { gates: { 2: { selector: 3 } } }).nmi();
  assert.equal(rig.delivered, 13);
  assert.equal(rig.errorCode, 1n);
});

rule(
  'a selector beyond the limit of the GDT in the gate is #GP(selector + EXT)',
  broken.withoutIdtAndExtBits,
  (make) => {
    const rig = make(nops, { gates: { 2: { selector: 0xff8 } } }).nmi();
    assert.equal(rig.delivered, 13);
    assert.equal(rig.errorCode, 0xff9n);
  },
);

const segments: readonly (readonly [string, bigint, number])[] = [
  ['that is not code', dataSegment(0), 13],
  ['with a DPL above the CPL', codeSegment(3), 13],
  ['that is not 64-bit', codeSegment(0) & ~(1n << 53n), 13],
  ['with L and D set', codeSegment(0) | (1n << 54n), 13],
  ['that is not present', codeSegment(0) & ~(1n << 47n), 11],
];
for (const [what, descriptor, vector] of segments) {
  rule(
    `a gate to a code segment ${what} is #${vector === 13 ? 'GP' : 'NP'}(selector + EXT)`,
    broken.withoutIdtAndExtBits,
    (make) => {
      const rig = make(nops, { gdt: { [SPARE]: descriptor }, gates: { 2: { selector: SPARE } } }).nmi();
      assert.equal(rig.delivered, vector);
      assert.equal(rig.errorCode, BigInt(SPARE + 1));
    },
  );
}

rule('an IST slot beyond the limit of the TSS is #TS(TR + EXT)', broken.withoutIdtAndExtBits, (make) => {
  const rig = make(nops, { gates: { 2: { ist: 7 } }, regs: { TR_LIMIT: 0x5an } }).nmi();
  assert.equal(rig.delivered, 10);
  assert.equal(rig.errorCode, BigInt(TASK + 1));
});

/** The stack pointer itself must be canonical, not just what is pushed. */
function refusingStackPointer(machine: Machine): void {
  const push = machine.push.bind(machine);
  machine.push = (low, high) =>
    machine.cpu.isCanonical(machine.pushHigh) ? push(low, high) : machine.cpu.raiseWith(Vector.SS, 1);
}

rule('a frame below the end of the lower addresses has canonical addresses', refusingStackPointer, (make) => {
  const rig = make('start: int3\n', {
    regs: { RSP: 0x0000800000000000n },
    gates: { 14: { ist: 1 }, 12: { ist: 2 } },
  }).step();
  assert.equal(rig.delivered, 14);
  assert.equal(rig.get('CR2'), 0x00007ffffffffff8n);
});

rule('an IST pointer that is not canonical is #SS(EXT)', broken.withoutIdtAndExtBits, (make) => {
  const rig = make(nops, { gates: { 2: { ist: 1 } } });
  rig.setWord(TSS + BigInt(Tss.IST1), 0x0000800000000000n);
  assert.equal(rig.nmi().delivered, 12);
  assert.equal(rig.errorCode, 1n);
});

rule(
  'a gate to a target that is not canonical is #GP(EXT)',
  [broken.withoutIdtAndExtBits, broken.keepingFailedPushes],
  (make) => {
    const rig = make(nops, { gates: { 2: { target: 0x0000800000000000n, ist: 1 } } });
    rig.setWord(istStack(1) - 8n, 0x1111n);
    rig.nmi();
    assert.equal(rig.delivered, 13);
    assert.equal(rig.errorCode, 1n);
    // The #GP is delivered from the interrupted context; nothing of the failed delivery is left.
    assert.deepEqual(rig.frame(true), {
      rip: rig.label('start'),
      cs: BigInt(KERNEL_CS),
      rflags: 0x10202n,
      rsp: KERNEL_STACK,
      ss: BigInt(KERNEL_SS),
    });
    assert.equal(rig.word(istStack(1) - 8n), 0x1111n);
  },
);

rule(
  'B-5: an IST pointer to memory that is not mapped is #PF with CR2 and a write error code',
  broken.withoutCr2,
  (make) => {
    const rig = make(nops, { gates: { 2: { ist: 1 } } });
    rig.setWord(TSS + BigInt(Tss.IST1), 0xffffc90000200000n);
    rig.nmi();
    assert.equal(rig.delivered, 14);
    assert.equal(rig.get('CR2'), 0xffffc900001ffff8n);
    assert.equal(rig.errorCode, 2n);
  },
);

rule('the frame is pushed with supervisor rights from ring 3', broken.withOtherUserBit, (make) => {
  const rig = make(user, { gates: { 2: { ist: 1 } } });
  rig.setWord(TSS + BigInt(Tss.IST1), 0xffffc90000200000n);
  rig.nmi();
  assert.equal(rig.delivered, 14);
  assert.equal(rig.errorCode, 2n);
});

rule('B-6: the gate is read as it is in memory at the time of delivery', broken.withStaleIdt, (make) => {
  const rig = make(`${nops}other: nop\n`);
  rig.setGate(2, { target: rig.label('other'), ist: 2 });
  rig.nmi();
  assert.equal(rig.rip, rig.label('other'));
  assert.equal(rig.get('RSP'), istStack(2) - 40n);
});

rule('B-6: half of a gate that is rewritten is half of the old and half of the new', broken.withStaleIdt, (make) => {
  const rig = make(nops);
  // The upper half is written first: bits 63..32 of the target.
  rig.setWord(rig.get('IDTR_BASE') + 2n * 16n + 8n, 0x00007fffn);
  rig.nmi();
  assert.equal(rig.rip, (0x7fffn << 32n) | (rig.label('v2') & 0xffffffffn));
});
