/**
 * VM entries (SDM vol. 3, chapter 26): the checks of the controls, of the host's state and of the guest's, in this order, the
 * load of the guest's state, and the injection of an event. Each check that can fail has a sentence of its own, with its
 * section, for those who ask why an entry has failed.
 *
 * Refused, since the machine lacks what they need: guests that are not in IA-32e mode, CR0 and CR4 masks.
 */
import { Vector } from '../cpu/cpu.js';
import { NotModelled } from '../cpu/not_modelled.js';
import { Flag, Reg } from '../cpu/registers.js';
import { MAX_INSTRUCTION } from '../image/instructions.js';
import { deliver, Origin } from './delivery.js';
import { EventState, PENDING_DEBUG, PENDING_DEBUG_SHIFT, SHADOWS } from './event_state.js';
import { EventType } from './fred.js';
import type { Machine } from './machine.js';
import { failEntry, loadGuestRegisters, PendingDebug } from './vm_exit.js';
import { loadMsrsAtEntry, misalignedList } from './vm_msr_lists.js';
import { currentVmcs, type FieldName, NO_VMCS, readField, readField32, setLaunched } from './vmcs.js';
import {
  Activity,
  ALLOWED,
  type Allowed,
  EntryControl,
  ExitControl,
  ExitReason,
  FIXED,
  Interruptibility,
  Interruption,
  PinBased,
  ProcessorBased,
} from './vmx.js';

/** VM-instruction errors of entries (30.4). */
const EntryError = { CONTROLS: 7, HOST_STATE: 8 } as const;

const EVENTS = 2 * Reg.EVENTS;
const PHYSICAL_ADDRESS_BITS = 52n;
const CR4_PAE = 1 << 5;
const EFER_LME_LMA = 0x500;
const EFER_DEFINED = 0xd01;
const RFLAGS_RESERVED = 0xffc08028;
const DEBUGCTL_BTF = 1 << 1;
const TSS_BUSY_64 = 11;
const SELECTOR_TI = 4;
const UNUSABLE = 1 << 16;

/** Hardware exceptions with an error code. */
const WITH_ERROR_CODE: ReadonlySet<number> = new Set([
  ...[Vector.DF, Vector.TS, Vector.NP, Vector.SS, Vector.GP, Vector.PF, Vector.AC],
]);

/** Enters the guest of the current VMCS. Returns the error if controls or the host's state forbid it, else 0. */
export function vmEntry(machine: Machine): number {
  const controls = controlsFailure(machine);
  if (controls !== undefined) return fail(machine, EntryError.CONTROLS, controls);
  const host = hostFailure(machine);
  if (host !== undefined) return fail(machine, EntryError.HOST_STATE, host);
  const guest = guestFailure(machine);
  if (guest !== undefined) {
    machine.happened.failedCheck = guest;
    failEntry(machine, ExitReason.INVALID_GUEST_STATE, guest === LINK_POINTER ? LINK_POINTER_QUALIFICATION : 0n);
    return 0;
  }
  enter(machine);
  return 0;
}

function fail(machine: Machine, error: number, check: string): number {
  machine.happened.failedCheck = check;
  return error;
}

/** What the injected event is: the parts of the VM-entry interruption information. */
function injection(machine: Machine) {
  const information = readField32(machine, 'ENTRY_INTERRUPTION_INFORMATION');
  return {
    information,
    valid: (information & Interruption.VALID) !== 0,
    vector: information & 0xff,
    type: (information >>> Interruption.TYPE_SHIFT) & 7,
    hasCode: (information & Interruption.ERROR_CODE) !== 0,
  };
}

function canonical(machine: Machine, name: FieldName): boolean {
  return machine.cpu.isCanonical(Number(readField(machine, name) >> 32n));
}

// 26.2.1: controls ------------------------------------------------------------------------------------------------------

function outside(value: number, { ones, may }: Allowed): boolean {
  return (value & ones) >>> 0 !== ones >>> 0 || (value & ~may) !== 0;
}

function controlsFailure(machine: Machine): string | undefined {
  const field = (name: FieldName): number => readField32(machine, name);
  const pin = field('PIN_BASED_CONTROLS');
  const processor = field('PROCESSOR_BASED_CONTROLS');
  if (outside(pin, ALLOWED.pin)) return `pin-based controls 0x${pin.toString(16)} have reserved bits (SDM 26.2.1.1)`;
  if (outside(processor, ALLOWED.processor))
    return `processor-based controls 0x${processor.toString(16)} have reserved bits (SDM 26.2.1.1)`;
  if (pin & PinBased.VIRTUAL_NMIS && !(pin & PinBased.NMI_EXITING))
    return '"virtual NMIs" is 1, but "NMI exiting" is 0 (SDM 26.2.1.1)';
  if (processor & ProcessorBased.NMI_WINDOW_EXITING && !(pin & PinBased.VIRTUAL_NMIS))
    return '"NMI-window exiting" is 1, but "virtual NMIs" is 0 (SDM 26.2.1.1)';
  const exit = field('EXIT_CONTROLS');
  const entry = field('ENTRY_CONTROLS');
  if (outside(exit, ALLOWED.exit)) return `VM-exit controls 0x${exit.toString(16)} have reserved bits (SDM 26.2.1.2)`;
  if (outside(entry, ALLOWED.entry))
    return `VM-entry controls 0x${entry.toString(16)} have reserved bits (SDM 26.2.1.3)`;
  const misaligned = misalignedList(machine);
  if (misaligned !== undefined) return `${misaligned} is not a multiple of 16 (SDM 26.2.1.2)`;
  refuseMissing(machine, entry);
  return injectionFailure(machine);
}

/** What processors have and the machine has not. */
function refuseMissing(machine: Machine, entry: number): void {
  const refuse = (what: string): never => {
    throw new NotModelled(machine.cpu.regs.u64[Reg.RIP]!, `${what}, which is not modelled`);
  };
  if (!(entry & EntryControl.GUEST_IA32E)) refuse('enters a guest that is not in IA-32e mode');
  if (readField(machine, 'CR0_MASK') !== 0n || readField(machine, 'CR4_MASK') !== 0n)
    refuse('enters a guest with a CR0 or CR4 guest/host mask');
  if (readField32(machine, 'CR3_TARGET_COUNT') !== 0) refuse('enters a guest with CR3-target values');
}

/** 26.2.1.3: the fields of the injected event. */
function injectionFailure(machine: Machine): string | undefined {
  const { information, valid, vector, type, hasCode } = injection(machine);
  if (!valid) return undefined;
  const what = `the injected event (0x${information.toString(16)})`;
  if (information & ~Interruption.VALID & Interruption.RESERVED) return `${what} has reserved bits (SDM 26.2.1.3)`;
  if (type === 1 || type === EventType.OTHER) return `${what} has type ${type}, which is reserved (SDM 26.2.1.3)`;
  if (type === EventType.NMI && vector !== Vector.NMI) return `${what} is an NMI whose vector is not 2 (SDM 26.2.1.3)`;
  if (type === EventType.HARDWARE_EXCEPTION && vector > 31)
    return `${what} is a hardware exception with a vector above 31 (SDM 26.2.1.3)`;
  const needsCode = type === EventType.HARDWARE_EXCEPTION && WITH_ERROR_CODE.has(vector);
  if (hasCode !== needsCode) return `${what} ${needsCode ? 'lacks' : 'must not have'} an error code (SDM 26.2.1.3)`;
  if (hasCode && readField32(machine, 'ENTRY_EXCEPTION_ERROR_CODE') >>> 16 !== 0)
    return `${what} has an error code of more than 16 bits (SDM 26.2.1.3)`;
  const length = readField32(machine, 'ENTRY_INSTRUCTION_LENGTH');
  if (type >= EventType.SOFTWARE_INTERRUPT && (length < 1 || length > MAX_INSTRUCTION))
    return `${what} is raised by software, and the instruction length is ${length}, not 1 to 15 (SDM 26.2.1.3)`;
  return undefined;
}

// 26.2.2 to 26.2.4: the host --------------------------------------------------------------------------------------------

function hostFailure(machine: Machine): string | undefined {
  const field = (name: FieldName): number => readField32(machine, name);
  const cr4 = field('HOST_CR4');
  if ((field('HOST_CR0') & FIXED.CR0) >>> 0 !== FIXED.CR0) return 'host CR0 lacks PE, NE or PG (SDM 26.2.2)';
  if (!(cr4 & FIXED.CR4)) return 'host CR4 lacks VMXE (SDM 26.2.2)';
  if (readField(machine, 'HOST_CR3') >> PHYSICAL_ADDRESS_BITS !== 0n) return 'host CR3 has reserved bits (SDM 26.2.2)';
  const bases = ['HOST_SYSENTER_ESP', 'HOST_SYSENTER_EIP'] as const;
  const bad = bases.find((name) => !canonical(machine, name));
  if (bad) return `${bad} is not canonical (SDM 26.2.2)`;
  for (const name of ['CS', 'SS', 'DS', 'ES', 'FS', 'GS', 'TR'] as const) {
    if (field(`HOST_${name}_SELECTOR`) & 7) return `the host's ${name} selector has an RPL or is local (SDM 26.2.3)`;
  }
  if (field('HOST_CS_SELECTOR') === 0) return "the host's CS selector is null (SDM 26.2.3)";
  if (field('HOST_TR_SELECTOR') === 0) return "the host's TR selector is null (SDM 26.2.3)";
  const addresses = ['HOST_FS_BASE', 'HOST_GS_BASE', 'HOST_GDTR_BASE', 'HOST_IDTR_BASE', 'HOST_TR_BASE'] as const;
  const base = addresses.find((name) => !canonical(machine, name));
  if (base) return `${base} is not canonical (SDM 26.2.3)`;
  if (!(field('EXIT_CONTROLS') & ExitControl.HOST_64_BIT))
    return '"host address-space size" is 0 in IA-32e mode (SDM 26.2.4)';
  if (!(cr4 & CR4_PAE)) return 'host CR4 lacks PAE (SDM 26.2.4)';
  if (!canonical(machine, 'HOST_RIP')) return 'host RIP is not canonical (SDM 26.2.4)';
  return undefined;
}

// 26.3.1: the guest -----------------------------------------------------------------------------------------------------

const LINK_POINTER = 'the VMCS link pointer is not FFFFFFFF_FFFFFFFFH (SDM 26.3.1.5)';
const LINK_POINTER_QUALIFICATION = 4n;

function guestFailure(machine: Machine): string | undefined {
  return (
    controlRegistersFailure(machine) ??
    segmentsFailure(machine) ??
    rflagsFailure(machine) ??
    nonRegisterFailure(machine)
  );
}

/** 26.3.1.1. */
function controlRegistersFailure(machine: Machine): string | undefined {
  const field = (name: FieldName): number => readField32(machine, name);
  if ((field('GUEST_CR0') & FIXED.CR0) >>> 0 !== FIXED.CR0) return 'guest CR0 lacks PE, NE or PG (SDM 26.3.1.1)';
  if (!(field('GUEST_CR4') & FIXED.CR4)) return 'guest CR4 lacks VMXE (SDM 26.3.1.1)';
  if (!(field('GUEST_CR4') & CR4_PAE)) return 'guest CR4 lacks PAE, and the guest is in IA-32e mode (SDM 26.3.1.1)';
  if (readField(machine, 'GUEST_CR3') >> PHYSICAL_ADDRESS_BITS !== 0n)
    return 'guest CR3 has reserved bits (SDM 26.3.1.1)';
  const entry = field('ENTRY_CONTROLS');
  if (entry & EntryControl.LOAD_DEBUG && readField(machine, 'GUEST_DR7') >> 32n !== 0n)
    return 'guest DR7 has bits above 31 (SDM 26.3.1.1)';
  const bad = (['GUEST_SYSENTER_ESP', 'GUEST_SYSENTER_EIP'] as const).find((name) => !canonical(machine, name));
  if (bad) return `${bad} is not canonical (SDM 26.3.1.1)`;
  if (!(entry & EntryControl.LOAD_EFER)) return undefined;
  const efer = readField(machine, 'GUEST_EFER');
  if (efer & ~BigInt(EFER_DEFINED)) return 'guest IA32_EFER has reserved bits (SDM 26.3.1.1)';
  if ((Number(efer) & EFER_LME_LMA) !== EFER_LME_LMA)
    return 'guest IA32_EFER lacks LMA or LME, and the guest is in IA-32e mode (SDM 26.3.1.1)';
  return undefined;
}

/** 26.3.1.2 and 26.3.1.3. */
function segmentsFailure(machine: Machine): string | undefined {
  const field = (name: FieldName): number => readField32(machine, name);
  const cs = field('GUEST_CS_SELECTOR');
  const ss = field('GUEST_SS_SELECTOR');
  if (field('GUEST_TR_SELECTOR') & SELECTOR_TI) return "the guest's TR selector is local (SDM 26.3.1.2)";
  if ((cs & 3) !== (ss & 3)) return "the RPLs of the guest's CS and SS selectors differ (SDM 26.3.1.2)";
  const bases = ['TR', 'FS', 'GS'].map((name) => `GUEST_${name}_BASE` as FieldName);
  const bad = bases.find((name) => !canonical(machine, name));
  if (bad) return `${bad} is not canonical (SDM 26.3.1.2)`;
  const rights = field('GUEST_CS_ACCESS_RIGHTS');
  if (rights & UNUSABLE || (rights & 0x99) !== 0x99)
    return "the guest's CS is no present, accessed code segment (SDM 26.3.1.2)";
  const tss = field('GUEST_TR_ACCESS_RIGHTS');
  if (tss & UNUSABLE || (tss & 0x9f) !== (TSS_BUSY_64 | 0x80))
    return "the guest's TR is no present, busy 64-bit TSS (SDM 26.3.1.2)";
  if (!(rights & (1 << 13)))
    throw new NotModelled(machine.cpu.regs.u64[Reg.RIP]!, 'enters a guest in compatibility mode');
  const tables = (['GUEST_GDTR_BASE', 'GUEST_IDTR_BASE'] as const).find((name) => !canonical(machine, name));
  if (tables) return `${tables} is not canonical (SDM 26.3.1.3)`;
  if (field('GUEST_GDTR_LIMIT') > 0xffff || field('GUEST_IDTR_LIMIT') > 0xffff)
    return 'a limit of a descriptor table has bits above 15 (SDM 26.3.1.3)';
  return undefined;
}

/** 26.3.1.4. */
function rflagsFailure(machine: Machine): string | undefined {
  if (!canonical(machine, 'GUEST_RIP')) return 'guest RIP is not canonical (SDM 26.3.1.4)';
  const rflags = readField(machine, 'GUEST_RFLAGS');
  const low = Number(rflags & 0xffffffffn);
  if (rflags >> 32n !== 0n || low & RFLAGS_RESERVED || !(low & Flag.ONE))
    return 'guest RFLAGS has reserved bits that are not as they must be (SDM 26.3.1.4)';
  if (low & Flag.VM) return 'guest RFLAGS.VM is 1 in IA-32e mode (SDM 26.3.1.4)';
  const { valid, type } = injection(machine);
  if (valid && type === EventType.INTERRUPT && !(low & Flag.IF))
    return 'an external interrupt is injected, and guest RFLAGS.IF is 0 (SDM 26.3.1.4)';
  return undefined;
}

/** 26.3.1.5. */
function nonRegisterFailure(machine: Machine): string | undefined {
  const activity = readField32(machine, 'GUEST_ACTIVITY');
  const state = readField32(machine, 'GUEST_INTERRUPTIBILITY');
  const rflags = readField32(machine, 'GUEST_RFLAGS');
  const { valid, type, vector } = injection(machine);
  const shadow = state & (Interruptibility.STI | Interruptibility.MOV_SS);
  if (activity > Activity.HLT) return `activity state ${activity} is not supported (SDM 26.3.1.5)`;
  if (activity === Activity.HLT) {
    if (readField32(machine, 'GUEST_SS_SELECTOR') & 3) return 'activity state HLT outside ring 0 (SDM 26.3.1.5)';
    if (shadow) return 'activity state HLT with blocking by STI or MOV SS (SDM 26.3.1.5)';
    const exception = type === EventType.HARDWARE_EXCEPTION && (vector === Vector.DB || vector === Vector.MC);
    if (valid && type !== EventType.INTERRUPT && type !== EventType.NMI && !exception)
      return 'an event is injected in activity state HLT that is no interrupt, NMI, #DB or #MC (SDM 26.3.1.5)';
  }
  if (state & ~Interruptibility.DEFINED) return 'the interruptibility state has reserved bits (SDM 26.3.1.5)';
  if (shadow === (Interruptibility.STI | Interruptibility.MOV_SS))
    return 'blocking by STI and by MOV SS at once (SDM 26.3.1.5)';
  if (shadow & Interruptibility.STI && !(rflags & Flag.IF))
    return 'blocking by STI, and guest RFLAGS.IF is 0 (SDM 26.3.1.5)';
  if (state & Interruptibility.SMI) return 'blocking by SMI outside SMM (SDM 26.3.1.5)';
  if (valid && type === EventType.INTERRUPT && shadow)
    return 'an external interrupt is injected with blocking by STI or MOV SS (SDM 26.3.1.5)';
  if (valid && type === EventType.NMI) {
    if (state & Interruptibility.MOV_SS) return 'an NMI is injected with blocking by MOV SS (SDM 26.3.1.5)';
    if (machine.profile.stiShadowBlocksNmi && state & Interruptibility.STI)
      return 'an NMI is injected with blocking by STI, which this processor does not allow (SDM 26.3.1.5)';
    if (readField32(machine, 'PIN_BASED_CONTROLS') & PinBased.VIRTUAL_NMIS && state & Interruptibility.NMI)
      return 'an NMI is injected while virtual NMIs are blocked (SDM 26.3.1.5)';
  }
  const pending = readField(machine, 'GUEST_PENDING_DEBUG');
  if (pending & ~BigInt(PendingDebug.DEFINED)) return 'the pending debug exceptions have reserved bits (SDM 26.3.1.5)';
  if (shadow || activity === Activity.HLT) {
    const steps = (rflags & Flag.TF) !== 0 && !(readField32(machine, 'GUEST_DEBUGCTL') & DEBUGCTL_BTF);
    const bs = (Number(pending) & PendingDebug.BS) !== 0;
    if (steps && !bs)
      return 'guest RFLAGS.TF is 1 with blocking by STI or MOV SS, or in HLT, and no single step is pending (SDM 26.3.1.5)';
    if (!steps && bs)
      return 'a single step is pending with blocking by STI or MOV SS, or in HLT, and guest RFLAGS.TF is 0 (SDM 26.3.1.5)';
  }
  return readField(machine, 'VMCS_LINK_POINTER') === NO_VMCS ? undefined : LINK_POINTER;
}

// 26.3.2, 26.5, 26.6: the entry -----------------------------------------------------------------------------------------

function enter(machine: Machine): void {
  const { u32 } = machine;
  const field = (name: FieldName): number => readField32(machine, name);
  machine.leaveInstruction();
  machine.rareChange(Reg.TR);
  const entry = field('ENTRY_CONTROLS');
  const withDebug = (entry & EntryControl.LOAD_DEBUG) !== 0;
  loadGuestRegisters(machine, withDebug, (entry & EntryControl.LOAD_EFER) !== 0);
  const unloaded = loadMsrsAtEntry(machine);
  if (unloaded !== 0) {
    machine.happened.failedCheck = `entry ${unloaded} of the list of MSRs to load cannot be loaded (SDM 26.4)`;
    failEntry(machine, ExitReason.MSR_LOADING, BigInt(unloaded));
    return;
  }
  const { valid } = injection(machine);
  setEvents(machine, valid, pendingDebug(machine));
  setLaunched(machine, currentVmcs(machine), true);
  machine.changed();
  machine.happened.vmEntry = true;
  machine.registersBefore.set(u32);
  if (valid) inject(machine);
}

/**
 * The pending debug exceptions that the guest begins with (26.6.3). They are valid with BS or the enable-breakpoint bit, and an
 * injected event takes their place: any but a software interrupt or software exception while MOV SS defers them. (Of one
 * with a vector other than 3 and 4 the manual leaves it open; here they are then delivered after it.)
 */
function pendingDebug(machine: Machine): number {
  const pending = readField32(machine, 'GUEST_PENDING_DEBUG');
  if (!(pending & (PendingDebug.BS | PendingDebug.ENABLED_BREAKPOINT))) return 0;
  const { valid, type } = injection(machine);
  if (!valid) return pending;
  const deferred = (readField32(machine, 'GUEST_INTERRUPTIBILITY') & Interruptibility.MOV_SS) !== 0;
  const software = type === EventType.SOFTWARE_INTERRUPT || type === EventType.SOFTWARE_EXCEPTION;
  return software && deferred ? pending : 0;
}

/** What the guest's non-register state and the controls make of EVENTS (26.6.1 and 26.6.2). */
function setEvents(machine: Machine, vectoring: boolean, pending: number): void {
  const { u32 } = machine;
  const pin = readField32(machine, 'PIN_BASED_CONTROLS');
  const processor = readField32(machine, 'PROCESSOR_BASED_CONTROLS');
  const state = readField32(machine, 'GUEST_INTERRUPTIBILITY');
  const virtual = (pin & PinBased.VIRTUAL_NMIS) !== 0;
  const blocked = (state & Interruptibility.NMI) !== 0;
  const bits: readonly (readonly [boolean, number])[] = [
    [!vectoring && (state & Interruptibility.STI) !== 0, EventState.STI_SHADOW],
    [!vectoring && (state & Interruptibility.MOV_SS) !== 0, EventState.MOV_SS_SHADOW],
    [readField32(machine, 'GUEST_ACTIVITY') === Activity.HLT, EventState.HALTED],
    // With virtual NMIs, real ones are not blocked in the guest, whatever they were in the host.
    [blocked, virtual ? EventState.VIRTUAL_NMI_BLOCKED : EventState.NMI_BLOCKED],
    [(pin & PinBased.EXTERNAL_INTERRUPT_EXITING) !== 0, EventState.INTERRUPT_EXITING],
    [(pin & PinBased.NMI_EXITING) !== 0, EventState.NMI_EXITING],
    [virtual, EventState.VIRTUAL_NMIS],
    [
      (processor & (ProcessorBased.INTERRUPT_WINDOW_EXITING | ProcessorBased.NMI_WINDOW_EXITING)) !== 0,
      EventState.WINDOW_EXITING,
    ],
    [(pending & PendingDebug.BS) !== 0, EventState.PENDING_BS],
  ];
  const over = SHADOWS | PENDING_DEBUG | EventState.NMI_BLOCKED;
  u32[EVENTS] = bits.reduce(
    (events, [set, bit]) => (set ? events | bit : events),
    (u32[EVENTS]! & ~over) | EventState.VMX_NON_ROOT | ((pending & PendingDebug.B0_TO_B3) << PENDING_DEBUG_SHIFT),
  );
}

/** The injected event is delivered through the guest's IDT, as if it had arisen there (26.5.1). */
function inject(machine: Machine): void {
  const { vector, type, hasCode } = injection(machine);
  const code = hasCode ? readField32(machine, 'ENTRY_EXCEPTION_ERROR_CODE') : undefined;
  const software = type >= EventType.SOFTWARE_INTERRUPT;
  const length = software ? readField32(machine, 'ENTRY_INSTRUCTION_LENGTH') : 0;
  if (type === EventType.NMI) {
    const virtual = machine.u32[EVENTS]! & EventState.VIRTUAL_NMIS;
    machine.u32[EVENTS]! |= virtual ? EventState.VIRTUAL_NMI_BLOCKED : EventState.NMI_BLOCKED;
  }
  deliver(machine, vector, originOf(type), code, length, 0, type);
}

/** What `deliver` takes an injected event of this type for. */
function originOf(type: number): number {
  switch (type) {
    case EventType.INTERRUPT:
      return Origin.INTERRUPT;
    case EventType.NMI:
      return Origin.EXTERNAL;
    case EventType.SOFTWARE_INTERRUPT:
    case EventType.SOFTWARE_EXCEPTION:
      return Origin.SOFTWARE;
    default:
      return Origin.EXCEPTION;
  }
}
