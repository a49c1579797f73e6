/**
 * The packets of gdb's remote serial protocol, out of bytes and into bytes: `$data#checksum`, escapes, acknowledgements, ^C.
 *
 * Source: GDB manual, appendix "GDB Remote Serial Protocol": Overview, Interrupts.
 */

/** The most bytes that a packet's data may have, on the wire; told to gdb as PacketSize. */
export const PACKET_SIZE = 0x4000;

const DOLLAR = 0x24;
const HASH = 0x23;
const ESCAPE = 0x7d;
const ASTERISK = 0x2a;
const PLUS = 0x2b;
const MINUS = 0x2d;
const CTRL_C = 0x03;
/** What an escaped byte is XORed with. */
const ESCAPED = 0x20;

/** What has come in. A packet's data is without escapes. */
export type Received =
  | { readonly kind: 'packet'; readonly data: Buffer }
  /** A packet whose checksum is wrong: gdb sends it again when it gets a `-`. */
  | { readonly kind: 'corrupt' }
  /** A packet longer than PACKET_SIZE, of which nothing was kept. */
  | { readonly kind: 'oversized' }
  | { readonly kind: 'ack' | 'nak' | 'interrupt' };

/** Takes bytes as they come, in pieces of any size. Keeps at most one packet. */
export class PacketReader {
  readonly #data = Buffer.alloc(PACKET_SIZE);
  #length = 0;
  #sum = 0;
  /** Behind `#`: the first digit, once it is there. */
  #digit: number | undefined;
  #state: 'between' | 'data' | 'escape' | 'checksum' = 'between';

  *push(bytes: Uint8Array): Generator<Received> {
    for (const byte of bytes) {
      if (this.#state === 'between') {
        if (byte === DOLLAR) this.#begin();
        else if (byte === PLUS) yield { kind: 'ack' };
        else if (byte === MINUS) yield { kind: 'nak' };
        else if (byte === CTRL_C) yield { kind: 'interrupt' };
        // Other bytes between packets are noise of the line.
      } else if (this.#state === 'checksum') {
        if (this.#digit === undefined) this.#digit = byte;
        else yield this.#finish(this.#digit, byte);
      } else if (byte === DOLLAR && this.#state === 'data') {
        // The end of a packet got lost: this one begins anew.
        this.#begin();
      } else if (byte === HASH && this.#state === 'data') {
        this.#state = 'checksum';
      } else {
        this.#sum = (this.#sum + byte) & 0xff;
        if (byte === ESCAPE && this.#state === 'data') this.#state = 'escape';
        else this.#keep(this.#state === 'escape' ? byte ^ ESCAPED : byte);
      }
    }
  }

  #begin(): void {
    this.#length = 0;
    this.#sum = 0;
    this.#digit = undefined;
    this.#state = 'data';
  }

  /** Counts on where there is no room left. */
  #keep(byte: number): void {
    this.#state = 'data';
    if (this.#length < PACKET_SIZE) this.#data[this.#length] = byte;
    if (this.#length <= PACKET_SIZE) this.#length++;
  }

  #finish(high: number, low: number): Received {
    this.#state = 'between';
    if (this.#length > PACKET_SIZE) return { kind: 'oversized' };
    const digits = String.fromCharCode(high, low);
    if (!/^[0-9a-f]{2}$/i.test(digits) || Number.parseInt(digits, 16) !== this.#sum) return { kind: 'corrupt' };
    return { kind: 'packet', data: Buffer.from(this.#data.subarray(0, this.#length)) };
  }
}

/** A packet with this data; text has one byte for each character. */
export function packet(data: string | Uint8Array): Buffer {
  const bytes = typeof data === 'string' ? Buffer.from(data, 'latin1') : data;
  // Each byte may need an escape; the rest is `$`, `#` and two digits.
  const out = Buffer.alloc(2 * bytes.length + 4);
  let length = 0;
  let sum = 0;
  const add = (byte: number): void => {
    out[length++] = byte;
    sum += byte;
  };
  out[length++] = DOLLAR;
  for (const byte of bytes) {
    const isSpecial = byte === DOLLAR || byte === HASH || byte === ESCAPE || byte === ASTERISK;
    if (isSpecial) add(ESCAPE);
    add(isSpecial ? byte ^ ESCAPED : byte);
  }
  length += out.write(`#${(sum & 0xff).toString(16).padStart(2, '0')}`, length);
  return out.subarray(0, length);
}

/** Text as bytes in hexadecimal. */
export function hexText(text: string): string {
  return Buffer.from(text).toString('hex');
}

/** Bytes in hexadecimal, two digits each; undefined if it is something else. */
export function fromHex(text: string): Buffer | undefined {
  return /^([0-9a-f]{2})*$/i.test(text) ? Buffer.from(text, 'hex') : undefined;
}

/** A number in hexadecimal, up to 64 bits; undefined if it is something else. */
export function hexNumber(text: string | undefined): bigint | undefined {
  return text !== undefined && /^[0-9a-f]{1,16}$/i.test(text) ? BigInt(`0x${text}`) : undefined;
}
