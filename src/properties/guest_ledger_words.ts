/**
 * What a host owes its guest: external interrupts that it has taken on the guest's behalf, and events whose delivery in the guest
 * a VM exit has interrupted (SDM vol. 3, 27.2.4 "Information for VM Exits During Event Delivery"). An interrupt that is taken
 * while one with its vector is still owed may be the same one, as in an interrupt request register, or be injected by
 * itself, for the first may be on its way: it is spare. A word of the monitor each holds the vectors that are owed and those that
 * are spare, at most four, one a byte, in ascending order from the lowest byte; vector 2 is an NMI, 0 is none.
 *
 * Which interrupts a host takes for itself and which for its guest is the software's own affair. An image whose host passes them
 * on says so by the global symbol `guest_vectors`: its value is the first vector that is the guest's (2, if NMIs are passed on too);
 * `guest_vectors_end` is the first that is not any more, if there is one. Such a host may inject these vectors only when it has
 * taken one. Without the symbol only interrupted deliveries are looked at.
 */
import { Vector } from '../cpu/cpu.js';
import { NotModelled } from '../cpu/not_modelled.js';
import { Reg } from '../cpu/registers.js';
import { Origin } from '../harness/delivery.js';
import { EventType } from '../harness/fred.js';
import type { Machine } from '../harness/machine.js';
import { type FieldName, readField32 } from '../harness/vmcs.js';
import { Interruption, inGuest } from '../harness/vmx.js';
import type { Image } from '../image/image.js';

/** The symbols whose values are the first vector that the host passes on, and the first beyond. */
const FIRST = 'guest_vectors';
const END = 'guest_vectors_end';
const VECTORS = 0x100;
const PLACES = 4;

export interface Owed {
  readonly owed: number;
  readonly spare: number;
  readonly unasked: boolean;
}

export class GuestLedger {
  readonly #first: number;
  readonly #end: number;

  constructor(
    readonly machine: Machine,
    image: Image,
  ) {
    this.#first = Number(image.globals.get(FIRST)?.address ?? VECTORS);
    this.#end = Number(image.globals.get(END)?.address ?? VECTORS);
  }

  /** Whether a vector is known to be the guest's. */
  #passedOn(vector: number): boolean {
    return vector >= this.#first && vector < this.#end;
  }

  /** What the last transition makes of what was `owed` and `spare` before; `unasked`: it has injected what was neither. */
  after(owed: number, spare: number): Owed {
    const { happened } = this.machine;
    let now: Owed = { owed, spare, unasked: false };
    if (happened.vmEntry) now = this.#injected(now, this.#vectorIn('ENTRY_INTERRUPTION_INFORMATION'));
    if (happened.vmExit >= 0 && happened.failedCheck === undefined) {
      const interrupted = this.#vectorIn('IDT_VECTORING_INFORMATION');
      // The entry that has injected it did not get further: nothing has been delivered yet.
      if (!happened.vmEntry || !has(now.owed, interrupted)) now = this.#owing(now, interrupted);
      return this.#taken(now, this.#vectorIn('EXIT_INTERRUPTION_INFORMATION'));
    }
    if (!happened.delivered || inGuest(this.machine)) return now;
    const { origin, requestedVector } = happened;
    const nmi = origin === Origin.EXTERNAL && requestedVector === Vector.NMI;
    return nmi || origin === Origin.INTERRUPT ? this.#taken(now, requestedVector) : now;
  }

  /** The vector of the external interrupt or NMI that a field describes; 0 if it is neither. */
  #vectorIn(field: FieldName): number {
    const information = readField32(this.machine, field);
    const type = (information >>> Interruption.TYPE_SHIFT) & 7;
    if (!(information & Interruption.VALID)) return 0;
    return type === EventType.INTERRUPT ? information & 0xff : type === EventType.NMI ? Vector.NMI : 0;
  }

  #injected(now: Owed, vector: number): Owed {
    if (has(now.owed, vector)) return { ...now, owed: without(now.owed, vector) };
    if (has(now.spare, vector)) return { ...now, spare: without(now.spare, vector) };
    return this.#passedOn(vector) ? { ...now, unasked: true } : now;
  }

  /** The host has taken an interrupt or NMI: it is the guest's if its vector says so. */
  #taken(now: Owed, vector: number): Owed {
    return this.#passedOn(vector) ? this.#owing(now, vector) : now;
  }

  #owing(now: Owed, vector: number): Owed {
    if (vector === 0) return now;
    if (has(now.owed, vector)) return { ...now, spare: this.#with(now.spare, vector) };
    return { ...now, owed: this.#with(now.owed, vector) };
  }

  #with(word: number, vector: number): number {
    if (has(word, vector)) return word;
    const vectors = [...vectorsOf(word), vector];
    if (vectors.length > PLACES)
      throw new NotModelled(this.machine.cpu.regs.u64[Reg.RIP]!, `leaves more than ${PLACES} vectors to be injected`);
    return pack(vectors);
  }
}

/** The vectors that a word of the monitor holds; and the other way. */
export function vectorsOf(word: number): number[] {
  return [0, 8, 16, 24].map((shift) => (word >>> shift) & 0xff).filter((vector) => vector !== 0);
}

export function pack(vectors: readonly number[]): number {
  const sorted = vectors.toSorted((a, b) => a - b);
  return sorted.reduce((word, vector, i) => word | (vector << (8 * i)), 0) >>> 0;
}

function has(word: number, vector: number): boolean {
  return vectorsOf(word).includes(vector);
}

function without(word: number, vector: number): number {
  return pack(vectorsOf(word).filter((v) => v !== vector));
}
