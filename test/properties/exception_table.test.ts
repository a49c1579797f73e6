/** The exception table: a fault that its handler fixes up is given back at another place, and as it was in everything else. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { explore, source, verdict } from '../support/search.js';

/** An NMI handler whose body reads what is not there, and a #PF handler that executes `fixup` and goes on at `goto`. */
function handlers(fixup: string, table = '.quad\tfaulting, fixed_up'): string {
  return source(`	.text
	.globl	nmi, page_fault, do_nmi, do_nmi_end
nmi:
	pushq	%rax
	pushq	%rdi
	cld
	call	do_nmi
	popq	%rdi
	popq	%rax
	iretq
do_nmi:
	movl	$0x10000, %edi
faulting:
	movq	(%rdi), %rax
	nop
fixed_up:
	ret
do_nmi_end:
	int3
page_fault:
	pushq	%rax
	leaq	fixed_up(%rip), %rax
	movq	%rax, 16(%rsp)
	popq	%rax
	${fixup}
	addq	$8, %rsp
	iretq

	.section __ex_table,"a",@progbits
	${table}
`);
}

test('a fault that is fixed up is over: the body that it interrupted returns, and the next one is no second one', () => {
  assert.deepEqual(verdict(handlers(''), { events: 'nmi=1' }), { verdict: 'holds' });
});

test('the relative tables of Linux are read as well, with a third word since 4.6 and without', () => {
  const pair = '.long\tfaulting - ., fixed_up - .';
  for (const table of [`${pair}, 1`, pair, `${pair}\n\t.long\tnmi - ., do_nmi - .`]) {
    assert.deepEqual(verdict(handlers('', table), { events: 'nmi=1' }), { verdict: 'holds' }, table);
  }
  const { windows } = explore(handlers('', '.long\tfaulting - ., do_nmi - ., 1'), { events: 'nmi=1' });
  assert.deepEqual(windows['handler-view'], { nmi: 'context_start+0..+13' });
});

test('what is no table of addresses of code is refused', () => {
  for (const table of ['.quad\tfaulting, 16', '.long\tfaulting - ., 0x40000000, 1', '.quad\tfaulting, fixed_up, 1']) {
    assert.throws(
      () => explore(handlers('', table), { events: 'nmi=1' }),
      /__ex_table: its \d+ bytes are no table/,
      table,
    );
  }
});

test('the fix-up must leave all other registers alone', () => {
  const found = explore(handlers('incq %rbx'), { events: 'nmi=1' });
  const view = found.result.failures.filter((f) => f.property === 'handler-view');
  assert.deepEqual([...new Set(view.map((f) => f.event))], ['nmi']);
  assert.equal(view.length, 14);
});

test('without an entry of that instruction and that place it is a handler that never goes on', () => {
  for (const table of ['.quad\tfaulting, do_nmi', '.quad\tdo_nmi, fixed_up']) {
    const { windows } = explore(handlers('', table), { events: 'nmi=1' });
    assert.deepEqual(windows['handler-view'], { nmi: 'context_start+0..+13' }, table);
  }
});

test('only a fault is fixed up: an NMI that is given back at another place is not', () => {
  const file = source(`	.text
	.globl	nmi
nmi:
	leaq	elsewhere(%rip), %rax
	movq	%rax, (%rsp)
	iretq
elsewhere:
	jmp	elsewhere

	.section __ex_table,"a",@progbits
	.quad	context_start, elsewhere
`);
  const { windows } = explore(file, { events: 'nmi=1', property: 'context,progress' });
  assert.deepEqual(windows, { progress: { nmi: 'context_start+0..+13' } });
});
