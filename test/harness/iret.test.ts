import assert from 'node:assert/strict';
import { Mnemonic } from 'iced-x86';
import { NotModelled } from '../../src/cpu/not_modelled.js';
import { Flag, Reg } from '../../src/cpu/registers.js';
import { codeSegment, dataSegment } from '../../src/harness/descriptors.js';
import { EventState } from '../../src/harness/event_state.js';
import { Return } from '../../src/harness/machine.js';
import * as broken from '../support/broken.js';
import { otherwise } from '../support/broken_debug.js';
import * as brokenInstr from '../support/broken_instr.js';
import {
  GDT,
  istStack,
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
    rig.setWord(rig.get('RSP') + BigInt(8 * i), word);
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
  'to a CS in the LDT where there is none is #GP(selector)': { words: { cs: 0x14 }, code: 0x14 },
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

// Compatibility mode, and the LDT.

const LDT = GDT + 0x800n;
const long = 1n << 53n;
const big = 1n << 54n;
const code32 = (codeSegment(3) & ~long) | big;
/** Selectors in the LDT: 32-bit code, a 16-bit and a 32-bit stack, a stack that is not present. */
const Local = { CODE: 0x7, STACK16: 0xf, STACK32: 0x17, ABSENT: 0x1f } as const;

/** A frame whose address has something in bits 31 to 16. */
const HIGH_FRAME = istStack(2) - 0x100n;

/** An IRETQ to ring 3 with an LDT loaded. */
function withLdt(make: Make, words: Words, options: Options = {}): Rig {
  const regs = { LDTR: 0x60n, LDTR_BASE: LDT, LDTR_LIMIT: 0x1fn, RSP: HIGH_FRAME, ...options.regs };
  const rig = withFrame(make, { rip: 0x400000n, rsp: 0xaaaabbbb_ccccddddn, ...words }, { ...options, regs });
  [code32, dataSegment(3) & ~big, dataSegment(3), dataSegment(3) & absent].forEach((descriptor, i) => {
    rig.setWord(LDT + BigInt(8 * i), descriptor);
  });
  return rig;
}

rule(
  "B-3: IRETQ to a 16-bit stack segment restores SP alone: RSP[31:16] stays the kernel's, RSP[63:32] becomes 0 (Intel)",
  [
    brokenInstr.loadingWholeStackPointer,
    brokenInstr.zeroExtendingSp,
    brokenInstr.ignoringTi,
    otherwise('returnTo16BitStackClearsRspHigh'),
  ],
  (make) => {
    const rig = withLdt(make, { cs: Local.CODE, ss: Local.STACK16 }).step();
    assert.deepEqual(rig.all('CS', 'SS', 'RIP'), { CS: BigInt(Local.CODE), SS: BigInt(Local.STACK16), RIP: 0x400000n });
    assert.equal(rig.get('RSP'), (HIGH_FRAME & 0xffff0000n) | 0xddddn);
  },
);

rule(
  "B-3: IRETQ to a 16-bit stack segment leaves all of RSP[63:16] as the kernel's (AMD)",
  [brokenInstr.loadingWholeStackPointer, otherwise('returnTo16BitStackClearsRspHigh')],
  (make) => {
    const profile = { returnTo16BitStackClearsRspHigh: false };
    const rig = withLdt(make, { cs: Local.CODE, ss: Local.STACK16 }, { profile }).step();
    assert.equal(rig.get('RSP'), (HIGH_FRAME & ~0xffffn) | 0xddddn);
  },
);

rule(
  'B-3: IRETQ to a 32-bit stack segment restores ESP, and with 64-bit code the size of the stack does not count',
  [brokenInstr.loadingWholeStackPointer, brokenInstr.ignoringTi],
  (make) => {
    const narrow = withLdt(make, { cs: Local.CODE, ss: Local.STACK32 }).step();
    assert.equal(narrow.get('RSP'), 0xccccddddn);
    const wide = withLdt(make, { cs: USER_CS, ss: Local.STACK16 }).step();
    assert.equal(wide.get('RSP'), 0xaaaabbbb_ccccddddn);
  },
);

rule(
  'B-3: IRETQ to compatibility mode is done completely, and nothing can be executed there',
  brokenInstr.ignoringCompatibility,
  (make) => {
    const rig = withLdt(make, { cs: Local.CODE, ss: Local.STACK32, rip: 0xffffffff_00400000n, rflags: 0x246n }).step();
    assert.deepEqual(rig.all('RIP', 'RFLAGS'), { RIP: 0x400000n, RFLAGS: 0x246n });
    assert.equal(rig.event(EventState.COMPATIBILITY), true);
    assert.throws(() => rig.step(), NotModelled);
  },
);

rule('B-2: IRETQ to compatibility mode with a null SS is #GP(0)', broken.ignoring(Mnemonic.Iretq), (make) => {
  const gdt = { [SPARE]: (codeSegment(0) & ~long) | big };
  const rig = withFrame(make, { rip: 0n, cs: SPARE, ss: 0 }, { gdt }).step();
  assert.equal(rig.delivered, 13);
  assert.equal(rig.errorCode, 0n);
});

rule('B-2: IRETQ beyond the limit of a 32-bit code segment is #GP(0)', broken.ignoring(Mnemonic.Iretq), (make) => {
  const rig = withLdt(make, { cs: Local.CODE, ss: Local.STACK32, rip: 0x8000n });
  rig.setWord(LDT, (code32 & ~((0xfn << 48n) | (1n << 55n) | 0xffffn)) | 0x7fffn);
  rig.step();
  assert.equal(rig.delivered, 13);
  assert.equal(rig.errorCode, 0n);
});

rule(
  'B-2: IRETQ to selectors of the LDT beyond its limit or not present faults at the IRETQ, with TI in the error code',
  [broken.ignoring(Mnemonic.Iretq), brokenInstr.ignoringTi],
  (make) => {
    const beyond = withLdt(make, { cs: Local.CODE, ss: 0x27 }).step();
    assert.deepEqual([beyond.delivered, beyond.errorCode], [13, 0x24n]);
    const missing = withLdt(make, { cs: Local.CODE, ss: Local.ABSENT }).step();
    assert.deepEqual([missing.delivered, missing.errorCode], [12, 0x1cn]);
    assert.deepEqual([missing.frame(true).rip, missing.frame(true).rsp], [missing.label('start'), HIGH_FRAME]);
  },
);

rule('IRETQ sets the accessed bits of CS and SS', brokenInstr.withoutDescriptorWrites, (make) => {
  const accessed = 1n << 40n;
  const gdt = { [SPARE]: codeSegment(3) & ~accessed, [SPARE + 8]: dataSegment(3) & ~accessed };
  const rig = withFrame(make, { rip: 0x400000n, cs: SPARE | 3, ss: (SPARE + 8) | 3 }, { gdt }).step();
  assert.equal(rig.word(GDT + BigInt(SPARE)), codeSegment(3));
  assert.equal(rig.word(GDT + BigInt(SPARE + 8)), dataSegment(3));
});

rule(
  'B-2: IRETQ that cannot mark a descriptor faults, and nothing of the frame is loaded',
  broken.ignoring(Mnemonic.Iretq),
  (make) => {
    // The descriptor lies on the last page that is mapped, behind which nothing can be written.
    const gdt = { [SPARE]: codeSegment(0) & ~(1n << 40n) };
    const rig = withFrame(make, { cs: SPARE }, { gdt });
    const { cpu } = rig.machine;
    const access = cpu.access.bind(cpu);
    cpu.access = (high, low, size, kind, user, stack) =>
      size === 4 ? cpu.raiseWith(14, 3) : access(high, low, size, kind, user, stack);
    rig.step();
    assert.equal(rig.delivered, 14);
    assert.equal(rig.frame(true).rip, rig.label('start'));
  },
);

// The forms with 32- and 16-bit operands.

/** A machine at an IRETD or IRET in ring 0 with a frame of words of `size` bytes. */
function narrowFrame(make: Make, size: 2 | 4, words: readonly bigint[], regs: Options['regs'] = {}): Rig {
  const rig = make(`start: ${size === 4 ? '' : '.byte 0x66\n '}.byte 0xcf\n`, { regs: { RSP: FRAME, ...regs } });
  const image = words.reduce((all, word, i) => all | (word << BigInt(8 * size * i)), 0n);
  for (let i = 0n; i < 3n; i++) rig.setWord(FRAME + 8n * i, BigInt.asUintN(64, image >> (64n * i)));
  return rig;
}

rule(
  'B-2: IRETD pops five doublewords, also in the same ring, and unblocks NMIs',
  [broken.ignoring(Mnemonic.Iretd), broken.neverUnblocking],
  (make) => {
    const words = [0x400000n, BigInt(KERNEL_CS), 0x46n, 0x87654321n, BigInt(KERNEL_SS)];
    const rig = narrowFrame(make, 4, words, { EVENTS: BigInt(EventState.NMI_BLOCKED) }).step();
    assert.deepEqual(rig.all('RIP', 'CS', 'RFLAGS', 'RSP', 'SS', 'EVENTS'), {
      RIP: 0x400000n,
      CS: BigInt(KERNEL_CS),
      RFLAGS: 0x46n,
      RSP: 0x87654321n,
      SS: BigInt(KERNEL_SS),
      EVENTS: 0n,
    });
  },
);

rule('B-2: IRET with a 16-bit operand loads the lower 16 flags', broken.losing(Reg.RFLAGS), (make) => {
  const words = [0x4000n, BigInt(KERNEL_CS), 0x46n, 0x4321n, BigInt(KERNEL_SS)];
  const rig = narrowFrame(make, 2, words, { RFLAGS: 0x240202n }).step();
  assert.deepEqual(rig.all('RIP', 'RFLAGS', 'RSP'), { RIP: 0x4000n, RFLAGS: 0x240046n, RSP: 0x4321n });
});

rule(
  'on the way to ring 3, IRETQ turns null selectors into 0 and keeps the bases of FS and GS',
  broken.keepingPrivilegedSegments,
  (make) => {
    const words = { rip: 0x400000n, cs: USER_CS, ss: USER_SS, rsp: USER_STACK };
    const regs = { DS: 1n, ES: 2n, FS: 3n, GS: 3n, FS_BASE: 0x1234n, GS_BASE: 0x5678n };
    const rig = withFrame(make, words, { regs }).step();
    assert.deepEqual(rig.all('DS', 'ES', 'FS', 'GS', 'FS_BASE', 'GS_BASE'), {
      ...{ DS: 0n, ES: 0n, FS: 0n, GS: 0n },
      ...{ FS_BASE: 0x1234n, GS_BASE: 0x5678n },
    });
  },
);
