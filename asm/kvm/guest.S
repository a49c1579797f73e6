/*
 * Part of the contexts in this folder: what comes before and after the code of a guest. A context is written so:
 *
 *	#include "kvm/guest.S"
 *		guest_setup			everything up to the VMLAUNCH that all guests have in common
 *		...				what this guest has of its own: guest_tables, guest_gate, vmset
 *		guest_launch
 *	guest:					its code; it may change any register
 *		...
 *	guest_end:
 *		vmcall				the end: the hypervisor leaves by jumping to vmx_done
 *		guest_data
 *
 * The hypervisor, the image under test, has vm_exit, where exits go, and host_controls, a subroutine that writes the
 * controls. The guest is 64-bit ring 0 code in the same memory; it shares GDT, CR3 and GS base with the host, and, unless it
 * says guest_tables, IDT and TSS as well. The host runs on the thread stack, which is empty at an exit, with interrupts off.
 */
#include "include/vmx.h"

#define GUEST_IDT_SIZE	(16*0x22)
#define GUEST_IDT_LIMIT	0x21f
#define TSS_IST1	36


	/* For the processor with this suffix of context_start, whose tables lie so far behind those of the first. */
	.macro	guest_setup suffix, apart=0
	.text
	.globl	context_start\suffix, context_end\suffix, vmx_done, guest, guest_end
context_start\suffix:
	cli
	movq	%cr4, %rax
	orl	$CR4_VMXE, %eax
	movq	%rax, %cr4
	vmxon	vmxon_pointer(%rip)
	vmptrld	vmcs_pointer(%rip)

	movq	%cr0, %rax
	vmput	GUEST_CR0
	vmput	HOST_CR0
	movq	%cr3, %rax
	vmput	GUEST_CR3
	vmput	HOST_CR3
	movq	%cr4, %rax
	vmput	GUEST_CR4
	vmput	HOST_CR4
	vmset	GUEST_CS_SELECTOR, __KERNEL_CS
	vmput	HOST_CS_SELECTOR
	vmset	GUEST_SS_SELECTOR, __KERNEL_DS
	vmput	HOST_SS_SELECTOR
	vmset	GUEST_TR_SELECTOR, SELECTOR_TSS
	vmput	HOST_TR_SELECTOR
	rdgsbase %rax
	vmput	GUEST_GS_BASE
	vmput	HOST_GS_BASE
	vmset	GUEST_TR_BASE, HOST_TSS+\apart
	vmput	HOST_TR_BASE
	vmset	GUEST_GDTR_BASE, HOST_GDT+\apart
	vmput	HOST_GDTR_BASE
	vmset	GUEST_IDTR_BASE, HOST_IDT
	vmput	HOST_IDTR_BASE
	vmset	GUEST_TR_LIMIT, TSS_LIMIT
	vmset	GUEST_GDTR_LIMIT, SELECTOR_TSS+15
	vmset	GUEST_IDTR_LIMIT, 0xfff
	vmset	GUEST_CS_RIGHTS, 0xa09b
	vmset	GUEST_SS_RIGHTS, 0xc093
	vmset	GUEST_TR_RIGHTS, 0x8b
	vmset	GUEST_LDTR_RIGHTS, 0x10000
	vmset	VMCS_LINK_POINTER, -1
	vmset	GUEST_RFLAGS, 0x202
	leaq	guest_stack(%rip), %rax
	vmput	GUEST_RSP
	leaq	guest(%rip), %rax
	vmput	GUEST_RIP
	movq	%rsp, %rax
	vmput	HOST_RSP
	leaq	vm_exit(%rip), %rax
	vmput	HOST_RIP
	call	host_controls
	.endm

	/*
	 * The guest's own IDT, empty, and a TSS whose first IST slot is a stack of the guest's: all three among the per-CPU
	 * variables that every address space maps.
	 */
	.macro	guest_tables
	rdgsbase %rcx
	leaq	guest_idt(%rcx), %rax
	vmput	GUEST_IDTR_BASE
	vmset	GUEST_IDTR_LIMIT, GUEST_IDT_LIMIT
	leaq	guest_tss(%rcx), %rax
	vmput	GUEST_TR_BASE
	leaq	guest_ist_stack(%rcx), %rax
	movq	%rax, %gs:guest_tss+TSS_IST1
	.endm

	/* An interrupt gate in that IDT. */
	.macro	guest_gate vector, handler, ist=0, cs=__KERNEL_CS
	leaq	\handler(%rip), %rax
	movw	%ax, %gs:guest_idt+16*\vector
	movl	$(0x8e00 | \ist)<<16 | \cs, %gs:guest_idt+16*\vector+2
	shrq	$16, %rax
	movw	%ax, %gs:guest_idt+16*\vector+6
	shrq	$16, %rax
	movl	%eax, %gs:guest_idt+16*\vector+8
	.endm

	/* Into the guest with registers that name themselves; and where the hypervisor goes when the guest is done. */
	.macro	guest_launch suffix
	movl	$0xa0a0, %eax
	movl	$0xd2d2, %edx
	vmlaunch
guest_refused:
	jmp	vm_abort
vmx_done:
	vmxoff
context_end\suffix:
	jmp	context_end\suffix
	.endm

	.macro	guest_data
	.globl	guest_over
guest_over:
	.data
	.balign	4096
vmxon_region:
	.long	VMCS_REVISION
	.balign	4096
vmcs:
	.long	VMCS_REVISION
	.balign	4096
	.skip	512
guest_stack:
	.balign	8
vmxon_pointer:
	.quad	vmxon_region - IMAGE_OFFSET
vmcs_pointer:
	.quad	vmcs - IMAGE_OFFSET

	.section .data..percpu..user_mapped,"aw",@progbits
	.balign	16
	.globl	guest_idt
guest_idt:
	.skip	GUEST_IDT_SIZE
	.skip	512
guest_ist_stack:
guest_tss:
	.skip	TSS_LIMIT+1
	.endm
