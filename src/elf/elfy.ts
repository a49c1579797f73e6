/**
 * elfy, which finds headers and slices sections. The only file that knows it.
 *
 * Of what it says only the slices can be relied on: its 64-bit fields are floating-point numbers, the fields behind sh_info are
 * read at wrong offsets, and it throws plain errors. So `reader.ts` checks the tables before they are sliced here.
 */
import { createRequire } from 'node:module';

/** The fields of the file header that elfy is told, where they are not what the header says (gABI, extended numbering). */
interface ElfyHeader {
  phnum: number;
  shnum: number;
}

interface ElfyPart {
  /** The bytes that sh_offset and sh_size, or p_offset and p_filesz, name: a view. */
  readonly data: Buffer;
}

interface ElfyBody {
  readonly programs: readonly ElfyPart[];
  readonly sections: readonly ElfyPart[];
}

interface ElfyParser {
  parseHeader(bytes: Buffer): ElfyHeader;
  parseBody(bytes: Buffer, header: ElfyHeader): ElfyBody;
}

const { Parser } = createRequire(import.meta.url)('elfy') as { readonly Parser: new () => ElfyParser };

/** The contents of each section and segment of an ELF file whose header and tables have been checked: views, not copies. */
export function slices(bytes: Uint8Array, sections: number, programs: number): ElfyBody {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const parser = new Parser();
  const header = parser.parseHeader(buffer);
  header.shnum = sections;
  header.phnum = programs;
  return parser.parseBody(buffer, header);
}
