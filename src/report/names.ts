/** How values are written for people. */

import type { Subject } from '../platforms/subject.js';
import { hex } from '../properties/describe.js';

/** A value as hexadecimal, with the label of the code or the offset into the stack that it points to. */
export function symbolic(subject: Subject, word: string, value: bigint): string {
  const text = hex(value);
  if (value < 0x1000n) return text;
  const location = subject.image.locate(value);
  if (location?.line && /rip|^r|e[abcd]x/i.test(word)) return `${text} ${location.label}+${location.instructions}`;
  const stack = subject.platform.stacks.find((s) => value >= s.base && value <= s.top);
  if (stack) return `${text} ${stack.name} stack${value === stack.top ? ' top' : ` top-${stack.top - value}`}`;
  return text;
}

/** 12345 as 12,345. */
export function count(n: number): string {
  return n.toLocaleString('en-US');
}

export function plural(n: number, word: string): string {
  return `${count(n)} ${n === 1 ? word : word.endsWith('y') ? `${word.slice(0, -1)}ies` : `${word}s`}`;
}

/** Sorted `label+n` names, runs of one label drawn together: `do_nmi+0..+16, int3+0`. */
export function runs(boundaries: readonly string[]): string {
  const out: string[] = [];
  let label = '';
  let first = -1;
  let last = -1;
  const flush = (): void => {
    if (first >= 0) out.push(first === last ? `${label}+${first}` : `${label}+${first}..+${last}`);
  };
  for (const boundary of boundaries) {
    const match = /^(.*)\+(\d+)$/.exec(boundary);
    if (!match) {
      flush();
      first = -1;
      out.push(boundary);
      continue;
    }
    const n = Number(match[2]);
    if (match[1] === label && first >= 0 && n === last + 1) last = n;
    else {
      flush();
      label = match[1]!;
      first = n;
      last = n;
    }
  }
  flush();
  return out.join(', ');
}
