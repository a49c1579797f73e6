/** The verdicts on the handlers in asm/: what holds, and where exactly the older designs break. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { stackNamed } from '../../src/platforms/boot.js';
import { LINUX } from '../../src/platforms/linux.js';
import { profileNamed } from '../../src/profiles/profile.js';
import { runs } from '../../src/report/names.js';
import { traceOf } from '../../src/report/path.js';
import type { Trace } from '../../src/report/trace.js';
import { CONTEXTS, explore, mutant, runOf, schedule, subjectOf, verdict } from '../support/search.js';

/** The boundaries that failures with one kind of last event have, over all properties, sorted by address. */
function boundaries(explored: ReturnType<typeof explore>, event: string): string {
  const found = explored.result.failures.filter((f) => f.event === event);
  const sorted = [...new Map(found.map((f) => [f.address, f.boundary]))].sort(([a], [b]) => (a < b ? -1 : 1));
  return runs(sorted.map(([, boundary]) => boundary));
}

/** Where NMI 1 is vulnerable: from the IRET of the breakpoint at the body's first instruction up to its own IRET. */
function afterBreakpoint(file: string, context: string): string {
  const subject = subjectOf(file, { context });
  const path = [
    { boundary: 'context_start+0', hit: 1, event: 'nmi' },
    { boundary: 'do_nmi+0', hit: 1, event: 'bp' },
  ] as const;
  const trace = traceOf(subject, profileNamed('intel'), path);
  const iret = trace.steps.findIndex((s) => s.owner === '#BP 1' && s.returned);
  const inside = trace.steps.slice(iret).filter((s) => s.owner !== 'context');
  const found = [...new Set(inside.map((s) => s.address))].sort((a, b) => (a < b ? -1 : 1));
  return runs(found.map((address) => subject.image.name(address)));
}

test('linux_nmi.S holds in every context for every placement of three NMIs and a breakpoint, closed', () => {
  for (const context of CONTEXTS) {
    const { result } = explore('linux_nmi.S', { context, events: 'nmi=3,bp=1' });
    assert.equal(result.verdict, 'holds', context);
    assert.equal(result.stopped, undefined, context);
    assert.deepEqual(result.failures, [], context);
    assert.ok(result.states > 10_000, context);
  }
});

test('linux_nmi.S holds for two NMIs and two breakpoints, and under both profiles', () => {
  assert.deepEqual(verdict('linux_nmi.S', { events: 'nmi=2,bp=2' }), { verdict: 'holds' });
  assert.deepEqual(verdict('linux_nmi.S', { profile: 'amd', context: 'user' }), { verdict: 'holds' });
});

test('linux_nmi_plain.S holds as long as nothing unblocks NMIs', () => {
  for (const context of CONTEXTS) {
    assert.deepEqual(verdict('linux_nmi_plain.S', { context, events: 'nmi=3' }), { verdict: 'holds' }, context);
    assert.deepEqual(verdict('linux_nmi_plain.S', { context, events: 'nmi=1,bp=2' }), { verdict: 'holds' }, context);
  }
});

test("linux_nmi_plain.S fails at every boundary after the breakpoint's IRET, up to its own IRET", () => {
  const body = { nmi: 'int3+0, do_nmi+0..+16', bp: 'do_nmi+0..+16' };
  const exit = 'nmi_restore+0..+15, irq_return+0, int3+0, do_nmi+0..+16';
  for (const context of CONTEXTS) {
    // Only where ring 0 has been interrupted with the kernel's GS is nmi_swapgs jumped over.
    const swapgs = context === 'kernel' ? '' : 'nmi_swapgs+0, ';
    const explored = explore('linux_nmi_plain.S', { context });
    assert.deepEqual(
      explored.windows,
      {
        progress: { nmi: `nmi_body+3..+4, ${swapgs}${exit}`, bp: 'do_nmi+0..+16' },
        'body-reentry': body,
        'handler-view': body,
      },
      context,
    );
    assert.equal(boundaries(explored, 'nmi'), `nmi_body+3..+4, ${swapgs}${exit}`, context);
    // The context's first instruction is the user's in syscall-gap: GS is to be swapped there.
    assert.equal(boundaries(explored, 'nmi'), afterBreakpoint('linux_nmi_plain.S', context), context);
  }
});

test('linux_nmi_plain.S: an NMI at its own IRET makes an endless loop, reported as a cycle', () => {
  const explored = explore('linux_nmi_plain.S');
  const failure = explored.result.failures.find((f) => f.boundary === 'irq_return+0')!;
  assert.equal(failure.property, 'progress');
  assert.match(schedule(failure.path), /^nmi@context_start\+\d+ bp@do_nmi\+\d+ nmi@irq_return\+0$/);
  const trace = runOf(explored, failure);
  assert.equal(trace.run.ending, 'loop');
  assert.equal(trace.run.loopLength, 1);
  assert.deepEqual(
    trace.broken.map((b) => [b.property, b.explanation]),
    [
      [
        'progress',
        'the same state comes back without any further event: the loop never ends (from irq_return+0 to irq_return+0, 1 transition)',
      ],
    ],
  );
});

test('linux_nmi_rfc.S holds as long as nothing unblocks NMIs and RSP is not forged', () => {
  for (const context of ['kernel', 'user']) {
    assert.deepEqual(verdict('linux_nmi_rfc.S', { context, events: 'nmi=3' }), { verdict: 'holds' }, context);
  }
});

test('linux_nmi_rfc.S: context and handler-view fail exactly where rdi is lost', () => {
  const explored = explore('linux_nmi_rfc.S');
  const inside = 'restart_nmi+28..+29, nmi_restore+0..+16, irq_return+0, int3+0, do_nmi+0..+16';
  assert.deepEqual(explored.windows, {
    context: { nmi: 'nmi_restore+15..+16, irq_return+0' },
    'handler-view': { nmi: inside, bp: 'do_nmi+0..+16' },
  });
  assert.equal(inside, afterBreakpoint('linux_nmi_rfc.S', 'kernel'));

  // The nested path leaves T-48 in rdi, and changes nothing else.
  const found = stackNamed(LINUX, 'NMI').top - 96n;
  const context = explored.result.failures.filter((f) => f.property === 'context');
  assert.equal(context.length, 3);
  for (const failure of context) {
    const broken = brokenIn(runOf(explored, failure), 'context');
    assert.deepEqual(broken.differences, [{ what: 'rdi', expected: 0x0707070707070707n, found }], failure.boundary);
    assert.equal(broken.closing, 'NMI 1', failure.boundary);
  }
});

test('linux_nmi_rfc.S in the user contexts: the same windows, and nmi_swapgs', () => {
  const inside = 'restart_nmi+28..+29, nmi_swapgs+0, nmi_restore+0..+16, irq_return+0, int3+0, do_nmi+0..+16';
  assert.deepEqual(verdict('linux_nmi_rfc.S', { context: 'user' }), {
    verdict: 'fails',
    context: { nmi: 'nmi_restore+15..+16, irq_return+0' },
    'handler-view': { nmi: inside, bp: 'do_nmi+0..+16' },
  });
  assert.equal(inside, afterBreakpoint('linux_nmi_rfc.S', 'user'));
});

test('linux_nmi_rfc.S loses a single NMI while RSP points into the NMI stack', () => {
  // From the load of RSP up to the instruction that loads another one.
  assert.deepEqual(verdict('linux_nmi_rfc.S', { context: 'user-rsp', events: 'nmi=1' }), {
    verdict: 'fails',
    context: { nmi: 'context_start+4..+9' },
    'nmi-ledger': { nmi: 'context_start+4..+9' },
  });
  assert.deepEqual(verdict('linux_nmi_rfc.S', { context: 'syscall-gap', events: 'nmi=1' }), {
    verdict: 'fails',
    context: { nmi: 'context_start+2..+3, entry_SYSCALL_64+0..+2' },
    'nmi-ledger': { nmi: 'context_start+2..+3, entry_SYSCALL_64+0..+2' },
  });
});

test('linux_nmi_rfc.S with rdx in place of rdi in the nested path keeps its other defects only', () => {
  const fixed = mutant(
    'linux_nmi_rfc.S',
    ['\tleaq\t-48(%rsp), %rdi\n\tmovq\t%rdi, %rsp\n', '\tleaq\t-48(%rsp), %rdx\n\tmovq\t%rdx, %rsp\n'],
    ['\tpushq\t%rdi\n\tpushfq\n', '\tpushq\t%rdx\n\tpushfq\n'],
  );
  // The body's pt_regs still change under it.
  const view = { 'handler-view': { nmi: 'int3+0, do_nmi+0..+16', bp: 'do_nmi+0..+16' } };
  const lost = 'context_start+2..+3, entry_SYSCALL_64+0..+2';
  assert.deepEqual(verdict(fixed), { verdict: 'fails', ...view });
  assert.deepEqual(verdict(fixed, { context: 'syscall-gap' }), {
    verdict: 'fails',
    ...view,
    'nmi-ledger': { nmi: lost },
  });
});

function brokenIn(trace: Trace, property: string): Trace['broken'][number] {
  const broken = trace.broken.find((b) => b.property === property);
  assert.ok(broken, `${property} is not broken`);
  return broken;
}
