/*
 * Context "syscall-gap" on Xen's own executable: the gap is the hypervisor's own, and what follows it too, so the path goes on to the
 * way back.
 */
#include "hypercall.S"
