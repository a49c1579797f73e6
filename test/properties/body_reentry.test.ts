/** `body-reentry`: the body is not entered while it is already running. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { explore, plainHandler, runOf, verdict } from '../support/search.js';

const HOLDS = { verdict: 'holds' };

test('an NMI in the body after a breakpoint enters it a second time', () => {
  assert.deepEqual(verdict(plainHandler(), { property: 'body-reentry' }), {
    verdict: 'fails',
    'body-reentry': { nmi: 'int3+0, do_nmi+0..+16', bp: 'do_nmi+0..+16' },
  });
  assert.deepEqual(verdict('linux_nmi.S', { property: 'body-reentry' }), HOLDS);
  assert.deepEqual(verdict('linux_nmi_rfc.S', { property: 'body-reentry' }), HOLDS);
});

test('bodies one after the other are no re-entry', () => {
  assert.deepEqual(verdict(plainHandler(), { events: 'nmi=3' }), HOLDS);
  assert.deepEqual(verdict(plainHandler({ after: 'call do_nmi\n\tcall do_nmi' }), { events: 'nmi=1' }), HOLDS);
});

test('a body that calls itself is entered twice, without any second event', () => {
  const body = (call: string): string =>
    plainHandler({
      before: 'cld\n\tmovl $1, %ebx',
      more: `.globl do_nmi, do_nmi_end
do_nmi:
	testl	%ebx, %ebx
	jz	1f
	xorl	%ebx, %ebx
	${call}
1:	ret
do_nmi_end:
	int3`,
    });
  assert.deepEqual(verdict(body('call do_nmi'), { events: 'nmi=1' }), {
    verdict: 'fails',
    'body-reentry': { nmi: 'context_start+0..+13' },
  });
  assert.deepEqual(verdict(body('nop'), { events: 'nmi=1' }), HOLDS);
});

test('the body is the innermost function that the image has: default_do_nmi before do_nmi', () => {
  // linux_nmi.S enters do_nmi twice, in which the second call only takes note.
  const explored = explore('linux_nmi.S', { context: 'user' });
  assert.equal(explored.result.verdict, 'holds');
  const plain = explore(plainHandler());
  const failure = plain.result.failures.find((f) => f.property === 'body-reentry')!;
  const broken = runOf(plain, failure).broken.find((b) => b.property === 'body-reentry')!;
  assert.equal(broken.explanation, 'do_nmi is entered while 1 earlier call of it has not returned');
});

test('a body under two names is body and C part at once', () => {
  // body_int3.S defines do_nmi and default_do_nmi at one address.
  const found = verdict(['linux_nmi_plain.S', 'body_int3.S'], { events: 'nmi=2' }) as Record<string, object>;
  assert.deepEqual(found['body-reentry'], { nmi: 'nmi+0..+21, nmi_body+0..+2, do_nmi+0..+11, int3+0' });
  assert.deepEqual(found['handler-view'], { nmi: 'nmi+0..+21, nmi_body+0..+2, do_nmi+0..+11, int3+0' });
});
