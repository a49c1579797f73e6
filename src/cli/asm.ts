/** entrace asm: one file through the assembler, for people (a listing) and for other tools (an ELF64 object). */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Assembler } from '../assembler/index.js';
import { byteDirective, Disassembler } from '../cpu/disassembler.js';
import { RELOCATION_TYPES } from '../elf/format.js';
import { elfObject } from '../elf/writer.js';
import { InputError } from '../errors.js';
import type { LineRow, Module, ModuleSection, ModuleSymbol, Relocation, SourcePosition } from '../image/module.js';
import { moduleOf, readBinaries } from '../platforms/read_module.js';
import { ASM_DIRECTORY } from '../platforms/subject.js';
import { count, plural } from '../report/names.js';
import { shortPath } from '../report/text.js';
import { EXIT } from './exit.js';
import { refuseSource } from './output.js';
import { type SourceOptions, sourceSettings } from './search_options.js';

export interface AsmOptions extends SourceOptions {
  readonly output?: string;
  readonly list?: boolean;
}

export async function asm(file: string, options: AsmOptions): Promise<number> {
  const assembler = await Assembler.create();
  const settings = sourceSettings(options);
  const includePaths = [...settings.includePaths, ASM_DIRECTORY, join(ASM_DIRECTORY, 'include')];
  const binaries = await readBinaries([file]);
  const module = moduleOf(binaries, file, { ...settings, includePaths }, assembler, settings.assembler);
  if (options.output !== undefined) await writeObject(module, options.output);
  // With the object on standard output the text goes to standard error: each stream stays of one kind.
  const out = options.output === '-' ? process.stderr : process.stdout;
  const lines = options.list ? listing(module, await Disassembler.create()) : '';
  if (lines !== '') await print(out, `${assembledBy(module)}${lines}`);
  else if (options.list || options.output === undefined)
    await print(out, `${assembledBy(module)}${assembled(module)}\n`);
  return EXIT.HOLDS;
}

async function writeObject(module: Module, output: string): Promise<void> {
  const bytes = elfObject(module);
  if (output === '-') {
    await print(process.stdout, bytes);
    return;
  }
  refuseSource(output, '-o', module.sources.keys());
  try {
    writeFileSync(output, bytes);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new InputError(`${output}: cannot be written (${code}); name another file with -o`);
  }
}

/** Writes, and takes it as done when the reader has had enough (`| head`). */
function print(stream: NodeJS.WriteStream, data: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') resolve();
      else reject(new InputError(`standard output: cannot be written (${error.code})`));
    });
    stream.write(data, (error) => {
      if (!error) resolve();
    });
  });
}

/** Which assembler, if it was not the usual one. */
function assembledBy({ assembler }: Module): string {
  return assembler === undefined || assembler === 'Keystone' ? '' : `assembled by ${assembler}\n`;
}

/** One line: what there is in the module. */
export function assembled(module: Module): string {
  const filled = module.sections.filter((section) => section.size > 0);
  const sections = filled.map((section) => `${section.name} ${plural(section.size, 'byte')}`);
  const symbols = module.symbols.filter(isNamed);
  const missing = symbols.filter((symbol) => symbol.section === 'undefined');
  const tail = missing.length === 0 ? '' : `, ${count(missing.length)} undefined`;
  return `${shortPath(module.name)}: ${sections.join(', ') || 'no bytes'}; ${plural(symbols.length, 'symbol')}${tail}`;
}

/** Labels and names, without what only relocations refer to. */
function isNamed(symbol: ModuleSymbol): boolean {
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

/** The listing of all sections, each line ended; empty if there is nothing to list. */
export function listing(module: Module, disassembler: Disassembler): string {
  const sections = module.sections
    .filter((section) => section.size > 0 || module.symbols.some((s) => isNamed(s) && s.section === section.name))
    .map((section) => new SectionListing(module, section, disassembler));
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
    const title = `section ${this.section.name}: ${plural(size, 'byte')}, alignment ${align}, ${flags.join(', ')}`;
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
    const source = sourceText(row);
    // A prefix that is a statement of its own has a row of its own; the instruction is in the next one.
    const found =
      this.disassembler.instruction(data.subarray(at, end), BigInt(at)) ??
      this.disassembler.instruction(data.subarray(at, size), BigInt(at));
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
      const target = Number(operands);
      const name = this.nameOf(target);
      return `0x${target.toString(16)}${name === undefined ? '' : ` <${name}>`}`;
    }
    const relative = /(-?)(0x[\da-f]+|\d+)?\(%rip\)/.exec(operands);
    if (!relative) return operands;
    const displacement = Number(relative[2] ?? 0);
    const name = this.nameOf(relative[1] === '-' ? stop - displacement : stop + displacement);
    return name === undefined ? operands : `${operands}  <${name}>`;
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
    const offsetWidth = Math.max(4, (this.section.size - 1).toString(16).length + 1);
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
        const offset = row === 0 || hex.length > 0 ? `${(line.offset + from).toString(16)}:` : '';
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
