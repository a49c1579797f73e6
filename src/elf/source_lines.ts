/** The source lines of an ELF file's code, from `.debug_line`. */
import type { LineMap } from '../image/line_map.js';
import { Cursor } from './cursor.js';
import { debugSection, type Target } from './debug_sections.js';
import type { ElfFile } from './file.js';
import { SHF } from './format.js';
import { type LineHeader, lineHeader, unitLength } from './line_header.js';
import { runLineProgram } from './line_program.js';
import { StringTable } from './strings.js';

/** Numbers below 2^32, as many as come. */
class Column {
  values = new Uint32Array(1024);
  length = 0;

  push(value: number): void {
    if (this.length === this.values.length) {
      const larger = new Uint32Array(2 * this.length);
      larger.set(this.values);
      this.values = larger;
    }
    this.values[this.length++] = value;
  }
}

/** The file of a row that ends a sequence, or is from none. */
const NOWHERE = 0;

/** Rows of one section as they come: four columns. */
class Rows {
  readonly offsets = new Column();
  readonly files = new Column();
  readonly lines = new Column();
  readonly columns = new Column();

  push(offset: number, file: number, line: number, column: number): void {
    this.offsets.push(offset);
    this.files.push(file);
    this.lines.push(line);
    this.columns.push(column);
  }

  /** The rows in order; one that ends a sequence comes before one that begins another there, others as they came. */
  map(names: readonly (string | undefined)[]): LineMap {
    const order = this.#order();
    const column = ({ values }: Column): Uint32Array => order.map((row) => values[row]!);
    return {
      files: names,
      offsets: column(this.offsets),
      fileOf: column(this.files),
      lines: column(this.lines),
      columns: column(this.columns),
    };
  }

  /** Row numbers by offset. Sequences mostly are in order and apart from each other: then only they are sorted. */
  #order(): Uint32Array {
    const [offsets, files] = [this.offsets.values, this.files.values];
    const isEnd = (row: number): number => (files[row] === NOWHERE ? 0 : 1);
    const compare = (a: number, b: number): number => offsets[a]! - offsets[b]! || isEnd(a) - isEnd(b) || a - b;
    const starts: number[] = [];
    for (let row = 0; row < this.offsets.length; row++) if (row === 0 || isEnd(row - 1) === 0) starts.push(row);
    const ends = new Map(starts.map((start, i) => [start, starts[i + 1] ?? this.offsets.length]));
    const order = new Uint32Array(this.offsets.length);
    let at = 0;
    for (const start of starts.sort(compare)) for (let row = start; row < ends.get(start)!; row++) order[at++] = row;
    for (let i = 1; i < order.length; i++) if (compare(order[i - 1]!, order[i]!) > 0) return order.sort(compare);
    return order;
  }
}

/** The line maps of sections, by their index. */
export type SourceLines = ReadonlyMap<number, LineMap>;

/** The lines of a file's code; empty if it has none. */
export function sourceLines(elf: ElfFile): SourceLines {
  const section = debugSection(elf, '.debug_line');
  if (!section) return new Map();
  const { data, place, targets } = section;
  const table = (name: string): StringTable | undefined => {
    const found = debugSection(elf, name);
    return found && new StringTable(found.data, found.place);
  };
  const strings = { lineStrings: table('.debug_line_str'), strings: table('.debug_str') };
  const sections = new Map<number, Rows>();
  // At NOWHERE there is no file.
  const files: (string | undefined)[] = [undefined];
  const numbers = new Map<string, number>();
  const numberOf = (path: string): number => {
    const known = numbers.get(path);
    if (known !== undefined) return known;
    numbers.set(path, files.length);
    return files.push(path) - 1;
  };
  const targetOf = finder(elf, targets);
  for (let at = 0; at < data.length; ) {
    const whole = new Cursor(data, place, at, data.length);
    const { size, offsetSize } = unitLength(whole);
    if (size > data.length - whole.at) {
      whole.refuse(
        `a unit of 0x${size.toString(16)} bytes reaches beyond the section's 0x${data.length.toString(16)}`,
        at,
      );
    }
    const end = whole.at + size;
    const cursor = new Cursor(data, place, whole.at, end);
    const header = lineHeader(cursor, offsetSize, strings);
    const paths: number[] = [];
    runLineProgram(cursor, header, targetOf, (index, offset, row) => {
      if (offset > elf.sections[index]!.size) return;
      let rows = sections.get(index);
      if (!rows) {
        rows = new Rows();
        sections.set(index, rows);
      }
      if (!row) return rows.push(offset, NOWHERE, 0, 0);
      const { file, line, column } = row;
      // A file that is not there, or a line that is none: code from nowhere.
      if (header.files[file] === undefined || line < 0 || line > 0xffffffff) return rows.push(offset, NOWHERE, 0, 0);
      paths[file] ??= numberOf(pathOf(header, file));
      rows.push(offset, paths[file], line, column > 0xffffffff ? 0 : column);
    });
    at = end;
  }
  return new Map([...sections].map(([index, rows]) => [index, rows.map(files)]));
}

/** DWARF 5, 6.2.4: a file's directory counts from directory 0, the one of compilation, which version 5 names. */
function pathOf({ version, directories, files }: LineHeader, file: number): string {
  const { name, directory } = files[file]!;
  if (name.startsWith('/')) return name;
  const own = directories[directory] ?? '';
  const path = own === '' ? name : `${own}/${name}`;
  if (path.startsWith('/') || version < 5 || directory === 0) return path;
  return `${directories[0]}/${path}`;
}

/** Where an address lies: in an object, what a relocation says, in an executable the section that holds it. */
function finder(
  elf: ElfFile,
  targets: ReadonlyMap<number, Target>,
): (at: number, address: bigint) => Target | undefined {
  if (elf.type === 'relocatable') return (at) => targets.get(at);
  const code = elf.sections.filter(
    ({ flags, size }) => (flags & SHF.ALLOC) !== 0 && (flags & SHF.EXECINSTR) !== 0 && size > 0,
  );
  return (_, address) => {
    const section = code.find((s) => address >= s.address && address < s.address + BigInt(s.size));
    return section && { section: section.index, offset: Number(address - section.address) };
  };
}
