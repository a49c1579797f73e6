/** entrace asm: one file through the assembler, for people (a listing) and for other tools (an ELF64 object). */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { assembleWithGnu } from '../assembler/gnu.js';
import { Assembler, type SourceSettings } from '../assembler/index.js';
import { Disassembler } from '../cpu/disassembler.js';
import { elfObject } from '../elf/writer.js';
import { InputError } from '../errors.js';
import type { Module } from '../image/module.js';
import { readBinaries } from '../platforms/read_module.js';
import { ASM_DIRECTORY } from '../platforms/subject.js';
import { count, plural } from '../report/names.js';
import { shortPath } from '../report/text.js';
import { isNamed, listing } from './asm_listing.js';
import { EXIT } from './exit.js';
import { refuseSource } from './output.js';
import { patchedListing } from './patched_listing.js';
import { type SourceOptions, sourceSettings } from './search_options.js';

export interface AsmOptions extends SourceOptions {
  readonly output?: string;
  readonly list?: boolean;
  /** As `--features` has it. */
  readonly features?: string;
  readonly only?: readonly string[];
}

export async function asm(file: string, options: AsmOptions): Promise<number> {
  if (!options.list && (options.features !== undefined || options.only)) {
    throw new InputError(`${options.only ? '--only' : '--features'}: is for a listing; add --list`);
  }
  const module = (await readBinaries([file])).get(file) ?? (await source(file, sourceSettings(options)));
  if (options.output !== undefined) await writeObject(module, options.output);
  // With the object on standard output the text goes to standard error: each stream stays of one kind.
  const out = options.output === '-' ? process.stderr : process.stdout;
  const lines = options.list ? await listed(module, options) : '';
  if (lines !== '') await print(out, `${assembledBy(module)}${lines}`);
  else if (options.list || options.output === undefined)
    await print(out, `${assembledBy(module)}${assembled(module)}\n`);
  return EXIT.HOLDS;
}

/** The module of an assembly file. */
async function source(file: string, settings: Required<SourceSettings>): Promise<Module> {
  const includePaths = [...settings.includePaths, ASM_DIRECTORY, join(ASM_DIRECTORY, 'include')];
  if (settings.assembler === 'gnu') return assembleWithGnu(file, { ...settings, includePaths });
  return (await Assembler.create()).assemble(file, { ...settings, includePaths });
}

async function listed(module: Module, { features, only }: AsmOptions): Promise<string> {
  const disassembler = await Disassembler.create();
  const isPlain = features === undefined && !only && module.sections.every((section) => section.address === undefined);
  return isPlain ? listing(module, disassembler) : patchedListing(module, { features, only }, disassembler);
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
