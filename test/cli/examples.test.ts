/** The scripts of examples/ on Debian's entry_64.S: a tree with one guard taken out, and a history in which one is. */
import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { downloaded } from '../support/downloads.js';
import { type Change, compiled, entrySource } from '../support/linux_tree.js';
import { directory } from '../support/search.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const ENTRACE = `node ${join(ROOT, 'build/src/cli/main.js')}`;
const ENTRY = 'arch/x86/entry';

/** NMIs in the gap of SYSCALL are taken for nested ones. */
const BROKEN: Change = [
  '	testb	$(X86_EFLAGS_DF >> 8), (3*8 + 1)(%rsp)\n	jz	first_nmi	/* RSP was user controlled. */\n',
  '',
];

function run(
  command: string,
  args: readonly string[],
  cwd: string,
  env: Record<string, string> = {},
): SpawnSyncReturns<string> {
  const identity = ['AUTHOR', 'COMMITTER'].flatMap((who) => [
    [`GIT_${who}_NAME`, 'test'],
    [`GIT_${who}_EMAIL`, 'test@example.org'],
  ]);
  const all = { ...process.env, ...Object.fromEntries(identity), ENTRACE, ...env };
  return spawnSync(command, args, { cwd, env: all, encoding: 'utf8', maxBuffer: 1 << 26 });
}

test('check_kernel_tree.sh prints a line for each search, and says which one fails', (t) => {
  const linux = downloaded(t, 'linux');
  if (linux === undefined) return;
  const tree = join(directory, 'tree');
  mkdirSync(join(tree, ENTRY), { recursive: true });
  compiled(linux, entrySource(linux, BROKEN), join(tree, ENTRY), 'entry_64');
  const { status, stdout } = run(join(ROOT, 'examples/check_kernel_tree.sh'), [tree, 'none'], directory);
  assert.deepEqual(stdout.trim().split('\n'), [
    'ok       kernel, none, nmi=2,bp=1',
    'ok       kernel, none, mc=1',
    'ok       kernel, none, db=1,nmi=1',
    'ok       user, none, nmi=2,bp=1',
    'ok       user, none, mc=1',
    'ok       user, none, db=1,nmi=1',
    'FAILS    syscall-gap, none, nmi=2: is broken by nmi at 4 boundaries: entry_SYSCALL_64+0..+2, entry_SYSCALL_64+7',
    'ok       syscall-gap, none, mc=1',
    'FAILS    sysret-gap, none, nmi=2: is broken by nmi at 3 boundaries: entry_SYSRETQ_unsafe_stack+0..+1, entry_SYSRETQ_unsafe_stack+3',
    'ok       sysret-gap, none, mc=1',
    'ok       bad-iret, none, nmi=2',
    'ok       bad-iret, none, mc=1',
  ]);
  assert.equal(status, 1);
});

test('check_kernel_tree.sh says how to build what is missing', () => {
  const { status, stderr } = run(join(ROOT, 'examples/check_kernel_tree.sh'), ['/nowhere'], directory);
  assert.equal(status, 2);
  assert.equal(stderr, '/nowhere/arch/x86/entry/entry_64.o is missing: make -C /nowhere arch/x86/entry/\n');
});

test('git bisect run bisect_entry.sh finds the commit that took a guard out, past one that does not build', (t) => {
  const linux = downloaded(t, 'linux');
  if (linux === undefined) return;
  const tree = join(directory, 'history');
  const file = join(tree, ENTRY, 'entry_64.S');
  mkdirSync(dirname(file), { recursive: true });
  const git = (...args: string[]): string => {
    const { status, stdout, stderr } = run('git', args, tree);
    assert.equal(status, 0, stderr);
    return stdout;
  };
  git('init', '--quiet');
  const good = entrySource(linux);
  const bad = entrySource(linux, BROKEN);
  const history = [
    good,
    `${good}/* 1 */\n`,
    `${good}no_such_instruction\n`,
    `${good}/* 3 */\n`,
    bad,
    `${bad}/* 5 */\n`,
  ];
  for (const [i, text] of history.entries()) {
    writeFileSync(file, text);
    git('add', '--all');
    git('commit', '--quiet', '--message', `commit ${i}`);
  }
  const build = join(directory, 'build.sh');
  writeFileSync(
    build,
    `out=$PWD/${ENTRY}/entry_64\ncd ${linux}\nexec gcc $(cat cppflags) -c -o "$out.o" "$out.S" 2>/dev/null\n`,
  );
  git('bisect', 'start', 'HEAD', 'HEAD~5');
  const arguments_ = ['--context', 'syscall-gap', '--events', 'nmi=1', '--features', 'none'];
  const script = join(ROOT, 'examples/bisect_entry.sh');
  const { stdout } = run('git', ['bisect', 'run', script, ...arguments_], tree, { BUILD: `bash ${build}` });
  assert.match(stdout, /is the first bad commit[\s\S]*commit 4/);
});
