/**
 * Alternatives: `.altinstructions` names places in the code, features, and what stands there when the processor has them
 * (Linux: arch/x86/kernel/alternative.c and asm/alternative.h; Xen: the files of the same names).
 */
import { Decoder, DecoderOptions, type Instruction, OpKind, Register } from 'iced-x86';
import { InputError } from '../errors.js';
import type { Kernel } from './feature_names.js';
import type { KernelVersion } from './kernel_version.js';
import type { PatchedMemory } from './memory.js';
import { lengthAt, type MergeRules, mergeSite, nops } from './nops.js';
import { relative, type Table, type TableName, tables, viewOf } from './tables.js';

export interface Alternative {
  readonly original: bigint;
  readonly replacement: bigint;
  readonly feature: number;
  /** It applies when the feature is absent. */
  readonly inverted: boolean;
  /** The replacement is a call of what the original calls through a pointer. */
  readonly directCall: boolean;
  /** Bytes that are patched, padding included. */
  readonly size: number;
  readonly replacementSize: number;
  /** NOPs at the end of the original, where the entry says so. Bytes. */
  readonly padding: number | undefined;
  /** File, section and offset of the entry. */
  readonly where: string;
}

/** How the code that reads these entries at boot writes what it patches. */
export interface PatchRules extends MergeRules {
  /** Branches in a replacement: only a CALL at its start; that, and a JMP made short; or whatever is relative in it. */
  readonly branches: 'call' | 'call-and-jump' | 'all';
  /** Consecutive entries for one place all have the size of the longest. */
  readonly nested: boolean;
}

export interface Alternatives {
  readonly kernel: Kernel;
  /** Which kernels have such entries. */
  readonly layout: string;
  readonly entries: readonly Alternative[];
  readonly rules: PatchRules;
}

const TABLE: TableName = {
  section: '.altinstructions',
  start: '__alt_instructions',
  end: '__alt_instructions_end',
};

/** Two 32-bit offsets to the original and the replacement begin each entry, each relative to its own place. */
interface Layout {
  readonly name: string;
  readonly kernel: Kernel;
  /** Bytes. */
  readonly size: number;
  /** What follows the two offsets; undefined if it cannot be an entry of this layout. */
  readonly decode: (view: DataView, at: number) => Fields | undefined;
  readonly rules: (version: KernelVersion | undefined) => PatchRules;
}

type Fields = Pick<Alternative, 'feature' | 'inverted' | 'directCall' | 'size' | 'replacementSize' | 'padding'>;

const NOT = 1 << 15;
const FLAG_NOT = 1;
const FLAG_DIRECT_CALL = 2;
/** Linux has 22 to 24 words of features and bugs, Xen fewer: no number is as high as this. */
const FEATURES_END = 32 * 32;

const LINUX_OLD: PatchRules = { nops: 'runs', branches: 'call', merging: 'none', nested: false };
const LINUX_PADDED: PatchRules = { nops: 'runs', branches: 'call-and-jump', merging: 'padding', nested: false };
const LINUX_5_13: PatchRules = { nops: 'runs', branches: 'call-and-jump', merging: 'single', nested: false };
const LINUX_6_5: PatchRules = { nops: 'one', branches: 'all', merging: 'all-and-jumps', nested: false };
const LINUX_6_10: PatchRules = { ...LINUX_6_5, merging: 'all', nested: true };
const XEN: PatchRules = { nops: 'xen', branches: 'call-and-jump', merging: 'padding', nested: false };

/** What Linux does from 5.13 on; an object, which has no version, is taken for one of 5.13 to 6.4. */
export function linuxRules(version: KernelVersion | undefined): PatchRules {
  if (version && version.number >= 610) return LINUX_6_10;
  return version && version.number >= 605 ? LINUX_6_5 : LINUX_5_13;
}

const LAYOUTS: readonly Layout[] = [
  {
    // cpuid, with bit 15 for NOT from 5.13 on; instrlen; replacementlen
    name: 'Linux before 4.1, or 5.13 to 6.2',
    kernel: 'linux',
    size: 12,
    decode: (view, at) => {
      const cpuid = view.getUint16(at, true);
      return {
        feature: cpuid & ~NOT,
        inverted: (cpuid & NOT) !== 0,
        directCall: false,
        size: view.getUint8(at + 2),
        replacementSize: view.getUint8(at + 3),
        padding: undefined,
      };
    },
    rules: (version) => (version && version.number < 513 ? LINUX_OLD : linuxRules(version)),
  },
  {
    // cpuid; instrlen, padding included; replacementlen; padlen
    name: 'Linux 4.1 to 5.12',
    kernel: 'linux',
    size: 13,
    decode: (view, at) => {
      const size = view.getUint8(at + 2);
      const padding = view.getUint8(at + 4);
      if (padding > size) return undefined;
      return {
        feature: view.getUint16(at, true),
        inverted: false,
        directCall: false,
        size,
        replacementSize: view.getUint8(at + 3),
        padding,
      };
    },
    rules: () => LINUX_PADDED,
  },
  {
    // cpuid; flags; instrlen; replacementlen
    name: 'Linux from 6.3',
    kernel: 'linux',
    size: 14,
    decode: (view, at) => {
      const flags = view.getUint16(at + 2, true);
      if (flags > (FLAG_NOT | FLAG_DIRECT_CALL)) return undefined;
      return {
        feature: view.getUint16(at, true),
        inverted: (flags & FLAG_NOT) !== 0,
        directCall: (flags & FLAG_DIRECT_CALL) !== 0,
        size: view.getUint8(at + 4),
        replacementSize: view.getUint8(at + 5),
        padding: undefined,
      };
    },
    rules: (version) => (version ? linuxRules(version) : LINUX_6_10),
  },
  {
    // cpuid; orig_len, without padding; repl_len; pad_len; priv, which is 0 until Xen has begun to patch
    name: 'Xen from 4.10',
    kernel: 'xen',
    size: 14,
    decode: (view, at) => {
      if (view.getUint8(at + 5) !== 0) return undefined;
      const cpuid = view.getUint16(at, true);
      const padding = view.getUint8(at + 4);
      return {
        feature: cpuid & ~NOT,
        inverted: (cpuid & NOT) !== 0,
        directCall: false,
        size: view.getUint8(at + 2) + padding,
        replacementSize: view.getUint8(at + 3),
        padding,
      };
    },
    rules: () => XEN,
  },
];

const HEAD = 8;

/** All entries of an image in the order in which they are applied; undefined if it has none. */
export function readAlternatives(memory: PatchedMemory, version: KernelVersion | undefined): Alternatives | undefined {
  const found = tables(memory, TABLE);
  if (found.length === 0) return undefined;
  // An image has entries of one layout: the one that fits all of its tables.
  const attempts = LAYOUTS.map((layout) => attempt(memory, layout, found));
  const fitting = attempts.find((a) => a.problem === undefined);
  if (!fitting) {
    const furthest = attempts.reduce((a, b) => (b.entries.length > a.entries.length ? b : a));
    throw new InputError(
      `${furthest.problem!.where}: ${furthest.problem!.text}, and no known layout of entries fits; the table is damaged, or from a kernel that entrace does not know`,
    );
  }
  const { layout, entries } = fitting;
  return { kernel: layout.kernel, layout: layout.name, entries, rules: layout.rules(version) };
}

interface Attempt {
  readonly layout: Layout;
  readonly entries: readonly Alternative[];
  readonly problem: { readonly where: string; readonly text: string } | undefined;
}

function attempt(memory: PatchedMemory, layout: Layout, found: readonly Table[]): Attempt {
  const entries: Alternative[] = [];
  const fail = (where: string, text: string): Attempt => ({ layout, entries, problem: { where, text } });
  for (const table of found) {
    const view = viewOf(table.bytes);
    for (let at = 0; at < table.bytes.length; at += layout.size) {
      const where = table.where(at);
      if (at + layout.size > table.bytes.length) {
        return fail(where, `the last entry has ${table.bytes.length - at} of ${layout.size} bytes`);
      }
      const fields = layout.decode(view, at + HEAD);
      if (!fields) return fail(where, 'this is no entry');
      const entry: Alternative = {
        ...fields,
        original: relative(table.address, view, at),
        replacement: relative(table.address, view, at + 4),
        where,
      };
      const problem = problemOf(memory, entry);
      if (problem) return fail(where, problem);
      entries.push(entry);
    }
  }
  return { layout, entries, problem: undefined };
}

function problemOf(memory: PatchedMemory, entry: Alternative): string | undefined {
  const { original, replacement, feature, size, replacementSize } = entry;
  if (!memory.isCode(original, Math.max(size, 1))) {
    return `its original (0x${original.toString(16)}, ${size} bytes) is not inside code`;
  }
  if (replacementSize > 0 && !memory.sectionAt(replacement, replacementSize)) {
    return `its replacement (0x${replacement.toString(16)}, ${replacementSize} bytes) is not in the image`;
  }
  if (replacementSize > size) return `its replacement (${replacementSize} bytes) is longer than its original (${size})`;
  if (feature >= FEATURES_END) return `there is no feature ${feature >> 5}*32+${feature & 31}`;
  return undefined;
}

/** A site that has been written. */
export interface Patch {
  readonly address: bigint;
  readonly size: number;
  /** The feature that did it, `!` before one that is absent; undefined if only NOPs have been merged. */
  readonly by: string | undefined;
  /** Where its first instructions come from: the source lines of a replacement. */
  readonly from: PatchOrigin | undefined;
}

export interface PatchOrigin {
  readonly address: bigint;
  readonly size: number;
}

/** Applies the entries in order. `has` says whether the processor has a feature. */
export function applyAlternatives(
  memory: PatchedMemory,
  { kernel, entries, rules }: Alternatives,
  has: (feature: number) => boolean,
  label: (entry: Alternative) => string,
): Patch[] {
  const patches: Patch[] = [];
  const patched = new Set<bigint>();
  const sizes = rules.nested ? nestedSizes(entries) : undefined;
  entries.forEach((entry, i) => {
    const size = sizes?.[i] ?? entry.size;
    const { original } = entry;
    const before = memory.read(original, size)!;
    const applies = has(entry.feature) !== entry.inverted;
    const after = applies ? replaced(memory, entry, size, before, rules, kernel) : before.slice();
    if (!after) return;
    if (applies) patched.add(original);
    merge(after, entry, rules, applies || patched.has(original));
    if (applies || !sameBytes(before, after)) {
      memory.write(original, after);
      patches.push({
        address: original,
        size,
        by: applies ? label(entry) : undefined,
        from: applies ? { address: entry.replacement, size: entry.replacementSize } : undefined,
      });
    }
  });
  return patches;
}

function nestedSizes(entries: readonly Alternative[]): number[] {
  const sizes = entries.map((e) => e.size);
  for (let i = 0; i < entries.length; i++) {
    for (let j = i + 1; j < entries.length && entries[j]!.original === entries[i]!.original; j++) {
      sizes[i] = sizes[j] = Math.max(sizes[i]!, sizes[j]!);
    }
  }
  return sizes;
}

/** What stands at the site then; undefined if the site is left alone. */
function replaced(
  memory: PatchedMemory,
  entry: Alternative,
  size: number,
  before: Uint8Array,
  rules: PatchRules,
  kernel: Kernel,
): Uint8Array | undefined {
  const { original, replacement, replacementSize } = entry;
  const code = memory.read(replacement, replacementSize) ?? new Uint8Array(0);
  if (entry.directCall) return directCall(memory, entry, size, before);
  if (kernel === 'xen') {
    const direct = xenDirectBranch(memory, entry, before, code);
    if (direct === 'none') return undefined;
    if (direct) code.set(direct);
    else if (code.length >= 5 && (code[0]! & 0xfe) === 0xe8) moveBranch(code, 1, replacement - original);
  } else if (code.length === 5 && code[0] === 0xe8 && rules.branches !== 'all') {
    moveBranch(code, 1, replacement - original);
  }
  const after = new Uint8Array(size);
  after.set(code);
  if (rules.branches === 'all') after.fill(0x90, code.length);
  else after.set(fill(size - code.length, rules), code.length);
  if (kernel === 'linux' && rules.branches === 'call-and-jump' && code.length === 5 && isJump(code[0]!)) {
    shortenJump(after, replacement - original);
  }
  if (rules.branches === 'all') relocate(after, entry);
  return after;
}

function fill(count: number, rules: PatchRules): Uint8Array {
  // Linux from 5.13 on writes single NOPs and merges them with those of the replacement afterwards.
  return rules.merging === 'single' ? new Uint8Array(count).fill(0x90) : nops(count, rules.nops);
}

function isJump(opcode: number): boolean {
  return opcode === 0xe9 || opcode === 0xeb;
}

/** Adds to the 32-bit displacement at an offset. */
function moveBranch(code: Uint8Array, at: number, by: bigint): void {
  const view = viewOf(code);
  view.setInt32(at, Number(BigInt.asIntN(32, BigInt(view.getInt32(at, true)) + by)), true);
}

/**
 * JMP rel32 at the start of a replacement, as recompute_jump() writes it: short if the target is near enough. The kernel's
 * test for backward jumps asks whether the displacement without its sign is its own low byte, which never holds: they stay long.
 */
function shortenJump(after: Uint8Array, by: bigint): void {
  const view = viewOf(after);
  // From the start of the site to the target.
  const distance = Number(BigInt.asIntN(32, BigInt(view.getInt32(1, true)) + by + 5n));
  if (distance >= 0 && distance - 2 <= 127) {
    after.set([0xeb, distance - 2]);
    after.set(nops(3, 'runs'), 2);
  } else {
    after[0] = 0xe9;
    view.setInt32(1, distance - 5, true);
  }
}

/** Linux from 6.5 on: each relative field whose target is not in the replacement itself is adjusted, each JMP made short. */
function relocate(after: Uint8Array, { original, replacement, replacementSize }: Alternative): void {
  const by = replacement - original;
  const inside = (offset: bigint): boolean => offset >= 0n && offset <= BigInt(replacementSize);
  for (let at = 0; at < after.length; ) {
    const length = lengthAt(after, at);
    if (length === undefined) return;
    const decoder = new Decoder(64, after.subarray(at, at + length), DecoderOptions.None);
    decoder.ip = BigInt(at);
    const decoded = decoder.decode();
    const fields = decoder.getConstantOffsets(decoded);
    const next = BigInt(at + length);
    if (isRelativeBranch(decoded)) {
      const size = fields.immediateSize;
      const outside = !inside(BigInt.asIntN(64, decoded.nearBranchTarget));
      if (outside) addTo(after, at + fields.immediateOffset, size, by);
      if (after[at] === 0xe9) {
        // As the kernel computes it: with the move, whether the target is inside or not.
        const distance = BigInt.asIntN(64, decoded.nearBranchTarget) - next + by + 3n;
        if (distance === BigInt.asIntN(8, distance)) {
          after.set([0xeb, Number(BigInt.asUintN(8, distance))], at);
          after.fill(0xcc, at + 2, at + length);
        }
      }
    }
    if (decoded.memoryBase === Register.RIP && !inside(next + ripDisplacement(after, at, fields.displacementOffset))) {
      addTo(after, at + fields.displacementOffset, 4, by);
    }
    fields.free();
    decoded.free();
    decoder.free();
    at += length;
  }
}

function isRelativeBranch(instruction: Instruction): boolean {
  return instruction.opCount > 0 && instruction.op0Kind === OpKind.NearBranch64;
}

function ripDisplacement(code: Uint8Array, at: number, offset: number): bigint {
  return BigInt(viewOf(code).getInt32(at + offset, true));
}

function addTo(code: Uint8Array, at: number, size: number, by: bigint): void {
  const view = viewOf(code);
  if (size === 1) view.setInt8(at, Number(BigInt.asIntN(8, BigInt(view.getInt8(at)) + by)));
  else moveBranch(code, at, by);
}

/** `call *pointer(%rip)` becomes a call of what the pointer holds, or nothing if that is the function that does nothing. */
function directCall(memory: PatchedMemory, entry: Alternative, size: number, before: Uint8Array): Uint8Array {
  const target = pointedTo(memory, entry.original, before, 0x15);
  if (entry.replacementSize !== 5 || entry.size !== 6 || !target) {
    throw new InputError(
      `${entry.where}: the entry asks for a direct call, but its original is no call through a pointer in the image; the table is damaged`,
    );
  }
  const after = new Uint8Array(size).fill(0x90);
  const nothing = memory.image.find('nop_func')?.address;
  const called = target.value === 0n ? (memory.image.find('BUG_func')?.address ?? 0n) : target.value;
  if (called !== nothing) {
    after[0] = 0xe8;
    viewOf(after).setInt32(1, Number(BigInt.asIntN(32, called - entry.original - 5n)), true);
  }
  return after;
}

/** What the pointer holds through which `ff 15` or `ff 25` with a RIP-relative operand goes. */
function pointedTo(
  memory: PatchedMemory,
  address: bigint,
  code: Uint8Array,
  modrm: number,
): { readonly value: bigint } | undefined {
  if (code.length < 6 || code[0] !== 0xff || code[1] !== modrm) return undefined;
  const value = memory.pointer(address + 6n + BigInt(viewOf(code).getInt32(2, true)));
  return value === undefined ? undefined : { value };
}

/** SDM vol. 2, ENDBR64. */
const ENDBR64 = Buffer.of(0xf3, 0x0f, 0x1e, 0xfa);

/** Xen's special case: a branch to itself in place of one through a pointer becomes one to where the pointer points. */
function xenDirectBranch(
  memory: PatchedMemory,
  { original, replacementSize }: Alternative,
  before: Uint8Array,
  code: Uint8Array,
): Uint8Array | 'none' | undefined {
  if (replacementSize < 5 || (code[0]! & 0xfe) !== 0xe8 || viewOf(code).getInt32(1, true) !== -5) return undefined;
  const target = pointedTo(memory, original, before, code[0]! & 1 ? 0x25 : 0x15);
  if (!target) return undefined;
  // A pointer that nothing has filled yet: Xen comes back when it is.
  if (target.value === 0n) return 'none';
  // A direct branch needs no ENDBR where it goes.
  const first = memory.read(target.value, 4);
  const skipped = first && Buffer.from(first).equals(ENDBR64) ? 4n : 0n;
  const bytes = code.slice();
  viewOf(bytes).setInt32(1, Number(BigInt.asIntN(32, target.value + skipped - original - 5n)), true);
  return bytes;
}

/** NOPs of the site, as the rules have it. In place. */
function merge(code: Uint8Array, { padding, size }: Alternative, rules: PatchRules, isPatched: boolean): void {
  mergeSite(code, rules);
  if (rules.merging === 'padding' && padding !== undefined && padding > 1) {
    // Linux looks for NOPs from the start of the site on: padding behind an instruction stays as it is. Xen leaves sites
    // alone that it has patched, and NOPs that the assembler has chosen well.
    const from = rules.nops === 'xen' ? size - padding : 0;
    const allowed = rules.nops === 'xen' ? !isPatched : true;
    const single = code.subarray(from, from + padding).every((byte) => byte === 0x90);
    if (allowed && single) code.set(nops(padding, rules.nops), size - padding);
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.every((byte, i) => byte === b[i]);
}
