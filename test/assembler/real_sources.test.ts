/** Linux' own assembly files, as Debian has them, against GNU as: what it loads must be the same to the byte. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { Assembler, type SourceSettings } from '../../src/assembler/index.js';
import { downloaded } from '../support/downloads.js';
import { differencesFrom, gnuMissing, readObject } from './gnu.js';

const skip = gnuMissing ?? false;

/** The flags of downloads/linux/cppflags with paths that hold everywhere, for gcc and as settings. */
function kernelFlags(linux: string): { gcc: string[]; settings: SourceSettings } {
  const words = readFileSync(join(linux, 'cppflags'), 'utf8').split(/\s+/).filter(Boolean);
  const gcc: string[] = [];
  const defines: Record<string, string> = {};
  const includePaths: string[] = [];
  const forcedIncludes: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (word === '-include') {
      forcedIncludes.push(join(linux, words[++i]!));
      gcc.push('-include', forcedIncludes.at(-1)!);
    } else if (word.startsWith('-I')) {
      includePaths.push(join(linux, word.slice(2)));
      gcc.push(`-I${includePaths.at(-1)}`);
    } else {
      const define = /^-D(\w+)(?:=(.*))?$/.exec(word);
      if (define) defines[define[1]!] = define[2] ?? '1';
      gcc.push(word);
    }
  }
  // The makefile of the kernel gives it to files that use ftrace.
  defines.CC_USING_FENTRY = '1';
  gcc.push('-DCC_USING_FENTRY', '-fno-PIE');
  return { gcc, settings: { defines, includePaths, forcedIncludes } };
}

function gnuObject(flags: readonly string[], file: string): Uint8Array {
  const directory = mkdtempSync(join(tmpdir(), 'entrace-real-'));
  try {
    const object = join(directory, 'o');
    const { status, stderr } = spawnSync('gcc', ['-c', ...flags, '-o', object, file], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    return readFileSync(object);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

test('entry_64.S of Linux 6.1, preprocessed by gcc, is what GNU as makes of it', { skip }, async (t) => {
  const file = downloaded(t, 'linux/entry_64.i.S');
  if (file === undefined) return;
  const assembler = await Assembler.create();
  const began = process.cpuUsage();
  const module = assembler.assemble(file);
  const { user, system } = process.cpuUsage(began);
  assert.deepEqual(differencesFrom(module, readObject(readFileSync(join(dirname(file), 'entry_64.o')))), []);
  const bytes = module.sections.filter((s) => s.alloc).reduce((sum, s) => sum + s.size, 0);
  t.diagnostic(`${bytes} bytes in memory, ${((user + system) / 1e6).toFixed(2)} s of processor time`);
  // The line markers say where each instruction comes from.
  const text = module.sections.find((s) => s.name === '.entry.text')!;
  assert.ok(text.lines.some(({ position }) => position.file.endsWith('arch/x86/entry/calling.h')));
  assert.ok(text.lines.every(({ position }) => !position.file.endsWith('.i.S')));
});

/** Of downloads/linux/tree/arch/x86, with the preprocessor of this assembler. */
const FILES = [
  ...['entry', 'entry_64', 'entry_64_compat', 'thunk_64'].map((name) => `entry/${name}`),
  ...'clear_page_64 cmpxchg16b_emu copy_mc_64 copy_page_64 copy_user_64 csum-copy_64 getuser hweight iomap_copy_64 memcpy_64 memmove_64 memset_64 msr-reg putuser retpoline'
    .split(' ')
    .map((name) => `lib/${name}`),
  ...['ftrace_64', 'irqflags', 'relocate_kernel_64'].map((name) => `kernel/${name}`),
];

test('the 64-bit assembly files of arch/x86 are what gcc makes of them', { skip }, async (t) => {
  const linux = downloaded(t, 'linux');
  if (linux === undefined) return;
  const { gcc, settings } = kernelFlags(linux);
  const assembler = await Assembler.create();
  const differences = FILES.flatMap((name) => {
    const file = join(linux, 'tree/arch/x86', `${name}.S`);
    const module = assembler.assemble(file, settings);
    return differencesFrom(module, readObject(gnuObject(gcc, file))).map((difference) => `${name}: ${difference}`);
  });
  assert.deepEqual(differences, []);
  t.diagnostic(`${FILES.length} files`);
});

test('a kernel file with 32-bit code is refused', async (t) => {
  const linux = downloaded(t, 'linux');
  if (linux === undefined) return;
  const assembler = await Assembler.create();
  const file = join(linux, 'tree/arch/x86/kernel/verify_cpu.S');
  const { settings } = kernelFlags(linux);
  const text = `#include <linux/linkage.h>\n.code32\n#include "${file}"\n`;
  assert.throws(() => assembler.assembleText(text, 's.S', settings), {
    message: 's.S:2:1: .code32: only 64-bit code is supported; expected .code64',
  });
});
