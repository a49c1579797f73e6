/** The server: who gets in, what it takes, and that a session outlives its page. */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { connect } from 'node:net';
import test, { after } from 'node:test';
import { InputError } from '../../src/errors.js';
import { CLOSE } from '../../src/web/protocol.js';
import { startWebServer } from '../../src/web/server.js';
import { Session } from '../../src/web/session.js';
import { readStaticFiles } from '../../src/web/static_files.js';
import { Workspace } from '../../src/web/workspace.js';
import { Client, serve, tokenOf } from './client.js';

const server = await serve();
after(() => server.close());

interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly text: string;
}

/** A request whose path and headers are sent as they are. */
function get(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: '127.0.0.1', port: server.port, path, headers, method }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, text }));
    });
    asked.on('error', reject);
    asked.end();
  });
}

test('the link has a token of 128 bits, and opens the page', async () => {
  assert.match(server.link, /^http:\/\/127\.0\.0\.1:\d+\/\?token=[0-9a-f]{32}$/);
  const { status, headers, text } = await get(`/?token=${tokenOf(server)}`);
  assert.equal(status, 200);
  assert.match(text, /<div id="page">/);
  assert.equal(headers['cache-control'], 'no-store');
  assert.equal(headers['x-content-type-options'], 'nosniff');
  assert.equal(headers['referrer-policy'], 'no-referrer');
  const policy = String(headers['content-security-policy']);
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe|http|\*/);
});

test('all that the page loads comes from the server itself', () => {
  const files = readStaticFiles();
  const page = files.get('/')!.bytes.toString();
  const loaded = [...page.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, url]) => url!.replace(/^\.?\//, '/'));
  assert.ok(loaded.length >= 3);
  for (const url of loaded) assert.ok(files.has(url), url);
  for (const [name, { bytes }] of files) {
    if (name.endsWith('.css')) assert.doesNotMatch(bytes.toString(), /url\(|@import/, name);
  }
});

test('a wrong token: no page, no session', async () => {
  const wrong = '0'.repeat(32);
  for (const token of [wrong, '', 'short', `${tokenOf(server)}0`]) {
    const { status, text } = await get(`/?token=${token}`);
    assert.equal(status, 403, token);
    assert.match(text, /open the link that entrace serve has printed/);
    const client = Client.connect(server, { token });
    assert.equal((await client.end()).code, CLOSE.TOKEN);
    assert.deepEqual(client.received, [], 'it hears nothing');
  }
});

test('a foreign Host is refused, for files and for the session', async () => {
  for (const host of ['evil.example', `evil.example:${server.port}`, '127.0.0.1.evil.example']) {
    assert.equal((await get('/', { host })).status, 403, host);
    const client = Client.connect(server, { headers: { host }, origin: `http://${host}` });
    assert.equal((await client.end()).code, 1006, host);
    assert.deepEqual(client.received, []);
  }
  assert.equal((await get('/', { host: 'localhost:1234' })).status, 200, 'a forwarded port');
});

test('a foreign Origin is refused, and so is none', async () => {
  const origins = [
    'http://evil.example',
    `https://127.0.0.1:${server.port}`,
    `http://127.0.0.1:${server.port + 1}`,
    'null',
    '',
  ];
  for (const origin of origins) {
    const client = Client.connect(server, { origin });
    assert.equal((await client.end()).code, 1006, origin);
    assert.deepEqual(client.received, [], origin);
  }
});

test('only what was built is served, whatever the path says', async () => {
  const paths = [
    '/../package.json',
    '/..%2fpackage.json',
    '/assets/../../package.json',
    '//etc/passwd',
    '/assets',
    '/index.html',
    '/%',
  ];
  for (const path of paths) assert.equal((await get(path)).status, 404, path);
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS'])
    assert.equal((await get('/', {}, method)).status, 405, method);
  assert.equal((await get('/', {}, 'HEAD')).text, '');
});

test('what is no HTTP is answered and dropped', async () => {
  const socket = connect(server.port, '127.0.0.1');
  socket.write('\x00\x01\x02 nonsense\r\n\r\n');
  let text = '';
  for await (const chunk of socket) text += chunk;
  assert.match(text, /^HTTP\/1\.1 400 /);
});

test('malformed messages: one clear error each, and the connection lives on', async () => {
  const [client] = await Client.open(server);
  const messages: readonly (readonly [string | Buffer, RegExp])[] = [
    ['{', /not JSON/],
    ['null', /not as expected/],
    ['[]', /not as expected/],
    ['{"type":"none","id":1001}', /field type: Invalid/],
    ['{"type":"explore"}', /field id/],
    ['{"type":"explore","id":-1}', /field id/],
    ['{"type":"explore","id":1001,"more":1}', /Unrecognized key: "more"/],
    ['{"type":"verb","id":1001,"verb":"constructor"}', /field verb/],
    ['{"type":"axis","id":1001,"address":"0x1; drop","event":"nmi"}', /field address/],
    ['{"type":"go","id":1001,"index":1e9999}', /field index/],
    [Buffer.from([1, 2, 3]), /not JSON/],
  ];
  for (const [message, expected] of messages) {
    const before = client.received.length;
    client.socket.send(message);
    const { problem } = await client.until('error', () => true, before);
    assert.match(problem.message, expected, String(message));
    assert.doesNotMatch(problem.message, /\n| {4}at /);
  }
  assert.deepEqual(await client.ask({ type: 'stop' }), { reply: null });
  client.socket.close();
});

test('what cannot be done is refused with its reason', async () => {
  const [client] = await Client.open(server);
  const refused = async (asked: object): Promise<string> => (await client.ask(asked)).refused ?? 'was not refused';
  assert.match(await refused({ type: 'axis', address: '0x1', event: 'nmi' }), /explore first/);
  assert.match(await refused({ type: 'verb', verb: 'step' }), /the debugger is not open/);
  assert.match(await refused({ type: 'choose', file: '/etc/passwd' }), /not among the files/);
  assert.match(await refused({ type: 'edit', file: '/etc/passwd', text: '' }), /not in the editor/);
  client.socket.close();
});

test('an oversized message closes the connection with a reason, and the session is there for the next', async () => {
  const [client, { editor }] = await Client.open(server);
  await client.ask({ type: 'edit', file: editor.file, text: 'kept' });
  client.send({ type: 'edit', file: editor.file, text: ' '.repeat(4 * 2 ** 20 + 1) });
  assert.equal((await client.end()).code, 1009);
  const [again, session] = await Client.open(server);
  assert.equal(session.editor.text, 'kept');
  await again.ask({ type: 'revert' });
  again.socket.close();
});

test('a second page is refused unless it takes the session over; the first one hears why', async () => {
  const [first] = await Client.open(server, { name: 'first' });
  const second = Client.connect(server, { name: 'second', takeover: false });
  assert.equal((await second.end()).code, CLOSE.OCCUPIED);
  assert.equal(first.closed, undefined);
  assert.deepEqual(await first.ask({ type: 'stop' }), { reply: null }, 'the first one is not disturbed');
  const [third] = await Client.open(server, { name: 'second', takeover: true });
  assert.equal((await first.end()).code, CLOSE.TAKEN);
  assert.deepEqual(await third.ask({ type: 'stop' }), { reply: null });
  // Reloaded: the same page again, before the server has noticed that it is gone.
  const [fourth] = await Client.open(server, { name: 'second', takeover: false });
  assert.deepEqual(await fourth.ask({ type: 'stop' }), { reply: null });
  fourth.socket.close();
});

test('a page that is killed finds text, settings, result and debugger as they were', async () => {
  const [client, { editor, settings }] = await Client.open(server);
  const chosen = { ...settings, events: 'nmi=1', properties: 'context' };
  await client.ask({ type: 'edit', file: editor.file, text: `${editor.text}\n/* typed */\n` });
  await client.ask({ type: 'settings', settings: chosen });
  await client.ask({ type: 'explore' });
  const { search } = await client.until('search', (m) => m.search.state === 'done');
  assert.equal(search.verdict, 'holds');
  await client.ask({ type: 'debug' });
  await client.ask({ type: 'verb', verb: 'step', count: 3 });
  await client.ask({ type: 'fire', event: 'nmi' });
  await client.ask({ type: 'command', line: 'where' });
  const last = client.received.filter((m) => m.type === 'debugger').at(-1)!;
  client.socket.terminate();

  const [again, session] = await Client.open(server, { name: 'another' });
  assert.match(session.editor.text, /typed/);
  assert.ok(session.editor.changed);
  assert.deepEqual(session.settings, chosen);
  assert.deepEqual(session.search, search);
  assert.deepEqual(session.debugger, last.debugger);
  assert.equal(session.debugger!.view.position.index, 4);
  await again.ask({ type: 'revert' });
  again.socket.close();
});

test('macros are those of -D, and one that is none is named', async () => {
  const [client, { editor, settings, choices }] = await Client.open(server);
  const file = choices.files.find((name) => name.endsWith('linux_nmi_3_7.S'))!;
  await client.ask({ type: 'choose', file });
  const at = async (defines: string, context = 'ldtss'): Promise<string | undefined> => {
    const from = client.received.length;
    await client.ask({ type: 'settings', settings: { ...settings, context, defines } });
    const told = client.received.slice(from).findLast((m) => m.type === 'editor')!;
    return told.editor.problem?.message;
  };
  assert.equal(await at('ESPFIX64=1 UNUSED'), undefined);
  assert.equal(await at('1X'), "-D '1X': expected NAME or NAME=VALUE; separate several by blanks");
  await at('ESPFIX64=1');
  await client.ask({ type: 'debug' });
  const { debugger: opened } = await client.until('debugger', (m) => m.debugger !== null);
  assert.match(opened!.opened, /linux_nmi_3_7\.S, context ldtss$/);
  const { reply } = (await client.ask({ type: 'command', line: 'until espfix_rip' })) as { reply: { error: boolean } };
  assert.equal(reply.error, false, 'the label is there with the macro only');
  await at('', 'kernel');
  await client.ask({ type: 'choose', file: editor.file });
  client.socket.close();
});

test('a search can be stopped, says what it has covered, and is open', async () => {
  const [client, { settings }] = await Client.open(server);
  await client.ask({ type: 'settings', settings: { ...settings, events: 'nmi=6,mc=6', properties: '' } });
  await client.ask({ type: 'explore' });
  const from = client.received.length;
  assert.match((await client.ask({ type: 'explore' })).refused!, /a search is under way/);
  await client.until('progress', (m) => m.progress.states > 10_000, from);
  await client.ask({ type: 'stop' });
  const { search } = await client.until('search', (m) => m.search.state === 'done', from);
  assert.notEqual(search.verdict, 'holds');
  assert.match(search.report, /not closed/);
  const states = new Set(
    search.map!.sections.flatMap((s) => s.rows.flatMap((r) => r.cells?.map((c) => c.state) ?? [])),
  );
  assert.ok(states.has('open'));
  assert.ok(!states.has('holds') && !states.has('never'), 'what was not explored is not said to hold');
  client.socket.close();
});

test('a search that needs what is not modelled, and settings that make no sense', async () => {
  const [client, { editor, settings }] = await Client.open(server);
  const text = '\t.text\n\t.globl nmi\nnmi:\n\trdtsc\n\tiretq\n';
  await client.ask({ type: 'settings', settings: { ...settings, events: 'nmi=1' } });
  await client.ask({ type: 'edit', file: editor.file, text });
  let from = client.received.length;
  await client.ask({ type: 'explore' });
  const refused = await client.until('search', (m) => m.search.state === 'refused', from);
  assert.match(refused.search.problem!.message, /rdtsc/i);
  assert.equal(refused.search.problem!.line, 4);
  from = client.received.length;
  await client.ask({ type: 'settings', settings: { ...settings, events: 'nmi=1,xyz=2' } });
  assert.match((await client.until('editor', () => true, from)).editor.problem!.message, /xyz/);
  await client.ask({ type: 'settings', settings });
  await client.ask({ type: 'revert' });
  client.socket.close();
});

test('what the assembler says is wrong, at its line and column', async () => {
  const [client, { editor }] = await Client.open(server);
  const text = editor.text.replace('\tiretq\n', '\tiretq\n\tmovq\t%rax, %xyz\n');
  const line = text.slice(0, text.indexOf('%xyz')).split('\n').length;
  const from = client.received.length;
  await client.ask({ type: 'edit', file: editor.file, text });
  const { problem } = (await client.until('editor', () => true, from)).editor;
  assert.equal(problem!.line, line);
  assert.equal(text.split('\n')[line - 1]!.slice(problem!.column! - 1), '%xyz');
  await client.ask({ type: 'revert' });
  client.socket.close();
});

test('the debugger, busy with a long verb, is interrupted; the rest goes on meanwhile', async () => {
  const [client, { editor, settings }] = await Client.open(server);
  // A handler that never comes back, with a counter so that no state repeats.
  await client.ask({ type: 'edit', file: editor.file, text: '\t.text\n\t.globl nmi\nnmi:\n1:\tincq %rax\n\tjmp 1b\n' });
  await client.ask({ type: 'debug' });
  await client.ask({ type: 'fire', event: 'nmi' });
  const from = client.received.length;
  const running = client.ask({ type: 'verb', verb: 'continue' });
  await client.until('busy', () => true, from);
  const waiting = client.ask({ type: 'verb', verb: 'reverseStep' });
  assert.deepEqual(await client.ask({ type: 'settings', settings }), { reply: null }, 'the editor goes on');
  await client.ask({ type: 'interrupt' });
  const { reply } = await running;
  assert.equal((reply as { reason: string }).reason, 'interrupted');
  assert.equal(((await waiting).reply as { reason: string }).reason, 'step', 'what was asked meanwhile comes after it');
  await client.ask({ type: 'revert' });
  client.socket.close();
});

test('a port that is taken, and a file that cannot be edited', async () => {
  const another = new Session(await Workspace.create());
  await assert.rejects(startWebServer(another, server.port), (error: Error) => {
    assert.ok(error instanceof InputError);
    assert.match(error.message, /--port \d+: cannot listen on 127\.0\.0\.1 \(EADDRINUSE\)/);
    return true;
  });
  await assert.rejects(Workspace.create('/nonexistent.S'), /nonexistent\.S: there is no such file/);
  await assert.rejects(Workspace.create(process.execPath), InputError);
});
