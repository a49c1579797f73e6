/** Alternatives, byte by byte: what each kind of kernel makes of the same places. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Image } from '../../src/image/image.js';
import { askedFeatures, patched } from '../../src/patching/patch.js';
import { bytesOf, sample, subjectOf, withFeatures } from './support.js';

const of = (layout: number): Image => sample('alternatives.S', { LAYOUT: String(layout) });
const modern = of(12);
const flags = of(14);
const padded = of(13);
const xen = of(1);

const places = (image: Image): Record<string, string> => ({
  smap: bytesOf(image, 'smap', 'call'),
  call: bytesOf(image, 'call', 'near'),
  near: bytesOf(image, 'near', 'both'),
  both: bytesOf(image, 'both', 'twice'),
  twice: bytesOf(image, 'twice', image.find('absent') ? 'absent' : 'empty'),
});

/** A branch from a label, as the bytes of an opcode and its displacement. */
function branch(image: Image, opcode: string, from: string, to: string, skip = 0): string {
  const displacement = Number(image.find(to)!.address - image.find(from)!.address) - skip - (opcode === 'eb' ? 2 : 5);
  const bytes = Buffer.alloc(opcode === 'eb' ? 1 : 4);
  if (opcode === 'eb') bytes.writeInt8(displacement);
  else bytes.writeInt32LE(displacement);
  return opcode + bytes.toString('hex');
}

test('each layout is told from the others by what its entries point to', () => {
  const layouts = [modern, padded, flags, xen].map((image) => subjectOf(image).alternatives!.layout);
  assert.deepEqual(layouts, [
    'Linux before 4.1, or 5.13 to 6.2',
    'Linux 4.1 to 5.12',
    'Linux from 6.3',
    'Xen from 4.10',
  ]);
});

test('without the features the original stands there, its NOPs merged as that kernel merges them', () => {
  assert.deepEqual(places(withFeatures(modern)), {
    smap: '0f1f00',
    call: branch(modern, 'e8', 'call', 'far_away'),
    near: places(modern).near,
    both: '6a0158660f1f440000',
    twice: '0f1f840000000000',
  });
});

test('a replacement is copied, filled up with NOPs, and a call in it goes where it went', () => {
  const image = withFeatures(modern, 'smap', 'pti', 'fsgsbase');
  assert.equal(places(image).smap, '0f01ca');
  assert.equal(places(image).call, branch(image, 'e8', 'call', 'near_by'));
  assert.equal(places(image).near, `${branch(image, 'eb', 'near', 'near_by')}0f1f00`);
  assert.equal(places(image).both, 'f3480faec80f1f4000');
});

test('of several entries for one place the last that applies wins', () => {
  assert.equal(places(withFeatures(modern, 'pti')).twice, '480fbae83f0f1f00');
  assert.equal(places(withFeatures(modern, 'smap')).twice, '0f01cb0f1f440000');
  assert.equal(places(withFeatures(modern, 'pti', 'smap')).twice, '0f01cb0f1f440000');
});

test('an empty replacement leaves NOPs alone, each kernel its own', () => {
  const filled = (image: Image): string => bytesOf(withFeatures(image, 'pti'), 'empty', 'back');
  assert.equal(filled(modern), '0f1f840000000000'.concat('90'));
  assert.equal(filled(flags), '2e0f1f840000000000');
  const onXen = patched(subjectOf(xen), new Set([7 * 32 + 11])).image;
  assert.equal(bytesOf(onXen, 'empty', 'back'), '660f1f840000000000');
});

test('an entry can ask for a feature to be absent', () => {
  for (const image of [modern, flags]) {
    assert.equal(bytesOf(withFeatures(image), 'absent', 'empty'), '0faee8');
    assert.equal(bytesOf(withFeatures(image, 'fsgsbase'), 'absent', 'empty'), '0f01f8');
  }
});

test('Linux 4.1 to 5.12 merges the padding of an empty original only', () => {
  assert.equal(places(withFeatures(padded)).smap, '0f1f00');
  assert.match(places(withFeatures(padded)).both!, /^6a0158909090909090$/);
  assert.equal(places(withFeatures(padded, 'fsgsbase')).both, 'f3480faec890909090');
});

test('Linux from 6.10 makes one NOP of neighbours, and jumps short with INT3 behind', () => {
  const image = withFeatures(flags, 'smap', 'pti', 'fsgsbase');
  assert.equal(places(image).near, `${branch(image, 'eb', 'near', 'near_by')}cccccc`);
  assert.equal(places(image).both, 'f3480faec80f1f4000');
  assert.equal(places(withFeatures(flags)).twice, '0f1f840000000000');
});

test('Xen fills with its own NOPs, behind the original too', () => {
  const known = (name: string): number => subjectOf(xen).names.number(name, 'test');
  const numbers = new Set([9 * 32 + 20, 7 * 32 + 11]);
  assert.equal(known('lm'), 2 * 32 + 29);
  const image = patched(subjectOf(xen), numbers).image;
  assert.equal(places(image).smap, '0f01ca');
  assert.equal(places(image).call, branch(image, 'e8', 'call', 'near_by'));
  assert.equal(places(image).near, branch(image, 'e9', 'near', 'near_by'));
  assert.equal(places(patched(subjectOf(xen), new Set()).image).both, '6a0158660f1f440000');
});

test('what code asks for is listed with the number of its places, in a range or everywhere', () => {
  const subject = subjectOf(modern);
  const asked = askedFeatures(subject).map(({ name, sites }) => `${name} ${sites}`);
  assert.deepEqual(asked, ['pti 4', 'xenpv 1', 'fsgsbase 2', 'smap 2']);
  const start = modern.find('smap')!.address;
  const range = [{ start, end: modern.find('near')!.address }];
  assert.deepEqual(
    askedFeatures(subject, range).map(({ name }) => name),
    ['pti', 'smap'],
  );
});

test('the line map has a row for each instruction that stands there, with the line of the replacement', () => {
  const image = withFeatures(modern, 'fsgsbase');
  const section = image.sectionAt(image.find('both')!.address)!;
  const offset = (label: string): number => Number(image.find(label)!.address - section.address);
  const rows = section.lines.filter((row) => row.offset >= offset('both') && row.offset < offset('twice'));
  assert.deepEqual(
    rows.map((row) => [row.offset - offset('both'), row.text.trim()]),
    [
      [0, 'rdgsbase %rax'],
      [5, 'nop'],
    ],
  );
  assert.equal(image.name(image.find('twice')!.address - 4n), 'both+1');
  // An empty replacement has no lines: those of the next one are not its own.
  const emptied = withFeatures(modern, 'pti');
  const texts = emptied
    .sectionAt(emptied.find('empty')!.address)!
    .lines.filter((row) => row.offset >= offset('empty') && row.offset < offset('back'));
  assert.ok(texts.length === 2 && texts.every(({ text }) => text.startsWith('nop')), JSON.stringify(texts));
  // The iretq behind all places, and what follows it, keep their rows.
  const others = modern.sectionAt(modern.find('nmi')!.address)!.lines.slice(-3);
  assert.deepEqual(section.lines.slice(-3), others);
});

test('the image that was patched stays as it was', () => {
  const { hash } = modern;
  withFeatures(modern, 'smap', 'pti');
  const copy = new Image(modern.sections, modern.symbols, modern.tested, modern.sources);
  assert.equal(copy.hash, hash);
});
