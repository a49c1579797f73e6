/** What the logs say of a path is what an observer of the same path has seen: two records, made in different ways. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Disassembler } from '../../src/cpu/disassembler.js';
import { Debugger } from '../../src/debugger/debugger.js';
import { profileNamed } from '../../src/profiles/profile.js';
import { PROPERTIES } from '../../src/properties/index.js';
import { causeOf } from '../../src/report/cause.js';
import type { Step, Trace } from '../../src/report/trace.js';
import { explore, runOf, type Setting } from '../support/search.js';

const att = await Disassembler.create();

/** Everything that a step says, in one comparable form. */
function said(step: Step): object {
  const { index, address, processor, owner, fired, switchedTo, delivered, returned, vmx, instruction, line } = step;
  const writes = step.writes.map((w) => `${w.address.toString(16)}=${w.value.toString(16)}`).sort();
  return {
    index,
    address,
    processor,
    owner,
    fired,
    switchedTo,
    delivered,
    returned,
    vmx,
    mnemonic: instruction?.mnemonic,
    line: line?.position.line,
    frame: returned ? step.reads.slice(-5) : [],
    read: step.reads[0],
    writes,
    after: [...step.after].join(),
  };
}

function compare(debug: Debugger, trace: Trace, name: string): void {
  const { history } = debug;
  assert.equal(history.length, trace.steps.length, name);
  for (const step of trace.steps)
    assert.deepEqual(said(history.step(step.index)!), said(step), `${name} #${step.index}`);
  assert.deepEqual(
    history.broken.map(({ explanation: _, ...rest }) => rest),
    trace.broken.map(({ explanation: _, ...rest }) => rest),
    name,
  );
  for (const broken of trace.broken) {
    const [a, b] = [causeOf(trace, broken), causeOf(history, broken)];
    assert.deepEqual([b?.step.index, b?.what], [a?.step.index, a?.what], `${name}: the cause of ${broken.property}`);
  }
}

const SEARCHES: readonly (readonly [string | string[], Setting])[] = [
  ['linux_nmi_rfc.S', {}],
  ['linux_nmi_plain.S', {}],
  ['linux_nmi_rfc.S', { context: 'syscall-gap' }],
  ['linux_nmi_3_3.S', { context: 'user' }],
  ['linux_nmi.S', { events: 'nmi=2,mc=1' }],
  ['linux_nmi_plain.S', { events: 'nmi=2,bp=1,smi=1' }],
];

for (const [images, setting] of SEARCHES) {
  test(`${images} ${JSON.stringify(setting)}: every transition, failure and cause of each counterexample`, () => {
    const explored = explore(images, setting);
    const profile = profileNamed(setting.profile ?? 'intel');
    const seen = new Set<string>();
    for (const failure of explored.result.failures.slice(0, 25)) {
      const key = failure.path.map((e) => `${e.event}@${e.boundary}#${e.hit}`).join();
      if (seen.has(key)) continue;
      seen.add(key);
      const debug = new Debugger({
        title: key,
        subject: explored.subject,
        profile,
        properties: PROPERTIES,
        disassemblers: { att, intel: att },
        saved: {
          image: '',
          files: [''],
          defines: {},
          platform: 'linux',
          profile: 'intel',
          context: 'kernel',
        },
      });
      debug.play(failure.path.map((e) => ({ ...e, where: e.boundary })));
      const trace = runOf(explored, failure, failure.path.length, setting.profile);
      if (trace.run.loopLength > 0) continue;
      compare(debug, trace, key);
    }
    assert.ok(seen.size > 2, String(seen.size));
  });
}
