/**
 * What programs see: regions of memory with their rights, descriptor tables, stacks; the same here and in the peers.
 * A program's memory is the template below with words of its own on top.
 */
import { PAGE_SIZE, Perm, type Region } from '../src/cpu/memory.js';
import { codeSegment, dataSegment, GateType, idtGate, Tss, tssDescriptor } from '../src/harness/descriptors.js';
import { STUBS } from './state.js';

export const STUB_BASE = 0xffffffff80000000n;
const STUB_SIZE = 16n;

export const KERNEL_TEXT = 0xffffffff81000000n;
export const KERNEL_DATA = 0xffffffff82000000n;
export const KERNEL_READ_ONLY = 0xffffffff82400000n;
export const USER_TEXT = 0x400000n;
export const USER_DATA = 0x1000000n;
export const USER_READ_ONLY = 0x1100000n;
/** Nothing is mapped here, nor in many pages around. */
export const UNMAPPED = 0x1200000n;
/** Two pages each; below and above them nothing is mapped. */
export const USER_STACK_TOP = 0x7ffffffff000n;
export const KERNEL_STACK_TOP = 0xffffc90000003000n;
export const RSP0_TOP = 0xffffc90000012000n;
/** Seven stacks of a page each, one above the other. */
export const istTop = (n: number): bigint => 0xffffc90000100000n + BigInt(n) * 0x1000n;
export const IDT = 0xfffffe0000000000n;
export const GDT = 0xfffffe0000001000n;
export const TSS = 0xfffffe0000002000n;
export const LDT = 0xfffffe0000003000n;

export const KERNEL_CS = 0x10;
export const KERNEL_SS = 0x18;
export const USER_SS = 0x2b;
export const USER_CS = 0x33;
export const TASK = 0x40;
export const LDT_SELECTOR = 0x50;
/** Descriptors that are fit for little: programs name them where they should not. */
export const ODD_DESCRIPTORS = 0x60;
export const GDT_LIMIT = 0xdf;
export const LDT_LIMIT = 0x3f;
export const IDT_LIMIT = 0xfff;

/** RPL 3 in the upper selector, as SYSRET adds to it; SYSCALL's in the lower. */
export const STAR = (0x23n << 48n) | (BigInt(KERNEL_CS) << 32n);
/** TF IF DF IOPL NT AC: what system software has SYSCALL clear. */
export const FMASK = 0x47700n;

export const CR0 = 0x80010033n;
export const CR4 = 0x10020n;
export const EFER = 0xd01n;

/**
 * Each program has a page of its own in either text, so that the machine here, which decodes an address only once, can
 * run many. In the peers all of these pages are the same one, and so they are in the image of a program's memory.
 */
export const TEXT_SLOTS = 512;

const DATA = Perm.WRITE;
/** The regions in the order in which their pages follow each other in the image of a program's memory. */
export const LIVE_REGIONS: readonly Region[] = [
  { name: 'IDT', address: IDT, size: PAGE_SIZE, perms: DATA },
  { name: 'GDT', address: GDT, size: PAGE_SIZE, perms: DATA },
  { name: 'TSS', address: TSS, size: PAGE_SIZE, perms: DATA },
  { name: 'LDT', address: LDT, size: PAGE_SIZE, perms: DATA },
  { name: 'kernel text', address: KERNEL_TEXT, size: PAGE_SIZE, perms: Perm.EXEC },
  { name: 'user text', address: USER_TEXT, size: PAGE_SIZE, perms: Perm.EXEC | Perm.USER },
  { name: 'kernel data', address: KERNEL_DATA, size: 2 * PAGE_SIZE, perms: DATA },
  { name: 'kernel read-only data', address: KERNEL_READ_ONLY, size: PAGE_SIZE, perms: 0 },
  { name: 'user data', address: USER_DATA, size: 2 * PAGE_SIZE, perms: DATA | Perm.USER },
  { name: 'user read-only data', address: USER_READ_ONLY, size: PAGE_SIZE, perms: Perm.USER },
  { name: 'user stack', address: USER_STACK_TOP - 0x2000n, size: 2 * PAGE_SIZE, perms: DATA | Perm.USER },
  { name: 'kernel stack', address: KERNEL_STACK_TOP - 0x2000n, size: 2 * PAGE_SIZE, perms: DATA },
  { name: 'RSP0 stack', address: RSP0_TOP - 0x1000n, size: PAGE_SIZE, perms: DATA },
  { name: 'IST stacks', address: istTop(0), size: 7 * PAGE_SIZE, perms: DATA },
];

export const STUB_REGION: Region = {
  name: 'stubs',
  address: STUB_BASE,
  size: Math.ceil((STUBS * Number(STUB_SIZE)) / PAGE_SIZE) * PAGE_SIZE,
  perms: Perm.EXEC,
};

export const LIVE_BYTES = LIVE_REGIONS.reduce((sum, region) => sum + region.size, 0);
export const LIVE_WORDS = LIVE_BYTES / 8;

export function stubAddress(n: number): bigint {
  return STUB_BASE + BigInt(n) * STUB_SIZE;
}

/** The number of the stub that begins at `address`. */
export function stubAt(address: bigint): number | undefined {
  const offset = address - STUB_BASE;
  if (offset < 0n || offset >= BigInt(STUBS) * STUB_SIZE || offset % STUB_SIZE !== 0n) return undefined;
  return Number(offset / STUB_SIZE);
}

/** The regions as they are mapped: with a page for each slot in the texts. */
export const MAPPED_REGIONS: readonly Region[] = LIVE_REGIONS.map((region) =>
  isText(region) ? { ...region, size: TEXT_SLOTS * PAGE_SIZE } : region,
);

export function isText(region: Region): boolean {
  return (region.perms & Perm.EXEC) !== 0;
}

/** The byte offset of a virtual address in the image of a program's memory; undefined where nothing is mapped. */
export function liveOffset(address: bigint): number | undefined {
  let offset = 0;
  for (const [i, region] of LIVE_REGIONS.entries()) {
    const at = address - region.address;
    if (at >= 0n && at < BigInt(MAPPED_REGIONS[i]!.size)) return offset + (Number(at) % region.size);
    offset += region.size;
  }
  return undefined;
}

/** The virtual address of a byte offset in the image of a program's memory; in text, that in the first slot. */
export function liveAddress(offset: number): bigint {
  let start = 0;
  for (const region of LIVE_REGIONS) {
    if (offset < start + region.size) return region.address + BigInt(offset - start);
    start += region.size;
  }
  throw new RangeError(`there is no memory at offset ${offset}`);
}

const PRESENT = 1n << 47n;
const WRITABLE = 1n << 41n;
const CONFORMING = 1n << 42n;
const LONG = 1n << 53n;
const BIG = 1n << 54n;

/** Descriptors from ODD_DESCRIPTORS on. All are marked as accessed, so that loading one changes nothing. */
export const ODD: readonly bigint[] = [
  codeSegment(0) & ~PRESENT,
  codeSegment(3) & ~PRESENT,
  dataSegment(0) & ~PRESENT,
  dataSegment(3) & ~PRESENT,
  dataSegment(0) & ~WRITABLE,
  dataSegment(3) & ~WRITABLE,
  codeSegment(0) | CONFORMING,
  codeSegment(3) | CONFORMING,
  codeSegment(0) | BIG,
  codeSegment(3) & ~WRITABLE,
  dataSegment(1),
  codeSegment(1),
  // A data segment with a base, which counts for FS and GS only.
  dataSegment(3) | ((USER_DATA & 0xffffffn) << 16n) | ((USER_DATA >> 24n) << 56n),
  // A call gate's type in a slot of its own, and an empty slot.
  (0xcn << 40n) | PRESENT,
  0n,
  // L with DPL 2.
  (codeSegment(2) & ~LONG) | LONG,
];

/** A deterministic sequence of 32-bit numbers (a Weyl sequence, mixed). */
export function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let x = state;
    x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    return (x ^ (x >>> 15)) >>> 0;
  };
}

export const INT3_BYTE = 0xcc;

function makeTemplate(): Uint8Array {
  const bytes = new Uint8Array(LIVE_BYTES);
  const view = new DataView(bytes.buffer);
  const store = (address: bigint, value: bigint): void =>
    view.setBigUint64(liveOffset(address)!, BigInt.asUintN(64, value), true);
  const next = numbers(1);
  let offset = 0;
  for (const region of LIVE_REGIONS) {
    if (region.perms & Perm.EXEC) bytes.fill(INT3_BYTE, offset, offset + region.size);
    else if (![IDT, GDT, TSS, LDT].includes(region.address)) {
      for (let at = offset; at < offset + region.size; at += 4) view.setUint32(at, next(), true);
    }
    offset += region.size;
  }
  for (let vector = 0; vector < 256; vector++) {
    // #DF has a stack that is always good; INT3 and INT 0x80 may be used in ring 3.
    const [low, high] = idtGate(
      stubAddress(vector),
      KERNEL_CS,
      vector === 8 ? 1 : 0,
      vector === 3 || vector === 4 || vector >= 0x80 ? 3 : 0,
      GateType.INTERRUPT,
    );
    store(IDT + BigInt(16 * vector), low);
    store(IDT + BigInt(16 * vector + 8), high);
  }
  const [tssLow, tssHigh] = tssDescriptor(TSS, Tss.SIZE - 1);
  const [ldtLow, ldtHigh] = tssDescriptor(LDT, LDT_LIMIT);
  const gdt: Record<number, bigint> = {
    [KERNEL_CS]: codeSegment(0),
    [KERNEL_SS]: dataSegment(0),
    [USER_SS & ~3]: dataSegment(3),
    [USER_CS & ~3]: codeSegment(3),
    [TASK]: tssLow,
    [TASK + 8]: tssHigh,
    // The type of an LDT, 2, in place of a TSS's.
    [LDT_SELECTOR]: (ldtLow & ~(0xfn << 40n)) | (2n << 40n),
    [LDT_SELECTOR + 8]: ldtHigh,
  };
  ODD.forEach((descriptor, i) => {
    gdt[ODD_DESCRIPTORS + 8 * i] = descriptor;
  });
  for (const [selector, descriptor] of Object.entries(gdt)) store(GDT + BigInt(selector), descriptor);
  [codeSegment(0), dataSegment(0), codeSegment(3), dataSegment(3)].forEach((descriptor, i) => {
    store(LDT + BigInt(8 * (i + 1)), descriptor);
  });
  store(TSS + BigInt(Tss.RSP0), RSP0_TOP);
  for (let n = 1; n <= 7; n++) store(TSS + BigInt(Tss.IST1 + 8 * (n - 1)), istTop(n));
  return bytes;
}

/** A program's memory, before its own words are put in. */
export const TEMPLATE: Uint8Array = makeTemplate();
export const TEMPLATE_WORDS = new BigUint64Array(TEMPLATE.buffer);
