/** What a case comes to, and what is said about what comes out otherwise than it must. */
import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { searchHere } from '../../src/explore/threads.js';
import { paintFor } from '../../src/report/text.js';
import { Cache } from '../../src/scenarios/cache.js';
import type { Outcome } from '../../src/scenarios/outcome.js';
import { type CaseOptions, runCase } from '../../src/scenarios/run_case.js';
import { casesOf } from '../../src/scenarios/scenario.js';
import { scenarioFrom } from '../../src/scenarios/scenario_file.js';
import { PATCHED_HANDLER } from '../support/patched.js';
import { asm, directory, source } from '../support/search.js';

const RFC = asm('linux_nmi_rfc.S');
const CONTEXT = { title: 'x', image: RFC, events: { nmi: 2, bp: 1 }, properties: ['context'] };
const WINDOW = ['nmi_restore+15..16', 'irq_return'];

async function run(fields: object, options: Partial<CaseOptions> = {}): Promise<Outcome> {
  const [one] = casesOf(scenarioFrom({ title: 'x', ...fields }, directory));
  let searches = 0;
  const outcome = await runCase(one!, {
    paint: paintFor({}),
    search: (request) => {
      searches++;
      return searchHere(request);
    },
    ...options,
  });
  return { ...outcome, title: String(searches) };
}

const expecting = (boundaries: readonly string[]): object => ({
  ...CONTEXT,
  expect: { fails: { context: boundaries } },
});

test('the exact set, however it is written, is met', async () => {
  for (const set of [
    WINDOW,
    ['nmi_restore+15..irq_return+0'],
    ['irq_return', 'nmi_restore+16', 'nmi_restore+15'],
    ['nmi@nmi_restore+15..16', 'nmi@irq_return'],
    // Counted from another label: what counts is the address.
    ['nmi_restore+15..17'],
  ]) {
    const { status, problems, report, result } = await run(expecting(set));
    assert.deepEqual([status, problems, report], ['met', [], undefined], set.join());
    assert.equal(result!.verdict, 'fails');
  }
});

test('one boundary too few, too many, or of another event is not met', async () => {
  const problems = async (set: readonly string[]): Promise<readonly string[]> => {
    const { status, problems } = await run(expecting(set));
    assert.equal(status, 'unmet', set.join());
    return problems;
  };
  assert.deepEqual(await problems(['nmi_restore+15..16']), [
    'context fails also at irq_return+0, which is not expected',
  ]);
  assert.deepEqual(await problems([...WINDOW, 'nmi_restore+14']), [
    'context does not fail at nmi_restore+14, but should',
  ]);
  assert.deepEqual(await problems(['nmi_restore+0']), [
    'context does not fail at nmi_restore+0, but should',
    'context fails also at nmi_restore+15..+16, irq_return+0, which is not expected',
  ]);
  assert.deepEqual(await problems(['nmi@nmi_restore+15..16', 'bp@irq_return']), [
    'context does not fail at bp@irq_return+0, but should',
    'context fails also at nmi@irq_return+0, which is not expected',
  ]);
});

test('failures where none is expected, and none where some are', async () => {
  const failing = await run({ ...CONTEXT, expect: 'holds' }, { save: join(directory, 'saved') });
  assert.equal(failing.status, 'unmet');
  assert.deepEqual(failing.problems, [
    'context fails, which is not expected, at nmi@nmi_restore+15..+16, nmi@irq_return+0',
  ]);
  assert.match(failing.report!, /linux_nmi_rfc\.S: FAILS[\s\S]*fails at irq_return\+0 in NMI 1/);
  assert.equal(failing.saved.length, 3);
  assert.equal(readdirSync(join(directory, 'saved')).length, 3);

  const holding = await run({
    image: asm('linux_nmi.S'),
    events: { nmi: 1 },
    expect: { fails: { context: ['nmi'], progress: ['nmi'] } },
  });
  assert.equal(holding.status, 'unmet');
  assert.deepEqual(holding.problems, [
    'context holds, but should fail at nmi+0',
    'progress holds, but should fail at nmi+0',
  ]);

  const other = await run({ image: RFC, events: { nmi: 2, bp: 1 }, expect: { fails: { context: WINDOW } } });
  assert.equal(other.status, 'unmet');
  assert.match(other.problems.join('; '), /^handler-view fails, which is not expected, at nmi@restart_nmi/);
});

test('only paths of failures that were not expected are saved', async () => {
  const save = join(directory, 'some');
  const { saved } = await run(expecting(['nmi_restore+15..16']), { save });
  assert.deepEqual(saved, [join(save, 'context-nmi-irq_return+0.json')]);
});

test('a search that was not closed is never met', async () => {
  const stopped = await run({ ...CONTEXT, 'max-states': 100, expect: { fails: 'context', boundaries: WINDOW } });
  assert.equal(stopped.status, 'open');
  assert.match(stopped.problems.at(-1)!, /^not closed: /);

  const vacuous = await run({
    image: asm('linux_nmi.S'),
    events: { nmi: 1, 'swint:2': 1 },
    at: { 'swint:2': 'int3' },
    expect: 'holds',
  });
  assert.equal(vacuous.status, 'open');
  assert.match(vacuous.problems[0]!, /^not closed: swint:0x2 could never be fired/);
});

test('a fixed schedule breaks what it must, or not', async () => {
  const schedule = ['nmi@context_start', 'bp@do_nmi', 'nmi@nmi_restore+15'];
  const image = RFC;
  assert.equal((await run({ image, schedule, expect: { fails: ['context', 'handler-view'] } })).status, 'met');
  const some = await run({ image, schedule, expect: { fails: 'context' } });
  assert.deepEqual(some.problems, ['handler-view fails, which is not expected, at nmi@nmi_restore+15']);
  assert.match(some.report!, /rdi is not what it was/);
  const before = await run({
    image,
    schedule: [...schedule.slice(0, 2), 'nmi@nmi_restore+14'],
    properties: ['context'],
    expect: { fails: 'context' },
  });
  assert.deepEqual([before.status, before.problems], ['unmet', ['context holds, but should fail']]);
  assert.equal((await run({ image, schedule: schedule.slice(0, 1), expect: 'holds' })).status, 'met');
  const never = await run({ image, schedule: ['nmi@context_start#9'], expect: 'holds' });
  assert.equal(never.status, 'bad-input');
  assert.match(never.problems[0]!, /context_start \(time 9\) is never reached/);
});

test('bad input is an outcome', async () => {
  const problems = async (fields: object): Promise<string> => {
    const { status, problems } = await run(fields);
    assert.equal(status, 'bad-input');
    assert.equal(problems.length, 1);
    return problems[0]!;
  };
  const missing = source('	.globl nmi\nnmi: jmpq *%rax, %rbx\n');
  assert.match(await problems({ image: missing, events: { nmi: 1 }, expect: 'holds' }), /handler\.S:2/);
  assert.match(
    await problems(expecting(['nmi_restor+15'])),
    /there is no label 'nmi_restor' in the image; did you mean nmi_restore/,
  );
  assert.match(await problems(expecting(['nmi_restore+999'])), /there are not so many instructions after nmi_restore/);
  assert.match(await problems(expecting(['nmi_restore+16..15'])), /the end does not lie after the start/);
  assert.match(await problems(expecting(['nmi_restore+15', 'nmi_restore+15..16'])), /nmi_restore\+15 is given twice/);
  assert.match(
    await problems(expecting(['nmi@nmi_restore+15', 'irq_return'])),
    /some boundaries name an event and others do not \(irq_return\+0\)/,
  );
  assert.match(await problems(expecting(['nmy@irq_return'])), /there is no event 'nmy'/);
  assert.match(
    await problems({ ...CONTEXT, at: { bp: 'nothing..here' }, expect: 'holds' }),
    /there is no label 'nothing'/,
  );
});

test('the cache keeps what was found, and forgets it when anything else could come out', async () => {
  const folder = join(directory, 'cache');
  const with_ = (program: string): Partial<CaseOptions> => ({ cache: new Cache(folder, program) });
  const searches = async (fields: object, program = 'one'): Promise<[string, boolean, string]> => {
    const { title, cached, status } = await run(fields, with_(program));
    return [title, cached, status];
  };
  const file = source('#include "linux_nmi_rfc.S"\n');
  const fields = { ...CONTEXT, image: file, expect: { fails: 'context', boundaries: WINDOW } };
  assert.deepEqual(await searches(fields), ['1', false, 'met']);
  assert.deepEqual(await searches(fields), ['0', true, 'met']);
  // What must come out is compared anew; what is to be reported is searched again.
  assert.deepEqual(await searches({ ...fields, expect: 'holds' }), ['1', false, 'unmet']);
  assert.deepEqual(await searches(fields, 'another version of entrace'), ['1', false, 'met']);
  assert.deepEqual(await searches({ ...fields, events: { nmi: 1, bp: 1 }, expect: 'holds' }), ['1', false, 'met']);
  assert.deepEqual(await searches({ ...fields, knobs: { smmNmiPolicy: 'iret-unblocks' } }), ['1', false, 'met']);
  assert.deepEqual(await searches({ ...fields, context: 'user' }), ['1', false, 'met']);
  writeFileSync(file, '#include "linux_nmi_rfc.S"\n	nop\n');
  assert.deepEqual(await searches(fields), ['1', false, 'met']);
  // A result that is damaged is not used; one that is not closed is not kept.
  for (const name of readdirSync(folder)) writeFileSync(join(folder, name), '{');
  assert.deepEqual(await searches(fields), ['1', false, 'met']);
  const open = { ...fields, 'max-states': 100 };
  assert.deepEqual(await searches(open), ['1', false, 'open']);
  assert.deepEqual(await searches(open), ['1', false, 'open']);
});

test('what ends in a panic is open when panics are not checked, as a search and as a schedule', async () => {
  const image = asm('xen_entry_detect.S');
  const lost = { platform: 'xen', image, properties: ['context'], expect: 'holds' };
  const stopped =
    'not closed: fatal_trap is reached, and nothing is known about what follows; check the property panic too';
  const events = { 'intr:2': 1, nmi: 1 };
  const searched = await run({ ...lost, events, at: { 'intr:2': 'context_start+2', nmi: 'nmi..nmi_end' } });
  assert.deepEqual([searched.status, searched.problems], ['open', [stopped]]);
  const schedule = ['intr:2@context_start+2', 'nmi@nmi+1'];
  const followed = await run({ ...lost, schedule });
  assert.deepEqual([followed.status, followed.problems], ['open', [stopped]]);
  const expected = { ...lost, schedule, properties: ['context', 'panic'], expect: { fails: 'panic' } };
  assert.equal((await run(expected)).status, 'met');
});

test('a context that a platform has of its own', async () => {
  const xen = { platform: 'xen', image: asm('xen_entry.S'), events: { mc: 1 } };
  assert.equal((await run({ ...xen, context: 'syscall-gap', expect: 'holds' })).status, 'met');
});

test('what a cache keeps is for the features that the code was patched for', async () => {
  const image = source(PATCHED_HANDLER, 'patched.S');
  const cache = new Cache(join(directory, 'features-cache'), 'p');
  const fields = { image, events: { nmi: 1 }, properties: ['context'], expect: 'holds' };
  const of = (features: string): Promise<Outcome> => run({ ...fields, features }, { cache });
  assert.deepEqual([(await of('none')).status, (await of('none')).cached], ['met', true]);
  // Other code …
  assert.equal((await of('smap')).status, 'unmet');
  // … and the same code on another processor: CR4.SMEP.
  const other = await of('smep');
  assert.deepEqual([other.status, other.cached], ['met', false]);
});
