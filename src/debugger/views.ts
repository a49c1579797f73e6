/** The views, made from the state at the cursor and its past. */
import { Flag, REGISTER_NAMES, Reg } from '../cpu/registers.js';
import { EventState, PENDING_DEBUG } from '../harness/event_state.js';
import { MAX_INSTRUCTION } from '../image/instructions.js';
import { hex } from '../properties/describe.js';
import { causeOf } from '../report/cause.js';
import { symbolic } from '../report/names.js';
import { shortPath } from '../report/text.js';
import { type Broken, register } from '../report/trace.js';
import { actionsOf } from './actions.js';
import type { Debugger } from './debugger.js';
import { FLAG_NAMES } from './expression.js';
import { framesOf, openFrames, writerOf } from './frames.js';
import { History } from './history.js';
import { sourceIndex } from './sources.js';
import { stacksOf } from './stacks.js';
import { timelineOf } from './timeline.js';
import type {
  BranchView,
  EventStateView,
  FailureView,
  FlagView,
  InstructionView,
  PositionView,
  RegisterGroup,
  RegisterView,
  SourceView,
  View,
  ViewRequest,
} from './view.js';

const AROUND = 12;

export function viewOf(debug: Debugger, request: ViewRequest): View {
  const history = debug.history;
  const frames = framesOf(debug, history);
  return {
    title: debug.title,
    position: positionOf(debug, history, request),
    source: sourceOf(debug, request),
    disassembly: disassemblyOf(debug, request),
    registers: registersOf(debug, history, request.processor ?? debug.processor),
    flags: flagsOf(debug, history, request.processor ?? debug.processor),
    events: eventStateOf(debug, history, request.processor ?? debug.processor),
    deliveries: openFrames(frames),
    stacks: stacksOf(debug, history, frames, request.processor ?? debug.processor),
    timeline: timelineOf(debug, request),
    branches: branchesOf(debug),
    failures: failuresOf(debug),
    actions: actionsOf(debug.run),
    breakpoints: debug.stopPoints.view(),
  };
}

/** `asm/linux_nmi_rfc.S:81`; undefined where no source is known. */
export function placeOf(debug: Debugger, address: bigint): string | undefined {
  const position = debug.image.locate(address)?.line?.position;
  return position && position.line > 0 ? `${shortPath(position.file)}:${position.line}` : undefined;
}

/** The instruction at an address, as Capstone has it. */
export function instructionAt(debug: Debugger, address: bigint, syntax: 'att' | 'intel' = 'att'): string {
  const bytes = codeAt(debug, address);
  return bytes.length === 0 ? '(nothing is mapped here)' : debug.options.disassemblers[syntax].text(bytes, address);
}

/** The instruction as the source has it, or, without a source, as it is disassembled. */
export function textAt(debug: Debugger, address: bigint): string {
  const row = debug.image.locate(address)?.line;
  return row?.text ? row.text.trim().replace(/\s+/g, ' ') : instructionAt(debug, address);
}

/** Up to 15 bytes, as many as are mapped. */
function codeAt(debug: Debugger, address: bigint): Uint8Array {
  for (let length = MAX_INSTRUCTION; length > 0; length--) {
    const bytes = debug.readMemory(address, length);
    if (bytes) return bytes;
  }
  return new Uint8Array();
}

export function positionOf(debug: Debugger, history: History, { syntax = 'att' }: ViewRequest = {}): PositionView {
  const { cursor, run } = debug;
  const { branch, index } = cursor;
  const processor = debug.processor;
  return {
    branch: branch.id,
    branchName: branch.name,
    index,
    length: branch.length,
    address: hex(run.rip),
    boundary: debug.image.name(run.rip),
    hit: history.hits(index, run.rip),
    owner: cursor.owners.of(processor),
    processor,
    processors: run.machine.processors.count,
    place: placeOf(debug, run.rip),
    instruction: instructionAt(debug, run.rip, syntax),
    ahead: branch.action(index, cursor.eventNames),
    ended: index === branch.length ? branch.ending?.text : undefined,
    stop: debug.lastStop,
  };
}

/** Source text around a line, or around RIP; undefined where it is not known. */
export function sourceOf(debug: Debugger, { around = AROUND, file, line }: ViewRequest): SourceView | undefined {
  const position = debug.image.locate(debug.run.rip)?.line?.position;
  // Line 0: of code without line numbers.
  const here = position && position.line > 0 ? position : undefined;
  const wanted = file ?? here?.file;
  if (wanted === undefined) return undefined;
  const source = sourceIndex(debug.image).file(wanted);
  if (!source) return undefined;
  const current = here && sourceIndex(debug.image).file(here.file) === source ? here.line : undefined;
  const middle = line ?? current ?? 1;
  const total = source.lines.length;
  const from = around === 'all' ? 1 : Math.max(1, middle - around);
  const to = around === 'all' ? total : Math.min(total, middle + around);
  return {
    file: shortPath(source.name),
    total,
    lines: Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => {
      const number = from + i;
      const addresses = source.addresses.get(number) ?? [];
      return {
        number,
        text: source.lines[number - 1]!,
        current: number === current,
        boundaries: addresses.map((address) => ({ address: hex(address), boundary: debug.image.name(address) })),
        breakpoints: addresses.flatMap((address) => debug.stopPoints.at(address)),
      };
    }),
  };
}

/** Addresses of the instructions around one: those before it only where they are known to be instructions. */
function addressesAround(debug: Debugger, address: bigint, around: number): bigint[] {
  const { image } = debug;
  const section = image.sectionAt(address);
  const location = image.locate(address);
  if (!section || !location) return [address];
  const label = image.resolve(location.label) ?? section.address;
  const behind = BigInt((around + 1) * MAX_INSTRUCTION);
  const from = section.lines.length > 0 ? maximum(section.address, address - behind) : label;
  const before = image.instructions(section, from, address).slice(-around);
  const end = minimum(section.address + BigInt(section.size), address + behind);
  const after = image.instructions(section, address, end).slice(0, around + 1);
  return [...before, ...(after[0] === address ? after : [address])];
}

const maximum = (a: bigint, b: bigint): bigint => (a > b ? a : b);
const minimum = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/** Instructions around an address, or around RIP. */
export function disassemblyOf(
  debug: Debugger,
  { around = AROUND, syntax = 'att', at }: ViewRequest,
  address = at === undefined ? debug.run.rip : BigInt(at),
): InstructionView[] {
  const { image } = debug;
  const disassembler = debug.options.disassemblers[syntax];
  return addressesAround(debug, address, around === 'all' ? 200 : around).map((at) => {
    const code = codeAt(debug, at);
    const size = disassembler.instruction(code, at)?.size ?? Math.min(1, code.length);
    const boundary = image.name(at);
    return {
      address: hex(at),
      boundary,
      label: boundary.endsWith('+0') ? boundary.slice(0, -2) : undefined,
      bytes: [...code.subarray(0, size)].map((byte) => byte.toString(16).padStart(2, '0')).join(' '),
      text: code.length === 0 ? '(nothing is mapped here)' : disassembler.text(code, at),
      current: at === debug.run.rip,
      breakpoints: debug.stopPoints.at(at),
      place: placeOf(debug, at),
    };
  });
}

const SEGMENTS: ReadonlySet<number> = new Set([
  Reg.CS,
  Reg.SS,
  Reg.DS,
  Reg.ES,
  Reg.FS,
  Reg.GS,
  Reg.FS_BASE,
  Reg.GS_BASE,
  Reg.KERNEL_GS_BASE,
]);
const TABLES: ReadonlySet<number> = new Set([
  Reg.TR_BASE,
  Reg.TR_LIMIT,
  Reg.GDTR_BASE,
  Reg.GDTR_LIMIT,
  Reg.IDTR_BASE,
  Reg.IDTR_LIMIT,
  Reg.TR,
  Reg.LDTR,
  Reg.LDTR_BASE,
  Reg.LDTR_LIMIT,
]);

function groupOf(register: number): RegisterGroup {
  if (register === Reg.RFLAGS) return 'flags';
  if (register <= Reg.RIP) return 'general';
  if (SEGMENTS.has(register)) return 'segment';
  const name = REGISTER_NAMES[register]!;
  if (/^cr\d/.test(name)) return 'control';
  if (/^dr\d/.test(name)) return 'debug';
  return TABLES.has(register) ? 'table' : 'msr';
}

/** Places of the registers of processor `n` before the last transition; what they are now, at the start. */
function registersBeforeLast(debug: Debugger, history: History): Uint32Array {
  const { index } = debug.cursor;
  return index === 0 ? debug.run.machine.u32 : history.registersAt(index - 1);
}

export function registersOf(debug: Debugger, history: History, processor: number): RegisterView[] {
  const { machine } = debug.run;
  const before = registersBeforeLast(debug, history);
  const ranBefore = before[2 * Reg.PROCESSOR]!;
  const bank = machine.processors;
  return REGISTER_NAMES.flatMap((name, r): RegisterView[] => {
    if (r === Reg.EVENTS || r === Reg.PROCESSOR) return [];
    const place = bank.place(processor, r) / 2;
    const value = register(machine.u32, place);
    // A switch has moved the banks: nothing has changed by that.
    const old = ranBefore === bank.running ? register(before, place) : value;
    const text = symbolic(debug.subject, name === 'rip' ? 'rip' : `r ${name}`, value)
      .split(' ')
      .slice(1)
      .join(' ');
    return [
      {
        name,
        group: groupOf(r),
        value: hex(value),
        note: text || undefined,
        before: old === value ? undefined : hex(old),
      },
    ];
  });
}

export function flagsOf(debug: Debugger, history: History, processor: number): FlagView[] {
  const flags = registersOf(debug, history, processor).find(({ group }) => group === 'flags')!;
  const value = BigInt(flags.value);
  const before = BigInt(flags.before ?? flags.value);
  return FLAG_NAMES.map((name) => {
    const bit = BigInt(Flag[name]);
    return { name, set: (value & bit) !== 0n, changed: ((value ^ before) & bit) !== 0n };
  });
}

/** What the processor remembers about events, in words; what is at rest and hardly ever otherwise is left out. */
export function eventStateOf(debug: Debugger, history: History, processor: number): EventStateView[] {
  const { machine } = debug.run;
  const before = registersBeforeLast(debug, history);
  const now = machine.u32[machine.processors.place(processor, Reg.EVENTS)]!;
  const same = before[2 * Reg.PROCESSOR] === machine.processors.running;
  const old = same ? before[machine.processors.place(processor, Reg.EVENTS)]! : now;
  const row = (name: string, value: (events: number) => string, rest: string, always: boolean): EventStateView[] => {
    const text = value(now);
    if (!always && text === rest && value(old) === rest) return [];
    return [{ name, value: text, set: text !== rest, changed: text !== value(old) }];
  };
  const bit = (mask: number, yes: string, no: string) => (events: number) => (events & mask ? yes : no);
  const latch = (events: number): string => {
    const pending = events & EventState.NMI_PENDING ? ', one pending' : '';
    return `${events & EventState.NMI_BLOCKED ? 'blocked' : 'open'}${pending}`;
  };
  return [
    ...row('NMI latch', latch, 'open', true),
    ...row('STI shadow', bit(EventState.STI_SHADOW, 'for one instruction', 'none'), 'none', true),
    ...row('MOV SS shadow', bit(EventState.MOV_SS_SHADOW, 'for one instruction', 'none'), 'none', true),
    ...row('virtual NMIs', bit(EventState.VIRTUAL_NMI_BLOCKED, 'blocked', 'open'), 'open', false),
    ...row('SMM', bit(EventState.SMM, 'in SMM', 'no'), 'no', false),
    ...row('SMI', bit(EventState.SMI_PENDING, 'pending', 'none'), 'none', false),
    ...row('machine check', bit(EventState.MCIP, 'in progress (MCIP)', 'none'), 'none', false),
    ...row('broadcast #MC', bit(EventState.MC_PENDING, 'pending', 'none'), 'none', false),
    ...row('interrupt', bit(EventState.INTR_PENDING, 'pending', 'none'), 'none', false),
    ...row('debug exceptions', bit(PENDING_DEBUG, 'pending', 'none'), 'none', false),
    ...row('INIT', bit(EventState.INIT_PENDING, 'pending', 'none'), 'none', false),
    ...row('VMX', vmxState, 'off', false),
    ...row('activity', activity, 'active', true),
  ];
}

function vmxState(events: number): string {
  if (events & EventState.VMX_NON_ROOT) return 'in a guest';
  return events & EventState.VMX_ROOT ? 'root' : 'off';
}

function activity(events: number): string {
  if (events & EventState.SHUTDOWN) return 'shut down';
  if (events & EventState.WAIT_FOR_SIPI) return 'waits for a SIPI';
  return events & EventState.HALTED ? 'halted' : 'active';
}

export function branchesOf(debug: Debugger): BranchView[] {
  const { cursor, image } = debug;
  return cursor.branches.map((branch) => {
    const history = new History(cursor, branch, branch.length);
    const events = history.events.map(({ index, event }) => ({
      index,
      boundary: image.name(history.address(index)),
      event,
    }));
    return {
      id: branch.id,
      name: branch.name,
      parent: branch.parent?.id,
      fork: branch.fork,
      forkBoundary: branch.length > branch.fork ? image.name(history.address(branch.fork)) : '',
      forkAction: branch.action(branch.fork, cursor.eventNames) ?? '',
      length: branch.length,
      current: branch === cursor.branch,
      ended: branch.ending?.text,
      failed: [...new Set(history.broken.map(({ property }) => property))],
      events,
    };
  });
}

/** What is broken on the branch, whether the cursor is there yet or not. */
export function failuresOf(debug: Debugger): FailureView[] {
  const { cursor } = debug;
  const history = new History(cursor, cursor.branch, cursor.branch.length);
  return history.broken.map((broken) => failureOf(debug, history, broken));
}

/** What led to a failure never changes, and takes a walk through its past to find. */
const explained = new WeakMap<Broken, FailureView>();

function failureOf(debug: Debugger, history: History, broken: Broken): FailureView {
  let view = explained.get(broken);
  if (!view) {
    view = explain(debug, history, broken);
    explained.set(broken, view);
  }
  return view;
}

function explain(debug: Debugger, history: History, broken: Broken): FailureView {
  const cause = causeOf(history, broken);
  const { step, property, sentence, explanation, differences } = broken;
  return {
    property,
    sentence,
    index: step + 1,
    boundary: debug.image.name(history.address(step)),
    owner: history.owner(step),
    explanation,
    differences: differences.map(({ what, expected, found }) => ({ what, expected: hex(expected), found: hex(found) })),
    cause: cause && {
      ...writerOf(debug, history, cause.step.index),
      what: cause.what,
      place: placeOf(debug, cause.step.address),
    },
  };
}
