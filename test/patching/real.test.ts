/** Debian's entry_64.o and the kernel it is part of: patched alike. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Image } from '../../src/image/image.js';
import { link, undefinedSymbols } from '../../src/image/linker.js';
import { combinations } from '../../src/patching/combinations.js';
import { featureSet } from '../../src/patching/features.js';
import { lengthAt } from '../../src/patching/nops.js';
import { askedFeatures, patched } from '../../src/patching/patch.js';
import { platformNamed } from '../../src/platforms/index.js';
import { readBinaries } from '../../src/platforms/read_module.js';
import { downloaded } from '../support/downloads.js';
import { subjectOf } from './support.js';

async function imageOf(file: string): Promise<Image> {
  const module = (await readBinaries([file])).get(file)!;
  const missing = undefinedSymbols([module], {}).map((s, i) => [s.name, 0xffffffffa0000000n + BigInt(16 * i)] as const);
  return link([module], {
    layout: platformNamed('linux').layout,
    absolute: Object.fromEntries(missing),
    tested: [module],
  });
}

/** Nearly all of asm_exc_nmi. Bytes. */
const NMI_BYTES = 0x1d0;

/** Lengths and first bytes of the instructions of asm_exc_nmi: what does not depend on where it lies. */
function shapeOf(image: Image): string[] {
  const start = image.find('asm_exc_nmi')!.address;
  const section = image.sectionAt(start)!;
  const from = Number(start - section.address);
  const shape: string[] = [];
  for (let at = from; at < from + NMI_BYTES; ) {
    const length = lengthAt(section.data, at)!;
    shape.push(`${length} ${section.data[at]!.toString(16)}`);
    at += length;
  }
  return shape;
}

test('entry_64.o is patched as the kernel is', async (t) => {
  const object = downloaded(t, 'linux/entry_64.o');
  const kernel = downloaded(t, 'linux/vmlinuz');
  if (object === undefined || kernel === undefined) return;
  const [one, whole] = [subjectOf(await imageOf(object)), subjectOf(await imageOf(kernel))];
  const unpatched = shapeOf(one.image);
  for (const words of [['none'], ['default', 'pti'], ['pti', 'fsgsbase', 'kernel_ibrs'], ['smap', 'unret', 'srso']]) {
    const shapes = [one, whole].map((s) => shapeOf(patched(s, featureSet(s, words, 'intel').numbers).image));
    assert.deepEqual(shapes[0], shapes[1], words.join(','));
    assert.notDeepEqual(shapes[0], unpatched);
  }
});

test('the NMI entry of entry_64.o: what it asks for, and each combination that makes other code', async (t) => {
  const object = downloaded(t, 'linux/entry_64.o');
  if (object === undefined) return;
  const subject = subjectOf(await imageOf(object));
  const start = subject.image.find('asm_exc_nmi')!.address;
  const ranges = [{ start, end: start + BigInt(NMI_BYTES) }];
  const asked = askedFeatures(subject, ranges).map(({ name }) => name);
  for (const name of ['pti', 'pcid', 'smap', 'kernel_ibrs', 'unret']) assert.ok(asked.includes(name), asked.join(' '));
  const found = combinations(subject, 'intel', ranges);
  const codes = found.map(({ features }) => {
    const image = patched(subject, features.numbers).image;
    const section = image.sectionAt(start)!;
    const from = Number(start - section.address);
    return Buffer.from(section.data.subarray(from, from + NMI_BYTES)).toString('hex');
  });
  assert.equal(new Set(codes).size, found.length);
  t.diagnostic(`${asked.length} features, ${found.length} codes`);
});
