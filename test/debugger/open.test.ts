/** What a debugger is opened on: images, scenarios, path files; and what is wrong with them. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import type { Debugger } from '../../src/debugger/debugger.js';
import { openDebugger } from '../../src/debugger/open.js';
import { InputError } from '../../src/errors.js';
import { printed, where } from '../support/debugger.js';
import { asm, directory } from '../support/search.js';

const SETTINGS = { platform: 'linux', profile: 'intel', knobs: {}, context: 'kernel', sources: {}, code: {} };
const open = (target: string | string[], rest: object = {}): Promise<Debugger> =>
  openDebugger([target].flat(), { ...SETTINGS, ...rest });

function scenario(name: string, text: string): string {
  const file = join(directory, name);
  writeFileSync(file, text);
  return file;
}

const RFC = `title: The RFC
image: [${asm('linux_nmi_rfc.S')}]
context: [kernel, user]
events: { nmi: 2, bp: 1 }
properties: [context]
expect:
  fails: context
  boundaries: [nmi_restore+15, nmi_restore+16, irq_return+0]
`;

test('a scenario opens at the failure of its counterexample', async () => {
  const debug = await open(scenario('rfc.yaml', RFC));
  assert.equal(debug.lastStop.reason, 'failure');
  assert.match(debug.lastStop.text, /^context is broken: rdi is not what it was/);
  assert.equal(where(debug), '175 context context_start+0');
  assert.match(debug.title, /rfc\.yaml: The RFC$/);
});

test('--case chooses one of several', async () => {
  const file = scenario('cases.yaml', RFC);
  const debug = await open(file, { case: 'user' });
  assert.equal(debug.subject.context, 'user');
  await assert.rejects(open(file, { case: 'nosuch' }), {
    message: /--case nosuch: .*cases\.yaml has no such case; it has '.*cases \[kernel\]', '.*cases \[user\]'$/,
  });
});

test('a schedule opens at its failure too; a scenario that holds opens at the start, and says so', async () => {
  const fixed = scenario(
    'schedule.yaml',
    `title: fixed
image: [${asm('linux_nmi_rfc.S')}]
context: kernel
schedule:
  - nmi@context_start+0
  - bp@do_nmi+0
  - nmi@irq_return+0
properties: [context]
expect: { fails: context }
`,
  );
  assert.match((await open(fixed)).lastStop.text, /^context is broken/);
  const holds = scenario(
    'holds.yaml',
    `title: holds
image: [${asm('linux_nmi.S')}]
context: kernel
events: { nmi: 1 }
expect: holds
`,
  );
  const debug = await open(holds);
  assert.equal(debug.lastStop.text, 'at the start: the scenario holds, so there is no counterexample');
  assert.equal(where(debug), '0 context context_start+0');
});

test('what cannot be opened is one clear line', async () => {
  const path = join(directory, 'bad.json');
  writeFileSync(path, '{}');
  for (const [target, message] of [
    [[], /^nothing to debug/],
    [['nosuch.S'], /^nosuch\.S: no such file$/],
    [['nosuch.json'], /^nosuch\.json: there is no such file/],
    [[path], /bad\.json: /],
    [[asm('linux_nmi.S'), path], /bad\.json: a scenario or a path file is opened by itself; name it alone$/],
    [[scenario('broken.yaml', 'title: [')], /broken\.yaml:\d+:\d+: /],
  ] as const) {
    await assert.rejects(open([...target]), (error: Error) => {
      assert.ok(error instanceof InputError, String(error.stack));
      assert.match(error.message, message);
      return true;
    });
  }
});

test('a path whose event cannot fire says where', async () => {
  const debug = await open(asm('linux_nmi_rfc.S'));
  const file = join(directory, 'never.json');
  await printed(debug, 'nmi');
  await debug.continue();
  await printed(debug, `save ${file}`);
  const { readFileSync } = await import('node:fs');
  const saved = JSON.parse(readFileSync(file, 'utf8'));
  saved.path.push({ boundary: 'nested_nmi+0', hit: 1, event: 'nmi' });
  writeFileSync(file, JSON.stringify(saved));
  await assert.rejects(open(file), {
    message: /never\.json: the path does not apply: nested_nmi\+0 is never reached$/,
  });
  saved.path = [
    saved.path[0],
    { boundary: 'nmi+0', hit: 1, event: 'nmi' },
    { boundary: 'nmi+1', hit: 1, event: 'nmi' },
  ];
  writeFileSync(file, JSON.stringify(saved));
  await assert.rejects(open(file), { message: /at nmi\+1 nmi cannot be fired: an NMI is pending already/ });
});

test('code that the context itself runs and that is not modelled is named by its line', async () => {
  const context = join(directory, 'time.S');
  writeFileSync(
    context,
    '\t.text\n\t.globl context_start, context_end\ncontext_start:\n\trdtsc\ncontext_end:\n\tjmp context_end\n',
  );
  await assert.rejects(open(asm('linux_nmi.S'), { context }), {
    message: /time\.S:4: context_start\+0: rdtsc reads a counter/,
  });
});
