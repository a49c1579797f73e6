/** Breakpoints and watchpoints. */
import { Access } from '../cpu/decoder.js';
import { InputError } from '../errors.js';
import type { Image } from '../image/image.js';
import { type Expression, parseExpression } from './expression.js';
import type { BreakpointView } from './view.js';

/** An access of the transition that leads on from a state. */
export interface MemoryAccess {
  readonly address: bigint;
  readonly size: number;
  /** Bits of Access. */
  readonly access: number;
}

export interface WatchRange {
  readonly kind: 'write' | 'read' | 'access';
  readonly address: bigint;
  /** Bytes. */
  readonly length: number;
}

interface Common {
  readonly number: number;
  readonly text: string;
  readonly condition: Expression | undefined;
  enabled: boolean;
  hits: number;
}

export interface Breakpoint extends Common {
  readonly kind: 'break';
  readonly address: bigint;
  /** Only when the boundary is reached for so many times. */
  readonly hit: number | undefined;
}

export interface Watchpoint extends Common {
  readonly kind: 'watch';
  readonly range: WatchRange;
}

export interface ChangeWatchpoint extends Common {
  readonly kind: 'change';
  readonly expression: Expression;
}

export type StopPoint = Breakpoint | Watchpoint | ChangeWatchpoint;

const NAMES = { write: 'watch', read: 'rwatch', access: 'awatch' } as const;
const KINDS = { write: Access.WRITE, read: Access.READ, access: Access.READ | Access.WRITE } as const;
const MAX_STOP_POINTS = 1000;

export class StopPoints {
  readonly #points = new Map<number, StopPoint>();
  #last = 0;

  constructor(readonly image: Image) {}

  get list(): readonly StopPoint[] {
    return [...this.#points.values()];
  }

  /** Those that are enabled. */
  get enabled(): readonly StopPoint[] {
    return this.list.filter((point) => point.enabled);
  }

  break(address: bigint, condition?: string, hit?: number): number {
    const rest = `${hit === undefined ? '' : ` hit ${hit}`}${condition === undefined ? '' : ` if ${condition}`}`;
    return this.#add(condition, (common) => ({
      ...common,
      kind: 'break',
      text: `break ${this.image.name(address)}${rest}`,
      address,
      hit,
    }));
  }

  watch(range: WatchRange, condition?: string): number {
    if (range.length < 1) throw new InputError('a watchpoint needs at least one byte');
    const what = `${NAMES[range.kind]} 0x${range.address.toString(16)}, ${range.length} ${range.length === 1 ? 'byte' : 'bytes'}`;
    const text = `${what}${condition === undefined ? '' : ` if ${condition}`}`;
    return this.#add(condition, (common) => ({ ...common, kind: 'watch', text, range }));
  }

  change(expression: string, condition?: string): number {
    const parsed = parseExpression(expression, this.image);
    const text = `watch ${parsed.text}${condition === undefined ? '' : ` if ${condition}`}`;
    return this.#add(condition, (common) => ({ ...common, kind: 'change', text, expression: parsed }));
  }

  #add(condition: string | undefined, make: (common: Omit<Common, 'text'>) => StopPoint): number {
    if (this.#points.size >= MAX_STOP_POINTS) {
      throw new InputError(`there are ${MAX_STOP_POINTS} breakpoints and watchpoints; delete some first`);
    }
    const parsed = condition === undefined ? undefined : parseExpression(condition, this.image);
    const number = ++this.#last;
    this.#points.set(number, make({ number, condition: parsed, enabled: true, hits: 0 }));
    return number;
  }

  #point(number: number): StopPoint {
    const point = this.#points.get(number);
    if (!point) throw new InputError(`there is no breakpoint or watchpoint ${number}; 'breakpoints' lists them`);
    return point;
  }

  has(number: number): boolean {
    return this.#points.has(number);
  }

  delete(number: number): void {
    this.#point(number);
    this.#points.delete(number);
  }

  enable(number: number, enabled: boolean): void {
    this.#point(number).enabled = enabled;
  }

  /** Numbers of the breakpoints at an address. */
  at(address: bigint): number[] {
    return this.list.flatMap((p) => (p.kind === 'break' && p.address === address ? [p.number] : []));
  }

  view(): BreakpointView[] {
    return this.list.map(({ number, text, enabled, hits }) => ({ number, text, enabled, hits }));
  }
}

/** The first access that a watchpoint is for. */
export function watched({ range }: Watchpoint, accesses: readonly MemoryAccess[]): MemoryAccess | undefined {
  const end = range.address + BigInt(range.length);
  return accesses.find(
    ({ address, size, access }) =>
      access & KINDS[range.kind] && address < end && address + BigInt(size) > range.address,
  );
}
