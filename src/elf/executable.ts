/** What must hold of an executable, so that what its sections say is what runs. */
import { InputError } from '../errors.js';
import { type ElfFile, type ElfSection, sectionPlace } from './file.js';
import { PT_LOAD, SHF, SHT } from './format.js';

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

export function checkExecutable(elf: ElfFile): void {
  const { file, sections } = elf;
  const loaded = sections.filter(({ flags, size }) => (flags & SHF.ALLOC) !== 0 && size > 0);
  if (loaded.length === 0) {
    throw new InputError(
      `${file}: has no sections that are loaded, so that its code cannot be told from its data; give the file before its section headers were taken out`,
    );
  }
  for (const section of loaded) {
    const refuse = (message: string): never => {
      throw new InputError(`${sectionPlace(file, section)}: ${message}`);
    };
    if (section.type === SHT.RELA || section.type === SHT.REL || section.type === SHT.RELR) {
      refuse(
        'has relocations for a dynamic linker, which is not modelled; link statically and not position-independent (-static -no-pie), or give the object files',
      );
    }
    if (section.type === SHT.NOBITS) {
      // strip --only-keep-debug leaves the headers of what it takes out.
      if ((section.flags & SHF.EXECINSTR) !== 0) {
        refuse('is code, but has no contents: this is a file of debug information only; give the file that it is for');
      }
      continue;
    }
    checkSegment(elf, section, refuse);
  }
}

/** A loader goes by the segments: they must put the section's bytes where its address says (gABI, Program Loading). */
function checkSegment({ programs }: ElfFile, section: ElfSection, refuse: (message: string) => never): void {
  const { address, offset, size } = section;
  const segment = programs.find(
    ({ type, virtualAddress, fileSize }) =>
      type === PT_LOAD && address >= virtualAddress && address < virtualAddress + BigInt(fileSize),
  );
  if (!segment) return;
  const at = BigInt(segment.offset) + address - segment.virtualAddress;
  if (at !== BigInt(offset)) {
    refuse(
      `is at offset ${hex(offset)} of the file, but what is loaded at its address, ${hex(address)}, is at offset ${hex(at)}; the file is damaged, make it anew`,
    );
  }
  if (address + BigInt(size) > segment.virtualAddress + BigInt(segment.fileSize)) {
    refuse(
      `ends at ${hex(address + BigInt(size))}, behind the segment that it is loaded with; the file is damaged, make it anew`,
    );
  }
}
