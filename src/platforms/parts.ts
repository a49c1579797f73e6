/** What the platforms' tables are made of. */
import { codeSegment, dataSegment } from '../harness/descriptors.js';
import type { Platform, Slot, Stack, VectorEntry } from './platform.js';

/** A stack of `size` bytes from `base` on. */
export function stack(
  name: string,
  base: bigint,
  size: bigint,
  kinds: { context?: true; body?: true; user?: true },
): Stack {
  return {
    name,
    base,
    top: base + size,
    context: kinds.context ?? false,
    body: kinds.body ?? false,
    user: kinds.user ?? false,
  };
}

/** The four flat segments. */
export function flatSegments(selectors: Platform['selectors']): ReadonlyMap<number, bigint> {
  return new Map([
    [selectors.kernelCs, codeSegment(0)],
    [selectors.kernelSs, dataSegment(0)],
    [selectors.userSs & ~3, dataSegment(3)],
    [selectors.userCs & ~3, codeSegment(3)],
  ]);
}

/** Handlers of the exceptions whose gates use no IST and can be reached by hardware only. */
const PLAIN: readonly (readonly [vector: number, name: string])[] = [
  [0, 'divide_error'],
  [5, 'bounds'],
  [6, 'invalid_op'],
  [7, 'device_not_available'],
  [10, 'invalid_TSS'],
  [11, 'segment_not_present'],
  [12, 'stack_segment'],
  [13, 'general_protection'],
  [14, 'page_fault'],
  [16, 'coprocessor_error'],
  [17, 'alignment_check'],
  [19, 'simd_coprocessor_error'],
  [29, 'vmm_communication'],
];

/** What a system software does its own way: names for all vectors, and what its gates use. */
export interface GateChoices {
  /** The newer name of a handler, by vector and by its older one; the image may use either. */
  readonly newer: (vector: number, older: string) => string;
  /** The newer name of the handler of all interrupts from outside. */
  readonly interrupts: string;
  /** IST slots by vector. */
  readonly ist: Readonly<Record<number, number>>;
}

/** The first vector that is no exception's. */
const FIRST_EXTERNAL = 0x20;

/** All gates: exceptions, and interrupts, for which an image can have one handler each (`interrupt_0x20`) or one for all. */
export function gates({ newer, interrupts, ist }: GateChoices): VectorEntry[] {
  const gate = (vector: number, older: string, dpl = 0): VectorEntry => ({
    ...{ vector, symbols: [newer(vector, older), older], ist: ist[vector] ?? 0, dpl },
  });
  const exceptions = [
    ...PLAIN.map(([vector, name]) => gate(vector, name)),
    ...[gate(1, 'debug'), gate(2, 'nmi'), gate(3, 'int3', 3), gate(4, 'overflow', 3), gate(8, 'double_fault')],
    gate(18, 'machine_check'),
  ];
  const external = Array.from({ length: 0x100 - FIRST_EXTERNAL }, (_, i) => {
    const vector = FIRST_EXTERNAL + i;
    const symbols = [`interrupt_0x${vector.toString(16)}`, interrupts, 'plain_interrupt'];
    return { vector, symbols, ist: 0, dpl: 0 };
  });
  return [...exceptions.sort((a, b) => a.vector - b.vector), ...external];
}

/** The words that a delivery pushes, from the top of the stack down. */
export const FRAME = ['SS', 'RSP', 'RFLAGS', 'CS', 'RIP'];
const GENERAL = ['rdi', 'rsi', 'rdx', 'rcx', 'rax', 'r8', 'r9', 'r10', 'r11', 'rbx', 'rbp', 'r12', 'r13', 'r14', 'r15'];
/** What a handler pushes below them, where the word of the error code is called `code`. */
export function savedRegisters(code: string): readonly string[] {
  return [code, ...GENERAL];
}

/** Slots from the top of the stack down; `from` is the offset of the first, highest word. */
export function slots(...list: readonly (readonly [string, readonly string[]])[]): Slot[] {
  let from = 0;
  return list.map(([name, words]) => {
    const slot = { name, from: from - 8, words };
    from -= 8 * words.length;
    return slot;
  });
}
