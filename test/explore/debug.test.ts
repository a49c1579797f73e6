/** Searches with debug exceptions: code that steps itself, breakpoints in a context, MOV SS before SYSCALL, #DB in an NMI handler. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { LINUX } from '../../src/platforms/linux.js';
import type { Broken } from '../support/broken.js';
import * as debug from '../support/broken_debug.js';
import { agreesWithOracle } from '../support/oracle.js';
import { explore, runOf, source, verdict } from '../support/search.js';

const SAVED = ['rdi', 'rsi', 'rdx', 'rcx', 'rax', 'r8', 'r9', 'r10', 'r11', 'rbx', 'rbp', 'r12', 'r13', 'r14', 'r15'];

/** How a #DB handler finds out whether to execute SWAPGS: by the interrupted CS, or by the GS base itself. */
const BY_CS = '\ttestb $3, 136(%rsp)\n\tsetz %bl\n\ttestb %bl, %bl\n';
const BY_GS_BASE = '\tmovl $0xc0000101, %ecx\n\trdmsr\n\ttestl %edx, %edx\n\tsets %bl\n\ttestb %bl, %bl\n';

/** A #DB handler that reads DR6, clears it, runs its C part with all breakpoints off, and sets RF in what it returns to. */
function debugHandler(findGs = BY_GS_BASE, more = '\torl $0x10000, 16(%rsp)\n'): string {
  return source(
    `	.text
	.globl	debug
debug:
	pushq	$-1
${SAVED.map((r) => `	pushq	%${r}\n`).join('')}	cld
${findGs}	jnz	1f
	swapgs
1:	movq	%dr7, %r12
	movl	$0x400, %eax
	movq	%rax, %dr7
	movq	%dr6, %rsi
	movl	$0xffff0ff0, %eax
	movq	%rax, %dr6
	movq	%rsp, %rdi
	call	exc_debug
	movq	%r12, %dr7
	testb	%bl, %bl
	jnz	2f
	swapgs
2:
${SAVED.toReversed()
  .map((r) => `	popq	%${r}\n`)
  .join('')}	addq	$8, %rsp
${more}	iretq
`,
    'debug.S',
  );
}

/** Ring 0 puts a breakpoint on the word that ring 3 loads SS from; SYSCALL follows at once. */
const MOV_SS = source(
  `	.text
	.globl	context_start, context_end, entry_SYSCALL_64
context_start:
	movq	$watched, %rax
	movq	%rax, %dr0
	movl	$0x70402, %eax
	movq	%rax, %dr7
	pushq	$0x2b
	pushq	$0x600100
	pushq	$0x202
	pushq	$0x33
	pushq	$user_code
	swapgs
	iretq
entry_SYSCALL_64:
	swapgs
	movq	%rsp, %gs:cpu_tss_rsp2
	movq	%gs:cpu_current_top_of_stack, %rsp
	pushq	%rcx
context_end:
	jmp	context_end
	.section .text.user,"ax",@progbits
user_code:
	movw	watched, %ss
	syscall
	.section .data.user,"aw",@progbits
watched:
	.quad	0x2b
	.skip	0x200
`,
  'mov-ss.S',
);

test('MOV SS before SYSCALL: a #DB handler that trusts the interrupted CS runs with the GS base of ring 3', () => {
  const trusting = explore(debugHandler(BY_CS), { context: MOV_SS, events: 'db=0' });
  assert.equal(trusting.result.verdict, 'fails');
  assert.deepEqual(trusting.windows.environment, { none: 'context_start+0' });
  // Its #DB is one, at the first instruction of the entry.
  const run = runOf(trusting, trusting.result.failures.find((f) => f.property === 'environment')!);
  const delivered = run.steps.filter((s) => s.delivered).map((s) => trusting.subject.image.name(s.address));
  assert.deepEqual(delivered, ['entry_SYSCALL_64+0']);
  assert.deepEqual(verdict(debugHandler(), { context: MOV_SS, events: 'db=0' }), { verdict: 'holds' });
});

test('MOV SS before SYSCALL: without an IST the frame goes to the stack of ring 3', () => {
  const withoutIst: Broken = (machine) => {
    const gate = LINUX.idtBase + 16n;
    machine.memory.load64(gate, machine.memory.peek64(gate)! & ~(7n << 32n));
  };
  const found = explore(debugHandler(), { context: MOV_SS, events: 'db=0', broken: withoutIst });
  assert.deepEqual(found.windows['untrusted-stack'], { none: 'context_start+0' });
});

test('MOV SS before SYSCALL: NMIs at every boundary do not disturb the handler that asks for the GS base', () => {
  assert.deepEqual(verdict(['linux_nmi.S', debugHandler()], { context: MOV_SS, events: 'nmi=2' }), {
    verdict: 'holds',
  });
  assert.notDeepEqual(verdict(['linux_nmi.S', debugHandler(BY_CS)], { context: MOV_SS, events: 'nmi=1' }), {
    verdict: 'holds',
  });
});

/** Ring 0 steps through a part of itself. */
const STEPPING = source(
  `	.text
	.globl	context_start, context_end
context_start:
	pushfq
	orl	$0x100, (%rsp)
	popfq
	addq	%rdi, %rsi
	adcq	%rax, %rbx
	leaq	(%rdx,%rcx), %r10
	pushfq
	andl	$0xfffffeff, (%rsp)
	popfq
	movq	%rbp, %r11
context_end:
	jmp	context_end
`,
  'stepping.S',
);

test('code that steps itself is given back by its #DB handler, and by an NMI handler at every boundary', () => {
  const found = explore(['linux_nmi.S', debugHandler()], { context: STEPPING, events: 'nmi=2' });
  assert.deepEqual([found.result.verdict, found.windows], ['holds', {}]);
  // Each of the six instructions that begin with TF set is followed by a #DB, also the last POPF.
  const clobbering = explore(debugHandler(BY_GS_BASE, '\tincq %r8\n'), { context: STEPPING, events: 'db=0' });
  const run = runOf(clobbering, clobbering.result.failures.find((f) => f.property === 'context')!);
  const delivered = run.steps.filter((s) => s.delivered).map((s) => clobbering.subject.image.name(s.address));
  assert.equal(delivered[0], 'context_start+4');
});

test('a #DB handler that ends the stepping has changed what is its own; one that changes a register has not', () => {
  const ending = '\tandl $0xfffffeff, 16(%rsp)\n';
  assert.deepEqual(verdict(debugHandler(BY_GS_BASE, ending), { context: STEPPING, events: 'db=0' }), {
    verdict: 'holds',
  });
  const found = verdict(debugHandler(BY_GS_BASE, '\tincq %r8\n'), { context: STEPPING, events: 'db=0' });
  assert.deepEqual(found, { verdict: 'fails', context: { none: 'context_start+0' } });
});

/** Ring 0 puts a breakpoint on an instruction of its own. */
const BREAKING = source(
  `	.text
	.globl	context_start, context_end
context_start:
	leaq	here(%rip), %rax
	movq	%rax, %dr0
	movl	$0x402, %eax
	movq	%rax, %dr7
	addq	%rdi, %rsi
here:
	adcq	%rdx, %rbx
	popq	%rcx
context_end:
	jmp	context_end
`.replace('popq	%rcx', 'notq	%rcx'),
  'breaking.S',
);

test('a breakpoint on an instruction: the handler has to set RF, or never comes past it', () => {
  const setting = { context: BREAKING, events: 'nmi=1' };
  assert.deepEqual(verdict(['linux_nmi.S', debugHandler()], setting), { verdict: 'holds' });
  const endless = verdict(['linux_nmi.S', debugHandler(BY_GS_BASE, '')], setting) as Record<string, unknown>;
  assert.deepEqual([endless.verdict, endless.progress], ['fails', { none: 'context_start+0' }]);
});

/** Ring 0 puts one breakpoint on a word of its own, another one on the #DB stack, and writes the word. */
const RECURRING = source(
  `	.text
	.globl	context_start, context_end
context_start:
	leaq	word(%rip), %rax
	movq	%rax, %dr0
	movq	$0x${LINUX.stacks.find((s) => s.name === 'debug')!.top.toString(16)}-8, %rax
	movq	%rax, %dr1
	movl	$0x00990400+0x0a, %eax
	movq	%rax, %dr7
	movq	%rdi, word(%rip)
context_end:
	jmp	context_end
	.data
word:	.quad	0
`,
  'recurring.S',
);

test('a breakpoint on the #DB stack recurs for ever, but not where nested data breakpoints are ignored', () => {
  const recurring = verdict(debugHandler(), { context: RECURRING, events: 'db=0' }) as Record<string, unknown>;
  assert.deepEqual([recurring.verdict, recurring.progress], ['fails', { none: 'context_start+0' }]);
  const other = debug.otherwise('noNestedDataBreakpoint');
  assert.deepEqual(verdict(debugHandler(), { context: RECURRING, events: 'db=0', broken: other }), {
    verdict: 'holds',
  });
});

test('a data breakpoint in the body of an NMI handler unblocks NMIs by its IRET, as a breakpoint does', () => {
  assert.deepEqual(verdict('linux_nmi.S', { events: 'nmi=2,db=1' }), { verdict: 'holds' });
  const lines = (kind: string): string[] =>
    explore('linux_nmi_plain.S', { events: `nmi=2,${kind}=1` })
      .result.failures.map(({ property, event, boundary }) => {
        const at = boundary.replace(/^(int3|debug)\+/, 'handler+');
        return `${property} ${event === kind ? 'trap' : event} ${at}`;
      })
      .sort();
  assert.ok(lines('db').includes('body-reentry nmi handler+0'));
  assert.deepEqual(lines('db'), lines('bp'));
});

test('db is fired under a MOV SS, and is then delivered in the entry of the SYSCALL that follows', () => {
  const context = source(
    `	.section .text.user,"ax",@progbits
	.globl	context_start
context_start:
	movl	$0x2b, %eax
	movw	%ax, %ss
	syscall
	.text
	.globl	entry_SYSCALL_64, context_end
entry_SYSCALL_64:
	swapgs
	nop
context_end:
	jmp	context_end
`,
    'mov-ss-plain.S',
  );
  const at = ['db=context_start', 'db=context_start+1', 'db=context_start+2', 'db=entry_SYSCALL_64..context_end'];
  const setting = { context, events: 'db=1', at };
  const found = explore(debugHandler(BY_CS), setting);
  assert.deepEqual(found.windows.environment, { db: 'context_start+2, entry_SYSCALL_64+0' });
  assert.deepEqual(verdict(debugHandler(), setting), { verdict: 'holds' });
});

const CASES = [
  { name: 'stepping', context: STEPPING, events: 'nmi=1', at: ['nmi=context_start..context_end', 'nmi=debug+17'] },
  { name: 'MOV SS', context: MOV_SS, events: 'nmi=1', at: ['nmi=context_start..context_end', 'nmi=debug'] },
  {
    name: 'db in the body',
    context: 'kernel',
    events: 'nmi=2,db=1',
    at: ['nmi=context_start+3', 'nmi=do_nmi+3', 'db=do_nmi+2', 'db=do_nmi+3'],
  },
] as const;

for (const { name, context, events, at } of CASES) {
  test(`the search finds just what every schedule by itself finds: ${name}`, () => {
    agreesWithOracle(['linux_nmi_plain.S', debugHandler(BY_CS)], { context, events, at }, 5);
  });
}
