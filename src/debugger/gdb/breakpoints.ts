/**
 * gdb's breakpoints and watchpoints as the debugger's.
 *
 * Source: GDB manual, "Packets": Z0 to Z4; "Stop Reply Packets".
 */
import type { Debugger } from '../debugger.js';
import type { Stop, StopReason } from '../view.js';

const WATCH = { 2: 'write', 3: 'read', 4: 'access' } as const;
/** How a stop reply names what was hit. */
const HIT = { 0: 'swbreak', 1: 'hwbreak', 2: 'watch', 3: 'rwatch', 4: 'awatch' } as const;

export type BreakpointType = keyof typeof HIT;

export function isBreakpointType(text: string): boolean {
  return text in HIT;
}

interface Known {
  readonly type: BreakpointType;
  readonly address: bigint;
  readonly number: number;
}

export class GdbBreakpoints {
  readonly #known = new Map<string, Known>();

  constructor(private readonly debug: Debugger) {}

  /** One that is there already stays as it is: gdb may ask again. `length`: of a watchpoint, bytes. */
  insert(type: BreakpointType, address: bigint, length: number): void {
    const key = `${type},${address},${length}`;
    if (this.#known.has(key)) return;
    const number =
      type === 0 || type === 1
        ? this.debug.addBreakpoint(address)
        : this.debug.addWatchpoint({ kind: WATCH[type], address, length });
    this.#known.set(key, { type, address, number });
  }

  remove(type: BreakpointType, address: bigint, length: number): void {
    const key = `${type},${address},${length}`;
    const known = this.#known.get(key);
    this.#known.delete(key);
    if (known && this.#exists(known.number)) this.debug.deleteBreakpoint(known.number);
  }

  removeAll(): void {
    for (const { number } of this.#known.values()) if (this.#exists(number)) this.debug.deleteBreakpoint(number);
    this.#known.clear();
  }

  /** A monitor command may have deleted it. */
  #exists(number: number): boolean {
    return this.debug.stopPoints.has(number);
  }

  /** `swbreak:` or `watch:ADDRESS`, if gdb's own breakpoint at `rip` or watchpoint stopped the debugger; else undefined. */
  hit({ reason, number, address }: Stop, rip: bigint): string | undefined {
    const isHit = HIT_BY[reason];
    if (isHit === undefined) return undefined;
    for (const known of this.#known.values()) {
      if (!isHit(known, number, rip)) continue;
      const isWatch = known.type >= 2;
      const at = address === undefined ? known.address : BigInt(address);
      return `${HIT[known.type]}:${isWatch ? at.toString(16) : ''};`;
    }
    return undefined;
  }
}

const HIT_BY: Partial<Record<StopReason, (known: Known, number: number | undefined, rip: bigint) => boolean>> = {
  // The user may have set another one there by a monitor command, which is the one that is named.
  breakpoint: ({ type, address }, _, rip) => type < 2 && address === rip,
  watchpoint: (known, number) => known.number === number,
};
