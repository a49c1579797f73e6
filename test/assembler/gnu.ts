/** GNU as as the reference: assembles with `gcc -c`, reads the object, and compares it with a module. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ABSOLUTE, RELOCATION_TYPES, SHF } from '../../src/elf/format.js';
import { readElf } from '../../src/elf/reader.js';
import type { ElfSymbol } from '../../src/elf/symbols.js';
import type { Module } from '../../src/image/module.js';

/** Why GNU as cannot be asked here; undefined if it can. */
export const gnuMissing: string | undefined = (() => {
  const gcc = spawnSync('gcc', ['--version'], { encoding: 'utf8' });
  const as = spawnSync('as', ['--version'], { encoding: 'utf8' });
  if (gcc.status !== 0 || as.status !== 0) return 'gcc and GNU as are not installed: nothing to compare with';
  const machine = spawnSync('gcc', ['-dumpmachine'], { encoding: 'utf8' }).stdout;
  return machine.startsWith('x86_64') ? undefined : `gcc is for ${machine.trim()}, not for x86_64`;
})();

export interface GnuRelocation {
  readonly offset: number;
  readonly type: string;
  readonly symbol: string;
  readonly addend: bigint;
}

export interface GnuSection {
  readonly name: string;
  readonly data: Uint8Array;
  readonly size: number;
  readonly align: number;
  readonly flags: number;
  readonly relocations: readonly GnuRelocation[];
}

export interface GnuSymbol {
  readonly name: string;
  readonly section: string;
  readonly value: bigint;
  readonly size: bigint;
  readonly binding: string;
  readonly type: string;
}

export interface GnuObject {
  readonly sections: Map<string, GnuSection>;
  readonly symbols: GnuSymbol[];
}

const NAMES = new Map(Object.entries(RELOCATION_TYPES).map(([kind, [, type]]) => [type, kind]));

/** An object, as far as it is compared. */
export function readObject(bytes: Uint8Array): GnuObject {
  const elf = readElf(bytes, "GNU as' object");
  // A section symbol stands for its section's name.
  const nameOf = (symbol: ElfSymbol): string => (symbol.type === 'section' ? homeOf(symbol) : symbol.name);
  const homeOf = ({ section }: ElfSymbol): string =>
    typeof section === 'number' ? elf.sections[section]!.name : section;
  const sections = elf.sections.slice(1).map(
    ({ index, name, data, size, align, flags }): GnuSection => ({
      ...{ name, data, size, align, flags },
      relocations: elf.relocationsOf(index).map(({ offset, type, symbol, addend }) => ({
        ...{ offset, addend },
        type: NAMES.get(type) ?? `type${type}`,
        symbol: nameOf(symbol) || ABSOLUTE,
      })),
    }),
  );
  const symbols = elf.symbols
    .filter((symbol) => symbol.type !== 'file' && nameOf(symbol) !== '')
    .map((symbol): GnuSymbol => {
      const { value, size, binding, type } = symbol;
      return { name: nameOf(symbol), section: homeOf(symbol), value, size, binding, type };
    });
  return { sections: new Map(sections.map((section) => [section.name, section])), symbols };
}

/** Assembles text with `gcc -c`; throws an Error with its messages if it refuses. */
export function assembleWithGnu(
  text: string,
  files: Readonly<Record<string, string>> = {},
  flags: string[] = [],
): GnuObject {
  const directory = mkdtempSync(join(tmpdir(), 'entrace-gnu-'));
  try {
    writeFileSync(join(directory, 'input.S'), text);
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(dirname(join(directory, name)), { recursive: true });
      writeFileSync(join(directory, name), content);
    }
    const result = spawnSync('gcc', ['-c', ...flags, '-o', 'output.o', 'input.S'], {
      cwd: directory,
      encoding: 'utf8',
    });
    if (result.status !== 0) throw new Error(`gcc refuses:\n${result.stderr.slice(0, 20_000)}`);
    return readObject(readFileSync(join(directory, 'output.o')));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

export const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

function relocationText(relocation: { offset: number; symbol: string; addend: bigint }, type: string): string {
  return `${relocation.offset.toString(16)}: ${type} ${relocation.symbol} ${relocation.addend}`;
}

/** Differences of one section's contents; empty if both are the same. */
export function sectionDifferences(name: string, module: Module, gnu: GnuObject): string[] {
  const ours = module.sections.find((section) => section.name === name);
  const theirs = gnu.sections.get(name);
  if (!ours || !theirs) {
    const size = ours?.size ?? theirs?.size ?? 0;
    return size === 0 ? [] : [`section ${name} is only in ${ours ? 'the module' : "GNU as' object"}`];
  }
  const differences: string[] = [];
  const check = (what: string, a: unknown, b: unknown) => {
    if (a !== b) differences.push(`${name}: ${what} ${String(a)}, GNU as ${String(b)}`);
  };
  check('size', ours.size, theirs.size);
  check('align', ours.align, theirs.align);
  check('alloc', ours.alloc, (theirs.flags & SHF.ALLOC) !== 0);
  check('write', ours.write, (theirs.flags & SHF.WRITE) !== 0);
  check('exec', ours.exec, (theirs.flags & SHF.EXECINSTR) !== 0);
  if (hexOf(ours.data) !== hexOf(theirs.data)) {
    let at = 0;
    while (ours.data[at] === theirs.data[at]) at++;
    const from = Math.max(0, at - 4);
    differences.push(
      `${name}: bytes at 0x${at.toString(16)}: …${hexOf(ours.data.slice(from, from + 24))}, GNU as …${hexOf(theirs.data.slice(from, from + 24))}`,
    );
  }
  const mine = ours.relocations.map((relocation) => relocationText(relocation, relocation.kind));
  const its = theirs.relocations
    .slice()
    .sort((a, b) => a.offset - b.offset)
    .map((relocation) => relocationText(relocation, relocation.type));
  // One wrong size moves everything behind it: the first few differences tell enough.
  for (let i = 0; i < Math.max(mine.length, its.length) && differences.length < 10; i++)
    check(`relocation ${i}`, mine[i], its[i]);
  return differences;
}

/** Every difference between a module and GNU as' object, as far as the linker could see it. */
export function differencesFrom(module: Module, gnu: GnuObject): string[] {
  const names = new Set(module.sections.filter((section) => section.alloc).map((section) => section.name));
  for (const section of gnu.sections.values()) if ((section.flags & SHF.ALLOC) !== 0) names.add(section.name);
  names.delete('.note.gnu.property');
  const differences = [...names].flatMap((name) => sectionDifferences(name, module, gnu));
  const describe = (symbol: { section: string; value: bigint; size: bigint; binding: string; type: string }) =>
    `${symbol.section}+0x${symbol.value.toString(16)} size ${symbol.size} ${symbol.binding} ${symbol.type}`;
  const table = (symbols: readonly (GnuSymbol | Module['symbols'][number])[]) =>
    new Map(
      symbols
        .filter((symbol) => symbol.type !== 'section' && symbol.name !== '*ABS*')
        .map((symbol) => [symbol.name, describe(symbol)]),
    );
  const ours = table(module.symbols);
  const theirs = table(gnu.symbols);
  for (const name of new Set([...ours.keys(), ...theirs.keys()])) {
    if (ours.get(name) !== theirs.get(name))
      differences.push(`symbol ${name}: ${ours.get(name) ?? 'none'}, GNU as ${theirs.get(name) ?? 'none'}`);
  }
  return differences;
}

export function gnuVersion(): string {
  return execFileSync('as', ['--version'], { encoding: 'utf8' }).split('\n')[0]!;
}
