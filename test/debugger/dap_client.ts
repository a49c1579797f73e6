/** A client of the Debug Adapter Protocol for tests: frames of its own over the real command's standard input and output. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { TestContext } from 'node:test';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { directory, MAIN } from '../cli/entrace.js';

type Message = DebugProtocol.Response & DebugProtocol.Event;

/** What an error response says. */
export class Refused extends Error {}

export function framed(message: string | object): string {
  const text = typeof message === 'string' ? message : JSON.stringify(message);
  return `Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`;
}

export class DapClient {
  readonly child: ChildProcess;
  /** Events that nobody has waited for yet. */
  readonly events: DebugProtocol.Event[] = [];
  readonly exit: Promise<number | null>;
  stderr = '';
  #seq = 0;
  #input = Buffer.alloc(0);
  #hasExited = false;
  readonly #answers = new Map<number, (message: Message) => void>();
  #wake: (() => void)[] = [];

  /** The adapter ends with the test, however that does. */
  constructor(t: TestContext) {
    const env = { ...process.env, NODE_OPTIONS: '' };
    this.child = spawn(process.execPath, [MAIN, 'dap'], { cwd: directory, env, stdio: 'pipe' });
    t.after(() => this.child.kill('SIGKILL'));
    this.child.stdout!.on('data', (data: Buffer) => this.#take(data));
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    // A test may write to an adapter that has ended.
    this.child.stdin!.on('error', () => undefined);
    this.exit = new Promise((resolve) => {
      this.child.on('close', (status) => {
        this.#hasExited = true;
        this.#changed();
        resolve(status);
      });
    });
  }

  /** The sequence number of the last request. */
  get lastSeq(): number {
    return this.#seq;
  }

  #changed(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }

  #take(data: Buffer): void {
    this.#input = Buffer.concat([this.#input, data]);
    for (;;) {
      const end = this.#input.indexOf('\r\n\r\n');
      if (end < 0) return;
      const length = Number(/^Content-Length: (\d+)$/.exec(this.#input.toString('latin1', 0, end))?.[1]);
      if (!Number.isInteger(length)) throw new Error(`bad header: ${this.#input.toString('latin1', 0, end)}`);
      if (this.#input.length < end + 4 + length) return;
      const message = JSON.parse(this.#input.toString('utf8', end + 4, end + 4 + length)) as Message;
      this.#input = this.#input.subarray(end + 4 + length);
      if (message.type === 'response') {
        this.#answers.get(message.request_seq)?.(message);
        this.#answers.delete(message.request_seq);
      } else this.events.push(message);
      this.#changed();
    }
  }

  write(text: string | Buffer): void {
    this.child.stdin!.write(text);
  }

  /** Rejects with Refused for an error response, and if the adapter ends before it answers. */
  async request<T = Record<string, unknown>>(command: string, args?: object): Promise<T> {
    const seq = ++this.#seq;
    const answer = new Promise<Message>((resolve) => this.#answers.set(seq, resolve));
    this.write(framed({ seq, type: 'request', command, ...(args ? { arguments: args } : {}) }));
    const message = await Promise.race([answer, this.exit.then((status) => `ended with status ${status}`)]);
    if (typeof message === 'string') throw new Error(`${command}: the adapter ${message}; ${this.stderr}`);
    if (!message.success) throw new Refused(message.message);
    return message.body as T;
  }

  /** The next event of a name; those before it are forgotten. */
  async event(name: string): Promise<DebugProtocol.Event['body']> {
    for (;;) {
      for (let event = this.events.shift(); event; event = this.events.shift()) {
        if (event.event === name) return event.body;
      }
      if (this.#hasExited) throw new Error(`event ${name}: the adapter has ended; ${this.stderr}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  async stopped(): Promise<DebugProtocol.StoppedEvent['body']> {
    return (await this.event('stopped')) as DebugProtocol.StoppedEvent['body'];
  }

  /** A request that makes something run, up to the stop. */
  async run(command: string, args: object = { threadId: 1 }): Promise<DebugProtocol.StoppedEvent['body']> {
    await this.request(command, args);
    return this.stopped();
  }

  /** Launches and configures; where it stops first. `before` sets breakpoints. */
  async launch(args: object, before?: () => Promise<unknown>): Promise<DebugProtocol.StoppedEvent['body']> {
    await this.request('initialize', { adapterID: 'entrace', supportsInvalidatedEvent: true });
    await this.request('launch', args);
    await this.event('initialized');
    await before?.();
    return this.run('configurationDone', {});
  }

  /** What the debug console answers. */
  async type(expression: string): Promise<string> {
    return (await this.request<{ result: string }>('evaluate', { expression, context: 'repl' })).result;
  }

  async frames(threadId = 1): Promise<DebugProtocol.StackFrame[]> {
    return (await this.request<{ stackFrames: DebugProtocol.StackFrame[] }>('stackTrace', { threadId })).stackFrames;
  }

  async variables(variablesReference: number): Promise<DebugProtocol.Variable[]> {
    return (await this.request<{ variables: DebugProtocol.Variable[] }>('variables', { variablesReference })).variables;
  }

  /** The number of a scope of a frame. */
  async scope(name: string, frameId: number): Promise<number> {
    const { scopes } = await this.request<{ scopes: DebugProtocol.Scope[] }>('scopes', { frameId });
    const scope = scopes.find((s) => s.name === name);
    if (scope === undefined) throw new Error(`no scope ${name} among ${scopes.map((s) => s.name).join(', ')}`);
    return scope.variablesReference;
  }

  async end(): Promise<number | null> {
    await this.request('disconnect');
    return this.exit;
  }
}
