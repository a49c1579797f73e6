/** masking: NMIs are not blocked without bound. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { plainHandler, verdict } from '../support/search.js';

const HOLDS = { verdict: 'holds' };
const masking = (file: string, events = 'nmi=1'): object => verdict(file, { events, property: 'masking' });
const EVERYWHERE = { verdict: 'fails', masking: { nmi: 'context_start+0..+13' } };

test('a handler that enables interrupts while NMIs are blocked', () => {
  assert.deepEqual(masking(plainHandler({ before: 'cld\n\tsti\n\tcli' })), EVERYWHERE);
});

test('it may once an IRET to itself has unblocked them', () => {
  const toItself = 'movq %rsp, %rax\n\tpushq $0x18\n\tpushq %rax\n\tpushfq\n\tpushq $0x10\n\tpushq $1f\n\tiretq\n1:';
  assert.deepEqual(masking(plainHandler({ before: 'cld', after: `${toItself} sti\n\tcli` })), HOLDS);
});

test('a function that may sleep, called while NMIs are blocked', () => {
  const schedule = '.globl schedule\nschedule: ret';
  assert.deepEqual(masking(plainHandler({ after: 'call schedule', more: schedule })), EVERYWHERE);
  assert.deepEqual(masking(plainHandler({ more: schedule })), HOLDS);
});
