/** The ELF that gdb reads: every instruction's line by addr2line, every label by nm. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import test from 'node:test';
import type { Debugger } from '../../src/debugger/debugger.js';
import { symbolFile } from '../../src/debugger/gdb/symbol_file.js';
import { processorOf } from '../../src/platforms/platform.js';
import { opened } from '../support/debugger.js';
import { asm, source } from '../support/search.js';

const directory = mkdtempSync(join(tmpdir(), 'entrace-symbols-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));

const missing = ['addr2line', 'nm', 'objdump'].some((tool) => spawnSync(tool, ['--version']).status !== 0)
  ? 'GNU binutils (addr2line, nm, objdump) are not installed: nothing else reads the file'
  : false;

function run(command: string, args: readonly string[], input = ''): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', input, maxBuffer: 1 << 26 });
  assert.equal(status, 0, stderr);
  return stdout;
}

/** The file of a debugger's image: its path, and the text of sources that only it has. */
function written(debug: Debugger): { path: string; sources: ReadonlyMap<string, string> } {
  const { elf, sources } = symbolFile(debug.subject, directory);
  const path = join(directory, 'entrace.elf');
  writeFileSync(path, elf);
  for (const [file, text] of sources) writeFileSync(file, text);
  return { path, sources };
}

const MACROS = source(`
	.macro	twice what
	\\what
	\\what
	.endm
	.text
	.globl	nmi
nmi:	twice nop
	twice "pushq %rax"
	addq	$16, %rsp
	iretq
	.section .entry.text, "ax"
	.globl	other
other:	nop
	iretq
`);

for (const [title, files, context] of [
  ['a handler', ['linux_nmi_rfc.S'], 'kernel'],
  ['macros, and several sections', [MACROS], 'user'],
  ['two processors', ['linux_nmi_3_7.S', 'bad_iret.S'], join(asm('.'), '..', 'scenarios/linux-nmi/ldtss-removed.S')],
] as const) {
  test(`${title}: lines, labels and bytes`, { skip: missing }, async () => {
    const debug = await opened(files, { context });
    const { image, subject } = debug;
    const { path, sources } = written(debug);
    const rows = image.sections.flatMap((section) =>
      section.lines.map((row) => ({ address: section.loadAddress + BigInt(row.offset), ...row.position })),
    );
    assert.ok(rows.length > 30);
    const found = run('addr2line', ['-e', path], rows.map(({ address }) => `0x${address.toString(16)}\n`).join(''));
    const lines = found
      .trim()
      .split('\n')
      .map((line) => line.replace(/ \(discriminator \d+\)$/, ''));
    rows.forEach(({ address, file, line }, i) => {
      const [place, number] = /^(.*):(\d+)$/.exec(lines[i]!)!.slice(1) as [string, string];
      assert.equal(Number(number), line, `0x${address.toString(16)}`);
      if (image.sources.has(file) && sources.has(place)) assert.equal(sources.get(place), image.sources.get(file));
      else assert.equal(resolve(place), resolve(file));
      // What a person would see there.
      assert.ok(readFileSync(place, 'utf8').split('\n').length >= line);
    });

    const symbols = new Map(
      run('nm', ['-n', path])
        .trim()
        .split('\n')
        .map((line) => /^([0-9a-f]+) \S (.*)$/.exec(line)!)
        .map(([, value, name]) => [name!, BigInt(`0x${value}`)] as const),
    );
    for (const name of image.labels) {
      const { address, section, module } = image.find(name)!;
      const home = image.sections.find((s) => s.name === section && s.module === module)!;
      for (let n = 0; n < (home.segment === 'percpu' ? subject.processors : 1); n++) {
        const own = processorOf(subject.platform, n).percpu;
        const expected = home.segment === 'percpu' ? own + address : address;
        assert.equal(symbols.get(n === 0 ? name : `${name}_cpu${n}`), expected, name);
      }
    }
    const [entry] = image.sections.filter(({ segment }) => segment === 'text');
    const dump = run('objdump', ['-d', `--start-address=0x${entry!.address.toString(16)}`, path]);
    assert.match(dump, /<nmi>:/);
  });
}
