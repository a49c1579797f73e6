/** The packets of the remote protocol, out of bytes and into bytes. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { PACKET_SIZE, PacketReader, packet, type Received } from '../../src/debugger/gdb/packets.js';

function read(...pieces: readonly (string | Uint8Array)[]): Received[] {
  const reader = new PacketReader();
  return pieces.flatMap((piece) => [...reader.push(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)]);
}

const texts = (received: readonly Received[]): string[] =>
  received.map((r) => (r.kind === 'packet' ? r.data.toString('latin1') : `(${r.kind})`));

test("the manual's own examples: checksum, escapes", () => {
  assert.equal(packet('OK').toString(), '$OK#9a');
  assert.equal(packet('').toString(), '$#00');
  assert.deepEqual([...packet(Uint8Array.of(0x7d, 0x23, 0x24, 0x2a))].slice(1, -3), [
    ...[0x7d, 0x5d, 0x7d, 0x03, 0x7d, 0x04, 0x7d, 0x0a],
  ]);
  assert.deepEqual(texts(read('+$g#67\x03-$m0,4#fd')), ['(ack)', 'g', '(interrupt)', '(nak)', 'm0,4']);
});

test('a wrong checksum, none at all, and noise between packets', () => {
  assert.deepEqual(texts(read('$g#68$g#zz$g#6')), ['(corrupt)', '(corrupt)']);
  assert.deepEqual(texts(read('noise#00$g#67}#')), ['g']);
  assert.deepEqual(texts(read('$lost its end$g#67')), ['g'], 'a packet begins at each $');
});

test('a packet that is too long is counted, not kept; the next one is read', () => {
  const long = packet('x'.repeat(PACKET_SIZE + 1));
  assert.deepEqual(texts(read(long, '$g#67')), ['(oversized)', 'g']);
  const longest = 'x'.repeat(PACKET_SIZE);
  assert.deepEqual(texts(read(packet(longest))), [longest]);
  const reader = new PacketReader();
  for (const _ of reader.push(Buffer.from('$'))) assert.fail();
  for (let i = 0; i < 100; i++) for (const _ of reader.push(Buffer.alloc(65536, 'x'))) assert.fail();
  assert.deepEqual(texts([...reader.push(Buffer.from('#00'))]), ['(oversized)']);
});

const bytes = fc.uint8Array({ maxLength: 300 });

/** The same bytes in pieces that end anywhere. */
function cut(whole: Uint8Array, cuts: readonly number[]): Uint8Array[] {
  const at = [0, ...cuts.map((c) => c % (whole.length + 1)).sort((a, b) => a - b), whole.length];
  return at.slice(1).map((end, i) => whole.subarray(at[i], end));
}

test('what is packed is read again, in whatever pieces it comes', () => {
  fc.assert(
    fc.property(fc.array(bytes, { maxLength: 5 }), fc.array(fc.nat(), { maxLength: 8 }), (list, cuts) => {
      const received = read(...cut(Buffer.concat(list.map(packet)), cuts));
      assert.deepEqual(
        received.map((r) => (r.kind === 'packet' ? [...r.data] : r.kind)),
        list.map((data) => [...data]),
      );
    }),
    { numRuns: 500 },
  );
});

test('any bytes are read, alike in whatever pieces; a good packet behind them is found', () => {
  const special = fc.constantFrom(...Buffer.from('$#}*+-\x030aZ'));
  const noise = fc.array(fc.oneof(special, fc.nat(255)), { maxLength: 200 }).map((list) => Uint8Array.from(list));
  fc.assert(
    fc.property(noise, fc.array(fc.nat(), { maxLength: 8 }), (garbage, cuts) => {
      const whole = read(garbage);
      assert.deepEqual(read(...cut(garbage, cuts)), whole);
      // An escape or a checksum that is begun takes two bytes more.
      const after = read(garbage, 'xx$OK#9a');
      assert.equal(texts(after).at(-1), 'OK');
      assert.deepEqual(after.slice(0, whole.length), whole);
    }),
    { numRuns: 2000 },
  );
});
