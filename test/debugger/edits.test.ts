/** Edits begin branches; branches are saved as path files. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { openDebugger } from '../../src/debugger/open.js';
import { InputError } from '../../src/errors.js';
import { addressOf } from '../../src/hooks/triggers.js';
import { opened, printed, rfc, where } from '../support/debugger.js';
import { directory } from '../support/search.js';

const SETTINGS = { platform: 'linux', profile: 'intel', knobs: {}, context: 'kernel', sources: {}, code: {} };

test('an edit begins a branch, and the other one stays as it was', async () => {
  const debug = await rfc();
  debug.go(50);
  debug.writeRegister('rdi', 5n);
  assert.deepEqual(debug.position, { branch: 1, index: 51 });
  assert.equal(debug.readRegister('rdi'), 5n);
  assert.match(debug.view().branches[1]!.forkAction, /^edit rdi = 0x5$/);
  await debug.reverseStep();
  assert.equal(debug.readRegister('rdi'), 0xfffffe0000006ef8n);
  await debug.step();
  assert.equal(debug.readRegister('rdi'), 5n);
  debug.go(51, 0);
  assert.equal(debug.readRegister('rdi'), 0xfffffe0000006ef8n);
});

test("what an edit breaks is the edit's fault", async () => {
  const debug = await rfc();
  debug.go(84);
  debug.skip();
  await debug.until({ kind: 'boundary', address: debug.image.resolve('irq_return')! });
  debug.writeRegister('rdi', 0x1234n);
  await debug.continue();
  const [failure] = debug.view().failures;
  assert.deepEqual([failure!.property, failure!.cause!.what], ['context', 'is an edit: rdi = 0x1234']);
  debug.go(50, 0);
  await printed(debug, 'set [rdi + 112] = 0x99');
  await debug.continue();
  assert.match(await printed(debug, 'failures'), /which is an edit: \[0xfffffe0000006f68\], 8 bytes/);
});

test('memory, byte by byte; a smaller operand leaves the rest alone', async () => {
  const debug = await rfc();
  debug.go(50);
  const before = debug.memory(debug.readRegister('rsp'), 8)!;
  await printed(debug, 'set word[rsp + 2] = 0xabcd');
  assert.equal(debug.memory(debug.readRegister('rsp'), 8), (before & ~0xffff0000n) | 0xabcd0000n);
  await debug.reverseStep();
  assert.equal(debug.memory(debug.readRegister('rsp'), 8), before);
});

test('what cannot be edited is refused, and changes nothing', async () => {
  const debug = await rfc();
  debug.go(50);
  const before = where(debug);
  for (const [command, message] of [
    ['set [rip] = 0x90', /is code; change its source and open it anew$/],
    ['set [0x10] = 1', /^0x10: nothing is mapped there$/],
    ['set events = 1', /is no register of the processor/],
    ['set cr3 = 0x123000', /CR3/],
    ['set nosuch = 1', /there is no register, flag or symbol 'nosuch'/],
    ['set rdi', /^set rdi: expected set REGISTER = VALUE/],
    ['set rdi + 1 = 5', /neither a register nor memory/],
  ] as const) {
    const result = await debug.command(command);
    assert.ok(result.error, command);
    assert.match(result.lines[0]!, message);
    assert.equal(where(debug), before);
    assert.equal(debug.view().branches.length, 1, command);
  }
  assert.throws(() => debug.writeRegister('rdi', 1n << 64n), InputError);
  assert.throws(() => debug.writeRegister('rdi', 1n, 3), { message: 'there is no CPU 3; there are 1, from 0' });
});

test('a branch that is saved opens again, and its events fire where they did', async () => {
  const debug = await rfc();
  debug.go(60);
  debug.fire('mc');
  await debug.continue();
  const file = join(directory, 'branch.json');
  assert.match(await printed(debug, `save ${file}`), /: nmi at context_start\+0, bp at do_nmi\+0, mc at do_nmi\+10$/);
  assert.equal(JSON.parse(readFileSync(file, 'utf8')).path.length, 3);
  // A path file may be written anew; nothing else may.
  await printed(debug, `save ${file}`);
  const other = join(directory, 'precious');
  writeFileSync(other, 'kept');
  assert.match(
    (await debug.command(`save ${other}`)).lines[0]!,
    /precious: is there already, and is no path file; name another file$/,
  );
  assert.match((await debug.command(`save ${directory}`)).lines[0]!, /is there already, and is no path file/);
  assert.equal(readFileSync(other, 'utf8'), 'kept');
  const again = await openDebugger([file], SETTINGS);
  const events = (d: typeof debug): string =>
    d
      .view()
      .branches.at(-1)!
      .events.map((e) => `${e.index} ${e.event}`)
      .join();
  assert.equal(events(again), events(debug));
});

test('a path file holds no edits', async () => {
  const debug = await rfc();
  debug.go(50);
  debug.writeRegister('rdi', 5n);
  await debug.step();
  const { error, lines } = await debug.command(`save ${join(directory, 'edited.json')}`);
  assert.ok(error);
  assert.match(lines[0]!, /branch 1 has edits, which a path file cannot hold$/);
  assert.equal((await debug.command('save /nonexistent/x.json')).error, true);
});

test('the registers of SMM, of another processor and of the debug facility are registers like others', async () => {
  const debug = await opened('linux_nmi.S');
  debug.writeRegister('dr0', 0xffffffff81000000n);
  debug.writeRegister('kernel_gs_base', 0x1000n);
  assert.equal(debug.readRegister('dr0'), 0xffffffff81000000n);
  assert.equal(debug.view().registers.find(({ name }) => name === 'kernel_gs_base')!.value, '0x1000');
});

test('a context that has come to its end goes on where another RIP is set', async () => {
  const debug = await opened('linux_nmi.S');
  await debug.continue();
  const end = debug.position.index;
  debug.writeRegister('rip', addressOf(debug.image, 'context_start'));
  assert.equal((await debug.step(2)).reason, 'step');
  await debug.reverseStep(2);
  assert.equal((await debug.continue()).reason, 'end');
  assert.equal(where(debug), `${2 * end + 1} context context_end+0`);
});
