/** The schedules that a search lists: each breaks what it is listed for when it is run strictly, and is minimal. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { InputError } from '../../src/errors.js';
import { type PathFile, readPathFile, savePaths } from '../../src/explore/path_file.js';
import type { Failure } from '../../src/explore/result.js';
import { asm, directory, explore, runOf, type Setting, schedule } from '../support/search.js';

const SEARCHES: readonly (readonly [string | string[], Setting])[] = [
  ['linux_nmi_plain.S', {}],
  ['linux_nmi_rfc.S', {}],
  ['linux_nmi_rfc.S', { context: 'syscall-gap' }],
  [['linux_nmi_rfc.S', 'body_int3.S'], { events: 'nmi=2' }],
  ['linux_nmi_rfc.S', { events: 'nmi=3,bp=1', at: ['bp=do_nmi+0'] }],
];

test('every schedule breaks its property when it is run strictly, and does not without its last event', () => {
  for (const [images, setting] of SEARCHES) {
    const explored = explore(images, setting);
    assert.ok(explored.result.failures.length > 0);
    const runs = new Map<string, string[]>();
    const broken = (failure: Failure, events: number): string[] => {
      const key = schedule(failure.path.slice(0, events));
      let found = runs.get(key);
      if (!found) {
        found = runOf(explored, failure, events).broken.map((b) => b.property);
        runs.set(key, found);
      }
      return found;
    };
    for (const failure of explored.result.failures) {
      const { length } = failure.path;
      const name = `${images} ${failure.property}: ${schedule(failure.path)}`;
      assert.ok(broken(failure, length).includes(failure.property), name);
      assert.ok(!broken(failure, length - 1).includes(failure.property), name);
    }
  }
});

test('the last event of a schedule is the window: its boundary, address and kind', () => {
  const { result, subject } = explore('linux_nmi_rfc.S');
  for (const failure of result.failures) {
    const last = failure.path.at(-1)!;
    assert.equal(last.boundary, failure.boundary);
    assert.equal(last.address, failure.address);
    assert.equal(last.event, failure.event);
    assert.equal(subject.image.resolve(failure.boundary), failure.address);
  }
});

test('there is one failure for each property, kind of event and boundary, sorted by address', () => {
  const { failures } = explore('linux_nmi_plain.S').result;
  const keys = failures.map((f) => `${f.property} ${f.event} ${f.boundary}`);
  assert.equal(new Set(keys).size, keys.length);
  const addresses = failures.map((f) => f.address);
  assert.deepEqual(
    addresses,
    addresses.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0)),
  );
});

test('a schedule that does not apply is refused', () => {
  const explored = explore('linux_nmi_rfc.S');
  const failure = explored.result.failures.find((f) => f.property === 'context')!;
  const with_ = (change: object): (() => void) => {
    const path = [...failure.path.slice(0, -1), { ...failure.path.at(-1)!, ...change }];
    return () => runOf(explored, { ...failure, path });
  };
  assert.throws(with_({ hit: 1000 }), { name: 'InputError', message: /\(time 1000\) is never reached/ });
  assert.throws(with_({ boundary: 'nowhere+0' }), { name: 'InputError', message: /no label 'nowhere'/ });
  assert.throws(with_({ boundary: 'irq_return+99' }), {
    name: 'InputError',
    message: /not so many instructions after/,
  });
  // A breakpoint of the schedule comes before the NMI: fired twice at one boundary, the second finds NMIs pending.
  const twice = [failure.path[0]!, failure.path[1]!, failure.path[1]!];
  assert.throws(() => runOf(explored, { ...failure, path: twice }), InputError);
});

test('paths are saved, one file for each failure, and read back as they were', () => {
  const { result, subject } = explore('linux_nmi_rfc.S');
  const to = join(directory, 'saved', 'deep');
  const common = {
    image: subject.image.hash,
    files: [asm('linux_nmi_rfc.S')],
    defines: { A: '1' },
    platform: 'linux',
    profile: 'intel',
    context: 'kernel',
  };
  const names = savePaths(to, result.failures, common);
  assert.equal(new Set(names).size, result.failures.length);
  names.forEach((name, i) => {
    const failure = result.failures[i]!;
    const read = readPathFile(name);
    assert.deepEqual(read, {
      entrace: 'path/1',
      ...common,
      property: failure.property,
      path: failure.path.map(({ boundary, hit, event }) => ({ boundary, hit, event })),
    });
    // Relative to the file, so that both can be moved together.
    assert.ok(!(JSON.parse(readFileSync(name, 'utf8')) as PathFile).files[0]!.startsWith('/'));
  });
});

test('a path file that is not as it should be is refused, with the field', () => {
  const good: PathFile = {
    entrace: 'path/1',
    image: '0'.repeat(64),
    files: ['x.S'],
    defines: {},
    platform: 'linux',
    profile: 'intel',
    context: 'kernel',
    property: 'context',
    path: [{ boundary: 'nmi+0', hit: 1, event: 'nmi' }],
  };
  const read = (value: unknown): (() => void) => {
    const file = join(directory, 'path.json');
    writeFileSync(file, JSON.stringify(value));
    return () => readPathFile(file);
  };
  assert.doesNotThrow(read(good));
  const refused: readonly (readonly [unknown, RegExp])[] = [
    [[], /path\.json: /],
    [null, /path\.json: /],
    [{ ...good, entrace: 'path/2' }, /field entrace: /],
    [{ ...good, image: 'abc' }, /field image: /],
    [{ ...good, files: [] }, /field files: /],
    [{ ...good, files: [1] }, /field files\.0: /],
    [{ ...good, more: 1 }, /more/],
    [{ ...good, path: [{ ...good.path[0], event: 'zap' }] }, /field path\.0\.event: /],
    [{ ...good, path: [{ ...good.path[0], hit: 0 }] }, /field path\.0\.hit: /],
    [{ ...good, path: [{ ...good.path[0], hit: 1.5 }] }, /field path\.0\.hit: /],
    [{ ...good, path: [{ ...good.path[0], hit: 1e30 }] }, /field path\.0\.hit: /],
    [{ ...good, path: [{ hit: 1, event: 'nmi' }] }, /field path\.0\.boundary: /],
  ];
  for (const [value, message] of refused)
    assert.throws(read(value), { name: 'InputError', message }, JSON.stringify(value));
});
