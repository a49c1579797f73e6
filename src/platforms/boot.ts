/** Puts a subject into a machine: memory, descriptor tables, stacks, per-CPU area, registers at the context's start. */
import { GuestMemory, PAGE_SIZE, Perm, type Region } from '../cpu/memory.js';
import { Flag, REGISTER_COUNT, Reg } from '../cpu/registers.js';
import { InputError } from '../errors.js';
import { DR6_RESET, DR7_RESET } from '../harness/debug.js';
import { GateType, idtGate, numberSegment, Tss, tssDescriptor } from '../harness/descriptors.js';
import { interruptRegions } from '../harness/interrupt_regions.js';
import { PINS } from '../harness/io_apic.js';
import { Machine } from '../harness/machine.js';
import { enableMachineCheck, machineCheckRegion } from '../harness/machine_check.js';
import { MISC_ENABLE_RESET, PAT_RESET } from '../harness/microcode/model_specific_registers.js';
import type { Image, ImageSymbol, PlacedSection, Segment } from '../image/image.js';
import { segmentSpan } from '../image/linker.js';
import type { Profile } from '../profiles/profile.js';
import { fixedRegions, loadedSections } from './executable.js';
import { FSGSBASE } from './features.js';
import { addressSpaces, inAddressSpaces, isIsolated } from './isolation.js';
import {
  type Place,
  type Platform,
  type ProcessorPlaces,
  processorOf,
  type Stack,
  type StartCondition,
} from './platform.js';
import { loadSmram, smbaseOf, smramRegions } from './smm.js';
import { contextSymbols, handlerOf, requireDelivery, type Subject } from './subject.js';

/** What each segment of an image may be used for. */
export const SEGMENT_PERMS: Readonly<Record<Segment, number>> = {
  text: Perm.EXEC,
  rodata: 0,
  data: Perm.WRITE,
  'user-text': Perm.EXEC | Perm.USER,
  'user-data': Perm.WRITE | Perm.USER,
  percpu: Perm.WRITE,
  'smm-text': Perm.EXEC,
};

/** The memory of a segment of an image. */
export function segmentRegion(segment: Segment, span: { readonly address: bigint; readonly size: number }): Region {
  const region = { name: segment, ...span, perms: SEGMENT_PERMS[segment] };
  return segment === 'smm-text' ? { ...region, smram: true } : region;
}

/** How many IDTs there are. */
function tables(platform: Platform, processors: number): number {
  return platform.processorStride.idt === 0n ? 1 : processors;
}

/** The pages of a GDT that have descriptors in them. */
function gdtPages(platform: Platform, { gdtBase }: ProcessorPlaces): { address: bigint; size: number } {
  const first = Math.min(...platform.gdt.keys()) & -PAGE_SIZE;
  const end = platform.selectors.tss + 16;
  return { address: gdtBase + BigInt(first), size: PAGE_SIZE * Math.ceil((end - first) / PAGE_SIZE) };
}

function regionsOf({ image, platform, processors }: Subject): Region[] {
  const regions: Region[] = [];
  for (let n = 0; n < processors; n++) {
    const own = processorOf(platform, n);
    if (n < tables(platform, processors)) {
      const perms = platform.idtWritable ? Perm.WRITE : 0;
      regions.push({ name: 'IDT', address: own.idtBase, size: PAGE_SIZE, perms });
    }
    regions.push({ name: 'GDT', ...gdtPages(platform, own), perms: 0 });
    if (platform.tssVariable === undefined) {
      regions.push({ name: 'TSS', address: own.tssBase, size: PAGE_SIZE, perms: Perm.WRITE });
    }
    for (const s of own.stacks) {
      const perms = Perm.WRITE | (s.user ? Perm.USER : 0);
      const size = PAGE_SIZE * Math.ceil(Number(s.top - s.base) / PAGE_SIZE);
      regions.push({ name: `${s.name} stack`, address: s.base, size, perms });
    }
    const percpu = n > 0 ? segmentSpan(image, 'percpu') : undefined;
    if (percpu) {
      const address = percpu.address + own.percpu - platform.layout.percpu;
      regions.push({ name: `percpu (CPU ${n})`, address, size: percpu.size, perms: SEGMENT_PERMS.percpu });
    }
  }
  for (const segment of Object.keys(SEGMENT_PERMS) as Segment[]) {
    const span = segmentSpan(image, segment);
    if (!span) continue;
    const physical = segment === 'data' ? { physical: span.address - platform.imageOffset } : {};
    regions.push({ ...segmentRegion(segment, span), ...physical });
  }
  regions.push(...fixedRegions(image, platform));
  regions.push(machineCheckRegion(processors), ...smramRegions(platform.smbase, processors));
  regions.push(...interruptRegions(processors, platform.interruptPages));
  return regions;
}

/** A machine that holds the image, at the first instruction of its context. */
export function machineFor(subject: Subject, profile: Profile): Machine {
  const { image } = subject;
  requireDelivery(subject, profile);
  const memory = new GuestMemory(inAddressSpaces(regionsOf(subject), subject), addressSpaces(subject));
  const machine = new Machine(memory, profile, subject.processors);
  for (const section of loadedSections(image, subject.platform)) memory.load(section.loadAddress, section.data);
  for (let n = 0; n < tables(subject.platform, subject.processors); n++) loadGates(memory, subject, n);
  enableMachineCheck(memory, subject.processors);
  const smmCode = segmentSpan(image, 'smm-text');
  machine.smm = loadSmram(
    memory,
    subject.platform.smbase,
    (name) => image.globals.get(name)?.address,
    smmCode?.size ?? 0,
  );
  for (let n = 0; n < subject.processors; n++) {
    loadOwnMemory(memory, subject, n);
    setRegisters(machine, subject, n);
  }
  // The stack level, in IA32_FRED_CONFIG, belongs to each state.
  if (profile.fred) machine.rareChange(Reg.FRED_CONFIG);
  machine.processors.ends = Array.from({ length: subject.processors }, (_, n) => {
    const { address } = image.globals.get(contextSymbols(n)[1])!;
    return { low: Number(address & 0xffffffffn), high: Number(address >> 32n) };
  });
  connectDevices(machine, subject);
  machine.replaced();
  return machine;
}

/** A word of the image `device_status_4` is where the device at pin 4 of the I/O APIC notes by DMA that it has something. */
function connectDevices({ memory, ioApic }: Machine, { image }: Subject): void {
  for (let pin = 0; pin < PINS; pin++) {
    const symbol = image.globals.get(`device_status_${pin}`);
    if (symbol) ioApic.status.set(pin, memory.translateAddress(symbol.address) >>> 3);
  }
}

/** What processor `n` has for itself: per-CPU variables, GDT, TSS. */
function loadOwnMemory(memory: GuestMemory, subject: Subject, n: number): void {
  const { image, platform } = subject;
  const own = processorOf(platform, n);
  if (n > 0) {
    for (const section of image.sections.filter((s) => s.segment === 'percpu')) {
      memory.load(section.loadAddress + own.percpu - platform.layout.percpu, section.data);
    }
  }
  for (const [variable, stack] of Object.entries(platform.stackVariables)) {
    const symbol = image.globals.get(variable);
    if (symbol?.section !== undefined && symbol.section !== 'absolute') {
      memory.load64(own.percpu + symbol.address, stackNamed(platform, stack, n).top);
    }
  }
  const { percpuVariables } = platform;
  const ownOffset = percpuVariables && image.find(percpuVariables.own);
  const allOffsets = percpuVariables && image.find(percpuVariables.all);
  if (ownOffset) memory.load64(own.percpu + ownOffset.address, own.percpu);
  if (allOffsets) memory.load64(allOffsets.address + BigInt(8 * n), own.percpu);
  for (const { stack, offset, value } of platform.ownWords) {
    memory.load64(stackNamed(platform, stack, n).top + BigInt(offset), value === 'number' ? BigInt(n) : own.percpu);
  }
  if (n === 0) loadStartWords(memory, subject);
  for (const [selector, descriptor] of platform.gdt) memory.load64(own.gdtBase + BigInt(selector), descriptor);
  const tss = tssOf(subject, n);
  const [tssLow, tssHigh] = tssDescriptor(tss, Tss.SIZE - 1);
  memory.load64(own.gdtBase + BigInt(platform.selectors.tss), tssLow);
  memory.load64(own.gdtBase + BigInt(platform.selectors.tss) + 8n, tssHigh);
  const { cpuNumber } = platform.selectors;
  if (cpuNumber !== undefined) memory.load64(own.gdtBase + BigInt(cpuNumber), numberSegment(n));
  const rsp0 = isIsolated(subject) ? platform.isolation.rsp0 : platform.rsp0;
  // The I/O map base, beyond the limit: no port is open to ring 3.
  memory.load64(tss + BigInt(Tss.IO_MAP_BASE - 6), BigInt(Tss.SIZE) << 48n);
  memory.load64(tss + BigInt(Tss.RSP0), stackNamed(platform, rsp0, n).top);
  for (const [ist, name] of platform.ist) {
    memory.load64(tss + BigInt(Tss.IST1 + 8 * (ist - 1)), stackNamed(platform, name, n).top);
  }
}

function loadStartWords(memory: GuestMemory, subject: Subject): void {
  const { image, platform } = subject;
  const addressOf = (place: Place): bigint => {
    const base = 'stack' in place ? stackNamed(platform, place.stack).top : image.find(place.symbol)!.address;
    return base + BigInt(place.offset);
  };
  const words = new Map<bigint, bigint>();
  for (const word of platform.startWords ?? []) {
    if (!isSetUp(word, subject)) continue;
    const address = addressOf(word.at);
    const value = typeof word.value === 'bigint' ? word.value : addressOf(word.value);
    words.set(address, (words.get(address) ?? 0n) | value);
  }
  for (const [address, value] of words) memory.load64(address, value);
}

function isSetUp({ isolated, ring, feature }: StartCondition, subject: Subject): boolean {
  return (
    (isolated === undefined || isIsolated(subject)) &&
    (ring === undefined || ring === (beginsInUserMode(subject.image, 0) ? 3 : 0)) &&
    (feature === undefined || (subject.features?.present.includes(feature) ?? false))
  );
}

/** Whether the context of processor `n` begins in ring 3. */
function beginsInUserMode(image: Image, n: number): boolean {
  return sectionOf(image, image.globals.get(contextSymbols(n)[0])!).segment === 'user-text';
}

/** Where the TSS of processor `n` lies. */
export function tssOf({ image, platform }: Subject, n: number): bigint {
  const own = processorOf(platform, n);
  const variable = platform.tssVariable === undefined ? undefined : image.find(platform.tssVariable);
  return variable ? own.percpu + variable.address : own.tssBase;
}

/** The stack with that name of processor `n`. */
export function stackNamed(platform: Platform, name: string, n = 0): Stack {
  const place = platform.stacks.findIndex((s) => s.name === name);
  if (place < 0) throw new InputError(`platform ${platform.name}: there is no stack named ${name}`);
  return processorOf(platform, n).stacks[place]!;
}

function loadGates(memory: GuestMemory, { image, platform }: Subject, n: number): void {
  const { idtBase } = processorOf(platform, n);
  for (const entry of platform.vectors) {
    const handler = handlerOf(image, entry.symbols);
    if (!handler) continue;
    const ist = gateAttribute(image, `ist_${entry.vector}`, 7) ?? entry.ist;
    const dpl = gateAttribute(image, `dpl_${entry.vector}`, 3) ?? entry.dpl;
    const [low, high] = idtGate(
      handler.address + BigInt(entry.offset ?? 0),
      platform.selectors.kernelCs,
      ist,
      dpl,
      GateType.INTERRUPT,
    );
    memory.load64(idtBase + BigInt(entry.vector * 16), low);
    memory.load64(idtBase + BigInt(entry.vector * 16 + 8), high);
  }
}

/** What an image says of its own gate, in an absolute symbol: `ist_18`, the IST slot of vector 18 (0: none), or `dpl_3`. */
function gateAttribute(image: Image, name: string, highest: number): number | undefined {
  const symbol = image.globals.get(name);
  if (symbol === undefined) return undefined;
  if (symbol.section !== 'absolute' || symbol.address > BigInt(highest)) {
    const at = symbol.position ? `${symbol.position.file}:${symbol.position.line}` : symbol.module;
    throw new InputError(`${at}: ${name} must be an absolute symbol from 0 to ${highest}; write .set ${name}, 0`);
  }
  return Number(symbol.address);
}

const CR0_PE_MP_ET_NE_WP_AM_PG = 0x80050033n;
const CR4_PAE_MCE = 0x60n;
/** The process's identifier, and with isolation that of its user mode (Linux: bit 11 tells them apart). */
const KERNEL_PCID = 1n;
const USER_PCID = 0x801n;
const CR4_LA57 = 1n << 12n;
const CR4_FRED = 1n << 32n;
const EFER_SCE_LME_LMA_NX = 0xd01n;

function setRegisters(machine: Machine, subject: Subject, n: number): void {
  const { image, platform } = subject;
  const own = processorOf(platform, n);
  const first = machine.processors.place(n, 0) / 2;
  const u64 = machine.cpu.regs.u64.subarray(first, first + REGISTER_COUNT);
  const start = image.globals.get(contextSymbols(n)[0])!;
  const user = beginsInUserMode(image, n);
  const { selectors } = platform;
  // Each register begins with a value that names it: 0x0d0d… for r13, and so on.
  for (let r = 0; r < 16; r++) u64[r] = 0x0101010101010101n * BigInt(r === 0 ? 0xa0 : r);
  u64[Reg.PROCESSOR] = BigInt(n);
  // For RDPID, as system software sets it.
  u64[Reg.TSC_AUX] = BigInt(n);
  u64[Reg.SMBASE] = smbaseOf(platform.smbase, n);
  u64[Reg.RSP] = stackNamed(platform, user ? platform.userStack : platform.kernelStack, n).top;
  u64[Reg.RIP] = start.address;
  u64[Reg.RFLAGS] = BigInt(Flag.ONE | Flag.IF);
  u64[Reg.CS] = BigInt(user ? selectors.userCs : selectors.kernelCs);
  u64[Reg.SS] = BigInt(user ? selectors.userSs : selectors.kernelSs);
  const swapped = user || platform.guestGsBase !== undefined;
  u64[Reg.GS_BASE] = swapped ? platform.userGsBase : own.percpu;
  u64[Reg.KERNEL_GS_BASE] = platform.guestGsBase ?? (user ? own.percpu : platform.userGsBase);
  u64[Reg.CR0] = CR0_PE_MP_ET_NE_WP_AM_PG;
  const { features } = subject;
  u64[Reg.CR3] = user && isIsolated(subject) ? platform.isolation.cr3 : platform.cr3;
  if (features?.pcid) u64[Reg.CR3] |= user && isIsolated(subject) ? USER_PCID : KERNEL_PCID;
  u64[Reg.CR4] = CR4_PAE_MCE | (features?.control ?? FSGSBASE) | (machine.profile.la57 ? CR4_LA57 : 0n);
  u64[Reg.EFER] = EFER_SCE_LME_LMA_NX;
  u64[Reg.DR6] = DR6_RESET;
  u64[Reg.DR7] = DR7_RESET;
  u64[Reg.STAR] = platform.star;
  u64[Reg.LSTAR] = image.globals.get(platform.syscallEntry)?.address ?? 0n;
  u64[Reg.FMASK] = platform.fmask;
  u64[Reg.IDTR_BASE] = own.idtBase;
  u64[Reg.IDTR_LIMIT] = 0xfffn;
  u64[Reg.GDTR_BASE] = own.gdtBase;
  u64[Reg.GDTR_LIMIT] = BigInt((selectors.cpuNumber ?? selectors.tss + 8) + 7);
  u64[Reg.TR] = BigInt(selectors.tss);
  u64[Reg.PAT] = PAT_RESET;
  u64[Reg.MISC_ENABLE] = MISC_ENABLE_RESET;
  u64[Reg.TR_BASE] = tssOf(subject, n);
  u64[Reg.TR_LIMIT] = BigInt(Tss.SIZE - 1);
  for (const { register, value, ...when } of platform.startRegisters ?? []) {
    if (isSetUp(when, subject)) u64[register] = value;
  }
  setLdt(u64, subject);
  if (machine.profile.fred) setUpFred(u64, subject, n);
}

/** LDTR, with what LLDT would have read from the GDT: all processors run threads of one process. */
function setLdt(u64: BigUint64Array, { image, platform }: Subject): void {
  const table = platform.ldt && image.globals.get(platform.ldt.marker);
  if (!platform.ldt || !table) return;
  if (table.size === 0n)
    throw new InputError(
      `${table.module}: ${table.name} has no size; put .size ${table.name}, .-${table.name} after it`,
    );
  u64[Reg.LDTR] = BigInt(platform.ldt.selector);
  u64[Reg.LDTR_BASE] = table.address;
  u64[Reg.LDTR_LIMIT] = table.size - 1n;
}

function setUpFred(u64: BigUint64Array, subject: Subject, n: number): void {
  const { image, platform } = subject;
  const { entry, config, stacks, levels } = platform.fred;
  u64[Reg.CR4]! |= CR4_FRED;
  u64[Reg.FRED_CONFIG] = image.globals.get(entry)!.address | config;
  const rsp0 = isIsolated(subject) ? platform.isolation.rsp0 : platform.rsp0;
  [rsp0, ...stacks].forEach((name, level) => {
    u64[Reg.FRED_RSP0 + level] = stackNamed(platform, name, n).top;
  });
  for (const [vector, level] of levels) u64[Reg.FRED_STKLVLS]! |= BigInt(level) << BigInt(2 * vector);
}

function sectionOf(image: Image, symbol: ImageSymbol): PlacedSection {
  const section = image.sectionAt(symbol.address);
  if (!section) throw new InputError(`${symbol.module}: ${symbol.name} is not in a section with code`);
  return section;
}
