/** What gdb itself does not send: packets that are malformed or too long, clients that go, a second one. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { dirname } from 'node:path';
import test from 'node:test';
import fc from 'fast-check';
import type { Debugger } from '../../src/debugger/debugger.js';
import { PACKET_SIZE, packet } from '../../src/debugger/gdb/packets.js';
import { startGdbServer } from '../../src/debugger/gdb/start.js';
import { InputError } from '../../src/errors.js';
import { opened, rfc } from '../support/debugger.js';
import { RawClient, served } from '../support/gdb.js';
import { source } from '../support/search.js';

const debug = await rfc();

/** 600,000 transitions, no two states alike. */
const LONG = source(
  `.globl context_start, context_end
context_start:
	movl $300000, %ecx
1:	decl %ecx
	jnz 1b
context_end:
	jmp context_end
`,
  'long.S',
);
const long = (): Promise<Debugger> => opened('linux_nmi.S', { context: LONG });

/** A client that has been answered once: the server serves it, and nobody else. */
async function client(port: number): Promise<RawClient> {
  const raw = await RawClient.connect(port);
  assert.match((await raw.ask('qSupported:swbreak+')) ?? 'nothing', /PacketSize=4000;.*ReverseStep\+/);
  return raw;
}

test('packets that are malformed get an error, unknown ones an empty answer', () =>
  served(debug, async ({ port }) => {
    const raw = await client(port);
    for (const text of [
      ...['p', 'pzz', 'pffffffffffffffffffff', 'p1000', 'P', 'P0', 'P0=', 'P0=00', 'P0=zz', 'Pzz=00', 'G', 'G00'],
      ...['m', 'm0', 'm,', 'm0,', 'mzz,1', 'm0,fffffffffffffffff', 'M', 'M0', 'M0,1', 'M0,1:', 'M0,1:zz', 'M0,2:00'],
      ...['X', 'X0', 'X0,5:abc', 'H', 'Hg', 'Hg9', 'Hgzz', 'Hc9', 'T', 'T0', 'T9', 'Tzz'],
      ...['vCont;', 'vCont;x', 'vCont;s:', 'vCont;s:9', 'vCont;s:zz', 'vCont;c;;', 's1000', 'c1000', 'S', 'Czz'],
      ...['Z0', 'Z0,', 'Z0,zz,1', 'z1,0', 'Z2,0,', 'qXfer:features:read:', 'qXfer:features:read:target.xml:zz,1'],
      ...['qXfer:features:read:other.xml:0,100', 'qRcmd,z', 'qRcmd,616', 'qThreadExtraInfo,9'],
    ]) {
      assert.match((await raw.ask(text)) ?? 'nothing', /^E([0-9]{2}|\.)/, text);
    }
    for (const text of [
      ...[
        'vMustReplyEmpty',
        'vFile:open:00',
        'vRun',
        'vKill;1',
        'qZZZ',
        'q',
        'Q',
        'QNonStop:1',
        '!',
        'R00',
        'bx',
        'b',
        'Z9,0,1',
      ],
      ...['_', 'y', '\xff\xfe', '', 'Hx1', 'v', 'qXfer:auxv:read::0,100', 'qXfer:libraries:read::0,1'],
    ]) {
      assert.equal(await raw.ask(text), '', text);
    }
    assert.equal(await raw.ask('?'), 'T05thread:1;');
    await raw.leave();
  }));

test('a packet that is too long is refused, and the next one answered', () =>
  served(debug, async ({ port }) => {
    const raw = await client(port);
    assert.equal(await raw.ask(`m${'0'.repeat(2 * PACKET_SIZE)}`), 'E.the packet is longer than 0x4000 bytes');
    assert.equal(await raw.ask('qC'), 'QC1');
    // No answer is longer either.
    assert.equal((await raw.ask('mffffffff81000000,ffffffff'))!.length, 2 * 4096);
    assert.equal((await raw.ask('mffffc90000010000,ffffffff'))!.length, PACKET_SIZE);
    await raw.leave();
  }));

test('a wrong checksum is asked for again, and what gdb did not get is sent again; without acknowledgements neither', () =>
  served(debug, async ({ port }) => {
    const raw = await client(port);
    raw.write('$qC#00');
    assert.deepEqual(await raw.next(), { kind: 'nak' });
    assert.equal(await raw.ask('qC'), 'QC1');
    raw.write('-');
    assert.equal(await raw.reply(), 'QC1');
    assert.equal(await raw.ask('QStartNoAckMode'), 'OK');
    raw.write('-$qC#00');
    assert.equal(await raw.ask('qAttached'), '1');
    raw.write(packet('qC'));
    assert.equal((await raw.next())!.kind, 'packet', 'no acknowledgement');
    await raw.leave();
  }));

test('an answer is not sent again for each of many requests', () =>
  served(debug, async ({ port }) => {
    const raw = await client(port);
    raw.write('-'.repeat(50_000));
    raw.write(packet('qC'));
    let again = 0;
    while ((await raw.reply()) !== 'QC1') again++;
    assert.ok(again < 100, `${again} times`);
    await raw.leave();
  }));

test('registers by p, P and G: an edit is a branch, and what does not change is none', async () => {
  const own = await opened('linux_nmi.S');
  await served(own, async ({ port }) => {
    const raw = await client(port);
    const all = (await raw.ask('g'))!;
    assert.equal(await raw.ask(`G${all}`), 'OK');
    assert.equal(own.position.branch, 0);
    assert.equal(await raw.ask('p0'), 'a0'.repeat(8));
    assert.equal(await raw.ask(`G${'1234567800000000'}${all.slice(16)}`), 'OK');
    assert.equal(own.readRegister('rax'), 0x78563412n);
    assert.equal(own.position.branch, 1);
    assert.equal(await raw.ask('P5=0102030405060708'), 'OK');
    assert.equal(own.readRegister('rdi'), 0x0807060504030201n);
    assert.match((await raw.ask(`P18=${'00'.repeat(10)}`))!, /^E\.the machine has no st0$/);
    await raw.leave();
  });
});

test('memory up to where something is mapped; M and X write it', async () => {
  const own = await opened('linux_nmi.S');
  await served(own, async ({ port }) => {
    const raw = await client(port);
    const rsp = own.readRegister('rsp');
    const top = (own.image.resolve('thread_stack_top') ?? rsp).toString(16);
    assert.equal(await raw.ask(`m${(BigInt(`0x${top}`) - 4n).toString(16)},4`), '00000000');
    assert.equal(await raw.ask('m0,8'), 'E0e');
    assert.equal(await raw.ask('mffffffffffffffff,8'), 'E0e');
    const at = (rsp - 8n).toString(16);
    assert.equal(await raw.ask(`M${at},3:010203`), 'OK');
    assert.equal(await raw.ask(`m${at},4`), '01020300');
    assert.equal(await raw.ask(`X${at},0:`), 'OK', 'gdb asks like this whether X is known');
    assert.equal(await raw.ask(Buffer.from(`X${at},3:}$#`, 'latin1')), 'OK');
    assert.equal(await raw.ask(`m${at},4`), '7d242300');
    assert.match((await raw.ask('M0,1:00'))!, /^E\.0x0: nothing is mapped there/);
    await raw.leave();
  });
});

test('^C ends what runs, also when it comes in one piece with it', async () => {
  const own = await long();
  await served(own, async ({ port }) => {
    const raw = await client(port);
    raw.write(Buffer.concat([packet('vCont;c'), Buffer.of(3)]));
    assert.equal(await raw.reply(), 'T02thread:1;');
    const { index } = own.position;
    raw.write(packet('vCont;c'));
    // The acknowledgement shows that it has begun.
    assert.equal((await raw.next())!.kind, 'ack');
    raw.write(Uint8Array.of(3));
    assert.equal(await raw.reply(), 'T02thread:1;');
    assert.ok(own.position.index > index);
    raw.write(Uint8Array.of(3, 3));
    assert.equal(await raw.ask('vCont;s'), 'T05thread:1;', 'while nothing runs it means nothing');
    await raw.leave();
  });
});

test('a client that goes while something runs, or in the middle of a packet, leaves the paths as they are', async () => {
  const own = await long();
  await served(own, async ({ port }) => {
    const first = await client(port);
    assert.equal(await first.ask('Z0,ffffffff81000000,1'), 'OK');
    first.write(packet('vCont;c'));
    assert.equal((await first.next())!.kind, 'ack');
    await first.leave();
    // The next one waits until that has ended.
    const second = await client(port);
    assert.equal(own.busy, false);
    assert.deepEqual(own.view().breakpoints, [], "gdb's breakpoints go with it");
    const { index } = own.position;
    assert.ok(index > 0);
    second.write('$M0,10');
    await second.leave();
    const third = await client(port);
    assert.equal(own.position.index, index);
    assert.equal(await third.ask('bs'), 'T05thread:1;');
    assert.equal(own.position.index, index - 1);
    assert.equal(await third.ask('D'), 'OK');
    await third.closed;
    const fourth = await client(port);
    fourth.write(packet('k'));
    await fourth.closed;
    await (await client(port)).leave();
  });
});

test('a page in a browser that sends packets in a request is cut off; gdb is served as before', async () => {
  const own = await rfc();
  await served(own, async ({ port }) => {
    const { index } = own.position;
    const body = Buffer.concat([packet('bs'), packet(`qRcmd,${Buffer.from('name stolen').toString('hex')}`)]);
    await assert.rejects(fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body }));
    await (await client(port)).leave();
    assert.equal(own.position.index, index);
    assert.notEqual(own.view().position.branchName, 'stolen');
  });
});

test('a second client is told so, while the first is served', () =>
  served(debug, async ({ port }) => {
    const first = await client(port);
    const second = await RawClient.connect(port);
    assert.equal(await second.ask('qC'), 'E.another gdb is connected: entrace serves one at a time');
    await second.closed;
    assert.equal(await first.ask('qC'), 'QC1');
    await first.leave();
    await (await client(port)).leave();
  }));

test('a client that reads late gets every answer, in order', () =>
  served(debug, async ({ port }) => {
    const raw = await client(port);
    const image = Buffer.from(debug.readMemory(0xffffffff81000000n, 4096)!).toString('hex');
    raw.socket.pause();
    const starts = Array.from({ length: 600 }, (_, i) => i % 256);
    for (const start of starts) raw.write(packet(`m${(0xffffffff81000000n + BigInt(start)).toString(16)},e00`));
    raw.socket.resume();
    for (const start of starts) assert.equal(await raw.reply(), image.slice(2 * start, 2 * (start + 0xe00)));
    await raw.leave();
  }));

test('any packets at all: each gets one answer, and the paths can still be walked', async () => {
  const own = await opened('linux_nmi.S');
  const letters = fc.constantFrom(...'?gGpPmMXHTsScCbvZzqQDkR!');
  const bodies = fc.oneof(
    fc.string({ maxLength: 40 }),
    fc.constantFrom(
      '0,1',
      'ffffffff81000000,8',
      'Cont;s:1',
      'Cont;c',
      'c',
      's',
      'g1',
      'c-1',
      '0=00',
      'Rcmd,6e6d69',
      '0,0,1',
    ),
  );
  const packets = fc.array(fc.tuple(letters, bodies), { minLength: 1, maxLength: 20 });
  await served(own, async ({ port }) => {
    await fc.assert(
      fc.asyncProperty(packets, async (list) => {
        let raw = await client(port);
        for (const [letter, body] of list) {
          const reply = await raw.ask(Buffer.from(`${letter}${body}`));
          if (reply === undefined) {
            assert.match(letter, /[Dk]/);
            raw = await client(port);
          }
          if (letter === 'D') {
            await raw.closed;
            raw = await client(port);
          }
        }
        await raw.leave();
      }),
      { numRuns: 60 },
    );
  });
  own.go(0, 0);
  assert.equal(own.view().position.index, 0);
});

test('only 127.0.0.1 is listened on', () =>
  served(debug, async ({ port }) => {
    const others = Object.values(networkInterfaces())
      .flat()
      .flatMap((i) => (i && i.address !== '127.0.0.1' && i.family === 'IPv4' ? [i.address] : []));
    for (const address of [...others, '127.0.0.2']) {
      const outcome = await new Promise<string>((resolve) => {
        const socket = connect(port, address, () => {
          socket.destroy();
          resolve('connected');
        });
        socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
      });
      assert.notEqual(outcome, 'connected', address);
    }
  }));

test('a port that is in use is bad input; the files are removed at the end', async () => {
  let directory = '';
  await served(debug, async (server) => {
    directory = dirname(server.commands);
    assert.ok(existsSync(server.commands) && existsSync(server.symbols));
    await assert.rejects(startGdbServer(debug, server.port), (error) => {
      assert.ok(error instanceof InputError);
      return /^--port \d+: cannot be listened on \(EADDRINUSE\); choose another, or leave it out$/.test(error.message);
    });
  });
  assert.equal(existsSync(directory), false);
});

test('monitor quit ends the server', async () => {
  const server = await startGdbServer(debug, 0);
  const raw = await client(server.port);
  assert.equal(await raw.ask(`qRcmd,${Buffer.from('quit').toString('hex')}`), 'OK');
  await Promise.all([server.ended, raw.closed]);
});

test('an error in the debugger itself ends the server and says so; clients that are being refused do not hold it', async () => {
  const own = await opened('linux_nmi.S');
  await assert.rejects(
    served(own, async ({ port, ended }) => {
      const raw = await client(port);
      const refused = await RawClient.connect(port);
      own.step = () => Promise.reject(new TypeError('broken'));
      raw.write(packet('vCont;s'));
      await Promise.race([ended, raw.closed]);
      await Promise.all([raw.closed, refused.closed]);
    }),
    /broken/,
  );
});
