/**
 * What the entry code of a Xen executable expects in memory that C code has made: told by its own instructions, for the offsets
 * in its structures differ from version to version, and from configuration to configuration.
 */
import {
  FlowControl,
  type Instruction,
  InstructionInfoFactory,
  Mnemonic,
  OpAccess,
  OpKind,
  Register,
  RegisterExt,
} from 'iced-x86';
import type { Module } from '../image/module.js';
import { entryInstructions } from './executable.js';
import type { Platform } from './platform.js';

/** Offsets in struct vcpu, in bytes, that entry code goes by; it has the address of the running one in RBX. */
export interface VcpuFields {
  /** Pointers that are followed: to vcpu_info, domain, msrs, trap_ctxt. */
  readonly pointers: readonly number[];
  /** arch.cr3: what restore_all_guest leaves in cpu_info's xen_cr3. */
  readonly cr3: number | undefined;
  /** arch.flags, a byte of it: bit 0, TF_kernel_mode, says that the guest's kernel runs. */
  readonly flags: number | undefined;
}

/** STACK_CPUINFO_FIELD(xen_cr3): from the last byte of the stack. */
const XEN_CR3 = -0x1f;
const TF_KERNEL_MODE = 1;
const WRITES: ReadonlySet<OpAccess> = new Set([
  OpAccess.Write,
  OpAccess.CondWrite,
  OpAccess.ReadWrite,
  OpAccess.ReadCondWrite,
]);

export function vcpuFields(executable: Module, platform: Platform): VcpuFields {
  const pointers = new Set<number>();
  let cr3: number | undefined;
  let flags: number | undefined;
  /** The registers that hold a field, and its offset. */
  const loaded = new Map<Register, number>();
  const info = new InstructionInfoFactory();
  for (const instruction of entryInstructions(executable, platform)) {
    const base = baseOf(instruction);
    const offset = base === undefined ? 0 : Number(BigInt.asIntN(64, instruction.memoryDisplacement));
    const followed = base === undefined ? undefined : loaded.get(base);
    if (followed !== undefined) pointers.add(followed);
    if (instruction.mnemonic === Mnemonic.Mov && base !== undefined && offset === XEN_CR3) {
      cr3 ??= instruction.op1Kind === OpKind.Register ? loaded.get(instruction.op1Register) : undefined;
    }
    const isTest = instruction.mnemonic === Mnemonic.Test && instruction.op1Kind === OpKind.Immediate8;
    if (isTest && base === Register.RBX && instruction.immediate8 === TF_KERNEL_MODE) flags ??= offset;
    // What follows a jump or a call is reached from elsewhere too, or comes back with other registers.
    if ([FlowControl.Call, FlowControl.UnconditionalBranch, FlowControl.Return].includes(instruction.flowControl)) {
      loaded.clear();
      continue;
    }
    for (const used of info.info(instruction).usedRegisters()) {
      if (WRITES.has(used.access)) loaded.delete(RegisterExt.fullRegister(used.register));
      used.free();
    }
    if (instruction.mnemonic === Mnemonic.Mov && base === Register.RBX && offset >= 0 && isWide(instruction)) {
      loaded.set(instruction.op0Register, offset);
    }
  }
  info.free();
  return { pointers: [...pointers].sort((a, b) => a - b), cr3, flags };
}

/** The base of the memory operand, if it has one and no index. */
function baseOf(instruction: Instruction): Register | undefined {
  for (let i = 0; i < instruction.opCount; i++) {
    if (instruction.opKind(i) !== OpKind.Memory) continue;
    const { memoryBase, memoryIndex } = instruction;
    return memoryIndex === Register.None && RegisterExt.isGPR64(memoryBase) ? memoryBase : undefined;
  }
  return undefined;
}

function isWide({ op0Kind, op0Register }: Instruction): boolean {
  return op0Kind === OpKind.Register && RegisterExt.isGPR64(op0Register);
}

/** How many vectors there are. */
const VECTORS = 256;

/** The entries that autogen_entrypoints names, by vector: where the gates point of which C code sets no other. */
export function generatedEntries({ sections, symbols }: Module): ReadonlyMap<number, bigint> {
  const entries = new Map<number, bigint>();
  const table = symbols.find((s) => s.name === 'autogen_entrypoints');
  const section = table && sections.find((s) => s.name === table.section);
  if (!table || !section) return entries;
  const start = Number(table.value);
  if (start + 8 * VECTORS > section.data.length) return entries;
  const view = new DataView(section.data.buffer, section.data.byteOffset, section.data.byteLength);
  for (let vector = 0; vector < VECTORS; vector++) {
    const address = view.getBigUint64(start + 8 * vector, true);
    if (address !== 0n) entries.set(vector, address);
  }
  return entries;
}
