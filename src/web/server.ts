/**
 * The server of the page: HTTP for the built files, a WebSocket for everything else, on 127.0.0.1 only.
 *
 * Whoever may open a port on this machine can connect, and so can any page in the user's browser. So the session wants the token of the
 * printed link; Host must be this machine's own (a foreign name that resolves to 127.0.0.1 is DNS rebinding), and Origin the page itself.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import { InputError } from '../errors.js';
import { MAX_MESSAGE, requestSchema } from './messages.js';
import { CLOSE, type ServerMessage } from './protocol.js';
import { isForDebugger, problemOf, type Session } from './session.js';
import { readStaticFiles, type StaticFile } from './static_files.js';

const HOST = '127.0.0.1';
/** Milliseconds between two signs of life that are asked for; a page that owes one is given up. */
const HEARTBEAT = 20_000;
/** Requests that wait for others to be done. */
const MOST_WAITING = 64;
/** Bytes that a page has not taken yet: progress is left out then. */
const BACKLOG = 1 << 20;

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const HEADERS = {
  'Content-Security-Policy': POLICY,
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};

const WRONG_TOKEN = 'the token is not the one of this session: open the link that entrace serve has printed';

export interface WebServer {
  /** With the token. */
  readonly link: string;
  readonly port: number;
  close(): Promise<void>;
}

interface Client {
  readonly socket: WebSocket;
  /** Chosen by the page: the same page, reloaded, takes its own place. */
  readonly name: string;
  alive: boolean;
  waiting: number;
  queue: Promise<void>;
}

export async function startWebServer(session: Session, port = 0): Promise<WebServer> {
  const server = new Listener(session, readStaticFiles());
  return server.listen(port);
}

class Listener {
  readonly #token = randomBytes(16).toString('hex');
  readonly #http = createServer((request, response) => this.#serve(request, response));
  readonly #sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE, perMessageDeflate: false });
  #client: Client | undefined;

  constructor(
    readonly session: Session,
    readonly files: ReadonlyMap<string, StaticFile>,
  ) {
    this.#http.on('upgrade', (request, socket, head) => this.#upgrade(request, socket as Socket, head));
    this.#http.on('clientError', (_error, socket) => {
      if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
    });
    session.listen((message) => this.#send(message));
  }

  async listen(port: number): Promise<WebServer> {
    await new Promise<void>((resolve, reject) => {
      this.#http.once('error', (error: NodeJS.ErrnoException) =>
        reject(new InputError(`--port ${port}: cannot listen on ${HOST} (${error.code}); choose another port`)),
      );
      this.#http.listen(port, HOST, resolve);
    });
    const heartbeat = setInterval(() => this.#checkAlive(), HEARTBEAT);
    heartbeat.unref();
    const actual = (this.#http.address() as AddressInfo).port;
    return {
      port: actual,
      link: `http://${HOST}:${actual}/?token=${this.#token}`,
      close: async () => {
        clearInterval(heartbeat);
        this.#client?.socket.close(CLOSE.ENDED, 'entrace serve has ended');
        this.#sockets.close();
        this.session.close();
        this.#http.closeAllConnections();
        await new Promise<void>((resolve) => this.#http.close(() => resolve()));
      },
    };
  }

  // HTTP ---------------------------------------------------------------------------------------------------------------

  #serve(request: IncomingMessage, response: ServerResponse): void {
    request.resume();
    const refusal = refusedHost(request);
    const { path, token } = target(request);
    const file = this.files.get(path);
    if (refusal !== undefined) answer(response, 403, refusal);
    else if (request.method !== 'GET' && request.method !== 'HEAD') answer(response, 405, 'only GET and HEAD');
    else if (file === undefined) answer(response, 404, 'there is no such file');
    else if (path === '/' && token !== undefined && !this.#isToken(token)) answer(response, 403, WRONG_TOKEN);
    else {
      response.writeHead(200, { ...HEADERS, 'Content-Type': file.type, 'Content-Length': file.bytes.length });
      response.end(request.method === 'HEAD' ? undefined : file.bytes);
    }
  }

  #isToken(token: string): boolean {
    const given = Buffer.from(token);
    const expected = Buffer.from(this.#token);
    return given.length === expected.length && timingSafeEqual(given, expected);
  }

  // The session --------------------------------------------------------------------------------------------------------

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    socket.on('error', () => socket.destroy());
    const refusal = refusedHost(request) ?? refusedOrigin(request);
    const { path } = target(request);
    if (refusal !== undefined || path !== '/session') {
      const [status, text] =
        refusal === undefined ? ['404 Not Found', 'there is no such file'] : ['403 Forbidden', refusal];
      socket.end(
        `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
      );
      return;
    }
    this.#sockets.handleUpgrade(request, socket, head, (opened) => this.#open(request, opened));
  }

  #open(request: IncomingMessage, socket: WebSocket): void {
    // A frame that is too large or no frame at all: ws closes the connection with the code that says so.
    socket.on('error', () => undefined);
    const { token, name, takeover } = target(request);
    if (token === undefined || !this.#isToken(token)) {
      socket.close(CLOSE.TOKEN, 'the token is not the one of this session');
      return;
    }
    const other = this.#client;
    if (other !== undefined && other.name !== name && !takeover) {
      socket.close(CLOSE.OCCUPIED, 'another page has this session');
      return;
    }
    const client: Client = { socket, name, alive: true, waiting: 0, queue: Promise.resolve() };
    this.#client = client;
    other?.socket.close(CLOSE.TAKEN, 'another page has taken this session over');
    socket.on('pong', () => {
      client.alive = true;
    });
    socket.on('close', () => {
      if (this.#client === client) this.#client = undefined;
    });
    socket.on('message', (data, binary) => this.#receive(client, data, binary));
    this.#send({ type: 'session', session: this.session.view() });
  }

  #receive(client: Client, data: RawData, binary: boolean): void {
    if (this.#client !== client) return;
    client.alive = true;
    const refuse = (id: number | null, message: string): void =>
      this.#send({ type: 'error', id, problem: { message, notes: [] } });
    let value: unknown;
    try {
      if (binary) throw new Error('a binary message');
      value = JSON.parse(data.toString());
    } catch (error) {
      refuse(null, `a message is not JSON (${(error as Error).message})`);
      return;
    }
    const parsed = requestSchema.safeParse(value);
    if (!parsed.success) {
      const issue = parsed.error.issues[0]!;
      const where = issue.path.length > 0 ? `field ${issue.path.join('.')}: ` : '';
      refuse(idOf(value), `a message is not as expected: ${where}${issue.message}`);
      return;
    }
    const request = parsed.data;
    const handle = async (): Promise<void> => {
      try {
        const reply = await this.session.handle(request);
        if (this.#client === client) this.#send({ type: 'reply', id: request.id, reply });
      } catch (error) {
        if (this.#client === client) this.#send({ type: 'error', id: request.id, problem: problemOf(error) });
      }
    };
    // Verbs wait for each other, as keys that are pressed fast; nothing else waits for a verb, least of all what is to end it.
    if (!isForDebugger(request)) {
      void handle();
      return;
    }
    if (client.waiting >= MOST_WAITING) {
      refuse(request.id, 'too many requests wait; this one is dropped');
      return;
    }
    client.waiting++;
    client.queue = client.queue.then(handle).then(() => {
      client.waiting--;
    });
  }

  #send(message: ServerMessage): void {
    const socket = this.#client?.socket;
    if (socket === undefined || socket.readyState !== socket.OPEN) return;
    if (message.type === 'progress' && socket.bufferedAmount > BACKLOG) return;
    socket.send(JSON.stringify(message));
  }

  #checkAlive(): void {
    const client = this.#client;
    if (client === undefined) return;
    if (!client.alive) {
      client.socket.terminate();
      return;
    }
    client.alive = false;
    client.socket.ping();
  }
}

function idOf(value: unknown): number | null {
  const id = typeof value === 'object' && value !== null && 'id' in value ? value.id : undefined;
  return typeof id === 'number' && Number.isInteger(id) ? id : null;
}

function target(request: IncomingMessage): {
  path: string;
  token: string | undefined;
  name: string;
  takeover: boolean;
} {
  const [path = '/', query = ''] = (request.url ?? '/').split('?', 2);
  const fields = new URLSearchParams(query);
  return {
    path,
    token: fields.get('token') ?? undefined,
    name: fields.get('client') ?? randomBytes(8).toString('hex'),
    takeover: fields.get('takeover') === '1',
  };
}

/** Any port: it may be forwarded. */
function refusedHost(request: IncomingMessage): string | undefined {
  const host = request.headers.host ?? '';
  if (/^(127\.0\.0\.1|localhost)(:\d{1,5})?$/.test(host)) return undefined;
  return 'this server is for 127.0.0.1 only';
}

function refusedOrigin(request: IncomingMessage): string | undefined {
  return request.headers.origin === `http://${request.headers.host}`
    ? undefined
    : 'only its own page may use this session';
}

function answer(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { ...HEADERS, 'Content-Type': 'text/plain; charset=utf-8' });
  response.end(`${text}\n`);
}
