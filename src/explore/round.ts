/**
 * One round of the search: depth first over the events, each run of instructions between two events as one chain.
 *
 * A chain is followed to its end first (the end of the context, a state that is already known, an endless loop); then,
 * from its first boundary to its last, every event that may fire there starts a chain of its own. Journals take memory
 * and registers back and forth, so a fork costs what it changes. First to last: the chain that an event starts early
 * (an NMI that stays pending, say) is long, and what it starts later runs into it at once. When a chain runs into a
 * known state, how that state goes on without further events is known too: that decides whether a schedule is minimal.
 */
import { NotModelled } from '../cpu/not_modelled.js';
import { ENGINE_REGISTERS, RARE_REGISTERS, Reg } from '../cpu/registers.js';
import { InputError } from '../errors.js';
import { Lanes } from '../fingerprint.js';
import { type Event, eventNamed } from '../harness/events.js';
import type { Machine } from '../harness/machine.js';
import { onAccess, type Trigger } from '../hooks/triggers.js';
import type { Subject } from '../platforms/subject.js';
import { HEADER_WORDS, Monitor, RecordWord, Word } from '../properties/monitor.js';
import { panic } from '../properties/panic.js';
import type { Property } from '../properties/property.js';
import { kindsOf, type Place } from './bound.js';
import { FIRST_KEY, type LiveWords, MasksFull } from './live_words.js';
import {
  byAddress,
  type Failure,
  isShorter,
  type ScheduledEvent,
  type SearchOptions,
  type SearchResult,
} from './result.js';
import { ScheduleRecorder } from './schedule_recorder.js';
import { VisitedSet } from './visited.js';

/** More instructions than this between two events: the code does not come back. */
export const MAX_CHAIN = 50_000;
/** After so many chains that do not come back the search gives up. */
const MAX_RUNAWAYS = 16;
const CHECK_EVERY = 4096;
const REGISTER_WORDS = 36;
/** End of the registers that a copy of the slow part usually holds; all of them, if one of the others has changed. */
const USUAL_END = RARE_REGISTERS * 2;
/** Of each position: the lanes of its registers but RIP, those of memory, the sums of both and of RIP's, the used words of a mask. */
const LANE_WORDS = 10;
const RIP_BIT = 1 << Reg.RIP;
/** Words in front of a copy of the slow part: its lanes, those of the system registers in it, the number of the path. */
const SLOW_LANES = 7;
const SLOW_PATH = 6;
const SLOW_EVENTS = SLOW_LANES + 2 * Reg.EVENTS - REGISTER_WORDS;

/** Odd factors for the lanes of the slow part, which are no sums. */
const SLOW_A = 0x2545f491;
const SLOW_B = 0x41c64e6d;
const SLOW_C = 0x6c078965;

/** `fast`: the lane of registers and memory. */
function combine(fast: number, slow: number, factor: number): number {
  return (fast + Math.imul(slow, factor)) | 0;
}

class Stopped extends Error {
  constructor(readonly reason: string) {
    super(reason);
  }
}

/** A register that is usually left alone has changed: the round must be repeated with all registers in the state. */
export class RareRegisters extends Error {}

/** A place as the inner loop wants it. */
interface CodePlace {
  readonly startHigh: number;
  readonly startLow: number;
  readonly endLow: number;
}

/** Where one kind may fire. */
interface Allowed {
  readonly code: readonly CodePlace[];
  /** These look at the machine, which must stand at the boundary. */
  readonly triggers: readonly Trigger[];
}

/** One pass over the whole space with the table of live words as it is. */
export class Round {
  readonly #machine: Machine;
  readonly #monitor: Monitor;
  readonly #live: LiveWords;
  readonly #options: SearchOptions;
  readonly #subject: Subject;
  readonly #visited: VisitedSet;
  /** Gives the states numbers of its own, by which the visited set then knows them; undefined: nobody asked for it. */
  readonly #recorder: ScheduleRecorder | undefined;
  /** Properties broken when the chain with this number has run to its end. */
  #outcome = new Uint32Array(1 << 6);
  #chains = 0;
  #transitions = 0;
  #untilCheck = CHECK_EVERY;
  #runaways = 0;
  /** Why the space is not closed although the search went on to its end. */
  #open: string | undefined;
  /** Where the software stops itself on some path. */
  #panicked: string | undefined;
  /** Bit k: an event of kind k has been fired. */
  #firedKinds = 0;
  readonly #maxStates: number;
  /** The events of the bound; their number is their place in all that follows. */
  readonly #events: readonly Event[];
  readonly #budgets: readonly number[];
  readonly #places: readonly (Allowed | undefined)[];
  readonly #windows = new Map<string, Failure>();
  #forksDone = 0;
  #forks = 0;
  /** The same for the chain of the first event that is being followed: 0 to 1. */
  #innerDone = 0;

  // The path from the start to here: one entry for each state on it.
  #top = 0;
  #rip = new Uint32Array(2 * 1024);
  #registerMark = new Int32Array(1024);
  /** The general registers at the newest state of the path, and what they were before: (number, low, high) each. */
  readonly #at = new Int32Array(REGISTER_WORDS);
  /** The number of the path (Monitor.path) there. */
  #path = 0;
  #registerJournal = new Int32Array(3 * 4096);
  #registerJournalLength = 0;
  #lanes = new Int32Array(LANE_WORDS * 1024);
  #known: Uint32Array;
  #journal = new Int32Array(1024);
  #row = new Int32Array(1024);
  #slow = new Int32Array(1024);
  /** Where the chain that is being followed begins. */
  #base = 0;
  /** The events fired on the path to here: each at a position of the chain that begins at `base`. */
  readonly #schedule: { readonly base: number; readonly position: number; readonly event: string }[] = [];

  // What the transitions between the positions of a chain wrote, for going forward along it again:
  // (memory word, low, high) and (register, low, high).
  #forwardMemory = new Int32Array(3 * 4096);
  #forwardMemoryTop = 0;
  #forwardRegisters = new Int32Array(3 * 4096);
  #forwardRegistersTop = 0;

  // Copies of everything but the general registers, made when it has changed; entries of the path refer to them.
  #slowWords = new Uint32Array(1 << 14);
  #slowTop = 0;
  #slowCurrent = -1;

  // Fingerprint of the current state, in parts.
  readonly #registerLanes = new Lanes();
  readonly #memoryLanes = new Lanes();
  readonly #slowLanes = new Lanes();
  readonly #systemLanes = new Lanes();
  readonly #heldLanes = new Lanes();
  /** What RIP adds to the lanes of the registers; it is different in each state, so it is not kept in them. */
  readonly #ripLanes = new Lanes();
  /** The same for each instruction, by its number: three words, all 0 as long as it is not known. */
  #ripKnown = new Int32Array(3 * 512);
  /** System registers as `#systemLanes` has them. */
  readonly #hashedSystem: Uint32Array;
  readonly #systemEnd: number;
  /** Bit t: tracked word t has been written since it was last dead, or was never written: its value may be used. */
  readonly #knownNow: Uint32Array;
  readonly #startMemory: Uint32Array;
  #accounted = 0;

  constructor(
    machine: Machine,
    subject: Subject,
    properties: readonly Property[],
    options: SearchOptions,
    live: LiveWords,
    allRegisters: boolean,
    slots: readonly number[],
  ) {
    this.#visited = new VisitedSet(slots);
    this.#recorder = options.wantSchedules ? new ScheduleRecorder() : undefined;
    this.#systemEnd = allRegisters ? machine.u32.length : USUAL_END;
    this.#hashedSystem = machine.u32.slice();
    this.#machine = machine;
    this.#subject = subject;
    this.#options = options;
    this.#live = live;
    this.#monitor = new Monitor(machine, subject, properties);
    this.#maxStates = Math.ceil((options.maxStates ?? Number.POSITIVE_INFINITY) / (options.part?.count ?? 1));
    const kinds = kindsOf(options.bound);
    this.#events = kinds.map(eventNamed);
    this.#budgets = kinds.map((kind) => options.bound[kind]!);
    this.#places = kinds.map((kind) => {
      const places = options.places[kind];
      return places && allowedIn(places);
    });
    this.#startMemory = machine.memory.u32.slice();
    this.#known = new Uint32Array(live.width * 1024);
    this.#knownNow = new Uint32Array(live.width).fill(0xffffffff);
  }

  run(): Omit<SearchResult, 'rounds' | 'seconds' | 'lastRoundSeconds' | 'covered'> & {
    slots: readonly number[];
    first: number;
    forks: number;
  } {
    let stopped: string | undefined;
    try {
      this.#firstState();
      this.#chain(0);
    } catch (error) {
      const full = error instanceof MasksFull && this.#live.widened() === undefined;
      if (full) stopped = 'the code writes more memory words than a search can follow';
      else if (error instanceof Stopped) stopped = error.reason;
      else throw this.#located(error);
    }
    stopped ??= this.#open;
    const failures = [...this.#windows.values()].sort(byAddress);
    return {
      verdict: failures.length > 0 ? 'fails' : stopped === undefined ? 'holds' : 'open',
      states: this.#visited.size,
      transitions: this.#transitions,
      failures,
      stopped,
      ...(this.#panicked === undefined || this.#monitor.properties.includes(panic) ? {} : { panicked: this.#panicked }),
      slots: this.#visited.slots,
      fired: kindsOf(this.#options.bound).filter((_, k) => this.#firedKinds & (1 << k)),
      first: this.#forksDone,
      forks: this.#forks,
      ...(this.#recorder
        ? {
            schedules: this.#recorder.record(
              kindsOf(this.#options.bound),
              this.#monitor.properties.map((p) => p.name),
            ),
          }
        : {}),
      bytesPerState: this.#visited.size > 0 ? (this.#visited.bytes + this.#outcome.byteLength) / this.#visited.size : 0,
    };
  }

  #located(error: unknown): unknown {
    if (!(error instanceof NotModelled)) return error;
    const schedule = this.#currentPath().map((e) => `${e.event}@${e.boundary}`);
    return new InputError(error.placed(this.#subject.image), [
      schedule.length > 0 ? `reached by ${schedule.join(', ')}` : 'reached without any event',
    ]);
  }

  // Fingerprints -------------------------------------------------------------------------------------------------------

  #firstState(): void {
    this.#machine.memory.journalLength = 0;
    this.#registerLanes.a = this.#registerLanes.b = this.#registerLanes.c = 0;
    this.#memoryLanes.a = this.#memoryLanes.b = this.#memoryLanes.c = 0;
    const u32 = this.#machine.u32;
    for (let i = 0; i < REGISTER_WORDS; i += 2) {
      this.#at[i] = u32[i]!;
      this.#at[i + 1] = u32[i + 1]!;
      if (i !== 2 * Reg.RIP) this.#registerLanes.add(i, u32[i]!, u32[i + 1]!);
    }
    this.#hashedSystem.set(u32);
    this.#systemLanes.a = this.#systemLanes.b = this.#systemLanes.c = 0;
    for (let i = REGISTER_WORDS; i < this.#systemEnd; i += 2) this.#systemLanes.add(i, u32[i]!, u32[i + 1]!);
    this.#machine.cpu.readCount = 0;
    this.#accounted = 0;
    this.#machine.systemChanged = true;
  }

  /**
   * Brings `#at` and its fingerprint, without RIP, up to the machine's general registers, and notes in the journal what they were.
   * `changed`: bit r for each register that may differ.
   */
  #takeRegisters(changed: number): void {
    const u32 = this.#machine.u32;
    const at = this.#at;
    const lanes = this.#registerLanes;
    this.#registerJournal = room(this.#registerJournal, 3 * (this.#registerJournalLength + ENGINE_REGISTERS));
    const journal = this.#registerJournal;
    let entry = 3 * this.#registerJournalLength;
    for (let rest = changed & ~RIP_BIT; rest !== 0; rest &= rest - 1) {
      const i = 2 * (31 - Math.clz32(rest & -rest));
      const low = u32[i]! | 0;
      const high = u32[i + 1]! | 0;
      const oldLow = at[i]!;
      const oldHigh = at[i + 1]!;
      if (low === oldLow && high === oldHigh) continue;
      journal[entry] = i;
      journal[entry + 1] = oldLow;
      journal[entry + 2] = oldHigh;
      entry += 3;
      at[i] = low;
      at[i + 1] = high;
      lanes.subtract(i, oldLow, oldHigh);
      lanes.add(i, low, high);
    }
    this.#registerJournalLength = entry / 3;
  }

  /** Finds what RIP, at which `instruction` lies, adds to the lanes of the registers. */
  #hashRip(instruction: number): void {
    const lanes = this.#ripLanes;
    const at = 3 * instruction;
    if (instruction >= 0 && at < this.#ripKnown.length) {
      const known = this.#ripKnown;
      lanes.a = known[at]!;
      lanes.b = known[at + 1]!;
      lanes.c = known[at + 2]!;
      if (lanes.a !== 0) return;
    }
    const u32 = this.#machine.u32;
    lanes.a = lanes.b = lanes.c = 0;
    lanes.add(2 * Reg.RIP, u32[2 * Reg.RIP]!, u32[2 * Reg.RIP + 1]!);
    if (instruction < 0) return;
    this.#ripKnown = room(this.#ripKnown, at + 3);
    this.#ripKnown[at] = lanes.a;
    this.#ripKnown[at + 1] = lanes.b;
    this.#ripKnown[at + 2] = lanes.c;
  }

  /** Takes `#at` back to what it was when its journal had `length` entries. */
  #undoRegisters(length: number): void {
    const journal = this.#registerJournal;
    const at = this.#at;
    for (let entry = 3 * (this.#registerJournalLength - 1); entry >= 3 * length; entry -= 3) {
      const i = journal[entry]!;
      at[i] = journal[entry + 1]!;
      at[i + 1] = journal[entry + 2]!;
    }
    this.#registerJournalLength = length;
  }

  #hashSystem(): void {
    const u32 = this.#machine.u32;
    const hashed = this.#hashedSystem;
    const lanes = this.#systemLanes;
    for (let i = REGISTER_WORDS; i < this.#systemEnd; i += 2) {
      const low = u32[i]!;
      const high = u32[i + 1]!;
      if (low === hashed[i] && high === hashed[i + 1]) continue;
      lanes.subtract(i, hashed[i]!, hashed[i + 1]!);
      lanes.add(i, low, high);
      hashed[i] = low;
      hashed[i + 1] = high;
    }
  }

  /** Hashes everything but the general registers and memory. */
  #hashSlow(): void {
    if (this.#machine.rareChanged && this.#systemEnd === USUAL_END) throw new RareRegisters();
    const w = this.#monitor.words;
    this.#hashSystem();
    const lanes = this.#slowLanes;
    lanes.a = this.#systemLanes.a;
    lanes.b = this.#systemLanes.b;
    lanes.c = this.#systemLanes.c;
    this.#absorbMonitor(lanes, w, 0, Monitor.CALLS_AT, Monitor.TOTAL);
  }

  /**
   * Hashes monitor words that begin at `from` in `words`, with their C calls at `calls` and those of other processors at
   * `others`, into `lanes`.
   */
  #absorbMonitor(lanes: Lanes, words: Uint32Array, from: number, calls: number, others: number): void {
    this.#absorbBank(lanes, words, from, calls);
    const { count } = this.#machine.processors;
    if (count === 1) return;
    for (let n = 0; n < count; n++) {
      const bank = others + n * Monitor.TOTAL;
      this.#absorbBank(lanes, words, bank, bank + Monitor.CALLS_AT);
    }
  }

  #absorbBank(lanes: Lanes, words: Uint32Array, from: number, calls: number): void {
    lanes.absorb(words, from, from + HEADER_WORDS);
    const depth = words[from + Word.DEPTH]!;
    const records = this.#monitor.records;
    for (let i = 0; i < depth; i++) {
      const record = words[from + Word.OPEN + i]!;
      lanes.absorb(records, record + RecordWord.LANE_A, record + RecordWord.LANE_C + 1);
    }
    lanes.absorb(words, calls, calls + words[from + Word.CALLS]! * Monitor.CALL_SIZE);
  }

  /** Copies everything but the general registers and memory, with its hashes in front. */
  #keepSlow(): void {
    const w = this.#monitor.words;
    const openEnd = Word.OPEN + w[Word.DEPTH]!;
    const calls = w[Word.CALLS]! * Monitor.CALL_SIZE;
    const at = this.#slowTop;
    const systemEnd = this.#systemEnd;
    const from = at + SLOW_LANES + systemEnd - REGISTER_WORDS;
    const others = w.length - Monitor.TOTAL;
    const length = from - at + openEnd + calls + others;
    if (at + length > this.#slowWords.length) {
      const grown = new Uint32Array(Math.max(at + length, this.#slowWords.length * 2));
      grown.set(this.#slowWords);
      this.#slowWords = grown;
    }
    const s = this.#slowWords;
    const u32 = this.#machine.u32;
    s[at] = this.#slowLanes.a;
    s[at + 1] = this.#slowLanes.b;
    s[at + 2] = this.#slowLanes.c;
    s[at + 3] = this.#systemLanes.a;
    s[at + 4] = this.#systemLanes.b;
    s[at + 5] = this.#systemLanes.c;
    s[at + SLOW_PATH] = this.#path;
    const system = at + SLOW_LANES - REGISTER_WORDS;
    for (let i = REGISTER_WORDS; i < systemEnd; i++) s[system + i] = u32[i]!;
    for (let i = 0; i < openEnd; i++) s[from + i] = w[i]!;
    for (let i = 0; i < calls; i++) s[from + openEnd + i] = w[Monitor.CALLS_AT + i]!;
    for (let i = 0; i < others; i++) s[from + openEnd + calls + i] = w[Monitor.TOTAL + i]!;
    this.#slowCurrent = at;
    this.#slowTop = at + length;
    this.#machine.systemChanged = false;
    this.#monitor.changed = false;
  }

  /** Accounts for the words that the last transition read and wrote. */
  #account(): void {
    const { memory, cpu } = this.#machine;
    const live = this.#live;
    const known = this.#knownNow;
    const tracked = live.tracked;
    for (let i = 0; i < cpu.readCount; i++) {
      const t = tracked[cpu.reads[i]!]!;
      if (t >= 0 && !(known[t >>> 5]! & (1 << (t & 31)))) this.#revive(t);
    }
    cpu.readCount = 0;
    const journalLength = memory.journalLength;
    const from = this.#accounted;
    for (let i = from; i < journalLength; i++) {
      const word = memory.journalWord[i]!;
      let again = false;
      for (let j = from; j < i; j++) if (memory.journalWord[j] === word) again = true;
      if (again) continue;
      const t = live.track(word);
      this.#writeWord(t, word, memory.journalLow[i]!, memory.journalHigh[i]!);
    }
    this.#accounted = journalLength;
  }

  #writeWord(t: number, word: number, oldLow: number, oldHigh: number): void {
    const start = this.#startMemory;
    const u32 = this.#machine.memory.u32;
    const bit = 1 << (t & 31);
    const startLow = start[2 * word]!;
    const startHigh = start[2 * word + 1]!;
    if (this.#knownNow[t >>> 5]! & bit) {
      if (oldLow !== startLow || oldHigh !== startHigh) this.#memoryLanes.subtract(FIRST_KEY + t, oldLow, oldHigh);
    } else {
      this.#knownNow[t >>> 5]! |= bit;
    }
    const low = u32[2 * word]!;
    const high = u32[2 * word + 1]!;
    if (low !== startLow || high !== startHigh) this.#memoryLanes.add(FIRST_KEY + t, low, high);
  }

  /** A word that was taken for dead is read: it is live at every boundary back to its last write. */
  #revive(t: number): void {
    const memory = this.#machine.memory;
    const word = this.#live.words[t]!;
    let p = this.#top - 1;
    let base = this.#base;
    for (let ancestor = this.#schedule.length - 1; ; ancestor--) {
      const parent = ancestor >= 0 ? this.#schedule[ancestor]! : undefined;
      for (; p >= base; p--) {
        this.#live.add(this.#row[p]!, t);
        const to = this.#journal[p]!;
        const from = p > base ? this.#journal[p - 1]! : parent ? this.#journal[parent.position]! : 0;
        for (let i = from; i < to; i++) {
          if (memory.journalWord[i] === word) {
            this.#liven(t);
            return;
          }
        }
      }
      if (!parent) break;
      p = parent.position;
      base = parent.base;
    }
    this.#liven(t);
  }

  #liven(t: number): void {
    // From here on this path goes on as if the word had been known; the round will be repeated.
    this.#knownNow[t >>> 5]! |= 1 << (t & 31);
    this.#addIfChanged(t);
  }

  #addIfChanged(t: number): void {
    const word = this.#live.words[t]!;
    // The value before the writes of this very transition, which are accounted for afterwards.
    const memory = this.#machine.memory;
    let low = memory.u32[2 * word]!;
    let high = memory.u32[2 * word + 1]!;
    for (let i = memory.journalLength - 1; i >= this.#accounted; i--) {
      if (memory.journalWord[i] === word) {
        low = memory.journalLow[i]!;
        high = memory.journalHigh[i]!;
      }
    }
    if (low !== this.#startMemory[2 * word] || high !== this.#startMemory[2 * word + 1])
      this.#memoryLanes.add(FIRST_KEY + t, low, high);
  }

  /** Drops the words that are dead at this boundary from the state, and finds out which live ones were dropped before. */
  #settle(row: number): void {
    const rows = this.#live.rows;
    const known = this.#knownNow;
    const count = this.#live.count;
    for (let k = 0; k < this.#live.used; k++) {
      const alive = rows[row + k]!;
      if (alive === known[k]) continue;
      // Numbers that are not given out yet stay known: those words have never been written.
      const tracked = count - 32 * k >= 32 ? -1 : (1 << (count - 32 * k)) - 1;
      let revived = alive & ~known[k]! & tracked;
      while (revived !== 0) {
        const bit = 31 - Math.clz32(revived);
        revived &= ~(1 << bit);
        this.#revive(32 * k + bit);
      }
      let dropped = known[k]! & ~alive & tracked;
      while (dropped !== 0) {
        const bit = 31 - Math.clz32(dropped);
        dropped &= ~(1 << bit);
        this.#drop(32 * k + bit);
      }
      known[k] = alive | ~tracked;
    }
  }

  #drop(t: number): void {
    const word = this.#live.words[t]!;
    const u32 = this.#machine.memory.u32;
    const low = u32[2 * word]!;
    const high = u32[2 * word + 1]!;
    if (low !== this.#startMemory[2 * word] || high !== this.#startMemory[2 * word + 1]) {
      this.#memoryLanes.subtract(FIRST_KEY + t, low, high);
    }
  }

  // The path -----------------------------------------------------------------------------------------------------------

  /** Adds the current state to the path; `takeRegisters` has seen its registers. The lanes: of its registers and memory. */
  #push(row: number, a: number, b: number, c: number): void {
    const p = this.#top;
    if (p === this.#journal.length) this.#growPath();
    const u32 = this.#machine.u32;
    this.#rip[2 * p] = u32[2 * Reg.RIP]!;
    this.#rip[2 * p + 1] = u32[2 * Reg.RIP + 1]!;
    this.#registerMark[p] = this.#registerJournalLength;
    const lanes = p * LANE_WORDS;
    this.#lanes[lanes] = this.#registerLanes.a;
    this.#lanes[lanes + 1] = this.#registerLanes.b;
    this.#lanes[lanes + 2] = this.#registerLanes.c;
    this.#lanes[lanes + 3] = this.#memoryLanes.a;
    this.#lanes[lanes + 4] = this.#memoryLanes.b;
    this.#lanes[lanes + 5] = this.#memoryLanes.c;
    const known = p * this.#live.width;
    const now = this.#knownNow;
    for (let k = 0; k < this.#live.used; k++) this.#known[known + k] = now[k]!;
    this.#lanes[lanes + 6] = a;
    this.#lanes[lanes + 7] = b;
    this.#lanes[lanes + 8] = c;
    this.#lanes[lanes + 9] = this.#live.used;
    this.#journal[p] = this.#machine.memory.journalLength;
    this.#row[p] = row;
    this.#slow[p] = this.#slowCurrent;
    this.#top = p + 1;
  }

  #growPath(): void {
    const n = this.#journal.length * 2;
    const copy = <T extends Uint32Array | Int32Array>(fresh: T, old: T): T => {
      fresh.set(old);
      return fresh;
    };
    this.#rip = copy(new Uint32Array(2 * n), this.#rip);
    this.#registerMark = copy(new Int32Array(n), this.#registerMark);
    this.#lanes = copy(new Int32Array(n * LANE_WORDS), this.#lanes);
    this.#known = copy(new Uint32Array(n * this.#live.width), this.#known);
    this.#journal = copy(new Int32Array(n), this.#journal);
    this.#row = copy(new Int32Array(n), this.#row);
    this.#slow = copy(new Int32Array(n), this.#slow);
  }

  /** Puts machine and monitor into the state at position `p` of the path, which must be on the current path. */
  #goTo(p: number): void {
    const machine = this.#machine;
    const u32 = machine.u32;
    machine.memory.undoTo(this.#journal[p]!);
    this.#accounted = this.#journal[p]!;
    this.#undoRegisters(this.#registerMark[p]!);
    const at = this.#at;
    for (let i = 0; i < REGISTER_WORDS; i++) u32[i] = at[i]!;
    u32[2 * Reg.RIP] = this.#rip[2 * p]!;
    u32[2 * Reg.RIP + 1] = this.#rip[2 * p + 1]!;
    const lanes = p * LANE_WORDS;
    this.#registerLanes.a = this.#lanes[lanes]!;
    this.#registerLanes.b = this.#lanes[lanes + 1]!;
    this.#registerLanes.c = this.#lanes[lanes + 2]!;
    this.#memoryLanes.a = this.#lanes[lanes + 3]!;
    this.#memoryLanes.b = this.#lanes[lanes + 4]!;
    this.#memoryLanes.c = this.#lanes[lanes + 5]!;
    const known = p * this.#live.width;
    const then = this.#lanes[lanes + 9]!;
    // Words that were not tracked then had never been written: their value was the start's.
    for (let k = 0; k < this.#live.used; k++) this.#knownNow[k] = k < then ? this.#known[known + k]! : 0xffffffff;
    const slow = this.#slow[p]!;
    if (slow !== this.#slowCurrent || machine.systemChanged || this.#monitor.changed) this.#restoreSlow(slow);
    machine.cpu.readCount = 0;
    machine.replacedGeneral();
  }

  #restoreSlow(at: number): void {
    const s = this.#slowWords;
    const machine = this.#machine;
    const u32 = machine.u32;
    const hashed = this.#hashedSystem;
    const systemEnd = this.#systemEnd;
    this.#slowLanes.a = s[at]! | 0;
    this.#slowLanes.b = s[at + 1]! | 0;
    this.#slowLanes.c = s[at + 2]! | 0;
    this.#systemLanes.a = s[at + 3]! | 0;
    this.#systemLanes.b = s[at + 4]! | 0;
    this.#systemLanes.c = s[at + 5]! | 0;
    const system = at + SLOW_LANES - REGISTER_WORDS;
    for (let i = REGISTER_WORDS; i < systemEnd; i++) {
      const word = s[system + i]!;
      u32[i] = word;
      hashed[i] = word;
    }
    const w = this.#monitor.words;
    const from = system + systemEnd;
    const openEnd = Word.OPEN + s[from + Word.DEPTH]!;
    for (let i = 0; i < openEnd; i++) w[i] = s[from + i]!;
    const calls = w[Word.CALLS]! * Monitor.CALL_SIZE;
    for (let i = 0; i < calls; i++) w[Monitor.CALLS_AT + i] = s[from + openEnd + i]!;
    const others = w.length - Monitor.TOTAL;
    for (let i = 0; i < others; i++) w[Monitor.TOTAL + i] = s[from + openEnd + calls + i]!;
    machine.cpu.basesChanged = true;
    machine.selectSpace();
    machine.systemChanged = false;
    this.#monitor.changed = false;
    this.#path = s[at + SLOW_PATH]!;
    this.#slowCurrent = at;
  }

  // The search ---------------------------------------------------------------------------------------------------------

  /**
   * Follows the chain that begins at the current state, then fires events along it. Returns the properties that are
   * broken when the chain has run to its end without any of those events.
   */
  #chain(depth: number): number {
    const machine = this.#machine;
    const monitor = this.#monitor;
    const live = this.#live;
    const base = this.#top;
    const parentBase = this.#base;
    this.#base = base;
    const slowBase = this.#slowTop;
    const chain = this.#chains;
    const recorder = this.#recorder;
    const firstNode = recorder === undefined ? 0 : recorder.nodes;
    let outcome: number;
    let runaway = false;
    for (;;) {
      this.#account();
      const slowChanged = machine.systemChanged || monitor.changed;
      if (slowChanged) this.#path = live.pathNumber(monitor.path);
      const instruction = machine.peek();
      const number = instruction === undefined ? -1 : instruction.id;
      const row = live.row(number, this.#path);
      this.#settle(row);
      this.#takeRegisters(machine.changedRegisters);
      this.#hashRip(number);
      if (slowChanged) this.#hashSlow();
      const ra = (this.#registerLanes.a + this.#ripLanes.a + this.#memoryLanes.a) | 0;
      const rb = (this.#registerLanes.b + this.#ripLanes.b + this.#memoryLanes.b) | 0;
      const rc = (this.#registerLanes.c + this.#ripLanes.c + this.#memoryLanes.c) | 0;
      const a = combine(ra, this.#slowLanes.a, SLOW_A);
      const b = combine(rb, this.#slowLanes.b, SLOW_B);
      const c = combine(rc, this.#slowLanes.c, SLOW_C);
      const known = this.#visited.enter(this.#path, a, b, c, recorder === undefined ? chain : recorder.nodes);
      if (known >= 0) {
        const owner = recorder === undefined ? known : recorder.reach(known, this.#top === base);
        if (owner === chain && this.#top > base) {
          monitor.failNamed('progress');
          outcome = monitor.failed;
        } else {
          outcome = this.#outcome[owner]!;
        }
        break;
      }
      if (this.#top === base) this.#openChain();
      if (recorder !== undefined) recorder.enter(chain, machine.cpu.regs.u64[Reg.RIP]!, this.#top === base);
      if (slowChanged) this.#keepSlow();
      this.#push(row, ra, rb, rc);
      if (monitor.ended) {
        this.#panicked ??= monitor.panicked;
        outcome = monitor.failed;
        break;
      }
      if (this.#top - base > MAX_CHAIN) {
        this.#runaway(base);
        outcome = monitor.failed;
        runaway = true;
        break;
      }
      if (this.#visited.size >= this.#maxStates) this.#check();
      machine.step();
      monitor.after();
      this.#transitions++;
      if (--this.#untilCheck === 0) this.#check();
    }
    if (this.#top > base) {
      this.#outcome[chain] = outcome;
      if (depth === 0) {
        if (outcome !== 0) this.#failed(outcome, undefined);
        this.#forks = this.#top - base;
      }
      // The number of events fired is the same all along a chain.
      if (!runaway && this.#mayFireMore()) this.#fireAlong(base, outcome, depth, firstNode);
    }
    this.#top = base;
    this.#base = parentBase;
    this.#slowTop = slowBase;
    return outcome;
  }

  /** A chain that goes on and on without a state coming back: given up, with what it has broken so far. */
  #runaway(base: number): void {
    const { image } = this.#subject;
    const schedule = this.#currentPath().map((e) => `${e.event} at ${e.boundary}`);
    const after = schedule.length > 0 ? ` after ${schedule.join(', ')}` : '';
    this.#open ??= `from ${image.name(this.#ripAt(base))} on${after}, ${MAX_CHAIN.toLocaleString('en-US')} instructions ran without coming back: the code does not return, or needs more than a search can follow`;
    if (++this.#runaways === MAX_RUNAWAYS) throw new Stopped(this.#open);
  }

  #mayFireMore(): boolean {
    for (let k = 0; k < this.#budgets.length; k++) if (this.#monitor.fired(k) < this.#budgets[k]!) return true;
    return false;
  }

  #openChain(): void {
    if (this.#chains === this.#outcome.length) {
      const grown = new Uint32Array(this.#outcome.length * 2);
      grown.set(this.#outcome);
      this.#outcome = grown;
    }
    this.#chains++;
  }

  /** `firstNode`: the number that a recorder has given to the state at `base`. */
  #fireAlong(base: number, outcome: number, depth: number, firstNode: number): void {
    const machine = this.#machine;
    const monitor = this.#monitor;
    const { memory } = machine;
    const recorder = this.#recorder;
    const part = this.#options.part;
    const may = this.#events.map((_, k) => monitor.fired(k) < this.#budgets[k]!);
    // Records that later positions of this chain refer to must outlive what is fired at earlier ones.
    const nextRecord = monitor.words[Word.NEXT_RECORD]!;
    const last = this.#lastLiving(base);
    const memoryStart = this.#forwardMemoryTop;
    const registersStart = this.#forwardRegistersTop;
    this.#rewind(base);
    for (let p = base; p <= last; p++) {
      if (p > base) this.#redo(p, base, memoryStart, registersStart);
      if (depth === 1) this.#innerDone = (p - base) / (last - base + 1);
      if (depth === 0) {
        this.#forksDone = p - base;
        this.#innerDone = 0;
        if (part !== undefined && p % part.count !== part.index) continue;
      }
      const events = this.#slowWords[this.#slow[p]! + SLOW_EVENTS]!;
      for (let k = 0; k < this.#events.length; k++) {
        const event = this.#events[k]!;
        if (!may[k] || !event.possible(machine, events) || !this.#allowed(k, p)) continue;
        const pending = event.held(machine, events);
        const known = pending === events ? -1 : this.#findHeld(p, pending, k);
        if (known >= 0) {
          this.#transitions++;
          const owner = recorder === undefined ? known : recorder.chainOf(known);
          const broken = this.#outcome[owner]! & ~outcome;
          recorder?.fork(firstNode + p - base, this.#ripAt(p), k, known, broken);
          this.#blame(broken, base, p, event.name);
          continue;
        }
        this.#goTo(p);
        if (!event.may(machine)) continue;
        monitor.words[Word.NEXT_RECORD] = nextRecord;
        machine.fire(event);
        monitor.countFired(k);
        monitor.after();
        this.#transitions++;
        this.#firedKinds |= 1 << k;
        this.#schedule.push({ base, position: p, event: event.name });
        const next = recorder === undefined ? 0 : recorder.nodes;
        const broken = this.#chain(depth + 1) & ~outcome;
        recorder?.fork(firstNode + p - base, this.#ripAt(p), k, recorder.nodes > next ? next : recorder.known, broken);
        if (broken !== 0) this.#failed(broken, event.name);
        this.#schedule.pop();
        memory.undoTo(this.#journal[p]!);
        this.#undoRegisters(this.#registerMark[p]!);
      }
    }
    this.#forwardMemoryTop = memoryStart;
    this.#forwardRegistersTop = registersStart;
  }

  #blame(broken: number, base: number, position: number, event: string): void {
    if (broken === 0) return;
    this.#schedule.push({ base, position, event });
    this.#failed(broken, event);
    this.#schedule.pop();
  }

  /**
   * The chain of the state that differs from position `p` only in what the processor holds back for later (`events`, the
   * new low half of Reg.EVENTS) and in the count of events of `kind`; -1 if it is not known. Most events end like this, and need no machine.
   */
  #findHeld(p: number, events: number, kind: number): number {
    const s = this.#slowWords;
    const at = this.#slow[p]!;
    const lanes = this.#heldLanes;
    lanes.a = s[at + 3]! | 0;
    lanes.b = s[at + 4]! | 0;
    lanes.c = s[at + 5]! | 0;
    const eventsHigh = s[at + SLOW_EVENTS + 1]!;
    lanes.subtract(2 * Reg.EVENTS, s[at + SLOW_EVENTS]!, eventsHigh);
    lanes.add(2 * Reg.EVENTS, events, eventsHigh);
    const from = at + SLOW_LANES + this.#systemEnd - REGISTER_WORDS;
    const count = from + Word.FIRED + (kind >>> 2);
    const before = s[count]!;
    s[count] = before + (1 << (8 * (kind & 3)));
    const calls = from + Word.OPEN + s[from + Word.DEPTH]!;
    this.#absorbMonitor(lanes, s, from, calls, calls + s[from + Word.CALLS]! * Monitor.CALL_SIZE);
    s[count] = before;
    const l = p * LANE_WORDS;
    const kept = this.#lanes;
    return this.#visited.find(
      s[at + SLOW_PATH]!,
      combine(kept[l + 6]!, lanes.a, SLOW_A),
      combine(kept[l + 7]!, lanes.b, SLOW_B),
      combine(kept[l + 8]!, lanes.c, SLOW_C),
    );
  }

  /** Takes memory and `#at` from the end of the chain back to its first position, and keeps what goes forward again. */
  #rewind(base: number): void {
    const { memory } = this.#machine;
    const last = this.#top - 1;
    // The last transition may have led to a known state, which is no position of this chain.
    memory.undoTo(this.#journal[last]!);
    this.#undoRegisters(this.#registerMark[last]!);

    const words = memory.journalLength - this.#journal[base]!;
    this.#forwardMemory = room(this.#forwardMemory, 3 * (this.#forwardMemoryTop + words));
    for (let i = words - 1; i >= 0; i--) {
      const entry = 3 * (this.#forwardMemoryTop + i);
      const word = memory.journalWord[this.#journal[base]! + i]!;
      this.#forwardMemory[entry] = word;
      this.#forwardMemory[entry + 1] = memory.u32[2 * word]!;
      this.#forwardMemory[entry + 2] = memory.u32[2 * word + 1]!;
      memory.undoTo(this.#journal[base]! + i);
    }
    this.#forwardMemoryTop += words;

    const changes = this.#registerJournalLength - this.#registerMark[base]!;
    this.#forwardRegisters = room(this.#forwardRegisters, 3 * (this.#forwardRegistersTop + changes));
    for (let i = changes - 1; i >= 0; i--) {
      const entry = 3 * (this.#forwardRegistersTop + i);
      const register = this.#registerJournal[3 * (this.#registerMark[base]! + i)]!;
      this.#forwardRegisters[entry] = register;
      this.#forwardRegisters[entry + 1] = this.#at[register]!;
      this.#forwardRegisters[entry + 2] = this.#at[register + 1]!;
      this.#undoRegisters(this.#registerMark[base]! + i);
    }
    this.#forwardRegistersTop += changes;
  }

  /** Moves memory and `#at` from position `p` - 1 to `p`; the journals get their entries back. */
  #redo(p: number, base: number, memoryStart: number, registersStart: number): void {
    const { memory } = this.#machine;
    const forward = this.#forwardMemory;
    const firstWord = this.#journal[base]!;
    for (let i = this.#journal[p - 1]!; i < this.#journal[p]!; i++) {
      const entry = 3 * (memoryStart + i - firstWord);
      const word = forward[entry]!;
      memory.willWrite(word);
      memory.u32[2 * word] = forward[entry + 1]!;
      memory.u32[2 * word + 1] = forward[entry + 2]!;
    }
    const journal = this.#registerJournal;
    const at = this.#at;
    const firstRegister = this.#registerMark[base]!;
    for (let i = this.#registerMark[p - 1]!; i < this.#registerMark[p]!; i++) {
      const entry = 3 * (registersStart + i - firstRegister);
      const register = this.#forwardRegisters[entry]!;
      journal[3 * i] = register;
      journal[3 * i + 1] = at[register]!;
      journal[3 * i + 2] = at[register + 1]!;
      at[register] = this.#forwardRegisters[entry + 1]!;
      at[register + 1] = this.#forwardRegisters[entry + 2]!;
    }
    this.#registerJournalLength = this.#registerMark[p]!;
  }

  /** The last position of the chain at which events are still worth firing. */
  #lastLiving(base: number): number {
    const s = this.#slowWords;
    for (let p = this.#top - 1; p >= base; p--) {
      const words = this.#slow[p]! + SLOW_LANES + this.#systemEnd - REGISTER_WORDS;
      if (!this.#monitor.isOver(s[words + Word.FAILED]!, s[words + Word.END]!)) return p;
    }
    return base - 1;
  }

  #allowed(kind: number, position: number): boolean {
    const places = this.#places[kind];
    if (places === undefined) return true;
    const low = this.#rip[2 * position]!;
    const high = this.#rip[2 * position + 1]!;
    for (let i = 0; i < places.code.length; i++) {
      const place = places.code[i]!;
      if (place.startHigh === high && low >= place.startLow && low < place.endLow) return true;
    }
    if (places.triggers.length === 0) return false;
    this.#goTo(position);
    return places.triggers.some((trigger) => trigger({ machine: this.#machine, hit: 0 }));
  }

  #check(): void {
    this.#untilCheck = CHECK_EVERY;
    const { maxStates, maxMemory, shouldStop, onProgress } = this.#options;
    if (maxStates !== undefined && this.#visited.size >= this.#maxStates) {
      throw new Stopped(`the limit of ${maxStates.toLocaleString('en-US')} states is reached (--max-states)`);
    }
    if (maxMemory !== undefined && this.#visited.bytesToGrow > maxMemory) {
      throw new Stopped(
        `the visited set has reached its limit of ${Math.round(maxMemory / 2 ** 20)} MiB (--max-memory)`,
      );
    }
    const reason = shouldStop?.();
    if (reason !== undefined) throw new Stopped(reason);
    onProgress?.({
      states: this.#visited.size,
      transitions: this.#transitions,
      failures: this.#windows.size,
      done: this.#forks > 0 ? (this.#forksDone + this.#innerDone) / this.#forks : undefined,
      bound: this.#options.bound,
    });
  }

  #ripAt(position: number): bigint {
    return (BigInt(this.#rip[2 * position + 1]!) << 32n) | BigInt(this.#rip[2 * position]!);
  }

  #currentPath(): ScheduledEvent[] {
    return this.#schedule.map(({ position, event }, i) => {
      const address = this.#ripAt(position);
      let hit = 0;
      for (const segment of this.#schedule.slice(0, i + 1)) {
        for (let p = segment.base; p <= segment.position; p++) if (this.#ripAt(p) === address) hit++;
      }
      return { boundary: this.#subject.image.name(address), address, hit, event };
    });
  }

  /** Transitions before the last event of the current schedule. */
  #pathLength(): number {
    return this.#schedule.reduce((n, { base, position }) => n + position - base + 1, -1);
  }

  /** Notes that the current schedule breaks `broken`, and that without its last event it would not. */
  #failed(broken: number, kind: string | undefined): void {
    const address = this.#ripAt(this.#schedule.at(-1)?.position ?? 0);
    const instructions = Math.max(0, this.#pathLength());
    this.#monitor.properties.forEach((property, i) => {
      if (!(broken & (1 << i))) return;
      const key = `${i} ${kind ?? ''} ${address}`;
      const best = this.#windows.get(key);
      if (best && !isShorter({ path: this.#schedule, instructions }, best)) return;
      this.#windows.set(key, {
        property: property.name,
        boundary: this.#subject.image.name(address),
        address,
        event: kind ?? 'none',
        instructions,
        path: this.#currentPath(),
      });
    });
  }
}

/** The array itself, or a larger copy that has room for `length` elements. */
function room(array: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
  if (length <= array.length) return array;
  const grown = new Int32Array(Math.max(length, 2 * array.length));
  grown.set(array);
  return grown;
}

function allowedIn(places: readonly Place[]): Allowed {
  const code: CodePlace[] = [];
  const triggers: Trigger[] = [];
  for (const place of places) {
    const { start, end } = place.range;
    if (place.at === 'access') triggers.push(onAccess(place.range, place.access));
    else {
      code.push({
        startHigh: Number(BigInt.asUintN(64, start) >> 32n),
        startLow: Number(start & 0xffffffffn),
        endLow: Number(end - start + (start & 0xffffffffn)),
      });
    }
  }
  return { code, triggers };
}
