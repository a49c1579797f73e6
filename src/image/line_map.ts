/** The source lines of code that has too many instructions for a row each. Plain data, which goes from thread to thread. */
import { lastAt } from '../binary_search.js';
import type { SourcePosition } from './module.js';

/** Row i: what lies at `offsets[i]` of a section, and behind it up to the next row's, is from `lines[i]` of `files[fileOf[i]]`. */
export interface LineMap {
  /** Undefined at 0, the file of what is from nowhere. */
  readonly files: readonly (string | undefined)[];
  /** In order; of several that are equal, the last row counts. */
  readonly offsets: Uint32Array;
  readonly fileOf: Uint32Array;
  /** 0: from no line. */
  readonly lines: Uint32Array;
  /** 0: not known. */
  readonly columns: Uint32Array;
}

/** Where the code at an offset comes from; undefined if that is not known. */
export function positionAt(map: LineMap, offset: number): SourcePosition | undefined {
  const { files, offsets, fileOf, lines, columns } = map;
  const row = lastAt(offsets.length, (i) => offsets[i]! <= offset);
  if (row < 0) return undefined;
  const file = files[fileOf[row]!];
  const line = lines[row]!;
  if (file === undefined || line === 0) return undefined;
  const column = columns[row]!;
  return column === 0 ? { file, line } : { file, line, column };
}
