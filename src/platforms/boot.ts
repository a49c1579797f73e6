/** Puts an image into a machine: memory, descriptor tables, stacks, per-CPU area, registers at the context's start. */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Assembler } from '../assembler/index.js';
import { GuestMemory, PAGE_SIZE, Perm, type Region } from '../cpu/memory.js';
import { Flag, Reg } from '../cpu/registers.js';
import { InputError } from '../errors.js';
import { GateType, idtGate, Tss, tssDescriptor } from '../harness/descriptors.js';
import { Machine } from '../harness/machine.js';
import { standInSource } from '../hooks/stand_ins.js';
import type { Image, ImageSymbol, PlacedSection, Segment } from '../image/image.js';
import { link, segmentSpan, undefinedSymbols } from '../image/linker.js';
import type { Module } from '../image/module.js';
import type { Profile } from '../profiles/profile.js';
import type { Platform, Stack } from './platform.js';

/** Where the project's own assembly lies. */
export const ASM_DIRECTORY = fileURLToPath(new URL('../../../asm', import.meta.url));

export interface BuildOptions {
  readonly files: readonly string[];
  readonly platform: Platform;
  /** A name of a file in asm/contexts, or the path of one's own. */
  readonly context: string;
  readonly defines?: Readonly<Record<string, string>>;
}

/** An image together with what is around it: the interrupted context, stand-ins, the platform's defaults. */
export interface Subject {
  readonly image: Image;
  readonly platform: Platform;
  readonly context: string;
  readonly contextModule: string;
  /** Functions that got a stand-in. */
  readonly standIns: readonly string[];
}

const CONTEXTS = join(ASM_DIRECTORY, 'contexts');

/** Whether `context` is the path of a file, and not the name of one in asm/contexts. */
export function isContextFile(context: string): boolean {
  return /[/.]/.test(context);
}

export function contextPath(context: string): string {
  if (isContextFile(context)) return context;
  const file = join(CONTEXTS, `${context}.S`);
  if (existsSync(file)) return file;
  const names = readdirSync(CONTEXTS).map((name) => name.replace(/\.S$/, ''));
  throw new InputError(
    `there is no context '${context}'; the contexts are ${names.sort().join(', ')}, or the path of a .S file`,
  );
}

/** Assembles and links the files under test with a context; every error is an InputError. */
export function buildSubject(assembler: Assembler, options: BuildOptions): Subject {
  const { platform } = options;
  const assemblyOptions = {
    ...(options.defines ? { defines: options.defines } : {}),
    includePaths: [ASM_DIRECTORY, join(ASM_DIRECTORY, 'include')],
  };
  const contextFile = contextPath(options.context);
  const twice = options.files.find((file, i) => options.files.findIndex((f) => resolve(f) === resolve(file)) < i);
  if (twice !== undefined) throw new InputError(`${twice}: is given twice; name each file of the image once`);
  const tested = options.files.map((file) => assembler.assemble(file, assemblyOptions));
  const context = assembler.assemble(contextFile, {
    includePaths: [dirname(contextFile), ...assemblyOptions.includePaths],
  });
  const defaults = assembler.assemble(join(ASM_DIRECTORY, platform.defaults));
  const modules: Module[] = [...tested, context, defaults];
  const missing = undefinedSymbols(modules, platform.symbols);
  for (const symbol of missing) {
    if (!symbol.calledOnly) {
      const at = symbol.position ? `${symbol.position.file}:${symbol.position.line}: ` : '';
      throw new InputError(
        `${at}symbol ${symbol.name} is used as data but not defined; define it in one of the given files`,
      );
    }
  }
  if (missing.length > 0) {
    const bodies = new Set([...platform.bodies, ...platform.cParts]);
    modules.push(assembler.assembleText(standInSource(missing, bodies), '(stand-ins)'));
  }
  const image = link(modules, { layout: platform.layout, absolute: platform.symbols, tested });
  requireEntry(image, platform, options.files);
  for (const name of ['context_start', 'context_end']) {
    if (image.globals.get(name)?.module !== context.name) {
      throw new InputError(`${contextFile}: a context must define the global symbol ${name}`);
    }
  }
  return {
    image,
    platform,
    context: options.context,
    contextModule: context.name,
    standIns: missing.map((s) => s.name),
  };
}

/** The image must contain a handler for at least one vector, or SYSCALL's entry. */
function requireEntry(image: Image, platform: Platform, files: readonly string[]): void {
  const own = (name: string): boolean => {
    const module = image.globals.get(name)?.module;
    return module !== undefined && image.tested.includes(module);
  };
  const nmi = platform.vectors.find((v) => v.vector === 2)!;
  const all = [...platform.vectors.flatMap((v) => v.symbols), platform.syscallEntry];
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

/** The handler of a vector in this image. */
export function handlerOf(image: Image, symbols: readonly string[]): ImageSymbol | undefined {
  for (const name of symbols) {
    const symbol = image.globals.get(name);
    if (symbol) return symbol;
  }
  return undefined;
}

/** What each segment of an image may be used for. */
export const SEGMENT_PERMS: Readonly<Record<Segment, number>> = {
  text: Perm.EXEC,
  rodata: 0,
  data: Perm.WRITE,
  'user-text': Perm.EXEC | Perm.USER,
  'user-data': Perm.WRITE | Perm.USER,
  percpu: Perm.WRITE,
};

function regionsOf(image: Image, platform: Platform): Region[] {
  const regions: Region[] = [
    { name: 'IDT', address: platform.idtBase, size: PAGE_SIZE, perms: 0 },
    { name: 'GDT', address: platform.gdtBase, size: PAGE_SIZE, perms: 0 },
    { name: 'TSS', address: platform.tssBase, size: PAGE_SIZE, perms: Perm.WRITE },
  ];
  for (const s of platform.stacks) {
    const perms = Perm.WRITE | (s.user ? Perm.USER : 0);
    regions.push({ name: `${s.name} stack`, address: s.base, size: Number(s.top - s.base), perms });
  }
  for (const segment of Object.keys(SEGMENT_PERMS) as Segment[]) {
    const span = segmentSpan(image, segment);
    if (span) regions.push({ name: segment, ...span, perms: SEGMENT_PERMS[segment] });
  }
  return regions;
}

/** A machine that holds the image, at the first instruction of its context. */
export function machineFor(subject: Subject, profile: Profile): Machine {
  const { image, platform } = subject;
  const memory = new GuestMemory(regionsOf(image, platform));
  for (const section of image.sections) memory.load(section.loadAddress, section.data);
  const machine = new Machine(memory, profile);
  loadTables(memory, subject);
  const stackTop = (name: string): bigint => stackNamed(platform, name).top;
  for (const [variable, stack] of Object.entries(platform.stackVariables)) {
    const symbol = image.globals.get(variable);
    if (symbol?.section !== undefined && symbol.section !== 'absolute') {
      memory.load64(platform.layout.percpu + symbol.address, stackTop(stack));
    }
  }
  setRegisters(machine, subject);
  return machine;
}

export function stackNamed(platform: Platform, name: string): Stack {
  const found = platform.stacks.find((s) => s.name === name);
  if (!found) throw new InputError(`platform ${platform.name}: there is no stack named ${name}`);
  return found;
}

function loadTables(memory: GuestMemory, subject: Subject): void {
  const { image, platform } = subject;
  for (const [selector, descriptor] of platform.gdt) memory.load64(platform.gdtBase + BigInt(selector), descriptor);
  const [tssLow, tssHigh] = tssDescriptor(platform.tssBase, Tss.SIZE - 1);
  memory.load64(platform.gdtBase + BigInt(platform.selectors.tss), tssLow);
  memory.load64(platform.gdtBase + BigInt(platform.selectors.tss) + 8n, tssHigh);
  for (const entry of platform.vectors) {
    const handler = handlerOf(image, entry.symbols);
    if (!handler) continue;
    const [low, high] = idtGate(handler.address, platform.selectors.kernelCs, entry.ist, entry.dpl, GateType.INTERRUPT);
    memory.load64(platform.idtBase + BigInt(entry.vector * 16), low);
    memory.load64(platform.idtBase + BigInt(entry.vector * 16 + 8), high);
  }
  memory.load64(platform.tssBase + BigInt(Tss.RSP0), stackNamed(platform, platform.rsp0).top);
  for (const [ist, name] of platform.ist) {
    memory.load64(platform.tssBase + BigInt(Tss.IST1 + 8 * (ist - 1)), stackNamed(platform, name).top);
  }
}

const CR0_PE_MP_ET_NE_WP_AM_PG = 0x80050033n;
const CR4_PAE_MCE_FSGSBASE = 0x10060n;
const EFER_SCE_LME_LMA_NX = 0xd01n;

function setRegisters(machine: Machine, subject: Subject): void {
  const { image, platform } = subject;
  const u64 = machine.cpu.regs.u64;
  const start = image.globals.get('context_start')!;
  const user = sectionOf(image, start).segment === 'user-text';
  const { selectors } = platform;
  // Each register begins with a value that names it: 0x0d0d… for r13, and so on.
  for (let r = 0; r < 16; r++) u64[r] = 0x0101010101010101n * BigInt(r === 0 ? 0xa0 : r);
  u64[Reg.RSP] = stackNamed(platform, user ? platform.userStack : platform.kernelStack).top;
  u64[Reg.RIP] = start.address;
  u64[Reg.RFLAGS] = BigInt(Flag.ONE | Flag.IF);
  u64[Reg.CS] = BigInt(user ? selectors.userCs : selectors.kernelCs);
  u64[Reg.SS] = BigInt(user ? selectors.userSs : selectors.kernelSs);
  u64[Reg.GS_BASE] = user ? platform.userGsBase : platform.layout.percpu;
  u64[Reg.KERNEL_GS_BASE] = user ? platform.layout.percpu : platform.userGsBase;
  u64[Reg.CR0] = CR0_PE_MP_ET_NE_WP_AM_PG;
  u64[Reg.CR4] = CR4_PAE_MCE_FSGSBASE;
  u64[Reg.EFER] = EFER_SCE_LME_LMA_NX;
  u64[Reg.STAR] = platform.star;
  u64[Reg.LSTAR] = image.globals.get(platform.syscallEntry)?.address ?? 0n;
  u64[Reg.FMASK] = platform.fmask;
  u64[Reg.IDTR_BASE] = platform.idtBase;
  u64[Reg.IDTR_LIMIT] = 0xfffn;
  u64[Reg.GDTR_BASE] = platform.gdtBase;
  u64[Reg.GDTR_LIMIT] = BigInt(selectors.tss + 15);
  u64[Reg.TR] = BigInt(selectors.tss);
  u64[Reg.TR_BASE] = platform.tssBase;
  u64[Reg.TR_LIMIT] = BigInt(Tss.SIZE - 1);
  machine.replaced();
}

function sectionOf(image: Image, symbol: ImageSymbol): PlacedSection {
  const section = image.sectionAt(symbol.address);
  if (!section) throw new InputError(`${symbol.module}: ${symbol.name} is not in a section with code`);
  return section;
}
