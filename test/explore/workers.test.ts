/** A search in several threads gives what one thread gives. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { InputError } from '../../src/errors.js';
import { type Bound, parsePlaces } from '../../src/explore/bound.js';
import type { SearchResult } from '../../src/explore/result.js';
import { type SearchRequest, startSearch } from '../../src/explore/threads.js';
import { LINUX } from '../../src/platforms/linux.js';
import { profileNamed } from '../../src/profiles/profile.js';
import { PROPERTIES } from '../../src/properties/index.js';
import { explore, failureLines, plainHandler, subjectOf, windowsOf } from '../support/search.js';

const BOUND: Bound = { nmi: 2, bp: 1 };

function request(file: string, context: string, more: Partial<SearchRequest> = {}): SearchRequest {
  const subject = subjectOf(file, { context });
  return {
    subject,
    profile: profileNamed('intel'),
    properties: PROPERTIES.map((p) => p.name),
    bound: BOUND,
    places: parsePlaces([], subject.image, LINUX, BOUND),
    ...more,
  };
}

function run(file: string, context: string, workers: number): Promise<SearchResult> {
  return startSearch(request(file, context, { workers })).result;
}

/** Property, event, boundary and number of events of each failure. */
const lengths = (result: SearchResult): string[] =>
  failureLines(result).map((line) => `${line.split(':')[0]} ${line.split(' ').length}`);

test('two workers find the same windows as one, with schedules of the same length', async () => {
  for (const [file, context] of [
    ['linux_nmi_rfc.S', 'kernel'],
    ['linux_nmi_rfc.S', 'syscall-gap'],
  ] as const) {
    const one = await run(file, context, 1);
    const two = await run(file, context, 2);
    assert.equal(two.verdict, one.verdict);
    assert.equal(two.stopped, undefined);
    assert.deepEqual(windowsOf(two.failures), windowsOf(one.failures));
    assert.deepEqual(lengths(two), lengths(one));
    // And the thread finds what a search in this thread finds.
    const here = explore(file, { context });
    assert.deepEqual(windowsOf(one.failures), here.windows);
    assert.equal(one.states, here.result.states);
  }
});

test('two workers: what holds, holds', async () => {
  const result = await run('linux_nmi.S', 'kernel', 2);
  assert.equal(result.verdict, 'holds');
  assert.deepEqual(result.failures, []);
  assert.equal(result.stopped, undefined);
});

test('the parts of a search together find what the whole finds, and no part more', () => {
  const whole = explore('linux_nmi_rfc.S').result;
  const parts = [0, 1, 2].map((index) => explore('linux_nmi_rfc.S', { part: { index, count: 3 } }).result);
  const key = (f: { property: string; event: string; boundary: string }): string =>
    `${f.property} ${f.event} ${f.boundary}`;
  const all = new Set(parts.flatMap((p) => p.failures.map(key)));
  assert.deepEqual([...all].sort(), [...new Set(whole.failures.map(key))].sort());
});

test('a limit in one thread opens the verdict of all', async () => {
  const result = await startSearch(request('linux_nmi.S', 'user', { workers: 2, maxStates: 5000 })).result;
  assert.equal(result.verdict, 'open');
  assert.match(result.stopped!, /limit of 5,000 states|another thread has stopped/);
});

test('an interrupted search says so, and what it has found so far counts', async () => {
  const running = startSearch(request('linux_nmi.S', 'user', { bound: { nmi: 6, bp: 3 }, workers: 2 }), () =>
    running.interrupt(),
  );
  const result = await running.result;
  assert.equal(result.verdict, 'open');
  assert.equal(result.stopped, 'interrupted');
  assert.ok(result.states > 0);
});

test('what the machine does not model is bad input for the caller too, with the place', async () => {
  const file = plainHandler({ after: 'movdqa %xmm0, %xmm1' });
  await assert.rejects(run(file, 'kernel', 2), (error: InputError) => {
    assert.equal(error.name, 'InputError');
    assert.match(error.message, /^\S+handler\.S:\d+: nmi\+20: .* does not model/);
    assert.match(error.notes.join(), /^reached by nmi@context_start\+\d+$/);
    return true;
  });
});
