/** All properties, in the order in which they are printed. */
import { InputError } from '../errors.js';
import { balance } from './balance.js';
import { bodyReentry } from './body_reentry.js';
import { context } from './context.js';
import { crash } from './crash.js';
import { environment } from './environment.js';
import { faultState } from './fault_state.js';
import { flags } from './flags.js';
import { guestLedger } from './guest_ledger.js';
import { handlerView } from './handler_view.js';
import { masking } from './masking.js';
import { mcLedger } from './mc_ledger.js';
import { nmiLatch } from './nmi_latch.js';
import { nmiLedger } from './nmi_ledger.js';
import { panic } from './panic.js';
import { progress } from './progress.js';
import type { Property } from './property.js';
import { ring0UserCode } from './ring0_user_code.js';
import { shutdown } from './shutdown.js';
import { sleep } from './sleep.js';
import { stackBounds } from './stack_bounds.js';
import { untrustedStack } from './untrusted_stack.js';
import { vmEntry } from './vm_entry.js';

export const PROPERTIES: readonly Property[] = [
  ...[context, nmiLedger, bodyReentry, nmiLatch, environment, shutdown, progress, handlerView, flags, untrustedStack],
  ...[balance, stackBounds, faultState, masking, ring0UserCode, sleep, panic, crash, mcLedger],
  ...[vmEntry, guestLedger],
];

/** The properties that a comma-separated list names; all of them without a list. */
export function selectProperties(list: string | undefined): Property[] {
  if (list === undefined) return [...PROPERTIES];
  const names = list.split(',').map((name) => name.trim());
  for (const name of names) {
    if (!PROPERTIES.some((p) => p.name === name)) {
      throw new InputError(
        `there is no property '${name}'; the properties are ${PROPERTIES.map((p) => p.name).join(', ')}`,
      );
    }
  }
  return PROPERTIES.filter((p) => names.includes(p.name));
}
