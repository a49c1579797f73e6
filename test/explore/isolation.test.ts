/** Handlers with page-table isolation: what they do before they have loaded the kernel's CR3, and after. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Assembler } from '../../src/assembler/index.js';
import { Perm } from '../../src/cpu/memory.js';
import { Reg } from '../../src/cpu/registers.js';
import { EventState } from '../../src/harness/event_state.js';
import { machineFor } from '../../src/platforms/boot.js';
import { LINUX } from '../../src/platforms/linux.js';
import { buildSubject } from '../../src/platforms/subject.js';
import { profileNamed } from '../../src/profiles/profile.js';
import { explore, runOf, source, subjectOf, verdict } from '../support/search.js';

const SAVED = ['rdi', 'rsi', 'rdx', 'rcx', 'rax', 'r8', 'r9', 'r10', 'r11', 'rbx', 'rbp', 'r12', 'r13', 'r14', 'r15'];

interface Pieces {
  readonly marker?: string;
  readonly section?: string;
  readonly first?: string;
  readonly leave?: string;
}

/** An NMI entry that saves CR3, loads the kernel's, and gives back what it has found. One NMI at a time. */
function nmiHandler(pieces: Pieces = {}): string {
  return source(`
	${pieces.marker ?? '.globl pti\n\t.set pti, 1'}
	.data
nmi_count:
	.quad	0

	${pieces.section ?? '.section .entry.text,"ax",@progbits'}
	.globl	asm_exc_nmi
asm_exc_nmi:
	pushq	$-1
${SAVED.map((r) => `	pushq	%${r}\n`).join('')}
	cld
nmi_first:
	${pieces.first ?? ''}
	movq	%cr3, %r14
	movq	%r14, %rax
	andq	$~0x1000, %rax
	movq	%rax, %cr3
nmi_in_kernel:
	incq	nmi_count(%rip)
	movl	$1, %ebx
	movl	$0xc0000101, %ecx
	rdmsr
	testl	%edx, %edx
	js	nmi_body
	swapgs
	xorl	%ebx, %ebx
nmi_body:
	movq	%rsp, %rdi
	xorl	%esi, %esi
	call	exc_nmi
	testl	%ebx, %ebx
	jnz	nmi_leave
	swapgs
nmi_leave:
	${pieces.leave ?? 'movq %r14, %cr3'}
nmi_restore:
${SAVED.toReversed()
  .map((r) => `	popq	%${r}\n`)
  .join('')}	addq	$8, %rsp
	iretq
`);
}

const USER = { context: 'user', events: 'nmi=1' };
const KERNEL = { context: 'kernel', events: 'nmi=1' };

test('an NMI entry that loads the CR3 of the kernel and gives back what it has found holds', () => {
  const handler = nmiHandler();
  for (const setting of [USER, KERNEL]) assert.deepEqual(verdict(handler, setting), { verdict: 'holds' });
});

test('kernel data that is touched before CR3 is loaded is #PF in the NMI from user mode', () => {
  const handler = nmiHandler({ first: 'incq nmi_count(%rip)' });
  assert.deepEqual(verdict(handler, KERNEL), { verdict: 'holds' });
  const explored = explore(handler, USER);
  assert.equal(explored.result.verdict, 'fails');
  // The default #PF handler goes back to the instruction, and that goes on for ever.
  const failure = explored.result.failures.find((f) => f.property === 'progress');
  assert.ok(failure);
  assert.equal(explored.windows.progress?.nmi?.startsWith('context_start+0'), true);
  const delivered = runOf(explored, failure).steps.map((step) => step.delivered);
  assert.ok(delivered.some((what) => what?.startsWith('#PF')));
});

test('an NMI entry outside the entry text cannot be fetched in the address space of user mode', () => {
  const handler = nmiHandler({ section: '.text' });
  assert.deepEqual(verdict(handler, KERNEL), { verdict: 'holds' });
  assert.equal(explore(handler, USER).result.verdict, 'fails');
});

test('an exit with the CR3 of the kernel does not give the context back', () => {
  const handler = nmiHandler({ leave: '' });
  assert.deepEqual(verdict(handler, KERNEL), { verdict: 'holds' });
  const { result, windows } = explore(handler, USER);
  assert.equal(result.verdict, 'fails');
  assert.equal(windows.context?.nmi?.startsWith('context_start+0'), true);
});

test('an exit with the CR3 of user mode to the kernel does not give the context back', () => {
  const handler = nmiHandler({ leave: 'movq %cr3, %rax\n orq $0x1000, %rax\n movq %rax, %cr3' });
  assert.deepEqual(verdict(handler, USER), { verdict: 'holds' });
  const { result, windows } = explore(handler, KERNEL);
  assert.equal(result.verdict, 'fails');
  assert.equal(windows.context?.nmi?.startsWith('context_start+0'), true);
});

test('without the marker there is one address space, and nothing of this matters', () => {
  const handler = nmiHandler({ marker: '', first: 'incq nmi_count(%rip)', section: '.text', leave: 'movq %r14, %cr3' });
  for (const setting of [USER, KERNEL]) assert.deepEqual(verdict(handler, setting), { verdict: 'holds' });
});

test('a search that merges states finds what one that keeps all of them finds', () => {
  for (const handler of [nmiHandler(), nmiHandler({ leave: '' }), nmiHandler({ section: '.text' })]) {
    const setting = { context: 'user', events: 'nmi=2' };
    assert.deepEqual(verdict(handler, setting), verdict(handler, { ...setting, exact: true }));
  }
});

/** A context in ring 3 that makes a SYSCALL, and an entry with isolation. */
function syscallContext(room = 'cpu_tss_rsp2'): string {
  return source(`
	.section .text.user,"ax",@progbits
	.globl	context_start
	.globl	context_end
context_start:
	addq	%rdi, %rsi
	syscall
	movq	%rsi, %rdi
context_end:
	jmp	context_end

	.section .data..percpu,"aw",@progbits
	.balign	8
	.globl	kernel_room
kernel_room:
	.quad	0

	.section .entry.text,"ax",@progbits
	.globl	entry_SYSCALL_64
entry_SYSCALL_64:
	swapgs
	movq	%rsp, %gs:${room}
	movq	%cr3, %rax
	andq	$~0x1000, %rax
	movq	%rax, %cr3
	movq	%gs:cpu_current_top_of_stack, %rsp
	pushq	%gs:${room}
	call	syscall_work
	popq	%gs:${room}
	movq	%cr3, %rax
	orq	$0x1000, %rax
	movq	%rax, %cr3
	movq	%gs:${room}, %rsp
	swapgs
	sysretq

	.text
syscall_work:
	nop
	ret
`);
}

test('a SYSCALL entry with isolation, interrupted anywhere by that NMI entry, holds', () => {
  assert.deepEqual(verdict(nmiHandler(), { context: syscallContext(), events: 'nmi=1' }), { verdict: 'holds' });
});

test('a SYSCALL entry that saves RSP to a page of the kernel is #PF, with the stack of user mode', () => {
  const { result } = explore(nmiHandler(), { context: syscallContext('kernel_room'), events: 'nmi=1' });
  assert.notEqual(result.verdict, 'holds');
});

test('what the two address spaces map', async () => {
  const subject = subjectOf(nmiHandler(), USER);
  const machine = machineFor(subject, profileNamed('intel'));
  const { memory } = machine;
  assert.deepEqual(
    memory.spaces.map((s) => s.name),
    ['kernel', 'user'],
  );
  assert.equal(memory.space, 'user');
  assert.equal(machine.cpu.regs.u64[Reg.CR3], LINUX.isolation.cr3);
  const rights = (address: bigint): number | undefined => {
    const offset = memory.translate(Number(address >> 32n), Number(address & 0xffffffffn));
    return offset < 0 ? undefined : memory.perms & (Perm.WRITE | Perm.EXEC | Perm.USER);
  };
  const places = {
    idt: LINUX.idtBase,
    gdt: LINUX.gdtBase,
    tss: LINUX.tssBase,
    entryStack: LINUX.tssBase - 8n,
    nmiStack: LINUX.symbols.nmi_stack_top! - 8n,
    entryText: subject.image.globals.get('asm_exc_nmi')!.address,
    defaults: subject.image.globals.get('page_fault')!.address,
    body: subject.image.globals.get('exc_nmi')!.address,
    data: LINUX.layout.data,
    percpu: LINUX.layout.percpu + subject.image.globals.get('cpu_current_top_of_stack')!.address,
    percpuEntry: LINUX.layout.percpu + subject.image.globals.get('cpu_tss_rsp2')!.address,
    threadStack: LINUX.stacks.find((s) => s.name === 'thread')!.base,
    userText: LINUX.layout['user-text'],
    userStack: LINUX.stacks.find((s) => s.name === 'user')!.base,
    smram: LINUX.smbase + 0xf000n,
  };
  const all = (): object => Object.fromEntries(Object.entries(places).map(([name, at]) => [name, rights(at)]));
  const shared = {
    ...{ idt: 0, gdt: 0, tss: 1, entryStack: 1, nmiStack: 1, entryText: 2, defaults: 2, percpuEntry: 1, userStack: 5 },
  };
  const kernel = { body: undefined, data: undefined, percpu: undefined, threadStack: undefined, smram: undefined };
  assert.deepEqual(all(), { ...shared, ...kernel, userText: 6 });
  machine.cpu.regs.u64[Reg.CR3] = LINUX.cr3;
  machine.replaced();
  assert.deepEqual(all(), { ...shared, body: 2, data: 1, percpu: 1, threadStack: 1, userText: 4, smram: undefined });
  machine.cpu.regs.u64[Reg.EVENTS] = BigInt(EventState.SMM);
  machine.replaced();
  assert.deepEqual(all(), { ...shared, body: 2, data: 1, percpu: 1, threadStack: 1, userText: 4, smram: 1 });
  machine.cpu.regs.u64[Reg.CR3] = LINUX.isolation.cr3;
  machine.replaced();
  assert.deepEqual(all(), { ...shared, ...kernel, userText: 6, smram: 1 });
  // RSP0 is the entry stack.
  assert.equal(memory.peek64(LINUX.tssBase + 4n), LINUX.tssBase);
  const plain = machineFor(
    buildSubject(await Assembler.create(), { files: [nmiHandler({ marker: '' })], platform: LINUX, context: 'user' }),
    profileNamed('intel'),
  );
  assert.equal(plain.memory.peek64(LINUX.tssBase + 4n), LINUX.stacks.find((s) => s.name === 'thread')!.top);
  assert.equal(plain.memory.spaces.length, 1);
});
