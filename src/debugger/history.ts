/** The past of a state, read from the logs: what each transition was, who wrote a word or changed a register last. */
import { lastAt } from '../binary_search.js';
import { Access, type Instruction } from '../cpu/decoder.js';
import { Reg } from '../cpu/registers.js';
import type { LineRow } from '../image/module.js';
import type { Subject } from '../platforms/subject.js';
import { type Broken, frameRead, register, type Step, type Steps, type Write } from '../report/trace.js';
import { type Branch, type Cursor, commonFork } from './cursor.js';
import { Lane } from './lanes.js';
import { CHANGE, type Delivery, Kind, type Log, Row, sparseOf } from './log.js';

/** The transitions of `branch` before state `length`. */
export class History implements Steps {
  /** The logs that have them: each from its first transition up to `to`. */
  readonly #parts: readonly { readonly log: Log; readonly from: number; readonly to: number }[];

  constructor(
    readonly cursor: Cursor,
    readonly branch: Branch,
    readonly length: number,
  ) {
    const parts = [];
    for (let at: Branch | undefined = branch, to = length; at; at = at.parent) {
      if (to > at.fork) parts.unshift({ log: at.log, from: at.fork, to });
      to = Math.min(to, at.fork);
    }
    this.#parts = parts;
  }

  get subject(): Subject {
    return this.cursor.run.subject;
  }

  #part(index: number): { readonly log: Log; readonly local: number } {
    const part = this.#parts[lastAt(this.#parts.length, (i) => this.#parts[i]!.from <= index)]!;
    return { log: part.log, local: index - part.from };
  }

  /** A word of the row of a transition. */
  row(index: number, word: number): number {
    const { log, local } = this.#part(index);
    return log.row(local, word);
  }

  address(index: number): bigint {
    const { log, local } = this.#part(index);
    return log.address(local);
  }

  /** The instruction that a transition has executed, or that has faulted in it. */
  instruction(index: number): Instruction | undefined {
    if (!(this.row(index, Row.KIND) & Kind.INSTRUCTION)) return undefined;
    const { decoder } = this.cursor.run.machine.cpu;
    return decoder.find(this.row(index, Row.ADDRESS_HIGH), this.row(index, Row.ADDRESS_LOW));
  }

  /** The address behind that instruction: where a call returns to. */
  behind(index: number): bigint | undefined {
    const instruction = this.instruction(index);
    return instruction && instruction.address + BigInt(instruction.length);
  }

  /** The name of the event that was fired. */
  fired(index: number): string | undefined {
    const event = this.row(index, Row.EVENT);
    return event === 0 ? undefined : this.cursor.eventNames[event - 1];
  }

  /** What an edit has changed, or VMX has done. */
  note(index: number): string | undefined {
    const { log, local } = this.#part(index);
    return sparseOf(log.notes, local);
  }

  /** The processor that ran. */
  processor(index: number): number {
    const { branch, cursor } = this;
    return cursor.stateWord(branch, index, Row.LANES) >>> Lane.PROCESSOR_SHIFT;
  }

  /** Whose code transition `index` was: of a delivery, the event that was delivered. */
  owner(index: number): string {
    const after = (this.row(index, Row.KIND) & Kind.DELIVERED) !== 0;
    return this.cursor.ownersAt(this.branch, index + (after ? 1 : 0)).of(this.processor(index));
  }

  /** All deliveries, in their order. */
  get deliveries(): Delivery[] {
    return this.#parts.flatMap(({ log, to }) => log.deliveries.filter(({ index }) => index < to));
  }

  /** What has been broken. */
  get broken(): Broken[] {
    return this.#parts.flatMap(({ log, to }) => log.broken.filter(({ step }) => step < to));
  }

  delivery(index: number): Delivery | undefined {
    const { log } = this.#part(index);
    return log.deliveries.find((d) => d.index === index);
  }

  /** The state at which a delivery has been given back, or given up; undefined while it is open. */
  closedAt({ index, processor, name }: Delivery): number | undefined {
    for (const { log, from, to } of this.#parts) {
      for (const { local, value } of log.owners) {
        const at = from + local;
        if (at > index && at < to && !value.open[processor]!.includes(name)) return at + 1;
      }
    }
    return undefined;
  }

  /** The events that were fired, in their order. */
  get events(): { readonly index: number; readonly event: string }[] {
    return this.#parts.flatMap(({ log, from, to }) =>
      log.events.flatMap(({ local, value }) => (from + local < to ? [{ index: from + local, event: value }] : [])),
    );
  }

  /** How many states up to `index`, that one included, stand at its boundary, `address`. */
  hits(index: number, address: bigint): number {
    const low = Number(address & 0xffffffffn);
    const high = Number(address >> 32n);
    let hits = 1;
    for (const { log, from, to } of this.#parts) {
      for (let i = 0; i < Math.min(to, index) - from; i++) {
        if (log.row(i, Row.ADDRESS_LOW) === low && log.row(i, Row.ADDRESS_HIGH) === high) hits++;
      }
    }
    return hits;
  }

  /** The last transition before state `before` for each word (buffer offset / 8) that was written, and all words ever written. */
  writers(before: number): Map<number, number> {
    const found = new Map<number, number>();
    for (let p = this.#parts.length - 1; p >= 0; p--) {
      const { log, from, to } = this.#parts[p]!;
      const last = Math.min(to, before) - from;
      if (last <= 0) continue;
      let local = last - 1;
      for (let entry = log.row(local, Row.MEMORY_END) - 1; entry >= 0; entry--) {
        while (local > 0 && log.row(local - 1, Row.MEMORY_END) > entry) local--;
        const word = log.memory.get(entry * CHANGE);
        if (!found.has(word)) found.set(word, from + local);
      }
    }
    return found;
  }

  /** The words (buffer offset / 8) that transition `index` has written. */
  wordsWritten(index: number): number[] {
    const { log, local } = this.#part(index);
    const [from, to] = log.entries(local, Row.MEMORY_END);
    return Array.from({ length: to - from }, (_, i) => log.memory.get((from + i) * CHANGE));
  }

  /** The first transition from `from` on that wrote one of the words [first, last), and for which `holds`. */
  firstWrite(first: number, last: number, from: number, holds: (index: number) => boolean): number | undefined {
    for (const part of this.#parts) {
      if (part.to <= from) continue;
      const local = Math.max(0, from - part.from);
      let entry = part.log.entries(local, Row.MEMORY_END)[0];
      const end = part.log.row(part.to - part.from - 1, Row.MEMORY_END);
      for (; entry < end; entry++) {
        const word = part.log.memory.get(entry * CHANGE);
        if (word < first || word >= last) continue;
        const index = part.from + part.log.transitionOf(entry, Row.MEMORY_END);
        if (holds(index)) return index;
      }
    }
    return undefined;
  }

  /** The last transition up to `index` that wrote one of the bytes of this word. */
  #lastWriteTo(word: number, index: number): number | undefined {
    for (let p = this.#parts.length - 1; p >= 0; p--) {
      const { log, from, to } = this.#parts[p]!;
      const last = Math.min(to - 1, index) - from;
      if (last < 0) continue;
      for (let entry = log.row(last, Row.MEMORY_END) - 1; entry >= 0; entry--) {
        if (log.memory.get(entry * CHANGE) === word) return from + log.transitionOf(entry, Row.MEMORY_END);
      }
    }
    return undefined;
  }

  lastWrite(address: bigint, index: number): Step | undefined {
    const offset = this.cursor.run.machine.memory.translateAddress(address);
    const found = offset < 0 ? undefined : this.#lastWriteTo(offset >>> 3, index);
    return found === undefined ? undefined : this.step(found);
  }

  /**
   * The last transition up to `index` that wrote one of these bytes. The log has words: what an instruction has written of one, its
   * operand says.
   */
  lastWriteOf(address: bigint, length: number, index: number): number | undefined {
    const { memory } = this.cursor.run.machine;
    const [first, last] = [memory.translateAddress(address), memory.translateAddress(address + BigInt(length) - 1n)];
    if (first < 0) return undefined;
    const to = last - first === length - 1 ? last >>> 3 : first >>> 3;
    for (let p = this.#parts.length - 1; p >= 0; p--) {
      const part = this.#parts[p]!;
      const end = Math.min(part.to - 1, index) - part.from;
      if (end < 0) continue;
      for (let entry = part.log.row(end, Row.MEMORY_END) - 1; entry >= 0; entry--) {
        const word = part.log.memory.get(entry * CHANGE);
        if (word < first >>> 3 || word > to) continue;
        const found = part.from + part.log.transitionOf(entry, Row.MEMORY_END);
        if (this.#wrote(found, memory.addressOf(word * 8), address, length)) return found;
      }
    }
    return undefined;
  }

  /** Whether what transition `index` wrote into `word` is part of these bytes; true where nothing tells. */
  #wrote(index: number, word: bigint, address: bigint, length: number): boolean {
    if (address <= word && address + BigInt(length) >= word + 8n) return true;
    const instruction = this.row(index, Row.KIND) & Kind.DELIVERED ? undefined : this.instruction(index);
    if (!instruction || instruction.repeat) return true;
    const registers = new BigUint64Array(this.registersAt(index).buffer);
    const { cpu } = this.cursor.run.machine;
    const stored = instruction.memory
      .filter(({ access }) => access & Access.WRITE)
      .map((operand) => ({ from: cpu.addressOf(operand, registers), size: BigInt(operand.size) }))
      .filter(({ from, size }) => from < word + 8n && from + size > word);
    return stored.length === 0 || stored.some((s) => s.from < address + BigInt(length) && s.from + s.size > address);
  }

  lastChange(r: number, index: number): Step | undefined {
    const found = this.lastChangeOf(r, index, this.processor(Math.max(0, Math.min(index, this.length - 1))));
    return found === undefined ? undefined : this.step(found);
  }

  /** The last transition up to `index` in which processor `n` ran and its register `r` changed. */
  lastChangeOf(r: number, index: number, n: number): number | undefined {
    for (let p = this.#parts.length - 1; p >= 0; p--) {
      const { log, from, to } = this.#parts[p]!;
      const last = Math.min(to - 1, index) - from;
      if (last < 0) continue;
      for (let entry = log.row(last, Row.REGISTERS_END) - 1; entry >= 0; entry--) {
        if (log.registers.get(entry * CHANGE) !== r) continue;
        const local = log.transitionOf(entry, Row.REGISTERS_END);
        // A switch exchanges all registers of the running processor; none has changed by that.
        if (log.row(local, Row.KIND) & Kind.SWITCHED || this.processor(from + local) !== n) continue;
        return from + local;
      }
    }
    return undefined;
  }

  /** The register file at state `index`: as in Machine.u32. */
  registersAt(index: number): Uint32Array {
    const { cursor } = this;
    const registers = cursor.run.machine.u32.slice();
    const change = (history: History, i: number, low: number): void => {
      const { log, local } = history.#part(i);
      const [from, to] = log.entries(local, Row.REGISTERS_END);
      for (let entry = from; entry < to; entry++) {
        const at = entry * CHANGE;
        registers[2 * log.registers.get(at)] = log.registers.get(at + low);
        registers[2 * log.registers.get(at) + 1] = log.registers.get(at + low + 1);
      }
    };
    const here = new History(cursor, cursor.branch, cursor.branch.length);
    const common = Math.min(cursor.index, commonFork(this.branch, cursor.branch));
    let i = cursor.index;
    while (i > Math.min(common, index)) change(here, --i, 1);
    while (i < index) change(this, i++, 3);
    return registers;
  }

  registersBefore(index: number): Uint32Array {
    return this.registersAt(index).slice(0, 36);
  }

  step(index: number): Step | undefined {
    return index >= 0 && index < this.length ? new LoggedStep(this, index) : undefined;
  }

  /** The 8-byte words that a transition has written, and what it has written there. */
  writes(index: number): Write[] {
    const { log, local } = this.#part(index);
    const [from, to] = log.entries(local, Row.MEMORY_END);
    const { memory } = this.cursor.run.machine;
    return Array.from({ length: to - from }, (_, i) => {
      const at = (from + i) * CHANGE;
      return {
        address: memory.addressOf(log.memory.get(at) * 8),
        value: (BigInt(log.memory.get(at + 4)) << 32n) | BigInt(log.memory.get(at + 3)),
      };
    });
  }

  /** How transition `index` has returned, of Return; NONE if it has not. */
  returnKind(index: number): number {
    return (this.row(index, Row.KIND) >>> Kind.RETURN_SHIFT) & 15;
  }

  /** The address of the first memory operand that the instruction has read. */
  readAddress(index: number): bigint | undefined {
    if (!(this.row(index, Row.KIND) & Kind.READS)) return undefined;
    return (BigInt(this.row(index, Row.READ_HIGH)) << 32n) | BigInt(this.row(index, Row.READ_LOW));
  }
}

/** A transition as the reports know it; what takes time is made when it is asked for. */
class LoggedStep implements Step {
  constructor(
    readonly history: History,
    readonly index: number,
  ) {}

  get #kind(): number {
    return this.history.row(this.index, Row.KIND);
  }

  get address(): bigint {
    return this.history.address(this.index);
  }

  get processor(): number | undefined {
    return this.history.cursor.run.machine.processors.count > 1 ? this.history.processor(this.index) : undefined;
  }

  get owner(): string {
    return this.history.owner(this.index);
  }

  get fired(): string | undefined {
    return this.history.fired(this.index);
  }

  get switchedTo(): number | undefined {
    return this.#kind & Kind.SWITCHED ? this.history.processor(this.index + 1) : undefined;
  }

  get delivered(): string | undefined {
    return this.#kind & Kind.DELIVERED ? this.history.delivery(this.index)?.name : undefined;
  }

  get returned(): boolean {
    return (this.#kind & Kind.RETURNED) !== 0;
  }

  get edit(): string | undefined {
    return this.#kind & Kind.EDIT ? this.history.note(this.index) : undefined;
  }

  get vmx(): string | undefined {
    return this.#kind & Kind.EDIT ? undefined : this.history.note(this.index);
  }

  get instruction(): Instruction | undefined {
    return this.history.instruction(this.index);
  }

  get line(): LineRow | undefined {
    return this.#kind & Kind.INSTRUCTION ? this.history.subject.image.locate(this.address)?.line : undefined;
  }

  get reads(): readonly bigint[] {
    const read = this.history.readAddress(this.index);
    const operands = read === undefined ? [] : [read];
    if (!this.returned) return operands;
    const rsp = register(this.history.registersBefore(this.index), Reg.RSP);
    return [...operands, ...frameRead(this.history.returnKind(this.index), rsp)];
  }

  get writes(): readonly Write[] {
    return this.history.writes(this.index);
  }

  get after(): Uint32Array {
    return this.history.registersAt(this.index + 1).slice(0, 36);
  }
}
