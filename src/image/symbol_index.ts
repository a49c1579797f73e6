/** The symbols of an image, found by name and by place. A whole kernel has a hundred thousand: what nobody asks for is not made. */
import type { ImageSymbol } from './image.js';

export class SymbolIndex {
  /** Symbols that every module can see, by name. */
  readonly globals: ReadonlyMap<string, ImageSymbol>;
  #locals: ReadonlyMap<string, ImageSymbol | undefined> | undefined;
  #labels: ReadonlyMap<string, readonly ImageSymbol[]> | undefined;

  constructor(readonly symbols: readonly ImageSymbol[]) {
    const globals = new Map<string, ImageSymbol>();
    for (const symbol of symbols) {
      if (symbol.binding === 'local') continue;
      const known = globals.get(symbol.name);
      if (!known || (known.binding === 'weak' && symbol.binding === 'global')) globals.set(symbol.name, symbol);
    }
    this.globals = globals;
  }

  /** Local symbols by name; undefined where several have it. */
  get locals(): ReadonlyMap<string, ImageSymbol | undefined> {
    if (this.#locals === undefined) {
      const locals = new Map<string, ImageSymbol | undefined>();
      for (const s of this.symbols) if (s.binding === 'local') locals.set(s.name, locals.has(s.name) ? undefined : s);
      this.#locals = locals;
    }
    return this.#locals;
  }

  /**
   * The labels of a section in the order of their addresses, of several at one address the one that is printed first. A label must lead
   * back to its address: one that lost to another symbol of its name, or shares it, is none.
   */
  labelsOf(module: string, section: string): readonly ImageSymbol[] {
    this.#labels ??= this.#findLabels();
    return this.#labels.get(placeKey(module, section)) ?? [];
  }

  /** The names of all labels. */
  get labels(): string[] {
    this.#labels ??= this.#findLabels();
    return [...this.#labels.values()].flatMap((list) => list.map((s) => s.name));
  }

  #findLabels(): ReadonlyMap<string, readonly ImageSymbol[]> {
    const { globals, locals } = this;
    const labels = new Map<string, ImageSymbol[]>();
    for (const symbol of this.symbols) {
      if (symbol.section === 'absolute' || !isLabel(symbol)) continue;
      const { name, binding } = symbol;
      const leadsBack =
        binding === 'local' ? !globals.has(name) && locals.get(name) === symbol : globals.get(name) === symbol;
      if (!leadsBack) continue;
      const key = placeKey(symbol.module, symbol.section);
      const list = labels.get(key);
      if (list) list.push(symbol);
      else labels.set(key, [symbol]);
    }
    for (const list of labels.values()) {
      list.sort((a, b) => (a.address === b.address ? preference(a) - preference(b) : a.address < b.address ? -1 : 1));
    }
    return labels;
  }
}

function placeKey(module: string, section: string): string {
  return `${module}\0${section}`;
}

function isLabel(symbol: ImageSymbol): boolean {
  return symbol.type !== 'section' && !symbol.name.startsWith('.L');
}

/** Which of several labels at one address is printed: one that names what begins there, not one that marks a range; and an outer name first. */
function preference(symbol: ImageSymbol): number {
  const marks = /_end$|^_.*(start|begin|text|textentry)$/.test(symbol.name);
  return (marks ? 4 : 0) + (symbol.binding === 'local' ? 1 : 0);
}
