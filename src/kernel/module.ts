/** A kernel or hypervisor in whatever form it is shipped, as a module. */
import { instructionRows } from '../elf/code.js';
import { moduleFromElf } from '../elf/module.js';
import { readElf } from '../elf/reader.js';
import { InputError } from '../errors.js';
import type { LineRow, Module, ModuleSection, ModuleSymbol } from '../image/module.js';
import { kallsyms } from './kallsyms.js';
import { unpackKernel } from './unpack.js';

/**
 * The module in a bzImage, a vmlinux, any other ELF file, or one of them compressed. What has no symbol table gets the
 * symbols that it carries for its own messages.
 */
export async function moduleFromKernel(bytes: Uint8Array, file: string): Promise<Module> {
  const unpacked = await unpackKernel(bytes, file);
  const elf = readElf(unpacked.bytes, file);
  const module = moduleFromElf(elf);
  return elf.type === 'executable' && module.symbols.length === 0 ? withKallsyms(module) : module;
}

/** The module of an executable without a symbol table, with the symbols of its kallsyms. An InputError if it has none. */
export function withKallsyms(module: Module): Module {
  const placed = module.sections.flatMap(({ name, address, size, data, exec }) =>
    address === undefined ? [] : [{ name, address, size, data, exec }],
  );
  // The tables are read-only data; code is large, and looked at last.
  const found = kallsyms([...placed.filter(({ exec }) => !exec), ...placed.filter(({ exec }) => exec)], module.name);
  if (!found) {
    throw new InputError(
      `${module.name}: has no symbol table (.symtab), and no kallsyms were found in it: give the vmlinux before it was stripped, or build with CONFIG_KALLSYMS=y`,
    );
  }
  return withSymbols(module, found.symbols);
}

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
