/** Mutants: what they are, that they are what they say, and that one that does not apply is an error. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { type Mutant, mutantsOf, mutated, nop } from '../../src/ablation/mutants.js';
import { Disassembler } from '../../src/cpu/disassembler.js';
import { rangesOf } from '../../src/hooks/triggers.js';
import type { Image } from '../../src/image/image.js';
import { asm, source, subjectOf } from '../support/search.js';

const disassembler = await Disassembler.create();

const HANDLER = source(`	.text
	.globl	nmi
nmi:
	pushq	%rdx
	testb	$3, 16(%rsp)
	jz	2f
	cmpl	$1, flag(%rip)
	movl	$0, flag(%rip)
	movq	%rdx, (%rsp)
	leaq	-48(%rsp), %rdx
2:	std
	movq	$0, 40(%rsp)
far:	popq	%rdx
	jnz	away
	iretq
	.skip	200
away:	jmp	far
	.data
flag:	.long	0, 0
`);

const image = subjectOf(HANDLER).image;
const mutants = mutantsOf(image, undefined);
const named = (name: string): Mutant => {
  const found = mutants.find((m) => m.name === name);
  assert.ok(found, `${name}: ${mutants.map((m) => m.name).join('; ')}`);
  return found;
};
/** The instructions from an address on, as Capstone reads them. */
function listing(of: Image, from: bigint, count: number): string[] {
  const section = of.sectionAt(from)!;
  const offset = Number(from - section.address);
  const lines: string[] = [];
  for (let at = offset; lines.length < count; ) {
    const bytes = section.data.subarray(at, at + 15);
    const address = section.address + BigInt(at);
    lines.push(disassembler.text(bytes, address));
    at += disassembler.instruction(bytes, address)!.size;
  }
  return lines;
}

test('each instruction, constant of a test, and order of adjacent stores has its mutants', () => {
  assert.deepEqual(
    mutants.filter((m) => !m.name.startsWith('remove')).map((m) => m.name),
    [
      'swap nmi+0 and nmi+1',
      'constant nmi+1: 3 -> 2',
      'constant nmi+1: 3 -> 1',
      'displacement nmi+1: 16 -> 8',
      'displacement nmi+1: 16 -> 24',
      'invert nmi+2',
      'take nmi+2',
      'constant nmi+3: 1 -> 0',
      'constant nmi+3: 1 -> 2',
      'swap nmi+3 and nmi+4',
      'constant nmi+4: 0 -> 1',
      'swap nmi+4 and nmi+5',
      'swap nmi+5 and nmi+6',
      'displacement nmi+6: -48 -> -56',
      'displacement nmi+6: -48 -> -40',
      'swap nmi+7 and nmi+8',
      'constant nmi+8: 0 -> 1',
      'invert far+1',
      'take far+1',
    ],
  );
  assert.equal(mutants.filter((m) => m.name.startsWith('remove')).length, 13);
});

test('a removed instruction is one NOP of its length: no boundary changes its name', () => {
  for (let length = 1; length <= 15; length++) {
    assert.equal(disassembler.instruction(nop(length), 0n)?.size, length);
    assert.match(disassembler.text(nop(length), 0n), /^(nop|xchg)/);
  }
  for (const m of mutants.filter((m) => m.name.startsWith('remove'))) {
    const other = mutated(image, m);
    assert.match(listing(other, m.address, 1)[0]!, /^nop/, m.name);
    assert.equal(other.name(m.address), m.name.slice('remove '.length));
    assert.notEqual(other.hash, image.hash);
  }
});

test('branches are inverted and taken, near and short, to the same place', () => {
  const at = (name: string): string => listing(mutated(image, named(name)), named(name).address, 1)[0]!;
  const short = listing(image, named('invert nmi+2').address, 1)[0]!;
  assert.match(short, /^je /);
  assert.equal(at('invert nmi+2'), short.replace('je', 'jne'));
  assert.equal(at('take nmi+2'), short.replace('je', 'jmp'));
  const near = listing(image, named('invert far+1').address, 1)[0]!;
  assert.match(near, /^jne /);
  assert.equal(at('invert far+1'), near.replace('jne', 'je'));
  assert.equal(at('take far+1').replace(/^.*jmp/, 'jmp'), near.replace('jne', 'jmp'));
});

test('constants and displacements are changed where they stand', () => {
  const at = (name: string): string => listing(mutated(image, named(name)), named(name).address, 1)[0]!;
  assert.equal(at('constant nmi+1: 3 -> 2'), 'testb $2, 0x10(%rsp)');
  assert.equal(at('displacement nmi+1: 16 -> 24'), 'testb $3, 0x18(%rsp)');
  assert.equal(at('displacement nmi+6: -48 -> -56'), 'leaq -0x38(%rsp), %rdx');
  assert.match(at('constant nmi+3: 1 -> 2'), /^cmpl \$2, /);
});

test('a swap keeps what is addressed by RIP, and the names of the boundaries', () => {
  const m = named('swap nmi+4 and nmi+5');
  const other = mutated(image, m);
  const [first, second] = listing(image, m.address, 2);
  const [a, b] = listing(other, m.address, 2);
  assert.equal(a, second);
  // The displacement is another one, the address the same.
  const target = (text: string, end: bigint): bigint => BigInt(/(-?0x[0-9a-f]+)\(%rip\)/.exec(text)![1]!) + end;
  const length = BigInt(m.before.length);
  assert.equal(target(b!, m.address + length), target(first!, m.address + length - BigInt(m.middle!)));
  assert.equal(other.name(m.address + BigInt(m.middle!)), 'nmi+5');
  assert.equal(other.locate(m.address)!.line!.text.trim(), 'movq\t%rdx, (%rsp)');
});

test('ranges confine them; what is jumped to keeps its place', () => {
  const some = mutantsOf(image, rangesOf(image, 'nmi+1'));
  assert.deepEqual(
    some.map((m) => m.name.split(' ')[0]),
    ['remove', 'constant', 'constant', 'displacement', 'displacement'],
  );
  assert.ok(!mutants.some((m) => m.name === 'swap nmi+6 and nmi+7'));
  assert.ok(!mutants.some((m) => m.name.startsWith('swap nmi+8')));
});

test('a mutant that does not apply is an error', () => {
  const m = named('remove nmi+1');
  const once = mutated(image, m);
  assert.throws(
    () => mutated(once, m),
    /InputError: the mutant 'remove nmi\+1' does not apply: the image has other code there/,
  );
  assert.throws(() => mutated(image, { ...m, after: m.before }), /does not apply/);
  assert.throws(() => mutated(subjectOf(asm('linux_nmi.S')).image, { ...m, address: 0x10n }), /does not apply/);
});
