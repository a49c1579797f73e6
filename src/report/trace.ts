/** A trace: everything that a run did, transition by transition, so that a failure can be followed back to its cause. */
import { Access, type Instruction } from '../cpu/decoder.js';
import { Reg } from '../cpu/registers.js';
import { FredFrame } from '../harness/fred.js';
import { type Happened, Return } from '../harness/machine.js';
import { takesPending } from '../harness/priorities.js';
import { exitName } from '../harness/vmx.js';
import type { Observer, Run } from '../hooks/run.js';
import type { LineRow } from '../image/module.js';
import type { Subject } from '../platforms/subject.js';
import { CallWord, type Monitor, Word } from '../properties/monitor.js';
import type { Property } from '../properties/property.js';
import { plural } from './names.js';
import { Owners } from './owners.js';

export interface Write {
  /** Address of the 8-byte word. */
  readonly address: bigint;
  readonly value: bigint;
}

/** One transition. */
export interface Step {
  readonly index: number;
  /** The boundary before it. */
  readonly address: bigint;
  /** The processor that ran; undefined if there is only one. */
  readonly processor: number | undefined;
  /** Whose code this is: "context", "NMI 1", "#BP 1" … For a delivery: the event that is delivered. */
  readonly owner: string;
  /** The event that was fired here, if one was. */
  readonly fired: string | undefined;
  /** The processor that runs from here on, if it is another one. */
  readonly switchedTo: number | undefined;
  /** What was delivered in this transition: "NMI 2", or undefined. */
  readonly delivered: string | undefined;
  readonly returned: boolean;
  /** Of a debugger's edit: what it has set; no instruction was executed. */
  readonly edit?: string | undefined;
  /** What VMX did in this transition: why a guest was left, or why it could not be entered. */
  readonly vmx: string | undefined;
  /** What was executed, or has faulted; undefined if none was. */
  readonly instruction: Instruction | undefined;
  readonly line: LineRow | undefined;
  readonly reads: readonly bigint[];
  readonly writes: readonly Write[];
  /** The 18 registers of the engine after the transition, as 36 halves. */
  readonly after: Uint32Array;
}

/** A property that broke, and in which transition. */
export interface Broken {
  readonly property: string;
  readonly sentence: string;
  readonly step: number;
  readonly explanation: string;
  readonly differences: readonly { readonly what: string; readonly expected: bigint; readonly found: bigint }[];
  /** Owner of the delivery whose return failed, if it was a return. */
  readonly closing: string | undefined;
  /** The pt_regs of the C call that was running last. */
  readonly ptRegs: bigint | undefined;
}

/** A path that has been run: what those ask who follow a value back to where it comes from. Transitions are counted from 0. */
export interface Steps {
  readonly subject: Subject;
  step(index: number): Step | undefined;
  /** The 18 registers of the engine before transition `index`, as 36 halves. */
  registersBefore(index: number): Uint32Array;
  /** The last transition up to `index` that wrote the word at `address`. */
  lastWrite(address: bigint, index: number): Step | undefined;
  /** The last transition up to `index` that changed register `r`. */
  lastChange(r: number, index: number): Step | undefined;
}

/** What breaks right now, all but the transition; to be called when a property says so. */
export function brokenNow(monitor: Monitor, owners: Owners, property: Property): Omit<Broken, 'step'> {
  const { closing } = monitor;
  const called = monitor.words[Word.CALLS]! > 0;
  return {
    property: property.name,
    sentence: property.sentence,
    explanation: property.explain(monitor),
    differences: !property.comparesRegisters
      ? []
      : closing >= 0
        ? monitor.differences(closing)
        : monitor.endDifferences(),
    closing: closing >= 0 ? owners.at(monitor.machine.processors.running, monitor.words[Word.DEPTH]!) : undefined,
    ptRegs: called ? monitor.word64(monitor.lastCall + CallWord.REGS_LOW) : undefined,
  };
}

/** `context is broken: rdi is not what it was` */
export function brokenText({ property, explanation }: Pick<Broken, 'property' | 'explanation'>): string {
  return `${property} is broken: ${explanation}`;
}

/** The addresses of the words that a return has read, by RSP before it; none if there was no return by a frame. */
export function frameRead(returned: number, rsp: bigint): bigint[] {
  const fred = returned === Return.ERETU || returned === Return.ERETS;
  if (!fred && returned !== Return.IRET) return [];
  const frame = rsp + (fred ? BigInt(FredFrame.RIP) : 0n);
  return Array.from({ length: 5 }, (_, i) => frame + BigInt(8 * i));
}

export class Trace implements Observer, Steps {
  readonly steps: Step[] = [];
  readonly broken: Broken[] = [];
  /** Registers before the first transition. */
  readonly start: Uint32Array;

  #owners: Owners;
  #address = 0n;
  #reads: bigint[] = [];
  #instruction: Instruction | undefined;
  #row: LineRow | undefined;
  #pending: Omit<Broken, 'step'>[] = [];

  constructor(readonly run: Run) {
    this.start = run.machine.u32.slice(0, 36);
    this.#owners = Owners.none(run.machine.processors.count);
    run.observe(this);
  }

  get subject(): Subject {
    return this.run.subject;
  }

  step(index: number): Step | undefined {
    return this.steps[index];
  }

  before(run: Run, event: string | undefined): void {
    const { machine, subject } = run;
    this.#address = run.rip;
    this.#reads = [];
    this.#instruction = undefined;
    this.#row = undefined;
    if (event !== undefined || takesPending(machine, machine.u32[2 * Reg.EVENTS]!)) return;
    const instruction = machine.peek();
    if (!instruction) return;
    this.#instruction = instruction;
    this.#row = subject.image.locate(instruction.address)?.line;
    for (const operand of instruction.memory) {
      if (operand.access & Access.READ) this.#reads.push(machine.cpu.addressOf(operand));
    }
  }

  after(run: Run, event: string | undefined): void {
    const { machine, monitor } = run;
    const { memory, happened } = machine;
    const writes: Write[] = [];
    const seen = new Set<number>();
    for (let i = 0; i < memory.journalLength; i++) {
      const word = memory.journalWord[i]!;
      if (seen.has(word)) continue;
      seen.add(word);
      writes.push({ address: memory.addressOf(word * 8), value: memory.view.getBigUint64(word * 8, true) });
    }
    const { processors } = machine;
    const switched = happened.switchedFrom >= 0;
    const n = switched ? happened.switchedFrom : processors.running;
    // Whose instruction it was is known before it has returned; a delivery is its own event's.
    const { owners, delivered } = this.#owners.after(machine, monitor, n);
    const owner = (delivered === undefined ? this.#owners : owners).of(n);
    this.#owners = owners;
    const reads = [...this.#reads, ...frameRead(happened.returned, this.#rspBefore())];
    const step: Step = {
      index: this.steps.length,
      address: this.#address,
      processor: processors.count > 1 ? n : undefined,
      owner,
      fired: event,
      switchedTo: switched ? processors.running : undefined,
      delivered,
      returned: happened.returned !== Return.NONE,
      vmx: vmxNote(happened),
      instruction: this.#instruction,
      line: this.#row,
      reads,
      writes,
      after: machine.u32.slice(0, 36),
    };
    this.steps.push(step);
    for (const p of this.#pending) this.broken.push({ ...p, step: step.index });
    this.#pending = [];
  }

  failed(run: Run, property: Property): void {
    const entry = brokenNow(run.monitor, this.#owners, property);
    // An endless loop is found between two transitions, everything else within one.
    if (run.loopLength > 0) {
      const first = this.#loopStart(run.loopLength);
      const from = run.subject.image.name(this.steps[first]!.address);
      const raised = this.steps.slice(first, first + run.loopLength).find((step) => step.delivered && !step.fired);
      const why = raised
        ? `${run.subject.image.name(raised.address)} raises ${raised.delivered!.replace(/ \d+$/, '')} each time: `
        : '';
      const explanation = `${why}${entry.explanation} (from ${from} to ${from}, ${plural(run.loopLength, 'transition')})`;
      this.broken.push({ ...entry, explanation, step: first + run.loopLength - 1 });
    } else {
      this.#pending.push(entry);
    }
  }

  /** The first step of the loop: going back from its last turn for as long as the turn before was the same. */
  #loopStart(length: number): number {
    let first = this.steps.length - length;
    while (first > 0 && sameStep(this.steps[first - 1]!, this.steps[first - 1 + length]!)) first--;
    return first;
  }

  #rspBefore(): bigint {
    const registers = this.steps.at(-1)?.after ?? this.start;
    return register(registers, Reg.RSP);
  }

  /** The registers before transition `index`. */
  registersBefore(index: number): Uint32Array {
    return index === 0 ? this.start : this.steps[index - 1]!.after;
  }

  /** The last transition up to `index` that wrote the word at `address`. */
  lastWrite(address: bigint, index: number): Step | undefined {
    const word = address & ~7n;
    for (let i = Math.min(index, this.steps.length - 1); i >= 0; i--) {
      if (this.steps[i]!.writes.some((w) => w.address === word)) return this.steps[i];
    }
    return undefined;
  }

  /** The last transition up to `index` that changed register `r`. */
  lastChange(r: number, index: number): Step | undefined {
    for (let i = Math.min(index, this.steps.length - 1); i >= 0; i--) {
      const before = this.registersBefore(i);
      const { after } = this.steps[i]!;
      if (before[2 * r] !== after[2 * r] || before[2 * r + 1] !== after[2 * r + 1]) return this.steps[i];
    }
    return undefined;
  }
}

/** What VMX has done in the last transition. */
export function vmxNote({ failedCheck, vmExit }: Happened): string | undefined {
  if (failedCheck !== undefined) return `VM entry fails: ${failedCheck}`;
  return vmExit < 0 ? undefined : `VM exit: ${exitName(vmExit)}`;
}

export function register(registers: Uint32Array, r: number): bigint {
  return (BigInt(registers[2 * r + 1]!) << 32n) | BigInt(registers[2 * r]!);
}

function sameStep(a: Step, b: Step): boolean {
  return a.address === b.address && a.fired === b.fired && a.after.every((word, i) => word === b.after[i]);
}
