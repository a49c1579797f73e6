/*
 * Constants of the xen platform: selectors, offsets in cpu_user_regs and cpu_info, vectors. Macros only, so that any .S
 * file can include it.
 */
#ifndef ENTRACE_XEN_H
#define ENTRACE_XEN_H

#include "x86.h"

/* The hypervisor's segments, and those of a 64-bit PV guest. SYSCALL and SYSRET need this order. */
#define __HYPERVISOR_CS		0xe008
#define __HYPERVISOR_DS32	0xe010
#define FLAT_RING3_CS32		0xe023
#define FLAT_RING3_SS64		0xe02b
#define FLAT_RING3_CS64		0xe033

/* The stacks of a processor: 8 pages, aligned to their size. */
#define PAGE_SIZE		4096
#define STACK_SIZE		0x8000

/*
 * struct cpu_user_regs, lowest address first, as SAVE_ALL leaves it: 15 registers, a word with the error code (low half)
 * and the vector (high half), and the five words that a delivery pushes.
 */
#define UREGS_error_code	120
#define UREGS_entry_vector	124
#define UREGS_rip		128
#define UREGS_cs		136
#define UREGS_eflags		144
#define UREGS_rsp		152
#define UREGS_ss		160
#define UREGS_kernel_sizeof	168

/* struct cpu_info, which ends where the stacks end: the guest's registers, then what is the processor's own. */
#define CPUINFO_guest_cpu_user_regs	0
#define CPUINFO_processor_id	200
#define CPUINFO_current_vcpu	208
#define CPUINFO_per_cpu_offset	216
#define CPUINFO_cr4		224
#define CPUINFO_xen_cr3		232
#define CPUINFO_pv_cr3		240
#define CPUINFO_sizeof		264

/*
 * The last byte of the stacks of this processor, from any RSP in them; STACK_CPUINFO_FIELD(x)(reg) is then a field of
 * cpu_info. The flags change.
 */
#define GET_STACK_END(reg)	movq $STACK_SIZE-1, reg; orq %rsp, reg
#define STACK_CPUINFO_FIELD(field)	1-CPUINFO_sizeof+field

/* In the word of the vector: the guest is to be given back by SYSRET. */
#define TRAP_syscall		256

/* Exceptions, and the interrupt by which a processor is asked to look for softirqs. */
#define TRAP_nmi		2
#define TRAP_machine_check	18
#define EVENT_CHECK_VECTOR	0xfc

/* The end of an interrupt in the xAPIC page, which 32 bits do not reach. RAX changes. */
#define END_INTERRUPT_IN_PAGE	movabsq $local_apic_page+XAPIC_EOI, %rax; movl $0, (%rax)

/* Where entry code goes. With page-table isolation it is mapped in the guest's address space too. */
#define ENTRY_SECTION		.text.entry

#endif
