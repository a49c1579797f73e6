/** A platform: the conventions of a system software, as data: where things are and what they are called. */
import type { Layout } from '../image/linker.js';

/** A stack: pushes go down from `top`; nothing may be pushed below `base`. */
export interface Stack {
  readonly name: string;
  readonly base: bigint;
  readonly top: bigint;
  /** The code of an interrupted context may keep live words on it. */
  readonly context: boolean;
  /** The C part of a handler may run on it. */
  readonly body: boolean;
  /** Mapped for user mode. */
  readonly user: boolean;
}

/** A vector of the IDT. The first of `symbols` that the image defines is the handler. */
export interface VectorEntry {
  readonly vector: number;
  readonly symbols: readonly string[];
  /** 1 to 7, or 0. */
  readonly ist: number;
  readonly dpl: number;
}

/** A named stretch of a handler's stack; offsets in bytes from the IST top of the vector, downwards negative. */
export interface Slot {
  readonly name: string;
  readonly from: number;
  readonly words: readonly string[];
}

/** How a handler lays out its stack; it applies to images that define `marker`. */
export interface StackLayout {
  readonly marker: string;
  readonly slots: readonly Slot[];
}

export interface Platform {
  readonly name: string;
  /** Assembly file, beside the handlers, with weak defaults that are linked to every image. */
  readonly defaults: string;
  readonly layout: Layout;
  readonly selectors: {
    readonly kernelCs: number;
    readonly kernelSs: number;
    readonly userCs: number;
    readonly userSs: number;
    readonly tss: number;
  };
  /** Segment descriptors by selector. */
  readonly gdt: ReadonlyMap<number, bigint>;
  readonly idtBase: bigint;
  readonly gdtBase: bigint;
  readonly tssBase: bigint;
  readonly stacks: readonly Stack[];
  /** Stack name for each IST slot. */
  readonly ist: ReadonlyMap<number, string>;
  /** Name of the stack for events from user mode (RSP0). */
  readonly rsp0: string;
  /** Name of the stacks that contexts start on. */
  readonly kernelStack: string;
  readonly userStack: string;
  readonly vectors: readonly VectorEntry[];
  readonly syscallEntry: string;
  readonly star: bigint;
  readonly fmask: bigint;
  readonly userGsBase: bigint;
  /** Functions that are the C part of a handler: pt_regs pointer in RDI. */
  readonly cParts: readonly string[];
  /** Functions that serve an NMI, the most specific first: the first one that the image has is "the body". */
  readonly bodies: readonly string[];
  /** Words of pt_regs, for the handler's view. */
  readonly ptRegsWords: number;
  /** Per-CPU variables that get the top of a stack at start. */
  readonly stackVariables: Readonly<Record<string, string>>;
  /** Variables that must be back at their start value when the interrupted code goes on. */
  readonly balanced: readonly string[];
  /** Named slots of the NMI stack, by the kind of handler. */
  readonly nmiLayouts: readonly StackLayout[];
  /** Names that the image can use for addresses of the platform. */
  readonly symbols: Readonly<Record<string, bigint>>;
}
