/** Whose code runs: names for deliveries ("NMI 2"), and which of them are open on each processor. */
import { Origin } from '../harness/delivery.js';
import { FRED_SYSCALL, FRED_SYSENTER } from '../harness/fred.js';
import type { Machine } from '../harness/machine.js';
import { SMI_VECTOR } from '../harness/smm.js';
import { VM_EXIT_VECTOR } from '../harness/vm_exit.js';
import { type Monitor, Word } from '../properties/monitor.js';

const VECTOR_NAMES: Readonly<Record<number, string>> = {
  0: '#DE',
  1: '#DB',
  2: 'NMI',
  3: '#BP',
  4: '#OF',
  5: '#BR',
  6: '#UD',
  7: '#NM',
  8: '#DF',
  10: '#TS',
  11: '#NP',
  12: '#SS',
  13: '#GP',
  14: '#PF',
  16: '#MF',
  17: '#AC',
  18: '#MC',
  19: '#XM',
  21: '#CP',
  29: '#VC',
  [SMI_VECTOR]: 'SMI',
  [VM_EXIT_VECTOR]: 'VM exit',
  [FRED_SYSCALL]: 'SYSCALL',
  [FRED_SYSENTER]: 'SYSENTER',
};

/** What a delivery is called, without its number. */
function kindOf(vector: number, origin: number): string {
  const hexVector = `0x${vector.toString(16)}`;
  // A fake NMI is not one: INT 2, or vector 2 of the INTR pin. INT3 is what #BP comes from.
  if (origin === Origin.INTERRUPT) return `IRQ ${hexVector}`;
  if (origin === Origin.SOFTWARE && vector !== 3) return `INT ${hexVector}`;
  return VECTOR_NAMES[vector] ?? `vector ${vector}`;
}

/** The names that deliveries begin with, besides those with a vector: `IRQ 0x20`, `INT 0x80`, `vector 42`. */
export const DELIVERY_NAMES: readonly string[] = Object.values(VECTOR_NAMES);

/** Whether a delivery can be called so, with its number or without; in any case of letters. */
export function isDeliveryName(text: string): boolean {
  const name = text.toLowerCase().replace(/ \d+$/, '');
  const known = DELIVERY_NAMES.some((n) => n.toLowerCase() === name || n.toLowerCase() === text.toLowerCase());
  return known || /^(irq|int) 0x[0-9a-f]{1,2}$/.test(name) || /^vector \d+( \d+)?$/i.test(text);
}

/** A value: what follows a transition is a new one, unless nothing has changed. */
export class Owners {
  private constructor(
    /** For each processor, the open deliveries, innermost last, as the monitor's records. */
    readonly open: readonly (readonly string[])[],
    readonly counts: ReadonlyMap<string, number>,
  ) {}

  static none(processors: number): Owners {
    return new Owners(
      Array.from({ length: processors }, () => []),
      new Map(),
    );
  }

  /** Whose code processor `n` executes: "context", "NMI 1"; with its number if there are several. */
  of(n: number): string {
    return this.#named(n, this.open[n]!.at(-1));
  }

  /** Whose code the innermost delivery of processor `n` has interrupted. */
  under(n: number): string {
    return this.#named(n, this.open[n]!.at(-2));
  }

  #named(n: number, delivery: string | undefined): string {
    const owner = delivery ?? 'context';
    return this.open.length > 1 ? `CPU ${n} ${owner}` : owner;
  }

  /** The delivery at a nesting of `depth`. */
  at(n: number, depth: number): string | undefined {
    return this.open[n]![depth - 1];
  }

  /** After a transition in which processor `n` ran, and what it has delivered, if it has. */
  after(machine: Machine, monitor: Monitor, n: number): { readonly owners: Owners; readonly delivered?: string } {
    const { happened } = machine;
    const own = this.open[n]!;
    if (happened.delivered) {
      const kind = kindOf(happened.vector, happened.origin);
      const number = (this.counts.get(kind) ?? 0) + 1;
      const delivered = `${kind} ${number}`;
      // One record for each delivery; a return closes records, and both may happen in one transition only in that order.
      const open = [...own.slice(0, Math.max(0, monitor.words[Word.DEPTH]! - 1)), delivered];
      return { owners: new Owners(this.open.with(n, open), new Map(this.counts).set(kind, number)), delivered };
    }
    const depth = monitor.words[Word.DEPTH]!;
    if (happened.switchedFrom >= 0 || own.length <= depth) return { owners: this };
    return { owners: new Owners(this.open.with(n, own.slice(0, depth)), this.counts) };
  }
}
