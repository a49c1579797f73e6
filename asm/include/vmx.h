/*
 * Constants and macros for code that runs a guest with VMX (SDM vol. 3, chapter 24, appendices B and C), and where the linux
 * platform has the tables that a VMCS must name. The macros change RAX and RDX.
 */
#ifndef ENTRACE_VMX_H
#define ENTRACE_VMX_H

#include "linux.h"

/* VMCS fields. */
#define GUEST_CS_SELECTOR		0x0802
#define GUEST_SS_SELECTOR		0x0804
#define GUEST_TR_SELECTOR		0x080e
#define HOST_CS_SELECTOR		0x0c02
#define HOST_SS_SELECTOR		0x0c04
#define HOST_TR_SELECTOR		0x0c0c
#define EXIT_MSR_STORE_ADDRESS		0x2006
#define EXIT_MSR_LOAD_ADDRESS		0x2008
#define ENTRY_MSR_LOAD_ADDRESS		0x200a
#define VMCS_LINK_POINTER		0x2800
#define PIN_BASED_CONTROLS		0x4000
#define PROCESSOR_BASED_CONTROLS	0x4002
#define EXCEPTION_BITMAP		0x4004
#define EXIT_CONTROLS			0x400c
#define EXIT_MSR_STORE_COUNT		0x400e
#define EXIT_MSR_LOAD_COUNT		0x4010
#define ENTRY_CONTROLS			0x4012
#define ENTRY_MSR_LOAD_COUNT		0x4014
#define ENTRY_INTERRUPTION		0x4016
#define ENTRY_ERROR_CODE		0x4018
#define ENTRY_LENGTH			0x401a
#define EXIT_REASON			0x4402
#define EXIT_INTERRUPTION		0x4404
#define EXIT_ERROR_CODE			0x4406
#define IDT_VECTORING			0x4408
#define IDT_VECTORING_ERROR_CODE	0x440a
#define EXIT_LENGTH			0x440c
#define GUEST_TR_LIMIT			0x480e
#define GUEST_GDTR_LIMIT		0x4810
#define GUEST_IDTR_LIMIT		0x4812
#define GUEST_CS_RIGHTS			0x4816
#define GUEST_SS_RIGHTS			0x4818
#define GUEST_LDTR_RIGHTS		0x4820
#define GUEST_TR_RIGHTS			0x4822
#define GUEST_INTERRUPTIBILITY		0x4824
#define GUEST_ACTIVITY			0x4826
#define EXIT_QUALIFICATION		0x6400
#define GUEST_CR0			0x6800
#define GUEST_CR3			0x6802
#define GUEST_CR4			0x6804
#define GUEST_GS_BASE			0x6810
#define GUEST_TR_BASE			0x6814
#define GUEST_GDTR_BASE			0x6816
#define GUEST_IDTR_BASE			0x6818
#define GUEST_RSP			0x681c
#define GUEST_RIP			0x681e
#define GUEST_RFLAGS			0x6820
#define GUEST_PENDING_DEBUG		0x6822
#define HOST_CR0			0x6c00
#define HOST_CR3			0x6c02
#define HOST_CR4			0x6c04
#define HOST_GS_BASE			0x6c08
#define HOST_TR_BASE			0x6c0a
#define HOST_GDTR_BASE			0x6c0c
#define HOST_IDTR_BASE			0x6c0e
#define HOST_RSP			0x6c14
#define HOST_RIP			0x6c16

/* Controls: the bits that must be 1, and those that are used here. */
#define PIN_ONES			0x16
#define PIN_INTERRUPTS			(1 << 0)
#define PIN_NMIS			(1 << 3)
#define PIN_VIRTUAL_NMIS		(1 << 5)
#define PROCESSOR_ONES			0x04006172
#define INTERRUPT_WINDOW		(1 << 2)
#define NMI_WINDOW			(1 << 22)
#define EXIT_ONES			0x36dfb
#define EXIT_HOST_64			(1 << 9)
#define EXIT_ACKNOWLEDGE		(1 << 15)
#define ENTRY_ONES			0x11fb
#define ENTRY_IA32E			(1 << 9)

/* Interruption information: bits 10:8 are the type. */
#define INTERRUPTION_VALID		0x80000000
#define TYPE_INTERRUPT			0x000
#define TYPE_NMI			0x200
#define TYPE_EXCEPTION			0x300
#define TYPE_PRIVILEGED			0x500
#define TYPE_MASK			0x700
#define NMI_UNBLOCKED			(1 << 12)

/* Interruptibility state. */
#define BLOCKING_BY_STI			1
#define BLOCKING_BY_MOV_SS		2
#define BLOCKING_BY_NMI			8

/* Pending debug exceptions. */
#define PENDING_BS			(1 << 14)

#define RFLAGS_TF			0x100
#define RFLAGS_IF			0x200
#define MSR_X2APIC_ICR			0x830
#define ICR_FIXED			0x000
#define ICR_NMI				0x400
#define CR4_VMXE			0x2000
#define VMCS_REVISION			0x656e74

/* Basic exit reasons. */
#define REASON_EXCEPTION		0
#define REASON_INTERRUPT		1
#define REASON_INTERRUPT_WINDOW		7
#define REASON_NMI_WINDOW		8
#define REASON_CPUID			10
#define REASON_HLT			12
#define REASON_VMCALL			18

/* The linux platform's tables, and what its data's addresses are above the physical ones. */
#define HOST_IDT			0xfffffe0000000000
#define HOST_GDT			0xfffffe0000001000
#define HOST_TSS			0xfffffe0000003000
#define CODE_SEGMENT			0x00af9b000000ffff
#define DATA_SEGMENT			0x00cf93000000ffff
#define SEGMENT_PRESENT			0x0000800000000000
#define SELECTOR_TSS			0x40
#define TSS_LIMIT			0x67
#define IMAGE_OFFSET			0xffffffff80000000

	.macro	vmput field			/* RAX into a field */
	movl	$\field, %edx
	vmwrite	%rax, %rdx
	.endm

	.macro	vmset field, value
	movabsq	$\value, %rax
	vmput	\field
	.endm

	.macro	vmget field			/* a field into RAX */
	movl	$\field, %edx
	vmread	%rdx, %rax
	.endm

/* The guest's registers go onto the host's stack and back in the order of pt_regs. RSP is in the VMCS. */
#include "pt_regs.S"

#endif
