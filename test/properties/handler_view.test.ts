/** `handler-view`: an interrupted handler or body finds its registers, flags and pt_regs as they were. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { explore, plainHandler, runOf, verdict } from '../support/search.js';

const HOLDS = { verdict: 'holds' };
const BODY = 'do_nmi+0..+16';

/** The handler with a breakpoint handler of this text. */
const withInt3 = (text: string): string => plainHandler({ more: `.globl int3\nint3:\n\t${text}\n\tiretq` });
const view = (file: string, property?: string): object =>
  verdict(file, { events: 'nmi=1,bp=1', ...(property ? { property } : {}) });
const fails = (bp: string): object => ({ verdict: 'fails', 'handler-view': { bp } });

test('a breakpoint handler that keeps every register holds', () => {
  assert.deepEqual(view(withInt3('nop')), HOLDS);
  assert.deepEqual(view(withInt3('pushq %rax\n\txorl %eax, %eax\n\tpopq %rax')), HOLDS);
});

test('one that loses a register changes what the body sees', () => {
  assert.deepEqual(view(withInt3('xorl %eax, %eax')), fails(BODY));
  // The flags of the last two instructions come from a comparison that sets the carry.
  assert.deepEqual(view(withInt3('orq $0x1, 16(%rsp)')), fails('do_nmi+0..+13'));
});

/** A breakpoint handler that writes to the NMI stack, so far from its top. */
const write = (offset: number): string =>
  withInt3(`pushq %rax\n\tmovabsq $nmi_stack_top, %rax\n\tmovb $1, ${offset}(%rax)\n\tpopq %rax`);

test('one that writes into pt_regs is noticed when the body returns', () => {
  // The highest word of pt_regs, one in the middle, the lowest.
  for (const offset of [-8, -48, -168]) assert.deepEqual(view(write(offset), 'handler-view'), fails(BODY), `${offset}`);
  const explored = explore(write(-48), { events: 'nmi=1,bp=1' });
  const broken = runOf(explored, explored.result.failures[0]!).broken[0]!;
  assert.equal(broken.explanation, 'the pt_regs that the C part was given have other contents when it ends');
});

test('one that writes to the stack words of the body is noticed as long as they are live', () => {
  // The return address, the saved rbx; and far below, where nothing lives.
  assert.deepEqual(view(write(-176), 'handler-view'), fails(BODY));
  assert.deepEqual(view(write(-184), 'handler-view'), fails('do_nmi+1..+15'));
  assert.deepEqual(view(write(-400), 'handler-view'), HOLDS);
});

test('a return past an interrupted handler abandons it', () => {
  // The breakpoint handler gives the context back by itself, with all that the NMI handler has saved.
  const file = withInt3('movabsq $nmi_stack_top - 168, %rsp\n\tjmp nmi_restore');
  const found = verdict(file, { events: 'nmi=1,bp=1', property: 'handler-view,context' });
  assert.deepEqual(found, fails(BODY));
});

test('an IRET that has faulted may be given up by the handler of its fault; no other instruction may', () => {
  // Nested NMIs make the IRET fault, and the handler of #GP runs the body again.
  const defines = { FRAME_COPY: '1', REGS_COPY: '1', EXIT_RANGE: '1' };
  assert.deepEqual(verdict('linux_nmi_linus.S', { defines, at: ['bp=do_nmi+8'], property: 'handler-view' }), HOLDS);
  const file = plainHandler({
    more: '.globl general_protection\ngeneral_protection:\n\tmovabsq $nmi_stack_top - 168, %rsp\n\tjmp nmi_restore',
  });
  assert.deepEqual(verdict(file, { events: 'nmi=1,gp=1', property: 'handler-view,context' }), {
    verdict: 'fails',
    'handler-view': { gp: BODY },
  });
});

test('the RET of a nested body to the place where the first one was interrupted is no return of the event', () => {
  // Both bodies return to nmi_body+3 with the same RSP; in the user contexts EBX differs between the two.
  for (const context of ['user', 'syscall-gap']) {
    const { windows } = explore('linux_nmi_plain.S', { context, property: 'handler-view' });
    assert.deepEqual(windows, { 'handler-view': { nmi: `int3+0, ${BODY}`, bp: BODY } }, context);
  }
});
