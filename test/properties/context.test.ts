/** `context`: what was interrupted outside the code under test is given back bit for bit. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { explore, plainHandler, runOf, verdict } from '../support/search.js';

const HOLDS = { verdict: 'holds' };
const EVERYWHERE = 'context_start+0..+13';

/** The windows of `context` alone, for one NMI. */
function context(exit: string, more = {}): object {
  return verdict(plainHandler({ exit }), { events: 'nmi=1', property: 'context', ...more });
}
const fails = (nmi: string): object => ({ verdict: 'fails', context: { nmi } });

test('a handler that saves and restores every register holds', () => {
  assert.deepEqual(verdict(plainHandler(), { events: 'nmi=1' }), HOLDS);
});

test('a register that comes back changed breaks it, wherever its value differed', () => {
  const file = plainHandler({ exit: 'xorl %eax, %eax\n\tiretq' });
  assert.deepEqual(verdict(file, { events: 'nmi=1' }), fails(EVERYWHERE));
  const explored = explore(file, { events: 'nmi=1' });
  const trace = runOf(explored, explored.result.failures[0]!);
  assert.deepEqual(trace.broken[0]!.differences, [{ what: 'rax', expected: 0xa0a0a0a0a0a0a0a0n, found: 0n }]);
});

test('each of the sixteen general registers counts', () => {
  for (const r of [
    'rax',
    'rbx',
    'rcx',
    'rdx',
    'rsi',
    'rdi',
    'rbp',
    'r8',
    'r9',
    'r10',
    'r11',
    'r12',
    'r13',
    'r14',
    'r15',
  ]) {
    assert.deepEqual(context(`notq %${r}\n\tiretq`), fails(EVERYWHERE), r);
  }
  assert.deepEqual(context('addq $8, 24(%rsp)\n\tiretq'), fails(EVERYWHERE), 'rsp');
});

test('a flag that comes back changed breaks it, just where it was set', () => {
  assert.deepEqual(context('andq $~0x400, 16(%rsp)\n\tiretq'), fails('context_start+3..+5'), 'DF');
  assert.deepEqual(context('orq $0x1, 16(%rsp)\n\tiretq'), fails(EVERYWHERE), 'CF');
});

test('a live word of the interrupted stack counts, a dead one does not', () => {
  const write = (offset: number): object =>
    context(
      `pushq %rax\n\tmovq %gs:cpu_current_top_of_stack, %rax\n\tmovq $0x55, ${offset}(%rax)\n\tpopq %rax\n\tiretq`,
    );
  // The context pushes rbx at its first instruction and pops it at its last.
  assert.deepEqual(write(-8), fails('context_start+1..+13'));
  assert.deepEqual(write(-16), fails('context_start+2..+12'));
  assert.deepEqual(write(-24), HOLDS);
});

test('a base register that comes back changed breaks it', () => {
  assert.deepEqual(context('swapgs\n\tiretq'), fails(EVERYWHERE));
  assert.deepEqual(context('swapgs\n\tswapgs\n\tiretq'), HOLDS);
});

test('segment, control and model-specific registers count; CR2 does not', () => {
  const setting = { events: 'nmi=1', property: 'context' };
  const changed = (text: string): object => verdict(plainHandler({ after: text }), setting);
  const msr = (number: string): string => `movl $${number}, %ecx\n\tmovl $0x1000, %eax\n\txorl %edx, %edx\n\twrmsr`;
  for (const text of [
    ...['ds', 'es', 'fs', 'gs'].map((r) => `movl $0x2b, %eax\n\tmovl %eax, %${r}`),
    'movq %cr3, %rax\n\txorq $0x8, %rax\n\tmovq %rax, %cr3',
    'movq %cr4, %rax\n\txorq $0x80, %rax\n\tmovq %rax, %cr4',
    // FS base, user GS base, LSTAR.
    ...['0xc0000100', '0xc0000102', '0xc0000082'].map(msr),
  ]) {
    assert.deepEqual(changed(text), fails(EVERYWHERE), text);
  }
  assert.deepEqual(changed('xorl %eax, %eax\n\tmovq %rax, %cr2\n\tmovl %eax, %ds'), HOLDS);
  const explored = explore(plainHandler({ after: 'movl $0x2b, %eax\n\tmovl %eax, %es' }), setting);
  const broken = runOf(explored, explored.result.failures[0]!).broken[0]!;
  assert.deepEqual(broken.differences, [{ what: 'es', expected: 0n, found: 0x2bn }]);
});

test('going on at another place of the context breaks it, by a return and by a jump', () => {
  assert.deepEqual(context('movq $context_end, (%rsp)\n\tiretq'), fails(EVERYWHERE));
  assert.deepEqual(context('movq 24(%rsp), %rsp\n\tjmp context_end'), fails(EVERYWHERE));
  const explored = explore(plainHandler({ exit: 'movq $context_end, (%rsp)\n\tiretq' }), { events: 'nmi=1' });
  const trace = runOf(explored, explored.result.failures[0]!);
  assert.match(trace.broken[0]!.explanation, /runs again without a return having given it back/);
});

test('code of the handlers that is interrupted is not the context', () => {
  // The breakpoint handler loses rax, in the body only.
  const file = plainHandler({ more: '.globl int3\nint3:\n\txorl %eax, %eax\n\tiretq' });
  assert.deepEqual(verdict(file, { events: 'nmi=1,bp=1', property: 'context' }), HOLDS);
});
