/** --features on the command line: one set, all sets, and what a saved path says of them. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { executedPlaces, patchedPlaces, sameCode } from '../../src/patching/combinations.js';
import { downloaded } from '../support/downloads.js';
import { PATCHED_HANDLER } from '../support/patched.js';
import { directory, entrace, file } from './entrace.js';

const HANDLER = file('patched.S', PATCHED_HANDLER);
const SEARCH = ['--events', 'nmi=1', '--property', 'context'];

test('the features decide what is run, and so the verdict', async () => {
  const without = await entrace(['explore', HANDLER, ...SEARCH, '--features', 'fsgsbase']);
  assert.equal(without.status, 0, without.stderr + without.stdout);
  assert.match(without.stdout, /patched for features fsgsbase; of what the entry code asks for: fsgsbase\n/);
  const withSmap = await entrace(['explore', HANDLER, ...SEARCH, '--features', 'fsgsbase,smap', '--save', 'kept']);
  assert.equal(withSmap.status, 1, withSmap.stderr);
  const name = join('kept', readdirSync(join(directory, 'kept'))[0]!);
  const saved = JSON.parse(readFileSync(join(directory, name), 'utf8')) as Record<string, unknown>;
  assert.deepEqual(saved.features, ['fsgsbase', 'smap']);
  assert.equal((await entrace(['replay', name])).status, 1);
});

test('--features all: a search for each code that is executed, results that are the same together', async () => {
  const args = ['explore', HANDLER, ...SEARCH, '--features', 'all', '--json', '-'];
  const { status, stdout, stderr } = await entrace(args);
  assert.equal(status, 1, stderr);
  const all = JSON.parse(stdout) as {
    varying: string[];
    groups: { sets: string[][]; searches: number; result: { verdict: string } }[];
  };
  assert.deepEqual(all.varying, ['fsgsbase', 'smap']);
  assert.deepEqual(
    all.groups.map(({ sets, searches, result }) => [result.verdict, sets.map((s) => s.join('+')).sort(), searches]),
    [
      // What FSGSBASE replaces is jumped over, but the processor is another one: CR4 differs.
      ['holds', ['', 'fsgsbase'], 2],
      ['fails', ['fsgsbase+smap', 'smap'], 2],
    ],
  );
  assert.match(stderr, /^patched\.S: 4 sets of features\n/);
  assert.match(stderr, /\nfails: 2 sets: smap, fsgsbase\+smap\n/);
});

test('two codes are the same if what was executed is', () => {
  const place = (entry: number): { size: number; entry: number } => ({ size: 5, entry });
  const a = { places: new Map([[100n, place(0)]]), thunks: '' };
  const b = { places: new Map([[100n, place(1)]]), thunks: '' };
  const none = { places: new Map<bigint, { size: number; entry: number }>(), thunks: '' };
  const executed = (address: bigint, length: number): bigint[] =>
    executedPlaces(patchedPlaces([none, a, b]), [{ address, length }]);
  assert.deepEqual(executed(100n, 5), [100n]);
  assert.equal(sameCode(a, a, executed(100n, 5)), true);
  for (const other of [b, none]) {
    assert.equal(sameCode(a, other, executed(100n, 5)), false);
    assert.equal(sameCode(a, other, executed(104n, 1)), false);
    assert.equal(sameCode(a, other, executed(98n, 3)), false);
    assert.equal(sameCode(a, other, executed(105n, 2)), true);
    assert.equal(sameCode(a, other, executed(98n, 2)), true);
  }
  assert.equal(sameCode(a, { ...a, thunks: '1' }, []), false);
});

test('what cannot be done with sets of features', async () => {
  const wrong: readonly (readonly [string[], RegExp])[] = [
    [['--features', 'all', '--profile', 'intel,amd'], /--features all: runs many searches already; name one profile/],
    [['--features', 'pti,,smap'], /features 'pti,,smap': a name is missing/],
    [['--features', 'smapp'], /there is no feature 'smapp'.*did you mean smap/],
    [['--features', 'xenpv'], /the machine has no xenpv/],
    [['--features', '7*32+11'], /pti is there under another name; write pti/],
    [['--features', 'pti,-pti'], /pti is given and taken out again/],
  ];
  for (const [args, message] of wrong) {
    const { status, stdout, stderr } = await entrace(['explore', HANDLER, ...SEARCH, ...args]);
    assert.deepEqual([status, stdout], [2, ''], args.join(' '));
    assert.match(stderr, message);
  }
});

test('the real NMI entry, with and without page-table isolation and FSGSBASE', async (t) => {
  const object = downloaded(t, 'linux/entry_64.o');
  if (object === undefined) return;
  const args = ['explore', object, '--events', 'nmi=1', '--context', 'user', '--features', 'all:pti,fsgsbase'];
  const { status, stdout, stderr } = await entrace(args);
  assert.equal(status, 0, stderr + stdout);
  assert.match(stdout, /: 4 sets of features\n/);
  assert.match(stdout, /\nholds: 4 sets: all of them\n$/);
});
