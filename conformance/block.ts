/** A block of code that is built one instruction after the other, at its final address. */
import { type Code, Encoder, Instruction, OpCodeOperandKind, OpKind, Register } from 'iced-x86';

export interface Memory {
  readonly base?: Register;
  readonly index?: Register;
  readonly scale?: number;
  readonly displacement?: bigint;
  readonly segment?: Register;
}

/** An operand: a register, a memory operand, or an immediate. */
export type Operand = Register | Memory | bigint;

export class Block {
  readonly bytes: number[] = [];
  readonly #encoder = new Encoder(64);
  /** Where the 8-bit displacement of a forward jump stands that skips the next item. */
  #skips: number[] = [];

  /** `ring` is the one that the block is meant to run in. */
  constructor(
    readonly address: bigint,
    readonly ring: 0 | 3,
  ) {}

  get here(): bigint {
    return this.address + BigInt(this.bytes.length);
  }

  raw(...bytes: readonly number[]): this {
    this.bytes.push(...bytes);
    return this;
  }

  /** Encodes an instruction. Immediates take the kind that the code's operand asks for. */
  emit(code: Code, ...operands: readonly Operand[]): this {
    const instruction = new Instruction();
    instruction.code = code;
    for (const [n, operand] of operands.entries()) setOperand(instruction, n, operand);
    try {
      this.#encoder.encode(instruction, this.here);
      this.bytes.push(...this.#encoder.takeBuffer());
    } finally {
      instruction.free();
    }
    return this;
  }

  /** A jump with the 2-byte encoding `opcode disp8`, over the next item. */
  skipNext(opcode: number): this {
    this.raw(opcode, 0);
    this.#skips.push(this.bytes.length);
    return this;
  }

  /** Jumps from before `start`, an offset of the block, land here. */
  land(start: number): void {
    this.#skips = this.#skips.filter((at) => {
      if (at > start) return true;
      this.bytes[at - 1] = this.bytes.length - at;
      return false;
    });
  }

  end(): void {
    this.land(this.bytes.length);
    this.#encoder.free();
  }
}

function setOperand(instruction: Instruction, n: number, operand: Operand): void {
  if (typeof operand === 'number') {
    instruction.setOpKind(n, OpKind.Register);
    instruction.setOpRegister(n, operand);
  } else if (typeof operand === 'bigint') {
    const kind = immediateKind(instruction, n);
    instruction.setOpKind(n, kind);
    instruction.setImmediateI64(n, operand);
  } else {
    instruction.setOpKind(n, OpKind.Memory);
    instruction.memoryBase = operand.base ?? Register.None;
    instruction.memoryIndex = operand.index ?? Register.None;
    instruction.memoryIndexScale = operand.scale ?? 1;
    instruction.memoryDisplacement = BigInt.asUintN(64, operand.displacement ?? 0n);
    instruction.memoryDisplSize = displacementSize(operand);
    instruction.segmentPrefix = operand.segment ?? Register.None;
  }
}

const IMMEDIATES: ReadonlyMap<OpCodeOperandKind, OpKind> = new Map([
  [OpCodeOperandKind.imm8, OpKind.Immediate8],
  [OpCodeOperandKind.imm8_const_1, OpKind.Immediate8],
  [OpCodeOperandKind.imm8sex16, OpKind.Immediate8to16],
  [OpCodeOperandKind.imm8sex32, OpKind.Immediate8to32],
  [OpCodeOperandKind.imm8sex64, OpKind.Immediate8to64],
  [OpCodeOperandKind.imm16, OpKind.Immediate16],
  [OpCodeOperandKind.imm32, OpKind.Immediate32],
  [OpCodeOperandKind.imm32sex64, OpKind.Immediate32to64],
  [OpCodeOperandKind.imm64, OpKind.Immediate64],
]);

/** What the code's operand `n` takes an immediate as. */
function immediateKind(instruction: Instruction, n: number): OpKind {
  const opCode = instruction.opCode;
  const kind = IMMEDIATES.get(opCode.opKind(n));
  opCode.free();
  if (kind === undefined) throw new RangeError(`operand ${n} is not an immediate`);
  return kind;
}

function displacementSize(memory: Memory): number {
  if (memory.base === undefined || memory.base === Register.RIP) return 8;
  const displacement = memory.displacement ?? 0n;
  if (displacement === 0n) return 0;
  return displacement === BigInt.asIntN(8, displacement) ? 1 : 8;
}
