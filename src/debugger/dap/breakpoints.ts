/** The client's breakpoints: it sends all of one group each time, and what it asks for may be several addresses. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { InputError } from '../../errors.js';
import type { Debugger } from '../debugger.js';

/** What the client wants. */
export interface Wish {
  /** Adds it; the numbers that the debugger gave it. Throws an InputError if it cannot be. */
  readonly add: () => readonly number[];
  /** Two wishes of one group with the same key are the same. */
  readonly key: string;
  /** Where it really is. */
  readonly shown: Omit<DebugProtocol.Breakpoint, 'verified'>;
}

interface Known {
  readonly id: number;
  readonly numbers: readonly number[];
}

/** `function breakpoint`, `instruction breakpoint` …: what the client is told when one of a group stops the run. */
export type StopName = 'breakpoint' | 'function breakpoint' | 'instruction breakpoint' | 'data breakpoint';

interface Group {
  readonly stop: StopName;
  readonly known: Map<string, Known>;
}

export class Breakpoints {
  readonly #groups = new Map<string, Group>();
  #nextId = 1;

  constructor(readonly target: Debugger) {}

  /** Makes the group what is wished for: the rest of it goes, what was there stays. */
  replace(name: string, stop: StopName, wishes: readonly Wish[]): DebugProtocol.Breakpoint[] {
    const before = this.#groups.get(name)?.known ?? new Map<string, Known>();
    const known = new Map<string, Known>();
    this.#groups.set(name, { stop, known });
    const wanted = new Set(wishes.map(({ key }) => key));
    for (const [key, { numbers }] of before) if (!wanted.has(key)) for (const number of numbers) this.#delete(number);
    return wishes.map(({ key, add, shown }) => {
      try {
        const entry = known.get(key) ?? before.get(key) ?? { id: this.#nextId++, numbers: add() };
        known.set(key, entry);
        return { ...shown, id: entry.id, verified: true };
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        return { ...shown, verified: false, message: error.message };
      }
    });
  }

  /** The client's breakpoint that the debugger knows by a number; undefined if it was made by a command. */
  hit(number: number): { readonly id: number; readonly stop: StopName } | undefined {
    for (const { stop, known } of this.#groups.values()) {
      for (const { id, numbers } of known.values()) if (numbers.includes(number)) return { id, stop };
    }
    return undefined;
  }

  /** Does all of it, or nothing: the numbers that came of it. */
  all(parts: readonly (() => number)[]): number[] {
    const numbers: number[] = [];
    try {
      for (const part of parts) numbers.push(part());
    } catch (error) {
      for (const number of numbers) this.#delete(number);
      throw error;
    }
    return numbers;
  }

  #delete(number: number): void {
    // A command may have deleted it.
    if (this.target.stopPoints.has(number)) this.target.deleteBreakpoint(number);
  }
}

/** A hit count as people write it: `3`, `= 3`, `== 3`; undefined if there is none. */
export function hitCount(text: string | undefined): number | undefined {
  if (text === undefined || text.trim() === '') return undefined;
  const [, digits] = /^\s*={0,2}\s*([1-9]\d{0,8})\s*$/.exec(text) ?? [];
  if (digits === undefined) throw new InputError(`hit count '${text}': expected a number n, for the n-th hit only`);
  return Number(digits);
}
