/** Damaged objects and executables. */
import { readFileSync } from 'node:fs';
import { PHDR_SIZE, SHDR_SIZE, SHT } from '../../src/elf/format.js';
import { moduleFromElf } from '../../src/elf/module.js';
import { readElf } from '../../src/elf/reader.js';
import { link, undefinedSymbols } from '../../src/image/linker.js';
import { LINUX } from '../../src/platforms/linux.js';
import type { Field, Seed, Target } from '../support/fuzz.js';
import { compiled, KERNEL_FLAGS, run, toolsMissing, written } from './gcc.js';
import { LIBRARY, PROGRAM, thunk } from './programs.js';

/** gABI: sizes of the fields of Elf64_Ehdr behind e_ident, of Elf64_Phdr, Elf64_Shdr, Elf64_Sym, Elf64_Rela. */
const EHDR = [2, 2, 4, 8, 8, 8, 4, 2, 2, 2, 2, 2, 2] as const;
const PHDR = [4, 4, 8, 8, 8, 8, 8, 8] as const;
const SHDR = [4, 4, 8, 8, 8, 8, 4, 4, 8, 8] as const;
const SYM = [4, 1, 1, 2, 8, 8] as const;
const RELA = [8, 4, 4, 8] as const;

function record(at: number, sizes: readonly Field['size'][]): Field[] {
  let offset = at;
  return sizes.map((size) => {
    offset += size;
    return { offset: offset - size, size };
  });
}

/** Numbers that say where something is, how large, or what: several times the headers, since tables are long. */
function fields(bytes: Uint8Array): Field[] {
  const elf = readElf(bytes, 'seed');
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const sectionsAt = Number(view.getBigUint64(40, true));
  const programsAt = Number(view.getBigUint64(32, true));
  const headers = [
    ...record(16, EHDR),
    ...elf.programs.flatMap((_, i) => record(programsAt + i * PHDR_SIZE, PHDR)),
    ...elf.sections.flatMap((_, i) => record(sectionsAt + i * SHDR_SIZE, SHDR)),
  ];
  const tables = elf.sections.flatMap(({ type, offset, data, name }): Field[] => {
    const layout = type === SHT.SYMTAB ? SYM : type === SHT.RELA ? RELA : undefined;
    if (layout) {
      const size = layout.reduce((sum: number, n) => sum + n, 0);
      return Array.from({ length: data.length / size }, (_, i) => record(offset + i * size, layout)).flat();
    }
    if (type === SHT.GROUP)
      return Array.from({ length: data.length / 4 }, (_, i) => ({ offset: offset + 4 * i, size: 4 }));
    if (!/^\.debug_(line|str|line_str)$/.test(name)) return [];
    return Array.from({ length: Math.min(data.length, name === '.debug_line' ? 1024 : 64) }, (_, i) => ({
      offset: offset + i,
      size: 1,
    }));
  });
  const times = Math.max(1, Math.round(tables.length / headers.length));
  return [...Array.from({ length: times }, () => headers).flat(), ...tables];
}

let known: readonly Seed[] | undefined;

function seeds(): readonly Seed[] {
  if (known) return known;
  if (toolsMissing !== undefined) throw new Error(toolsMissing);
  const together = written('', '.o');
  const objects = [compiled(PROGRAM, [...KERNEL_FLAGS, '-ffunction-sections']), compiled(LIBRARY)];
  run('ld', '-r', '-o', together, ...objects);
  const executable = written('', '.elf');
  const symbols = ['--defsym=outside=0xffffffff81000000', '--defsym=absolute_low=0x10'];
  run(
    'ld',
    '-static',
    '-e',
    '0',
    '-Ttext=0xffffffff81000000',
    '-Tdata=0xffffffff82000000',
    ...symbols,
    '-o',
    executable,
    ...objects,
  );
  const debuggable = written('', '.elf');
  const [first, second] = [
    compiled(PROGRAM, [...KERNEL_FLAGS, '-g']),
    compiled(LIBRARY, [...KERNEL_FLAGS, '-gdwarf-4']),
  ];
  run('ld', '-static', '-e', '0', '-Ttext=0xffffffff81000000', ...symbols, '-o', debuggable, first, second);
  const paths = {
    object: compiled(PROGRAM),
    'object with debug information 4': compiled(PROGRAM, [...KERNEL_FLAGS, '-gdwarf-4']),
    'object with debug information 5': compiled(PROGRAM, [...KERNEL_FLAGS, '-gdwarf-5']),
    'object with compressed debug information': compiled(PROGRAM, [...KERNEL_FLAGS, '-gdwarf-5', '-gz']),
    'executable with debug information': debuggable,
    'object with groups': compiled(thunk('first', 3), [], '.S'),
    'ld -r': together,
    executable,
  };
  known = Object.entries(paths).map(([name, path]) => {
    const bytes = readFileSync(path);
    return { name, bytes, fields: fields(bytes) };
  });
  return known;
}

function open(bytes: Uint8Array): void {
  const module = moduleFromElf(readElf(bytes, 'damaged.o'));
  for (const { lines } of module.sections) for (const { text } of lines) if (text === '') throw new Error('no text');
  const absolute = Object.fromEntries(undefinedSymbols([module], {}).map(({ name }) => [name, 0xffffffff81000000n]));
  link([module], { layout: LINUX.layout, absolute, tested: [module] });
}

export const ELF_TARGET: Target = { name: 'elf', seeds, open };
