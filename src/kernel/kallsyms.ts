/**
 * The symbols that a Linux kernel carries for its own messages (kallsyms), for an image without a symbol table.
 *
 * Facts of the layout: Linux, scripts/kallsyms.c (write_src) and kernel/kallsyms.c. Which form an image has is found out by
 * checking, not from its version:
 *
 *   addresses of 8 bytes                  up to 4.5, or CONFIG_KALLSYMS_BASE_RELATIVE=n
 *   offsets of 4 bytes from a base        since 4.6, without CONFIG_KALLSYMS_ABSOLUTE_PERCPU
 *   signed: negative ones from a base     since 4.6, with it (per-CPU symbols, which are linked at 0, are not negative)
 *   offsets from their own place          since 7.0
 *
 * They stand before the names, or since 6.4 behind the token table.
 */
import { InputError } from '../errors.js';
import type { ModuleSymbol } from '../image/module.js';
import { findNames, type NameStream } from './name_stream.js';
import { moduleNames, ownName } from './own_symbols.js';
import { findTokenTable, type TokenTable } from './token_table.js';

/** A loaded section of an executable. */
export interface LoadedSection {
  readonly name: string;
  readonly address: bigint;
  readonly size: number;
  /** Empty where nothing is stored. */
  readonly data: Uint8Array;
}

/** The form that the addresses were found to have. */
export type AddressForm = 'absolute' | 'base-relative' | 'base-relative with absolute per-CPU' | 'place-relative';

export interface Kallsyms {
  readonly form: AddressForm;
  /** By address. `size` is the distance to the next symbol behind it, for the table has none. */
  readonly symbols: readonly ModuleSymbol[];
}

/** Where addresses of the kernel begin (SDM vol. 1, 3.3.7.1: canonical, upper half). */
const UPPER_HALF = 0xffff_8000_0000_0000n;
/** Of so many symbols at least the address must lie in a section: the table is another's otherwise. */
const INSIDE = 0.95;
/** What looks like a token table and belongs to nothing is passed over so many times in a section. */
const MOST_TABLES = 8;

/** The symbols, or undefined if there is no kallsyms in these sections, which are searched in their order. An InputError where there is, but damaged. */
export function kallsyms(sections: readonly LoadedSection[], file: string): Kallsyms | undefined {
  let damaged: InputError | undefined;
  for (const section of sections) {
    for (let from = 0, tables = 0; tables < MOST_TABLES; tables++) {
      const table = findTokenTable(section.data, from);
      if (!table) break;
      const where = `${file}: section ${section.name}: kallsyms (token table at 0x${(section.address + BigInt(table.start)).toString(16)})`;
      const names = findNames(section.data, table);
      const found = names && addressesOf(section, table, names, sections);
      if (names && found) return { form: found.form, symbols: symbolsOf(names, found.addresses, sections) };
      damaged ??= new InputError(
        names
          ? `${where}: no table of ${names.count} addresses that lie in the kernel's sections stands before the names or behind the tokens; the file is damaged, or younger than this program: give a vmlinux with a symbol table`
          : `${where}: no names that markers lead to stand before it; the file is damaged, or younger than this program: give a vmlinux with a symbol table`,
      );
      from = table.end;
    }
  }
  if (damaged) throw damaged;
  return undefined;
}

interface Addresses {
  readonly form: AddressForm;
  readonly addresses: BigUint64Array;
}

const align8 = (at: number): number => (at + 7) & ~7;

function addressesOf(
  section: LoadedSection,
  table: TokenTable,
  names: NameStream,
  sections: readonly LoadedSection[],
): Addresses | undefined {
  const { data } = section;
  const { count, countAt } = names;
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const behind = align8(table.end);
  /** The table of 4-byte offsets at `at`, the base at `baseAt`. */
  const relative = (at: number, baseAt: number): Addresses | undefined => {
    if (at < 0 || baseAt + 8 > data.length) return undefined;
    const base = view.getBigUint64(baseAt, true);
    return base < UPPER_HALF ? undefined : fromBase(view, at, count, base);
  };
  const absolute = (at: number): Addresses | undefined => {
    if (at < 0 || at + 8 * count > data.length) return undefined;
    const addresses = new BigUint64Array(count);
    for (let i = 0; i < count; i++) addresses[i] = view.getBigUint64(at + 8 * i, true);
    return { form: 'absolute', addresses };
  };
  const ownPlace = (at: number): Addresses | undefined => {
    if (at + 4 * count > data.length) return undefined;
    const addresses = new BigUint64Array(count);
    const start = section.address + BigInt(at);
    for (let i = 0; i < count; i++) addresses[i] = start + BigInt(4 * i + view.getInt32(at + 4 * i, true));
    return { form: 'place-relative', addresses };
  };
  const candidates: readonly (() => Addresses | undefined)[] = [
    () => relative(countAt - 8 - align8(4 * count), countAt - 8),
    () => relative(behind, behind + align8(4 * count)),
    () => ownPlace(behind),
    () => absolute(countAt - 8 * count),
    () => absolute(behind),
  ];
  for (const candidate of candidates) {
    const found = candidate();
    if (found && isPlausible(found.addresses, sections)) return found;
  }
  return undefined;
}

function fromBase(view: DataView, at: number, count: number, base: bigint): Addresses {
  const addresses = new BigUint64Array(count);
  // Symbols are sorted by address. So unsigned offsets only grow, while signed ones begin anew, at -1, behind the per-CPU symbols.
  let unsigned = true;
  for (let i = 1; i < count && unsigned; i++) {
    unsigned = view.getUint32(at + 4 * i, true) >= view.getUint32(at + 4 * (i - 1), true);
  }
  for (let i = 0; i < count; i++) {
    const offset = view.getInt32(at + 4 * i, true);
    if (unsigned) addresses[i] = base + BigInt(offset >>> 0);
    else addresses[i] = offset >= 0 ? BigInt(offset) : base + BigInt(-1 - offset);
  }
  return { form: unsigned ? 'base-relative' : 'base-relative with absolute per-CPU', addresses };
}

/** Sorted, and nearly all of them in the sections. */
function isPlausible(addresses: BigUint64Array, sections: readonly LoadedSection[]): boolean {
  let inside = 0;
  let home: LoadedSection | undefined;
  for (let i = 0; i < addresses.length; i++) {
    const address = addresses[i]!;
    if (i > 0 && address < addresses[i - 1]!) return false;
    if (!home || !contains(home, address)) home = sections.find((s) => contains(s, address)) ?? home;
    if (home && contains(home, address)) inside++;
  }
  return inside >= INSIDE * addresses.length;
}

/** A symbol at the end of a section, like _etext, still belongs to it. */
const contains = ({ address, size }: LoadedSection, at: bigint): boolean =>
  at >= address && at <= address + BigInt(size);

function symbolsOf(
  { names }: NameStream,
  addresses: BigUint64Array,
  sections: readonly LoadedSection[],
): ModuleSymbol[] {
  const own = names.map(ownName);
  const unique = moduleNames(own);
  const symbols: ModuleSymbol[] = [];
  /** The next address behind: symbols that share one have the same size. */
  let next = addresses.at(-1)!;
  let home: LoadedSection | undefined;
  for (let i = names.length - 1; i >= 0; i--) {
    const address = addresses[i]!;
    if (i + 1 < names.length && addresses[i + 1] !== address) next = addresses[i + 1]!;
    // From the end: at the border of two sections the symbol belongs to the one that begins there.
    if (!home || !holds(home, address)) {
      home = sections.find((s) => holds(s, address)) ?? sections.find((s) => contains(s, address));
    }
    const end = home ? home.address + BigInt(home.size) : next;
    symbols.push({
      name: unique[i]!,
      section: home?.name ?? 'absolute',
      value: home ? address - home.address : address,
      size: home ? (next > address && next < end ? next : end) - address : 0n,
      binding: own[i]!.binding,
      type: own[i]!.type,
    });
  }
  return symbols.reverse();
}

const holds = ({ address, size }: LoadedSection, at: bigint): boolean => at >= address && at < address + BigInt(size);
