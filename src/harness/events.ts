/**
 * The events that can be fired at a boundary, by name. Those from outside (`nmi`, `mc`) may arrive anywhere; the synchronous ones
 * are raised as if the instruction at the boundary had faulted, or the one before it had trapped.
 */
import { PageFault, Vector } from '../cpu/cpu.js';
import { Access } from '../cpu/decoder.js';
import { Reg } from '../cpu/registers.js';
import { InputError } from '../errors.js';
import { pend } from './debug.js';
import { deliver, deliverFault, Origin } from './delivery.js';
import { EventState } from './event_state.js';
import { PINS } from './io_apic.js';
import type { Machine } from './machine.js';
import { machineCheck } from './machine_check.js';
import { BROADCAST, DeliveryMode } from './message.js';
import { takePending, takesPending } from './priorities.js';
import { smiBlockingMask } from './smm.js';

/** A kind of event, with its vector where it has one: `nmi`, `intr:32`. */
export interface Event {
  readonly name: string;
  readonly kind: string;
  /** Raised by the code itself, not from outside: without another place, a search fires it in the body only. */
  readonly synchronous: boolean;
  /** Whether it could be fired where Reg.EVENTS (its low half) is `events`: false is certain, true is not. */
  readonly possible: (machine: Machine, events: number) => boolean;
  /** Whether it can be fired at the boundary at which the machine stands and would change the state. */
  readonly may: (machine: Machine) => boolean;
  /** What Reg.EVENTS becomes when the event is fired and only held back; `events` itself if more would happen. */
  readonly held: (machine: Machine, events: number) => number;
  readonly fire: (machine: Machine) => void;
}

interface Kind {
  readonly kind: string;
  readonly synchronous: boolean;
  /** Lowest vector that it takes; undefined: it takes none. */
  readonly vectors?: number;
  /** The number is no vector but one of so many pins. */
  readonly pins?: number;
  readonly make: (vector: number) => Pick<Event, 'possible' | 'fire'> & Partial<Pick<Event, 'may' | 'held'>>;
}

const always = (): boolean => true;
const nothingHeld = (_machine: Machine, events: number): number => events;
const running = (events: number): boolean =>
  !(events & (EventState.SHUTDOWN | EventState.HALTED | EventState.WAIT_FOR_SIPI | EventState.COMPATIBILITY));

/** An interrupt that waits, or the window that a guest's host waits for, may be taken first: EVENTS alone do not tell. */
const UNDECIDED = EventState.INTR_PENDING | EventState.WINDOW_EXITING;

/** What decides, besides a MOV SS, whether a data breakpoint is only held back. */
const HELD_WITH_DEBUG =
  EventState.MOV_SS_SHADOW | EventState.SMI_PENDING | EventState.INIT_PENDING | EventState.MC_PENDING;

/** What an instruction at this boundary raises: possible where an instruction would be executed. */
function raised(fire: (machine: Machine) => void): ReturnType<Kind['make']> {
  return {
    possible: (machine, events) => running(events) && ((events & UNDECIDED) !== 0 || !takesPending(machine, events)),
    may: (machine) => !takesPending(machine, machine.u32[2 * Reg.EVENTS]!),
    fire,
  };
}

function fault(vector: number, code?: number): ReturnType<Kind['make']> {
  return raised((machine) => deliver(machine, vector, Origin.EXCEPTION, code));
}

/** As if an INT n had just executed: the saved RIP is this boundary. */
function software(vector: number): ReturnType<Kind['make']> {
  return raised((machine) => deliver(machine, vector, Origin.SOFTWARE, undefined));
}

/** #PF as if the page that the instruction uses first (its memory operand, else its own) were not present. */
function pageFault(machine: Machine): void {
  const { cpu } = machine;
  const operand = machine.peek()?.memory[0];
  const address = operand ? cpu.addressOf(operand) : cpu.regs.u64[Reg.RIP]!;
  const kind = operand ? (operand.access & Access.WRITE ? PageFault.WRITE : 0) : PageFault.FETCH;
  cpu.raiseWith(Vector.PF, kind | (cpu.cpl === 3 ? PageFault.USER : 0));
  cpu.faultHigh = Number(address >> 32n);
  cpu.faultLow = Number(address & 0xffffffffn);
  deliverFault(machine);
}

/** An SMI whose handler is the plain one or, with SMI_WITH_IRET, the one that executes an IRET; one that waits absorbs others. */
function systemManagement(variant: number): ReturnType<Kind['make']> {
  return {
    possible: (machine, events) =>
      machine.smm !== undefined && !(events & (EventState.SHUTDOWN | EventState.SMI_PENDING)),
    held: (machine, events) =>
      events & smiBlockingMask(machine.profile) ? events | EventState.SMI_PENDING | variant : events,
    fire: (machine) => {
      machine.u32[2 * Reg.EVENTS]! |= EventState.SMI_PENDING | variant;
      if (!takePending(machine)) machine.changedRegisters = 0;
    },
  };
}

/** An interrupt with this vector at the INTR pin, whatever the vector is for. */
function interrupt(vector: number): ReturnType<Kind['make']> {
  return {
    possible: (machine, events) => machine.pin.present && !(events & EventState.SHUTDOWN),
    may: (machine) => !machine.pin.waits(vector),
    fire: (machine) => {
      machine.pin.raise(vector);
      if (!takePending(machine)) machine.changedRegisters = 0;
    },
  };
}

/** A device's message with this vector to the local APIC of the running processor: fixed, edge-triggered. */
function messageSignalled(vector: number): ReturnType<Kind['make']> {
  return {
    possible: (machine, events) => machine.apics.length > 0 && !(events & EventState.SHUTDOWN),
    may: (machine) => machine.apic!.wouldTake(vector),
    fire: (machine) => {
      machine.apic!.receive({
        destination: BROADCAST,
        logical: false,
        mode: DeliveryMode.FIXED,
        vector,
        level: false,
      });
      if (!takePending(machine)) machine.changedRegisters = 0;
    },
  };
}

/** The device at a pin of the I/O APIC wants service: what comes of it is for its redirection table entry to say. */
function deviceRequest(pin: number): ReturnType<Kind['make']> {
  return {
    possible: (machine, events) => machine.apics.length > 0 && !(events & EventState.SHUTDOWN),
    may: (machine) => machine.ioApic.wouldRequest(pin),
    fire: (machine) => {
      machine.ioApic.request(pin);
      if (!takePending(machine)) machine.changedRegisters = 0;
    },
  };
}

/** All kinds, in the order in which they are fired and printed. */
const KINDS: readonly Kind[] = [
  {
    kind: 'nmi',
    synchronous: false,
    make: () => ({
      // A second NMI collapses into the pending one: nothing would change.
      possible: (_machine, events) => !(events & (EventState.SHUTDOWN | EventState.NMI_PENDING)),
      held: (machine, events) => (events & machine.nmi.blockingMask ? events | EventState.NMI_PENDING : events),
      fire: (machine) => {
        machine.nmi.raise();
        if (!takePending(machine)) machine.changedRegisters = 0;
      },
    }),
  },
  {
    kind: 'mc',
    synchronous: false,
    make: () => ({ possible: (_machine, events) => !(events & EventState.SHUTDOWN), fire: machineCheck }),
  },
  { kind: 'intr', synchronous: false, vectors: 0, make: interrupt },
  { kind: 'msi', synchronous: false, vectors: 16, make: messageSignalled },
  { kind: 'smi', synchronous: false, make: () => systemManagement(0) },
  { kind: 'smi-iret', synchronous: false, make: () => systemManagement(EventState.SMI_WITH_IRET) },
  {
    kind: 'switch',
    synchronous: false,
    make: () => ({
      // Which processor goes next is decided where nothing else is: with one processor there is no other.
      possible: (machine, events) => machine.processors.count > 1 && !(events & EventState.SHUTDOWN),
      may: (machine) => machine.processors.next() >= 0,
      fire: (machine) => machine.processors.yield(),
    }),
  },
  { kind: 'irq', synchronous: false, vectors: 0, pins: PINS, make: deviceRequest },
  { kind: 'bp', synchronous: true, make: () => software(Vector.BP) },
  {
    kind: 'db',
    synchronous: true,
    make: () => ({
      // The instruction before the boundary may have hit a breakpoint also where something else is taken here.
      possible: (_machine, events) => running(events) && !(events & EventState.PENDING_B0),
      held: (_machine, events) =>
        (events & HELD_WITH_DEBUG) === EventState.MOV_SS_SHADOW ? events | EventState.PENDING_B0 : events,
      fire: (machine) => {
        pend(machine, EventState.PENDING_B0);
        if (!takePending(machine)) machine.changedRegisters = 0;
      },
    }),
  },
  { kind: 'pf', synchronous: true, make: () => raised(pageFault) },
  { kind: 'gp', synchronous: true, make: () => fault(Vector.GP, 0) },
  { kind: 'ss', synchronous: true, make: () => fault(Vector.SS, 0) },
  { kind: 'np', synchronous: true, make: () => fault(Vector.NP, 0) },
  { kind: 'ud', synchronous: true, make: () => fault(Vector.UD) },
  { kind: 'vc', synchronous: true, make: () => fault(Vector.VC, 0) },
  { kind: 'swint', synchronous: true, vectors: 0, make: software },
];

/** The names of all kinds as people write them: `nmi`, `swint:V`. */
export const EVENT_NAMES: readonly string[] = KINDS.map((k) =>
  k.vectors === undefined ? k.kind : `${k.kind}:${k.pins === undefined ? 'V' : 'N'}`,
);

const known = new Map<string, Event>();

/** The event with this name; an InputError for a name that there is none of. */
export function eventNamed(name: string): Event {
  let event = known.get(name);
  if (event === undefined) {
    event = parse(name);
    known.set(name, event);
  }
  return event;
}

function parse(name: string): Event {
  const [word, number, ...rest] = name.split(':');
  const kind = KINDS.find((k) => k.kind === word);
  if (!kind) throw new InputError(`there is no event '${name}'; the events are ${EVENT_NAMES.join(', ')}`);
  let vector = -1;
  if (kind.vectors === undefined) {
    if (number !== undefined) throw new InputError(`event '${name}': ${kind.kind} takes no vector`);
  } else {
    const digits = number !== undefined && rest.length === 0 && /^(0x[0-9a-f]{1,2}|\d{1,3})$/i.test(number);
    if (kind.pins !== undefined && !(digits && Number(number) < kind.pins))
      throw new InputError(
        `event '${name}': expected ${kind.kind}:N with a pin N of the I/O APIC from 0 to ${kind.pins - 1}`,
      );
    if (!digits || Number(number) > 255)
      throw new InputError(
        `event '${name}': expected ${kind.kind}:V with a vector V from ${kind.vectors} to 255, for example ${kind.kind}:0x20`,
      );
    vector = Number(number);
    if (vector < kind.vectors)
      throw new InputError(`event '${name}': vectors below ${kind.vectors} are rejected by the local APIC`);
  }
  const canonical = kind.vectors === undefined ? kind.kind : `${kind.kind}:0x${vector.toString(16)}`;
  if (canonical !== name) return eventNamed(canonical);
  const { possible, may = always, held = nothingHeld, fire } = kind.make(vector);
  return {
    name,
    kind: kind.kind,
    synchronous: kind.synchronous,
    possible,
    may,
    held: (machine, events) => (events & UNDECIDED ? events : held(machine, events)),
    fire,
  };
}

/** The order in which events are fired and printed: by kind, then by vector. */
export function byKind(a: string, b: string): number {
  const place = (name: string): number => KINDS.findIndex((k) => k.kind === name.split(':')[0]);
  return place(a) - place(b) || Number(a.split(':')[1] ?? 0) - Number(b.split(':')[1] ?? 0);
}
