/** Over calls and out of functions, where RSP alone does not tell which call is over. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { Debugger } from '../../src/debugger/debugger.js';
import { addressOf } from '../../src/hooks/triggers.js';
import { opened, where } from '../support/debugger.js';
import { source } from '../support/search.js';

// `saves` moves its return address down, as Linux's paranoid_entry does; `twice` calls with its frame made smaller and larger.
const HANDLER = source(`
	.globl	nmi, first, caller, saves, inside, twice, early, late
	.text
nmi:	pushq	%rax
first:	call	saves
caller:	addq	$16, %rsp
	call	twice
	popq	%rax
	iretq
saves:	movq	(%rsp), %rax
	movq	%rcx, (%rsp)
	pushq	%rdx
inside:	pushq	%rax
	ret
twice:	pushq	%rbx
early:	popq	%rbx
	call	leaf
	pushq	%rbx
	pushq	%rbx
late:	addq	$16, %rsp
	ret
leaf:	ret
`);

async function at(label: string): Promise<Debugger> {
  const debug = await opened(HANDLER);
  debug.fire('nmi');
  await debug.until({ kind: 'boundary', address: addressOf(debug.image, label) });
  return debug;
}

test('a function that moves its return address is over when it goes back to its caller', async () => {
  const debug = await at('first');
  await debug.next();
  assert.equal(where(debug), '8 NMI 1 caller+0');
  await debug.reverseNext();
  assert.equal(where(debug), '2 NMI 1 first+0');
  for (const label of ['saves', 'inside']) {
    const within = await at(label);
    await within.finish();
    assert.equal(where(within), '8 NMI 1 caller+0');
    const back = await at(label);
    await back.reverseFinish();
    assert.equal(where(back), '2 NMI 1 first+0');
  }
  const behind = await at('caller');
  assert.equal((await behind.reverseFinish()).text, 'where the handler was entered');
});

test('the call of another function is not the way into this one, and its return not the way out', async () => {
  const out = await at('early');
  await out.finish();
  assert.equal(where(out), '18 NMI 1 caller+2');
  const back = await at('late');
  await back.reverseFinish();
  assert.equal(where(back), '9 NMI 1 caller+1');
});
