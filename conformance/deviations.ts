/**
 * Where a peer is known not to do what the manual says. Each deviation is a machine changed to do as the peer does: a
 * program that differs is run again on a machine with all deviations of the peer, and then must agree in everything.
 */
import { Code, Mnemonic, OpKind, Register, RegisterExt } from 'iced-x86';
import { Vector } from '../src/cpu/cpu.js';
import { Access, type MemoryOperand, registerNumber } from '../src/cpu/decoder.js';
import { Flag, Reg } from '../src/cpu/registers.js';
import { deliverFault, Origin } from '../src/harness/delivery.js';
import { ATTENTION, EventState, SHADOWS } from '../src/harness/event_state.js';
import type { Machine } from '../src/harness/machine.js';
import { checkReturnCode } from '../src/harness/segment_checks.js';
import type { Profile } from '../src/profiles/profile.js';
import type { Difference } from './compare.js';
import type { Change, Run } from './here.js';

export type Peer = 'qemu' | 'bochs';

export interface Deviation {
  readonly id: string;
  readonly peers: readonly Peer[];
  readonly what: string;
  /** Section of the manual, and its words. */
  readonly section: string;
  readonly words: string;
  /** Makes the machine do as the peer; calls `hit` whenever that makes a difference. */
  readonly imitate?: (machine: Machine, hit: () => void) => void;
  /** Where it cannot be imitated: whether it is the cause of a difference. */
  readonly explains?: (run: Run, difference: Difference) => boolean;
  /** Where the peer would be lost: whether a program must not be given to it. */
  readonly loses?: (run: Run) => boolean;
}

const CONTRIBUTORY_CODES: ReadonlySet<number> = new Set([
  ...[Vector.DF, Vector.TS, Vector.NP, Vector.SS, Vector.GP, Vector.PF, Vector.AC],
]);

/** With 4-level paging; `high` is the upper half of an address. */
function isCanonical(high: number): boolean {
  const top = (high | 0) >> 15;
  return top === 0 || top === -1;
}

/** Runs `patch` after every delivery, with the address of the frame's error code, if there is one, and of its RIP. */
function afterDelivery(machine: Machine, patch: (frame: bigint, code: bigint | undefined) => void): void {
  const step = machine.step.bind(machine);
  machine.step = () => {
    step();
    const { happened } = machine;
    if (!happened.delivered) return;
    const rsp = machine.cpu.regs.u64[Reg.RSP]!;
    const hasCode = CONTRIBUTORY_CODES.has(happened.vector) && happened.origin === Origin.EXCEPTION;
    patch(hasCode ? rsp + 8n : rsp, hasCode ? rsp : undefined);
  };
}

function patchWord(machine: Machine, address: bigint, change: (word: bigint) => bigint, hit: () => void): void {
  const before = machine.memory.peek64(address)!;
  const after = change(before);
  if (after === before) return;
  machine.memory.load64(address, after);
  hit();
}

/** Upper halves of addresses where nothing is mapped: for gates and for branches whose targets are not canonical. */
const GATE_ASIDE = 0x1234n;
const BRANCH_ASIDE = 0x1235n;
const FAR: ReadonlySet<Code> = new Set([
  ...[Code.Jmp_m1616, Code.Jmp_m1632, Code.Jmp_m1664, Code.Call_m1616, Code.Call_m1632, Code.Call_m1664],
]);
/** L and D of a code segment. */
const LONG_AND_BIG = (1n << 53n) | (1n << 54n);
const ARITHMETIC = Flag.CF | Flag.PF | Flag.AF | Flag.ZF | Flag.SF | Flag.OF;

/** MSRs that hold addresses, with their registers. */
const ADDRESS_MSRS: ReadonlyMap<number, number> = new Map([
  [0xc0000082, Reg.LSTAR],
  [0xc0000100, Reg.FS_BASE],
  [0xc0000101, Reg.GS_BASE],
  [0xc0000102, Reg.KERNEL_GS_BASE],
  [0x175, Reg.SYSENTER_ESP],
  [0x176, Reg.SYSENTER_EIP],
]);

const BASES: ReadonlyMap<Mnemonic, number> = new Map([
  [Mnemonic.Wrfsbase, Reg.FS_BASE],
  [Mnemonic.Wrgsbase, Reg.GS_BASE],
]);
const CR4_FSGSBASE = 1 << 16;

/** Runs `patch` after every instruction of a kind that did not fault, with the registers as they were before it. */
function afterInstruction(
  machine: Machine,
  mnemonics: readonly Mnemonic[],
  patch: (registersBefore: Uint32Array) => void,
): void {
  const step = machine.step.bind(machine);
  machine.step = () => {
    const before = machine.u32.slice();
    step();
    const { happened } = machine;
    if (happened.delivered || happened.shutdown || !happened.instruction) return;
    if (!mnemonics.includes(happened.instruction.mnemonic)) return;
    patch(before);
    machine.changed();
  };
}

/** Runs `other` in place of a step; where it returns false, the step is taken. */
function instead(machine: Machine, other: () => boolean): void {
  const step = machine.step.bind(machine);
  machine.step = () => {
    machine.happened.delivered = false;
    machine.happened.shutdown = false;
    machine.happened.instruction = undefined;
    const { u32 } = machine;
    const traps = u32[2 * Reg.RFLAGS]! & Flag.TF && !(u32[2 * Reg.EVENTS]! & EventState.MOV_SS_SHADOW);
    // What is pending comes first.
    if (u32[2 * Reg.EVENTS]! & ATTENTION || !other()) return step();
    machine.replaced();
    if (machine.happened.delivered || machine.happened.shutdown) return;
    u32[2 * Reg.RFLAGS]! &= ~Flag.RF;
    u32[2 * Reg.EVENTS]! &= ~SHADOWS;
    if (traps) u32[2 * Reg.EVENTS]! |= EventState.PENDING_BS;
  };
}

/** The mnemonic of the instruction that a step is about: for patches that run within the step. */
function mnemonicOf(machine: Machine): () => Mnemonic | undefined {
  let mnemonic: Mnemonic | undefined;
  before(machine, () => {
    mnemonic = machine.peek()?.mnemonic;
  });
  return () => mnemonic;
}

/** Runs `patch` before every step. */
function before(machine: Machine, patch: () => void): void {
  const step = machine.step.bind(machine);
  machine.step = () => {
    patch();
    step();
  };
}

function changeFlags(machine: Machine, change: (flags: number) => number, hit: () => void): void {
  const before = machine.u32[2 * Reg.RFLAGS]!;
  const after = change(before) >>> 0;
  machine.u32[2 * Reg.RFLAGS] = after;
  if (after !== before) hit();
}

/** Those that replace a step come first: the others then see what they do. */
export const DEVIATIONS: readonly Deviation[] = [
  {
    id: 'msr-checks',
    peers: ['qemu'],
    what: 'WRMSR, WRFSBASE and WRGSBASE take addresses that are not canonical; WRMSR takes 64 bits for TSC_AUX and FMASK, and 16 of those for SYSENTER_CS',
    section: 'SDM vol. 2, WRMSR, WRFSBASE/WRGSBASE',
    words:
      '#GP(0) If the source contains a non-canonical address and ECX specifies one of … IA32_FS_BASE, IA32_GS_BASE, IA32_KERNEL_GS_BASE, IA32_LSTAR.',
    imitate: (machine, hit) =>
      instead(machine, () => {
        const { u32 } = machine;
        const { u64 } = machine.cpu.regs;
        const instruction = machine.peek();
        const base = BASES.get(instruction?.mnemonic ?? Mnemonic.INVALID);
        let register: number | undefined;
        let value = (BigInt(u32[2 * Reg.RDX]!) << 32n) | BigInt(u32[2 * Reg.RAX]!);
        if (instruction?.mnemonic === Mnemonic.Wrmsr && machine.cpu.cpl === 0) {
          const number = u32[2 * Reg.RCX]!;
          register = ADDRESS_MSRS.get(number);
          if (number === 0xc0000103 && value >> 32n !== 0n) register = Reg.TSC_AUX;
          else if (number === 0xc0000084 && value >> 32n !== 0n) register = Reg.FMASK;
          else if (number === 0x174 && value !== (value & 0xffffn))
            [register, value] = [Reg.SYSENTER_CS, value & 0xffffn];
          else if (register !== undefined && isCanonical(u32[2 * Reg.RDX]!)) return false;
        } else if (base !== undefined && u32[2 * Reg.CR4]! & CR4_FSGSBASE) {
          value = u64[registerNumber(instruction!.iced.op0Register)]!;
          if (RegisterExt.size(instruction!.iced.op0Register) === 8 && !isCanonical(Number(value >> 32n)))
            register = base;
        }
        if (register === undefined) return false;
        u64[register] = value;
        u64[Reg.RIP] = u64[Reg.RIP]! + BigInt(instruction!.length);
        hit();
        return true;
      }),
  },
  {
    id: 'leave-16',
    peers: ['bochs'],
    what: 'LEAVE with a 16-bit operand pops 64 bits',
    section: 'SDM vol. 2, LEAVE',
    words: 'IF OperandSize = 16 THEN BP := Pop().',
    imitate: (machine, hit) =>
      instead(machine, () => {
        const instruction = machine.peek();
        if (instruction?.code !== Code.Leavew) return false;
        const { cpu } = machine;
        const { u64 } = cpu.regs;
        const rbp = u64[Reg.RBP]!;
        hit();
        if (!cpu.access(Number(rbp >> 32n), Number(rbp & 0xffffffffn), 8, Access.READ, cpu.cpl === 3, true)) {
          deliverFault(machine);
          return true;
        }
        u64[Reg.RBP] = cpu.loadChecked(8);
        u64[Reg.RSP] = BigInt.asUintN(64, rbp + 8n);
        u64[Reg.RIP] = u64[Reg.RIP]! + BigInt(instruction.length);
        return true;
      }),
  },
  {
    id: 'msr-high-half',
    peers: ['bochs'],
    what: 'WRMSR to IA32_FMASK and IA32_TSC_AUX drops the upper half',
    section: 'SDM vol. 4, table 2-2, C0000084H and C0000103H',
    words: 'bits 63:32 reserved. WRMSR: #GP(0) If the value in EDX:EAX sets bits that are reserved.',
    imitate: (machine, hit) =>
      instead(machine, () => {
        const { u32 } = machine;
        if (machine.peek()?.mnemonic !== Mnemonic.Wrmsr || machine.cpu.cpl !== 0) return false;
        const register = u32[2 * Reg.RCX] === 0xc0000084 ? Reg.FMASK : Reg.TSC_AUX;
        if ((register === Reg.TSC_AUX && u32[2 * Reg.RCX] !== 0xc0000103) || u32[2 * Reg.RDX] === 0) return false;
        u32[2 * register] = u32[2 * Reg.RAX]!;
        machine.cpu.regs.u64[Reg.RIP] = machine.cpu.regs.u64[Reg.RIP]! + 2n;
        hit();
        return true;
      }),
  },
  {
    id: 'mov-cr-ud',
    peers: ['qemu'],
    what: 'MOV to or from a control register that does not exist is #GP(0) in ring 3',
    section: 'SDM vol. 2, MOV—Move to/from Control Registers; vol. 3, table 6-2',
    words:
      '#UD If an attempt is made to access CR1, CR5, CR6, CR7, or CR9–CR15. Faults from decoding the next instruction come before those on executing it.',
    imitate: (machine, hit) =>
      instead(machine, () => {
        if (!machine.peek()?.invalid || machine.cpu.cpl !== 3) return false;
        const bytes = machine.memory.peek(machine.cpu.regs.u64[Reg.RIP]!, 4);
        if (!bytes) return false;
        const at = (bytes[0]! & 0xf0) === 0x40 ? 1 : 0;
        if (bytes[at] !== 0x0f || (bytes[at + 1]! & 0xfd) !== 0x20) return false;
        machine.cpu.raiseWith(Vector.GP, 0);
        deliverFault(machine);
        hit();
        return true;
      }),
  },
  {
    id: 'fault-rf',
    peers: ['qemu'],
    what: 'a fault pushes RFLAGS with RF as it was',
    section: 'SDM vol. 3, 17.3.1.1',
    words:
      'For any fault-class exception except a debug exception generated in response to an instruction breakpoint, the value pushed for RF is 1.',
    imitate: (machine, hit) =>
      afterDelivery(machine, (frame) => {
        if (machine.happened.origin === Origin.SOFTWARE) return;
        const rf = machine.registersBefore[2 * Reg.RFLAGS]! & Flag.RF;
        patchWord(machine, frame + 16n, (flags) => (flags & ~BigInt(Flag.RF)) | BigInt(rf), hit);
      }),
  },
  {
    id: 'idt-error-code',
    peers: ['qemu'],
    what: 'the error code for a bad gate holds twice the vector',
    section: 'SDM vol. 3, 6.13',
    words:
      'The segment selector index field provides an index into the IDT … to the gate being referenced by the error code.',
    imitate: (machine, hit) =>
      afterDelivery(machine, (_frame, code) => {
        if (code === undefined || machine.happened.vector === Vector.PF) return;
        patchWord(machine, code, (word) => (word & 2n ? ((word & ~7n) << 1n) | (word & 7n) : word), hit);
      }),
  },
  {
    id: 'error-code-ext',
    peers: ['qemu'],
    what: 'the error code of a fault during the delivery of an exception lacks EXT',
    section: 'SDM vol. 3, 6.13',
    words:
      'EXT: When set, indicates that the exception occurred during delivery of an event external to the program, such as an interrupt or an earlier exception.',
    imitate: (machine, hit) =>
      afterDelivery(machine, (_frame, code) => {
        if (code === undefined || machine.happened.vector === Vector.PF) return;
        patchWord(machine, code, (word) => word & ~1n, hit);
      }),
  },
  {
    id: 'syscall-flags',
    peers: ['qemu'],
    what: 'SYSCALL clears the arithmetic flags and DF',
    section: 'SDM vol. 2, SYSCALL',
    words: 'SYSCALL also saves RFLAGS into R11 and then masks RFLAGS using the IA32_FMASK MSR.',
    imitate: (machine, hit) =>
      afterInstruction(machine, [Mnemonic.Syscall], () => {
        changeFlags(machine, (flags) => flags & ~(ARITHMETIC | Flag.DF), hit);
      }),
  },
  {
    id: 'ist-null-ss',
    peers: ['qemu'],
    what: 'a delivery through an IST slot makes SS null even when CPL does not change',
    section: 'SDM vol. 2, INT n, INTRA-PRIVILEGE-LEVEL-INTERRUPT',
    words: 'Only INTER-PRIVILEGE-LEVEL-INTERRUPT loads SS.',
    imitate: (machine, hit) =>
      afterDelivery(machine, () => {
        const { u32 } = machine;
        if (machine.happened.ist === 0 || (machine.registersBefore[2 * Reg.CS]! & 3) !== machine.cpu.cpl) return;
        if (u32[2 * Reg.SS] !== machine.cpu.cpl) hit();
        u32[2 * Reg.SS] = machine.cpu.cpl;
      }),
  },
  {
    id: 'stack-canonical',
    peers: ['qemu'],
    what: 'a stack address that is not canonical is #GP(0)',
    section: 'SDM vol. 2, PUSH, 64-Bit Mode Exceptions',
    words: '#SS(0) If the stack address is in a non-canonical form.',
    imitate: (machine, hit) => {
      const { cpu } = machine;
      const access = cpu.access.bind(cpu);
      cpu.access = (high, low, size, kind, user, stack) => {
        if (access(high, low, size, kind, user, stack)) return true;
        if (cpu.faultVector === Vector.SS) {
          cpu.faultVector = Vector.GP;
          hit();
        }
        return false;
      };
    },
  },
  {
    id: 'rmw-page-fault',
    peers: ['qemu'],
    what: 'an instruction that reads and writes its operand faults on the read first: W is clear in the error code of #PF',
    section: 'SDM vol. 3, 4.7',
    words:
      'W/R flag (bit 1). If the access causing the page-fault exception was a write, this flag is 1; otherwise, it is 0.',
    imitate: (machine, hit) => {
      const { cpu } = machine;
      const access = cpu.access.bind(cpu);
      cpu.access = (high, low, size, kind, user, stack) => {
        if (kind === (Access.READ | Access.WRITE) && !access(high, low, size, Access.READ, user, stack)) {
          if (cpu.faultVector === Vector.PF) hit();
          return false;
        }
        return access(high, low, size, kind, user, stack);
      };
    },
  },
  {
    id: 'sysret-canonical',
    peers: ['qemu'],
    what: 'SYSRET with a non-canonical RCX switches to ring 3 before it faults (as AMD processors do)',
    section: 'SDM vol. 2, SYSRET',
    words: '#GP(0) If RCX contains a non-canonical address: raised at CPL 0.',
    imitate: (machine, hit) => {
      const profile: Profile = { ...machine.profile, sysretChecksBeforeSwitch: false };
      Object.defineProperty(machine, 'profile', { value: profile });
      afterInstruction(machine, [Mnemonic.Sysretq], () => {
        if (!isCanonical(machine.u32[2 * Reg.RIP + 1]!)) hit();
      });
    },
  },
  {
    id: 'vif-vip',
    peers: ['qemu'],
    what: 'IRETQ and SYSRET do not load VIF and VIP; SYSRET loads VM',
    section: 'SDM vol. 2, IRET, SYSRET',
    words: 'IF CPL = 0 THEN RFLAGS(IOPL, VIF, VIP) := tempRFLAGS; RFLAGS := (R11 & 3C7FD7H) | 2.',
    imitate: (machine, hit) =>
      afterInstruction(machine, [Mnemonic.Iretq, Mnemonic.Sysretq], () => {
        const vm =
          machine.happened.instruction!.mnemonic === Mnemonic.Sysretq ? machine.u32[2 * Reg.R11]! & Flag.VM : 0;
        changeFlags(machine, (flags) => (flags & ~(Flag.VIF | Flag.VIP)) | vm, hit);
      }),
  },
  {
    id: 'gate-canonical',
    peers: ['qemu'],
    what: 'a gate whose target is not canonical is gone through; the fetch there faults',
    section: 'SDM vol. 2, INT n',
    words: '#GP(EXT) If the instruction pointer in the IDT or in the interrupt, trap, or task gate is not canonical.',
    imitate: (machine, hit) => {
      const step = machine.step.bind(machine);
      machine.step = () => {
        const swapped = new Map<bigint, bigint>();
        const { u64 } = machine.cpu.regs;
        const idt = u64[Reg.IDTR_BASE]!;
        for (let vector = 0; vector < 256; vector++) {
          const high = idt + BigInt(16 * vector) + 8n;
          const word = machine.memory.peek64(high);
          if (word === undefined) break;
          if (isCanonical(Number(word & 0xffffffffn))) continue;
          swapped.set(high, word);
          machine.memory.load64(high, GATE_ASIDE);
        }
        step();
        for (const [high, word] of swapped) machine.memory.load64(high, word);
        if (swapped.size > 0 && u64[Reg.RIP]! >> 32n === GATE_ASIDE) {
          const gate = idt + BigInt(16 * machine.happened.vector) + 8n;
          u64[Reg.RIP] = (u64[Reg.RIP]! & 0xffffffffn) | (swapped.get(gate)! << 32n);
          machine.replaced();
          hit();
        }
      };
    },
  },
  {
    id: 'iret-null-fs-gs',
    peers: ['qemu'],
    what: 'IRETQ and RET to an outer ring leave FS and GS alone when they are null with an RPL',
    section: 'SDM vol. 2, IRET, RETURN-TO-OUTER-PRIVILEGE-LEVEL',
    words: 'FOR each SegReg in (ES, FS, GS, and DS): IF SegmentSelector = NULL … SegmentSelector := 0.',
    imitate: (machine, hit) =>
      afterInstruction(machine, [Mnemonic.Iretq, Mnemonic.Retf], (before) => {
        for (const segment of [Reg.FS, Reg.GS]) {
          const selector = before[2 * segment]!;
          if (selector === 0 || selector > 3 || machine.u32[2 * segment] === selector) continue;
          machine.u32[2 * segment] = selector;
          hit();
        }
      }),
  },
  {
    id: 'iret-ring-3',
    peers: ['qemu'],
    what: 'IRETQ from ring 3 to ring 3 makes data segments null that ring 3 may not use, and clears the RPL of a null DS and ES',
    section: 'SDM vol. 2, IRET',
    words: 'Only RETURN-TO-OUTER-PRIVILEGE-LEVEL changes data segment registers.',
    imitate: (machine, hit) =>
      afterInstruction(machine, [Mnemonic.Iretq], (registers) => {
        if ((registers[2 * Reg.CS]! & 3) !== 3) return;
        for (const segment of [Reg.DS, Reg.ES, Reg.FS, Reg.GS]) {
          const selector = machine.u32[2 * segment]!;
          if (selector === 0) continue;
          if (selector <= 3) {
            if (segment === Reg.FS || segment === Reg.GS) continue;
          } else {
            const descriptor = machine.memory.peek64(machine.cpu.regs.u64[Reg.GDTR_BASE]! + BigInt(selector & 0xfff8));
            if (descriptor === undefined || ((descriptor >> 45n) & 3n) === 3n) continue;
          }
          machine.u32[2 * segment] = 0;
          hit();
        }
      }),
  },
  {
    id: 'rf-stays',
    peers: ['qemu'],
    what: 'RF, once set, stays until the translated block ends: it is in the images that later instructions of it push',
    section: 'SDM vol. 3, 17.3.1.1',
    words:
      'the processor … clears the RF flag … after the successful execution of every instruction except IRET, POPF, and task switches.',
    // Also in parts of frames that stay behind, whose places nobody has noted.
    explains: (_run, { place, here, peer }) =>
      /^[0-9a-f]+$/.test(place) &&
      (here ^ peer) === BigInt(Flag.RF) &&
      (here & ~0x3f7fd7n) === 0n &&
      (here & 2n) === 2n,
  },
  {
    id: 'branch-canonical',
    peers: ['qemu'],
    what: 'CALL, RET, JMP and IRETQ to an address that is not canonical are executed; the fetch there faults',
    section: 'SDM vol. 2, CALL, RET, JMP, IRET',
    words:
      '#GP(0) If the target offset in destination operand is non-canonical; IF tempRIP is non-canonical THEN #GP(0).',
    imitate: (machine, hit) => {
      const step = machine.step.bind(machine);
      machine.step = () => {
        const instruction = machine.peek();
        const { u64 } = machine.cpu.regs;
        const register = instruction?.indirect && !instruction.returns && instruction.iced.op0Kind === OpKind.Register;
        if (!instruction || !(instruction.indirect || instruction.mnemonic === Mnemonic.Iretq)) return step();
        const number = register ? registerNumber(instruction.iced.op0Register) : -1;
        const at = u64[Reg.RSP]!;
        const target = register ? u64[number]! : machine.memory.peek64(at);
        if (target === undefined || isCanonical(Number(target >> 32n))) return step();
        const aside = (BRANCH_ASIDE << 32n) | (target & 0xffffffffn);
        if (register) u64[number] = aside;
        else machine.memory.load64(at, aside);
        machine.changed();
        step();
        if (register) u64[number] = target;
        else if (machine.memory.peek64(at) === aside) machine.memory.load64(at, target);
        if (u64[Reg.RIP] === aside) {
          u64[Reg.RIP] = target;
          hit();
        }
        machine.replaced();
      };
    },
  },
  {
    id: 'partial-frame',
    peers: ['qemu', 'bochs'],
    what: 'words that were pushed before a delivery faulted stay in memory',
    section: 'SDM vol. 3, 6.15',
    words: '(not specified: the frame of an event that was not delivered is below every stack pointer in use)',
    imitate: (machine, hit) => {
      machine.memory.undoTo = (length) => {
        if (machine.memory.journalLength > length) hit();
      };
    },
    // Undefined flags in their images.
    explains: (run, { place, here, peer }) =>
      /^[0-9a-f]+$/.test(place) &&
      run.taint.flags !== 0 &&
      ((here ^ peer) & ~BigInt(run.taint.flags | Flag.RF)) === 0n &&
      (here & ~0x3f7fd7n) === 0n,
  },
  {
    id: 'paging-off',
    peers: ['qemu'],
    what: 'MOV to CR0, CR3 and CR4 does what should be #GP(0): 64-bit mode ends, page tables are elsewhere',
    section: 'SDM vol. 2, MOV—Move to/from Control Registers',
    words:
      '#GP(0) If an attempt is made to clear CR0.PG[bit 31] … If an attempt is made to leave IA-32e mode by clearing CR4.PAE[bit 5].',
    loses: (run) =>
      run.trace.some(
        ({ instruction, cpl, faulted }) =>
          cpl === 0 && faulted && instruction !== undefined && /^mov cr[034],/.test(instruction.iced.toString()),
      ),
  },
  {
    id: 'bmi-carry',
    peers: ['qemu'],
    what: 'BLSI, BLSR and BLSMSK set CF from what an earlier instruction has left',
    section: 'SDM vol. 2, BLSI, BLSR, BLSMSK',
    words: 'CF is set if the source is not zero (BLSI); CF is set if the source is zero (BLSR, BLSMSK).',
    loses: (run) => run.trace.some(({ instruction }) => /^bls/.test(instruction?.iced.toString() ?? '')),
  },
  {
    id: 'efer',
    peers: ['qemu'],
    what: 'WRMSR changes EFER where it should be refused',
    section: 'SDM vol. 2, WRMSR; vol. 3, 9.8.5',
    words:
      '#GP(0) If the value in EDX:EAX sets bits that are reserved in the MSR specified by ECX; attempts to change IA32_EFER.LME while paging is enabled.',
    loses: (run) =>
      run.trace.some(
        ({ instruction, cpl, faulted, ecx }) =>
          cpl === 0 && faulted && instruction?.mnemonic === Mnemonic.Wrmsr && ecx === 0xc0000080,
      ),
  },
  {
    id: 'syscall-ss-rpl',
    peers: ['qemu', 'bochs'],
    what: 'SYSCALL clears the RPL of SS',
    section: 'SDM vol. 2, SYSCALL',
    words: 'CS.Selector := IA32_STAR[47:32] AND FFFCH; SS.Selector := IA32_STAR[47:32] + 8.',
    imitate: (machine, hit) =>
      afterInstruction(machine, [Mnemonic.Syscall], () => {
        if (machine.u32[2 * Reg.SS]! & 3) hit();
        machine.u32[2 * Reg.SS]! &= 0xfffc;
      }),
  },
  {
    id: 'double-fault-rf',
    peers: ['bochs'],
    what: 'the image that #DF pushes has RF set',
    section: 'SDM vol. 3, 17.3.1.1',
    words:
      'For other cases, the value pushed for RF is the value that was in EFLAG.RF at the time the event handler was called.',
    imitate: (machine, hit) =>
      afterDelivery(machine, (frame) => {
        if (machine.happened.vector !== Vector.DF || machine.happened.origin !== Origin.EXCEPTION) return;
        patchWord(machine, frame + 16n, (flags) => flags | BigInt(Flag.RF), hit);
      }),
  },
  {
    id: 'call-pushes-first',
    peers: ['bochs'],
    what: 'a CALL to an address that is not canonical has written the return address when it faults',
    section: 'SDM vol. 2, CALL',
    words: 'IF tempRIP is not canonical THEN #GP(0); FI; Push(RIP); RIP := tempRIP.',
    imitate: (machine, hit) =>
      before(machine, () => {
        const { cpu } = machine;
        const { u64 } = cpu.regs;
        const instruction = machine.peek();
        if (instruction?.mnemonic !== Mnemonic.Call || instruction.iced.op0Kind !== OpKind.Register) return;
        const target = u64[registerNumber(instruction.iced.op0Register)]!;
        if (isCanonical(Number(target >> 32n))) return;
        const at = BigInt.asUintN(64, u64[Reg.RSP]! - 8n);
        if (!cpu.access(Number(at >> 32n), Number(at & 0xffffffffn), 8, Access.WRITE, cpu.cpl === 3, true)) return;
        cpu.storeChecked(8, instruction.address + BigInt(instruction.length));
        hit();
      }),
    // The same for far calls.
    explains: (run, { place }) =>
      /^[0-9a-f]+$/.test(place) &&
      run.trace.some(
        ({ instruction, faulted }) =>
          faulted &&
          instruction !== undefined &&
          FAR.has(instruction.code) &&
          /^call/.test(instruction.iced.toString()),
      ),
  },
  {
    id: 'cmps-order',
    peers: ['qemu'],
    what: 'CMPS reads its second operand first',
    section: 'SDM vol. 3, table 6-2, note',
    words: 'the order in which exceptions of one instruction in a class are reported is implementation-specific.',
    imitate: (machine, hit) =>
      before(machine, () => {
        const instruction = machine.peek();
        const operands = instruction?.memory as MemoryOperand[] | undefined;
        if (operands?.length !== 2 || operands[0]!.base !== Reg.RSI || operands[1]!.base !== Reg.RDI) return;
        if ((operands[0]!.access | operands[1]!.access) & Access.WRITE) return;
        operands.reverse();
        hit();
      }),
  },
  {
    id: 'flags-at-fault',
    peers: ['qemu'],
    what: 'an instruction that looks at the flags before its access to memory faults leaves other flags',
    section: 'SDM vol. 3, 6.6',
    words:
      'the state of the processor … is restored to the state prior to the beginning of execution of the faulting instruction.',
    explains: (run, { place, here, peer }) =>
      (place === 'RFLAGS' || run.images.has(place)) &&
      (here ^ peer) >> 17n === 0n &&
      run.trace.some(
        ({ instruction, faulted }) =>
          faulted && instruction !== undefined && instruction.memory.length > 0 && instruction.iced.rflagsRead !== 0,
      ),
  },
  {
    id: 'pause-tf',
    peers: ['qemu'],
    what: 'a single step over PAUSE is reported one instruction late',
    section: 'SDM vol. 3, 17.3.1.4',
    words:
      'The processor generates a single-step debug exception if it detects that the TF flag is set after executing an instruction.',
    loses: (run) =>
      run.trace.some(
        ({ vector }, i) => vector === Vector.DB && run.trace[i - 1]?.instruction?.mnemonic === Mnemonic.Pause,
      ),
  },
  {
    id: 'cmpxchg8b-flags',
    peers: ['qemu'],
    what: 'CMPXCHG8B and CMPXCHG16B change more flags than ZF',
    section: 'SDM vol. 2, CMPXCHG8B/CMPXCHG16B',
    words: 'The CF, PF, AF, SF, and OF flags are unaffected.',
    loses: (run) =>
      run.trace.some(
        ({ instruction, faulted }) =>
          !faulted && (instruction?.mnemonic === Mnemonic.Cmpxchg8b || instruction?.mnemonic === Mnemonic.Cmpxchg16b),
      ),
  },
  {
    id: 'tss-canonical',
    peers: ['bochs'],
    what: 'the #SS for a stack pointer of the TSS that is not canonical has the selector of SS in its error code',
    section: 'SDM vol. 2, INT n, 64-Bit Mode Exceptions; vol. 3, 6.13',
    words:
      '#SS(error_code) If a memory address referencing the SS segment is in a non-canonical form. (No segment is referenced: the index is 0.)',
    imitate: (machine, hit) => {
      const { cpu } = machine;
      const raiseWith = cpu.raiseWith.bind(cpu);
      cpu.raiseWith = (vector, code) => {
        if (vector !== Vector.SS || code > 1) return raiseWith(vector, code);
        const selector = machine.u32[2 * Reg.SS]! & 0xfffc;
        if (selector !== 0) hit();
        return raiseWith(Vector.SS, selector | code);
      };
    },
  },
  {
    id: 'iret-supervisor-reads',
    peers: ['qemu'],
    what: 'IRETQ in ring 3 reads its frame with supervisor rights',
    section: 'SDM vol. 3, 4.6.1',
    words: 'Accesses made while CPL = 3 are user-mode accesses, but for implicit accesses to system data structures.',
    imitate: (machine, hit) => {
      const { cpu } = machine;
      const access = cpu.access.bind(cpu);
      const readStack = machine.readStack.bind(machine);
      const current = mnemonicOf(machine);
      let frame = false;
      cpu.access = (high, low, size, kind, user, stack) => access(high, low, size, kind, user && !frame, stack);
      machine.readStack = (offset) => {
        frame = current() === Mnemonic.Iretq && cpu.cpl === 3;
        const read = readStack(offset);
        if (frame && !read) hit();
        frame = false;
        return read;
      };
    },
  },
  {
    id: 'iret-reads-late',
    peers: ['qemu', 'bochs'],
    what: 'IRETQ reads RSP and SS from the frame when CS has been checked',
    section: 'SDM vol. 2, IRET',
    words:
      'tempRIP := Pop(); tempCS := Pop(); tempEFLAGS := Pop(); tempRSP := Pop(); tempSS := Pop(); … GOTO IA-32e-MODE-RETURN.',
    imitate: (machine, hit) => {
      const readStack = machine.readStack.bind(machine);
      const raiseWith = machine.cpu.raiseWith.bind(machine.cpu);
      const current = mnemonicOf(machine);
      let late = false;
      machine.readStack = (offset) => {
        if (readStack(offset)) return true;
        if (offset < 24 || current() !== Mnemonic.Iretq) return false;
        const { faultVector, faultCode, faultHigh, faultLow } = machine.cpu;
        const cs = machine.memory.peek64(machine.cpu.regs.u64[Reg.RSP]! + 8n);
        // What IRETQ raises for such a CS comes first.
        if (cs === undefined || late) return false;
        late = true;
        const good = checkReturnCode(machine, Number(cs & 0xffffn));
        late = false;
        if (!good) {
          hit();
          return false;
        }
        raiseWith(faultVector, faultCode);
        machine.cpu.faultHigh = faultHigh;
        machine.cpu.faultLow = faultLow;
        return false;
      };
    },
  },
  {
    id: 'iret-ss-not-present',
    peers: ['qemu', 'bochs'],
    what: 'IRETQ to an SS that is not present is #NP(selector)',
    section: 'SDM vol. 2, IRET, RETURN-TO-OUTER-PRIVILEGE-LEVEL',
    words: 'IF stack segment is not present THEN #SS(SS selector). (The list of exceptions has #NP(selector).)',
    imitate: (machine, hit) => {
      const raiseWith = machine.cpu.raiseWith.bind(machine.cpu);
      const current = mnemonicOf(machine);
      machine.cpu.raiseWith = (vector, code) => {
        if (vector !== Vector.SS || code <= 3 || current() !== Mnemonic.Iretq) return raiseWith(vector, code);
        hit();
        return raiseWith(Vector.NP, code);
      };
    },
  },
  {
    id: 'fault-order',
    peers: ['qemu', 'bochs'],
    what: 'of two operands that both fault, the one that is read is reported',
    section: 'SDM vol. 3, table 6-2, note',
    words: 'the order in which exceptions of one instruction in a class are reported is implementation-specific.',
    imitate: (machine, hit) =>
      before(machine, () => {
        const operands = machine.peek()?.memory as MemoryOperand[] | undefined;
        // ENTER pushes before it reads.
        if (machine.peek()?.mnemonic === Mnemonic.Enter) return;
        if (operands === undefined || operands.length < 2 || !operands.some((one) => one.access & Access.WRITE)) return;
        const first = operands[0];
        operands.sort((a, b) => (a.access & Access.WRITE) - (b.access & Access.WRITE));
        if (operands[0] !== first) hit();
      }),
  },
  {
    id: 'cross-canonical',
    peers: ['bochs'],
    what: 'an access that ends beyond the canonical addresses is #GP(0) or #SS(0) even if its first page faults',
    section: 'SDM vol. 3, table 6-2, note',
    words: 'the order in which exceptions of one instruction in a class are reported is implementation-specific.',
    imitate: (machine, hit) => {
      const { cpu } = machine;
      const access = cpu.access.bind(cpu);
      cpu.access = (high, low, size, kind, user, stack) => {
        const end = (BigInt(high >>> 0) << 32n) + BigInt(low >>> 0) + BigInt(size - 1);
        const beyond = isCanonical(high) && !isCanonical(Number(BigInt.asUintN(64, end) >> 32n));
        if (access(high, low, size, kind, user, stack)) return true;
        if (!beyond || cpu.faultVector !== Vector.PF) return false;
        hit();
        cpu.faultVector = stack ? Vector.SS : Vector.GP;
        cpu.faultCode = 0;
        return false;
      };
    },
  },
  {
    id: 'syscall-tf',
    peers: ['bochs'],
    what: 'SYSCALL and SYSRET with TF are followed by #DB as other instructions are: by what TF was before them',
    section: 'APM vol. 2, 13.1.4; SDM vol. 2, SYSCALL',
    words: '(the manuals are silent; processors look at TF when SYSCALL or SYSRET has completed)',
    imitate: (machine, hit) =>
      afterInstruction(machine, [Mnemonic.Syscall, Mnemonic.Sysretq], (registers) => {
        const { u32 } = machine;
        const pending = (registers[2 * Reg.RFLAGS]! & Flag.TF) !== 0 ? EventState.PENDING_BS : 0;
        const events = (u32[2 * Reg.EVENTS]! & ~EventState.PENDING_BS) | pending;
        if (events !== u32[2 * Reg.EVENTS]) hit();
        u32[2 * Reg.EVENTS] = events;
      }),
  },
  {
    id: 'null-ss-rpl',
    peers: ['qemu', 'bochs'],
    what: 'IRETQ takes a null SS with an RPL other than that of CS',
    section: 'SDM vol. 2, IRET, 64-Bit Mode Exceptions',
    words: '#GP(0) If a NULL stack selector RPL is not equal to CPL going back to non-CPL3 64-bit mode.',
    imitate: (machine, hit) => {
      const step = machine.step.bind(machine);
      machine.step = () => {
        const rsp = machine.cpu.regs.u64[Reg.RSP]!;
        const cs = machine.memory.peek64(rsp + 8n);
        const ss = machine.memory.peek64(rsp + 32n);
        const iretq = machine.peek()?.mnemonic === Mnemonic.Iretq;
        if (!iretq || cs === undefined || ss === undefined || (ss & 0xfffcn) !== 0n || (ss & 3n) === (cs & 3n))
          return step();
        if ((cs & 3n) === 3n) return step();
        const aside = (ss & ~3n) | (cs & 3n);
        machine.memory.load64(rsp + 32n, aside);
        step();
        if (machine.memory.peek64(rsp + 32n) === aside) machine.memory.load64(rsp + 32n, ss);
        if (machine.happened.delivered || machine.happened.shutdown) return;
        machine.u32[2 * Reg.SS] = Number(ss & 3n);
        hit();
      };
    },
  },
  {
    id: 'dr6-reserved',
    peers: ['qemu'],
    what: 'bit 12 of DR6 can be set',
    section: 'SDM vol. 3, 17.2',
    words: 'Bit 12 is reserved and always 0.',
    imitate: (machine, hit) =>
      afterInstruction(machine, [Mnemonic.Mov], (registers) => {
        const iced = machine.happened.instruction!.iced;
        if (iced.op0Register !== Register.DR6) return;
        const bit = registers[2 * registerNumber(iced.op1Register)]! & 0x1000;
        if (bit === 0) return;
        machine.u32[2 * Reg.DR6]! |= bit;
        hit();
      }),
  },
  {
    id: 'cr0-reserved',
    peers: ['qemu'],
    what: 'reserved bits of CR0 can be set',
    section: 'SDM vol. 3, 2.5',
    words:
      'When loading a control register, reserved bits should always be set to the values previously read. (Attempts to set reserved bits of CR0[31:0] are ignored.)',
    imitate: (machine, hit) =>
      afterInstruction(machine, [Mnemonic.Mov], (registers) => {
        const iced = machine.happened.instruction!.iced;
        if (iced.op0Register !== Register.CR0) return;
        const value = registers[2 * registerNumber(iced.op1Register)]! | 0x10;
        if (machine.u32[2 * Reg.CR0] !== value >>> 0) hit();
        machine.u32[2 * Reg.CR0] = value >>> 0;
      }),
  },
  {
    id: 'far-transfers',
    peers: ['qemu'],
    what: 'a far return without REX.W reads its words at an address of 16 or 32 bits; far transfers check their targets late or not at all',
    section: 'SDM vol. 1, 6.2.3; vol. 2, CALL, JMP, RET',
    words: 'In 64-bit mode, the stack-address size is always 64 bits. IF tempRIP is non-canonical THEN #GP(0).',
    loses: (run) =>
      run.trace.some(
        ({ instruction, faulted }) =>
          (instruction !== undefined &&
            (/^retf/.test(instruction.iced.toString()) ? faulted || instruction.code !== Code.Retfq : false)) ||
          (faulted && instruction !== undefined && FAR.has(instruction.code)),
      ),
  },
  {
    id: 'sysexit-canonical',
    peers: ['qemu'],
    what: 'SYSEXIT takes addresses that are not canonical',
    section: 'SDM vol. 2, SYSEXIT',
    words: '#GP(0) If RCX or RDX contains a non-canonical address.',
    loses: (run) =>
      run.trace.some(
        ({ instruction, cpl, faulted }) => faulted && cpl === 0 && instruction?.mnemonic === Mnemonic.Sysexitq,
      ),
  },
  {
    id: 'rdpid',
    peers: ['qemu'],
    what: 'there is no RDPID',
    section: 'SDM vol. 2, RDPID',
    words: '#UD If CPUID.7H.0:ECX.RDPID[bit 22] = 0.',
    loses: (run) => run.trace.some(({ instruction }) => instruction?.mnemonic === Mnemonic.Rdpid),
  },
  {
    id: 'ltr-null',
    peers: ['qemu'],
    what: 'LTR takes a null selector',
    section: 'SDM vol. 2, LTR',
    words: '#GP(0) If the source operand contains a NULL segment selector.',
    loses: (run) => run.trace.some(({ instruction, faulted }) => faulted && instruction?.mnemonic === Mnemonic.Ltr),
  },
  {
    id: 'iret-read-order',
    peers: ['bochs'],
    what: 'IRETQ reads RFLAGS, then CS, then RIP; SS, then RSP',
    section: 'SDM vol. 2, IRET',
    words: 'tempRIP := Pop(); tempCS := Pop(); tempEFLAGS := Pop().',
    imitate: (machine, hit) => {
      const readStack = machine.readStack.bind(machine);
      const current = mnemonicOf(machine);
      machine.readStack = (offset) => {
        if (current() === Mnemonic.Iretq) {
          for (const first of offset === 0 ? [16, 8] : offset === 24 ? [32] : []) {
            if (readStack(first)) continue;
            hit();
            return false;
          }
        }
        return readStack(offset);
      };
    },
  },
  {
    id: 'repeat-rf',
    peers: ['bochs'],
    what: 'the image that #DB pushes between two iterations of a repeated string instruction has RF clear',
    section: 'SDM vol. 3, 17.3.1.1',
    words:
      'For any trap-class exception generated by any iteration of a repeated string instruction but the last iteration, the value pushed for RF is 1.',
    imitate: (machine, hit) => {
      let repeat = false;
      afterDelivery(machine, (frame) => {
        if (!repeat || machine.happened.vector !== Vector.DB) return;
        patchWord(machine, frame + 16n, (flags) => flags & ~BigInt(Flag.RF), hit);
      });
      const step = machine.step.bind(machine);
      machine.step = () => {
        step();
        repeat = machine.happened.instruction?.repeat ?? false;
      };
    },
  },
  {
    id: 'mov-null-ss',
    peers: ['qemu'],
    what: 'MOV takes a null SS with an RPL other than CPL',
    section: 'SDM vol. 2, MOV, 64-Bit Mode Exceptions',
    words:
      '#GP(0) If an attempt is made to load the SS register with NULL segment selector when CPL < 3 and CPL ≠ RPL.',
    imitate: (machine, hit) => {
      const step = machine.step.bind(machine);
      machine.step = () => {
        const iced = machine.peek()?.iced;
        const { u64 } = machine.cpu.regs;
        if (!iced || iced.mnemonic !== Mnemonic.Mov || iced.op0Register !== Register.SS) return step();
        if (iced.op1Kind !== OpKind.Register || machine.cpu.cpl === 3) return step();
        const register = registerNumber(iced.op1Register);
        const value = u64[register]!;
        const rpl = value & 3n;
        if ((value & 0xfffcn) !== 0n || rpl === BigInt(machine.cpu.cpl)) return step();
        u64[register] = (value & ~3n) | BigInt(machine.cpu.cpl);
        step();
        u64[register] = value;
        machine.u32[2 * Reg.SS] = Number(rpl);
        machine.replaced();
        hit();
      };
    },
    loses: (run) =>
      run.trace.some(
        ({ instruction, cpl, vector }) =>
          vector === Vector.GP && cpl !== 3 && /^mov ss,\[/.test(instruction?.iced.toString() ?? ''),
      ),
  },
  {
    id: 'sysret-selectors',
    peers: ['qemu'],
    what: 'SYSRET adds to the selector of IA32_STAR beyond 16 bits',
    section: 'SDM vol. 2, SYSRET',
    words: 'CS.Selector := IA32_STAR[63:48] + 16; SS.Selector := IA32_STAR[63:48] + 8. (Selectors have 16 bits.)',
    imitate: (machine, hit) =>
      afterInstruction(machine, [Mnemonic.Sysretq], () => {
        const { u32 } = machine;
        const selector = u32[2 * Reg.STAR + 1]! >>> 16;
        if (selector + 16 > 0xffff) hit();
        u32[2 * Reg.CS] = (selector + 16) | 3;
        u32[2 * Reg.SS] = (selector + 8) | 3;
      }),
  },
  {
    id: 'iret-l-and-d',
    peers: ['qemu'],
    what: 'IRETQ takes a code segment with both L and D set',
    section: 'SDM vol. 3, 5.2.1',
    words: 'If the L bit is set, then the D bit must be cleared.',
    imitate: (machine, hit) => {
      const step = machine.step.bind(machine);
      machine.step = () => {
        const { u64 } = machine.cpu.regs;
        const selector = machine.memory.peek64(u64[Reg.RSP]! + 8n);
        if (machine.peek()?.mnemonic !== Mnemonic.Iretq || selector === undefined) return step();
        const at = u64[Reg.GDTR_BASE]! + (selector & 0xfff8n);
        const descriptor = machine.memory.peek64(at);
        if (descriptor === undefined || (descriptor & LONG_AND_BIG) !== LONG_AND_BIG || selector & 4n) return step();
        const aside = descriptor & ~(1n << 54n);
        machine.memory.load64(at, aside);
        step();
        if (machine.memory.peek64(at) === aside) machine.memory.load64(at, descriptor);
        hit();
      };
    },
  },
  {
    id: 'enter-partial',
    peers: ['qemu', 'bochs'],
    what: 'ENTER has pushed RBP when it faults on a frame pointer or at its end',
    section: 'SDM vol. 3, 6.6',
    words: '(an exception restores registers; what was pushed lies below RSP)',
    explains: (run, { place }) =>
      /^[0-9a-f]+$/.test(place) &&
      run.trace.some(({ instruction, faulted }) => faulted && instruction?.mnemonic === Mnemonic.Enter),
  },
  {
    id: 'sti-tf',
    peers: ['qemu'],
    what: 'a single step over STI is reported one instruction late',
    section: 'SDM vol. 2, STI; vol. 3, 6.8.3',
    words: 'STI delays maskable interrupts (and possibly NMIs), not debug exceptions.',
    loses: (run) =>
      run.trace.some(
        ({ vector }, i) => vector === Vector.DB && run.trace[i - 1]?.instruction?.mnemonic === Mnemonic.Sti,
      ),
  },
  {
    id: 'conforming-stack',
    peers: ['bochs'],
    what: 'a handler in a conforming segment, entered in ring 3, needs a stack that ring 3 may write, whatever the gate says',
    section: 'SDM vol. 3, 4.6.1',
    words:
      'Some operations implicitly access system data structures; the resulting accesses are supervisor-mode accesses regardless of CPL. (Frames are not among the examples.)',
    loses: (run) =>
      run.trace.some(({ vector, cpl }, i) => vector !== undefined && cpl === 3 && run.trace[i + 1]?.cpl === 3),
  },
];

/** A change that makes the machine deviate as the peer does; `hit` is told the deviations that made a difference. */
export function imitation(peer: Peer, hit: (id: string) => void): Change {
  return (machine) => {
    for (const one of DEVIATIONS) if (one.peers.includes(peer)) one.imitate?.(machine, () => hit(one.id));
  };
}
