/**
 * Layouts of the descriptor tables in guest memory: segment descriptors, IDT gates, the 64-bit TSS.
 * SDM vol. 3, 3.4.5 (segment descriptors), 6.14.1 (64-bit gates), 7.7 (64-bit TSS).
 */

/** Segment descriptor bits, as a 64-bit word. */
export const Segment = {
  TYPE_SHIFT: 40n,
  /** S = 1: code or data, not a system descriptor. */
  CODE_OR_DATA: 1n << 44n,
  EXECUTABLE: 1n << 43n,
  /** Conforming (code) or expand-down (data). */
  CONFORMING: 1n << 42n,
  /** Readable (code) or writable (data). */
  WRITABLE: 1n << 41n,
  ACCESSED: 1n << 40n,
  DPL_SHIFT: 45n,
  PRESENT: 1n << 47n,
  LONG: 1n << 53n,
  DEFAULT_BIG: 1n << 54n,
  GRANULARITY: 1n << 55n,
} as const;

export function descriptorDpl(descriptor: bigint): number {
  return Number((descriptor >> Segment.DPL_SHIFT) & 3n);
}

/** The 32-bit base of a code or data segment descriptor. */
export function descriptorBase(descriptor: bigint): bigint {
  return ((descriptor >> 16n) & 0xffffffn) | ((descriptor >> 32n) & 0xff000000n);
}

export function codeSegment(dpl: number): bigint {
  return (
    ((0xfn << 48n) | 0xffffn | Segment.GRANULARITY) |
    Segment.CODE_OR_DATA |
    Segment.EXECUTABLE |
    Segment.WRITABLE |
    Segment.ACCESSED |
    Segment.PRESENT |
    Segment.LONG |
    (BigInt(dpl) << Segment.DPL_SHIFT)
  );
}

export function dataSegment(dpl: number): bigint {
  return (
    ((0xfn << 48n) | 0xffffn | Segment.GRANULARITY) |
    Segment.CODE_OR_DATA |
    Segment.WRITABLE |
    Segment.ACCESSED |
    Segment.PRESENT |
    Segment.DEFAULT_BIG |
    (BigInt(dpl) << Segment.DPL_SHIFT)
  );
}

/** The two words of the 16-byte descriptor of a busy 64-bit TSS. */
export function tssDescriptor(base: bigint, limit: number): [bigint, bigint] {
  const b = BigInt.asUintN(64, base);
  const low =
    (BigInt(limit) & 0xffffn) |
    ((b & 0xffffffn) << 16n) |
    (0xbn << Segment.TYPE_SHIFT) |
    Segment.PRESENT |
    (((b >> 24n) & 0xffn) << 56n);
  return [low, b >> 32n];
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
export const Tss = { RSP0: 0x04, IST1: 0x24, SIZE: 0x68 } as const;
