/** `progress`: no state repeats without a further event. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { explore, plainHandler, runOf, verdict } from '../support/search.js';

const HOLDS = { verdict: 'holds' };
const EVERYWHERE = { nmi: 'context_start+0..+13' };
const after = (text: string): string => plainHandler({ after: text });

test('an instruction that jumps to itself is an endless loop', () => {
  assert.deepEqual(verdict(after('1: jmp 1b'), { events: 'nmi=1' }), { verdict: 'fails', progress: EVERYWHERE });
});

test('a loop that ends is none, however often it goes round', () => {
  assert.deepEqual(verdict(after('movl $5000, %ecx\n1:\tdecl %ecx\n\tjnz 1b'), { events: 'nmi=1' }), HOLDS);
});

test('a loop over several turns, each with another state, is found when the first state comes back', () => {
  const explored = explore(after('spin:\tincb %al\n\tjmp spin'), { events: 'nmi=1' });
  assert.deepEqual(explored.windows, { progress: EVERYWHERE });
  const trace = runOf(explored, explored.result.failures[0]!);
  assert.equal(trace.run.ending, 'loop');
  assert.equal(trace.run.loopLength, 512);
});

test('a loop in which faults are delivered is found, by the search and when its path is run again', () => {
  // The handler of #PF returns to the instruction that faults.
  const explored = explore(after('poke:\tmovb $1, 0x1000'), { events: 'nmi=1' });
  assert.deepEqual(explored.windows, { progress: EVERYWHERE });
  const trace = runOf(explored, explored.result.failures[0]!);
  assert.equal(trace.run.ending, 'loop');
  assert.equal(trace.run.loopLength, 3);
  assert.match(trace.broken[0]!.explanation, /from poke\+0 to poke\+0, 3 transitions/);
});

test('halting in a handler with nothing pending breaks it', () => {
  const found = verdict(after('hlt'), { events: 'nmi=1', property: 'progress' });
  assert.deepEqual(found, { verdict: 'fails', progress: EVERYWHERE });
});

test('a loop that counts to 2^64 is neither a pass nor an endless loop: the search is open', () => {
  assert.deepEqual(verdict(after('1:\tincq %rax\n\tjmp 1b'), { events: 'nmi=1' }), {
    verdict: 'open',
    stopped:
      'from nmi+0 on after nmi at context_start+0, 50,000 instructions ran without coming back: the code does not return, or needs more than a search can follow',
  });
});

test('an endless recursion of faults is found by its depth', () => {
  const file = plainHandler({ after: 'movb $1, 0x1000', more: '.globl page_fault\npage_fault:\n\tmovb $1, 0x1000' });
  const found = verdict(file, { events: 'nmi=1', property: 'progress' });
  assert.deepEqual(found, { verdict: 'fails', progress: EVERYWHERE });
});
