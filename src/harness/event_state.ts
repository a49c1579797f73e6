/**
 * What the processor remembers about events between two instructions: the bits of Reg.EVENTS.
 * SDM vol. 3, 6.7.1 (NMI blocking), 6.8.3 (blocking by STI and by MOV SS), 8.10 (halt).
 */
export const EventState = {
  /** NMIs are blocked: an NMI has been delivered and no IRET has executed since. */
  NMI_BLOCKED: 1 << 0,
  /** One NMI is latched and will be delivered as soon as NMIs are not blocked. */
  NMI_PENDING: 1 << 1,
  /** Blocking by STI, until the end of the next instruction. */
  STI_SHADOW: 1 << 2,
  /** Blocking by MOV SS or POP SS, until the end of the next instruction. */
  MOV_SS_SHADOW: 1 << 3,
  HALTED: 1 << 4,
  SHUTDOWN: 1 << 5,
} as const;
