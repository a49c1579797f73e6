import assert from 'node:assert/strict';
import { Mnemonic } from 'iced-x86';
import { Flag } from '../../src/cpu/registers.js';
import { codeSegment, dataSegment } from '../../src/harness/descriptors.js';
import { Return } from '../../src/harness/machine.js';
import * as broken from '../support/broken.js';
import {
  KERNEL_CS,
  KERNEL_SS,
  KERNEL_STACK,
  type Options,
  type Rig,
  SPARE,
  USER_CS,
  USER_SS,
  USER_STACK,
} from '../support/machine.js';
import { type Make, rule } from '../support/rule.js';

const TEXT = 'start: iretq\nafter: nop\nv13: nop\nv11: nop\nv12: nop\n.section .text.user,"ax"\nuser: iretq\n';
const FRAME = KERNEL_STACK - 0x100n;

interface Words {
  readonly rip?: bigint;
  readonly cs?: number;
  readonly rflags?: bigint;
  readonly rsp?: bigint;
  readonly ss?: number;
}

/** A machine at an IRETQ in ring 0 with a frame at RSP; by default the frame goes to `after` on another stack. */
function withFrame(make: Make, words: Words, options: Options = {}): Rig {
  const rig = make(TEXT, options);
  rig.set({ RSP: FRAME, ...options.regs });
  [
    words.rip ?? rig.label('after'),
    BigInt(words.cs ?? KERNEL_CS),
    words.rflags ?? 0x2n,
    words.rsp ?? KERNEL_STACK - 0x800n,
    BigInt(words.ss ?? KERNEL_SS),
  ].forEach((word, i) => {
    rig.setWord(FRAME + BigInt(8 * i), word);
  });
  return rig;
}

rule(
  'B-2: IRETQ pops RIP, CS, RFLAGS, RSP and SS, also when the ring does not change',
  broken.keepingRspInSameRing,
  (make) => {
    const rig = withFrame(make, { rflags: 0x246n }).step();
    assert.deepEqual(rig.all('RIP', 'CS', 'RFLAGS', 'RSP', 'SS'), {
      RIP: rig.label('after'),
      CS: BigInt(KERNEL_CS),
      RFLAGS: 0x246n,
      RSP: KERNEL_STACK - 0x800n,
      SS: BigInt(KERNEL_SS),
    });
    assert.equal(rig.machine.happened.returned, Return.IRET);
  },
);

rule('B-2: IRETQ to ring 3', broken.keepingRspInUserMode, (make) => {
  const rig = withFrame(make, {
    rip: 0x400000n,
    cs: USER_CS,
    rflags: 0x202n,
    rsp: USER_STACK - 5n,
    ss: USER_SS,
  }).step();
  assert.deepEqual(rig.all('RIP', 'CS', 'RFLAGS', 'RSP', 'SS'), {
    RIP: 0x400000n,
    CS: BigInt(USER_CS),
    RFLAGS: 0x202n,
    RSP: USER_STACK - 5n,
    SS: BigInt(USER_SS),
  });
});

rule('B-2: IRETQ in ring 0 loads all flags but VM, and bit 1 stays set', broken.withoutIretFlags, (make) => {
  const all = 0x3f7fd5n & ~BigInt(Flag.TF | Flag.VM);
  const rig = withFrame(make, { rflags: all }).step();
  assert.equal(rig.get('RFLAGS'), all | 2n);
  assert.equal(withFrame(make, { rflags: 0x20000n }).step().get('RFLAGS'), 2n);
  assert.equal(withFrame(make, { rflags: 0xffffffff00000000n }).step().get('RFLAGS'), 2n);
});

rule('B-2: IRETQ in ring 3 loads neither IF nor IOPL', broken.loadingPrivilegedFlags, (make) => {
  const rig = withFrame(make, {});
  rig.set({
    RIP: rig.label('user'),
    CS: BigInt(USER_CS),
    SS: BigInt(USER_SS),
    RSP: USER_STACK - 0x100n,
    RFLAGS: 0x202n,
  });
  [0x400000n, BigInt(USER_CS), 0x3001n, USER_STACK, BigInt(USER_SS)].forEach((word, i) => {
    rig.setWord(USER_STACK - 0x100n + BigInt(8 * i), word);
  });
  assert.equal(rig.step().get('RFLAGS'), 0x203n);
});

rule('C-5: IRETQ restores RF, and the next instruction clears it', broken.keepingRfForever, (make) => {
  const rig = withFrame(make, { rflags: 0x10002n }).step();
  assert.equal(rig.flag(Flag.RF), true);
  assert.equal(rig.step().flag(Flag.RF), false);
});

rule('B-2: a fault of IRETQ leaves RSP at the frame and RIP at the IRETQ', broken.poppingOnFault, (make) => {
  const rig = withFrame(make, { rip: 0x0000800000000000n }).step();
  assert.deepEqual(rig.frame(true), {
    rip: rig.label('start'),
    cs: BigInt(KERNEL_CS),
    rflags: 0x10202n,
    rsp: FRAME,
    ss: BigInt(KERNEL_SS),
  });
});

rule('B-2: IRETQ with NT set is #GP(0)', broken.clearingNtBefore, (make) => {
  const rig = withFrame(make, {}, { regs: { RFLAGS: 0x4002n } }).step();
  assert.equal(rig.delivered, 13);
  assert.equal(rig.errorCode, 0n);
});

interface Refusal {
  readonly words: Words;
  readonly gdt?: Readonly<Record<number, bigint>>;
  readonly vector?: number;
  readonly code: number;
}

const absent = ~(1n << 47n);
const REFUSALS: Readonly<Record<string, Refusal>> = {
  'to a RIP that is not canonical is #GP(0)': { words: { rip: 0x8000000000000000n }, code: 0 },
  'to a null CS is #GP(0)': { words: { cs: 0 }, code: 0 },
  'to a null CS with RPL 3 is #GP(0)': { words: { cs: 3 }, code: 0 },
  'to a CS beyond the limit of the GDT is #GP(selector)': { words: { cs: 0xff8 }, code: 0xff8 },
  'to a CS in the LDT is #GP(selector)': { words: { cs: 0x14 }, code: 0x14 },
  'to a CS that is data is #GP(selector)': { words: { cs: KERNEL_SS }, code: KERNEL_SS },
  'to a CS with another DPL than RPL is #GP(selector)': { words: { cs: KERNEL_CS | 3, ss: USER_SS }, code: KERNEL_CS },
  'to a conforming CS with a DPL above the RPL is #GP(selector)': {
    words: { cs: SPARE },
    gdt: { [SPARE]: codeSegment(3) | (1n << 42n) },
    code: SPARE,
  },
  'to a CS that is not present is #NP(selector)': {
    words: { cs: SPARE },
    gdt: { [SPARE]: codeSegment(0) & absent },
    vector: 11,
    code: SPARE,
  },
  'to a CS with L and D set is #GP(selector)': {
    words: { cs: SPARE },
    gdt: { [SPARE]: codeSegment(0) | (1n << 54n) },
    code: SPARE,
  },
  'with a null SS to ring 3 is #GP(0)': { words: { cs: USER_CS, ss: 3 }, code: 0 },
  'with an RPL of SS other than that of CS is #GP(selector)': { words: { ss: KERNEL_SS | 3 }, code: KERNEL_SS },
  'with an SS that is code is #GP(selector)': { words: { ss: KERNEL_CS }, code: KERNEL_CS },
  'with a DPL of SS other than the RPL is #GP(selector)': { words: { ss: USER_SS & ~3 }, code: USER_SS & ~3 },
  'with a read-only SS is #GP(selector)': {
    words: { ss: SPARE },
    gdt: { [SPARE]: dataSegment(0) & ~(1n << 41n) },
    code: SPARE,
  },
  'with an SS that is not present is #SS(selector)': {
    words: { ss: SPARE },
    gdt: { [SPARE]: dataSegment(0) & absent },
    vector: 12,
    code: SPARE,
  },
};
for (const [what, refusal] of Object.entries(REFUSALS)) {
  rule(
    `B-2: IRETQ ${what}`,
    [broken.ignoring(Mnemonic.Iretq), broken.withOtherErrorCodes, broken.poppingOnFault],
    (make) => {
      const rig = withFrame(make, refusal.words, refusal.gdt ? { gdt: refusal.gdt } : {}).step();
      assert.equal(rig.delivered, refusal.vector ?? 13);
      assert.equal(rig.errorCode, BigInt(refusal.code));
      assert.equal(rig.frame(true).rip, rig.label('start'));
      assert.equal(rig.frame(true).rsp, FRAME);
      assert.equal(rig.machine.happened.returned, Return.NONE);
    },
  );
}

rule('B-2: IRETQ to a more privileged ring is #GP(selector) in ring 3', broken.ignoring(Mnemonic.Iretq), (make) => {
  const rig = withFrame(make, {});
  rig.set({ RIP: rig.label('user'), CS: BigInt(USER_CS), SS: BigInt(USER_SS), RSP: USER_STACK - 0x100n });
  rig.setWord(USER_STACK - 0xf8n, BigInt(KERNEL_CS));
  rig.step();
  assert.equal(rig.delivered, 13);
  assert.equal(rig.errorCode, BigInt(KERNEL_CS));
  assert.equal(rig.frame(true).cs, BigInt(USER_CS));
});

rule(
  'B-2: IRETQ in ring 0 with a null SS is allowed: a delivery from ring 3 leaves it so',
  broken.refusingNullSs,
  (make) => {
    const rig = withFrame(make, { ss: 0 }).step();
    assert.equal(rig.rip, rig.label('after'));
    assert.equal(rig.get('SS'), 0n);
  },
);

rule('B-2: IRETQ from a frame that is not mapped is #PF at the IRETQ', broken.withoutCr2, (make) => {
  const rig = make(TEXT, { regs: { RSP: KERNEL_STACK - 16n }, gates: { 14: { ist: 1 } } }).step();
  assert.equal(rig.delivered, 14);
  assert.equal(rig.get('CR2'), KERNEL_STACK);
  assert.equal(rig.errorCode, 0n);
  assert.equal(rig.frame(true).rip, rig.label('start'));
  assert.equal(rig.frame(true).rsp, KERNEL_STACK - 16n);
});

rule('B-2: IRETQ from an RSP that is not canonical is #SS(0)', broken.ignoring(Mnemonic.Iretq), (make) => {
  const rig = make(TEXT, { regs: { RSP: 0x0000800000000000n }, gates: { 12: { ist: 1 } } }).step();
  assert.equal(rig.delivered, 12);
  assert.equal(rig.errorCode, 0n);
});

rule('B-2: RSP need not be aligned, and may be anything after the IRETQ', broken.keepingRspInSameRing, (make) => {
  const rig = make(TEXT, { regs: { RSP: KERNEL_STACK - 0x103n } });
  [rig.label('after'), BigInt(KERNEL_CS), 2n, 0x1234567812345678n, BigInt(KERNEL_SS)].forEach((word, i) => {
    rig.setWord(KERNEL_STACK - 0x103n + BigInt(8 * i), word);
  });
  assert.equal(rig.step().get('RSP'), 0x1234567812345678n);
});

rule(
  'on the way to ring 3, IRETQ nulls the data segments that ring 3 may not use',
  broken.keepingPrivilegedSegments,
  (make) => {
    const kernel = BigInt(KERNEL_SS);
    const rig = withFrame(
      make,
      { rip: 0x400000n, cs: USER_CS, ss: USER_SS, rsp: USER_STACK },
      { regs: { DS: kernel, ES: BigInt(USER_SS), FS: kernel, GS: BigInt(USER_CS) } },
    ).step();
    assert.deepEqual(rig.all('DS', 'ES', 'FS', 'GS'), { DS: 0n, ES: BigInt(USER_SS), FS: 0n, GS: BigInt(USER_CS) });
  },
);

rule('an IRETQ in the same ring keeps the data segments', broken.nullingSegments, (make) => {
  const rig = withFrame(make, {}, { regs: { DS: BigInt(KERNEL_SS), ES: BigInt(USER_SS) } }).step();
  assert.deepEqual(rig.all('DS', 'ES'), { DS: BigInt(KERNEL_SS), ES: BigInt(USER_SS) });
});
