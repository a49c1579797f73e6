/** A debugger behind the protocol: what its requests ask of it, and what the client is told of it. */

import { Handles } from '@vscode/debugadapter';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { InputError } from '../../errors.js';
import type { Debugger } from '../debugger.js';
import type { SourceLineView, Stop, View } from '../view.js';
import { Breakpoints, hitCount, type StopName, type Wish } from './breakpoints.js';
import { addressOf } from './memory.js';
import { Sources } from './sources.js';
import { standing, stoppedBody } from './stops.js';
import { Variables } from './variables.js';

/** The other end. */
export interface Client {
  /** Sends an event. */
  event(name: string, body?: object): void;
  /** It understands that what it has been shown is out of date. */
  readonly knowsInvalidated: boolean;
  /** Lines and columns, from 1 here, as the client counts them, and back. */
  lineTo(line: number): number;
  lineFrom(line: number): number;
  columnTo(column: number): number;
  columnFrom(column: number): number;
  /** The session is over. */
  quit(): void;
}

/** A breakpoint as the client asks for it. */
interface Asked {
  readonly condition?: string | undefined;
  readonly hitCondition?: string | undefined;
}

export interface CommandAnswer {
  readonly lines: readonly string[];
  readonly news: (() => void) | undefined;
  readonly quit: boolean;
}

export class Adapter {
  readonly sources: Sources;
  readonly breakpoints: Breakpoints;
  readonly variables: Variables;
  /** Where `goto` may go. */
  readonly gotoTargets = new Handles<bigint>();
  /** Whether a property that breaks stops `continue`. */
  stopsAtFailures = true;
  /** What runs now, or will for this request. */
  #running = new AbortController();
  readonly #views = new Map<number | undefined, View>();

  constructor(
    readonly target: Debugger,
    readonly client: Client,
  ) {
    this.sources = new Sources(target.subject.image);
    this.breakpoints = new Breakpoints(target);
    this.variables = new Variables(
      (processor) => this.view(processor),
      this.sources,
      (line) => client.lineTo(line),
    );
    target.subscribe(() => this.#views.clear());
  }

  /** What there is to see; with the registers and stacks of a processor. */
  view(processor?: number): View {
    const known = this.#views.get(processor) ?? this.target.view(processor === undefined ? {} : { processor });
    this.#views.set(processor, known);
    return known;
  }

  address(reference: string, offset = 0): bigint {
    return addressOf(this.target.subject.image, reference, offset);
  }

  /** Ends what runs; what it has reached stays. */
  interrupt(): void {
    this.#running.abort();
  }

  /** A request begins: what it runs is a run of its own. */
  begin(): void {
    this.#running = new AbortController();
  }

  /** A verb, and then the news of where it has come to. */
  async run(verb: (target: Debugger, signal: AbortSignal) => Promise<Stop>): Promise<void> {
    try {
      await verb(this.target, this.#running.signal);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      this.say(`${error.message}\n`, 'stderr');
    }
    this.stopped();
  }

  /** Forwards or backwards to the next stop; over failures, unless they are stops. */
  async goOn(verb: (signal: AbortSignal) => Promise<Stop>, signal: AbortSignal): Promise<Stop> {
    for (;;) {
      const { branch, index } = this.target.position;
      const stop = await verb(signal);
      const now = this.target.position;
      const stands = now.branch === branch && now.index === index;
      if (stop.reason !== 'failure' || this.stopsAtFailures || stands) return stop;
    }
  }

  /** The client draws everything anew. */
  stopped(): void {
    this.#forget();
    const view = this.view();
    this.say(standing(view), 'console');
    this.client.event('stopped', stoppedBody(view, this.breakpoints));
  }

  /** An edit: the cursor stands where it stood, in a branch of its own. */
  edited(): void {
    this.#forget();
    if (this.client.knowsInvalidated) this.client.event('invalidated', { areas: ['all'] });
    else this.client.event('stopped', stoppedBody(this.view(), this.breakpoints));
  }

  #forget(): void {
    this.#views.clear();
    this.variables.reset();
    this.gotoTargets.reset();
  }

  say(output: string, category: 'console' | 'stderr'): void {
    this.client.event('output', { category, output });
  }

  /** Runs a command of the line mode: the lines that it prints, and what the client is to be told afterwards. */
  async command(text: string): Promise<CommandAnswer> {
    const before = this.target.position;
    const { lines, error, changed, quit } = await this.target.command(text, this.#running.signal);
    const { branch, index } = this.target.position;
    const hasMoved = branch !== before.branch || index !== before.index;
    const news = hasMoved ? () => this.stopped() : changed ? () => this.edited() : undefined;
    if (!error) return { lines, news, quit };
    news?.();
    throw new InputError(lines.join('\n'));
  }

  /** Lines of a source file; an InputError if it is none of the image. */
  lines(source: DebugProtocol.Source): readonly SourceLineView[] {
    const file = this.sources.file(source);
    const shown = file === undefined ? undefined : this.target.view({ file, around: 'all' }).source;
    if (shown === undefined) {
      throw new InputError(`${source.path ?? source.name ?? 'this source'}: no code of the image is from this file`);
    }
    return shown.lines;
  }

  setBreakpoints(group: string, stop: StopName, wishes: readonly Wish[]): DebugProtocol.Breakpoint[] {
    return this.breakpoints.replace(group, stop, wishes);
  }

  /** A wish for a breakpoint at addresses. `find` throws an InputError if there are none. */
  wish(key: string, asked: Asked, shown: Wish['shown'], find: () => readonly bigint[]): Wish {
    const { condition = '', hitCondition } = asked;
    const add = (address: bigint): number =>
      this.target.addBreakpoint(address, condition.trim() || undefined, hitCount(hitCondition));
    return {
      key: JSON.stringify([key, condition, hitCondition]),
      shown,
      add: () => this.breakpoints.all(find().map((address) => () => add(address))),
    };
  }
}
