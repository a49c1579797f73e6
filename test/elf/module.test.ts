/** Objects that have been written from modules, and read again, are the modules. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { Assembler } from '../../src/assembler/index.js';
import { moduleFromElf } from '../../src/elf/module.js';
import { readElf } from '../../src/elf/reader.js';
import { elfObject } from '../../src/elf/writer.js';
import { link, undefinedSymbols } from '../../src/image/linker.js';
import type { Module, ModuleSection } from '../../src/image/module.js';
import { LINUX } from '../../src/platforms/linux.js';
import { ASM_DIRECTORY } from '../../src/platforms/subject.js';

const INCLUDES = [ASM_DIRECTORY, join(ASM_DIRECTORY, 'include')];
const assembler = await Assembler.create();

/** Sections as they are linked. A row without code (data in a code section) is no instruction. */
function sections(module: Module): Record<string, unknown> {
  const described = ({ name, data, size, align, write, exec, relocations }: ModuleSection): [string, unknown] => [
    name,
    {
      data: Buffer.from(data).toString('hex'),
      ...{ size, align, write, exec },
      relocations: relocations.map(({ offset, kind, symbol, addend }) => `${offset} ${kind} ${symbol} ${addend}`),
    },
  ];
  return Object.fromEntries(module.sections.filter(({ alloc }) => alloc).map(described));
}

function symbols(module: Module): string[] {
  return module.symbols
    .filter(({ section }) => section === 'absolute' || section === 'undefined' || sections(module)[section])
    .map(
      ({ name, section, value, size, binding, type, calledOnly }) =>
        `${name} ${section} ${value} ${size} ${binding} ${type} ${calledOnly}`,
    )
    .sort();
}

/** Undefined symbols get addresses from here on, in reach of all others. */
const OUTSIDE = 0xffffffff83000000n;

const PART = /^include\/|^platforms\/handlers\.S$/;
const sources = readdirSync(ASM_DIRECTORY, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.S') && !PART.test(name))
  .sort();

for (const name of sources) {
  test(`${name} as an object`, () => {
    const module = assembler.assemble(join(ASM_DIRECTORY, name), { includePaths: INCLUDES });
    const read = moduleFromElf(readElf(elfObject(module), name));
    assert.deepEqual(sections(read), sections(module));
    assert.deepEqual(symbols(read), symbols(module));
    const absolute = Object.fromEntries(undefinedSymbols([read], {}).map(({ name }, i) => [name, OUTSIDE + BigInt(i)]));
    const image = link([read], { layout: LINUX.layout, absolute, tested: [] });
    for (const section of image.sections.filter(({ segment }) => segment.endsWith('text'))) {
      const { lines } = module.sections.find(({ name }) => name === section.name)!;
      const end = section.address + BigInt(section.size);
      const starts = new Set(image.instructions(section, section.address, end));
      const isStart = (offset: number): boolean => starts.has(section.address + BigInt(offset));
      const lost = lines.filter(({ offset, text }) => !isStart(offset) && !/^\s*\.\w/.test(text));
      assert.deepEqual(lost, [], section.name);
    }
  });
}
