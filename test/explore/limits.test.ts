/** Searches that cannot be closed: they stop, say why, and never call it a pass. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { explore, plainHandler, source, verdict } from '../support/search.js';

test('a limit of states stops the search', () => {
  const { result } = explore('linux_nmi.S', { context: 'user', maxStates: 5000 });
  assert.equal(result.verdict, 'open');
  assert.equal(result.stopped, 'the limit of 5,000 states is reached (--max-states)');
  assert.ok(result.states >= 5000 && result.states < 20_000);
});

test('a limit that is not reached changes nothing', () => {
  const free = explore('linux_nmi_rfc.S').result;
  const limited = explore('linux_nmi_rfc.S', { maxStates: 10_000_000 }).result;
  assert.equal(limited.stopped, undefined);
  assert.equal(limited.states, free.states);
});

test('a limit of memory stops the search', () => {
  const { result } = explore('linux_nmi.S', { context: 'user', events: 'nmi=4,bp=2', maxMemory: 1 << 20 });
  assert.equal(result.verdict, 'open');
  assert.equal(result.stopped, 'the visited set has reached its limit of 1 MiB (--max-memory)');
});

test('whoever watches can stop the search', () => {
  let asked = 0;
  const { result } = explore('linux_nmi.S', {
    context: 'user',
    events: 'nmi=4,bp=2',
    shouldStop: () => (++asked > 3 ? 'enough' : undefined),
  });
  assert.equal(result.verdict, 'open');
  assert.equal(result.stopped, 'enough');
});

test('a stopped search that has found a failure fails', () => {
  const { result } = explore('linux_nmi_plain.S', { context: 'user', maxStates: 30_000, events: 'nmi=3,bp=1' });
  assert.equal(result.verdict, 'fails');
  assert.equal(result.stopped, 'the limit of 30,000 states is reached (--max-states)');
  assert.ok(result.failures.length > 0);
});

test('a handler that never returns is an endless loop when its states repeat, and open when they do not', () => {
  assert.deepEqual(verdict(source('\t.globl nmi\nnmi:\tjmp nmi\n'), { events: 'nmi=1' }), {
    verdict: 'fails',
    progress: { nmi: 'context_start+0..+13' },
  });
  assert.deepEqual(verdict(source('\t.globl nmi\nnmi:\tincq %rax\n\tjmp nmi\n'), { events: 'nmi=1' }), {
    verdict: 'open',
    stopped:
      'from nmi+0 on after nmi at context_start+0, 50,000 instructions ran without coming back: the code does not return, or needs more than a search can follow',
  });
});

test('a handler that pushes for ever runs into the end of its stack', () => {
  const found = verdict(source('\t.globl nmi\nnmi:\tpushq %rax\n\tjmp nmi\n'), { events: 'nmi=1' }) as Record<
    string,
    object
  >;
  assert.equal((found as { verdict?: string }).verdict, 'fails');
  assert.deepEqual(found.shutdown ?? found.progress ?? found['stack-bounds'], { nmi: 'context_start+0..+13' });
});

test('a context that never ends is an endless loop without any event', () => {
  const context = source(
    '\t.text\n\t.globl context_start, context_end\ncontext_start:\n\tnop\n\tjmp context_start\ncontext_end:\n\tnop\n',
    'endless.S',
  );
  const explored = explore('linux_nmi.S', { context, events: 'nmi=1' });
  assert.equal(explored.result.verdict, 'fails');
  assert.deepEqual(explored.windows.progress, { none: 'context_start+0' });
  assert.deepEqual(explored.result.failures.find((f) => f.event === 'none')!.path, []);
});

test('an image that jumps into nothing fails, and the search comes to its end', () => {
  const found = verdict(source('\t.globl nmi\nnmi:\n\tmovabsq $0xffffffff70000000, %rax\n\tjmp *%rax\n'), {
    events: 'nmi=1',
    property: 'progress,shutdown',
  });
  assert.deepEqual(found, { verdict: 'fails', progress: { nmi: 'context_start+0..+13' } });
});

test('progress is reported while it runs: states, transitions, windows, share', () => {
  const seen: { states: number; transitions: number; failures: number; done: number | undefined }[] = [];
  explore('linux_nmi_plain.S', { context: 'user', onProgress: (p) => seen.push(p) });
  assert.ok(seen.length > 2);
  for (const { states, transitions, done } of seen) {
    assert.ok(states > 0 && transitions >= states - 1);
    assert.ok(done === undefined || (done >= 0 && done <= 1));
  }
  assert.ok(seen.at(-1)!.failures > 0);
});

test('no event at all: the context alone is run', () => {
  const { result } = explore(plainHandler(), { events: 'nmi=0' });
  assert.equal(result.verdict, 'holds');
  assert.equal(result.states, 15);
  assert.equal(result.transitions, 14);
});
