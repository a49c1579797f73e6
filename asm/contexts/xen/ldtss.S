/*
 * Context "ldtss" on Xen: code of a guest whose SS is in the LDT, a 16-bit segment, for a while.
 *
 * A PV guest has such segments if it asks for them (MMUEXT_SET_LDT). The hypervisor returns here by an IRET that loads SS from the LDT.
 */
#include "../../include/xen.h"
#define RING3_SS	FLAT_RING3_SS64
#include "../ldtss.S"
