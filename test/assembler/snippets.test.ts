import assert from 'node:assert/strict';
import test from 'node:test';
import { Assembler } from '../../src/assembler/index.js';
import type { Module } from '../../src/image/module.js';
import { compare } from './compare.js';
import { assembleWithGnu, gnuMissing, gnuVersion, sectionDifferences } from './gnu.js';
import { generator, RandomInstructions, RandomPrograms } from './random.js';
import { SNIPPETS } from './snippets.js';

const skip = gnuMissing ?? false;

function seedOf(name: string, preset: number): number {
  const text = process.env[name];
  return text === undefined ? preset : Number.parseInt(text, 10);
}

test('snippets are byte for byte what GNU as makes of them', { skip }, async (t) => {
  assert.ok(SNIPPETS.length >= 150);
  assert.equal(new Set(SNIPPETS).size, SNIPPETS.length, 'a snippet stands twice in the list');
  const { differences, compared } = compare(await Assembler.create(), SNIPPETS);
  assert.deepEqual(differences, []);
  assert.equal(compared, SNIPPETS.length, 'GNU as refuses a snippet');
  t.diagnostic(`${compared} snippets, ${gnuVersion()}`);
});

test('a single wrong byte, relocation or size is noticed', { skip }, async () => {
  const assembler = await Assembler.create();
  const text = '.section .s0, "ax"\nmovq $13, %rax\ncall there\n';
  const gnu = assembleWithGnu(text);
  const module = assembler.assembleText(text, 'snippet');
  assert.deepEqual(sectionDifferences('.s0', module, gnu), []);
  const broken = (change: (section: Module['sections'][number]) => Partial<Module['sections'][number]>): Module => ({
    ...module,
    sections: module.sections.map((section) => (section.name === '.s0' ? { ...section, ...change(section) } : section)),
  });
  const wrongByte = broken(({ data }) => ({ data: data.map((byte, i) => (i === 3 ? byte ^ 1 : byte)) }));
  assert.match(sectionDifferences('.s0', wrongByte, gnu).join(), /bytes at 0x3/);
  const wrongAddend = broken(({ relocations }) => ({
    relocations: relocations.map((r) => ({ ...r, addend: r.addend + 1n })),
  }));
  assert.match(sectionDifferences('.s0', wrongAddend, gnu).join(), /relocation 0 8: plt32 there -3/);
  const wrongKind = broken(({ relocations }) => ({
    relocations: relocations.map((r) => ({ ...r, kind: 'abs32s' as const })),
  }));
  assert.match(sectionDifferences('.s0', wrongKind, gnu).join(), /abs32s there -4, GNU as 8: plt32 there -4/);
  const wrongSize = broken(({ size }) => ({ size: size + 1 }));
  assert.match(sectionDifferences('.s0', wrongSize, gnu).join(), /size 13, GNU as 12/);
});

test('random instructions are byte for byte what GNU as makes of them', { skip }, async (t) => {
  const seed = seedOf('ENTRACE_ASM_SEED', 20111208);
  const count = seedOf('ENTRACE_ASM_COUNT', 2000);
  t.diagnostic(`seed ${seed} (ENTRACE_ASM_SEED), ${count} instructions (ENTRACE_ASM_COUNT)`);
  const random = new RandomInstructions(generator(seed));
  const { differences, compared } = compare(
    await Assembler.create(),
    Array.from({ length: count }, () => random.next()),
  );
  assert.deepEqual(differences, [], `seed ${seed}`);
  // The generator makes a few that no assembler takes (%ah with a REX prefix); most have to be real ones.
  assert.ok(compared > count * 0.95, `only ${compared} of ${count} compared`);
});

test('random programs get the jump sizes and padding that GNU as gives them', { skip }, async (t) => {
  const seed = seedOf('ENTRACE_ASM_SEED', 7);
  t.diagnostic(`seed ${seed} (ENTRACE_ASM_SEED)`);
  const random = new RandomPrograms(generator(seed));
  const programs = Array.from({ length: 300 }, (_, i) => random.next(`p${i}`));
  const { differences, compared } = compare(await Assembler.create(), programs);
  assert.deepEqual(
    differences.map((text) => text.slice(-300)),
    [],
    `seed ${seed}`,
  );
  assert.equal(compared, programs.length);
});
