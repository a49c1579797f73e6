/** Images of patchable code for the tests. */
import { fileURLToPath } from 'node:url';
import { Assembler } from '../../src/assembler/index.js';
import type { Image } from '../../src/image/image.js';
import { link } from '../../src/image/linker.js';
import type { Module } from '../../src/image/module.js';
import { type Patchable, patchable, patched } from '../../src/patching/patch.js';
import { platformNamed } from '../../src/platforms/index.js';

const SAMPLES = fileURLToPath(new URL('../../../test/patching', import.meta.url));
export const assembler = await Assembler.create();

export function linked(module: Module): Image {
  const { layout } = platformNamed('linux');
  return link([module], { layout, absolute: {}, tested: [module] });
}

export function sample(file: string, defines: Readonly<Record<string, string>> = {}): Image {
  return linked(assembler.assemble(`${SAMPLES}/${file}`, { defines }));
}

export function fromText(text: string): Image {
  return linked(assembler.assembleText(text, 'sample.S'));
}

export function subjectOf(image: Image): Patchable {
  const subject = patchable(image);
  if (!subject) throw new Error('the image has nothing to patch');
  return subject;
}

/** The image with the named features, and no others. */
export function withFeatures(image: Image, ...names: string[]): Image {
  const subject = subjectOf(image);
  return patched(subject, new Set(names.map((name) => subject.names.number(name, 'test')))).image;
}

/** The bytes from one label to another, in hexadecimal. */
export function bytesOf(image: Image, from: string, to: string): string {
  const start = image.find(from)!.address;
  const section = image.sectionAt(start)!;
  const at = (address: bigint): number => Number(address - section.address);
  return Buffer.from(section.data.subarray(at(start), at(image.find(to)!.address))).toString('hex');
}
