/** Questions about the past: who wrote this last, and what is this address. */
import { REGISTER_NAMES, Reg } from '../cpu/registers.js';
import { InputError } from '../errors.js';
import { hex } from '../properties/describe.js';
import { sourceWord } from '../report/cause.js';
import { slotNames } from '../report/stack.js';
import { register } from '../report/trace.js';
import type { Debugger } from './debugger.js';
import { allStacks, overwriter } from './frames.js';
import type { History } from './history.js';
import { type Delivery, Kind, Row } from './log.js';

/** A transition that a value has come through. */
export interface Link {
  readonly index: number;
  /** What it did: "changed rdi from 0x7 to 0x9", "wrote 0x9 to 0x…f68 (pt_regs rdi)". */
  readonly what: string;
}

/** Hops from a register to the word that it was loaded from, and to the register that was stored there, at most. */
const HOPS = 12;

/** Who changed a register last, and where that value had come from: the last one first. */
export function whoChanged(debug: Debugger, r: number, processor = debug.processor): Link[] {
  const { history } = debug;
  const index = history.lastChangeOf(r, debug.cursor.index - 1, processor);
  return index === undefined ? [] : throughRegister(debug, history, r, index);
}

/** The same for the 8-byte word that a byte of memory lies in. */
export function whoWrote(debug: Debugger, address: bigint): Link[] {
  const { history } = debug;
  if (debug.run.machine.memory.translateAddress(address) < 0)
    throw new InputError(`${hex(address)}: nothing is mapped there`);
  return throughWord(debug, history, address, debug.cursor.index - 1, HOPS);
}

function throughRegister(debug: Debugger, history: History, r: number, index: number, hops = HOPS): Link[] {
  const before = history.registersAt(index);
  const after = history.registersAt(index + 1);
  const link = {
    index,
    what: `changed ${REGISTER_NAMES[r]} from ${hex(register(before, r))} to ${hex(register(after, r))}`,
  };
  const step = history.step(index)!;
  const source = step.delivered === undefined ? sourceWord(step, r) : undefined;
  return source === undefined || hops === 0
    ? [link]
    : [link, ...throughWord(debug, history, source, index - 1, hops - 1)];
}

function throughWord(debug: Debugger, history: History, address: bigint, from: number, hops: number): Link[] {
  const step = from < 0 ? undefined : history.lastWrite(address, from);
  if (!step) return [];
  const value = step.writes.find((write) => write.address === (address & ~7n))?.value ?? 0n;
  const named = nameOfWord(debug, address & ~7n);
  const edited = history.row(step.index, Row.KIND) & Kind.EDIT;
  const link = { index: step.index, what: `wrote ${hex(value)} to ${hex(address & ~7n)}${named ? ` (${named})` : ''}` };
  if (hops === 0 || step.delivered !== undefined || edited) return [link];
  // One word to another one (PUSH and POP of memory): the word before. A register that was stored: who changed that.
  const moved = step.reads[0];
  if (moved !== undefined) return [link, ...throughWord(debug, history, moved, step.index - 1, hops - 1)];
  const registers = history.registersBefore(step.index);
  const stored = [...Array(16).keys()].find((i) => i !== Reg.RSP && register(registers, i) === value);
  const changed =
    stored === undefined ? undefined : history.lastChangeOf(stored, step.index - 1, history.processor(step.index));
  return changed === undefined ? [link] : [link, ...throughRegister(debug, history, stored!, changed, hops - 1)];
}

/** "pt_regs rdi", "RIP of the frame of NMI 2", "thread stack top-16"; undefined for what has no name. */
export function nameOfWord(debug: Debugger, address: bigint): string | undefined {
  const slot = slotNames(debug.subject, (at) => debug.run.machine.memory.peek64(at)).get(address);
  if (slot) return slot.slot === slot.word ? slot.slot : `${slot.slot} ${slot.word}`;
  const stack = allStacks(debug).find((s) => address >= s.base && address < s.top);
  return stack && `${stack.name} stack top-${stack.top - address}`;
}

/** The deliveries in whose frames an address lies, the last one first. */
export function framesAt(history: History, address: bigint): Delivery[] {
  return history.deliveries.filter(({ bottom, top }) => address >= bottom && address < top).reverse();
}

/** The write by others that a frame has suffered; of all frames, without an id, of the innermost open one that has, or else of the last one. */
export function overwriteOf(debug: Debugger, id?: number): { readonly delivery: Delivery; readonly index: number } {
  const { history } = debug;
  const { deliveries } = history;
  if (id !== undefined && deliveries[id] === undefined)
    throw new InputError(`there is no frame ${id}; 'frames' lists them`);
  const open = (d: Delivery): boolean => history.closedAt(d) === undefined;
  const candidates =
    id === undefined
      ? [...deliveries.filter(open).reverse(), ...deliveries.filter((d) => !open(d)).reverse()]
      : [deliveries[id]!];
  for (const delivery of candidates) {
    const writer = overwriter(debug, history, delivery);
    if (writer) return { delivery, index: writer.index };
  }
  throw new InputError(
    id === undefined
      ? 'no frame of this path has been written to by others than its handler'
      : `the frame of ${deliveries[id]!.name} has not been written to by others than its handler`,
  );
}
