/**
 * Layouts of the descriptor tables in guest memory: segment descriptors, call gates, IDT gates, the 64-bit TSS. SDM
 * vol. 3, 3.4.5 (segment descriptors), 3.5 (system descriptors), 5.8.3.1 (64-bit call gates), 6.14.1 (64-bit gates),
 * 7.7 (64-bit TSS).
 */

/** Bits of the upper half (bytes 4 to 7) of a segment descriptor. */
export const Segment = {
  ACCESSED: 1 << 8,
  /** Readable (code) or writable (data). */
  WRITABLE: 1 << 9,
  /** Conforming (code) or expand-down (data). */
  CONFORMING: 1 << 10,
  EXECUTABLE: 1 << 11,
  /** S = 1: code or data, not a system descriptor. */
  CODE_OR_DATA: 1 << 12,
  DPL_SHIFT: 13,
  PRESENT: 1 << 15,
  LIMIT_19_16: 0xf << 16,
  LONG: 1 << 21,
  DEFAULT_BIG: 1 << 22,
  GRANULARITY: 1 << 23,
} as const;

/** Types of system descriptors in IA-32e mode (SDM vol. 3, table 3-2): they have 16 bytes each. */
export const SystemType = { LDT: 0x2, AVAILABLE_TSS: 0x9, BUSY_TSS: 0xb, CALL_GATE: 0xc } as const;

/** The bit that tells a busy TSS from an available one, in the upper half of its descriptor. */
export const TSS_BUSY = 1 << 9;
/** In the last four bytes of a 16-byte descriptor: where a type would be there is none. */
export const UPPER_TYPE = 0x1f << 8;

/** The type of a system descriptor, from its upper half. */
export function systemType(high: number): number {
  return (high >>> 8) & 0xf;
}

/** The privilege level of a descriptor, from its upper half. */
export function descriptorDpl(high: number): number {
  return (high >>> Segment.DPL_SHIFT) & 3;
}

/** The 32-bit base of a code or data segment descriptor. */
export function descriptorBase(low: number, high: number): bigint {
  return BigInt(((high & 0xff000000) | ((high & 0xff) << 16) | (low >>> 16)) >>> 0);
}

/** The limit of a segment in bytes: the offset of its last byte. */
export function descriptorLimit(low: number, high: number): number {
  const limit = (high & Segment.LIMIT_19_16) | (low & 0xffff);
  return high & Segment.GRANULARITY ? limit * 0x1000 + 0xfff : limit;
}

/** Base 0, limit 4 GiB. */
function flat(bits: number, dpl: number): bigint {
  const high = bits | Segment.LIMIT_19_16 | Segment.GRANULARITY | Segment.CODE_OR_DATA | Segment.WRITABLE;
  return (BigInt(high | Segment.ACCESSED | Segment.PRESENT | (dpl << Segment.DPL_SHIFT)) << 32n) | 0xffffn;
}

/** A flat 64-bit code segment. */
export function codeSegment(dpl: number): bigint {
  return flat(Segment.EXECUTABLE | Segment.LONG, dpl);
}

/** A flat data segment. */
export function dataSegment(dpl: number): bigint {
  return flat(Segment.DEFAULT_BIG, dpl);
}

/** A data segment of ring 3 whose only use is its limit: LSL, which is allowed everywhere, reads the number from it. */
export function numberSegment(n: number): bigint {
  const high =
    Segment.DEFAULT_BIG | Segment.CODE_OR_DATA | Segment.ACCESSED | Segment.PRESENT | (3 << Segment.DPL_SHIFT);
  return (BigInt(high | (n & Segment.LIMIT_19_16)) << 32n) | BigInt(n & 0xffff);
}

/** The two words of the 16-byte descriptor of a busy 64-bit TSS. */
export function tssDescriptor(base: bigint, limit: number): [bigint, bigint] {
  return systemDescriptor(base, limit, SystemType.BUSY_TSS);
}

/** The two words of a 16-byte descriptor of an LDT or a TSS, present, with DPL 0. `limit` in bytes, below 64 KiB. */
export function systemDescriptor(base: bigint, limit: number, type: number): [bigint, bigint] {
  const b = BigInt.asUintN(64, base);
  const low =
    (BigInt(limit) & 0xffffn) |
    ((b & 0xffffffn) << 16n) |
    (BigInt(type) << 40n) |
    (1n << 47n) |
    (((b >> 24n) & 0xffn) << 56n);
  return [low, b >> 32n];
}

/** The two words of a 64-bit call gate. */
export function callGate(target: bigint, selector: number, dpl: number): [bigint, bigint] {
  return idtGate(target, selector, 0, dpl, SystemType.CALL_GATE);
}

export const GateType = { INTERRUPT: 0xe, TRAP: 0xf } as const;

/** The two words of an IDT gate. `ist` is 1 to 7, or 0 for none. */
export function idtGate(target: bigint, selector: number, ist: number, dpl: number, type: number): [bigint, bigint] {
  const t = BigInt.asUintN(64, target);
  const low =
    (t & 0xffffn) |
    (BigInt(selector) << 16n) |
    (BigInt(ist) << 32n) |
    (BigInt(type) << 40n) |
    (BigInt(dpl) << 45n) |
    (1n << 47n) |
    (((t >> 16n) & 0xffffn) << 48n);
  return [low, t >> 32n];
}

/** Offsets into the 64-bit TSS. */
export const Tss = { RSP0: 0x04, IST1: 0x24, IO_MAP_BASE: 0x66, SIZE: 0x68 } as const;
