/** A handler's stack as it stood before a transition: each word with its slot's name, its value and who wrote it. */

import { stackNamed } from '../platforms/boot.js';
import type { Subject } from '../platforms/subject.js';
import { symbolic } from './names.js';
import type { Trace } from './trace.js';

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

/** Words of the stack of NMIs, from its top down to the lowest one that has a name or was written near it. */
export function nmiStack(trace: Trace, before: number): StackWord[] {
  const { subject } = trace.run;
  const top = stackNamed(subject.platform, subject.platform.ist.get(nmiIst(subject))!).top;
  const layout = subject.platform.nmiLayouts.find((l) => ownSymbol(subject, l.marker));
  const words: StackWord[] = [];
  for (const slot of layout?.slots ?? []) {
    // Without the mark of a built pt_regs, -1 as the system call's number, its names would be made up.
    if (slot.name === 'pt_regs') {
      const origRax = top + BigInt(slot.from);
      const mark = trace.lastWrite(origRax, before - 1)?.writes.find((w) => w.address === origRax)?.value;
      if (mark !== BigInt.asUintN(64, -1n)) continue;
    }
    slot.words.forEach((word, i) => {
      const below = -(slot.from - 8 * i);
      const address = top - BigInt(below);
      const writer = trace.lastWrite(address, before - 1);
      const value = writer?.writes.find((w) => w.address === address)?.value ?? 0n;
      words.push({
        below,
        address,
        slot: slot.name,
        word,
        value,
        text: writer ? symbolic(subject, word, value) : '-',
        writer: writer && {
          owner: writer.owner,
          boundary: subject.image.name(writer.address),
          delivery: writer.delivered !== undefined,
        },
      });
    });
  }
  return words;
}

function nmiIst(subject: Subject): number {
  return subject.platform.vectors.find((v) => v.vector === 2)!.ist;
}

function ownSymbol(subject: Subject, name: string): boolean {
  return subject.image.find(name) !== undefined;
}
