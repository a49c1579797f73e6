/**
 * Two branches side by side, as the code sees them that runs where they part: what is executed in handlers of events that only one of them
 * has is left out, so that what the code itself should not notice shows as a difference.
 */
import { Flag, REGISTER_NAMES, Reg } from '../cpu/registers.js';
import { hex } from '../properties/describe.js';
import { type Branch, commonFork } from './cursor.js';
import type { Debugger } from './debugger.js';
import { allStacks } from './frames.js';
import { History } from './history.js';
import { depthOf, Lane } from './lanes.js';
import { Kind, Row } from './log.js';

export interface BranchDifference {
  /** "control flow", "register", "latch", "stack" */
  readonly kind: string;
  /** "rdi", "thread stack top-16" */
  readonly what: string;
  readonly boundary: string;
  /** The states of both at which it shows first. */
  readonly states: readonly [number, number];
  readonly values: readonly [string, string];
}

export interface Comparison {
  /** The state at which they part, and whose code they are compared in. */
  readonly fork: number;
  readonly owner: string;
  /** Instructions that both have executed and that were compared. */
  readonly instructions: number;
  readonly differences: readonly BranchDifference[];
  /** Which of the two goes on in that code where the other one has no more of it, and from where. */
  readonly further: { readonly which: 0 | 1; readonly boundary: string; readonly state: number } | undefined;
}

/** Instructions that are compared at most. */
const MAX_INSTRUCTIONS = 10_000;
/** Bytes of the stack from RSP on. */
const STACK_BYTES = 512;

/** A state as it was before an instruction of the code in which they are compared. */
interface Moment {
  readonly index: number;
  readonly address: bigint;
  readonly registers: BigUint64Array;
  readonly latch: number;
  readonly stack: Uint8Array;
}

const SKIPPED: ReadonlySet<number> = new Set([Reg.RIP, Reg.EVENTS, Reg.CR2, Reg.DR6]);

export function compareBranches(debug: Debugger, a: Branch, b: Branch): Comparison {
  const { cursor } = debug;
  const { branch, index } = cursor;
  const fork = Math.min(commonFork(a, b), a.length, b.length);
  const lanes = cursor.stateWord(a, fork, Row.LANES);
  const processor = lanes >>> Lane.PROCESSOR_SHIFT;
  const owner = cursor.ownersAt(a, fork).of(processor);
  try {
    const first = moments(debug, a, fork, owner, depthOf(lanes));
    const second = moments(debug, b, fork, owner, depthOf(lanes));
    return { fork, owner, ...differencesOf(debug, first, second) };
  } finally {
    cursor.goTo(branch, index);
  }
}

function moments(debug: Debugger, branch: Branch, fork: number, owner: string, depth: number): Moment[] {
  const { cursor, run } = debug;
  const history = new History(cursor, branch, branch.length);
  const list: Moment[] = [];
  for (let index = fork; index <= branch.length && list.length < MAX_INSTRUCTIONS; index++) {
    const lanes = cursor.stateWord(branch, index, Row.LANES);
    if (depthOf(lanes) !== depth || cursor.ownersAt(branch, index).of(lanes >>> Lane.PROCESSOR_SHIFT) !== owner)
      continue;
    const kind = index < branch.length ? history.row(index, Row.KIND) : Kind.INSTRUCTION;
    // An event, or a fault that is tried again, is not an instruction of this code.
    if (!(kind & Kind.INSTRUCTION) || kind & Kind.DELIVERED) continue;
    cursor.goTo(branch, index);
    const { u64 } = run.machine.cpu.regs;
    list.push({
      index,
      address: run.rip,
      registers: u64.slice(0, REGISTER_NAMES.length),
      latch: lanes & (Lane.BLOCKED | Lane.PENDING),
      stack: stackBytes(debug),
    });
  }
  return list;
}

/** From RSP up to the top of the stack it lies in. */
function stackBytes(debug: Debugger): Uint8Array {
  const rsp = debug.register(Reg.RSP);
  const stack = allStacks(debug).find(
    ({ base, top }) => rsp > BigInt.asUintN(64, base) && rsp <= BigInt.asUintN(64, top),
  );
  if (!stack) return new Uint8Array();
  const length = Math.min(STACK_BYTES, Number(BigInt.asUintN(64, stack.top) - rsp));
  return debug.readMemory(rsp, length) ?? new Uint8Array();
}

function differencesOf(
  debug: Debugger,
  first: readonly Moment[],
  second: readonly Moment[],
): Pick<Comparison, 'instructions' | 'differences' | 'further'> {
  const found = new Map<string, BranchDifference>();
  const { image } = debug;
  let instructions = 0;
  for (; instructions < Math.min(first.length, second.length); instructions++) {
    const a = first[instructions]!;
    const b = second[instructions]!;
    const note = (kind: string, what: string, values: readonly [string, string]): void => {
      if (found.has(`${kind} ${what}`)) return;
      found.set(`${kind} ${what}`, { kind, what, boundary: image.name(a.address), states: [a.index, b.index], values });
    };
    if (a.address !== b.address) {
      note('control flow', 'rip', [image.name(a.address), image.name(b.address)]);
      break;
    }
    for (let r = 0; r < a.registers.length; r++) {
      if (SKIPPED.has(r)) continue;
      // The processor itself sets RF in the image that a fault pushes.
      const mask = r === Reg.RFLAGS ? ~BigInt(Flag.RF) : -1n;
      if ((a.registers[r]! & mask) === (b.registers[r]! & mask)) continue;
      note('register', REGISTER_NAMES[r]!, [hex(a.registers[r]!), hex(b.registers[r]!)]);
    }
    if (a.latch !== b.latch) note('latch', 'NMI latch', [latchText(a.latch), latchText(b.latch)]);
    noteStack(a, b, note);
  }
  const which = first.length > second.length ? 0 : 1;
  const next = [first, second][which]![instructions];
  const parted = found.has('control flow rip') || first.length === second.length || next === undefined;
  const further = parted ? undefined : ({ which, boundary: image.name(next.address), state: next.index } as const);
  return { instructions, differences: [...found.values()], further };
}

/** Only the first word of the stack that differs: what comes after it follows. */
function noteStack(
  a: Moment,
  b: Moment,
  note: (kind: string, what: string, values: readonly [string, string]) => void,
): void {
  const length = Math.min(a.stack.length, b.stack.length) & ~7;
  if (a.registers[Reg.RSP] !== b.registers[Reg.RSP]) return;
  const [x, y] = [a.stack, b.stack].map((bytes) => new DataView(bytes.buffer, bytes.byteOffset)) as [
    DataView,
    DataView,
  ];
  for (let at = 0; at < length; at += 8) {
    const p = x.getBigUint64(at, true);
    const q = y.getBigUint64(at, true);
    if (p === q) continue;
    note('stack', 'word', [`[${hex(a.registers[Reg.RSP]! + BigInt(at))}] = ${hex(p)}`, hex(q)]);
    return;
  }
}

function latchText(latch: number): string {
  return `${latch & Lane.BLOCKED ? 'blocked' : 'open'}${latch & Lane.PENDING ? ', one pending' : ''}`;
}
