/** The commands explore and replay: exit statuses, files, limits, streams. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { asm, directory, each, entrace, file, MAIN } from './entrace.js';

const NMI = asm('linux_nmi.S');
const RFC = asm('linux_nmi_rfc.S');
/** A search that takes minutes. */
const LONG = [NMI, '--context', 'user', '--events', 'nmi=6,bp=3'];

interface Result {
  readonly verdict: string;
  readonly stopped?: string;
  readonly states: number;
  readonly failures: readonly { property: string; boundary: string; event: string; path: readonly object[] }[];
}

/** Ctrl-C, a moment after the file for the result has appeared: the search begins then. */
async function interrupt(child: ChildProcess, result: string): Promise<void> {
  while (!existsSync(join(directory, result))) await sleep(20);
  await sleep(700);
  child.kill('SIGINT');
}

const read = (name: string): Result => JSON.parse(readFileSync(join(directory, name), 'utf8')) as Result;

test('exit status 0: every property holds, closed', async () => {
  const { status, stdout, stderr } = await entrace(['explore', NMI]);
  assert.equal(status, 0);
  assert.equal(stderr, '');
  assert.match(
    stdout,
    /linux_nmi\.S: holds\n {2}for every placement of nmi=2,bp=1, context kernel, platform linux, profile intel\n/,
  );
  assert.match(stdout, /\n {2}[\d,]+ states, [\d,]+ transitions, [\d.]+ s, closed\n/);
});

test('exit status 1: a property fails; the report has its windows and one schedule in full', async () => {
  const { status, stdout, stderr } = await entrace(['explore', RFC]);
  assert.equal(status, 1);
  assert.equal(stderr, '');
  assert.match(stdout, /linux_nmi_rfc\.S: FAILS\n/);
  assert.match(
    stdout,
    /\ncontext: what was interrupted .*\n {2}is broken by nmi at 3 boundaries: nmi_restore\+15\.\.\+16, irq_return\+0\n/,
  );
  assert.match(stdout, /\nhandler-view: /);
  // No colours where there is no terminal.
  assert.ok(!stdout.includes('\x1b'));
});

test('--json writes the result as one object', async () => {
  const { status } = await entrace(['explore', RFC, '--events', 'nmi=1', '--context', 'user-rsp', '--json', 'r.json']);
  assert.equal(status, 1);
  const { states, transitions, seconds, image, failures, ...rest } = read('r.json') as unknown as Record<
    string,
    unknown
  >;
  assert.deepEqual(rest, {
    verdict: 'fails',
    files: [RFC],
    assembler: 'Keystone',
    platform: 'linux',
    profile: 'intel',
    context: 'user-rsp',
    bound: { nmi: 1 },
  });
  for (const number of [states, transitions, seconds]) assert.ok(typeof number === 'number' && number >= 0);
  assert.match(image as string, /^[0-9a-f]{64}$/);
  const list = failures as Result['failures'];
  assert.deepEqual(
    list.map((f) => `${f.property} ${f.boundary}`).sort(),
    ['context', 'nmi-ledger'].flatMap((p) => [4, 5, 6, 7, 8, 9].map((n) => `${p} context_start+${n}`)),
  );
  const first = list.find((f) => f.property === 'context' && f.boundary === 'context_start+4')!;
  const { address, ...others } = first as unknown as Record<string, unknown>;
  assert.match(address as string, /^0x[0-9a-f]+$/);
  assert.deepEqual(others, {
    property: 'context',
    boundary: 'context_start+4',
    event: 'nmi',
    path: [{ boundary: 'context_start+4', hit: 1, event: 'nmi' }],
  });
});

test('--json says which properties were checked, and where events could fire, if that was confined', async () => {
  const args = [RFC, '--property', 'context,flags', '--at', 'bp=do_nmi+3', '--json', '-'];
  const { status, stdout, stderr } = await entrace(['explore', ...args]);
  assert.equal(status, 1);
  const result = JSON.parse(stdout) as Record<string, unknown>;
  assert.deepEqual(result.properties, ['context', 'flags']);
  assert.deepEqual(result.places, ['bp at do_nmi+3']);
  // The report goes to standard error then.
  assert.match(stderr, /FAILS/);
  assert.match(stderr, /checked: context, flags only/);
});

test('--save and replay: a saved path breaks what it was saved for', async () => {
  const { status, stdout } = await entrace([
    'explore',
    RFC,
    '--events',
    'nmi=1',
    '--context',
    'syscall-gap',
    '--save',
    'a/b',
  ]);
  assert.equal(status, 1);
  const names = readdirSync(join(directory, 'a/b'));
  assert.equal(names.length, 10);
  assert.match(
    stdout,
    /10 paths saved in a\/b; entrace replay a\/b\/\S+ runs the first, and entrace debug steps through it\n$/,
  );
  await each([names[0]!, names.at(-1)!, 'context-nmi-entry_SYSCALL_64+1.json'], async (name) => {
    const ended = await entrace(['replay', join('a/b', name)]);
    assert.equal(ended.status, 1, ended.stderr);
    const property = name.startsWith('context') ? 'context' : 'nmi-ledger';
    assert.match(ended.stdout, new RegExp(`^a/b/\\S+: \\d+ transitions; broken: .*\\n\\n${property}: `));
    assert.doesNotMatch(ended.stdout, /but not/);
  });
});

test('replay --trace prints every transition', async () => {
  await entrace(['explore', RFC, '--events', 'nmi=1', '--context', 'user-rsp', '--save', 'trace']);
  const { status, stdout } = await entrace(['replay', 'trace/nmi-ledger-nmi-context_start+4.json', '--trace']);
  assert.equal(status, 1);
  const [trace, summary] = stdout.split('\n\n');
  const lines = trace!.split('\n');
  assert.match(lines[0]!, /^context {2}context_start\+0 +pushq %rbx$/);
  assert.match(lines[4]!, /^NMI 1 {4}context_start\+4 +-- nmi fired: NMI 1 --$/);
  assert.match(lines[5]!, /^NMI 1 {4}nmi\+0 +pushq %rdx$/);
  assert.match(summary!, new RegExp(`: ${lines.length} transitions; broken: `));
});

test('a path that breaks nothing any more holds: exit status 0', async () => {
  const saved = {
    entrace: 'path/1',
    files: [NMI],
    defines: {},
    platform: 'linux',
    profile: 'intel',
    context: 'kernel',
    property: 'context',
    path: [{ boundary: 'context_start+2', hit: 1, event: 'nmi' }],
  };
  await entrace(['explore', NMI, '--events', 'nmi=0', '--json', 'image.json']);
  const { image } = JSON.parse(readFileSync(join(directory, 'image.json'), 'utf8')) as { image: string };
  file('holds.json', JSON.stringify({ ...saved, image }));
  const { status, stdout } = await entrace(['replay', 'holds.json']);
  assert.equal(status, 0);
  assert.match(stdout, /^holds\.json: \d+ transitions, every property holds on this path\n$/);
});

test('paths, their sources and a context of one’s own can be moved together', async () => {
  mkdirSync(join(directory, 'from'));
  file('from/h.S', '\t.globl nmi\nnmi:\n\tiretq\n');
  file(
    'from/idle.S',
    '\t.text\n\t.globl context_start, context_end\ncontext_start:\n\tnop\ncontext_end:\n\tjmp context_end\n',
  );
  const args = ['--events', 'nmi=1', '--save', 'from/paths'];
  assert.equal((await entrace(['explore', 'from/h.S', '--context', 'from/idle.S', ...args])).status, 1);
  renameSync(join(directory, 'from'), join(directory, 'to'));
  const { status, stdout } = await entrace(['replay', 'to/paths/nmi-ledger-nmi-context_start+0.json']);
  assert.equal(status, 1);
  assert.match(stdout, /broken: nmi-ledger\n/);
});

test('a file with the name of a context does not change what the name means', async () => {
  file('kernel', 'not a context\n');
  file('h.S', '\t.globl nmi\nnmi:\n\tiretq\n');
  assert.equal((await entrace(['explore', 'h.S', '--events', 'nmi=1', '--save', 'named'])).status, 1);
  assert.equal((await entrace(['replay', 'named/nmi-ledger-nmi-context_start+0.json'])).status, 1);
});

test('--define reaches the image, and the path file', async () => {
  file('defined.S', '\t.globl nmi\nnmi:\n#ifdef LOSE\n\tiretq\n#else\n\tcall do_nmi\n\tiretq\n#endif\n');
  const args = ['explore', 'defined.S', '--events', 'nmi=1', '--property', 'nmi-ledger'];
  assert.equal((await entrace(args)).status, 0);
  assert.equal((await entrace([...args, '--define', 'LOSE', '--save', 'defined'])).status, 1);
  assert.equal((await entrace(['replay', 'defined/nmi-ledger-nmi-context_start+0.json'])).status, 1);
});

test('exit status 3: a limit is reached, and the report says how far the search came', async () => {
  const { status, stdout, stderr } = await entrace([
    'explore',
    ...LONG,
    '--max-states',
    '50000',
    '--json',
    'limit.json',
  ]);
  assert.equal(status, 3);
  assert.equal(stderr, '');
  assert.match(stdout, /linux_nmi\.S: open\n/);
  assert.match(stdout, /not closed\n/);
  assert.match(stdout, /stopped: the limit of 50,000 states is reached \(--max-states\)/);
  assert.match(
    stdout,
    /^ {2}covered: everything up to nmi=1,bp=1; of nmi=2,bp=2, first events at \d+ of \d+ boundaries of the context$/m,
  );
  const result = read('limit.json');
  assert.equal(result.verdict, 'open');
  assert.equal(result.stopped, 'the limit of 50,000 states is reached (--max-states)');
  assert.deepEqual(result.failures, []);
  assert.ok(result.states >= 50_000);
});

test('exit status 3: the limit of memory', async () => {
  const { status, stdout } = await entrace(['explore', ...LONG, '--max-memory', '2']);
  assert.equal(status, 3);
  assert.match(stdout, /stopped: the visited set has reached its limit of 2 MiB \(--max-memory\)/);
});

test('exit status 3: Ctrl-C ends the search, and what was covered is reported', async () => {
  for (const workers of ['1', '2']) {
    const name = `interrupted-${workers}.json`;
    const { status, stdout, stderr } = await entrace(['explore', ...LONG, '--workers', workers, '--json', name], {
      started: (child) => void interrupt(child, name),
    });
    assert.equal(status, 3, stderr);
    assert.equal(stderr, '');
    assert.match(stdout, /linux_nmi\.S: open\n/);
    assert.match(stdout, /^ {2}[\d,]+ states, [\d,]+ transitions, [\d.]+ s, not closed$/m);
    assert.match(stdout, /^ {2}stopped: interrupted\n {2}covered: (everything up to nmi=|no bound completely)/m);
    assert.equal(read(name).verdict, 'open');
    assert.equal(read(name).stopped, 'interrupted');
  }
});

test('exit status 3: code that counts for ever; exit status 1: code that goes round for ever', async () => {
  file('count.S', '\t.globl nmi\nnmi:\n1:\tincq %rax\n\tjmp 1b\n');
  file('spin.S', '\t.globl nmi\nnmi:\n\tjmp .\n');
  const count = await entrace(['explore', 'count.S']);
  assert.equal(count.status, 3);
  assert.match(count.stdout, /^count\.S: open\n/);
  assert.match(
    count.stdout,
    /stopped: from nmi\+0 on after nmi at context_start\+0, 50,000 instructions ran without coming back/,
  );
  assert.doesNotMatch(count.stdout, /FAILS|holds/);
  const spin = await entrace(['explore', 'spin.S', '--save', 'spin']);
  assert.equal(spin.status, 1);
  assert.match(spin.stdout, /\nprogress: .*\n {2}is broken by nmi at 14 boundaries: context_start\+0\.\.\+13\n/);
  const again = await entrace(['replay', 'spin/progress-nmi-context_start+0.json']);
  assert.equal(again.status, 1);
  assert.match(again.stdout, /the loop never ends/);
});

test('an image without a body says that breakpoints have nowhere to fire', async () => {
  file('bodiless.S', '\t.globl nmi\nnmi:\n\tiretq\n');
  const { stdout } = await entrace(['explore', 'bodiless.S']);
  assert.match(stdout, /\n {2}bp nowhere: the image has no body\n/);
});

test('two workers give the verdict and the windows of one', async () => {
  const windows = (name: string): string[] =>
    read(name)
      .failures.map((f) => `${f.property} ${f.event} ${f.boundary}`)
      .sort();
  assert.equal((await entrace(['explore', RFC, '--json', 'one.json'])).status, 1);
  assert.equal((await entrace(['explore', RFC, '--workers', '2', '--json', 'two.json'])).status, 1);
  assert.deepEqual(windows('two.json'), windows('one.json'));
});

test('help and version end with 0, on standard output, and name every command and option', async () => {
  const help = await entrace(['--help']);
  assert.equal(help.status, 0);
  assert.equal(help.stderr, '');
  for (const word of ['explore', 'replay', 'asm', 'Exit status: 0 holds, 1 a property failed']) {
    assert.ok(help.stdout.includes(word), word);
  }
  const explore = await entrace(['explore', '--help']);
  assert.equal(explore.status, 0);
  const options = [
    'platform',
    'profile',
    'context',
    'events',
    'at',
    'property',
    'define',
    'save',
    'json',
    'workers',
    'max-states',
    'max-memory',
  ];
  for (const option of options) assert.ok(explore.stdout.includes(`--${option}`), option);
  const version = await entrace(['--version']);
  assert.equal(version.status, 0);
  assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);
});

test('without a command there is help on standard error, and exit status 2', async () => {
  const { status, stdout, stderr } = await entrace([]);
  assert.equal(status, 2);
  assert.equal(stdout, '');
  assert.match(stderr, /^Usage: entrace/);
});

test('help works while the machine is busy', async () => {
  const busy = spawn(process.execPath, [MAIN, 'explore', ...LONG, '--workers', '2'], {
    cwd: directory,
    stdio: 'ignore',
  });
  try {
    const all = await Promise.all([1, 2, 3, 4].map(() => entrace(['explore', '--help'])));
    for (const { status, stdout } of all) {
      assert.equal(status, 0);
      assert.match(stdout, /^Usage: entrace explore/);
    }
  } finally {
    busy.kill('SIGKILL');
  }
});

test('a reader that goes away ends nothing but the output', async () => {
  const { status, stderr } = await entrace(['explore', RFC], {
    started: (child) => child.stdout!.destroy(),
  });
  assert.equal(stderr, '');
  assert.equal(status, 1);
});

test('a full disk behind standard output is an error, and no verdict', { skip: !existsSync('/dev/full') }, async () => {
  const command = `"${process.execPath}" "${MAIN}" explore "${NMI}" --events nmi=1 > /dev/full`;
  const child = spawn('sh', ['-c', command], { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const status = await new Promise((resolve) => child.on('close', resolve));
  assert.equal(status, 2);
  assert.equal(stderr, 'entrace: standard output: cannot be written (ENOSPC)\n');
});

test('an error in entrace itself ends with 70, and not like a verdict', async () => {
  const fault = `const write = JSON.stringify;
JSON.stringify = (value, ...rest) => {
  if (value?.verdict) throw new Error('broken on purpose');
  return write(value, ...rest);
};`;
  const env = { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(fault)}` };
  const args = ['explore', NMI, '--events', 'nmi=1', '--json', 'bug.json'];
  const { status, stderr } = await entrace(args, { env });
  assert.equal(status, 70);
  assert.equal(
    stderr,
    'entrace: an error in entrace itself, not in the code under test: broken on purpose\n  ENTRACE_DEBUG=1 shows where\n',
  );
  const debug = await entrace(args, { env: { ...env, ENTRACE_DEBUG: '1' } });
  assert.match(debug.stderr, /^\s+at /m);
});
