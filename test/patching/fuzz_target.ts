/** Damaged tables: the readable sections of an image with everything that is patched, one behind the other. */
import { Image, type PlacedSection } from '../../src/image/image.js';
import { combinations } from '../../src/patching/combinations.js';
import { askedFeatures, patchable, patched } from '../../src/patching/patch.js';
import type { Field, Seed, Target } from '../support/fuzz.js';
import { sample } from './support.js';

const SAMPLES: Readonly<Record<string, Image>> = {
  'alternatives, 12 bytes': sample('alternatives.S', { LAYOUT: '12' }),
  'alternatives, 13 bytes': sample('alternatives.S', { LAYOUT: '13' }),
  'alternatives, 14 bytes': sample('alternatives.S', { LAYOUT: '14' }),
  'alternatives of Xen': sample('alternatives.S', { LAYOUT: '1' }),
  thunks: sample('thunks.S'),
  'a kernel': sample('kernel.S', { BANNER: '"Linux version 6.1.0-56-amd64"' }),
};

/** A table's number in the first byte tells which image the rest belongs to. */
const NAMES = Object.keys(SAMPLES);

function tablesOf(image: Image): readonly PlacedSection[] {
  return image.sections.filter((s) => s.segment !== 'text' || s.name === '.altinstr_replacement');
}

export const PATCHING_TARGET: Target = {
  name: 'patching',

  seeds(): readonly Seed[] {
    return NAMES.map((name, number) => {
      const bytes = [number];
      const fields: Field[] = [];
      for (const section of tablesOf(SAMPLES[name]!)) {
        for (let at = 0; at + 4 <= section.size; at++) {
          // Entries are packed: a field may begin at each byte.
          fields.push({ offset: bytes.length + at, size: 4 }, { offset: bytes.length + at, size: 1 });
        }
        bytes.push(...section.data, ...new Array<number>(section.size - section.data.length).fill(0));
      }
      return { name, bytes: Uint8Array.from(bytes), fields };
    });
  },

  open(bytes: Uint8Array): void {
    const image = SAMPLES[NAMES[(bytes[0] ?? 0) % NAMES.length]!]!;
    let at = 1;
    const tables = tablesOf(image);
    const sections = image.sections.flatMap((section) => {
      if (!tables.includes(section)) return [section];
      const last = section === tables[tables.length - 1];
      const data = bytes.subarray(at, last ? bytes.length : at + section.size);
      at += section.size;
      return data.length > 0 ? [{ ...section, data, size: data.length }] : [];
    });
    const damaged = new Image(sections, image.symbols, image.tested, image.sources);
    const subject = patchable(damaged);
    if (!subject) return;
    const asked = askedFeatures(subject);
    for (const features of [new Set<number>(), new Set(asked.map(({ number }) => number))]) {
      const after = patched(subject, features).image;
      for (const section of after.sections)
        for (const row of section.lines) after.name(section.address + BigInt(row.offset));
    }
    if (asked.length < 6) combinations(subject, 'intel');
  },
};
