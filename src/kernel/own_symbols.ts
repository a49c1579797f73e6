/** What the symbol tables that kernels carry for their own messages say about a symbol, and the names that a module gives them. */
import { UniqueNames } from '../elf/names.js';
import type { SymbolBinding, SymbolType } from '../image/module.js';

/** The letter that nm prints, and the name; Xen writes the source file before that of a local symbol: `tarch/x86/traps.c#opt_nmi`. */
export interface OwnName {
  readonly name: string;
  /** '' where it is not known. */
  readonly file: string;
  readonly binding: SymbolBinding;
  readonly type: SymbolType;
}

export function ownName(text: string): OwnName {
  const letter = text[0]!;
  const end = text.indexOf('#');
  return {
    name: text.slice(end < 0 ? 1 : end + 1),
    file: end < 0 ? '' : text.slice(1, end),
    binding: /[wv]/i.test(letter) ? 'weak' : letter < 'a' ? 'global' : 'local',
    // t and w are code, v and the letters of sections data. Labels in code are `func` too: the letter says no more.
    type: /[tw]/i.test(letter) ? 'func' : /[bdgrsv]/i.test(letter) ? 'object' : 'notype',
  };
}

/** Unique names, chosen as for the symbols of an ELF file (`symbolNames` of src/elf/names.ts). */
export function moduleNames(symbols: readonly OwnName[]): string[] {
  const uses = new Map<string, number>();
  for (const { name } of symbols) uses.set(name, (uses.get(name) ?? 0) + 1);
  const given = new UniqueNames();
  for (const { name, binding } of symbols) if (binding !== 'local') given.keep(name);
  return symbols.map(({ name, file, binding }) => {
    if (binding !== 'local') return name;
    if (uses.get(name) === 1) return given.number(name, 1);
    return file === '' ? given.number(name, 2) : given.number(`${file}#${name}`, 1);
  });
}
