/** A body that executes a real INT3 gives the verdicts that a breakpoint fired by the search gives. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { CONTEXTS, explore, runOf, verdict } from '../support/search.js';

const BODY = 'body_int3.S';

/** Verdict and broken properties, sorted. */
function broken(images: string | string[], context: string, events: string): (string | undefined)[] {
  const { result } = explore(images, { context, events });
  return [result.verdict, result.stopped, ...new Set(result.failures.map((f) => f.property).sort())];
}

test('verdict and broken properties are those of a fired breakpoint, for each handler in each context', () => {
  for (const handler of ['linux_nmi.S', 'linux_nmi_plain.S', 'linux_nmi_rfc.S']) {
    for (const context of CONTEXTS) {
      assert.deepEqual(
        broken([handler, BODY], context, 'nmi=2'),
        broken(handler, context, 'nmi=2,bp=1'),
        `${handler} ${context}`,
      );
    }
  }
});

test('linux_nmi.S with it holds for three NMIs', () => {
  for (const context of ['kernel', 'user']) {
    assert.deepEqual(verdict(['linux_nmi.S', BODY], { context, events: 'nmi=3' }), { verdict: 'holds' }, context);
  }
});

test('each run of the body unblocks NMIs, so an NMI that came before is delivered there', () => {
  // Every boundary at which NMIs are blocked, and every one after the INT3.
  const inside = 'nmi+0..+21, nmi_body+0..+2, do_nmi+0..+11, int3+0';
  assert.deepEqual(verdict(['linux_nmi_plain.S', BODY], { events: 'nmi=2' }), {
    verdict: 'fails',
    progress: { nmi: 'nmi+0..+21, nmi_body+0..+4, nmi_restore+0..+15, irq_return+0, do_nmi+0..+11, int3+0' },
    'body-reentry': { nmi: inside },
    'handler-view': { nmi: inside },
  });
});

test('linux_nmi_rfc.S with it: rdi is lost at the same last three boundaries', () => {
  const explored = explore(['linux_nmi_rfc.S', BODY], { events: 'nmi=2' });
  assert.deepEqual(explored.windows.context, { nmi: 'nmi_restore+15..+16, irq_return+0' });
  for (const failure of explored.result.failures.filter((f) => f.property === 'context')) {
    const differences = runOf(explored, failure).broken.find((b) => b.property === 'context')!.differences;
    assert.deepEqual(
      differences.map((d) => d.what),
      ['rdi'],
    );
  }
});
