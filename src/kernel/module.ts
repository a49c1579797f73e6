/** A kernel or hypervisor in whatever form it is shipped, as a module. */
import { moduleFromElf } from '../elf/module.js';
import { readElf } from '../elf/reader.js';
import { InputError } from '../errors.js';
import type { Module } from '../image/module.js';
import { kallsyms } from './kallsyms.js';
import { unpackKernel } from './unpack.js';
import { isBootImage, xenModule } from './xen.js';

/**
 * The module in a bzImage, a vmlinux, Xen's boot image, any other ELF file, or one of them compressed. What has no symbol
 * table gets the symbols that it carries for its own messages.
 */
export async function moduleFromKernel(bytes: Uint8Array, file: string): Promise<Module> {
  const unpacked = await unpackKernel(bytes, file);
  if (isBootImage(unpacked.bytes)) return xenModule(unpacked.bytes, file);
  const elf = readElf(shared(unpacked.bytes), file);
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
  return { ...module, symbols: found.symbols };
}

/** The bytes in memory that all threads share: a kernel is not copied for each of them. */
function shared(bytes: Uint8Array): Uint8Array {
  if (bytes.buffer instanceof SharedArrayBuffer) return bytes;
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}
