/**
 * Where QEMU's TCG (7.2) is known not to do what the manuals say. Each departure is a change to a machine of ours, which then
 * departs in the same way and in nothing else: what differs between that machine and QEMU is on no list.
 */
import { Mnemonic } from 'iced-x86';
import { Vector } from '../src/cpu/cpu.js';
import { Flag, Reg } from '../src/cpu/registers.js';
import { Origin } from '../src/harness/delivery.js';
import { EventState } from '../src/harness/event_state.js';
import type { Machine } from '../src/harness/machine.js';

export interface Departure {
  readonly name: string;
  /** Tag of rules.md. */
  readonly rule: string;
  /** What the manual says. */
  readonly manual: string;
  readonly qemu: string;
  /** Makes the machine depart; `seen` is called whenever that changes what happens. */
  readonly install: (machine: Machine, seen: () => void) => void;
}

const EVENTS = 2 * Reg.EVENTS;

/** Runs `before` and `after` around every transition; `after` is given the registers as they were. */
function around(
  machine: Machine,
  after: (before: BigUint64Array) => void,
  before: (event: string | undefined) => void = () => undefined,
): void {
  const step = machine.step.bind(machine);
  const fire = machine.fire.bind(machine);
  const wrap = (transition: () => void, event: string | undefined): void => {
    before(event);
    const registers = machine.cpu.regs.u64.slice();
    transition();
    after(registers);
    machine.changed();
  };
  machine.step = () => wrap(step, undefined);
  machine.fire = (event) => wrap(() => fire(event), event.kind);
}

/** Vectors that push an error code (SDM vol. 3, table 6-1). */
const WITH_CODE: ReadonlySet<number> = new Set([
  ...[Vector.DF, Vector.TS, Vector.NP, Vector.SS, Vector.GP, Vector.PF, Vector.AC],
]);

const ERROR_CODE_IDT = 2n;

/** Changes the word at `address`; whether it is another one now. */
function change(machine: Machine, address: bigint, to: (word: bigint) => bigint): boolean {
  const old = machine.memory.peek64(address)!;
  machine.memory.load64(address, to(old));
  return old !== to(old);
}

export const DEPARTURES: readonly Departure[] = [
  {
    name: 'SS after a delivery through an IST slot in ring 0',
    rule: 'B-1',
    manual: 'SDM vol. 3, 6.14: "The new SS is set to NULL if there is a change in CPL"',
    qemu: 'SS becomes null whenever an IST stack is used',
    install: (machine, seen) =>
      around(machine, (before) => {
        const { happened, cpu } = machine;
        if (!happened.delivered || happened.ist === 0 || (before[Reg.CS]! & 3n) !== BigInt(cpu.cpl)) return;
        if (cpu.regs.u64[Reg.SS] === BigInt(cpu.cpl)) return;
        cpu.regs.u64[Reg.SS] = BigInt(cpu.cpl);
        seen();
      }),
  },
  {
    name: 'RF in the frame of a fault',
    rule: 'C-5',
    manual: 'SDM vol. 3, 17.3.1.1: RF is set in the image of EFLAGS that is pushed for a fault',
    qemu: 'pushes RF as it is',
    install: (machine, seen) =>
      around(machine, (before) => {
        const { happened, cpu } = machine;
        if (!happened.delivered || happened.origin !== Origin.EXCEPTION || before[Reg.RFLAGS]! & BigInt(Flag.RF))
          return;
        const frame = cpu.regs.u64[Reg.RSP]! + (WITH_CODE.has(happened.vector) ? 8n : 0n);
        if (change(machine, frame + 16n, (rflags) => rflags & ~BigInt(Flag.RF))) seen();
      }),
  },
  {
    name: 'RF between the iterations of a repeated string instruction',
    rule: 'C-5',
    manual:
      'SDM vol. 3, 17.3.1.1: RF is set in the image that is pushed after an iteration of a repeated string instruction, except the last',
    qemu: 'leaves RF clear',
    install: (machine, seen) =>
      around(machine, () => {
        const { happened, u32, cpu } = machine;
        const repeated = happened.instruction?.address === cpu.regs.u64[Reg.RIP];
        if (!repeated || happened.delivered || !(u32[2 * Reg.RFLAGS]! & Flag.RF)) return;
        u32[2 * Reg.RFLAGS]! &= ~Flag.RF;
        seen();
      }),
  },
  {
    name: 'error code that names a gate',
    rule: 'B-5',
    manual: 'SDM vol. 3, 6.13: the vector stands in bits 15 to 3; EXT (bit 0) is set when the event came from outside',
    qemu: 'the vector stands in bits 15 to 4, and EXT is clear',
    install: (machine, seen) =>
      around(machine, () => {
        const { happened, cpu } = machine;
        if (!happened.delivered || (happened.vector !== Vector.NP && happened.vector !== Vector.GP)) return;
        if (happened.vector === happened.requestedVector && happened.instruction === undefined) return;
        const changed = change(machine, cpu.regs.u64[Reg.RSP]!, (code) =>
          code & ERROR_CODE_IDT ? (code >> 3n) * 16n + ERROR_CODE_IDT : code,
        );
        if (changed) seen();
      }),
  },
  {
    name: 'NMI in the shadow of MOV SS',
    rule: 'C-3',
    manual:
      'SDM vol. 3, 6.8.3: after MOV SS and POP SS NMIs are held back too, until the next instruction has executed',
    qemu: 'delivers the NMI directly after MOV SS',
    install: (machine, seen) => {
      const mask = machine.nmi.blockingMask & ~EventState.MOV_SS_SHADOW;
      Object.defineProperty(machine.nmi, 'blockingMask', { value: mask });
      around(
        machine,
        () => undefined,
        (event) => {
          const events = machine.u32[EVENTS]!;
          const arrives = event === 'nmi' || machine.nmi.pending;
          if (events & EventState.MOV_SS_SHADOW && arrives && !(events & mask)) seen();
        },
      );
    },
  },
  {
    name: 'NMIs after an IRET that faults',
    rule: 'A-3',
    manual: 'SDM vol. 3, 6.7.1, and VMX "NMI unblocking due to IRET": an IRET that faults has already unblocked NMIs',
    qemu: 'unblocks NMIs only when the IRET completes',
    install: (machine, seen) =>
      around(machine, (before) => {
        const { happened, u32 } = machine;
        const faulted = happened.delivered && happened.instruction?.mnemonic === Mnemonic.Iretq;
        if (!faulted || !(before[Reg.EVENTS]! & BigInt(EventState.NMI_BLOCKED))) return;
        u32[EVENTS]! |= EventState.NMI_BLOCKED;
        seen();
      }),
  },
];
