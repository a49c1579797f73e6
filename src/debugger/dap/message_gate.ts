/**
 * What stands before the library's reader: it buffers whatever is announced and ends the session at the first message that
 * is no JSON. Here only whole requests of a bounded size pass; anything else is dropped and reported.
 *
 * Framing (Debug Adapter Protocol, "Base Protocol"): header lines, one of them `Content-Length: BYTES`, an empty line,
 * the body; line ends are CR LF.
 */
import { Transform, type TransformCallback } from 'node:stream';
import { z } from 'zod';

/** Bytes of a body. The largest that is of use carries a page of the memory view in base64. */
export const MAX_BODY = 4 << 20;
/** Bytes of a header block. */
const MAX_HEADER = 4096;
const HEADER_END = '\r\n\r\n';

const message = z.looseObject({
  seq: z.int(),
  type: z.literal('request'),
  command: z.string().min(1).max(200),
  arguments: z.record(z.string(), z.unknown()).nullish(),
});

export class MessageGate extends Transform {
  /** What of a header block has come in. */
  #header = Buffer.alloc(0);
  /** The parts of the body that have come in; undefined between bodies, and while one is passed over. */
  #body: Buffer[] | undefined;
  /** Bytes of the body that are still to come. */
  #left = 0;
  /** One report is enough until framing is found again. */
  #isLost = false;

  /** `refused` is told, in one line, why something was dropped. */
  constructor(readonly refused: (why: string) => void) {
    super();
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    for (let rest = chunk; rest.length > 0; ) rest = this.#left > 0 ? this.#takeBody(rest) : this.#takeHeader(rest);
    callback();
  }

  /** Returns what is not part of the body. */
  #takeBody(bytes: Buffer): Buffer {
    const part = bytes.subarray(0, this.#left);
    this.#left -= part.length;
    this.#body?.push(part);
    if (this.#left === 0 && this.#body) {
      this.#pass(Buffer.concat(this.#body));
      this.#body = undefined;
    }
    return bytes.subarray(part.length);
  }

  /** Returns what is not part of the header block. */
  #takeHeader(bytes: Buffer): Buffer {
    const known = this.#header.length;
    const all = Buffer.concat([this.#header, bytes.subarray(0, MAX_HEADER)]);
    const end = all.indexOf(HEADER_END);
    if (end < 0) {
      const isTooLong = all.length > MAX_HEADER;
      if (isTooLong) this.#lose('a header of more than 4096 bytes');
      // The end of a header, and the line with the length, may straddle two chunks.
      this.#header = isTooLong ? all.subarray(-64) : all;
      return bytes.subarray(all.length - known);
    }
    this.#header = Buffer.alloc(0);
    const used = Math.max(0, end + HEADER_END.length - known);
    const [, digits] = /Content-Length: *(\d{1,15})\r?$/im.exec(all.toString('latin1', 0, end)) ?? [];
    if (digits === undefined) this.#lose('a message without a Content-Length');
    else this.#expect(Number(digits));
    return bytes.subarray(used);
  }

  #expect(length: number): void {
    this.#isLost = false;
    this.#left = length;
    this.#body = length > MAX_BODY ? undefined : [];
    if (length > MAX_BODY) this.refused(`a message of ${length} bytes; at most ${MAX_BODY} are taken`);
    if (length === 0) this.refused('an empty message');
  }

  #lose(why: string): void {
    if (!this.#isLost) this.refused(why);
    this.#isLost = true;
  }

  #pass(body: Buffer): void {
    let value: unknown;
    try {
      value = JSON.parse(body.toString('utf8'));
    } catch (error) {
      this.refused(`a message that is not JSON (${(error as Error).message.slice(0, 100)})`);
      return;
    }
    const parsed = message.safeParse(value);
    if (!parsed.success) {
      const issue = parsed.error.issues[0]!;
      this.refused(`a message that is no request (${[...issue.path, issue.message].join(': ')})`);
      return;
    }
    // The library reads some fields of the arguments before anybody asks whether there are any.
    const json = Buffer.from(JSON.stringify({ ...parsed.data, arguments: parsed.data.arguments ?? {} }));
    this.push(`Content-Length: ${json.length}${HEADER_END}`);
    this.push(json);
  }
}
