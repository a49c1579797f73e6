/** The line of each instruction against addr2line. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import test from 'node:test';
import { moduleFromElf } from '../../src/elf/module.js';
import { readElf } from '../../src/elf/reader.js';
import { link } from '../../src/image/linker.js';
import type { LineRow, ModuleSection } from '../../src/image/module.js';
import { LINUX } from '../../src/platforms/linux.js';
import { compiled, directory, KERNEL_FLAGS, run, toolsMissing, written } from './gcc.js';
import { LIBRARY, PROGRAM } from './programs.js';

/** A header in which a function is defined, a file that #line names, and code without a line. */
const HEADERS = `
# 7 "include/near.h" 1
static inline int near(int x) { return x * 3; }
# 4 "/absolute/far.h" 1
static inline int far(int x) { __asm__ volatile("nop\\n\\tnop"); return x - 3; }
# 1 "main.c" 2
int both(int x) {
  int y = near(x);
  for (int i = 0; i < x; i++) y += far(i);
  return y;
}
# 100000 "main.c"
__attribute__((section(".text.unlikely"))) int late(int x) { return both(x) + near(x); }
`;

const ASSEMBLY = `
	.macro	twice
	nop
	push	%rax
	.endm
	.text
	.globl	f
f:	twice
	twice
	call	g
	.section .entry.text, "ax"
g:	ret
	.fill	300, 1, 0x90
	iretq
`;

const sectionsOf = (path: string): readonly ModuleSection[] =>
  moduleFromElf(readElf(readFileSync(path), path)).sections;
const offsetOf = ({ address = 0n }: ModuleSection, { offset }: LineRow): string =>
  `0x${(address + BigInt(offset)).toString(16)}`;

/** `file:line` of each instruction by addr2line; `?` for what is not known. */
function expected(path: string, section: ModuleSection): string[] {
  const where = section.address === undefined ? ['-j', section.name] : [];
  const rows = run('addr2line', '-e', path, ...where, ...section.lines.map((row) => offsetOf(section, row)));
  return rows
    .trim()
    .split('\n')
    .map((row) => row.replace(/ \(discriminator \d+\)$/, ''))
    .map((row) => (/^\?\?|:[0?]$/.test(row) ? '?' : row));
}

/** Names as the file has them: those of versions before 5 are without the directory of compilation. */
function compare(path: string, whole: boolean): number {
  const text = (row: string): string => (whole || row === '?' ? row.replace(/\/\.\//g, '/') : basename(row));
  let known = 0;
  for (const section of sectionsOf(path).filter(({ exec, size }) => exec && size > 0)) {
    const ours = section.lines.map(({ position: { file, line } }) => (line === 0 ? '?' : `${file}:${line}`));
    assert.deepEqual(ours.map(text), expected(path, section).map(text), section.name);
    known += ours.filter((row) => row !== '?').length;
  }
  return known;
}

const isKnown = (flag: string): boolean => {
  const source = written('int f;', '.c');
  return spawnSync('gcc', ['-c', '-g', flag, '-o', `${source}.o`, source], { cwd: directory }).status === 0;
};

const VARIANTS: Readonly<Record<string, readonly string[]>> = {
  'DWARF 2': ['-gdwarf-2'],
  'DWARF 3': ['-gdwarf-3', '-gstrict-dwarf'],
  'DWARF 4': ['-gdwarf-4'],
  'DWARF 5': ['-gdwarf-5'],
  'DWARF 5 in zlib': ['-gdwarf-5', '-gz=zlib'],
  'DWARF 4 in zlib': ['-gdwarf-4', '-gz=zlib'],
  'DWARF 5 in zstd': ['-gdwarf-5', '-Wa,--compress-debug-sections=zstd'],
};

for (const [name, flags] of Object.entries(VARIANTS)) {
  const missing = toolsMissing ?? (isKnown(flags.at(-1)!) ? undefined : `gcc does not know ${flags.at(-1)}`);
  test(`${name}: lines are those of addr2line`, { skip: missing }, () => {
    const whole = flags[0] === '-gdwarf-5';
    const all = [...KERNEL_FLAGS, ...flags];
    const objects = [PROGRAM, LIBRARY, HEADERS].map((source) => compiled(source, all));
    const counts = objects.map((path) => compare(path, whole));
    assert.ok(
      counts.every((count) => count > 10),
      counts.join(' '),
    );
    assert.ok(compare(compiled(PROGRAM, [...all, '-O0', '-ffunction-sections']), whole) > 50);
    assert.ok(compare(compiled(ASSEMBLY, flags, '.S'), whole) > 300);
    const together = written('', '.o');
    run('ld', '-r', '-o', together, ...objects);
    compare(together, whole);
    const executable = written('', '.elf');
    const symbols = ['--defsym=outside=0xffffffff81000000', '--defsym=absolute_low=0x10'];
    run('ld', '-static', '-e', '0', '-Ttext=0xffffffff81000000', ...symbols, '-o', executable, ...objects);
    assert.ok(compare(executable, whole) > 100);
    // The image, which has no rows for it, says the same.
    const module = moduleFromElf(readElf(readFileSync(executable), executable));
    const image = link([module], { layout: LINUX.layout, absolute: {}, tested: [module] });
    for (const { address, lines } of module.sections.filter(({ exec }) => exec)) {
      const found = lines.map(({ offset }) => image.locate(address! + BigInt(offset))?.line?.position);
      assert.deepEqual(
        found,
        lines.map(({ position }) => position),
      );
    }
  });
}

// addr2line does not know them.
test('64-bit offsets: the lines are those of the 32-bit form', { skip: toolsMissing }, () => {
  const source = written(PROGRAM, '.c');
  const rows = (...flags: string[]): unknown => {
    const output = written('', '.o');
    run('gcc', '-c', ...KERNEL_FLAGS, ...flags, '-o', output, source);
    return sectionsOf(output).map(({ name, lines }) => ({ name, lines }));
  };
  assert.deepEqual(rows('-gdwarf-5', '-gdwarf64'), rows('-gdwarf-5', '-gdwarf32'));
});

test('an object without debug information has its instructions, and no lines', { skip: toolsMissing }, () => {
  const [text] = sectionsOf(compiled(ASSEMBLY, [], '.S'));
  assert.deepEqual(
    text!.lines.map(({ offset, position: { line }, text }) => `${offset} ${line} ${text}`),
    ['0 0 nop', '1 0 push %rax', '2 0 nop', '3 0 push %rax', '4 0 call g'],
  );
});
