/** The connection to the server: requests with their replies, what it tells by itself, and why it ended. */
import type { Reply, Request, ServerMessage } from '../../src/web/protocol';

/** As CLOSE of src/web/protocol.ts, whose values the page must not import: they come with what the server needs. */
const CLOSE: Readonly<Record<number, Status>> = { 4403: 'token', 4409: 'occupied', 4410: 'taken', 4411: 'ended' };

export type Status = 'connecting' | 'open' | 'lost' | 'token' | 'occupied' | 'taken' | 'ended';

type WithoutId<T> = T extends { id: number } ? Omit<T, 'id'> : never;
export type Ask = WithoutId<Request>;

/** Milliseconds until a lost connection is tried again. */
const AGAIN = 1000;

export class Refusal extends Error {
  constructor(
    message: string,
    readonly notes: readonly string[],
  ) {
    super(message);
  }
}

/** The token of the link; it leaves the address bar, and stays with this tab. */
function tokenOfTab(): string {
  const given = new URLSearchParams(location.search).get('token');
  if (given !== null) {
    sessionStorage.setItem('token', given);
    history.replaceState(null, '', location.pathname);
  }
  return given ?? sessionStorage.getItem('token') ?? '';
}

/** A page that is loaded again is the same one; a copy of its tab is not. */
function nameOfPage(): string {
  const [navigation] = performance.getEntriesByType('navigation') as PerformanceNavigationTiming[];
  const known = navigation?.type === 'reload' ? sessionStorage.getItem('client') : null;
  const name = known ?? crypto.randomUUID();
  sessionStorage.setItem('client', name);
  return name;
}

export class Connection {
  readonly #token = tokenOfTab();
  readonly #name = nameOfPage();
  readonly #waiting = new Map<number, { resolve: (reply: Reply) => void; reject: (error: Refusal) => void }>();
  #socket: WebSocket | undefined;
  #next = 1;

  constructor(
    readonly onMessage: (message: ServerMessage) => void,
    readonly onStatus: (status: Status) => void,
  ) {
    this.connect(false);
  }

  /** `takeover`: another page loses the session. */
  connect(takeover: boolean): void {
    this.onStatus('connecting');
    const query = new URLSearchParams({
      token: this.#token,
      client: this.#name,
      ...(takeover ? { takeover: '1' } : {}),
    });
    const socket = new WebSocket(`ws://${location.host}/session?${query}`);
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data) as ServerMessage);
    socket.onclose = ({ code }) => {
      for (const { reject } of this.#waiting.values()) reject(new Refusal('the connection is lost', []));
      this.#waiting.clear();
      const status = CLOSE[code] ?? 'lost';
      this.onStatus(status);
      if (status === 'lost') setTimeout(() => this.connect(false), AGAIN);
    };
  }

  /** Rejects with a Refusal. */
  ask(request: Ask): Promise<Reply> {
    const socket = this.#socket;
    if (socket?.readyState !== WebSocket.OPEN) return Promise.reject(new Refusal('not connected', []));
    const id = this.#next++;
    socket.send(JSON.stringify({ ...request, id }));
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  #receive(message: ServerMessage): void {
    if (message.type === 'session') this.onStatus('open');
    if (message.type === 'reply') {
      this.#waiting.get(message.id)?.resolve(message.reply);
      this.#waiting.delete(message.id);
      return;
    }
    if (message.type === 'error' && message.id !== null) {
      this.#waiting.get(message.id)?.reject(new Refusal(message.problem.message, message.problem.notes));
      this.#waiting.delete(message.id);
      return;
    }
    this.onMessage(message);
  }
}
