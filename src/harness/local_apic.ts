/**
 * The local APIC of one processor (SDM vol. 3, chapter 10 "Advanced Programmable Interrupt Controller"; chapter 11 in newer
 * printings), reached through the xAPIC page or, in x2APIC mode, through the MSRs 800H to 83FH. It keeps what it has accepted
 * (IRR), what is being served (ISR), hands the highest to the processor when its class is above the processor's
 * priority, and sends messages to other local APICs (ICR) and the ends of level-triggered interrupts to the I/O APIC.
 *
 * Departures: messages take no time, so the delivery status is always idle, no interrupt is ever found spurious, and a
 * self-IPI is pending at the boundary after the instruction that sends it. Time stands still: the timer never expires
 * and its current count stays at the initial count. Nothing in the machine counts events or heats up, so LVT CMCI,
 * thermal sensor and performance counters are registers only.
 */
import { NotModelled } from '../cpu/not_modelled.js';
import { Reg } from '../cpu/registers.js';
import { EventState } from './event_state.js';
import type { Machine } from './machine.js';
import { BROADCAST, BROADCAST_8, DeliveryMode, type Message, send } from './message.js';

/** The hidden region with the state of processor `n`'s local APIC. */
export const localApic = (n: number): string => `local APIC ${n}`;
/** The region through which software reaches the local APIC of the processor that it runs on. */
export const LOCAL_APIC_PAGE = 'local APIC page';
/** The physical address of the xAPIC page. */
export const LOCAL_APIC_ADDRESS = 0xfee00000;

/** IA32_APIC_BASE bits (SDM vol. 3, figure 10-26). */
export const ApicBase = { BSP: 1 << 8, EXTD: 1 << 10, EN: 1 << 11 } as const;
const BASE_RESERVED = 0x2ff;
/** Of the upper half: beyond 52 physical address bits. */
const BASE_RESERVED_HIGH = 0xfff00000;

/**
 * Registers by their number: offset in the page / 16, or MSR - 800H (SDM vol. 3, tables 10-1 and 10-6). The state has
 * one 64-bit word for each; the value is the low half.
 */
export const Register = {
  ID: 0x02,
  VERSION: 0x03,
  TPR: 0x08,
  APR: 0x09,
  PPR: 0x0a,
  EOI: 0x0b,
  RRD: 0x0c,
  LDR: 0x0d,
  DFR: 0x0e,
  SVR: 0x0f,
  ISR: 0x10,
  TMR: 0x18,
  IRR: 0x20,
  ESR: 0x28,
  LVT_CMCI: 0x2f,
  ICR: 0x30,
  ICR_HIGH: 0x31,
  LVT_TIMER: 0x32,
  LVT_THERMAL: 0x33,
  LVT_COUNTERS: 0x34,
  LVT_LINT0: 0x35,
  LVT_LINT1: 0x36,
  LVT_ERROR: 0x37,
  INITIAL_COUNT: 0x38,
  CURRENT_COUNT: 0x39,
  DIVIDE: 0x3e,
  SELF_IPI: 0x3f,
} as const;

/** Words of the state behind the registers. */
const Word = {
  /** Errors since the ESR was last written. */
  ERRORS: 0x40,
  /** 1 while an ExtINT message waits for its acknowledge cycle. */
  EXTINT: 0x41,
} as const;

/** Version 15H, LVT entries up to number 6 (CMCI), no suppression of EOI broadcasts. */
const VERSION = 0x15 | (6 << 16);
const SVR_ENABLED = 1 << 8;
const LVT_MASKED = 1 << 16;
const LVT_VECTOR_AND_MODE = 0x7ff | LVT_MASKED;
/** Destination format: bits 31 to 28 are 1111 for the flat model, 0000 for clusters; the rest are ones. */
const DFR_FLAT = 0xf;

/** Bits that software can write; the others are reserved or read-only. */
const WRITABLE: ReadonlyMap<number, number> = new Map([
  [Register.TPR, 0xff],
  [Register.SVR, 0xff | SVR_ENABLED],
  [Register.LVT_CMCI, LVT_VECTOR_AND_MODE],
  [Register.LVT_TIMER, 0xff | LVT_MASKED | (3 << 17)],
  [Register.LVT_THERMAL, LVT_VECTOR_AND_MODE],
  [Register.LVT_COUNTERS, LVT_VECTOR_AND_MODE],
  [Register.LVT_LINT0, LVT_VECTOR_AND_MODE | (1 << 13) | (1 << 15)],
  [Register.LVT_LINT1, LVT_VECTOR_AND_MODE | (1 << 13) | (1 << 15)],
  [Register.LVT_ERROR, 0xff | LVT_MASKED],
  [Register.INITIAL_COUNT, 0xffffffff],
  [Register.DIVIDE, 0xb],
]);
const LVT: readonly number[] = [
  ...[Register.LVT_CMCI, Register.LVT_TIMER, Register.LVT_THERMAL, Register.LVT_COUNTERS],
  ...[Register.LVT_LINT0, Register.LVT_LINT1, Register.LVT_ERROR],
];
const READ_ONLY: ReadonlySet<number> = new Set([
  ...[Register.ID, Register.VERSION, Register.PPR, Register.LDR, Register.CURRENT_COUNT],
  ...Array.from({ length: 24 }, (_, i) => Register.ISR + i),
]);
/** Registers that the page has and x2APIC mode has not. */
const XAPIC_ONLY: ReadonlySet<number> = new Set([Register.APR, Register.RRD, Register.DFR, Register.ICR_HIGH]);
const READABLE: ReadonlySet<number> = new Set([
  ...WRITABLE.keys(),
  ...READ_ONLY,
  ...XAPIC_ONLY,
  ...[Register.ESR, Register.ICR],
]);

/** ESR bits (SDM vol. 3, figure 10-9). */
export const ApicError = { SEND_ILLEGAL_VECTOR: 1 << 5, RECEIVE_ILLEGAL_VECTOR: 1 << 6, ILLEGAL_REGISTER: 1 << 7 };
/** The first vector that an interrupt message may have. */
const FIRST_VECTOR = 16;

/** ICR bits (SDM vol. 3, figures 10-12 and 10-28); vector at 7:0, delivery mode at 10:8, shorthand at 19:18. */
const Icr = { MODE_SHIFT: 8, LOGICAL: 1 << 11, ASSERT: 1 << 14, LEVEL: 1 << 15, SHORTHAND_SHIFT: 18 } as const;
const ICR_WRITABLE = 0x7ff | Icr.LOGICAL | Icr.ASSERT | Icr.LEVEL | (3 << Icr.SHORTHAND_SHIFT);
const Shorthand = { NONE: 0, SELF: 1, ALL: 2, OTHERS: 3 } as const;

export class LocalApic {
  readonly #machine: Machine;
  readonly #base: number;

  /** For processor `number`, whose state begins at word `base`: as firmware leaves it, in x2APIC mode and enabled. */
  constructor(
    machine: Machine,
    readonly number: number,
    base: number,
  ) {
    this.#machine = machine;
    this.#base = base;
    this.#reset();
    const bootstrap = number === 0 ? ApicBase.BSP : 0;
    this.#setBase(LOCAL_APIC_ADDRESS | ApicBase.EN | ApicBase.EXTD | bootstrap);
    this.#write(Register.SVR, 0xff | SVR_ENABLED);
    // The 8259A's interrupts go to the first processor, NMIs to all (virtual-wire mode).
    if (number === 0) this.#write(Register.LVT_LINT0, DeliveryMode.EXTINT << Icr.MODE_SHIFT);
    this.#write(Register.LVT_LINT1, DeliveryMode.NMI << Icr.MODE_SHIFT);
  }

  #read(word: number): number {
    this.#machine.cpu.noteRead(this.#base + word);
    return this.#machine.memory.u32[2 * (this.#base + word)]!;
  }

  #write(word: number, value: number): void {
    const { memory } = this.#machine;
    memory.willWrite(this.#base + word);
    memory.u32[2 * (this.#base + word)] = value;
  }

  /** The state after power-up (SDM vol. 3, 10.4.7.1). */
  #reset(): void {
    for (let word = 0; word <= Word.EXTINT; word++) this.#write(word, 0);
    this.#write(Register.ID, this.number << 24);
    this.#write(Register.DFR, 0xffffffff);
    this.#write(Register.SVR, 0xff);
    for (const lvt of LVT) this.#write(lvt, LVT_MASKED);
  }

  // IA32_APIC_BASE -----------------------------------------------------------------------------------------------------

  get #baseRegister(): number {
    const machine = this.#machine;
    return machine.u32[machine.processors.place(this.number, Reg.APIC_BASE)]!;
  }

  #setBase(low: number): void {
    const machine = this.#machine;
    machine.u32[machine.processors.place(this.number, Reg.APIC_BASE)] = low;
  }

  get #enabled(): boolean {
    return (this.#baseRegister & ApicBase.EN) !== 0;
  }

  get #x2apic(): boolean {
    return (this.#baseRegister & ApicBase.EXTD) !== 0;
  }

  /**
   * WRMSR to IA32_APIC_BASE; false where it is #GP(0): reserved bits, and the transitions between the modes that the
   * manual forbids (SDM vol. 3, 10.12.5 and figure 10-27).
   */
  writeBase(high: number, low: number): boolean {
    const mode = low & (ApicBase.EN | ApicBase.EXTD);
    const current = this.#baseRegister & (ApicBase.EN | ApicBase.EXTD);
    if (low & BASE_RESERVED || high & BASE_RESERVED_HIGH || mode === ApicBase.EXTD) return false;
    if (mode & ApicBase.EXTD && !(current & ApicBase.EN)) return false;
    if (current & ApicBase.EXTD && mode === ApicBase.EN) return false;
    if (high !== 0 || (low & ~0xfff) >>> 0 !== LOCAL_APIC_ADDRESS) {
      throw new NotModelled(this.#rip, 'moves the local APIC to another physical address, which is not modelled');
    }
    if (current & ApicBase.EN && !(mode & ApicBase.EN)) this.#reset();
    this.#machine.rareChange(Reg.APIC_BASE);
    this.#setBase(low);
    this.summarize();
    return true;
  }

  get #rip(): bigint {
    return this.#machine.cpu.regs.u64[Reg.RIP]!;
  }

  // Access by software -------------------------------------------------------------------------------------------------

  /** RDMSR of 800H + `register`; the value as [high, low], or undefined where that is #GP(0). */
  readMsr(register: number): readonly [number, number] | undefined {
    if (!this.#x2apic || !READABLE.has(register) || XAPIC_ONLY.has(register)) return undefined;
    return [register === Register.ICR ? this.#read(Register.ICR_HIGH) : 0, this.#value(register)];
  }

  /** WRMSR to 800H + `register`; false where it is #GP(0). */
  writeMsr(register: number, high: number, low: number): boolean {
    if (!this.#x2apic || READ_ONLY.has(register) || XAPIC_ONLY.has(register)) return false;
    if (high !== 0 && register !== Register.ICR) return false;
    switch (register) {
      case Register.EOI:
      case Register.ESR:
        if (low !== 0) return false;
        break;
      case Register.ICR:
        if (low & ~ICR_WRITABLE) return false;
        this.#write(Register.ICR_HIGH, high);
        break;
      case Register.SELF_IPI:
        if (low & ~0xff) return false;
        break;
      default: {
        const writable = WRITABLE.get(register);
        if (writable === undefined || low & ~writable) return false;
      }
    }
    this.#store(register, low);
    return true;
  }

  /** Software reads `size` bytes at `offset` of the page. */
  load(offset: number, size: number): number {
    const register = this.#pageRegister(offset, size);
    if (READABLE.has(register)) return this.#value(register);
    if (register === Register.EOI) return 0;
    this.#error(ApicError.ILLEGAL_REGISTER);
    return 0;
  }

  /** Software writes there. */
  store(offset: number, size: number, value: number): void {
    const register = this.#pageRegister(offset, size);
    const writable = WRITABLE.get(register);
    if (writable !== undefined) this.#store(register, value & writable);
    else if (register === Register.EOI || register === Register.ESR) this.#store(register, 0);
    else if (register === Register.ICR) this.#store(register, value & ICR_WRITABLE);
    else if (register === Register.ID || register === Register.LDR || register === Register.ICR_HIGH)
      this.#write(register, value & 0xff000000);
    else if (register === Register.DFR) this.#write(register, value | 0x0fffffff);
    else if (!READABLE.has(register)) this.#error(ApicError.ILLEGAL_REGISTER);
  }

  #pageRegister(offset: number, size: number): number {
    if (this.#x2apic || !this.#enabled) {
      const mode = this.#x2apic ? 'is in x2APIC mode: use the MSRs 0x800 to 0x83f' : 'is turned off';
      throw new NotModelled(this.#rip, `accesses the xAPIC page, but the local APIC ${mode}`);
    }
    if (size !== 4 || offset & 0xf) {
      throw new NotModelled(
        this.#rip,
        'accesses the local APIC other than by 32 bits at a multiple of 16, which the manual leaves undefined',
      );
    }
    return offset >>> 4;
  }

  #value(register: number): number {
    switch (register) {
      case Register.ID:
        return this.#x2apic ? this.number : this.#read(register);
      case Register.VERSION:
        return VERSION;
      case Register.PPR:
        return this.priority;
      case Register.LDR:
        return this.#x2apic ? this.#logicalId : this.#read(register);
      case Register.CURRENT_COUNT:
        return this.#read(Register.INITIAL_COUNT);
      default:
        return this.#read(register);
    }
  }

  /** A write of bits that are all writable. */
  #store(register: number, value: number): void {
    switch (register) {
      case Register.EOI:
        this.#endOfInterrupt();
        break;
      case Register.ESR:
        this.#write(Register.ESR, this.#read(Word.ERRORS));
        this.#write(Word.ERRORS, 0);
        break;
      case Register.ICR:
        this.#write(Register.ICR, value);
        this.#command(value, this.#read(Register.ICR_HIGH));
        break;
      case Register.SELF_IPI:
        this.#command((Shorthand.SELF << Icr.SHORTHAND_SHIFT) | value, 0);
        break;
      case Register.SVR:
        this.#write(register, value);
        // Software disable masks all local interrupts, and keeps them masked.
        if (!(value & SVR_ENABLED)) for (const lvt of LVT) this.#write(lvt, this.#read(lvt) | LVT_MASKED);
        break;
      default:
        this.#write(register, LVT.includes(register) && !this.#softwareEnabled ? value | LVT_MASKED : value);
    }
    this.summarize();
  }

  get #softwareEnabled(): boolean {
    return (this.#read(Register.SVR) & SVR_ENABLED) !== 0;
  }

  /** CR8: bits 7 to 4 of the TPR (SDM vol. 3, 10.8.6.1). */
  get taskPriorityClass(): number {
    return this.#read(Register.TPR) >>> 4;
  }

  set taskPriorityClass(value: number) {
    this.#write(Register.TPR, value << 4);
  }

  // Sending ------------------------------------------------------------------------------------------------------------

  /** A write to the ICR sends an interprocessor interrupt (SDM vol. 3, 10.6). */
  #command(low: number, high: number): void {
    const machine = this.#machine;
    const mode = (low >>> Icr.MODE_SHIFT) & 7;
    const shorthand = (low >>> Icr.SHORTHAND_SHIFT) & 3;
    // The end of a level: only an INIT ever had one, and processors since the Pentium 4 ignore it.
    if (low & Icr.LEVEL && !(low & Icr.ASSERT)) return;
    const restricted = shorthand === Shorthand.SELF || shorthand === Shorthand.ALL;
    if (mode === 3 || mode === DeliveryMode.EXTINT || (restricted && mode !== DeliveryMode.FIXED)) {
      throw new NotModelled(
        this.#rip,
        `writes 0x${low.toString(16)} to the ICR: a delivery mode, or one with this shorthand, that the manual calls invalid`,
      );
    }
    const vector = low & 0xff;
    if (mode <= DeliveryMode.LOWEST_PRIORITY && vector < FIRST_VECTOR) this.#error(ApicError.SEND_ILLEGAL_VECTOR);
    const logical = (low & Icr.LOGICAL) !== 0;
    const wide = this.#x2apic;
    const destination = wide ? high : high >>> 24;
    const narrowBroadcast = !wide && !logical && destination === BROADCAST_8;
    const message: Message = {
      destination: shorthand !== Shorthand.NONE || narrowBroadcast ? BROADCAST : destination,
      logical: logical && shorthand === Shorthand.NONE,
      mode,
      vector,
      // An interprocessor interrupt is an edge, whatever its trigger mode says.
      level: false,
    };
    if (shorthand === Shorthand.SELF) send(machine, message, [this]);
    else if (shorthand === Shorthand.OTHERS) {
      send(
        machine,
        message,
        machine.apics.filter((apic) => apic !== this),
      );
    } else send(machine, message);
  }

  // Receiving ----------------------------------------------------------------------------------------------------------

  /** In x2APIC mode the logical ID follows from the ID: cluster, and one bit in it (SDM vol. 3, 10.12.10.2). */
  get #logicalId(): number {
    return ((this.number >>> 4) << 16) | (1 << (this.number & 15));
  }

  /** Whether a message is meant for this local APIC (SDM vol. 3, 10.6.2 and 10.12.10). */
  isDestination({ destination, logical }: Message): boolean {
    if (!this.#enabled) return false;
    if (destination === BROADCAST) return true;
    if (!logical) return destination === (this.#x2apic ? this.number : this.#read(Register.ID) >>> 24);
    if (this.#x2apic) {
      return destination >>> 16 === this.#logicalId >>> 16 && (destination & this.#logicalId & 0xffff) !== 0;
    }
    if (destination > 0xff) return false;
    const id = this.#read(Register.LDR) >>> 24;
    if (this.#read(Register.DFR) >>> 28 === DFR_FLAT) return (id & destination) !== 0;
    const everyCluster = destination >>> 4 === 0xf;
    return (everyCluster || destination >>> 4 === id >>> 4) && (destination & id & 0xf) !== 0;
  }

  /** Whether it takes interrupts with a vector: it does not while software has disabled it. */
  get accepts(): boolean {
    return this.#softwareEnabled;
  }

  /** A message that is meant for this local APIC arrives. */
  receive({ mode, vector, level }: Message): void {
    switch (mode) {
      case DeliveryMode.FIXED:
      case DeliveryMode.LOWEST_PRIORITY:
        this.#accept(vector, level);
        break;
      case DeliveryMode.SMI:
        this.#notify(EventState.SMI_PENDING);
        break;
      case DeliveryMode.NMI:
        this.#notify(EventState.NMI_PENDING);
        break;
      case DeliveryMode.INIT:
        this.#notify(EventState.INIT_PENDING);
        break;
      case DeliveryMode.START_UP:
        // A processor that does not wait for one ignores it.
        if (this.#events & EventState.WAIT_FOR_SIPI) {
          throw new NotModelled(this.#rip, 'starts a processor in real mode, which is not modelled');
        }
        break;
      case DeliveryMode.EXTINT:
        this.#write(Word.EXTINT, 1);
        this.summarize();
        break;
    }
  }

  /** Whether an interrupt with this vector would be accepted and is not waiting already. */
  wouldTake(vector: number): boolean {
    if (!this.#enabled || !this.#softwareEnabled) return false;
    return (this.#read(Register.IRR + (vector >>> 5)) & (1 << (vector & 31))) === 0;
  }

  #accept(vector: number, level: boolean): void {
    if (!this.#softwareEnabled) return;
    if (vector < FIRST_VECTOR) {
      this.#error(ApicError.RECEIVE_ILLEGAL_VECTOR);
      return;
    }
    this.#setBit(Register.IRR, vector, true);
    this.#setBit(Register.TMR, vector, level);
    this.summarize();
  }

  /** An error; the first since the ESR was written raises the error interrupt. */
  #error(bit: number): void {
    const errors = this.#read(Word.ERRORS);
    this.#write(Word.ERRORS, errors | bit);
    const lvt = this.#read(Register.LVT_ERROR);
    if (errors === 0 && !(lvt & LVT_MASKED)) this.#accept(lvt & 0xff, false);
  }

  /** LINT0, to which the INTR pin is wired, is asserted. In ExtINT mode the processor asks the pin itself. */
  lint0Rises(): void {
    const lvt = this.#read(Register.LVT_LINT0);
    const mode = (lvt >>> Icr.MODE_SHIFT) & 7;
    if (!this.#enabled || lvt & LVT_MASKED || mode === DeliveryMode.EXTINT) return;
    this.receive({ destination: BROADCAST, logical: false, mode, vector: lvt & 0xff, level: false });
  }

  /** Whether the INTR pin gets through to this processor. */
  get #pinConnected(): boolean {
    if (this.#read(Word.EXTINT) !== 0) return true;
    if (this.number !== 0) return false;
    if (!this.#enabled) return true;
    const lvt = this.#read(Register.LVT_LINT0);
    return !(lvt & LVT_MASKED) && ((lvt >>> Icr.MODE_SHIFT) & 7) === DeliveryMode.EXTINT;
  }

  // Priorities ---------------------------------------------------------------------------------------------------------

  #setBit(register: number, vector: number, value: boolean): void {
    const word = register + (vector >>> 5);
    const bit = 1 << (vector & 31);
    const old = this.#read(word);
    if (((old & bit) !== 0) !== value) this.#write(word, old ^ bit);
  }

  /** The highest vector whose bit is set in the eight registers from `register` on; -1 if none is. */
  #highest(register: number): number {
    for (let i = 7; i >= 0; i--) {
      const bits = this.#read(register + i);
      if (bits !== 0) return 32 * i + 31 - Math.clz32(bits);
    }
    return -1;
  }

  /** The processor's priority: what the task has set, or what is being served (SDM vol. 3, 10.8.3.1). */
  get priority(): number {
    const task = this.#read(Register.TPR);
    const served = this.#highest(Register.ISR);
    return task >>> 4 >= served >>> 4 || served < 0 ? task : served & 0xf0;
  }

  /** The vector that is above the processor's priority; -1 if none is. */
  get #deliverable(): number {
    const requested = this.#highest(Register.IRR);
    return requested >= 0 && requested >>> 4 > this.priority >>> 4 ? requested : -1;
  }

  /** Whether the INTR input is asserted: the processor takes an interrupt as soon as RFLAGS.IF and the shadows let it. */
  get asserted(): boolean {
    return (this.#pinConnected && this.#machine.pin.next >= 0) || this.#deliverable >= 0;
  }

  /**
   * The processor takes the interrupt: its vector. One from the pin goes first, since no priority is known for it; the
   * manual leaves the order open.
   */
  acknowledge(): number {
    const { pin, apics } = this.#machine;
    let vector: number;
    if (this.#pinConnected && pin.next >= 0) {
      vector = pin.acknowledge();
      this.#write(Word.EXTINT, 0);
      for (const apic of apics) apic.summarize();
    } else {
      vector = this.#deliverable;
      this.#setBit(Register.IRR, vector, false);
      this.#setBit(Register.ISR, vector, true);
    }
    this.summarize();
    return vector;
  }

  /** The highest interrupt in service is over (SDM vol. 3, 10.8.5); with none in service nothing happens. */
  #endOfInterrupt(): void {
    const vector = this.#highest(Register.ISR);
    if (vector < 0) return;
    this.#setBit(Register.ISR, vector, false);
    const level = this.#read(Register.TMR + (vector >>> 5)) & (1 << (vector & 31));
    if (level) this.#machine.ioApic.endOfInterrupt(vector);
  }

  // The processor ------------------------------------------------------------------------------------------------------

  get #events(): number {
    const machine = this.#machine;
    return machine.u32[machine.processors.place(this.number, Reg.EVENTS)]!;
  }

  #notify(set: number, clear = 0): void {
    const machine = this.#machine;
    machine.u32[machine.processors.place(this.number, Reg.EVENTS)] = (this.#events & ~clear) | set;
    machine.systemChanged = true;
  }

  /** Brings EventState.INTR_PENDING up to date: set while anything waits, deliverable or not. */
  summarize(): void {
    const pin = this.number === 0 || this.#read(Word.EXTINT) !== 0 ? this.#machine.pin.next : -1;
    const waits = pin >= 0 || this.#highest(Register.IRR) >= 0;
    const known = (this.#events & EventState.INTR_PENDING) !== 0;
    if (waits !== known) this.#notify(waits ? EventState.INTR_PENDING : 0, waits ? 0 : EventState.INTR_PENDING);
  }
}
