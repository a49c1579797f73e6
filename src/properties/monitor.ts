/**
 * The monitor watches the machine from outside the guest and keeps what the properties need to know about the past:
 * a record for each delivery that is still open (what was interrupted, all registers), the calls of C code that are
 * running, NMIs that are owed a body. All of it lies in one typed array, so that it is part of the state.
 */

import { Mnemonic } from 'iced-x86';
import { Vector } from '../cpu/cpu.js';
import type { Instruction } from '../cpu/decoder.js';
import { Flag, RARE_REGISTERS, REGISTER_COUNT, REGISTER_NAMES, Reg } from '../cpu/registers.js';
import { Lanes } from '../fingerprint.js';
import { FAULTS, Origin } from '../harness/delivery.js';
import { Tss } from '../harness/descriptors.js';
import { EventState } from '../harness/event_state.js';
import { FredFrame, fredEnabled } from '../harness/fred.js';
import { type Machine, Return } from '../harness/machine.js';
import { takesPending } from '../harness/priorities.js';
import { SMI_VECTOR } from '../harness/smm.js';
import { VM_EXIT_VECTOR } from '../harness/vm_exit.js';
import { ExitReason, nmiExits } from '../harness/vmx.js';
import { tssOf } from '../platforms/boot.js';
import { type CrashPath, type ProcessorPlaces, processorOf, type Stack } from '../platforms/platform.js';
import type { Subject } from '../platforms/subject.js';
import { fixupsOf } from './exception_table.js';
import { GuestLedger } from './guest_ledger_words.js';
import type { Property } from './property.js';

/** Words at the start of the monitor's array. */
export const Word = {
  /** Bit i: property i is broken on this path. */
  FAILED: 0,
  /** Number of open records. */
  DEPTH: 1,
  /** Number of running C calls. */
  CALLS: 2,
  /** 1 if an NMI has been delivered and no body has started since. */
  NMI_OWED: 3,
  /** The stack in use: its number in the platform's list + 1, or 0 if it is none of them. */
  STACK: 4,
  /** 1 while RSP is what user mode left in it. */
  USER_RSP: 5,
  /** What the processor has given up for good: see Given. */
  GIVEN_UP: 6,
  /** 1 if a machine check has come and the fault of its delivery was delivered in its place. */
  MC_LOST: 7,
  /** What the processor's guest has still to be given, and what it may be given besides: see GuestLedger. */
  GUEST_OWED: 8,
  GUEST_SPARE: 9,
  /** The number of open records when the running handler began a call whose RET is no return to what it has interrupted; or 0. */
  OWN_CALL: 10,
  /** Why the path is over: see End. */
  END: 11,
  /** Events fired so far, 8 bits for each kind, in FIRED_WORDS words. */
  FIRED: 12,
  /** Number of the next free record; not part of the state: records may lie anywhere. */
  NEXT_RECORD: 16,
  /** Offsets of the open records into `records`, the innermost last. */
  OPEN: 17,
} as const;

const FIRED_WORDS = Word.NEXT_RECORD - Word.FIRED;

/** Words in front of `words` that say something about the state. */
export const HEADER_WORDS = Word.NEXT_RECORD;

export const End = { NONE: 0, CONTEXT: 1, SHUTDOWN: 2, HALT: 3, BROKEN: 4, TOO_DEEP: 5, PANIC: 6 } as const;

/** Nothing; all that it was to do, and it has stopped; all that it has interrupted, for another kernel. */
export const Given = { NOTHING: 0, STOPPED: 1, TAKEN_OVER: 2 } as const;

/** Words of a record. Registers first: 0 to 35 are the 18 that the engine computes with. */
export const RecordWord = {
  REGISTERS: 0,
  CS: 36,
  SS: 37,
  FS_BASE: 38,
  GS_BASE: 40,
  KERNEL_GS_BASE: 42,
  VECTOR: 44,
  /** What was interrupted: see Kind. */
  KIND: 45,
  /** 1 if NMIs were blocked before the delivery. */
  LATCH: 46,
  STACK: 47,
  USER_RSP: 48,
  /** RSP before the frame was pushed. */
  FRAME_LOW: 49,
  FRAME_HIGH: 50,
  /** Hash of the interrupted code's live stack words. */
  LIVE_A: 51,
  LIVE_B: 52,
  /** Hash of the words that must balance. */
  BALANCE_A: 53,
  BALANCE_B: 54,
  /** C calls that were running. */
  CALLS: 55,
  /** Hash of the addresses at which this and the handlers below it are interrupted; for a context, its CS. */
  PATH: 56,
  /** What the delivery has told its handler: CR2 with #PF, DR6 with #DB, under FRED the event data of both; else 0. */
  FAULT_LOW: 57,
  FAULT_HIGH: 58,
  /** Low half of the address behind the live words, for code under test. */
  LIVE_END: 59,
  LANE_A: 60,
  LANE_B: 61,
  LANE_C: 62,
  /** The registers of SYSTEM_REGISTERS, two words each. */
  SYSTEM: 63,
} as const;

/** What else has to come back as it was. CR2 and DR6 are not among them: a fault in between may change them. */
const SYSTEM_REGISTERS: readonly number[] = [
  Reg.CR3,
  ...Array.from({ length: REGISTER_COUNT - RARE_REGISTERS }, (_, i) => RARE_REGISTERS + i).filter((r) => r !== Reg.DR6),
];

/** What the handler of #DB may change in what it has interrupted: it is a debugger's. RF is nobody's: a fault's delivery sets it. */
const DEBUGGER_FLAGS = Flag.RF | Flag.TF;
const DEBUGGER_REGISTERS: ReadonlySet<number> = new Set([Reg.DR0, Reg.DR1, Reg.DR2, Reg.DR3, Reg.DR7]);

/**
 * What was interrupted: the code around the handlers, the code under test itself, or an IRET of it that has faulted. The fault's
 * handler need not go back to such an IRET: all that was left to do is to give back what the IRET was to give back.
 */
export const Kind = { CONTEXT: 0, HANDLER: 1, RETURN: 2 } as const;

/** Words of a C call. */
export const CallWord = {
  RSP_LOW: 0,
  RSP_HIGH: 1,
  /** Bit 0: C part of a handler; bit 1: the body; bit 2: entered by CALL; bit 3: it may sleep. */
  KIND: 2,
  REGS_LOW: 3,
  REGS_HIGH: 4,
  HASH_A: 5,
  HASH_B: 6,
  DEPTH: 7,
  SIZE: 8,
} as const;

/** Bytes below RSP that user code may use (System V AMD64 ABI, 3.2.2). */
const RED_ZONE = 128;

export const C_PART = 1;
export const BODY = 2;
const CALLED = 4;
const SLEEPER = 8;
/** It serves an NMI, and is not the body. */
const SERVES = 16;
const STOPS = 32;
const TAKES_OVER = 64;
/** What a call is kept for. */
const CALL = C_PART | BODY | SLEEPER;

/** More deliveries than this within each other are an endless recursion, those aside that events account for. */
const DEEPEST = 24;
/** As many as there is room for. */
const MAX_RECORDS = 160;
const MAX_CALLS = 32;
const CALLS_AT = Word.OPEN + MAX_RECORDS;
const TOTAL = CALLS_AT + MAX_CALLS * CallWord.SIZE;

interface Entry {
  readonly low: number;
  readonly high: number;
  readonly kind: number;
}

interface Address {
  readonly name: string;
  readonly low: number;
  readonly high: number;
}

/** Addresses with the same upper half; halves as signed numbers. */
interface Span {
  readonly high: number;
  readonly startLow: number;
  readonly size: number;
}

/** An entry of the exception table, in halves, without the low half of where the code goes on. */
interface FixupHalves {
  readonly fromLow: number;
  readonly fromHigh: number;
  readonly toHigh: number;
}

/** A stack with its bounds as two halves: the inner loop has no BigInt. */
interface Bounds {
  readonly stack: Stack;
  readonly high: number;
  readonly baseLow: number;
  readonly topLow: number;
}

/** The end of the path without events: all registers, and a hash of the context's stack. */
export interface Reference {
  readonly registers: Uint32Array;
  readonly a: number;
  readonly b: number;
}

const NO_CRASH: CrashPath = { serves: [], stops: [], takesOver: [], notes: [] };

/** Microcode other than returns that loads RSP: SYSENTER, LSS, and a far CALL through a gate. */
const LOADING_STACK: ReadonlySet<Mnemonic> = new Set([Mnemonic.Sysenter, Mnemonic.Lss, Mnemonic.Call]);

/** A difference between what was interrupted and what came back. */
export interface Difference {
  readonly what: string;
  readonly expected: bigint;
  readonly found: bigint;
}

export class Monitor {
  /** Where the running C calls lie in `words`, and how many words each takes. */
  static readonly CALLS_AT = CALLS_AT;
  static readonly CALL_SIZE = CallWord.SIZE;
  /** Words of one processor. */
  static readonly TOTAL = TOTAL;

  /** Those of the running processor; with several, those of the others follow, TOTAL words each. */
  readonly words: Uint32Array;
  /**
   * The records. A record never changes once it is made, and a path makes each one behind those that it has made
   * before: going back to an earlier state of the path needs `words` alone.
   */
  records = new Uint32Array(1 << 13);
  /**
   * How many of SYSTEM_REGISTERS a record holds: all, or CR3 alone as long as no path has ever changed one of the others.
   * A search begins anew when one does, and then makes its monitor anew.
   */
  readonly #systemCount: number;
  readonly #recordSize: number;
  /** Set when a word has changed; cleared by whoever keeps copies. */
  changed = true;
  /** Offset of the record that is being closed while `returned` hooks run; -1 otherwise. */
  closing = -1;
  /** Whether that return goes to the place that the exception table names for the interrupted instruction, and not to itself. */
  #fixedUp = false;
  /** Called for each property that breaks, right when it does. */
  onFailure: ((property: Property) => void) | undefined;
  readonly names: { readonly body: string | undefined; readonly cParts: readonly string[] };

  readonly #delivered: readonly (readonly [number, Property])[];
  readonly #returned: readonly (readonly [number, Property])[];
  readonly #enteredC: readonly (readonly [number, Property])[];
  readonly #leftC: readonly (readonly [number, Property])[];
  readonly #enteredBody: readonly (readonly [number, Property])[];
  readonly #enteredSleeper: readonly (readonly [number, Property])[];
  readonly #executedMicrocode: readonly (readonly [number, Property])[];
  readonly #left: readonly (readonly [number, Property])[];
  readonly #stepped: readonly (readonly [number, Property])[];
  readonly #gaveUp: readonly (readonly [number, Property])[];
  readonly #ended: readonly (readonly [number, Property])[];
  readonly #ends: number;
  readonly #entries: readonly Entry[];
  /** Bit (low half mod 32) of each of them: most addresses are none. */
  readonly #entryBits: number;
  /** Where the context ends, if there is one processor. */
  readonly #endLow: number;
  readonly #endHigh: number;
  readonly #several: boolean;
  readonly #contextSpans: readonly Span[];
  readonly #bounds: readonly Bounds[];
  /** By the low half of where the code goes on. */
  readonly #fixups = new Map<number, FixupHalves[]>();
  /** For each processor. */
  readonly #balanced: readonly (readonly { readonly offset: number; readonly size: number }[])[];
  readonly #work: readonly (readonly { readonly name: string; readonly offset: number }[])[];
  readonly #notes: readonly (readonly { readonly offset: number; readonly size: number }[])[];
  readonly guestLedger: GuestLedger;
  /** Where the software stops itself. */
  readonly #panics: readonly Address[];
  readonly #lanes = new Lanes();
  readonly #scratch = new Uint32Array(4);
  /** How the path without events ends; undefined until it has been seen. */
  reference: Reference | undefined;

  constructor(
    readonly machine: Machine,
    readonly subject: Subject,
    readonly properties: readonly Property[],
  ) {
    const hook = (name: keyof Property): (readonly [number, Property])[] =>
      properties.map((p, i) => [i, p] as const).filter(([, p]) => p[name] !== undefined);
    this.#delivered = hook('delivered');
    this.#returned = hook('returned');
    this.#enteredC = hook('enteredC');
    this.#leftC = hook('leftC');
    this.#enteredBody = hook('enteredBody');
    this.#enteredSleeper = hook('enteredSleeper');
    this.#executedMicrocode = hook('executedMicrocode');
    this.#left = hook('left');
    this.#stepped = hook('stepped');
    this.#gaveUp = hook('gaveUp');
    this.#ended = hook('ended');
    this.#ends = properties.reduce((mask, p, i) => (p.ends ? mask | (1 << i) : mask), 0);
    const { image, platform } = subject;
    this.guestLedger = new GuestLedger(machine, image);
    const body = platform.bodies.find((name) => image.globals.has(name));
    const cParts = platform.cParts.filter((name) => image.globals.has(name));
    this.names = { body, cParts };
    const entries = new Map<bigint, Entry>();
    const sleepers = platform.sleepers.filter((name) => image.globals.has(name));
    const { serves, stops, takesOver } = platform.crash ?? NO_CRASH;
    const named = [...(body ? [body] : []), ...cParts, ...sleepers, ...serves, ...stops, ...takesOver];
    for (const name of named) {
      const address = image.globals.get(name)?.address;
      if (address === undefined) continue;
      // One function may have several of the names: it is then everything that they say.
      entries.set(address, {
        low: Number(address & 0xffffffffn),
        high: Number(address >> 32n),
        kind:
          (entries.get(address)?.kind ?? 0) |
          (cParts.includes(name) ? C_PART : 0) |
          (name === body ? BODY : 0) |
          (sleepers.includes(name) ? SLEEPER : 0) |
          (serves.includes(name) ? SERVES : 0) |
          (stops.includes(name) ? STOPS : 0) |
          (takesOver.includes(name) ? TAKES_OVER : 0),
      });
    }
    this.#entries = [...entries.values()];
    this.#entryBits = this.#entries.reduce((bits, { low }) => bits | (1 << low), 0);
    this.#panics = platform.panics.flatMap((name) => {
      const address = image.globals.get(name)?.address;
      return address === undefined ? [] : [{ name, low: Number(address & 0xffffffffn), high: Number(address >> 32n) }];
    });
    this.#systemCount = machine.rareChanged ? SYSTEM_REGISTERS.length : 1;
    this.#recordSize = RecordWord.SYSTEM + 2 * this.#systemCount;
    const [end] = machine.processors.ends;
    this.#endLow = end?.low ?? -1;
    this.#endHigh = end?.high ?? -1;
    this.#several = machine.processors.count > 1;
    this.words = new Uint32Array(TOTAL * (machine.processors.count === 1 ? 1 : 1 + machine.processors.count));
    this.#contextSpans = image.sections
      .filter((x) => x.module === subject.contextModule && (x.segment === 'text' || x.segment === 'user-text'))
      .map((x) => ({
        high: Number(BigInt.asIntN(32, x.address >> 32n)),
        startLow: Number(BigInt.asIntN(32, x.address)),
        size: x.size,
      }));
    const stacks = Array.from({ length: machine.processors.count }, (_, n) => processorOf(platform, n).stacks).flat();
    this.#bounds = stacks.map((stack) => ({
      stack,
      high: Number(BigInt.asUintN(64, stack.base) >> 32n),
      baseLow: Number(stack.base & 0xffffffffn),
      topLow: Number(stack.top & 0xffffffffn),
    }));
    for (const { from, to } of fixupsOf(image, platform)) {
      const low = Number(to & 0xffffffffn);
      const list = this.#fixups.get(low) ?? [];
      list.push({ fromLow: Number(from & 0xffffffffn), fromHigh: Number(from >> 32n), toHigh: Number(to >> 32n) });
      this.#fixups.set(low, list);
    }
    const numbers = Array.from({ length: machine.processors.count }, (_, n) => n);
    this.#balanced = numbers.map((n) => this.#findBalanced(n));
    this.#work = numbers.map((n) =>
      platform.work.map((name) => ({ name, ...this.#variable(name, n) })).filter((item) => item.offset >= 0),
    );
    const notes = platform.crash?.notes ?? [];
    this.#notes = numbers.map((n) => notes.map((name) => this.#variable(name, n)).filter((item) => item.offset >= 0));
    this.#start();
  }

  #start(): void {
    const { words: w } = this;
    const { processors, u32 } = this.machine;
    for (let n = 0; n < processors.count; n++) {
      const at = n === processors.running ? 0 : TOTAL * (1 + n);
      const rsp = processors.place(n, Reg.RSP);
      w[at + Word.STACK] = this.#stackOf(u32[rsp + 1]!, u32[rsp]!);
      w[at + Word.USER_RSP] = (u32[processors.place(n, Reg.CS)]! & 3) === 3 ? 1 : 0;
    }
  }

  /** Another processor runs: what is its own takes the place of what was the last one's. */
  #switched(from: number): void {
    const { words: w } = this;
    const parked = TOTAL * (1 + from);
    const fetched = TOTAL * (1 + this.machine.processors.running);
    for (let i = 0; i < TOTAL; i++) {
      if (i === Word.FAILED || (i >= Word.END && i <= Word.NEXT_RECORD)) continue;
      w[parked + i] = w[i]!;
      w[i] = w[fetched + i]!;
      w[fetched + i] = 0;
    }
    this.changed = true;
  }

  /** Where a variable of the image lies for processor `n`; -1 if the image has none of that name. */
  #variable(name: string, n: number): { offset: number; size: number } {
    const { image, platform } = this.subject;
    const symbol = image.globals.get(name) ?? image.find(name);
    const section = symbol && image.sections.find((s) => s.module === symbol.module && s.name === symbol.section);
    if (!symbol || !section) return { offset: -1, size: 0 };
    const own = section.segment === 'percpu' ? processorOf(platform, n).percpu - platform.layout.percpu : 0n;
    const address = section.loadAddress - section.address + symbol.address + own;
    return { offset: this.machine.memory.translateAddress(address), size: Number(symbol.size) || 4 };
  }

  #findBalanced(n: number): { offset: number; size: number }[] {
    const { platform } = this.subject;
    const list = platform.balanced.map((name) => this.#variable(name, n));
    const tss = tssOf(this.subject, n);
    for (let at: number = Tss.RSP0; at < Tss.SIZE - 4; at += 4) {
      // Where the TSS is the kernel's own variable, its SYSCALL entry parks the user's RSP in SP2.
      if (platform.tssVariable !== undefined && at >= Tss.RSP0 + 16 && at < Tss.RSP0 + 24) continue;
      const address = tss + BigInt(at);
      list.push({ offset: this.machine.memory.translateAddress(address), size: 4 });
    }
    return list.filter((item) => item.offset >= 0);
  }

  /** Words of a record. */
  get recordSize(): number {
    return this.#recordSize;
  }

  /** Where the software has stopped itself; undefined if it has not. */
  get panicked(): string | undefined {
    return this.words[Word.END] === End.PANIC ? this.#panicAt() : undefined;
  }

  #panicAt(): string | undefined {
    const { u32 } = this.machine;
    for (let i = 0; i < this.#panics.length; i++) {
      const { name, low, high } = this.#panics[i]!;
      if (u32[2 * Reg.RIP] === low && u32[2 * Reg.RIP + 1] === high) return name;
    }
    return undefined;
  }

  /** The name of a variable that notes work and is not zero; undefined if all are. With `among`, one of these. */
  workPending(among?: readonly string[]): string | undefined {
    const { memory, cpu, processors } = this.machine;
    for (const { name, offset } of this.#work[processors.running]!) {
      if (among !== undefined && !among.includes(name)) continue;
      cpu.noteRead(offset >>> 3);
      if (memory.view.getUint32(offset, true) !== 0) return name;
    }
    return undefined;
  }

  /** Whether the running processor has stopped for good, and nothing that waits for it matters any more. */
  get stopped(): boolean {
    return this.words[Word.GIVEN_UP] === Given.STOPPED;
  }

  /** How many of the processors have given up in this way (see Given). */
  givenUp(what: number): number {
    const { count, running } = this.machine.processors;
    const at = (n: number): number => (n === running ? 0 : TOTAL * (1 + n)) + Word.GIVEN_UP;
    return Array.from({ length: count }, (_, n) => this.words[at(n)]).filter((given) => given === what).length;
  }

  /** Whether a processor has notes that are not complete: the running one, or, once another kernel has taken over, any. */
  get notesIncomplete(): boolean {
    const { running } = this.machine.processors;
    const takenOver = this.words[Word.GIVEN_UP] === Given.TAKEN_OVER;
    return this.#notes.some((list, n) => (takenOver || n === running) && list.some((item) => !this.#isComplete(item)));
  }

  #isComplete({ offset, size }: { readonly offset: number; readonly size: number }): boolean {
    const { memory, cpu } = this.machine;
    let complete = true;
    for (let word = offset >>> 3; word < (offset + size) >>> 3; word++) {
      cpu.noteRead(word);
      if (memory.u32[2 * word] === 0 && memory.u32[2 * word + 1] === 0) complete = false;
    }
    return complete;
  }

  /** This processor's own addresses. */
  get processor(): ProcessorPlaces {
    return processorOf(this.subject.platform, this.machine.processors.running);
  }

  // What the properties ask -------------------------------------------------------------------------------------------

  /** Offset of the innermost open record. */
  get innermost(): number {
    return this.words[Word.OPEN + this.words[Word.DEPTH]! - 1]!;
  }

  /** Offset of the C call that was entered last. */
  get lastCall(): number {
    return CALLS_AT + (this.words[Word.CALLS]! - 1) * CallWord.SIZE;
  }

  /** A number for how control got here: the stack in use, the handlers that are interrupted now, and where. */
  get path(): number {
    const depth = this.words[Word.DEPTH]!;
    const stack = this.words[Word.STACK]!;
    const own = this.#several ? stack + (this.machine.processors.running << 24) : stack;
    return depth === 0 ? own : (this.records[this.innermost + RecordWord.PATH]! + (depth << 4) + own) | 0;
  }

  /** How many of the running calls, the last one left out, are bodies. */
  bodiesBelowLast(): number {
    let n = 0;
    for (let i = 0; i < this.words[Word.CALLS]! - 1; i++) {
      if (this.words[CALLS_AT + i * CallWord.SIZE + CallWord.KIND]! & BODY) n++;
    }
    return n;
  }

  stackInUse(): Stack | undefined {
    return this.#bounds[this.words[Word.STACK]! - 1]?.stack;
  }

  /** Whether RSP lies within the stack in use (in ring 0, where there is one). */
  withinStack(): boolean {
    const number = this.words[Word.STACK]!;
    if (number === 0) return true;
    const u32 = this.machine.u32;
    if ((u32[2 * Reg.CS]! & 3) !== 0) return true;
    const b = this.#bounds[number - 1]!;
    const low = u32[2 * Reg.RSP]!;
    return u32[2 * Reg.RSP + 1] === b.high && low >= b.baseLow && low <= b.topLow;
  }

  /** Whether the frame that was just pushed, if no stack was switched, is still within the stack in use. */
  withinOwnStack(): boolean {
    const { happened, registersBefore, u32 } = this.machine;
    const switched = happened.ist !== 0 || (registersBefore[2 * Reg.CS]! & 3) !== (u32[2 * Reg.CS]! & 3);
    return switched || this.withinStack();
  }

  /** The processor has halted although a record is open. */
  get haltedInHandler(): boolean {
    const w = this.words;
    if (!this.#several) return w[Word.END] === End.HALT && w[Word.DEPTH]! > 0;
    // As long as one of several runs, it may wake the others.
    const { processors, u32 } = this.machine;
    if (!processors.allIdle) return false;
    for (let n = 0; n < processors.count; n++) {
      const depth = w[(n === processors.running ? 0 : TOTAL * (1 + n)) + Word.DEPTH]!;
      const rip = processors.place(n, Reg.RIP);
      const end = processors.ends[n]!;
      // One that has come to the end of its context waits for nothing, whatever it has left behind.
      if (depth > 0 && (u32[rip] !== end.low || u32[rip + 1] !== end.high)) return true;
    }
    return false;
  }

  /** Deliveries, or C calls, have gone on within each other for too long. */
  get tooDeep(): boolean {
    return this.words[Word.END] === End.TOO_DEEP;
  }

  #stackOf(high: number, low: number): number {
    for (let i = 0; i < this.#bounds.length; i++) {
      const b = this.#bounds[i]!;
      if (b.high === high && low > b.baseLow && low <= b.topLow) return i + 1;
    }
    return 0;
  }

  /** A 64-bit value of a record. */
  recorded(at: number): bigint {
    return (BigInt(this.records[at + 1]!) << 32n) | BigInt(this.records[at]!);
  }

  /** A 64-bit value among `words`. */
  word64(at: number): bigint {
    return (BigInt(this.words[at + 1]!) << 32n) | BigInt(this.words[at]!);
  }

  /** Whether every register of the record is as the machine has it now. */
  sameRegisters(record: number): boolean {
    const w = this.records;
    const u32 = this.machine.u32;
    // RIP comes last of these; a fault that is fixed up goes on at another place, with everything else as it was.
    for (let i = 0; i < (this.#fixedUp ? 32 : 34); i++) if (w[record + i] !== u32[i]) return false;
    const debugged = w[record + RecordWord.VECTOR] === Vector.DB;
    if ((w[record + 34]! ^ u32[2 * Reg.RFLAGS]!) & ~(debugged ? DEBUGGER_FLAGS : Flag.RF)) return false;
    if (w[record + RecordWord.CS] !== u32[2 * Reg.CS] || w[record + RecordWord.SS] !== u32[2 * Reg.SS]) return false;
    for (let i = 0; i < 6; i++) if (w[record + RecordWord.FS_BASE + i] !== u32[2 * Reg.FS_BASE + i]) return false;
    for (let i = 0; i < this.#systemCount; i++) {
      const at = record + RecordWord.SYSTEM + 2 * i;
      const from = 2 * SYSTEM_REGISTERS[i]!;
      if ((w[at] !== u32[from] || w[at + 1] !== u32[from + 1]) && !(debugged && DEBUGGER_REGISTERS.has(from / 2)))
        return false;
    }
    return true;
  }

  /** What differs between the record and the machine as it is now. */
  differences(record: number): Difference[] {
    const u64 = this.machine.cpu.regs.u64;
    const list: Difference[] = [];
    const check = (what: string, expected: bigint, found: bigint): void => {
      if (expected !== found) list.push({ what, expected, found });
    };
    for (let r = 0; r < (this.#fixedUp ? 16 : 17); r++)
      check(REGISTER_NAMES[r]!, this.recorded(record + 2 * r), u64[r]!);
    const debugged = this.records[record + RecordWord.VECTOR] === Vector.DB;
    const flags = ~BigInt(debugged ? DEBUGGER_FLAGS : Flag.RF);
    check('rflags', this.recorded(record + 34) & flags, u64[Reg.RFLAGS]! & flags);
    check('cs', BigInt(this.records[record + RecordWord.CS]!), u64[Reg.CS]!);
    check('ss', BigInt(this.records[record + RecordWord.SS]!), u64[Reg.SS]!);
    check('fs_base', this.recorded(record + RecordWord.FS_BASE), u64[Reg.FS_BASE]!);
    check('gs_base', this.recorded(record + RecordWord.GS_BASE), u64[Reg.GS_BASE]!);
    check('kernel_gs_base', this.recorded(record + RecordWord.KERNEL_GS_BASE), u64[Reg.KERNEL_GS_BASE]!);
    SYSTEM_REGISTERS.slice(0, this.#systemCount).forEach((r, i) => {
      if (debugged && DEBUGGER_REGISTERS.has(r)) return;
      check(REGISTER_NAMES[r]!, this.recorded(record + RecordWord.SYSTEM + 2 * i), u64[r]!);
    });
    return list;
  }

  /** Whether the interrupted code's live stack words hash as they did when it was interrupted. */
  sameLiveWords(record: number): boolean {
    const high = this.records[record + 2 * Reg.RSP + 1]!;
    const low = this.records[record + 2 * Reg.RSP]!;
    if (this.records[record + RecordWord.KIND] === Kind.CONTEXT) {
      this.#hashLive(high, low, this.records[record + RecordWord.STACK]!);
    } else {
      this.#hashSpan(high, low, this.records[record + RecordWord.LIVE_END]!);
    }
    return (
      this.#lanes.a >>> 0 === this.records[record + RecordWord.LIVE_A] &&
      this.#lanes.b >>> 0 === this.records[record + RecordWord.LIVE_B]
    );
  }

  sameBalance(record: number): boolean {
    this.#hashBalance();
    return (
      this.#lanes.a >>> 0 === this.records[record + RecordWord.BALANCE_A] &&
      this.#lanes.b >>> 0 === this.records[record + RecordWord.BALANCE_B]
    );
  }

  samePtRegs(call: number): boolean {
    this.#hashPtRegs(this.words[call + CallWord.REGS_HIGH]!, this.words[call + CallWord.REGS_LOW]!);
    return (
      this.#lanes.a >>> 0 === this.words[call + CallWord.HASH_A] &&
      this.#lanes.b >>> 0 === this.words[call + CallWord.HASH_B]
    );
  }

  get failed(): number {
    return this.words[Word.FAILED]!;
  }

  get ended(): boolean {
    return this.words[Word.END] !== End.NONE;
  }

  /** Whether the path is over for good: a halted processor can still be woken. */
  get closed(): boolean {
    return this.ended && this.words[Word.END] !== End.HALT;
  }

  /** Whether further events are worth firing: not after the context is lost, nor after the end. */
  get over(): boolean {
    return this.isOver(this.words[Word.FAILED]!, this.words[Word.END]!);
  }

  /** The same for other contents of Word.FAILED and Word.END. */
  isOver(failed: number, end: number): boolean {
    return (end !== End.NONE && end !== End.HALT) || (failed & this.#ends) !== 0;
  }

  /** Whether high:low, signed or not, is an address in the code of the interrupted context. */
  isContext(high: number, low: number): boolean {
    for (let i = 0; i < this.#contextSpans.length; i++) {
      const span = this.#contextSpans[i]!;
      if (span.high === (high | 0) && (low - span.startLow) >>> 0 < span.size) return true;
    }
    return false;
  }

  /** What the monitor adds to the state, for a comparison: where the records lie and what is left behind is not in it. */
  stateWords(): Uint32Array {
    const w = this.words;
    const open = [...w.subarray(Word.OPEN, Word.OPEN + w[Word.DEPTH]!)];
    const { count } = this.machine.processors;
    const parked = count === 1 ? [] : Array.from({ length: count }, (_, n) => this.#bankWords(TOTAL * (1 + n)));
    return Uint32Array.from([
      ...parked.flat(),
      ...w.subarray(0, HEADER_WORDS),
      ...open.flatMap((record) => [...this.records.subarray(record, record + this.#recordSize)]),
      ...w.subarray(CALLS_AT, CALLS_AT + w[Word.CALLS]! * CallWord.SIZE),
    ]);
  }

  #bankWords(at: number): number[] {
    const w = this.words;
    const open = [...w.subarray(at + Word.OPEN, at + Word.OPEN + w[at + Word.DEPTH]!)];
    return [
      ...w.subarray(at + Word.DEPTH, at + Word.END),
      ...open.flatMap((record) => [...this.records.subarray(record, record + this.#recordSize)]),
      ...w.subarray(at + CALLS_AT, at + CALLS_AT + w[at + Word.CALLS]! * CallWord.SIZE),
    ];
  }

  /** Counts an event of the kind with this number as fired. */
  countFired(kind: number): void {
    this.words[Word.FIRED + (kind >>> 2)]! += 1 << (8 * (kind & 3));
    this.changed = true;
  }

  /** How many events of the kind with this number have been fired. */
  fired(kind: number): number {
    return (this.words[Word.FIRED + (kind >>> 2)]! >>> (8 * (kind & 3))) & 255;
  }

  /** How many events have been fired. */
  get firedCount(): number {
    let count = 0;
    for (let kind = 0; kind < 4 * FIRED_WORDS; kind++) count += this.fired(kind);
    return count;
  }

  get firedAny(): boolean {
    for (let i = 0; i < FIRED_WORDS; i++) if (this.words[Word.FIRED + i] !== 0) return true;
    return false;
  }

  fail(index: number): void {
    const bit = 1 << index;
    if (this.words[Word.FAILED]! & bit) return;
    this.words[Word.FAILED]! |= bit;
    this.changed = true;
    this.onFailure?.(this.properties[index]!);
  }

  /** Breaks a property by name, for what no hook can see; false if it is not checked. */
  failNamed(name: string): boolean {
    const index = this.properties.findIndex((p) => p.name === name);
    if (index >= 0) this.fail(index);
    return index >= 0;
  }

  // What happened ------------------------------------------------------------------------------------------------------

  /** To be called after every transition of the machine. */
  after(): void {
    const { machine, words: w } = this;
    const { happened, u32 } = machine;
    const events = u32[2 * Reg.EVENTS]!;
    if (happened.plain) {
      if (events & EventState.VMX_ROOT) this.#keepLedger();
      this.#executed(happened.instruction!);
    } else if (this.#happened()) return;
    if (this.#panicAt() !== undefined) {
      w[Word.END] = End.PANIC;
      this.changed = true;
      this.failNamed('panic');
      return;
    }
    const atEnd = this.#several
      ? machine.processors.atEnd
      : u32[2 * Reg.RIP] === this.#endLow && u32[2 * Reg.RIP + 1] === this.#endHigh;
    if (atEnd && !takesPending(machine, events)) this.#end(End.CONTEXT);
    else if (events & EventState.HALTED && !this.#stillOwes(events) && !takesPending(machine, events))
      this.#end(End.HALT);
    if (!this.#several) return;
    // One of several is done; the path goes on with the others.
    const idle = w[Word.END] === End.CONTEXT || w[Word.END] === End.HALT;
    if (idle && !machine.processors.allIdle) w[Word.END] = End.NONE;
  }

  /** The same for a transition that was more than an instruction in the engine; true if there is nothing else to see. */
  #happened(): boolean {
    const { words: w } = this;
    const { happened } = this.machine;
    if (happened.switchedFrom >= 0) {
      if (w[Word.END] === End.HALT) w[Word.END] = End.NONE;
      this.#switched(happened.switchedFrom);
      return true;
    }
    if (this.machine.u32[2 * Reg.EVENTS]! & EventState.VMX_ROOT) this.#keepLedger();
    if (happened.failedCheck !== undefined && this.failNamed('vm-entry')) {
      // What a host does then, if anything, is no failure of its own.
      w[Word.END] = End.BROKEN;
      this.changed = true;
      return true;
    }
    if (happened.vmEntry) this.#entered();
    if (happened.vmExit >= 0 && !happened.delivered) this.#stackChanged();
    if (happened.delivered) {
      if (w[Word.END] === End.HALT) w[Word.END] = End.NONE;
      this.#opened();
    } else if (happened.shutdown) {
      w[Word.END] = End.SHUTDOWN;
      this.changed = true;
      this.failNamed('shutdown');
      return true;
    } else if (happened.instruction !== undefined) {
      if (happened.instruction.microcode >= 0) this.#executedMicrocoded(happened.instruction);
      else this.#executed(happened.instruction);
    }
    return false;
  }

  #executed(instruction: Instruction): void {
    if (instruction.switchesStack) this.#stackChanged();
    if (instruction.returns) {
      // A RET to the CALL that it belongs to gives nothing back, even if something was interrupted just there.
      if (!this.#maybeLeft() && this.words[Word.DEPTH]! > 0) this.#maybeReturned(true);
    }
    // By CALL or JMP, a RET as retpolines use it, or by running into it.
    const called = instruction.mnemonic === Mnemonic.Call;
    if (called && this.words[Word.DEPTH]! > 0) this.#noteCall(instruction);
    if (this.#entryBits & (1 << this.machine.u32[2 * Reg.RIP]!)) this.#maybeEntered(called);
    if (this.words[Word.DEPTH]! > 0 && this.isContext(instruction.high, instruction.low)) this.#contextResumed();
    if (instruction.leaves) this.#leave();
    this.#step();
  }

  #executedMicrocoded(instruction: Instruction): void {
    const { happened } = this.machine;
    if (instruction.switchesStack) this.#stackChanged();
    if (happened.returned !== Return.NONE && !happened.vmEntry) {
      this.#stackChanged();
      this.#maybeReturned(false);
    } else if (instruction.mnemonic === Mnemonic.Syscall) {
      this.#setUserRsp(1);
    } else if (LOADING_STACK.has(instruction.mnemonic)) {
      this.#stackChanged();
    }
    for (let i = 0; i < this.#executedMicrocode.length; i++) {
      const [n, p] = this.#executedMicrocode[i]!;
      if (p.executedMicrocode!(this)) this.fail(n);
    }
    if (this.words[Word.DEPTH]! > 0 && this.isContext(instruction.high, instruction.low)) this.#contextResumed();
    this.#leave();
    this.#step();
  }

  /** An instruction has been executed. */
  #step(): void {
    for (let i = 0; i < this.#stepped.length; i++) {
      const [n, p] = this.#stepped[i]!;
      if (p.stepped!(this)) this.fail(n);
    }
  }

  /** Control may have gone elsewhere than to the next instruction. */
  #leave(): void {
    for (let i = 0; i < this.#left.length; i++) {
      const [n, p] = this.#left[i]!;
      if (p.left!(this)) this.fail(n);
    }
  }

  /** An NMI is pending: a processor that halts with NMIs blocked comes to no end, unless it stops for good. */
  #stillOwes(events: number): boolean {
    return (events & EventState.NMI_PENDING) !== 0 && !this.stopped;
  }

  #end(why: number): void {
    const w = this.words;
    if (w[Word.DEPTH]! > 0 && why === End.CONTEXT) this.#contextResumed();
    w[Word.END] = why;
    this.changed = true;
    if (why === End.CONTEXT) this.#compareEnd();
    for (const [i, p] of this.#ended) if (p.ended!(this)) this.fail(i);
  }

  /** Code of the interrupted context runs although no return has given it back. */
  #contextResumed(): void {
    if (this.records[this.words[Word.OPEN]! + RecordWord.KIND] !== Kind.CONTEXT) return;
    this.failNamed('context');
    const already = this.words[Word.END] !== End.NONE;
    this.words[Word.END] = End.BROKEN;
    this.changed = true;
    if (!already) for (const [i, p] of this.#ended) if (p.ended!(this)) this.fail(i);
  }

  /**
   * The interrupted code must come to the same end as without events: an event may have changed what it reads, not only
   * what it holds. The path without events, which every search and run takes first, is the reference.
   */
  #compareEnd(): void {
    const u32 = this.machine.u32;
    // Without the red zone: what it holds now may never have been written by the context.
    this.#hashLive(u32[2 * Reg.RSP + 1]!, u32[2 * Reg.RSP]!, this.words[Word.STACK]!, 0);
    // With several processors the interleaving decides, rightly, what code comes to.
    if (this.machine.processors.count > 1 || this.words[Word.GIVEN_UP] !== Given.NOTHING) return;
    if (!this.firedAny) {
      this.reference ??= { registers: u32.slice(), a: this.#lanes.a, b: this.#lanes.b };
      return;
    }
    const reference = this.reference;
    if (!reference || this.words[Word.DEPTH]! > 0) return;
    const same = reference.a === this.#lanes.a && reference.b === this.#lanes.b && this.endDifferences().length === 0;
    if (!same) this.failNamed('context');
  }

  /** Registers that are not, at the end of the context, what they are there without events. */
  endDifferences(): Difference[] {
    const reference = this.reference;
    if (!reference || this.words[Word.END] !== End.CONTEXT || this.words[Word.DEPTH]! > 0) return [];
    const u32 = this.machine.u32;
    const list: Difference[] = [];
    for (let r = 0; r < REGISTER_COUNT; r++) {
      if (r === Reg.EVENTS || r === Reg.CR2 || r === Reg.DR6) continue;
      if (reference.registers[2 * r] === u32[2 * r] && reference.registers[2 * r + 1] === u32[2 * r + 1]) continue;
      const expected = (BigInt(reference.registers[2 * r + 1]!) << 32n) | BigInt(reference.registers[2 * r]!);
      list.push({ what: REGISTER_NAMES[r]!, expected, found: this.machine.cpu.regs.u64[r]! });
    }
    return list;
  }

  #setUserRsp(value: number): void {
    if (this.words[Word.USER_RSP] === value) return;
    this.words[Word.USER_RSP] = value;
    this.changed = true;
  }

  /** RSP has been loaded with something new. */
  #stackChanged(): void {
    const u32 = this.machine.u32;
    const stack = this.#stackOf(u32[2 * Reg.RSP + 1]!, u32[2 * Reg.RSP]!);
    if (stack !== this.words[Word.STACK]) {
      this.words[Word.STACK] = stack;
      this.changed = true;
    }
    this.#setUserRsp((u32[2 * Reg.CS]! & 3) === 3 ? 1 : 0);
  }

  #opened(): void {
    const { machine, words: w } = this;
    const happened = machine.happened;
    const before = machine.registersBefore;
    const depth = w[Word.DEPTH]!;
    if (depth >= DEEPEST && (depth === MAX_RECORDS || depth >= DEEPEST + 2 * this.firedCount)) {
      w[Word.END] = End.TOO_DEEP;
      this.changed = true;
      this.failNamed('progress');
      return;
    }
    const number = w[Word.NEXT_RECORD]!;
    const record = number * this.#recordSize;
    if (record + this.#recordSize > this.records.length) {
      const grown = new Uint32Array(this.records.length * 2);
      grown.set(this.records);
      this.records = grown;
    }
    const r = this.records;
    for (let i = 0; i < 36; i++) r[record + i] = before[i]!;
    r[record + RecordWord.CS] = before[2 * Reg.CS]!;
    r[record + RecordWord.SS] = before[2 * Reg.SS]!;
    for (let i = 0; i < 6; i++) r[record + RecordWord.FS_BASE + i] = before[2 * Reg.FS_BASE + i]!;
    for (let i = 0; i < this.#systemCount; i++) {
      const from = 2 * SYSTEM_REGISTERS[i]!;
      r[record + RecordWord.SYSTEM + 2 * i] = before[from]!;
      r[record + RecordWord.SYSTEM + 2 * i + 1] = before[from + 1]!;
    }
    r[record + RecordWord.VECTOR] = happened.vector;
    const context = this.isContext(before[2 * Reg.RIP + 1]!, before[2 * Reg.RIP]!);
    const faultedReturn = happened.instruction?.mnemonic === Mnemonic.Iretq;
    r[record + RecordWord.KIND] = context ? Kind.CONTEXT : faultedReturn ? Kind.RETURN : Kind.HANDLER;
    r[record + RecordWord.LATCH] = before[2 * Reg.EVENTS]! & EventState.NMI_BLOCKED ? 1 : 0;
    // An NMI that has caused a VM exit is the host's to handle; the virtual one that it injects is the guest's own business.
    const nmiExit = happened.vector === VM_EXIT_VECTOR && happened.vmExit === ExitReason.EXCEPTION_OR_NMI;
    const virtual = nmiExits(machine.u32[2 * Reg.EVENTS]!);
    // An NMI whose delivery has faulted is gone all the same.
    const external = happened.requestedVector === Vector.NMI && happened.requestedOrigin === Origin.EXTERNAL;
    if (nmiExit || (external && !virtual)) {
      // The latch as it was before this NMI took it.
      r[record + RecordWord.LATCH] = 0;
      // An NMI in SMM goes to the firmware: no handler of the system ever learns of it.
      if (!(before[2 * Reg.EVENTS]! & EventState.SMM)) w[Word.NMI_OWED] = this.#entryHere() & SERVES ? 0 : 1;
    }
    const machineCheck = happened.requestedVector === Vector.MC && happened.requestedOrigin === Origin.EXTERNAL;
    if (machineCheck && happened.vector !== Vector.MC) w[Word.MC_LOST] = 1;
    const told = happened.vector === Vector.PF ? Reg.CR2 : happened.vector === Vector.DB ? Reg.DR6 : -1;
    r[record + RecordWord.FAULT_LOW] = told < 0 ? 0 : machine.u32[2 * told]!;
    r[record + RecordWord.FAULT_HIGH] = told < 0 ? 0 : machine.u32[2 * told + 1]!;
    if (told >= 0 && fredEnabled(machine)) {
      const data = this.#eventData(happened.stackTopHigh, happened.stackTopLow);
      r[record + RecordWord.FAULT_LOW] = machine.memory.u32[2 * data]!;
      r[record + RecordWord.FAULT_HIGH] = machine.memory.u32[2 * data + 1]!;
    }
    r[record + RecordWord.STACK] = w[Word.STACK]!;
    r[record + RecordWord.USER_RSP] = w[Word.USER_RSP]!;
    r[record + RecordWord.FRAME_LOW] = happened.stackTopLow;
    r[record + RecordWord.FRAME_HIGH] = happened.stackTopHigh;
    r[record + RecordWord.CALLS] = w[Word.CALLS]!;
    if (context) {
      this.#hashLive(before[2 * Reg.RSP + 1]!, before[2 * Reg.RSP]!, w[Word.STACK]!);
      r[record + RecordWord.LIVE_A] = this.#lanes.a;
      r[record + RecordWord.LIVE_B] = this.#lanes.b;
      this.#hashBalance();
      r[record + RecordWord.BALANCE_A] = this.#lanes.a;
      r[record + RecordWord.BALANCE_B] = this.#lanes.b;
      r[record + RecordWord.LIVE_END] = 0;
    } else {
      const end = this.#callsEnd(depth, before[2 * Reg.RSP + 1]!, before[2 * Reg.RSP]!);
      this.#hashSpan(before[2 * Reg.RSP + 1]!, before[2 * Reg.RSP]!, end);
      r[record + RecordWord.LIVE_A] = this.#lanes.a;
      r[record + RecordWord.LIVE_B] = this.#lanes.b;
      r[record + RecordWord.BALANCE_A] = 0;
      r[record + RecordWord.BALANCE_B] = 0;
      r[record + RecordWord.LIVE_END] = end;
    }
    r[record + RecordWord.PATH] = context
      ? before[2 * Reg.CS]! << 8
      : Math.imul(this.path ^ before[2 * Reg.RIP]!, 0x9e3779b1) ^ 1;
    this.#lanes.reset();
    this.#lanes.absorb(r, record, record + RecordWord.LIVE_END);
    this.#lanes.absorb(r, record + RecordWord.SYSTEM, record + this.#recordSize);
    r[record + RecordWord.LANE_A] = this.#lanes.a;
    r[record + RecordWord.LANE_B] = this.#lanes.b;
    r[record + RecordWord.LANE_C] = this.#lanes.c;
    w[Word.NEXT_RECORD] = number + 1;
    w[Word.OPEN + depth] = record;
    w[Word.DEPTH] = depth + 1;
    this.changed = true;
    // An SMI uses nothing of the system's, neither its tables nor its stacks; a VM exit pushes nothing.
    const apart = happened.vector === SMI_VECTOR || happened.vector === VM_EXIT_VECTOR;
    const switched = apart || happened.ist !== 0 || (before[2 * Reg.CS]! & 3) !== (machine.u32[2 * Reg.CS]! & 3);
    // The properties judge the delivery with the stack pointer's origin as it was.
    for (let i = 0; i < this.#delivered.length && !apart; i++) {
      const [n, p] = this.#delivered[i]!;
      if (p.delivered!(this)) this.fail(n);
    }
    if (switched) {
      w[Word.STACK] = this.#stackOf(happened.stackTopHigh, happened.stackTopLow);
      w[Word.USER_RSP] = 0;
    }
  }

  /** What the transition has meant for the guest's ledger; a property that it breaks breaks here. */
  #keepLedger(): void {
    const { words: w } = this;
    const { owed, spare, unasked } = this.guestLedger.after(w[Word.GUEST_OWED]!, w[Word.GUEST_SPARE]!);
    if (unasked) this.failNamed('guest-ledger');
    if (owed === w[Word.GUEST_OWED] && spare === w[Word.GUEST_SPARE]) return;
    w[Word.GUEST_OWED] = owed;
    w[Word.GUEST_SPARE] = spare;
    this.changed = true;
  }

  /** A guest has been entered: code that an exit had interrupted goes on, before any event that is injected. */
  #entered(): void {
    const { u32, registersBefore } = this.machine;
    const after = u32.slice();
    u32.set(registersBefore);
    this.#stackChanged();
    this.#maybeReturned(false);
    u32.set(after);
  }

  /** The event data in the frame of 64 bytes below high:low, as a word (buffer offset / 8). */
  #eventData(high: number, low: number): number {
    // A frame lies in one page.
    const borrow = low < FredFrame.SIZE ? 1 : 0;
    const frame = this.machine.memory.locate((high - borrow) >>> 0, (low - FredFrame.SIZE) >>> 0);
    return (frame + FredFrame.EVENT_DATA) / 8;
  }

  /** Whether the frame of `record`, which FRED has delivered, still has the event data that it had. */
  sameEventData(record: number): boolean {
    const { memory, cpu } = this.machine;
    const r = this.records;
    const data = this.#eventData(r[record + RecordWord.FRAME_HIGH]!, r[record + RecordWord.FRAME_LOW]!);
    cpu.noteRead(data);
    return (
      memory.u32[2 * data] === r[record + RecordWord.FAULT_LOW] &&
      memory.u32[2 * data + 1] === r[record + RecordWord.FAULT_HIGH]
    );
  }

  /** After a return: does it give the interrupted code of an open record back? A near RET must match RSP as well. */
  #maybeReturned(near: boolean): void {
    const w = this.words;
    const r = this.records;
    const u32 = this.machine.u32;
    const low = u32[2 * Reg.RIP]!;
    const high = u32[2 * Reg.RIP + 1]!;
    let depth = w[Word.DEPTH]!;
    while (depth > 0) {
      const record = w[Word.OPEN + depth - 1]!;
      this.#fixedUp = this.#fixups.size > 0 && this.#isFixup(record, low, high);
      const same =
        ((r[record + 2 * Reg.RIP] === low && r[record + 2 * Reg.RIP + 1] === high) || this.#fixedUp) &&
        r[record + RecordWord.CS] === u32[2 * Reg.CS];
      if (
        same &&
        (!near ||
          (r[record + 2 * Reg.RSP] === u32[2 * Reg.RSP] && r[record + 2 * Reg.RSP + 1] === u32[2 * Reg.RSP + 1]))
      ) {
        break;
      }
      depth--;
    }
    if (near && depth > 0 && w[Word.OWN_CALL] === depth) {
      w[Word.OWN_CALL] = 0;
      this.changed = true;
      return;
    }
    if (depth === 0) {
      this.#fixedUp = false;
      if (!near) for (const [i, p] of this.#returned) if (p.returned!(this, -1)) this.fail(i);
      return;
    }
    const record = w[Word.OPEN + depth - 1]!;
    this.closing = record;
    for (let i = 0; i < this.#returned.length; i++) {
      const [n, p] = this.#returned[i]!;
      if (p.returned!(this, record)) this.fail(n);
    }
    this.closing = -1;
    this.#fixedUp = false;
    w[Word.DEPTH] = depth - 1;
    if (w[Word.OWN_CALL]! >= depth) w[Word.OWN_CALL] = 0;
    w[Word.STACK] = r[record + RecordWord.STACK]!;
    w[Word.USER_RSP] = r[record + RecordWord.USER_RSP]!;
    if (w[Word.CALLS]! > r[record + RecordWord.CALLS]!) w[Word.CALLS] = r[record + RecordWord.CALLS]!;
    this.changed = true;
  }

  /**
   * A CALL whose RET will look like a return to what the running handler has interrupted: a handler that begins its stack
   * anew, from the top, makes the calls of the code that it has overwritten once more.
   */
  #noteCall(instruction: Instruction): void {
    const w = this.words;
    const r = this.records;
    const u32 = this.machine.u32;
    const record = this.innermost;
    const same =
      r[record + 2 * Reg.RIP] === (instruction.low + instruction.length) >>> 0 &&
      r[record + 2 * Reg.RIP + 1] === instruction.high >>> 0 &&
      r[record + 2 * Reg.RSP] === (u32[2 * Reg.RSP]! + 8) >>> 0 &&
      r[record + 2 * Reg.RSP + 1] === u32[2 * Reg.RSP + 1];
    if (!same) return;
    w[Word.OWN_CALL] = w[Word.DEPTH]!;
    this.changed = true;
  }

  /** Whether high:low is where the exception table lets a fault of the instruction go on that `record` has interrupted. */
  #isFixup(record: number, low: number, high: number): boolean {
    const r = this.records;
    const vector = r[record + RecordWord.VECTOR]!;
    if (!FAULTS.has(vector)) return false;
    for (const f of this.#fixups.get(low) ?? []) {
      if (f.toHigh !== high) continue;
      if (f.fromLow === r[record + 2 * Reg.RIP] && f.fromHigh === r[record + 2 * Reg.RIP + 1]) return true;
    }
    return false;
  }

  /** Whether inner records are still open when `record` closes: interrupted handlers that never go on. */
  abandons(record: number): boolean {
    const w = this.words;
    for (let i = w[Word.DEPTH]! - 1; w[Word.OPEN + i] !== record; i--) {
      if (this.records[w[Word.OPEN + i]! + RecordWord.KIND] !== Kind.RETURN) return true;
    }
    return false;
  }

  #maybeEntered(called: boolean): void {
    const { words: w, machine } = this;
    const u32 = machine.u32;
    const low = u32[2 * Reg.RIP]!;
    const high = u32[2 * Reg.RIP + 1]!;
    for (let i = 0; i < this.#entries.length; i++) {
      const entry = this.#entries[i]!;
      if (entry.low !== low || entry.high !== high) continue;
      const n = w[Word.CALLS]!;
      if (entry.kind & SERVES) w[Word.NMI_OWED] = 0;
      if (entry.kind & (STOPS | TAKES_OVER)) this.#givesUp(entry.kind & STOPS ? Given.STOPPED : Given.TAKEN_OVER);
      this.changed = true;
      if (!(entry.kind & CALL)) return;
      // A jump of the running function back to its own start is a loop.
      if (!called && n > 0 && this.#isLast(entry)) return;
      if (n === MAX_CALLS) {
        w[Word.END] = End.TOO_DEEP;
        this.changed = true;
        this.failNamed('progress');
        return;
      }
      const call = CALLS_AT + n * CallWord.SIZE;
      w[call + CallWord.RSP_LOW] = u32[2 * Reg.RSP]!;
      w[call + CallWord.RSP_HIGH] = u32[2 * Reg.RSP + 1]!;
      w[call + CallWord.KIND] = entry.kind | (called ? CALLED : 0);
      w[call + CallWord.REGS_LOW] = u32[2 * Reg.RDI]!;
      w[call + CallWord.REGS_HIGH] = u32[2 * Reg.RDI + 1]!;
      w[call + CallWord.DEPTH] = w[Word.DEPTH]!;
      w[call + CallWord.HASH_A] = 0;
      w[call + CallWord.HASH_B] = 0;
      if (entry.kind & C_PART) {
        this.#hashPtRegs(u32[2 * Reg.RDI + 1]!, u32[2 * Reg.RDI]!);
        w[call + CallWord.HASH_A] = this.#lanes.a;
        w[call + CallWord.HASH_B] = this.#lanes.b;
      }
      w[Word.CALLS] = n + 1;
      this.changed = true;
      if (entry.kind & C_PART) for (const [j, p] of this.#enteredC) if (p.enteredC!(this)) this.fail(j);
      if (entry.kind & SLEEPER) for (const [j, p] of this.#enteredSleeper) if (p.enteredSleeper!(this)) this.fail(j);
      if (entry.kind & BODY) {
        w[Word.NMI_OWED] = 0;
        for (const [j, p] of this.#enteredBody) if (p.enteredBody!(this)) this.fail(j);
      }
      return;
    }
  }

  /** The kind of the function at RIP; 0 if it is none of those that are watched. */
  #entryHere(): number {
    const { u32 } = this.machine;
    return this.#entries.find((e) => e.low === u32[2 * Reg.RIP] && e.high === u32[2 * Reg.RIP + 1])?.kind ?? 0;
  }

  /** The processor will never give back what it has interrupted, nor serve what is pending. */
  #givesUp(what: number): void {
    const w = this.words;
    w[Word.GIVEN_UP] = what;
    // The C parts that have led here end here; those of handlers that they have interrupted never went on.
    for (let i = w[Word.CALLS]! - 1; i >= 0; i--) {
      const call = CALLS_AT + i * CallWord.SIZE;
      if (w[call + CallWord.DEPTH] !== w[Word.DEPTH]) break;
      if (w[call + CallWord.KIND]! & C_PART) for (const [j, p] of this.#leftC) if (p.leftC!(this, call)) this.fail(j);
    }
    w[Word.DEPTH] = 0;
    w[Word.CALLS] = 0;
    w[Word.NMI_OWED] = 0;
    w[Word.MC_LOST] = 0;
    for (const [i, p] of this.#gaveUp) if (p.gaveUp!(this)) this.fail(i);
  }

  /** Whether the call that was entered last is of this function, in this handler, and at this stack pointer. */
  #isLast(entry: Entry): boolean {
    const { words: w } = this;
    const u32 = this.machine.u32;
    const call = this.lastCall;
    return (
      (w[call + CallWord.KIND]! & ~CALLED) === entry.kind &&
      w[call + CallWord.DEPTH] === w[Word.DEPTH] &&
      w[call + CallWord.RSP_LOW] === u32[2 * Reg.RSP] &&
      w[call + CallWord.RSP_HIGH] === u32[2 * Reg.RSP + 1]
    );
  }

  /** After a near RET: leaves the C calls that it ends; true if it goes back to the CALL of one of them. */
  #maybeLeft(): boolean {
    const { words: w, machine } = this;
    const u32 = machine.u32;
    let called = false;
    while (w[Word.CALLS]! > 0) {
      const call = this.lastCall;
      // RET pops the return address: RSP is 8 above what it was at the entry.
      if (w[call + CallWord.RSP_LOW]! + 8 !== u32[2 * Reg.RSP] || w[call + CallWord.RSP_HIGH] !== u32[2 * Reg.RSP + 1])
        break;
      if (w[call + CallWord.DEPTH] !== w[Word.DEPTH]) break;
      if (w[call + CallWord.KIND]! & CALLED) called = true;
      if (w[call + CallWord.KIND]! & C_PART) for (const [j, p] of this.#leftC) if (p.leftC!(this, call)) this.fail(j);
      w[Word.CALLS]! -= 1;
      this.changed = true;
    }
    return called;
  }

  // Hashes over guest memory; what they read counts as read by the path -------------------------------------------------

  #hashWords(offset: number, words: number): void {
    const memory = this.machine.memory;
    for (let i = 0; i < words; i++) this.machine.cpu.noteRead((offset >>> 3) + i);
    this.#lanes.absorb(memory.u32, offset >>> 2, (offset >>> 2) + 2 * words);
  }

  /**
   * Words from RSP up to the top of the stack, if that stack can hold live words of a context; in user mode with the 128
   * bytes below RSP that the System V ABI lets a function use.
   */
  #hashLive(high: number, low: number, stackNumber: number, redZone = RED_ZONE): void {
    this.#lanes.reset();
    const b = this.#bounds[stackNumber - 1];
    if (!b?.stack.context || high !== b.high || low < b.baseLow || low > b.topLow) return;
    const from = b.stack.user ? Math.max(b.baseLow, low - redZone) : low;
    this.#hashSpan(high, from, b.topLow);
  }

  /** Words from high:low up to high:end. */
  #hashSpan(high: number, low: number, end: number): void {
    this.#lanes.reset();
    if (end <= low) return;
    const offset = this.machine.memory.locate(high, low & ~7);
    if (offset >= 0) this.#hashWords(offset, (end - (low & ~7)) >>> 3);
  }

  /**
   * Where the stack words of the C code end that runs in the handler at nesting `depth`, with RSP high:low: behind the
   * return address of the first of its calls; 0 if there is none on this stack.
   */
  #callsEnd(depth: number, high: number, low: number): number {
    const w = this.words;
    const b = this.#bounds[w[Word.STACK]! - 1];
    if (!b || high !== b.high || low < b.baseLow) return 0;
    for (let i = 0; i < w[Word.CALLS]!; i++) {
      const call = CALLS_AT + i * CallWord.SIZE;
      const rsp = w[call + CallWord.RSP_LOW]!;
      if (w[call + CallWord.DEPTH] === depth && w[call + CallWord.RSP_HIGH] === high && rsp >= low && rsp < b.topLow) {
        return rsp + 8;
      }
    }
    return 0;
  }

  #hashBalance(): void {
    this.#lanes.reset();
    const memory = this.machine.memory;
    const balanced = this.#balanced[this.machine.processors.running]!;
    for (let i = 0; i < balanced.length; i++) {
      const { offset, size } = balanced[i]!;
      this.machine.cpu.noteRead(offset >>> 3);
      this.#scratch[0] = size >= 4 ? memory.view.getUint32(offset, true) : memory.view.getUint8(offset);
      this.#scratch[1] = size >= 8 ? memory.view.getUint32(offset + 4, true) : 0;
      this.#lanes.absorb(this.#scratch, 0, 2);
    }
  }

  #hashPtRegs(high: number, low: number): void {
    this.#lanes.reset();
    const words = this.subject.platform.ptRegsWords;
    const last = this.machine.memory.locate(high, low + 8 * (words - 1));
    const offset = this.machine.memory.locate(high, low);
    // A pointer that is no pt_regs (or one that runs off its page) has nothing to compare.
    if (low & 7 || offset < 0 || last !== offset + 8 * (words - 1)) return;
    this.#hashWords(offset, words);
  }
}
