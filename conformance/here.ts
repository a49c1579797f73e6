/** Runs a program on the machine of this project, and says why when it cannot be compared. */

import type { Instruction } from '../src/cpu/decoder.js';
import { GuestMemory, PAGE_SIZE, type Region } from '../src/cpu/memory.js';
import { NotModelled } from '../src/cpu/not_modelled.js';
import { Flag, Reg } from '../src/cpu/registers.js';
import { Origin } from '../src/harness/delivery.js';
import { EventState, PENDING_DEBUG } from '../src/harness/event_state.js';
import { Machine } from '../src/harness/machine.js';
import { PROFILES } from '../src/profiles/profile.js';
import {
  INT3_BYTE,
  isText,
  LIVE_REGIONS,
  MAPPED_REGIONS,
  STUB_REGION,
  stubAt,
  TEMPLATE,
  TEMPLATE_WORDS,
} from './layout.js';
import type { Program, Result } from './program.js';
import { STATE_NAMES, type State, type StateName, Stub } from './state.js';
import { type Found, Taint, TaintError } from './taint.js';

/** CR3: PWT and PCD. */
const CR3_CACHING = 0x18n;

/** Programs have no loops of their own, but a handler may return to what faults again. */
const MOST_STEPS = 64;

/** Why a program is not run on the peers. */
export type Unfit =
  | 'not modelled'
  | 'does not end'
  | 'halts'
  | 'reads what is undefined'
  | 'ends with TF set'
  | 'ends outside ring 0'
  | 'leaves its page tables';

export interface Run {
  readonly result: Result;
  /** What is undefined in the result. */
  readonly taint: Found;
  /** Addresses, in hexadecimal, of all images of RFLAGS that deliveries have pushed. */
  readonly images: ReadonlySet<string>;
  /** What was executed, in order. */
  readonly trace: readonly Step[];
}

export interface Step {
  readonly rip: bigint;
  readonly cpl: number;
  readonly instruction: Instruction | undefined;
  /** ECX before. */
  readonly ecx: number;
  /** The vector that was delivered. */
  readonly vector: number | undefined;
  /** An exception was raised, or the processor shut down. */
  readonly faulted: boolean;
}

/** What may be done to a machine before it runs: to break it on purpose. */
export type Change = (machine: Machine) => void;

const REGISTERS = STATE_NAMES.filter((name): name is StateName & keyof typeof Reg => name in Reg);

/** A machine of this project that runs one program after the other. */
export class Here {
  readonly #used = new Set<number>();
  #machine: Machine | undefined;
  #registers = new Uint32Array(0);

  /** `change` is made once to each machine. */
  constructor(readonly change?: Change) {}

  run(program: Program): Run | Unfit {
    const machine = this.#prepare(program);
    const { u64 } = machine.cpu.regs;
    const taint = new Taint(machine);
    const trace: Step[] = [];
    for (let steps = 0; ; steps++) {
      const events = machine.u32[2 * Reg.EVENTS]!;
      const rip = u64[Reg.RIP]!;
      if (events & EventState.SHUTDOWN)
        return { result: resultOf(machine, program, Stub.SHUTDOWN), taint: taint.found(), images: taint.images, trace };
      if (events & EventState.HALTED) return 'halts';
      const stub = stubAt(rip);
      // A debug exception that is pending is delivered before the stub's first instruction.
      if (stub !== undefined && machine.cpu.cpl !== 3 && !(events & PENDING_DEBUG)) {
        // The guest's stubs use privileged instructions.
        if (machine.cpu.cpl !== 0) return 'ends outside ring 0';
        if (machine.u32[2 * Reg.RFLAGS]! & Flag.TF) return 'ends with TF set';
        return { result: resultOf(machine, program, BigInt(stub)), taint: taint.found(), images: taint.images, trace };
      }
      if (steps === MOST_STEPS) return 'does not end';
      // There are none elsewhere; the bits that choose how these are cached are allowed.
      if ((u64[Reg.CR3]! & ~CR3_CACHING) !== program.start.CR3) return 'leaves its page tables';
      const cpl = machine.cpu.cpl;
      const ecx = machine.u32[2 * Reg.RCX]!;
      try {
        taint.before();
        machine.step();
        taint.after();
      } catch (error) {
        if (error instanceof NotModelled) return 'not modelled';
        if (error instanceof TaintError) return 'reads what is undefined';
        throw error;
      }
      const { happened } = machine;
      trace.push({
        rip,
        cpl,
        ecx,
        instruction: happened.instruction,
        faulted: happened.shutdown || (happened.delivered && happened.origin !== Origin.SOFTWARE),
        vector: happened.delivered ? happened.vector : undefined,
      });
    }
  }

  /** A machine that has not seen the program's page yet, in its start state. */
  #prepare(program: Program): Machine {
    if (this.#machine === undefined || this.#used.has(program.slot)) {
      const memory = new GuestMemory([...MAPPED_REGIONS, STUB_REGION]);
      for (const region of [STUB_REGION, ...MAPPED_REGIONS.filter(isText)]) {
        const at = memory.translateAddress(region.address);
        memory.u8.fill(INT3_BYTE, at, at + region.size);
      }
      this.#machine?.cpu.close();
      this.#machine = new Machine(memory, PROFILES.intel!);
      this.#registers = this.#machine.u32.slice();
      this.#used.clear();
      this.change?.(this.#machine);
    }
    this.#used.add(program.slot);
    const machine = this.#machine;
    load(machine.memory, program);
    machine.u32.set(this.#registers);
    const { u64 } = machine.cpu.regs;
    for (const name of REGISTERS) u64[Reg[name]] = program.start[name];
    u64[Reg.TR_BASE] = taskBase(program);
    u64[Reg.TR_LIMIT] = taskLimit(program);
    machine.memory.journalLength = 0;
    machine.replaced();
    return machine;
  }
}

function load(memory: GuestMemory, program: Program): void {
  let offset = 0;
  for (const region of LIVE_REGIONS) {
    const at = memory.translateAddress(pageOf(program, region));
    memory.u8.set(TEMPLATE.subarray(offset, offset + region.size), at);
    for (let n = offset >>> 3; n < (offset + region.size) >>> 3; n++) {
      const value = program.memory.words.get(n);
      if (value !== undefined) memory.view.setBigUint64(at + 8 * n - offset, value, true);
    }
    offset += region.size;
  }
}

/** Where a region begins for the program: in text it has a page of its own. */
function pageOf(program: Program, region: Region): bigint {
  return isText(region) ? region.address + BigInt(program.slot * PAGE_SIZE) : region.address;
}

/** Base and limit of the TSS as LTR would load them. */
function taskDescriptor(program: Program): [bigint, bigint] {
  const at = program.start.GDTR_BASE + program.start.TR;
  return [program.memory.get64(at), program.memory.get64(at + 8n)];
}

function taskBase(program: Program): bigint {
  const [low, high] = taskDescriptor(program);
  return ((low >> 16n) & 0xffffffn) | (((low >> 56n) & 0xffn) << 24n) | ((high & 0xffffffffn) << 32n);
}

function taskLimit(program: Program): bigint {
  const [low] = taskDescriptor(program);
  return (low & 0xffffn) | (((low >> 48n) & 0xfn) << 16n);
}

function resultOf(machine: Machine, program: Program, stub: bigint): Result {
  const state = Object.fromEntries(STATE_NAMES.map((name) => [name, 0n])) as State;
  for (const name of REGISTERS) state[name] = machine.cpu.regs.u64[Reg[name]]!;
  state.STUB = stub;
  const words = new Map<number, bigint>();
  const now = new BigUint64Array(machine.memory.u8.buffer);
  let offset = 0;
  for (const region of LIVE_REGIONS) {
    const at = machine.memory.translateAddress(pageOf(program, region)) >>> 3;
    for (let i = 0; i < region.size >>> 3; i++) {
      const n = (offset >>> 3) + i;
      if (now[at + i] !== TEMPLATE_WORDS[n]) words.set(n, now[at + i]!);
    }
    offset += region.size;
  }
  return { state, words };
}

/** The state names that the machine has registers for. */
export const COMPARED_REGISTERS: readonly StateName[] = REGISTERS;
