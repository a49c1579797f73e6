/** The views as lines of text, for the line mode and whoever else shows text. */
import { plural } from '../report/names.js';
import type { Comparison } from './compare.js';
import type { Debugger } from './debugger.js';
import type { History } from './history.js';
import { Kind, Row } from './log.js';
import type { Link } from './questions.js';
import { expandTabs } from './tabs.js';
import type {
  ActionView,
  BranchView,
  BreakpointView,
  EventStateView,
  FailureView,
  FlagView,
  FrameView,
  InstructionView,
  PositionView,
  RegisterGroup,
  RegisterView,
  SourceView,
  StackView,
  TimelineView,
  WriterView,
} from './view.js';
import { placeOf, textAt } from './views.js';

/** Registers that the short list has besides the general ones. */
const SHORT: ReadonlySet<RegisterGroup> = new Set(['general', 'flags']);
const SHORT_NAMES: ReadonlySet<string> = new Set(['cs', 'ss', 'gs_base', 'kernel_gs_base', 'cr2', 'cr3']);
/** Signs in front of the boundaries of a listing. */
const HERE = '->';

/** Where the cursor stands, in one line; with what the branch does there, if that is not the next instruction. */
export function whereLines(debug: Debugger, at: PositionView): string[] {
  const source = textAt(debug, BigInt(at.address));
  const place = at.place === undefined ? '' : `  ${at.place}`;
  const time = at.hit > 1 ? ` (time ${at.hit})` : '';
  const lines = [`#${at.index}  ${at.owner}  ${at.boundary}${time}  ${source}${place}`];
  if (at.ahead !== undefined && at.ahead !== 'step') lines.push(`    -- the branch ${aheadText(at.ahead)} here --`);
  if (at.ended !== undefined && at.stop.reason !== 'end' && at.stop.reason !== 'loop')
    lines.push(`    -- the path has ended: ${at.ended} --`);
  return lines;
}

function aheadText(ahead: string): string {
  return ahead.startsWith('edit ') ? `sets ${ahead.slice(5)}` : `fires ${ahead}`;
}

/** Why the cursor stands where it does, unless it was only a step, and where that is. */
export function stopLines(debug: Debugger, at: PositionView): string[] {
  const { reason, text } = at.stop;
  return [...(reason === 'step' || reason === 'moved' ? [] : [text]), ...whereLines(debug, at)];
}

export function registerLines(registers: readonly RegisterView[], all: boolean): string[] {
  const shown = registers.filter(({ group, name }) => all || SHORT.has(group) || SHORT_NAMES.has(name));
  const width = Math.max(...shown.map(({ name }) => name.length));
  return shown.map(({ name, value, note, before }) => {
    const was = before === undefined ? '' : `  was ${before}`;
    return `${before === undefined ? ' ' : '*'} ${name.padEnd(width)}  ${value.padEnd(18)}  ${note ?? ''}${was}`.trimEnd();
  });
}

/** Those that are set; those that the last transition changed are marked. */
export function flagLines(flags: readonly FlagView[]): string[] {
  const text = (list: readonly FlagView[]): string =>
    list.map(({ name, changed }) => (changed ? `${name}*` : name)).join(' ');
  const cleared = flags.filter(({ set, changed }) => !set && changed);
  return [
    `set: ${text(flags.filter(({ set }) => set)) || 'none'}${cleared.length > 0 ? `; cleared now: ${text(cleared)}` : ''}`,
  ];
}

export function eventStateLines(events: readonly EventStateView[]): string[] {
  const width = Math.max(...events.map(({ name }) => name.length));
  return events.map(({ name, value, changed }) => `${changed ? '*' : ' '} ${name.padEnd(width)}  ${value}`);
}

function writerText({ owner, boundary, delivery }: WriterView): string {
  return delivery ? `the delivery of ${owner} at ${boundary}` : `${boundary} in ${owner}`;
}

export function frameLines(frames: readonly FrameView[]): string[] {
  if (frames.length === 0) return ['no delivery is open'];
  return frames.flatMap((frame) => {
    const where = frame.stack ? `${frame.stack} stack, ${frame.bottom} to ${frame.top}` : 'no frame';
    const state = frame.open ? '' : ', given back or given up';
    const lines = [
      `${String(frame.id).padStart(3)}  ${frame.owner}  interrupts ${frame.interrupted} at ${frame.boundary} (#${frame.index})${state}`,
      `     ${where}`,
    ];
    if (frame.overwritten)
      lines.push(`     overwritten by ${writerText(frame.overwritten)} (#${frame.overwritten.index})`);
    return lines;
  });
}

export function stackLines(stacks: readonly StackView[]): string[] {
  return stacks.flatMap((stack) => {
    const owners = new Map(stack.frames.map((frame) => [frame.id, frame.owner]));
    const lines = [`${stack.name} stack, top ${stack.top}${stack.current ? ', in use' : ''}`];
    const slotWidth = Math.max(0, ...stack.words.map(({ slot }) => slot.length));
    let last = '';
    for (const w of stack.words) {
      const slot = w.slot === last ? '' : w.slot;
      last = w.slot;
      const frame = w.frame === undefined ? '' : `frame of ${owners.get(w.frame)}`;
      const writer = w.writer
        ? `${w.writer.owner} ${w.writer.delivery ? 'delivered at ' : ''}${w.writer.boundary}`
        : '';
      const sign = w.rsp ? HERE : w.changed ? ' *' : '  ';
      const value = `${w.value}${w.note ? ` ${w.note}` : ''}`;
      lines.push(
        `${sign} top-${String(w.below).padEnd(4)} ${slot.padEnd(slotWidth)} ${w.word.padEnd(10)} ${value.padEnd(44)} ${frame ? `${frame}; ` : ''}${writer}`.trimEnd(),
      );
    }
    if (stack.words.length === 0) lines.push('   (nothing on it)');
    return lines;
  });
}

export function sourceLines(source: SourceView | undefined): string[] {
  if (!source) return ['the source of this code is not known; dis shows the instructions'];
  const width = String(source.total).length;
  if (source.lines.length === 0) return [`${source.file}: has ${plural(source.total, 'line')}`];
  return [
    source.file,
    ...source.lines.map(({ number, text, current, breakpoints, boundaries }) => {
      const sign = current ? HERE : breakpoints.length > 0 ? ' B' : '  ';
      const from = boundaries[0]?.boundary ?? '';
      return `${sign} ${String(number).padStart(width)}  ${expandTabs(text).padEnd(56)} ${from}`.trimEnd();
    }),
  ];
}

export function disassemblyLines(instructions: readonly InstructionView[]): string[] {
  const width = Math.max(...instructions.map(({ boundary }) => boundary.length));
  return instructions.flatMap(({ label, address, boundary, bytes, text, current, breakpoints }) => {
    const sign = current ? HERE : breakpoints.length > 0 ? ' B' : '  ';
    const line = `${sign} ${address}  ${boundary.padEnd(width)}  ${bytes.padEnd(30)}  ${text}`;
    return label === undefined ? [line] : [`${label}:`, line];
  });
}

/** One line for each lane: the runs of equal values, with the state at which each begins. */
export function timelineLines(timeline: TimelineView): string[] {
  const width = Math.max(...timeline.lanes.map(({ name }) => name.length));
  const lines = [`states ${timeline.from} to ${timeline.to} of ${timeline.length}, cursor at ${timeline.cursor}`];
  for (const { name, segments } of timeline.lanes) {
    const runs = segments.map(({ from, to, value }) => `${value} ${from}${to - 1 > from ? `-${to - 1}` : ''}`);
    lines.push(`  ${name.padEnd(width)}  ${runs.join(' | ')}`);
  }
  for (const { index, kind, text } of timeline.marks) lines.push(`  #${index} ${kind}: ${text}`);
  return lines;
}

export function branchLines(branches: readonly BranchView[]): string[] {
  return branches.map((b) => {
    const from = b.parent === undefined ? '' : ` from ${b.parent} at #${b.fork} (${b.forkBoundary}: ${b.forkAction})`;
    const events = b.events.map(({ event, boundary }) => `${event} at ${boundary}`).join(', ') || 'no event';
    const failed = b.failed.length > 0 ? `breaks ${b.failed.join(', ')}` : 'nothing broken';
    const ended = b.ended === undefined ? 'not at its end' : b.ended;
    return `${b.current ? '*' : ' '} ${b.id} ${b.name}${from}: ${plural(b.length, 'transition')}, ${events}; ${failed}; ${ended}`;
  });
}

export function failureLines(failures: readonly FailureView[]): string[] {
  if (failures.length === 0) return ['nothing is broken on this branch'];
  return failures.flatMap((failure) => {
    const lines = [
      `${failure.property}: ${failure.sentence}`,
      `  broken at ${failure.boundary} in ${failure.owner} (#${failure.index}): ${failure.explanation}`,
    ];
    for (const { what, expected, found } of failure.differences)
      lines.push(`    ${what}: expected ${expected}, found ${found}`);
    if (failure.cause) {
      const place = failure.cause.place === undefined ? '' : ` (${failure.cause.place})`;
      lines.push(
        `  caused by ${writerText(failure.cause)}${place} (#${failure.cause.index}), which ${failure.cause.what}`,
      );
    }
    return lines;
  });
}

export function actionLines(actions: readonly ActionView[]): string[] {
  const width = Math.max(...actions.map(({ event }) => event.length));
  return actions.map(({ event, possible, reason }) =>
    `${possible ? '  ' : 'no'} ${event.padEnd(width)}  ${reason ?? ''}`.trimEnd(),
  );
}

export function breakpointLines(breakpoints: readonly BreakpointView[]): string[] {
  if (breakpoints.length === 0) return ['no breakpoints and no watchpoints'];
  return breakpoints.map(
    ({ number, text, enabled, hits }) =>
      `${number}  ${text}${enabled ? '' : ', disabled'}, stopped ${plural(hits, 'time')}`,
  );
}

/** A value and the transitions that it has come through, the last one first. */
export function linkLines(debug: Debugger, history: History, subject: string, links: readonly Link[]): string[] {
  if (links.length === 0) return [`nobody has ${subject} since the start`];
  const lines = links.flatMap(({ index, what }, i) => {
    const kind = history.row(index, Row.KIND);
    const address = history.address(index);
    const boundary = debug.image.name(address);
    const number = `${i + 1}. #${index}  `;
    if (kind & Kind.EDIT) return [`${number}an edit at ${boundary}: ${what}`];
    if (kind & Kind.DELIVERED) return [`${number}the delivery of ${history.owner(index)} at ${boundary} ${what}`];
    const place = placeOf(debug, address);
    return [
      `${number}${boundary} in ${history.owner(index)} ${what}`,
      `   ${textAt(debug, address)}${place === undefined ? '' : `  ${place}`}`,
    ];
  });
  const origin = links.length > 1 ? `, the value's origin ('goto who N' to number N)` : '';
  return [...lines, `'goto who' goes to number ${links.length}${origin}`];
}

export function comparisonLines(names: readonly [string, string], result: Comparison): string[] {
  const { fork, owner, instructions, differences, further } = result;
  const lines = [
    `they part at #${fork}; compared in ${owner}, ${plural(instructions, 'instruction')} that both execute there`,
  ];
  if (differences.length === 0) {
    lines.push(`no difference in ${further ? '' : 'control flow, '}registers, latch and stack`);
  }
  for (const { kind, what, boundary, states, values } of differences) {
    lines.push(`${kind} ${what}: first at ${boundary} (#${states[0]}, #${states[1]})`);
    lines.push(`    ${names[0]}: ${values[0]}`, `    ${names[1]}: ${values[1]}`);
  }
  if (further) {
    const { which, boundary, state } = further;
    lines.push(`${names[which]} goes on at ${boundary} (#${state}); ${names[1 - which]} has nothing more of ${owner}`);
  }
  return lines;
}
