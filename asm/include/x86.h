/*
 * Constants of the processor: flags, MSR numbers, the local APIC. Macros only, so that any .S file can include it.
 */
#ifndef ENTRACE_X86_H
#define ENTRACE_X86_H

/* The interrupt flag, bit 9, and the direction flag, bit 10. */
#define RFLAGS_IF		0x200
#define RFLAGS_DF		0x400

/* The GS base now in force. Linux's per-CPU area lies in the upper half: bit 63 set, EDX negative after RDMSR. */
#define MSR_GS_BASE		0xc0000101

/* Restrictions of speculation; bit 0 is IBRS. */
#define MSR_IA32_SPEC_CTRL	0x48
#define SPEC_CTRL_IBRS		1

/* RDPID gives what the lower half of this one holds. */
#define MSR_TSC_AUX		0xc0000103

/* The local APIC: which mode it is in, the end of an interrupt in each, and an interrupt to oneself. */
#define MSR_IA32_APIC_BASE	0x1b
#define APIC_BASE_EXTD		(1 << 10)
#define APIC_BASE_EN		(1 << 11)
#define MSR_X2APIC_EOI		0x80b
#define MSR_X2APIC_SELF_IPI	0x83f
#define XAPIC_EOI		0xb0

/* Its ID, the register that disables it, and that by which it sends; the xAPIC has the destination in a register apart. */
#define MSR_X2APIC_ID		0x802
#define MSR_X2APIC_SVR		0x80f
#define MSR_X2APIC_ICR		0x830
#define XAPIC_ID		0x20
#define XAPIC_SVR		0xf0
#define XAPIC_ICR		0x300
#define XAPIC_ICR2		0x310
#define ICR_NMI			0x400
#define ICR_ASSERT		0x4000
#define ICR_ALL_BUT_SELF	0xc0000

/* Machine check status: RIPV, EIPV, MCIP. */
#define MSR_IA32_MCG_STATUS	0x17a

#endif
