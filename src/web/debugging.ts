/** The debugger of a session: the page's requests as its verbs, one at a time, and what it shows afterwards. */
import type { Debugger, Target } from '../debugger/debugger.js';
import type { ViewRequest } from '../debugger/view.js';
import { InputError } from '../errors.js';
import type { Request } from './messages.js';
import type { ConsoleEntry, DebuggerState, Reply } from './protocol.js';

/** Commands that the console keeps. */
const MOST_ENTRIES = 200;
/** Lines around the current one that a page gets unless it asks for others. */
const AROUND = 120;

/** What is done with an open debugger. */
export type DebugRequest = Extract<
  Request,
  { type: 'verb' | 'until' | 'fire' | 'go' | 'toggle' | 'breakpoint' | 'view' | 'command' | 'complete' }
>;

export class Debugging {
  #request: ViewRequest = { around: AROUND };
  #console: ConsoleEntry[] = [];
  #running: AbortController | undefined;

  /** `opened`: on what, in words. `onChange`: the state is to be drawn anew; `onBusy`: something has begun. */
  constructor(
    readonly target: Debugger,
    readonly opened: string,
    readonly onBusy: () => void,
    readonly onChange: () => void,
  ) {}

  get busy(): boolean {
    return this.#running !== undefined;
  }

  get state(): DebuggerState {
    const { opened, busy } = this;
    return { opened, busy, request: this.#request, view: this.target.view(this.#request), console: this.#console };
  }

  /** Ends the verb that is under way. */
  interrupt(): void {
    this.#running?.abort();
  }

  /** Rejects with an InputError for what cannot be done. */
  async handle(request: DebugRequest): Promise<Reply> {
    if (request.type === 'complete') return this.target.complete(request.line);
    if (this.busy) throw new InputError('the debugger is busy; interrupt it first');
    if (request.type === 'view') {
      this.#request = { around: AROUND, ...present(request.request) };
      this.onChange();
      return null;
    }
    const running = new AbortController();
    this.#running = running;
    this.onBusy();
    try {
      return await this.#perform(request, running.signal);
    } finally {
      this.#running = undefined;
      this.#follow();
      this.onChange();
    }
  }

  /** The source that was asked for was that of another place, and so was the timeline if the cursor has left it. */
  #follow(): void {
    const { file: _, line: __, timeline, ...kept } = this.#request;
    const { index } = this.target.position;
    const isInside = timeline !== undefined && index >= timeline.from && index <= timeline.to;
    this.#request = { ...kept, ...(isInside ? { timeline } : {}) };
  }

  async #perform(request: Exclude<DebugRequest, { type: 'complete' | 'view' }>, signal: AbortSignal): Promise<Reply> {
    const { target } = this;
    switch (request.type) {
      case 'verb':
        return this.#verb(request, signal);
      case 'until':
        return target.until(targetOf(request), request.direction, signal);
      case 'fire':
        return target.fire(request.event);
      case 'go':
        return target.go(request.index, request.branch);
      case 'toggle':
        this.#toggle(request.address);
        return null;
      case 'breakpoint':
        if (request.action === 'delete') target.deleteBreakpoint(request.number);
        else target.enableBreakpoint(request.number, request.action === 'enable');
        return null;
      case 'command': {
        const result = await target.command(request.line, signal);
        const { lines, error } = result;
        this.#console = [...this.#console, { command: request.line, lines, error }].slice(-MOST_ENTRIES);
        return result;
      }
    }
  }

  async #verb({ verb, count = 1 }: Extract<Request, { type: 'verb' }>, signal: AbortSignal): Promise<Reply> {
    const { target } = this;
    switch (verb) {
      case 'step':
      case 'reverseStep':
      case 'next':
      case 'reverseNext':
        return target[verb](count, signal);
      case 'skip':
        return target.skip();
      default:
        return target[verb](signal);
    }
  }

  /** Sets a breakpoint, or takes away those that are there. */
  #toggle(address: string): void {
    const numbers = this.target.stopPoints.at(BigInt(address));
    if (numbers.length === 0) this.target.addBreakpoint(BigInt(address));
    for (const number of numbers) this.target.deleteBreakpoint(number);
  }
}

function targetOf({ target, address }: Extract<Request, { type: 'until' }>): Target {
  if (target !== 'boundary') return { kind: target };
  if (address === undefined) throw new InputError('a boundary is run to by its address');
  return { kind: 'boundary', address: BigInt(address) };
}

/** Without the fields that are undefined. */
function present({ syntax, around, file, line, timeline, processor }: Extract<Request, { type: 'view' }>['request']) {
  return {
    ...(syntax === undefined ? {} : { syntax }),
    ...(around === undefined ? {} : { around }),
    ...(file === undefined ? {} : { file }),
    ...(line === undefined ? {} : { line }),
    ...(timeline === undefined ? {} : { timeline }),
    ...(processor === undefined ? {} : { processor }),
  };
}
