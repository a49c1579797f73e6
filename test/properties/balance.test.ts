/** `balance`: counters of nesting and the IST slots are back at their values. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { LINUX } from '../../src/platforms/linux.js';
import { plainHandler, verdict } from '../support/search.js';

const HOLDS = { verdict: 'holds' };
const FAILS = { verdict: 'fails', balance: { nmi: 'context_start+0..+13' } };

const counting = (name: string, after: string): string =>
  plainHandler({
    before: `cld\n\tincl %gs:${name}`,
    after,
    more: `.section .data..percpu, "aw"\n${name}:\t.long 0`,
  });

test('a counter that is raised and not lowered breaks it', () => {
  for (const name of ['nmi_state', 'debug_stack_usage', 'update_debug_stack', 'nmi_warnings']) {
    assert.deepEqual(verdict(counting(name, ''), { events: 'nmi=1' }), FAILS, name);
    assert.deepEqual(verdict(counting(name, `decl %gs:${name}`), { events: 'nmi=1' }), HOLDS, name);
  }
});

test('other variables may change', () => {
  assert.deepEqual(verdict(counting('nmi_count', ''), { events: 'nmi=1' }), HOLDS);
});

test('an IST slot that is moved and not moved back breaks it', () => {
  // Slots 2 and 3 of the TSS: NMI and debug.
  for (const offset of [0x2cn, 0x34n]) {
    const moving = (after: string): string =>
      plainHandler({ before: `cld\n\tmovabsq $${LINUX.tssBase + offset}, %rbx\n\tsubq $0x400, (%rbx)`, after });
    assert.deepEqual(verdict(moving(''), { events: 'nmi=1' }), FAILS);
    assert.deepEqual(verdict(moving('addq $0x400, (%rbx)'), { events: 'nmi=1' }), HOLDS);
  }
});

test('a nested handler may find and leave a counter raised', () => {
  // What it interrupts is the first handler, not the context.
  assert.deepEqual(verdict('linux_nmi.S', { context: 'user', property: 'balance' }), HOLDS);
});
