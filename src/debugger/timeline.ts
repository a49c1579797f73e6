/** The timeline: one lane each for what decides whether entry code is safe, and marks for what happened. */
import { hex } from '../properties/describe.js';
import type { Branch } from './cursor.js';
import type { Debugger } from './debugger.js';
import { allStacks } from './frames.js';
import { History } from './history.js';
import { Lane } from './lanes.js';
import { Kind, Row } from './log.js';
import type { LaneView, MarkView, Segment, TimelineView, ViewRequest } from './view.js';

/** States around the cursor that are shown without being asked for. */
const AROUND = 100;
/** States that are shown at most. */
const MAX_STATES = 20_000;

interface LaneOf {
  readonly name: string;
  /** Undefined: nothing to show. */
  readonly value: (index: number) => string;
  readonly rest: string;
}

export function timelineOf(debug: Debugger, { timeline }: ViewRequest): TimelineView {
  const { cursor } = debug;
  const { branch, index } = cursor;
  const from = Math.max(0, Math.min(timeline?.from ?? index - AROUND, branch.length));
  const to = Math.min(branch.length, from + MAX_STATES, Math.max(from, timeline?.to ?? index + AROUND));
  return {
    from,
    to,
    length: branch.length,
    cursor: index,
    lanes: lanesOf(debug, branch).map((lane) => segments(lane, from, to)),
    marks: marksOf(debug, branch, from, to),
  };
}

function segments({ name, value, rest }: LaneOf, from: number, to: number): LaneView {
  const list: Segment[] = [];
  let start = from;
  let current = value(from);
  for (let index = from + 1; index <= to + 1; index++) {
    const next = index <= to ? value(index) : undefined;
    if (next === current) continue;
    list.push({ from: start, to: index, value: current, set: current !== rest });
    start = index;
    current = next ?? '';
  }
  return { name, segments: list };
}

function lanesOf(debug: Debugger, branch: Branch): LaneOf[] {
  const { cursor, subject } = debug;
  const stacks = allStacks(debug);
  const lanes = (index: number): number => cursor.stateWord(branch, index, Row.LANES);
  const bases = (index: number): { gs: bigint; cr3: bigint } =>
    cursor.bases.of(cursor.stateWord(branch, index, Row.BASES));
  const start = cursor.bases.of(cursor.startBases);
  const spaces = new Map(debug.run.machine.memory.spaces.map(({ name, cr3 }) => [cr3, name]));
  const space = (cr3: bigint): string => spaces.get(cr3 & 0x7ffffffffffff000n) ?? hex(cr3);
  const latch = (word: number): string => {
    const pending = word & Lane.PENDING ? ' + pending' : '';
    return `${word & Lane.BLOCKED ? 'blocked' : 'open'}${pending}`;
  };
  const several: LaneOf[] = [{ name: 'CPU', value: (i) => String(lanes(i) >>> Lane.PROCESSOR_SHIFT), rest: '0' }];
  return [
    ...(subject.processors > 1 ? several : []),
    { name: 'latch', value: (i) => latch(lanes(i)), rest: 'open' },
    { name: 'CPL', value: (i) => String((lanes(i) >>> Lane.CPL_SHIFT) & 3), rest: '0' },
    { name: 'GS', value: (i) => (bases(i).gs >> 63n ? 'kernel' : 'user'), rest: 'kernel' },
    { name: 'CR3', value: (i) => space(bases(i).cr3), rest: space(start.cr3) },
    {
      name: 'stack',
      value: (i) => stacks[((lanes(i) >>> Lane.STACK_SHIFT) & 0xff) - 1]?.name ?? '-',
      rest: stacks[((cursor.startLanes >>> Lane.STACK_SHIFT) & 0xff) - 1]?.name ?? '-',
    },
    {
      name: 'body',
      value: (i) => (lanes(i) & Lane.BODY ? 'body' : lanes(i) & Lane.C_PART ? 'C part' : '-'),
      rest: '-',
    },
    {
      name: 'owner',
      value: (i) => cursor.ownersAt(branch, i).of(lanes(i) >>> Lane.PROCESSOR_SHIFT),
      rest: cursor.ownersAt(branch, 0).of(cursor.startLanes >>> Lane.PROCESSOR_SHIFT),
    },
  ];
}

/** Each mark stands at the state behind its transition; that of an event, or a fork, at the state where it is. */
function marksOf(debug: Debugger, branch: Branch, from: number, to: number): MarkView[] {
  const { cursor } = debug;
  const history = new History(cursor, branch, branch.length);
  const marks: MarkView[] = [];
  const add = (index: number, kind: MarkView['kind'], text: string): void => {
    if (index >= from && index <= to) marks.push({ index, kind, text });
  };
  for (const { index, event } of history.events) add(index, 'event', event);
  for (const { index, name } of history.deliveries) add(index + 1, 'delivery', name);
  for (let index = from; index < Math.min(to, branch.length); index++) {
    const kind = history.row(index, Row.KIND);
    if (kind & Kind.RETURNED) add(index + 1, 'return', `${history.owner(index)} returns`);
    if (kind & Kind.EDIT) add(index, 'edit', history.note(index) ?? 'edit');
  }
  for (const { step, property } of history.broken) add(step + 1, 'failure', property);
  for (const other of cursor.branches) {
    if (other.parent === branch) add(other.fork, 'fork', other.name);
  }
  return marks.sort((a, b) => a.index - b.index);
}
