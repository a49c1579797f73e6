/** Faults of a delivery by what it reads and writes: the IDT, the GDT, the TSS, the stack. */
import assert from 'node:assert/strict';
import { Perm, type Region } from '../../src/cpu/memory.js';
import { Tss } from '../../src/harness/descriptors.js';
import { EventState } from '../../src/harness/event_state.js';
import * as broken from '../support/broken.js';
import * as memory from '../support/broken_memory.js';
import {
  IDT,
  istStack,
  KERNEL_CS,
  KERNEL_STACK,
  type Options,
  type Rig,
  TASK,
  TSS,
  USER_STACK,
} from '../support/machine.js';
import { type Make, rule } from '../support/rule.js';

const nops = 'start: nop\n nop\n';
const user = '.section .text.user,"ax"\nstart: nop\n nop\n';
const NOWHERE = 0xffffc90000200000n;
const SMAP = 1n << 21n;
const CR4 = 0x60n;

/** A machine whose NMI and #DF have IST stacks; IST 5 of the NMI is `stack`. */
function withStack(make: Make, stack: bigint, options: Options = {}, text = nops): Rig {
  const rig = make(text, { ...options, gates: { 2: { ist: 5 }, 8: { ist: 1 }, ...options.gates } });
  rig.setWord(TSS + BigInt(Tss.IST1 + 8 * 4), stack);
  return rig;
}

// B-5: where an IST pointer may lead.

const READ_ONLY: readonly Region[] = [{ name: 'read-only', address: NOWHERE, size: 0x1000, perms: 0 }];

rule(
  'B-5: an IST pointer to memory that is not mapped is #PF(W), delivered in place of the NMI',
  memory.withWrongPageFaultBit,
  (make) => {
    const rig = withStack(make, NOWHERE).nmi();
    assert.equal(rig.delivered, 14);
    assert.equal(rig.errorCode, 2n);
    assert.equal(rig.get('CR2'), NOWHERE - 8n);
    assert.equal(rig.frame(true).rip, rig.label('start'));
    assert.equal(rig.frame(true).rsp, KERNEL_STACK);
  },
);

rule('B-5: an IST pointer to memory that is read-only is #PF(P, W)', broken.ignoringReadOnly, (make) => {
  const rig = withStack(make, NOWHERE + 0x800n, { regions: READ_ONLY }).nmi();
  assert.equal(rig.delivered, 14);
  assert.equal(rig.errorCode, 3n);
});

rule('B-5: an IST pointer that is not canonical is #SS(EXT)', broken.withoutIdtAndExtBits, (make) => {
  for (const pointer of [0x0000800000000000n, 0xffff7ffffffffff0n]) {
    const rig = withStack(make, pointer).nmi();
    assert.equal(rig.delivered, 12);
    assert.equal(rig.errorCode, 1n);
  }
});

rule(
  'B-5: a frame that runs into addresses that are not canonical is #SS(EXT)',
  broken.withoutIdtAndExtBits,
  (make) => {
    const lowest: readonly Region[] = [
      { name: 'lowest', address: 0xffff800000000000n, size: 0x1000, perms: Perm.WRITE },
    ];
    const rig = withStack(make, 0xffff800000000010n, { regions: lowest }).nmi();
    assert.equal(rig.delivered, 12);
    assert.equal(rig.errorCode, 1n);
  },
);

rule('B-5: an IST pointer to user memory is used without SMAP', memory.withSmapAlways, (make) => {
  const rig = withStack(make, USER_STACK).nmi();
  assert.equal(rig.delivered, 2);
  assert.equal(rig.get('RSP'), USER_STACK - 40n);
});

rule(
  'B-5: an IST pointer to user memory is #PF(P, W) with SMAP, whatever RFLAGS.AC and the ring',
  [memory.withoutSmap, memory.withAcForImplicitAccesses],
  (make) => {
    for (const text of [nops, user]) {
      const regs = { CR4: CR4 | SMAP, RFLAGS: 0x40202n };
      const rig = withStack(make, USER_STACK, { regs }, text).nmi();
      assert.equal(rig.delivered, 14);
      assert.equal(rig.errorCode, 3n);
      assert.equal(rig.get('CR2'), USER_STACK - 8n);
    }
  },
);

// B-1, B-5: the task register and its TSS.

rule('B-1: a TSS without the IST slot is #TS(TR + EXT)', [memory.withSoundTss, broken.withoutIdtAndExtBits], (make) => {
  for (const limit of [0x4bn - 1n, 0x23n, 0n]) {
    const rig = make(nops, { gates: { 2: { ist: 5 } }, regs: { TR_LIMIT: limit } }).nmi();
    assert.equal(rig.delivered, 10);
    assert.equal(rig.errorCode, BigInt(TASK + 1));
  }
  assert.equal(make(nops, { gates: { 2: { ist: 5 } }, regs: { TR_LIMIT: 0x4bn } }).nmi().delivered, 2);
});

rule('B-1: a TSS without RSP0 is #TS, and so is the #TS from ring 3: shutdown', memory.withSoundTss, (make) => {
  const rig = make(user, { regs: { TR_LIMIT: 10n } }).nmi();
  assert.equal(rig.event(EventState.SHUTDOWN), true);
  assert.equal(make(user, { regs: { TR_LIMIT: 11n } }).nmi().delivered, 2);
});

rule('B-1: #TS for INT n has EXT clear', [memory.withSoundTss, broken.withOtherErrorCodes], (make) => {
  const rig = make('start: int $0x1f\n', { gates: { 31: { ist: 7 } }, regs: { TR_LIMIT: 0x5an } }).step();
  assert.equal(rig.delivered, 10);
  assert.equal(rig.errorCode, BigInt(TASK));
  assert.equal(rig.frame(true).rip, rig.label('start'));
});

rule(
  'B-1: a null task register, as after a reset, has its TSS at 0: an IST is #PF there, or #TS(EXT) beyond its limit',
  memory.withSoundTss,
  (make) => {
    const options: Options = { gates: { 2: { ist: 1 } } };
    const reset = make(nops, { ...options, regs: { TR: 0n, TR_BASE: 0n, TR_LIMIT: 0xffffn } }).nmi();
    assert.equal(reset.delivered, 14);
    assert.equal(reset.get('CR2'), BigInt(Tss.IST1));
    assert.equal(reset.errorCode, 0n);
    const empty = make(nops, { ...options, regs: { TR: 0n, TR_BASE: 0n, TR_LIMIT: 0n } }).nmi();
    assert.equal(empty.delivered, 10);
    assert.equal(empty.errorCode, 1n);
    // Without IST and change of ring nobody asks for it.
    const without = make(nops, { regs: { TR: 0n, TR_BASE: 0n, TR_LIMIT: 0n } }).nmi();
    assert.equal(without.delivered, 2);
    assert.equal(without.get('RSP'), KERNEL_STACK - 40n);
  },
);

rule(
  'B-5: a TSS that is not mapped is #PF(0) with the address of the slot, as supervisor also from ring 3',
  [memory.withSoundTss, memory.withRightsOfRing],
  (make) => {
    for (const text of [nops, user]) {
      // #PF needs no TSS in ring 0; from ring 3 it finds RSP0 no more than the NMI did.
      const rig = make(text, { gates: { 2: { ist: 1 } }, regs: { TR_BASE: NOWHERE } }).nmi();
      if (text === nops) {
        assert.equal(rig.delivered, 14);
        assert.equal(rig.get('CR2'), NOWHERE + BigInt(Tss.IST1));
        assert.equal(rig.errorCode, 0n);
      } else {
        assert.equal(rig.event(EventState.SHUTDOWN), true);
        assert.equal(rig.get('CR2'), NOWHERE + BigInt(Tss.RSP0));
      }
    }
    // A TSS of the supervisor's can be read for an event in ring 3.
    assert.equal(make(user, { gates: { 2: { ist: 1 } } }).nmi().delivered, 2);
  },
);

rule('B-5: a TSS on a user page is #PF(P) with SMAP', memory.withoutSmap, (make) => {
  const regions: readonly Region[] = [{ name: 'TSS', address: 0x1000n, size: 0x1000, perms: Perm.USER }];
  const regs = { TR_BASE: 0x1000n, CR4: CR4 | SMAP, RFLAGS: 0x40202n };
  const rig = make(nops, { regions, gates: { 2: { ist: 1 } }, regs }).nmi();
  assert.equal(rig.delivered, 14);
  assert.equal(rig.errorCode, 1n);
  assert.equal(rig.get('CR2'), 0x1024n);
});

// B-5, B-6: the IDT.

rule(
  'B-5: an IDT outside memory: #PF for the gate, #PF for that of #PF, #DF, and shutdown with CR2 at its gate',
  [memory.withSoundIdt, memory.withoutCr2InDoubleFault],
  (make) => {
    for (const text of [nops, user]) {
      const rig = make(text, { regs: { IDTR_BASE: NOWHERE } }).nmi();
      assert.equal(rig.event(EventState.SHUTDOWN), true);
      assert.equal(rig.delivered, undefined);
      assert.equal(rig.get('CR2'), NOWHERE + 8n * 16n);
      assert.equal(rig.rip, rig.label('start'));
      assert.deepEqual(rig.actions(), []);
    }
  },
);

rule('B-5: an IDT with limit 0 is #GP for the gate, then #DF, and shutdown', memory.withSoundIdt, (make) => {
  const rig = make(nops, { regs: { IDTR_LIMIT: 0n } }).nmi();
  assert.equal(rig.event(EventState.SHUTDOWN), true);
  assert.equal(rig.get('CR2'), 0n);
});

/** The IDT so that the gate `vector` begins `below` bytes before the end of a mapped page. */
function atPageEnd(make: Make, vector: number, below: bigint): Rig {
  const page: readonly Region[] = [{ name: 'IDT', address: NOWHERE, size: 0x1000, perms: Perm.WRITE }];
  const base = NOWHERE + 0x1000n - below - BigInt(16 * vector);
  const rig = make(nops, { regions: page, regs: { IDTR_BASE: base } });
  for (let at = 0n; at < BigInt(16 * vector) + below; at += 8n) rig.setWord(base + at, rig.word(IDT + at));
  return rig;
}

rule(
  'B-6: a gate of which the second half is not mapped is #PF with the address of that half',
  [memory.withSoundIdt, broken.withoutCr2],
  (make) => {
    // The gate of #PF is not mapped either: #PF in #PF, but #DF's gate is.
    const rig = atPageEnd(make, 9, 8n);
    rig.fire('swint:9');
    assert.equal(rig.delivered, 8);
    assert.equal(rig.get('CR2'), NOWHERE + 0x1000n - 8n - 9n * 16n + 14n * 16n);
    // Of 31 it is: #PF is delivered.
    const later = atPageEnd(make, 31, 8n);
    later.fire('swint:31');
    assert.equal(later.delivered, 14);
    assert.equal(later.get('CR2'), NOWHERE + 0x1000n);
    assert.equal(later.errorCode, 0n);
  },
);

rule(
  'B-6: the lower half of a gate that is rewritten: its stack, and the target of both halves',
  broken.withStaleIdt,
  (make) => {
    const rig = make(`${nops}other: nop\n`);
    const gate = IDT + 2n * 16n;
    const upper = rig.word(gate + 8n);
    rig.setGate(2, { target: 0x0000123400000000n | (rig.label('other') & 0xffffffffn), ist: 3 });
    rig.setWord(gate + 8n, upper);
    rig.nmi();
    assert.equal(rig.rip, rig.label('other'));
    assert.equal(rig.get('RSP'), istStack(3) - 40n);
  },
);

// The GDT.

rule('B-5: a GDT that is not mapped is #PF, #PF in #PF, and shutdown', memory.withSoundGdt, (make) => {
  const rig = make(nops, { regs: { GDTR_BASE: NOWHERE } }).nmi();
  assert.equal(rig.event(EventState.SHUTDOWN), true);
  assert.equal(rig.get('CR2'), NOWHERE + BigInt(KERNEL_CS));
});

rule('B-5: a GDT that ends before the code segment is #GP, #GP in #GP, and shutdown', memory.withSoundGdt, (make) => {
  const rig = make(nops, { regs: { GDTR_LIMIT: BigInt(KERNEL_CS + 6) } }).nmi();
  assert.equal(rig.event(EventState.SHUTDOWN), true);
  assert.equal(rig.get('CR2'), 0n);
  assert.equal(make(nops, { regs: { GDTR_LIMIT: BigInt(KERNEL_CS + 7) } }).nmi().delivered, 2);
});

// A guard page below the stack.

rule('B-5: a frame that runs into a guard page leaves nothing of itself', broken.keepingFailedPushes, (make) => {
  const bottom = KERNEL_STACK - 0x2000n;
  const rig = make(nops, { regs: { RSP: bottom + 0x18n }, gates: { 14: { ist: 1 } } });
  for (const at of [0n, 8n]) rig.setWord(bottom + at, 0x1111n);
  rig.nmi();
  assert.equal(rig.delivered, 14);
  assert.equal(rig.get('CR2'), bottom - 8n);
  assert.equal(rig.errorCode, 2n);
  assert.equal(rig.frame(true).rsp, bottom + 0x18n);
  assert.deepEqual(
    [0n, 8n].map((at) => rig.word(bottom + at)),
    [0x1111n, 0x1111n],
  );
});

rule(
  'B-5: a stack overflow is #DF on its own stack: #PF cannot be delivered on the stack that has none left',
  [broken.withoutDoubleFault, broken.ignoringIst],
  (make) => {
    const bottom = KERNEL_STACK - 0x2000n;
    const rig = make('start: push %rax\n', { regs: { RSP: bottom }, gates: { 8: { ist: 1 } } }).step();
    assert.equal(rig.delivered, 8);
    assert.equal(rig.get('RSP'), istStack(1) - 48n);
    assert.equal(rig.get('CR2'), bottom - 8n);
    assert.equal(rig.frame(true).rsp, bottom);
  },
);

// CR2.

rule('B-4: CR2 is that of the second #PF, also where the two become #DF', memory.withoutCr2InDoubleFault, (make) => {
  const rig = withStack(
    make,
    NOWHERE,
    {
      regs: { RAX: 0x1234n },
      gates: { 14: { ist: 5 } },
    },
    'start: movq (%rax), %rcx\n',
  ).step();
  assert.equal(rig.delivered, 8);
  assert.equal(rig.get('CR2'), NOWHERE - 8n);
});
