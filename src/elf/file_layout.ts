/**
 * An ELF64 file from its sections: header, contents, section headers; and the tables of names and symbols.
 *
 * Sources: `format.ts`.
 */
import { EHDR_SIZE, EM_X86_64, type ET, EV_CURRENT, IDENT, SHDR_SIZE, SHT, SYM_SIZE } from './format.js';

export interface SectionHeader {
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  /** 0 in an object. */
  readonly address?: bigint;
  /** In the file; undefined for NOBITS. */
  readonly data: Uint8Array | undefined;
  readonly size: number;
  readonly link: number;
  readonly info: number;
  readonly align: number;
  readonly entrySize: number;
}

/** gABI, String Table: begins with a NUL; each name once. */
export class NameTable {
  private readonly offsets = new Map<string, number>([['', 0]]);
  private readonly parts: Uint8Array[] = [Uint8Array.of(0)];
  private length = 1;

  add(text: string): number {
    const known = this.offsets.get(text);
    if (known !== undefined) return known;
    const offset = this.length;
    const bytes = Buffer.from(`${text}\0`);
    this.parts.push(bytes);
    this.length += bytes.length;
    this.offsets.set(text, offset);
    return offset;
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.parts);
  }
}

/** A section that is not loaded. */
export function plainHeader(name: string, data: Uint8Array): SectionHeader {
  return {
    ...{ name, type: SHT.PROGBITS, flags: 0, data, size: data.length },
    ...{ link: 0, info: 0, align: 1, entrySize: 0 },
  };
}

/** .symtab and .strtab, which follow each other; `index` is the first one's, `firstGlobal` that of the first symbol that is not local. */
export function symbolHeaders(
  symbols: Uint8Array,
  names: NameTable,
  index: number,
  firstGlobal: number,
): readonly SectionHeader[] {
  const table = { type: SHT.SYMTAB, link: index + 1, info: firstGlobal, align: 8, entrySize: SYM_SIZE };
  return [
    { ...plainHeader('.symtab', symbols), ...table },
    { ...plainHeader('.strtab', names.bytes()), type: SHT.STRTAB },
  ];
}

function aligned(offset: number, alignment: number): number {
  return Math.ceil(offset / alignment) * alignment;
}

/** The bytes of the file. The sections are numbered from 1 on; .shstrtab is put behind them. */
export function elfFile(type: (typeof ET)[keyof typeof ET], sections: readonly SectionHeader[]): Uint8Array {
  const names = new NameTable();
  for (const { name } of sections) names.add(name);
  names.add('.shstrtab');
  const headers = [...sections, { ...plainHeader('.shstrtab', names.bytes()), type: SHT.STRTAB }];
  let end = EHDR_SIZE;
  const offsets = headers.map((header) => {
    end = aligned(end, Math.max(1, header.align));
    const offset = end;
    end += header.data?.length ?? 0;
    return offset;
  });
  const headersAt = aligned(end, 8);
  const bytes = new Uint8Array(headersAt + (headers.length + 1) * SHDR_SIZE);
  const view = new DataView(bytes.buffer);
  bytes.set(IDENT);
  view.setUint16(16, type, true);
  view.setUint16(18, EM_X86_64, true);
  view.setUint32(20, EV_CURRENT, true);
  view.setBigUint64(40, BigInt(headersAt), true);
  view.setUint16(52, EHDR_SIZE, true);
  view.setUint16(58, SHDR_SIZE, true);
  view.setUint16(60, headers.length + 1, true);
  view.setUint16(62, headers.length, true);
  headers.forEach((header, i) => {
    if (header.data) bytes.set(header.data, offsets[i]!);
    const at = headersAt + (i + 1) * SHDR_SIZE;
    view.setUint32(at, names.add(header.name), true);
    view.setUint32(at + 4, header.type, true);
    view.setBigUint64(at + 8, BigInt(header.flags), true);
    view.setBigUint64(at + 16, header.address ?? 0n, true);
    view.setBigUint64(at + 24, BigInt(offsets[i]!), true);
    view.setBigUint64(at + 32, BigInt(header.size), true);
    view.setUint32(at + 40, header.link, true);
    view.setUint32(at + 44, header.info, true);
    view.setBigUint64(at + 48, BigInt(header.align), true);
    view.setBigUint64(at + 56, BigInt(header.entrySize), true);
  });
  return bytes;
}
