/** Machines that are broken on purpose in how they reach memory: address spaces, rights of pages, tables of the system. */

import { PageFault, Vector } from '../../src/cpu/cpu.js';
import type { Instruction } from '../../src/cpu/decoder.js';
import { Access } from '../../src/cpu/decoder.js';
import { Flag, Reg } from '../../src/cpu/registers.js';
import { Tss } from '../../src/harness/descriptors.js';
import type { Machine } from '../../src/harness/machine.js';
import { afterDelivery, around } from './broken.js';
import { GDT, IDT, TASK, TSS } from './machine.js';

const CR4_SMEP = 1 << 20;
const CR4_SMAP = 1 << 21;

// Address spaces.

/** Loading CR3 changes nothing. */
export function ignoringCr3(machine: Machine): void {
  machine.memory.selectSpace = () => true;
}

/** The address space changes with MOV to CR3 only, and not when registers are replaced. */
export function keepingSpaceOnRestore(machine: Machine): void {
  const { selectSpace } = machine.cpu;
  const replaced = machine.replaced.bind(machine);
  machine.replaced = () => {
    machine.cpu.selectSpace = () => undefined;
    replaced();
    machine.cpu.selectSpace = selectSpace;
  };
}

/** Bits 11 to 0 of CR3 are part of what it selects. */
export function comparingPcids(machine: Machine): void {
  const selectSpace = machine.memory.selectSpace.bind(machine.memory);
  machine.memory.selectSpace = (high, low) => selectSpace(high, low & 0xfff ? (low ^ 0x1000) & ~0xfff : low);
}

/** A CR3 value that selects nothing selects the first address space. */
export function falling(machine: Machine): void {
  const selectSpace = machine.memory.selectSpace.bind(machine.memory);
  const first = Number(machine.memory.spaces[0]!.cr3);
  machine.memory.selectSpace = (high, low) => selectSpace(high, low) || selectSpace(0, first);
}

/** Whether an instruction may be fetched is asked once for each address. */
export function checkingFetchOnce(machine: Machine): void {
  const { cpu } = machine;
  const fetch = cpu.fetch.bind(cpu);
  const found = new Map<bigint, Instruction>();
  cpu.fetch = (previous) => {
    const rip = cpu.regs.u64[Reg.RIP]!;
    const instruction = found.get(rip) ?? fetch(previous);
    if (instruction) found.set(rip, instruction);
    return instruction;
  };
}

// Rights.

/** Runs every access with some other state of the registers, or as another kind of access. */
function accessing(machine: Machine, prepare: () => void, kind: (access: number) => number = (access) => access): void {
  const { cpu, u32 } = machine;
  const check = cpu.access.bind(cpu);
  cpu.access = (high, low, size, access, user, stack) => {
    const [cr4, rflags] = [u32[2 * Reg.CR4]!, u32[2 * Reg.RFLAGS]!];
    prepare();
    const allowed = check(high, low, size, kind(access), user, stack);
    u32[2 * Reg.CR4] = cr4;
    u32[2 * Reg.RFLAGS] = rflags;
    return allowed;
  };
}

/** CR4.SMAP does nothing. */
export function withoutSmap(machine: Machine): void {
  accessing(machine, () => {
    machine.u32[2 * Reg.CR4]! &= ~CR4_SMAP;
  });
}

/** CR4.SMAP is taken for set. */
export function withSmapAlways(machine: Machine): void {
  accessing(machine, () => {
    machine.u32[2 * Reg.CR4]! |= CR4_SMAP;
  });
}

/** RFLAGS.AC does not help against SMAP. */
export function ignoringAc(machine: Machine): void {
  accessing(machine, () => {
    machine.u32[2 * Reg.RFLAGS]! &= ~Flag.AC;
  });
}

/** RFLAGS.AC helps the processor's own accesses against SMAP. */
export function withAcForImplicitAccesses(machine: Machine): void {
  accessing(
    machine,
    () => undefined,
    (access) => access & ~Access.IMPLICIT,
  );
}

/** The processor's own accesses have the rights of the current ring. */
export function withRightsOfRing(machine: Machine): void {
  const { cpu } = machine;
  const check = cpu.access.bind(cpu);
  cpu.access = (high, low, size, access, _user, stack) => check(high, low, size, access, cpu.cpl === 3, stack);
}

/** CR4.SMEP does nothing. */
export function withoutSmep(machine: Machine): void {
  withCr4InFetch(machine, (cr4) => cr4 & ~CR4_SMEP);
}

/** CR4.SMEP is taken for set. */
export function withSmepAlways(machine: Machine): void {
  withCr4InFetch(machine, (cr4) => cr4 | CR4_SMEP);
}

function withCr4InFetch(machine: Machine, change: (cr4: number) => number): void {
  const { cpu, u32 } = machine;
  const fetch = cpu.fetch.bind(cpu);
  cpu.fetch = (previous) => {
    const cr4 = u32[2 * Reg.CR4]!;
    u32[2 * Reg.CR4] = change(cr4);
    const instruction = fetch(previous);
    u32[2 * Reg.CR4] = cr4;
    return instruction;
  };
}

/** Each bit of the error code of #PF is wrong in turn. */
export const withWrongPageFaultBit = [
  ...[PageFault.PRESENT, PageFault.WRITE, PageFault.USER, PageFault.FETCH].map((bit) => {
    const machine = (m: Machine): void =>
      afterDelivery(m, () => {
        if (m.happened.vector !== Vector.PF) return;
        const rsp = m.cpu.regs.u64[Reg.RSP]!;
        m.memory.load64(rsp, m.memory.peek64(rsp)! ^ BigInt(bit));
      });
    Object.defineProperty(machine, 'name', { value: `withWrongPageFaultBit${bit}` });
    return machine;
  }),
];

// Canonical addresses.

/** Addresses have 48 bits, whatever the paging mode. */
export function with48BitAddresses(machine: Machine): void {
  machine.cpu.isCanonical = (high) => [0, -1].includes((high | 0) >> 15);
}

/** Addresses have 57 bits, whatever the paging mode. */
export function with57BitAddresses(machine: Machine): void {
  machine.cpu.isCanonical = (high) => [0, -1].includes((high | 0) >> 24);
}

// Tables of the system.

function withRegisters(machine: Machine, registers: readonly (readonly [number, bigint])[]): void {
  around(
    machine,
    () => undefined,
    () => {
      for (const [register, value] of registers) machine.cpu.regs.u64[register] = value;
    },
  );
}

/** The IDT is always where it was at the start. */
export function withSoundIdt(machine: Machine): void {
  withRegisters(machine, [
    [Reg.IDTR_BASE, IDT],
    [Reg.IDTR_LIMIT, 0x1ffn],
  ]);
}

/** The GDT is always where it was at the start. */
export function withSoundGdt(machine: Machine): void {
  withRegisters(machine, [
    [Reg.GDTR_BASE, GDT],
    [Reg.GDTR_LIMIT, 0x8fn],
  ]);
}

/** The task register is always what it was at the start. */
export function withSoundTss(machine: Machine): void {
  withRegisters(machine, [
    [Reg.TR, BigInt(TASK)],
    [Reg.TR_BASE, TSS],
    [Reg.TR_LIMIT, BigInt(Tss.SIZE - 1)],
  ]);
}

/** Page faults that end in #DF or shutdown do not load CR2. */
export function withoutCr2InDoubleFault(machine: Machine): void {
  around(machine, (before) => {
    const { happened } = machine;
    if (happened.vector === Vector.DF || happened.shutdown) machine.cpu.regs.u64[Reg.CR2] = before[Reg.CR2]!;
  });
}
