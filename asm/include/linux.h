/*
 * Constants of the linux platform: selectors, pt_regs offsets, stack size.
 * Macros only, so that any .S file can include it.
 */
#ifndef ENTRACE_LINUX_H
#define ENTRACE_LINUX_H

#include "x86.h"

/* Segment selectors. SYSCALL and SYSRET need this order: KERNEL_CS, KERNEL_DS; USER32_CS, USER_DS, USER_CS. */
#define __KERNEL_CS		0x10
#define __KERNEL_DS		0x18
#define __USER32_CS		0x23
#define __USER_DS		0x2b
#define __USER_CS		0x33

/* The limit of this segment is the number of the processor: for LSL. */
#define __CPUNODE_SEG		0x7b

/* How far the per-CPU areas of two processors lie apart. */
#define PERCPU_STRIDE		0x40000

/* The bit of CR3 that tells user mode's page tables from the kernel's. */
#define CR3_USER		0x1000

/* Where slot n of the interrupt stack table lies in the TSS. */
#define TSS_IST(n)		(36 + 8 * ((n) - 1))

/* Size of the NMI stack. Its top, the IST value, is 16-byte aligned and called T+48 in the handlers' comments. */
#define EXCEPTION_STKSZ		4096

/*
 * struct pt_regs: 21 words, lowest address first. The last five are the words that a delivery pushes;
 * PT_ORIG_RAX is where a CPU error code would be, -1 when there is none.
 */
#define PT_R15			0
#define PT_R14			8
#define PT_R13			16
#define PT_R12			24
#define PT_RBP			32
#define PT_RBX			40
#define PT_R11			48
#define PT_R10			56
#define PT_R9			64
#define PT_R8			72
#define PT_RAX			80
#define PT_RCX			88
#define PT_RDX			96
#define PT_RSI			104
#define PT_RDI			112
#define PT_ORIG_RAX		120
#define PT_RIP			128
#define PT_CS			136
#define PT_RFLAGS		144
#define PT_RSP			152
#define PT_SS			160
#define PT_SIZE			168

/* Bit 1 of RFLAGS, which is always set. */
#define RFLAGS_FIXED		0x2

/* The end of an interrupt in the xAPIC page, which 32 bits reach. */
#define END_INTERRUPT_IN_PAGE	movl $0, local_apic_page+XAPIC_EOI

/* Where entry code goes. With page-table isolation it is mapped in user mode's address space too. */
#define ENTRY_SECTION		.entry.text

#endif
