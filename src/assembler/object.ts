/** The end of assembly: values are stored, relocations made, and everything put into a Module. */
import type { LineRow, Module, ModuleSection, ModuleSymbol, Relocation, RelocationKind } from '../image/module.js';
import { anchorOf, constantOf, EvaluationError, type Expression, evaluate, reduce, type Value } from './expression.js';
import { laidOutDistance, offsetOf, relax, sectionBytes } from './relax.js';
import type { Fixup, Section } from './section.js';
import { errorAt, expansionStack, type Place, positionOf } from './source.js';
import type { AsmSymbol, SymbolTable } from './symbols.js';

/** Relocations of plain numbers (`call 0x1000`) name this symbol, an absolute 0. */
const ABSOLUTE = '*ABS*';

const KINDS: Readonly<Record<string, RelocationKind>> = {
  abs1: 'abs8',
  abs2: 'abs16',
  abs4: 'abs32',
  abs8: 'abs64',
  abs32s4: 'abs32s',
  pc1: 'pc8',
  pc2: 'pc16',
  pc4: 'pc32',
  pc8: 'pc64',
  plt4: 'plt32',
};

function final(expression: Expression, place: Place, what: string): Value {
  let value: Value | undefined;
  try {
    value = evaluate(expression, laidOutDistance);
  } catch (error) {
    if (error instanceof EvaluationError) throw errorAt(error.place, error.message, error.expected);
    throw error;
  }
  if (!value)
    throw errorAt(place, `${what} is not a label plus a number`, 'operators other than + and - only between numbers');
  return reduce(value, laidOutDistance);
}

function store(bytes: Uint8Array, at: number, size: number, value: bigint): void {
  let rest = BigInt.asUintN(size * 8, value);
  for (let i = 0; i < size; i++) {
    bytes[at + i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
}

function fits(value: bigint, size: number, signed: boolean): boolean {
  if (size === 8) return true;
  const bits = BigInt(size * 8);
  return value >= -(1n << (bits - 1n)) && value < (signed ? 1n << (bits - 1n) : 1n << bits);
}

export class ObjectWriter {
  private readonly symbols: ModuleSymbol[] = [];
  private readonly sectionSymbols = new Set<string>();
  private absoluteNeeded = false;

  constructor(
    private readonly name: string,
    private readonly sections: readonly Section[],
    private readonly table: SymbolTable,
    private readonly sources: ReadonlyMap<string, string>,
  ) {}

  write(): Module {
    for (const symbol of this.table.missingNumeric()) {
      if (symbol.usedAt)
        throw errorAt(
          symbol.usedAt,
          `there is no label ${symbol.name.slice(0, -1)}: after this line`,
          `${symbol.name.slice(0, -1)}: below`,
        );
    }
    relax(this.sections);
    const sections = this.sections.map((section) => this.section(section));
    for (const symbol of this.table.all) this.symbol(symbol);
    const own: ModuleSymbol[] = [...this.sectionSymbols].map((section) => ({
      name: section,
      section,
      value: 0n,
      size: 0n,
      binding: 'local',
      type: 'section',
    }));
    if (this.absoluteNeeded)
      own.push({ name: ABSOLUTE, section: 'absolute', value: 0n, size: 0n, binding: 'local', type: 'notype' });
    return {
      name: this.name,
      sections,
      symbols: [...own, ...this.symbols],
      sources: this.sources,
      assembler: 'Keystone',
    };
  }

  private section(section: Section): ModuleSection {
    const bytes = sectionBytes(section);
    const relocations: Relocation[] = [];
    for (const fragment of section.fragments()) {
      for (const fixup of fragment.fixups)
        this.fixup(section, bytes, fragment.address + fixup.offset, fixup, relocations);
      const { tail } = fragment;
      if (tail?.kind !== 'branch' || !tail.external) continue;
      const end = fragment.address + fragment.length + fragment.tailSize;
      const fixup: Fixup = { offset: 0, size: 4, kind: 'plt', expression: tail.target, adjust: -4n, place: tail.place };
      this.fixup(section, bytes, end - 4, fixup, relocations);
    }
    relocations.sort((a, b) => a.offset - b.offset);
    const lines = section.marks
      .map((mark): LineRow => {
        const { file, line, column } = positionOf(mark.place);
        return {
          offset: mark.fragment.address + mark.offset,
          position: column === undefined ? { file, line } : { file, line, column },
          expandedFrom: expansionStack(mark.place.line),
          text: mark.text,
        };
      })
      .sort((a, b) => a.offset - b.offset);
    const { flags } = section;
    return {
      name: section.name,
      data: flags.nobits ? new Uint8Array(0) : bytes,
      size: bytes.length,
      align: section.align,
      alloc: flags.alloc,
      write: flags.write,
      exec: flags.exec,
      relocations,
      lines,
    };
  }

  private fixup(section: Section, bytes: Uint8Array, offset: number, fixup: Fixup, relocations: Relocation[]): void {
    const { size, place } = fixup;
    const value = final(fixup.expression, place, 'the value');
    let kind = fixup.kind;
    let constant = BigInt.asIntN(64, value.constant + fixup.adjust);
    let symbol = value.plus[0];
    if (value.plus.length > 1 || value.minus.length > 1)
      throw errorAt(place, 'the value has more than one label', 'a label plus or minus a number');
    if (value.minus.length === 1) {
      // Something minus a label of this very section is relative to the field.
      const minus = anchorOf(value.minus[0]!);
      if (!symbol || kind === 'pc' || kind === 'plt' || minus?.label.fragment.section !== section) {
        const name = value.minus[0]!.name;
        const where = minus ? `in section ${minus.label.fragment.section.name}` : 'not defined';
        throw errorAt(place, `cannot subtract "${name}", which is ${where}`, `a label of section ${section.name}`);
      }
      constant = BigInt.asIntN(64, constant + BigInt(offset) - offsetOf(minus));
      kind = 'pc';
    }
    const relative = kind === 'pc' || kind === 'plt';
    if (!symbol && !relative) {
      if (!fits(constant, size, kind === 'abs32s'))
        throw errorAt(place, `value ${hex(constant)} does not fit in ${size * 8} bits`, 'a smaller value');
      store(bytes, offset, size, constant);
      return;
    }
    if (!symbol) {
      this.absoluteNeeded = true;
      relocations.push({
        offset,
        kind: KINDS[`pc${size}`]!,
        symbol: ABSOLUTE,
        addend: constant,
        position: positionOf(place),
      });
      return;
    }
    let name = symbol.name;
    const anchor = anchorOf(symbol);
    if (symbol.equated && !anchor) {
      // A name for an undefined symbol plus a number.
      const inner = final(symbol.equated, place, `symbol "${name}"`);
      if (inner.plus.length !== 1 || inner.minus.length !== 0)
        throw errorAt(place, `symbol "${name}" is not a label plus a number`, 'a label plus or minus a number');
      constant += inner.constant;
      symbol = inner.plus[0]!;
      name = symbol.name;
    }
    if (anchor && symbol.binding === 'local') {
      const home = anchor.label.fragment.section;
      if (relative && home === section) {
        const distance = offsetOf(anchor) + constant - BigInt(offset);
        if (!fits(distance, size, true))
          throw errorAt(place, `"${name}" is ${distance} bytes away`, `a target within ${size * 8} bits`);
        store(bytes, offset, size, distance);
        return;
      }
      if (kind === 'plt') kind = 'pc';
      // Constants that the linker merges are known by their symbols, unless it is just their address.
      if (home.flags.merge && !symbol.isSection && (relative || value.constant !== 0n)) symbol.needed = true;
      else {
        constant += offsetOf(anchor);
        name = home.name;
        this.sectionSymbols.add(name);
      }
    } else {
      symbol.needed = true;
      // A call with an offset is no call of the symbol.
      if (kind === 'plt' && value.constant !== 0n) kind = 'pc';
      if (kind !== 'plt') symbol.usedAsData = true;
    }
    const row = KINDS[`${kind}${size}`];
    if (!row)
      throw errorAt(
        place,
        `a field of ${size * 8} bits cannot hold "${symbol.name}"`,
        'a field of 8, 16, 32 or 64 bits',
      );
    relocations.push({
      offset,
      kind: row,
      symbol: name,
      addend: BigInt.asIntN(64, constant),
      position: positionOf(place),
    });
  }

  private symbol(symbol: AsmSymbol): void {
    // A name for a register is the assembler's own business.
    if (symbol.equated?.kind === 'register' || symbol.isSection) return;
    if (symbol.temporary && symbol.defined && !symbol.needed) return;
    let section = 'undefined';
    let value = 0n;
    if (symbol.label) {
      section = symbol.label.fragment.section.name;
      value = offsetOf({ label: symbol.label, constant: 0n });
    } else if (symbol.equated) {
      const place = symbol.definedAt!;
      const result = final(symbol.equated, place, `symbol "${symbol.name}"`);
      const constant = constantOf(result);
      if (constant !== undefined) {
        section = 'absolute';
        value = constant;
      } else {
        const anchor = anchorOf(symbol);
        if (!anchor) {
          if (symbol.binding === 'local') return;
          throw errorAt(
            place,
            `symbol "${symbol.name}" stands for "${result.plus[0]?.name}", which is not defined`,
            'a label of this file',
          );
        }
        section = anchor.label.fragment.section.name;
        value = offsetOf(anchor);
        if (result.constant === 0n && result.plus.length === 1) symbol.describeAs(result.plus[0]!);
      }
    } else if (!symbol.needed && symbol.binding !== 'global') return;
    let size = 0n;
    if (symbol.size) {
      const place = symbol.definedAt ?? symbol.usedAt;
      const result = constantOf(final(symbol.size, place!, `size of "${symbol.name}"`));
      if (result === undefined) throw errorAt(place!, `size of "${symbol.name}" is not a number`, '. - label');
      size = result;
    }
    const undefinedSymbol = section === 'undefined';
    const place = symbol.definedAt ?? symbol.usedAt;
    this.symbols.push({
      name: symbol.name,
      section,
      value: BigInt.asUintN(64, value),
      size,
      binding: undefinedSymbol && symbol.binding === 'local' ? 'global' : symbol.binding,
      type: symbol.type,
      ...(place ? { position: positionOf(place) } : {}),
      ...(undefinedSymbol ? { calledOnly: !symbol.usedAsData } : {}),
    });
  }
}

function hex(value: bigint): string {
  return value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
}
