/** `nmi-ledger`: each accepted NMI is served by a body that starts after it. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { losingBlockedNmis } from '../support/broken.js';
import { explore, mutant, plainHandler, runOf, source, verdict } from '../support/search.js';

const HOLDS = { verdict: 'holds' };

test('a handler without a body loses every NMI', () => {
  const file = source('\t.globl nmi\nnmi:\n\tiretq\n');
  assert.deepEqual(verdict(file, { events: 'nmi=1' }), {
    verdict: 'fails',
    'nmi-ledger': { nmi: 'context_start+0..+13' },
  });
  assert.deepEqual(verdict(plainHandler(), { events: 'nmi=1' }), HOLDS);
});

test('a handler that leaves out the body in one case loses the NMIs of that case', () => {
  // DF in the interrupted flags.
  const skip = (target: string): string =>
    plainHandler({ before: `cld\n\ttestl $0x400, 144(%rsp)\n\tjnz ${target}`, after: 'skipped:' });
  assert.deepEqual(verdict(skip('skipped'), { events: 'nmi=1' }), {
    verdict: 'fails',
    'nmi-ledger': { nmi: 'context_start+3..+5' },
  });
  assert.deepEqual(verdict(skip('1f\n1:'), { events: 'nmi=1' }), HOLDS);
});

test('a body that had started before the NMI does not serve it', () => {
  // A nested NMI leaves without asking for another round.
  const file = mutant('linux_nmi.S', ['\tje\tnested_nmi\n', '\tje\tnested_nmi_out\n']);
  // Up to nmi_restart+1, the call of the body, one is still to start.
  const after = 'nmi_restart+2..+4, nmi_restart+7..+10';
  assert.deepEqual(verdict(file), {
    verdict: 'fails',
    'nmi-ledger': {
      nmi: `end_repeat_nmi+27..+28, nmi_restore+0..+17, ${after}, int3+0, default_do_nmi+0..+16`,
      bp: `${after}, default_do_nmi+0..+16`,
    },
  });
  assert.deepEqual(verdict(file, { events: 'nmi=2' }), HOLDS);
});

test('NMIs that arrive while one is pending are one NMI: nothing is lost', () => {
  assert.deepEqual(verdict('linux_nmi_plain.S', { events: 'nmi=4' }), HOLDS);
});

test('a processor that loses NMIs while they are blocked is not blamed on the handler', () => {
  // It has not accepted them.
  assert.deepEqual(verdict('linux_nmi.S', { events: 'nmi=2', broken: losingBlockedNmis }), HOLDS);
});

test('the report names the return that ended the NMI without a body', () => {
  const explored = explore('linux_nmi_rfc.S', { context: 'syscall-gap', events: 'nmi=1' });
  const failure = explored.result.failures.find((f) => f.property === 'nmi-ledger')!;
  const broken = runOf(explored, failure).broken.find((b) => b.property === 'nmi-ledger')!;
  assert.equal(
    broken.explanation,
    'an NMI was delivered, and the interrupted code goes on without a body having started since',
  );
});

test('an NMI whose delivery faults is lost when the handler of the fault goes on', () => {
  // Without a gate it is #GP, whose plain handler returns.
  const image = source('\t.text\n\t.globl nmi, do_nmi\nnmi:\n\tcall do_nmi\n\tiretq\ndo_nmi:\n\tret\n');
  const context = (change: string): string =>
    source(
      `\t.text\n\t.globl context_start, context_end\ncontext_start:\n\tmovabsq $idt_table, %rax\n\t${change}\n\tnop\ncontext_end:\n\tjmp context_end\n`,
      'context.S',
    );
  const setting = { platform: 'xen', events: 'nmi=1', property: 'nmi-ledger' };
  assert.deepEqual(verdict(image, { ...setting, context: context('movq $0, 32(%rax)') }), {
    verdict: 'fails',
    'nmi-ledger': { nmi: 'context_start+2' },
  });
  assert.deepEqual(verdict(image, { ...setting, context: context('nop') }), HOLDS);
});
