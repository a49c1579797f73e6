/** gdb in tests: the real one, and a client that sends what gdb does not. */
import { spawn, spawnSync } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import type { Debugger } from '../../src/debugger/debugger.js';
import { PacketReader, packet, type Received } from '../../src/debugger/gdb/packets.js';
import { type StartedGdbServer, startGdbServer } from '../../src/debugger/gdb/start.js';

export const gdbMissing =
  spawnSync('gdb', ['--version']).status === 0
    ? undefined
    : 'gdb is not installed: nothing speaks its protocol as it does';

/** What gdb prints, both streams as they come, when it has run these commands. */
export function gdb(args: readonly string[], commands: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const each = commands.flatMap((command) => ['-ex', command]);
    const child = spawn('gdb', ['-nx', '-batch', ...args, ...each], { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (part) => (text += part));
    child.on('error', reject);
    child.on('close', () => resolve(text));
  });
}

/** Serves a debugger while `body` runs. */
export async function served(debug: Debugger, body: (server: StartedGdbServer) => Promise<void>): Promise<void> {
  const server = await startGdbServer(debug, 0);
  try {
    await body(server);
  } finally {
    server.close();
    await server.ended;
  }
}

/** gdb on a debugger, with the command file or without; what it prints. */
export async function session(debug: Debugger, commands: readonly string[], plain = false): Promise<string> {
  let text = '';
  await served(debug, async (server) => {
    const first = plain ? ['-ex', `target remote 127.0.0.1:${server.port}`] : ['-x', server.commands];
    text = await gdb(first, commands);
  });
  return text;
}

/** A client that sends packets one by one. */
export class RawClient {
  readonly #received: Received[] = [];
  #wake: () => void = () => undefined;
  #isClosed = false;
  readonly closed: Promise<void>;

  private constructor(readonly socket: Socket) {
    const reader = new PacketReader();
    socket.on('data', (bytes) => {
      this.#received.push(...reader.push(bytes as Buffer));
      this.#wake();
    });
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#isClosed = true;
        this.#wake();
        resolve();
      });
    });
  }

  static connect(port: number): Promise<RawClient> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => resolve(new RawClient(socket)));
      socket.on('error', reject);
    });
  }

  write(bytes: string | Uint8Array): void {
    this.socket.write(bytes);
  }

  /** The next thing that comes; undefined at the end of the connection. */
  async next(): Promise<Received | undefined> {
    while (this.#received.length === 0) {
      if (this.#isClosed) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#received.shift();
  }

  /** The data of the next packet that is no output, acknowledgements passed over. */
  async reply(): Promise<string | undefined> {
    for (;;) {
      const received = await this.next();
      if (received === undefined) return undefined;
      if (received.kind !== 'packet') continue;
      const text = received.data.toString('latin1');
      if (!/^O([0-9a-f]{2})+$/.test(text)) return text;
    }
  }

  ask(data: string | Uint8Array): Promise<string | undefined> {
    this.write(packet(data));
    return this.reply();
  }

  /** Ends the connection, in whatever it was doing. */
  async leave(): Promise<void> {
    this.socket.destroy();
    await this.closed;
  }
}
