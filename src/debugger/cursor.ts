/**
 * The machine at a place in the tree of paths. A branch leaves its parent at a state and has a log of its own from there; along
 * what is logged the cursor moves both ways by applying changes, and behind the end of a branch it executes. Nothing else moves
 * the machine.
 */
import { Access, type Instruction } from '../cpu/decoder.js';
import { Reg } from '../cpu/registers.js';
import { InputError } from '../errors.js';
import { Return } from '../harness/machine.js';
import { takesPending } from '../harness/priorities.js';
import { SMI_VECTOR } from '../harness/smm.js';
import { VM_EXIT_VECTOR } from '../harness/vm_exit.js';
import { LoopDetector, type Run, transition } from '../hooks/run.js';
import { End, type Monitor, Word } from '../properties/monitor.js';
import type { Property } from '../properties/property.js';
import { Owners } from '../report/owners.js';
import { type Broken, brokenNow, vmxNote } from '../report/trace.js';
import { Bases, lanesNow } from './lanes.js';
import { CHANGE, Kind, Log, MONITOR_CHANGE, Row, sparseAt, sparseOf } from './log.js';

/** Transitions that a path may have: what is kept of each takes about 100 bytes. */
export const MAX_PATH = 1_000_000;

/** Transitions in a row after which an endless loop is looked for: that takes a copy of all memory. */
const LOOP_PATIENCE = 256;

/** How a path came to its end. */
export interface Ending {
  readonly kind: 'end' | 'loop';
  /** A sentence without a full stop. */
  readonly text: string;
}

export class Branch {
  readonly log = new Log();
  /** Why nothing more can be executed behind its last transition. */
  ending: Ending | undefined;

  constructor(
    readonly id: number,
    public name: string,
    readonly parent: Branch | undefined,
    /** The state of the parent at which it begins: so many transitions are the parent's. */
    readonly fork: number,
  ) {}

  get length(): number {
    return this.fork + this.log.length;
  }

  /** Whether it begins with an edit. */
  get forkEdits(): boolean {
    return this.log.length > 0 && (this.log.row(0, Row.KIND) & Kind.EDIT) !== 0;
  }

  /** The branch, this one or one that it comes from, whose log has transition `index`. */
  holder(index: number): Branch {
    let branch: Branch = this;
    while (index < branch.fork) branch = branch.parent!;
    return branch;
  }

  /** What the branch does at state `index`: undefined at its end. */
  action(index: number, names: readonly string[]): string | undefined {
    if (index >= this.length) return undefined;
    const { log, fork } = this.holder(index);
    const local = index - fork;
    if (log.row(local, Row.KIND) & Kind.EDIT) return `edit ${sparseOf(log.notes, local) ?? ''}`;
    const event = log.row(local, Row.EVENT);
    return event === 0 ? 'step' : names[event - 1]!;
  }
}

export class Cursor {
  readonly branches: Branch[] = [];
  branch: Branch;
  /** Transitions before the state at which it stands. */
  index = 0;
  readonly bases = new Bases();
  /** Names of events, as the rows number them. */
  readonly eventNames: string[] = [];
  /** Of the state before the first transition. */
  readonly startLanes: number;
  readonly startBases: number;
  readonly #startOwners: Owners;
  /** What the machine and the monitor are at the cursor: what differs after a transition is what it has changed. */
  readonly #registers: Uint32Array;
  readonly #words: Uint32Array;
  /** An endless loop ends a path: not while it waits for events that are still to be fired. */
  watchesLoops = true;
  #loop: LoopDetector | undefined;
  /** Transitions that have been executed in a row. */
  #executed = 0;
  #broken: Omit<Broken, 'step'>[] = [];

  constructor(readonly run: Run) {
    const { machine, monitor } = run;
    this.branch = new Branch(0, 'main', undefined, 0);
    this.branches.push(this.branch);
    this.#registers = machine.u32.slice();
    this.#words = monitor.words.slice();
    this.#startOwners = Owners.none(machine.processors.count);
    this.startLanes = lanesNow(machine, monitor);
    this.startBases = this.bases.now(machine);
    monitor.onFailure = (property) => this.#failed(property);
  }

  /** Whose deliveries are open at state `index` of a branch. */
  ownersAt(branch: Branch, index: number): Owners {
    let at: Branch | undefined = branch;
    let last = index - 1;
    while (at) {
      const found = last >= at.fork ? sparseAt(at.log.owners, last - at.fork) : undefined;
      if (found) return found;
      last = Math.min(last, at.fork - 1);
      at = at.parent;
    }
    return this.#startOwners;
  }

  get owners(): Owners {
    return this.ownersAt(this.branch, this.index);
  }

  /** The word LANES or BASES of state `index` of a branch. */
  stateWord(branch: Branch, index: number, word: typeof Row.LANES | typeof Row.BASES): number {
    if (index === 0) return word === Row.LANES ? this.startLanes : this.startBases;
    const { log, fork } = branch.holder(index - 1);
    return log.row(index - 1 - fork, word);
  }

  // Along what is logged ----------------------------------------------------------------------------------------------

  /** One transition on along the branch; false at its end. */
  forward(): boolean {
    if (this.index >= this.branch.length) return false;
    this.#apply(this.branch.holder(this.index), this.index, true);
    this.index++;
    this.#moved();
    return true;
  }

  /** One transition back; false at the start. */
  back(): boolean {
    if (this.index === 0) return false;
    this.index--;
    this.#apply(this.branch.holder(this.index), this.index, false);
    this.#moved();
    return true;
  }

  /** To a state of a branch; both must exist. */
  goTo(branch: Branch, index: number): void {
    const common = commonFork(this.branch, branch);
    const back = (): void => {
      this.index--;
      this.#apply(this.branch.holder(this.index), this.index, false);
    };
    while (this.index > common) back();
    this.branch = branch;
    while (this.index > index) back();
    while (this.index < index) {
      this.#apply(branch.holder(this.index), this.index, true);
      this.index++;
    }
    this.#moved();
  }

  #apply(holder: Branch, index: number, forwards: boolean): void {
    const { machine, monitor } = this.run;
    const { log } = holder;
    const local = index - holder.fork;
    const low = forwards ? 3 : 1;
    const { registers, memory, monitor: words } = log;
    const [r0, r1] = log.entries(local, Row.REGISTERS_END);
    for (let i = r0; i < r1; i++) {
      const at = i * CHANGE;
      const word = 2 * registers.get(at);
      machine.u32[word] = this.#registers[word] = registers.get(at + low);
      machine.u32[word + 1] = this.#registers[word + 1] = registers.get(at + low + 1);
    }
    const [m0, m1] = log.entries(local, Row.MEMORY_END);
    for (let i = m0; i < m1; i++) {
      const at = i * CHANGE;
      const word = 2 * memory.get(at);
      machine.memory.u32[word] = memory.get(at + low);
      machine.memory.u32[word + 1] = memory.get(at + low + 1);
    }
    const [w0, w1] = log.entries(local, Row.MONITOR_END);
    for (let i = w0; i < w1; i++) {
      const at = i * MONITOR_CHANGE;
      const word = words.get(at);
      monitor.words[word] = this.#words[word] = words.get(at + (forwards ? 2 : 1));
    }
    if (!forwards) return;
    // Another branch may have made its own records in the same place.
    const record = sparseOf(log.records, local);
    if (record) monitor.records.set(record.words, record.at);
  }

  #moved(): void {
    this.run.machine.replaced();
    this.run.machine.memory.journalLength = 0;
    this.#forgetLoop();
  }

  #forgetLoop(): void {
    this.#loop = undefined;
    this.#executed = 0;
  }

  // Behind the end ----------------------------------------------------------------------------------------------------

  /**
   * Does `event`, or the next instruction, here: along the branch if it does so, along another one that leaves it here and does, or
   * in a new one; behind the end of the branch it grows.
   */
  do(event: string | undefined): void {
    const action = event ?? 'step';
    if (this.branch.action(this.index, this.eventNames) === action) {
      this.forward();
      return;
    }
    if (this.index < this.branch.length) {
      const known = this.branches.find((b) => this.#leavesHere(b) && b.action(this.index, this.eventNames) === action);
      if (known) {
        this.branch = known;
        this.forward();
        return;
      }
      // Without the event that the branch fires here, or with another one.
      const what = event ?? `no ${this.branch.action(this.index, this.eventNames)}`;
      const name = `${what} at ${this.run.subject.image.name(this.run.rip)}`;
      this.#record(event, () => this.#newBranch(name));
      return;
    }
    this.#record(event, () => undefined);
  }

  /** Whether a branch has, up to the cursor, what the cursor's has. */
  #leavesHere(branch: Branch): boolean {
    return branch !== this.branch && branch.length > this.index && commonFork(branch, this.branch) >= this.index;
  }

  #newBranch(name: string): void {
    const branch = new Branch(this.branches.length, name, this.branch, this.index);
    this.branches.push(branch);
    this.branch = branch;
  }

  /** Executes. `begin` is called when that has worked, before anything is logged. */
  #record(event: string | undefined, begin: () => void): void {
    if (this.index >= MAX_PATH) {
      throw new InputError(
        `the path has ${MAX_PATH} transitions, as many as one can have; go back and begin another one`,
      );
    }
    const { machine, monitor } = this.run;
    const address = this.run.rip;
    const instruction =
      event === undefined && !takesPending(machine, machine.u32[2 * Reg.EVENTS]!) ? machine.peek() : undefined;
    const read = instruction?.memory.find((operand) => operand.access & Access.READ);
    const readAddress = read && machine.cpu.addressOf(read);
    const nextRecord = monitor.words[Word.NEXT_RECORD]!;
    const running = machine.processors.running;
    const before = this.owners;
    monitor.changed = false;
    this.#broken = [];
    try {
      transition(machine, monitor, event);
    } catch (error) {
      this.#takeBack();
      throw error;
    }
    begin();
    this.branch.ending = undefined;
    const { happened } = machine;
    const switched = happened.switchedFrom >= 0;
    const n = switched ? happened.switchedFrom : running;
    const { owners, delivered } = before.after(machine, monitor, n);
    const { log, fork } = this.branch;
    const local = this.index - fork;
    if (owners !== before) log.owners.push({ local, value: owners });
    if (delivered !== undefined) {
      const apart = happened.vector === SMI_VECTOR || happened.vector === VM_EXIT_VECTOR;
      const top = (BigInt(happened.stackTopHigh) << 32n) | BigInt(happened.stackTopLow);
      log.deliveries.push({
        index: this.index,
        name: delivered,
        // Several may be delivered one in another's place: what is open below it is what it has interrupted.
        interrupted: owners.under(n),
        address:
          (BigInt(machine.registersBefore[2 * Reg.RIP + 1]!) << 32n) | BigInt(machine.registersBefore[2 * Reg.RIP]!),
        processor: n,
        bottom: apart ? 0n : machine.cpu.regs.u64[Reg.RSP]!,
        top: apart ? 0n : top,
      });
    }
    const vmx = vmxNote(happened);
    if (vmx !== undefined) log.notes.push({ local, value: vmx });
    let kind = 0;
    if (happened.delivered) kind |= Kind.DELIVERED;
    if (happened.returned !== Return.NONE) kind |= Kind.RETURNED | (happened.returned << Kind.RETURN_SHIFT);
    if (switched) kind |= Kind.SWITCHED;
    if (instruction) kind |= Kind.INSTRUCTION;
    this.#log(address, kind, event, instruction, readAddress, nextRecord);
    if (event !== undefined) log.events.push({ local, value: event });
    for (const broken of this.#broken) log.broken.push({ ...broken, step: this.index });
    this.index++;
    this.#end();
  }

  /** An edit, which `change` makes, as the first transition of a new branch. */
  edit(what: string, change: () => void): void {
    const { machine } = this.run;
    machine.memory.journalLength = 0;
    const address = this.run.rip;
    const { monitor } = this.run;
    const nextRecord = monitor.words[Word.NEXT_RECORD]!;
    monitor.changed = false;
    try {
      change();
      machine.replaced();
      // The context had come to its end; with another RIP it goes on.
      if (monitor.words[Word.END] === End.CONTEXT) {
        monitor.words[Word.END] = End.NONE;
        monitor.changed = true;
      }
    } catch (error) {
      this.#takeBack();
      throw error;
    }
    this.#newBranch(`${what} at ${this.run.subject.image.name(address)}`);
    this.branch.log.notes.push({ local: 0, value: what });
    this.#log(address, Kind.EDIT, undefined, undefined, undefined, nextRecord);
    this.index++;
    this.#forgetLoop();
  }

  /** One more row, with what differs from what was before. */
  #log(
    address: bigint,
    kind: number,
    event: string | undefined,
    instruction: Instruction | undefined,
    read: bigint | undefined,
    nextRecord: number,
  ): void {
    const { machine, monitor } = this.run;
    const { log, fork } = this.branch;
    const local = this.index - fork;
    this.#logRegisters(log);
    this.#logMemory(log);
    if (monitor.changed) this.#logMonitor(log);
    if (monitor.words[Word.NEXT_RECORD]! > nextRecord) {
      const at = nextRecord * monitor.recordSize;
      const end = monitor.words[Word.NEXT_RECORD]! * monitor.recordSize;
      log.records.push({ local, value: { at, words: monitor.records.slice(at, end) } });
    }
    // In the order of Row.
    const { rows } = log;
    rows.push(Number(address & 0xffffffffn));
    rows.push(Number(address >> 32n));
    rows.push(kind | (read === undefined ? 0 : Kind.READS));
    rows.push(event === undefined ? 0 : 1 + this.#eventNumber(event));
    rows.push(instruction?.mnemonic ?? 0);
    rows.push(Number((read ?? 0n) & 0xffffffffn));
    rows.push(Number((read ?? 0n) >> 32n));
    rows.push(lanesNow(machine, monitor));
    rows.push(this.bases.now(machine));
    rows.push(log.registers.length / CHANGE);
    rows.push(log.memory.length / CHANGE);
    rows.push(log.monitor.length / MONITOR_CHANGE);
  }

  #eventNumber(event: string): number {
    const known = this.eventNames.indexOf(event);
    return known >= 0 ? known : this.eventNames.push(event) - 1;
  }

  #logRegisters(log: Log): void {
    const { u32 } = this.run.machine;
    const old = this.#registers;
    for (let word = 0; word < u32.length; word += 2) {
      if (u32[word] === old[word] && u32[word + 1] === old[word + 1]) continue;
      log.registers.push(word / 2);
      log.registers.push(old[word]!);
      log.registers.push(old[word + 1]!);
      old[word] = u32[word]!;
      old[word + 1] = u32[word + 1]!;
      log.registers.push(old[word]!);
      log.registers.push(old[word + 1]!);
    }
  }

  /** The journal has a word each time it was written: the first entry says what was there before. */
  #logMemory(log: Log): void {
    const { memory } = this.run.machine;
    const first = log.memory.length;
    next: for (let i = 0; i < memory.journalLength; i++) {
      const word = memory.journalWord[i]!;
      for (let k = first; k < log.memory.length; k += CHANGE) if (log.memory.get(k) === word) continue next;
      log.memory.push(word);
      log.memory.push(memory.journalLow[i]!);
      log.memory.push(memory.journalHigh[i]!);
      log.memory.push(memory.u32[2 * word]!);
      log.memory.push(memory.u32[2 * word + 1]!);
    }
    memory.journalLength = 0;
  }

  #logMonitor(log: Log): void {
    const { words } = this.run.monitor;
    const old = this.#words;
    for (let word = 0; word < words.length; word++) {
      if (words[word] === old[word]) continue;
      log.monitor.push(word);
      log.monitor.push(old[word]!);
      log.monitor.push(words[word]!);
      old[word] = words[word]!;
    }
  }

  /** As if the transition had not been begun. */
  #takeBack(): void {
    const { machine, monitor } = this.run;
    machine.memory.undoTo(0);
    machine.u32.set(this.#registers);
    monitor.words.set(this.#words);
    this.#moved();
  }

  #failed(property: Property): void {
    this.#broken.push(brokenNow(this.run.monitor, this.owners, property));
  }

  /** Whether the path ends with the transition that was just executed. */
  #end(): void {
    const { monitor, subject } = this.run;
    if (monitor.ended) {
      this.branch.ending = { kind: 'end', text: endText(monitor) };
      return;
    }
    if (!this.watchesLoops || ++this.#executed < LOOP_PATIENCE) return;
    this.#loop ??= new LoopDetector(this.run);
    if (!this.#loop.closed()) return;
    const { length } = this.#loop;
    const here = subject.image.name(this.run.rip);
    this.branch.ending = { kind: 'loop', text: `an endless loop of ${length} transitions, from ${here} to ${here}` };
    this.#broken = [];
    monitor.changed = false;
    monitor.failNamed('progress');
    // It is found behind the transition, and belongs to it.
    const { log } = this.branch;
    if (monitor.changed) this.#logMonitor(log);
    log.rows.set((log.length - 1) * Row.SIZE + Row.MONITOR_END, log.monitor.length / MONITOR_CHANGE);
    for (const broken of this.#broken) {
      const explanation = `${broken.explanation} (from ${here} to ${here}, ${length} transitions)`;
      log.broken.push({ ...broken, explanation, step: this.index - 1 });
    }
  }
}

/** Why the monitor says that the path is over. */
function endText(monitor: Monitor): string {
  switch (monitor.words[Word.END]) {
    case End.CONTEXT:
      return 'the context has come to its end';
    case End.SHUTDOWN:
      return `the processor has shut down: ${monitor.machine.happened.shutdownBecause}`;
    case End.HALT:
      return 'the processor has halted';
    case End.PANIC:
      return `the software has stopped itself at ${monitor.panicked}`;
    case End.TOO_DEEP:
      return 'deliveries, or calls, go on within each other without end';
    default:
      return 'the context was lost';
  }
}

/** How many transitions two branches have in common. */
export function commonFork(a: Branch, b: Branch): number {
  if (a === b) return Number.POSITIVE_INFINITY;
  const ways = new Map<Branch, number>();
  let limit = Number.POSITIVE_INFINITY;
  for (let at: Branch | undefined = a; at; at = at.parent) {
    ways.set(at, limit);
    limit = Math.min(limit, at.fork);
  }
  limit = Number.POSITIVE_INFINITY;
  for (let at: Branch | undefined = b; at; at = at.parent) {
    const other = ways.get(at);
    if (other !== undefined) return Math.min(limit, other);
    limit = Math.min(limit, at.fork);
  }
  return 0;
}
