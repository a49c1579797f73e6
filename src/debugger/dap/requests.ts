/** The requests of the protocol: what each takes, and what comes of it. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { z } from 'zod';
import { InputError } from '../../errors.js';
import type { Debugger } from '../debugger.js';
import type { SourceLineView, Stop } from '../view.js';
import type { Adapter } from './adapter.js';
import type { Wish } from './breakpoints.js';
import { dataBreakpointInfo, dataWish } from './data_breakpoints.js';
import { completions, evaluate, setVariable } from './evaluate.js';
import { disassembled, MAX_INSTRUCTIONS, MAX_READ, readMemory } from './memory.js';
import { exceptionInfo, threadOf } from './stops.js';

export interface Reply {
  readonly body?: object | undefined;
  /** Done when the answer has been sent. */
  readonly afterwards?: () => void | Promise<void>;
}

export interface Request {
  /** Throws an InputError for arguments that are wrong. */
  answer(adapter: Adapter, args: unknown): Promise<Reply>;
}

/** `field: what is wrong with it` of arguments that are wrong. */
export function checked<T>(schema: z.ZodType<T>, args: unknown): T {
  const parsed = schema.safeParse(args);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new InputError(`${path.length > 0 ? `${path.join('.')}: ` : ''}${message}`);
}

function request<T>(schema: z.ZodType<T>, handle: (adapter: Adapter, args: T) => Reply | Promise<Reply>): Request {
  return { answer: async (adapter, args) => handle(adapter, checked(schema, args)) };
}

/** A verb of the debugger: the answer comes first, the event `stopped` when it is done. */
function verb(run: (target: Debugger, signal: AbortSignal) => Promise<Stop>): Request {
  return request(z.looseObject({}), (adapter) => ({ afterwards: () => adapter.run(run) }));
}

function goOn(run: (target: Debugger, signal: AbortSignal) => Promise<Stop>): Request {
  return request(z.looseObject({}), (adapter) => ({
    body: { allThreadsContinued: true },
    afterwards: () => adapter.run((target, signal) => adapter.goOn((s) => run(target, s), signal)),
  }));
}

/** Something that moves the cursor at once. */
function move<T>(schema: z.ZodType<T>, run: (target: Debugger, args: T) => Stop): Request {
  return request(schema, (adapter, args) => {
    run(adapter.target, args);
    return { afterwards: () => adapter.stopped() };
  });
}

const nothing = z.looseObject({});
const line = z.int().min(0);
const source = z.looseObject({
  name: z.string().optional(),
  path: z.string().optional(),
  sourceReference: z.int().optional(),
});
const asked = { condition: z.string().optional(), hitCondition: z.string().optional() };
const offset = z.int().default(0);

/** The lines of a source file that a breakpoint on a line may mean: the first one at or behind it that has code. */
function withCode(lines: readonly SourceLineView[], number: number): SourceLineView {
  const found = lines.find((l) => l.number >= number && l.boundaries.length > 0);
  if (found === undefined) throw new InputError('there is no code at this line or behind it');
  return found;
}

/** Where control comes to a line: of instructions that follow each other, as those of a macro do, the first. */
function entries({ target }: Adapter, { boundaries }: SourceLineView): bigint[] {
  const { image } = target.subject;
  const addresses = boundaries.map(({ address }) => BigInt(address)).sort((a, b) => (a < b ? -1 : 1));
  return addresses.filter((address, i) => {
    const before = addresses[i - 1];
    const section = image.sectionAt(address);
    if (before === undefined || section === undefined || before < section.address) return true;
    return image.instructions(section, before, address).length !== 1;
  });
}

function sourceWish(adapter: Adapter, of: DebugProtocol.Source, at: z.infer<typeof sourceBreakpoint>): Wish {
  const { client } = adapter;
  let found: SourceLineView;
  try {
    found = withCode(adapter.lines(of), client.lineFrom(at.line));
  } catch (error) {
    return adapter.wish(`${at.line}`, at, { line: at.line }, () => {
      throw error;
    });
  }
  const shown = { line: client.lineTo(found.number), source: of };
  return adapter.wish(`${found.number}`, at, shown, () => entries(adapter, found));
}

const sourceBreakpoint = z.looseObject({ ...asked, line });
const count = z.int().min(0);

const CONFIGURATION: Readonly<Record<string, Request>> = {
  setBreakpoints: request(
    z.looseObject({ source, breakpoints: z.array(sourceBreakpoint).max(1000).default([]) }),
    (adapter, { source: of, breakpoints }) => {
      const group = `source ${of.path ?? of.sourceReference ?? ''}`;
      const wishes = breakpoints.map((b) => sourceWish(adapter, of as DebugProtocol.Source, b));
      return { body: { breakpoints: adapter.setBreakpoints(group, 'breakpoint', wishes) } };
    },
  ),
  setFunctionBreakpoints: request(
    z.looseObject({ breakpoints: z.array(z.looseObject({ ...asked, name: z.string() })).max(1000) }),
    (adapter, { breakpoints }) => {
      const wishes = breakpoints.map((b) => adapter.wish(b.name, b, {}, () => [adapter.address(b.name)]));
      return { body: { breakpoints: adapter.setBreakpoints('function', 'function breakpoint', wishes) } };
    },
  ),
  setInstructionBreakpoints: request(
    z.looseObject({
      breakpoints: z.array(z.looseObject({ ...asked, instructionReference: z.string(), offset })).max(1000),
    }),
    (adapter, { breakpoints }) => {
      const wishes = breakpoints.map((b) => {
        const shown = { instructionReference: b.instructionReference, offset: b.offset };
        const key = `${b.instructionReference} ${b.offset}`;
        return adapter.wish(key, b, shown, () => [adapter.address(b.instructionReference, b.offset)]);
      });
      return { body: { breakpoints: adapter.setBreakpoints('instruction', 'instruction breakpoint', wishes) } };
    },
  ),
  setExceptionBreakpoints: request(z.looseObject({ filters: z.array(z.string()) }), (adapter, { filters }) => {
    adapter.stopsAtFailures = filters.includes('failure');
    return {};
  }),
  dataBreakpointInfo: request(
    z.looseObject({
      variablesReference: z.int().optional(),
      name: z.string(),
      asAddress: z.boolean().default(false),
      bytes: z.int().min(1).max(4096).optional(),
    }),
    (adapter, args) => ({ body: dataBreakpointInfo(adapter, args) }),
  ),
  setDataBreakpoints: request(
    z.looseObject({
      breakpoints: z
        .array(
          z.looseObject({
            ...asked,
            dataId: z.string(),
            accessType: z.enum(['read', 'write', 'readWrite']).default('write'),
          }),
        )
        .max(1000),
    }),
    (adapter, { breakpoints }) => {
      const wishes = breakpoints.map((b) => dataWish(adapter, b));
      return { body: { breakpoints: adapter.setBreakpoints('data', 'data breakpoint', wishes) } };
    },
  ),
  breakpointLocations: request(
    z.looseObject({ source, line, endLine: line.optional() }),
    (adapter, { source: of, line: from, endLine = from }) => {
      const { client } = adapter;
      const [first, last] = [client.lineFrom(from), client.lineFrom(endLine)];
      const lines = adapter.lines(of as DebugProtocol.Source);
      const found = lines.filter((l) => l.number >= first && l.number <= last && l.boundaries.length > 0);
      return { body: { breakpoints: found.map(({ number }) => ({ line: client.lineTo(number) })) } };
    },
  ),
};

const SHOWN: Readonly<Record<string, Request>> = {
  threads: request(nothing, (adapter) => {
    const { processors } = adapter.view().position;
    return { body: { threads: Array.from({ length: processors }, (_, n) => ({ id: threadOf(n), name: `CPU ${n}` })) } };
  }),
  stackTrace: request(
    z.looseObject({ threadId: z.int(), startFrame: count.default(0), levels: count.default(0) }),
    (adapter, { threadId, startFrame, levels }) => {
      const processor = threadId - threadOf(0);
      if (processor < 0 || processor >= adapter.view().position.processors) {
        throw new InputError(`thread ${threadId}: there is none of this number`);
      }
      const frames = adapter.variables.frames(processor);
      const stackFrames = frames.slice(startFrame, levels === 0 ? undefined : startFrame + levels);
      return { body: { stackFrames, totalFrames: frames.length } };
    },
  ),
  scopes: request(z.looseObject({ frameId: z.int() }), (adapter, { frameId }) => ({
    body: { scopes: adapter.variables.scopes(frameId) },
  })),
  variables: request(z.looseObject({ variablesReference: z.int() }), (adapter, { variablesReference }) => ({
    body: { variables: adapter.variables.variables(variablesReference) },
  })),
  setVariable: request(
    z.looseObject({ variablesReference: z.int(), name: z.string(), value: z.string().max(1000) }),
    (adapter, args) => setVariable(adapter, args),
  ),
  evaluate: request(
    z.looseObject({ expression: z.string().max(10_000), context: z.string().default('repl') }),
    (adapter, args) => evaluate(adapter, args),
  ),
  completions: request(z.looseObject({ text: z.string().max(10_000), column: z.int().min(0) }), (adapter, args) => ({
    body: { targets: completions(adapter, args.text, args.column) },
  })),
  source: request(
    z.looseObject({ source: source.optional(), sourceReference: z.int() }),
    ({ sources }, { source: of, sourceReference }) => {
      const content = sources.text((of ?? { sourceReference }) as DebugProtocol.Source);
      if (content === undefined) throw new InputError(`source ${sourceReference}: there is none of this number`);
      return { body: { content } };
    },
  ),
  loadedSources: request(nothing, ({ sources, target }) => ({
    body: { sources: [...target.subject.image.sources.keys()].map((file) => sources.source(file)) },
  })),
  exceptionInfo: request(nothing, (adapter) => ({ body: exceptionInfo(adapter.view()) })),
  readMemory: request(
    z.looseObject({ memoryReference: z.string(), offset, count: count.max(MAX_READ) }),
    (adapter, args) => ({
      body: readMemory(adapter.target, adapter.address(args.memoryReference, args.offset), args.count),
    }),
  ),
  writeMemory: request(
    z.looseObject({ memoryReference: z.string(), offset, data: z.base64() }),
    (adapter, { memoryReference, offset: at, data }) => {
      const bytes = Buffer.from(data, 'base64');
      if (bytes.length > 0) adapter.target.writeMemory(adapter.address(memoryReference, at), bytes);
      return { body: { bytesWritten: bytes.length }, afterwards: () => adapter.edited() };
    },
  ),
  disassemble: request(
    z.looseObject({
      memoryReference: z.string(),
      offset,
      instructionOffset: z.int().min(-MAX_INSTRUCTIONS).max(MAX_INSTRUCTIONS).default(0),
      instructionCount: count.max(MAX_INSTRUCTIONS),
    }),
    (adapter, args) => {
      const address = adapter.address(args.memoryReference, args.offset);
      const { instructionOffset, instructionCount } = args;
      return { body: { instructions: disassembled(adapter, address, instructionOffset, instructionCount) } };
    },
  ),
};

const VERBS: Readonly<Record<string, Request>> = {
  stepIn: verb((target, signal) => target.step(1, signal)),
  next: verb((target, signal) => target.next(1, signal)),
  stepOut: verb((target, signal) => target.finish(signal)),
  stepBack: verb((target, signal) => target.reverseStep(1, signal)),
  continue: goOn((target, signal) => target.continue(signal)),
  reverseContinue: goOn((target, signal) => target.reverseContinue(signal)),
  gotoTargets: request(z.looseObject({ source, line }), (adapter, { source: of, line: from }) => {
    const { number, boundaries } = withCode(adapter.lines(of as DebugProtocol.Source), adapter.client.lineFrom(from));
    const targets = boundaries.map(({ address, boundary }) => ({
      id: adapter.gotoTargets.create(BigInt(address)),
      label: boundary,
      line: adapter.client.lineTo(number),
      instructionPointerReference: address,
    }));
    return { body: { targets } };
  }),
  goto: request(z.looseObject({ targetId: z.int() }), (adapter, { targetId }) => {
    const address = adapter.gotoTargets.get(targetId);
    if (address === undefined) throw new InputError(`target ${targetId}: there is none of this number here`);
    adapter.target.writeRegister('rip', address);
    return { afterwards: () => adapter.stopped() };
  }),
  // Requests of our own.
  nmi: move(nothing, (target) => target.fire('nmi')),
  fire: move(z.looseObject({ event: z.string() }), (target, { event }) => target.fire(event)),
  skip: move(nothing, (target) => target.skip()),
};

export const REQUESTS: ReadonlyMap<string, Request> = new Map(Object.entries({ ...CONFIGURATION, ...SHOWN, ...VERBS }));
