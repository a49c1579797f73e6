import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { Assembler } from '../../src/assembler/index.js';
import type { Module } from '../../src/image/module.js';
import { hexOf } from './gnu.js';

const assembler = await Assembler.create();
const assemble = (text: string, defines: Record<string, string> = {}): Module =>
  assembler.assembleText(text, 'test.S', { defines });
const section = (module: Module, name = '.text') => module.sections.find((candidate) => candidate.name === name)!;
const bytes = (text: string) => hexOf(section(assemble(text)).data);

test('line map: one row for each instruction, exact offsets, none for data', () => {
  const module = assemble('a: nop\n movq $13, %rax\n .quad 5\nb: jmp a; hlt\n rep; movsb\n');
  assert.deepEqual(
    section(module).lines.map((row) => [row.offset, row.position.line, row.position.column, row.text]),
    [
      [0, 1, 4, 'nop'],
      [1, 2, 2, 'movq $13, %rax'],
      [16, 4, 4, 'jmp a'],
      [18, 4, 11, 'hlt'],
      [19, 5, 2, 'rep'],
      [20, 5, 7, 'movsb'],
    ],
  );
});

test('line map: rows inside macros name the body line, the invocations, and the filled-in text', () => {
  const module = assemble('.macro inner r\n push \\r\n.endm\n.macro outer a\n nop\n inner %\\a\n.endm\n\n outer rdi\n');
  const rows = section(module).lines;
  assert.deepEqual(
    rows.map((row) => row.text),
    ['nop', 'push %rdi'],
  );
  assert.deepEqual(
    rows.map((row) => row.position.line),
    [5, 2],
  );
  assert.deepEqual(
    rows.map((row) => row.expandedFrom.map((place) => place.line)),
    [[9], [9, 6]],
  );
});

test('line map: offsets follow relaxation', () => {
  const rows = section(assemble('jmp 1f\n.skip 128, 0x90\nnop\n1: hlt\n')).lines;
  assert.deepEqual(
    rows.map((row) => row.offset),
    [0, 133, 134],
  );
});

test('line map: C macros keep the line and the column they were written at', () => {
  const [row] = section(assemble('#define SLOT 8(%rsp)\n\n  pushq SLOT\n')).lines;
  assert.deepEqual(row, {
    offset: 0,
    position: { file: 'test.S', line: 3, column: 3 },
    expandedFrom: [],
    text: 'pushq 8(%rsp)',
  });
});

test('undefined symbols: first use, and whether they are only called', () => {
  const module = assemble(' call f\n jmp f\n je f\n call g\n lea g(%rip), %rax\n call *h(%rip)\n .quad d\n call p+4\n');
  const row = (name: string) => module.symbols.find((symbol) => symbol.name === name)!;
  assert.deepEqual(
    ['f', 'g', 'h', 'd', 'p'].map((name) => [row(name).section, row(name).calledOnly, row(name).position?.line]),
    [
      ['undefined', true, 1],
      ['undefined', false, 4],
      ['undefined', false, 6],
      ['undefined', false, 7],
      ['undefined', false, 8],
    ],
  );
});

test('symbols: bindings, types, sizes, absolute values', () => {
  const module = assemble(
    '.globl f\n.type f, @function\nf: nop; hlt\n.size f, .-f\nN = 0xffffffff81000000\n.weak w\nw:\n.Lhidden: 1: jmp 1b\n',
  );
  const shown = module.symbols.map((s) => `${s.name} ${s.section} ${s.value} ${s.size} ${s.binding} ${s.type}`);
  assert.deepEqual(shown, [
    'f .text 0 2 global func',
    'N absolute 18446744071578845184 0 local notype',
    'w .text 2 0 weak notype',
  ]);
});

test('defines, includes and sources', () => {
  const directory = mkdtempSync(join(tmpdir(), 'entrace-asm-'));
  try {
    writeFileSync(join(directory, 'main.S'), '#include "own.h"\n#include <path.h>\n .byte OWN, PATH, GIVEN\n');
    writeFileSync(join(directory, 'own.h'), '#define OWN 1\n');
    writeFileSync(join(directory, 'path.h'), '#define PATH 2\n');
    const path = join(directory, 'main.S');
    const module = assembler.assemble(path, { defines: { GIVEN: '3' }, includePaths: [directory] });
    assert.equal(hexOf(section(module).data), '010203');
    assert.deepEqual([...module.sources.keys()], [path, join(directory, 'own.h'), join(directory, 'path.h')]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

test('jumps: short up to 127 bytes, near from 128 on', () => {
  assert.equal(bytes('jmp 1f\n.skip 127\n1:').slice(0, 4), 'eb7f');
  assert.equal(bytes('jmp 1f\n.skip 128\n1:').slice(0, 10), 'e980000000');
  assert.equal(bytes('1: .skip 126\njmp 1b').slice(-4), 'eb80');
  assert.equal(bytes('1: .skip 127\njmp 1b').slice(-10), 'e97cffffff');
  assert.equal(bytes('je 1f\n.skip 128\n1:').slice(0, 12), '0f8480000000');
});

test('jumps: one that grows makes the next ones grow', () => {
  // Each jump reaches over the following ones and 127 bytes less their short sizes: the last growth ripples to the first.
  const chain = Array.from({ length: 20 }, (_, i) => `j${i}: jmp t${i}\n`).join('');
  const targets = Array.from({ length: 20 }, (_, i) => `.skip 2\nt${i}:\n`).join('');
  const tight = section(assemble(`${chain}.skip ${127 - 40}\n${targets}`)).size;
  assert.equal(tight, 20 * 2 + 87 + 40);
  const grown = section(assemble(`${chain}.skip ${127 - 39}\n${targets}`)).size;
  assert.equal(grown, 20 * 5 + 88 + 40);
});

test('alignment inside relaxed code keeps its boundary', () => {
  const module = assemble('jmp far\n.p2align 4\nx: nop\n.skip 200\n.p2align 5\nfar: hlt\n');
  const value = (name: string) => Number(module.symbols.find((symbol) => symbol.name === name)!.value);
  assert.equal(value('x') % 16, 0);
  assert.equal(value('far') % 32, 0);
  assert.equal(section(module).align, 32);
  assert.equal(hexOf(section(module).data.slice(0, 16)), `e9db000000${'66662e0f1f840000000000'}`);
});

test('a section without contents has a size and no bytes', () => {
  const bss = section(assemble('.bss\nbuffer: .skip 4096\n'), '.bss');
  assert.deepEqual([bss.size, bss.data.length, bss.alloc, bss.write, bss.exec], [4096, 0, true, true, false]);
});

test('one assembler assembles many files, and they do not share anything', () => {
  assemble('.macro m\nnop\n.endm\nx = 5\n#define D 1\nlabel: m\n');
  const module = assemble('.macro m\nhlt\n.endm\n#ifdef D\nbad\n#endif\nlabel: m\n.ifdef x\n.error "x"\n.endif\n');
  assert.equal(hexOf(section(module).data), 'f4');
});

test('300 lines take less than 300 ms with the encoder loaded anew, 20,000 lines no more than a few seconds', async (t) => {
  const lines = (count: number) =>
    Array.from(
      { length: count },
      (_, i) => `l${i}: movq $${i}, ${i % 512}(%rsp)\n jne l${Math.max(0, i - (i % 40))}`,
    ).join('\n');
  const start = performance.now();
  (await Assembler.create()).assembleText(lines(150), 'short.S');
  const short = performance.now() - start;
  const long = performance.now();
  assembler.assembleText(lines(10_000), 'long.S');
  const seconds = (performance.now() - long) / 1000;
  t.diagnostic(`300 lines: ${short.toFixed(0)} ms, 20,000 lines: ${seconds.toFixed(2)} s`);
  // Three times the target: the machine may be busy with other tests.
  assert.ok(short < 900, `${short} ms`);
  assert.ok(seconds < 10, `${seconds} s`);
});
