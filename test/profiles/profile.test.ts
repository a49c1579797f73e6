/** Profiles as data: the three that come with entrace, files of one's own, changed knobs. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { InputError } from '../../src/errors.js';
import { conflictOf, KNOB_NAMES, type Knobs } from '../../src/profiles/knobs.js';
import {
  type Changes,
  checkChanges,
  chooseProfile,
  chooseProfiles,
  PROFILES,
  parseChanges,
  profileNamed,
} from '../../src/profiles/profile.js';
import { profileDocument } from '../../src/profiles/profile_file.js';
import { didYouMean } from '../../src/suggestion.js';

const directory = mkdtempSync(join(tmpdir(), 'entrace-profiles-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));

function file(name: string, content: string): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  return path;
}

const knob = (name: string, value: unknown): string =>
  `  ${name}:\n    value: ${value}\n    source: a test\n    note: Why.\n`;

/** What `name` has that Intel has not. */
function departures(name: string): object {
  const values = Object.entries(PROFILES[name]!);
  return Object.fromEntries(values.filter(([k, value]) => k !== 'name' && value !== PROFILES.intel![k as 'la57']));
}

test('the profiles by name, and what AMD and FRED change', () => {
  assert.deepEqual(Object.keys(PROFILES), ['intel', 'amd', 'fred']);
  for (const [name, profile] of Object.entries(PROFILES)) {
    assert.deepEqual(Object.keys(profile), ['name', ...KNOB_NAMES]);
    assert.equal(profile.name, name);
    assert.deepEqual(profileNamed(name), profile);
    // The defaults where the manuals leave it open: events come at more boundaries rather than at fewer.
    assert.equal(profile.iretFaultUnblocksNmi, true);
    assert.equal(profile.stiShadowBlocksNmi, false);
    assert.equal(profile.shadowBlocksSmi, false);
    assert.equal(profile.smmNmiPolicy, 'preserved');
    assert.equal(profile.secondShadowExtends, false);
    assert.equal(profile.noNestedDataBreakpoint, false);
  }
  assert.deepEqual(departures('fred'), { fred: true });
  const { vendor, sysretChecksBeforeSwitch, sysenterInLongMode, ...others } = departures('amd') as Partial<Knobs>;
  assert.deepEqual([vendor, sysretChecksBeforeSwitch, sysenterInLongMode], ['amd', false, false]);
  assert.equal(others.nullSelectorClearsBase, false);
  assert.equal(others.breakpointAddressMasks, true);
  assert.equal(others.machineCheckBroadcast, false);
});

test('each knob of each profile has a source and a note', () => {
  for (const name of Object.keys(PROFILES)) {
    const { settings } = profileDocument(name);
    for (const k of KNOB_NAMES) {
      assert.match(settings[k].source, /SDM|APM|Linux|XTF|not verified/, `${name} ${k}`);
      assert.match(settings[k].note, /^[A-Z\d].{20,}[^.]\.$/, `${name} ${k}`);
    }
  }
});

test('a file takes over what it does not set, from a profile or from another file', () => {
  file('lab.yaml', `name: lab\ntitle: A lab machine\nextends: amd\nknobs:\n${knob('noNestedDataBreakpoint', true)}`);
  const path = file(
    'lab2.yaml',
    `name: lab2\ntitle: Another\nextends: ./lab.yaml\nknobs:\n${knob('smmNmiPolicy', 'rsm-unblocks')}`,
  );
  assert.deepEqual(profileNamed(path), {
    ...PROFILES.amd,
    name: 'lab2',
    noNestedDataBreakpoint: true,
    smmNmiPolicy: 'rsm-unblocks',
  });
});

test('a profile whose knobs are changed has another name, and a file another hash', () => {
  const changes = parseChanges(['smmNmiPolicy=iret-unblocks', 'iretFaultUnblocksNmi=false']);
  const { profile, base, rules } = chooseProfile('intel', changes);
  assert.equal(profile.name, 'intel with iretFaultUnblocksNmi=false, smmNmiPolicy=iret-unblocks');
  assert.equal(base, 'intel');
  assert.equal(rules, undefined);
  assert.deepEqual(profile, { ...PROFILES.intel, name: profile.name, ...changes });
  const path = file('hashed.yaml', `name: hashed\ntitle: H\nextends: intel\nknobs:\n${knob('la57', true)}`);
  assert.match(chooseProfile(path).rules!, /^[0-9a-f]{64}$/);
  assert.notEqual(chooseProfile(path).rules, chooseProfile(path, { la57: false }).rules);
  // The order in which they were given does not matter.
  const same = parseChanges(['iretFaultUnblocksNmi=false', 'smmNmiPolicy=iret-unblocks']);
  assert.equal(chooseProfile('intel', same).profile.name, profile.name);
  assert.deepEqual(checkChanges(JSON.parse(JSON.stringify(changes)) as Record<string, unknown>), changes);
});

test('a list of profiles takes the same changes', () => {
  const chosen = chooseProfiles('intel, amd', parseChanges(['la57=true']));
  assert.deepEqual(
    chosen.map(({ profile }) => [profile.name, profile.vendor, profile.la57]),
    [
      ['intel with la57=true', 'intel', true],
      ['amd with la57=true', 'amd', true],
    ],
  );
});

test('knobs that contradict each other are refused, in whichever way they come together', () => {
  const cases: readonly [string, Changes, RegExp][] = [
    ['intel', { breakpointAddressMasks: true }, /vendor=intel and breakpointAddressMasks=true contradict each other/],
    ['intel', { noNestedDataBreakpoint: true }, /vendor=intel and noNestedDataBreakpoint=true contradict each other/],
    ['fred', { noNestedDataBreakpoint: true }, /^profile fred with noNestedDataBreakpoint=true: vendor=intel and /],
    ['amd', { sysenterInLongMode: true }, /vendor=amd and sysenterInLongMode=true contradict each other/],
    [
      'intel',
      { vendor: 'amd' },
      /vendor=amd and sysenterInLongMode=true contradict each other: .*; change one of them$/,
    ],
  ];
  for (const [name, changes, message] of cases) {
    assert.throws(
      () => chooseProfile(name, changes),
      (error) => error instanceof InputError && message.test(error.message),
      `${name} ${JSON.stringify(changes)}`,
    );
  }
  // What the vendors do differently may be set one by one; and AMD may have FRED.
  for (const [name, changes] of [
    ['intel', { sysretChecksBeforeSwitch: false, nullSelectorClearsBase: false }],
    ['amd', { sysretChecksBeforeSwitch: true, nullSelectorClearsBase: true, fred: true }],
    ['intel', { vendor: 'amd', sysenterInLongMode: false }],
  ] as const) {
    assert.equal(conflictOf(chooseProfile(name, changes).profile), undefined);
  }
});

test('near misses are suggested, and only those', () => {
  for (const [word, found] of [
    ['intl', 'intel'],
    ['itnel', 'intel'],
    ['Intel', 'intel'],
    ['amb', 'amd'],
    ['via', undefined],
    ['', undefined],
  ] as const) {
    const text = found === undefined ? '' : ` (did you mean ${found}?)`;
    assert.equal(didYouMean(word, ['intel', 'amd', 'fred']), text, word);
  }
});
