/**
 * A client of the GDB remote serial protocol, as far as QEMU's stub needs it: packets, single steps, monitor commands.
 * One request is under way at a time, except for the interrupt that stops a running target.
 */
import { connect, type Socket } from 'node:net';
import { InputError } from '../src/errors.js';

/** Byte that stops a running target. */
const INTERRUPT = '\x03';

function packet(text: string): string {
  let sum = 0;
  for (let i = 0; i < text.length; i++) sum = (sum + text.charCodeAt(i)) & 0xff;
  return `$${text}#${sum.toString(16).padStart(2, '0')}`;
}

/** A 64-bit value as the protocol writes registers: 8 bytes, least significant first, in hex. */
export function littleEndian(value: bigint, bytes = 8): string {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt.asUintN(64, value));
  return buffer.toString('hex', 0, bytes);
}

export class GdbClient {
  readonly #socket: Socket;
  #received = '';
  readonly #packets: string[] = [];
  #waiting: { resolve: (packet: string) => void; reject: (error: Error) => void } | undefined;
  #failure: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => this.#receive(text));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new InputError('QEMU ended before the comparison did')));
  }

  /** Connects to the stub that listens on the Unix socket `path`. */
  static async connect(path: string): Promise<GdbClient> {
    const socket = connect(path);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    const client = new GdbClient(socket);
    await client.request('QStartNoAckMode');
    // The last packet that is acknowledged.
    socket.write('+');
    // QEMU writes single registers only for clients that have asked for their description.
    await client.request('qXfer:features:read:target.xml:0,ffb');
    return client;
  }

  #receive(text: string): void {
    this.#received += text;
    for (;;) {
      const start = this.#received.indexOf('$');
      const end = this.#received.indexOf('#', start + 1);
      if (start < 0 || end < 0 || this.#received.length < end + 3) return;
      const content = this.#received.slice(start + 1, end);
      this.#received = this.#received.slice(end + 3);
      const waiting = this.#waiting;
      if (waiting) {
        this.#waiting = undefined;
        waiting.resolve(content);
      } else {
        this.#packets.push(content);
      }
    }
  }

  #fail(error: Error): void {
    this.#failure = error;
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }

  #next(): Promise<string> {
    const first = this.#packets.shift();
    if (first !== undefined) return Promise.resolve(first);
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  /** Sends a packet and returns the reply; for `s` and `c` that is the stop reply. */
  request(text: string): Promise<string> {
    this.#socket.write(packet(text), 'latin1');
    return this.#next();
  }

  /** The same where the reply has to be OK. */
  async command(text: string): Promise<void> {
    const reply = await this.request(text);
    if (reply !== 'OK') throw new Error(`QEMU's gdb stub answered '${reply}' to ${text}`);
  }

  /** Stops the target while the reply to `s` or `c` is awaited: that reply then says so. */
  interrupt(): void {
    this.#socket.write(INTERRUPT, 'latin1');
  }

  /** Runs a command of QEMU's monitor and returns what it prints. */
  async monitor(command: string): Promise<string> {
    let output = '';
    let reply = await this.request(`qRcmd,${Buffer.from(command).toString('hex')}`);
    while (reply !== 'OK') {
      if (!reply.startsWith('O')) throw new Error(`QEMU's gdb stub answered '${reply}' to the command ${command}`);
      output += Buffer.from(reply.slice(1), 'hex').toString();
      reply = await this.#next();
    }
    return output;
  }

  close(): void {
    this.#socket.removeAllListeners('close');
    this.#socket.destroy();
  }
}
