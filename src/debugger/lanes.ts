/** What the timeline shows of a state, packed into two words: each transition keeps those of the state behind it. */
import { Reg } from '../cpu/registers.js';
import { EventState } from '../harness/event_state.js';
import type { Machine } from '../harness/machine.js';
import { BODY, C_PART, CallWord, type Monitor, Word } from '../properties/monitor.js';

/** Bits of Row.LANES; its bytes 1 and 2 are the stack in use (the monitor's number) and the open deliveries. */
export const Lane = {
  BLOCKED: 1 << 0,
  PENDING: 1 << 1,
  /** Two bits. */
  CPL_SHIFT: 4,
  STACK_SHIFT: 8,
  DEPTH_SHIFT: 16,
  /** The C part of a handler runs, and it is the body. */
  C_PART: 1 << 24,
  BODY: 1 << 25,
  PROCESSOR_SHIFT: 28,
} as const;

export function lanesNow(machine: Machine, monitor: Monitor): number {
  const { u32 } = machine;
  const w = monitor.words;
  const events = u32[2 * Reg.EVENTS]!;
  const depth = w[Word.DEPTH]!;
  let lanes = 0;
  if (events & EventState.NMI_BLOCKED) lanes |= Lane.BLOCKED;
  if (events & EventState.NMI_PENDING) lanes |= Lane.PENDING;
  lanes |= (u32[2 * Reg.CS]! & 3) << Lane.CPL_SHIFT;
  lanes |= (w[Word.STACK]! & 0xff) << Lane.STACK_SHIFT;
  lanes |= Math.min(depth, 0xff) << Lane.DEPTH_SHIFT;
  if (w[Word.CALLS]! > 0 && w[monitor.lastCall + CallWord.DEPTH] === depth) {
    const kind = w[monitor.lastCall + CallWord.KIND]!;
    if (kind & C_PART) lanes |= Lane.C_PART;
    if (kind & BODY) lanes |= Lane.BODY;
  }
  return (lanes | (machine.processors.running << Lane.PROCESSOR_SHIFT)) >>> 0;
}

export function depthOf(lanes: number): number {
  return (lanes >>> Lane.DEPTH_SHIFT) & 0xff;
}

/** Numbers for the values of GS_BASE and CR3: there are only a few. */
export class Bases {
  readonly #numbers = new Map<string, number>();
  readonly #values: { readonly gs: bigint; readonly cr3: bigint }[] = [];
  #last = 0;
  #lastGs = -1n;
  #lastCr3 = -1n;

  /** The number of the machine's values now. */
  now(machine: Machine): number {
    const { u64 } = machine.cpu.regs;
    const gs = u64[Reg.GS_BASE]!;
    const cr3 = u64[Reg.CR3]!;
    if (gs === this.#lastGs && cr3 === this.#lastCr3) return this.#last;
    const key = `${gs} ${cr3}`;
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.#values.length;
      this.#values.push({ gs, cr3 });
      this.#numbers.set(key, number);
    }
    this.#last = number;
    this.#lastGs = gs;
    this.#lastCr3 = cr3;
    return number;
  }

  of(number: number): { readonly gs: bigint; readonly cr3: bigint } {
    return this.#values[number]!;
  }
}
