/**
 * One path through the machine, followed strictly: events fire where their triggers say, observers see every
 * transition. Replays, reports and the minimal schedules of a search all go this way.
 */
import { Reg } from '../cpu/registers.js';
import { InputError } from '../errors.js';
import type { Machine } from '../harness/machine.js';
import { machineFor } from '../platforms/boot.js';
import type { Subject } from '../platforms/subject.js';
import type { Profile } from '../profiles/profile.js';
import { Monitor, type Reference } from '../properties/monitor.js';
import type { Property } from '../properties/property.js';
import type { RunState, Trigger } from './triggers.js';

/** An event and the trigger that fires it. */
export interface Firing {
  readonly event: string;
  readonly trigger: Trigger;
  /** For messages: where it should fire. */
  readonly where: string;
}

/** Sees the run: before and after each transition, and each property that breaks. */
export interface Observer {
  readonly before?: (run: Run, event: string | undefined) => void;
  readonly after?: (run: Run, event: string | undefined) => void;
  readonly failed?: (run: Run, property: Property) => void;
}

/** How a run came to its end. */
export type Ending = 'end' | 'loop' | 'limit';

/**
 * A run that has not ended after so many transitions is reported as it stands. An endless loop as long as the longest
 * that a search sees (MAX_CHAIN) is found before.
 */
const LIMIT = 1_000_000;
/** The context alone ends sooner, or it has no end to compare with. */
const CONTEXT_LIMIT = 50_000;

/** One transition of a machine that a monitor watches: the next instruction, or an event. The journal then has its writes alone. */
export function transition(machine: Machine, monitor: Monitor, event: string | undefined): void {
  machine.memory.journalLength = 0;
  machine.cpu.readCount = 0;
  machine.next(event ?? 'step');
  if (event !== undefined) monitor.countFired(0);
  monitor.after();
}

/** Without a `machine` of the caller's, in its start state, the run makes one. */
export class Run implements RunState {
  readonly machine: Machine;
  readonly monitor: Monitor;
  /** Number of transitions so far. */
  transitions = 0;
  /** Transitions of one turn of the endless loop that the run ended in; 0 if it did not. */
  loopLength = 0;
  /** How `follow` came to its end. */
  ending: Ending | undefined;
  readonly #hits = new Map<bigint, number>();
  readonly #observers: Observer[] = [];

  constructor(
    readonly subject: Subject,
    readonly profile: Profile,
    readonly properties: readonly Property[],
    machine?: Machine,
  ) {
    this.machine = machine ?? machineFor(subject, profile);
    // A run is short: its records hold all registers from the start.
    this.machine.rareChanged = true;
    const reference = this.#withoutEvents();
    this.monitor = new Monitor(this.machine, subject, properties);
    this.monitor.reference = reference;
    this.monitor.onFailure = (property) => {
      for (const o of this.#observers) o.failed?.(this, property);
    };
    this.#arrive();
  }

  /** How the context ends when nothing interrupts it; leaves the machine as it was. */
  #withoutEvents(): Reference | undefined {
    const { machine } = this;
    const start = machine.snapshot();
    const monitor = new Monitor(machine, this.subject, this.properties);
    for (let i = 0; i < CONTEXT_LIMIT && !monitor.ended; i++) {
      transition(machine, monitor, undefined);
    }
    machine.restore(start);
    return monitor.reference;
  }

  observe(observer: Observer): void {
    this.#observers.push(observer);
  }

  get rip(): bigint {
    return this.machine.cpu.regs.u64[Reg.RIP]!;
  }

  get hit(): number {
    return this.#hits.get(this.rip) ?? 0;
  }

  #arrive(): void {
    this.#hits.set(this.rip, (this.#hits.get(this.rip) ?? 0) + 1);
  }

  /** One transition. */
  next(event: string | undefined): void {
    for (const o of this.#observers) o.before?.(this, event);
    transition(this.machine, this.monitor, event);
    this.transitions++;
    this.#arrive();
    for (const o of this.#observers) o.after?.(this, event);
  }

  /** Fires the events in their order and runs on to the end, or until `until` says so; an InputError when one of them cannot fire. */
  follow(schedule: readonly Firing[], until?: () => boolean): Ending {
    this.ending = this.#follow(schedule, until);
    return this.ending;
  }

  #follow(schedule: readonly Firing[], until?: () => boolean): Ending {
    let pending = 0;
    const loop = new LoopDetector(this);
    for (;;) {
      const firing = schedule[pending];
      if (firing?.trigger(this)) {
        if (!this.machine.may(firing.event) || this.monitor.closed) {
          throw new InputError(`the path does not apply: at ${firing.where} the machine does not take ${firing.event}`);
        }
        this.next(firing.event);
        pending++;
        continue;
      }
      if (this.monitor.ended || this.transitions >= LIMIT || (pending === schedule.length && loop.closed())) {
        if (firing) throw new InputError(`the path does not apply: ${firing.where} is never reached`);
        if (this.monitor.ended) return 'end';
        if (this.transitions >= LIMIT) return 'limit';
        this.loopLength = loop.length;
        this.monitor.failNamed('progress');
        return 'loop';
      }
      if (pending === schedule.length && until?.()) return 'limit';
      this.next(undefined);
    }
  }
}

/** Brent's cycle detection on whole states: one kept copy, renewed at growing distances. */
export class LoopDetector {
  #power = 1;
  #distance = 0;
  /** Transitions since the copy was taken. */
  length = 0;
  #registers: Uint32Array | undefined;
  #memory: Uint8Array | undefined;
  #monitor: Uint32Array | undefined;

  constructor(readonly run: Pick<Run, 'machine' | 'monitor'>) {}

  /** To be asked once a transition: whether the state has been there before. */
  closed(): boolean {
    const { machine, monitor } = this.run;
    this.length++;
    if (this.#registers && same(this.#registers, machine.u32) && same(this.#monitor!, monitor.stateWords())) {
      if (Buffer.compare(this.#memory!, machine.memory.u8) === 0) return true;
    }
    if (this.#distance === 0) {
      this.#registers = machine.u32.slice();
      this.#memory = machine.memory.u8.slice();
      this.#monitor = monitor.stateWords();
      this.length = 0;
      this.#power *= 2;
      this.#distance = this.#power;
    }
    this.#distance--;
    return false;
  }
}

function same(a: Uint32Array, b: Uint32Array): boolean {
  return a.length === b.length && a.every((word, i) => word === b[i]);
}
