/**
 * What a host owes its guest: external interrupts that it has taken on the guest's behalf, and events whose delivery in the guest
 * a VM exit has interrupted (SDM vol. 3, 27.2.4 "Information for VM Exits During Event Delivery"). One word of the monitor
 * holds the vectors, at most four, one a byte, in ascending order from the lowest byte; vector 2 is an NMI, 0 is none.
 *
 * Which interrupts a host takes for itself and which for its guest is the software's own affair. An image whose host passes them
 * on says so by the global symbol `guest_vectors`: its value is the first vector that is the guest's. Such a host may inject
 * these vectors only when it has taken one. Without the symbol only interrupted deliveries are looked at.
 */
import { Vector } from '../cpu/cpu.js';
import { NotModelled } from '../cpu/not_modelled.js';
import { Reg } from '../cpu/registers.js';
import { Origin } from '../harness/delivery.js';
import { EventType } from '../harness/fred.js';
import type { Machine } from '../harness/machine.js';
import { type FieldName, readField32 } from '../harness/vmcs.js';
import { ExitReason, Interruption, inGuest } from '../harness/vmx.js';
import type { Image } from '../image/image.js';

/** The symbol whose value is the first vector that the host passes on. */
const MARKER = 'guest_vectors';
const PLACES = 4;

export class GuestLedger {
  /** The first vector that is the guest's; beyond all if none is known to be. */
  readonly #first: number;

  constructor(
    readonly machine: Machine,
    image: Image,
  ) {
    this.#first = Number(image.globals.get(MARKER)?.address ?? 0x100n);
  }

  /** What is owed after the last transition, if it was `owed` before; `unasked`: it has injected what was not owed. */
  after(owed: number): { readonly owed: number; readonly unasked: boolean } {
    const { happened } = this.machine;
    let now = owed;
    let unasked = false;
    if (happened.vmEntry) {
      const injected = this.#vectorIn('ENTRY_INTERRUPTION_INFORMATION');
      unasked = injected >= this.#first && !has(now, injected);
      now = without(now, injected);
    }
    if (happened.vmExit >= 0 && happened.failedCheck === undefined) {
      now = this.#with(now, this.#vectorIn('IDT_VECTORING_INFORMATION'));
      const external = happened.vmExit === ExitReason.EXTERNAL_INTERRUPT;
      if (external) now = this.#taken(now, this.#vectorIn('EXIT_INTERRUPTION_INFORMATION'));
    } else if (happened.delivered && happened.origin === Origin.INTERRUPT && !inGuest(this.machine)) {
      now = this.#taken(now, happened.requestedVector);
    }
    return { owed: now, unasked };
  }

  /** The vector of the external interrupt or NMI that a field describes; 0 if it is neither. */
  #vectorIn(field: FieldName): number {
    const information = readField32(this.machine, field);
    const type = (information >>> Interruption.TYPE_SHIFT) & 7;
    if (!(information & Interruption.VALID)) return 0;
    return type === EventType.INTERRUPT ? information & 0xff : type === EventType.NMI ? Vector.NMI : 0;
  }

  /** The host has taken an interrupt: it is the guest's if its vector says so. */
  #taken(owed: number, vector: number): number {
    return vector >= this.#first ? this.#with(owed, vector) : owed;
  }

  /** One that is owed already is the same interrupt, as in an interrupt request register. */
  #with(owed: number, vector: number): number {
    if (vector === 0 || has(owed, vector)) return owed;
    const vectors = [...vectorsOf(owed), vector];
    if (vectors.length > PLACES)
      throw new NotModelled(this.machine.cpu.regs.u64[Reg.RIP]!, `leaves more than ${PLACES} vectors to be injected`);
    return pack(vectors);
  }
}

/** The vectors that a word of the monitor holds. */
export function vectorsOf(owed: number): number[] {
  return [0, 8, 16, 24].map((shift) => (owed >>> shift) & 0xff).filter((vector) => vector !== 0);
}

function pack(vectors: readonly number[]): number {
  const sorted = vectors.toSorted((a, b) => a - b);
  return sorted.reduce((word, vector, i) => word | (vector << (8 * i)), 0) >>> 0;
}

function has(owed: number, vector: number): boolean {
  return vectorsOf(owed).includes(vector);
}

function without(owed: number, vector: number): number {
  return has(owed, vector) ? pack(vectorsOf(owed).filter((v) => v !== vector)) : owed;
}
