/**
 * What the transitions of a branch have changed, each with what was there before: with it the machine goes both ways without
 * executing anything again. About 100 bytes a transition, most of it RIP, RSP and flags.
 */
import { lastAt } from '../binary_search.js';
import type { Owners } from '../report/owners.js';
import type { Broken } from '../report/trace.js';
import { Words } from './words.js';

/** What a transition was, as bits of Row.KIND. */
export const Kind = {
  DELIVERED: 1,
  RETURNED: 2,
  SWITCHED: 4,
  EDIT: 8,
  /** An instruction was executed, or has faulted. */
  INSTRUCTION: 16,
  /** Row.READ_LOW and READ_HIGH are the address of the first memory operand that is read. */
  READS: 32,
  /** Four bits: how it has returned, of Return. */
  RETURN_SHIFT: 8,
} as const;

/** Words of a row: one for each transition. */
export const Row = {
  /** Of the boundary before it. */
  ADDRESS_LOW: 0,
  ADDRESS_HIGH: 1,
  KIND: 2,
  /** 0: a step; else 1 + the number of the event's name. */
  EVENT: 3,
  MNEMONIC: 4,
  READ_LOW: 5,
  READ_HIGH: 6,
  /** The state behind it: see lanes.ts. */
  LANES: 7,
  BASES: 8,
  /** Where the changes end that it has made, as numbers of entries. */
  REGISTERS_END: 9,
  MEMORY_END: 10,
  MONITOR_END: 11,
  SIZE: 12,
} as const;

/** Words of an entry for a register or a memory word: its number, what was there, what is there. */
export const CHANGE = 5;
/** The same for a word of the monitor. */
export const MONITOR_CHANGE = 3;

/** A delivery: an event that the processor has taken. */
export interface Delivery {
  /** The transition that it was. */
  readonly index: number;
  /** "NMI 2" */
  readonly name: string;
  /** Whose code it has interrupted, and where. */
  readonly interrupted: string;
  readonly address: bigint;
  readonly processor: number;
  /** Its frame: the lowest address, and the one behind its last byte; equal for what pushes none (SMI, VM exit). */
  readonly bottom: bigint;
  readonly top: bigint;
}

/** Something that is there for few transitions. */
export interface Sparse<T> {
  readonly local: number;
  readonly value: T;
}

/** Rows and changes; transitions are counted from the branch's first one. */
export class Log {
  readonly rows = new Words();
  readonly registers = new Words();
  readonly memory = new Words();
  readonly monitor = new Words();
  /** Where it changes: after that transition. */
  readonly owners: Sparse<Owners>[] = [];
  /** Those that were fired. */
  readonly events: Sparse<string>[] = [];
  readonly deliveries: Delivery[] = [];
  readonly broken: Broken[] = [];
  /** New records of the monitor: they never change once they are made. */
  readonly records: Sparse<{ readonly at: number; readonly words: Uint32Array }>[] = [];
  /** What an edit has changed, or VMX has done, in words. */
  readonly notes: Sparse<string>[] = [];

  /** How many transitions there are. */
  get length(): number {
    return this.rows.length / Row.SIZE;
  }

  row(local: number, word: number): number {
    return this.rows.get(local * Row.SIZE + word);
  }

  address(local: number): bigint {
    return (BigInt(this.row(local, Row.ADDRESS_HIGH)) << 32n) | BigInt(this.row(local, Row.ADDRESS_LOW));
  }

  /** The entries of transition `local` in one of the lists, of which `end` is the row's word: from, and up to. */
  entries(local: number, end: number): readonly [from: number, to: number] {
    return [local === 0 ? 0 : this.row(local - 1, end), this.row(local, end)];
  }

  /** The transition that has made entry `entry`. */
  transitionOf(entry: number, end: number): number {
    return lastAt(this.length, (i) => this.row(i, end) <= entry) + 1;
  }
}

/** The last value at or before transition `local`; undefined if it is from before the branch. */
export function sparseAt<T>(list: readonly Sparse<T>[], local: number): T | undefined {
  return list[lastAt(list.length, (i) => list[i]!.local <= local)]?.value;
}

/** Of exactly this transition. */
export function sparseOf<T>(list: readonly Sparse<T>[], local: number): T | undefined {
  const found = list[lastAt(list.length, (i) => list[i]!.local <= local)];
  return found?.local === local ? found.value : undefined;
}
