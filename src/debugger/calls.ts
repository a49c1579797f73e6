/**
 * Which calls are open. RSP alone does not tell: Linux's paranoid_entry moves its return address down over the registers that it saves, a
 * retpoline returns to what nobody has called from, and the return stack is filled by calls that are never returned from.
 */
import { Mnemonic } from 'iced-x86';
import { Reg } from '../cpu/registers.js';
import type { Stack } from '../platforms/platform.js';
import type { Debugger } from './debugger.js';
import { stackOf } from './frames.js';
import { History } from './history.js';
import { depthOf, Lane } from './lanes.js';
import { Kind, Row } from './log.js';

/** A call in the code of one handler, or of the context, on one processor. */
interface OpenCall {
  /** Where its return address was pushed. */
  readonly slot: bigint;
  readonly stack: Stack | undefined;
  readonly returnsTo: bigint;
}

/** A level of the code: what runs on one processor, with so many deliveries open. */
class Level {
  readonly processor: number;
  readonly depth: number;

  constructor(readonly debug: Debugger) {
    this.processor = debug.processor;
    this.depth = debug.depth;
  }

  /** Whether a transition of the cursor's branch has begun and ended here. */
  has(index: number): boolean {
    return this.#hasState(index) && this.#hasState(index + 1);
  }

  /** Whether the processor has come here by this transition from code with fewer deliveries open. */
  isEntered(index: number): boolean {
    const { cursor } = this.debug;
    const lanes = cursor.stateWord(cursor.branch, index, Row.LANES);
    return lanes >>> Lane.PROCESSOR_SHIFT === this.processor && depthOf(lanes) < this.depth;
  }

  #hasState(index: number): boolean {
    const { cursor } = this.debug;
    const lanes = cursor.stateWord(cursor.branch, index, Row.LANES);
    return lanes >>> Lane.PROCESSOR_SHIFT === this.processor && depthOf(lanes) === this.depth;
  }

  /** The transition, if it was an instruction that was carried out. */
  mnemonic(history: History, index: number): number | undefined {
    const kind = history.row(index, Row.KIND);
    return kind & Kind.INSTRUCTION && !(kind & Kind.DELIVERED) ? history.row(index, Row.MNEMONIC) : undefined;
  }
}

/** The calls that are made from here on, while the code runs forwards. */
export class CallsAhead {
  readonly #level: Level;
  readonly #rsp: bigint;
  readonly #start: number;
  #open: OpenCall[] = [];

  constructor(readonly debug: Debugger) {
    this.#level = new Level(debug);
    this.#rsp = debug.register(Reg.RSP);
    this.#start = debug.cursor.index;
  }

  get count(): number {
    return this.#open.length;
  }

  /** Takes note of a transition that was just made; true if it was the return from where the code was at first. */
  cross(crossed: number): boolean {
    const { debug } = this;
    if (!this.#level.has(crossed)) return false;
    const history = new History(debug.cursor, debug.cursor.branch, crossed + 1);
    const mnemonic = this.#level.mnemonic(history, crossed);
    const rsp = debug.register(Reg.RSP);
    const { rip } = debug.run;
    let returned = false;
    if (mnemonic === Mnemonic.Call) {
      const returnsTo = history.behind(crossed);
      if (returnsTo !== undefined) this.#open.push({ slot: rsp, stack: stackOf(debug, rsp), returnsTo });
    } else if (mnemonic === Mnemonic.Ret) {
      const to = this.#open.findLastIndex(({ returnsTo }) => returnsTo === rip);
      if (to >= 0) this.#open.length = to;
      else returned = this.#open.length === 0 && (rsp > this.#rsp || this.#wasCalledFrom(rip));
    }
    // What RSP has gone past is not returned from any more.
    this.#open = this.#open.filter(({ slot, stack }) => rsp <= slot || (stack !== undefined && rsp > stack.top));
    return returned;
  }

  /** Whether a call before the start returns to `address`. */
  #wasCalledFrom(address: bigint): boolean {
    const { cursor } = this.debug;
    const history = new History(cursor, cursor.branch, this.#start);
    for (let i = this.#start - 1; i >= 0; i--) {
      if (this.#level.isEntered(i)) return false;
      if (!this.#level.has(i) || this.#level.mnemonic(history, i) !== Mnemonic.Call) continue;
      if (history.behind(i) === address) return true;
    }
    return false;
  }
}

/** The calls and returns that are taken back, while the code runs backwards. */
export class CallsBehind {
  readonly #level: Level;
  readonly #stack: Stack | undefined;
  /** The highest RSP on the way: a call that pushed below it is over. */
  #highest: bigint;
  /** Where the returns went to whose calls have not come yet, the innermost last. */
  readonly #returns: bigint[] = [];
  /** RIP behind the next transition. */
  #rip: bigint;

  constructor(readonly debug: Debugger) {
    this.#level = new Level(debug);
    this.#highest = debug.register(Reg.RSP);
    this.#stack = stackOf(debug, this.#highest);
    this.#rip = debug.run.rip;
  }

  /**
   * Takes note of a transition that was just taken back. Of a call it tells what it is: that of the function in which the code was at
   * first, or that of a function which has returned since, which the `pending`-th return on the way came from.
   */
  cross(crossed: number, history: History): { readonly entered: boolean; readonly pending: number } | undefined {
    const { debug } = this;
    const after = this.#rip;
    this.#rip = debug.run.rip;
    if (!this.#level.has(crossed)) return undefined;
    const rsp = debug.register(Reg.RSP);
    const mnemonic = this.#level.mnemonic(history, crossed);
    const highest = this.#highest;
    if (rsp > highest && (this.#stack === undefined || rsp <= this.#stack.top)) this.#highest = rsp;
    if (mnemonic === Mnemonic.Ret) this.#returns.push(after);
    if (mnemonic !== Mnemonic.Call) return undefined;
    const returnsTo = history.behind(crossed);
    const pending = returnsTo === undefined ? -1 : this.#returns.lastIndexOf(returnsTo);
    if (pending >= 0) {
      this.#returns.length = pending;
      return { entered: false, pending };
    }
    const slot = rsp - 8n;
    const elsewhere = this.#stack !== undefined && (slot < this.#stack.base || slot >= this.#stack.top);
    return { entered: elsewhere || slot >= highest, pending: -1 };
  }
}
