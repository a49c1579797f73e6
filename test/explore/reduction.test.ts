/**
 * Leaving dead words out of the states changes nothing but their number: the same windows, and every schedule breaks
 * what it is listed for when it is run strictly.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { explore, failureLines, runOf, type Setting, schedule, source, verdict } from '../support/search.js';

/** Searches with and without the reduction and compares; the schedules that either lists are run. */
function same(images: string | string[], setting: Setting): { reduced: number; exact: number } {
  const reduced = explore(images, setting);
  const exact = explore(images, { ...setting, exact: true });
  assert.equal(exact.result.stopped, undefined);
  assert.equal(reduced.result.verdict, exact.result.verdict);
  assert.deepEqual(reduced.windows, exact.windows);
  assert.deepEqual(lengths(reduced.result), lengths(exact.result));
  for (const explored of [reduced, exact]) {
    // One of each length and property is enough here.
    const samples = new Map(explored.result.failures.map((f) => [`${f.property} ${f.event} ${f.path.length}`, f]));
    for (const failure of samples.values()) {
      const broken = runOf(explored, failure).broken.map((b) => b.property);
      assert.ok(broken.includes(failure.property), `${failure.property} ${schedule(failure.path)}`);
    }
  }
  return { reduced: reduced.result.states, exact: exact.result.states };
}

/** Property, event, boundary and number of events of each failure. */
function lengths(result: ReturnType<typeof explore>['result']): string[] {
  return failureLines(result).map((line) => `${line.split(':')[0]} ${line.split(' ').length}`);
}

test('linux_nmi_rfc.S: the same windows in every context', () => {
  for (const context of ['kernel', 'user', 'user-rsp', 'syscall-gap']) {
    const states = same('linux_nmi_rfc.S', { context });
    assert.ok(states.reduced < states.exact, context);
  }
});

test('linux_nmi_plain.S: the same windows', () => {
  const states = same('linux_nmi_plain.S', { context: 'kernel' });
  assert.ok(states.reduced < states.exact);
});

test('linux_nmi.S: the same verdict, with a fraction of the states', () => {
  const states = same('linux_nmi.S', { context: 'kernel' });
  assert.ok(2 * states.reduced < states.exact);
  same('linux_nmi.S', { context: 'user', events: 'nmi=2' });
  same(['linux_nmi.S', 'body_int3.S'], { context: 'syscall-gap', events: 'nmi=2' });
});

test('three NMIs: the same windows', () => {
  same('linux_nmi_rfc.S', { context: 'kernel', events: 'nmi=3,bp=1', at: ['bp=do_nmi+0'] });
});

/**
 * A handler that looks at where the last NMI came from: a word that no code reads before the next NMI decides what that
 * one does. `look` is executed with the place of the last NMI in rax, and of this one in rcx.
 */
const remembering = (word: string, look: string): string =>
  source(`	.text
	.globl	nmi
nmi:
	pushq	%rax
	pushq	%rcx
	movq	16(%rsp), %rcx
	movq	${word}, %rax
	movq	%rcx, ${word}
	${look}
	pushq	%rdx; pushq %rsi; pushq %rdi; pushq %r8; pushq %r9; pushq %r10; pushq %r11
	cld
	call	do_nmi
	popq	%r11; popq %r10; popq %r9; popq %r8; popq %rdi; popq %rsi; popq %rdx
skip:
	popq	%rcx
	popq	%rax
	iretq
	.data
last:	.quad 0
before:	.quad 0
`);

/** The context of these handlers: eight instructions, all different. */
const CONTEXT = source(
  `	.text
	.globl	context_start, context_end, there, here
context_start:
	nop
	nop
there:	nop
	nop
	nop
here:	nop
	nop
	nop
context_end:
	jmp	context_end
`,
  'nops.S',
);

test('a word that an earlier NMI has left, and that only a later one reads, is live in between', () => {
  // There is no body for an NMI at `here` when the last one came at `there`.
  const look = `cmpq	$there, %rax
	jne	1f
	cmpq	$here, %rcx
	je	skip
1:`;
  for (const word of ['last(%rip)', '-400(%rsp)']) {
    const file = remembering(word, look);
    const setting = { context: CONTEXT, events: 'nmi=2' };
    const found = explore(file, setting);
    assert.deepEqual(found.windows, { 'nmi-ledger': { nmi: 'here+0' } }, word);
    assert.deepEqual(
      found.result.failures.map((f) => schedule(f.path)),
      ['nmi@there+0 nmi@here+0'],
      word,
    );
    same(file, setting);
    // Once is not enough, and neither are two at other places.
    assert.deepEqual(verdict(file, { context: CONTEXT, events: 'nmi=1' }), { verdict: 'holds' }, word);
  }
});

test('a word that is only moved by a second NMI and decides in a third is live all the way', () => {
  const look = `movq	before(%rip), %rdx
	movq	%rax, before(%rip)
	cmpq	$there, %rdx
	jne	1f
	cmpq	$here, %rcx
	je	skip
1:`;
  // rdx is lost, which the property here does not look at.
  const file = remembering('last(%rip)', look);
  const setting = {
    context: CONTEXT,
    events: 'nmi=3',
    at: ['nmi=context_start..context_end'],
    property: 'nmi-ledger',
  };
  const found = explore(file, setting);
  assert.deepEqual(found.windows, { 'nmi-ledger': { nmi: 'here+0' } });
  const [failure] = found.result.failures;
  // The second one may come anywhere between, also where the third does.
  assert.match(schedule(failure!.path), /^nmi@there\+0 nmi@\S+ nmi@here\+0(#\d)?$/);
  assert.deepEqual(verdict(file, { ...setting, events: 'nmi=2' }), { verdict: 'holds' });
  same(file, setting);
});

test('a CALL that faults before it pushes leaves the word below RSP as it was: live, if it is read after the fault', () => {
  const context = source(
    `	.text
	.globl	context_start, context_end, marked
context_start:
	nop
marked:
	nop
	nop
context_end:
	jmp	context_end
`,
    'context.S',
  );
  const handler = source(`	.text
	.globl	nmi
nmi:
	pushq	%rdi
	pushq	%rsi
	movabsq	$0x8000000000000000, %rdi
	call	*%rdi
	cmpq	$0x5a, -8(%rsp)
	jne	1f
	notq	8(%rsp)
1:	cmpq	$marked, 16(%rsp)
	jne	2f
	movq	$0x5a, -8(%rsp)
2:	popq	%rsi
	popq	%rdi
	iretq
	.globl	general_protection
general_protection:
	addq	$8, %rsp
	addq	$2, (%rsp)
	iretq
`);
  const setting = { context, events: 'nmi=2', at: ['nmi=context_start..context_end'], property: 'context' };
  same(handler, setting);
  assert.deepEqual(verdict(handler, setting), { verdict: 'fails', context: { nmi: 'marked+0..+1' } });
});

test('a search that is repeated until nothing is learnt says how often', () => {
  const { result } = explore('linux_nmi.S', { events: 'nmi=1' });
  assert.ok(result.rounds >= 2);
  assert.equal(explore('linux_nmi.S', { events: 'nmi=0' }).result.verdict, 'holds');
});
