/** What a search keeps of all its schedules: what was fired where, and the events before the last one. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { ScheduleGraph } from '../../src/explore/schedule_graph.js';
import { ScheduleRecorder } from '../../src/explore/schedule_recorder.js';
import { profileNamed } from '../../src/profiles/profile.js';
import { runs } from '../../src/report/names.js';
import { traceOf } from '../../src/report/path.js';
import { explore } from '../support/search.js';

const explored = explore('linux_nmi_rfc.S', { wantSchedules: true });
const { image } = explored.subject;
const record = explored.result.schedules!;
const graph = new ScheduleGraph(record, record.graph!);
const named = (addresses: readonly bigint[]): string =>
  runs([...addresses].sort((a, b) => (a < b ? -1 : 1)).map((address) => image.name(address)));
const window = { address: image.resolve('nmi_restore+15')!, event: 'nmi', property: 'context' };

test('the search finds what it finds without a record', () => {
  const plain = explore('linux_nmi_rfc.S').result;
  const { states, transitions, failures, verdict } = explored.result;
  assert.deepEqual(
    { states, transitions, failures, verdict },
    { states: plain.states, transitions: plain.transitions, failures: plain.failures, verdict: plain.verdict },
  );
  assert.equal(plain.schedules, undefined);
  assert.equal(record.graph!.place.length, states);
});

test('a breakpoint was fired in the body only, an NMI at every boundary that is reached with one to spare', () => {
  const firedBy = (kind: string): bigint[] =>
    record.addresses.filter((_, i) => record.fired[i]! & (1 << record.kinds.indexOf(kind)));
  assert.match(named(firedBy('bp')), /^do_nmi\+0\.\.\+\d+$/);
  // What only a second NMI reaches, and the end of the context: no NMI is left there, or the path is over.
  const without = record.addresses.filter((address) => !firedBy('nmi').includes(address));
  assert.equal(named(without), 'nested_nmi+0..+14, nested_nmi_out+0..+1, repeat_nmi+0..+6, context_end+0');
});

test('what broke something is what the search reports', () => {
  const broken = new Set<string>();
  const { forks, place } = record.graph!;
  for (let at = 0; at < forks.length; at += 4) {
    const address = record.addresses[place[forks[at]!]!]!;
    record.properties.forEach((property, i) => {
      if (forks[at + 3]! & (1 << i)) broken.add(`${property} ${record.kinds[forks[at + 1]!]} ${image.name(address)}`);
    });
  }
  assert.deepEqual(
    [...broken].sort(),
    explored.result.failures.map((f) => `${f.property} ${f.event} ${f.boundary}`).sort(),
  );
});

test('the shortest schedule of a window is as short as the reported one', () => {
  for (const failure of explored.result.failures) {
    const { address, event, property } = failure;
    const found = graph.shortest({ address, event, property }, undefined, image)!;
    assert.equal(found.length, failure.path.length, `${property} ${failure.boundary}`);
  }
  assert.deepEqual(
    graph
      .shortest(window, { address: image.resolve('do_nmi+3')!, event: 'bp' }, image)!
      .map(({ event, boundary, hit }) => `${event}@${boundary}#${hit}`),
    ['nmi@context_start+0#1', 'bp@do_nmi+3#1', 'nmi@nmi_restore+15#1'],
  );
});

test('the events before the last one of a window: each of them really leads there', () => {
  const earlier = graph.earlier(window);
  const of = (event: string): string => named(earlier.filter((e) => e.event === event).map((e) => e.address));
  // The first NMI arrives in the context. A breakpoint lies anywhere in the body: its IRET unblocks NMIs.
  assert.equal(of('nmi'), 'context_start+0..+13');
  assert.equal(of('bp'), named(record.addresses.filter((a) => image.name(a).startsWith('do_nmi+'))));
  const bit = (name: string, trace: ReturnType<typeof traceOf>): boolean =>
    trace.broken.some(({ property }) => property === name);
  for (const event of earlier) {
    const path = graph.shortest(window, event, image)!;
    assert.equal(path.at(-1)!.boundary, 'nmi_restore+15');
    assert.ok(path.some((e) => e.address === event.address && e.event === event.event));
    assert.ok(
      bit('context', traceOf(explored.subject, profileNamed('intel'), path)),
      `${event.event} ${event.address}`,
    );
    const without = traceOf(explored.subject, profileNamed('intel'), path.slice(0, -1));
    assert.ok(!bit('context', without), 'the last event is to blame');
  }
});

test('what is fired where no schedule leads to the window is not among them', () => {
  // No earlier event of a schedule that ends in the first instruction of the context.
  const first = { address: image.resolve('context_start')!, event: 'nmi' };
  assert.deepEqual(
    graph
      .earlier(first)
      .map((e) => image.name(e.address))
      .filter((name) => name.startsWith('nmi_restore')),
    [],
  );
});

test('of a search that is too large only the places are kept, and what was fired there', () => {
  const recorder = new ScheduleRecorder();
  const most = 1 << 20;
  for (let n = 0; n < most; n++) recorder.enter(0, 0x1000n + BigInt(n & 1), n === 0);
  recorder.fork(0, 0x1000n, 1, 5, 0);
  assert.equal(recorder.record(['nmi', 'bp'], []).graph!.place.length, most);
  recorder.enter(0, 0x2000n, false);
  recorder.fork(7, 0x2000n, 0, 5, 0);
  const { graph: kept, addresses, fired } = recorder.record(['nmi', 'bp'], []);
  assert.equal(kept, undefined);
  assert.deepEqual(addresses, [0x1000n, 0x1001n, 0x2000n]);
  assert.deepEqual([...fired], [2, 0, 1]);
  assert.equal(recorder.chainOf(most), 0, 'the search itself goes on');
});
