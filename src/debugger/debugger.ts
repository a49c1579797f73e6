/**
 * The debugger: a tree of paths and a cursor in it. Forward verbs follow what the branch has, its events included, and execute behind
 * its end; firing another event, or none, where the branch has something else begins a new branch.
 */
import { Mnemonic } from 'iced-x86';
import { Access } from '../cpu/decoder.js';
import type { Disassembler } from '../cpu/disassembler.js';
import { CODE, Perm } from '../cpu/memory.js';
import { NotModelled } from '../cpu/not_modelled.js';
import { Reg } from '../cpu/registers.js';
import { InputError } from '../errors.js';
import type { SavedImage } from '../explore/path_file.js';
import { eventNamed } from '../harness/events.js';
import { Run } from '../hooks/run.js';
import type { Subject } from '../platforms/subject.js';
import type { Profile } from '../profiles/profile.js';
import { hex } from '../properties/describe.js';
import { Word } from '../properties/monitor.js';
import type { Property } from '../properties/property.js';
import { brokenText, frameRead, register } from '../report/trace.js';
import { reasonAgainst } from './actions.js';
import { CallsAhead, CallsBehind } from './calls.js';
import { complete, runCommand } from './commands.js';
import { type Branch, Cursor } from './cursor.js';
import { parseExpression, registerNamed, type Scene } from './expression.js';
import { History } from './history.js';
import { depthOf, Lane } from './lanes.js';
import { Kind, Row } from './log.js';
import { type MemoryAccess, type StopPoint, StopPoints, type WatchRange, watched } from './stops.js';
import type { CommandResult, Stop, View, ViewRequest } from './view.js';
import { viewOf } from './views.js';

/** -1: the same verb backwards. */
export type Direction = 1 | -1;

/** What `until` runs to. */
export type Target =
  /** A boundary, when it is reached for the hit-th time of the whole path; without a hit, the next time. */
  | { readonly kind: 'boundary'; readonly address: bigint; readonly hit?: number }
  /** A delivery: the next one, or the next one of this event ("NMI", "#PF"). */
  | { readonly kind: 'delivery'; readonly event?: string }
  /** A property breaks: any, or this one. */
  | { readonly kind: 'failure'; readonly property?: string }
  /**
   * NMIs become blocked, or not blocked; one is latched; a return gives the context back; the branch fires an event here.
   */
  | { readonly kind: 'masked' | 'unmasked' | 'latched' | 'given-back' | 'event' };

/** An event of a schedule; `where` is for messages. */
export interface PlacedEvent {
  readonly event: string;
  readonly address: bigint;
  readonly hit: number;
  readonly where: string;
}

/** What `openDebugger` gives. */
export interface DebuggerOptions {
  readonly title: string;
  readonly subject: Subject;
  readonly profile: Profile;
  readonly properties: readonly Property[];
  readonly disassemblers: { readonly att: Disassembler; readonly intel: Disassembler };
  /** What a path file says of the image, for `save`. */
  readonly saved: SavedImage;
}

/** Moves after which others get their turn. */
const SLICE = 2_000;
/** What nobody edits: it is no register of the processor. */
const NO_REGISTER: ReadonlySet<number> = new Set([Reg.EVENTS, Reg.PROCESSOR]);

/** The transition that was crossed. */
type Test = (crossed: number) => Stop | undefined;

export class Debugger implements Scene {
  readonly title: string;
  readonly subject: Subject;
  readonly profile: Profile;
  readonly run: Run;
  readonly cursor: Cursor;
  readonly stopPoints: StopPoints;
  /** In which the line mode prints instructions. */
  syntax: 'att' | 'intel' = 'att';
  /** The transitions that the last question was answered with. */
  answer: readonly number[] = [];
  lastStop: Stop = { reason: 'start', text: 'at the start' };
  #busy = false;
  readonly #listeners = new Set<() => void>();

  constructor(readonly options: DebuggerOptions) {
    this.title = options.title;
    this.subject = options.subject;
    this.profile = options.profile;
    this.run = this.#modelled(() => new Run(options.subject, options.profile, options.properties));
    this.cursor = new Cursor(this.run);
    this.stopPoints = new StopPoints(options.subject.image);
  }

  /** What `body` comes to; what it does that is not modelled is an error that names its line. */
  #modelled<T>(body: () => T): T {
    try {
      return body();
    } catch (error) {
      throw error instanceof NotModelled ? new InputError(error.placed(this.image)) : error;
    }
  }

  /** A verb is under way; every other one is refused. */
  get busy(): boolean {
    return this.#busy;
  }

  get position(): { readonly branch: number; readonly index: number } {
    return { branch: this.cursor.branch.id, index: this.cursor.index };
  }

  /** The past of the cursor's state. */
  get history(): History {
    return new History(this.cursor, this.cursor.branch, this.cursor.index);
  }

  // What expressions look at ------------------------------------------------------------------------------------------

  get image(): Subject['image'] {
    return this.subject.image;
  }

  register(number: number): bigint {
    return this.run.machine.cpu.regs.u64[number]!;
  }

  memory(address: bigint, length: number): bigint | undefined {
    const bytes = this.run.machine.memory.peek(BigInt.asUintN(64, address), length);
    return bytes?.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
  }

  get hit(): number {
    return this.history.hits(this.cursor.index, this.run.rip);
  }

  get index(): number {
    return this.cursor.index;
  }

  get depth(): number {
    return this.run.monitor.words[Word.DEPTH]!;
  }

  get processor(): number {
    return this.run.machine.processors.running;
  }

  // Verbs -------------------------------------------------------------------------------------------------------------

  async step(count = 1, signal?: AbortSignal): Promise<Stop> {
    return this.#drive(1, this.#countdown(count), signal, count > 1);
  }

  async reverseStep(count = 1, signal?: AbortSignal): Promise<Stop> {
    return this.#drive(-1, this.#countdown(count), signal, count > 1);
  }

  #countdown(count: number): Test {
    const { index } = this.cursor;
    return () => (Math.abs(this.cursor.index - index) >= count ? { reason: 'step', text: 'stepped' } : undefined);
  }

  /** Over a handler or a call. */
  async next(count = 1, signal?: AbortSignal): Promise<Stop> {
    return this.#repeat(count, () => this.#drive(1, this.#overCalls(), signal));
  }

  async reverseNext(count = 1, signal?: AbortSignal): Promise<Stop> {
    return this.#repeat(count, async () => {
      const { index, branch } = this.cursor;
      const target = this.#beforeReturn();
      const stop = await this.#drive(-1, target, signal);
      if (stop.reason !== 'start' || index <= 1) return stop;
      // A RET without its CALL, as in a retpoline, is one step back.
      this.cursor.goTo(branch, index - 1);
      return this.#stopped({ reason: 'step', text: 'stepped' });
    });
  }

  async #repeat(count: number, once: () => Promise<Stop>): Promise<Stop> {
    let stop = await once();
    for (let i = 1; i < count && stop.reason === 'step'; i++) stop = await once();
    return stop;
  }

  /** After one transition; if that has begun a handler or a call, when it is over. */
  #overCalls(): Test {
    const { depth, processor } = this;
    const calls = new CallsAhead(this);
    const start = this.run.rip;
    let within: 'nothing' | 'handler' | 'call' | undefined;
    return (crossed) => {
      calls.cross(crossed);
      if (within === undefined) {
        // Another processor has handlers and calls of its own.
        if (this.history.row(crossed, Row.KIND) & Kind.SWITCHED) within = 'nothing';
        else if (this.depth > depth) within = 'handler';
        else within = calls.count > 0 ? 'call' : 'nothing';
      }
      if (this.processor !== processor) return within === 'nothing' ? STEPPED : undefined;
      const back =
        within === 'handler'
          ? this.depth <= depth
          : within === 'nothing' ||
            this.depth < depth ||
            (this.depth === depth && calls.count === 0 && this.run.rip !== start);
      return back ? STEPPED : undefined;
    };
  }

  /** Back over one transition; if that was the end of a handler or a call, to where that was entered. */
  #beforeReturn(): Test {
    const { depth, processor } = this;
    const rsp = this.register(Reg.RSP);
    const calls = new CallsBehind(this);
    let within: 'nothing' | 'handler' | 'call' | undefined;
    return (crossed) => {
      const history = this.#crossedHistory(crossed);
      const call = calls.cross(crossed, history);
      if (within === undefined) {
        const returned = history.row(crossed, Row.MNEMONIC) === Mnemonic.Ret && this.depth === depth;
        if (history.row(crossed, Row.KIND) & Kind.SWITCHED) within = 'nothing';
        else if (this.depth > depth) within = 'handler';
        else within = returned ? 'call' : 'nothing';
      }
      if (within === 'nothing') return STEPPED;
      if (this.processor !== processor) return undefined;
      if (within === 'handler') return this.depth <= depth ? STEPPED : undefined;
      const entered = call && (call.pending === 0 || this.register(Reg.RSP) === rsp);
      return entered ? STEPPED : undefined;
    };
  }

  /** To the end of the running handler or function. */
  async finish(signal?: AbortSignal): Promise<Stop> {
    const { depth, processor } = this;
    const calls = new CallsAhead(this);
    return this.#drive(
      1,
      (crossed) => {
        const returned = calls.cross(crossed);
        if (this.processor !== processor) return undefined;
        return this.depth < depth || returned ? { reason: 'target', text: 'finished' } : undefined;
      },
      signal,
    );
  }

  /** To where the running handler or function was entered. */
  async reverseFinish(signal?: AbortSignal): Promise<Stop> {
    const { depth, processor } = this;
    const calls = new CallsBehind(this);
    return this.#drive(
      -1,
      (crossed) => {
        const call = calls.cross(crossed, this.#crossedHistory(crossed));
        if (this.processor !== processor) return undefined;
        if (this.depth < depth) return { reason: 'target', text: 'where the handler was entered' };
        return call?.entered ? { reason: 'target', text: 'where the function was called' } : undefined;
      },
      signal,
    );
  }

  async continue(signal?: AbortSignal): Promise<Stop> {
    return this.#drive(1, () => undefined, signal);
  }

  async reverseContinue(signal?: AbortSignal): Promise<Stop> {
    return this.#drive(-1, () => undefined, signal);
  }

  async until(target: Target, direction: Direction = 1, signal?: AbortSignal): Promise<Stop> {
    return this.#drive(direction, this.#reaches(target), signal);
  }

  #reaches(target: Target): Test {
    const reached = (text: string): Stop => ({ reason: 'target', text });
    const { cursor } = this;
    /** The lanes word before and after the crossed transition, of the processor that runs after it. */
    const lanesAround = (crossed: number): readonly [number, number] => {
      const lanes = (index: number): number => cursor.stateWord(cursor.branch, index, Row.LANES);
      const after = lanes(crossed + 1);
      let before = crossed;
      // Behind a switch it is compared with itself, where it ran last: another one's latch has not changed by that.
      while (before >= 0 && lanes(before) >>> Lane.PROCESSOR_SHIFT !== after >>> Lane.PROCESSOR_SHIFT) before--;
      return [before < 0 ? after : lanes(before), after];
    };
    /** A bit of it. */
    const changed = (crossed: number, bit: number, to: boolean): boolean => {
      const [before, after] = lanesAround(crossed);
      return to ? !(before & bit) && (after & bit) !== 0 : (before & bit) !== 0 && !(after & bit);
    };
    switch (target.kind) {
      case 'boundary':
        return () => {
          if (this.run.rip !== target.address) return undefined;
          if (target.hit !== undefined && this.hit !== target.hit) return undefined;
          return reached(`at ${this.image.name(target.address)}`);
        };
      case 'delivery':
        return (crossed) => {
          const name = this.#crossedHistory(crossed).delivery(crossed)?.name;
          if (name === undefined) return undefined;
          const wanted = target.event?.toLowerCase();
          const [kind] = name.toLowerCase().split(/ (?=\d+$)/);
          if (wanted !== undefined && name.toLowerCase() !== wanted && kind !== wanted) return undefined;
          return reached(`delivery of ${name}`);
        };
      case 'failure':
        return (crossed) => {
          const broken = this.#crossedHistory(crossed).broken.filter(({ step }) => step === crossed);
          const found = broken.find((b) => target.property === undefined || b.property === target.property);
          return found && { reason: 'failure', text: brokenText(found) };
        };
      case 'masked':
        return (crossed) => (changed(crossed, Lane.BLOCKED, true) ? reached('NMIs are blocked') : undefined);
      case 'unmasked':
        return (crossed) =>
          changed(crossed, Lane.BLOCKED, false) ? reached('NMIs are not blocked any more') : undefined;
      case 'latched':
        return (crossed) => (changed(crossed, Lane.PENDING, true) ? reached('an NMI is latched') : undefined);
      case 'given-back':
        return (crossed) => {
          const [before, after] = lanesAround(crossed).map(depthOf) as [number, number];
          // A processor that gives up has nothing open any more either.
          const returned = this.#crossedHistory(crossed).row(crossed, Row.KIND) & Kind.RETURNED;
          return returned && before > 0 && after === 0 ? reached('the context is given back') : undefined;
        };
      default:
        return () => {
          const action = cursor.branch.action(cursor.index, cursor.eventNames);
          if (action === undefined || action === 'step' || action.startsWith('edit')) return undefined;
          return reached(`the branch fires ${action} here`);
        };
    }
  }

  #crossedHistory(crossed: number): History {
    return new History(this.cursor, this.cursor.branch, Math.max(crossed + 1, this.cursor.index));
  }

  /** Fires an event here. Where the branch does something else, a new branch begins, or the one that does this goes on. */
  fire(name: string): Stop {
    this.#refuseBusy();
    const event = eventNamed(name);
    if (this.cursor.branch.action(this.cursor.index, this.cursor.eventNames) !== event.name) {
      const reason = reasonAgainst(this.run, event);
      if (reason !== undefined) throw new InputError(`${event.name} cannot be fired here: ${reason}`);
    }
    return this.#doHere(event.name, `${event.name} is fired`);
  }

  /** Executes the next instruction where the branch fires an event. */
  skip(): Stop {
    this.#refuseBusy();
    const action = this.cursor.branch.action(this.cursor.index, this.cursor.eventNames);
    if (action === undefined || action === 'step') {
      throw new InputError('the branch fires no event here; step executes the next instruction');
    }
    return this.#doHere(undefined, `${action} is not fired`);
  }

  #doHere(event: string | undefined, text: string): Stop {
    this.#modelled(() => this.cursor.do(event));
    const failed = this.#failureAt(this.cursor.index - 1);
    return this.#stopped(failed ?? { reason: 'step', text });
  }

  /** To a state of a branch, by their numbers. */
  go(index: number, branch = this.cursor.branch.id): Stop {
    this.#refuseBusy();
    const to = this.branchNumbered(branch);
    if (!Number.isInteger(index) || index < 0 || index > to.length) {
      throw new InputError(`state ${index}: branch ${branch} has the states 0 to ${to.length}`);
    }
    this.cursor.goTo(to, index);
    return this.#stopped({ reason: 'moved', text: index === 0 ? 'at the start' : `at state ${index}` });
  }

  branchNumbered(number: number): Branch {
    const branch = this.cursor.branches[number];
    if (!branch) throw new InputError(`there is no branch ${number}; 'branches' lists them`);
    return branch;
  }

  nameBranch(number: number, name: string): void {
    this.branchNumbered(number).name = name;
    this.#changed();
  }

  /** Follows a schedule to its end, as a replay does; an InputError when one of the events cannot fire. */
  play(schedule: readonly PlacedEvent[]): void {
    const { cursor, run } = this;
    const hits = new Map<bigint, number>([[run.rip, 1]]);
    let next = 0;
    cursor.watchesLoops = schedule.length === 0;
    try {
      for (;;) {
        const firing = schedule[next];
        if (firing && run.rip === firing.address && hits.get(run.rip) === firing.hit) {
          const reason = reasonAgainst(run, eventNamed(firing.event));
          if (reason !== undefined) {
            throw new InputError(
              `the path does not apply: at ${firing.where} ${firing.event} cannot be fired: ${reason}`,
            );
          }
          this.#modelled(() => cursor.do(firing.event));
          next++;
          cursor.watchesLoops = next === schedule.length;
        } else if (cursor.branch.ending) {
          if (firing) throw new InputError(`the path does not apply: ${firing.where} is never reached`);
          return;
        } else this.#modelled(() => cursor.do(undefined));
        hits.set(run.rip, (hits.get(run.rip) ?? 0) + 1);
      }
    } finally {
      cursor.watchesLoops = true;
    }
  }

  // Edits -------------------------------------------------------------------------------------------------------------

  /** Begins a branch in which a register has another value. */
  writeRegister(name: string, value: bigint, processor = this.processor): Stop {
    this.#refuseBusy();
    const number = this.#registerNumber(name, processor);
    if (NO_REGISTER.has(number))
      throw new InputError(`${name}: is no register of the processor; fire events to change it`);
    if (value < 0n || value >> 64n) throw new InputError(`${name}: ${value} does not fit in 64 bits`);
    const { machine } = this.run;
    this.#modelled(() =>
      this.cursor.edit(`${name} = ${hex(value)}`, () => {
        machine.cpu.regs.u64[machine.processors.place(processor, number) / 2] = value;
      }),
    );
    return this.#stopped({ reason: 'step', text: `${name} is set` });
  }

  /** Begins a branch in which memory has other contents. */
  writeMemory(address: bigint, bytes: Uint8Array): Stop {
    this.#refuseBusy();
    const { memory } = this.run.machine;
    const offsets = [...bytes].map((_, i) => {
      const at = BigInt.asUintN(64, address + BigInt(i));
      const offset = memory.translate(Number(at >> 32n), Number(at & 0xffffffffn));
      if (offset < 0) throw new InputError(`${hex(at)}: nothing is mapped there`);
      if (memory.perms & CODE) throw new InputError(`${hex(at)}: is code; change its source and open it anew`);
      if (memory.perms & Perm.DEVICE)
        throw new InputError(`${hex(at)}: is a register of a device, which only code writes`);
      return offset;
    });
    this.cursor.edit(`[${hex(address)}], ${bytes.length} bytes`, () => {
      offsets.forEach((offset, i) => {
        memory.willWrite(offset >>> 3);
        memory.u8[offset] = bytes[i]!;
      });
    });
    return this.#stopped({ reason: 'step', text: 'memory is set' });
  }

  readRegister(name: string, processor = this.processor): bigint {
    const number = this.#registerNumber(name, processor);
    return this.run.machine.cpu.regs.u64[this.run.machine.processors.place(processor, number) / 2]!;
  }

  #registerNumber(name: string, processor: number): number {
    const number = registerNamed(name);
    if (number === undefined) throw new InputError(`there is no register '${name}'; 'registers all' lists them`);
    this.#requireProcessor(processor);
    return number;
  }

  #requireProcessor(processor: number): void {
    const { count } = this.run.machine.processors;
    if (!Number.isInteger(processor) || processor < 0 || processor >= count) {
      throw new InputError(`there is no CPU ${processor}; there are ${count}, from 0`);
    }
  }

  /** Undefined where something is not mapped. */
  readMemory(address: bigint, length: number): Uint8Array | undefined {
    return this.run.machine.memory.peek(address, length);
  }

  // Stops -------------------------------------------------------------------------------------------------------------

  /** Returns its number. `condition`: an expression; `hit`: only the hit-th time. */
  addBreakpoint(address: bigint, condition?: string, hit?: number): number {
    return this.#noting(this.stopPoints.break(address, condition, hit));
  }

  addWatchpoint(watch: WatchRange, condition?: string): number {
    return this.#noting(this.stopPoints.watch(watch, condition));
  }

  /** Stops when the value of an expression changes: `gs_base`, `latch`, `[rsp+8]`. */
  addChangeWatchpoint(expression: string, condition?: string): number {
    return this.#noting(this.stopPoints.change(expression, condition));
  }

  deleteBreakpoint(number: number): void {
    this.#noting(this.stopPoints.delete(number));
  }

  enableBreakpoint(number: number, enabled: boolean): void {
    this.#noting(this.stopPoints.enable(number, enabled));
  }

  #noting<T>(result: T): T {
    this.#changed();
    return result;
  }

  // Moving ------------------------------------------------------------------------------------------------------------

  #refuseBusy(): void {
    if (this.#busy) throw new InputError('the code is running; interrupt it first');
  }

  /** One transition after the other until `test`, a stop point, a failure or an end says stop. */
  async #drive(direction: Direction, test: Test, signal?: AbortSignal, stopsBetween = true): Promise<Stop> {
    this.#refuseBusy();
    this.#busy = true;
    try {
      return this.#stopped(await this.#moves(direction, test, signal, stopsBetween));
    } finally {
      this.#busy = false;
    }
  }

  async #moves(
    direction: Direction,
    test: Test,
    signal: AbortSignal | undefined,
    stopsBetween: boolean,
  ): Promise<Stop> {
    const { cursor } = this;
    const points = stopsBetween ? this.stopPoints.enabled : [];
    const watching = points.some((p) => p.kind === 'watch');
    const values = new Map<StopPoint, string>();
    for (const point of points) if (point.kind === 'change') values.set(point, this.#value(point.expression));
    for (let moves = 1; ; moves++) {
      const operands = watching && direction > 0 ? this.#operands() : [];
      const refusal = direction > 0 ? this.#forward() : this.#backward();
      if (refusal) return refusal;
      const crossed = direction > 0 ? cursor.index - 1 : cursor.index;
      const failed = direction > 0 ? this.#failureAt(crossed) : undefined;
      const reached = test(crossed);
      if (failed) return failed;
      const accesses = watching ? this.#accesses(crossed, direction > 0 ? operands : this.#operands()) : [];
      const hit = this.#hitPoint(points, accesses, values);
      if (hit) return hit;
      if (reached) return reached;
      if (moves % SLICE === 0) {
        await new Promise((resolve) => setImmediate(resolve));
        if (signal?.aborted) return { reason: 'interrupted', text: 'interrupted' };
      }
    }
  }

  /** One transition on; why not, if there is none. */
  #forward(): Stop | undefined {
    const { cursor } = this;
    if (cursor.forward()) return undefined;
    const { ending } = cursor.branch;
    if (ending) return { reason: ending.kind, text: `the path has ended: ${ending.text}` };
    try {
      cursor.do(undefined);
      return undefined;
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      if (error instanceof NotModelled) return { reason: 'not-modelled', text: error.placed(this.image) };
      return { reason: 'limit', text: error.message };
    }
  }

  #backward(): Stop | undefined {
    return this.cursor.back() ? undefined : { reason: 'start', text: 'at the start: there is nothing before' };
  }

  /** The property that the transition before state `crossed + 1` has broken. */
  #failureAt(crossed: number): Stop | undefined {
    const { log, fork } = this.cursor.branch.holder(crossed);
    if (log.broken.length === 0 || crossed < fork) return undefined;
    const broken = log.broken.filter(({ step }) => step === crossed);
    if (broken.length === 0) return undefined;
    const text = broken.map(brokenText).join('; ');
    return { reason: 'failure', text };
  }

  /** The memory operands of the instruction at RIP. */
  #operands(): MemoryAccess[] {
    const { machine } = this.run;
    return (machine.peek()?.memory ?? []).map((operand) => ({
      address: machine.cpu.addressOf(operand),
      size: operand.size,
      access: operand.access,
    }));
  }

  /** What a transition has accessed, given the operands of the instruction that it was. */
  #accesses(crossed: number, operands: readonly MemoryAccess[]): MemoryAccess[] {
    const history = this.#crossedHistory(crossed);
    const kind = history.row(crossed, Row.KIND);
    const executed = kind & Kind.INSTRUCTION && !(kind & Kind.DELIVERED);
    const own = executed ? operands : [];
    // Microcode (PUSHF, SGDT, VMWRITE) writes without an operand: the words that have changed tell.
    const stored = own.filter(({ access }) => access & Access.WRITE);
    const written: MemoryAccess[] = history
      .writes(crossed)
      .filter(({ address: word }) => !stored.some((o) => o.address < word + 8n && o.address + BigInt(o.size) > word))
      .map(({ address }) => ({ address, size: 8, access: Access.WRITE }));
    const before = history.returnKind(crossed);
    const frame = before === 0 ? [] : frameRead(before, register(history.registersBefore(crossed), Reg.RSP));
    const read = frame.map((address) => ({ address, size: 8, access: Access.READ }));
    return [...own, ...written, ...read];
  }

  #hitPoint(
    points: readonly StopPoint[],
    accesses: readonly MemoryAccess[],
    values: Map<StopPoint, string>,
  ): Stop | undefined {
    let stop: Stop | undefined;
    for (const point of points) {
      const text = this.#hits(point, accesses, values);
      if (text === undefined || (point.condition && !this.#isTrue(point.condition))) continue;
      point.hits++;
      stop ??= {
        reason: point.kind === 'break' ? 'breakpoint' : 'watchpoint',
        text: `${point.kind === 'break' ? 'breakpoint' : 'watchpoint'} ${point.number}: ${text}`,
        number: point.number,
        ...(point.kind === 'watch' ? { address: hex(watched(point, accesses)!.address) } : {}),
      };
    }
    return stop;
  }

  #hits(point: StopPoint, accesses: readonly MemoryAccess[], values: Map<StopPoint, string>): string | undefined {
    if (point.kind === 'break') {
      if (point.address !== this.run.rip || (point.hit !== undefined && point.hit !== this.hit)) return undefined;
      return `at ${this.image.name(point.address)}`;
    }
    if (point.kind === 'watch') {
      const access = watched(point, accesses);
      if (!access) return undefined;
      const what = access.access & Access.WRITE ? 'written' : 'read';
      return `${hex(access.address)} is ${what}`;
    }
    const now = this.#value(point.expression);
    const before = values.get(point)!;
    values.set(point, now);
    return now === before ? undefined : `${point.expression.text} changes from ${before} to ${now}`;
  }

  #value(expression: { value: (scene: Scene) => bigint }): string {
    try {
      return hex(expression.value(this));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      return 'not mapped';
    }
  }

  #isTrue(expression: { value: (scene: Scene) => bigint }): boolean {
    try {
      return expression.value(this) !== 0n;
    } catch (error) {
      // What cannot be told is no reason to pass by.
      if (!(error instanceof InputError)) throw error;
      return true;
    }
  }

  #stopped(stop: Stop): Stop {
    this.lastStop = stop;
    this.#changed();
    return stop;
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  // For front ends ----------------------------------------------------------------------------------------------------

  evaluate(text: string): bigint {
    return parseExpression(text, this.image).value(this);
  }

  view(request: ViewRequest = {}): View {
    if (request.processor !== undefined) this.#requireProcessor(request.processor);
    return viewOf(this, request);
  }

  /** A command of the line mode: every front end has a way to type one. Never rejects for what is typed. */
  async command(line: string, signal?: AbortSignal): Promise<CommandResult> {
    return runCommand(this, line, signal);
  }

  /** What could be typed in place of the last word. */
  complete(line: string): string[] {
    return complete(this, line);
  }

  /** Calls back whenever a view may have changed; returns the way to end that. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

const STEPPED: Stop = { reason: 'step', text: 'stepped' };
