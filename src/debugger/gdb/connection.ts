/** One client of the server: bytes to packets, one answered after the other. */
import type { Socket } from 'node:net';
import { PACKET_SIZE, PacketReader, packet } from './packets.js';
import { type Answer, GdbSession, type SessionOptions } from './session.js';

/** Packets that may wait. gdb waits for each answer: who sends more has to wait until there is room. */
const MOST_WAITING = 16;

/** What gdb may say first: an acknowledgement, a packet, ^C. */
const FIRST = Buffer.from('+-$\x03');

/** Bytes of text in one packet: two digits each. */
const TEXT_SIZE = PACKET_SIZE / 2 - 8;

export class GdbConnection {
  readonly #reader = new PacketReader();
  readonly #session: GdbSession;
  readonly #waiting: (Buffer | 'oversized')[] = [];
  #isBusy = false;
  #acknowledges = true;
  #last: Buffer | undefined;
  #settle: (end: 'detach' | 'quit') => void = () => undefined;
  #fail: (error: unknown) => void = () => undefined;
  #end: 'detach' | 'quit' = 'detach';
  #isClosed = false;
  /** Nothing has come yet. */
  #isNew = true;

  /** When the client is gone, and nothing of it runs any more. */
  readonly ended = new Promise<'detach' | 'quit'>((resolve, reject) => {
    this.#settle = resolve;
    this.#fail = reject;
  });

  constructor(
    private readonly socket: Socket,
    options: Omit<SessionOptions, 'output'>,
  ) {
    this.#session = new GdbSession({ ...options, output: (text) => this.#print(text) });
    socket.on('data', (bytes) => this.#receive(bytes as Buffer));
    socket.on('drain', () => void this.#work());
    // A connection that breaks also closes.
    socket.on('error', () => undefined);
    socket.on('close', () => this.#closed());
  }

  /** The client's side is closed, whatever of it still runs. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  #closed(): void {
    this.#isClosed = true;
    this.#waiting.length = 0;
    this.#session.close();
    if (!this.#isBusy) this.#settle(this.#end);
  }

  #receive(bytes: Buffer): void {
    // Any page in the user's browser can send a request with packets in it here; it begins with the name of a method.
    if (this.#isNew && bytes.length > 0 && !FIRST.includes(bytes[0]!)) {
      this.socket.destroy();
      return;
    }
    this.#isNew = false;
    let isLost = false;
    for (const received of this.#reader.push(bytes)) {
      if (received.kind === 'interrupt') this.#session.interrupt(this.#waiting.length > 0);
      else if (received.kind === 'nak') isLost = true;
      else if (received.kind === 'corrupt' && this.#acknowledges) this.#write(Buffer.from('-'));
      else if (received.kind === 'packet' || received.kind === 'oversized') {
        if (this.#acknowledges) this.#write(Buffer.from('+'));
        this.#waiting.push(received.kind === 'packet' ? received.data : 'oversized');
      }
    }
    // Once, however often it is asked for: an answer is longer than the question.
    if (isLost && this.#last && this.#acknowledges) this.#write(this.#last);
    if (this.#waiting.length >= MOST_WAITING || this.socket.writableNeedDrain) this.socket.pause();
    void this.#work();
  }

  /** Answers what waits, unless that is being done, or the client does not read its answers. */
  async #work(): Promise<void> {
    if (this.#isBusy) return;
    this.#isBusy = true;
    try {
      for (;;) {
        if (this.#isClosed || this.socket.writableNeedDrain) break;
        const next = this.#waiting.shift();
        if (next === undefined) break;
        this.#carryOut(next === 'oversized' ? TOO_LONG : await this.#session.answer(next));
      }
      if (!this.#isClosed && !this.socket.writableNeedDrain) this.socket.resume();
    } catch (error) {
      this.#fail(error);
      this.socket.destroy();
    } finally {
      this.#isBusy = false;
    }
    if (this.#isClosed) {
      this.#session.close();
      this.#settle(this.#end);
    }
  }

  #carryOut({ reply, noAck, end }: Answer): void {
    if (reply !== undefined) this.#send(reply);
    if (noAck) this.#acknowledges = false;
    if (end === undefined) return;
    this.#end = end;
    this.#waiting.length = 0;
    // gdb may not look at the connection before its next command.
    this.socket.destroySoon();
  }

  #print(text: string): void {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += TEXT_SIZE) {
      this.#send(`O${bytes.toString('hex', at, at + TEXT_SIZE)}`);
    }
  }

  #send(data: string): void {
    this.#last = packet(data);
    this.#write(this.#last);
  }

  #write(bytes: Buffer): void {
    if (!this.#isClosed && this.socket.writable) this.socket.write(bytes);
  }
}

const TOO_LONG: Answer = { reply: `E.the packet is longer than 0x${PACKET_SIZE.toString(16)} bytes` };
