/** The command profiles; explore and replay with profiles of one's own, changed knobs, several profiles; bad profiles. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { asm, directory, type Ended, each, entrace, file } from './entrace.js';

const NMI = asm('linux_nmi.S');
const RFC = asm('linux_nmi_rfc.S');

/**
 * An exit of SYSCALL that takes the return address as it finds it, non-canonical, and restores the user's RSP first. #GP
 * in ring 0 then pushes its frame to where the user says; #GP in ring 3 is a signal like any other.
 */
const SYSRET = file(
  'sysret.S',
  `	.text
	.globl	entry_SYSCALL_64, general_protection
entry_SYSCALL_64:
	swapgs
	movq	%rsp, %gs:cpu_tss_rsp2
	movq	%gs:cpu_current_top_of_stack, %rsp
	movabsq	$0x800000000000, %rcx
	movq	%gs:cpu_tss_rsp2, %rsp
	swapgs
	sysretq
general_protection:
	addq	$8, %rsp
	movq	$after_fault, (%rsp)
	iretq
`,
);
const CALLER = file(
  'caller.S',
  `	.section .text.user,"ax",@progbits
	.globl	context_start, context_end, after_fault
context_start:
	syscall
after_fault:
	nop
context_end:
	jmp	context_end
`,
);
const SYSCALL = [
  ...['explore', SYSRET, NMI, '--context', CALLER, '--events', 'nmi=1', '--property', 'untrusted-stack'],
];

const knob = (name: string, value: unknown): string =>
  `  ${name}:\n    value: ${value}\n    source: a test\n    note: Why.\n`;
const profile = (name: string, ...knobs: readonly string[]): string =>
  file(`${name}.yaml`, `name: ${name}\ntitle: For a test\nextends: intel\nknobs:\n${knobs.join('')}`);

/** The lines of standard error of a refused command: one message, no stack trace. */
async function refused(cases: readonly (readonly [readonly string[], RegExp])[]): Promise<void> {
  await each(cases, async ([args, message]) => {
    const name = args.join(' ');
    const { status, stdout, stderr }: Ended = await entrace(args);
    assert.equal(status, 2, `${name}: ${stderr}`);
    assert.equal(stdout, '', name);
    assert.match(stderr.trimEnd(), message, name);
    assert.equal(stderr.trimEnd().split('\n').length, 1, `${name}: ${stderr}`);
  });
}

test('profiles prints all profiles side by side, the differences marked, and the sources', async () => {
  const { status, stdout, stderr } = await entrace(['profiles']);
  assert.equal(status, 0, stderr);
  assert.equal(stderr, '');
  const lines = stdout.split('\n');
  assert.match(stdout, /^intel {2}Intel 64, .*\namd {4}AMD64, .*\nfred {3}.* \(extends intel\)\n\n/);
  assert.match(stdout, /\n {2}knob +intel +amd +fred\n\* vendor +intel +amd +intel\n/);
  assert.match(stdout, /\n {2}smmNmiPolicy +preserved +preserved +preserved\n/);
  assert.match(stdout, /\n\* sysretChecksBeforeSwitch +true +false +true\n/);
  assert.match(
    stdout,
    /\nsysretChecksBeforeSwitch \(true, false\)\n {2}intel, fred: true\. .*\n[\s\S]*? {4}source: SDM vol\. 2, SYSRET, "Operation"\n {2}amd: false\. /,
  );
  assert.deepEqual(
    lines.filter((line) => line.length > 80 || line !== line.trimEnd()),
    [],
  );
  assert.ok(!stdout.includes('\x1b'));
});

test('profiles NAME prints one, profiles --json an object', async () => {
  const one = await entrace(['profiles', 'fred']);
  assert.equal(one.status, 0);
  assert.match(one.stdout, /^fred {2}.*\n\nvendor \(intel, amd\)\n {2}intel\. /);
  assert.doesNotMatch(one.stdout, /amd:|\* /);
  const mine = profile('mine', knob('la57', true));
  const { status, stdout } = await entrace(['profiles', `intel,${mine}`, '--json']);
  assert.equal(status, 0);
  const { profiles } = JSON.parse(stdout) as {
    profiles: { name: string; extends?: string; knobs: Record<string, { value: unknown; source: string }> }[];
  };
  assert.deepEqual(
    profiles.map((p) => [p.name, p.extends, p.knobs.la57!.value, p.knobs.la57!.source, p.knobs.vendor!.value]),
    [
      ['intel', undefined, false, 'SDM vol. 3, 4.5 "4-Level Paging and 5-Level Paging", CR4.LA57', 'intel'],
      ['mine', 'intel', true, 'a test', 'intel'],
    ],
  );
});

test('several profiles: each verdict, then the windows that differ', async () => {
  const args = [...SYSCALL, '--profile', 'intel,amd', '--json', 'compared.json', '--save', 'compared'];
  const { status, stdout, stderr } = await entrace(args);
  assert.equal(status, 1, stderr);
  assert.equal(stderr, '');
  assert.match(stdout, /: FAILS\n.*, profile intel\n[\s\S]*: holds\n.*, profile amd\n/);
  assert.match(
    stdout,
    /\nwhere the verdicts differ\n {2}property +event +boundary +intel +amd\n {2}untrusted-stack +none +context_start\+0 +fails +holds\n$/,
  );
  const json = JSON.parse(readFileSync(join(directory, 'compared.json'), 'utf8')) as {
    profiles: { profile: string; verdict: string; failures: object[] }[];
    differences: { address: string }[];
  };
  assert.deepEqual(Object.keys(json), ['profiles', 'differences']);
  assert.deepEqual(
    json.profiles.map((p) => [p.profile, p.verdict, p.failures.length]),
    [
      ['intel', 'fails', 1],
      ['amd', 'holds', 0],
    ],
  );
  assert.deepEqual(
    json.differences.map(({ address: _, ...rest }) => rest),
    [
      {
        property: 'untrusted-stack',
        boundary: 'context_start+0',
        event: 'none',
        verdicts: { intel: 'fails', amd: 'holds' },
      },
    ],
  );
  assert.match(json.differences[0]!.address, /^0x[0-9a-f]+$/);
  // Each has its own folder.
  assert.deepEqual(readdirSync(join(directory, 'compared')).sort(), ['amd', 'intel']);
  const names = readdirSync(join(directory, 'compared/intel'));
  assert.deepEqual(names, ['untrusted-stack-none-context_start+0.json']);
  assert.deepEqual(readdirSync(join(directory, 'compared/amd')), []);
  assert.equal((await entrace(['replay', join('compared/intel', names[0]!)])).status, 1);
});

test('one knob makes the difference', async () => {
  const amd = await entrace([...SYSCALL, '--profile', 'amd', '--knob', 'sysretChecksBeforeSwitch=true']);
  assert.equal(amd.status, 1);
  assert.match(amd.stdout, /, profile amd with sysretChecksBeforeSwitch=true\n/);
  assert.match(amd.stdout, /\nuntrusted-stack: /);
  const both = await entrace([...SYSCALL, '--profile', 'intel,amd', '--knob', 'sysretChecksBeforeSwitch=false']);
  assert.equal(both.status, 0);
  assert.match(both.stdout, /\nthe verdict is the same under intel and amd: holds\n$/);
});

test('verdicts that do not differ are said in one line', async () => {
  const args = ['explore', RFC, '--profile', 'intel,amd', '--events', 'nmi=1', '--context', 'user-rsp'];
  const fails = await entrace([...args, '--property', 'context']);
  assert.equal(fails.status, 1);
  assert.match(
    fails.stdout,
    /\nthe verdict is the same under intel and amd: fails, in the same 6 windows \(context\); --profile intel shows them in full\n$/,
  );
  const open = await entrace(['explore', NMI, '--profile', 'intel,amd', '--events', 'nmi=1', '--max-states', '10']);
  assert.equal(open.status, 3);
  assert.match(open.stdout, /\nthe verdict is the same under intel and amd: open\n$/);
});

test('Ctrl-C ends the comparison: the profiles that are left are named', async () => {
  const args = [NMI, '--context', 'user', '--events', 'nmi=6,bp=3', '--profile', 'intel,amd', '--json', 'left.json'];
  const { status, stdout } = await entrace(['explore', ...args], {
    started: (child) => {
      const poll = setInterval(() => {
        if (!readdirSync(directory).includes('left.json')) return;
        clearInterval(poll);
        setTimeout(() => child.kill('SIGINT'), 700);
      }, 20);
    },
  });
  assert.equal(status, 3);
  assert.match(stdout, /stopped: interrupted\n[\s\S]*\ninterrupted; not explored: amd\n$/);
  const json = JSON.parse(readFileSync(join(directory, 'left.json'), 'utf8')) as Record<string, unknown[]>;
  assert.equal(json.profiles!.length, 1);
  assert.deepEqual(json.notExplored, ['amd']);
});

test('a path remembers the changed knobs, and replay makes the same profile again', async () => {
  const args = [...SYSCALL, '--profile', 'amd', '--knob', 'sysretChecksBeforeSwitch=true'];
  assert.equal((await entrace([...args, '--save', 'knobs', '--json', 'knobs.json'])).status, 1);
  const path = 'knobs/untrusted-stack-none-context_start+0.json';
  const saved = JSON.parse(readFileSync(join(directory, path), 'utf8')) as Record<string, unknown>;
  assert.equal(saved.profile, 'amd');
  assert.deepEqual(saved.knobs, { sysretChecksBeforeSwitch: true });
  const { profile, knobs } = JSON.parse(readFileSync(join(directory, 'knobs.json'), 'utf8')) as Record<string, unknown>;
  assert.equal(profile, 'amd with sysretChecksBeforeSwitch=true');
  assert.deepEqual(knobs, { sysretChecksBeforeSwitch: true });
  assert.equal((await entrace(['replay', path])).status, 1);
  // Without them it is another machine, on which nothing breaks.
  const { knobs: _, ...plain } = saved;
  file('knobs/plain.json', JSON.stringify(plain));
  const { status, stdout } = await entrace(['replay', 'knobs/plain.json']);
  assert.equal(status, 0);
  assert.match(stdout, /every property holds on this path/);
});

test('a profile from a file: explored in threads, found again by its path, refused once it has changed', async () => {
  const mine = profile('own', knob('sysretChecksBeforeSwitch', false));
  const other = `./${profile('other', knob('sysretChecksBeforeSwitch', true))}`;
  const { status, stdout } = await entrace([
    ...SYSCALL,
    '--profile',
    `${mine},${other}`,
    '--workers',
    '2',
    '--save',
    'own',
  ]);
  assert.equal(status, 1);
  assert.match(stdout, /untrusted-stack +none +context_start\+0 +holds +fails\n$/);
  const path = 'own/other/untrusted-stack-none-context_start+0.json';
  const saved = JSON.parse(readFileSync(join(directory, path), 'utf8')) as Record<string, unknown>;
  assert.equal(saved.profile, '../../other.yaml');
  assert.match(saved.rules as string, /^[0-9a-f]{64}$/);
  assert.equal((await entrace(['replay', path])).status, 1);
  profile('other', knob('sysretChecksBeforeSwitch', true), knob('la57', true));
  await refused([
    [
      ['replay', path],
      /context_start\+0\.json: was recorded under other rules \(sha256 [0-9a-f]{12}…, profile other\.yaml now gives [0-9a-f]{12}…\); explore again with --save$/,
    ],
  ]);
  rmSync(join(directory, 'other.yaml'));
  await refused([[['replay', path], /context_start\+0\.json: other\.yaml: there is no such file$/]]);
});

test('names and lists of profiles that cannot be used', async () => {
  const explore = (...more: readonly string[]): string[] => ['explore', NMI, ...more];
  await refused([
    [
      explore('--profile', 'via'),
      /^entrace: there is no profile 'via'; the profiles are intel, amd, fred, or the path of a \.yaml file$/,
    ],
    [
      explore('--profile', 'intell'),
      /^entrace: there is no profile 'intell' \(did you mean intel\?\); the profiles are /,
    ],
    [explore('--profile', 'intel,'), /^entrace: there is no profile ''; the profiles are /],
    [explore('--profile', 'constructor'), /^entrace: there is no profile 'constructor'; /],
    [
      explore('--profile', 'intel,amd,intel'),
      /^entrace: --profile 'intel,amd,intel': intel is given twice; give each profile once$/,
    ],
    [explore('--profile', './gone.yaml'), /^entrace: gone\.yaml: there is no such file$/],
    [explore('--profile', './'), /: is a directory; name a profile \(\.yaml\)$/],
    [explore('--profile', NMI), /linux_nmi\.S:\d+:\d+: is not the YAML of a profile: /],
    [explore('--profile', './bin'), /^entrace: bin: is no text; name a profile \(\.yaml\)$/],
    [['profiles', 'frde'], /^entrace: there is no profile 'frde' \(did you mean fred\?\)/],
    [
      ['explore', NMI, '--profile', profile('target', knob('la57', true)), '--json', 'target.yaml'],
      /^entrace: target\.yaml: is one of the source files; name another file with --json$/,
    ],
  ]);
});
file('bin', Uint8Array.of(0x80, 0x81, 0xff));

test('knobs that cannot be used', async () => {
  const explore = (...knobs: readonly string[]): string[] => ['explore', NMI, ...knobs.flatMap((k) => ['--knob', k])];
  await refused([
    [explore('la57'), /^entrace: --knob 'la57': expected NAME=VALUE, for example iretFaultUnblocksNmi=false$/],
    [explore('=true'), /^entrace: --knob '=true': expected NAME=VALUE/],
    [
      explore('smmNmiPolcy=preserved'),
      /^entrace: --knob 'smmNmiPolcy=preserved': there is no knob 'smmNmiPolcy' \(did you mean smmNmiPolicy\?\); entrace profiles lists them$/,
    ],
    [
      explore('__proto__=true'),
      /^entrace: --knob '__proto__=true': there is no knob '__proto__'; entrace profiles lists them$/,
    ],
    [explore('la57=yes'), /^entrace: --knob 'la57=yes': la57: expected true or false, not 'yes'$/],
    [explore('la57='), /^entrace: --knob 'la57=': la57: expected true or false, not ''$/],
    [
      explore('smmNmiPolicy=true'),
      /^entrace: --knob 'smmNmiPolicy=true': smmNmiPolicy: expected preserved, iret-unblocks or rsm-unblocks, not 'true'$/,
    ],
    [explore('la57=true', 'la57=false'), /^entrace: --knob 'la57=false': la57 is given twice; give each knob once$/],
    [
      explore('breakpointAddressMasks=true'),
      /^entrace: profile intel with breakpointAddressMasks=true: vendor=intel and breakpointAddressMasks=true contradict each other: .*; change one of them$/,
    ],
  ]);
});

test('files that are no profiles: file, line and column, what is wrong, what to do', async () => {
  const begin = 'name: bad\ntitle: Bad\n';
  let files = 0;
  const bad = (content: string): string[] => ['profiles', file(`bad${files++}.yaml`, content)];
  const la57 = knob('la57', true);
  await refused([
    [bad(''), /^entrace: bad0\.yaml:1:1: expected a mapping with name:, title: and knobs:/],
    [bad('- 1\n'), /^entrace: bad1\.yaml:1:1: expected a mapping with name:, title: and knobs:$/],
    [bad(`${begin}knobs: {\n`), /^entrace: bad2\.yaml:\d+:\d+: is not the YAML of a profile: /],
    [bad(`${begin}title: Again\n`), /^entrace: bad3\.yaml:3:1: is not the YAML of a profile: Map keys must be unique$/],
    [
      bad(`${begin}extends: intel\nknobs:\n${la57}---\nname: b\n`),
      /^entrace: bad4\.yaml:\d+:\d+: .*a second document begins here; a file holds one profile$/,
    ],
    [bad(`title: Bad\nextends: intel\nknobs:\n${la57}`), /^entrace: bad5\.yaml:1:1: name: is missing; add it$/],
    [
      bad(`${begin}extend: intel\nknobs:\n${la57}`),
      /^entrace: bad6\.yaml:3:1: there is no field 'extend' \(did you mean extends\?\); the fields are name, title, extends, knobs$/,
    ],
    [
      bad(`name: 7\ntitle: Bad\nextends: intel\nknobs:\n${la57}`),
      /^entrace: bad7\.yaml:1:7: name: expected text, not 7$/,
    ],
    [
      bad(`name: a/b\ntitle: Bad\nextends: intel\nknobs:\n${la57}`),
      /^entrace: bad8\.yaml:1:7: name: expected letters, digits, - and _, a letter first, not "a\/b"$/,
    ],
    [
      bad(`name: intel\ntitle: Bad\nextends: intel\nknobs:\n${la57}`),
      /^entrace: bad9\.yaml:1:7: name: intel is the name of a profile of entrace; choose another one$/,
    ],
    [
      bad(`${begin}extends: intel\nknobs: 5\n`),
      /^entrace: bad10\.yaml:4:8: knobs: expected a mapping with a knob on each line, not 5$/,
    ],
    [
      bad(`${begin}extends: intel\nknobs:\n  la57: true\n`),
      /^entrace: bad11\.yaml:5:9: knobs\.la57: expected a mapping with value:, source: and note:, not true$/,
    ],
    [
      bad(`${begin}extends: intel\nknobs:\n${knob('la75', true)}`),
      /^entrace: bad12\.yaml:5:3: there is no knob 'la75' \(did you mean la57\?\); entrace profiles lists them$/,
    ],
    [
      bad(`${begin}extends: intel\nknobs:\n${knob('la57', 'yes')}`),
      /^entrace: bad13\.yaml:6:12: knobs\.la57\.value: expected true or false, not "yes"$/,
    ],
    [
      bad(`${begin}extends: intel\nknobs:\n${knob('vendor', 'via')}`),
      /^entrace: bad14\.yaml:6:12: knobs\.vendor\.value: expected intel or amd, not "via"$/,
    ],
    [
      bad(`${begin}extends: intel\nknobs:\n  la57:\n    value: true\n    note: Why.\n`),
      /^entrace: bad15\.yaml:6:5: knobs\.la57\.source: is missing; add it$/,
    ],
    [
      bad(`${begin}extends: intel\nknobs:\n${la57}    why: Because.\n`),
      /^entrace: bad16\.yaml:9:5: there is no field 'why'; the fields are value, source, note$/,
    ],
    [
      bad(`${begin}knobs:\n${la57}`),
      /^entrace: bad17\.yaml:4:3: knobs: vendor is missing; add it, or take it over with "extends: intel"$/,
    ],
    [
      bad(`${begin}extends: intl\nknobs:\n${la57}`),
      /^entrace: bad18\.yaml:3:10: extends: there is no profile 'intl' \(did you mean intel\?\); the profiles are /,
    ],
    [
      bad(`${begin}extends: ./gone.yaml\nknobs:\n${la57}`),
      /^entrace: bad19\.yaml:3:10: extends: there is no file gone\.yaml$/,
    ],
    [
      bad(`${begin}extends: ./bad20.yaml\nknobs:\n${la57}`),
      /^entrace: bad20\.yaml:3:10: extends: goes round in a circle \(bad20\.yaml extends bad20\.yaml\); let one of them stand on its own$/,
    ],
    [
      bad(`${begin}extends: ./ring.yaml\nknobs:\n${la57}`),
      /^entrace: ring\.yaml:3:10: extends: goes round in a circle \(bad21\.yaml extends ring\.yaml extends bad21\.yaml\)/,
    ],
    [
      bad(`${begin}extends: intel\nknobs:\n${knob('breakpointAddressMasks', true)}`),
      /^entrace: bad22\.yaml:6:12: knobs: vendor=intel and breakpointAddressMasks=true contradict each other: /,
    ],
    [
      bad(`${begin}extends: intel\nknobs:\n  la57: &x\n    value: true\n    source: s\n    note: n\n  fred: *x\n`),
      /^entrace: bad23\.yaml:1:1: uses an alias \(\*NAME\); write the value out$/,
    ],
    [
      bad(`${begin}extends: intel\nknobs:\n${knob('la57', '!ruby/object true')}`),
      /^entrace: bad24\.yaml:6:12: is not the YAML of a profile: Unresolved tag: !ruby\/object$/,
    ],
    [
      bad(`${begin}extends: intel\nknobs:\n${la57.replace('Why.', 'A #GP.')}`),
      /^entrace: bad25\.yaml:8:11: knobs\.la57\.note: what follows ' #' would be a comment; put the text in quotes$/,
    ],
  ]);
});
file('ring.yaml', `name: ring\ntitle: Ring\nextends: ./bad21.yaml\nknobs:\n${knob('la57', true)}`);

test('path files whose profile cannot be used', async () => {
  const args = [...SYSCALL, '--profile', 'amd', '--knob', 'sysretChecksBeforeSwitch=true'];
  assert.equal((await entrace([...args, '--save', 'refused'])).status, 1);
  const path = 'refused/untrusted-stack-none-context_start+0.json';
  const saved = JSON.parse(readFileSync(join(directory, path), 'utf8')) as Record<string, unknown>;
  const changed = (name: string, more: object): string[] => [
    'replay',
    file(`refused/${name}.json`, JSON.stringify({ ...saved, ...more })),
  ];
  await refused([
    [
      changed('name', { profile: 'adm' }),
      /^entrace: refused\/name\.json: there is no profile 'adm' \(did you mean amd\?\)/,
    ],
    [changed('list', { profile: 'intel,amd' }), /^entrace: refused\/list\.json: there is no profile 'intel,amd'/],
    [
      changed('knob', { knobs: { la75: true } }),
      /^entrace: refused\/knob\.json: knobs: there is no knob 'la75' \(did you mean la57\?\)/,
    ],
    [
      changed('value', { knobs: { la57: 'true' } }),
      /^entrace: refused\/value\.json: knobs: la57: expected true or false, not 'true'$/,
    ],
    [changed('number', { knobs: { la57: 1 } }), /^entrace: refused\/number\.json: field knobs\.la57: /],
    [
      changed('conflict', { knobs: { sysenterInLongMode: true } }),
      /^entrace: refused\/conflict\.json: profile amd with sysenterInLongMode=true: vendor=amd and /,
    ],
    [
      changed('rules', { rules: '0'.repeat(64) }),
      /^entrace: refused\/rules\.json: was recorded under other rules \(sha256 000000000000…, profile amd is no file\); explore again with --save$/,
    ],
  ]);
});
