/** A hypervisor's exit path in searches: what becomes of NMIs and interrupts that arrive while its guest runs. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Tss } from '../../src/harness/descriptors.js';
import { encodingOf, type FieldName, VMCS_REVISION } from '../../src/harness/vmcs.js';
import { ALLOWED, EntryControl, ExitControl, PinBased, ProcessorBased } from '../../src/harness/vmx.js';
import { LINUX } from '../../src/platforms/linux.js';
import { agreesWithOracle } from '../support/oracle.js';
import { explore, runOf, source, verdict } from '../support/search.js';

const HOLDS = { verdict: 'holds' };
const IMAGE = `0x${LINUX.imageOffset.toString(16)}`;
const REGISTERS = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
];
const EXITS = PinBased.NMI_EXITING | PinBased.VIRTUAL_NMIS | PinBased.EXTERNAL_INTERRUPT_EXITING;
const CONTROLS = ALLOWED.processor.ones;

/** VMWRITE of a constant or of what an instruction has put into RAX. */
function write(field: FieldName, value: bigint | number | string): string {
  const load = typeof value === 'string' ? value : `movabs $0x${BigInt.asUintN(64, BigInt(value)).toString(16)}, %rax`;
  return `	${load}\n	mov	$${encodingOf(field)}, %edx\n	vmwrite	%rax, %rdx\n`;
}

const both = (field: string, value: bigint | number | string): string =>
  write(`GUEST_${field}` as FieldName, value) + write(`HOST_${field}` as FieldName, value);

/** The context: enters VMX operation and a guest, which ends with VMCALL; the exit path then goes to vmx_done. */
function guest(code: string): string {
  return source(
    `	.text
	.globl	context_start, context_end, vmx_done
context_start:
	cli
	mov	%cr4, %rax
	or	$0x2000, %eax
	mov	%rax, %cr4
	vmxon	vmxon_pointer(%rip)
	vmptrld	vmcs_pointer(%rip)
${write('PIN_BASED_CONTROLS', ALLOWED.pin.ones | EXITS)}
${write('PROCESSOR_BASED_CONTROLS', CONTROLS)}
${write('EXIT_CONTROLS', ALLOWED.exit.ones | ExitControl.HOST_64_BIT | ExitControl.ACKNOWLEDGE_INTERRUPT)}
${write('ENTRY_CONTROLS', ALLOWED.entry.ones | EntryControl.GUEST_IA32E)}
${write('VMCS_LINK_POINTER', -1)}
${both('CR0', 'mov	%cr0, %rax')}
${both('CR3', 'mov	%cr3, %rax')}
${both('CR4', 'mov	%cr4, %rax')}
${both('CS_SELECTOR', LINUX.selectors.kernelCs)}
${both('SS_SELECTOR', LINUX.selectors.kernelSs)}
${both('TR_SELECTOR', LINUX.selectors.tss)}
${both('GS_BASE', LINUX.layout.percpu)}
${both('TR_BASE', LINUX.tssBase)}
${both('GDTR_BASE', LINUX.gdtBase)}
${both('IDTR_BASE', LINUX.idtBase)}
${write('GUEST_TR_LIMIT', Tss.SIZE - 1)}
${write('GUEST_GDTR_LIMIT', LINUX.selectors.tss + 15)}
${write('GUEST_IDTR_LIMIT', 0xfff)}
${write('GUEST_CS_ACCESS_RIGHTS', 0xa09b)}
${write('GUEST_SS_ACCESS_RIGHTS', 0xc093)}
${write('GUEST_TR_ACCESS_RIGHTS', 0x8b)}
${write('GUEST_LDTR_ACCESS_RIGHTS', 0x10000)}
${write('GUEST_RSP', 'lea	guest_stack(%rip), %rax')}
${write('GUEST_RIP', 'lea	guest(%rip), %rax')}
${write('GUEST_RFLAGS', 0x202)}
${write('HOST_RSP', 'mov	%rsp, %rax')}
${write('HOST_RIP', 'lea	vm_exit(%rip), %rax')}
	vmlaunch
	ud2
	.globl	guest, guest_end
guest:
${code}
guest_end:
	vmcall
vmx_done:
	vmxoff
context_end:
	jmp	context_end
	.data
	.balign	4096
vmxon_region:
	.long	${VMCS_REVISION}
	.balign	4096
vmcs:
	.long	${VMCS_REVISION}
	.balign	4096
	.skip	1024
guest_stack:
	.quad	0
vmxon_pointer:
	.quad	vmxon_region - ${IMAGE}
vmcs_pointer:
	.quad	vmcs - ${IMAGE}
`,
    'guest.S',
  );
}

const read = (field: FieldName): string => `	mov	$${encodingOf(field)}, %edx\n	vmread	%rdx, %rax\n`;

/** The exit path: reasons 0, 1, 7 and 18; anything else is the end. */
function hypervisor(pieces: { nmi: string; interrupt?: string; window?: string }): string {
  return source(
    `	.text
	.globl	nmi, vm_exit
vm_exit:
${REGISTERS.map((r) => `	push	%${r}\n`).join('')}${read('EXIT_REASON')}
	test	%eax, %eax
	jz	exit_nmi
	cmp	$1, %eax
	je	exit_interrupt
	cmp	$7, %eax
	je	exit_window
	cmp	$18, %eax
	je	exit_done
	.globl	vm_abort
vm_abort:
	hlt
	jmp	vm_abort
exit_nmi:
	${pieces.nmi}
	jmp	enter_guest
exit_interrupt:
	${pieces.interrupt ?? 'jmp vm_abort'}
	jmp	enter_guest
exit_window:
	${pieces.window ?? 'jmp vm_abort'}
enter_guest:
${REGISTERS.toReversed()
  .map((r) => `	pop	%${r}\n`)
  .join('')}	.globl	resume_guest
resume_guest:
	vmresume
	jmp	vm_abort
exit_done:
${REGISTERS.toReversed()
  .map((r) => `	pop	%${r}\n`)
  .join('')}	jmp	vmx_done
nmi:
${REGISTERS.map((r) => `	push	%${r}\n`).join('')}	mov	%rsp, %rdi
	xor	%esi, %esi
	call	do_nmi
${REGISTERS.toReversed()
  .map((r) => `	pop	%${r}\n`)
  .join('')}	iretq
	.globl	interrupt_0x20
interrupt_0x20:
	iretq
	.data
	.balign	8
pending_interrupt:
	.quad	0
`,
    'hypervisor.S',
  );
}

/** Xen until 2013: the host sends itself an NMI, for its own IDT to deliver. */
const SELF_NMI = `mov	$0x830, %ecx
	xor	%edx, %edx
	mov	$0x400, %eax
	wrmsr`;

/** The handler is called, and an IRET to the next instruction unblocks NMIs. */
const CALL_AND_ENABLE = `mov	%rsp, %rdi
	xor	%esi, %esi
	call	do_nmi
	mov	%rsp, %rax
	push	$0x18
	push	%rax
	pushfq
	push	$0x10
	push	$1f
	iretq
1:`;

/** All of them, and none of the host's. */
const BOUNDARIES = 'guest+0..+2, guest_end+0';
const INT3 = source('	.text\n	.globl	int3\nint3:	iretq\n', 'int3.S');
const GUEST = guest('	nop\n	mov	$1, %eax\n	inc	%eax\n');

test('C8, A-4: an NMI exit that sends itself an NMI leaves and enters the guest for ever', () => {
  const explored = explore(hypervisor({ nmi: SELF_NMI }), { context: GUEST, events: 'nmi=1' });
  assert.equal(explored.result.verdict, 'fails');
  const { progress } = explored.windows;
  assert.ok(progress, JSON.stringify(explored.windows));
  // In the guest and nowhere else: in the host the NMI is delivered through its IDT.
  assert.deepEqual(progress, { nmi: BOUNDARIES });
  const failure = explored.result.failures.find((f) => f.property === 'progress')!;
  const trace = runOf(explored, failure);
  assert.ok(trace.broken.some((b) => b.property === 'progress'));
});

test('C8: an NMI exit that calls the handler and then executes an IRET to itself holds', () => {
  assert.deepEqual(verdict(hypervisor({ nmi: CALL_AND_ENABLE }), { context: GUEST, events: 'nmi=2' }), HOLDS);
});

test('K-10: an NMI exit that does nothing loses the NMI', () => {
  const { windows } = explore(hypervisor({ nmi: 'nop' }), { context: GUEST, events: 'nmi=1' });
  assert.equal(windows['nmi-ledger']?.nmi, BOUNDARIES, JSON.stringify(windows));
});

test('an exit path that gives the guest another register back breaks the context', () => {
  const { windows } = explore(hypervisor({ nmi: `${CALL_AND_ENABLE}\n\tincq	8(%rsp)` }), {
    context: GUEST,
    events: 'nmi=1',
  });
  assert.equal(windows.context?.nmi, BOUNDARIES, JSON.stringify(windows));
});

test('K-11: a breakpoint before the NMI handler is called has its IRET unblock NMIs: a second one nests', () => {
  const events = 'nmi=2';
  const trapped = `int3\n\t${CALL_AND_ENABLE}`;
  const { windows } = explore([hypervisor({ nmi: trapped }), INT3], { context: GUEST, events });
  assert.ok(windows['body-reentry']?.nmi, JSON.stringify(windows));
  const late = `${CALL_AND_ENABLE}\n\tint3`;
  assert.deepEqual(verdict([hypervisor({ nmi: late }), INT3], { context: GUEST, events }), HOLDS);
});

test('with a VMCS, too, the search finds just what every schedule by itself finds', () => {
  for (const nmi of [SELF_NMI, CALL_AND_ENABLE, 'nop']) {
    const at = ['nmi=guest..guest_end', 'nmi=vm_exit..exit_done'];
    agreesWithOracle(hypervisor({ nmi }), { context: GUEST, events: 'nmi=2', at });
  }
});

// Injection.

/** The vector that the host has been given is the guest's: the formats are the same. */
const INJECT = `${read('EXIT_INTERRUPTION_INFORMATION')}	mov	$${encodingOf('ENTRY_INTERRUPTION_INFORMATION')}, %edx
	vmwrite	%rax, %rdx`;

const WINDOW = `$${(CONTROLS | ProcessorBased.INTERRUPT_WINDOW_EXITING) >>> 0}`;

/** The same, but only where the guest can take it; otherwise when its window opens. */
const INJECT_IF_POSSIBLE = {
  interrupt: `${read('EXIT_INTERRUPTION_INFORMATION')}	mov	%rax, pending_interrupt(%rip)
${read('GUEST_RFLAGS')}	test	$0x200, %eax
	jz	wait
${read('GUEST_INTERRUPTIBILITY')}	test	$3, %eax
	jz	inject
wait:
	mov	${WINDOW}, %eax
	mov	$${encodingOf('PROCESSOR_BASED_CONTROLS')}, %edx
	vmwrite	%rax, %rdx
	jmp	enter_guest
inject:
	mov	pending_interrupt(%rip), %rax
	mov	$${encodingOf('ENTRY_INTERRUPTION_INFORMATION')}, %edx
	vmwrite	%rax, %rdx`,
  window: `mov	$${CONTROLS}, %eax
	mov	$${encodingOf('PROCESSOR_BASED_CONTROLS')}, %edx
	vmwrite	%rax, %rdx
	jmp	inject`,
};

const MASKING_GUEST = guest('	nop\n	cli\nmasked:	nop\n	sti\n	nop\n	nop\n');
const AT_GUEST = ['intr:0x20=guest..guest_end'];

test("K-1, F-1': an interrupt that is injected whatever RFLAGS.IF is makes the VM entry fail", () => {
  const setting = { context: MASKING_GUEST, events: 'intr:0x20=1', at: AT_GUEST };
  const explored = explore(hypervisor({ nmi: CALL_AND_ENABLE, interrupt: INJECT }), setting);
  // Between CLI and the end of STI; in the shadow of STI the interrupt does not exit yet.
  assert.deepEqual(explored.windows, { 'vm-entry': { 'intr:0x20': 'masked+0..+1' } });
  const notes = runOf(explored, explored.result.failures[0]!).steps.map((step) => step.vmx);
  assert.deepEqual(
    notes.filter((note) => note !== undefined),
    [
      'VM exit: external interrupt',
      'VM entry fails: an external interrupt is injected, and guest RFLAGS.IF is 0 (SDM 26.3.1.4)',
    ],
  );
});

test("K-1: one that waits for the guest's window is not lost, and no entry fails", () => {
  const setting = { context: MASKING_GUEST, events: 'intr:0x20=1,nmi=1', at: AT_GUEST };
  assert.deepEqual(verdict(hypervisor({ nmi: CALL_AND_ENABLE, ...INJECT_IF_POSSIBLE }), setting), HOLDS);
});
