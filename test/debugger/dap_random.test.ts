/** Random requests with random arguments: each is answered once, with a result or one clear message, and the adapter goes on. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { REQUESTS } from '../../src/debugger/dap/requests.js';
import { asm } from '../cli/entrace.js';
import { generator } from '../support/random.js';
import { DapClient, Refused } from './dap_client.js';

const COUNT = 1500;

/** Things that fields may be; the first ones are of use. */
const NUMBERS = [0, 1, 2, 8, 12, 40, 1000, 1001, 2000, -1, -1000, 0.5, 1e9, 2 ** 53, -(2 ** 53), 1e300];
const TEXTS = [
  'nmi',
  'rdi',
  'rsp',
  'top-8 original frame SS',
  '[rsp+8]',
  'first_nmi+2',
  '0xffffffff81000000',
  '0xfffffe0000007000',
  '0xffffffffffffffff',
  '18446744073709551616',
  'depth == 2',
  'who rdi',
  'continue',
  'reverse-continue',
  'goto 3',
  'skip',
  'stacks',
  'branches',
  'delete',
  '',
  ' ',
  '{_x}',
  '\u0000\uffff',
  '(((((',
  '{"value":"rdi"}',
  '{"address":"0xfffffe0000006fd8","length":8}',
  'AAAA',
  'bp',
  'repl',
  'hover',
  'write',
];

test(`${COUNT} random requests`, async (t) => {
  const random = generator(5);
  const pick = <T>(list: readonly T[]): T => list[random() % list.length]!;
  const source = (): unknown =>
    pick([{ path: asm('linux_nmi.S') }, { path: '/no' }, { sourceReference: 1 }, {}, 7, null]);
  const value = (): unknown =>
    pick<() => unknown>([() => pick(NUMBERS), () => pick(TEXTS), () => null, () => [], () => true, () => ({})])();
  const likely: Readonly<Record<string, () => unknown>> = {
    ...Object.fromEntries(
      [
        'threadId',
        'frameId',
        'variablesReference',
        'line',
        'count',
        'offset',
        'instructionOffset',
        'instructionCount',
        'column',
        'targetId',
        'sourceReference',
        'startFrame',
        'levels',
        'bytes',
      ].map((name) => [name, () => pick(NUMBERS)]),
    ),
    ...Object.fromEntries(
      [
        'name',
        'value',
        'expression',
        'context',
        'memoryReference',
        'data',
        'text',
        'event',
        'condition',
        'hitCondition',
        'instructionReference',
        'dataId',
        'accessType',
      ].map((name) => [name, () => pick(TEXTS)]),
    ),
    source,
    asAddress: () => random() % 2 === 0,
    filters: () => pick([[], ['failure'], [7], 'failure']),
  };
  const names = Object.keys(likely);
  const some = (): Record<string, unknown> =>
    Object.fromEntries(
      names.filter(() => random() % 4 !== 0).map((name) => [name, random() % 8 === 0 ? value() : likely[name]!()]),
    );
  const commands = [...REQUESTS.keys(), 'configurationDone', 'pause', 'cancel', 'noSuch'];

  const client = new DapClient(t);
  await client.launch({ program: asm('linux_nmi.S') });
  let good = 0;
  const wrong: string[] = [];
  for (let i = 0; i < COUNT; i++) {
    const args = { ...some(), breakpoints: [some(), some()].slice(random() % 3) };
    const command = pick(commands);
    try {
      await client.request(command, args);
      good++;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      const { message } = error;
      // An error in entrace, a stack, or a message that says nothing.
      if (message === '' || /error in entrace|TypeError|RangeError| {4}at /.test(message)) {
        wrong.push(`${command} ${JSON.stringify(args)}: ${message}`);
      }
    }
    for (const { event, body } of client.events.splice(0)) {
      if (event === 'output' && /error in entrace/.test(body.output)) wrong.push(`${command}: ${body.output}`);
    }
  }
  assert.deepEqual(wrong, []);
  assert.ok(good > COUNT / 4 && good < COUNT, `${good} were taken`);
  assert.equal(client.stderr, '');
  assert.equal(await client.end(), 0);
});
