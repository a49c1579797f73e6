/**
 * FRED: event delivery, stack levels, ERETU, ERETS, LKGS. The tags count the bullets of part G of the rules: G-1 entry and
 * frame, G-2 stack levels, G-3 returns, the GS base and NMIs, G-4 RSP, event data, system calls and nested exceptions.
 */
import assert from 'node:assert/strict';
import { Mnemonic } from 'iced-x86';
import { Flag, Reg } from '../../src/cpu/registers.js';
import { EventState } from '../../src/harness/event_state.js';
import { EventType, FRED_SYSCALL, FRED_SYSENTER, FredFrame } from '../../src/harness/fred.js';
import { Return } from '../../src/harness/machine.js';
import * as broken from '../support/broken.js';
import * as fred from '../support/broken_fred.js';
import {
  istStack,
  KERNEL_CS,
  KERNEL_GS,
  KERNEL_SS,
  KERNEL_STACK,
  type Options,
  type Rig,
  RSP0_STACK,
  SPARE,
  USER_CS,
  USER_GS,
  USER_SS,
  USER_STACK,
} from '../support/machine.js';
import { type Make, rule } from '../support/rule.js';

const ENTRY = '.text\n.balign 4096\nfred_user: nop\n.org fred_user+256\nfred_kernel: nop\nafter: nop\n';
const CR4 = 0x1_0000_0060n;
/** As Linux has them: #DB 1, NMI and #MC 2, #DF 3. */
const LEVELS = (1n << 2n) | (2n << 4n) | (2n << 36n) | (3n << 16n);
/** Where FRED_CONFIG says nothing else: 64 bytes below RSP stay free. */
const DECREMENT = 0x40n;
const TF = BigInt(Flag.TF);
const IF = BigInt(Flag.IF);
const MARK = { STI: 1n << 16n, SOFTWARE: 1n << 17n, NMI: 1n << 18n } as const;

interface Setting extends Options {
  /** IA32_FRED_CONFIG without the address. */
  readonly config?: bigint;
}

/** A machine with FRED: `text` begins at start; both entry points are followed by NOPs unless the text has its own. */
function rigOf(make: Make, text: string, setting: Setting = {}): Rig {
  const { config = DECREMENT, regs, profile, ...rest } = setting;
  const own = text.includes('fred_user:') ? text : `${text}\n${ENTRY}`;
  const rig = make(own, {
    ...rest,
    profile: { fred: true, ...profile },
    regs: {
      CR4,
      FRED_RSP0: RSP0_STACK,
      FRED_RSP1: istStack(1),
      FRED_RSP2: istStack(2),
      FRED_RSP3: istStack(3),
      FRED_STKLVLS: LEVELS,
      ...regs,
    },
  });
  return rig.set({ FRED_CONFIG: rig.label('fred_user') | config });
}

const KERNEL = 'start: nop\nnext: nop\n';
const USER = '.section .text.user,"ax"\nstart: nop\nnext: nop\n';

/** The frame at RSP. */
function frame(rig: Rig): Record<'code' | 'rip' | 'cs' | 'rflags' | 'rsp' | 'ss' | 'data' | 'zero', bigint> {
  const at = rig.get('RSP');
  const [code, rip, cs, rflags, rsp, ss, data, zero] = [0, 1, 2, 3, 4, 5, 6, 7].map((i) =>
    rig.word(at + BigInt(8 * i)),
  );
  return { code: code!, rip: rip!, cs: cs!, rflags: rflags!, rsp: rsp!, ss: ss!, data: data!, zero: zero! };
}

/** What the frame says about the event: vector, type, instruction length, 64-bit mode, nested. */
function information(rig: Rig): readonly [number, number, number, boolean, boolean] {
  const { ss } = frame(rig);
  const bits = (at: bigint, count: bigint): number => Number((ss >> at) & ((1n << count) - 1n));
  assert.equal(ss & ~0xf60f_00ff_0007_ffffn, 0n, `reserved bits of SS: 0x${ss.toString(16)}`);
  return [bits(32n, 8n), bits(48n, 4n), bits(60n, 4n), bits(57n, 1n) === 1, bits(58n, 1n) === 1];
}

const level = (rig: Rig): bigint => rig.get('FRED_CONFIG') & 3n;

// G-1: entry and frame ------------------------------------------------------------------------------------------------

rule(
  'G-1: events from ring 3 come in at the page, events from ring 0 256 bytes after it',
  fred.withOneEntry,
  (make) => {
    const user = rigOf(make, USER).nmi();
    assert.equal(user.rip, user.label('fred_user'));
    const kernel = rigOf(make, KERNEL).nmi();
    assert.equal(kernel.rip, kernel.label('fred_kernel'));
    assert.equal(kernel.label('fred_kernel') - kernel.label('fred_user'), 256n);
  },
);

rule(
  'G-1: the frame has 64 bytes, aligned, below those that IA32_FRED_CONFIG keeps free',
  [fred.withoutFrameAlignment, fred.withoutDecrement],
  (make) => {
    for (const [config, free] of [
      [0n, 0n],
      [0x40n, 0x40n],
      [0x1c0n, 0x1c0n],
    ] as const) {
      for (const below of [0n, 8n, 0x38n, 0x40n]) {
        const rig = rigOf(make, KERNEL, { config, regs: { RSP: KERNEL_STACK - below, FRED_STKLVLS: 0n } }).nmi();
        assert.equal(rig.get('RSP'), ((KERNEL_STACK - below - free) & ~63n) - 64n);
        assert.equal(frame(rig).rsp, KERNEL_STACK - below);
      }
    }
  },
);

rule(
  'G-1: the frame is error code, RIP, CS, RFLAGS, RSP, SS, event data and 0',
  [broken.withSwappedFrame, fred.withReserved, fred.withoutErrorCode, fred.savingHalfRsp, fred.withoutSavedLevel],
  (make) => {
    const rig = rigOf(make, 'start: ud2\n', { regs: { RFLAGS: 0x40ad7n } })
      .fire('gp')
      .set({ R11: 0n });
    const outer = frame(rig);
    assert.deepEqual(
      { ...outer, ss: outer.ss & 0xffffn },
      {
        ...{ code: 0n, rip: rig.label('start'), cs: BigInt(KERNEL_CS), rflags: 0x50ad7n, rsp: KERNEL_STACK },
        ...{ ss: BigInt(KERNEL_SS), data: 0n, zero: 0n },
      },
    );
    const reading = 'start: movq 0x12345, %rax\n';
    assert.equal(frame(rigOf(make, `.section .text.user,"ax"\n${reading}`).step()).code, 4n);
    // The level that is left is saved beside CS.
    const nested = rigOf(make, KERNEL).nmi().step().fire('mc');
    assert.equal(frame(nested).cs, BigInt(KERNEL_CS) | (2n << 16n));
  },
);

rule(
  'G-1: the SS word has the vector, the type, the length of the instruction and 64-bit mode',
  [fred.withoutInformation, fred.nestedAlways],
  (make) => {
    const fired: readonly (readonly [string, string, readonly [number, number, number]])[] = [
      [KERNEL, 'nmi', [2, EventType.NMI, 0]],
      [USER, 'nmi', [2, EventType.NMI, 0]],
      [KERNEL, 'mc', [18, EventType.HARDWARE_EXCEPTION, 0]],
      [KERNEL, 'bp', [3, EventType.SOFTWARE_EXCEPTION, 1]],
      [KERNEL, 'swint:0x80', [0x80, EventType.SOFTWARE_INTERRUPT, 2]],
      [USER, 'pf', [14, EventType.HARDWARE_EXCEPTION, 0]],
      [KERNEL, 'db', [1, EventType.HARDWARE_EXCEPTION, 0]],
      [KERNEL, 'intr:0x21', [0x21, EventType.INTERRUPT, 0]],
    ];
    for (const [text, event, expected] of fired) {
      assert.deepEqual(information(rigOf(make, text).fire(event)), [...expected, true, false], event);
    }
    const executed: readonly (readonly [string, readonly [number, number, number]])[] = [
      ['int3', [3, EventType.SOFTWARE_EXCEPTION, 1]],
      ['.byte 0xcd, 3', [3, EventType.SOFTWARE_INTERRUPT, 2]],
      ['int $0x20', [0x20, EventType.SOFTWARE_INTERRUPT, 2]],
      ['int1', [1, EventType.PRIVILEGED_SOFTWARE_EXCEPTION, 1]],
      ['ud2', [6, EventType.HARDWARE_EXCEPTION, 0]],
      ['syscall', [1, EventType.OTHER, 2]],
      ['sysenter', [2, EventType.OTHER, 2]],
    ];
    for (const [instruction, expected] of executed) {
      for (const section of ['.text', '.section .text.user,"ax"']) {
        const rig = rigOf(make, `${section}\nstart: ${instruction}\nnext: nop\n`).step();
        assert.deepEqual(information(rig), [...expected, true, false], instruction);
      }
    }
    // SYSRET to compatibility mode is undefined under FRED: the segment is that of a descriptor.
    const compatible = rigOf(make, USER, { regs: { EVENTS: BigInt(EventState.COMPATIBILITY) } }).nmi();
    assert.deepEqual(information(compatible), [2, EventType.NMI, 0, false, false]);
    assert.equal(compatible.event(EventState.COMPATIBILITY), false);
  },
);

rule(
  'G-1: the SS word marks blocking by STI, INT n and system calls, and NMIs',
  [fred.withoutMarks, fred.withAllMarks],
  (make) => {
    const marks = (rig: Rig): bigint => frame(rig).ss & 0xffff_0000n;
    const shadow = { EVENTS: BigInt(EventState.STI_SHADOW) };
    assert.equal(marks(rigOf(make, KERNEL).nmi()), MARK.NMI);
    assert.equal(marks(rigOf(make, KERNEL, { regs: shadow }).nmi()), MARK.NMI | MARK.STI);
    assert.equal(marks(rigOf(make, KERNEL, { regs: shadow }).fire('mc')), MARK.STI);
    assert.equal(marks(rigOf(make, 'start: ud2\n', { regs: shadow }).step()), MARK.STI);
    assert.equal(marks(rigOf(make, KERNEL).fire('gp')), 0n);
    assert.equal(marks(rigOf(make, KERNEL).bp()), 0n);
    for (const instruction of ['int $2', 'syscall', 'sysenter']) {
      assert.equal(marks(rigOf(make, `start: ${instruction}\n`, { regs: shadow }).step()), MARK.SOFTWARE);
    }
    for (const instruction of ['int3', 'int1']) assert.equal(marks(rigOf(make, `start: ${instruction}\n`).step()), 0n);
  },
);

rule(
  'G-1: delivery leaves RFLAGS with bit 1 alone, and saves all of it, RF with faults',
  [fred.keepingOtherFlags, broken.keepingIf, broken.keepingTf, broken.keepingNt, fred.withoutRf],
  (make) => {
    const RFLAGS = 0x2n | BigInt(Flag.DF | Flag.AC | Flag.NT | Flag.TF | Flag.IF | Flag.CF | Flag.ID | Flag.IOPL);
    for (const text of [KERNEL, USER]) {
      for (const [event, saved] of [
        ['nmi', RFLAGS],
        ['bp', RFLAGS],
        ['gp', RFLAGS | BigInt(Flag.RF)],
      ] as const) {
        const rig = rigOf(make, text, { regs: { RFLAGS } }).fire(event);
        assert.equal(rig.get('RFLAGS'), 2n);
        assert.equal(frame(rig).rflags, saved);
      }
    }
  },
);

rule(
  'G-1: an event from ring 3 takes CS and SS from STAR[47:32], one from ring 0 leaves them',
  [fred.nullingSs, broken.keepingSs, fred.loadingSegmentsAlways],
  (make) => {
    const user = rigOf(make, USER, { gates: {}, regs: { STAR: 0x0023_0063_0000_0000n } }).nmi();
    assert.deepEqual(user.all('CS', 'SS'), { CS: 0x60n, SS: 0x6bn & ~3n });
    assert.deepEqual([frame(user).cs, frame(user).ss & 0xffffn], [BigInt(USER_CS), BigInt(USER_SS)]);
    const kernel = rigOf(make, KERNEL, { regs: { SS: 0n, CS: BigInt(SPARE) } }).nmi();
    assert.deepEqual(kernel.all('CS', 'SS'), { CS: BigInt(SPARE), SS: 0n });
  },
);

rule('G-1: the gates of the IDT and the stacks of the TSS have no part in it', broken.losing(Reg.RIP), (make) => {
  const rig = rigOf(make, USER, { regs: { IDTR_LIMIT: 0n, TR_LIMIT: 0n, TR: 0n, GDTR_LIMIT: 0n } })
    .step()
    .nmi();
  assert.equal(frame(rig).rip, rig.label('next'));
  assert.equal(rig.delivered, 2);
});

rule('G-1: a delivery ends the shadows and wakes a halted processor', broken.sleepingOn, (make) => {
  const rig = rigOf(make, 'start: hlt\nnext: nop\n').step().nmi();
  assert.equal(rig.event(EventState.HALTED), false);
  assert.equal(frame(rig).rip, rig.label('next'));
});

// G-2: stack levels ---------------------------------------------------------------------------------------------------

rule(
  'G-2: an event from ring 0 with a higher level comes to the top of the stack of that level',
  [fred.ignoringLevels, fred.keepingConfig],
  (make) => {
    for (const [event, expected] of [
      ['db', 1],
      ['nmi', 2],
      ['mc', 2],
    ] as const) {
      const rig = rigOf(make, KERNEL).fire(event);
      assert.equal(rig.get('RSP'), istStack(expected) - 64n);
      assert.equal(level(rig), BigInt(expected));
      assert.equal(frame(rig).cs >> 16n, 0n);
    }
    const plain = rigOf(make, KERNEL).fire('gp');
    assert.deepEqual([level(plain), plain.get('RSP')], [0n, KERNEL_STACK - 128n]);
  },
);

rule(
  'G-2: an event with the same or a lower level stays on the stack, below what is there',
  [fred.restartingStacks, fred.loweringLevels],
  (make) => {
    for (const event of ['mc', 'db', 'bp', 'gp']) {
      const rig = rigOf(make, KERNEL).nmi().step().fire(event);
      assert.equal(level(rig), 2n, event);
      assert.equal(rig.get('RSP'), istStack(2) - 64n - 64n - 64n, event);
      assert.equal(frame(rig).rsp, istStack(2) - 64n);
      assert.equal(frame(rig).cs >> 16n, 2n);
    }
  },
);

rule('G-2: an event from ring 3 comes to level 0, whatever its level is', fred.usingLevelsFromRing3, (make) => {
  for (const event of ['nmi', 'mc', 'db', 'bp', 'pf']) {
    const rig = rigOf(make, USER).fire(event);
    assert.equal(rig.get('RSP'), RSP0_STACK - 64n, event);
    assert.equal(level(rig), 0n);
  }
});

rule(
  'G-2: maskable interrupts have the level in bits 10:9 of IA32_FRED_CONFIG, system calls and INT n level 0',
  [fred.ignoringInterruptLevel, fred.loweringLevels],
  (make) => {
    const config = DECREMENT | (1n << 9n);
    const interrupted = rigOf(make, KERNEL, { config }).fire('intr:0x40');
    assert.deepEqual([level(interrupted), interrupted.get('RSP')], [1n, istStack(1) - 64n]);
    assert.equal(level(rigOf(make, USER, { config }).fire('intr:0x40')), 0n);
    for (const instruction of ['int $2', 'int $8', 'syscall', 'sysenter']) {
      assert.equal(level(rigOf(make, `start: ${instruction}\n`).step()), 0n, instruction);
    }
    const nested = rigOf(make, KERNEL, { config }).nmi().step().fire('bp');
    assert.equal(level(nested), 2n);
  },
);

rule(
  'G-2: ERETS goes back to the saved level, and never to a higher one',
  [fred.keepingLevelOnReturn, fred.raisingLevelOnReturn],
  (make) => {
    const text = `${KERNEL}.balign 4096\nfred_user: nop\n.org fred_user+256\nfred_kernel: erets\n`;
    const rig = rigOf(make, text).nmi();
    assert.equal(level(rig), 2n);
    rig.step();
    assert.deepEqual([rig.rip, level(rig), rig.get('RSP')], [rig.label('start'), 0n, KERNEL_STACK]);
    const low = rigOf(make, text).bp();
    low.setWord(low.get('RSP') + BigInt(FredFrame.CS), BigInt(KERNEL_CS) | (3n << 16n));
    assert.equal(level(low.step()), 0n);
    assert.equal(low.rip, low.label('start'));
  },
);

// G-3: returns, the GS base, NMIs -------------------------------------------------------------------------------------

const ERETS = `${KERNEL}.balign 4096\nfred_user: nop\n.org fred_user+256\nfred_kernel: erets\n`;
const ERETU = `${USER}.text\n.balign 4096\nfred_user: eretu\n.org fred_user+256\nfred_kernel: nop\n`;

rule(
  'G-3: an event from ring 3 and ERETU exchange the GS bases, one from ring 0 and ERETS do not',
  [fred.withoutGsOnDelivery, fred.exchangingGsAlways, fred.withOtherGsOnReturn],
  (make) => {
    const user = rigOf(make, ERETU).nmi();
    assert.deepEqual(user.all('GS_BASE', 'KERNEL_GS_BASE'), { GS_BASE: KERNEL_GS, KERNEL_GS_BASE: USER_GS });
    user.step();
    assert.deepEqual(user.all('GS_BASE', 'KERNEL_GS_BASE'), { GS_BASE: USER_GS, KERNEL_GS_BASE: KERNEL_GS });
    const kernel = rigOf(make, ERETS).nmi();
    assert.deepEqual(kernel.all('GS_BASE', 'KERNEL_GS_BASE'), { GS_BASE: KERNEL_GS, KERNEL_GS_BASE: USER_GS });
    kernel.step();
    assert.deepEqual(kernel.all('GS_BASE', 'KERNEL_GS_BASE'), { GS_BASE: KERNEL_GS, KERNEL_GS_BASE: USER_GS });
  },
);

rule("G-3, D-4': SWAPGS is #UD in every ring", fred.withSwapgs, (make) => {
  for (const section of ['.text', '.section .text.user,"ax"']) {
    const rig = rigOf(make, `${section}\nstart: swapgs\n`).step();
    assert.equal(rig.delivered, 6);
    assert.deepEqual(rig.all('GS_BASE', 'KERNEL_GS_BASE'), { GS_BASE: KERNEL_GS, KERNEL_GS_BASE: USER_GS });
  }
});

rule(
  'G-3: ERETU gives ring 3 back all that the frame has',
  [broken.ignoring(Mnemonic.Eretu), fred.restoringHalfRsp, fred.clearingRfOnReturn],
  (make) => {
    const RFLAGS = 0x2n | BigInt(Flag.DF | Flag.AC | Flag.NT | Flag.IF | Flag.CF | Flag.ID | Flag.RF);
    const rig = rigOf(make, ERETU, { regs: { RFLAGS, RSP: 0x1234_5678_9abcn } });
    const before = rig.all('RIP', 'CS', 'SS', 'RSP', 'RFLAGS');
    rig.nmi().step();
    assert.deepEqual(rig.all('RIP', 'CS', 'SS', 'RSP', 'RFLAGS'), before);
    assert.equal(rig.machine.happened.returned, Return.ERETU);
  },
);

const COMPATIBLE = 0x00cffb000000ffffn;

rule(
  'G-3: ERETU goes to compatibility mode with the selectors of STAR, and to the segments of descriptors with others',
  [broken.ignoring(Mnemonic.Eretu), fred.restoringHalfRsp],
  (make) => {
    const selectors = (cs: number, ss: number, gdt: Options['gdt'] = {}, rip?: bigint): Rig => {
      const rig = rigOf(make, ERETU, { gdt, regs: { RSP: 0xffff_ffff_8000_0000n } }).nmi();
      rig.setWord(rig.get('RSP') + BigInt(FredFrame.CS), BigInt(cs));
      rig.setWord(rig.get('RSP') + BigInt(FredFrame.SS), BigInt(ss));
      if (rip !== undefined) rig.setWord(rig.get('RSP') + BigInt(FredFrame.RIP), rip);
      return rig.step();
    };
    // STAR[63:48] = 0x23: no descriptor is read.
    const fixed = selectors(0x23, 0x2b, {}, 0xffff_0000_0040_0000n);
    assert.deepEqual(fixed.all('RIP', 'CS', 'SS', 'RSP'), { RIP: 0x400000n, CS: 0x23n, SS: 0x2bn, RSP: 0x8000_0000n });
    assert.equal(fixed.event(EventState.COMPATIBILITY), true);
    const long = selectors(USER_CS, USER_SS);
    assert.equal(long.event(EventState.COMPATIBILITY), false);
    assert.equal(long.get('RSP'), 0xffff_ffff_8000_0000n);
    const data = 0x00cff3000000ffffn;
    const described = selectors(SPARE | 3, (SPARE + 8) | 3, { [SPARE]: COMPATIBLE, [SPARE + 8]: data });
    assert.equal(described.event(EventState.COMPATIBILITY), true);
    assert.deepEqual(described.all('CS', 'SS'), { CS: BigInt(SPARE | 3), SS: BigInt((SPARE + 8) | 3) });
    for (const rig of [selectors(SPARE | 3, USER_SS), selectors(SPARE | 3, SPARE | 3, { [SPARE]: COMPATIBLE })]) {
      assert.equal(rig.delivered, 13);
      assert.equal(frame(rig).code, BigInt(SPARE));
    }
  },
);

rule(
  'G-3: ERETU and ERETS are #UD outside ring 0 and where FRED is off; ERETU is #GP(0) at a level above 0',
  [broken.ignoring(Mnemonic.Eretu), broken.ignoring(Mnemonic.Erets), broken.skippingFaults],
  (make) => {
    for (const instruction of ['eretu', 'erets']) {
      assert.equal(rigOf(make, `.section .text.user,"ax"\nstart: ${instruction}\n`).step().delivered, 6);
      assert.equal(make(`start: ${instruction}\n`).step().delivered, 6);
    }
    const rig = rigOf(make, 'start: eretu\n', { config: DECREMENT | 1n }).step();
    assert.deepEqual([rig.delivered, frame(rig).code], [13, 0n]);
  },
);

rule('G-3: ERETU and ERETS check what they load: #GP(0), and nothing has changed', broken.skippingFaults, (make) => {
  const refused = (text: string, offset: number, change: (word: bigint) => bigint): void => {
    const rig = rigOf(make, text).nmi();
    const at = rig.get('RSP') + BigInt(offset);
    rig.setWord(at, change(rig.word(at)));
    const before = rig.all('RIP', 'RSP', 'CS', 'SS', 'GS_BASE', 'KERNEL_GS_BASE');
    rig.step();
    assert.deepEqual([rig.delivered, frame(rig).code], [13, 0n], `${offset}: 0x${rig.word(at).toString(16)}`);
    const { rip, rsp, cs, ss } = frame(rig);
    const after = { ...rig.all('GS_BASE', 'KERNEL_GS_BASE'), RIP: rip, RSP: rsp, CS: cs & 0xffffn, SS: ss & 0xffffn };
    assert.deepEqual(after, before);
    assert.equal(rig.event(EventState.NMI_BLOCKED), true);
  };
  for (const text of [ERETS, ERETU]) {
    refused(text, FredFrame.RIP, () => 0x8000_0000_0000n);
    for (const bit of [1, 3, 5, 15, 17, 22, 31, 32, 63])
      refused(text, FredFrame.RFLAGS, (f) => f ^ (1n << BigInt(bit)));
    for (const bit of [19, 32, 63]) refused(text, FredFrame.CS, (cs) => cs | (1n << BigInt(bit)));
    for (const bit of [19, 31]) refused(text, FredFrame.SS, (ss) => ss | (1n << BigInt(bit)));
    for (const bit of [0, 1]) refused(text, FredFrame.CS, (cs) => cs ^ (1n << BigInt(bit)));
    for (const bit of [0, 1]) refused(text, FredFrame.SS, (ss) => ss ^ (1n << BigInt(bit)));
  }
  // ERETS loads no selector: they must be those in use. ERETU loads no level and no IOPL.
  for (const offset of [FredFrame.CS, FredFrame.SS]) refused(ERETS, offset, (word) => word ^ 8n);
  for (const bit of [16, 17, 18]) refused(ERETU, FredFrame.CS, (cs) => cs | (1n << BigInt(bit)));
  for (const bit of [12, 13]) refused(ERETU, FredFrame.RFLAGS, (f) => f | (1n << BigInt(bit)));
});

rule(
  'G-3: what the frame tells about the event is ignored by the return, and so are bits 63:32 of SS',
  broken.ignoring(Mnemonic.Erets),
  (make) => {
    for (const text of [ERETS, ERETU]) {
      const rig = rigOf(make, text).nmi();
      const ss = rig.get('RSP') + BigInt(FredFrame.SS);
      rig.setWord(ss, rig.word(ss) | (0xffff_ffffn << 32n));
      for (const offset of [0, FredFrame.EVENT_DATA, 56])
        rig.setWord(rig.get('RSP') + BigInt(offset), ~0n & (2n ** 64n - 1n));
      assert.equal(rig.step().rip, rig.label('start'));
    }
  },
);

rule(
  'G-3, A-3: an ERETU or ERETS that completes unblocks NMIs if its frame is that of an NMI',
  [fred.unblockingOnEveryEret, broken.neverUnblocking],
  (make) => {
    for (const text of [ERETS, ERETU]) {
      const rig = rigOf(make, text).nmi();
      assert.equal(rig.event(EventState.NMI_BLOCKED), true);
      assert.equal(rig.step().event(EventState.NMI_BLOCKED), false);
    }
    // #BP, #MC and #GP inside the NMI: their returns leave NMIs blocked.
    const inside = `${KERNEL}.balign 4096\nfred_user: nop\n.org fred_user+256\nfred_kernel: testl $1, %r15d\njnz 1f\nnop\n1: erets\n`;
    for (const event of ['bp', 'mc', 'gp']) {
      const rig = rigOf(make, inside, { regs: { R15: 0n } })
        .nmi()
        .step(2)
        .set({ R15: 1n });
      const rip = rig.rip;
      rig.fire(event).step(3);
      assert.equal(rig.rip, rip, event);
      assert.equal(rig.event(EventState.NMI_BLOCKED), true, event);
    }
  },
);

rule('G-3, A-3: a return that faults leaves NMIs blocked', fred.unblockingOnFaultingEret, (make) => {
  const rig = rigOf(make, ERETS).nmi();
  rig.setWord(rig.get('RSP') + BigInt(FredFrame.RIP), 0x8000_0000_0000n);
  assert.equal(rig.step().delivered, 13);
  assert.equal(rig.event(EventState.NMI_BLOCKED), true);
  // One NMI is latched meanwhile, and delivered when the return has been mended.
  rig.nmi();
  assert.equal(rig.machine.nmi.pending, true);
});

rule(
  'G-3, A-2: the NMI that was latched is delivered after the return, on its stack',
  fred.keepingLevelOnReturn,
  (make) => {
    const rig = rigOf(make, ERETS).nmi().nmi().step();
    assert.equal(rig.rip, rig.label('start'));
    rig.step();
    assert.deepEqual([rig.delivered, level(rig), frame(rig).cs >> 16n], [2, 2n, 0n]);
    assert.equal(rig.get('RSP'), istStack(2) - 64n);
  },
);

rule('G-3, A-3: IRET unblocks NMIs under FRED too', fred.blockingThroughIret, (make) => {
  const text = 'start: iretq\nnext: nop\n';
  const regs = { EVENTS: BigInt(EventState.NMI_BLOCKED), RSP: KERNEL_STACK - 40n };
  const rig = rigOf(make, text, { regs });
  [rig.label('next'), BigInt(KERNEL_CS), 2n, KERNEL_STACK, BigInt(KERNEL_SS)].forEach((word, i) => {
    rig.setWord(KERNEL_STACK - 40n + BigInt(8 * i), word);
  });
  assert.equal(rig.step().rip, rig.label('next'));
  assert.equal(rig.event(EventState.NMI_BLOCKED), false);
});

rule(
  'G-3: IRET and far transfers neither change the ring nor go to compatibility mode in ring 0: #GP(selector)',
  broken.skippingFaults,
  (make) => {
    const code32 = 0x00cf9b000000ffffn;
    const gdt = { [SPARE]: code32, [SPARE + 8]: 0x0000ec0000100000n, [SPARE + 16]: 0n };
    const returned = (instruction: string, cs: number, ss: number): Rig => {
      const rig = rigOf(make, `start: ${instruction}\n`, { gdt, regs: { RSP: KERNEL_STACK - 64n } });
      const words = instruction === 'iretq' ? [cs, 2, 0, ss] : [cs, 0, ss];
      rig.setWord(KERNEL_STACK - 64n, 0x400000n);
      words.forEach((word, i) => {
        rig.setWord(KERNEL_STACK - 56n + BigInt(8 * i), BigInt(word));
      });
      return rig.step();
    };
    for (const instruction of ['iretq', 'lretq']) {
      for (const [cs, ss] of [
        [USER_CS, USER_SS],
        [SPARE, KERNEL_SS],
      ] as const) {
        const rig = returned(instruction, cs, ss);
        assert.deepEqual([rig.delivered, frame(rig).code], [13, BigInt(cs & ~3)], `${instruction} ${cs}`);
      }
    }
    for (const instruction of ['ljmp', 'lcall']) {
      for (const selector of [SPARE, SPARE + 8]) {
        const text = `start: ${instruction} *pointer\n.data\npointer: .long 0x400000\n.word ${selector}\n`;
        const rig = rigOf(make, text, { gdt }).step();
        assert.deepEqual([rig.delivered, frame(rig).code], [13, BigInt(selector)], `${instruction} ${selector}`);
      }
    }
  },
);

rule(
  'G-3, C-2: ERETS brings blocking by STI back if its frame says so and IF is set',
  [fred.withoutShadowOnReturn, fred.withShadowOnReturn],
  (make) => {
    const text = `start: cli\nsti\nnext: nop\nnop\n.balign 4096\nfred_user: nop\n.org fred_user+256\nfred_kernel: erets\n`;
    const rig = rigOf(make, text).step(2).nmi();
    assert.equal(rig.event(EventState.STI_SHADOW), false);
    rig.step();
    assert.deepEqual([rig.rip, rig.event(EventState.STI_SHADOW)], [rig.label('next'), true]);
    assert.equal(rig.step().event(EventState.STI_SHADOW), false);
    const masked = rigOf(make, text, { regs: { RFLAGS: 2n, EVENTS: BigInt(EventState.STI_SHADOW) } })
      .nmi()
      .step();
    assert.equal(masked.event(EventState.STI_SHADOW), false);
    assert.equal(rigOf(make, text).nmi().step().event(EventState.STI_SHADOW), false);
    // One that is in effect already is not prolonged.
    const twice = rigOf(make, text)
      .step(2)
      .nmi()
      .set({ EVENTS: BigInt(EventState.STI_SHADOW) })
      .step();
    assert.equal(twice.event(EventState.STI_SHADOW), false);
  },
);

rule(
  'G-3, C-5: a return with TF to after an INT n or a system call is followed by the single step of that instruction',
  [fred.withoutStepOnReturn, fred.withStepOnReturn],
  (make) => {
    const kernel = (instruction: string): string =>
      `start: ${instruction}\nnext: nop\n.balign 4096\nfred_user: eretu\n.org fred_user+256\nfred_kernel: erets\n`;
    const stepped = (text: string): Rig => rigOf(make, text, { regs: { RFLAGS: 2n | TF | IF } }).step();
    for (const text of [
      kernel('int $0x80'),
      `.section .text.user,"ax"\nstart: syscall\nnext: nop\n${ERETU.slice(ERETU.indexOf('.text\n.balign'))}`,
    ]) {
      const rig = stepped(text);
      assert.equal(rig.get('RFLAGS'), 2n);
      rig.step();
      assert.deepEqual([rig.rip, rig.get('RFLAGS')], [rig.label('next'), 2n | TF | IF]);
      rig.step();
      assert.deepEqual([rig.delivered, frame(rig).data, frame(rig).rip], [1, 0x4000n, rig.label('next')]);
    }
    const fault = rigOf(make, ERETS, { regs: { RFLAGS: 2n | TF } })
      .fire('gp')
      .step();
    assert.equal(fault.event(EventState.PENDING_BS), false);
    assert.equal(fault.rip, fault.label('start'));
  },
);

// G-4: RSP, event data, system calls, nested exceptions ---------------------------------------------------------------

rule('G-4, B-3: ERETS restores all of RSP', fred.restoringHalfRsp, (make) => {
  const rig = rigOf(make, ERETS, { regs: { RSP: 0x1234_5678_9abc_def0n } }).nmi();
  assert.equal(rig.step().get('RSP'), 0x1234_5678_9abc_def0n);
});

rule(
  'G-4: event data are the address of a #PF and what a #DB reports, else 0; CR2 and DR6 are written too',
  [fred.withoutEventData, fred.withoutFaultRegisters, fred.withDr6AsData],
  (make) => {
    const fault = rigOf(make, 'start: movq 0x123450, %rax\n', { regs: { CR2: 0x1111n } }).step();
    assert.deepEqual([frame(fault).data, fault.get('CR2'), frame(fault).code], [0x123450n, 0x123450n, 0n]);
    // DR6 collects, event data do not.
    const debug = rigOf(make, KERNEL, { regs: { DR6: 0xffff4ff2n } }).fire('db');
    assert.equal(frame(debug).data, 1n);
    assert.equal(debug.get('DR6'), 0xffff4ff3n);
    const step = rigOf(make, KERNEL, { regs: { RFLAGS: 2n | TF } }).step(2);
    assert.deepEqual([step.delivered, frame(step).data], [1, 0x4000n]);
    const general = rigOf(make, 'start: movq %rax, %dr0\n', { regs: { DR7: 0x2400n } }).step();
    assert.deepEqual([general.delivered, frame(general).data, general.get('DR7')], [1, 0x2000n, 0x400n]);
    for (const event of ['nmi', 'gp', 'bp', 'mc']) assert.equal(frame(rigOf(make, KERNEL).fire(event)).data, 0n);
    assert.equal(frame(rigOf(make, 'start: int1\n').step()).data, 0n);
    assert.equal(frame(rigOf(make, 'start: int $14\n', { regs: { CR2: 0x1111n } }).step()).data, 0n);
  },
);

rule(
  'G-4: SYSCALL and SYSENTER are events: a stack, no RCX and R11, the address after them; their MSRs have no part in it',
  [fred.savingInRegisters, fred.savingOwnRip, broken.ignoring(Mnemonic.Syscall)],
  (make) => {
    for (const [instruction, vector] of [
      ['syscall', FRED_SYSCALL],
      ['sysenter', FRED_SYSENTER],
    ] as const) {
      const regs = { RSP: 0x1234n, EFER: 0xd00n, LSTAR: 0x1111n, FMASK: 0n, SYSENTER_CS: 0n };
      const rig = rigOf(make, `.section .text.user,"ax"\nstart: ${instruction}\nnext: nop\n`, { regs });
      const before = rig.all('RCX', 'R11', 'RDX', 'RAX');
      rig.step();
      assert.equal(rig.delivered, vector);
      assert.deepEqual(rig.all('RCX', 'R11', 'RDX', 'RAX'), before);
      assert.deepEqual(rig.all('RIP', 'RSP', 'CS', 'SS', 'GS_BASE'), {
        ...{ RIP: rig.label('fred_user'), RSP: RSP0_STACK - 64n, GS_BASE: KERNEL_GS },
        ...{ CS: BigInt(KERNEL_CS), SS: BigInt(KERNEL_SS) },
      });
      assert.deepEqual([frame(rig).rip, frame(rig).rsp], [rig.label('next'), 0x1234n]);
    }
  },
);

rule('G-4: SYSRET and SYSEXIT are #UD', broken.skippingFaults, (make) => {
  for (const instruction of ['sysretq', '.byte 0x0f, 0x07', 'sysexit', '.byte 0x48, 0x0f, 0x35']) {
    const rig = rigOf(make, `start: ${instruction}\n`, { regs: { RCX: 0n, RDX: 0n, SYSENTER_CS: BigInt(KERNEL_CS) } });
    assert.equal(rig.step().delivered, 6, instruction);
  }
});

rule('G-4: INT n from ring 3 needs no gate', fred.withoutInformation, (make) => {
  for (const vector of [2, 13, 0x80]) {
    const rig = rigOf(make, `.section .text.user,"ax"\nstart: int $${vector}\nnext: nop\n`).step();
    assert.deepEqual(information(rig), [vector, EventType.SOFTWARE_INTERRUPT, 2, true, false]);
    assert.deepEqual([frame(rig).rip, frame(rig).code], [rig.label('next'), 0n]);
    assert.equal(rig.event(EventState.NMI_BLOCKED), false);
  }
});

const UNMAPPED = 0xffffc90000200000n;

rule(
  'G-4: an exception of the delivery itself has its own level, and its frame says "nested"; it is the instruction that saves RIP',
  [fred.nestedNever, fred.usingLevel0FromRing3],
  (make) => {
    const regs = { FRED_RSP0: UNMAPPED, FRED_STKLVLS: LEVELS | (1n << 28n) };
    for (const [text, run] of [
      ['.section .text.user,"ax"\nstart: int $0x80\n', (rig: Rig) => rig.step()],
      ['.section .text.user,"ax"\nstart: syscall\n', (rig: Rig) => rig.step()],
      [USER, (rig: Rig) => rig.bp()],
    ] as const) {
      const rig = run(rigOf(make, text, { regs }));
      assert.equal(rig.delivered, 14);
      assert.deepEqual(information(rig), [14, EventType.HARDWARE_EXCEPTION, 0, true, true]);
      assert.deepEqual([level(rig), rig.get('RSP')], [1n, istStack(1) - 64n]);
      assert.deepEqual([frame(rig).rip, frame(rig).data], [rig.label('start'), UNMAPPED - 8n]);
      assert.equal(rig.rip, rig.label('fred_user'));
      assert.equal(frame(rig).cs, BigInt(USER_CS));
    }
  },
);

rule(
  'G-4, B-4: #DF comes at its own level and does not count as nested; a fault of its delivery shuts the processor down',
  [broken.withoutDoubleFault, fred.nestedAlways, broken.withoutShutdown, fred.ignoringLevels],
  (make) => {
    const text = 'start: popq %rax\n';
    const regs = { RSP: UNMAPPED };
    const rig = rigOf(make, text, { regs }).step();
    assert.equal(rig.delivered, 8);
    assert.deepEqual(information(rig), [8, EventType.HARDWARE_EXCEPTION, 0, true, false]);
    assert.deepEqual([level(rig), rig.get('RSP'), frame(rig).code], [3n, istStack(3) - 64n, 0n]);
    const user = rigOf(make, '.section .text.user,"ax"\nstart: popq %rax\n', {
      regs: { ...regs, FRED_RSP0: UNMAPPED },
    });
    assert.deepEqual([user.step().delivered, level(user)], [8, 3n]);
    assert.equal(user.rip, user.label('fred_user'));
    const dead = rigOf(make, text, { regs: { ...regs, FRED_RSP3: UNMAPPED } }).step();
    assert.equal(dead.event(EventState.SHUTDOWN), true);
  },
);

rule(
  'G-4: a delivery that faults has changed nothing',
  [fred.withoutGsOnDelivery, broken.keepingFailedPushes],
  (make) => {
    // The first word of the frame can be pushed, the second cannot.
    const rig = rigOf(make, USER, { regs: { FRED_RSP0: istStack(0) + 8n, FRED_STKLVLS: 1n << 28n } });
    rig.setWord(istStack(0), 0x5an);
    rig.nmi();
    assert.equal(rig.delivered, 14);
    assert.equal(rig.word(istStack(0)), 0x5an);
    assert.deepEqual(rig.all('GS_BASE', 'KERNEL_GS_BASE'), { GS_BASE: KERNEL_GS, KERNEL_GS_BASE: USER_GS });
    assert.equal(frame(rig).rsp, USER_STACK);
  },
);

rule(
  'G-4: the MSRs take canonical addresses, aligned, without reserved bits; a processor without FRED has none of them',
  fred.withoutMsrChecks,
  (make) => {
    const write = (msr: number, value: bigint, setting: Setting = {}): Rig => {
      const regs = { RCX: BigInt(msr), RAX: value & 0xffff_ffffn, RDX: value >> 32n, ...setting.regs };
      return rigOf(make, 'start: wrmsr\nnext: rdmsr\nover: nop\n', { ...setting, regs }).step();
    };
    const good = 0xffff_c900_0000_1000n;
    for (const [msr, register] of [
      [0x1cc, 'FRED_RSP0'],
      [0x1cd, 'FRED_RSP1'],
      [0x1ce, 'FRED_RSP2'],
      [0x1cf, 'FRED_RSP3'],
      [0x1d0, 'FRED_STKLVLS'],
      [0x1d1, 'FRED_SSP1'],
      [0x1d2, 'FRED_SSP2'],
      [0x1d3, 'FRED_SSP3'],
      [0x1d4, 'FRED_CONFIG'],
    ] as const) {
      const rig = write(msr, good);
      assert.equal(rig.get(register), good, register);
      rig.set({ RAX: 0n, RDX: 0n }).step();
      assert.equal((rig.get('RDX') << 32n) | rig.get('RAX'), good);
    }
    assert.equal(write(0x1d0, ~0n & (2n ** 64n - 1n)).rip & 0xfffn, write(0x1d0, 0n).label('next') & 0xfffn);
    const bad: readonly (readonly [number, bigint])[] = [
      ...[0x1cc, 0x1cd, 0x1ce, 0x1cf].flatMap((msr) => [[msr, good | 0x20n] as const, [msr, good | 1n] as const]),
      ...[0x1d1, 0x1d2, 0x1d3].map((msr) => [msr, good | 4n] as const),
      ...[2n, 4n, 5n, 11n].map((bit) => [0x1d4, good | (1n << bit)] as const),
      ...[0x1cc, 0x1cf, 0x1d1, 0x1d4].map((msr) => [msr, 0x8000_0000_0000n] as const),
    ];
    for (const [msr, value] of bad)
      assert.equal(write(msr, value).delivered, 13, `${msr.toString(16)} ${value.toString(16)}`);
    const without: Setting = { profile: { fred: false }, regs: { CR4: 0x60n } };
    for (const msr of [0x1cc, 0x1d0, 0x1d4]) {
      assert.equal(write(msr, 0n, without).delivered, 13);
      const rig = rigOf(make, 'start: rdmsr\n', { ...without, regs: { ...without.regs, RCX: BigInt(msr) } });
      assert.equal(rig.step().delivered, 13);
    }
  },
);

rule(
  'G-4: LKGS loads GS and puts its base into IA32_KERNEL_GS_BASE; outside ring 0 and without FRED it is #UD',
  [fred.loadingGsBase, broken.ignoring(Mnemonic.Lkgs)],
  (make) => {
    // A data segment with base 0x12345678.
    const gdt = { [SPARE]: 0x12cf_f334_5678_ffffn };
    for (const operand of ['%ax', '(%rbx)']) {
      const rig = rigOf(make, `start: lkgs ${operand}\nnext: nop\n`, {
        gdt,
        regs: { RAX: BigInt(SPARE | 3), RBX: KERNEL_STACK - 8n },
      });
      rig.setWord(KERNEL_STACK - 8n, BigInt(SPARE | 3));
      rig.step();
      assert.equal(rig.rip, rig.label('next'));
      assert.deepEqual(rig.all('GS', 'GS_BASE', 'KERNEL_GS_BASE'), {
        ...{ GS: BigInt(SPARE | 3), GS_BASE: KERNEL_GS, KERNEL_GS_BASE: 0x12345678n },
      });
    }
    const none = rigOf(make, 'start: lkgs %ax\n', { regs: { RAX: BigInt(SPARE) } }).step();
    assert.deepEqual([none.delivered, none.get('KERNEL_GS_BASE'), none.get('GS')], [13, USER_GS, 0n]);
    const empty = rigOf(make, 'start: lkgs %ax\n', { regs: { RAX: 0n } }).step();
    assert.deepEqual(empty.all('GS_BASE', 'KERNEL_GS_BASE'), { GS_BASE: KERNEL_GS, KERNEL_GS_BASE: 0n });
    assert.equal(rigOf(make, '.section .text.user,"ax"\nstart: lkgs %ax\n').step().delivered, 6);
    assert.equal(make('start: lkgs %ax\n').step().delivered, 6);
  },
);
