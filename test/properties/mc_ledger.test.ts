/** mc-ledger: a machine check whose delivery faults is not passed over. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { plainHandler, source, verdict } from '../support/search.js';

const HOLDS = { verdict: 'holds' };

/** A context that changes the gate of #MC, from its third boundary on. */
function context(change: string): string {
  return source(
    `\t.text\n\t.globl context_start, context_end\ncontext_start:\n\tmovabsq $idt_table, %rax\n\t${change}\n\tnop\ncontext_end:\n\tjmp context_end\n`,
    'context.S',
  );
}

const CLEARED = 'movq $0, 16*18(%rax)';

test('a machine check without a gate becomes a fault, whose handler returns', () => {
  const setting = { platform: 'xen', events: 'mc=1' };
  assert.deepEqual(verdict(plainHandler(), { ...setting, context: context(CLEARED) }), {
    verdict: 'fails',
    'mc-ledger': { mc: 'context_start+2' },
  });
  assert.deepEqual(verdict(plainHandler(), { ...setting, context: context('nop') }), HOLDS);
});

test('a handler of the fault that stops the system passes nothing over', () => {
  const stopping = plainHandler({
    more: '.globl general_protection, fatal_trap\ngeneral_protection:\n\tjmp fatal_trap\nfatal_trap:\n\thlt',
  });
  const setting = { platform: 'xen', events: 'mc=1', context: context(CLEARED) };
  assert.deepEqual(verdict(stopping, { ...setting, property: 'mc-ledger,panic' }), {
    verdict: 'fails',
    panic: { mc: 'context_start+2' },
  });
});

test('INT 18 without a gate is no machine check', () => {
  const setting = {
    platform: 'xen',
    events: 'swint:18=1',
    at: ['swint:18=context_start+2'],
    context: context(CLEARED),
  };
  assert.deepEqual(verdict(plainHandler(), { ...setting, property: 'mc-ledger' }), HOLDS);
});
