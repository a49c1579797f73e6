/** `--features`: names, defaults, what needs what, and which sets make different code. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { InputError } from '../../src/errors.js';
import { Image } from '../../src/image/image.js';
import { combinations } from '../../src/patching/combinations.js';
import { featureSet, parseFeatures } from '../../src/patching/features.js';
import { patched } from '../../src/patching/patch.js';
import { fromText, sample, subjectOf } from './support.js';

const image = sample('alternatives.S', { LAYOUT: '12' });
const subject = subjectOf(image);
const xen = subjectOf(sample('alternatives.S', { LAYOUT: '1' }));

const names = (text: string): readonly string[] => {
  const request = parseFeatures(text);
  assert.equal(request.kind, 'set');
  return featureSet(subject, request.kind === 'set' ? request.words : [], 'intel').names;
};
const rejects = (text: string, message: RegExp): void =>
  assert.throws(
    () => names(text),
    (error) => error instanceof InputError && message.test(error.message) && !error.message.includes('\n'),
  );

test('a list is the whole set, by any of the names that a feature has', () => {
  assert.deepEqual(names('pti,fsgsbase,smap'), ['pti', 'fsgsbase', 'smap']);
  assert.deepEqual(names('X86_FEATURE_SMAP, sse2, 7*32+11'), ['xmm2', 'pti', 'smap']);
  assert.deepEqual(names('none'), []);
});

test('the default is a processor of the vendor without mitigations; names are added to it and taken out', () => {
  const byDefault = names('default');
  assert.ok(byDefault.includes('smap') && byDefault.includes('fsgsbase') && byDefault.includes('pcid'));
  assert.ok(!byDefault.includes('pti') && !byDefault.includes('retpoline'));
  const changed = names('default,pti,-smap');
  assert.deepEqual(
    changed.filter((name) => !byDefault.includes(name)),
    ['pti'],
  );
  assert.deepEqual(
    byDefault.filter((name) => !changed.includes(name)),
    ['smap'],
  );
  assert.deepEqual(parseFeatures(undefined), { kind: 'set', words: ['default'] });
  assert.ok(featureSet(xen, ['default'], 'amd').names.every((name) => name !== 'pti'));
});

test('what a feature needs comes with it, and goes with it', () => {
  assert.deepEqual(names('srso'), ['rethunk', 'unret', 'srso']);
  assert.ok(!names('default,-pcid').includes('invpcid_single'));
});

test('what is no feature, or not of this machine, is refused', () => {
  rejects('ptii', /there is no feature 'ptii' \(did you mean pti\?\)/);
  rejects('pti,,smap', /a name is missing/);
  rejects('none,pti', /'none' stands alone/);
  rejects('xenpv', /the machine has no xenpv/);
  rejects('40*32+40', /there is no feature/);
});

test('the names of an image come from the header in its sources before the table here', () => {
  const sources = new Map([['asm/cpufeatures.h', '#define X86_FEATURE_MADE_UP ( 7*32+11) /* "mu" made up */\n']]);
  const other = subjectOf(new Image(image.sections, image.symbols, image.tested, sources));
  assert.equal(other.names.name(7 * 32 + 11), 'made_up');
  assert.equal(other.names.number('mu', 'test'), 7 * 32 + 11);
  assert.equal(other.names.name(30 * 32 + 5), '30*32+5');
});

test('all combinations: each code once, with every set that leads to it', () => {
  const found = combinations(subject, 'intel');
  const hashes = found.map(({ features }) => patched(subject, features.numbers).image.hash);
  assert.equal(new Set(hashes).size, found.length);
  // pti, fsgsbase and smap vary; xenpv is not modelled. Of the place that both pti and smap write, smap is the last.
  assert.equal(found.length, 8);
  assert.ok(found.every(({ features }) => !features.names.includes('xenpv')));
  const all = found.flatMap(({ sets }) => sets);
  assert.equal(all.length, 8);
});

test('all combinations: sets that make the same code in the ranges are one', () => {
  const address = (name: string): bigint => image.find(name)!.address;
  const found = combinations(subject, 'intel', [{ start: address('twice'), end: address('absent') }]);
  assert.deepEqual(
    found.map(({ sets }) => sets),
    [[[]], [['pti']], [['smap'], ['pti', 'smap']]],
  );
});

test('all combinations: only those that are named vary', () => {
  assert.deepEqual(parseFeatures('all:pti,smap'), { kind: 'all', vary: ['pti', 'smap'] });
  const found = combinations(subject, 'intel', undefined, ['pti']);
  assert.deepEqual(
    found.map(({ sets }) => sets),
    [[[]], [['pti']]],
  );
  assert.ok(found.every(({ features }) => features.names.includes('smap')));
});

test('too many features to combine are an error that says what to do', () => {
  const entries = Array.from({ length: 17 }, (_, i) => `.long 1b - ., 1b - .; .word ${9 * 32 + i}; .byte 1, 0`);
  const many = fromText(`.globl nmi\nnmi:\n1: nop\niretq\n.section .altinstructions, "a"\n${entries.join('\n')}\n`);
  assert.throws(
    () => combinations(subjectOf(many), 'intel'),
    (error) => error instanceof InputError && /asks for 17 features.*--features all:/.test(error.message),
  );
});
