/**
 * The INTR pin (SDM vol. 3, 6.3.1 "External Interrupts"): behind it stands an interrupt controller like an 8259A that gives a
 * vector, any of 256, when the processor acknowledges the interrupt. It ends the interrupt by itself (automatic EOI), so
 * that software need not know of it. Several vectors can wait; the lowest goes first, and one that waits already is the
 * same interrupt. The pin is wired to LINT0 of the first processor's local APIC, or to its INTR input while that APIC is
 * turned off.
 */
import type { Machine } from './machine.js';

/** The hidden region with its state: bit v of four 64-bit words is set while vector v waits. */
export const INTERRUPT_PIN = 'INTR pin';
const WORDS = 4;

export class InterruptPin {
  readonly #machine: Machine;
  readonly #base: number;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#base = machine.memory.hiddenWord(INTERRUPT_PIN);
  }

  /** Whether the machine has such a controller. */
  get present(): boolean {
    return this.#base >= 0;
  }

  /** 32 bits of what waits: vectors 32 * `i` and up. */
  #half(i: number): number {
    const word = this.#base + (i >>> 1);
    this.#machine.cpu.noteRead(word);
    return this.#machine.memory.u32[2 * word + (i & 1)]!;
  }

  #setHalf(i: number, value: number): void {
    const word = this.#base + (i >>> 1);
    this.#machine.memory.willWrite(word);
    this.#machine.memory.u32[2 * word + (i & 1)] = value;
  }

  waits(vector: number): boolean {
    return (this.#half(vector >>> 5) & (1 << (vector & 31))) !== 0;
  }

  /** The vector that the next acknowledge cycle gets; -1 if none waits. */
  get next(): number {
    if (this.#base < 0) return -1;
    for (let i = 0; i < 2 * WORDS; i++) {
      const half = this.#half(i);
      if (half !== 0) return 32 * i + 31 - Math.clz32(half & -half);
    }
    return -1;
  }

  /** An interrupt with this vector arrives. */
  raise(vector: number): void {
    const rises = this.next < 0;
    const i = vector >>> 5;
    this.#setHalf(i, this.#half(i) | (1 << (vector & 31)));
    if (rises) this.#machine.apics[0]!.lint0Rises();
    this.#machine.apics[0]!.summarize();
  }

  /** The acknowledge cycle: the vector waits no more. */
  acknowledge(): number {
    const vector = this.next;
    const i = vector >>> 5;
    this.#setHalf(i, this.#half(i) & ~(1 << (vector & 31)));
    return vector;
  }
}
