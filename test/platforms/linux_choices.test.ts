/** What an image can ask of the platform, and what the platform gives each processor for finding out which one it is. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Reg } from '../../src/cpu/registers.js';
import { Tss } from '../../src/harness/descriptors.js';
import { machineFor } from '../../src/platforms/boot.js';
import { LINUX } from '../../src/platforms/linux.js';
import { processorOf } from '../../src/platforms/platform.js';
import { profileNamed } from '../../src/profiles/profile.js';
import { plainHandler, source, subjectOf, verdict } from '../support/search.js';

const INTEL = profileNamed('intel');
const GATE_INT3 = LINUX.idtBase + 16n * 3n;

/** An image with an NMI handler and these lines. */
function withLines(lines: string): string {
  return plainHandler({ more: lines });
}

function istOfInt3(lines: string): bigint {
  const { memory } = machineFor(subjectOf(withLines(lines)), INTEL);
  return (memory.peek64(GATE_INT3)! >> 32n) & 7n;
}

test('an image chooses the IST slot of a vector', () => {
  assert.equal(istOfInt3(''), 0n);
  assert.equal(istOfInt3('.globl ist_3\n\t.set ist_3, 5'), 5n);
  assert.throws(() => istOfInt3('.globl ist_3\n\t.set ist_3, 8'), {
    name: 'InputError',
    message: /ist_3 must be an absolute symbol from 0 to 7/,
  });
});

test('slot 5 is the stack of #VC, with nothing mapped below it', () => {
  const { memory } = machineFor(subjectOf(withLines('')), INTEL);
  const stack = LINUX.stacks.find((s) => s.name === 'VC')!;
  assert.equal(memory.peek64(LINUX.tssBase + BigInt(Tss.IST1 + 8 * 4)), stack.top);
  const mapped = (address: bigint): boolean =>
    memory.translate(Number(BigInt.asUintN(64, address) >> 32n), Number(address & 0xffffffffn)) >= 0;
  assert.equal(mapped(stack.base), true);
  assert.equal(mapped(stack.base - 8n), false);
});

/** A context for two processors, each of which compares its number from three sources. */
const NUMBERS = source(
  `#include "include/linux.h"
	.macro	NUMBER suffix
	.globl	context_start\\suffix
	.globl	context_end\\suffix
context_start\\suffix:
	movl	$__CPUNODE_SEG, %eax
	lsl	%eax, %ebx
	rdpid	%r12
	rdgsbase %r13
context_end\\suffix:
	jmp	context_end\\suffix
	.endm
	.text
	NUMBER
	NUMBER _1
`,
  'numbers.S',
);

test('segment limit and IA32_TSC_AUX give the number of each processor', () => {
  const machine = machineFor(subjectOf(plainHandler(), { context: NUMBERS }), INTEL);
  for (let n = 0; n < 2; n++) {
    const { gdtBase } = processorOf(LINUX, n);
    assert.equal(machine.memory.peek64(gdtBase + BigInt(LINUX.selectors.cpuNumber!))! & 0xffffn, BigInt(n));
    const own = machine.processors.place(n, Reg.TSC_AUX);
    assert.equal(machine.u32[own], n);
  }
  // Both processors come to their ends: neither LSL nor RDPID is refused.
  assert.deepEqual(verdict(plainHandler(), { context: NUMBERS, events: 'nmi=1' }), { verdict: 'holds' });
});

test('the page tables of a second process are there for an image that asks for them', () => {
  const context = source(
    '\t.text\n\t.globl context_start, context_end\ncontext_start:\n\tmovl $kernel_cr3+0x2000, %eax\n\tmovq %rax, %cr3\n\tnop\n\tmovl $kernel_cr3, %eax\n\tmovq %rax, %cr3\ncontext_end:\n\tjmp context_end\n',
    'two_processes.S',
  );
  const setting = { context, events: 'nmi=1' };
  assert.throws(() => verdict(withLines(''), setting), { message: /selects no address space/ });
  const asking = withLines('.globl second_process\n\t.set second_process, 1');
  assert.deepEqual(verdict(asking, setting), { verdict: 'holds' });
});
