/** Messages that are no requests, and those that are too large: dropped and reported, and the next good one is taken. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { MAX_BODY, MessageGate } from '../../src/debugger/dap/message_gate.js';
import { generator } from '../support/random.js';
import { DapClient, framed, Refused } from './dap_client.js';

const good = (seq: number): object => ({ seq, type: 'request', command: 'threads', arguments: {} });

/** What passes the gate, by sequence number, and what is refused; the input comes in the given pieces. */
async function through(pieces: readonly Buffer[]): Promise<{ passed: number[]; refused: string[] }> {
  const refused: string[] = [];
  const gate = new MessageGate((why) => refused.push(why));
  const parts: Buffer[] = [];
  gate.on('data', (data: Buffer) => parts.push(data));
  const ended = new Promise<void>((resolve) => gate.on('end', resolve));
  for (const piece of pieces) gate.write(piece);
  gate.end();
  await ended;
  const text = Buffer.concat(parts).toString();
  return { passed: [...text.matchAll(/"seq":(\d+)/g)].map(([, seq]) => Number(seq)), refused };
}

const BAD: readonly (readonly [what: string, bytes: string, refused: RegExp])[] = [
  ['no JSON', framed('{"seq":'), /not JSON/],
  ['a number', framed('7'), /no request/],
  ['an array', framed('[]'), /no request/],
  ['deep nesting', framed('['.repeat(100_000)), /not JSON|no request/],
  ['an event', framed({ seq: 9, type: 'event', event: 'x' }), /no request/],
  ['no sequence number', framed({ type: 'request', command: 'threads' }), /seq/],
  ['a command that is no text', framed({ seq: 9, type: 'request', command: {} }), /command/],
  ['arguments that are a text', framed({ seq: 9, type: 'request', command: 'threads', arguments: 'x' }), /arguments/],
  ['bytes that are no UTF-8', framed('\ufffd\ufffd'), /not JSON/],
  ['an empty body', framed(''), /empty/],
  ['a header without a length', 'Content-Type: text\r\n\r\n', /without a Content-Length/],
  ['a length that is no number', 'Content-Length: many\r\n\r\n', /without a Content-Length/],
  ['a negative length', 'Content-Length: -5\r\n\r\n', /without a Content-Length/],
  ['a length beyond all numbers', `Content-Length: ${'9'.repeat(40)}\r\n\r\n`, /without a Content-Length/],
  ['noise', `${'x'.repeat(100_000)}\r\n\r\n`, /header of more than/],
  ['a body that is too large', framed(' '.repeat(MAX_BODY + 1)), /at most/],
];

for (const [what, bytes, reason] of BAD) {
  test(`${what} is refused, and what follows is taken`, async () => {
    const { passed, refused } = await through([Buffer.from(framed(good(1)) + bytes + framed(good(2)))]);
    assert.deepEqual(passed, [1, 2]);
    assert.equal(refused.length, 1, refused.join('; '));
    assert.match(refused[0]!, reason);
  });
}

test('however the bytes are cut, the same comes through', async () => {
  const small = BAD.filter(([, bytes]) => bytes.length < 1000);
  const all = Buffer.from(small.map(([, bytes], i) => bytes + framed(good(i + 1))).join(''));
  const whole = await through([all]);
  assert.equal(whole.passed.length, small.length);
  const random = generator(7);
  for (let round = 0; round < 50; round++) {
    const pieces: Buffer[] = [];
    for (let at = 0; at < all.length; ) {
      const length = 1 + (random() % [2, 10, 300][round % 3]!);
      pieces.push(all.subarray(at, at + length));
      at += length;
    }
    assert.deepEqual(await through(pieces), whole);
  }
});

test('the command survives them, answers each request once, and ends when its input does', async (t) => {
  const client = new DapClient(t);
  await client.request('initialize', { adapterID: 'entrace' });
  for (const [, bytes] of BAD) {
    client.write(bytes);
    await client.request('cancel', {});
  }
  assert.equal(client.events.length, BAD.length);
  await assert.rejects(client.request('threads'), new Refused('threads: nothing is launched yet'));
  await assert.rejects(client.request('noSuch'), new Refused('noSuch: there is no such request here'));
  await assert.rejects(client.request('launch', {}), /^Error: program: /);
  await assert.rejects(client.request('launch', { program: 7 }), /^Error: program: /);
  client.child.stdin!.end();
  assert.equal(await client.exit, 0);
  assert.equal(client.stderr, '');
});

test('a client that ends in the middle of a message, or is killed, leaves no process behind', async (t) => {
  const client = new DapClient(t);
  await client.request('initialize');
  client.write('Content-Length: 500\r\n\r\n{"seq":');
  client.child.stdin!.end();
  assert.equal(await client.exit, 0);
  const deaf = new DapClient(t);
  await deaf.request('initialize');
  deaf.child.stdout!.destroy();
  deaf.child.stdin!.destroy();
  assert.equal(await deaf.exit, 0);
});
