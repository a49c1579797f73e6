/** Questions about the past: who wrote this last, and what is this address. */
import { Access, type Instruction } from '../cpu/decoder.js';
import { REGISTER_NAMES, Reg } from '../cpu/registers.js';
import { InputError } from '../errors.js';
import { hex } from '../properties/describe.js';
import { sourceWord } from '../report/cause.js';
import { movesMemory, storedRegister } from '../report/moves.js';
import { slotNames } from '../report/stack.js';
import { register, type Step } from '../report/trace.js';
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

/** The same for `length` bytes of memory. */
export function whoWrote(debug: Debugger, address: bigint, length = 8): Link[] {
  const { history } = debug;
  if (debug.run.machine.memory.translateAddress(address) < 0)
    throw new InputError(`${hex(address)}: nothing is mapped there`);
  return throughMemory(debug, history, { address, length }, debug.cursor.index - 1, HOPS);
}

interface Bytes {
  readonly address: bigint;
  readonly length: number;
}

function throughRegister(debug: Debugger, history: History, r: number, index: number, hops = HOPS): Link[] {
  const before = history.registersAt(index);
  const after = history.registersAt(index + 1);
  const link = {
    index,
    what: `changed ${REGISTER_NAMES[r]} from ${hex(register(before, r))} to ${hex(register(after, r))}`,
  };
  const step = history.step(index)!;
  const address = step.delivered === undefined ? sourceWord(step, r) : undefined;
  if (address === undefined || hops === 0) return [link];
  const length = step.returned ? 8 : readSize(history.instruction(index));
  return [link, ...throughMemory(debug, history, { address, length }, index - 1, hops - 1)];
}

function readSize(instruction: Instruction | undefined): number {
  return instruction?.memory.find(({ access }) => access & Access.READ)?.size ?? 8;
}

function throughMemory(debug: Debugger, history: History, bytes: Bytes, from: number, hops: number): Link[] {
  const index = from < 0 ? undefined : history.lastWriteOf(bytes.address, bytes.length, from);
  if (index === undefined) return [];
  const step = history.step(index)!;
  const link = { index, what: whatWasWritten(debug, step, bytes) };
  const edited = history.row(index, Row.KIND) & Kind.EDIT;
  const instruction = history.instruction(index);
  if (hops === 0 || step.delivered !== undefined || edited || !instruction) return [link];
  // One word to another one: the word before. A register that was stored: who changed that. All else is computed here.
  const moved = movesMemory(instruction) ? step.reads[0] : undefined;
  if (moved !== undefined) {
    const source = { address: moved, length: readSize(instruction) };
    return [link, ...throughMemory(debug, history, source, index - 1, hops - 1)];
  }
  const stored = storedRegister(instruction);
  const changed =
    stored === undefined || stored === Reg.RSP
      ? undefined
      : history.lastChangeOf(stored, index - 1, history.processor(index));
  return changed === undefined ? [link] : [link, ...throughRegister(debug, history, stored!, changed, hops - 1)];
}

/** Of bytes that lie in one word, those; else the word. */
function whatWasWritten(debug: Debugger, step: Step, { address, length }: Bytes): string {
  const first = address & ~7n;
  const end = address + BigInt(length);
  const write = step.writes.find((w) => w.address + 8n > address && w.address < end);
  const value = write?.value ?? 0n;
  const part = end <= first + 8n;
  const at = part ? address : (write?.address ?? first);
  const shown = part ? BigInt.asUintN(8 * length, value >> (8n * (address - first))) : value;
  const named = nameOfWord(debug, at & ~7n);
  return `wrote ${hex(shown)} to ${hex(at)}${named ? ` (${named})` : ''}`;
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
