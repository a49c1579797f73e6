/** The search against every schedule run by itself: windows, and the length of the shortest schedule for each. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { parsePlaces } from '../../src/explore/bound.js';
import { search } from '../../src/explore/explorer.js';
import { machineFor } from '../../src/platforms/boot.js';
import { LINUX } from '../../src/platforms/linux.js';
import { profileNamed } from '../../src/profiles/profile.js';
import { PROPERTIES } from '../../src/properties/index.js';
import { agreesWithOracle, everySchedule } from '../support/oracle.js';
import { source, subjectOf } from '../support/search.js';

/** A handler that looks at what an earlier NMI has left on the stack, and that keeps a counter. */
const RESIDUE = `
	.text
	.globl nmi
nmi:
	pushq	%rdi
	cmpq	$0x5a, -24(%rsp)
	jne	1f
	incl	%gs:seen
1:	movb	$0x5a, -24(%rsp)
	cmpl	$1, %gs:seen
	jne	2f
	xorl	%edi, %edi
	call	do_nmi
2:	popq	%rdi
	iretq
	.section .data..percpu,"aw",@progbits
seen:	.long 0
`;

const CASES: readonly {
  readonly name: string;
  readonly files: readonly string[];
  readonly context: string;
  readonly events: string;
  readonly at: readonly string[];
}[] = [
  {
    name: 'linux_nmi_rfc.S, one NMI',
    files: ['linux_nmi_rfc.S'],
    context: 'user-rsp',
    events: 'nmi=1,bp=1',
    at: [],
  },
  {
    name: 'linux_nmi_rfc.S, two NMIs and a breakpoint',
    files: ['linux_nmi_rfc.S'],
    context: 'kernel',
    events: 'nmi=2,bp=1',
    at: ['nmi=context_start+5', 'nmi=do_nmi+3', 'nmi=nmi_restore..repeat_nmi', 'nmi=int3', 'bp=do_nmi+2'],
  },
  {
    name: 'linux_nmi_plain.S, two NMIs and a breakpoint',
    files: ['linux_nmi_plain.S'],
    context: 'kernel',
    events: 'nmi=2,bp=1',
    at: ['nmi=context_start+5', 'nmi=nmi_restore..irq_return', 'nmi=irq_return', 'nmi=int3', 'bp=do_nmi+2'],
  },
  {
    name: 'linux_nmi.S, three NMIs around repeat_nmi',
    files: ['linux_nmi.S'],
    context: 'kernel',
    events: 'nmi=3,bp=1',
    at: ['nmi=context_start+5', 'nmi=repeat_nmi..end_repeat_nmi', 'nmi=do_nmi+4', 'bp=do_nmi+2'],
  },
  { name: 'residue that decides', files: [source(RESIDUE)], context: 'kernel', events: 'nmi=2', at: [] },
  {
    name: 'residue that decides, user',
    files: [source(RESIDUE)],
    context: 'user',
    events: 'nmi=2',
    at: [],
  },
];

for (const { name, files, context, events, at } of CASES) {
  test(`the search finds just what every schedule by itself finds: ${name}`, () => {
    agreesWithOracle(files, { context, events, ...(at === undefined ? {} : { at }) });
  });
}

test('the oracle would find out a search with fewer events', () => {
  const subject = subjectOf('linux_nmi_rfc.S', { context: 'user-rsp' });
  const profile = profileNamed('intel');
  const places = parsePlaces([], subject.image, LINUX, { nmi: 1 });
  const all = everySchedule(subject, profile, PROPERTIES, { nmi: 1 }, places);
  const none = search(machineFor(subject, profile), subject, PROPERTIES, { bound: { nmi: 0 }, places });
  assert.notEqual(none.failures.length, all.windows.size);
});
