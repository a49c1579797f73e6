/** The commands test, ablate, diff and schema as a person runs them. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { asm, directory, each, entrace, file } from './entrace.js';

const RFC = asm('linux_nmi_rfc.S');
const RDI = `title: RDI
races: [L-3]
image: ${RFC}
events: { nmi: 2, bp: 1 }
properties: [context]
`;

mkdirSync(join(directory, 'scenarios', 'more'), { recursive: true });
file('scenarios/rdi.yaml', `${RDI}expect: { fails: context, boundaries: [nmi_restore+15..16, irq_return] }\n`);
file(
  'scenarios/more/holds.yaml',
  `title: Holds\nimage: ${asm('linux_nmi.S')}\nevents: { nmi: 1 }\nlong: true\nexpect: holds\n`,
);
mkdirSync(join(directory, 'wrong'));
file('wrong/rdi.yaml', `${RDI}expect: holds\n`);
mkdirSync(join(directory, 'none'));

test('a suite in its folder: a line each in the order of the names, status 0', async () => {
  const { status, stdout, stderr } = await entrace(['test']);
  assert.equal(stderr, '');
  assert.match(
    stdout,
    /^ok {4}scenarios\/more\/holds: holds, [\d,]+ states, [\d.]+ s\nok {4}scenarios\/rdi: fails as it must in context \(3 boundaries\), .*\n\n[\s\S]*\n2 passed, 0 failed\n$/,
  );
  assert.equal(status, 0);
});

test('what fails otherwise is reported in full, its paths saved and replayed; status 1', async () => {
  const { status, stdout } = await entrace(['test', 'wrong', 'scenarios']);
  assert.equal(status, 1);
  assert.match(
    stdout,
    /^FAIL {2}wrong\/rdi, .*\n {6}RDI\n {6}context fails, which is not expected, at nmi@nmi_restore\+15\.\.\+16, nmi@irq_return\+0\n/,
  );
  assert.match(stdout, /fails at irq_return\+0 in NMI 1/);
  assert.match(stdout, /\n2 passed, 1 failed\n$/);
  const [, path] = /3 paths saved in \.entrace\/paths\/wrong\/rdi; entrace replay (\S+) runs the first/.exec(stdout)!;
  const replay = await entrace(['replay', path!]);
  assert.equal(replay.status, 1, replay.stderr);
  assert.match(replay.stdout, /broken: .*context/);
});

test('selections', async () => {
  const names = async (...args: string[]): Promise<string[]> => {
    const { stdout } = await entrace(['test', '--reporter', 'json', ...args]);
    return JSON.parse(stdout).cases.map((c: { name: string }) => c.name);
  };
  assert.deepEqual(await names('--short'), ['scenarios/rdi']);
  assert.deepEqual(await names('--filter', 'l-3'), ['scenarios/rdi']);
  assert.deepEqual(await names('--filter', 'MORE'), ['scenarios/more/holds']);
  assert.deepEqual(await names('--shard', '1/2'), ['scenarios/more/holds']);
  assert.deepEqual(await names('--shard', '2/2'), ['scenarios/rdi']);
  assert.deepEqual(await names('scenarios/rdi.yaml', 'scenarios/rdi.yaml', 'scenarios'), [
    'scenarios/rdi',
    'scenarios/more/holds',
  ]);
});

test('reports into files, beside the one on standard output; the cache', async () => {
  const args = [
    'test',
    '--reporter',
    'ktap',
    '--reporter',
    'junit=out.xml',
    '--reporter',
    'json=out.json',
    '--cache',
    'kept',
  ];
  const first = await entrace(args);
  assert.equal(
    first.stdout,
    'KTAP version 1\n1..2\nok 1 scenarios/more/holds\nok 2 scenarios/rdi\n# Totals: pass:2 fail:0 total:2\n',
  );
  assert.match(
    readFileSync(join(directory, 'out.xml'), 'utf8'),
    /<testsuites name="entrace" tests="2" failures="0" errors="0"/,
  );
  const cached = (): boolean[] =>
    JSON.parse(readFileSync(join(directory, 'out.json'), 'utf8')).cases.map((c: { cached: boolean }) => c.cached);
  assert.deepEqual(cached(), [false, false]);
  assert.equal((await entrace(args)).stdout, first.stdout);
  assert.deepEqual(cached(), [true, true]);
});

test('bad input: one line, status 2', async () => {
  file('two.yaml', 'title: a\n---\ntitle: b\n');
  file('typo.yaml', `${RDI.replace('races', 'rases')}expect: holds\n`);
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['none'], /^entrace: none: holds no scenario \(\.yaml\); a suite without scenarios is no success\n$/],
    [['nowhere'], /^entrace: nowhere: there is no such file or folder/],
    [['--filter', 'zzz'], /^entrace: none of the 2 cases in scenarios goes with --filter 'zzz'\n$/],
    [['--shard', '3/2'], /^entrace: --shard '3\/2': there are shards 1 to 2, no shard 3\n$/],
    [['--shard', '0/2'], /^entrace: --shard '0\/2': there are shards 1 to 2, no shard 0\n$/],
    [['--shard', '1'], /^entrace: --shard '1': expected I\/N, for example 1\/4\n$/],
    [['--shard', '4/4'], /^entrace: --shard 4\/4: there are only 2 cases; use at most as many shards\n$/],
    [['--reporter', 'tap'], /^entrace: --reporter 'tap': there is no such reporter \(did you mean ktap\?\)/],
    [
      ['--reporter', 'text', '--reporter', 'json'],
      /^entrace: --reporter: text and json both write to standard output; give all but one a file/,
    ],
    [['--reporter', 'json=/proc/x/y'], /^entrace: --reporter: \/proc\/x\/y cannot be written \(ENOENT\)\n$/],
    [['--cache', '/proc/x'], /^entrace: --cache \/proc\/x: cannot make the directory/],
    [['--workers', '0'], /expected a whole number above 0/],
  ];
  await each(cases, async ([args, message]) => {
    const { status, stdout, stderr } = await entrace(['test', ...args]);
    assert.match(stderr, message, args.join(' '));
    assert.equal(stdout, '', args.join(' '));
    assert.equal(status, 2, args.join(' '));
  });
  // A file that is wrong fails alone.
  const { status, stdout } = await entrace(['test', 'two.yaml', 'typo.yaml', 'scenarios/rdi.yaml']);
  assert.equal(status, 2);
  assert.match(stdout, /^ERROR two\n {6}two\.yaml:2:1: is not the YAML of a scenario: a second document begins here/);
  assert.match(stdout, /ERROR typo\n {6}typo\.yaml:2:1: there is no field 'rases' \(did you mean races\?\)/);
  assert.match(stdout, /\n1 passed, 2 failed\n$/);
});

test('Ctrl-C: what was done is reported, the rest is named as not run; status 3', async () => {
  mkdirSync(join(directory, 'slow'));
  file('slow/a.yaml', `${RDI}expect: { fails: context, boundaries: [nmi_restore+15..16, irq_return] }\n`);
  file(
    'slow/b.yaml',
    `title: Long\nimage: ${asm('linux_nmi.S')}\ncontext: user\nevents: { nmi: 4, bp: 2, mc: 1 }\nproperties: [flags]\nexpect: holds\n`,
  );
  const { status, stdout } = await entrace(['test', 'slow', '--workers', '1'], {
    started: (child) => child.stdout!.on('data', (text: string) => /ok {4}slow\/a/.test(text) && child.kill('SIGINT')),
  });
  assert.equal(status, 3);
  assert.match(stdout, /interrupted: 1 case not run\n1 passed, 0 failed\n$/);
});

test('schema prints what is shipped', async () => {
  const { status, stdout } = await entrace(['schema']);
  assert.equal(status, 0);
  assert.equal(JSON.parse(stdout).properties.expect !== undefined, true);
});

test('ablate: what is caught and by what, what survives; known survivors, a page', async () => {
  const image = asm('linux_nmi.S');
  const only = ['--only', 'nmi+1..nmi_from_user'];
  const plain = await entrace(['ablate', image, ...only, '--events', 'nmi=1', '--context', 'kernel,user', '--verbose']);
  assert.match(plain.stdout, /caught {3}remove nmi\+1 \(testb \$3, 16\(%rsp\)\): /);
  assert.match(plain.stdout, /caught {3}invert nmi\+2 \(jz nmi_from_kernel\): /);
  assert.match(plain.stdout, /\n8 mutants, [\d.]+ s: 5 caught, 0 refused, 3 survived, 0 not closed\n/);
  assert.match(
    plain.stdout,
    /\nsurvived constant nmi\+1: 3 -> 2 \(testb \$3, 16\(%rsp\)\)\nsurvived constant nmi\+1: 3 -> 1 /,
  );
  assert.equal(plain.status, 1);

  const known = file(
    'known.yaml',
    `survivors:\n  'constant nmi+1: 3 -> 2': only rings 0 and 3 are used\n  'constant nmi+1: 3 -> 1': the same\n  'take nmi+2': one NMI needs no second path\n`,
  );
  const args = ['ablate', image, ...only, '--events', 'nmi=1', '--context', 'kernel,user', '--cache', 'kept'];
  const good = await entrace([...args, '--known', known, '--markdown', 'page.md', '--verbose']);
  assert.equal(good.status, 0, good.stdout);
  assert.match(good.stdout, /survived constant nmi\+1: 3 -> 2 .*: only rings 0 and 3 are used\n/);
  const page = readFileSync(join(directory, 'page.md'), 'utf8');
  assert.match(page, /- \*\*constant nmi\+1: 3 -> 1\*\* \(`testb \$3, 16\(%rsp\)`\): the same\n/);
  assert.match(page, /\n\| remove nmi\+2 \| `jz nmi_from_kernel` \| /);

  file(
    'stale.yaml',
    `survivors:\n  'constant nmi+1: 3 -> 2': x\n  'constant nmi+1: 3 -> 1': x\n  'take nmi+2': x\n  'remove nmi+2': x\n`,
  );
  const stale = await entrace([...args, '--known', 'stale.yaml']);
  assert.equal(stale.status, 1);
  assert.match(stale.stdout, /stale\.yaml:5:3: 'remove nmi\+2' is said to survive, but does not; take it out\n$/);

  const one = await entrace([...args.slice(0, 2), '--mutant', 'remove nmi+0', '--events', 'nmi=1']);
  assert.equal(one.status, 0);
  assert.match(one.stdout, /\n1 mutant, [\d.]+ s: 1 caught/);
});

test('ablate: what cannot be ablated', async () => {
  const image = asm('linux_nmi.S');
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [
      [image, '--mutant', 'remove nmi+99'],
      /--mutant 'remove nmi\+99': there is no such mutant; did you mean 'remove nmi\+/,
    ],
    [[image, '--only', 'nothing'], /there is no label 'nothing' in the image/],
    [[RFC], /linux_nmi_rfc\.S: without any alteration: .*which is not expected.*; mend that first/],
    [[image, 'scenarios/rdi.yaml'], /linux_nmi\.S: give either scenarios \(\.yaml\) or assembly files, not both/],
    [['scenarios/rdi.yaml', 'scenarios/more/holds.yaml'], /is about another image than scenarios\/rdi\.yaml/],
    [[image, '--known', 'known.yml'], /known\.yml: there is no such file/],
    [['nothing.S'], /nothing\.S/],
  ];
  await each(cases, async ([args, message]) => {
    const { status, stderr } = await entrace(['ablate', ...args]);
    assert.match(stderr, message);
    assert.equal(stderr.trimEnd().split('\n').length, 1, stderr);
    assert.equal(status, 2);
  });
});

test('diff: what a version mends, breaks and leaves, followed through what was put in', async () => {
  const mended = await entrace(['diff', RFC, asm('linux_nmi.S'), '--property', 'context']);
  assert.equal(mended.status, 0);
  assert.match(
    mended.stdout,
    /context kernel, profile intel: fails -> holds\n {2}context {2}fixed {6}nmi at nmi_restore\+15\.\.\+16, irq_return\+0\n\n3 fixed, 0 broken, 0 unchanged\n$/,
  );
  const broken = await entrace(['diff', asm('linux_nmi.S'), RFC, '--property', 'context', '--json']);
  assert.equal(broken.status, 1);
  assert.deepEqual(
    JSON.parse(broken.stdout).settings[0].changes.map((c: { change: string; new: string }) => [c.change, c.new]),
    [
      ['broken', 'nmi_restore+15'],
      ['broken', 'nmi_restore+16'],
      ['broken', 'irq_return+0'],
    ],
  );

  // An instruction put in before the window: the window is the same, one further on.
  const text = readFileSync(RFC, 'utf8').replaceAll('"include/', `"${asm('include')}/`);
  const at = text.indexOf('addq\t$PT_RIP, %rsp');
  assert.ok(at > 0);
  file('nop.S', `${text.slice(0, at)}nop\n\t${text.slice(at)}`);
  const moved = await entrace(['diff', RFC, 'nop.S', '--property', 'context']);
  assert.match(
    moved.stdout,
    /context {2}unchanged {2}nmi at nmi_restore\+15\.\.\+16, irq_return\+0 \(now nmi_restore\+16\.\.\+17, irq_return\+0\)\n {2}context {2}broken {5}nmi at nmi_restore\+15\n/,
  );
  assert.equal(moved.status, 1);
});

test('diff: results that were saved', async () => {
  await entrace(['explore', RFC, '--property', 'context', '--json', 'old.json']);
  await entrace(['explore', asm('linux_nmi.S'), '--property', 'context', '--json', 'new.json']);
  const saved = await entrace(['diff', 'old.json', 'new.json']);
  assert.match(saved.stdout, /3 fixed, 0 broken, 0 unchanged\n$/);
  await entrace(['test', '--reporter', 'json=suite.json']);
  assert.equal((await entrace(['diff', 'suite.json', 'suite.json'])).status, 0);
  mkdirSync(join(directory, 'dir.json'));
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [['old.json', 'suite.json'], /old\.json and suite\.json have no setting in common/],
    [['old.json', 'no.json'], /no\.json: there is no such file/],
    [['old.json', 'dir.json'], /dir\.json: is a directory; name a result \(\.json\)\n$/],
    [['old.json', file('bad.json', '{')], /bad\.json: is not JSON/],
    [['old.json', file('other.json', '{}')], /other\.json: is no result; make one with explore --json/],
  ];
  await each(cases, async ([args, message]) => {
    const { status, stderr } = await entrace(['diff', ...args]);
    assert.match(stderr, message);
    assert.equal(status, 2);
  });
});

// Nothing is left behind where nothing was asked for.
test('a suite that passes writes nothing', async () => {
  rmSync(join(directory, '.entrace'), { recursive: true, force: true });
  const before = readdirSync(directory);
  await entrace(['test']);
  assert.deepEqual(readdirSync(directory), before);
  assert.equal(existsSync(join(directory, '.entrace')), false);
  writeFileSync(join(directory, 'done'), '');
});
