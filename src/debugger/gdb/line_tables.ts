/**
 * Source lines of an image as DWARF has them, for debuggers: one compilation unit for each section with lines.
 *
 * Source: DWARF 4, 3.1.1 (compilation units), 6.2 (line number information), 7.5 (abbreviations, forms), 7.12 (languages), 7.21.
 */
import type { PlacedSection } from '../../image/image.js';
import { ByteWriter } from './byte_writer.js';

const VERSION = 4;
const TAG_COMPILE_UNIT = 0x11;
const CHILDREN_NO = 0;
const AT = { NAME: 0x03, STMT_LIST: 0x10, LOW_PC: 0x11, HIGH_PC: 0x12, LANGUAGE: 0x13, COMP_DIR: 0x1b, PRODUCER: 0x25 };
const FORM = { ADDR: 0x01, DATA2: 0x05, DATA8: 0x07, STRING: 0x08, SEC_OFFSET: 0x17 };
/** What assemblers say, and debuggers show registers and expressions by. */
const LANG_MIPS_ASSEMBLER = 0x8001;

const LNS = { COPY: 1, ADVANCE_PC: 2, ADVANCE_LINE: 3, SET_FILE: 4 };
const LNE = { END_SEQUENCE: 1, SET_ADDRESS: 2 };
/** Operands of the standard opcodes 1 to 12. */
const OPERANDS = [0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1];

/** What lies from `offset` of a section on; undefined: from no line. */
interface Row {
  readonly offset: number;
  readonly place: { readonly file: string; readonly line: number } | undefined;
}

/** Where the source file of a name lies. */
export type PathOf = (file: string) => string;

export interface DebugSections {
  readonly '.debug_abbrev': Uint8Array;
  readonly '.debug_info': Uint8Array;
  readonly '.debug_line': Uint8Array;
}

/** `directory`: which relative paths begin at. */
export function debugSections(sections: readonly PlacedSection[], pathOf: PathOf, directory: string): DebugSections {
  const info = new ByteWriter();
  const lines = new ByteWriter();
  for (const section of sections) {
    const first = rows(section).next();
    if (first.done) continue;
    unit(info, section, lines.length, pathOf, directory);
    lineProgram(lines, section, pathOf);
  }
  return { '.debug_abbrev': abbreviations(), '.debug_info': info.done(), '.debug_line': lines.done() };
}

function* rows(section: PlacedSection): Generator<Row> {
  for (const { offset, position } of section.lines) {
    yield { offset, place: position.line > 0 ? position : undefined };
  }
  const map = section.lineMap;
  if (section.lines.length > 0 || map === undefined) return;
  for (let i = 0; i < map.offsets.length; i++) {
    const offset = map.offsets[i]!;
    // Of several at one place the last one counts.
    if (map.offsets[i + 1] === offset) continue;
    const file = map.files[map.fileOf[i]!];
    const line = map.lines[i]!;
    yield { offset, place: file === undefined || line === 0 ? undefined : { file, line } };
  }
}

function abbreviations(): Uint8Array {
  const out = new ByteWriter();
  out.u8(1, TAG_COMPILE_UNIT, CHILDREN_NO);
  out.u8(AT.PRODUCER, FORM.STRING, AT.LANGUAGE, FORM.DATA2, AT.NAME, FORM.STRING, AT.COMP_DIR, FORM.STRING);
  out.u8(AT.LOW_PC, FORM.ADDR, AT.HIGH_PC, FORM.DATA8, AT.STMT_LIST, FORM.SEC_OFFSET);
  out.u8(0, 0, 0);
  return out.done();
}

function unit(out: ByteWriter, section: PlacedSection, lines: number, pathOf: PathOf, directory: string): void {
  out.withLength(() => {
    out.u16(VERSION);
    out.u32(0);
    out.u8(8);
    out.u8(1);
    out.string('entrace');
    out.u16(LANG_MIPS_ASSEMBLER);
    out.string(pathOf(section.module));
    out.string(directory);
    out.u64(section.loadAddress);
    out.u64(BigInt(section.size));
    out.u32(lines);
  });
}

/** The rows of one section, between which there may be gaps. */
function lineProgram(out: ByteWriter, section: PlacedSection, pathOf: PathOf): void {
  const program = new ByteWriter();
  const files = new Map<string, number>();
  const extended = (opcode: number, operands: () => void, size: number): void => {
    program.u8(0, size + 1, opcode);
    operands();
  };
  let state: { offset: number; file: number; line: number } | undefined;
  const advance = (offset: number): void => {
    if (offset === state!.offset) return;
    program.u8(LNS.ADVANCE_PC);
    program.uleb(offset - state!.offset);
  };
  const end = (offset: number): void => {
    advance(offset);
    extended(LNE.END_SEQUENCE, () => undefined, 0);
    state = undefined;
  };
  for (const { offset, place } of rows(section)) {
    if (place === undefined) {
      if (state) end(offset);
      continue;
    }
    const file = files.get(place.file) ?? files.size + 1;
    files.set(place.file, file);
    if (state === undefined) {
      extended(LNE.SET_ADDRESS, () => program.u64(section.loadAddress + BigInt(offset)), 8);
      // What the machine's registers hold at the beginning of a sequence.
      state = { offset, file: 1, line: 1 };
    }
    advance(offset);
    if (file !== state.file) {
      program.u8(LNS.SET_FILE);
      program.uleb(file);
    }
    if (place.line !== state.line) {
      program.u8(LNS.ADVANCE_LINE);
      program.sleb(place.line - state.line);
    }
    program.u8(LNS.COPY);
    state = { offset, file, line: place.line };
  }
  if (state) end(section.size);

  out.withLength(() => {
    out.u16(VERSION);
    out.withLength(() => {
      // minimum_instruction_length, maximum_operations_per_instruction, default_is_stmt, line_base, line_range, opcode_base.
      out.u8(1, 1, 1, 0, 1, OPERANDS.length + 1, ...OPERANDS);
      out.u8(0);
      for (const file of files.keys()) {
        out.string(pathOf(file));
        out.u8(0, 0, 0);
      }
      out.u8(0);
    });
    out.bytes(program.done());
  });
}
