/** docs/debugging.md: the sessions and screens on that page are what the commands print. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { openDebugger } from '../../src/debugger/open.js';
import { Controller } from '../../src/debugger/tui/controller.js';
import { UNICODE } from '../../src/debugger/tui/signs.js';
import { MAIN } from '../cli/entrace.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const PAGE = readFileSync(join(ROOT, 'docs/debugging.md'), 'utf8');

/** A session begins with a block that starts `$ entrace …`; those that start with a prompt go on with it. */
interface Session {
  readonly args: readonly string[];
  text: string;
}

const sessions: Session[] = [];
for (const [, block] of PAGE.matchAll(/^```console\n(.*?)^```$/gms)) {
  const command = /^\$ entrace (.*)\n/.exec(block!);
  if (command) sessions.push({ args: command[1]!.split(' '), text: block!.slice(command[0].length) });
  else sessions.at(-1)!.text += block;
}

test('there are sessions and screens on the page', () => {
  assert.equal(sessions.length, 3);
  assert.equal([...PAGE.matchAll(/^<!-- screen /gm)].length, 2);
});

for (const { args, text } of sessions) {
  test(`entrace ${args.join(' ')}`, () => {
    const directory = mkdtempSync(join(tmpdir(), 'entrace-page-'));
    try {
      const commands = join(directory, 'commands');
      const typed = [...text.matchAll(/^\(entrace\) (.*)$/gm)].map(([, command]) => command);
      writeFileSync(commands, `${typed.join('\n')}\n`);
      const { stdout, stderr, status } = spawnSync(process.execPath, [MAIN, ...args, '-x', commands], {
        cwd: ROOT,
        encoding: 'utf8',
      });
      assert.equal(stderr, '');
      assert.equal(stdout, text);
      assert.equal(status, 0);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
}

for (const [, file, width, height, keys, rows] of PAGE.matchAll(
  /^<!-- screen (\S+) (\d+)x(\d+): ([^\n]*) -->\n```\n(.*?)\n```$/gms,
)) {
  test(`the screen at ${width}x${height} after ${keys}`, async () => {
    // Reports name files as they are called from the working directory.
    process.chdir(ROOT);
    const settings = { platform: 'linux', profile: 'intel', knobs: {}, context: 'kernel', sources: {}, code: {} };
    const ignore = (): void => undefined;
    const controller = new Controller(await openDebugger([file!], settings), UNICODE, ignore, ignore);
    const size = { width: Number(width), height: Number(height) };
    controller.draw(size);
    for (const key of keys!.split(' ')) {
      controller.key(key);
      while (controller.state.running !== undefined) await new Promise((resolve) => setImmediate(resolve));
    }
    const { frame } = controller.draw(size);
    assert.equal(Array.from({ length: size.height }, (_, y) => frame.text(y)).join('\n'), rows);
  });
}
