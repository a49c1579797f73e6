/** The command entrace serve: its link, its end, its bad input. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import test from 'node:test';
import { asm, entrace } from './entrace.js';

test('it prints the link, serves the page there, and ends with Ctrl-C', async () => {
  let stdout = '';
  let status: number | undefined;
  const ended = await entrace(['serve', asm('linux_nmi.S')], {
    started: (child) => {
      child.stdout!.on('data', async (text: string) => {
        const before = stdout;
        stdout += text;
        const [link] = /^http:\S+$/m.exec(stdout) ?? [];
        if (link === undefined || /^http:\S+$/m.test(before)) return;
        status = (await fetch(link)).status;
        child.kill('SIGINT');
      });
    },
  });
  assert.equal(status, 200);
  assert.deepEqual({ status: ended.status, stderr: ended.stderr }, { status: 0, stderr: '' });
});

test('a file that is none, and a port that is taken: one line, status 2', async () => {
  const missing = await entrace(['serve', 'nonesuch.S']);
  assert.equal(missing.status, 2);
  assert.match(missing.stderr, /^entrace: nonesuch\.S: there is no such file\n$/);
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as { port: number };
  const taken = await entrace(['serve', '--port', String(port)]);
  assert.equal(taken.status, 2);
  assert.match(
    taken.stderr,
    /^entrace: --port \d+: cannot listen on 127\.0\.0\.1 \(EADDRINUSE\); choose another port\n$/,
  );
  other.close();
});
