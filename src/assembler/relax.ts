/**
 * Relaxation: which jumps are short, how much alignment takes, where every fragment lies.
 *
 * All jumps start short and only ever grow. Passes go over the fragments in order; a jump forward takes the bytes by which
 * this pass has already moved things into account, unless an alignment or `.org` before its target may swallow them.
 * GNU as decides in the same order, so both arrive at the same sizes.
 */
import {
  anchorOf,
  constantOf,
  type Distance,
  EvaluationError,
  type Expression,
  evaluate,
  reduce,
  type Value,
} from './expression.js';
import { fillWithNops } from './nops.js';
import {
  type AlignTail,
  type BranchTail,
  type Fragment,
  type LebTail,
  leb128,
  type NopsTail,
  type OrgTail,
  SECTION_LIMIT,
  type Section,
  type SpaceTail,
} from './section.js';
import { errorAt } from './source.js';
import type { Label } from './symbols.js';

/** No real program needs more; a program that needs more never settles. */
const PASS_LIMIT = 500;

/** A label and how far behind it. */
export interface Anchor {
  readonly label: Label;
  readonly constant: bigint;
}

/** Offset into the section, by the latest addresses. */
export function offsetOf({ label, constant }: Anchor): bigint {
  return BigInt(label.fragment.address + label.offset) + constant;
}

/** Distance of labels that are in one section, by the latest addresses. */
export const laidOutDistance: Distance = (a, b) => {
  const from = anchorOf(a);
  const to = anchorOf(b);
  if (!from || !to || from.label.fragment.section !== to.label.fragment.section) return undefined;
  return offsetOf(from) - offsetOf(to);
};

function alignmentPadding(address: number, tail: AlignTail): number {
  const padding = (tail.alignment - (address % tail.alignment)) % tail.alignment;
  return tail.max !== 0 && padding > tail.max ? 0 : padding;
}

/** What an expression amounts to by the latest addresses. */
function amountOf(expression: Expression): Value | undefined {
  try {
    const value = evaluate(expression, laidOutDistance);
    return value && reduce(value, laidOutDistance);
  } catch (error) {
    if (error instanceof EvaluationError) throw errorAt(error.place, error.message, error.expected);
    throw error;
  }
}

/** The place in this section that an expression stands for; undefined if it is none, or one that others may redefine. */
function placeIn(section: Section, expression: Expression): Anchor | undefined {
  const reduced = amountOf(expression);
  if (reduced?.plus.length !== 1 || reduced.minus.length !== 0) return undefined;
  const [symbol] = reduced.plus;
  const anchor = anchorOf(symbol!);
  if (!anchor || symbol!.binding === 'weak' || anchor.label.fragment.section !== section) return undefined;
  return { label: anchor.label, constant: anchor.constant + reduced.constant };
}

function prepareBranch(fragment: Fragment, tail: BranchTail): void {
  tail.external = placeIn(fragment.section, tail.target) === undefined;
  tail.grown = tail.external;
  fragment.tailSize = (tail.grown ? tail.near : tail.short).length;
}

/** How far `fragment`'s branch has to jump, as seen in the middle of a pass. */
function branchGrows(fragment: Fragment, tail: BranchTail, stretch: number): boolean {
  if (tail.grown) return false;
  const target = placeIn(fragment.section, tail.target)!;
  const to = target.label.fragment;
  let address = Number(offsetOf(target));
  const from = fragment.address + fragment.length + tail.short.length;
  if (to.index > fragment.index && stretch !== 0) {
    if (stretch < 0 || to.region === fragment.region) address += stretch;
    // This pass has moved the jump past where its target still is: the next one will tell.
    else if (address < from - 1) return false;
  }
  const distance = address - from;
  return distance < -128 || distance > 127;
}

const DIRECTIVES = { org: '.org', space: '.skip', nops: '.nops' } as const;

function lebBytes(tail: LebTail): Uint8Array {
  const value = constantOf(amountOf(tail.value));
  if (value === undefined) throw errorAt(tail.place, 'the value is not known', 'labels of the same section');
  return leb128(value, tail.signed);
}

function evaluated(tail: OrgTail | SpaceTail | NopsTail, section: Section): number {
  const expression = tail.kind === 'org' ? tail.target : tail.count;
  const directive = DIRECTIVES[tail.kind];
  const reduced = amountOf(expression);
  const target = tail.kind === 'org' ? placeIn(section, tail.target) : undefined;
  if (target) return Number(offsetOf(target));
  const constant = constantOf(reduced);
  if (constant === undefined)
    throw errorAt(tail.place, `the value of ${directive} is not known`, 'labels of the same section');
  if (constant > BigInt(SECTION_LIMIT) || constant < -BigInt(SECTION_LIMIT))
    throw errorAt(
      tail.place,
      `${directive} 0x${BigInt.asUintN(64, constant).toString(16)} is too large`,
      `at most ${SECTION_LIMIT} bytes`,
    );
  return Number(constant);
}

/** Lays every section out: sets the addresses and tail sizes of all fragments. Throws AssemblyError. */
export function relax(sections: Iterable<Section>): void {
  const all = [...sections].map((section) => ({ section, fragments: section.fragments() }));
  for (const { fragments } of all) {
    let address = 0;
    let region = 0;
    fragments.forEach((fragment, index) => {
      fragment.index = index;
      fragment.region = region;
      fragment.address = address;
      const { tail } = fragment;
      address += fragment.length;
      fragment.tailSize = 0;
      if (tail?.kind === 'branch') prepareBranch(fragment, tail);
      else if (tail?.kind === 'align') {
        fragment.tailSize = alignmentPadding(address, tail);
        region++;
      } else if (tail?.kind === 'org') region++;
      address += fragment.tailSize;
    });
  }
  for (let pass = 0; ; pass++) {
    let changed = false;
    for (const { section, fragments } of all) changed = relaxOnce(section, fragments) || changed;
    if (!changed) return;
    if (pass > PASS_LIMIT) {
      // Jumps only grow and alignment follows them: it is a computed space that never rests.
      const tails = all.flatMap(({ fragments }) => fragments.flatMap(({ tail }) => tail ?? []));
      const restless = tails.find((tail) => tail.kind === 'space' || tail.kind === 'nops') ?? tails[0]!;
      throw errorAt(
        restless.place,
        'the sizes of jumps and spaces do not settle',
        'a .skip or .org that does not depend on its own size',
      );
    }
  }
}

function relaxOnce(section: Section, fragments: readonly Fragment[]): boolean {
  let stretch = 0;
  let changed = false;
  for (const fragment of fragments) {
    fragment.address += stretch;
    const { tail } = fragment;
    if (!tail) continue;
    const end = fragment.address + fragment.length;
    let size = fragment.tailSize;
    switch (tail.kind) {
      case 'branch':
        if (branchGrows(fragment, tail, stretch)) {
          tail.grown = true;
          size = tail.near.length;
        }
        break;
      case 'align':
        size = alignmentPadding(end, tail);
        break;
      case 'space':
      case 'nops':
        size = evaluated(tail, section) * (tail.kind === 'space' ? tail.fill.length : 1);
        if (size < 0) {
          // While sizes still change, a negative count may be passing.
          if (!changed && stretch === 0 && fragment.tailSize === 0)
            throw errorAt(tail.place, `${DIRECTIVES[tail.kind]} of ${size} bytes`, 'a count of 0 or more');
          size = 0;
        }
        break;
      case 'leb':
        size = lebBytes(tail).length;
        break;
      case 'org': {
        const to = evaluated(tail, section);
        size = to - end;
        if (size < 0)
          throw errorAt(
            tail.place,
            `.org 0x${to.toString(16)} goes back from 0x${end.toString(16)}`,
            `at least 0x${end.toString(16)}`,
          );
        break;
      }
    }
    if (end + size > SECTION_LIMIT)
      throw errorAt(tail.place, `section ${section.name} is larger than ${SECTION_LIMIT} bytes`);
    if (size !== fragment.tailSize) {
      stretch += size - fragment.tailSize;
      fragment.tailSize = size;
      changed = true;
    }
  }
  return changed || stretch !== 0;
}

/** Bytes of a laid-out section; branches are filled in, other fixups are still zero. */
export function sectionBytes(section: Section): Uint8Array {
  const fragments = section.fragments();
  const last = fragments.at(-1);
  const bytes = new Uint8Array(last ? last.address + last.length + last.tailSize : 0);
  for (const fragment of fragments) {
    bytes.set(fragment.part.bytes.subarray(fragment.start, fragment.start + fragment.length), fragment.address);
    const { tail } = fragment;
    if (!tail) continue;
    const at = fragment.address + fragment.length;
    const size = fragment.tailSize;
    switch (tail.kind) {
      case 'branch': {
        const form = tail.grown ? tail.near : tail.short;
        bytes.set(form, at);
        if (tail.external) break;
        const distance = Number(offsetOf(placeIn(section, tail.target)!)) - (at + size);
        const view = new DataView(bytes.buffer);
        if (tail.grown) view.setInt32(at + size - 4, distance, true);
        else view.setInt8(at + size - 1, distance);
        break;
      }
      case 'align':
        if (tail.fill && size % tail.fill.length !== 0)
          throw errorAt(
            tail.place,
            `padding of ${size} bytes is no multiple of the fill pattern`,
            `a multiple of ${tail.fill.length}`,
          );
        if (tail.fill) fillWith(bytes, at, size, tail.fill);
        else if (section.flags.exec) fillWithNops(bytes, at, size);
        break;
      case 'org':
        bytes.fill(tail.fill, at, at + size);
        break;
      case 'leb':
        bytes.set(lebBytes(tail), at);
        break;
      case 'nops':
        fillWithNops(bytes, at, size, tail.longest);
        break;
      case 'space':
        fillWith(bytes, at, size, tail.fill);
        break;
    }
  }
  return bytes;
}

function fillWith(bytes: Uint8Array, at: number, size: number, pattern: Uint8Array): void {
  for (let i = 0; i < size; i++) bytes[at + i] = pattern[i % pattern.length]!;
}
