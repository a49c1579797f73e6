/** Names under which a module knows the symbols of an ELF file: unique, where those of the file need not be. */
import { ABSOLUTE } from './format.js';
import type { ElfSymbol } from './symbols.js';

/** Gives out names, each only once: where one is taken, a number follows it. */
export class UniqueNames {
  readonly #taken = new Set<string>();
  readonly #next = new Map<string, number>();

  /** Takes a name as it is, also when it has been taken already. */
  keep(name: string): string {
    this.#taken.add(name);
    return name;
  }

  /** `name#n`, n from `first` on; 1 stands for the name alone. */
  number(name: string, first: number): string {
    let n = this.#next.get(name) ?? first;
    const numbered = (): string => (n === 1 ? name : `${name}#${n}`);
    while (this.#taken.has(numbered())) n++;
    this.#next.set(name, n + 1);
    return this.keep(numbered());
  }
}

/**
 * The name of each symbol, by its index. A local symbol whose name another symbol of the file has as well becomes
 * `file.c#name` (as in Xen's own symbol table), after the STT_FILE symbol before it; where that is missing or not enough, it gets a
 * number: `name#2`, `file.c#name#2`. So the plain name never means one of several by chance.
 */
export function symbolNames(symbols: readonly ElfSymbol[], sectionName: (index: number) => string): readonly string[] {
  const uses = new Map<string, number>();
  for (const { name, type } of symbols) if (type !== 'file') uses.set(name, (uses.get(name) ?? 0) + 1);
  const given = new UniqueNames();
  given.keep(ABSOLUTE);
  const names = new Array<string>(symbols.length).fill('');
  const section = (symbol: ElfSymbol): boolean => symbol.type === 'section' && typeof symbol.section === 'number';
  // Names that must stay what they are come first: those that other files know, and those of sections.
  for (const symbol of symbols) {
    if (symbol.binding === 'local' && !section(symbol)) continue;
    names[symbol.index] = given.keep(section(symbol) ? sectionName(symbol.section as number) : symbol.name);
  }
  let file = '';
  for (const symbol of symbols) {
    const { index, name, type } = symbol;
    if (type === 'file') file = name;
    if (type === 'file' || section(symbol) || symbol.binding !== 'local') continue;
    if (index === 0) names[index] = ABSOLUTE;
    else if (uses.get(name) === 1 && name !== '') names[index] = given.number(name, 1);
    else names[index] = file === '' || name === '' ? given.number(name, 2) : given.number(`${file}#${name}`, 1);
  }
  return names;
}
