/** `environment`: the C part runs with the kernel's GS base, CS and SS, on a stack of the kernel. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { LINUX } from '../../src/platforms/linux.js';
import { keepingSs } from '../support/broken.js';
import { explore, plainHandler, runOf, source, verdict } from '../support/search.js';

const HOLDS = { verdict: 'holds' };
const EVERYWHERE = { nmi: 'context_start+0..+13' };

function explanations(file: string, context: string): string[] {
  const explored = explore(file, { events: 'nmi=1', context });
  return runOf(explored, explored.result.failures[0]!).broken.map((b) => b.explanation);
}

test('a handler that does not swap GS runs the C part with the one of user mode', () => {
  const file = plainHandler();
  assert.deepEqual(verdict(file, { events: 'nmi=1' }), HOLDS);
  assert.deepEqual(verdict(file, { events: 'nmi=1', context: 'user' }), {
    verdict: 'fails',
    environment: { nmi: 'context_start+0..+12' },
  });
  // After SYSCALL the kernel runs with it for one instruction.
  assert.deepEqual(verdict(file, { events: 'nmi=1', context: 'syscall-gap' }), {
    verdict: 'fails',
    environment: { nmi: 'context_start+0..+3, entry_SYSCALL_64+0' },
  });
  assert.deepEqual(explanations(file, 'user'), [
    "GS base is 0x7ffff7d84740, not this CPU's 0xffff88807fc00000; KERNEL_GS_BASE is 0xffff88807fc00000, not the user's GS base 0x7ffff7d84740",
  ]);
});

test('going by the saved CS is not enough in the SYSCALL gap', () => {
  const byCs = plainHandler({
    before: 'cld\n\ttestb $3, 136(%rsp)\n\tjz 1f\n\tswapgs\n1:',
    after: 'testb $3, 136(%rsp)\n\tjz 1f\n\tswapgs\n1:',
  });
  assert.deepEqual(verdict(byCs, { events: 'nmi=1', context: 'user' }), HOLDS);
  assert.deepEqual(verdict(byCs, { events: 'nmi=1', context: 'syscall-gap' }), {
    verdict: 'fails',
    environment: { nmi: 'entry_SYSCALL_64+0' },
  });
  assert.deepEqual(verdict('linux_nmi_plain.S', { events: 'nmi=1', context: 'syscall-gap' }), HOLDS);
});

test('the C part must run on a stack of the kernel that is meant for it', () => {
  const on = (stack: string, offset = 0n): string => {
    const { top } = LINUX.stacks.find((s) => s.name === stack)!;
    return plainHandler({
      before: `cld\n\tmovq %rsp, %rbx\n\tmovabsq $${top - offset}, %rsp`,
      after: 'movq %rbx, %rsp',
    });
  };
  assert.deepEqual(verdict(on('machine check'), { events: 'nmi=1' }), HOLDS);
  for (const stack of ['double fault', 'user']) {
    assert.deepEqual(verdict(on(stack), { events: 'nmi=1' }), { verdict: 'fails', environment: EVERYWHERE }, stack);
  }
  assert.deepEqual(explanations(on('double fault'), 'kernel'), [
    'RSP is 0xfffffe0000005ff8, on the double fault stack',
  ]);
});

test('the C part must run with SS null or of the kernel', () => {
  const ss = (selector: number): string =>
    plainHandler({
      before: `cld\n\tmovl $${selector}, %eax\n\tmovl %eax, %ss`,
      after: 'movl $0x18, %eax\n\tmovl %eax, %ss',
    });
  assert.deepEqual(verdict(ss(0x18), { events: 'nmi=1' }), HOLDS);
  assert.deepEqual(verdict(ss(0), { events: 'nmi=1' }), HOLDS);
  // A delivery from ring 3 must load a null selector.
  const setting = { events: 'nmi=1', context: 'user', property: 'environment' };
  assert.deepEqual(verdict('linux_nmi.S', setting), HOLDS);
  assert.deepEqual(verdict('linux_nmi.S', { ...setting, broken: keepingSs }), {
    verdict: 'fails',
    environment: { nmi: 'context_start+0..+12' },
  });
});

test('a C part that runs with the CR3 of user mode', () => {
  const file = source(`
	.globl	pti
	.set	pti, 1
	.section .entry.text,"ax",@progbits
	.globl	nmi, do_nmi, do_nmi_end
nmi:
	swapgs
	movq	%rsp, %rdi
	call	do_nmi
	swapgs
	movq	(%rsp), %rdi
	iretq
do_nmi:
	nop
	ret
do_nmi_end:
	int3
`);
  const found = explore(file, { events: 'nmi=1', context: 'user', property: 'environment' });
  assert.deepEqual(found.windows, { environment: { nmi: 'context_start+0..+12' } });
  const [broken] = runOf(found, found.result.failures[0]!).broken;
  assert.match(broken!.explanation, /^CR3 is 0x[0-9a-f]+: the user address space$/);
});

test("an entry that loads the kernel's GS base beside the user's leaves KERNEL_GS_BASE alone", () => {
  const base = `0x${LINUX.layout.percpu.toString(16)}`;
  const handler = (kernelGsBase: string): string =>
    plainHandler({
      before: `cld\n\trdgsbase %rbx\n\tmovabsq $${base}, %rax\n\twrgsbase %rax\n\t${kernelGsBase}`,
      after: 'wrgsbase %rbx',
    });
  const setting = { events: 'nmi=1', context: 'syscall-gap', property: 'environment' };
  assert.deepEqual(verdict(handler(''), setting), HOLDS);
  // Neither base of before.
  const other = 'movl $0xc0000102, %ecx\n\txorl %eax, %eax\n\txorl %edx, %edx\n\twrmsr';
  assert.deepEqual(verdict(handler(other), setting), {
    verdict: 'fails',
    environment: { nmi: 'context_start+0..+3, entry_SYSCALL_64+0..+8' },
  });
});
