/** SYSENTER and SYSEXIT, far transfers, IRET with other operand sizes, descriptor tables, debug registers. */
import { Code, Register } from 'iced-x86';
import { GDT, KERNEL_CS, KERNEL_SS, LDT_SELECTOR, TASK, USER_CS, USER_SS } from '../layout.js';
import type { Family, Site } from './family.js';
import { target } from './plain.js';
import { selector } from './system.js';

function sysenter(site: Site): void {
  const { block, dice, places } = site;
  if (dice.below(3) !== 2) {
    block.raw(0x0f, 0x34);
    return;
  }
  block.emit(Code.Mov_r64_imm64, Register.RDX, dice.once(5) ? target(site) : places.user);
  // SYSEXIT with a 64-bit operand.
  block.raw(0x48, 0x0f, 0x35);
}

/** RETFQ; CALL and JMP through a far pointer in memory. */
function far(site: Site): void {
  const { block, dice, memory, places } = site;
  const slot = site.slot(5);
  let cs = dice.below(3) === 2 ? selector(dice) : block.ring === 3 ? USER_CS : KERNEL_CS;
  if (dice.below(2) === 0) {
    block.emit(Code.Mov_r64_imm64, Register.RSP, slot);
    const next = block.here + 2n;
    let rip = dice.once(6) ? target(site) : next;
    let ss = block.ring === 3 ? USER_SS : KERNEL_SS;
    if (block.ring === 0 && dice.below(3) === 2) [cs, ss, rip] = [USER_CS, USER_SS, places.user];
    if (dice.once(6)) ss = selector(dice);
    [rip, BigInt(cs), slot - 0x100n, BigInt(ss)].forEach((word, i) => {
      memory.set64(slot + BigInt(8 * i), word);
    });
    block.raw(0x48, 0xcb);
    return;
  }
  block.emit(Code.Mov_r64_imm64, Register.R9, slot);
  // The instruction is 4 bytes long: REX.WB FF /3 or /5 with R9 as base.
  const next = block.here + 3n;
  memory.set64(slot, dice.once(6) ? target(site) : next);
  memory.set64(slot + 8n, BigInt(cs));
  block.raw(0x49, 0xff, dice.below(2) === 0 ? 0x19 : 0x29);
}

function tables(site: Site): void {
  const { block, dice, memory } = site;
  switch (dice.below(6)) {
    case 0: {
      // SGDT, SIDT.
      block.emit(Code.Mov_r64_imm64, Register.R9, site.slot(3));
      block.raw(0x41, 0x0f, 0x01, dice.below(2) === 0 ? 0x01 : 0x09);
      break;
    }
    case 1:
      // SLDT, STR, SMSW.
      block.emit(dice.pick([Code.Sldt_r64m16, Code.Str_r64m16, Code.Smsw_r64m16]), site.register(8));
      break;
    case 2: {
      // LLDT: the LDT, null, or anything.
      block.emit(Code.Mov_r32_imm32, Register.R8D, BigInt(dice.pick([LDT_SELECTOR, 0, selector(dice)])));
      block.emit(Code.Lldt_r32m16, Register.R8D);
      break;
    }
    case 3: {
      // LTR of a TSS that is busy, or of anything.
      block.emit(Code.Mov_r32_imm32, Register.R8D, BigInt(dice.pick([TASK, selector(dice)])));
      block.emit(Code.Ltr_r32m16, Register.R8D);
      break;
    }
    case 4: {
      // LGDT with the same base and another limit.
      const slot = site.slot(2);
      memory.set64(slot, BigInt(dice.pick([0xdf, 0x7f, 0x57])) | (GDT << 16n));
      memory.set64(slot + 8n, GDT >> 48n);
      block.emit(Code.Mov_r64_imm64, Register.R9, slot);
      block.raw(0x41, 0x0f, 0x01, 0x11);
      break;
    }
    default: {
      block.emit(Code.Mov_r32_imm32, Register.R8D, BigInt(selector(dice)));
      const code = dice.pick([Code.Lar_r32_r32m16, Code.Lsl_r32_r32m16, Code.Verr_r32m16, Code.Verw_r32m16]);
      if (code === Code.Verr_r32m16 || code === Code.Verw_r32m16) block.emit(code, Register.R8D);
      else block.emit(code, site.register(4), Register.R8D);
    }
  }
}

function debugRegisters(site: Site): void {
  const { block, dice } = site;
  const register = dice.pick([Register.DR0, Register.DR1, Register.DR2, Register.DR3, Register.DR6, Register.DR7]);
  if (dice.below(2) === 0) {
    block.emit(Code.Mov_r64_dr, site.register(8), register);
    return;
  }
  // No breakpoint is enabled: DR7 gets bits that do nothing, or reserved ones.
  const value = register === Register.DR7 ? dice.pick([0x400n, 0x700n, 0xffff0400n, 1n << 33n]) : dice.value();
  block.emit(Code.Mov_r64_imm64, Register.R8, value);
  block.emit(Code.Mov_dr_r64, register, Register.R8);
}

export const TRANSFERS: readonly Family[] = [
  { name: 'sysenter, sysexit', weight: 4, rules: ["D-3'"], build: sysenter },
  { name: 'far transfers', weight: 5, rules: [], build: far },
  { name: 'descriptor tables', weight: 5, rules: [], build: tables },
  { name: 'debug registers', weight: 3, rules: ['C-5'], build: debugRegisters },
  { name: 'rdpid', weight: 1, rules: [], build: ({ block }) => void block.raw(0xf3, 0x0f, 0xc7, 0xf8) },
];
