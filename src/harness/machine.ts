/**
 * The machine as a transition system: in a state, `actions()` says what may happen at this boundary, and `next(action)`
 * makes it happen. Nothing else runs code. The state is the register file and guest memory, and nothing besides.
 */
import { Mnemonic } from 'iced-x86';
import { Cpu, type Device } from '../cpu/cpu.js';
import { Access, type Instruction } from '../cpu/decoder.js';
import { type GuestMemory, type MemorySnapshot, PAGE_SIZE } from '../cpu/memory.js';
import { NotModelled } from '../cpu/not_modelled.js';
import { ENGINE_REGISTERS, Flag, RARE_REGISTERS, Reg } from '../cpu/registers.js';
import type { Profile } from '../profiles/profile.js';
import { breaksBefore, Dr7, noteTraps, watchAccess, watchOperands } from './debug.js';
import { deliverFault } from './delivery.js';
import { ATTENTION, EventState, SHADOWS } from './event_state.js';
import { type Event, eventNamed } from './events.js';
import { InterruptPin } from './interrupt_pin.js';
import { IO_APIC_PAGE, IoApic } from './io_apic.js';
import { LOCAL_APIC_PAGE, LocalApic, localApic } from './local_apic.js';
import { MICROCODE, microcodeNumber } from './microcode/index.js';
import { MSR_ACCESS } from './microcode/model_specific_registers.js';
import { NmiLatch } from './nmi_latch.js';
import { takePending, takesPending } from './priorities.js';
import { Processors } from './processors.js';
import { endShadows } from './shadows.js';
import type { SmmCode } from './smm.js';
import { exitsOnInstruction } from './vm_exit_instructions.js';

/** What may happen at a boundary: the next instruction (or what the processor has to do first), or an event by its name. */
export type Action = string;

/** How control came back to interrupted code. */
export const Return = {
  NONE: 0,
  IRET: 1,
  SYSRET: 2,
  RSM: 3,
  RETF: 4,
  SYSEXIT: 5,
  ERETU: 6,
  ERETS: 7,
  VM_ENTRY: 8,
} as const;

/** What the last transition did besides moving on; for those who watch. */
export interface Happened {
  /** An instruction has been executed in the engine, and that is all: what follows is as it is before a transition. */
  plain: boolean;
  delivered: boolean;
  /** The vector that was delivered in the end, and the one that was to be (they differ when the delivery faulted). */
  vector: number;
  requestedVector: number;
  /** How what was delivered in the end came about, and what was to be. */
  origin: number;
  requestedOrigin: number;
  ist: number;
  /** RSP before the frame was pushed. */
  stackTopHigh: number;
  stackTopLow: number;
  returned: number;
  shutdown: boolean;
  /** Why, if so: the beginning of a sentence. */
  shutdownBecause: string;
  /** The processor that ran until now, if another one runs from now on; else -1. */
  switchedFrom: number;
  /** The basic reason of the VM exit that has happened; -1: none has. */
  vmExit: number;
  /** A guest has been entered. If an event was injected, registersBefore are the guest's without it. */
  vmEntry: boolean;
  /** Why a VM entry has failed, in words. */
  failedCheck: string | undefined;
  /** The instruction is an IRET that has unblocked NMIs, or virtual ones. */
  nmiUnblocked: boolean;
  /** The executed instruction, if one was. */
  instruction: Instruction | undefined;
}

/** A copy of a whole state. */
export interface Snapshot {
  readonly registers: Uint32Array;
  readonly memory: MemorySnapshot;
}

const EVENTS = 2 * Reg.EVENTS;
/** All registers of the engine. */
const ENGINE_MASK = (1 << ENGINE_REGISTERS) - 1;

export class Machine {
  readonly cpu: Cpu;
  readonly u32: Uint32Array;
  readonly nmi: NmiLatch;
  /** The registers as they were before the last delivery. */
  readonly registersBefore: Uint32Array;
  readonly processors: Processors;
  /** The local APICs by the numbers of their processors; empty in a machine whose memory has no region for their state. */
  readonly apics: readonly LocalApic[];
  readonly ioApic: IoApic;
  readonly pin: InterruptPin;
  /** For VM entries and exits, which have lists of MSRs. */
  readonly msrs = MSR_ACCESS;
  /** What the firmware has in SMRAM; without it there are no SMIs. Set when the machine is booted. */
  smm: SmmCode | undefined;
  readonly happened: Happened = {
    plain: false,
    delivered: false,
    vector: 0,
    requestedVector: 0,
    origin: 0,
    requestedOrigin: 0,
    ist: 0,
    stackTopHigh: 0,
    stackTopLow: 0,
    returned: Return.NONE,
    shutdown: false,
    shutdownBecause: '',
    switchedFrom: -1,
    vmExit: -1,
    vmEntry: false,
    failedCheck: undefined,
    nmiUnblocked: false,
    instruction: undefined,
  };
  /** Set when a register beyond the engine's 18 may have changed; cleared by whoever keeps copies. */
  systemChanged = true;
  /** Bit r: register r of the engine (0 to 17) may differ from what it was before the last transition. */
  changedRegisters = ENGINE_MASK;
  /** Set when a register from RARE_REGISTERS on has changed since the machine was made. */
  rareChanged = false;
  /** Result of the last `readSystem`. */
  readLow = 0;
  readHigh = 0;
  /** The stack pointer of the frame that is being pushed. */
  pushLow = 0;
  pushHigh = 0;
  /** Breakpoints, as in DR6, that the running transition has hit; without meaning between two transitions. */
  breakpointsHit = 0;

  #previous: Instruction | undefined;
  /** The instruction at RIP, if `peek` has found it and nothing has changed since. */
  #next: Instruction | undefined;

  constructor(
    readonly memory: GuestMemory,
    readonly profile: Profile,
    processors = 1,
  ) {
    this.cpu = new Cpu(memory, microcodeNumber, processors === 1 ? 1 : 1 + processors, profile.la57);
    this.u32 = this.cpu.u32;
    this.registersBefore = new Uint32Array(this.u32.length);
    this.processors = new Processors(this, processors);
    // The banks of the others belong to each state.
    this.rareChanged = processors > 1;
    this.nmi = new NmiLatch(this.u32, profile);
    this.pin = new InterruptPin(this);
    this.ioApic = new IoApic(this);
    this.apics = Array.from({ length: processors }, (_, n) => [n, memory.hiddenWord(localApic(n))] as const)
      .filter(([, word]) => word >= 0)
      .map(([n, word]) => new LocalApic(this, n, word));
    this.cpu.devices = this.#devices();
    // What the devices have at power-up is no change of the machine.
    memory.journalLength = 0;
    this.cpu.readCount = 0;
    this.cpu.watch = (high, low, size, access) => watchAccess(this, high, low, size, access);
  }

  /** The devices whose registers software reaches through pages of memory. */
  #devices(): ReadonlyMap<number, Device> {
    const local: Device = {
      load: (offset, size) => this.apic!.load(offset, size),
      store: (offset, size, value) => this.apic!.store(offset, size, value),
    };
    const pages = [
      [LOCAL_APIC_PAGE, local],
      [IO_APIC_PAGE, this.ioApic],
    ] as const;
    return new Map(pages.map(([name, device]) => [this.memory.offsetOf(name) / PAGE_SIZE, device]));
  }

  /** The local APIC of the running processor; undefined if the machine has none. */
  get apic(): LocalApic | undefined {
    return this.apics[this.processors.running];
  }

  /** The actions that change the state here: the step, and those of `events` that can be fired. */
  actions(events: readonly string[]): Action[] {
    const state = this.u32[EVENTS]!;
    if (state & EventState.SHUTDOWN) return [];
    const list: Action[] = [];
    if (!(state & (EventState.HALTED | EventState.WAIT_FOR_SIPI)) || takesPending(this, state)) list.push('step');
    return [...list, ...events.filter((name) => this.may(name))];
  }

  /** Whether an event can be fired at this boundary and would change the state. */
  may(name: string): boolean {
    const event = eventNamed(name);
    return event.possible(this, this.u32[EVENTS]!) && event.may(this);
  }

  /** Makes `action` happen. It must be one of `actions()`. */
  next(action: Action): void {
    if (action === 'step') this.step();
    else this.fire(eventNamed(action));
  }

  /** The instruction at RIP; undefined where none can be fetched. */
  peek(): Instruction | undefined {
    this.#next ??= this.cpu.fetch(this.#previous);
    return this.#next;
  }

  /** Executes the next instruction, or delivers what has to be delivered before it. */
  step(): void {
    const happened = this.#begin();
    const events = this.u32[EVENTS]!;
    if (events & ATTENTION && this.#attend(events)) return;
    const shadows = events & SHADOWS;
    const rflags = this.u32[2 * Reg.RFLAGS]!;
    let debugged = (rflags & Flag.TF) | (this.u32[2 * Reg.DR7]! & Dr7.ENABLED);
    if (debugged !== 0 && breaksBefore(this)) return;
    const instruction = this.#next ?? this.cpu.fetch(this.#previous);
    this.#next = undefined;
    if (instruction === undefined) {
      this.#previous = undefined;
      deliverFault(this);
      return;
    }
    happened.instruction = instruction;
    if (instruction.microcode < 0) {
      if (debugged !== 0) watchOperands(this, instruction);
      if (this.cpu.execute(instruction)) {
        this.#previous = instruction;
        happened.plain = true;
        // An RF that was set has been cleared.
        this.changedRegisters = rflags & Flag.RF ? instruction.results | (1 << Reg.RFLAGS) : instruction.results;
      } else {
        this.#previous = undefined;
        deliverFault(this);
        return;
      }
    } else {
      this.#previous = undefined;
      this.changed();
      if (events & EventState.VMX_NON_ROOT && exitsOnInstruction(this, instruction)) return;
      if (!MICROCODE[instruction.microcode]!(this, instruction)) {
        deliverFault(this);
        return;
      }
      // What follows belongs to the instruction's own side of a VM entry or exit.
      if (happened.vmEntry || happened.vmExit >= 0) return;
      // Between two iterations of INS and OUTS, RIP stays and RF is set, as for the engine's string instructions.
      if (!happened.returned && (this.u32[2 * Reg.RIP]! | 0) !== instruction.low) this.u32[2 * Reg.RFLAGS]! &= ~Flag.RF;
      debugged |= this.u32[2 * Reg.RFLAGS]! & Flag.TF;
    }
    if (shadows !== 0) endShadows(this, shadows, instruction);
    if (debugged !== 0) noteTraps(this, instruction, rflags);
    if (this.processors.count > 1) {
      this.processors.settle();
      if (instruction.mnemonic === Mnemonic.Pause) this.processors.yield();
    }
  }

  /** Forgets what the last transition did. */
  #begin(): Happened {
    this.changedRegisters = ENGINE_MASK;
    const { happened } = this;
    happened.instruction = undefined;
    if (happened.plain) {
      happened.plain = false;
      return happened;
    }
    happened.delivered = false;
    happened.returned = Return.NONE;
    happened.shutdown = false;
    happened.switchedFrom = -1;
    happened.vmExit = -1;
    happened.vmEntry = false;
    happened.failedCheck = undefined;
    happened.nmiUnblocked = false;
    return happened;
  }

  /** What comes before the next instruction; true if something does, or nothing can be executed. */
  #attend(events: number): boolean {
    if (takePending(this)) return true;
    if (events & (EventState.HALTED | EventState.SHUTDOWN | EventState.WAIT_FOR_SIPI)) {
      if (this.processors.count > 1) this.processors.yield();
      return true;
    }
    if (events & EventState.COMPATIBILITY) {
      throw new NotModelled(
        this.cpu.regs.u64[Reg.RIP]!,
        'is executed in compatibility mode, which is not modelled; keep 16-bit and 32-bit code out of the code under test',
      );
    }
    return false;
  }

  /** Fires an event at this boundary. */
  fire(event: Event): void {
    this.#begin();
    this.systemChanged = true;
    event.fire(this);
  }

  /** To be called before an event is delivered: what is known about the last and the next instruction is void. */
  leaveInstruction(): void {
    this.#previous = undefined;
    this.#next = undefined;
  }

  /** The processor shuts down: nothing runs any more. `because` is the beginning of a sentence, for the report. */
  shutDown(because: string): void {
    this.u32[EVENTS]! |= EventState.SHUTDOWN;
    this.happened.shutdown = true;
    this.happened.shutdownBecause = because;
    this.changed();
  }

  /** To be called by whatever changes registers behind the engine's back. */
  changed(): void {
    this.changedRegisters = ENGINE_MASK;
    this.cpu.registersChanged = true;
    this.cpu.basesChanged = true;
    this.selectSpace();
    this.systemChanged = true;
  }

  /** To be called by whatever may have changed CR3, or entered or left SMM, if it does not call `changed`. */
  selectSpace(): void {
    this.cpu.selectSpace((this.u32[EVENTS]! & EventState.SMM) !== 0);
  }

  /** To be called by microcode that writes a register from RARE_REGISTERS on. */
  rareChange(register: number): void {
    if (register >= RARE_REGISTERS) this.rareChanged = true;
  }

  /** To be called when the engine's registers have been replaced, and nothing else. */
  replacedGeneral(): void {
    this.cpu.registersChanged = true;
    this.#previous = undefined;
    this.#next = undefined;
  }

  /** To be called when registers have been replaced as a whole: nothing known about the last instruction holds. */
  replaced(): void {
    this.changed();
    this.#previous = undefined;
    this.#next = undefined;
  }

  snapshot(): Snapshot {
    return { registers: this.u32.slice(), memory: this.memory.snapshot() };
  }

  restore(snapshot: Snapshot): void {
    this.u32.set(snapshot.registers);
    this.memory.restore(snapshot.memory);
    this.replaced();
  }

  /** Reads 8 bytes at (register `base`) + `offset` as the processor does for its tables; false on a fault. */
  readSystem(base: number, offset: number): boolean {
    const cpu = this.cpu;
    let low = this.u32[2 * base]! + offset;
    let high = this.u32[2 * base + 1]!;
    if (low > 0xffffffff) high = (high + 1) >>> 0;
    low >>>= 0;
    if (!cpu.access(high, low, 8, Access.READ | Access.IMPLICIT, false, false)) return false;
    this.readChecked();
    return true;
  }

  /** Reads the 64-bit stack word at RSP + `offset` with the rights of the current ring; false when that faults. */
  readStack(offset: number): boolean {
    const cpu = this.cpu;
    let low = this.u32[2 * Reg.RSP]! + offset;
    let high = this.u32[2 * Reg.RSP + 1]!;
    if (low > 0xffffffff) high = (high + 1) >>> 0;
    low >>>= 0;
    if (!cpu.access(high, low, 8, Access.READ, cpu.cpl === 3, true)) return false;
    this.readChecked();
    return true;
  }

  /** Reads the 8 bytes whose access was checked last into `readLow` and `readHigh`. */
  readChecked(): void {
    const cpu = this.cpu;
    cpu.noteAccess(8, Access.READ);
    if (cpu.accessCrosses) {
      const value = cpu.loadChecked(8);
      this.readLow = Number(value & 0xffffffffn);
      this.readHigh = Number(value >> 32n);
    } else {
      this.readLow = this.memory.view.getUint32(cpu.accessOffset, true);
      this.readHigh = this.memory.view.getUint32(cpu.accessOffset + 4, true);
    }
  }

  /**
   * Reads the descriptor of `selector` in the GDT or the LDT into `readLow` and `readHigh`; beyond the table's limit it
   * raises `vector` with `code`.
   */
  readDescriptor(selector: number, vector: number, code: number): boolean {
    const local = selector & 4;
    const limit = local ? Reg.LDTR_LIMIT : Reg.GDTR_LIMIT;
    if ((selector | 7) > this.u32[2 * limit]!) return this.cpu.raiseWith(vector, code);
    return this.readSystem(local ? Reg.LDTR_BASE : Reg.GDTR_BASE, selector & 0xfff8);
  }

  /** Pushes 8 bytes of an event's frame, as the processor does: with supervisor rights, below push{High,Low}. */
  push(low: number, high: number): boolean {
    let to = this.pushLow - 8;
    let toHigh = this.pushHigh;
    if (to < 0) {
      to += 0x100000000;
      toHigh = (toHigh - 1) >>> 0;
    }
    const cpu = this.cpu;
    if (!cpu.access(toHigh, to, 8, Access.WRITE | Access.IMPLICIT, false, true)) return false;
    cpu.noteAccess(8, Access.WRITE);
    const word = cpu.accessOffset >>> 2;
    this.memory.u32[word] = low;
    this.memory.u32[word + 1] = high;
    this.pushLow = to;
    this.pushHigh = toHigh;
    return true;
  }
}
