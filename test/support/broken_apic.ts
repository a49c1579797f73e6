/** Machines whose interrupt controllers, or whose way of taking maskable interrupts, are broken on purpose. */
import { Flag, Reg } from '../../src/cpu/registers.js';
import { Origin } from '../../src/harness/delivery.js';
import { EventState } from '../../src/harness/event_state.js';
import { type LocalApic, localApic, Register } from '../../src/harness/local_apic.js';
import type { Machine } from '../../src/harness/machine.js';
import type { Message } from '../../src/harness/message.js';

const EVENTS = 2 * Reg.EVENTS;
const RFLAGS = 2 * Reg.RFLAGS;

/** A register of the first local APIC, past all rules. */
function poke(machine: Machine, register: number, value: number): void {
  machine.memory.u32[2 * (machine.memory.hiddenWord(localApic(0)) + register)] = value;
}

function peek(machine: Machine, register: number): number {
  return machine.memory.u32[2 * (machine.memory.hiddenWord(localApic(0)) + register)]!;
}

function around(machine: Machine, before: () => void, after: () => void = () => undefined): void {
  const step = machine.step.bind(machine);
  const fire = machine.fire.bind(machine);
  const wrap = (transition: () => void): void => {
    before();
    transition();
    after();
    machine.changed();
  };
  machine.step = () => wrap(step);
  machine.fire = (event) => wrap(() => fire(event));
}

/** After the delivery of a maskable interrupt. */
function afterInterrupt(machine: Machine, patch: () => void): void {
  around(
    machine,
    () => undefined,
    () => {
      if (machine.happened.delivered && machine.happened.origin === Origin.INTERRUPT) patch();
    },
  );
}

/** Wraps methods of the first local APIC. */
function replace<K extends keyof LocalApic>(
  machine: Machine,
  name: K,
  make: (old: LocalApic[K]) => LocalApic[K],
): void {
  const apic = machine.apics[0]!;
  const old = apic[name];
  const bound = typeof old === 'function' ? (old.bind(apic) as LocalApic[K]) : old;
  Object.defineProperty(apic, name, { value: make(bound), configurable: true, writable: true });
}

function replaceGetter<K extends keyof LocalApic>(machine: Machine, name: K, get: () => LocalApic[K]): void {
  Object.defineProperty(machine.apics[0]!, name, { get, set: () => undefined, configurable: true });
}

// The processor ---------------------------------------------------------------------------------------------------------

/** Interrupts are taken whatever RFLAGS.IF says. */
export function ignoringInterruptFlag(machine: Machine): void {
  around(machine, () => {
    machine.u32[RFLAGS]! |= Flag.IF;
  });
}

/** Interrupts are taken in the shadow of STI and of MOV SS. */
export function takingInterruptsInShadows(machine: Machine): void {
  around(machine, () => {
    if (machine.u32[EVENTS]! & EventState.INTR_PENDING)
      machine.u32[EVENTS]! &= ~(EventState.STI_SHADOW | EventState.MOV_SS_SHADOW);
  });
}

/** An interrupt goes before an NMI. */
export function interruptsBeforeNmis(machine: Machine): void {
  let held = 0;
  around(
    machine,
    () => {
      const events = machine.u32[EVENTS]!;
      held = events & EventState.INTR_PENDING && machine.u32[RFLAGS]! & Flag.IF ? events & EventState.NMI_PENDING : 0;
      machine.u32[EVENTS] = events & ~held;
    },
    () => {
      machine.u32[EVENTS]! |= held;
    },
  );
}

/** An interrupt with vector 2 is taken for an NMI, one with vector 18 for a machine check. */
export function vectorsThatBlock(machine: Machine): void {
  afterInterrupt(machine, () => {
    if (machine.happened.vector === 2) machine.u32[EVENTS]! |= EventState.NMI_BLOCKED;
    if (machine.happened.vector === 18) machine.u32[EVENTS]! |= EventState.MCIP;
  });
}

/** Interrupts with a vector that has an error code push one. */
export function errorCodeWithInterrupt(machine: Machine): void {
  afterInterrupt(machine, () => {
    machine.cpu.regs.u64[Reg.RSP]! -= 8n;
  });
}

/** An interrupt does not end HLT. */
export function sleepingOn(machine: Machine): void {
  let slept = false;
  around(
    machine,
    () => {
      slept = (machine.u32[EVENTS]! & EventState.HALTED) !== 0;
    },
    () => {
      if (slept && machine.happened.delivered) machine.u32[EVENTS]! |= EventState.HALTED;
    },
  );
}

// The INTR pin ----------------------------------------------------------------------------------------------------------

/** Of the vectors that wait, the highest is given first. */
export function highestVectorFirst(machine: Machine): void {
  Object.defineProperty(machine.pin, 'next', {
    get: () => {
      for (let vector = 255; vector >= 0; vector--) if (machine.pin.waits(vector)) return vector;
      return -1;
    },
  });
}

/** The acknowledge cycle does not take the interrupt from the controller. */
export function pinStaysAsserted(machine: Machine): void {
  const { pin } = machine;
  Object.defineProperty(pin, 'acknowledge', { value: () => pin.next });
}

/** LINT0 is connected whatever its LVT entry says. */
export function pinBypassesApic(machine: Machine): void {
  around(machine, () => {
    poke(machine, Register.LVT_LINT0, 0x700);
  });
}

// The local APIC --------------------------------------------------------------------------------------------------------

/** What is accepted is delivered whatever the task priority is. */
export function withoutTaskPriority(machine: Machine): void {
  around(machine, () => poke(machine, Register.TPR, 0));
}

/** Delivery sets no bit of the ISR. */
export function withoutInService(machine: Machine): void {
  replace(machine, 'acknowledge', (old) => () => {
    const vector = old();
    for (let i = 0; i < 8; i++) poke(machine, Register.ISR + i, 0);
    return vector;
  });
}

/** The processor's priority is that of the task alone. */
export function priorityOfTask(machine: Machine): void {
  replaceGetter(machine, 'priority', () => peek(machine, Register.TPR));
}

/** Priorities are compared by vectors, not by classes of 16. */
export function priorityByVector(machine: Machine): void {
  replaceGetter(machine, 'asserted', () => {
    const highest = (register: number): number => {
      for (let i = 7; i >= 0; i--) {
        const bits = peek(machine, register + i);
        if (bits !== 0) return 32 * i + 31 - Math.clz32(bits);
      }
      return -1;
    };
    return highest(Register.IRR) > highest(Register.ISR);
  });
  replace(machine, 'acknowledge', (old) => () => {
    for (let i = 0; i < 8; i++) poke(machine, Register.ISR + i, 0);
    return old();
  });
}

/** A write to the EOI register does nothing. */
export function withoutEoi(machine: Machine): void {
  replace(machine, 'writeMsr', (old) => (register, high, low) => {
    if (register === Register.EOI) return true;
    return old(register, high, low);
  });
  replace(machine, 'store', (old) => (offset, size, value) => {
    if (offset >>> 4 !== Register.EOI) old(offset, size, value);
  });
}

/** A write to the EOI register ends everything that is in service. */
export function eoiOfAll(machine: Machine): void {
  replace(machine, 'writeMsr', (old) => (register, high, low) => {
    if (register === Register.EOI) for (let i = 0; i < 8; i++) poke(machine, Register.ISR + i, 0);
    return old(register, high, low);
  });
}

/** Interrupts are accepted although software has disabled the local APIC. */
export function acceptingWhileDisabled(machine: Machine): void {
  replace(machine, 'receive', (old) => (message) => {
    const svr = peek(machine, Register.SVR);
    poke(machine, Register.SVR, svr | 0x100);
    old(message);
    poke(machine, Register.SVR, svr);
  });
}

/** Vectors below 16 are accepted like others. */
export function acceptingAllVectors(machine: Machine): void {
  replace(machine, 'receive', (old) => (message) => {
    if (message.vector < 16) poke(machine, Register.IRR, peek(machine, Register.IRR) | (1 << message.vector));
    else old(message);
    machine.apics[0]!.summarize();
  });
}

/** The ESR shows errors at once and keeps them. */
export function errorsThatStay(machine: Machine): void {
  around(machine, () => poke(machine, Register.ESR, peek(machine, Register.ESR) | peek(machine, 0x40)));
}

/** Errors raise no interrupt. */
export function silentErrors(machine: Machine): void {
  replace(machine, 'receive', (old) => (message) => {
    poke(machine, Register.LVT_ERROR, 0x10000);
    old(message);
  });
}

/** Every message is for everybody. */
export function everybodysMessages(machine: Machine): void {
  replace(machine, 'isDestination', () => () => true);
}

/** No message is for this local APIC. */
export function deaf(machine: Machine): void {
  replace(machine, 'isDestination', () => () => false);
}

/** All messages are taken as fixed interrupts. */
export function everythingFixed(machine: Machine): void {
  replace(machine, 'receive', (old) => (message: Message) => old({ ...message, mode: 0 }));
}

/** WRMSR ignores reserved bits and registers, and RDMSR reads zero where there is nothing. */
export function lenientMsrs(machine: Machine): void {
  replace(machine, 'writeMsr', (old) => (register, high, low) => {
    old(register, high, low);
    return true;
  });
  replace(machine, 'readMsr', (old) => (register) => old(register) ?? [0, 0]);
}

/** Any transition between the modes of the local APIC is possible. */
export function lenientModes(machine: Machine): void {
  replace(machine, 'writeBase', (old) => (high, low) => {
    old(high, low);
    return true;
  });
}

/** Turning the local APIC off and on keeps its registers. */
export function keepingRegisters(machine: Machine): void {
  replace(machine, 'writeBase', (old) => (high, low) => {
    const words = Array.from({ length: 0x40 }, (_, i) => peek(machine, i));
    const done = old(high, low);
    words.forEach((word, i) => {
      poke(machine, i, word);
    });
    return done;
  });
}

/** CR8 is the whole TPR. */
export function wideCr8(machine: Machine): void {
  replaceGetter(machine, 'taskPriorityClass', () => peek(machine, Register.TPR));
}

/** What instructions read from the page of a device is zero. */
export function blankPages(machine: Machine): void {
  machine.cpu.devices = new Map(
    [...machine.cpu.devices].map(([page, device]) => [page, { load: () => 0, store: device.store.bind(device) }]),
  );
}

/** What instructions write to the page of a device goes nowhere. */
export function deafPages(machine: Machine): void {
  machine.cpu.devices = new Map(
    [...machine.cpu.devices].map(([page, device]) => [
      page,
      { load: device.load.bind(device), store: () => undefined },
    ]),
  );
}

/** A page keeps what an instruction has written to it. */
export function pagesThatRemember(machine: Machine): void {
  machine.cpu.devices = new Map(
    [...machine.cpu.devices].map(([page, device]) => [
      page,
      {
        load: device.load.bind(device),
        store: (offset, size, value) => {
          machine.memory.view.setUint32(4096 * page + offset, value, true);
          device.store(offset, size, value);
        },
      },
    ]),
  );
}

/** The trigger mode of what is accepted is not kept. */
export function withoutTriggerMode(machine: Machine): void {
  replace(machine, 'receive', (old) => (message) => old({ ...message, level: false }));
}

// The I/O APIC ----------------------------------------------------------------------------------------------------------

/** An EOI does not reach the I/O APIC. */
export function withoutEoiBroadcast(machine: Machine): void {
  Object.defineProperty(machine.ioApic, 'endOfInterrupt', { value: () => undefined });
}

/** A masked pin interrupts all the same. */
export function maskedPinsInterrupt(machine: Machine): void {
  const { ioApic, memory } = machine;
  const setLine = ioApic.setLine.bind(ioApic);
  Object.defineProperty(ioApic, 'setLine', {
    value: (pin: number, asserted: boolean) => {
      memory.u32[2 * (memory.hiddenWord('I/O APIC') + 8 + pin)]! &= ~0x10000;
      setLine(pin, asserted);
    },
  });
}

/** A level-triggered pin interrupts at every assertion, although the last interrupt has not been ended. */
export function withoutRemoteIrr(machine: Machine): void {
  const { ioApic, memory } = machine;
  const setLine = ioApic.setLine.bind(ioApic);
  Object.defineProperty(ioApic, 'setLine', {
    value: (pin: number, asserted: boolean) => {
      memory.u32[2 * (memory.hiddenWord('I/O APIC') + 8 + pin)]! &= ~0x4000;
      setLine(pin, asserted);
    },
  });
}

/** A device holds its line although its interrupt has been ended. */
export function devicesThatNeverRelease(machine: Machine): void {
  const { ioApic } = machine;
  const setLine = ioApic.setLine.bind(ioApic);
  Object.defineProperty(ioApic, 'setLine', {
    value: (pin: number, asserted: boolean) => asserted && setLine(pin, true),
  });
}

/** A device lets its line go at once, level-triggered or not. */
export function devicesThatOnlyPulse(machine: Machine): void {
  const { ioApic } = machine;
  const request = ioApic.request.bind(ioApic);
  Object.defineProperty(ioApic, 'request', {
    value: (pin: number) => {
      request(pin);
      ioApic.setLine(pin, false);
    },
  });
}
