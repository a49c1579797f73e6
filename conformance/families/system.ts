/** System instructions: returns, software interrupts, SYSCALL, segments, MSRs, control registers, flags. */
import { Code, Register } from 'iced-x86';
import type { Dice } from '../dice.js';
import {
  CR0,
  CR4,
  EFER,
  GDT_LIMIT,
  KERNEL_CS,
  KERNEL_DATA,
  KERNEL_SS,
  KERNEL_STACK_TOP,
  LDT_SELECTOR,
  ODD,
  ODD_DESCRIPTORS,
  TASK,
  USER_CS,
  USER_DATA,
  USER_SS,
  USER_STACK_TOP,
} from '../layout.js';
import type { Family, Site } from './family.js';
import { target } from './plain.js';

/** A selector, good or bad; any RPL. */
export function selector(dice: Dice): number {
  const rpl = dice.below(5);
  const base = dice.pick([
    USER_SS & ~3,
    KERNEL_SS,
    USER_CS & ~3,
    KERNEL_CS,
    0,
    TASK,
    LDT_SELECTOR,
    ODD_DESCRIPTORS + 8 * dice.below(ODD.length),
    ODD_DESCRIPTORS + 8 * dice.below(ODD.length),
    // The last slot of the GDT, the one after it, and far beyond.
    GDT_LIMIT & ~7,
    (GDT_LIMIT + 1) & ~7,
    0xfff8,
    // In the LDT.
    0xc,
    0x14,
  ]);
  return base | (rpl === 0 ? 0 : rpl - 1);
}

/** Data selectors that can mostly be loaded in the ring. */
function dataSelector(site: Site): number {
  const { dice, block } = site;
  return dice.pick([block.ring === 3 ? USER_SS : KERNEL_SS, USER_SS, 0, selector(dice), selector(dice)]);
}

/** Arithmetic flags and the system flags that an image on the stack may have; TF is rare. */
function flagsImage(dice: Dice): bigint {
  const arithmetic = BigInt(dice.below(0x1000)) & 0xcd5n;
  const interrupt = dice.below(2) === 0 ? 0x200n : 0n;
  let more = 0n;
  if (dice.once(4)) more |= BigInt(dice.below(4)) << 12n;
  // NT, RF, VM, AC, VIF, VIP, ID, reserved bits, TF.
  for (const bit of [14n, 16n, 17n, 18n, 19n, 20n, 21n, 3n, 15n, 40n]) if (dice.once(10)) more |= 1n << bit;
  if (dice.once(24)) more |= 0x100n;
  return arithmetic | interrupt | more | 2n;
}

function stackPointer(dice: Dice, ring: number): bigint {
  const good = (ring === 3 ? USER_STACK_TOP : KERNEL_STACK_TOP) - 0x400n;
  return dice.pick([
    good,
    good - BigInt(dice.below(16)),
    good,
    0x0000800000000000n,
    KERNEL_DATA + 0x800n,
    USER_DATA + 0x800n,
    dice.quad(),
  ]);
}

function iretq(site: Site): void {
  const { block, dice, memory, places } = site;
  // Now and then the frame is not aligned, or runs into memory that is not mapped.
  let slot = site.slot(6) + (dice.once(4) ? BigInt(dice.below(8)) : 0n);
  const end = (block.ring === 3 ? USER_DATA : KERNEL_DATA) + 0x2000n;
  if (dice.once(16)) slot = end - BigInt(8 * (1 + dice.below(4)));
  block.emit(Code.Mov_r64_imm64, Register.RSP, slot);
  const next = block.here + 2n;
  let ring: number = block.ring;
  let rip = next;
  if (block.ring === 0 && dice.below(2) === 1) {
    ring = 3;
    rip = places.user;
  }
  if (dice.once(5)) rip = target(site);
  let cs = ring === 3 ? USER_CS : KERNEL_CS;
  let ss = ring === 3 ? USER_SS : KERNEL_SS;
  const odd = dice.below(4);
  if (odd === 2) cs = selector(dice);
  if (odd === 3) ss = selector(dice);
  if (odd === 1 && ring === 0) ss = 0;
  // A stack segment with the right DPL that is not present.
  if (dice.once(24)) ss = ODD_DESCRIPTORS + (ring === 3 ? 0x18 | 3 : 0x10);
  // What lies above a selector's 16 bits is ignored.
  const above = dice.once(6) ? dice.quad() & ~0xffffn : 0n;
  const words = [rip, BigInt(cs) | above, flagsImage(dice), stackPointer(dice, ring), BigInt(ss) | above];
  words.forEach((word, i) => {
    const at = slot + BigInt(8 * i);
    if (at + 8n <= end) memory.set64(at, word);
  });
  block.raw(0x48, 0xcf);
}

function interrupts(site: Site): void {
  const { block, dice } = site;
  if (dice.below(2) === 0) block.raw(0xcc);
  else block.raw(0xcd, dice.pick([0x80, 3, 4, 0x81, 13, 14, 8, 1, 0xff, 0x20, 2, 18, dice.below(256)]));
}

function system(site: Site): void {
  const { block, dice } = site;
  switch (dice.below(3)) {
    case 0:
      block.raw(0x0f, 0x05);
      break;
    case 1: {
      // SYSRET to user code, or to an address that is not canonical.
      const { places } = site;
      block.emit(Code.Mov_r64_imm64, Register.RCX, dice.once(5) ? target(site) : places.user);
      // VM, which SYSRET ignores, would be a mode that no peer is expected to be in.
      block.emit(Code.Mov_r64_imm64, Register.R11, flagsImage(dice) & ~0x20000n);
      block.raw(0x48, 0x0f, 0x07);
      break;
    }
    default:
      block.raw(0x0f, 0x01, 0xf8);
  }
}

const MSRS = [
  0xc0000102, 0xc0000101, 0xc0000100, 0xc0000082, 0xc0000081, 0xc0000084, 0xc0000103, 0xc0000080, 0x174, 0x175, 0x176,
];

function address(site: Site): bigint {
  const { dice } = site;
  return dice.pick([
    KERNEL_DATA,
    USER_DATA,
    0xffff888000000000n,
    0x0000800000000000n,
    0xffff7fffffffffffn,
    dice.quad(),
    dice.value(),
  ]);
}

function msrs(site: Site): void {
  const { block, dice } = site;
  const msr = dice.pick(MSRS);
  block.emit(Code.Mov_r32_imm32, Register.ECX, BigInt(msr | 0));
  if (dice.below(2) === 0) {
    block.raw(0x0f, 0x32);
    return;
  }
  let value = address(site);
  if (msr === 0xc0000080)
    value = dice.pick([EFER, EFER & ~1n, EFER | 1n, EFER ^ 0x100n, EFER ^ 0x400n, EFER | (1n << 20n), dice.quad()]);
  if (msr === 0xc0000082) value = dice.pick([...site.places.handlers, value]);
  block.emit(Code.Mov_r32_imm32, Register.EAX, BigInt.asIntN(32, value));
  block.emit(Code.Mov_r32_imm32, Register.EDX, BigInt.asIntN(32, value >> 32n));
  block.raw(0x0f, 0x30);
}

function bases(site: Site): void {
  const { block, dice } = site;
  const code = dice.pick([
    ...[Code.Wrfsbase_r64, Code.Wrgsbase_r64, Code.Rdfsbase_r64, Code.Rdgsbase_r64],
    ...[Code.Wrfsbase_r32, Code.Wrgsbase_r32, Code.Rdfsbase_r32, Code.Rdgsbase_r32],
  ]);
  const wide = [Code.Wrfsbase_r64, Code.Wrgsbase_r64, Code.Rdfsbase_r64, Code.Rdgsbase_r64].includes(code);
  if (dice.below(2) === 0) block.emit(Code.Mov_r64_imm64, Register.R9, address(site));
  block.emit(code, wide ? Register.R9 : Register.R9D);
}

const SEGMENTS = [Register.DS, Register.ES, Register.FS, Register.GS, Register.SS, Register.CS];

function segments(site: Site): void {
  const { block, dice, memory } = site;
  switch (dice.below(5)) {
    case 0:
    case 1: {
      block.emit(Code.Mov_r32_imm32, Register.R8D, BigInt(dataSelector(site)));
      block.emit(Code.Mov_Sreg_r32m16, dice.pick(SEGMENTS), Register.R8D);
      break;
    }
    case 2: {
      const slot = site.slot(1);
      memory.set64(slot, BigInt(dataSelector(site)) | (dice.long() << 16n));
      block.emit(Code.Mov_r64_imm64, Register.R10, slot);
      block.emit(Code.Mov_Sreg_r64m16, dice.pick(SEGMENTS), { base: Register.R10 });
      break;
    }
    case 3: {
      const to = dice.pick(SEGMENTS);
      if (dice.below(2) === 0) {
        const code = dice.pick([Code.Mov_r32m16_Sreg, Code.Mov_r64m16_Sreg, Code.Mov_rm16_Sreg]);
        const size = code === Code.Mov_rm16_Sreg ? 2 : code === Code.Mov_r32m16_Sreg ? 4 : 8;
        block.emit(code, site.register(size), to);
      } else {
        block.emit(Code.Mov_rm16_Sreg, site.memoryOperand(), to);
      }
      break;
    }
    default: {
      const code = dice.pick([Code.Pushq_FS, Code.Pushq_GS, Code.Popq_FS, Code.Popq_GS]);
      const segment = code === Code.Pushq_FS || code === Code.Popq_FS ? Register.FS : Register.GS;
      if (dice.below(2) === 0) block.emit(Code.Pushq_imm8, BigInt(dataSelector(site) & 0x7f));
      block.emit(code, segment);
    }
  }
}

function control(site: Site): void {
  const { block, dice } = site;
  const register = dice.pick([Register.CR2, Register.CR0, Register.CR3, Register.CR4, Register.CR1]);
  if (dice.below(2) === 0) {
    block.emit(Code.Mov_r64_cr, site.register(8), register);
    return;
  }
  let value = dice.value();
  if (register === Register.CR0) {
    // WP, MP, TS, EM, NE, AM, NW, CD, PG, PE, a reserved bit, the upper half.
    value = dice.pick([0n, 16n, 1n, 3n, 2n, 5n, 18n, 29n, 30n, 31n, 0n, 10n, 33n].map((bit) => CR0 ^ (1n << bit)));
  } else if (register === Register.CR3) {
    block.emit(Code.Mov_r64_cr, Register.R8, Register.CR3);
    const bit = dice.pick([3n, 4n, 0n, 52n, 63n, 62n]);
    // Bits of the page directory's own attributes, and bits beyond every physical address.
    if (dice.below(2) === 1) block.emit(Code.Btc_rm64_imm8, Register.R8, bit);
    block.emit(Code.Mov_cr_r64, Register.CR3, Register.R8);
    return;
  } else if (register === Register.CR4) {
    // FSGSBASE, TSD, DE, PGE, PCE, OSFXSR, PAE, LA57, a reserved bit, the upper half.
    value = dice.pick([16n, 2n, 3n, 7n, 8n, 9n, 10n, 5n, 12n, 15n, 33n, 6n, 11n].map((bit) => CR4 ^ (1n << bit)));
  }
  block.emit(Code.Mov_r64_imm64, Register.R8, value);
  block.emit(Code.Mov_cr_r64, register, Register.R8);
}

function flags(site: Site): void {
  const { block, dice, memory } = site;
  switch (dice.below(4)) {
    case 0: {
      const slot = site.slot(2);
      memory.set64(slot, flagsImage(dice));
      block.emit(Code.Mov_r64_imm64, Register.RSP, slot);
      // POPFQ or POPF.
      block.raw(...(dice.below(4) === 3 ? [0x66] : []), 0x9d);
      break;
    }
    case 1:
      block.raw(...(dice.below(4) === 3 ? [0x66] : []), 0x9c);
      break;
    case 2:
      // CLI, STI.
      block.raw(dice.below(2) === 0 ? 0xfa : 0xfb);
      break;
    default:
      // CLAC, STAC.
      block.raw(0x0f, 0x01, dice.below(2) === 0 ? 0xca : 0xcb);
  }
}

function others(site: Site): void {
  const { block, dice } = site;
  switch (dice.below(6)) {
    case 0:
      block.raw(0x0f, 0x0b);
      break;
    case 1:
      block.emit(Code.Invlpg_m, site.memoryOperand());
      break;
    case 2:
      // HLT is for ring 3 only, where it faults.
      block.raw(...(block.ring === 3 ? [0xf4] : [0x90]));
      break;
    case 3:
      // Encodings that do not exist in 64-bit mode, and prefixes that make an instruction undefined.
      block.raw(
        ...dice.pick([
          [0x06],
          [0x27],
          [0x60],
          [0xce],
          [0xd4, 0x0a],
          [0xf0, 0x90],
          [0xf0, 0x01, 0xd8],
          [0x0f, 0xff, 0xc0],
          [0x0f, 0xb9, 0xc0],
        ]),
      );
      break;
    case 4:
      // 0F 1F: NOP with an operand.
      block.raw(0x0f, 0x1f, 0x40, 0x00);
      break;
    default:
      block.raw(0xf3, 0x90);
  }
}

export const SYSTEM: readonly Family[] = [
  { name: 'iretq', weight: 14, rules: ['B-2', 'C-5'], build: iretq },
  { name: 'int n', weight: 8, rules: ['B-1', 'B-4', 'B-5', 'A-1'], build: interrupts },
  { name: 'syscall, sysret, swapgs', weight: 8, rules: ["D-1'", "D-2'", "D-4'"], build: system },
  { name: 'rdmsr, wrmsr', weight: 6, rules: ["D-4'"], build: msrs },
  { name: 'fsgsbase', weight: 4, rules: ["D-4'"], build: bases },
  { name: 'segments', weight: 8, rules: ['C-3'], build: segments },
  { name: 'control registers', weight: 5, rules: [], build: control },
  { name: 'pushf, popf, cli, sti, ac', weight: 8, rules: ['C-2'], build: flags },
  { name: 'hlt, invlpg, ud, nop', weight: 4, rules: [], build: others },
];
