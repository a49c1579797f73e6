/** Which instructions are the harness's own microcode, and which are refused because the machine lacks what they need. */
import { Code, Mnemonic } from 'iced-x86';
import type { Instruction } from '../../cpu/decoder.js';
import type { Machine } from '../machine.js';
import { loadAccessRights, verify } from './access_rights.js';
import { extractBits, lowestSetBit, zeroHighBits } from './bit_manipulation.js';
import { compareExchange, compareExchange16 } from './compare_exchange.js';
import { clts, lmsw, movFromControl, movToControl, smsw } from './control_registers.js';
import { int1, movFromDebug, movToDebug } from './debug_registers.js';
import { lldt, loadTable, ltr, storeSelector, storeTable } from './descriptor_table_registers.js';
import { farCall, farJump, farReturn } from './far_transfers.js';
import { clac, cli, hlt, popf, pushf, stac, sti } from './flags.js';
import { erets, eretu, lkgs } from './fred.js';
import { portAccess, portString } from './io_ports.js';
import { iret } from './iret.js';
import { rdmsr, wrmsr } from './model_specific_registers.js';
import { cpuid, rdpid } from './processor_identification.js';
import { counter, isPrivileged, monitorWait, privileged, refused } from './refused.js';
import { rsm } from './rsm.js';
import { segmentBase } from './segment_bases.js';
import { loadFarPointer, movFromSegment, movToSegment, popSegment, pushSegment } from './segments.js';
import { int3, intN, undefinedInstruction } from './software_interrupts.js';
import { swapgs, syscall, sysretd, sysretq } from './syscall.js';
import { sysenter, sysexit } from './sysenter.js';
import { invalidate, invpcid } from './translation_caches.js';
import {
  invalidateMappings,
  vmcall,
  vmclear,
  vmlaunch,
  vmptrld,
  vmptrst,
  vmread,
  vmwrite,
  vmxoff,
  vmxon,
} from './vmx.js';

/** Executes an instruction and moves RIP; false when it raises the exception that the CPU's fault fields describe. */
export type Microcode = (machine: Machine, instruction: Instruction) => boolean;

const ROUTINES: readonly (readonly [Microcode, readonly Mnemonic[]])[] = [
  [iret, [Mnemonic.Iret, Mnemonic.Iretd, Mnemonic.Iretq]],
  [int1, [Mnemonic.Int1]],
  [int3, [Mnemonic.Int3]],
  [intN, [Mnemonic.Int]],
  [undefinedInstruction, [Mnemonic.Ud0, Mnemonic.Ud1, Mnemonic.Ud2]],
  [syscall, [Mnemonic.Syscall]],
  [sysretq, [Mnemonic.Sysretq]],
  [sysretd, [Mnemonic.Sysret]],
  [sysenter, [Mnemonic.Sysenter]],
  [sysexit, [Mnemonic.Sysexit, Mnemonic.Sysexitq]],
  [erets, [Mnemonic.Erets]],
  [eretu, [Mnemonic.Eretu]],
  [farReturn, [Mnemonic.Retf]],
  [loadFarPointer, [Mnemonic.Lss, Mnemonic.Lfs, Mnemonic.Lgs]],
  [lkgs, [Mnemonic.Lkgs]],
  [swapgs, [Mnemonic.Swapgs]],
  [pushf, [Mnemonic.Pushf, Mnemonic.Pushfq]],
  [popf, [Mnemonic.Popf, Mnemonic.Popfq]],
  [cli, [Mnemonic.Cli]],
  [sti, [Mnemonic.Sti]],
  [clac, [Mnemonic.Clac]],
  [stac, [Mnemonic.Stac]],
  [hlt, [Mnemonic.Hlt]],
  [rsm, [Mnemonic.Rsm]],
  [rdmsr, [Mnemonic.Rdmsr]],
  [wrmsr, [Mnemonic.Wrmsr]],
  [segmentBase, [Mnemonic.Rdfsbase, Mnemonic.Rdgsbase, Mnemonic.Wrfsbase, Mnemonic.Wrgsbase]],
  [clts, [Mnemonic.Clts]],
  [lmsw, [Mnemonic.Lmsw]],
  [smsw, [Mnemonic.Smsw]],
  [loadTable, [Mnemonic.Lgdt, Mnemonic.Lidt]],
  [storeTable, [Mnemonic.Sgdt, Mnemonic.Sidt]],
  [lldt, [Mnemonic.Lldt]],
  [ltr, [Mnemonic.Ltr]],
  [storeSelector, [Mnemonic.Sldt, Mnemonic.Str]],
  [loadAccessRights, [Mnemonic.Lar, Mnemonic.Lsl]],
  [verify, [Mnemonic.Verr, Mnemonic.Verw]],
  [invalidate, [Mnemonic.Invlpg, Mnemonic.Invd, Mnemonic.Wbinvd, Mnemonic.Wbnoinvd]],
  [invpcid, [Mnemonic.Invpcid]],
  [cpuid, [Mnemonic.Cpuid]],
  [rdpid, [Mnemonic.Rdpid]],
  [portAccess, [Mnemonic.In, Mnemonic.Out]],
  [lowestSetBit, [Mnemonic.Blsi, Mnemonic.Blsr, Mnemonic.Blsmsk]],
  [zeroHighBits, [Mnemonic.Bzhi]],
  [extractBits, [Mnemonic.Bextr]],
  [compareExchange16, [Mnemonic.Cmpxchg16b]],
  [vmxon, [Mnemonic.Vmxon]],
  [vmxoff, [Mnemonic.Vmxoff]],
  [vmclear, [Mnemonic.Vmclear]],
  [vmptrld, [Mnemonic.Vmptrld]],
  [vmptrst, [Mnemonic.Vmptrst]],
  [vmread, [Mnemonic.Vmread]],
  [vmwrite, [Mnemonic.Vmwrite]],
  [vmlaunch, [Mnemonic.Vmlaunch, Mnemonic.Vmresume]],
  [vmcall, [Mnemonic.Vmcall]],
  [invalidateMappings, [Mnemonic.Invept, Mnemonic.Invvpid]],
  // Instructions whose result depends on state or time that the machine does not have.
  [counter, [Mnemonic.Rdtsc, Mnemonic.Rdtscp, Mnemonic.Rdpmc]],
  [monitorWait, [Mnemonic.Monitor, Mnemonic.Mwait, Mnemonic.Monitorx, Mnemonic.Mwaitx]],
  [
    refused,
    [
      ...[Mnemonic.Into, Mnemonic.Rdrand, Mnemonic.Rdseed, Mnemonic.Xgetbv, Mnemonic.Xbegin],
      ...[Mnemonic.Umonitor, Mnemonic.Umwait, Mnemonic.Tpause],
    ],
  ],
  // Last: what remains of the privileged instructions.
  [privileged, []],
];

/** MOV, PUSH and POP are plain unless they touch a segment or control register. */
const SPECIAL: readonly (readonly [Microcode, readonly Code[]])[] = [
  [movFromSegment, [Code.Mov_r64m16_Sreg, Code.Mov_r32m16_Sreg, Code.Mov_rm16_Sreg]],
  [movToSegment, [Code.Mov_Sreg_r64m16, Code.Mov_Sreg_r32m16, Code.Mov_Sreg_rm16]],
  [movFromControl, [Code.Mov_r64_cr]],
  [movToControl, [Code.Mov_cr_r64]],
  [movFromDebug, [Code.Mov_r64_dr]],
  [movToDebug, [Code.Mov_dr_r64]],
  [pushSegment, [Code.Pushq_FS, Code.Pushq_GS, Code.Pushw_FS, Code.Pushw_GS]],
  [popSegment, [Code.Popq_FS, Code.Popq_GS, Code.Popw_FS, Code.Popw_GS]],
  [compareExchange, [Code.Cmpxchg_rm32_r32]],
  [farJump, [Code.Jmp_m1616, Code.Jmp_m1632, Code.Jmp_m1664]],
  [farCall, [Code.Call_m1616, Code.Call_m1632, Code.Call_m1664]],
  [
    portString,
    [
      ...[Code.Insb_m8_DX, Code.Insw_m16_DX, Code.Insd_m32_DX],
      ...[Code.Outsb_DX_m8, Code.Outsw_DX_m16, Code.Outsd_DX_m32],
    ],
  ],
];

export const MICROCODE: readonly Microcode[] = [...ROUTINES, ...SPECIAL].map(([routine]) => routine);

const BY_MNEMONIC: ReadonlyMap<Mnemonic, number> = new Map(
  ROUTINES.flatMap(([, mnemonics], number) => mnemonics.map((mnemonic) => [mnemonic, number] as const)),
);
const BY_CODE: ReadonlyMap<Code, number> = new Map(
  SPECIAL.flatMap(([, codes], number) => codes.map((code) => [code, ROUTINES.length + number] as const)),
);

const PRIVILEGED = ROUTINES.findIndex(([routine]) => routine === privileged);

/** The number of the routine that executes an instruction, or -1 when the engine does. */
export function microcodeNumber(mnemonic: Mnemonic, code: Code): number {
  return BY_MNEMONIC.get(mnemonic) ?? BY_CODE.get(code) ?? (isPrivileged(code) ? PRIVILEGED : -1);
}
