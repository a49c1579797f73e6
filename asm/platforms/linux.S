/*
 * Defaults of the linux platform, linked to each image. Everything here is weak: an image that defines
 * the symbol itself gets its own.
 *
 * Handlers run on the stack that was current, or on the thread stack if ring 3 was interrupted; #DB, #DF and #MC on
 * IST stacks.
 */
#include "../include/linux.h"

#include "handlers.S"

/* SYSCALL: back to where it came from. RCX, R11 and RSP are as SYSCALL left them. */

	.weak	entry_SYSCALL_64
entry_SYSCALL_64:
	sysretq

/*
 * Per-CPU variables. The section is linked at address 0 and lives at the kernel's GS base, so that
 * %gs:name is the variable of the CPU that runs.
 */
	.section .data..percpu,"aw",@progbits
	.balign	8

	/* The top of the thread stack, where an entry from ring 3 starts. The harness fills it in. */
	.weak	cpu_current_top_of_stack
cpu_current_top_of_stack:
	.quad	0

/* What an entry uses before it has loaded the kernel's CR3. */
	.section .data..percpu..user_mapped,"aw",@progbits
	.balign	8

	/* Room for the user's RSP while SYSCALL has no stack yet. */
	.weak	cpu_tss_rsp2
cpu_tss_rsp2:
	.quad	0

#include "fred.S"
#include "smm.S"
