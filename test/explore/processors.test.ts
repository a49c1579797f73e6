/** Several processors that share memory: which one goes next is an action, bounded by `switch`. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { machineFor } from '../../src/platforms/boot.js';
import { LINUX } from '../../src/platforms/linux.js';
import { profileNamed } from '../../src/profiles/profile.js';
import { agreesWithOracle } from '../support/oracle.js';
import { explore, plainHandler, source, subjectOf, verdict } from '../support/search.js';

const HOLDS = { verdict: 'holds' };

/**
 * Two processors each do `work` on shared words; the first one waits for the second and halts with `work_pending` set,
 * which the property `sleep` forbids, unless `counter` is 2.
 */
function pair(work: string): string {
  const one = (n: string): string => work.replaceAll('@', n);
  return source(
    `	.text
	.globl	context_start
	.globl	context_end
context_start:
	${one('0')}
1:	cmpl	$0, other_done
	jne	2f
	pause
	jmp	1b
2:	cmpl	$2, counter
	je	context_end
	movl	$1, %gs:work_pending
	cli
	hlt
	nop
context_end:
	jmp	context_end

	.globl	context_start_1
	.globl	context_end_1
context_start_1:
	${one('1')}
	movl	$1, other_done
context_end_1:
	jmp	context_end_1

	.data
counter:
	.long	0
other_done:
	.long	0

	.section .data..percpu,"aw",@progbits
	.globl	work_pending
work_pending:
	.long	0
`,
    'context.S',
  );
}

const TORN = 'movl counter, %eax\n\tincl %eax\n\tmovl %eax, counter';
const ATOMIC = 'incl counter';

test('an increment in three instructions is torn by the other processor, at the two boundaries inside it', () => {
  const handler = plainHandler();
  const events = { events: 'switch=2' };
  assert.deepEqual(verdict(handler, { context: pair(TORN), ...events }), {
    verdict: 'fails',
    sleep: { switch: 'context_start+1..+2, context_start_1+1..+2' },
  });
  assert.deepEqual(verdict(handler, { context: pair(ATOMIC), ...events }), HOLDS);
  // No switch, no race: a processor runs until it waits.
  assert.deepEqual(verdict(handler, { context: pair(TORN), events: 'switch=0' }), HOLDS);
});

test('with processors, too, the search finds just what every schedule by itself finds', () => {
  for (const [work, events] of [
    [TORN, 'switch=2'],
    [TORN, 'nmi=1,switch=1'],
    [ATOMIC, 'switch=2'],
  ] as const) {
    agreesWithOracle(plainHandler(), { context: pair(work), events });
  }
});

test('two processors that wait for each other never come to an end', () => {
  const context = source(
    `	.text
	.globl	context_start
	.globl	context_end
context_start:
	cmpl	$0, flag1
	jne	context_end
	pause
	jmp	context_start
context_end:
	movl	$1, flag0
	jmp	context_end
	.globl	context_start_1
	.globl	context_end_1
context_start_1:
	cmpl	$0, flag0
	jne	context_end_1
	pause
	jmp	context_start_1
context_end_1:
	movl	$1, flag1
	jmp	context_end_1
	.data
flag0:	.long	0
flag1:	.long	0
`,
    'context.S',
  );
  assert.deepEqual(verdict(plainHandler(), { context, events: 'switch=0' }), {
    verdict: 'fails',
    progress: { none: 'context_start+0' },
  });
});

test('each processor has its own registers, stacks, per-CPU variables and NMI latch', () => {
  const machine = machineFor(subjectOf('linux_nmi.S', { context: pair(ATOMIC) }), profileNamed('intel'));
  const { u64 } = machine.cpu.regs;
  machine.next('nmi');
  const first = { rsp: u64[4]!, gs: u64[21]!, blocked: machine.nmi.blocked };
  assert.equal(first.blocked, true);
  machine.next('switch');
  assert.equal(machine.processors.running, 1);
  assert.equal(machine.nmi.blocked, false);
  machine.next('nmi');
  assert.equal(u64[4]! - first.rsp, LINUX.processorStride.stacks);
  assert.equal(u64[21]! - first.gs, LINUX.processorStride.percpu);
  machine.next('switch');
  assert.deepEqual({ rsp: u64[4]!, gs: u64[21]!, blocked: machine.nmi.blocked }, first);
});

test('the nested-NMI handler holds on two processors at once', () => {
  assert.deepEqual(verdict('linux_nmi.S', { context: pair(ATOMIC), events: 'nmi=2,switch=1' }), HOLDS);
});

test('a handler that shares a word between processors does not', () => {
  // One flag for all processors instead of one for each: the NMI of the second one takes itself for nested.
  const shared = plainHandler({
    before: 'cld\n\tcmpl $0, busy\n\tjne nmi_restore\n\tmovl $1, busy',
    after: 'movl $0, busy',
    more: '.data\nbusy: .long 0',
  });
  const found = verdict(shared, { context: pair(ATOMIC), events: 'nmi=2,switch=1' }) as Record<string, object>;
  assert.equal((found as { verdict?: string }).verdict, 'fails');
  assert.ok(found['nmi-ledger'], JSON.stringify(found));
});

test('one processor cannot be switched away from', () => {
  const { result } = explore('linux_nmi.S', { events: 'switch=1' });
  assert.match(result.stopped ?? '', /switch could never be fired/);
});

test('a machine check is broadcast where the profile says so', () => {
  const pending = (profile: string): boolean => {
    const machine = machineFor(subjectOf('linux_nmi.S', { context: pair(ATOMIC) }), profileNamed(profile));
    machine.next('mc');
    assert.equal(machine.happened.vector, 18);
    machine.next('switch');
    machine.next('step');
    return machine.happened.delivered && machine.happened.vector === 18;
  };
  assert.equal(pending('intel'), true);
  assert.equal(pending('amd'), false);
});

test('a processor that halts in its handler is woken by another one, or not at all', () => {
  const halting = plainHandler({ after: 'hlt' });
  const context = (wake: string): string =>
    source(
      `	.text
	.globl	context_start, context_end, context_start_1, context_end_1
context_start:
	nop
context_end:
	jmp	context_end
context_start_1:
	${wake}
context_end_1:
	jmp	context_end_1
`,
      'context.S',
    );
  const setting = { events: 'nmi=1', at: ['nmi=context_start'], property: 'progress' };
  // An interrupt from the other processor: IF is clear in the handler, so it wakes nobody. An NMI is blocked.
  assert.deepEqual(verdict(halting, { ...setting, context: context('nop') }), {
    verdict: 'fails',
    progress: { nmi: 'context_start+0' },
  });
  const sending = 'movl $0x830, %ecx\n\tmovl $0x20, %eax\n\txorl %edx, %edx\n\twrmsr';
  const woken = plainHandler({ after: 'sti\n\thlt\n\tcli' });
  assert.deepEqual(verdict(woken, { ...setting, context: context(sending) }), HOLDS);
  assert.deepEqual(verdict(woken, { ...setting, context: context('nop') }), {
    verdict: 'fails',
    progress: { nmi: 'context_start+0' },
  });
});

test('a processor that leaves its handler for the end of the context has not halted in it', () => {
  const leaving = source('\t.text\n\t.globl\tnmi\nnmi:\n\tjmp\tcontext_end\n');
  const context = source(
    `	.text
	.globl	context_start, context_end, context_start_1, context_end_1
context_start:
	nop
context_end:
	jmp	context_end
context_start_1:
	nop
context_end_1:
	jmp	context_end_1
`,
    'context.S',
  );
  const setting = { context, events: 'nmi=1', at: ['nmi=context_start'] };
  assert.deepEqual(verdict(leaving, { ...setting, property: 'progress' }), HOLDS);
  assert.deepEqual(verdict(leaving, { ...setting, property: 'context' }), {
    verdict: 'fails',
    context: { nmi: 'context_start+0' },
  });
});
