/** Section groups (gABI, Section Groups). */
import { InputError } from '../errors.js';
import { type ElfSection, sectionPlace } from './file.js';
import { GRP_COMDAT, SHT } from './format.js';
import { type ElfSymbol, linked } from './symbols.js';

export interface ElfGroup {
  /** Name of the signature symbol. */
  readonly signature: string;
  /** Of several groups of this signature in the files that are linked together, the first is kept. */
  readonly comdat: boolean;
  /** Indices of the sections that are in it. */
  readonly sections: readonly number[];
}

export function readGroups(
  file: string,
  sections: readonly ElfSection[],
  symbols: readonly ElfSymbol[],
): readonly ElfGroup[] {
  const owner = new Map<number, number>();
  return sections
    .filter((section) => section.type === SHT.GROUP)
    .map((group) => {
      const place = sectionPlace(file, group);
      const { data } = group;
      if (data.length < 4 || data.length % 4 !== 0) {
        throw new InputError(
          `${place}: a section group of 0x${data.length.toString(16)} bytes; they are words of 4, at least one: the file is damaged, make it anew`,
        );
      }
      linked(place, sections, group.link, SHT.SYMTAB, 'a symbol table');
      const symbol = symbols[group.info];
      if (!symbol) {
        throw new InputError(
          `${place}: its signature is symbol ${group.info}, but there are ${symbols.length}; the file is damaged, make it anew`,
        );
      }
      const view = new DataView(data.buffer, data.byteOffset, data.length);
      const members: number[] = [];
      for (let at = 4; at < data.length; at += 4) {
        const index = view.getUint32(at, true);
        if (index === 0 || index >= sections.length || sections[index]!.type === SHT.GROUP || owner.has(index)) {
          const why = owner.has(index) ? `which group ${owner.get(index)} holds already` : 'which cannot be in a group';
          throw new InputError(
            `${place}: holds at offset 0x${at.toString(16)} section ${index}, ${why}; the file is damaged, make it anew`,
          );
        }
        owner.set(index, group.index);
        members.push(index);
      }
      // A section symbol stands for its section's name: GNU as does so for groups that an unnamed symbol signs.
      const named = symbol.type === 'section' && typeof symbol.section === 'number' ? sections[symbol.section] : symbol;
      return {
        signature: named!.name,
        comdat: (view.getUint32(0, true) & GRP_COMDAT) !== 0,
        sections: members,
      };
    });
}
