/**
 * A machine made from a text of assembly, for tests of the machine alone: a descriptor table, gates and stacks of its
 * own, no platform. Execution begins at `start`; the handler of vector n is `vN`, and one that halts if there is none.
 */
import assert from 'node:assert/strict';
import { Assembler } from '../../src/assembler/index.js';
import { type AddressSpace, GuestMemory, PAGE_SIZE, Perm, type Region } from '../../src/cpu/memory.js';
import { Flag, Reg } from '../../src/cpu/registers.js';
import { DR6_RESET, DR7_RESET } from '../../src/harness/debug.js';
import { codeSegment, dataSegment, GateType, idtGate, Tss, tssDescriptor } from '../../src/harness/descriptors.js';
import { interruptRegions } from '../../src/harness/interrupt_regions.js';
import { Machine } from '../../src/harness/machine.js';
import { MISC_ENABLE_RESET, PAT_RESET } from '../../src/harness/microcode/model_specific_registers.js';
import type { Image } from '../../src/image/image.js';
import { link, segmentSpan } from '../../src/image/linker.js';
import { SEGMENT_PERMS, segmentRegion } from '../../src/platforms/boot.js';
import { PROFILES, type Profile } from '../../src/profiles/profile.js';

export const IDT = 0xfffffe0000000000n;
export const GDT = 0xfffffe0000001000n;
export const TSS = 0xfffffe0000002000n;

/** Tops of the stacks: each has two pages; below and above them nothing is mapped. */
export const KERNEL_STACK = 0xffffc90000003000n;
export const RSP0_STACK = 0xffffc90000013000n;
export const USER_STACK = 0x7ffffffff000n;
/** The top of the stack of IST slot `n`: two pages each, one above the other. */
export const istStack = (n: number): bigint => 0xffffc90000100000n + BigInt(n) * 0x2000n;

export const KERNEL_CS = 0x10;
export const KERNEL_SS = 0x18;
export const USER_SS = 0x2b;
export const USER_CS = 0x33;
export const TASK = 0x40;
/** The first of eight unused slots of the GDT. */
export const SPARE = 0x50;

/** Where the pages of the local APIC and of the I/O APIC are mapped; in a text: local_apic_page, io_apic_page. */
export const INTERRUPT_PAGES = { localApic: 0xffffffffff5fd000n, ioApic: 0xffffffffff5fc000n };

const ABSOLUTE = { local_apic_page: INTERRUPT_PAGES.localApic, io_apic_page: INTERRUPT_PAGES.ioApic };

export const KERNEL_GS = 0xffff888000000000n;
export const USER_GS = 0x00007ffff0000000n;

/** CF PF AF ZF SF TF IF DF OF IOPL NT RF AC ID: all that a SYSCALL should clear. */
export const FMASK = 0x257fd5n;

export interface Gate {
  readonly target?: bigint;
  readonly selector?: number;
  readonly ist?: number;
  readonly dpl?: number;
  readonly type?: number;
  readonly present?: boolean;
}

export interface Options {
  readonly profile?: Partial<Profile>;
  /** What differs from a present interrupt gate to `vN` without IST, with DPL 0 (3 for vectors 3 and 4). */
  readonly gates?: Readonly<Record<number, Gate>>;
  /** Descriptors in addition to the kernel's and the user's. */
  readonly gdt?: Readonly<Record<number, bigint>>;
  readonly regs?: Readonly<Partial<Record<keyof typeof Reg, bigint>>>;
  readonly regions?: readonly Region[];
  /** What CR3 can select; the machine's own memory is mapped in all of them. */
  readonly spaces?: readonly AddressSpace[];
}

export interface Frame {
  readonly rip: bigint;
  readonly cs: bigint;
  readonly rflags: bigint;
  readonly rsp: bigint;
  readonly ss: bigint;
}

const VECTORS = 32;
const LAYOUT = {
  text: 0xffffffff81000000n,
  rodata: 0xffffffff82000000n,
  data: 0xffffffff82400000n,
  'user-text': 0x400000n,
  'user-data': 0x600000n,
  percpu: KERNEL_GS,
  'smm-text': 0x7f008000n,
} as const;
const assembler = await Assembler.create();
const plainHandlers = assembler.assembleText(
  Array.from({ length: VECTORS }, (_, v) => `\t.weak v${v}\nv${v}:\n\thlt\n`).join(''),
  'handlers.S',
);
const images = new Map<string, Image>();

function imageOf(text: string): Image {
  let image = images.get(text);
  if (!image) {
    const module = assembler.assembleText(`.globl start\n${text}\n`, 'test.S');
    // Handlers are found by name: make those of the text known to the gates.
    const symbols = module.symbols.map((s) =>
      /^v\d+$/.test(s.name) && s.binding === 'local' ? { ...s, binding: 'global' as const } : s,
    );
    image = link([{ ...module, symbols }, plainHandlers], { layout: LAYOUT, absolute: ABSOLUTE, tested: [module] });
    images.set(text, image);
  }
  return image;
}

function regionsOf(image: Image, more: readonly Region[]): Region[] {
  const stack = (name: string, top: bigint, user = 0): Region => ({
    name,
    address: top - 0x2000n,
    size: 2 * PAGE_SIZE,
    perms: Perm.WRITE | user,
  });
  const regions: Region[] = [
    { name: 'IDT, GDT, TSS', address: IDT, size: 3 * PAGE_SIZE, perms: Perm.WRITE },
    stack('kernel', KERNEL_STACK),
    stack('RSP0', RSP0_STACK),
    stack('user', USER_STACK, Perm.USER),
    { name: 'IST', address: istStack(0), size: 14 * PAGE_SIZE, perms: Perm.WRITE },
    ...interruptRegions(1, INTERRUPT_PAGES),
    ...more,
  ];
  for (const segment of Object.keys(SEGMENT_PERMS) as (keyof typeof SEGMENT_PERMS)[]) {
    const span = segmentSpan(image, segment);
    if (span) regions.push(segmentRegion(segment, span));
  }
  return regions;
}

/** A machine with what a test wants to know about it. */
export class Rig {
  readonly machine: Machine;
  readonly #image: Image;

  constructor(text: string, options: Options = {}) {
    const image = imageOf(text);
    const memory = new GuestMemory(regionsOf(image, options.regions ?? []), options.spaces);
    for (const section of image.sections) memory.load(section.loadAddress, section.data);
    this.#image = image;
    this.machine = new Machine(memory, { ...PROFILES.intel!, ...options.profile });
    const [tssLow, tssHigh] = tssDescriptor(TSS, Tss.SIZE - 1);
    const gdt: Record<number, bigint> = {
      [KERNEL_CS]: codeSegment(0),
      [KERNEL_SS]: dataSegment(0),
      [USER_SS & ~3]: dataSegment(3),
      [USER_CS & ~3]: codeSegment(3),
      [TASK]: tssLow,
      [TASK + 8]: tssHigh,
      ...options.gdt,
    };
    for (const [selector, descriptor] of Object.entries(gdt)) memory.load64(GDT + BigInt(selector), descriptor);
    memory.load64(TSS + BigInt(Tss.RSP0), RSP0_STACK);
    for (let n = 1; n <= 7; n++) memory.load64(TSS + BigInt(Tss.IST1 + 8 * (n - 1)), istStack(n));
    for (let vector = 0; vector < VECTORS; vector++) this.setGate(vector, options.gates?.[vector] ?? {});
    this.#boot(options);
  }

  #boot(options: Options): void {
    const { u64 } = this.machine.cpu.regs;
    const start = this.label('start');
    const user = this.#image.sectionAt(start)?.segment === 'user-text';
    for (let r = 0; r < 16; r++) u64[r] = 0x0101010101010101n * BigInt(r === 0 ? 0xa0 : r);
    u64[Reg.RIP] = start;
    u64[Reg.RFLAGS] = BigInt(Flag.ONE | Flag.IF);
    u64[Reg.RSP] = user ? USER_STACK : KERNEL_STACK;
    u64[Reg.CS] = BigInt(user ? USER_CS : KERNEL_CS);
    u64[Reg.SS] = BigInt(user ? USER_SS : KERNEL_SS);
    u64[Reg.GS_BASE] = user ? USER_GS : KERNEL_GS;
    u64[Reg.KERNEL_GS_BASE] = user ? KERNEL_GS : USER_GS;
    u64[Reg.CR0] = 0x80050033n;
    u64[Reg.CR4] = 0x60n;
    u64[Reg.EFER] = 0xd01n;
    u64[Reg.DR6] = DR6_RESET;
    u64[Reg.DR7] = DR7_RESET;
    u64[Reg.PAT] = PAT_RESET;
    u64[Reg.MISC_ENABLE] = MISC_ENABLE_RESET;
    u64[Reg.STAR] = (0x23n << 48n) | (BigInt(KERNEL_CS) << 32n);
    u64[Reg.LSTAR] =
      this.#image.globals.get('syscall_entry')?.address ?? this.#image.find('syscall_entry')?.address ?? 0n;
    u64[Reg.FMASK] = FMASK;
    u64[Reg.IDTR_BASE] = IDT;
    u64[Reg.IDTR_LIMIT] = BigInt(VECTORS * 16 - 1);
    u64[Reg.GDTR_BASE] = GDT;
    u64[Reg.GDTR_LIMIT] = BigInt(SPARE + 8 * 8 - 1);
    u64[Reg.TR] = BigInt(TASK);
    u64[Reg.TR_BASE] = TSS;
    u64[Reg.TR_LIMIT] = BigInt(Tss.SIZE - 1);
    this.set(options.regs ?? {});
  }

  /** The address of a label of the text, or of the handler `vN`. */
  label(name: string): bigint {
    const symbol = this.#image.find(name);
    if (!symbol) throw new RangeError(`the text has no label ${name}`);
    return symbol.address;
  }

  get(register: keyof typeof Reg): bigint {
    return this.machine.cpu.regs.u64[Reg[register]]!;
  }

  set(registers: Readonly<Partial<Record<keyof typeof Reg, bigint>>>): this {
    for (const [name, value] of Object.entries(registers)) {
      this.machine.cpu.regs.u64[Reg[name as keyof typeof Reg]] = BigInt.asUintN(64, value);
    }
    this.machine.replaced();
    return this;
  }

  /** Registers by name, for a comparison with deepEqual. */
  all(...names: readonly (keyof typeof Reg)[]): Record<string, bigint> {
    return Object.fromEntries(names.map((name) => [name, this.get(name)]));
  }

  /** What may happen at this boundary, of the step and these events. */
  actions(events: readonly string[] = ['nmi', 'bp']): string[] {
    return this.machine.actions(events);
  }

  /** Fires an event by its name. */
  fire(event: string): this {
    this.machine.next(event);
    return this;
  }

  /** A bit of what the processor remembers about events: a value of EventState. */
  event(bit: number): boolean {
    return (this.get('EVENTS') & BigInt(bit)) !== 0n;
  }

  get rip(): bigint {
    return this.get('RIP');
  }

  flag(flag: number): boolean {
    return (this.get('RFLAGS') & BigInt(flag)) !== 0n;
  }

  step(count = 1): this {
    for (let i = 0; i < count; i++) this.machine.next('step');
    return this;
  }

  nmi(): this {
    this.machine.next('nmi');
    return this;
  }

  bp(): this {
    this.machine.next('bp');
    return this;
  }

  /** Steps until RIP is at the label. */
  runTo(label: string, limit = 200): this {
    const target = this.label(label);
    for (let i = 0; i < limit; i++) {
      if (this.rip === target) return this;
      this.step();
    }
    return assert.fail(`${label} is not reached; RIP is 0x${this.rip.toString(16)}`);
  }

  word(address: bigint): bigint {
    const value = this.machine.memory.peek64(address);
    if (value === undefined) assert.fail(`nothing is mapped at 0x${address.toString(16)}`);
    return value;
  }

  setWord(address: bigint, value: bigint): void {
    this.machine.memory.load64(address, value);
  }

  /** The frame that the last delivery pushed: at RSP, or above an error code. */
  frame(withErrorCode = false): Frame {
    const at = this.get('RSP') + (withErrorCode ? 8n : 0n);
    const [rip, cs, rflags, rsp, ss] = [0n, 8n, 16n, 24n, 32n].map((offset) => this.word(at + offset));
    return { rip: rip!, cs: cs!, rflags: rflags!, rsp: rsp!, ss: ss! };
  }

  /** The vector that the last transition delivered; undefined if it delivered none. */
  get delivered(): number | undefined {
    return this.machine.happened.delivered ? this.machine.happened.vector : undefined;
  }

  /** The error code that the last delivery pushed. */
  get errorCode(): bigint {
    return this.word(this.get('RSP'));
  }

  setGate(vector: number, gate: Gate): void {
    const dpl = gate.dpl ?? (vector === 3 || vector === 4 ? 3 : 0);
    const target = gate.target ?? this.label(`v${vector}`);
    const [low, high] = idtGate(
      target,
      gate.selector ?? KERNEL_CS,
      gate.ist ?? 0,
      dpl,
      gate.type ?? GateType.INTERRUPT,
    );
    this.setWord(IDT + BigInt(16 * vector), gate.present === false ? low & ~(1n << 47n) : low);
    this.setWord(IDT + BigInt(16 * vector + 8), high);
  }
}
