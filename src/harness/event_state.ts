/**
 * What the processor remembers about events between two instructions: the bits of Reg.EVENTS.
 * SDM vol. 3, 6.7.1 (NMI blocking), 6.8.3 (blocking by STI and by MOV SS), 6.9 (priorities), 8.10 (halt), 15.3.1.2
 * (IA32_MCG_STATUS), 17.3 (debug exceptions), 34 (SMM).
 */
export const EventState = {
  /** NMIs are blocked: an NMI has been delivered and no IRET has executed since; also in SMM. */
  NMI_BLOCKED: 1 << 0,
  /** One NMI is latched and will be delivered as soon as NMIs are not blocked. */
  NMI_PENDING: 1 << 1,
  /** Blocking by STI, until the end of the next instruction. */
  STI_SHADOW: 1 << 2,
  /** Blocking by MOV SS or POP SS, until the end of the next instruction. */
  MOV_SS_SHADOW: 1 << 3,
  HALTED: 1 << 4,
  SHUTDOWN: 1 << 5,
  /** In system-management mode; further SMIs are blocked. */
  SMM: 1 << 6,
  /** An SMI is latched. */
  SMI_PENDING: 1 << 7,
  /** The latched SMI's handler is one that executes an IRET. */
  SMI_WITH_IRET: 1 << 8,
  /** In SMM: NMIs were blocked before the SMI. */
  SMM_NMI_BLOCKED: 1 << 9,
  /** In SMM: an IRET has executed since the SMI. */
  SMM_IRET: 1 << 10,
  /** IA32_MCG_STATUS: RIPV, EIPV, MCIP, at MCG_STATUS_SHIFT. */
  RIPV: 1 << 11,
  EIPV: 1 << 12,
  MCIP: 1 << 13,
  /** An interrupt waits at the INTR pin or in the local APIC; whether it can be delivered now is another question. */
  INTR_PENDING: 1 << 14,
  INIT_PENDING: 1 << 15,
  /** After INIT: nothing runs until a SIPI. */
  WAIT_FOR_SIPI: 1 << 16,
  /** Pending debug exceptions: breakpoints 0 to 3 and the single step, as in DR6; at PENDING_DEBUG_SHIFT. */
  PENDING_B0: 1 << 17,
  PENDING_B1: 1 << 18,
  PENDING_B2: 1 << 19,
  PENDING_B3: 1 << 20,
  PENDING_BS: 1 << 21,
  /** CS is a compatibility-mode segment: events are delivered, but no instruction is executed. */
  COMPATIBILITY: 1 << 22,
  /** In VMX root operation, or in a guest. */
  VMX_ROOT: 1 << 23,
  VMX_NON_ROOT: 1 << 24,
  /** In a guest: virtual NMIs are blocked (the host's own latch is NMI_BLOCKED). */
  VIRTUAL_NMI_BLOCKED: 1 << 25,
  /** A machine check that was broadcast waits for this processor to run. */
  MC_PENDING: 1 << 26,
  /** In a guest, copied from the controls of its VMCS: what exits, and that the host waits for a window. */
  INTERRUPT_EXITING: 1 << 27,
  NMI_EXITING: 1 << 28,
  VIRTUAL_NMIS: 1 << 29,
  WINDOW_EXITING: 1 << 30,
} as const;

export const MCG_STATUS_SHIFT = 11;
export const PENDING_DEBUG_SHIFT = 17;

export const PENDING_DEBUG =
  EventState.PENDING_B0 | EventState.PENDING_B1 | EventState.PENDING_B2 | EventState.PENDING_B3 | EventState.PENDING_BS;

export const SHADOWS = EventState.STI_SHADOW | EventState.MOV_SS_SHADOW;

/** With one of these set, the next transition may be something else than the next instruction. */
export const ATTENTION =
  EventState.NMI_PENDING |
  EventState.HALTED |
  EventState.SHUTDOWN |
  EventState.SMI_PENDING |
  EventState.INTR_PENDING |
  EventState.INIT_PENDING |
  EventState.WAIT_FOR_SIPI |
  EventState.MC_PENDING |
  EventState.WINDOW_EXITING |
  PENDING_DEBUG |
  EventState.COMPATIBILITY;
