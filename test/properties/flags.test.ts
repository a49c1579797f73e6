/** `flags`: DF, AC, NT and TF are clear when the C part is entered. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { keepingNt } from '../support/broken.js';
import { explore, plainHandler, runOf, source, verdict } from '../support/search.js';

const HOLDS = { verdict: 'holds' };

/** Ring 0 code that sets flags for one instruction. */
const contextWith = (flags: string): string =>
  source(
    `	.text
	.globl	context_start, context_end
context_start:
	pushfq
	orq	$${flags}, (%rsp)
	popfq
	nop
	pushq	$2
	popfq
context_end:
	jmp	context_end
`,
    'flags.S',
  );

test('a handler without CLD enters the C part with the DF of the context', () => {
  assert.deepEqual(verdict(plainHandler({ before: '' }), { events: 'nmi=1' }), {
    verdict: 'fails',
    flags: { nmi: 'context_start+3..+5' },
  });
  assert.deepEqual(verdict(plainHandler({ before: 'cld' }), { events: 'nmi=1' }), HOLDS);
});

test('AC of the context reaches the C part unless the handler clears it', () => {
  const context = contextWith('0x40000');
  const file = plainHandler();
  assert.deepEqual(verdict(file, { events: 'nmi=1', context }), {
    verdict: 'fails',
    flags: { nmi: 'context_start+3..+5' },
  });
  assert.deepEqual(verdict(plainHandler({ before: 'pushq $2\n\tpopfq' }), { events: 'nmi=1', context }), HOLDS);
  const explored = explore(file, { events: 'nmi=1', context });
  const broken = runOf(explored, explored.result.failures[0]!).broken[0]!;
  assert.equal(broken.explanation, 'AC is set at the entry of the C part');
});

test('NT is cleared by the delivery; a machine that leaves it shows', () => {
  const context = contextWith('0x4000');
  assert.deepEqual(verdict(plainHandler(), { events: 'nmi=1', context }), HOLDS);
  const found = verdict(plainHandler(), { events: 'nmi=1', context, broken: keepingNt, property: 'flags' });
  assert.deepEqual(found, { verdict: 'fails', flags: { nmi: 'context_start+3..+5' } });
});

test('only the entry counts: flags that the C part sets itself do not', () => {
  assert.deepEqual(verdict(plainHandler({ after: 'std\n\tcld' }), { events: 'nmi=1' }), HOLDS);
});
