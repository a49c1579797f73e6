/** What a family of instructions is given to build one item of a program, and what it may ask for. */
import type { Register } from 'iced-x86';
import type { Block, Memory } from '../block.js';
import type { Dice } from '../dice.js';
import type { Overlay } from '../program.js';

/** Where the parts of a program are: what frames, gates and MSRs may name. */
export interface Places {
  readonly kernel: bigint;
  readonly user: bigint;
  /** Handlers in kernel text. */
  readonly handlers: readonly bigint[];
}

export interface Site {
  readonly block: Block;
  readonly dice: Dice;
  readonly memory: Overlay;
  readonly places: Places;
  /** Room for `words` words that the block's ring can read and write. */
  slot(words: number): bigint;
  /** A general register of a size in bytes; never RSP. */
  register(size: number): Register;
  /** A memory operand, mostly one that can be accessed. */
  memoryOperand(): Memory;
}

export interface Family {
  readonly name: string;
  /** How often it is chosen, relative to the others. */
  readonly weight: number;
  /** Rules of the machine that it exercises, by tag. */
  readonly rules: readonly string[];
  /** Appends one item to the block. */
  build(site: Site): void;
}
