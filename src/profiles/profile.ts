/** What differs between processors, as data: one knob for each place where vendors or models are known to differ. */
import { InputError } from '../errors.js';

export interface Profile {
  readonly name: string;
  /** IRET ends NMI blocking even if it faults (SDM vol. 3, 25.3 and the VMX chapters on "NMI unblocking due to IRET"). */
  readonly iretFaultUnblocksNmi: boolean;
  /** Blocking by STI holds NMIs back as well as external interrupts (SDM vol. 3, 6.8.3: "may"). */
  readonly stiShadowBlocksNmi: boolean;
  /** An NMI whose delivery faults leaves NMIs blocked; the NMI itself is consumed either way. */
  readonly faultingDeliveryBlocksNmi: boolean;
  /** SYSRET with a non-canonical RCX raises #GP in ring 0 (Intel) or after the switch to ring 3 (AMD). */
  readonly sysretChecksBeforeSwitch: boolean;
}

export const PROFILES: Readonly<Record<string, Profile>> = {
  intel: {
    name: 'intel',
    iretFaultUnblocksNmi: true,
    stiShadowBlocksNmi: false,
    faultingDeliveryBlocksNmi: true,
    sysretChecksBeforeSwitch: true,
  },
  amd: {
    name: 'amd',
    // Not documented for bare metal; the weaker guarantee is the default.
    iretFaultUnblocksNmi: true,
    stiShadowBlocksNmi: false,
    faultingDeliveryBlocksNmi: true,
    sysretChecksBeforeSwitch: false,
  },
};

export function profileNamed(name: string): Profile {
  const found = Object.hasOwn(PROFILES, name) ? PROFILES[name] : undefined;
  if (!found)
    throw new InputError(`there is no profile '${name}'; the profiles are ${Object.keys(PROFILES).join(', ')}`);
  return found;
}
