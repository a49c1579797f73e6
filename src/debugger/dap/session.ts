/**
 * The protocol's session: one request after the other, each with one answer; `pause`, `cancel` and `disconnect` do not wait
 * for those before them.
 */
import { Readable } from 'node:stream';
import { DebugSession, Event, Response } from '@vscode/debugadapter';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { InputError } from '../../errors.js';
import { Adapter, type Client } from './adapter.js';
import { launchArguments, openLaunched } from './launch.js';
import { MessageGate } from './message_gate.js';
import { checked, REQUESTS } from './requests.js';

/** Requests that may wait while one takes its time. */
const MAX_WAITING = 1000;

const CAPABILITIES: DebugProtocol.Capabilities = {
  supportsConfigurationDoneRequest: true,
  supportsFunctionBreakpoints: true,
  supportsConditionalBreakpoints: true,
  supportsHitConditionalBreakpoints: true,
  supportsInstructionBreakpoints: true,
  supportsDataBreakpoints: true,
  supportsDataBreakpointBytes: true,
  supportsBreakpointLocationsRequest: true,
  supportsExceptionInfoRequest: true,
  supportsEvaluateForHovers: true,
  supportsStepBack: true,
  supportsSteppingGranularity: true,
  supportsGotoTargetsRequest: true,
  supportsSetVariable: true,
  supportsCompletionsRequest: true,
  supportsReadMemoryRequest: true,
  supportsWriteMemoryRequest: true,
  supportsDisassembleRequest: true,
  supportsLoadedSourcesRequest: true,
  supportsCancelRequest: true,
  exceptionBreakpointFilters: [
    {
      filter: 'failure',
      label: 'A property breaks',
      default: true,
      description: 'Stops where a path breaks a property',
    },
  ],
};

export class DapSession extends DebugSession {
  #adapter: Adapter | undefined;
  #stopOnEntry = true;
  #knowsInvalidated = false;
  #isConfigured = false;
  /** The end of the queue. */
  #last: Promise<void> = Promise.resolve();
  /** Requests that wait, or are being worked on, in their order; and whether they are to be interrupted. */
  readonly #waiting = new Map<DebugProtocol.Request, { isInterrupted: boolean }>();
  #hasEnded = false;
  readonly #end: () => void;
  /** When the client has gone, or has said that it will. */
  readonly ended: Promise<void>;

  constructor() {
    super();
    this.setDebuggerLinesStartAt1(true);
    this.setDebuggerColumnsStartAt1(true);
    let end = (): void => undefined;
    this.ended = new Promise((resolve) => {
      end = resolve;
    });
    this.#end = end;
  }

  /** Speaks with a client. */
  override start(input: NodeJS.ReadableStream, output: NodeJS.WritableStream): void {
    const gate = new MessageGate((why) => this.#say(`refused: ${why}\n`));
    super.start(input.pipe(gate), output);
    // The library waits for a `close`, which a pipe that ends need not have.
    input.on('end', () => this.shutdown()).on('error', () => this.shutdown());
    if (input instanceof Readable) this.ended.then(() => input.destroy());
  }

  override shutdown(): void {
    this.#hasEnded = true;
    this.#adapter?.interrupt();
    this.#end();
  }

  protected override dispatchRequest(request: DebugProtocol.Request): void {
    switch (request.command) {
      case 'initialize':
        // The library keeps how the client counts.
        request.arguments = { pathFormat: 'path', ...request.arguments };
        super.dispatchRequest(request);
        return;
      case 'disconnect':
        this.sendResponse(new Response(request));
        this.#quit();
        return;
      case 'pause':
        this.#interrupt(() => true);
        this.sendResponse(new Response(request));
        return;
      case 'cancel':
        this.#interrupt(({ seq }) => seq === request.arguments.requestId);
        this.sendResponse(new Response(request));
        return;
    }
    if (this.#waiting.size >= MAX_WAITING) {
      this.#refuse(request, 'too many requests are waiting');
      return;
    }
    this.#waiting.set(request, { isInterrupted: false });
    this.#last = this.#last.then(() => this.#answer(request)).finally(() => this.#waiting.delete(request));
  }

  /** What these requests run ends at once, whether it has begun yet or not. */
  #interrupt(which: (request: DebugProtocol.Request) => boolean): void {
    const [current] = this.#waiting.keys();
    for (const [request, state] of this.#waiting) if (which(request)) state.isInterrupted = true;
    if (current && which(current)) this.#adapter?.interrupt();
  }

  protected override initializeRequest(
    response: DebugProtocol.InitializeResponse,
    args: DebugProtocol.InitializeRequestArguments,
  ): void {
    this.#knowsInvalidated = args.supportsInvalidatedEvent === true;
    response.body = CAPABILITIES;
    this.sendResponse(response);
  }

  async #answer(request: DebugProtocol.Request): Promise<void> {
    if (this.#hasEnded) return;
    this.#adapter?.begin();
    if (this.#waiting.get(request)!.isInterrupted) this.#adapter?.interrupt();
    let hasAnswered = false;
    try {
      const { body, afterwards } = await this.#handle(request);
      const response: DebugProtocol.Response = new Response(request);
      if (body !== undefined) response.body = body;
      this.sendResponse(response);
      hasAnswered = true;
      await afterwards?.();
    } catch (error) {
      const text = error instanceof InputError ? [error.message, ...error.notes].join('\n') : bug(error);
      if (hasAnswered) this.#say(`${text}\n`);
      else this.#refuse(request, text);
    }
  }

  #handle(
    request: DebugProtocol.Request,
  ): Promise<{ body?: object | undefined; afterwards?: () => void | Promise<void> }> {
    if (request.command === 'launch') return this.#launch(request.arguments);
    const handler = REQUESTS.get(request.command);
    if (request.command !== 'configurationDone' && !handler) {
      throw new InputError(`${request.command}: there is no such request here`);
    }
    const adapter = this.#adapter;
    if (!adapter) throw new InputError(`${request.command}: nothing is launched yet`);
    return handler ? handler.answer(adapter, request.arguments) : this.#begin(adapter);
  }

  async #launch(args: unknown): Promise<{ afterwards: () => void }> {
    if (this.#adapter) throw new InputError('launch: something is launched already');
    const launch = checked(launchArguments, args);
    this.#adapter = new Adapter(await openLaunched(launch), this.#client());
    this.#stopOnEntry = launch.stopOnEntry;
    // From now on breakpoints can be set.
    return { afterwards: () => this.sendEvent(new Event('initialized')) };
  }

  /** All breakpoints are set. */
  async #begin(adapter: Adapter): Promise<{ afterwards?: () => void | Promise<void> }> {
    if (this.#isConfigured) return {};
    this.#isConfigured = true;
    if (this.#stopOnEntry) return { afterwards: () => adapter.stopped() };
    return { afterwards: () => adapter.run((target, signal) => adapter.goOn((s) => target.continue(s), signal)) };
  }

  #client(): Client {
    return {
      event: (name, body) => {
        if (!this.#hasEnded) this.sendEvent(new Event(name, body));
      },
      knowsInvalidated: this.#knowsInvalidated,
      lineTo: (line) => this.convertDebuggerLineToClient(line),
      lineFrom: (line) => this.convertClientLineToDebugger(line),
      columnTo: (column) => this.convertDebuggerColumnToClient(column),
      columnFrom: (column) => this.convertClientColumnToDebugger(column),
      quit: () => this.#quit(),
    };
  }

  #quit(): void {
    if (!this.#hasEnded) this.sendEvent(new Event('terminated'));
    this.shutdown();
  }

  #say(output: string): void {
    this.sendEvent(new Event('output', { category: 'stderr', output }));
  }

  #refuse(request: DebugProtocol.Request, text: string): void {
    // The library puts variables where braces are, and these the message may have of its own.
    this.sendErrorResponse(new Response(request), 1, '{_text}', { _text: text });
  }
}

function bug(error: unknown): string {
  return `an error in entrace itself, not in the code under test: ${error instanceof Error ? error.message : String(error)}`;
}
