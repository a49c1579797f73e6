/** ring0-user-code: ring 0 never executes at an address of user mode. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { mutant, plainHandler, verdict } from '../support/search.js';

const HOLDS = { verdict: 'holds' };

test('a return to ring 0 with the RIP of user mode', () => {
  // The frame keeps the RIP of user mode and gets the CS of the kernel: the shape of CVE-2015-3290.
  const forged = plainHandler({ exit: 'movq $0x10, 8(%rsp)\n\tmovq $0x18, 32(%rsp)\n\tiretq' });
  const setting = { events: 'nmi=1', context: 'user', property: 'ring0-user-code' };
  assert.deepEqual(verdict(forged, setting), {
    verdict: 'fails',
    'ring0-user-code': { nmi: 'context_start+0..+12' },
  });
  assert.deepEqual(verdict(plainHandler(), setting), HOLDS);
});

test('a jump to user code', () => {
  const setting = { events: 'nmi=1', context: 'user', property: 'ring0-user-code' };
  assert.deepEqual(verdict(plainHandler({ after: 'movq 128(%rsp), %rax\n\tjmp *%rax' }), setting), {
    verdict: 'fails',
    'ring0-user-code': { nmi: 'context_start+0..+12' },
  });
});

test('the nested-NMI handler never gets there', () => {
  const property = 'ring0-user-code';
  for (const context of ['user', 'user-rsp', 'syscall-gap']) {
    assert.deepEqual(verdict('linux_nmi.S', { context, property, events: 'nmi=2,bp=1' }), HOLDS);
  }
  // Without the look at CS first, RSP and DF of user mode decide.
  const gullible = mutant('linux_nmi.S', [
    '	testb	$3, 16(%rsp)\n	jz	nmi_from_kernel\n',
    '	jmp	nmi_from_kernel\n',
  ]);
  const found = verdict(gullible, { context: 'user-rsp', events: 'nmi=1' }) as { verdict: string };
  assert.equal(found.verdict, 'fails');
});
