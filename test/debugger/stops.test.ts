/** Breakpoints and watchpoints, in both directions. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Debugger } from '../../src/debugger/debugger.js';
import { addressOf } from '../../src/hooks/triggers.js';
import { opened, printed, rfc, where } from '../support/debugger.js';

const at = (debug: Debugger, text: string): bigint => addressOf(debug.image, text);

/** Where continue stops, until something else than a stop point does. */
async function stops(debug: Debugger, direction: 1 | -1): Promise<string[]> {
  const list: string[] = [];
  for (;;) {
    const { reason, number } = direction > 0 ? await debug.continue() : await debug.reverseContinue();
    if (reason === 'failure') continue;
    if (number === undefined) return list;
    list.push(`${number} ${where(debug)}`);
  }
}

test('a breakpoint stops each time that its boundary is reached, forwards and backwards', async () => {
  const debug = await rfc();
  const number = debug.addBreakpoint(at(debug, 'do_nmi+1'));
  assert.deepEqual(await stops(debug, 1), ['1 51 NMI 1 do_nmi+1', '1 139 NMI 1 do_nmi+1']);
  assert.deepEqual(await stops(debug, -1), ['1 139 NMI 1 do_nmi+1', '1 51 NMI 1 do_nmi+1']);
  assert.equal(debug.view().breakpoints[0]!.hits, 4);
  debug.enableBreakpoint(number, false);
  assert.deepEqual(await stops(debug, 1), []);
  debug.enableBreakpoint(number, true);
  debug.deleteBreakpoint(number);
  assert.deepEqual(await stops(debug, -1), []);
  assert.throws(() => debug.deleteBreakpoint(number), { message: /^there is no breakpoint or watchpoint 1/ });
});

test('a condition, and the n-th hit', async () => {
  const debug = await rfc();
  debug.addBreakpoint(at(debug, 'do_nmi+0'), 'hit == 2 && latch == 0');
  debug.addBreakpoint(at(debug, 'do_nmi+0'), undefined, 3);
  assert.deepEqual(await stops(debug, 1), ['1 50 NMI 1 do_nmi+0', '2 138 NMI 1 do_nmi+0']);
  assert.throws(() => debug.addBreakpoint(0n, 'rdx =='), {
    message: "'rdx ==': expected a number, a name or a bracket at the end",
  });
});

test('a condition that cannot be told stops', async () => {
  const debug = await rfc();
  debug.addBreakpoint(at(debug, 'do_nmi+1'), '[0x10] == 1');
  assert.equal((await stops(debug, 1)).length, 2);
});

test('a watchpoint on memory: who writes the word that says "executing", and who reads it', async () => {
  const debug = await rfc();
  const executing = 0xfffffe0000006fc8n;
  debug.addWatchpoint({ kind: 'write', address: executing, length: 8 });
  const written = await stops(debug, 1);
  assert.deepEqual(
    written.map((text) => text.split(' ').slice(-1)[0]),
    ['first_nmi+1', 'irq_return+0', 'repeat_nmi+1', 'irq_return+0'],
  );
  const back = await stops(debug, -1);
  assert.deepEqual(
    back.map((text) => text.split(' ').slice(-1)[0]),
    ['nmi_restore+16', 'repeat_nmi+0', 'nmi_restore+16', 'first_nmi+0'],
  );
  debug.deleteBreakpoint(1);
  debug.addWatchpoint({ kind: 'read', address: executing, length: 4 });
  assert.deepEqual(
    (await stops(debug, 1)).map((text) => text.split(' ').slice(-1)[0]),
    ['nmi+2', 'nmi+2'],
  );
});

test('the frame that a delivery pushes, and that a return reads, are accesses too', async () => {
  const debug = await rfc();
  debug.addWatchpoint({ kind: 'write', address: 0xfffffe0000006fd8n, length: 1 });
  assert.deepEqual(await stops(debug, 1), ['1 1 NMI 1 nmi+0', '1 85 NMI 2 nmi+0']);
  debug.deleteBreakpoint(1);
  debug.go(0);
  // The copied frame's RIP: written by pushes, read by the IRETQ.
  debug.addWatchpoint({ kind: 'access', address: 0xfffffe0000006f78n, length: 8 });
  const places = (await stops(debug, 1)).map((text) => text.split(' ').slice(-1)[0]);
  assert.ok(places.includes('repeat_nmi+0'), places.join());
});

test('a write of one byte beside the watched one is none to it', async () => {
  const debug = await rfc();
  debug.addWatchpoint({ kind: 'write', address: 0xfffffe0000006fc8n - 1n, length: 1 });
  debug.addWatchpoint({ kind: 'write', address: 0xfffffe0000006fc8n + 7n, length: 1 });
  const places = await stops(debug, 1);
  assert.ok(places.some((text) => text.startsWith('2 ')));
  assert.ok(!places.some((text) => text.startsWith('1 ') && text.endsWith('irq_return+0')));
});

test('registers, MSRs, the latch, flags and any expression can be watched for a change', async () => {
  const debug = await opened('linux_nmi.S', { context: 'user' });
  debug.fire('nmi');
  debug.go(0);
  debug.addChangeWatchpoint('gs_base');
  debug.addChangeWatchpoint('latch');
  debug.addChangeWatchpoint('cpl', 'IF == 0');
  const list = await stops(debug, 1);
  assert.ok(
    list.some((text) => text.startsWith('1 ')),
    'SWAPGS changes GS_BASE',
  );
  assert.match(list[0]!, /^2 1 NMI 1 nmi\+0$/);
  const { breakpoints } = debug.view();
  assert.deepEqual(
    breakpoints.map(({ text }) => text),
    ['watch gs_base', 'watch latch', 'watch cpl if IF == 0'],
  );
  assert.ok(breakpoints[2]!.hits >= 1);
});

test('the commands that set them read what people write', async () => {
  const debug = await rfc();
  assert.equal(await printed(debug, 'break nested_nmi+6 hit 2 if rdi != 0'), '1  break nested_nmi+6 hit 2 if rdi != 0');
  assert.equal(await printed(debug, 'break'), '2  break context_start+0');
  assert.equal(await printed(debug, 'watch [rsp-8]'), '3  watch 0xffffc90000011ff8, 8 bytes');
  assert.equal(await printed(debug, 'awatch dword[0xfffffe0000006fc8]'), '4  awatch 0xfffffe0000006fc8, 4 bytes');
  assert.equal(await printed(debug, 'watch rdi + 1'), '5  watch rdi + 1');
  assert.equal(
    (await debug.command('rwatch rdi')).lines[0],
    'rdi: only accesses to memory can be watched in this way; write [ADDRESS] or a variable',
  );
  assert.equal((await debug.command('break nosuch')).error, true);
  assert.equal((await debug.command('break 0x10')).lines[0], 'break 0x10: there is no code at 0x10');
  assert.equal(
    (await debug.command('delete 77')).lines[0],
    "there is no breakpoint or watchpoint 77; 'breakpoints' lists them",
  );
  assert.equal(await printed(debug, 'delete'), 'no breakpoints and no watchpoints');
});
