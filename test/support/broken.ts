/**
 * Machines that are broken on purpose: each function patches a given machine so that it departs from the manual in one
 * point. They show that a check can fail: an assertion that holds on these too has no worth.
 */
import { Mnemonic } from 'iced-x86';
import { PageFault, Vector } from '../../src/cpu/cpu.js';
import { Perm } from '../../src/cpu/memory.js';
import { Flag, REGISTER_COUNT, Reg } from '../../src/cpu/registers.js';
import { Origin } from '../../src/harness/delivery.js';
import { Tss } from '../../src/harness/descriptors.js';
import { EventState } from '../../src/harness/event_state.js';
import { type Machine, Return } from '../../src/harness/machine.js';
import type { Profile } from '../../src/profiles/profile.js';

export type Broken = (machine: Machine) => void;

const ERROR_CODES: ReadonlySet<number> = new Set([
  ...[Vector.DF, Vector.TS, Vector.NP, Vector.SS, Vector.GP, Vector.PF, Vector.AC],
]);

/** Runs `before` and `after` around every transition. `before` sees the state; `after` also the registers as they were. */
export function around(
  machine: Machine,
  after: (registersBefore: BigUint64Array) => void,
  before: () => void = () => undefined,
): void {
  const step = machine.step.bind(machine);
  const fire = machine.fire.bind(machine);
  const saved = new BigUint64Array(REGISTER_COUNT);
  const wrap = (transition: () => void): void => {
    before();
    saved.set(machine.cpu.regs.u64);
    transition();
    after(saved);
    machine.changed();
  };
  machine.step = () => wrap(step);
  machine.fire = (kind) => wrap(() => fire(kind));
}

/** Runs `patch` after every delivery. */
export function afterDelivery(machine: Machine, patch: (registersBefore: BigUint64Array) => void): void {
  around(machine, (before) => {
    if (machine.happened.delivered) patch(before);
  });
}

/** Runs `patch` after every instruction of a kind that did not fault. */
export function afterInstruction(
  machine: Machine,
  mnemonic: Mnemonic,
  patch: (registersBefore: BigUint64Array) => void,
): void {
  around(machine, (before) => {
    const { happened } = machine;
    if (happened.instruction?.mnemonic === mnemonic && !happened.delivered && !happened.shutdown) patch(before);
  });
}

export function withProfile(machine: Machine, change: (profile: Profile) => Partial<Profile>): void {
  const profile = { ...machine.profile, ...change(machine.profile) };
  Object.defineProperty(machine, 'profile', { value: profile });
  Object.defineProperty(machine.nmi, 'profile', { value: profile });
}

export function readWord(machine: Machine, address: bigint): bigint {
  return machine.memory.peek64(address)!;
}

/** The address of the frame that was just pushed, above the error code. */
export function frameOf(machine: Machine): bigint {
  const { happened } = machine;
  const code = ERROR_CODES.has(happened.vector) && happened.origin === Origin.EXCEPTION ? 8n : 0n;
  return machine.cpu.regs.u64[Reg.RSP]! + code;
}

export function patchFrame(machine: Machine, offset: bigint, change: (word: bigint) => bigint): void {
  const at = frameOf(machine) + offset;
  machine.memory.load64(at, change(readWord(machine, at)));
}

// The NMI latch.

/** NMIs are never masked: the delivery of one does not block the next. */
export function withoutNmiBlocking(machine: Machine): void {
  machine.nmi.take = () => {
    machine.u32[2 * Reg.EVENTS]! &= ~EventState.NMI_PENDING;
  };
}

/** Every return unblocks NMIs, not IRET alone: RET and SYSRET too. */
export function unblockingOnAnyReturn(machine: Machine): void {
  around(machine, () => {
    const { happened } = machine;
    const returned = happened.instruction?.returns || happened.returned === Return.SYSRET;
    if (returned && !happened.delivered) machine.nmi.unblock();
  });
}

/** No IRET unblocks NMIs. */
export function neverUnblocking(machine: Machine): void {
  machine.nmi.unblock = () => undefined;
}

/** An NMI that arrives while NMIs are blocked is lost. */
export function losingBlockedNmis(machine: Machine): void {
  const { raise } = machine.nmi;
  machine.nmi.raise = () => {
    if (!machine.nmi.blocked) raise.call(machine.nmi);
  };
}

/** INT 2 blocks NMIs as a real NMI does. */
export function blockingOnInt2(machine: Machine): void {
  afterDelivery(machine, () => {
    if (machine.happened.vector === Vector.NMI) machine.u32[2 * Reg.EVENTS]! |= EventState.NMI_BLOCKED;
  });
}

/** A faulting IRET leaves NMIs blocked where it should not, and unblocks them where it should. */
export function otherIretFaultRule(machine: Machine): void {
  withProfile(machine, (profile) => ({ iretFaultUnblocksNmi: !profile.iretFaultUnblocksNmi }));
}

/** STI holds NMIs back where it should not, and lets them through where it should. */
export function otherStiShadowRule(machine: Machine): void {
  withProfile(machine, (profile) => ({ stiShadowBlocksNmi: !profile.stiShadowBlocksNmi }));
}

/** The latch after an NMI whose delivery faults is the wrong way round. */
export function otherFaultingDeliveryRule(machine: Machine): void {
  withProfile(machine, (profile) => ({ faultingDeliveryBlocksNmi: !profile.faultingDeliveryBlocksNmi }));
}

/** SYSRET checks its target as the other vendor's processors do. */
export function otherSysretRule(machine: Machine): void {
  withProfile(machine, (profile) => ({ sysretChecksBeforeSwitch: !profile.sysretChecksBeforeSwitch }));
}

/** A halted processor is woken, but goes back to sleep. */
export function sleepingOn(machine: Machine): void {
  afterDelivery(machine, (before) => {
    machine.u32[2 * Reg.EVENTS]! |= Number(before[Reg.EVENTS]!) & EventState.HALTED;
  });
}

/** HLT does nothing. */
export function withoutHalt(machine: Machine): void {
  around(machine, () => {
    machine.u32[2 * Reg.EVENTS]! &= ~EventState.HALTED;
  });
}

/** A delivery leaves the shadows of STI and MOV SS as they were. */
export function keepingShadows(machine: Machine): void {
  afterDelivery(machine, (before) => {
    machine.u32[2 * Reg.EVENTS]! |= Number(before[Reg.EVENTS]!) & (EventState.STI_SHADOW | EventState.MOV_SS_SHADOW);
  });
}

/** STI and MOV SS cast no shadow. */
export function withoutShadows(machine: Machine): void {
  around(machine, () => {
    machine.u32[2 * Reg.EVENTS]! &= ~(EventState.STI_SHADOW | EventState.MOV_SS_SHADOW);
  });
}

/** Shadows do not end. */
export function withEndlessShadows(machine: Machine): void {
  around(machine, (before) => {
    if (machine.happened.delivered) return;
    machine.u32[2 * Reg.EVENTS]! |= Number(before[Reg.EVENTS]!) & (EventState.STI_SHADOW | EventState.MOV_SS_SHADOW);
  });
}

// Delivery.

/** The IST field of a gate is ignored. */
export function ignoringIst(machine: Machine): void {
  around(
    machine,
    () => undefined,
    () => {
      const base = machine.cpu.regs.u64[Reg.IDTR_BASE]!;
      for (let v = 0n; v < 32n; v++) {
        machine.memory.load64(base + 16n * v, readWord(machine, base + 16n * v) & ~(7n << 32n));
      }
    },
  );
}

/** RSP0 and the IST slots are read once, when the machine starts, and not at each delivery. */
export function withStaleTss(machine: Machine): void {
  const base = machine.cpu.regs.u64[Reg.TR_BASE]!;
  const tss = machine.memory.peek(base, Tss.SIZE)!;
  around(
    machine,
    () => undefined,
    () => machine.memory.load(base, tss),
  );
}

/** A change of ring does not change the stack: RSP0 is ignored. */
export function ignoringRsp0(machine: Machine): void {
  around(
    machine,
    () => undefined,
    () => machine.memory.load64(machine.cpu.regs.u64[Reg.TR_BASE]! + BigInt(Tss.RSP0), machine.cpu.regs.u64[Reg.RSP]!),
  );
}

/** An IST stack is not used when RSP is on it already. */
export function continuingOnIst(machine: Machine): void {
  around(
    machine,
    () => undefined,
    () => {
      const base = machine.cpu.regs.u64[Reg.TR_BASE]!;
      const rsp = machine.cpu.regs.u64[Reg.RSP]!;
      for (let n = 0n; n < 7n; n++) {
        const slot = base + BigInt(Tss.IST1) + 8n * n;
        const top = readWord(machine, slot);
        if (rsp <= top && rsp > top - 0x1000n) machine.memory.load64(slot, rsp);
      }
    },
  );
}

/** The stack pointer is not aligned before the frame is pushed. */
export function withoutAlignment(machine: Machine): void {
  afterDelivery(machine, (before) => {
    const { u64 } = machine.cpu.regs;
    const by = before[Reg.RSP]! & 15n;
    const top = (BigInt(machine.happened.stackTopHigh) << 32n) | BigInt(machine.happened.stackTopLow);
    if (by === 0n || top !== (before[Reg.RSP]! & ~15n)) return;
    const frame = machine.memory.peek(u64[Reg.RSP]!, Number(top - u64[Reg.RSP]!))!;
    u64[Reg.RSP] = u64[Reg.RSP]! + by;
    machine.memory.load(u64[Reg.RSP]!, frame);
  });
}

/** The first and the last word of the frame change places. */
export function withSwappedFrame(machine: Machine): void {
  afterDelivery(machine, () => {
    const at = frameOf(machine);
    const [first, last] = [readWord(machine, at), readWord(machine, at + 32n)];
    machine.memory.load64(at, last);
    machine.memory.load64(at + 32n, first);
  });
}

/** The frame names the next instruction, for faults too. */
export function savingNextRip(machine: Machine): void {
  afterDelivery(machine, () => {
    const length = BigInt(machine.happened.instruction?.length ?? 1);
    patchFrame(machine, 0n, (rip) => rip + length);
  });
}

/** INT n and INT3 save their own address. */
export function savingOwnRip(machine: Machine): void {
  afterDelivery(machine, () => {
    const { happened } = machine;
    if (happened.origin === Origin.SOFTWARE) {
      patchFrame(machine, 0n, (rip) => rip - BigInt(happened.instruction?.length ?? 0));
    }
  });
}

/** No event pushes an error code. */
export function withoutErrorCodes(machine: Machine): void {
  afterDelivery(machine, () => {
    machine.cpu.regs.u64[Reg.RSP] = frameOf(machine);
  });
}

/** Error codes are wrong in their lowest bit. */
export function withOtherErrorCodes(machine: Machine): void {
  afterDelivery(machine, () => {
    const rsp = machine.cpu.regs.u64[Reg.RSP]!;
    if (frameOf(machine) !== rsp) machine.memory.load64(rsp, readWord(machine, rsp) ^ 1n);
  });
}

/** Every event pushes an error code. */
export function withErrorCodeAlways(machine: Machine): void {
  afterDelivery(machine, () => {
    if (frameOf(machine) !== machine.cpu.regs.u64[Reg.RSP]!) return;
    machine.cpu.regs.u64[Reg.RSP] = machine.cpu.regs.u64[Reg.RSP]! - 8n;
    machine.memory.load64(machine.cpu.regs.u64[Reg.RSP]!, 0n);
  });
}

/** Error codes of selectors do not say whether the event came from outside, nor that it was a gate. */
export function withoutIdtAndExtBits(machine: Machine): void {
  afterDelivery(machine, () => {
    const rsp = machine.cpu.regs.u64[Reg.RSP]!;
    if (frameOf(machine) !== rsp) machine.memory.load64(rsp, readWord(machine, rsp) & ~3n);
  });
}

/** A delivery through an interrupt gate leaves IF set. */
export function keepingIf(machine: Machine): void {
  keepingFlag(machine, Flag.IF);
}

/** A delivery through a trap gate clears IF. */
export function clearingIfAlways(machine: Machine): void {
  afterDelivery(machine, () => {
    machine.u32[2 * Reg.RFLAGS]! &= ~Flag.IF;
  });
}

/** A delivery leaves NT set. */
export function keepingNt(machine: Machine): void {
  keepingFlag(machine, Flag.NT);
}

/** A delivery leaves TF set. */
export function keepingTf(machine: Machine): void {
  keepingFlag(machine, Flag.TF);
}

/** A delivery leaves RF set. */
export function keepingRf(machine: Machine): void {
  keepingFlag(machine, Flag.RF);
}

function keepingFlag(machine: Machine, flag: number): void {
  afterDelivery(machine, (before) => {
    machine.u32[2 * Reg.RFLAGS]! |= Number(before[Reg.RFLAGS]! & BigInt(flag));
  });
}

/** A delivery clears DF and AC too. */
export function clearingAllFlags(machine: Machine): void {
  afterDelivery(machine, () => {
    machine.u32[2 * Reg.RFLAGS] = Flag.ONE;
  });
}

/** RF is never set in a frame. */
export function withoutRfInFrame(machine: Machine): void {
  afterDelivery(machine, () => patchFrame(machine, 16n, (rflags) => rflags & ~BigInt(Flag.RF)));
}

/** RF is set in every frame. */
export function withRfInEveryFrame(machine: Machine): void {
  afterDelivery(machine, () => patchFrame(machine, 16n, (rflags) => rflags | BigInt(Flag.RF)));
}

/** SS keeps its selector when the ring changes. */
export function keepingSs(machine: Machine): void {
  afterDelivery(machine, (before) => {
    machine.cpu.regs.u64[Reg.SS] = before[Reg.SS]!;
  });
}

/** SS becomes null at every delivery. */
export function clearingSsAlways(machine: Machine): void {
  afterDelivery(machine, () => {
    machine.u32[2 * Reg.SS] = 0;
  });
}

/** The privilege level of a gate is not checked. */
export function withoutGateDpl(machine: Machine): void {
  inEveryGate(machine, (low) => low | (3n << 45n));
}

/** The privilege level of a gate is checked for every event. */
export function withGateDplAlways(machine: Machine): void {
  afterDelivery(machine, (before) => {
    const gate = readWord(machine, machine.cpu.regs.u64[Reg.IDTR_BASE]! + BigInt(16 * machine.happened.vector));
    if (Number((gate >> 45n) & 3n) < Number(before[Reg.CS]! & 3n)) machine.cpu.regs.u64[Reg.RIP] = 0n;
  });
}

/** Every gate is present. */
export function ignoringGatePresence(machine: Machine): void {
  inEveryGate(machine, (low) => low | (1n << 47n));
}

function inEveryGate(machine: Machine, change: (low: bigint) => bigint): void {
  around(
    machine,
    () => undefined,
    () => {
      const base = machine.cpu.regs.u64[Reg.IDTR_BASE]!;
      for (let v = 0n; v < 32n; v++) {
        machine.memory.load64(base + 16n * v, change(readWord(machine, base + 16n * v)));
      }
    },
  );
}

/** Two faults in a row never become #DF: the second is delivered. */
export function withoutDoubleFault(machine: Machine): void {
  afterDelivery(machine, () => {
    if (machine.happened.vector === Vector.DF) machine.happened.vector = machine.cpu.faultVector;
  });
}

/** Any fault of a delivery becomes #DF, benign event or not. */
export function withDoubleFaultAlways(machine: Machine): void {
  afterDelivery(machine, () => {
    const { happened } = machine;
    const faulted = happened.instruction?.mnemonic === Mnemonic.Int && happened.origin === Origin.EXCEPTION;
    if (faulted || happened.vector !== happened.requestedVector) happened.vector = Vector.DF;
  });
}

/** A fault of #DF's own delivery does not shut the processor down. */
export function withoutShutdown(machine: Machine): void {
  around(machine, () => {
    machine.u32[2 * Reg.EVENTS]! &= ~EventState.SHUTDOWN;
    machine.happened.shutdown = false;
  });
}

/** Any exception that cannot be delivered shuts the processor down. */
export function withShutdownAlways(machine: Machine): void {
  afterDelivery(machine, () => {
    const { happened } = machine;
    if (happened.vector !== happened.requestedVector) machine.u32[2 * Reg.EVENTS]! |= EventState.SHUTDOWN;
  });
}

/** A failed delivery leaves what it has pushed behind. */
export function keepingFailedPushes(machine: Machine): void {
  machine.memory.undoTo = (length) => {
    machine.memory.journalLength = length;
  };
}

// Memory.

/** #PF does not load CR2. */
export function withoutCr2(machine: Machine): void {
  afterDelivery(machine, (before) => {
    machine.cpu.regs.u64[Reg.CR2] = before[Reg.CR2]!;
  });
}

/** CR2 holds the page, not the address. */
export function withPageInCr2(machine: Machine): void {
  afterDelivery(machine, () => {
    machine.cpu.regs.u64[Reg.CR2] = machine.cpu.regs.u64[Reg.CR2]! & ~0xfffn;
  });
}

/** The error code of #PF says the wrong ring. */
export function withOtherUserBit(machine: Machine): void {
  afterDelivery(machine, () => {
    const rsp = machine.cpu.regs.u64[Reg.RSP]!;
    if (machine.happened.vector === Vector.PF) {
      machine.memory.load64(rsp, readWord(machine, rsp) ^ BigInt(PageFault.USER));
    }
  });
}

/** Every page is writable. */
export function ignoringReadOnly(machine: Machine): void {
  withPermissions(machine, (perms) => perms | Perm.WRITE);
}

/** Every page is executable. */
export function ignoringExecuteDisable(machine: Machine): void {
  // Only for the fetch of the first byte: what is written to is not code.
  withPermissions(machine, (perms, high, low) => {
    const { u32 } = machine;
    return low === u32[2 * Reg.RIP] && high === u32[2 * Reg.RIP + 1] ? perms | Perm.EXEC : perms;
  });
}

/** User mode may access supervisor pages. */
export function ignoringSupervisorPages(machine: Machine): void {
  withPermissions(machine, (perms) => perms | Perm.USER);
}

/** CR0.WP is always set. */
export function withWriteProtectAlways(machine: Machine): void {
  around(
    machine,
    () => undefined,
    () => {
      machine.u32[2 * Reg.CR0]! |= 1 << 16;
    },
  );
}

function withPermissions(machine: Machine, change: (perms: number, high: number, low: number) => number): void {
  const { memory } = machine;
  const translate = memory.translate.bind(memory);
  memory.translate = (high, low) => {
    const offset = translate(high, low);
    memory.perms = change(memory.perms, high, low);
    return offset;
  };
}

/** The journal forgets every other write. */
export function forgettingWrites(machine: Machine): void {
  const { memory } = machine;
  const willWrite = memory.willWrite.bind(memory);
  let count = 0;
  memory.willWrite = (word) => {
    if (count++ % 2 === 1) willWrite(word);
  };
}

/** What an instruction reads is not noted. */
export function forgettingReads(machine: Machine): void {
  machine.cpu.noteRead = () => undefined;
}

/** A restored state keeps the registers that it finds. */
export function restoringMemoryOnly(machine: Machine): void {
  machine.restore = (snapshot) => {
    machine.memory.restore(snapshot.memory);
    machine.replaced();
  };
}

/** A restored state keeps the memory that it finds. */
export function restoringRegistersOnly(machine: Machine): void {
  machine.restore = (snapshot) => {
    machine.u32.set(snapshot.registers);
    machine.replaced();
  };
}

/** After a restore the engine still has the registers of before. */
export function withStaleEngine(machine: Machine): void {
  const restore = machine.restore.bind(machine);
  machine.restore = (snapshot) => {
    restore(snapshot);
    machine.cpu.registersChanged = false;
  };
}

// Instructions.

/** A faulting IRET pops its frame all the same. */
export function poppingOnFault(machine: Machine): void {
  afterDelivery(machine, () => {
    if (machine.happened.instruction?.mnemonic === Mnemonic.Iretq) patchFrame(machine, 24n, (rsp) => rsp + 40n);
  });
}

/** IRET loads no flags. */
export function withoutIretFlags(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Iretq, (before) => {
    machine.cpu.regs.u64[Reg.RFLAGS] = before[Reg.RFLAGS]!;
  });
}

/** IRET loads RSP only when the ring changes, as it does outside 64-bit mode. */
export function keepingRspInSameRing(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Iretq, (before) => {
    if (((before[Reg.CS]! ^ machine.cpu.regs.u64[Reg.CS]!) & 3n) === 0n) {
      machine.cpu.regs.u64[Reg.RSP] = before[Reg.RSP]! + 24n;
    }
  });
}

/** IRET does not null the data segments that the outer ring may not use. */
export function keepingPrivilegedSegments(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Iretq, (before) => {
    for (const segment of [Reg.DS, Reg.ES, Reg.FS, Reg.GS]) machine.cpu.regs.u64[segment] = before[segment]!;
  });
}

/** In ring 3, IRET and POPF load IF and IOPL. */
export function loadingPrivilegedFlags(machine: Machine): void {
  around(machine, (before) => {
    const { happened } = machine;
    if (happened.delivered || (before[Reg.CS]! & 3n) !== 3n) return;
    const image = readStack(machine, before[Reg.RSP]! + (happened.returned === Return.IRET ? 16n : 0n));
    const mnemonic = happened.instruction?.mnemonic;
    if (mnemonic !== Mnemonic.Iretq && mnemonic !== Mnemonic.Popfq) return;
    const bits = BigInt(Flag.IF | Flag.IOPL);
    machine.cpu.regs.u64[Reg.RFLAGS] = (machine.cpu.regs.u64[Reg.RFLAGS]! & ~bits) | (image & bits);
  });
}

function readStack(machine: Machine, address: bigint): bigint {
  return machine.memory.peek64(address) ?? 0n;
}

/** SYSCALL leaves RFLAGS alone. */
export function withoutFmask(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Syscall, (before) => {
    machine.cpu.regs.u64[Reg.RFLAGS] = before[Reg.RFLAGS]!;
  });
}

/** SYSCALL switches to RSP0. */
export function switchingStackOnSyscall(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Syscall, () => {
    machine.cpu.regs.u64[Reg.RSP] = readWord(machine, machine.cpu.regs.u64[Reg.TR_BASE]! + BigInt(Tss.RSP0));
  });
}

/** SYSCALL and SYSRET do not change the ring. */
export function stayingInRing(machine: Machine): void {
  around(machine, (before) => {
    const mnemonic = machine.happened.instruction?.mnemonic;
    if (mnemonic !== Mnemonic.Syscall && mnemonic !== Mnemonic.Sysretq) return;
    for (const segment of [Reg.CS, Reg.SS]) machine.cpu.regs.u64[segment] = before[segment]!;
  });
}

/** SYSRET leaves RFLAGS alone. */
export function withoutSysretFlags(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Sysretq, (before) => {
    machine.cpu.regs.u64[Reg.RFLAGS] = before[Reg.RFLAGS]!;
  });
}

/** EFER.SCE is always set. */
export function withSyscallAlways(machine: Machine): void {
  around(
    machine,
    () => undefined,
    () => {
      machine.u32[2 * Reg.EFER]! |= 1;
    },
  );
}

/** An instruction of this kind has no effect on registers besides RIP, and raises nothing. */
export function ignoring(mnemonic: Mnemonic): Broken {
  const broken = (machine: Machine): void => {
    const step = machine.step.bind(machine);
    machine.step = () => {
      const instruction = machine.nmi.deliverable ? undefined : machine.peek();
      if (instruction?.mnemonic !== mnemonic) {
        step();
        return;
      }
      Object.assign(machine.happened, { delivered: false, returned: Return.NONE, shutdown: false, instruction });
      machine.cpu.regs.u64[Reg.RIP] = instruction.address + BigInt(instruction.length);
      machine.replaced();
    };
  };
  Object.defineProperty(broken, 'name', { value: `ignoring ${Mnemonic[mnemonic]!.toLowerCase()}` });
  return broken;
}

/** Privileged instructions run in every ring. */
export function withoutPrivilege(machine: Machine): void {
  Object.defineProperty(machine.cpu, 'cpl', { get: () => 0 });
}

/** The image that PUSHF pushes shows RF. */
export function showingRf(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Pushfq, (before) => {
    const rsp = machine.cpu.regs.u64[Reg.RSP]!;
    machine.memory.load64(rsp, readWord(machine, rsp) | (before[Reg.RFLAGS]! & BigInt(Flag.RF)));
  });
}

/** CLI and STI obey the ring alone and not IOPL. */
export function ignoringIopl(machine: Machine): void {
  around(
    machine,
    () => undefined,
    () => {
      machine.u32[2 * Reg.RFLAGS]! &= ~Flag.IOPL;
    },
  );
}

/** What the engine computes is not seen in this register. */
export function losing(register: number): Broken {
  const broken = (machine: Machine): void => {
    around(machine, (before) => {
      if (!machine.happened.delivered) machine.cpu.regs.u64[register] = before[register]!;
    });
  };
  Object.defineProperty(broken, 'name', { value: `losing register ${register}` });
  return broken;
}

/** Repeated string instructions run in one step. */
export function repeatingInOneStep(machine: Machine): void {
  const step = machine.step.bind(machine);
  machine.step = () => {
    const rip = machine.cpu.regs.u64[Reg.RIP]!;
    const repeat = machine.peek()?.repeat ?? false;
    do step();
    while (repeat && machine.cpu.regs.u64[Reg.RIP] === rip);
  };
}

/** What the machine does not model is executed as a NOP instead of being refused. */
export function executingAnything(machine: Machine): void {
  const step = machine.step.bind(machine);
  machine.step = () => {
    try {
      step();
    } catch {
      const { happened } = machine;
      const length = BigInt(happened.instruction?.length ?? 1);
      machine.cpu.regs.u64[Reg.RIP] = machine.cpu.regs.u64[Reg.RIP]! + length;
      machine.replaced();
    }
  };
}

/** NMIs are never delivered. */
export function neverTaking(machine: Machine): void {
  machine.nmi.raise = () => undefined;
}

/** Any fault blocks NMIs. */
export function blockingOnFault(machine: Machine): void {
  afterDelivery(machine, () => {
    machine.u32[2 * Reg.EVENTS]! |= EventState.NMI_BLOCKED;
  });
}

/** POPF unblocks NMIs. */
export function unblockingOnPop(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Popfq, () => machine.nmi.unblock());
}

/** A delivery does not change the ring. */
export function stayingInRingOnDelivery(machine: Machine): void {
  afterDelivery(machine, (before) => {
    machine.u32[2 * Reg.CS]! |= Number(before[Reg.CS]! & 3n);
  });
}

/** Events in ring 0 switch to RSP0 too. */
export function alwaysUsingRsp0(machine: Machine): void {
  afterDelivery(machine, () => {
    machine.cpu.regs.u64[Reg.RSP] = readWord(machine, machine.cpu.regs.u64[Reg.TR_BASE]! + BigInt(Tss.RSP0)) - 40n;
  });
}

/** The pointers in the TSS are used as they are. */
export function withoutTssAlignment(machine: Machine): void {
  const slots = [Tss.RSP0, Tss.IST1];
  afterDelivery(machine, () => {
    const { u64 } = machine.cpu.regs;
    const top = (BigInt(machine.happened.stackTopHigh) << 32n) | BigInt(machine.happened.stackTopLow);
    for (const slot of slots) {
      const pointer = readWord(machine, u64[Reg.TR_BASE]! + BigInt(slot));
      if ((pointer & ~15n) === top) u64[Reg.RSP] = u64[Reg.RSP]! + (pointer & 15n);
    }
  });
}

/** IST numbers count from 0. */
export function shiftingIst(machine: Machine): void {
  const { u64 } = machine.cpu.regs;
  afterDelivery(machine, () => {
    if (machine.happened.ist === 0) return;
    u64[Reg.RSP] = readWord(machine, u64[Reg.TR_BASE]! + BigInt(Tss.IST1 + 8 * (machine.happened.ist % 7))) - 40n;
  });
}

/** A delivery from ring 3 does SWAPGS, as FRED would. */
export function swappingGsOnDelivery(machine: Machine): void {
  afterDelivery(machine, (before) => {
    if ((before[Reg.CS]! & 3n) === 0n) return;
    machine.cpu.regs.u64[Reg.GS_BASE] = before[Reg.KERNEL_GS_BASE]!;
    machine.cpu.regs.u64[Reg.KERNEL_GS_BASE] = before[Reg.GS_BASE]!;
  });
}

/** Gates are read once, when the machine starts. */
export function withStaleIdt(machine: Machine): void {
  const base = machine.cpu.regs.u64[Reg.IDTR_BASE]!;
  const idt = machine.memory.peek(base, 512)!;
  around(
    machine,
    () => undefined,
    () => machine.memory.load(base, idt),
  );
}

/** IRET to ring 3 keeps RSP. */
export function keepingRspInUserMode(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Iretq, (before) => {
    if (machine.cpu.cpl === 3) machine.cpu.regs.u64[Reg.RSP] = before[Reg.RSP]! + 40n;
  });
}

/** RF stays set once it is. */
export function keepingRfForever(machine: Machine): void {
  around(machine, (before) => {
    machine.u32[2 * Reg.RFLAGS]! |= Number(before[Reg.RFLAGS]! & BigInt(Flag.RF));
  });
}

/** NT has no effect. */
export function clearingNtBefore(machine: Machine): void {
  around(
    machine,
    () => undefined,
    () => {
      machine.u32[2 * Reg.RFLAGS]! &= ~Flag.NT;
    },
  );
}

/** A null SS is never allowed: the processor does as if it were the ring's data segment. */
export function refusingNullSs(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Iretq, () => {
    if (machine.u32[2 * Reg.SS] === 0) machine.u32[2 * Reg.SS] = 0x18;
  });
}

/** Every IRET nulls the data segments. */
export function nullingSegments(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Iretq, () => {
    for (const segment of [Reg.DS, Reg.ES, Reg.FS, Reg.GS]) machine.u32[2 * segment] = 0;
  });
}

/** Everything that sets IF casts a shadow, STI also when IF was set. */
export function castingShadows(machine: Machine): void {
  around(machine, () => {
    const mnemonic = machine.happened.instruction?.mnemonic;
    if (mnemonic === Mnemonic.Sti || mnemonic === Mnemonic.Popfq) machine.u32[2 * Reg.EVENTS]! |= EventState.STI_SHADOW;
  });
}

/** A null selector leaves the base of GS, as on AMD. */
export function keepingGsBase(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Mov, (before) => {
    if (machine.u32[2 * Reg.GS]! <= 3) machine.cpu.regs.u64[Reg.GS_BASE] = before[Reg.GS_BASE]!;
  });
}

/** CR4.FSGSBASE is always set. */
export function withFsgsbaseAlways(machine: Machine): void {
  around(
    machine,
    () => undefined,
    () => {
      machine.u32[2 * Reg.CR4]! |= 1 << 16;
    },
  );
}

/** CR3 keeps bit 63. */
export function keepingNoFlush(machine: Machine): void {
  afterInstruction(machine, Mnemonic.Mov, (before) => {
    machine.cpu.regs.u64[Reg.CR3] = machine.cpu.regs.u64[Reg.CR3]! | (before[Reg.RAX]! & (1n << 63n));
  });
}

/** An instruction that faults is skipped. */
export function skippingFaults(machine: Machine): void {
  afterDelivery(machine, (before) => {
    const { happened } = machine;
    if (happened.origin !== Origin.EXCEPTION) return;
    machine.cpu.regs.u64.set(before);
    machine.cpu.regs.u64[Reg.RIP] = before[Reg.RIP]! + BigInt(happened.instruction?.length ?? 1);
    happened.delivered = false;
  });
}

/** Exceptions come as another vector: the next one. */
export function withOtherVectors(machine: Machine): void {
  afterDelivery(machine, () => {
    machine.happened.vector++;
  });
}

/** Of an access that crosses into the next page only the first page is checked. */
export function ignoringSecondPage(machine: Machine): void {
  const { cpu } = machine;
  const access = cpu.access.bind(cpu);
  cpu.access = (high, low, size, kind, user, stack) =>
    access(high, low, Math.min(size, 0x1000 - (low & 0xfff)), kind, user, stack);
}

/** DIV by BL divides by BH, and BH is never 0. */
export function withOtherDivisor(machine: Machine): void {
  around(
    machine,
    () => undefined,
    () => {
      const { u64 } = machine.cpu.regs;
      const high = (u64[Reg.RBX]! >> 8n) & 0xffn;
      u64[Reg.RBX] = (u64[Reg.RBX]! & ~0xffffn) | (high << 8n) | high;
      if (high === 0n) u64[Reg.RBX] = u64[Reg.RBX]! | 0x100n;
      machine.changed();
    },
  );
}

/** Where an error code is to be pushed, something else is. */
export function withErrorCodeMissing(machine: Machine): void {
  afterDelivery(machine, () => {
    const rsp = machine.cpu.regs.u64[Reg.RSP]!;
    if (frameOf(machine) !== rsp) machine.memory.load64(rsp, -1n);
  });
}

/** The engine drops all flags besides the arithmetic ones, and sets those. */
export function clearingFlagsInEngine(machine: Machine): void {
  around(machine, (before) => {
    if (machine.happened.instruction?.microcode !== -1) return;
    machine.cpu.regs.u64[Reg.RFLAGS] = (before[Reg.RFLAGS]! & 0x8d5n) ^ 0x8d7n;
  });
}

/** TF is lost in the engine. */
export function losingTf(machine: Machine): void {
  const { cpu } = machine;
  const execute = cpu.execute.bind(cpu);
  cpu.execute = (instruction) => {
    const done = execute(instruction);
    machine.u32[2 * Reg.RFLAGS]! &= ~Flag.TF;
    return done;
  };
}

/** The engine is not told of registers that were set from outside. */
export function withStaleRegisters(machine: Machine): void {
  machine.replacedGeneral = () => undefined;
}

/** The engine is not told of bases that have changed. */
export function withStaleBases(machine: Machine): void {
  machine.changed = () => undefined;
}

/** Of what an instruction changes, only RIP is read back. */
export function readingRipAlone(machine: Machine): void {
  const step = machine.step.bind(machine);
  machine.step = () => {
    const instruction = machine.peek();
    // All its effects are lost: what it pushed, too.
    if (instruction) Object.assign(instruction, { asked: 1 << Reg.RIP, stackStep: 0, batch: undefined });
    step();
  };
}

/** A snapshot is a view of the machine's own state. */
export function snapshotting(machine: Machine): void {
  machine.snapshot = () => ({ registers: machine.u32, memory: { bytes: machine.memory.u8, used: new Map() } });
}

/** What peek finds is the instruction after the next. */
export function peekingAhead(machine: Machine): void {
  const peek = machine.peek.bind(machine);
  machine.peek = () => {
    const here = peek();
    return here && { ...here };
  };
}

/** The registers before a delivery are not kept. */
export function withoutRegistersBefore(machine: Machine): void {
  afterDelivery(machine, () => machine.registersBefore.set(machine.u32));
}

/** Only RIP is named as changed. */
export function namingRipAlone(machine: Machine): void {
  const step = machine.step.bind(machine);
  machine.step = () => {
    step();
    machine.changedRegisters = 1 << Reg.RIP;
  };
}

/** A bit string is taken for a plain operand: only the bits of its first word are reached. */
export function ignoringBitNumbers(machine: Machine): void {
  const { cpu } = machine;
  const addressOf = cpu.addressOf.bind(cpu);
  cpu.addressOf = (operand) => addressOf({ ...operand, bit: -1 });
}
