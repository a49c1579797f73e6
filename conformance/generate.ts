/** Random programs, as fast-check arbitraries, so that a program that differs can be shrunk to a small one. */
import fc from 'fast-check';
import { Register } from 'iced-x86';
import { Flag } from '../src/cpu/registers.js';
import { Tss } from '../src/harness/descriptors.js';
import { Block, type Memory } from './block.js';
import { Dice } from './dice.js';
import type { Family, Places, Site } from './families/family.js';
import { PLAIN } from './families/plain.js';
import { SYSTEM, selector } from './families/system.js';
import { TRANSFERS } from './families/transfers.js';
import { PROGRAM_CR3 } from './guest.js';
import * as layout from './layout.js';
import { Overlay, type Program } from './program.js';
import { STATE_NAMES, type State, Stub } from './state.js';

export const FAMILIES: readonly Family[] = [...PLAIN, ...SYSTEM, ...TRANSFERS];

/** One item: its family, and the rolls from which it is built. */
interface Item {
  readonly family: number;
  readonly rolls: readonly number[];
}

export interface Plan {
  readonly user: boolean;
  readonly kernel: readonly Item[];
  readonly userItems: readonly Item[];
  readonly handlers: readonly (readonly Item[])[];
  /** For registers, flags, MSRs. */
  readonly start: readonly number[];
  /** Whether it has gates, a TSS or limits of its own; made from `tables`. */
  readonly ownTables: boolean;
  readonly tables: readonly number[];
}

const ITEM_ROLLS = 40;
const START_ROLLS = 120;
const TABLE_ROLLS = 40;
const rolls = (n: number): fc.Arbitrary<number[]> => fc.array(fc.nat(0xffff), { minLength: n, maxLength: n });

const item: fc.Arbitrary<Item> = fc.record({
  family: fc.oneof(...FAMILIES.map(({ weight }, i) => ({ weight, arbitrary: fc.constant(i) }))),
  rolls: rolls(ITEM_ROLLS),
});
const items = (most: number): fc.Arbitrary<Item[]> => fc.array(item, { minLength: 1, maxLength: most, size: 'max' });

export const plan: fc.Arbitrary<Plan> = fc.record({
  user: fc.boolean(),
  kernel: items(8),
  userItems: items(8),
  // Most programs have none: nearly every event then ends the program, with all that it has pushed.
  handlers: fc.oneof(
    { weight: 3, arbitrary: fc.array(items(3), { maxLength: 0 }) },
    { weight: 2, arbitrary: fc.array(items(3), { maxLength: 2, size: 'max' }) },
  ),
  start: rolls(START_ROLLS),
  ownTables: fc.boolean(),
  tables: rolls(TABLE_ROLLS),
});

/** Offsets of handlers in kernel text. */
const HANDLERS = [0x600n, 0xb00n];
const IRETQ = [0x48, 0xcf];
/** The last page of the data regions holds frames and other operands. */
const SLOTS = 0x1000n;

const REGISTERS_BY_SIZE: Readonly<Record<number, readonly Register[]>> = {
  1: [Register.AL, Register.CL, Register.DL, Register.R8L, Register.R9L, Register.R10L, Register.R11L, Register.BPL],
  2: [Register.AX, Register.CX, Register.DX, Register.R8W, Register.R9W, Register.R10W, Register.R11W, Register.BP],
  4: [Register.EAX, Register.ECX, Register.EDX, Register.R8D, Register.R9D, Register.R10D, Register.R11D, Register.EBP],
  8: [Register.RAX, Register.RCX, Register.RDX, Register.R8, Register.R9, Register.R10, Register.R11, Register.RBP],
};
/** They hold addresses at the start. R13 holds one that faults in some way. */
const POINTERS = [Register.RBX, Register.RSI, Register.RDI, Register.R12, Register.R14, Register.R15] as const;

/** Builds the program that a plan describes, for a page of the texts. */
export function build(plan: Plan, slot: number): Program {
  const memory = new Overlay();
  const families = new Set<string>();
  const start = Object.fromEntries(STATE_NAMES.map((name) => [name, 0n])) as State;
  const dice = new Dice(plan.start);
  const tables = new Dice(plan.tables);
  const page = BigInt(slot % layout.TEXT_SLOTS) * 0x1000n;
  const places: Places = {
    kernel: layout.KERNEL_TEXT + page,
    user: layout.USER_TEXT + page,
    handlers: plan.handlers.map((_, i) => layout.KERNEL_TEXT + page + HANDLERS[i]!),
  };
  let slots = 0n;
  const fill = (block: Block, list: readonly Item[]): void => {
    for (const one of list) {
      const family = FAMILIES[one.family % FAMILIES.length]!;
      families.add(family.name);
      const before = block.bytes.length;
      family.build(
        new BlockSite(block, new Dice(one.rolls), memory, places, (words) => {
          const at = slots;
          slots += BigInt(8 * words + 8);
          return (block.ring === 3 ? layout.USER_DATA : layout.KERNEL_DATA) + SLOTS + (at % 0xf00n);
        }),
      );
      block.land(before);
    }
    block.end();
    memory.setBytes(block.address, Uint8Array.from(block.bytes));
  };
  fill(new Block(places.kernel, 0), plan.kernel);
  fill(new Block(places.user, 3), plan.userItems);
  plan.handlers.forEach((list, i) => {
    const block = new Block(places.handlers[i]!, 0);
    // Over the error code, for those who have one.
    if (dice.below(2) === 1) block.raw(0x48, 0x83, 0xc4, 0x08);
    fill(block, list);
    memory.setBytes(block.here, Uint8Array.from(IRETQ));
  });
  setStart(start, dice, plan.user, places);
  if (plan.ownTables) setTables(start, memory, tables, places);
  return { start, memory, slot: slot % layout.TEXT_SLOTS, families };
}

class BlockSite implements Site {
  constructor(
    readonly block: Block,
    readonly dice: Dice,
    readonly memory: Overlay,
    readonly places: Places,
    readonly slot: (words: number) => bigint,
  ) {}

  register(size: number): Register {
    return this.dice.pick(REGISTERS_BY_SIZE[size]!);
  }

  memoryOperand(): Memory {
    const { dice } = this;
    const displacement = BigInt(dice.pick([0, 8, 16, 1, -8, 4, 0x7f, -0x80, 0x400, -3]));
    switch (dice.below(12)) {
      case 7:
        return { base: Register.R13, displacement };
      case 8:
        return { base: Register.RSP, displacement };
      case 9:
        return { base: Register.RBP, displacement };
      case 10:
        return { base: dice.pick(POINTERS), index: Register.RCX, scale: dice.pick([1, 2, 4, 8]), displacement };
      case 11: {
        const absolute = this.block.ring === 3 ? layout.USER_DATA : layout.KERNEL_DATA;
        return dice.pick<Memory>([
          { displacement: absolute + 0x100n },
          { segment: Register.GS, displacement: 0x40n },
          { segment: Register.FS, base: Register.RCX, displacement: 0x80n },
          { base: Register.RIP, displacement: (this.block.here & ~0xfffn) + 0x20n },
          { displacement: layout.USER_READ_ONLY },
        ]);
      }
      default:
        return { base: dice.pick(POINTERS), displacement };
    }
  }
}

function setStart(start: State, dice: Dice, user: boolean, places: Places): void {
  const data = user ? layout.USER_DATA : layout.KERNEL_DATA;
  const stack = (user ? layout.USER_STACK_TOP : layout.KERNEL_STACK_TOP) - 0x400n;
  for (const name of ['RAX', 'RDX', 'R8', 'R9', 'R10', 'R11'] as const) start[name] = dice.value();
  start.RCX = dice.below(3) === 2 ? dice.value() : BigInt(dice.below(6));
  for (const name of ['RBX', 'RSI', 'RDI', 'R12', 'R14', 'R15'] as const) {
    const at = 0x200n + BigInt(dice.below(0x100)) * 8n;
    const odd = dice.once(4) ? BigInt(dice.below(8)) : 0n;
    start[name] = (dice.once(8) ? layout.USER_DATA : data) + at + odd;
  }
  start.R13 = dice.pick([
    user ? layout.USER_READ_ONLY : layout.KERNEL_READ_ONLY,
    user ? layout.KERNEL_DATA : layout.USER_READ_ONLY,
    layout.UNMAPPED,
    0x0000800000000000n,
    // Over the end of a region, of the lower half of the address space, and before the upper half.
    data + 0x2000n - 4n,
    layout.USER_READ_ONLY - 2n,
    0x00007ffffffffffcn,
    0xffff7ffffffffffen,
    places.kernel,
    places.user,
    0n,
    0xfffffffffffffff8n,
    dice.quad(),
  ]);
  start.RBP = stack - BigInt(8 * dice.below(64));
  start.RSP = dice.once(10)
    ? dice.pick([
        layout.istTop(3),
        layout.USER_DATA + 0x808n,
        0x0000800000000000n,
        layout.UNMAPPED + 8n,
        dice.quad(),
        stack + 3n,
        stack + 0x400n,
      ])
    : stack - BigInt(8 * dice.below(64));
  start.RIP = user ? places.user : places.kernel;
  start.CS = BigInt(user ? layout.USER_CS : layout.KERNEL_CS);
  start.SS = BigInt(user ? layout.USER_SS : dice.once(8) ? 0 : layout.KERNEL_SS);
  let flags = (BigInt(dice.below(0x1000)) & 0x8d5n) | BigInt(Flag.ONE);
  if (dice.below(2) === 0) flags |= BigInt(Flag.IF);
  if (dice.once(8)) flags |= BigInt(Flag.DF);
  if (dice.once(3)) flags |= BigInt(dice.below(4)) << 12n;
  for (const flag of [Flag.NT, Flag.RF, Flag.AC, Flag.ID]) if (dice.once(16)) flags |= BigInt(flag);
  if (dice.once(40)) flags |= BigInt(Flag.TF);
  start.RFLAGS = flags;
  for (const name of ['DS', 'ES', 'FS', 'GS'] as const) {
    start[name] = BigInt(dice.pick([0, layout.USER_SS, user ? 0 : layout.KERNEL_SS, user ? 0 : 3]));
  }
  const base = (): bigint =>
    dice.pick([data + 0x300n, layout.USER_DATA + 0x500n, 0xffff888000000000n, 0n, data + 0x303n]);
  start.FS_BASE = base();
  start.GS_BASE = base();
  start.KERNEL_GS_BASE = base();
  start.CR0 = dice.once(16) ? layout.CR0 & ~0x10000n : layout.CR0;
  start.CR2 = dice.below(2) === 0 ? 0n : dice.quad();
  start.CR3 = PROGRAM_CR3;
  start.CR4 = dice.once(10) ? layout.CR4 & ~0x10000n : layout.CR4;
  start.EFER = dice.once(16) ? layout.EFER & ~1n : layout.EFER;
  start.STAR = dice.once(12)
    ? (BigInt(selector(dice)) << 48n) | (BigInt(selector(dice)) << 32n) | dice.long()
    : layout.STAR;
  start.LSTAR = places.handlers.length > 0 && dice.once(3) ? places.handlers[0]! : layout.stubAddress(Stub.SYSCALL);
  start.FMASK = dice.once(5) ? dice.long() | 0x100n : layout.FMASK;
  start.TSC_AUX = dice.long();
  start.SYSENTER_CS = BigInt(layout.KERNEL_CS);
  start.SYSENTER_ESP = layout.KERNEL_STACK_TOP - 0x800n;
  start.SYSENTER_EIP = layout.stubAddress(Stub.SYSENTER);
  start.GDTR_BASE = layout.GDT;
  start.GDTR_LIMIT = BigInt(layout.GDT_LIMIT);
  start.IDTR_BASE = layout.IDT;
  start.IDTR_LIMIT = BigInt(layout.IDT_LIMIT);
  start.TR = BigInt(layout.TASK);
  start.DR6 = 0xffff0ff0n;
  start.DR7 = 0x400n;
  for (const name of STATE_NAMES) start[name] = BigInt.asUintN(64, start[name]);
}

/** Vectors whose gates matter to programs. */
const VECTORS = [3, 13, 14, 6, 0x80, 12, 0, 11, 10, 8, 0x81, 1, 4, 18, 2];

function setTables(start: State, memory: Overlay, dice: Dice, places: Places): void {
  const count = dice.below(4);
  for (let i = 0; i < count; i++) setGate(memory, dice, places);
  if (dice.once(4)) {
    const stack = dice.pick([
      0x0000800000000000n,
      layout.UNMAPPED,
      layout.USER_DATA + 0x1000n,
      layout.KERNEL_READ_ONLY + 0x1000n,
      layout.istTop(2) - 5n,
      layout.KERNEL_DATA + 0x1000n,
      layout.istTop(0) + 0x10n,
      dice.quad(),
    ]);
    memory.set64(layout.TSS + BigInt(dice.pick([Tss.RSP0, Tss.IST1, Tss.IST1 + 8, Tss.IST1 + 16])), stack);
  }
  if (dice.once(6))
    start.IDTR_LIMIT = BigInt(dice.pick([0xff, 0x7f, 0xd0, 0xdf, 0x3f, 0xe7, 0x1fff & dice.below(0x1000)]));
  if (dice.once(6)) start.GDTR_LIMIT = BigInt(dice.pick([0x57, 0x4f, 0x5f, 0x8b, 0x77]));
  if (dice.once(6)) {
    const at = layout.GDT + BigInt(layout.TASK);
    memory.set64(at, (memory.get64(at) & ~0xffffn) | BigInt(dice.pick([0x2b, 0x24, 0x23, 0x0b, 0x0a, 0x33, 0x63])));
  }
}

function setGate(memory: Overlay, dice: Dice, places: Places): void {
  const at = layout.IDT + BigInt(16 * dice.pick(VECTORS));
  let low = memory.get64(at);
  let high = memory.get64(at + 8n);
  const aim = (target: bigint): void => {
    const t = BigInt.asUintN(64, target);
    low = (low & ~0xffff00000000ffffn) | (t & 0xffffn) | (((t >> 16n) & 0xffffn) << 48n);
    high = t >> 32n;
  };
  const handler = places.handlers.length > 0 ? dice.pick(places.handlers) : undefined;
  const changes = 1 + dice.below(2);
  for (let i = 0; i < changes; i++) {
    switch (dice.below(7)) {
      case 0:
        if (handler !== undefined) aim(handler);
        break;
      case 1:
        low = (low & ~(7n << 32n)) | (BigInt(dice.below(8)) << 32n);
        break;
      case 2:
        low = (low & ~(3n << 45n)) | (BigInt(dice.below(4)) << 45n);
        break;
      case 3:
        // Trap gate; call gate; empty; a data segment's type.
        low = (low & ~(0x1fn << 40n)) | (BigInt(dice.pick([0xf, 0xf, 0xc, 0, 0x12, 6, 5])) << 40n);
        break;
      case 4:
        low ^= 1n << 47n;
        break;
      case 5:
        low = (low & ~(0xffffn << 16n)) | (BigInt(selector(dice)) << 16n);
        break;
      default:
        aim(dice.pick([0x0000800000000000n, layout.UNMAPPED, places.user, 0xffff7fffffffffffn]));
    }
  }
  memory.set64(at, low);
  memory.set64(at + 8n, high);
}
