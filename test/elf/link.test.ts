/** Objects linked in memory against ld, which puts the same sections at the same addresses. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { moduleFromElf } from '../../src/elf/module.js';
import { readElf } from '../../src/elf/reader.js';
import type { Image, PlacedSection } from '../../src/image/image.js';
import { link, undefinedSymbols } from '../../src/image/linker.js';
import type { Module } from '../../src/image/module.js';
import { LINUX } from '../../src/platforms/linux.js';
import { downloaded } from '../support/downloads.js';
import { compiled, KERNEL_FLAGS, run, toolsMissing, written } from './gcc.js';
import { LIBRARY, PROGRAM, thunk } from './programs.js';

const hex = (value: bigint): string => `0x${value.toString(16)}`;
const read = (path: string): Module => moduleFromElf(readElf(readFileSync(path), path));

function linked(modules: readonly Module[], absolute: Readonly<Record<string, bigint>>): Image {
  return link(modules, { layout: LINUX.layout, absolute, tested: modules });
}

/** ld merges these into one of its own. */
const isOwn = ({ name }: PlacedSection): boolean => name !== '.note.gnu.property';

/** What ld makes of the objects, with each section where the image has it. */
function linkedByLd(image: Image, objects: readonly string[], absolute: Readonly<Record<string, bigint>>): string {
  const outputs = image.sections
    .filter(isOwn)
    .map(({ module, name, address }, i) =>
      name.startsWith('COMMON ')
        ? `  s${i} ${hex(address)} : { *(COMMON) }`
        : `  s${i} ${hex(address)} : SUBALIGN(1) { ${module}(${name}) }`,
    );
  const script = written(`SECTIONS {\n${outputs.join('\n')}\n  /DISCARD/ : { *(*) }\n}\n`, '.ld');
  const output = written('', '.elf');
  const symbols = Object.entries(absolute).map(([name, value]) => `--defsym=${name}=${hex(value)}`);
  run('ld', '-static', '-e', '0', '-T', script, ...symbols, '-o', output, ...objects);
  return output;
}

/** Addresses, kinds and contents; sections by address, for ld gives them other names. */
function contents(image: Image): Record<string, string> {
  return Object.fromEntries(
    image.sections
      .filter((section) => isOwn(section) && section.size > 0)
      .map(({ address, size, data }) => [hex(address), `${size} ${Buffer.from(data).toString('hex')}`])
      .sort(([a], [b]) => (a! < b! ? -1 : 1)),
  );
}

function globals(image: Image): string[] {
  return [...image.globals.values()]
    .map(({ name, address, size, type }) => `${name} ${hex(address)} ${size} ${type}`)
    .sort();
}

/** Undefined symbols get addresses in reach, those of data like those of code. */
function outside(modules: readonly Module[]): Record<string, bigint> {
  const found: Record<string, bigint> = {};
  for (const { name } of undefinedSymbols(modules, {})) {
    found[name] = name === 'absolute_low' ? 0x1234n : 0xffffffff83000000n + 16n * BigInt(Object.keys(found).length);
  }
  return found;
}

function compare(objects: readonly string[]): Image {
  const modules = objects.map(read);
  const absolute = outside(modules);
  const image = linked(modules, absolute);
  const path = linkedByLd(image, objects, absolute);
  const executable = linked([read(path)], {});
  assert.deepEqual(contents(image), contents(executable));
  // ld calls a COMMON symbol and what stands in the command line objects and no types; sizes and addresses are the same.
  const typeless = (rows: string[]): string[] => rows.map((row) => row.replace(/ \w+$/, ''));
  assert.deepEqual(typeless(globals(image)), typeless(globals(executable)));
  return image;
}

const VARIANTS: Readonly<Record<string, readonly string[]>> = {
  'as a kernel': KERNEL_FLAGS,
  unoptimised: [...KERNEL_FLAGS, '-O0'],
  small: [...KERNEL_FLAGS, '-Os', '-fno-jump-tables'],
  'section for each function': [...KERNEL_FLAGS, '-ffunction-sections', '-fdata-sections'],
  'with thunks in groups': [...KERNEL_FLAGS, '-mindirect-branch=thunk', '-mfunction-return=thunk'],
  'with unwind tables and debug information': [...KERNEL_FLAGS, '-g', '-fasynchronous-unwind-tables'],
};

for (const [name, flags] of Object.entries(VARIANTS)) {
  test(`two objects, ${name}: as ld links them`, { skip: toolsMissing }, () => {
    compare([compiled(PROGRAM, flags), compiled(LIBRARY, flags)]);
    compare([compiled(LIBRARY, flags), compiled(PROGRAM, flags)]);
  });

  test(`two objects that ld -r has made one, ${name}`, { skip: toolsMissing }, () => {
    const together = written('', '.o');
    run('ld', '-r', '-o', together, compiled(PROGRAM, flags), compiled(LIBRARY, flags));
    const image = compare([together]);
    // Both have a static function `helper`.
    assert.equal(image.find('helper'), undefined);
    assert.equal(image.symbols.filter((symbol) => symbol.name.endsWith('#helper')).length, 2);
  });
}

test('of groups with one signature the first is linked', { skip: toolsMissing }, () => {
  const objects = [compiled(thunk('first', 3), [], '.S'), compiled(thunk('second', 20), [], '.S')];
  for (const [a, b] of [objects, [...objects].reverse()] as [string, string][]) {
    const image = compare([a, b]);
    assert.equal(image.symbols.filter(({ name }) => name === 'thunk').length, 1);
    assert.equal(image.globals.get('thunk')!.module, a);
  }
});

test('of COMMON symbols the largest is linked, and a definition instead of any', { skip: toolsMissing }, () => {
  const small = compiled('char block[3];', ['-fcommon']);
  const large = compiled('long long block[40] __attribute__((aligned(128)));', ['-fcommon']);
  const weak = compiled('__attribute__((weak)) int block = 5;', []);
  const strong = compiled('int block = 5;', []);
  const user = compiled('extern char block[]; char *pointer = block;', []);
  const sizeIn = (...objects: string[]): number => Number(compare(objects).globals.get('block')!.size);
  assert.equal(sizeIn(user, small), 3);
  assert.equal(sizeIn(user, small, large, small), 320);
  assert.equal(compare([large, small, user]).globals.get('block')!.address % 128n, 0n);
  assert.equal(sizeIn(weak, small, user), 3);
  assert.equal(sizeIn(user, large, strong), 4);
});

test("the kernel's entry_64.o: as ld links it", { skip: toolsMissing }, (t) => {
  const path = downloaded(t, 'linux/entry_64.o');
  if (path === undefined) return;
  const image = compare([path]);
  assert.ok(image.globals.has('asm_exc_nmi'));
});
