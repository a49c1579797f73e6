/** Sections for debuggers: unpacked (gABI, Section Compression) and, in an object, relocated. */
import { inflateSync } from 'node:zlib';
import { Decompress } from 'fzstd';
import { InputError } from '../errors.js';
import { type ElfFile, type ElfSection, sectionPlace } from './file.js';
import { CHDR_SIZE, ELFCOMPRESS, R_X86_64_NONE, RELOCATION_TYPES, RELOCATION_WIDTH, SHF } from './format.js';

/** A section for debuggers that unpacks to more is not read. Bytes. */
const MOST = 256 * 1024 * 1024;
/** zlib makes no more of a byte (RFC 1951: 258 bytes of two bits). */
const MOST_OF_ZLIB = 1032;
export const REMEDY = 'make the file anew, or take the debug information out (strip -g)';

/** An address in an object, which has none yet. */
export interface Target {
  readonly section: number;
  readonly offset: number;
}

export interface DebugSection {
  /** `file: section NAME (INDEX)`. */
  readonly place: string;
  readonly data: Uint8Array;
  /** What the fields at these offsets stand for, where a relocation says it: an address in a section. */
  readonly targets: ReadonlyMap<number, Target>;
}

const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

/** The first section of this name, ready to be read; undefined if there is none. */
export function debugSection(elf: ElfFile, name: string): DebugSection | undefined {
  const section = elf.sections.find((candidate) => candidate.name === name);
  if (!section) return undefined;
  const place = sectionPlace(elf.file, section);
  const data = (section.flags & SHF.COMPRESSED) === 0 ? section.data : unpacked(section, place);
  return relocated(elf, section, place, data);
}

/** gABI, Elf64_Chdr: method, (reserved), size, alignment. */
function unpacked(section: ElfSection, place: string): Uint8Array {
  const { data } = section;
  if (data.length < CHDR_SIZE) {
    throw new InputError(
      `${place}: has ${data.length} bytes, less than the header of a compressed section (${CHDR_SIZE}); ${REMEDY}`,
    );
  }
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const method = view.getUint32(0, true);
  const size = view.getBigUint64(8, true);
  const packed = data.subarray(CHDR_SIZE);
  const most = method === ELFCOMPRESS.ZLIB ? Math.min(MOST, packed.length * MOST_OF_ZLIB) : MOST;
  if (size > BigInt(most)) {
    const limit = most < MOST ? `${packed.length} bytes of zlib data can be` : `${MOST >> 20} MiB are read`;
    throw new InputError(`${place}: is to unpack to ${hex(size)} bytes, more than ${limit}; ${REMEDY}`);
  }
  const tooLong = (): never => {
    throw new InputError(`${place}: unpacks to more than the ${hex(size)} bytes of its header; ${REMEDY}`);
  };
  let bytes: Uint8Array;
  try {
    if (method === ELFCOMPRESS.ZLIB) bytes = inflateSync(packed, { maxOutputLength: Math.max(1, Number(size)) });
    else if (method === ELFCOMPRESS.ZSTD) bytes = unpackedZstd(packed, Number(size), tooLong);
    else
      throw new InputError(`${place}: is compressed with method ${method}; zlib (1) and zstd (2) are known: ${REMEDY}`);
  } catch (error) {
    if (error instanceof InputError) throw error;
    const { message, code } = error as NodeJS.ErrnoException;
    if (code === 'ERR_BUFFER_TOO_LARGE') return tooLong();
    throw new InputError(`${place}: cannot be unpacked (${message.replaceAll('\n', ' ')}); ${REMEDY}`);
  }
  if (bytes.length !== Number(size)) {
    throw new InputError(
      `${place}: unpacks to ${hex(bytes.length)} bytes, not to the ${hex(size)} of its header; ${REMEDY}`,
    );
  }
  return bytes;
}

function unpackedZstd(packed: Uint8Array, size: number, tooLong: () => never): Uint8Array {
  const bytes = new Uint8Array(size);
  let length = 0;
  // In pieces: when it is given a buffer for the whole, fzstd does not say whether the data were as long.
  const stream = new Decompress((piece) => {
    if (piece.length > size - length) tooLong();
    bytes.set(piece, length);
    length += piece.length;
  });
  stream.push(packed, true);
  return bytes.subarray(0, length);
}

function relocated(elf: ElfFile, section: ElfSection, place: string, contents: Uint8Array): DebugSection {
  const targets = new Map<number, Target>();
  const relocations = elf.type === 'relocatable' ? elf.relocationsOf(section.index) : [];
  if (relocations.length === 0) return { place, data: contents, targets };
  const data = contents.slice();
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  for (const { offset, type, symbol, addend } of relocations) {
    if (type === R_X86_64_NONE) continue;
    const size =
      type === RELOCATION_TYPES.abs64[1]
        ? RELOCATION_WIDTH.abs64
        : type === RELOCATION_TYPES.abs32[1]
          ? RELOCATION_WIDTH.abs32
          : undefined;
    if (size === undefined) {
      throw new InputError(
        `${place} at offset ${hex(offset)}: has the relocation type ${type}, which debug information does not use; ${REMEDY}`,
      );
    }
    if (offset + size > data.length) {
      throw new InputError(
        `${place} at offset ${hex(offset)}: a relocation of ${size} bytes reaches beyond the section's ${hex(data.length)}; ${REMEDY}`,
      );
    }
    const value = BigInt.asUintN(64, symbol.value + addend);
    if (size === 8) view.setBigUint64(offset, value, true);
    else view.setUint32(offset, Number(BigInt.asUintN(32, value)), true);
    if (typeof symbol.section === 'number') targets.set(offset, { section: symbol.section, offset: Number(value) });
  }
  return { place, data, targets };
}
