/** What a search may fire, as it is written: --events and --at. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { bodyRanges, parseBound, parsePlaces, printBound } from '../../src/explore/bound.js';
import { LINUX } from '../../src/platforms/linux.js';
import { explore, plainHandler, source, subjectOf, verdict } from '../support/search.js';

const refused = (message: RegExp): object => ({ name: 'InputError', message });

test('events are read and printed in a fixed order', () => {
  assert.deepEqual(parseBound('nmi=2,bp=1'), { nmi: 2, bp: 1 });
  assert.deepEqual(parseBound(' bp = 0 , nmi=255 '), { nmi: 255, bp: 0 });
  assert.equal(printBound(parseBound('bp=1,nmi=2')), 'nmi=2,bp=1');
});

test('events that are not of that form are refused', () => {
  for (const text of ['', 'nmi', 'nmi=', 'nmi=x', 'nmi=-1', 'nmi=1.5', 'nmi=1,', '=1', 'nmi=1;bp=1', 'NMI=1']) {
    assert.throws(() => parseBound(text), refused(/KIND=NUMBER/), text);
  }
  assert.throws(() => parseBound('nmi=256'), refused(/at most 255/));
  assert.throws(() => parseBound('nmi=1,nmi=2'), refused(/nmi is given twice/));
  assert.throws(() => parseBound('xyz=1'), refused(/there is no event 'xyz'; the events are nmi, mc,/));
  assert.throws(() => parseBound('constructor=1'), refused(/there is no event 'constructor'/));
});

test('a C part ends at the label of its own module, or by its size: a label of that name elsewhere is of another one', () => {
  const body = source(
    '	.text\n	.globl nmi, do_nmi\nnmi:	call do_nmi\n	iretq\n	.type do_nmi, @function\ndo_nmi:	nop\n	nop\n	ret\n	.size do_nmi, . - do_nmi\n',
  );
  const other = source('	.text\n	.globl do_nmi_end\n	.skip 64, 0x90\ndo_nmi_end:	nop\n', 'other.S');
  const { image, platform } = subjectOf([body, other]);
  const start = image.globals.get('do_nmi')!.address;
  assert.deepEqual(bodyRanges(image, platform, 'bp'), [{ start, end: start + 3n }]);
});

test('a context may go to a local label of the code under test', () => {
  const handler = plainHandler({ more: 'local_label:	nop\n	jmp context_back' });
  const context = source(
    `	.text
	.globl context_start, context_back, context_end
context_start:
	jmp	local_label
context_back:
	nop
context_end:
	jmp	context_end
`,
    'context.S',
  );
  assert.deepEqual(verdict(handler, { context, events: 'nmi=1' }), { verdict: 'holds' });
  const { windows } = explore(handler, { context, events: 'nmi=1', at: ['nmi=local_label'] });
  assert.deepEqual(windows, {});
});

test('events fire only in the places that are named', () => {
  const file = plainHandler();
  const at = (...places: string[]): object => verdict(file, { at: places, property: 'body-reentry' });
  assert.deepEqual(at('bp=do_nmi+3'), {
    verdict: 'fails',
    'body-reentry': { nmi: 'int3+0, do_nmi+3..+16', bp: 'do_nmi+3' },
  });
  // The end is not included; several places add up.
  assert.deepEqual(at('bp=do_nmi..do_nmi_end', 'nmi=context_start+0', 'nmi=do_nmi+5'), {
    verdict: 'fails',
    'body-reentry': { nmi: 'do_nmi+5', bp: 'do_nmi+5..+16' },
  });
  // Outside of the body a breakpoint unblocks nothing that matters before a body is running.
  assert.deepEqual(at('bp=context_start..context_end'), { verdict: 'holds' });
});

test('places that are not there are refused', () => {
  const { image } = subjectOf('linux_nmi.S');
  const parse =
    (text: string): (() => void) =>
    () =>
      void parsePlaces([text], image, LINUX, { nmi: 1 });
  assert.throws(parse('bp'), refused(/expected KIND=LABEL\.\.LABEL/));
  assert.throws(parse('=do_nmi'), refused(/expected KIND=/));
  assert.throws(parse('xyz=do_nmi'), refused(/there is no event 'xyz'/));
  assert.throws(parse('bp=nowhere'), refused(/there is no label 'nowhere'/));
  assert.throws(parse('bp=nmi_restor'), refused(/did you mean/));
  assert.throws(parse('bp=do_nmi+9999'), refused(/not so many instructions after do_nmi/));
  assert.throws(parse('bp=do_nmi_end..do_nmi'), refused(/the end lies before the start/));
  assert.throws(parse('bp=do_nmi..'), refused(/expected LABEL/));
  assert.throws(parse('bp=a..b..c'), refused(/expected LABEL/));
});
