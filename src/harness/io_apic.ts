/**
 * An I/O APIC as the 82093AA: 24 pins, each with a redirection table entry that says which message its interrupt becomes.
 * Intel 82093AA datasheet, 3.0 (registers) and SDM vol. 3, 10.8.5 (EOI of level-triggered interrupts). Software reaches it
 * through an index and a data register. Messages arrive at once, so the delivery status is always idle.
 */
import { NotModelled } from '../cpu/not_modelled.js';
import { Reg } from '../cpu/registers.js';
import type { Machine } from './machine.js';
import { BROADCAST, BROADCAST_8, DeliveryMode, send } from './message.js';

/** The hidden region with its state. */
export const IO_APIC = 'I/O APIC';
/** The region through which software reaches it. */
export const IO_APIC_PAGE = 'I/O APIC page';

export const PINS = 24;

/** Words of the state. */
const Word = {
  /** The index register. */
  SELECT: 0,
  ID: 1,
  /** Bit n: pin n is asserted. */
  LINES: 2,
  /** Bit n: the device at pin n asserts its line until its interrupt has been ended. */
  REQUESTS: 3,
  /** Redirection table entries, one word each. */
  TABLE: 8,
} as const;

/** Offsets in the page. */
const Page = { SELECT: 0x00, WINDOW: 0x10 } as const;

/** Numbers of the registers that the index selects. */
const Register = { ID: 0x00, VERSION: 0x01, ARBITRATION: 0x02, TABLE: 0x10 } as const;
const VERSION = 0x11 | ((PINS - 1) << 16);
const ID_MASK = 0x0f000000;

/** Bits of a redirection table entry's lower half; vector at 7:0, delivery mode at 10:8. */
const Entry = {
  MODE_SHIFT: 8,
  LOGICAL: 1 << 11,
  POLARITY: 1 << 13,
  REMOTE_IRR: 1 << 14,
  LEVEL: 1 << 15,
  MASKED: 1 << 16,
} as const;
/** The bits that software writes: delivery status and remote IRR are the I/O APIC's own. */
const WRITABLE = 0x7ff | Entry.LOGICAL | Entry.POLARITY | Entry.LEVEL | Entry.MASKED;

export class IoApic {
  readonly #machine: Machine;
  readonly #base: number;
  /** For pins whose device also notes in memory that it has something: the word (buffer offset / 8) that it sets to 1. */
  readonly status = new Map<number, number>();

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#base = machine.memory.hiddenWord(IO_APIC);
    if (this.#base < 0) return;
    for (let pin = 0; pin < PINS; pin++) this.#write(Word.TABLE + pin, Entry.MASKED);
  }

  #low(word: number): number {
    this.#machine.cpu.noteRead(this.#base + word);
    return this.#machine.memory.u32[2 * (this.#base + word)]!;
  }

  #high(word: number): number {
    this.#machine.cpu.noteRead(this.#base + word);
    return this.#machine.memory.u32[2 * (this.#base + word) + 1]!;
  }

  #write(word: number, low: number, high = 0): void {
    const { memory } = this.#machine;
    memory.willWrite(this.#base + word);
    memory.u32[2 * (this.#base + word)] = low;
    memory.u32[2 * (this.#base + word) + 1] = high;
  }

  /** A device asserts or deasserts its line at `pin`; polarity is a matter of the wiring and does not count. */
  setLine(pin: number, asserted: boolean): void {
    const lines = this.#low(Word.LINES);
    const bit = 1 << pin;
    if (((lines & bit) !== 0) === asserted) return;
    this.#write(Word.LINES, asserted ? lines | bit : lines & ~bit);
    // An edge is seen when it comes; one at a masked pin is lost.
    if (asserted) this.#signal(pin);
  }

  /** Whether a device at `pin` could request an interrupt that it has not requested already. */
  wouldRequest(pin: number): boolean {
    return this.#base >= 0 && (this.#low(Word.REQUESTS) & (1 << pin)) === 0;
  }

  /**
   * A device at `pin` wants service. It notes so in memory, if it does, and pulses its line; or, at a level-triggered pin,
   * holds it, and its driver has served it when the local APIC is told of the end.
   */
  request(pin: number): void {
    const { memory } = this.#machine;
    const status = this.status.get(pin);
    if (status !== undefined) {
      memory.willWrite(status);
      memory.u32[2 * status] = 1;
      memory.u32[2 * status + 1] = 0;
    }
    if (this.#low(Word.TABLE + pin) & Entry.LEVEL) {
      this.#write(Word.REQUESTS, this.#low(Word.REQUESTS) | (1 << pin));
      this.setLine(pin, true);
      return;
    }
    this.setLine(pin, true);
    this.setLine(pin, false);
  }

  /** Sends the message of a pin that has risen or is asserted, if its entry lets it. */
  #signal(pin: number): void {
    const low = this.#low(Word.TABLE + pin);
    const high = this.#high(Word.TABLE + pin);
    const level = (low & Entry.LEVEL) !== 0;
    const mode = (low >>> Entry.MODE_SHIFT) & 7;
    if (low & Entry.MASKED || (level && low & Entry.REMOTE_IRR)) return;
    if (mode === 3 || mode === DeliveryMode.START_UP) return;
    const logical = (low & Entry.LOGICAL) !== 0;
    const destination = high >>> 24;
    // Only these two are acknowledged by an EOI; NMI, SMI and INIT are edges whatever the entry says.
    const ends = level && (mode === DeliveryMode.FIXED || mode === DeliveryMode.LOWEST_PRIORITY);
    if (ends) this.#write(Word.TABLE + pin, low | Entry.REMOTE_IRR, high);
    send(this.#machine, {
      destination: destination === BROADCAST_8 && !logical ? BROADCAST : destination,
      logical,
      mode,
      vector: low & 0xff,
      level: ends,
    });
  }

  /** A local APIC has ended a level-triggered interrupt; a line that is still asserted interrupts again. */
  endOfInterrupt(vector: number): void {
    if (this.#base < 0) return;
    for (let pin = 0; pin < PINS; pin++) {
      const low = this.#low(Word.TABLE + pin);
      if (!(low & Entry.REMOTE_IRR) || (low & 0xff) !== vector) continue;
      this.#write(Word.TABLE + pin, low & ~Entry.REMOTE_IRR, this.#high(Word.TABLE + pin));
      const requests = this.#low(Word.REQUESTS);
      if (requests & (1 << pin)) {
        this.#write(Word.REQUESTS, requests & ~(1 << pin));
        this.setLine(pin, false);
      }
      if (this.#low(Word.LINES) & (1 << pin)) this.#signal(pin);
    }
  }

  /** Software reads `size` bytes at `offset` of the page. */
  load(offset: number, size: number): number {
    this.#checkAccess(offset, size);
    const selected = this.#low(Word.SELECT);
    if (offset === Page.SELECT) return selected;
    if (selected === Register.ID || selected === Register.ARBITRATION) return this.#low(Word.ID);
    if (selected === Register.VERSION) return VERSION;
    const entry = selected - Register.TABLE;
    if (entry < 0 || entry >= 2 * PINS) return 0;
    return entry & 1 ? this.#high(Word.TABLE + (entry >>> 1)) : this.#low(Word.TABLE + (entry >>> 1));
  }

  /** Software writes there. */
  store(offset: number, size: number, value: number): void {
    this.#checkAccess(offset, size);
    if (offset === Page.SELECT) {
      this.#write(Word.SELECT, value & 0xff);
      return;
    }
    const selected = this.#low(Word.SELECT);
    if (selected === Register.ID) this.#write(Word.ID, value & ID_MASK);
    const entry = selected - Register.TABLE;
    if (entry < 0 || entry >= 2 * PINS) return;
    const pin = entry >>> 1;
    const word = Word.TABLE + pin;
    if (entry & 1) {
      this.#write(word, this.#low(word), value & 0xff000000);
      return;
    }
    // An entry that becomes edge-triggered waits for no EOI.
    const kept = value & Entry.LEVEL ? this.#low(word) & Entry.REMOTE_IRR : 0;
    this.#write(word, (value & WRITABLE) | kept, this.#high(word));
    if (value & Entry.LEVEL && this.#low(Word.LINES) & (1 << pin)) this.#signal(pin);
  }

  #checkAccess(offset: number, size: number): void {
    if ((offset === Page.SELECT || offset === Page.WINDOW) && size === 4) return;
    throw new NotModelled(
      this.#machine.cpu.regs.u64[Reg.RIP]!,
      'accesses the I/O APIC other than by 32 bits at its index or its data register',
    );
  }
}
