/** What an image says of its own gates and devices, in symbols. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { InputError } from '../../src/errors.js';
import { idtGate } from '../../src/harness/descriptors.js';
import { machineFor } from '../../src/platforms/boot.js';
import { LINUX } from '../../src/platforms/linux.js';
import { profileNamed } from '../../src/profiles/profile.js';
import { explore, plainHandler, source, subjectOf, verdict } from '../support/search.js';

/** The gate of `vector` for an image with these lines. */
function gateOf(vector: number, more: string): { found: bigint; wanted: (ist: number, dpl: number) => bigint } {
  const subject = subjectOf(plainHandler({ more }));
  const { memory } = machineFor(subject, profileNamed('intel'));
  const { symbols } = LINUX.vectors.find((v) => v.vector === vector)!;
  const handler = subject.image.globals.get(symbols.find((s) => subject.image.globals.has(s))!)!.address;
  return {
    found: memory.peek64(LINUX.idtBase + BigInt(16 * vector))!,
    wanted: (ist, dpl) => idtGate(handler, LINUX.selectors.kernelCs, ist, dpl, 0xe)[0],
  };
}

test('ist_N and dpl_N set the IST slot and the privilege level of a gate', () => {
  const plain = gateOf(18, '');
  assert.equal(plain.found, plain.wanted(4, 0));
  const without = gateOf(18, '.globl ist_18\n.set ist_18, 0');
  assert.equal(without.found, without.wanted(0, 0));
  const both = gateOf(3, '.globl ist_3, dpl_3\n.set ist_3, 3\n.set dpl_3, 0');
  assert.equal(both.found, both.wanted(3, 0));
});

test('an attribute that no gate can have is refused with its place', () => {
  for (const more of ['.globl ist_2\n.set ist_2, 8', '.globl dpl_3\n.set dpl_3, 4', '.globl ist_2\nist_2: nop']) {
    assert.throws(() => gateOf(2, more), InputError, more);
  }
  assert.throws(
    () => gateOf(2, '.globl ist_2\n.set ist_2, 8'),
    /handler\.S:\d+: ist_2 must be an absolute symbol from 0 to 7/,
  );
});

test('macros of the command line reach the context too', () => {
  const context = source(
    `.text
	.globl context_start, context_end
context_start:
	nop
#ifdef HALTS
	cli
	hlt
#endif
context_end:
	jmp context_end
`,
    'context.S',
  );
  const setting = { context, events: 'nmi=1' };
  assert.deepEqual(verdict(plainHandler(), setting), { verdict: 'holds' });
  const halting = explore(plainHandler(), { ...setting, defines: { HALTS: '1' } });
  const plain = explore(plainHandler(), setting);
  assert.ok(halting.result.transitions > plain.result.transitions);
});

test('the device at a pin notes in device_status_N that it has something', () => {
  const more = '.data\n.globl device_status_4, work_pending\ndevice_status_4:\nwork_pending: .quad 0';
  const context = source(
    '.globl context_start, context_end\ncontext_start: sti\n hlt\n nop\ncontext_end: jmp context_end\n',
    'context.S',
  );
  // Its pin is masked, as after a reset: nobody is told.
  assert.deepEqual(verdict(plainHandler({ more }), { context, events: 'irq:4=1' }), {
    verdict: 'fails',
    sleep: { 'irq:0x4': 'context_start+0..+2' },
  });
});

test('a processor that has come to the end of its context has not halted in a handler that it left for good', () => {
  const context = source(
    `	.text
	.globl	context_start, context_end, context_start_1, context_end_1
context_start:
	jmp	doomed
context_end:
	jmp	context_end
context_start_1:
	nop
context_end_1:
	jmp	context_end_1
`,
    'context.S',
  );
  // INT3 whose handler goes elsewhere, as when a process is ended: its record stays open.
  const image = plainHandler({ more: '.globl doomed, int3\ndoomed:\n\tint3\nint3:\n\tjmp context_end' });
  assert.deepEqual(verdict(image, { context, events: 'switch=1' }), { verdict: 'holds' });
});
