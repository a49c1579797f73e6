/**
 * Headers of line number programs, versions 2 to 5.
 *
 * Source: DWARF 5, 6.2.4 (The Line Number Program Header), 7.4 (32-bit and 64-bit formats), 7.5.6 (forms), 7.22; DWARF 4, 6.2.4,
 * for versions 2 to 4.
 */
import type { Cursor } from './cursor.js';
import type { StringTable } from './strings.js';

export interface LineFile {
  readonly name: string;
  /** Index into the directories. */
  readonly directory: number;
}

export interface LineHeader {
  readonly version: number;
  /** Bytes of an offset: 4 or 8. */
  readonly offsetSize: 4 | 8;
  readonly minimumLength: number;
  readonly lineBase: number;
  readonly lineRange: number;
  readonly opcodeBase: number;
  /** Operands of each standard opcode, by opcode; 0 unused. */
  readonly operands: readonly number[];
  /** Before version 5, number 0 is the directory of compilation, which only `.debug_info` names: empty here. */
  readonly directories: readonly string[];
  /** By the number that the program uses: before version 5 from 1 on. */
  readonly files: (LineFile | undefined)[];
  /** Where the program begins, and ends. */
  readonly start: number;
  readonly end: number;
}

/** The tables that names may be in. */
export interface LineStrings {
  /** `.debug_line_str`, `.debug_str`. */
  readonly lineStrings: StringTable | undefined;
  readonly strings: StringTable | undefined;
}

/** DWARF 5, 7.22: content type codes. */
const LNCT = { PATH: 1, DIRECTORY: 2 } as const;
/** DWARF 5, 7.5.6: forms that an entry may have. */
const FORM = {
  DATA2: 0x05,
  DATA4: 0x06,
  DATA8: 0x07,
  STRING: 0x08,
  BLOCK: 0x09,
  DATA1: 0x0b,
  STRP: 0x0e,
  UDATA: 0x0f,
  DATA16: 0x1e,
  LINE_STRP: 0x1f,
} as const;

/** DWARF 5, 7.4: the length of a unit; offsets have 8 bytes if it says so. */
export function unitLength(cursor: Cursor): { size: number; offsetSize: 4 | 8 } {
  const at = cursor.at;
  const first = cursor.u32();
  if (first < 0xfffffff0) return { size: first, offsetSize: 4 };
  if (first !== 0xffffffff) cursor.refuse(`the length 0x${first.toString(16)} is reserved`, at);
  return { size: cursor.word(8), offsetSize: 8 };
}

/** The header at the cursor, which ends with the unit; `offsetSize` as its length says. */
export function lineHeader(cursor: Cursor, offsetSize: 4 | 8, strings: LineStrings): LineHeader {
  const begin = cursor.at;
  const version = cursor.u16();
  if (version < 2 || version > 5)
    cursor.refuse(`line numbers of DWARF version ${version} are not known (2 to 5 are)`, begin);
  if (version >= 5) {
    const sizes = cursor.at;
    const [address, segment] = [cursor.u8(), cursor.u8()];
    if (address !== 8 || segment !== 0) {
      cursor.refuse(`addresses of ${address} bytes with segments of ${segment} are not those of x86-64`, sizes);
    }
  }
  const lengthAt = cursor.at;
  const length = cursor.word(offsetSize);
  const start = cursor.at + length;
  if (start > cursor.end)
    cursor.refuse(`the header's length, 0x${length.toString(16)}, reaches beyond the unit`, lengthAt);
  const minimumLength = cursor.u8();
  const perInstruction = version >= 4 ? cursor.u8() : 1;
  if (perInstruction !== 1)
    cursor.refuse(`${perInstruction} operations in an instruction are not those of x86-64`, cursor.at - 1);
  // default_is_stmt: every row counts here.
  cursor.skip(1);
  const lineBase = cursor.i8();
  const lineRange = cursor.u8();
  if (lineRange === 0) cursor.refuse('the line range is 0', cursor.at - 1);
  const opcodeBase = cursor.u8();
  if (opcodeBase === 0) cursor.refuse('the first special opcode is 0', cursor.at - 1);
  const operands = [0];
  while (operands.length < opcodeBase) operands.push(cursor.u8());
  const { directories, files } = version >= 5 ? tables(cursor, offsetSize, strings) : oldTables(cursor);
  return {
    ...{ version, offsetSize, minimumLength, lineBase, lineRange, opcodeBase, operands, directories, files },
    ...{ start, end: cursor.end },
  };
}

/** An entry of versions 2 to 4, and of DW_LNE_define_file, behind its name: directory, time, length. */
export function oldFile(cursor: Cursor, name: string): LineFile {
  const directory = cursor.uleb();
  cursor.uleb();
  cursor.uleb();
  return { name, directory };
}

function oldTables(cursor: Cursor): Pick<LineHeader, 'directories' | 'files'> {
  const directories = [''];
  for (let name = cursor.string(); name !== ''; name = cursor.string()) directories.push(name);
  const files: (LineFile | undefined)[] = [undefined];
  for (let name = cursor.string(); name !== ''; name = cursor.string()) files.push(oldFile(cursor, name));
  return { directories, files };
}

function tables(cursor: Cursor, offsetSize: 4 | 8, strings: LineStrings): Pick<LineHeader, 'directories' | 'files'> {
  const directories = entries(cursor, offsetSize, strings).map(({ name }) => name);
  return { directories, files: entries(cursor, offsetSize, strings) };
}

/** DWARF 5, 6.2.4.1: a description of what entries hold, and the entries. */
function entries(cursor: Cursor, offsetSize: 4 | 8, strings: LineStrings): LineFile[] {
  const formats = Array.from({ length: cursor.u8() }, () => ({ content: cursor.uleb(), form: cursor.uleb() }));
  const at = cursor.at;
  const count = cursor.uleb();
  // Each field has a byte at least.
  if (count > 0 && formats.length === 0) cursor.refuse(`${count} entries have no fields`, at);
  const found: LineFile[] = [];
  while (found.length < count) {
    let [name, directory] = ['', 0];
    for (const { content, form } of formats) {
      const value = field(cursor, form, offsetSize, strings);
      if (content === LNCT.PATH && typeof value === 'string') name = value;
      if (content === LNCT.DIRECTORY && typeof value === 'number') directory = value;
    }
    found.push({ name, directory });
  }
  return found;
}

function field(cursor: Cursor, form: number, offsetSize: 4 | 8, strings: LineStrings): string | number | undefined {
  const { at } = cursor;
  switch (form) {
    case FORM.STRING:
      return cursor.string();
    case FORM.LINE_STRP:
    case FORM.STRP: {
      const table = form === FORM.STRP ? strings.strings : strings.lineStrings;
      const offset = cursor.word(offsetSize);
      if (!table)
        return cursor.refuse(
          `a name is in .debug_${form === FORM.STRP ? '' : 'line_'}str, which the file does not have`,
          at,
        );
      return table.at(offset, 'a source file or directory');
    }
    case FORM.UDATA:
      return cursor.uleb();
    case FORM.DATA1:
      return cursor.u8();
    case FORM.DATA2:
      return cursor.u16();
    case FORM.DATA4:
      return cursor.u32();
    case FORM.DATA8:
      cursor.skip(8);
      return undefined;
    case FORM.DATA16:
      cursor.skip(16);
      return undefined;
    case FORM.BLOCK:
      cursor.skip(cursor.uleb());
      return undefined;
    default:
      return cursor.refuse(`a name has the form 0x${form.toString(16)}, which line numbers do not use`, at);
  }
}
