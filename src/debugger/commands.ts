/** The commands of the line mode; every front end has a way to type one. */
import { existsSync } from 'node:fs';
import { InputError } from '../errors.js';
import { isPathFile, writePath } from '../explore/path_file.js';
import { EVENT_NAMES } from '../harness/events.js';
import { addressOf, memoryRange } from '../hooks/triggers.js';
import { printable } from '../printable.js';
import { hex } from '../properties/describe.js';
import { DELIVERY_NAMES, isDeliveryName } from '../report/owners.js';
import { brokenText } from '../report/trace.js';
import { didYouMean } from '../suggestion.js';
import { actionsOf } from './actions.js';
import { compareBranches } from './compare.js';
import type { Debugger, Direction, Target } from './debugger.js';
import { type Expression, PSEUDO, parseExpression, registerNamed, wholeRegister } from './expression.js';
import { framesOf, openFrames, overwriter } from './frames.js';
import { History } from './history.js';
import * as print from './print.js';
import { framesAt, nameOfWord, overwriteOf, whoChanged, whoWrote } from './questions.js';
import { stacksOf } from './stacks.js';
import type { WatchRange } from './stops.js';
import { timelineOf } from './timeline.js';
import type { CommandResult, Stop } from './view.js';
import {
  branchesOf,
  disassemblyOf,
  eventStateOf,
  failuresOf,
  flagsOf,
  positionOf,
  registersOf,
  sourceOf,
} from './views.js';

/** What a command gives: lines, and that it has changed what a view shows. */
interface Outcome {
  readonly lines: readonly string[];
  readonly changed?: boolean;
  readonly quit?: boolean;
}

interface Command {
  /** The first one is its name, the others are short for it. */
  readonly names: readonly string[];
  readonly usage: string;
  readonly help: string;
  readonly run: (debug: Debugger, rest: string, signal: AbortSignal | undefined) => Outcome | Promise<Outcome>;
  /** What its argument could be. */
  readonly complete?: (debug: Debugger) => readonly string[];
}

interface Group {
  readonly title: string;
  readonly commands: readonly Command[];
}

const labels = (debug: Debugger): readonly string[] => debug.image.labels;
const registerNames = (debug: Debugger): readonly string[] =>
  registersOf(debug, debug.history, debug.processor).map(({ name }) => name);

function moved(debug: Debugger, _stop?: Stop): Outcome {
  return { lines: print.stopLines(debug, positionOf(debug, debug.history)), changed: true };
}

/** A number of times; 1 if nothing is written. */
function times(rest: string, command: string): number {
  if (rest === '') return 1;
  const n = /^\d+$/.test(rest) ? Number(rest) : Number.NaN;
  if (!Number.isSafeInteger(n) || n < 1) throw new InputError(`${command} ${rest}: expected a number of times`);
  return n;
}

const MAX_WORDS = 1000;

const TARGETS =
  'a boundary (LABEL+n [hit N]), delivery [EVENT], failure [PROPERTY], event, masked, unmasked, latched, given-back';

/** One that is not looked at never breaks. */
function requireProperty(debug: Debugger, name: string): void {
  const names = debug.options.properties.map((property) => property.name);
  if (!names.includes(name))
    throw new InputError(`there is no property '${name}' here; it is one of ${names.join(', ')}`);
}

function hitOf(text: string): number {
  const hit = Number(text);
  if (!Number.isSafeInteger(hit) || hit < 1) throw new InputError(`hit ${text}: the first time is hit 1`);
  return hit;
}

/** A delivery as the debugger calls it; `pf` is #PF too. */
function deliveryNamed(text: string): string {
  const name = [text, `#${text}`].find(isDeliveryName);
  if (name !== undefined) return name;
  throw new InputError(
    `until delivery ${text}: there is none of that name; names are ${DELIVERY_NAMES.join(', ')}, IRQ 0x20, INT 0x80`,
  );
}

/** What `until` is told to run to. */
function parseTarget(debug: Debugger, text: string): Target {
  const [word, ...rest] = text.split(/\s+/);
  const argument = rest.join(' ');
  switch (word) {
    case '':
      throw new InputError(`until what? ${TARGETS}`);
    case 'delivery':
      return argument ? { kind: 'delivery', event: deliveryNamed(argument) } : { kind: 'delivery' };
    case 'failure':
      if (argument) requireProperty(debug, argument);
      return argument ? { kind: 'failure', property: argument } : { kind: 'failure' };
    case 'event':
    case 'masked':
    case 'unmasked':
    case 'latched':
    case 'given-back':
      if (argument) throw new InputError(`until ${word}: '${argument}' is too much`);
      return { kind: word };
  }
  const match = /^(\S+)(?:\s+hit\s+(\d+))?$/.exec(text);
  if (!match) throw new InputError(`until ${text}: expected ${TARGETS}`);
  const address = addressOf(debug.image, match[1]!);
  return match[2] === undefined ? { kind: 'boundary', address } : { kind: 'boundary', address, hit: hitOf(match[2]) };
}

async function until(debug: Debugger, rest: string, direction: Direction, signal?: AbortSignal): Promise<Outcome> {
  return moved(debug, await debug.until(parseTarget(debug, rest), direction, signal));
}

/** `WHAT if CONDITION` */
function withCondition(rest: string): { what: string; condition: string | undefined } {
  const match = /^(.*?)(?:(?:^|\s)if\s+(.+))?$/s.exec(rest)!;
  return { what: match[1]!.trim(), condition: match[2]?.trim() };
}

function addBreak(debug: Debugger, rest: string): Outcome {
  const { what, condition } = withCondition(rest);
  const match = /^(\S*)(?:\s+hit\s+(\d+))?$/.exec(what);
  if (!match) throw new InputError(`break ${rest}: expected break [LABEL+n] [hit N] [if CONDITION]`);
  const address = match[1] ? addressOf(debug.image, match[1]) : debug.run.rip;
  if (debug.image.locate(address) === undefined)
    throw new InputError(`break ${match[1]}: there is no code at ${hex(address)}`);
  const number = debug.addBreakpoint(address, condition, match[2] === undefined ? undefined : hitOf(match[2]));
  return { lines: [`${number}  ${debug.stopPoints.list.at(-1)!.text}`], changed: true };
}

/** The memory that an expression, or a variable's name, means; undefined if it is a value. */
function rangeOf(debug: Debugger, text: string, expression: Expression): Omit<WatchRange, 'kind'> | undefined {
  if (expression.place) return { address: expression.place.address(debug), length: expression.place.size };
  if (!/^[A-Za-z_.][\w.$]*$/.test(text) || registerNamed(text) !== undefined || Object.hasOwn(PSEUDO, text))
    return undefined;
  if (debug.image.find(text) === undefined) return undefined;
  const { start, end } = memoryRange(debug.image, text);
  const length = Number(end - start);
  return { address: start, length: Math.min(length, distanceToNext(debug, text) ?? length) };
}

/** Of a label without a size, as assembly has them: the bytes up to the next one. */
function distanceToNext(debug: Debugger, name: string): number | undefined {
  const { image } = debug;
  const symbol = image.find(name)!;
  if (symbol.size > 0n) return undefined;
  const distances = image.symbols
    .filter((s) => s.module === symbol.module && s.section === symbol.section && s.address > symbol.address)
    .map((s) => Number(s.address - symbol.address));
  return distances.length === 0 ? undefined : distances.reduce((a, b) => Math.min(a, b));
}

function addWatch(debug: Debugger, rest: string, kind: WatchRange['kind']): Outcome {
  const { what, condition } = withCondition(rest);
  if (what === '') throw new InputError('watch what? a register, latch, [ADDRESS], a variable, or another expression');
  const expression = parseExpression(what, debug.image);
  const range = rangeOf(debug, what, expression);
  if (range) debug.addWatchpoint({ kind, ...range }, condition);
  else if (kind === 'write') debug.addChangeWatchpoint(what, condition);
  else
    throw new InputError(`${what}: only accesses to memory can be watched in this way; write [ADDRESS] or a variable`);
  const { number, text } = debug.stopPoints.list.at(-1)!;
  return { lines: [`${number}  ${text}`], changed: true };
}

function numbered(debug: Debugger, rest: string, command: string, act: (number: number) => void): Outcome {
  const numbers = rest === '' ? debug.stopPoints.list.map(({ number }) => number) : rest.split(/\s+/).map(Number);
  if (numbers.some((n) => !Number.isInteger(n)))
    throw new InputError(`${command} ${rest}: expected numbers; 'breakpoints' lists them`);
  for (const number of numbers) act(number);
  return { lines: print.breakpointLines(debug.stopPoints.view()), changed: true };
}

function goTo(debug: Debugger, rest: string): Outcome {
  const { cursor } = debug;
  switch (rest) {
    case '':
      throw new InputError('goto where? a state (91), start, end, failure, who [N], or overwrite [FRAME]');
    case 'start':
      return moved(debug, debug.go(0));
    case 'end':
      return moved(debug, debug.go(cursor.branch.length));
    case 'failure': {
      const failures = failuresOf(debug);
      const [first] = failures;
      if (!first) throw new InputError('nothing is broken on this branch');
      const next = failures.find(({ index }) => index > cursor.index) ?? first;
      debug.go(next.index);
      return {
        lines: [brokenText(next), ...moved(debug).lines.slice(-1)],
        changed: true,
      };
    }
  }
  const answered = /^who(?:\s+(\d+))?$/.exec(rest);
  if (answered) {
    const { answer } = debug;
    if (answer.length === 0) throw new InputError("there is no answer to go to; ask first: 'who rdi', 'who [rsp+8]'");
    const index = answer[answered[1] === undefined ? answer.length - 1 : Number(answered[1]) - 1];
    if (index === undefined)
      throw new InputError(`goto ${rest}: the last answer has the numbers 1 to ${answer.length}`);
    return moved(debug, debug.go(index));
  }
  const overwrite = /^overwrite(?:\s+(\d+))?$/.exec(rest);
  if (overwrite) {
    const { index } = overwriteOf(debug, overwrite[1] === undefined ? undefined : Number(overwrite[1]));
    return moved(debug, debug.go(index));
  }
  if (!/^#?\d+$/.test(rest))
    throw new InputError(`goto ${rest}: expected a state (91), start, end, failure, who [N], or overwrite [FRAME]`);
  return moved(debug, debug.go(Number(rest.replace('#', ''))));
}

function who(debug: Debugger, rest: string): Outcome {
  if (rest === '')
    throw new InputError('who changed what? a register (who rdi), or memory (who [rsp+8], who VARIABLE)');
  const { history } = debug;
  const register = registerNamed(rest) ?? wholeRegister(rest);
  if (register !== undefined) {
    const links = whoChanged(debug, register);
    debug.answer = links.map(({ index }) => index);
    return { lines: print.linkLines(debug, history, `changed ${rest}`, links) };
  }
  const expression = parseExpression(rest, debug.image);
  const range = rangeOf(debug, rest, expression);
  const address = range?.address ?? expression.value(debug);
  const links = whoWrote(debug, address, range?.length);
  debug.answer = links.map(({ index }) => index);
  return { lines: print.linkLines(debug, history, `written ${hex(address)}`, links) };
}

function frame(debug: Debugger, rest: string): Outcome {
  const { history } = debug;
  const expression = parseExpression(rest || 'rsp', debug.image);
  const address = expression.place?.address(debug) ?? expression.value(debug);
  const name = nameOfWord(debug, address);
  const lines = [`${hex(address)}${name === undefined ? ': in no stack' : ` is ${name}`}`];
  for (const delivery of framesAt(history, address)) {
    const closed = history.closedAt(delivery);
    const state = closed === undefined ? 'open' : `given back or given up at #${closed}`;
    lines.push(
      `  in the frame of ${delivery.name} (#${delivery.index}), which interrupts ${delivery.interrupted} at ${debug.image.name(delivery.address)}; ${state}`,
    );
  }
  return { lines };
}

function frames(debug: Debugger): Outcome {
  const { history } = debug;
  const all = framesOf(debug, history).map((view) => ({
    ...view,
    overwritten: overwriter(debug, history, history.deliveries[view.id]!),
  }));
  return { lines: all.length === 0 ? ['nothing has been delivered yet'] : print.frameLines(all) };
}

function set(debug: Debugger, rest: string): Outcome {
  const match = /^(.+?)\s*=(?!=)\s*(.+)$/s.exec(rest);
  if (!match) throw new InputError(`set ${rest}: expected set REGISTER = VALUE or set [ADDRESS] = VALUE`);
  const target = parseExpression(match[1]!, debug.image);
  const value = parseExpression(match[2]!, debug.image).value(debug);
  if (target.register !== undefined) return moved(debug, debug.writeRegister(match[1]!.replace(/^[%$]/, ''), value));
  if (!target.place) throw new InputError(`${match[1]}: neither a register nor memory; write [ADDRESS] for memory`);
  const bytes = new Uint8Array(target.place.size);
  bytes.forEach((_, i) => {
    bytes[i] = Number((value >> BigInt(8 * i)) & 0xffn);
  });
  return moved(debug, debug.writeMemory(target.place.address(debug), bytes));
}

function dump(debug: Debugger, rest: string): Outcome {
  const match = /^(?:\/(\d+)\s+)?(.+)$/s.exec(rest);
  if (!match) throw new InputError('x what? x [/WORDS] ADDRESS, as x /8 rsp');
  const words = Number(match[1] ?? 8);
  if (words < 1 || words > MAX_WORDS) throw new InputError(`x /${words}: from 1 to ${MAX_WORDS} words`);
  const expression = parseExpression(match[2]!, debug.image);
  const start = expression.place?.address(debug) ?? expression.value(debug);
  const lines: string[] = [];
  for (let i = 0; i < words; i++) {
    const address = BigInt.asUintN(64, start + BigInt(8 * i));
    const value = debug.memory(address, 8);
    if (value === undefined) {
      lines.push(`${hex(address)}  nothing is mapped there`);
      break;
    }
    const name = nameOfWord(debug, address);
    lines.push(`${hex(address)}  0x${value.toString(16).padStart(16, '0')}${name ? `  ${name}` : ''}`);
  }
  return { lines };
}

function branch(debug: Debugger, rest: string): Outcome {
  if (rest === '') throw new InputError('branch which? branch NUMBER [STATE], or its name; branches lists them');
  const { cursor } = debug;
  const numbered = /^(\d+)(?:\s+#?(\d+))?$/.exec(rest);
  const to = branchOf(debug, numbered?.[1] ?? rest);
  const index = numbered?.[2] === undefined ? Math.min(cursor.index, to.length) : Number(numbered[2]);
  return moved(debug, debug.go(index, to.id));
}

/** A branch by its number or its name. */
function branchOf(debug: Debugger, text: string): Debugger['cursor']['branch'] {
  if (/^\d+$/.test(text)) return debug.branchNumbered(Number(text));
  const found = debug.cursor.branches.find(({ name }) => name === text);
  if (found) return found;
  throw new InputError(
    `there is no branch '${text}'${didYouMean(
      text,
      debug.cursor.branches.map(({ name }) => name),
    )}; 'branches' lists them`,
  );
}

function compare(debug: Debugger, rest: string): Outcome {
  const [first, second, ...more] = rest.split(/\s+/).filter(Boolean);
  if (first === undefined || more.length > 0)
    throw new InputError('compare which? compare BRANCH [BRANCH]: by number or name');
  const a = second === undefined ? debug.cursor.branch : branchOf(debug, first);
  const b = branchOf(debug, second ?? first);
  if (a === b) throw new InputError('compare: that is one and the same branch');
  return { lines: print.comparisonLines([`${a.id} ${a.name}`, `${b.id} ${b.name}`], compareBranches(debug, a, b)) };
}

function save(debug: Debugger, rest: string): Outcome {
  if (rest === '') throw new InputError('save to which file? save FILE.json');
  const { cursor, image } = debug;
  const history = new History(cursor, cursor.branch, cursor.branch.length);
  for (let at: typeof cursor.branch | undefined = cursor.branch; at; at = at.parent) {
    if (at.forkEdits) throw new InputError(`save ${rest}: branch ${at.id} has edits, which a path file cannot hold`);
  }
  const path = history.events.map(({ index, event }) => {
    const address = history.address(index);
    return { boundary: image.name(address), hit: history.hits(index, address), event };
  });
  if (existsSync(rest) && !isPathFile(rest)) {
    throw new InputError(`save ${rest}: is there already, and is no path file; name another file`);
  }
  const property = history.broken[0]?.property ?? 'context';
  writePath(rest, 'save ', debug.options.saved, { property, path });
  return {
    lines: [
      `${rest}: ${path.length === 0 ? 'no event' : path.map(({ event, boundary }) => `${event} at ${boundary}`).join(', ')}`,
    ],
  };
}

function list(debug: Debugger, rest: string): Outcome {
  if (rest === '') return { lines: print.sourceLines(sourceOf(debug, { around: 5 })) };
  const at = /^(.*):(\d+)$/.exec(rest);
  if (at) return { lines: print.sourceLines(sourceOf(debug, { file: at[1]!, line: Number(at[2]), around: 5 })) };
  const position = debug.image.locate(addressOf(debug.image, rest))?.line?.position;
  return {
    lines: print.sourceLines(
      position && position.line > 0
        ? sourceOf(debug, { file: position.file, line: position.line, around: 5 })
        : undefined,
    ),
  };
}

const GROUPS: readonly Group[] = [
  {
    title: 'move: forwards, and the same backwards',
    commands: [
      {
        names: ['step', 's', 'stepi', 'si'],
        usage: 'step [N]',
        help: 'one transition: an instruction, or the event that the branch fires',
        run: async (debug, rest, signal) => moved(debug, await debug.step(times(rest, 'step'), signal)),
      },
      {
        names: ['back', 'rs', 'reverse-step', 'reverse-stepi', 'rsi'],
        usage: 'back [N]',
        help: 'one transition back',
        run: async (debug, rest, signal) => moved(debug, await debug.reverseStep(times(rest, 'back'), signal)),
      },
      {
        names: ['next', 'n', 'nexti', 'ni'],
        usage: 'next [N]',
        help: 'the same, over a handler or a call',
        run: async (debug, rest, signal) => moved(debug, await debug.next(times(rest, 'next'), signal)),
      },
      {
        names: ['reverse-next', 'rn', 'reverse-nexti', 'rni'],
        usage: 'reverse-next [N]',
        help: 'back, over a handler or a call',
        run: async (debug, rest, signal) => moved(debug, await debug.reverseNext(times(rest, 'reverse-next'), signal)),
      },
      {
        names: ['finish', 'fin'],
        usage: 'finish',
        help: 'to the end of the running handler or function',
        run: async (debug, _rest, signal) => moved(debug, await debug.finish(signal)),
      },
      {
        names: ['reverse-finish', 'rf'],
        usage: 'reverse-finish',
        help: 'back to where it was entered',
        run: async (debug, _rest, signal) => moved(debug, await debug.reverseFinish(signal)),
      },
      {
        names: ['continue', 'c'],
        usage: 'continue',
        help: 'to the next breakpoint, watchpoint or failure, or to the end',
        run: async (debug, _rest, signal) => moved(debug, await debug.continue(signal)),
      },
      {
        names: ['reverse-continue', 'rc'],
        usage: 'reverse-continue',
        help: 'back to the last breakpoint or watchpoint, or to the start',
        run: async (debug, _rest, signal) => moved(debug, await debug.reverseContinue(signal)),
      },
      {
        names: ['until', 'u'],
        usage: 'until TARGET',
        help: TARGETS,
        run: (debug, rest, signal) => until(debug, rest, 1, signal),
        complete: (debug) => [
          'delivery',
          'failure',
          'event',
          'masked',
          'unmasked',
          'latched',
          'given-back',
          ...labels(debug),
        ],
      },
      {
        names: ['reverse-until', 'ru'],
        usage: 'reverse-until TARGET',
        help: 'back to it',
        run: (debug, rest, signal) => until(debug, rest, -1, signal),
        complete: (debug) => [
          'delivery',
          'failure',
          'event',
          'masked',
          'unmasked',
          'latched',
          'given-back',
          ...labels(debug),
        ],
      },
      {
        names: ['goto', 'go', 'g'],
        usage: 'goto WHERE',
        help: 'a state (91), start, end, failure (the next one), who [N] (the last answer), overwrite [FRAME]',
        run: goTo,
        complete: () => ['start', 'end', 'failure', 'who', 'overwrite'],
      },
    ],
  },
  {
    title: 'events and branches',
    commands: [
      {
        names: ['fire'],
        usage: 'fire EVENT',
        help: `here: ${EVENT_NAMES.join(', ')}; the name alone does too (nmi)`,
        run: (debug, rest) => {
          if (rest === '') throw new InputError('fire what? events lists what can be fired here');
          return moved(debug, debug.fire(rest));
        },
        complete: (debug) => actionsOf(debug.run).flatMap(({ event, possible }) => (possible ? [event] : [])),
      },
      {
        names: ['skip'],
        usage: 'skip',
        help: 'execute the next instruction where the branch fires an event',
        run: (debug) => moved(debug, debug.skip()),
      },
      {
        names: ['events', 'actions'],
        usage: 'events',
        help: 'what can be fired here, and why the rest cannot',
        run: (debug) => ({ lines: print.actionLines(actionsOf(debug.run)) }),
      },
      {
        names: ['branches'],
        usage: 'branches',
        help: 'the tree of paths',
        run: (debug) => ({ lines: print.branchLines(branchesOf(debug)) }),
      },
      {
        names: ['branch'],
        usage: 'branch NUMBER [STATE]',
        help: 'to a state of another branch (the same one, if it has it)',
        run: branch,
        complete: (debug) => debug.cursor.branches.map(({ name }) => name),
      },
      {
        names: ['name'],
        usage: 'name TEXT',
        help: 'name this branch',
        run: (debug, rest) => {
          if (rest === '') throw new InputError('name TEXT: expected a name');
          debug.nameBranch(debug.cursor.branch.id, rest);
          return { lines: print.branchLines(branchesOf(debug).filter(({ current }) => current)), changed: true };
        },
      },
      {
        names: ['compare'],
        usage: 'compare [BRANCH] BRANCH',
        help: 'the first differences, as the code sees them that runs where they part',
        run: compare,
        complete: (debug) => debug.cursor.branches.map(({ name }) => name),
      },
      {
        names: ['set'],
        usage: 'set REGISTER = VALUE, set [ADDRESS] = VALUE',
        help: 'begins a branch; dword[…], word[…] and byte[…] are smaller memory',
        run: set,
        complete: registerNames,
      },
      {
        names: ['save'],
        usage: 'save FILE.json',
        help: 'write the events of this branch as a path file, for replay and debug',
        run: save,
      },
    ],
  },
  {
    title: 'questions',
    commands: [
      {
        names: ['who', 'w'],
        usage: 'who REGISTER, who [ADDRESS], who VARIABLE',
        help: 'who wrote it last, and where that came from; goto who goes to where it began',
        run: who,
        complete: registerNames,
      },
      {
        names: ['frame', 'f'],
        usage: 'frame [ADDRESS]',
        help: 'which frame an address (RSP) lies in, and whose it is',
        run: frame,
      },
      {
        names: ['failures'],
        usage: 'failures',
        help: 'what is broken on this branch, and who caused it',
        run: (debug) => ({ lines: print.failureLines(failuresOf(debug)) }),
      },
      {
        names: ['print', 'p'],
        usage: 'print EXPRESSION',
        help: 'C operators on registers, flags (IF), latch, pending, cpl, depth, hit, index, symbols, [memory]',
        run: (debug, rest) => {
          if (rest === '') throw new InputError('print what? an expression, as rsp+8 or [gs_base]');
          const value = parseExpression(rest, debug.image).value(debug);
          const name = debug.image.locate(value) ? `  ${debug.image.name(value)}` : '';
          return { lines: [`${hex(value)}  ${BigInt.asIntN(64, value)}${name}`] };
        },
        complete: registerNames,
      },
      {
        names: ['x'],
        usage: 'x [/WORDS] ADDRESS',
        help: 'memory, in words of 8 bytes',
        run: dump,
        complete: registerNames,
      },
    ],
  },
  {
    title: 'stops',
    commands: [
      {
        names: ['break', 'b'],
        usage: 'break [LABEL+n] [hit N] [if CONDITION]',
        help: 'n counts instructions, as everywhere',
        run: addBreak,
        complete: labels,
      },
      {
        names: ['watch'],
        usage: 'watch WHAT [if CONDITION]',
        help: 'a register, an MSR, latch, or any expression changes; [ADDRESS] or a variable is written',
        run: (debug, rest) => addWatch(debug, rest, 'write'),
        complete: (debug) => [...registerNames(debug), ...Object.keys(PSEUDO)],
      },
      {
        names: ['rwatch'],
        usage: 'rwatch [ADDRESS]',
        help: 'memory is read',
        run: (debug, rest) => addWatch(debug, rest, 'read'),
      },
      {
        names: ['awatch'],
        usage: 'awatch [ADDRESS]',
        help: 'memory is read or written',
        run: (debug, rest) => addWatch(debug, rest, 'access'),
      },
      {
        names: ['breakpoints'],
        usage: 'breakpoints',
        help: 'list them, watchpoints too',
        run: (debug) => ({ lines: print.breakpointLines(debug.stopPoints.view()) }),
      },
      {
        names: ['delete'],
        usage: 'delete [N…]',
        help: 'delete them, or all',
        run: (debug, rest) => numbered(debug, rest, 'delete', (n) => debug.deleteBreakpoint(n)),
      },
      {
        names: ['enable'],
        usage: 'enable [N…]',
        help: 'and disable [N…]',
        run: (debug, rest) => numbered(debug, rest, 'enable', (n) => debug.enableBreakpoint(n, true)),
      },
      {
        names: ['disable'],
        usage: 'disable [N…]',
        help: '',
        run: (debug, rest) => numbered(debug, rest, 'disable', (n) => debug.enableBreakpoint(n, false)),
      },
    ],
  },
  {
    title: 'look',
    commands: [
      {
        names: ['where'],
        usage: 'where',
        help: 'the state at the cursor, in a line',
        run: (debug) => ({ lines: print.whereLines(debug, positionOf(debug, debug.history)) }),
      },
      {
        names: ['list', 'l'],
        usage: 'list [LABEL+n | FILE:LINE]',
        help: 'the source around it',
        run: list,
        complete: labels,
      },
      {
        names: ['dis', 'disassemble'],
        usage: 'dis [LABEL+n]',
        help: 'the instructions around it; syntax att, or intel, chooses how they are written',
        run: (debug, rest) => {
          const at = rest === '' ? debug.run.rip : addressOf(debug.image, rest);
          return { lines: print.disassemblyLines(disassemblyOf(debug, { around: 6, syntax: debug.syntax }, at)) };
        },
        complete: labels,
      },
      {
        names: ['syntax'],
        usage: 'syntax att | intel',
        help: '',
        run: (debug, rest) => {
          if (rest !== 'att' && rest !== 'intel') throw new InputError(`syntax ${rest}: expected att or intel`);
          debug.syntax = rest;
          return { lines: [`instructions are written as ${rest === 'att' ? 'AT&T' : 'Intel'} does`], changed: true };
        },
        complete: () => ['att', 'intel'],
      },
      {
        names: ['registers', 'regs', 'r'],
        usage: 'registers [all]',
        help: 'with * what the last transition changed; all: with MSRs and tables',
        run: (debug, rest) => {
          if (rest !== '' && rest !== 'all')
            throw new InputError(`registers ${rest}: expected registers, or registers all`);
          return { lines: print.registerLines(registersOf(debug, debug.history, debug.processor), rest === 'all') };
        },
        complete: () => ['all'],
      },
      {
        names: ['flags'],
        usage: 'flags',
        help: 'of RFLAGS',
        run: (debug) => ({ lines: print.flagLines(flagsOf(debug, debug.history, debug.processor)) }),
      },
      {
        names: ['latch', 'state'],
        usage: 'latch',
        help: 'the NMI latch, shadows, SMM and what else the processor remembers about events',
        run: (debug) => ({ lines: print.eventStateLines(eventStateOf(debug, debug.history, debug.processor)) }),
      },
      {
        names: ['deliveries', 'bt', 'backtrace'],
        usage: 'deliveries',
        help: 'those that are open, with what each has interrupted',
        run: (debug) => ({ lines: print.frameLines(openFrames(framesOf(debug, debug.history))) }),
      },
      {
        names: ['frames'],
        usage: 'frames',
        help: 'all that were pushed, and who wrote over them',
        run: frames,
      },
      {
        names: ['stacks', 'stack'],
        usage: 'stacks [NAME]',
        help: 'each word with its slot, its frame and who wrote it',
        run: (debug, rest) => {
          const { history } = debug;
          const all = stacksOf(debug, history, framesOf(debug, history), debug.processor);
          const shown = rest === '' ? all : all.filter(({ name }) => name.toLowerCase() === rest.toLowerCase());
          if (shown.length === 0)
            throw new InputError(
              `stacks ${rest}: there is nothing on such a stack; used are ${all.map(({ name }) => name).join(', ')}`,
            );
          return { lines: print.stackLines(shown) };
        },
      },
      {
        names: ['timeline', 't'],
        usage: 'timeline [FROM-TO]',
        help: 'latch, CPL, GS, CR3, stack, body and owner by state, and what happened',
        run: (debug, rest) => {
          const match = /^(?:#?(\d+)-#?(\d+))?$/.exec(rest);
          if (!match || Number(match[1]) > Number(match[2])) {
            throw new InputError(`timeline ${rest}: expected timeline FROM-TO, as 0-200`);
          }
          const timeline = match[1] === undefined ? {} : { timeline: { from: Number(match[1]), to: Number(match[2]) } };
          return { lines: print.timelineLines(timelineOf(debug, timeline)) };
        },
      },
      {
        names: ['help', 'h', '?'],
        usage: 'help [COMMAND]',
        help: '',
        run: (_debug, rest) => ({ lines: help(rest) }),
      },
      {
        names: ['quit', 'q', 'exit'],
        usage: 'quit',
        help: '',
        run: () => ({ lines: [], quit: true }),
      },
    ],
  },
];

const ALL: readonly Command[] = GROUPS.flatMap(({ commands }) => commands);
const BY_NAME: ReadonlyMap<string, Command> = new Map(ALL.flatMap((c) => c.names.map((name) => [name, c] as const)));

function help(word: string): string[] {
  if (word !== '') {
    const command = BY_NAME.get(word);
    if (!command)
      throw new InputError(`there is no command '${word}'${didYouMean(word, [...BY_NAME.keys()])}; 'help' lists them`);
    const short = command.names.length > 1 ? [`short: ${command.names.slice(1).join(', ')}`] : [];
    return [command.usage, ...(command.help ? [`  ${command.help}`] : []), ...short];
  }
  const width = Math.max(...ALL.map(({ usage }) => usage.length));
  return GROUPS.flatMap(({ title, commands }) => [
    title,
    ...commands.map(({ usage, help: text }) => `  ${usage.padEnd(Math.min(width, 40))}  ${text}`.trimEnd()),
  ]);
}

const EVENT_KINDS: ReadonlySet<string> = new Set(EVENT_NAMES.map((name) => name.split(':')[0]!));

export async function runCommand(debug: Debugger, line: string, signal?: AbortSignal): Promise<CommandResult> {
  const text = line.replace(/^\s+|\s+$/g, '');
  if (text === '' || text.startsWith('#')) return { lines: [], error: false, changed: false, quit: false };
  try {
    const [, word, rest] = /^(\S+)\s*(.*)$/s.exec(text)!;
    const { lines, changed = false, quit = false } = await perform(debug, word!, rest!, signal);
    return { lines: lines.map(printable), error: false, changed, quit };
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return {
      lines: [error.message, ...error.notes.map((note) => `  ${note}`)].map(printable),
      error: true,
      changed: false,
      quit: false,
    };
  }
}

function perform(
  debug: Debugger,
  word: string,
  rest: string,
  signal: AbortSignal | undefined,
): Outcome | Promise<Outcome> {
  const command = BY_NAME.get(word);
  if (command) {
    if (rest !== '' && command.usage === command.names[0]) throw new InputError(`${word}: '${rest}' is too much`);
    return command.run(debug, rest, signal);
  }
  // An event's name fires it.
  if (EVENT_KINDS.has(word.split(':')[0]!)) {
    if (rest !== '') throw new InputError(`${word}: '${rest}' is too much`);
    return moved(debug, debug.fire(word));
  }
  throw new InputError(`there is no command '${word}'${didYouMean(word, [...BY_NAME.keys()])}; 'help' lists them`);
}

/** Entries that are offered at most. */
const MOST = 200;

/** The word of a line that `complete` ends: an expression has several without a blank between them. */
export const LAST_WORD = /[^\s[(+*]*$/;

export function complete(debug: Debugger, line: string): string[] {
  const [, word, rest] = /^\s*(\S*)(?:\s+(.*))?$/s.exec(line)!;
  const known =
    rest === undefined
      ? [...ALL.map(({ names }) => names[0]!), ...EVENT_NAMES.filter((name) => !name.includes(':'))]
      : (BY_NAME.get(word!)?.complete?.(debug) ?? []);
  const [last] = LAST_WORD.exec(rest ?? word!)!;
  return [...new Set(known.filter((name) => name.startsWith(last)))].slice(0, MOST);
}
