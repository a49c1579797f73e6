/** The events that can be fired at a state, and why others cannot. */
import { Reg } from '../cpu/registers.js';
import { EventState } from '../harness/event_state.js';
import { EVENT_NAMES, type Event, eventNamed } from '../harness/events.js';
import { takesPending } from '../harness/priorities.js';
import type { Run } from '../hooks/run.js';
import type { ActionView } from './view.js';

/** In place of the vector or the pin of events that have one. */
const EXAMPLES: Readonly<Record<string, string>> = { intr: '0x20', msi: '0x20', irq: '0x0', swint: '0x80' };

/** Why an event cannot be fired; undefined if it can. */
export function reasonAgainst({ machine, monitor }: Run, event: Event): string | undefined {
  const events = machine.u32[2 * Reg.EVENTS]!;
  if (monitor.closed) return 'the path has ended';
  if (machine.may(event.name)) return undefined;
  if (events & EventState.SHUTDOWN) return 'the processor has shut down';
  switch (event.kind) {
    case 'nmi':
      return 'an NMI is pending already, and a second one would be the same';
    case 'smi':
    case 'smi-iret':
      return machine.smm === undefined
        ? 'the platform has no SMM code'
        : 'an SMI is pending already, and a second one would be the same';
    case 'intr':
      return machine.pin.present ? 'this vector waits at the INTR pin already' : 'the machine has no INTR pin';
    case 'msi':
      return machine.apics.length > 0
        ? 'the local APIC does not take this vector now'
        : 'the machine has no local APIC';
    case 'irq':
      return machine.apics.length > 0
        ? 'the redirection entry of this pin is masked, or waits already'
        : 'the machine has no I/O APIC';
    case 'switch':
      return machine.processors.count > 1 ? 'no other CPU has anything to do' : 'there is one CPU only';
    case 'db':
      if (events & EventState.PENDING_B0) return 'a breakpoint is pending already';
      break;
  }
  if (events & EventState.HALTED) return 'the processor is halted, and executes nothing that could raise it';
  if (events & EventState.WAIT_FOR_SIPI) return 'the processor waits for a SIPI';
  if (takesPending(machine, events)) return 'something else is delivered first here';
  return 'the machine does not take it here';
}

/** What becomes of an event that is held back. */
function heldBack({ machine }: Run, event: Event): string | undefined {
  const events = machine.u32[2 * Reg.EVENTS]!;
  if (event.held(machine, events) === events) return undefined;
  if (event.kind === 'nmi') {
    return machine.nmi.blocked
      ? 'NMIs are blocked: it is latched, and delivered after the next IRET'
      : 'it is held back for one instruction';
  }
  if (event.kind === 'db') return 'MOV SS holds it back for one instruction';
  return 'it is held back';
}

/** All kinds; of those with a vector, one as an example. */
export function actionsOf(run: Run): ActionView[] {
  return EVENT_NAMES.map((name) => {
    const [kind, number] = name.split(':');
    return eventNamed(number === undefined ? name : `${kind}:${EXAMPLES[kind!]}`);
  })
    .filter((event) => event.kind !== 'switch' || run.machine.processors.count > 1)
    .map((event) => {
      const reason = reasonAgainst(run, event);
      return { event: event.name, possible: reason === undefined, reason: reason ?? heldBack(run, event) };
    });
}
