/**
 * Who caused a failure: follows a wrong value back through registers and memory words to the write, in code of another
 * event, that put it there.
 */
import { Mnemonic } from 'iced-x86';
import { REGISTER_NAMES, Reg } from '../cpu/registers.js';
import { hex } from '../properties/describe.js';
import { movesMemory, storedRegister } from './moves.js';
import { type Broken, register, type Step, type Steps } from './trace.js';

export interface Cause {
  readonly step: Step;
  /** What that transition did to what: "wrote the copied RIP", "changed rdi". */
  readonly what: string;
}

/** Hops from a register to the word it was loaded from, and to the register that was stored there, at most. */
const HOPS = 12;

export function causeOf(trace: Steps, broken: Broken): Cause | undefined {
  const at = trace.step(broken.step);
  if (!at) return undefined;
  const own = broken.closing ?? at.owner;
  for (const { what } of broken.differences) {
    const r = REGISTER_NAMES.indexOf(what);
    const cause = r >= 0 && r < 18 ? followRegister(trace, r, broken.step, own) : undefined;
    if (cause) return cause;
  }
  if (broken.property === 'handler-view' && broken.closing === undefined) return changedWords(trace, broken);
  if (broken.property === 'progress' || broken.property === 'context') {
    const returned = lastReturn(trace, broken.step);
    const rip = returned?.reads.at(-5);
    if (!returned || rip === undefined) return undefined;
    return followWord(trace, rip, 'rip', returned.index - 1, returned.owner);
  }
  if (broken.property === 'nmi-ledger') return unserved(trace, broken.step);
  return undefined;
}

function followRegister(trace: Steps, start: number, from: number, own: string): Cause | undefined {
  let r = start;
  let index = from;
  let last: Cause | undefined;
  for (let hop = 0; hop < HOPS; hop++) {
    const step = trace.lastChange(r, index);
    if (!step) return last;
    const name = REGISTER_NAMES[r]!;
    if (step.edit !== undefined) return byEdit(step);
    if (step.owner !== own && !step.delivered) return { step, what: `changed ${name}` };
    const source = sourceWord(step, r);
    if (source === undefined) return last ?? { step, what: `changed ${name}` };
    const found = followWord(trace, source, name, step.index - 1, own);
    if (!found) return last;
    last = found;
    if (found.step.edit !== undefined) return found;
    if (found.step.owner !== own) return last;
    // What was stored there came from a register: follow that one.
    const { instruction } = found.step;
    const stored = instruction && storedRegister(instruction);
    if (stored === undefined || stored === Reg.RSP) return last;
    r = stored;
    index = found.step.index - 1;
  }
  return last;
}

/** The write that put the word at `address` there; when it only moved a word, the write of that one, and so on. */
function followWord(trace: Steps, address: bigint, name: string, from: number, own: string): Cause | undefined {
  let at = address;
  let index = from;
  let last: Cause | undefined;
  for (let hop = 0; hop < HOPS; hop++) {
    const step = trace.lastWrite(at, index);
    if (!step) return last;
    if (step.edit !== undefined) return byEdit(step);
    const via = last ? 'comes from' : 'is loaded from';
    last = { step, what: `wrote the word at ${hex(at)} that ${name} ${via}` };
    const moved = step.instruction && movesMemory(step.instruction) ? step.reads[0] : undefined;
    if (step.owner !== own || step.delivered || moved === undefined) return last;
    at = moved;
    index = step.index - 1;
  }
  return last;
}

function byEdit(step: Step): Cause {
  return { step, what: `is an edit: ${step.edit}` };
}

/** The memory word that a transition loads register `r` from. */
export function sourceWord(step: Step, r: number): bigint | undefined {
  if (step.returned && step.reads.length >= 5) {
    const place = [Reg.RIP, Reg.CS, Reg.RFLAGS, Reg.RSP, Reg.SS].indexOf(r as never);
    return place >= 0 ? step.reads.at(-5 + place) : undefined;
  }
  const mnemonic = step.instruction?.mnemonic;
  // Beside what they load, they change these two in passing.
  if (r === Reg.RIP) return mnemonic === Mnemonic.Ret ? step.reads[0] : undefined;
  if (r === Reg.RSP && register(step.after, r) === (step.reads[0] ?? 0n) + 8n) return undefined;
  return mnemonic === Mnemonic.Mov || mnemonic === Mnemonic.Pop ? step.reads[0] : undefined;
}

function lastReturn(trace: Steps, from: number): Step | undefined {
  for (let i = from; i >= 0; i--) if (trace.step(i)!.returned) return trace.step(i);
  return undefined;
}

/** For a pt_regs that changed: the last write into it by code of another event. */
function changedWords(trace: Steps, broken: Broken): Cause | undefined {
  const base = broken.ptRegs;
  if (base === undefined) return undefined;
  const own = trace.step(broken.step)!.owner;
  const end = base + BigInt(8 * trace.subject.platform.ptRegsWords);
  for (let i = broken.step; i >= 0; i--) {
    const step = trace.step(i)!;
    const write = step.writes.find((w) => w.address >= base && w.address < end);
    if (write && step.edit !== undefined) return byEdit(step);
    if (write && step.owner !== own) return { step, what: `wrote into the pt_regs at ${hex(write.address)}` };
  }
  return undefined;
}

/** For an NMI that no body serves: the return of its handler. */
function unserved(trace: Steps, from: number): Cause | undefined {
  for (let i = from; i >= 0; i--) {
    const step = trace.step(i)!;
    if (step.delivered?.startsWith('NMI')) {
      let at = i + 1;
      while (at <= from && !(trace.step(at)!.returned && trace.step(at)!.owner === step.delivered)) at++;
      const end = at <= from ? trace.step(at) : undefined;
      return { step: end ?? step, what: `ended ${step.delivered} without a body` };
    }
  }
  return undefined;
}
