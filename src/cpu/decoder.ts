/**
 * The decode cache: each address is decoded once (iced-x86 for semantics) into a flat record that the inner loop can
 * use without asking again: which memory it touches, whether it may run in the engine, how it leaves control.
 */
import {
  Code,
  CpuidFeature,
  DecoderError,
  DecoderOptions,
  FlowControl,
  Decoder as IcedDecoder,
  type Instruction as IcedInstruction,
  InstructionInfoFactory,
  MemorySizeExt,
  Mnemonic,
  OpAccess,
  OpKind,
  Register,
  RegisterExt,
  RflagsBits,
} from 'iced-x86';
import { MAX_INSTRUCTION } from '../image/instructions.js';
import { Reg } from './registers.js';
import type { RegisterBatch } from './unicorn.js';

/** IMPLICIT: by the processor itself, to a descriptor table, a TSS or an event's frame (SDM vol. 3, 4.6). */
export const Access = { READ: 1, WRITE: 2, IMPLICIT: 4 } as const;

/**
 * A memory operand, explicit or implied: address = segment base + base + index * scale + displacement, which is
 * displacementHigh * 2^32 + displacementLow.
 *
 * Halves of addresses, here and in Instruction, are signed 32-bit numbers: larger ones would lie in objects of their own.
 */
export interface MemoryOperand {
  /** Register numbers, or -1. */
  readonly base: number;
  readonly index: number;
  readonly scale: number;
  readonly displacementHigh: number;
  readonly displacementLow: number;
  /** Register number of the segment's base (FS_BASE, GS_BASE), or -1. */
  readonly segmentBase: number;
  /** Bytes. */
  readonly size: number;
  readonly access: number;
  /** Addressed through SS: a non-canonical address then raises #SS instead of #GP. */
  readonly stack: boolean;
  /** Pushed: an implied write below RSP. */
  readonly push: boolean;
  /** Number of the register that selects a bit of a bit string which begins here (SDM vol. 2, BT), or -1. */
  readonly bit: number;
}

export interface Instruction {
  /** Position in the cache: small, dense, stable. */
  readonly id: number;
  readonly address: bigint;
  /** Halves of the address, signed. */
  readonly high: number;
  readonly low: number;
  readonly length: number;
  readonly bytes: Uint8Array;
  readonly mnemonic: Mnemonic;
  readonly code: Code;
  readonly memory: readonly MemoryOperand[];
  /** The memory operand of an instruction that has just one. */
  readonly operand: MemoryOperand | undefined;
  /** Number of the microcode routine that executes it, or -1 when the engine does. */
  readonly microcode: number;
  /** Why it cannot be executed at all: it uses state that the machine does not model; undefined if it can. */
  readonly unsupported: string | undefined;
  /** Not a valid encoding: #UD. */
  readonly invalid: boolean;
  /** The bytes that were given end before the instruction does; it is not kept. */
  readonly truncated: boolean;
  readonly repeat: boolean;
  readonly divide: boolean;
  readonly returns: boolean;
  /**
   * Bit r: register r of the engine (0 to 17) may differ after the instruction. RIP is always among them.
   * Conditional writes count.
   */
  readonly results: number;
  /**
   * Those of them that the engine must be asked for. RIP is not among them if the next instruction is the one behind this
   * one, nor is RSP if the instruction only pushes or pops: see `stackStep`.
   */
  readonly asked: number;
  /** Bytes that a PUSH, POP, CALL or RET adds to RSP; 0 for all other instructions, and for a POP into RSP. */
  readonly stackStep: number;
  /** A branch of any kind, RET included. */
  readonly leaves: boolean;
  /** The target is not in the instruction: RET, or a CALL or JMP through a register or memory. */
  readonly indirect: boolean;
  /** Writes RSP other than by adding to or subtracting from it: the code moves to another stack. */
  readonly switchesStack: boolean;
  /** The decoded form: for microcode that needs its operands, and for divisions. */
  readonly iced: IcedInstruction;
  /** The instructions that followed this one last time: saves the look-up. */
  follower: Instruction | undefined;
  otherFollower: Instruction | undefined;
  /** Reads the registers of `asked`; made when that is done first. */
  batch: RegisterBatch | undefined;
}

const GENERAL: ReadonlyMap<Register, number> = new Map([
  [Register.RAX, Reg.RAX],
  [Register.RCX, Reg.RCX],
  [Register.RDX, Reg.RDX],
  [Register.RBX, Reg.RBX],
  [Register.RSP, Reg.RSP],
  [Register.RBP, Reg.RBP],
  [Register.RSI, Reg.RSI],
  [Register.RDI, Reg.RDI],
  [Register.R8, Reg.R8],
  [Register.R9, Reg.R9],
  [Register.R10, Reg.R10],
  [Register.R11, Reg.R11],
  [Register.R12, Reg.R12],
  [Register.R13, Reg.R13],
  [Register.R14, Reg.R14],
  [Register.R15, Reg.R15],
]);

/** The number of the 64-bit register that `register` is or is part of; -1 for none. */
export function registerNumber(register: Register): number {
  return GENERAL.get(RegisterExt.fullRegister(register)) ?? -1;
}

const STRING_SIZES: ReadonlyMap<Mnemonic, number> = new Map([
  [Mnemonic.Movsb, 1],
  [Mnemonic.Movsw, 2],
  [Mnemonic.Movsd, 4],
  [Mnemonic.Movsq, 8],
  [Mnemonic.Stosb, 1],
  [Mnemonic.Stosw, 2],
  [Mnemonic.Stosd, 4],
  [Mnemonic.Stosq, 8],
  [Mnemonic.Lodsb, 1],
  [Mnemonic.Lodsw, 2],
  [Mnemonic.Lodsd, 4],
  [Mnemonic.Lodsq, 8],
  [Mnemonic.Scasb, 1],
  [Mnemonic.Scasw, 2],
  [Mnemonic.Scasd, 4],
  [Mnemonic.Scasq, 8],
  [Mnemonic.Cmpsb, 1],
  [Mnemonic.Cmpsw, 2],
  [Mnemonic.Cmpsd, 4],
  [Mnemonic.Cmpsq, 8],
]);

/** What moves RSP by a constant, besides other things. */
const STEPPING_STACK: ReadonlySet<Mnemonic> = new Set([Mnemonic.Push, Mnemonic.Pop, Mnemonic.Call, Mnemonic.Ret]);

const INCREMENTAL_STACK: ReadonlySet<Mnemonic> = new Set([
  Mnemonic.Add,
  Mnemonic.Sub,
  Mnemonic.Push,
  Mnemonic.Pushfq,
  Mnemonic.Pop,
  Mnemonic.Popfq,
  Mnemonic.Call,
  Mnemonic.Ret,
  Mnemonic.Enter,
  Mnemonic.Inc,
  Mnemonic.Dec,
]);

/**
 * Instruction set extensions that the engine executes, and that use no state besides the register file. What is not
 * here would run on state that belongs to no machine state (x87, MXCSR, PKRU), or not run at all.
 */
const EXECUTED: ReadonlySet<CpuidFeature> = new Set([
  ...[
    CpuidFeature.INTEL8086,
    CpuidFeature.INTEL186,
    CpuidFeature.INTEL286,
    CpuidFeature.INTEL386,
    CpuidFeature.INTEL486,
  ],
  ...[CpuidFeature.X64, CpuidFeature.CMOV, CpuidFeature.CX8, CpuidFeature.CMPXCHG16B, CpuidFeature.PAUSE],
  ...[
    CpuidFeature.MULTIBYTENOP,
    CpuidFeature.CET_IBT,
    CpuidFeature.CLFSH,
    CpuidFeature.CLDEMOTE,
    CpuidFeature.PREFETCHW,
  ],
  ...[CpuidFeature.ADX, CpuidFeature.BMI1, CpuidFeature.BMI2, CpuidFeature.LZCNT, CpuidFeature.SSE4_2],
]);

/** Exceptions in both directions: SSE instructions that use no SSE state, and old instructions that use other state. */
const EXECUTED_TOO: ReadonlySet<Mnemonic> = new Set([
  ...[Mnemonic.Lfence, Mnemonic.Mfence, Mnemonic.Sfence, Mnemonic.Movnti],
  ...[Mnemonic.Prefetchnta, Mnemonic.Prefetcht0, Mnemonic.Prefetcht1, Mnemonic.Prefetcht2],
  // Without CET, which the machine does not have, they are NOPs.
  ...[Mnemonic.Rdsspd, Mnemonic.Rdsspq],
]);
const NOT_EXECUTED: ReadonlySet<Mnemonic> = new Set([Mnemonic.Wait, Mnemonic.Xlatb]);
/** With a memory operand and a register they reach beyond the operand. */
const BIT_STRING: ReadonlySet<Mnemonic> = new Set([Mnemonic.Bt, Mnemonic.Btc, Mnemonic.Btr, Mnemonic.Bts]);

/** Why an instruction cannot be left to the engine, whatever its operands are; undefined if it can. */
function refusal(iced: IcedInstruction, bytes: Uint8Array): string | undefined {
  const known = EXECUTED_TOO.has(iced.mnemonic) || iced.cpuidFeatures().every((feature) => EXECUTED.has(feature));
  if (!known || NOT_EXECUTED.has(iced.mnemonic)) {
    return `is ${Mnemonic[iced.mnemonic]!.toLowerCase()}, which the machine does not model`;
  }
  if ([Mnemonic.Shld, Mnemonic.Shrd].includes(iced.mnemonic) && iced.isIpRelMemoryOperand) {
    return 'is a double shift of a RIP-relative operand, which the engine looks for one byte too low';
  }
  if (iced.code === Code.Retnq_imm16 && iced.immediate16 >= 0x8000) {
    return 'is a RET that releases more than 32767 bytes, which the engine takes for a negative number';
  }
  if (iced.flowControl !== FlowControl.Next && hasOperandSizePrefix(bytes)) {
    return 'is a branch with an operand-size prefix, which Intel ignores and AMD obeys';
  }
  return undefined;
}

/** The prefix 66 before the opcode, without REX.W, which would override it (SDM vol. 2, 2.1.1 and 2.2.1.2). */
function hasOperandSizePrefix(bytes: Uint8Array): boolean {
  let found = false;
  for (const byte of bytes) {
    if (byte === 0x66) found = true;
    else if (!LEGACY_PREFIXES.has(byte)) return found && (byte & 0xf8) !== 0x48;
  }
  return found;
}

const LEGACY_PREFIXES: ReadonlySet<number> = new Set([...[0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x67, 0xf0, 0xf2, 0xf3]]);

/** A 32-bit register as part of an address. */
function isHalf(register: Register): boolean {
  return register !== Register.None && RegisterExt.size(register) === 4;
}

const INDIRECT: ReadonlySet<FlowControl> = new Set([
  FlowControl.Return,
  FlowControl.IndirectCall,
  FlowControl.IndirectBranch,
]);

/** Decodes on demand and keeps what it decoded. */
export class DecodeCache {
  readonly instructions: Instruction[] = [];
  readonly #pages = new Map<string, (Instruction | undefined)[]>();
  readonly #info = new InstructionInfoFactory();
  #lastPageHigh = -1;
  #lastPageLow = -1;
  #lastPage: (Instruction | undefined)[] = [];

  /** `microcodeOf` names the microcode routine for a mnemonic, or -1. */
  constructor(readonly microcodeOf: (mnemonic: Mnemonic, code: Code) => number) {}

  /** The instruction at high:low if it has been decoded before. */
  find(high: number, low: number): Instruction | undefined {
    return this.#page(high, low)[low & 0xfff];
  }

  #page(high: number, low: number): (Instruction | undefined)[] {
    const page = (low >>> 12) | 0;
    if (page === this.#lastPageLow && (high | 0) === this.#lastPageHigh) return this.#lastPage;
    const key = `${high}:${page}`;
    let list = this.#pages.get(key);
    if (!list) {
      list = new Array<Instruction | undefined>(4096).fill(undefined);
      this.#pages.set(key, list);
    }
    this.#lastPageLow = page;
    this.#lastPageHigh = high | 0;
    this.#lastPage = list;
    return list;
  }

  /** Decodes `bytes` (what is fetchable from the address on, at most 15) at high:low and keeps the result. */
  decode(high: number, low: number, bytes: Uint8Array): Instruction {
    const address = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
    const decoder = new IcedDecoder(64, bytes, DecoderOptions.None);
    decoder.ip = address;
    const iced = decoder.decode();
    const truncated = decoder.lastError === DecoderError.NoMoreBytes && couldBeCompleted(bytes);
    decoder.free();
    const memory: MemoryOperand[] = [];
    let unsupported: string | undefined;
    let switchesStack = false;
    let results = 1 << Reg.RIP;
    const repeat = (iced.hasRepPrefix || iced.hasRepnePrefix) && STRING_SIZES.has(iced.mnemonic);
    // A repeated instruction sets RF between two iterations.
    if (repeat || iced.rflagsModified !== RflagsBits.None) results |= 1 << Reg.RFLAGS;
    const microcode = this.microcodeOf(iced.mnemonic, iced.code);
    if (iced.code !== Code.INVALID && microcode < 0) {
      unsupported = refusal(iced, bytes);
      const info = this.#info.info(iced);
      for (const used of info.usedMemory()) {
        if (used.access === OpAccess.NoMemAccess || used.access === OpAccess.None) continue;
        const displacement = BigInt.asUintN(64, used.displacement);
        const displacementLow = Number(BigInt.asIntN(32, displacement));
        const base = registerNumber(used.base);
        const index = registerNumber(used.index);
        const write = [OpAccess.Write, OpAccess.CondWrite, OpAccess.ReadWrite, OpAccess.ReadCondWrite].includes(
          used.access,
        );
        const read = used.access !== OpAccess.Write && used.access !== OpAccess.CondWrite;
        const size = MemorySizeExt.size(used.memorySize) || (STRING_SIZES.get(iced.mnemonic) ?? 0);
        if (size === 0) unsupported ??= 'accesses memory of a size that is not known before it runs';
        if (isHalf(used.base) || isHalf(used.index))
          unsupported ??= 'uses a 32-bit address, which the machine does not model';
        memory.push({
          base,
          index,
          scale: used.scale,
          displacementHigh: Number(BigInt.asIntN(32, (displacement - BigInt(displacementLow)) >> 32n)),
          displacementLow,
          segmentBase: used.segment === Register.GS ? Reg.GS_BASE : used.segment === Register.FS ? Reg.FS_BASE : -1,
          size,
          access: (read ? Access.READ : 0) | (write ? Access.WRITE : 0),
          stack: used.segment === Register.SS,
          bit:
            BIT_STRING.has(iced.mnemonic) && iced.op1Kind === OpKind.Register ? registerNumber(iced.op1Register) : -1,
          push: write && used.base === Register.RSP && displacement >> 63n === 1n && isPush(iced.mnemonic),
        });
      }
      for (const used of info.usedRegisters()) {
        const general = registerNumber(used.register);
        const segment = RegisterExt.isSegmentRegister(used.register);
        if (general < 0 && !segment && used.register !== Register.RIP && used.register !== Register.EIP) {
          unsupported ??= `uses the register ${Register[used.register]!.toLowerCase()}, which the machine does not model`;
        }
        if (segment && (used.access === OpAccess.Write || used.access === OpAccess.ReadWrite)) {
          unsupported ??= `loads the segment register ${Register[used.register]!.toLowerCase()} in a way that the machine does not model`;
        }
        const writes = used.access !== OpAccess.Read && used.access !== OpAccess.CondRead;
        if (general >= 0 && writes) results |= 1 << general;
        if (general === Reg.RSP && writes && !INCREMENTAL_STACK.has(iced.mnemonic)) switchesStack = true;
      }
      info.free();
    }
    // `pop %rsp` loads the stack pointer, whatever it pops from; so does `mov %cr3, %rsp`.
    if ((iced.mnemonic === Mnemonic.Pop || microcode >= 0) && iced.opCount > 0 && iced.op0Register === Register.RSP)
      switchesStack = true;
    const leaves = microcode < 0 && iced.flowControl !== FlowControl.Next;
    const stackStep =
      microcode < 0 && !switchesStack && STEPPING_STACK.has(iced.mnemonic) ? iced.stackPointerIncrement : 0;
    const instruction: Instruction = {
      id: this.instructions.length,
      address,
      high: high | 0,
      low: low | 0,
      length: iced.code === Code.INVALID ? 1 : iced.length,
      bytes: bytes.slice(0, iced.code === Code.INVALID ? 1 : iced.length),
      mnemonic: iced.mnemonic,
      code: iced.code,
      memory,
      operand: memory.length === 1 ? memory[0] : undefined,
      microcode,
      unsupported,
      invalid: iced.code === Code.INVALID,
      truncated,
      asked: results & ~(leaves || repeat ? 0 : 1 << Reg.RIP) & ~(stackStep !== 0 ? 1 << Reg.RSP : 0),
      stackStep,
      leaves,
      indirect: microcode < 0 && INDIRECT.has(iced.flowControl),
      repeat,
      divide: iced.mnemonic === Mnemonic.Div || iced.mnemonic === Mnemonic.Idiv,
      returns: iced.flowControl === FlowControl.Return && microcode < 0,
      switchesStack,
      results,
      iced,
      follower: undefined,
      otherFollower: undefined,
      batch: undefined,
    };
    if (truncated) return instruction;
    this.instructions.push(instruction);
    this.#page(high, low)[low & 0xfff] = instruction;
    return instruction;
  }
}

/** Whether bytes that end too early are the beginning of some instruction, with or without memory operands. */
function couldBeCompleted(bytes: Uint8Array): boolean {
  if (bytes.length >= MAX_INSTRUCTION) return false;
  return [0x00, 0xc0].some((filler) => {
    const filled = new Uint8Array(MAX_INSTRUCTION).fill(filler);
    filled.set(bytes);
    const decoder = new IcedDecoder(64, filled, DecoderOptions.None);
    const iced = decoder.decode();
    const valid = iced.code !== Code.INVALID;
    iced.free();
    decoder.free();
    return valid;
  });
}

function isPush(mnemonic: Mnemonic): boolean {
  return mnemonic === Mnemonic.Push || mnemonic === Mnemonic.Call || mnemonic === Mnemonic.Enter;
}
