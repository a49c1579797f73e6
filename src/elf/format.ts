/**
 * The names and numbers of ELF64 for x86-64, for what reads and what writes objects.
 *
 * Sources: System V ABI, "gABI", edition 4.1, chapters 4 and 5: ELF Header, Sections, String Table, Symbol Table, Relocation, Program
 * Header; System V ABI, AMD64 supplement, "psABI", 4.1 (machine) and 4.4.1 (relocation types).
 */
import type { RelocationKind } from '../image/module.js';

/** gABI, ELF Identification: magic number, 64-bit, little-endian, version 1. */
export const IDENT = Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2, 1, 1);
export const ET = { REL: 1, EXEC: 2, DYN: 3, CORE: 4 } as const;
export const EM_X86_64 = 62;
export const EV_CURRENT = 1;

/** Sizes of Elf64_Ehdr, Elf64_Phdr, Elf64_Shdr, Elf64_Sym, Elf64_Rela, Elf64_Chdr. Bytes. */
export const EHDR_SIZE = 64;
export const PHDR_SIZE = 56;
export const SHDR_SIZE = 64;
export const SYM_SIZE = 24;
export const RELA_SIZE = 24;
export const CHDR_SIZE = 24;

/** gABI, Program Header: where e_phnum cannot hold the number (PN_XNUM), it is in sh_info of section 0. */
export const PN_XNUM = 0xffff;
export const PT_LOAD = 1;

/** gABI, Special Section Indexes. */
export const SHN = { UNDEF: 0, LORESERVE: 0xff00, ABS: 0xfff1, COMMON: 0xfff2, XINDEX: 0xffff } as const;

/** gABI, Section Types. */
export const SHT = {
  NULL: 0,
  PROGBITS: 1,
  SYMTAB: 2,
  STRTAB: 3,
  RELA: 4,
  NOTE: 7,
  NOBITS: 8,
  REL: 9,
  INIT_ARRAY: 14,
  FINI_ARRAY: 15,
  PREINIT_ARRAY: 16,
  GROUP: 17,
  SYMTAB_SHNDX: 18,
  RELR: 19,
} as const;

/** gABI, Section Attribute Flags; EXCLUDE is GNU's. */
export const SHF = {
  WRITE: 0x1,
  ALLOC: 0x2,
  EXECINSTR: 0x4,
  INFO_LINK: 0x40,
  TLS: 0x400,
  COMPRESSED: 0x800,
  EXCLUDE: 0x80000000,
} as const;

/** gABI, Section Compression: ch_type. */
export const ELFCOMPRESS = { ZLIB: 1, ZSTD: 2 } as const;

/** gABI, Section Groups: of groups with one signature, the first is kept. */
export const GRP_COMDAT = 1;

/** gABI, Symbol Binding; 10 is GNU's. */
export const BINDINGS = { local: 0, global: 1, weak: 2, unique: 10 } as const;
/** gABI, Symbol Types; 10 is GNU's. */
export const TYPES = { notype: 0, object: 1, func: 2, section: 3, file: 4, common: 5, tls: 6, ifunc: 10 } as const;

/** Symbol 0 of every table, whose value is 0 (gABI, Relocation: STN_UNDEF): what relocations of plain numbers refer to. */
export const ABSOLUTE = '*ABS*';

export const R_X86_64_NONE = 0;

/** psABI, table "Relocation types": those that a linker without GOT, PLT and TLS can apply: name and number. */
export const RELOCATION_TYPES: Readonly<Record<RelocationKind, readonly [name: string, type: number]>> = {
  abs64: ['R_X86_64_64', 1],
  pc32: ['R_X86_64_PC32', 2],
  plt32: ['R_X86_64_PLT32', 4],
  abs32: ['R_X86_64_32', 10],
  abs32s: ['R_X86_64_32S', 11],
  abs16: ['R_X86_64_16', 12],
  pc16: ['R_X86_64_PC16', 13],
  abs8: ['R_X86_64_8', 14],
  pc8: ['R_X86_64_PC8', 15],
  pc64: ['R_X86_64_PC64', 24],
};

/** Bytes of the field that a relocation fills. */
export const RELOCATION_WIDTH: Readonly<Record<RelocationKind, number>> = {
  abs64: 8,
  pc32: 4,
  plt32: 4,
  abs32: 4,
  abs32s: 4,
  abs16: 2,
  pc16: 2,
  abs8: 1,
  pc8: 1,
  pc64: 8,
};

/** psABI, table "Relocation types": the others, by number. */
export const OTHER_RELOCATIONS: ReadonlyMap<number, string> = new Map([
  [3, 'R_X86_64_GOT32'],
  [5, 'R_X86_64_COPY'],
  [6, 'R_X86_64_GLOB_DAT'],
  [7, 'R_X86_64_JUMP_SLOT'],
  [8, 'R_X86_64_RELATIVE'],
  [9, 'R_X86_64_GOTPCREL'],
  [16, 'R_X86_64_DTPMOD64'],
  [17, 'R_X86_64_DTPOFF64'],
  [18, 'R_X86_64_TPOFF64'],
  [19, 'R_X86_64_TLSGD'],
  [20, 'R_X86_64_TLSLD'],
  [21, 'R_X86_64_DTPOFF32'],
  [22, 'R_X86_64_GOTTPOFF'],
  [23, 'R_X86_64_TPOFF32'],
  [25, 'R_X86_64_GOTOFF64'],
  [26, 'R_X86_64_GOTPC32'],
  [27, 'R_X86_64_GOT64'],
  [28, 'R_X86_64_GOTPCREL64'],
  [29, 'R_X86_64_GOTPC64'],
  [30, 'R_X86_64_GOTPLT64'],
  [31, 'R_X86_64_PLTOFF64'],
  [32, 'R_X86_64_SIZE32'],
  [33, 'R_X86_64_SIZE64'],
  [34, 'R_X86_64_GOTPC32_TLSDESC'],
  [35, 'R_X86_64_TLSDESC_CALL'],
  [36, 'R_X86_64_TLSDESC'],
  [37, 'R_X86_64_IRELATIVE'],
  [38, 'R_X86_64_RELATIVE64'],
  [41, 'R_X86_64_GOTPCRELX'],
  [42, 'R_X86_64_REX_GOTPCRELX'],
  [43, 'R_X86_64_CODE_4_GOTPCRELX'],
  [44, 'R_X86_64_CODE_4_GOTTPOFF'],
  [45, 'R_X86_64_CODE_4_GOTPC32_TLSDESC'],
  [46, 'R_X86_64_CODE_5_GOTPCRELX'],
  [47, 'R_X86_64_CODE_5_GOTTPOFF'],
  [48, 'R_X86_64_CODE_5_GOTPC32_TLSDESC'],
  [49, 'R_X86_64_CODE_6_GOTPCRELX'],
  [50, 'R_X86_64_CODE_6_GOTTPOFF'],
  [51, 'R_X86_64_CODE_6_GOTPC32_TLSDESC'],
]);
