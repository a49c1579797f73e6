/** Symbols that were found elsewhere than in an executable's symbol table. */
import { instructionRows } from '../elf/code.js';
import type { LineRow, Module, ModuleSection, ModuleSymbol } from '../image/module.js';

/** The module of an executable with other symbols, and instructions that begin at those of them that lie in code. */
export function withSymbols(module: Module, symbols: readonly ModuleSymbol[]): Module {
  const labels = new Map<string, number[]>();
  for (const { section, value } of symbols) {
    const list = labels.get(section);
    if (list) list.push(Number(value));
    else labels.set(section, [Number(value)]);
  }
  const sections = module.sections.map((section) => withLabels(section, labels.get(section.name) ?? [], module.name));
  return { ...module, sections, symbols };
}

function withLabels(section: ModuleSection, labels: readonly number[], file: string): ModuleSection {
  const { name, data, size, align, alloc, write, exec, address, relocations } = section;
  if (!exec || address === undefined) return section;
  let rows: readonly LineRow[] | undefined;
  return {
    ...{ name, data, size, align, alloc, write, exec, address, relocations },
    // Most code is never looked at.
    get lines(): readonly LineRow[] {
      rows ??= instructionRows({ data, labels, address, file, position: () => undefined });
      return rows;
    },
  };
}
