/** Triggers: where and when something fires. A trigger looks at the machine at a boundary and says yes or no. */
import { Reg } from '../cpu/registers.js';
import { InputError } from '../errors.js';
import type { Machine } from '../harness/machine.js';
import type { Image } from '../image/image.js';
import { nearNames } from '../suggestion.js';

/** Addresses from `start` up to, and not including, `end`. */
export interface Range {
  readonly start: bigint;
  readonly end: bigint;
}

/** Reads `LABEL..LABEL` (the second not included), `LABEL+n` (one boundary) or an address. */
export function rangesOf(image: Image, text: string): Range[] {
  const [from, to, ...rest] = text.split('..');
  if (rest.length > 0 || !from || to === '') throw new InputError(`'${text}': expected LABEL, LABEL+n or LABEL..LABEL`);
  const start = addressOf(image, from);
  const end = to === undefined ? start + 1n : addressOf(image, to);
  if (end <= start) throw new InputError(`'${text}': the end lies before the start`);
  return [{ start, end }];
}

/** The address of `label`, `label+n` or `0x…`; an InputError that names near misses otherwise. */
export function addressOf(image: Image, text: string): bigint {
  const address = image.resolve(text);
  if (address !== undefined) return address;
  const label = text.replace(/\+\d+$/, '');
  if (image.find(label)) throw new InputError(`'${text}': there are not so many instructions after ${label}`);
  const near = nearNames(label, image.labels, 4);
  throw new InputError(
    `there is no label '${label}' in the image${near.length > 0 ? `; did you mean ${near.join(' or ')}?` : ''}`,
  );
}

/** Reads `SYMBOL` (its whole size) or `SYMBOL..SYMBOL`: memory, where it lies when the code runs. */
export function memoryRange(image: Image, text: string): Range {
  const [from, to, ...rest] = text.split('..');
  if (rest.length > 0 || !from || to === '') throw new InputError(`'${text}': expected SYMBOL or SYMBOL..SYMBOL`);
  const start = loadedAt(image, from);
  const size = image.find(from)?.size ?? 0n;
  const end = to === undefined ? start + (size > 0n ? size : 8n) : loadedAt(image, to);
  if (end <= start) throw new InputError(`'${text}': the end lies before the start`);
  return { start, end };
}

/** Per-CPU data is linked at 0 and lies elsewhere. */
function loadedAt(image: Image, name: string): bigint {
  const symbol = image.find(name);
  const section = image.sections.find((s) => s.module === symbol?.module && s.name === symbol?.section);
  return addressOf(image, name) + (section ? section.loadAddress - section.address : 0n);
}

/** Decides at a boundary whether something fires there. */
export type Trigger = (run: RunState) => boolean;

/** What a trigger may look at. */
export interface RunState {
  readonly machine: Machine;
  /** How many states of the run so far, this one included, stood at this boundary. */
  readonly hit: number;
}

/** At a boundary, when it is reached for the `hit`-th time (from 1). */
export function atHit(address: bigint, hit: number): Trigger {
  return (run) => run.hit === hit && run.machine.cpu.regs.u64[Reg.RIP] === address;
}

/** Before an instruction that will access memory in the range, in one of the given ways (Access bits). */
export function onAccess(range: Range, access: number): Trigger {
  return (run) => {
    const instruction = run.machine.peek();
    return (
      instruction?.memory.some((operand) => {
        if (!(operand.access & access)) return false;
        const address = run.machine.cpu.addressOf(operand);
        return address < range.end && address + BigInt(operand.size) > range.start;
      }) ?? false
    );
  };
}
