/** The knobs of a profile: one for each place where processors are known, or suspected, to differ. */
import { z } from 'zod';

function choice<const T extends readonly [string, string, ...string[]]>(...values: T) {
  return z.enum(values, { error: `expected ${values.slice(0, -1).join(', ')} or ${values.at(-1)}` });
}

const flag = z.boolean({ error: 'expected true or false' });

/** Each knob and the values that it may have, in the order in which they are printed. The profiles say what they mean. */
export const KNOBS = {
  vendor: choice('intel', 'amd'),
  /** IRET ends NMI blocking even if it faults. */
  iretFaultUnblocksNmi: flag,
  /** Blocking by STI holds NMIs back as well as external interrupts. */
  stiShadowBlocksNmi: flag,
  /** Blocking by STI or MOV SS holds SMIs back. */
  shadowBlocksSmi: flag,
  /** An NMI whose delivery faults leaves NMIs blocked; the NMI itself is consumed either way. */
  faultingDeliveryBlocksNmi: flag,
  /** SYSRET with a non-canonical RCX raises #GP in ring 0, not after the switch to ring 3. */
  sysretChecksBeforeSwitch: flag,
  /** SYSENTER works in long mode; otherwise it raises #UD. */
  sysenterInLongMode: flag,
  /** NMI blocking after RSM: as before the SMI; ended if SMM code executed an IRET; ended always. */
  smmNmiPolicy: choice('preserved', 'iret-unblocks', 'rsm-unblocks'),
  /** Loading a null selector into FS or GS clears the base. */
  nullSelectorClearsBase: flag,
  /** A return to a 16-bit stack segment clears RSP[63:32]. */
  returnTo16BitStackClearsRspHigh: flag,
  /** Far pointers in memory can have 64-bit offsets. */
  farPointersOf64Bits: flag,
  /** DR0 to DR3 have address masks. */
  breakpointAddressMasks: flag,
  /** Data breakpoints are ignored while a #DB is delivered. */
  noNestedDataBreakpoint: flag,
  /** A machine check while MCG_STATUS.MCIP is set shuts the processor down. */
  machineCheckWhileMcipShutsDown: flag,
  /** A machine check is delivered to all CPUs. */
  machineCheckBroadcast: flag,
  /** A second STI or MOV SS directly after the first blocks for one more instruction. */
  secondShadowExtends: flag,
  /** A fault of the instruction after MOV SS drops the deferred #DB. */
  faultDropsDeferredDebug: flag,
  /** 5-level paging: canonical addresses have 57 bits. */
  la57: flag,
  /** FRED event delivery instead of the IDT. */
  fred: flag,
} as const;

export type KnobName = keyof typeof KNOBS;
export type Knobs = { readonly [K in KnobName]: z.infer<(typeof KNOBS)[K]> };
export type KnobValue = Knobs[KnobName];

export const KNOB_NAMES = Object.keys(KNOBS) as KnobName[];

export function isKnob(name: string): name is KnobName {
  return Object.hasOwn(KNOBS, name);
}

/** Two settings that no processor can have together. */
interface Conflict {
  readonly one: readonly [KnobName, KnobValue];
  readonly other: readonly [KnobName, KnobValue];
  readonly why: string;
}

/**
 * Only what one vendor does not have at all. A rule that the other vendor has (SYSRET's check, the base under a null
 * selector) may be set on its own: that is how one finds out which rule makes a verdict differ.
 */
const CONFLICTS: readonly Conflict[] = [
  {
    one: ['vendor', 'intel'],
    other: ['breakpointAddressMasks', true],
    why: 'only AMD processors have address masks for breakpoints (CPUID Fn8000_0001 ECX[26])',
  },
  {
    one: ['vendor', 'intel'],
    other: ['noNestedDataBreakpoint', true],
    why: 'only AMD processors ignore data breakpoints while a #DB is delivered (CPUID Fn8000_0021 EAX[0])',
  },
  {
    one: ['vendor', 'amd'],
    other: ['sysenterInLongMode', true],
    why: 'on AMD processors SYSENTER raises #UD in long mode',
  },
];

/** The first two knobs that contradict each other, and a sentence that names both and says why. */
export function conflictOf(knobs: Knobs): { readonly knobs: readonly KnobName[]; readonly text: string } | undefined {
  const found = CONFLICTS.find(({ one, other }) => knobs[one[0]] === one[1] && knobs[other[0]] === other[1]);
  if (!found) return undefined;
  const { one, other, why } = found;
  return {
    knobs: [one[0], other[0]],
    text: `${one.join('=')} and ${other.join('=')} contradict each other: ${why}; change one of them`,
  };
}
