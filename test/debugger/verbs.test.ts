/** Verbs, forwards and backwards, and the branches that events begin. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import test from 'node:test';
import { InputError } from '../../src/errors.js';
import { addressOf } from '../../src/hooks/triggers.js';
import { opened, play, rfc, TWO_PROCESSORS, where } from '../support/debugger.js';
import { asm, source } from '../support/search.js';

test('a step is one transition, an event included, and a step back undoes it', async () => {
  const debug = await rfc();
  assert.equal(where(debug), '0 context context_start+0');
  await debug.step();
  assert.equal(where(debug), '1 NMI 1 nmi+0');
  await debug.step(3);
  assert.equal(where(debug), '4 NMI 1 nmi+3');
  await debug.reverseStep(2);
  assert.equal(where(debug), '2 NMI 1 nmi+1');
  assert.equal((await debug.reverseStep(5)).reason, 'start');
  assert.equal(where(debug), '0 context context_start+0');
});

test('next goes over a handler and over a call, and so does its reverse', async () => {
  const debug = await rfc();
  await debug.until({ kind: 'event' });
  assert.equal(where(debug), '48 NMI 1 do_nmi+0');
  await debug.next();
  assert.equal(where(debug), '50 NMI 1 do_nmi+0');
  await debug.reverseNext();
  assert.equal(where(debug), '48 NMI 1 do_nmi+0');
  await debug.until({ kind: 'boundary', address: addressOf(debug.image, 'restart_nmi+27') }, -1);
  assert.equal(where(debug), '47 NMI 1 restart_nmi+27');
  await debug.next();
  assert.equal(where(debug), '67 NMI 1 restart_nmi+28');
  await debug.reverseNext();
  assert.equal(where(debug), '47 NMI 1 restart_nmi+27');
});

test('next executes one instruction where nothing is entered', async () => {
  const debug = await opened('linux_nmi.S');
  await debug.next();
  assert.equal(where(debug), '1 context context_start+1');
  await debug.reverseNext();
  assert.equal(where(debug), '0 context context_start+0');
  assert.equal((await debug.reverseNext()).reason, 'start');
});

test('a RET without its CALL is one step back', async () => {
  const context = source(`
	.text
	.globl context_start, context_end
context_start:
	nop
	leaq	1f(%rip), %rax
	pushq	%rax
	ret
1:	nop
context_end:
	jmp	context_end
`);
  const debug = await opened('linux_nmi.S', { context });
  await debug.step(4);
  const before = where(debug);
  await debug.reverseNext();
  assert.equal(debug.position.index, 3);
  await debug.next();
  assert.equal(where(debug), before);
});

test('finish goes to the end of the function, then of the handler; its reverse to where they were entered', async () => {
  const debug = await rfc();
  debug.go(52);
  await debug.finish();
  assert.equal(where(debug), '67 NMI 1 restart_nmi+28');
  debug.go(90);
  await debug.finish();
  assert.equal(where(debug), '102 NMI 1 nmi_restore+15');
  debug.go(90);
  await debug.reverseFinish();
  assert.equal(where(debug), '84 NMI 1 nmi_restore+15');
  debug.go(52);
  await debug.reverseFinish();
  assert.equal(where(debug), '47 NMI 1 restart_nmi+27');
});

test('continue stops where a property breaks, each time, and then at the end', async () => {
  const debug = await rfc();
  const stops = [];
  for (let i = 0; i < 3; i++) stops.push(await debug.continue());
  assert.deepEqual(
    stops.map(({ reason, text }) => `${reason}: ${text}`),
    [
      'failure: handler-view is broken: rdi is not what it was',
      'failure: context is broken: rdi is not what it was',
      'end: the path has ended: the context has come to its end',
    ],
  );
  assert.equal(where(debug), '188 context context_end+0');
  assert.equal((await debug.step()).reason, 'end');
  assert.equal((await debug.reverseContinue()).reason, 'start');
  assert.equal(debug.position.index, 0);
});

test('until knows deliveries, the latch, the boundaries by their hits, and the return that gives the context back', async () => {
  const debug = await rfc();
  const to = async (target: Parameters<typeof debug.until>[0], direction: 1 | -1 = 1): Promise<string> => {
    const { reason } = await debug.until(target, direction);
    return `${reason} ${where(debug)}`;
  };
  assert.equal(await to({ kind: 'delivery' }), 'target 1 NMI 1 nmi+0');
  assert.equal(await to({ kind: 'delivery', event: '#BP' }), 'target 49 #BP 1 int3+0');
  assert.equal(await to({ kind: 'unmasked' }), 'target 50 NMI 1 do_nmi+0');
  assert.equal(await to({ kind: 'masked' }), 'target 85 NMI 2 nmi+0');
  assert.equal(await to({ kind: 'failure', property: 'context' }), 'failure 102 NMI 1 nmi_restore+15');
  assert.equal(await to({ kind: 'given-back' }), 'failure 175 context context_start+0');
  const boundary = addressOf(debug.image, 'do_nmi+0');
  assert.equal(await to({ kind: 'boundary', address: boundary, hit: 1 }, -1), 'target 48 NMI 1 do_nmi+0');
  assert.equal(await to({ kind: 'boundary', address: boundary, hit: 3 }), 'failure 102 NMI 1 nmi_restore+15');
  assert.equal(await to({ kind: 'boundary', address: boundary, hit: 3 }), 'target 138 NMI 1 do_nmi+0');
  assert.equal(await to({ kind: 'delivery', event: 'nmi 1' }, -1), 'target 0 context context_start+0');
});

test('a delivery that has no such name is refused, and pf is #PF', async () => {
  const debug = await rfc();
  const { error, lines } = await debug.command('until delivery XX');
  assert.ok(error);
  assert.match(lines[0]!, /^until delivery XX: there is none of that name; names are #DE, #DB, NMI/);
  assert.equal((await debug.command('until delivery bp')).lines[0], 'delivery of #BP 1');
  assert.equal((await debug.command('until delivery NMI 2')).lines[0], 'delivery of NMI 2');
  for (const name of ['irq 0x20', 'INT 0x80', 'vm exit', 'vector 42', '#pf 3', 'smi']) {
    debug.go(0);
    assert.equal((await debug.command(`until delivery ${name}`)).error, false, name);
  }
});

test('the NMI that comes while they are blocked is latched, and delivered by the IRET', async () => {
  const debug = await opened('linux_nmi.S');
  debug.fire('nmi');
  debug.fire('nmi');
  assert.equal(where(debug), '2 NMI 1 nmi+0');
  assert.equal(debug.view().events[0]!.value, 'blocked, one pending');
  assert.throws(() => debug.fire('nmi'), { message: /^nmi cannot be fired here: an NMI is pending already/ });
  await debug.until({ kind: 'latched' }, -1);
  assert.equal(debug.position.index, 1);
  await debug.until({ kind: 'delivery' });
  assert.equal(debug.view().position.owner, 'NMI 2');
});

test('firing another event in the middle begins a branch, and doing it again takes that one', async () => {
  const debug = await rfc();
  debug.go(20);
  debug.fire('mc');
  assert.deepEqual(debug.position, { branch: 1, index: 21 });
  debug.go(20, 0);
  debug.fire('mc');
  assert.deepEqual(debug.position, { branch: 1, index: 21 });
  debug.go(20, 1);
  await debug.step();
  assert.deepEqual(debug.position, { branch: 1, index: 21 });
  debug.go(20, 1);
  debug.fire('db');
  assert.deepEqual(debug.position, { branch: 2, index: 21 });
  assert.deepEqual(
    debug.view().branches.map(({ name, parent, fork, forkAction }) => [name, parent, fork, forkAction]),
    [
      ['main', undefined, 0, 'nmi'],
      ['mc at first_nmi+10', 0, 20, 'mc'],
      ['db at first_nmi+10', 1, 20, 'db'],
    ],
  );
});

test('without its last event the counterexample gives the context back whole', async () => {
  const debug = await rfc();
  debug.go(84);
  debug.skip();
  assert.equal(where(debug), '85 NMI 1 nmi_restore+16');
  assert.equal((await debug.until({ kind: 'given-back' })).reason, 'target');
  assert.equal(debug.readRegister('rdi'), 0x707070707070707n);
  assert.equal((await debug.continue()).reason, 'end');
  assert.deepEqual(debug.view().failures, []);
  assert.deepEqual(debug.view().branches[0]!.failed, ['handler-view', 'context']);
});

test('there is nothing to skip where the branch fires nothing', async () => {
  const debug = await rfc();
  debug.go(5);
  assert.throws(() => debug.skip(), InputError);
});

test('an endless loop is found, and breaks progress', async () => {
  const debug = play(await opened('linux_nmi_plain.S'), 'nmi@context_start+0', 'bp@do_nmi+0', 'nmi@irq_return+0');
  const { branches } = debug.view();
  assert.match(branches[0]!.ended!, /^an endless loop of \d+ transitions/);
  assert.ok(branches[0]!.failed.includes('progress'));
});

test('what the machine does not model stops the debugger, and leaves the state as it was', async () => {
  const handler = source(`
	.text
	.globl	nmi
nmi:	pushq	%rax
	pushq	%rdx
	rdtsc
	popq	%rdx
	popq	%rax
	iretq
`);
  const debug = await opened(handler);
  debug.fire('nmi');
  const stop = await debug.continue();
  assert.equal(stop.reason, 'not-modelled');
  assert.match(stop.text, /handler\.S:6: .*time is not modelled/);
  assert.equal(where(debug), '3 NMI 1 nmi+2');
  assert.equal(debug.readRegister('rax'), 0xa0a0a0a0a0a0a0a0n);
  assert.equal((await debug.reverseStep()).reason, 'step');
  debug.fire('mc');
  assert.equal(where(debug), '3 #MC 1 machine_check+0');
});

test('a verb under way is ended by its signal, and no other one begins meanwhile', async () => {
  const context = source(`
	.text
	.globl context_start, context_end
context_start:
	movq	$100000, %rcx
1:	decq	%rcx
	jnz	1b
context_end:
	jmp	context_end
`);
  const debug = await opened('linux_nmi.S', { context });
  const controller = new AbortController();
  const running = debug.continue(controller.signal);
  assert.ok(debug.busy);
  assert.throws(() => debug.fire('nmi'), { message: 'the code is running; interrupt it first' });
  assert.deepEqual((await debug.command('step')).lines, ['the code is running; interrupt it first']);
  controller.abort();
  assert.equal((await running).reason, 'interrupted');
  const { index } = debug.position;
  assert.ok(index > 0 && index < 200_001);
  await debug.continue();
  assert.equal(debug.position.index, 200_001);
});

test('a switch from a processor in a handler to one that is not gives nothing back and unmasks nothing', async () => {
  const debug = await opened('linux_nmi.S', { context: source(TWO_PROCESSORS) });
  debug.fire('nmi');
  await debug.step(3);
  debug.fire('switch');
  await debug.step();
  debug.fire('switch');
  assert.equal(where(debug), '7 CPU 0 NMI 1 nmi_from_kernel+0');
  debug.go(1);
  assert.equal((await debug.until({ kind: 'unmasked' })).reason, 'target');
  assert.match(where(debug), /^\d+ CPU 0 context context_start\+0$/);
  assert.ok(debug.position.index > 7);
  debug.go(1);
  assert.equal((await debug.until({ kind: 'given-back' })).reason, 'target');
  assert.match(where(debug), /^\d+ CPU 0 context context_start\+0$/);
  debug.go(5);
  assert.equal((await debug.until({ kind: 'masked' }, -1)).reason, 'target');
  assert.equal(debug.position.index, 0);
  // Next and its reverse go over a switch in one step.
  debug.go(4);
  await debug.next();
  assert.equal(debug.position.index, 5);
  await debug.reverseNext();
  assert.equal(debug.position.index, 4);
  debug.go(6);
  await debug.next();
  assert.equal(where(debug), '7 CPU 0 NMI 1 nmi_from_kernel+0');
});

test('a switch to another processor neither unblocks NMIs nor gives a context back', async () => {
  const debug = await opened('xen_kexec.S', {
    platform: 'xen',
    context: join(asm('.'), '..', 'scenarios/xen-kexec/panic.S'),
  });
  debug.fire('nmi');
  debug.fire('switch');
  assert.equal(where(debug), '2 CPU 1 context context_start_1+0');
  for (const kind of ['unmasked', 'given-back'] as const) {
    debug.go(1);
    await debug.until({ kind });
    assert.match(where(debug), /CPU 0 context context_start\+0$/);
    await debug.until({ kind: 'masked' }, -1);
    assert.equal(where(debug), '0 CPU 0 context context_start+0');
  }
});
