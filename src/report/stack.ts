/** A handler's stack as it stood before a transition: each word with its slot's name, its value and who wrote it. */

import { stackNamed } from '../platforms/boot.js';
import type { Subject } from '../platforms/subject.js';
import { symbolic } from './names.js';
import type { Steps } from './trace.js';

export interface StackWord {
  /** Bytes below the top of the stack. */
  readonly below: number;
  readonly address: bigint;
  readonly slot: string;
  readonly word: string;
  readonly value: bigint;
  /** The value as people read it: a label for an address in the code. */
  readonly text: string;
  /** Owner and boundary of the last write, and whether it was the owner's delivery; undefined if there was none. */
  readonly writer: { readonly owner: string; readonly boundary: string; readonly delivery: boolean } | undefined;
}

/** The name of a word of a stack. */
export interface SlotName {
  readonly address: bigint;
  /** "saved", "pt_regs" */
  readonly slot: string;
  /** "RIP", "rdi" */
  readonly word: string;
}

/** The named words of the stack of NMIs, from its top down; `read` gives the word at an address, undefined if it was never written. */
export function slotNames(
  subject: Subject,
  read: (address: bigint) => bigint | undefined,
): ReadonlyMap<bigint, SlotName> {
  const top = stackNamed(subject.platform, subject.platform.ist.get(nmiIst(subject))!).top;
  const layout = subject.platform.nmiLayouts.find((l) => ownSymbol(subject, l.marker));
  const names = new Map<bigint, SlotName>();
  for (const slot of layout?.slots ?? []) {
    // Without the mark of a built pt_regs, -1 as the system call's number, its names would be made up.
    if (slot.name === 'pt_regs' && read(top + BigInt(slot.from)) !== BigInt.asUintN(64, -1n)) continue;
    slot.words.forEach((word, i) => {
      const address = top + BigInt(slot.from - 8 * i);
      names.set(address, { address, slot: slot.name, word });
    });
  }
  return names;
}

/** Words of the stack of NMIs, from its top down to the lowest one that has a name. */
export function nmiStack(trace: Steps, before: number): StackWord[] {
  const { subject } = trace;
  const { top } = stackNamed(subject.platform, subject.platform.ist.get(nmiIst(subject))!);
  const written = (address: bigint): bigint | undefined =>
    trace.lastWrite(address, before - 1)?.writes.find((w) => w.address === address)?.value;
  return [...slotNames(subject, written).values()].map(({ address, slot, word }) => {
    const writer = trace.lastWrite(address, before - 1);
    const value = written(address) ?? 0n;
    return {
      below: Number(top - address),
      address,
      slot,
      word,
      value,
      text: writer ? symbolic(subject, word, value) : '-',
      writer: writer && {
        owner: writer.owner,
        boundary: subject.image.name(writer.address),
        delivery: writer.delivered !== undefined,
      },
    };
  });
}

function nmiIst(subject: Subject): number {
  return subject.platform.vectors.find((v) => v.vector === 2)!.ist;
}

function ownSymbol(subject: Subject, name: string): boolean {
  return subject.image.find(name) !== undefined;
}
