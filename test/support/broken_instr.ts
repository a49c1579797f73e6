/** Machines that are broken on purpose in system instructions, segmentation and far transfers: see broken.ts. */
import { Mnemonic } from 'iced-x86';
import { Flag, Reg } from '../../src/cpu/registers.js';
import { Tss } from '../../src/harness/descriptors.js';
import { EventState } from '../../src/harness/event_state.js';
import type { Machine } from '../../src/harness/machine.js';
import { afterDelivery, afterInstruction, around, type Broken, readWord } from './broken.js';

const EVENTS = 2 * Reg.EVENTS;
const RFLAGS = 2 * Reg.RFLAGS;
const nothing = (): void => undefined;

function named(name: string, broken: Broken): Broken {
  Object.defineProperty(broken, 'name', { value: name });
  return broken;
}

/** There is no LDT: the TI bit of a selector is ignored. */
export function ignoringTi(machine: Machine): void {
  const read = machine.readDescriptor.bind(machine);
  machine.readDescriptor = (selector, vector, code) => read(selector & ~4, vector, code);
}

/** The limits of the descriptor tables are ignored. */
export function ignoringTableLimits(machine: Machine): void {
  machine.readDescriptor = (selector) =>
    machine.readSystem(selector & 4 ? Reg.LDTR_BASE : Reg.GDTR_BASE, selector & 0xfff8);
}

/** The processor does not write to descriptors: neither the accessed nor the busy bit. */
export function withoutDescriptorWrites(machine: Machine): void {
  const base = machine.cpu.regs.u64[Reg.GDTR_BASE]!;
  let saved: Uint8Array = new Uint8Array();
  around(
    machine,
    () => machine.memory.load(base, saved),
    () => {
      saved = machine.memory.peek(base, 0x1000)!;
    },
  );
}

/** The mode of a code segment is not looked at: everything is 64-bit code. */
export function ignoringCompatibility(machine: Machine): void {
  around(machine, () => {
    machine.u32[EVENTS]! &= ~EventState.COMPATIBILITY;
  });
}

/** A delivery leaves the processor in compatibility mode. */
export function stayingInCompatibility(machine: Machine): void {
  afterDelivery(machine, (before) => {
    machine.u32[EVENTS]! |= Number(before[Reg.EVENTS]!) & EventState.COMPATIBILITY;
  });
}

/** IRET loads all of RSP, whatever the stack segment is. */
export function loadingWholeStackPointer(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Iretq, (before) => {
    machine.cpu.regs.u64[Reg.RSP] = readWord(machine, before[Reg.RSP]! + 24n);
  });
}

/** A 16-bit stack pointer is zero-extended, so that nothing leaks. */
export function zeroExtendingSp(machine: Machine): void {
  around(machine, () => {
    if (machine.u32[EVENTS]! & EventState.COMPATIBILITY) {
      machine.cpu.regs.u64[Reg.RSP] = machine.cpu.regs.u64[Reg.RSP]! & 0xffffn;
    }
  });
}

/** Every far transfer and every SYSEXIT unblocks NMIs. */
export function unblockingOnFarTransfers(machine: Machine): void {
  const far: ReadonlySet<Mnemonic> = new Set([
    ...[Mnemonic.Retf, Mnemonic.Jmp, Mnemonic.Call, Mnemonic.Sysexit, Mnemonic.Sysexitq, Mnemonic.Sysret],
  ]);
  around(machine, () => {
    const { happened } = machine;
    if (happened.instruction && far.has(happened.instruction.mnemonic) && !happened.delivered) machine.nmi.unblock();
  });
}

/** SYSENTER clears the flags that SYSCALL's mask would: TF, NT, AC and DF too. */
export function clearingAllOnSysenter(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Sysenter, () => {
    machine.u32[RFLAGS] = Flag.ONE;
  });
}

/** SYSENTER keeps IF. */
export function keepingIfOnSysenter(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Sysenter, (before) => {
    machine.u32[RFLAGS]! |= Number(before[Reg.RFLAGS]!) & Flag.IF;
  });
}

/** User-mode instruction prevention has no effect. */
export function ignoringUmip(machine: Machine): void {
  around(machine, nothing, () => {
    machine.u32[2 * Reg.CR4]! &= ~(1 << 11);
  });
}

/** CR4.UMIP is always set. */
export function withUmipAlways(machine: Machine): void {
  around(machine, nothing, () => {
    machine.u32[2 * Reg.CR4]! |= 1 << 11;
  });
}

/** Segment selectors in ring 3 may name anything: privilege levels of descriptors are all 3. */
export function withoutDescriptorDpl(machine: Machine): void {
  const read = machine.readDescriptor.bind(machine);
  machine.readDescriptor = (selector, vector, code) => {
    if (!read(selector, vector, code)) return false;
    machine.readHigh = (machine.readHigh | (3 << 13)) >>> 0;
    return true;
  };
}

/** Every descriptor is present. */
export function ignoringPresence(machine: Machine): void {
  const read = machine.readDescriptor.bind(machine);
  machine.readDescriptor = (selector, vector, code) => {
    if (!read(selector, vector, code)) return false;
    machine.readHigh = (machine.readHigh | (1 << 15)) >>> 0;
    return true;
  };
}

/** A call gate does not change the stack. */
export function keepingStackThroughGate(machine: Machine): void {
  around(machine, nothing, () => {
    const { u64 } = machine.cpu.regs;
    machine.memory.load64(u64[Reg.TR_BASE]! + BigInt(Tss.RSP0), u64[Reg.RSP]!);
  });
}

/** The TSS is as long as it takes. */
export function ignoringTssLimit(machine: Machine): void {
  around(machine, nothing, () => {
    machine.u32[2 * Reg.TR_LIMIT] = 0xffff;
  });
}

/** The I/O permission bitmap is not consulted: every port is allowed. */
export function allowingEveryPort(machine: Machine): void {
  around(
    machine,
    (before) => {
      machine.cpu.regs.u64[Reg.RFLAGS] =
        (machine.cpu.regs.u64[Reg.RFLAGS]! & ~0x3000n) | (before[Reg.RFLAGS]! & 0x3000n);
    },
    () => {
      machine.u32[RFLAGS]! |= Flag.IOPL;
    },
  );
}

/** The I/O permission bitmap is not consulted: no port is allowed. */
export function allowingNoPort(machine: Machine): void {
  around(machine, nothing, () => {
    machine.u32[RFLAGS]! &= ~Flag.IOPL;
    machine.u32[2 * Reg.TR_LIMIT] = 0x67;
  });
}

/** Registers are not widened: the upper halves stay. */
export function keepingUpperHalves(...registers: readonly number[]): Broken {
  return named('keeping upper halves', (machine) => {
    around(machine, (before) => {
      for (const r of registers) machine.u32[2 * r + 1] = Number(before[r]! >> 32n);
    });
  });
}

/** ZF is the wrong way round after these. */
export function withOtherZf(machine: Machine): void {
  const checks: ReadonlySet<Mnemonic> = new Set([Mnemonic.Lar, Mnemonic.Lsl, Mnemonic.Verr, Mnemonic.Verw]);
  around(machine, () => {
    const { instruction } = machine.happened;
    if (instruction && checks.has(instruction.mnemonic)) machine.u32[RFLAGS]! ^= Flag.ZF;
  });
}

/** LSS casts the shadow that MOV SS does. */
export function castingLssShadow(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Lss, () => {
    machine.u32[EVENTS]! |= EventState.MOV_SS_SHADOW;
  });
}

/** Registers are what they were before the instruction, if it is none that faults. */
export function losingAll(...registers: readonly number[]): Broken {
  return named('losing registers', (machine) => {
    around(machine, (before) => {
      if (!machine.happened.delivered) for (const r of registers) machine.cpu.regs.u64[r] = before[r]!;
    });
  });
}
