/** Names under which a module knows the symbols of an ELF file: unique, where those of the file need not be. */
import { ABSOLUTE } from './format.js';
import type { ElfSymbol } from './symbols.js';

/**
 * The name of each symbol, by its index. A local symbol whose name another symbol of the file has as well becomes
 * `file.c#name` (as in Xen's own symbol table), after the STT_FILE symbol before it; where that is missing or not enough, it gets a
 * number: `name#1`, `file.c#name#1`. So the plain name never means one of several by chance.
 */
export function symbolNames(symbols: readonly ElfSymbol[], sectionName: (index: number) => string): readonly string[] {
  const uses = new Map<string, number>();
  for (const { name, type } of symbols) if (type !== 'file') uses.set(name, (uses.get(name) ?? 0) + 1);
  const taken = new Set<string>([ABSOLUTE]);
  const names = new Array<string>(symbols.length).fill('');
  const section = (symbol: ElfSymbol): boolean => symbol.type === 'section' && typeof symbol.section === 'number';
  const numbers = new Map<string, number>();
  const unique = (wanted: string, first: number): string => {
    let n = numbers.get(wanted) ?? first;
    let name = n === 0 ? wanted : `${wanted}#${n}`;
    while (taken.has(name)) name = `${wanted}#${++n}`;
    numbers.set(wanted, n + 1);
    taken.add(name);
    return name;
  };
  // Names that must stay what they are come first: those that other files know, and those of sections.
  for (const symbol of symbols) {
    if (symbol.binding === 'local' && !section(symbol)) continue;
    const name = section(symbol) ? sectionName(symbol.section as number) : symbol.name;
    names[symbol.index] = name;
    taken.add(name);
  }
  let file = '';
  for (const symbol of symbols) {
    const { index, name, type } = symbol;
    if (type === 'file') file = name;
    if (type === 'file' || section(symbol) || symbol.binding !== 'local') continue;
    if (index === 0) names[index] = ABSOLUTE;
    else if (uses.get(name) === 1 && name !== '') names[index] = unique(name, 0);
    else names[index] = file === '' || name === '' ? unique(name, 1) : unique(`${file}#${name}`, 0);
  }
  return names;
}
