/**
 * Follows what the manual leaves undefined (conformance/undefined.ts) through registers, saved flags and memory, so that
 * it is not compared. A program that makes anything else depend on it is not fit for comparison.
 */
import {
  type Instruction as IcedInstruction,
  InstructionInfoFactory,
  Mnemonic,
  OpAccess,
  OpKind,
  RegisterExt,
  RflagsBits,
} from 'iced-x86';
import { registerNumber } from '../src/cpu/decoder.js';
import { Flag, Reg } from '../src/cpu/registers.js';
import { Origin } from '../src/harness/delivery.js';
import type { Machine } from '../src/harness/machine.js';
import { undefinedAfter } from './undefined.js';

/** An instruction looks at what is undefined. */
export class TaintError extends Error {}

const info = new InstructionInfoFactory();
const FLAGS_POPPED: ReadonlyMap<Mnemonic, number> = new Map([
  [Mnemonic.Iretq, 16],
  [Mnemonic.Popfq, 0],
  [Mnemonic.Popf, 0],
]);
const FLAGS_PUSHED: ReadonlySet<Mnemonic> = new Set([Mnemonic.Pushfq, Mnemonic.Pushf]);
const INTERRUPTS: ReadonlySet<Mnemonic> = new Set([Mnemonic.Int, Mnemonic.Int3, Mnemonic.Int1]);
const FULL = 0xffffffffffffffffn;

/** Undefined bits of RFLAGS, of general registers by number, of words of memory by address. */
export interface Found {
  readonly flags: number;
  readonly registers: ReadonlyMap<number, bigint>;
  readonly words: ReadonlyMap<bigint, bigint>;
}

export class Taint {
  /** Undefined bits of RFLAGS. */
  flags = 0;
  /** Undefined bits of general registers, by number. */
  readonly registers = new Map<number, bigint>();
  /** Undefined bits of bytes of memory, by offset into the buffer. */
  readonly bytes = new Map<number, number>();

  /** Addresses of the images of RFLAGS that deliveries have pushed, in hexadecimal. */
  readonly images = new Set<string>();

  #instruction: IcedInstruction | undefined;
  #cl = 0;
  #source = 0n;
  #rsp = 0n;
  #journal = 0;

  constructor(readonly machine: Machine) {}

  /** What is undefined now, by places that stay. */
  found(): Found {
    const words = new Map<bigint, bigint>();
    for (const [offset, mask] of this.bytes) {
      const address = this.machine.memory.addressOf(offset);
      const word = address & ~7n;
      words.set(word, (words.get(word) ?? 0n) | (BigInt(mask) << (8n * (address & 7n))));
    }
    return { flags: this.flags, registers: new Map(this.registers), words };
  }

  before(): void {
    const { machine } = this;
    this.#instruction = machine.peek()?.iced;
    this.#cl = machine.u32[2 * Reg.RCX]! & 0xff;
    const { u64 } = machine.cpu.regs;
    this.#idle = (machine.peek()?.repeat ?? false) && u64[Reg.RCX] === 0n;
    this.#rsp = machine.cpu.regs.u64[Reg.RSP]!;
    this.#source = this.#instruction ? sourceOf(machine, this.#instruction) : 0n;
    this.#journal = machine.memory.journalLength;
    machine.cpu.readCount = 0;
  }

  /** Whether the instruction is repeated and RCX was 0: then it does nothing. */
  #idle = false;

  after(): void {
    const { machine } = this;
    const { happened } = machine;
    const faulted = happened.shutdown || (happened.delivered && happened.origin !== Origin.SOFTWARE);
    const iced = happened.instruction?.iced;
    if (iced && faulted && this.registers.size > 0) this.#checkRegisters(iced, false);
    if (iced && !faulted && !this.#idle) this.#execute(iced);
    if (happened.delivered) {
      this.#journalled();
      const top = (BigInt(happened.stackTopHigh >>> 0) << 32n) | BigInt(happened.stackTopLow >>> 0);
      this.#store(top - 24n);
      this.images.add((top - 24n).toString(16));
    }
  }

  #execute(iced: IcedInstruction): void {
    const { mnemonic } = iced;
    const popped = FLAGS_POPPED.get(mnemonic);
    const image = popped === undefined ? undefined : this.#rsp + BigInt(popped);
    const loaded = image === undefined ? 0 : this.#load(image);
    this.#checkReads(image);
    this.#journalled();
    if (this.registers.size > 0) this.#checkRegisters(iced, true);
    if (INTERRUPTS.has(mnemonic)) return;
    if (image !== undefined) {
      this.flags = loaded;
    } else if (FLAGS_PUSHED.has(mnemonic)) {
      this.#store(this.machine.cpu.regs.u64[Reg.RSP]!);
    } else if (mnemonic === Mnemonic.Syscall) {
      this.#setRegister(Reg.R11, BigInt(this.flags));
      this.flags &= ~this.machine.u32[2 * Reg.FMASK]!;
    } else if (mnemonic === Mnemonic.Sysretq) {
      this.flags = Number(this.registers.get(Reg.R11) ?? 0n);
    } else {
      if (flagsOf(iced.rflagsRead) & this.flags) throw new TaintError();
      // MOV to and from control and debug registers: undefined in the manual, unchanged everywhere.
      if (mnemonic === Mnemonic.Mov) return;
      const effect = undefinedAfter(iced, this.#cl, this.#source);
      if (!effect.untouched) this.flags = (this.flags & ~flagsOf(iced.rflagsModified)) | effect.flags;
      // LAR: "masked by 00FxFF00H, where the x's are undefined".
      if (mnemonic === Mnemonic.Lar && this.machine.u32[2 * Reg.RFLAGS]! & Flag.ZF) {
        this.#setRegister(registerNumber(iced.op0Register), 0xf0000n);
      }
      if (effect.destination) {
        if (iced.op0Kind !== OpKind.Register) throw new TaintError();
        this.#setRegister(registerNumber(iced.op0Register), FULL);
      }
    }
  }

  #setRegister(register: number, mask: bigint): void {
    if (mask === 0n) this.registers.delete(register);
    else this.registers.set(register, mask);
  }

  /** What is read from registers must be defined; what is written as a whole is defined again, if it is written. */
  #checkRegisters(iced: IcedInstruction, written: boolean): void {
    const used = info.info(iced);
    for (const one of used.usedRegisters()) {
      const number = registerNumber(one.register);
      if (!this.registers.has(number)) continue;
      if (one.access === OpAccess.Write && RegisterExt.size(one.register) >= 4) {
        if (written) this.registers.delete(number);
      } else if (iced.mnemonic !== Mnemonic.Sysretq) throw new TaintError();
    }
    used.free();
  }

  /** What was read from memory must be defined, but for the flags at `image`. */
  #checkReads(image: bigint | undefined): void {
    if (this.bytes.size === 0) return;
    const { cpu, memory } = this.machine;
    const exempt = new Set<number>();
    if (image !== undefined) for (const i of [0n, 1n]) exempt.add(memory.translateAddress(image + i));
    for (let i = 0; i < cpu.readCount; i++) {
      const word = cpu.reads[i]!;
      for (let at = 8 * word; at < 8 * word + 8; at++) {
        if (this.bytes.has(at) && !exempt.has(at)) throw new TaintError();
      }
    }
  }

  /** Words that were written as a whole are defined again. */
  #journalled(): void {
    if (this.bytes.size === 0) return;
    const { cpu, memory } = this.machine;
    const read = new Set(cpu.reads.subarray(0, cpu.readCount));
    for (let i = this.#journal; i < memory.journalLength; i++) {
      const word = memory.journalWord[i]!;
      if (read.has(word)) continue;
      for (let at = 8 * word; at < 8 * word + 8; at++) this.bytes.delete(at);
    }
  }

  /** The flags have been stored at `address`. */
  #store(address: bigint): void {
    for (const [i, mask] of [this.flags & 0xff, (this.flags >>> 8) & 0xff].entries()) {
      const at = this.machine.memory.translateAddress(address + BigInt(i));
      if (at < 0) continue;
      if (mask === 0) this.bytes.delete(at);
      else this.bytes.set(at, mask);
    }
  }

  #load(address: bigint): number {
    const { memory } = this.machine;
    const byte = (i: bigint): number => this.bytes.get(memory.translateAddress(address + i)) ?? 0;
    return byte(0n) | (byte(1n) << 8);
  }
}

function sourceOf(machine: Machine, iced: IcedInstruction): bigint {
  if (iced.opCount < 2) return 1n;
  if (iced.op1Kind !== OpKind.Register) return 1n;
  const number = registerNumber(iced.op1Register);
  const bits = 8 * RegisterExt.size(iced.op1Register);
  return number < 0 ? 1n : BigInt.asUintN(bits, machine.cpu.regs.u64[number]!);
}

const FLAG_BITS: readonly (readonly [number, number])[] = [
  [RflagsBits.CF, Flag.CF],
  [RflagsBits.PF, Flag.PF],
  [RflagsBits.AF, Flag.AF],
  [RflagsBits.ZF, Flag.ZF],
  [RflagsBits.SF, Flag.SF],
  [RflagsBits.OF, Flag.OF],
];

/** RFLAGS bits from the decoder's numbering. */
function flagsOf(bits: number): number {
  return FLAG_BITS.reduce((mask, [theirs, ours]) => mask | (bits & theirs ? ours : 0), 0);
}
