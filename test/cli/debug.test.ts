/** entrace debug, in the line mode: from a file, from a pipe, and what is wrong with either. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { asm, type Ended, entrace, file } from './entrace.js';

const script = (name: string, ...lines: string[]): string => file(name, `${lines.join('\n')}\n`);

async function debug(args: readonly string[], input?: string): Promise<Ended> {
  return entrace(['debug', ...args], input === undefined ? {} : { input });
}

/** Lines of the output that are not echoes of commands. */
function answers({ stdout }: Ended): string[] {
  return stdout.split('\n').filter((line) => line !== '' && !line.startsWith('(entrace) '));
}

test("from the RFC's counterexample to the instruction that changed RDI, and on without the second NMI", async () => {
  await entrace(['explore', asm('linux_nmi_rfc.S'), '--save', 'paths']);
  const commands = script(
    'story',
    'who rdi',
    'goto who',
    'until event',
    'reverse-until event',
    'skip',
    'until given-back',
    'print rdi',
    'continue',
    'failures',
  );
  const ended = await debug([join('paths', 'context-nmi-nmi_restore+15.json'), '-x', commands, '--batch']);
  assert.equal(ended.stderr, '');
  assert.equal(ended.status, 0);
  const text = answers(ended).join('\n');
  assert.match(text, /^context is broken: rdi is not what it was$/m);
  assert.match(text, /^#91 {2}NMI 2 {2}nested_nmi\+6 {2}leaq -48\(%rsp\), %rdi {2}.*linux_nmi_rfc\.S:81$/m);
  assert.match(text, /^the branch fires nmi here\n#84 {2}NMI 1 {2}nmi_restore\+15 {2}addq/m);
  assert.match(text, /^the context is given back$/m);
  assert.match(text, /^0x707070707070707 /m);
  assert.match(text, /^the path has ended: the context has come to its end$/m);
  assert.match(text, /^nothing is broken on this branch$/m);
});

test('commands from a pipe are echoed; the first that is wrong ends it with 2', async () => {
  const ended = await debug([asm('linux_nmi.S')], 'step\n\n# a comment\nnosuch\nstep\n');
  assert.equal(ended.status, 2);
  assert.match(ended.stdout, /^\(entrace\) step\n#1 {2}context {2}context_start\+1 /m);
  assert.match(ended.stdout, /error: there is no command 'nosuch'; 'help' lists them\n$/);
  const good = await debug([asm('linux_nmi.S')], 'nmi\nlatch\nquit\nstep\n');
  assert.equal(good.status, 0);
  assert.match(good.stdout, /NMI latch +blocked\n/);
  assert.ok(!good.stdout.includes('step'));
});

test('what is typed moves no cursor, and what is too much is refused', async () => {
  const ended = await debug([asm('linux_nmi.S')], '\x1b[2Jfoo\n');
  assert.match(ended.stdout, /^\(entrace\) \\x1b\[2Jfoo\nerror: there is no command '\\x1b\[2Jfoo'/m);
  assert.match((await debug([asm('linux_nmi.S')], 'continue 3\n')).stdout, /error: continue: '3' is too much\n$/);
});

test('several command files run one after the other, and quit ends all', async () => {
  const ended = await debug([
    asm('linux_nmi.S'),
    '-x',
    script('one', 'step'),
    '-x',
    script('two', 'quit'),
    '-x',
    script('three', 'step'),
  ]);
  assert.equal(ended.status, 0);
  assert.equal((ended.stdout.match(/\(entrace\) step/g) ?? []).length, 1);
});

test('every command is in help, and help on each', async () => {
  const all = await debug([asm('linux_nmi.S'), '-x', script('help', 'help')]);
  const names = answers(all).flatMap((line) => /^ {2}([a-z-]+)\b/.exec(line)?.[1] ?? []);
  assert.ok(names.length > 35, String(names.length));
  const each = await debug([asm('linux_nmi.S'), '-x', script('each', ...names.map((name) => `help ${name}`))]);
  assert.equal(each.status, 0, each.stdout.slice(-300));
});

test('what is wrong with files and flags is one line, and 2', async () => {
  for (const [args, message] of [
    [['nosuch.S'], /^entrace: nosuch\.S: no such file\n$/],
    [[asm('linux_nmi.S'), '-x', 'nosuch'], /^entrace: --commands nosuch: there is no such file\n$/],
    [[asm('linux_nmi.S'), '-x', '/dev/zero'], /is a device/],
    [['x.yaml', '--context', 'user'], /^entrace: --context: x\.yaml says that itself; leave it out/],
    [[asm('linux_nmi.S'), '--profile', 'nosuch'], /^entrace: .*nosuch/],
    [[asm('linux_nmi.S'), '--platform', 'nosuch'], /^entrace: .*nosuch/],
    [[], /missing required argument/],
  ] as const) {
    const { status, stdout, stderr } = await debug([...args]);
    assert.equal(status, 2, args.join(' '));
    assert.equal(stdout, '');
    assert.match(stderr, message);
    assert.ok(!stderr.includes('    at '), stderr);
  }
});
