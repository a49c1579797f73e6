/**
 * Events at every boundary, here and in QEMU: the same image, the same start, the same event before the same transition; after
 * each transition all registers and all memory must be the same.
 */
import { Reg } from '../src/cpu/registers.js';
import { InputError } from '../src/errors.js';
import { EventState } from '../src/harness/event_state.js';
import type { Machine, Snapshot } from '../src/harness/machine.js';
import { PROFILES } from '../src/profiles/profile.js';
import { DEPARTURES, type Departure } from './events_departures.js';
import { HANDLERS, type Handler, type Start } from './events_handlers.js';
import { COMPARED, EventPeer } from './events_peer.js';

/** An event that is fired in place of transition number `at` (from 0) of a path. */
export interface Injection {
  readonly at: number;
  readonly event: string;
}

export interface EventRow {
  readonly handler: string;
  /** Tags of rules.md. */
  readonly rules: readonly string[];
  readonly what: string;
  /** Schedules that were run. */
  readonly schedules: number;
  /** Transitions after which registers and memory were compared. */
  readonly boundaries: number;
  /** What differs, and is not on the list of known departures; at most `MOST_DIFFERENCES` of them. */
  readonly differences: readonly string[];
  /** Schedules in which QEMU departs from the manual as listed, by the departure's name. */
  readonly departures: ReadonlyMap<string, number>;
}

export interface EventReport {
  readonly rows: readonly EventRow[];
  /** The list of known departures, each with the number of schedules in which it showed: 0 if it is out of date. */
  readonly departures: readonly (Departure & { readonly schedules: number })[];
}

export interface EventOptions {
  readonly onProgress?: (text: string) => void;
  /** Names of handlers; without them all are run. */
  readonly handlers?: readonly string[];
}

export interface CompareOptions {
  /** False: no pairs of events, whatever the handler says. */
  readonly pairs?: boolean;
  /** Patches our machine: a comparison must find that out. */
  readonly broken?: (machine: Machine) => void;
  readonly mostDifferences?: number;
  readonly onProgress?: (text: string) => void;
}

const MOST_DIFFERENCES = 20;
/** A path that has not ended after so many transitions is cut off: handlers that return into themselves have no end. */
const MOST_TRANSITIONS = 600;
const PROFILE = 'intel';
/** How often QEMU is asked whether it has halted or shut down by now. */
const PATIENCE = 1000;

interface Ran {
  readonly transitions: number;
  readonly compared: number;
  readonly difference: string | undefined;
}

/** Our machine, with its start state. */
class Side {
  readonly machine: Machine;
  readonly #end: bigint;
  readonly #start: Snapshot;

  constructor(start: Start) {
    this.machine = start.machine;
    this.#end = start.end;
    this.#start = start.machine.snapshot();
  }

  reset(): void {
    this.machine.restore(this.#start);
  }

  get rip(): bigint {
    return this.machine.cpu.regs.u64[Reg.RIP]!;
  }

  get events(): number {
    return this.machine.u32[2 * Reg.EVENTS]!;
  }

  /** The path has come to its end, and nothing is pending. */
  get over(): boolean {
    const pending = EventState.NMI_PENDING | EventState.SMI_PENDING | EventState.INTR_PENDING;
    return this.rip === this.#end && !(this.events & pending);
  }

  /** Nothing happens any more without an event. */
  get stopped(): boolean {
    return this.machine.actions([]).length === 0;
  }
}

/** Runs all schedules of one handler. */
export async function compareHandler(handler: Handler, options: CompareOptions = {}): Promise<EventRow> {
  const side = new Side(await handler.make(PROFILES[PROFILE]!));
  const peer = await EventPeer.start(side.machine);
  options.broken?.(side.machine);
  const seen = new Set<string>();
  for (const { name, install } of DEPARTURES) install(side.machine, () => seen.add(name));
  const differences: string[] = [];
  const departures = new Map<string, number>();
  const counts = { schedules: 0, boundaries: 0 };
  const most = options.mostDifferences ?? MOST_DIFFERENCES;

  /** Runs one schedule; the number of transitions of its path. */
  const run = async (schedule: readonly Injection[], from: number): Promise<number> => {
    seen.clear();
    const { transitions, compared, difference } = await follow(side, peer, schedule, from);
    counts.schedules++;
    counts.boundaries += compared;
    for (const name of seen) departures.set(name, (departures.get(name) ?? 0) + 1);
    if (difference !== undefined) differences.push(`${scheduleText(schedule)}: ${difference}`);
    return transitions;
  };

  try {
    const length = await run([], 0);
    const every = options.pairs === false ? 0 : handler.pairs;
    for (let i = 0; i <= length; i++) {
      for (const first of handler.events) {
        if (differences.length >= most) break;
        const path = await run([{ at: i, event: first }], 0);
        if (every === 0 || i % every !== 0) continue;
        for (let j = i + 1; j <= path && differences.length < most; j++) {
          // Up to the second event the path has been compared already.
          for (const second of handler.events) {
            await run(
              [
                { at: i, event: first },
                { at: j, event: second },
              ],
              j - 1,
            );
          }
        }
      }
      options.onProgress?.(`${handler.name}: ${i} of ${length} boundaries`);
    }
  } finally {
    peer.close();
  }
  const { name, rules, what } = handler;
  return { handler: name, rules, what, ...counts, differences, departures };
}

function scheduleText(schedule: readonly Injection[]): string {
  return schedule.length === 0 ? 'no event' : schedule.map(({ at, event }) => `${event} at ${at}`).join(', ');
}

/** Follows a schedule on both sides; what is before transition `from` is not compared. */
async function follow(side: Side, peer: EventPeer, schedule: readonly Injection[], from: number): Promise<Ran> {
  const { machine } = side;
  side.reset();
  await peer.reset();
  let pending = 0;
  let compared = 0;
  // QEMU still stands before a HLT that ours has executed.
  let behind = false;
  for (let at = 0; ; at++) {
    const injection = schedule[pending]?.at === at ? schedule[pending] : undefined;
    if (injection) pending++;
    // An event that changes nothing (another NMI is pending) is not fired.
    const event: string | undefined =
      injection && !behind && machine.may(injection.event) ? injection.event : undefined;
    const over = event === undefined && pending === schedule.length && side.over;
    const ran = { transitions: at, compared, difference: undefined };
    if ((event === undefined && side.stopped) || at >= MOST_TRANSITIONS) return ran;
    machine.memory.journalLength = 0;
    machine.cpu.readCount = 0;
    const [rip, halted] = [side.rip, (side.events & EventState.HALTED) !== 0];
    machine.next(event ?? 'step');
    // A HLT that something pending ends at once is one step in QEMU, with what is delivered then.
    behind = event === undefined && (side.events & EventState.HALTED) !== 0 && !side.stopped;
    if (behind) continue;
    if (event !== undefined) await peer.inject(event, halted);
    const { delivered, shutdown } = machine.happened;
    const moved = event === undefined || delivered || shutdown || side.rip !== rip;
    let text = moved ? await stepPeer(side, peer) : undefined;
    // SMM code begins in 64-bit mode here and in real mode there: what it leaves behind is compared.
    if (text === undefined && at >= from && !shutdown && !(side.events & EventState.SMM)) {
      compared++;
      text = await compare(side, peer);
    }
    if (text !== undefined) return { ...ran, compared, difference: `transition ${at}: ${text}` };
    // At the end, one step more has shown that nothing was left over in QEMU either.
    if (over) return { ...ran, compared };
  }
}

/** Steps QEMU as our machine has just been stepped; what differs, if QEMU halts or shuts down where ours does not. */
async function stepPeer(side: Side, peer: EventPeer): Promise<string | undefined> {
  const halted = (side.events & EventState.HALTED) !== 0;
  const expected = side.machine.happened.shutdown ? 'shutdown' : halted ? 'silent' : 'step';
  let stopped = await peer.step(expected !== 'step');
  for (let tries = 0; expected !== 'step' && stopped === 'silent' && tries < PATIENCE; tries++) {
    await peer.readRegisters();
    if (expected === 'shutdown') {
      // The reset that a shutdown causes happens a moment later.
      if (peer.isReset) stopped = 'shutdown';
    } else {
      if (peer.registers[Reg.RIP] === side.rip) break;
      // It was stopped before it had come to the HLT.
      stopped = await peer.step(true);
    }
  }
  if (stopped === expected) return undefined;
  const names = { step: 'goes on', silent: 'halts', shutdown: 'shuts down' };
  return `QEMU ${names[stopped]} where it ${names[expected]} here, at ${hex(side.rip)}`;
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** The first difference in registers and memory. */
async function compare(side: Side, peer: EventPeer): Promise<string | undefined> {
  await peer.readRegisters();
  const { u64 } = side.machine.cpu.regs;
  const where = `RIP ${hex(side.rip)}`;
  for (const name of COMPARED) {
    const [here, there] = [u64[Reg[name]]!, peer.registers[Reg[name]]!];
    if (here !== there) return `${where}: ${name} is ${hex(here)}, in QEMU ${hex(there)}`;
  }
  peer.readMemory();
  const { u8 } = side.machine.memory;
  const range = peer.compared.find(([first, end]) => {
    return Buffer.compare(u8.subarray(first, end), peer.memory.subarray(first, end)) !== 0;
  });
  if (!range) return undefined;
  const [first, end] = range;
  const word = (first + u8.subarray(first, end).findIndex((byte, i) => byte !== peer.memory[first + i])) & ~7;
  const [here, there] = [u8, peer.memory].map((bytes) => Buffer.from(bytes.slice(word, word + 8)).readBigUInt64LE());
  const address = side.machine.memory.addressOf(word);
  return `${where}: the word at ${hex(address)} is ${hex(here!)}, in QEMU ${hex(there!)}`;
}

/** Runs every handler, or those named; an InputError for a name that there is none of. */
export async function runEvents(options: EventOptions = {}): Promise<EventReport> {
  const { handlers, onProgress } = options;
  const unknown = handlers?.find((name) => !HANDLERS.some((h) => h.name === name));
  if (unknown !== undefined) {
    throw new InputError(
      `there is no handler '${unknown}'; the handlers are: ${HANDLERS.map((h) => h.name).join('; ')}`,
    );
  }
  const rows: EventRow[] = [];
  for (const handler of handlers ? HANDLERS.filter((h) => handlers.includes(h.name)) : HANDLERS) {
    onProgress?.(handler.name);
    rows.push(await compareHandler(handler, onProgress ? { onProgress } : {}));
  }
  const shown = (name: string): number => rows.reduce((sum, row) => sum + (row.departures.get(name) ?? 0), 0);
  return { rows, departures: DEPARTURES.map((d) => ({ ...d, schedules: shown(d.name) })) };
}
