/** `stack-bounds`: RSP stays within the stack in use. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { explore, plainHandler, runOf, verdict } from '../support/search.js';

const HOLDS = { verdict: 'holds' };
const FAILS = { verdict: 'fails', 'stack-bounds': { nmi: 'context_start+0..+13' } };

/** RSP moved by so many bytes around the body; the handler has pushed 168 by then, the body needs 24. */
const moved = (bytes: number): string =>
  plainHandler({ before: `cld\n\tmovq %rsp, %rbx\n\taddq $${bytes}, %rsp`, after: 'movq %rbx, %rsp' });

test('a stack that is used up to its last word holds; one word more breaks it', () => {
  assert.deepEqual(verdict(moved(-(4096 - 168 - 24)), { events: 'nmi=1' }), HOLDS);
  assert.deepEqual(verdict(moved(-(4096 - 168 - 16)), { events: 'nmi=1' }), FAILS);
});

test('RSP above the top breaks it too', () => {
  assert.deepEqual(verdict(moved(168), { events: 'nmi=1', property: 'stack-bounds' }), HOLDS);
  assert.deepEqual(verdict(moved(176), { events: 'nmi=1', property: 'stack-bounds' }), FAILS);
});

test('a nested event that has no room for its frame breaks it', () => {
  const setting = { events: 'nmi=1,bp=1', property: 'stack-bounds' };
  // The frame takes 40 bytes, and 8 more where RSP has to be aligned.
  const fails = (bp: string): object => ({ verdict: 'fails', 'stack-bounds': { bp } });
  assert.deepEqual(verdict(moved(-(4096 - 168 - 72)), setting), HOLDS);
  assert.deepEqual(verdict(moved(-(4096 - 168 - 64)), setting), fails('do_nmi+3..+14'));
  assert.deepEqual(verdict(moved(-(4096 - 168 - 56)), setting), fails('do_nmi+1..+15'));
  assert.deepEqual(verdict(moved(-(4096 - 168 - 24)), setting), fails('do_nmi+0..+16'));
});

test('the report names the stack and its bounds', () => {
  const explored = explore(moved(-4096), { events: 'nmi=1', property: 'stack-bounds' });
  const broken = runOf(explored, explored.result.failures[0]!).broken.find((b) => b.property === 'stack-bounds')!;
  assert.match(
    broken.explanation,
    /^RSP is 0x[0-9a-f]+, outside of the NMI stack \(0xfffffe0000006000 to 0xfffffe0000007000\)$/,
  );
});
