/** A page without a browser: what the server is asked, and what it says. */
import type { ClientOptions } from 'ws';
import { WebSocket } from 'ws';
import type { ServerMessage, SessionView } from '../../src/web/protocol.js';
import { startWebServer, type WebServer } from '../../src/web/server.js';
import { Session } from '../../src/web/session.js';
import { Workspace } from '../../src/web/workspace.js';

export async function serve(file?: string): Promise<WebServer> {
  return startWebServer(new Session(await Workspace.create(file)));
}

export interface Opening {
  readonly token?: string;
  readonly name?: string;
  /** By default it takes the session over. */
  readonly takeover?: boolean;
  readonly headers?: Record<string, string>;
  readonly origin?: string;
}

export function tokenOf({ link }: WebServer): string {
  return new URL(link).searchParams.get('token')!;
}

export class Client {
  readonly received: ServerMessage[] = [];
  closed: { readonly code: number; readonly reason: string } | undefined;
  readonly #listeners = new Set<() => void>();
  #next = 1;

  private constructor(readonly socket: WebSocket) {
    socket.on('message', (data) => {
      this.received.push(JSON.parse(data.toString()));
      this.#changed();
    });
    socket.on('error', () => undefined);
    socket.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() };
      this.#changed();
    });
  }

  /** Connects as the page does; does not wait for anything. */
  static connect(server: WebServer, opening: Opening = {}): Client {
    const { token = tokenOf(server), name = 'one', takeover = true, headers = {} } = opening;
    const { origin = `http://127.0.0.1:${server.port}` } = opening;
    const query = new URLSearchParams({ token, client: name, ...(takeover ? { takeover: '1' } : {}) });
    const options: ClientOptions = { headers, ...(origin === '' ? {} : { origin }) };
    return new Client(new WebSocket(`ws://127.0.0.1:${server.port}/session?${query}`, options));
  }

  /** Connected, with the session as it then was. */
  static async open(server: WebServer, opening: Opening = {}): Promise<[Client, SessionView]> {
    const client = Client.connect(server, opening);
    const { session } = await client.until('session');
    return [client, session];
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Resolves when `test` gives something. */
  async wait<T>(test: () => T | undefined): Promise<T> {
    return new Promise((resolve) => {
      const listener = (): void => {
        const found = test();
        if (found === undefined) return;
        this.#listeners.delete(listener);
        resolve(found);
      };
      this.#listeners.add(listener);
      listener();
    });
  }

  /** The first message of a type, among those from number `from` on, that passes the test. */
  until<T extends ServerMessage['type']>(
    type: T,
    test: (message: Extract<ServerMessage, { type: T }>) => boolean = () => true,
    from = 0,
  ): Promise<Extract<ServerMessage, { type: T }>> {
    return this.wait(() => {
      if (this.closed) throw new Error(`closed: ${this.closed.code} ${this.closed.reason}`);
      return this.received
        .slice(from)
        .find((m): m is Extract<ServerMessage, { type: T }> => m.type === type && test(m as never));
    });
  }

  send(request: object): number {
    const id = this.#next++;
    this.socket.send(JSON.stringify({ ...request, id }));
    return id;
  }

  /** The reply to a request, or the message of its refusal. */
  async ask(request: object): Promise<{ reply?: unknown; refused?: string }> {
    const id = this.send(request);
    const answer = await this.wait(() =>
      this.received.find((m) => (m.type === 'reply' || m.type === 'error') && m.id === id),
    );
    return answer.type === 'reply'
      ? { reply: answer.reply }
      : { refused: (answer as { problem: { message: string } }).problem.message };
  }

  /** How the connection was closed; rejects if something is said instead. */
  async end(): Promise<{ readonly code: number; readonly reason: string }> {
    const from = this.received.length;
    const said = await this.wait(() => this.closed ?? this.received[from]);
    if ('type' in said) throw new Error(`not closed, but told: ${said.type}`);
    return said;
  }
}
