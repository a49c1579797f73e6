import assert from 'node:assert/strict';
import { Mnemonic } from 'iced-x86';
import { Flag, Reg } from '../../src/cpu/registers.js';
import { callGate, codeSegment, dataSegment } from '../../src/harness/descriptors.js';
import { EventState } from '../../src/harness/event_state.js';
import { Return } from '../../src/harness/machine.js';
import * as broken from '../support/broken.js';
import { otherwise } from '../support/broken_debug.js';
import * as brokenInstr from '../support/broken_instr.js';
import {
  GDT,
  KERNEL_CS,
  KERNEL_SS,
  KERNEL_STACK,
  type Options,
  type Rig,
  RSP0_STACK,
  SPARE,
  TASK,
  TSS,
  USER_CS,
  USER_SS,
  USER_STACK,
} from '../support/machine.js';
import { type Make, rule } from '../support/rule.js';

/** Through (%rax): with 64-, 32- and 16-bit offsets. */
const JUMPS = ['.byte 0x48, 0xff, 0x28', '.byte 0xff, 0x28', '.byte 0x66, 0xff, 0x28'] as const;
const CALLS = ['.byte 0x48, 0xff, 0x18', '.byte 0xff, 0x18', '.byte 0x66, 0xff, 0x18'] as const;
const POINTER = KERNEL_STACK - 0x800n;
const USER_POINTER = USER_STACK - 0x800n;

const absent = ~(1n << 47n);
const conforming = 1n << 42n;
const long = 1n << 53n;
const big = 1n << 54n;
const accessed = 1n << 40n;
/** Flat 32-bit code, in ring `dpl`. */
const code32 = (dpl: number): bigint => (codeSegment(dpl) & ~long) | big;

interface Far {
  readonly instruction: string;
  readonly offset?: bigint;
  readonly selector: number;
  /** Bytes of the offset. */
  readonly size?: number;
  readonly user?: boolean;
  readonly options?: Options;
}

/**
 * A machine at a far JMP or CALL through the pointer at RAX; its offset is the label `target`, if no other is given.
 */
function far(make: Make, { instruction, offset, selector, size = 8, user = false, options = {} }: Far): Rig {
  const section = user ? '.section .text.user,"ax"\n' : '';
  const text = `${section}start: ${instruction}\nafter: nop\ntarget: nop\n.text\nkernel: .byte 0x48, 0xcb\n`;
  const rig = make(text, options);
  const at = user ? USER_POINTER : POINTER;
  rig.set({ RAX: at, ...options.regs });
  const value = (BigInt(selector) << BigInt(8 * size)) | BigInt.asUintN(8 * size, offset ?? rig.label('target'));
  rig.setWord(at, BigInt.asUintN(64, value));
  rig.setWord(at + 8n, value >> 64n);
  return rig;
}

rule(
  'far JMP with a 64-bit offset loads CS and RIP, and nothing else',
  [broken.ignoring(Mnemonic.Jmp), brokenInstr.unblockingOnFarTransfers],
  (make) => {
    const rig = far(make, {
      instruction: JUMPS[0],
      selector: KERNEL_CS | 3,
      options: { regs: { EVENTS: BigInt(EventState.NMI_BLOCKED) }, gdt: { [SPARE]: codeSegment(0) } },
    });
    // The RPL of the selector does not count below the CPL; that of CS is the CPL.
    rig.setWord(POINTER + 8n, BigInt(SPARE));
    rig.step();
    assert.deepEqual(rig.all('RIP', 'CS', 'SS', 'RSP', 'EVENTS'), {
      RIP: rig.label('target'),
      CS: BigInt(SPARE),
      SS: BigInt(KERNEL_SS),
      RSP: KERNEL_STACK,
      EVENTS: BigInt(EventState.NMI_BLOCKED),
    });
  },
);

rule('far JMP with a 32- or 16-bit offset zero-extends it', brokenInstr.keepingUpperHalves(Reg.RIP), (make) => {
  assert.equal(far(make, { instruction: JUMPS[1], selector: KERNEL_CS, size: 4 }).step().rip >> 32n, 0n);
  const narrow = far(make, { instruction: JUMPS[2], selector: KERNEL_CS, size: 2, offset: 0x1234n }).step();
  assert.deepEqual(narrow.all('RIP', 'CS'), { RIP: 0x1234n, CS: BigInt(KERNEL_CS) });
});

rule('far pointers in memory have no 64-bit offsets on AMD', otherwise('farPointersOf64Bits'), (make) => {
  const profile = { farPointersOf64Bits: false };
  const rig = far(make, {
    instruction: JUMPS[0],
    selector: KERNEL_CS,
    size: 4,
    offset: 0x12345678n,
    options: { profile },
  });
  assert.deepEqual(rig.step().all('RIP', 'CS'), { RIP: 0x12345678n, CS: BigInt(KERNEL_CS) });
  // What is pushed has the operand's size all the same.
  const call = far(make, {
    instruction: CALLS[0],
    selector: KERNEL_CS,
    size: 4,
    offset: 0x12345678n,
    options: { profile },
  });
  assert.equal(call.step().word(KERNEL_STACK - 16n), call.label('after'));
});

rule(
  'far CALL pushes CS and RIP with the operand size',
  [broken.ignoring(Mnemonic.Call), broken.losing(Reg.RSP)],
  (make) => {
    const wide = far(make, { instruction: CALLS[0], selector: KERNEL_CS }).step();
    assert.deepEqual(wide.all('RIP', 'RSP'), { RIP: wide.label('target'), RSP: KERNEL_STACK - 16n });
    assert.deepEqual(
      [wide.word(KERNEL_STACK - 8n), wide.word(KERNEL_STACK - 16n)],
      [BigInt(KERNEL_CS), wide.label('after')],
    );
    const middle = far(make, { instruction: CALLS[1], selector: KERNEL_CS, size: 4 }).step();
    assert.equal(middle.get('RSP'), KERNEL_STACK - 8n);
    assert.equal(middle.word(KERNEL_STACK - 8n), (BigInt(KERNEL_CS) << 32n) | (middle.label('after') & 0xffffffffn));
    const narrow = far(make, { instruction: CALLS[2], selector: KERNEL_CS, size: 2 }).step();
    assert.equal(narrow.get('RSP'), KERNEL_STACK - 4n);
    assert.equal(narrow.word(KERNEL_STACK - 8n) >> 32n, (BigInt(KERNEL_CS) << 16n) | (narrow.label('after') & 0xffffn));
  },
);

rule('a far JMP in ring 3 keeps its ring in conforming code', broken.ignoring(Mnemonic.Jmp), (make) => {
  const options = { gdt: { [SPARE]: codeSegment(0) | conforming } };
  const rig = far(make, { instruction: JUMPS[0], selector: SPARE, user: true, options }).step();
  assert.deepEqual(rig.all('RIP', 'CS'), { RIP: rig.label('target'), CS: BigInt(SPARE | 3) });
});

rule('loading CS sets the accessed bit of its descriptor', brokenInstr.withoutDescriptorWrites, (make) => {
  const options = { gdt: { [SPARE]: codeSegment(0) & ~accessed } };
  const rig = far(make, { instruction: JUMPS[0], selector: SPARE, options }).step();
  assert.equal(rig.word(GDT + BigInt(SPARE)), codeSegment(0));
});

rule(
  'B-3: a far JMP to a 32-bit segment is made, and leaves the processor in compatibility mode',
  brokenInstr.ignoringCompatibility,
  (make) => {
    const options = { gdt: { [SPARE]: code32(3) } };
    const rig = far(make, { instruction: JUMPS[0], selector: SPARE | 3, user: true, options, offset: 0xabcd00400010n });
    assert.deepEqual(rig.step().all('RIP', 'CS'), { RIP: 0x400010n, CS: BigInt(SPARE | 3) });
    assert.equal(rig.event(EventState.COMPATIBILITY), true);
  },
);

interface Refusal extends Far {
  readonly vector?: number;
  readonly code: number;
}

const gdt = (descriptor: bigint): Options => ({ gdt: { [SPARE]: descriptor } });

const REFUSALS: Readonly<Record<string, Omit<Refusal, 'instruction'>>> = {
  'to a null selector is #GP(0)': { selector: 3, code: 0 },
  'beyond the limit of the GDT is #GP(selector)': { selector: 0x1230, code: 0x1230 },
  'into the LDT where there is none is #GP(selector)': { selector: KERNEL_CS | 4, code: KERNEL_CS | 4 },
  'to a data segment is #GP(selector)': { selector: KERNEL_SS, code: KERNEL_SS },
  'to a TSS is #GP(selector)': { selector: TASK, code: TASK },
  'to code with L and D is #GP(selector)': { selector: SPARE, options: gdt(codeSegment(0) | big), code: SPARE },
  'to code that is not present is #NP(selector)': {
    selector: SPARE,
    options: gdt(codeSegment(0) & absent),
    vector: 11,
    code: SPARE,
  },
  'to code of an outer ring is #GP(selector)': { selector: USER_CS & ~3, code: USER_CS & ~3 },
  'to conforming code of an outer ring is #GP(selector)': {
    selector: SPARE,
    options: gdt(codeSegment(3) | conforming),
    code: SPARE,
  },
  'with an RPL above the CPL is #GP(selector)': { selector: KERNEL_CS | 1, code: KERNEL_CS },
  'to code of an inner ring is #GP(selector)': { selector: KERNEL_CS, user: true, code: KERNEL_CS },
  'to a RIP that is not canonical is #GP(0)': { selector: KERNEL_CS, offset: 0x800000000000n, code: 0 },
  'beyond the limit of a 32-bit segment is #GP(0)': {
    selector: SPARE,
    options: gdt((code32(0) & ~(0xfn << 48n) & ~(1n << 55n)) | 0xffffn),
    offset: 0x10000n,
    code: 0,
  },
};
for (const [what, refusal] of Object.entries(REFUSALS)) {
  for (const [name, instruction, mnemonic] of [
    ['JMP', JUMPS[0], Mnemonic.Jmp],
    ['CALL', CALLS[0], Mnemonic.Call],
  ] as const) {
    rule(`far ${name} ${what}`, [broken.ignoring(mnemonic), broken.withOtherErrorCodes], (make) => {
      const rig = far(make, { ...refusal, instruction }).step();
      assert.equal(rig.delivered, refusal.vector ?? 13);
      assert.equal(rig.errorCode, BigInt(refusal.code));
      assert.equal(rig.frame(true).rip, rig.label('start'));
      assert.equal(rig.frame(true).rsp, refusal.user ? USER_STACK : KERNEL_STACK);
    });
  }
}

rule('far CALL writes nothing unless all of it can be done', broken.ignoring(Mnemonic.Call), (make) => {
  const regs = { RSP: KERNEL_STACK - 0x2000n + 8n };
  const rig = far(make, { instruction: CALLS[0], selector: KERNEL_CS, options: { regs, gates: { 14: { ist: 1 } } } });
  rig.step();
  assert.equal(rig.delivered, 14);
  assert.equal(rig.get('CR2'), KERNEL_STACK - 0x2000n - 8n);
  assert.equal(rig.word(KERNEL_STACK - 0x2000n), 0n);
});

// Call gates.

/** A gate in SPARE to `kernel` in the ring-0 code segment. */
function gated(
  make: Make,
  options: { gate?: (gate: bigint) => bigint; upper?: bigint; selector?: number } & Partial<Far>,
): Rig {
  const rig = far(make, { instruction: CALLS[0], user: true, offset: 0xdeadn, ...options, selector: SPARE | 3 });
  const [low, high] = callGate(rig.label('kernel'), options.selector ?? KERNEL_CS, 3);
  rig.setWord(GDT + BigInt(SPARE), options.gate?.(low) ?? low);
  rig.setWord(GDT + BigInt(SPARE + 8), high | (options.upper ?? 0n));
  return rig;
}

rule(
  'a CALL through a gate to ring 0 takes RSP0, pushes SS, RSP, CS and RIP, makes SS null and keeps the flags',
  [brokenInstr.keepingStackThroughGate, broken.ignoring(Mnemonic.Call), brokenInstr.unblockingOnFarTransfers],
  (make) => {
    const flags = 0x202n | BigInt(Flag.NT | Flag.AC);
    const rig = gated(make, { options: { regs: { RFLAGS: flags, EVENTS: BigInt(EventState.NMI_BLOCKED) } } }).step();
    assert.deepEqual(rig.all('RIP', 'CS', 'SS', 'RSP', 'RFLAGS', 'EVENTS'), {
      RIP: rig.label('kernel'),
      CS: BigInt(KERNEL_CS),
      SS: 0n,
      RSP: RSP0_STACK - 32n,
      RFLAGS: flags,
      EVENTS: BigInt(EventState.NMI_BLOCKED),
    });
    assert.deepEqual(
      [8n, 16n, 24n, 32n].map((offset) => rig.word(RSP0_STACK - offset)),
      [BigInt(USER_SS), USER_STACK, BigInt(USER_CS), rig.label('after')],
    );
  },
);

rule('the stack of a call gate is not aligned', broken.ignoring(Mnemonic.Call), (make) => {
  const rig = gated(make, {});
  rig.setWord(TSS + 4n, RSP0_STACK - 4n);
  assert.equal(rig.step().get('RSP'), RSP0_STACK - 36n);
});

rule('a CALL through a gate in the same ring pushes CS and RIP, 8 bytes each', broken.losing(Reg.RSP), (make) => {
  const rig = gated(make, { user: false, instruction: CALLS[1], size: 4 });
  rig.setWord(POINTER, BigInt(SPARE) << 32n);
  rig.step();
  assert.deepEqual(rig.all('RIP', 'RSP', 'SS'), {
    RIP: rig.label('kernel'),
    RSP: KERNEL_STACK - 16n,
    SS: BigInt(KERNEL_SS),
  });
  assert.equal(rig.word(KERNEL_STACK - 16n), rig.label('after'));
});

rule('a CALL through a gate to conforming code keeps the ring and the stack', broken.losing(Reg.RSP), (make) => {
  const options = { gdt: { [SPARE + 16]: codeSegment(0) | conforming } };
  const rig = gated(make, { selector: SPARE + 16, options }).step();
  assert.deepEqual(rig.all('CS', 'RSP', 'SS'), {
    CS: BigInt((SPARE + 16) | 3),
    RSP: USER_STACK - 16n,
    SS: BigInt(USER_SS),
  });
});

rule('a far RET goes back through a call gate', broken.ignoring(Mnemonic.Retf), (make) => {
  const rig = gated(make, {}).step(2);
  assert.deepEqual(rig.all('RIP', 'CS', 'SS', 'RSP'), {
    RIP: rig.label('after'),
    CS: BigInt(USER_CS),
    SS: BigInt(USER_SS),
    RSP: USER_STACK,
  });
});

interface GateRefusal {
  readonly gate?: (gate: bigint) => bigint;
  readonly upper?: bigint;
  readonly selector?: number;
  readonly options?: Options;
  readonly instruction?: string;
  readonly vector?: number;
  readonly code: number;
}

const TARGET = SPARE + 16;
const target = (descriptor: bigint): Options => ({ gdt: { [TARGET]: descriptor } });
const GATE_REFUSALS: Readonly<Record<string, GateRefusal>> = {
  'with a DPL below the CPL is #GP(gate)': { gate: (gate) => gate & ~(3n << 45n), code: SPARE },
  'that is not present is #NP(gate)': { gate: (gate) => gate & absent, vector: 11, code: SPARE },
  'with a type in its upper half is #GP(gate)': { upper: 1n << 40n, code: SPARE },
  'that crosses the limit of the GDT is #GP(gate)': {
    options: { regs: { GDTR_LIMIT: BigInt(SPARE + 14) } },
    code: SPARE,
  },
  'to a null selector is #GP(0)': { selector: 3, code: 0 },
  'to a selector beyond the limit is #GP(selector)': { selector: 0xff0, code: 0xff0 },
  'to a data segment is #GP(selector)': { selector: KERNEL_SS, code: KERNEL_SS },
  'to 32-bit code is #GP(selector)': { selector: TARGET, options: target(code32(0)), code: TARGET },
  'to code with L and D is #GP(selector)': { selector: TARGET, options: target(codeSegment(0) | big), code: TARGET },
  'to code that is not present is #NP(selector)': {
    selector: TARGET,
    options: target(codeSegment(0) & absent),
    vector: 11,
    code: TARGET,
  },
  // Ring 1's stack pointer is the second one: the first one is there, for the delivery of the fault.
  'is #TS(TR) where the TSS has no such RSP': {
    selector: TARGET,
    options: { ...target(codeSegment(1)), regs: { TR_LIMIT: 18n }, gates: {} },
    vector: 10,
    code: TASK,
  },
  'by JMP to an inner ring is #GP(selector)': { instruction: JUMPS[0], code: KERNEL_CS },
};
for (const [what, refusal] of Object.entries(GATE_REFUSALS)) {
  rule(
    `a call gate ${what}`,
    [broken.ignoring(refusal.instruction ? Mnemonic.Jmp : Mnemonic.Call), broken.withOtherErrorCodes],
    (make) => {
      const vector = refusal.vector ?? 13;
      const options = { gates: { [vector]: { ist: 1 } }, ...refusal.options };
      const rig = gated(make, { ...refusal, options }).step();
      assert.equal(rig.delivered, vector);
      assert.equal(rig.errorCode, BigInt(refusal.code));
      assert.equal(rig.frame(true).rip, rig.label('start'));
    },
  );
}

rule('a call gate onto a stack that is not canonical is #SS(0)', broken.ignoring(Mnemonic.Call), (make) => {
  const rig = gated(make, { options: { gates: { 12: { ist: 1 } } } });
  rig.setWord(TSS + 4n, 0x0000800000000000n);
  assert.equal(rig.step().delivered, 12);
  assert.equal(rig.errorCode, 0n);
});

rule(
  'a call gate to a target that is not canonical is #GP(0), and nothing is pushed',
  broken.ignoring(Mnemonic.Call),
  (make) => {
    const rig = gated(make, { options: { gates: { 13: { ist: 1 } } }, upper: 0x8000n });
    rig.setWord(GDT + BigInt(SPARE + 8), 0x8000n);
    assert.equal(rig.step().delivered, 13);
    assert.equal(rig.errorCode, 0n);
    assert.equal(rig.word(RSP0_STACK - 8n), 0n);
  },
);

// RET.

const RETURNS = ['.byte 0x48, 0xcb', '.byte 0xcb', '.byte 0x66, 0xcb'] as const;

/** A machine at a far RET in ring 0, with these words of `size` bytes on its stack. */
function returning(
  make: Make,
  instruction: string,
  size: number,
  words: readonly (bigint | 'after')[],
  options: Options = {},
): Rig {
  const rig = make(`start: ${instruction}\nafter: nop\n`, options);
  rig.set({ RSP: KERNEL_STACK - 0x100n, ...options.regs });
  let at = KERNEL_STACK - 0x100n;
  for (const word of words) {
    const value = BigInt.asUintN(8 * size, word === 'after' ? rig.label('after') : word);
    const old = rig.word(at & ~7n);
    const shift = 8n * (at & 7n);
    rig.setWord(at & ~7n, (old & ~(((1n << BigInt(8 * size)) - 1n) << shift)) | (value << shift));
    at += BigInt(size);
  }
  return rig;
}

rule(
  'A-4: a far RET in the same ring pops RIP and CS, keeps SS and the flags, and does not unblock NMIs',
  [broken.ignoring(Mnemonic.Retf), brokenInstr.unblockingOnFarTransfers],
  (make) => {
    const regs = { EVENTS: BigInt(EventState.NMI_BLOCKED), RFLAGS: 0x4246n };
    const rig = returning(make, RETURNS[0], 8, ['after', BigInt(KERNEL_CS)], { regs }).step();
    assert.deepEqual(rig.all('RIP', 'CS', 'SS', 'RSP', 'RFLAGS', 'EVENTS'), {
      RIP: rig.label('after'),
      CS: BigInt(KERNEL_CS),
      SS: BigInt(KERNEL_SS),
      RSP: KERNEL_STACK - 0xf0n,
      RFLAGS: 0x4246n,
      EVENTS: BigInt(EventState.NMI_BLOCKED),
    });
    assert.equal(rig.machine.happened.returned, Return.RETF);
  },
);

rule('a far RET with 32- and 16-bit operands pops 4 and 2 bytes', broken.losing(Reg.RSP), (make) => {
  const middle = returning(make, RETURNS[1], 4, [0x400000n, BigInt(KERNEL_CS)]).step();
  assert.deepEqual(middle.all('RIP', 'RSP'), { RIP: 0x400000n, RSP: KERNEL_STACK - 0xf8n });
  const narrow = returning(make, RETURNS[2], 2, [0x4000n, BigInt(KERNEL_CS)]).step();
  assert.deepEqual(narrow.all('RIP', 'RSP'), { RIP: 0x4000n, RSP: KERNEL_STACK - 0xfcn });
});

rule('a far RET with an immediate releases that many bytes', broken.losing(Reg.RSP), (make) => {
  const rig = returning(make, '.byte 0x48, 0xca, 0x18, 0x00', 8, ['after', BigInt(KERNEL_CS)]).step();
  assert.equal(rig.get('RSP'), KERNEL_STACK - 0xf0n + 0x18n);
});

rule(
  'a far RET to ring 3 pops RSP and SS above the parameters, and releases them on both stacks',
  [broken.ignoring(Mnemonic.Retf), broken.losing(Reg.RSP)],
  (make) => {
    const words = [0x400000n, BigInt(USER_CS), 1n, 2n, USER_STACK - 0x40n, BigInt(USER_SS)];
    const regs = { DS: BigInt(KERNEL_SS), ES: BigInt(USER_SS), FS: 3n };
    const rig = returning(make, '.byte 0x48, 0xca, 0x10, 0x00', 8, words, { regs }).step();
    assert.deepEqual(rig.all('RIP', 'CS', 'RSP', 'SS', 'DS', 'ES', 'FS'), {
      RIP: 0x400000n,
      CS: BigInt(USER_CS),
      RSP: USER_STACK - 0x30n,
      SS: BigInt(USER_SS),
      DS: 0n,
      ES: BigInt(USER_SS),
      FS: 0n,
    });
  },
);

const compatible: Options = { gdt: { [SPARE]: code32(3) } };

rule('B-3: a far RET to a compatibility-mode segment is made', brokenInstr.ignoringCompatibility, (make) => {
  const words = [0xffffffff00400000n, BigInt(SPARE | 3), 0xffff_ffff_1234_5678n, BigInt(USER_SS)];
  const rig = returning(make, RETURNS[0], 8, words, compatible).step();
  assert.deepEqual(rig.all('RIP', 'RSP'), { RIP: 0x400000n, RSP: 0x12345678n });
  assert.equal(rig.event(EventState.COMPATIBILITY), true);
});

const RETURN_REFUSALS: Readonly<
  Record<
    string,
    { readonly words: readonly bigint[]; readonly options?: Options; readonly vector?: number; readonly code: number }
  >
> = {
  'to a null CS is #GP(0)': { words: [0n, 3n], code: 0 },
  'to a CS beyond the limit is #GP(selector)': { words: [0n, 0x1230n], code: 0x1230 },
  'to data is #GP(selector)': { words: [0n, BigInt(KERNEL_SS)], code: KERNEL_SS },
  'to a CS with another DPL than RPL is #GP(selector)': { words: [0n, BigInt(KERNEL_CS | 3)], code: KERNEL_CS },
  'to code that is not present is #NP(selector)': {
    words: [0n, BigInt(SPARE)],
    options: gdt(codeSegment(0) & absent),
    vector: 11,
    code: SPARE,
  },
  'to a RIP that is not canonical is #GP(0)': { words: [0x800000000000n, BigInt(KERNEL_CS)], code: 0 },
  'to ring 3 with a null SS is #GP(0)': { words: [0n, BigInt(USER_CS), 0n, 3n], code: 0 },
  'to ring 3 with the wrong RPL in SS is #GP(selector)': {
    words: [0n, BigInt(USER_CS), 0n, BigInt(KERNEL_SS)],
    code: KERNEL_SS,
  },
  'to ring 3 with an SS that is not present is #SS(selector)': {
    words: [0n, BigInt(USER_CS), 0n, BigInt(SPARE | 3)],
    options: gdt(dataSegment(3) & absent),
    vector: 12,
    code: SPARE,
  },
};
for (const [what, refusal] of Object.entries(RETURN_REFUSALS)) {
  rule(`a far RET ${what}`, [broken.ignoring(Mnemonic.Retf), broken.withOtherErrorCodes], (make) => {
    const rig = returning(make, RETURNS[0], 8, refusal.words, refusal.options).step();
    assert.equal(rig.delivered, refusal.vector ?? 13);
    assert.equal(rig.errorCode, BigInt(refusal.code));
    assert.deepEqual([rig.frame(true).rip, rig.frame(true).rsp], [rig.label('start'), KERNEL_STACK - 0x100n]);
  });
}

rule('a far RET to a more privileged ring is #GP(selector)', broken.withoutPrivilege, (make) => {
  const rig = make('.section .text.user,"ax"\nstart: .byte 0x48, 0xcb\n', { regs: { RSP: USER_STACK - 16n } });
  rig.setWord(USER_STACK - 16n, rig.label('v3'));
  rig.setWord(USER_STACK - 8n, BigInt(KERNEL_CS));
  assert.equal(rig.step().delivered, 13);
  assert.equal(rig.errorCode, BigInt(KERNEL_CS));
});
