/** panic: the software does not stop itself. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { parseBound } from '../../src/explore/bound.js';
import { startSearch } from '../../src/explore/threads.js';
import { profileNamed } from '../../src/profiles/profile.js';
import { plainHandler, subjectOf, verdict } from '../support/search.js';

const HOLDS = { verdict: 'holds' };

/** Stops the system when it is nested: RSP, which it has switched nothing for, says so. */
function nested(stop: string): string {
  return plainHandler({
    before: `cld\n\tcmpl $0, %gs:busy\n\tjne 1f\n\tmovl $1, %gs:busy\n\tjmp 2f\n1:\t${stop}\n2:`,
    after: 'movl $0, %gs:busy',
    more: '.section .data..percpu,"aw",@progbits\nbusy: .long 0',
  });
}

const SECOND = { events: 'nmi=2,bp=1', at: ['nmi=do_nmi..do_nmi_end', 'nmi=context_start', 'bp=do_nmi+1'] };

test('a panic is broken by what brings it about, and breaks nothing else', () => {
  for (const stop of ['call panic', 'jmp panic']) {
    assert.deepEqual(verdict(nested(stop), { ...SECOND, property: 'context,nmi-ledger,nmi-latch,progress,panic' }), {
      verdict: 'fails',
      panic: { bp: 'do_nmi+1', nmi: 'do_nmi+1..+16' },
    });
  }
});

test('without the panic the same events make the handler return into itself for ever', () => {
  assert.deepEqual(verdict(nested('nop'), { ...SECOND, property: 'context,progress,panic' }), {
    verdict: 'fails',
    progress: { bp: 'do_nmi+1', nmi: 'do_nmi+1..+16' },
  });
});

test('a handler that could stop the system, and never does', () => {
  assert.deepEqual(verdict(nested('call panic'), { events: 'nmi=2', property: 'context,panic' }), HOLDS);
});

test('what ends in a panic does not hold when panics are not checked: nothing is known', () => {
  assert.deepEqual(verdict(nested('call panic'), { ...SECOND, property: 'context' }), {
    verdict: 'open',
    stopped: 'panic is reached, and nothing is known about what follows; check the property panic too',
  });
});

test('a search in several threads says so too', async () => {
  const { result } = startSearch({
    ...{ subject: subjectOf(plainHandler({ before: 'call panic' })), profile: profileNamed('intel'), places: {} },
    ...{ properties: ['context'], bound: parseBound('nmi=1'), workers: 2 },
  });
  const { verdict: found, panicked } = await result;
  assert.deepEqual([found, panicked], ['open', 'panic']);
});
