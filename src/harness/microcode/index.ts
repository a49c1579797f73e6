/** Which instructions are the harness's own microcode, and which are refused because the machine lacks what they need. */
import { Code, Mnemonic } from 'iced-x86';
import type { Instruction } from '../../cpu/decoder.js';
import { NotModelled } from '../../cpu/not_modelled.js';
import type { Machine } from '../machine.js';
import { clac, cli, hlt, popfq, pushfq, stac, sti } from './flags.js';
import { iretq } from './iret.js';
import { movFromSegment, movToSegment, popSegment, pushSegment } from './segments.js';
import { int3, intN, undefinedInstruction } from './software_interrupts.js';
import { swapgs, syscall, sysretq } from './syscall.js';
import { invlpg, movFromControl, movToControl, rdmsr, segmentBase, wrmsr } from './system_registers.js';

/** Executes an instruction and moves RIP; false when it raises the exception that the CPU's fault fields describe. */
export type Microcode = (machine: Machine, instruction: Instruction) => boolean;

function refused(_machine: Machine, instruction: Instruction): boolean {
  const name = Mnemonic[instruction.mnemonic]!.toLowerCase();
  throw new NotModelled(instruction.address, `${name} is not modelled; keep it out of the code under test`);
}

const ROUTINES: readonly (readonly [Microcode, readonly Mnemonic[]])[] = [
  [iretq, [Mnemonic.Iretq]],
  [int3, [Mnemonic.Int3]],
  [intN, [Mnemonic.Int]],
  [undefinedInstruction, [Mnemonic.Ud0, Mnemonic.Ud1, Mnemonic.Ud2]],
  [syscall, [Mnemonic.Syscall]],
  [sysretq, [Mnemonic.Sysretq]],
  [swapgs, [Mnemonic.Swapgs]],
  [pushfq, [Mnemonic.Pushfq]],
  [popfq, [Mnemonic.Popfq]],
  [cli, [Mnemonic.Cli]],
  [sti, [Mnemonic.Sti]],
  [clac, [Mnemonic.Clac]],
  [stac, [Mnemonic.Stac]],
  [hlt, [Mnemonic.Hlt]],
  [rdmsr, [Mnemonic.Rdmsr]],
  [wrmsr, [Mnemonic.Wrmsr]],
  [segmentBase, [Mnemonic.Rdfsbase, Mnemonic.Rdgsbase, Mnemonic.Wrfsbase, Mnemonic.Wrgsbase]],
  [invlpg, [Mnemonic.Invlpg]],
  // Instructions whose result depends on state or time that the machine does not have.
  [
    refused,
    [
      ...[
        Mnemonic.Iret,
        Mnemonic.Iretd,
        Mnemonic.Sysret,
        Mnemonic.Sysenter,
        Mnemonic.Sysexit,
        Mnemonic.Sysexitq,
        Mnemonic.Retf,
      ],
      ...[Mnemonic.Int1, Mnemonic.Into, Mnemonic.Pushf, Mnemonic.Popf, Mnemonic.Lss, Mnemonic.Lfs, Mnemonic.Lgs],
      ...[
        Mnemonic.Cpuid,
        Mnemonic.Rdtsc,
        Mnemonic.Rdtscp,
        Mnemonic.Rdpid,
        Mnemonic.Rdpmc,
        Mnemonic.Rdrand,
        Mnemonic.Rdseed,
      ],
      ...[
        Mnemonic.In,
        Mnemonic.Out,
        Mnemonic.Insb,
        Mnemonic.Insw,
        Mnemonic.Insd,
        Mnemonic.Outsb,
        Mnemonic.Outsw,
        Mnemonic.Outsd,
      ],
      ...[
        Mnemonic.Sgdt,
        Mnemonic.Sidt,
        Mnemonic.Sldt,
        Mnemonic.Str,
        Mnemonic.Smsw,
        Mnemonic.Lar,
        Mnemonic.Lsl,
        Mnemonic.Verr,
      ],
      ...[
        Mnemonic.Verw,
        Mnemonic.Xgetbv,
        Mnemonic.Xbegin,
        Mnemonic.Monitor,
        Mnemonic.Mwait,
        Mnemonic.Umonitor,
        Mnemonic.Umwait,
      ],
    ],
  ],
];

/** MOV, PUSH and POP are plain unless they touch a segment or control register. */
const SPECIAL: readonly (readonly [Microcode, readonly Code[]])[] = [
  [movFromSegment, [Code.Mov_r64m16_Sreg, Code.Mov_r32m16_Sreg, Code.Mov_rm16_Sreg]],
  [movToSegment, [Code.Mov_Sreg_r64m16, Code.Mov_Sreg_r32m16, Code.Mov_Sreg_rm16]],
  [movFromControl, [Code.Mov_r64_cr]],
  [movToControl, [Code.Mov_cr_r64]],
  [refused, [Code.Mov_r64_dr, Code.Mov_dr_r64, Code.Pushw_FS, Code.Pushw_GS, Code.Popw_FS, Code.Popw_GS]],
  [pushSegment, [Code.Pushq_FS, Code.Pushq_GS]],
  [popSegment, [Code.Popq_FS, Code.Popq_GS]],
];

export const MICROCODE: readonly Microcode[] = [...ROUTINES, ...SPECIAL].map(([routine]) => routine);

const BY_MNEMONIC: ReadonlyMap<Mnemonic, number> = new Map(
  ROUTINES.flatMap(([, mnemonics], number) => mnemonics.map((mnemonic) => [mnemonic, number] as const)),
);
const BY_CODE: ReadonlyMap<Code, number> = new Map(
  SPECIAL.flatMap(([, codes], number) => codes.map((code) => [code, ROUTINES.length + number] as const)),
);

/** The number of the routine that executes an instruction, or -1 when the engine does. */
export function microcodeNumber(mnemonic: Mnemonic, code: Code): number {
  return BY_MNEMONIC.get(mnemonic) ?? BY_CODE.get(code) ?? -1;
}
