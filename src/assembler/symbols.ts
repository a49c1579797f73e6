/** Symbols while a file is being assembled. */
import type { SymbolBinding, SymbolType } from '../image/module.js';
import type { Expression } from './expression.js';
import type { Fragment } from './section.js';
import type { Place } from './source.js';

/** Where a label stands: an offset into a fragment, whose address is known only after relaxation. */
export interface Label {
  readonly fragment: Fragment;
  readonly offset: number;
}

export class AsmSymbol {
  label: Label | undefined;
  /** Value given by `.set`, `.equ` or `=`. */
  equated: Expression | undefined;
  /** `.set` and `=` may be repeated, `.equiv` and labels may not. */
  redefinable = false;
  binding: SymbolBinding = 'local';
  /** Named by `.local`: a `.comm` of that name stays in this file. */
  keptLocal = false;
  type: SymbolType = 'notype';
  size: Expression | undefined;
  definedAt: Place | undefined;
  usedAt: Place | undefined;
  /** The name of a section, for where it begins: not written to the module. */
  isSection = false;
  /** Named by a relocation, so it has to be in the module. */
  needed = false;
  /** Type and size were taken from the symbol that it is a name for. */
  private described = false;
  /** An undefined symbol was used other than as the target of CALL or a jump. */
  usedAsData = false;

  constructor(
    readonly name: string,
    /** `.L` labels, numeric labels and the location counter are not written to the module. */
    readonly temporary: boolean,
  ) {}

  /** A name for another symbol has its type and size, unless it was given its own. */
  describeAs(other: AsmSymbol): void {
    if (this.described) return;
    this.described = true;
    if (this.type === 'notype') this.type = other.type;
    this.size ??= other.size;
  }

  get defined(): boolean {
    return this.label !== undefined || this.equated !== undefined;
  }
}

export class SymbolTable {
  private readonly byName = new Map<string, AsmSymbol>();
  /** Every named symbol in order of first appearance; redefinitions of `.set` symbols replace the earlier entry. */
  readonly all: AsmSymbol[] = [];
  /** For each numeric label, the instance defined last and the one that `Nf` refers to. */
  private readonly numeric = new Map<string, { last: AsmSymbol | undefined; next: AsmSymbol | undefined }>();

  find(name: string): AsmSymbol | undefined {
    return this.byName.get(name);
  }

  /** The symbol of that name, made (undefined) if it is new. */
  get(name: string): AsmSymbol {
    let symbol = this.byName.get(name);
    if (!symbol) {
      symbol = new AsmSymbol(name, name.startsWith('.L'));
      this.byName.set(name, symbol);
      this.all.push(symbol);
    }
    return symbol;
  }

  /** A fresh symbol takes the name over: earlier uses keep the value that they saw. */
  redefine(old: AsmSymbol): AsmSymbol {
    const symbol = new AsmSymbol(old.name, old.temporary);
    symbol.binding = old.binding;
    symbol.type = old.type;
    symbol.size = old.size;
    symbol.usedAt = old.usedAt;
    this.byName.set(old.name, symbol);
    this.all[this.all.indexOf(old)] = symbol;
    return symbol;
  }

  /** `1b`; undefined if no `1:` came before. */
  backward(number: string): AsmSymbol | undefined {
    return this.numeric.get(number)?.last;
  }

  /** `1f`. */
  forward(number: string): AsmSymbol {
    const entry = this.entry(number);
    entry.next ??= new AsmSymbol(`${number}f`, true);
    return entry.next;
  }

  /** `1:` */
  defineNumeric(number: string): AsmSymbol {
    const entry = this.entry(number);
    entry.last = entry.next ?? new AsmSymbol(number, true);
    entry.next = undefined;
    return entry.last;
  }

  /** Numeric labels that were referred to by `Nf` and never came. */
  *missingNumeric(): Iterable<AsmSymbol> {
    for (const { next } of this.numeric.values()) if (next) yield next;
  }

  private entry(number: string) {
    const key = number.replace(/^0+(?=\d)/, '');
    let entry = this.numeric.get(key);
    if (!entry) {
      entry = { last: undefined, next: undefined };
      this.numeric.set(key, entry);
    }
    return entry;
  }
}
