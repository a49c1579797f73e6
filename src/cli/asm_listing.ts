/** The listing of `entrace asm --list`: offsets, bytes, instructions, source lines. */
import { byteDirective, type Disassembler } from '../cpu/disassembler.js';
import { RELOCATION_TYPES } from '../elf/format.js';
import type { LineRow, Module, ModuleSection, ModuleSymbol, Relocation, SourcePosition } from '../image/module.js';
import { plural } from '../report/names.js';
import { shortPath } from '../report/text.js';

/** Labels and names, without what only relocations refer to. */
export function isNamed(symbol: ModuleSymbol): boolean {
  return symbol.type !== 'section' && symbol.name !== '*ABS*';
}

/** Bytes on one line of the listing. */
const BYTES_PER_LINE = 8;
const BYTES_WIDTH = BYTES_PER_LINE * 3 - 1;
/** The text column is no wider than this: with it a line of a usual file ends before column 100. Characters. */
const TEXT_WIDTH = 42;
/** As wide as most mnemonics. Characters. */
const MNEMONIC_WIDTH = 7;
/** From this many equal bytes on, data is one `.skip`. */
const LONG_RUN = 32;

/** How a part of an image is listed: as it lies in memory, patched. */
export interface ListingOfImage {
  /** The address of the section's first byte, for what its instructions refer to. */
  readonly base: bigint;
  /** What the first byte is called in the listing: its address or its offset. */
  readonly shown: bigint;
  /** What has written the instruction at an offset. */
  note(offset: number): string | undefined;
  /** The name of what an object only refers to, by the address that stands for it here. */
  reference(address: bigint): string | undefined;
  /** The name of an address outside of the section. */
  name(address: bigint): string | undefined;
}

/** The listing of all sections, each line ended; empty if there is nothing to list. */
export function listing(module: Module, disassembler: Disassembler, placed?: ListingOfImage): string {
  const sections = module.sections
    .filter((section) => section.size > 0 || module.symbols.some((s) => isNamed(s) && s.section === section.name))
    .map((section) => new SectionListing(module, section, disassembler, placed));
  const width = Math.min(TEXT_WIDTH, Math.max(0, ...sections.map((section) => section.textWidth)));
  const parts = sections.map((section) => section.text(width));
  const others = module.symbols.filter(isNamed);
  parts.push(
    symbolList(
      'absolute symbols',
      others.filter((s) => s.section === 'absolute'),
    ),
  );
  parts.push(
    symbolList(
      'undefined symbols',
      others.filter((s) => s.section === 'undefined'),
    ),
  );
  return parts.filter((part) => part !== '').join('\n');
}

function symbolList(title: string, symbols: readonly ModuleSymbol[]): string {
  if (symbols.length === 0) return '';
  const left = symbols.map((s) => (s.section === 'absolute' ? `${s.name} = 0x${s.value.toString(16)}` : s.name));
  const width = Math.max(...left.map((text) => text.length));
  const rows = symbols.map((s, i) =>
    `  ${left[i]!.padEnd(width)}  ${s.position ? placeText(s.position) : ''}`.trimEnd(),
  );
  return `${title}\n${rows.join('\n')}\n`;
}

function placeText(position: SourcePosition): string {
  return `${shortPath(position.file)}:${position.line}`;
}

/** `file:line`, and for a macro's line the lines that invoked it, innermost first. */
function sourceText(row: LineRow): string {
  // An object without line numbers says 0.
  if (row.position.line === 0) return '';
  let file = row.position.file;
  let text = placeText(row.position);
  for (const from of [...row.expandedFrom].reverse()) {
    text += ` from ${from.file === file ? '' : shortPath(from.file)}:${from.line}`;
    file = from.file;
  }
  return text;
}

/** 5 as 5, 16 as 0x10, with the sign that joins it to a name. */
function signed(value: bigint): string {
  if (value === 0n) return '';
  const size = value < 0n ? -value : value;
  return `${value < 0n ? '-' : '+'}${size < 10n ? size : `0x${size.toString(16)}`}`;
}

/** Bytes of a relocation's field. */
function fieldSize(relocation: Relocation): number {
  return Number(/\d+/.exec(relocation.kind)![0]) / 8;
}

const DATA_DIRECTIVE: Readonly<Record<number, string>> = { 1: '.byte', 2: '.value', 4: '.long', 8: '.quad' };

interface ListedLine {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly text: string;
  readonly source: string;
  /** The bytes go on in the same way: dots stand for them. */
  readonly repeated?: boolean;
  /** Further lines of the text column: the fields that the linker has yet to fill. */
  readonly fields?: readonly string[];
}

class SectionListing {
  private readonly lines: (ListedLine | string)[] = [];
  /** Labels by offset. */
  private readonly labels = new Map<number, ModuleSymbol[]>();
  private readonly labelOffsets: number[];
  private readonly relocations: readonly Relocation[];

  constructor(
    private readonly module: Module,
    private readonly section: ModuleSection,
    private readonly disassembler: Disassembler,
    private readonly placed: ListingOfImage | undefined,
  ) {
    for (const symbol of module.symbols) {
      if (!isNamed(symbol) || symbol.section !== section.name) continue;
      const offset = Number(BigInt.asIntN(64, symbol.value));
      const here = this.labels.get(offset);
      if (here) here.push(symbol);
      else this.labels.set(offset, [symbol]);
    }
    this.labelOffsets = [...this.labels.keys()].sort((a, b) => a - b);
    this.relocations = [...section.relocations].sort((a, b) => a.offset - b.offset);
    this.fill();
  }

  /** The longest text of a line. Characters. */
  get textWidth(): number {
    return this.lines.reduce((most, line) => Math.max(most, typeof line === 'string' ? 0 : line.text.length), 0);
  }

  /** With the text column padded to `width`. */
  text(width: number): string {
    const { size, align } = this.section;
    const flags = [
      this.section.exec ? 'code' : 'data',
      ...(this.section.alloc ? [] : ['not loaded']),
      ...(this.section.write ? ['writable'] : []),
    ];
    const title = this.placed
      ? `section ${this.section.name}: ${plural(size, 'byte')}`
      : `section ${this.section.name}: ${plural(size, 'byte')}, alignment ${align}, ${flags.join(', ')}`;
    return `${[title, ...this.layOut(width)].join('\n')}\n`;
  }

  /** Goes through the section: labels, instructions where a line row stands, data and padding elsewhere. */
  private fill(): void {
    const { size, lines: rows } = this.section;
    let row = 0;
    let label = 0;
    let at = 0;
    for (;;) {
      for (; label < this.labelOffsets.length && this.labelOffsets[label]! <= at; label++) {
        this.label(this.labelOffsets[label]!, at);
      }
      if (at >= size) break;
      while (row < rows.length && rows[row]!.offset < at) row++;
      const here = rows[row]?.offset === at ? rows[row]! : undefined;
      const next = here ? rows[row + 1] : rows[row];
      const end = next?.offset ?? size;
      const limit = Math.min(end, this.labelOffsets[label] ?? size);
      at = here ? this.instruction(here, end, limit) : this.data(at, limit);
    }
    for (; label < this.labelOffsets.length; label++) this.label(this.labelOffsets[label]!, at);
  }

  private label(offset: number, at: number): void {
    for (const symbol of this.labels.get(offset)!) {
      const notes = [symbol.binding, symbol.type === 'func' ? 'function' : symbol.type].filter(
        (word) => word !== 'local' && word !== 'notype',
      );
      const note = notes.length > 0 ? `  (${notes.join(', ')})` : '';
      // A name for a place inside an instruction or outside of the section has no line of its own.
      const name =
        offset === at ? `${symbol.name}:` : `${symbol.name} = ${this.section.name}${signed(BigInt(offset)) || '+0'}`;
      this.lines.push(`${name}${note}`);
    }
  }

  /** The instruction of a row, which ends at the latest where the next row begins. Returns where it ends. */
  private instruction(row: LineRow, end: number, limit: number): number {
    const { data, size } = this.section;
    const at = row.offset;
    const note = this.placed?.note(at);
    const source = [sourceText(row), ...(note === undefined ? [] : [`[${note}]`])].filter((s) => s !== '').join('  ');
    const address = (this.placed?.base ?? 0n) + BigInt(at);
    // A prefix that is a statement of its own has a row of its own; the instruction is in the next one.
    const found =
      this.disassembler.instruction(data.subarray(at, end), address) ??
      this.disassembler.instruction(data.subarray(at, size), address);
    if (!found) {
      // What is known is the source text, and that the bytes are at most those up to the next row or label.
      const stop = Math.min(limit, at + BYTES_PER_LINE);
      const bytes = data.subarray(at, stop);
      const text = row.text.trim().replace(/\s+/g, ' ');
      const fields = this.fields(at, stop, stop);
      this.lines.push({ offset: at, bytes, text: `${byteDirective(bytes)}  # ${text}`, source, fields });
      return stop;
    }
    const stop = at + found.size;
    const bytes = data.subarray(at, stop);
    const operands = this.operands(found.mnemonic, found.operands, at, stop);
    this.lines.push({
      offset: at,
      bytes,
      text: columns(found.mnemonic, operands),
      source,
      fields: this.fields(at, stop, stop),
    });
    return stop;
  }

  /** The operands, and behind them the label that an address within this section belongs to. */
  private operands(mnemonic: string, operands: string, at: number, stop: number): string {
    if (this.relocations.some((r) => r.offset >= at && r.offset < stop)) return operands;
    if (/^(j|call|loop|xbegin)/.test(mnemonic) && /^(0x[\da-f]+|\d+)$/.test(operands)) {
      return this.branchTarget(BigInt(operands));
    }
    const relative = /(-?)(0x[\da-f]+|\d+)?\(%rip\)/.exec(operands);
    if (!relative) {
      return operands.replace(/0x[\da-f]{16}/g, (number) => this.placed?.reference(BigInt(number)) ?? number);
    }
    const displacement = Number(relative[2] ?? 0);
    const target = relative[1] === '-' ? stop - displacement : stop + displacement;
    const name = this.nameOf(target) ?? this.placed?.name(this.placed.base + BigInt(target));
    return name === undefined ? operands : `${operands}  <${name}>`;
  }

  /** As it is listed, with its name; outside of a section without an address, the name alone. */
  private branchTarget(address: bigint): string {
    const { base, shown } = this.placed ?? { base: 0n, shown: 0n };
    const offset = BigInt.asIntN(64, address - base);
    const name = this.nameOf(Number(offset)) ?? this.placed?.name(BigInt.asUintN(64, address));
    const isInside = offset >= 0n && offset <= BigInt(this.section.size);
    if (!isInside && shown !== base && name !== undefined) return name;
    return `0x${BigInt.asUintN(64, shown + offset).toString(16)}${name === undefined ? '' : ` <${name}>`}`;
  }

  private nameOf(offset: number): string | undefined {
    if (offset < 0 || offset > this.section.size) return undefined;
    const start = this.labelOffsets.findLast((o) => o <= offset && o >= 0);
    return start === undefined ? undefined : `${this.labels.get(start)![0]!.name}${signed(BigInt(offset - start))}`;
  }

  /** Bytes that no instruction of the source stands for: padding or data. Returns where they end. */
  private data(at: number, limit: number): number {
    if (this.section.exec && this.padding(at, limit)) return limit;
    const { data } = this.section;
    if (data.length === 0) {
      this.lines.push({ offset: at, bytes: data, text: columns('.skip', String(limit - at)), source: '' });
      return limit;
    }
    const relocation = this.relocations.find((r) => r.offset >= at && r.offset < limit);
    if (relocation?.offset === at) {
      const stop = Math.min(limit, at + fieldSize(relocation));
      const source = relocation.position ? placeText(relocation.position) : '';
      const fields = this.fields(at, stop);
      this.lines.push({ offset: at, bytes: data.subarray(at, stop), text: this.value(at, stop), source, fields });
      return stop;
    }
    const end = relocation?.offset ?? limit;
    let run = at + 1;
    while (run < end && data[run] === data[at]) run++;
    if (run - at >= LONG_RUN) {
      const fill = data[at] === 0 ? '' : `, 0x${data[at]!.toString(16)}`;
      const text = columns('.skip', `${run - at}${fill}`);
      this.lines.push({ offset: at, bytes: data.subarray(at, at + 1), text, source: '', repeated: true });
      return run;
    }
    const stop = Math.min(end, at + BYTES_PER_LINE);
    this.lines.push({ offset: at, bytes: data.subarray(at, stop), text: this.value(at, stop), source: '' });
    return stop;
  }

  /** Shows the NOPs that an alignment puts between instructions; false if these bytes are something else. */
  private padding(at: number, limit: number): boolean {
    const found: ListedLine[] = [];
    for (let offset = at; offset < limit; ) {
      const bytes = this.section.data.subarray(offset, limit);
      const nop = this.disassembler.instruction(bytes, BigInt(offset));
      if (!nop || !/^(nop[wlq]?|xchgw)$/.test(nop.mnemonic) || this.relocated(offset, offset + nop.size)) return false;
      if (nop.mnemonic === 'xchgw' && nop.operands !== '%ax, %ax') return false;
      const text = columns(nop.mnemonic, nop.operands);
      found.push({ offset, bytes: bytes.subarray(0, nop.size), text, source: '' });
      offset += nop.size;
    }
    // Each one is a NOP: so many of them are a fill, not an alignment.
    if (found.length >= LONG_RUN) return false;
    this.lines.push(...found);
    return true;
  }

  private relocated(start: number, end: number): boolean {
    return this.relocations.some((r) => r.offset >= start && r.offset < end);
  }

  /** A directive for up to eight bytes: text, or a number if there are eight or they are one field, or single bytes. */
  private value(start: number, end: number): string {
    const bytes = this.section.data.subarray(start, end);
    const text = Buffer.from(bytes).toString('latin1').replace(/\0+$/, '');
    if (text.length >= 4 && /^[\x20-\x7e\t\n]+$/.test(text) && !this.relocated(start, end)) {
      const zeros = '\\0'.repeat(bytes.length - text.length);
      return columns('.ascii', `${JSON.stringify(text).slice(0, -1)}${zeros}"`);
    }
    const directive = DATA_DIRECTIVE[bytes.length];
    if (directive && (bytes.length === 8 || this.relocated(start, end))) {
      const value = bytes.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n);
      return columns(directive, `0x${value.toString(16)}`);
    }
    const [name, ...rest] = byteDirective(bytes).split(' ');
    return columns(name!, rest.join(' '));
  }

  /**
   * The fields of a line that the linker has yet to fill, each with its offset. A relative one counts from `origin`, or
   * from itself.
   */
  private fields(start: number, end: number, origin?: number): string[] {
    return this.relocations
      .filter((r) => r.offset >= start && r.offset < end)
      .map((r) => {
        const relative = /^p/.test(r.kind) && origin !== undefined ? BigInt(origin - r.offset) : 0n;
        const label = this.module.sections.some((section) => section.name === r.symbol)
          ? this.labelAt(r.symbol, r.addend + relative)
          : '';
        return `${r.offset.toString(16)}: ${RELOCATION_TYPES[r.kind][0]} ${r.symbol}${signed(r.addend)}${label}`;
      });
  }

  /** The label that stands at an offset of any section, as ` <label>`; empty if none does. */
  private labelAt(section: string, offset: bigint): string {
    const label = this.module.symbols.find((s) => isNamed(s) && s.section === section && s.value === offset);
    return label ? ` <${label.name}>` : '';
  }

  private layOut(width: number): string[] {
    // Wide enough for one space before each offset: labels alone stand at the edge.
    const first = this.placed?.shown ?? 0n;
    const offsetWidth = Math.max(4, (first + BigInt(this.section.size - 1)).toString(16).length + 1);
    const out: string[] = [];
    for (const line of this.lines) {
      if (typeof line === 'string') {
        if (out.length > 0 && out[out.length - 1]!.startsWith(' ')) out.push('');
        out.push(line);
        continue;
      }
      const texts = [`${line.text.padEnd(width)}  ${line.source}`, ...(line.fields ?? [])];
      const rows = Math.max(texts.length, Math.ceil(line.bytes.length / BYTES_PER_LINE));
      for (let row = 0; row < rows; row++) {
        const from = row * BYTES_PER_LINE;
        const hex = [...line.bytes.subarray(from, from + BYTES_PER_LINE)].map((b) => b.toString(16).padStart(2, '0'));
        if (line.repeated) hex.push('...');
        const offset = row === 0 || hex.length > 0 ? `${(first + BigInt(line.offset + from)).toString(16)}:` : '';
        const cells = [offset.padStart(offsetWidth + 1), hex.join(' ').padEnd(BYTES_WIDTH + 1), texts[row] ?? ''];
        out.push(cells.join(' ').trimEnd());
      }
    }
    return out;
  }
}

function columns(mnemonic: string, operands: string): string {
  return operands === '' ? mnemonic : `${mnemonic.padEnd(MNEMONIC_WIDTH)} ${operands}`;
}
