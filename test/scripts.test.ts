import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

const project = fileURLToPath(new URL('../..', import.meta.url));

/** A directory with `copied` files of this project and `files` (path to text); `.sh` and `bin/` are made executable. */
function directory(context: TestContext, copied: readonly string[], files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'entrace-scripts-'));
  context.after(() => rmSync(root, { recursive: true, force: true }));
  for (const path of copied) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    copyFileSync(join(project, path), join(root, path));
  }
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
    if (/\.sh$|bin\//.test(path)) chmodSync(join(root, path), 0o755);
  }
  return root;
}

interface Outcome {
  readonly status: number | null;
  readonly lines: string[];
}

function execute(root: string, command: string, args: readonly string[]): Outcome {
  const env: NodeJS.ProcessEnv = { ...process.env, PATH: `${join(root, 'bin')}${delimiter}${process.env.PATH}` };
  // What a runner or a make above this one hands down would change what the one under test does.
  for (const name of ['NODE_TEST_CONTEXT', 'MAKEFLAGS', 'MAKELEVEL', 'MFLAGS', 'TESTS']) delete env[name];
  const { status, stdout } = spawnSync(command, args, { cwd: root, env, encoding: 'utf8' });
  return { status, lines: stdout.trimEnd().split('\n') };
}

/** Runs scripts/test.mjs over `tests`, bodies of compiled test files by name; a name that ends in `!` has no source. */
function runTests(
  context: TestContext,
  tests: Readonly<Record<string, string>>,
  args: readonly string[] = [],
): Outcome {
  const files: Record<string, string> = { 'package.json': '{ "type": "module" }' };
  for (const [name, body] of Object.entries(tests)) {
    const base = name.replace(/!$/, '');
    if (base === name) files[`test/${base}.test.ts`] = '';
    files[`build/test/${base}.test.js`] = `import test from 'node:test';\n${body}`;
  }
  const root = directory(context, ['scripts/test.mjs'], files);
  return execute(root, process.execPath, ['scripts/test.mjs', ...args]);
}

const PASSES = "test('passes', () => {});";

const COUNTS: readonly {
  readonly what: string;
  readonly tests: Readonly<Record<string, string>>;
  readonly last: string;
  readonly status: number;
}[] = [
  { what: 'tests that pass', tests: { a: PASSES, 'deep/b': PASSES }, last: '2 passed, 0 failed', status: 0 },
  {
    what: 'a test that fails',
    tests: { a: `${PASSES} test('fails', () => { throw new Error('no'); });` },
    last: '1 passed, 1 failed',
    status: 1,
  },
  {
    what: 'a test that only holds subtests does not count',
    tests: {
      a: "test('holds', async (t) => { await t.test('x', () => {}); await t.test('y', () => { throw 1; }); });",
    },
    last: '1 passed, 1 failed',
    status: 1,
  },
  {
    what: 'a test that fails itself after its subtests passed counts',
    tests: { a: "test('holds', async (t) => { await t.test('x', () => {}); throw new Error('no'); });" },
    last: '1 passed, 1 failed',
    status: 1,
  },
  {
    what: 'a suite does not count',
    tests: { a: `import { describe } from 'node:test'; describe('suite', () => { ${PASSES} });` },
    last: '1 passed, 0 failed',
    status: 0,
  },
  {
    what: 'skipped tests are counted apart',
    tests: { a: `${PASSES} test.skip('later', () => {}); test.todo('not yet', () => { throw 1; });` },
    last: '1 passed, 0 failed, 2 skipped',
    status: 0,
  },
  {
    what: 'only skipped tests: nothing ran',
    tests: { a: "test.skip('later', () => {});" },
    last: '0 passed, 0 failed, 1 skipped',
    status: 1,
  },
  { what: 'no test file at all', tests: {}, last: '0 passed, 0 failed', status: 1 },
  { what: 'a file without a test', tests: { a: PASSES, b: '' }, last: '1 passed, 1 failed', status: 1 },
  {
    what: 'a file that cannot be loaded',
    tests: { a: PASSES, b: "import './x.js';" },
    last: '1 passed, 1 failed',
    status: 1,
  },
  {
    what: 'an error after the tests',
    tests: { a: `${PASSES} setTimeout(() => { throw new Error('late'); }, 20);` },
    last: '1 passed, 1 failed',
    status: 1,
  },
  {
    what: 'a file that exits with status 0 before its first test',
    tests: { a: PASSES, b: `process.exit(0); ${PASSES}` },
    last: '1 passed, 1 failed',
    status: 1,
  },
  {
    what: 'a file that exits with status 0 in the middle',
    tests: {
      a: `${PASSES} test('exits', async () => { await new Promise((go) => setTimeout(go, 300)); process.exit(0); });`,
    },
    last: '1 passed, 1 failed',
    status: 1,
  },
  {
    what: 'a compiled test whose source is gone does not run',
    tests: { a: PASSES, 'gone!': "test('fails', () => { throw 1; });" },
    last: '1 passed, 0 failed',
    status: 0,
  },
];

for (const { what, tests, last, status } of COUNTS) {
  test(`test runner: ${what}`, (t) => {
    const outcome = runTests(t, tests);
    assert.equal(outcome.lines.at(-1), last, outcome.lines.join('\n'));
    assert.equal(outcome.status, status);
  });
}

test('test runner: a file that a signal kills counts as failed', (t) => {
  const outcome = runTests(t, { a: PASSES, b: `test('dies', () => { process.kill(process.pid, 'SIGKILL'); });` });
  assert.match(outcome.lines.at(-1) ?? '', /^1 passed, [1-9]\d* failed$/);
  assert.equal(outcome.status, 1);
});

test('test runner: a source that was not compiled counts as failed', (t) => {
  const root = directory(t, ['scripts/test.mjs'], { 'test/a.test.ts': '' });
  const outcome = execute(root, process.execPath, ['scripts/test.mjs']);
  assert.deepEqual(outcome.lines, ['test/a.test.ts: not compiled; run make build', '0 passed, 1 failed']);
  assert.equal(outcome.status, 1);
});

test('test runner: parts of paths select files', (t) => {
  const outcome = runTests(t, { one: PASSES, 'two/x': PASSES, 'two/y': PASSES }, ['two']);
  assert.equal(outcome.lines.at(-1), '2 passed, 0 failed');
});

const VERDICTS: readonly (readonly [current: number, rfc: number, succeeds: boolean])[] = [
  [0, 1, true],
  [0, 0, false],
  [0, 2, false],
  [1, 1, false],
  [2, 1, false],
];

for (const [current, rfc, succeeds] of VERDICTS) {
  test(`make run ${succeeds ? 'succeeds' : 'fails'} on exit statuses ${current} and ${rfc}`, (t) => {
    const root = directory(t, ['Makefile'], {
      'package.json': '{ "type": "module" }',
      'scripts/setup.sh': '#!/bin/sh\n',
      'node_modules/.bin/tsc': '#!/bin/sh\n',
      'node_modules/.bin/vite': '#!/bin/sh\n',
      'build/src/cli/main.js': `process.exit(process.argv[3] === 'asm/linux_nmi.S' ? ${current} : ${rfc});`,
    });
    const { status } = execute(root, 'make', ['run']);
    assert.equal(status === 0, succeeds, `make: exit status ${status}`);
  });
}

for (const [what, make, last] of [
  [
    'tests and scenarios that pass: the short ones count once',
    { test: 'echo "3 passed, 0 failed, 2 skipped"; echo "4 passed, 0 failed"', suite: 'echo "9 passed, 0 failed"' },
    '12 passed, 0 failed, 2 skipped',
  ],
  [
    'a test that fails: nothing else is run',
    { test: 'echo "3 passed, 1 failed, 1 skipped"; echo "make: Error 1" >&2; exit 2' },
    '3 passed, 1 failed, 1 skipped',
  ],
  [
    'a scenario that fails',
    { test: 'echo "3 passed, 0 failed"', suite: 'echo "8 passed, 1 failed"; exit 2' },
    '11 passed, 1 failed',
  ],
  ['a suite that does not count', { test: 'echo "3 passed, 0 failed"', suite: 'exit 2' }, '3 passed, 1 failed'],
  [
    'a mutant that survives',
    { test: 'echo "3 passed, 0 failed"', suite: 'echo "9 passed, 0 failed"', ablation: 'exit 2' },
    '12 passed, 1 failed',
  ],
  ['a build that fails', { test: 'echo "make: Error 2" >&2; exit 2' }, '0 passed, 1 failed'],
] as const) {
  test(`.ci/run: the count is the last line: ${what}`, (t) => {
    const targets = Object.entries<string>({
      suite: 'exit 9',
      ablation: ':',
      ...(make as Readonly<Record<string, string>>),
    });
    const cases = targets.map(([target, script]) => `${target}) ${script};;`).join('\n');
    const root = directory(t, ['.ci/run'], { 'bin/make': `#!/bin/sh\ncase "$*" in\n${cases}\n*) exit 9;;\nesac\n` });
    const outcome = execute(root, 'bash', ['.ci/run']);
    assert.equal(outcome.lines.at(-1), last);
    assert.equal(outcome.status === 0, !Object.values(make).some((script) => script.includes('exit')));
  });
}
