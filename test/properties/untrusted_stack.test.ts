/** `untrusted-stack`: no ring-0 frame is pushed to memory that user mode controls. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { LINUX } from '../../src/platforms/linux.js';
import { ignoringIst } from '../support/broken.js';
import { explore, plainHandler, runOf, verdict } from '../support/search.js';

test('a breakpoint in the SYSCALL gap pushes its frame where the user wanted it', () => {
  const setting = { context: 'syscall-gap', events: 'bp=1', at: ['bp=entry_SYSCALL_64..context_end'] };
  // Behind entry_SYSCALL_64+2 RSP is the kernel's.
  assert.deepEqual(verdict('linux_nmi.S', setting), {
    verdict: 'fails',
    'untrusted-stack': { bp: 'entry_SYSCALL_64+0..+2' },
  });
  const explored = explore('linux_nmi.S', setting);
  const broken = runOf(explored, explored.result.failures[0]!).broken[0]!;
  assert.match(broken.explanation, /^vector 3 pushed its frame below 0x[0-9a-f]+, an RSP that user mode has chosen$/);
});

test('an NMI there has a stack of its own; on a machine that ignores IST it has not', () => {
  const setting = { context: 'syscall-gap', events: 'nmi=1', property: 'untrusted-stack' };
  assert.deepEqual(verdict('linux_nmi.S', setting), { verdict: 'holds' });
  assert.deepEqual(verdict('linux_nmi.S', { ...setting, broken: ignoringIst }), {
    verdict: 'fails',
    'untrusted-stack': { nmi: 'entry_SYSCALL_64+0..+2' },
  });
});

test('in ring 3 every event switches to a stack of the kernel', () => {
  const setting = { context: 'user-rsp', events: 'bp=1', at: ['bp=context_start..context_end'] };
  assert.deepEqual(verdict('linux_nmi.S', setting), { verdict: 'holds' });
});

test('a handler that goes to the user stack exposes the frames of nested events', () => {
  const { top } = LINUX.stacks.find((s) => s.user)!;
  const file = plainHandler({ before: `cld\n\tmovq %rsp, %rbx\n\tmovabsq $${top}, %rsp`, after: 'movq %rbx, %rsp' });
  assert.deepEqual(verdict(file, { events: 'nmi=1,bp=1', property: 'untrusted-stack' }), {
    verdict: 'fails',
    'untrusted-stack': { bp: 'do_nmi+0..+16' },
  });
  assert.deepEqual(verdict(plainHandler(), { events: 'nmi=1,bp=1' }), { verdict: 'holds' });
});

test('memory of user mode need not be one of its stacks', () => {
  const file = plainHandler({
    before: 'cld\n\tmovq %rsp, %rbx\n\tleaq user_words(%rip), %rsp',
    after: 'movq %rbx, %rsp',
    more: '.section .data.user,"aw",@progbits\n.skip 0x400\nuser_words: .quad 0',
  });
  assert.deepEqual(verdict(file, { events: 'nmi=1,bp=1', property: 'untrusted-stack' }), {
    verdict: 'fails',
    'untrusted-stack': { bp: 'do_nmi+0..+16' },
  });
});
