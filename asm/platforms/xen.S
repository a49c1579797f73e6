/*
 * Defaults of the xen platform, linked to each image. Everything here is weak: an image that defines the symbol itself
 * gets its own.
 *
 * Handlers run on the stack that was current, or on the primary stack if the guest was interrupted; #DB, NMI, #DF and
 * #MC on IST stacks.
 */
#include "../include/xen.h"

#include "handlers.S"

/* SYSCALL: back to where it came from. RCX, R11 and RSP are as SYSCALL left them. */

	.weak	lstar_enter
lstar_enter:
	sysretq

#include "smm.S"
