/** A subject: an image and what is around it, from the files that a command or a scenario names. */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assembleWithGnu } from '../assembler/gnu.js';
import type { Assembler, SourceSettings } from '../assembler/index.js';
import { PAGE_SIZE } from '../cpu/memory.js';
import { InputError } from '../errors.js';
import { MAX_PROCESSORS } from '../harness/processors.js';
import { standInSource } from '../hooks/stand_ins.js';
import type { Image, ImageSymbol } from '../image/image.js';
import { divert, link, undefinedSymbols } from '../image/linker.js';
import type { Module, ModuleSymbol } from '../image/module.js';
import type { Vendor } from '../patching/features.js';
import type { Profile } from '../profiles/profile.js';
import { divertedFunctions, executableOf } from './executable.js';
import { type ImageFeatures, withFeatures } from './features.js';
import { apartSections, isolated } from './isolation.js';
import type { Platform } from './platform.js';
import { readBinaries } from './read_module.js';
import { platformFor } from './system_code.js';

/** Where the project's own assembly lies. */
export const ASM_DIRECTORY = fileURLToPath(new URL('../../../asm', import.meta.url));

/** How real code is run; all that a command, a scenario or a saved path says about it. */
export interface CodeSettings {
  /** Features of the processor that the code is patched for, as `--features` has them; undefined: by default. */
  readonly features?: readonly string[] | undefined;
  /** Functions that get a stand-in in any case: the usual one, or one of an assembly file. */
  readonly stubs?: readonly Stub[];
  /** C functions of an executable that are run themselves, with all that they call. */
  readonly through?: readonly string[];
}

/** A function that gets a stand-in, and the file that has it; undefined: the usual one. */
export interface Stub {
  readonly name: string;
  readonly file: string | undefined;
}

/** Reads `exc_nmi` or `exc_nmi=body.S`. */
export function parseStub(text: string): Stub {
  const match = /^([A-Za-z_.$][\w.$]*)(?:=(.+))?$/s.exec(text.trim());
  if (!match) throw new InputError(`--stub '${text}': expected FUNCTION or FUNCTION=FILE.S`);
  return { name: match[1]!, file: match[2] };
}

export interface BuildOptions extends SourceSettings, CodeSettings {
  readonly files: readonly string[];
  readonly platform: Platform;
  /** A name of a file in asm/contexts, or the path of one's own. */
  readonly context: string;
  /** Whose processor it is that the features are of; intel by default. */
  readonly vendor?: Vendor;
}

/** An image together with what is around it: the interrupted context, stand-ins, the platform's defaults. */
export interface Subject {
  readonly image: Image;
  readonly platform: Platform;
  readonly context: string;
  readonly contextModule: string;
  /** How many processors run: the context has a part for each. */
  readonly processors: number;
  /** What the sources under test were assembled with, as it is to be printed; empty if there are none. */
  readonly assemblers: readonly string[];
  /** Functions that got a stand-in. */
  readonly standIns: readonly string[];
  /** The image before it was patched for the features; not in a search's thread. */
  readonly unpatched?: Image;
  /** What the code has been patched for; undefined if it is none that is patched. */
  readonly features: ImageFeatures | undefined;
}

const CONTEXTS = join(ASM_DIRECTORY, 'contexts');

/** Whether `context` is the path of a file, and not the name of one in asm/contexts. */
export function isContextFile(context: string): boolean {
  return /[/.]/.test(context);
}

/**
 * The file of a context. A platform may have one of its own by a name that there is for all, and another for images that are the system
 * software's own code.
 */
export function contextPath(context: string, platform: Platform, isOwnCode: boolean): string {
  if (isContextFile(context)) return context;
  const { contexts } = platform.systemCode;
  const own = isOwnCode && contexts !== undefined ? [join(CONTEXTS, contexts)] : [];
  const folders = [...own, join(CONTEXTS, platform.name), CONTEXTS].filter((folder) => existsSync(folder));
  const file = folders.map((folder) => join(folder, `${context}.S`)).find((path) => existsSync(path));
  if (file !== undefined) return file;
  const all = folders.flatMap((folder) => readdirSync(folder)).filter((name) => name.endsWith('.S'));
  const names = [...new Set(all.map((name) => name.replace(/\.S$/, '')))];
  throw new InputError(
    `there is no context '${context}'; the contexts are ${names.sort().join(', ')}, or the path of a .S file`,
  );
}

/** Reads, assembles and links the files under test with a context. Rejects with an InputError for whatever is wrong with them. */
export async function loadSubject(assembler: Assembler, options: BuildOptions): Promise<Subject> {
  const stubs = (options.stubs ?? []).flatMap(({ file }) => file ?? []);
  return buildSubject(assembler, options, await readBinaries([...options.files, ...stubs]));
}

/** The same for files that have been read, by their names, and assembly. */
export function buildSubject(
  assembler: Assembler,
  options: BuildOptions,
  binaries: ReadonlyMap<string, Module> = new Map(),
): Subject {
  const { through = [], stubs = [] } = options;
  const own = [ASM_DIRECTORY, join(ASM_DIRECTORY, 'include')];
  const ownOptions = { ...(options.defines ? { defines: options.defines } : {}), includePaths: own };
  const assemblyOptions = {
    ...ownOptions,
    includePaths: [...(options.includePaths ?? []), ...own],
    ...(options.forcedIncludes ? { forcedIncludes: options.forcedIncludes } : {}),
  };
  const twice = options.files.find((file, i) => options.files.findIndex((f) => resolve(f) === resolve(file)) < i);
  if (twice !== undefined) throw new InputError(`${twice}: is given twice; name each file of the image once`);
  const assembled = (file: string): Module =>
    options.assembler === 'gnu' ? assembleWithGnu(file, assemblyOptions) : assembler.assemble(file, assemblyOptions);
  const read = (file: string): Module => binaries.get(file) ?? assembled(file);
  const files = options.files.map(read);
  const executable = executableOf(files);
  const tested = files.map((module) => (module === executable ? withGlobals(module, through) : module));
  const conventions = platformFor(
    options.platform,
    tested,
    stubs.map(({ name }) => name),
  );
  const contextFile = contextPath(options.context, options.platform, conventions !== options.platform);
  const platform = options.features?.includes(conventions.isolation.marker) ? isolated(conventions) : conventions;
  const contextOptions = isContextFile(options.context) ? assemblyOptions : ownOptions;
  const context = assembler.assemble(contextFile, {
    ...contextOptions,
    includePaths: [dirname(contextFile), ...contextOptions.includePaths],
  });
  const bodies = stubs.flatMap(({ name, file }) => (file === undefined ? [] : [defining(name, read(file))]));
  const defaults = assembler.assemble(join(ASM_DIRECTORY, platform.defaults));
  const modules: Module[] = [...tested, context, ...bodies, defaults];
  const missing = undefinedSymbols(modules, platform.symbols, context);
  refuseData(missing);
  requireFunctions(through, tested, options.files);
  const diverted = executable ? divertedFunctions(executable, platform, through) : new Set<string>();
  for (const { name } of stubs) {
    if (executable?.symbols.some((s) => s.name === name && isDefined(s))) diverted.add(name);
    else if (!modules.some(({ symbols }) => symbols.some((s) => s.name === name))) {
      throw new InputError(`--stub ${name}: the image neither has nor calls such a function`);
    }
  }
  // Some have a function of their own: given by the user, the context's, or the platform's.
  const written = new Set(
    [...bodies, context, defaults].flatMap(({ symbols }) => symbols.filter(isVisible).map((s) => s.name)),
  );
  const standIns = [...new Set([...missing.map((s) => s.name), ...diverted])].filter((name) => !written.has(name));
  if (standIns.length > 0) {
    const long = new Set([...platform.bodies, ...platform.cParts]);
    modules.push(assembler.assembleText(standInSource(standIns, long), '(stand-ins)'));
  }
  const linked = link(modules, {
    layout: platform.layout,
    absolute: platform.symbols,
    tested,
    context,
    apart: apartSections(modules, platform),
    diverted,
  });
  const { image: patched, features } = withFeatures(
    linked,
    options.features,
    options.vendor ?? 'intel',
    entryRange(linked, platform),
  );
  refuseOtherName(features, platform !== conventions, conventions.isolation.marker);
  const image = divert(patched);
  requireEntry(image, platform, options.files);
  requireContext(image, context, contextFile);
  const processors = processorCount(image, contextFile);
  if (processors > 1 && platform.oneProcessor) {
    throw new InputError(
      `${contextFile}: has a context for each of ${processors} processors; of ${options.files.join(', ')} one processor can be run`,
    );
  }
  return {
    image,
    platform,
    context: options.context,
    contextModule: context.name,
    processors,
    assemblers: [...new Set(tested.flatMap((module) => module.assembler ?? []))],
    standIns,
    unpatched: linked,
    features,
  };
}

function isDefined({ section }: ModuleSymbol): boolean {
  return section !== 'undefined';
}

/** Whether other modules can see the symbol. */
function isVisible(symbol: ModuleSymbol): boolean {
  return isDefined(symbol) && symbol.binding !== 'local';
}

/** Undefined functions get stand-ins; undefined data would have to be made up. */
function refuseData(missing: readonly ModuleSymbol[]): void {
  const data = missing.find((symbol) => !symbol.calledOnly);
  if (data === undefined) return;
  const at = data.position ? `${data.position.file}:${data.position.line}: ` : '';
  throw new InputError(`${at}symbol ${data.name} is used as data but not defined; define it in one of the given files`);
}

function requireFunctions(through: readonly string[], tested: readonly Module[], files: readonly string[]): void {
  for (const name of through) {
    if (tested.some(({ symbols }) => symbols.some((s) => s.name === name && isDefined(s)))) continue;
    throw new InputError(
      `--through ${name}: there is no function ${name} in ${files.join(', ')}; give the kernel's executable, or the object that has it`,
    );
  }
}

/** The address spaces are chosen by a word of the features, before it is known what the kernel calls them: both must agree. */
function refuseOtherName(features: ImageFeatures | undefined, isIsolated: boolean, marker: string): void {
  if (features === undefined || features.isolation === isIsolated) return;
  const what = isIsolated ? `${marker} is given and taken out again` : `${marker} is there under another name`;
  throw new InputError(`features '${features.words.join(',')}': ${what}; write ${marker}, or leave it out`);
}

function requireContext(image: Image, context: Module, file: string): void {
  for (const name of contextSymbols(0)) {
    if (image.globals.get(name)?.module !== context.name) {
      throw new InputError(`${file}: a context must define the global symbol ${name}`);
    }
  }
}

/** The module with these functions of it global: what runs itself is known by its name, and nothing else takes that. */
function withGlobals(module: Module, names: readonly string[]): Module {
  if (names.length === 0) return module;
  const isLocal = (symbol: ModuleSymbol): boolean =>
    symbol.binding === 'local' && isDefined(symbol) && names.includes(symbol.name);
  return { ...module, symbols: module.symbols.map((s) => (isLocal(s) ? { ...s, binding: 'global' } : s)) };
}

/** The module, which must define a function that takes the place of another. */
function defining(name: string, module: Module): Module {
  if (!module.symbols.some((s) => s.name === name && isVisible(s))) {
    throw new InputError(
      `${module.name}: does not define ${name}, whose place it is to take; add .globl ${name} and the label`,
    );
  }
  return module;
}

/** The same subject, patched for other features; not for another choice of page-table isolation. */
export function withOtherFeatures(subject: Subject, words: readonly string[], vendor: Vendor): Subject {
  const linked = subject.unpatched!;
  const { image, features } = withFeatures(linked, words, vendor, entryRange(linked, subject.platform));
  return { ...subject, image: divert(image), features };
}

/** Where the entry code lies: in an executable between its symbols; else everywhere. */
export function entryRange(image: Image, { systemCode }: Platform): { start: bigint; end: bigint }[] | undefined {
  const [start, end] = systemCode.entryText.map((name) => image.find(name)?.address);
  return start === undefined || end === undefined ? undefined : [{ start, end }];
}

/** The names of where the context of processor `n` begins and ends. */
export function contextSymbols(n: number): readonly [start: string, end: string] {
  return n === 0 ? ['context_start', 'context_end'] : [`context_start_${n}`, `context_end_${n}`];
}

/** One processor for each context_start_1, context_start_2 … that the context defines, and the first one. */
function processorCount(image: Image, contextFile: string): number {
  let count = 1;
  for (; image.globals.has(contextSymbols(count)[0]); count++) {
    const end = contextSymbols(count)[1];
    if (!image.globals.has(end)) {
      throw new InputError(`${contextFile}: ${contextSymbols(count)[0]} is defined, but ${end} is not`);
    }
  }
  for (const name of image.globals.keys()) {
    const [, number] = /^context_(?:start|end)_(\d+)$/.exec(name) ?? [];
    if (number !== undefined && Number(number) >= count) {
      const lacking = contextSymbols(count).find((symbol) => !image.globals.has(symbol))!;
      throw new InputError(`${contextFile}: ${name} is defined, but ${lacking} is not`);
    }
  }
  if (count > MAX_PROCESSORS) {
    throw new InputError(`${contextFile}: contexts for ${count} processors; at most ${MAX_PROCESSORS} can be run`);
  }
  return count;
}

/** The image must contain a handler for at least one vector, or SYSCALL's entry. */
function requireEntry(image: Image, platform: Platform, files: readonly string[]): void {
  const own = (name: string): boolean => {
    const module = image.globals.get(name)?.module;
    return module !== undefined && image.tested.includes(module);
  };
  const nmi = platform.vectors.find((v) => v.vector === 2)!;
  const all = [...platform.vectors.flatMap((v) => v.symbols), platform.syscallEntry, platform.fred.entry];
  if (!all.some(own)) {
    throw new InputError(
      `${files.join(', ')}: no entry point of the platform ${platform.name} is defined; define ${nmi.symbols.join(' or ')} (.globl) for the NMI handler`,
    );
  }
  for (const name of all.filter(own)) {
    const symbol = image.globals.get(name)!;
    if (image.sectionAt(symbol.address)?.segment !== 'text') {
      const at = symbol.position ? `${symbol.position.file}:${symbol.position.line}` : symbol.module;
      throw new InputError(
        `${at}: the entry point ${name} is not in an executable section of the kernel; put it into .text`,
      );
    }
  }
}

/** What the image has must be what the processor uses: an IDT, or FRED's entry points. */
export function requireDelivery({ image, platform }: Subject, profile: Profile): void {
  const own = (name: string): ImageSymbol | undefined => {
    const symbol = image.globals.get(name);
    return symbol && image.tested.includes(symbol.module) ? symbol : undefined;
  };
  const { entry } = platform.fred;
  const fred = own(entry);
  const files = image.tested.join(', ');
  if (!profile.fred) {
    const names = [...platform.vectors.flatMap((v) => v.symbols), platform.syscallEntry];
    if (!fred || names.some(own)) return;
    throw new InputError(
      `${files}: ${entry} is an entry point of FRED, which the profile ${profile.name} does not have; use --profile fred, or define handlers for the IDT`,
    );
  }
  if (!fred) {
    throw new InputError(
      `${files}: no FRED entry point is defined, and with the profile ${profile.name} nothing goes through the IDT; define ${entry} (.globl), or use another profile`,
    );
  }
  if (fred.address % BigInt(PAGE_SIZE) !== 0n) {
    const at = fred.position ? `${fred.position.file}:${fred.position.line}` : fred.module;
    throw new InputError(`${at}: ${entry} is not at the start of a page; put .balign ${PAGE_SIZE} before it`);
  }
}

/** The handler of a vector in this image. */
export function handlerOf(image: Image, symbols: readonly string[]): ImageSymbol | undefined {
  for (const name of symbols) {
    const symbol = image.globals.get(name);
    if (symbol) return symbol;
  }
  return undefined;
}
