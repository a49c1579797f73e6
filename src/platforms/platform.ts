/** A platform: the conventions of a system software, as data: where things are and what they are called. */
import type { InterruptPages } from '../harness/interrupt_regions.js';
import type { Layout } from '../image/linker.js';

/**
 * A stack: pushes go down from `top`; nothing may be pushed below `base`. What an overflow meets is what lies there: another
 * stack, or nothing, as on a guard page.
 */
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

/** Page-table isolation, for images that define the global symbol `marker`. */
export interface Isolation {
  readonly marker: string;
  /** CR3 of user mode. */
  readonly cr3: bigint;
  /** Addresses not of user mode that its address space maps too, up to but not including `end`. */
  readonly areas: readonly { readonly start: bigint; readonly end: bigint }[];
  /** The same for sections of the image, by the beginning of their names; these get pages of their own. */
  readonly sections: readonly string[];
  /** Name of the stack for events from user mode (RSP0). */
  readonly rsp0: string;
  /** Parts of an executable that its address space maps too: from a symbol to another one, or so many bytes. */
  readonly parts?: readonly (readonly [from: string, to: string | number])[];
}

/** What the system software gives the processor for FRED. */
export interface FredSetup {
  /** The symbol at which events from ring 3 begin, at the start of a page; those from ring 0 begin 256 bytes after it. */
  readonly entry: string;
  /** IA32_FRED_CONFIG without the address. */
  readonly config: bigint;
  /** Names of the stacks of levels 1 to 3; that of level 0 is the one for events from user mode. */
  readonly stacks: readonly [string, string, string];
  /** The stack level of each exception that has one above 0. */
  readonly levels: ReadonlyMap<number, number>;
}

/** How far apart the things of two processors lie that each has for itself, in bytes. */
export interface ProcessorStride {
  readonly percpu: bigint;
  /** 0: they share one IDT. */
  readonly idt: bigint;
  /** GDT and TSS. */
  readonly tables: bigint;
  readonly stacks: bigint;
}

/** What the system software does when it gives up: one processor hands over to another kernel, the others stop. */
export interface CrashPath {
  /** Serve an NMI besides the body, and may be entered again: a handler that ignores it on purpose, a C part that never returns. */
  readonly serves: readonly string[];
  /** Where a processor stops for good. */
  readonly stops: readonly string[];
  /** Where the other kernel begins. */
  readonly takesOver: readonly string[];
  /** Per-CPU variables, each of whole 8-byte words, that a processor fills before: complete when no word is zero. */
  readonly notes: readonly string[];
}

/**
 * A vector of the IDT. The first of `symbols` that the image defines is the handler. An image that defines the symbol `ist_N` for
 * the vector N gives that IST slot to it instead.
 */
export interface VectorEntry {
  readonly vector: number;
  readonly symbols: readonly string[];
  /** Bytes from that symbol to the handler: where many lie in a row. */
  readonly offset?: number;
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

/** A place in memory: so many bytes from the top of a stack, or from a symbol of the image. */
export type Place =
  | { readonly stack: string; readonly offset: number }
  | { readonly symbol: string; readonly offset: number };

/** When something has been set up before the context begins; all that is said must be so. */
export interface StartCondition {
  /** Page-table isolation. */
  readonly isolated?: true;
  /** In which ring the context begins. */
  readonly ring?: 0 | 3;
  /** A feature that the entry code asks for, and has. */
  readonly feature?: string;
}

/** A word, 8 bytes, that the software has set up; of the first processor. Several at one place are parts of it. */
export interface StartWord extends StartCondition {
  readonly at: Place;
  /** A number, or the address of a place. */
  readonly value: bigint | Place;
}

/** The same for a register. */
export interface StartRegister extends StartCondition {
  /** Its number, of Reg. */
  readonly register: number;
  readonly value: bigint;
}

export interface OwnWord {
  readonly stack: string;
  readonly offset: number;
  readonly value: 'number' | 'percpu';
}

/** The system software's own code: an object of it, or all of it. */
export interface SystemCode {
  /** Code that mentions this symbol is. */
  readonly marker: string;
  /** Assembly file, beside the handlers: instead of `defaults`. */
  readonly defaults: string;
  /** The folder in asm/contexts with those that are made for it; undefined if it needs none. */
  readonly contexts?: string;
  /** In an executable: where entry code begins and ends. What it calls outside is C code, and gets stand-ins … */
  readonly entryText: readonly [start: string, end: string];
  /** … and so is what these functions call, entry code that lies elsewhere, each up to the next symbol … */
  readonly entryFunctions?: readonly string[];
  /** … but for these, which are part of the entry path. */
  readonly helpers: RegExp;
  /** In an executable: what is freed after boot. */
  readonly initial: readonly [start: string, end: string];
  /** Where other modules are put beside an executable. */
  readonly beside: Layout;
}

export interface Platform {
  readonly name: string;
  /** Assembly file, beside the handlers, with weak defaults that are linked to every image. */
  readonly defaults: string;
  readonly layout: Layout;
  /** What the addresses of the image's data are above their physical ones. */
  readonly imageOffset: bigint;
  /** SMBASE of the first processor: where SMRAM begins. */
  readonly smbase: bigint;
  readonly selectors: {
    readonly kernelCs: number;
    readonly kernelSs: number;
    readonly userCs: number;
    readonly userSs: number;
    readonly tss: number;
    /** A data segment whose limit is the number of the processor, for LSL; the last one of the GDT. */
    readonly cpuNumber?: number;
  };
  /** Segment descriptors by selector. */
  readonly gdt: ReadonlyMap<number, bigint>;
  /** An image that defines the symbol `marker`, with its size, has a local descriptor table there; LDTR holds it from the start. */
  readonly ldt?: { readonly marker: string; readonly selector: number };
  readonly idtBase: bigint;
  /** Ring 0 can write to the IDT. */
  readonly idtWritable: boolean;
  readonly gdtBase: bigint;
  readonly tssBase: bigint;
  /** A per-CPU variable that is the TSS, instead of a page at `tssBase`. */
  readonly tssVariable?: string;
  readonly stacks: readonly Stack[];
  /** CR3 of the kernel; without isolation, of user mode too. */
  readonly cr3: bigint;
  readonly isolation: Isolation;
  /** CR3 of another process, for images without isolation that define the global symbol `marker`. */
  readonly secondProcess?: { readonly marker: string; readonly cr3: bigint };
  /** Where the pages of the local APIC and of the I/O APIC are mapped, for the kernel only. */
  readonly interruptPages: InterruptPages;
  /** Stack name for each IST slot. */
  readonly ist: ReadonlyMap<number, string>;
  /** Name of the stack for events from user mode (RSP0). */
  readonly rsp0: string;
  readonly fred: FredSetup;
  /** Name of the stacks that contexts start on. */
  readonly kernelStack: string;
  readonly userStack: string;
  readonly vectors: readonly VectorEntry[];
  readonly syscallEntry: string;
  readonly star: bigint;
  readonly fmask: bigint;
  readonly userGsBase: bigint;
  /**
   * KERNEL_GS_BASE of a guest, where GS is the guest's in ring 0 too; undefined: SWAPGS exchanges the user's base and that of
   * the per-CPU area.
   */
  readonly guestGsBase: bigint | undefined;
  /** Functions that are the C part of a handler: pt_regs pointer in RDI. */
  readonly cParts: readonly string[];
  /** Functions that serve an NMI, the most specific first: the first one that the image has is "the body". */
  readonly bodies: readonly string[];
  /** The section of the exception table: pairs of addresses, of an instruction that may fault and of where the code goes on then. */
  readonly exceptionTable?: string;
  /** The same, where tables lie within a section: from a symbol to another. */
  readonly exceptionTablesBetween?: readonly (readonly [from: string, to: string])[];
  /** Words of pt_regs, for the handler's view. */
  readonly ptRegsWords: number;
  /** Words by which the software finds out where it runs: bytes above the top of a stack, and the number or the per-CPU area. */
  readonly ownWords: readonly OwnWord[];
  /** What else has to be in memory. */
  readonly startWords?: readonly StartWord[];
  readonly startRegisters?: readonly StartRegister[];
  /** What is known of the software's memory is of the first processor only: no context for several can be run. */
  readonly oneProcessor?: boolean;
  /** Per-CPU variables that get the top of a stack at start. */
  readonly stackVariables: Readonly<Record<string, string>>;
  /** Where the software keeps the address of a per-CPU area: a variable in it, and an array of 8-byte words by processor. */
  readonly percpuVariables?: { readonly own: string; readonly all: string };
  /** What differs where the image is the system software's own code. */
  readonly systemCode: SystemCode;
  /** Functions that may sleep: not to be entered while NMIs are blocked. */
  readonly sleepers: readonly string[];
  /** Variables that note work to be done (not zero: there is some): not to be slept on. */
  readonly work: readonly string[];
  readonly crash?: CrashPath;
  /** Those of them that must be back at zero before user mode goes on. */
  readonly workBeforeUser: readonly string[];
  /** Functions at which the software stops itself for good. */
  readonly panics: readonly string[];
  readonly processorStride: ProcessorStride;
  /** Variables that must be back at their start value when the interrupted code goes on. */
  readonly balanced: readonly string[];
  /** Named slots of the NMI stack, by the kind of handler. */
  readonly nmiLayouts: readonly StackLayout[];
  /** Names that the image can use for addresses of the platform. */
  readonly symbols: Readonly<Record<string, bigint>>;
}

/** Where one processor has what is its own. */
export interface ProcessorPlaces {
  readonly percpu: bigint;
  readonly idtBase: bigint;
  readonly gdtBase: bigint;
  readonly tssBase: bigint;
  readonly stacks: readonly Stack[];
}

/** The places of processor `n`, counted from 0. */
export function processorOf(platform: Platform, n: number): ProcessorPlaces {
  const { percpu, idt, tables, stacks } = platform.processorStride;
  const k = BigInt(n);
  return {
    percpu: platform.layout.percpu + k * percpu,
    idtBase: platform.idtBase + k * idt,
    gdtBase: platform.gdtBase + k * tables,
    tssBase: platform.tssBase + k * tables,
    stacks:
      n === 0
        ? platform.stacks
        : platform.stacks.map((s) => {
            // The first user stack is the highest: above it the addresses of user mode end.
            const distance = s.user ? -k * stacks : k * stacks;
            return { ...s, name: `${s.name} (CPU ${n})`, base: s.base + distance, top: s.top + distance };
          }),
  };
}
