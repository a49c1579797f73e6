/** Line number programs. Source: DWARF 5, 6.2.2 (state machine), 6.2.5 (opcodes), 7.22 (their numbers). */
import type { Cursor } from './cursor.js';
import type { Target } from './debug_sections.js';
import { type LineHeader, oldFile } from './line_header.js';

/** DWARF 5, 7.22: standard and extended opcodes. */
const LNS = {
  COPY: 1,
  ADVANCE_PC: 2,
  ADVANCE_LINE: 3,
  SET_FILE: 4,
  SET_COLUMN: 5,
  CONST_ADD_PC: 8,
  FIXED_ADVANCE_PC: 9,
} as const;
const LNE = { END_SEQUENCE: 1, SET_ADDRESS: 2, DEFINE_FILE: 3 } as const;

/** Takes a row: what begins at `offset` of `section` is from there; undefined ends a sequence. */
export type RowTaker = (
  section: number,
  offset: number,
  row: { readonly file: number; readonly line: number; readonly column: number } | undefined,
) => void;

/**
 * Runs the program behind a header. `targetOf` says where an address lies, which stands at an offset of the cursor's data;
 * rows of addresses that lie in no section are left out.
 */
export function runLineProgram(
  cursor: Cursor,
  header: LineHeader,
  targetOf: (at: number, address: bigint) => Target | undefined,
  take: RowTaker,
): void {
  const { minimumLength, lineBase, lineRange, opcodeBase, operands, files } = header;
  const state = { section: -1, offset: 0, file: 1, line: 1, column: 0 };
  const reset = (): void => {
    Object.assign(state, { section: -1, offset: 0, file: 1, line: 1, column: 0 });
  };
  const row = (): void => {
    if (state.section >= 0) take(state.section, state.offset, state);
  };
  const extended = (): void => {
    const lengthAt = cursor.at;
    const length = cursor.uleb();
    const end = cursor.at + length;
    if (length === 0 || end > cursor.end)
      cursor.refuse(`an extended opcode of ${length} bytes is not all there`, lengthAt);
    const opcode = cursor.u8();
    if (opcode === LNE.END_SEQUENCE) {
      if (state.section >= 0) take(state.section, state.offset, undefined);
      reset();
    } else if (opcode === LNE.SET_ADDRESS) {
      const at = cursor.at;
      if (end - at !== 8) cursor.refuse(`an address has ${end - at} bytes, not 8`, lengthAt);
      const target = targetOf(at, cursor.u64());
      state.section = target?.section ?? -1;
      state.offset = target?.offset ?? 0;
    } else if (opcode === LNE.DEFINE_FILE) {
      files.push(oldFile(cursor, cursor.string()));
    }
    cursor.at = end;
  };
  cursor.at = header.start;
  while (cursor.at < header.end) {
    const opcode = cursor.u8();
    if (opcode >= opcodeBase) {
      const adjusted = opcode - opcodeBase;
      state.offset += minimumLength * Math.floor(adjusted / lineRange);
      state.line += lineBase + (adjusted % lineRange);
      row();
      continue;
    }
    switch (opcode) {
      case 0:
        extended();
        break;
      case LNS.COPY:
        row();
        break;
      case LNS.ADVANCE_PC:
        state.offset += minimumLength * cursor.uleb();
        break;
      case LNS.ADVANCE_LINE:
        state.line += cursor.sleb();
        break;
      case LNS.SET_FILE:
        state.file = cursor.uleb();
        break;
      case LNS.SET_COLUMN:
        state.column = cursor.uleb();
        break;
      case LNS.CONST_ADD_PC:
        state.offset += minimumLength * Math.floor((255 - opcodeBase) / lineRange);
        break;
      case LNS.FIXED_ADVANCE_PC:
        state.offset += cursor.u16();
        break;
      default:
        // The others, and those that are not known, say nothing about lines.
        for (let i = operands[opcode]!; i > 0; i--) cursor.uleb();
    }
  }
}
