/**
 * The data path: executes one plain instruction (moves, stack, arithmetic, branches, strings) in the engine.
 * What the instruction may touch is checked first, so that the engine never sees an access or a division that faults.
 */
import { type Code, Mnemonic, OpKind, Register, RegisterExt } from 'iced-x86';
import { MAX_INSTRUCTION } from '../image/instructions.js';
import { Access, DecodeCache, type Instruction, type MemoryOperand, registerNumber } from './decoder.js';
import { CODE, type GuestMemory, Perm } from './memory.js';
import { NotModelled } from './not_modelled.js';
import { Flag, REGISTER_COUNT, Reg, RegisterFile } from './registers.js';
import { allocateShared, type RegisterBatch, UC_ERR, UC_X86_REG, Unicorn } from './unicorn.js';

/** Exception vectors (SDM vol. 3, table 6-1). */
export const Vector = {
  DE: 0,
  DB: 1,
  NMI: 2,
  BP: 3,
  OF: 4,
  BR: 5,
  UD: 6,
  NM: 7,
  DF: 8,
  TS: 10,
  NP: 11,
  SS: 12,
  GP: 13,
  PF: 14,
  MF: 16,
  AC: 17,
  MC: 18,
  XM: 19,
  CP: 21,
  VC: 29,
} as const;

/** #PF error code bits (SDM vol. 3, 4.7). */
export const PageFault = { PRESENT: 1, WRITE: 2, USER: 4, FETCH: 16 } as const;

/**
 * What stands behind a page with Perm.DEVICE. The page itself is a scratch page: it holds what the instruction reads while
 * that is executed, and zero between two instructions.
 */
export interface Device {
  /** `offset`: in the page; `size`: bytes. */
  readonly load: (offset: number, size: number) => number;
  readonly store: (offset: number, size: number, value: number) => void;
}

/** What accesses depend on besides the page (SDM vol. 3, 4.6): bits of CR0, CR4 and IA32_EFER. */
const CR0_WP = 1 << 16;
/** L0 to G3: a breakpoint is enabled. */
const DR7_ENABLED = 0xff;
const CR4_SMEP = 1 << 20;
const CR4_SMAP = 1 << 21;
const EFER_NXE = 1 << 11;

/** How far the upper half of an address is shifted so that only the bits are left that must be equal in a canonical one. */
const SHIFT_48 = 15;
const SHIFT_57 = 24;

/** The order in which the register file numbers the registers that the engine computes with. */
const ENGINE_IDS = [
  ...[UC_X86_REG.RAX, UC_X86_REG.RCX, UC_X86_REG.RDX, UC_X86_REG.RBX, UC_X86_REG.RSP, UC_X86_REG.RBP, UC_X86_REG.RSI],
  ...[UC_X86_REG.RDI, UC_X86_REG.R8, UC_X86_REG.R9, UC_X86_REG.R10, UC_X86_REG.R11, UC_X86_REG.R12, UC_X86_REG.R13],
  ...[UC_X86_REG.R14, UC_X86_REG.R15, UC_X86_REG.RIP, UC_X86_REG.EFLAGS],
];

const RIP_BIT = 1 << Reg.RIP;
/** Flags that the engine must not see: it would raise exceptions of its own, or drop them. */
const WITHHELD = Flag.TF | Flag.RF;

export class Cpu {
  readonly regs: RegisterFile;
  readonly u32: Uint32Array;
  readonly decoder: DecodeCache;
  /** Devices by the number of their page in the buffer. Set when the machine is made. */
  devices: ReadonlyMap<number, Device> = new Map();

  /** Set when anything but the engine changed a register that the engine computes with. */
  registersChanged = true;
  /** Set when FS_BASE or GS_BASE may differ from what the engine holds. */
  basesChanged = true;

  /** The exception that the last failed access or instruction raises. */
  faultVector = 0;
  faultCode = 0;
  hasFaultCode = false;
  faultHigh = 0;
  faultLow = 0;

  /** Words (buffer offset / 8) that have been read, or written in part, since the owner last reset the count. */
  reads = new Int32Array(256);
  readCount = 0;

  /**
   * Is told of every access of `size` bytes at high:low that microcode makes while a breakpoint is enabled; those of plain
   * instructions are known before they are executed. Set once, by whoever has the breakpoints.
   */
  watch: (high: number, low: number, size: number, access: number) => void = () => undefined;

  /** CR3, and whether the processor was in SMM, as the address space was selected by them. */
  #cr3Low = -1;
  #cr3High = -1;
  #smm = false;
  readonly #engine: Unicorn;
  readonly #batch: RegisterBatch;
  readonly #bases: RegisterBatch;
  /** FS and GS base as the engine has them: both are 0 in a new engine. */
  readonly #writtenBases = new Uint32Array(4);
  readonly #resultBatches = new Map<number, RegisterBatch>();
  readonly #registersAddress: bigint;
  readonly #canonicalShift: number;
  #operandLow = 0;
  #operandHigh = 0;
  #operandOffset = 0;
  #secondOffset = 0;

  constructor(
    readonly memory: GuestMemory,
    microcodeOf: (mnemonic: Mnemonic, code: Code) => number,
    /** How often the register file has all registers: see RegisterFile. */
    banks = 1,
    /** 5-level paging: linear addresses have 57 bits, not 48. */
    la57 = false,
  ) {
    this.#canonicalShift = la57 ? SHIFT_57 : SHIFT_48;
    const shared = allocateShared(8 * REGISTER_COUNT * banks);
    this.regs = new RegisterFile(shared, banks);
    this.u32 = this.regs.u32;
    this.decoder = new DecodeCache(microcodeOf);
    this.#engine = new Unicorn();
    memory.mapInto(this.#engine);
    this.#registersAddress = shared.address;
    const place = (r: number): bigint => shared.address + BigInt(8 * r);
    this.#batch = this.#engine.batch(
      ENGINE_IDS,
      ENGINE_IDS.map((_, r) => place(r)),
    );
    this.#bases = this.#engine.batch(
      [UC_X86_REG.FS_BASE, UC_X86_REG.GS_BASE],
      [place(Reg.FS_BASE), place(Reg.GS_BASE)],
    );
  }

  /** Whether bits 63 to 47 (with 5-level paging: 63 to 56) of an address are all equal (SDM vol. 1, 3.3.7.1). */
  isCanonical(high: number): boolean {
    const top = (high | 0) >> this.#canonicalShift;
    return top === 0 || top === -1;
  }

  /** Makes the address space that CR3 selects the current one, with SMRAM in SMM: see Machine.selectSpace. */
  selectSpace(smm: boolean): void {
    const { memory, u32 } = this;
    const low = u32[2 * Reg.CR3]!;
    const high = u32[2 * Reg.CR3 + 1]!;
    if (low === this.#cr3Low && high === this.#cr3High && smm === this.#smm) return;
    if (memory.selectSpace(high, low, smm)) {
      this.#cr3Low = low;
      this.#cr3High = high;
      this.#smm = smm;
      return;
    }
    const names = memory.spaces.map(({ name, cr3 }) => `${name}: 0x${cr3.toString(16)}`).join(', ');
    throw new NotModelled(
      this.regs.u64[Reg.RIP]!,
      `loads CR3 with 0x${this.regs.u64[Reg.CR3]!.toString(16)}, which selects no address space (${names})`,
    );
  }

  /** Releases the engine; nothing may be executed any more. */
  close(): void {
    this.#engine.close();
  }

  /** The current privilege level: the RPL of CS. */
  get cpl(): number {
    return this.u32[2 * Reg.CS]! & 3;
  }

  /** The next instruction, decoded; undefined when the fetch faults. */
  fetch(previous: Instruction | undefined): Instruction | undefined {
    const low = this.u32[2 * Reg.RIP]!;
    const high = this.u32[2 * Reg.RIP + 1]!;
    if (previous !== undefined) {
      const a = previous.follower;
      if (a !== undefined && a.low === (low | 0) && a.high === (high | 0)) return a;
      const b = previous.otherFollower;
      if (b !== undefined && b.low === (low | 0) && b.high === (high | 0)) return b;
    }
    if (!this.#fetchable(high, low)) return undefined;
    const instruction = this.decoder.find(high, low) ?? this.#decode(high, low);
    if (
      instruction !== undefined &&
      (low & 0xfff) + instruction.length > 0x1000 &&
      !this.#fetchable(...nextPage(high, low))
    ) {
      return undefined;
    }
    if (instruction !== undefined && previous !== undefined && previous.high === (high | 0)) {
      // Only a follower with the same rights may skip the fetch check: it must lie on the same page. That is enough, since
      // what changes the rights of a page (CR3, CR4, the privilege level) is microcode, and microcode has no followers.
      if (previous.microcode < 0 && (previous.low ^ low) >>> 12 === 0 && (low & 0xfff) + instruction.length <= 0x1000) {
        if (previous.follower === undefined) previous.follower = instruction;
        else previous.otherFollower = instruction;
      }
    }
    return instruction;
  }

  #fetchable(high: number, low: number): boolean {
    if (!this.isCanonical(high)) return this.#fault(Vector.GP, 0, true);
    const user = this.cpl === 3;
    if (this.memory.translate(high, low) < 0) return this.#fetchFault(high, low, user, 0);
    const perms = this.memory.perms;
    const forbidden = user ? !(perms & Perm.USER) : perms & Perm.USER && this.u32[2 * Reg.CR4]! & CR4_SMEP;
    if (forbidden) return this.#fetchFault(high, low, user, PageFault.PRESENT);
    if (perms & Perm.EXEC) return true;
    if (!(this.u32[2 * Reg.EFER]! & EFER_NXE)) {
      throw new NotModelled(
        this.regs.u64[Reg.RIP]!,
        'is fetched from a page for data while EFER.NXE is clear; keep NXE set, or code in executable sections',
      );
    }
    return this.#fetchFault(high, low, user, PageFault.PRESENT);
  }

  /** #PF of a fetch. The error code says that it was one only if a page can forbid fetches (SDM vol. 3, 4.7). */
  #fetchFault(high: number, low: number, user: boolean, present: number): false {
    const tells = this.u32[2 * Reg.EFER]! & EFER_NXE || this.u32[2 * Reg.CR4]! & CR4_SMEP;
    return this.#pageFault(high, low, present | (user ? PageFault.USER : 0) | (tells ? PageFault.FETCH : 0));
  }

  #decode(high: number, low: number): Instruction | undefined {
    const bytes: number[] = [];
    for (let i = 0; i < MAX_INSTRUCTION; i++) {
      const at = BigInt.asUintN(64, (BigInt(high) << 32n) + BigInt(low) + BigInt(i));
      const offset = this.memory.translate(Number(at >> 32n), Number(at & 0xffffffffn));
      if (offset < 0 || !(this.memory.perms & Perm.EXEC)) break;
      bytes.push(this.memory.u8[offset]!);
    }
    const instruction = this.decoder.decode(high, low, Uint8Array.from(bytes));
    // An instruction that runs into memory that cannot be fetched; that is the next page.
    if (instruction.truncated && !this.#fetchable(...nextPage(high, low))) return undefined;
    return instruction;
  }

  /** Executes a plain instruction; false when it raises an exception (then nothing has changed). */
  execute(instruction: Instruction): boolean {
    if (instruction.unsupported !== undefined) {
      throw new NotModelled(
        instruction.address,
        `the instruction ${instruction.unsupported}; keep it out of the code under test`,
      );
    }
    if (instruction.invalid) return this.raise(Vector.UD);
    const u32 = this.u32;
    const { memory: operands, operand } = instruction;
    const idle = instruction.repeat && u32[2 * Reg.RCX] === 0 && u32[2 * Reg.RCX + 1] === 0;
    const announced = this.memory.journalLength;
    if (operand !== undefined && !idle) {
      if (!this.#check(operand, (u32[2 * Reg.CS]! & 3) === 3)) return false;
      if (this.memory.perms & Perm.DEVICE) return this.#executeOnDevice(instruction, operand);
      this.#note(operand);
    } else if (operands.length > 0 && !idle) {
      const user = (u32[2 * Reg.CS]! & 3) === 3;
      for (let i = 0; i < operands.length; i++) if (!this.#check(operands[i]!, user)) return false;
      if (instruction.divide && !this.#dividable(instruction)) return false;
      for (let i = 0; i < operands.length; i++) {
        this.#check(operands[i]!, user);
        this.#note(operands[i]!);
      }
    }
    if (instruction.divide && !this.#dividable(instruction)) return false;
    if (instruction.indirect && !this.#reachesCanonical(instruction)) {
      // The return address has been announced, and is not pushed.
      this.memory.journalLength = announced;
      return false;
    }
    return this.#run(instruction);
  }

  /** Executes an instruction whose memory operand is a device's register. */
  #executeOnDevice(instruction: Instruction, operand: MemoryOperand): boolean {
    const { view } = this.memory;
    const at = this.#operandOffset;
    const device = this.devices.get(at >>> 12);
    const { repeat, divide, indirect } = instruction;
    if (device === undefined || repeat || divide || indirect || this.accessCrosses) return this.#refuseDevice();
    const { size, access } = operand;
    // A device refuses sizes other than those that it has registers of: 32 bits.
    if (access & Access.READ) view.setUint32(at, device.load(at & 0xfff, size), true);
    this.#run(instruction);
    const written = view.getUint32(at, true);
    view.setUint32(at, 0, true);
    if (access & Access.WRITE) device.store(at & 0xfff, size, written);
    return true;
  }

  #refuseDevice(): never {
    throw new NotModelled(
      this.regs.u64[Reg.RIP]!,
      'accesses the registers of a device in a way that is not modelled; use MOV with a single memory operand',
    );
  }

  /** Executes what has been checked in the engine. */
  #run(instruction: Instruction): boolean {
    const u32 = this.u32;
    if (this.basesChanged) this.#writeBases();
    const withheld = u32[2 * Reg.RFLAGS]! & WITHHELD;
    if (this.registersChanged || withheld !== 0) {
      u32[2 * Reg.RFLAGS]! &= ~WITHHELD;
      this.#engine.reg_write_batch(this.#batch);
      this.registersChanged = false;
    }
    // An address of 57 bits is not always a number.
    const begin =
      this.#canonicalShift === SHIFT_48
        ? (u32[2 * Reg.RIP + 1]! | 0) * 0x100000000 + u32[2 * Reg.RIP]!
        : BigInt.asIntN(64, this.regs.u64[Reg.RIP]!);
    const error = this.#engine.emu_start(begin, 1);
    // After a branch the engine looks at what it has come to; that this cannot be fetched is for the next step to say.
    if (error !== UC_ERR.OK && !(error === UC_ERR.FETCH_UNMAPPED && instruction.leaves)) {
      return this.#engineRefused(instruction, error, withheld);
    }
    const { asked } = instruction;
    if (asked !== 0) {
      instruction.batch ??= this.#batchOf(asked);
      this.#engine.reg_read_batch(instruction.batch);
    }
    if (instruction.stackStep !== 0) this.#add(Reg.RSP, instruction.stackStep);
    if (!(asked & RIP_BIT)) this.#add(Reg.RIP, instruction.length);
    // RF is cleared by every instruction that completes (SDM vol. 3, 17.3.1.1); TF stays.
    if (withheld !== 0) u32[2 * Reg.RFLAGS]! |= withheld & Flag.TF;
    if (instruction.repeat) this.#endRepeat(instruction);
    return true;
  }

  #writeBases(): void {
    this.basesChanged = false;
    const u32 = this.u32;
    const written = this.#writtenBases;
    let same = true;
    for (let i = 0; i < 4; i++) {
      const word = u32[2 * Reg.FS_BASE + i]!;
      if (written[i] !== word) same = false;
      written[i] = word;
    }
    if (!same) this.#engine.reg_write_batch(this.#bases);
  }

  /** A batch that reads just the registers that must be asked for: reading all of them takes as long as the step. */
  #batchOf(mask: number): RegisterBatch {
    return this.#resultBatches.get(mask) ?? this.#makeResultBatch(mask);
  }

  #add(register: number, bytes: number): void {
    const u32 = this.u32;
    const low = u32[2 * register]! + bytes;
    u32[2 * register] = low;
    if (low < 0) u32[2 * register + 1]! -= 1;
    else if (low > 0xffffffff) u32[2 * register + 1]! += 1;
  }

  #makeResultBatch(mask: number): RegisterBatch {
    const numbers = ENGINE_IDS.map((_, r) => r).filter((r) => mask & (1 << r));
    const batch = this.#engine.batch(
      numbers.map((r) => ENGINE_IDS[r]!),
      numbers.map((r) => this.#registersAddress + BigInt(8 * r)),
    );
    this.#resultBatches.set(mask, batch);
    return batch;
  }

  /**
   * The engine leaves RIP on a repeated string instruction after its last iteration; the processor moves on. Between
   * two iterations RF is set, so that it is in the frame of an event there (SDM vol. 3, 17.3.1.1).
   */
  #endRepeat(instruction: Instruction): void {
    const u32 = this.u32;
    if ((u32[2 * Reg.RIP]! | 0) !== instruction.low) return;
    if (u32[2 * Reg.RCX] !== 0 || u32[2 * Reg.RCX + 1] !== 0) u32[2 * Reg.RFLAGS]! |= Flag.RF;
    else this.regs.u64[Reg.RIP] = instruction.address + BigInt(instruction.length);
  }

  #engineRefused(instruction: Instruction, error: number, withheld: number): never {
    this.u32[2 * Reg.RFLAGS]! |= withheld;
    this.registersChanged = true;
    throw new NotModelled(
      instruction.address,
      `the engine cannot execute this instruction (${this.#engine.strerror(error)}); keep it out of the code under test`,
    );
  }

  /** Computes the operand's address and checks that it may be accessed; sets the operand's offsets. */
  #check(operand: MemoryOperand, user: boolean): boolean {
    const u32 = this.u32;
    let low = operand.displacementLow;
    let high = operand.displacementHigh;
    if (operand.base >= 0) {
      low += u32[2 * operand.base]!;
      high += u32[2 * operand.base + 1]!;
    }
    if (operand.segmentBase >= 0) {
      low += u32[2 * operand.segmentBase]!;
      high += u32[2 * operand.segmentBase + 1]!;
    }
    if (operand.index >= 0) {
      const scaled = u32[2 * operand.index]! * operand.scale;
      low += scaled;
      high += u32[2 * operand.index + 1]! * operand.scale;
    }
    if (operand.bit >= 0) {
      const address = this.addressOf(operand);
      low = Number(address & 0xffffffffn);
      high = Number(address >> 32n);
    }
    // Sums of a few 35-bit numbers: exact as doubles; the carry out of the low half is its quotient.
    if (low > 0xffffffff || low < 0) high += Math.floor(low / 0x100000000);
    return this.access(high >>> 0, low >>> 0, operand.size, operand.access, user, operand.stack);
  }

  /** The address of a memory operand, as the registers are now, or were; for those who watch. */
  addressOf(operand: MemoryOperand, u64: BigUint64Array = this.regs.u64): bigint {
    let address = (BigInt(operand.displacementHigh) << 32n) + BigInt(operand.displacementLow);
    if (operand.base >= 0) address += u64[operand.base]!;
    if (operand.segmentBase >= 0) address += u64[operand.segmentBase]!;
    if (operand.index >= 0) address += u64[operand.index]! * BigInt(operand.scale);
    if (operand.bit >= 0) address += bitStringOffset(u64[operand.bit]!, operand.size);
    return BigInt.asUintN(64, address);
  }

  /**
   * Checks an access of `size` bytes (at most 64) at high:low and remembers where it lies, for `noteAccess`.
   * Raises #PF with CR2 and the error code, or #GP(0) / #SS(0) for a non-canonical address.
   */
  access(high: number, low: number, size: number, access: number, user: boolean, stack: boolean): boolean {
    if (!this.isCanonical(high)) return this.#fault(stack ? Vector.SS : Vector.GP, 0, true);
    this.#operandLow = low;
    this.#operandHigh = high;
    const offset = this.memory.translate(high, low);
    if (!this.#permitted(offset, high, low, access, user)) return false;
    this.#operandOffset = offset;
    this.#secondOffset = -1;
    if ((low & 0xfff) + size > 0x1000) {
      const nextLow = ((low | 0xfff) + 1) >>> 0;
      const nextHigh = nextLow === 0 ? (high + 1) >>> 0 : high;
      if (!this.isCanonical(nextHigh)) return this.#fault(stack ? Vector.SS : Vector.GP, 0, true);
      const second = this.memory.translate(nextHigh, nextLow);
      if (!this.#permitted(second, nextHigh, nextLow, access, user)) return false;
      this.#secondOffset = second;
    }
    return true;
  }

  #permitted(offset: number, high: number, low: number, access: number, user: boolean): boolean {
    const code = (access & Access.WRITE ? PageFault.WRITE : 0) | (user ? PageFault.USER : 0);
    if (offset < 0) return this.#pageFault(high, low, code);
    const perms = this.memory.perms;
    if (user ? !(perms & Perm.USER) : perms & Perm.USER && this.#smapForbids(access)) {
      return this.#pageFault(high, low, code | PageFault.PRESENT);
    }
    if (access & Access.WRITE && !(perms & Perm.WRITE) && (user || this.u32[2 * Reg.CR0]! & CR0_WP)) {
      return this.#pageFault(high, low, code | PageFault.PRESENT);
    }
    if (access & Access.WRITE && perms & CODE) {
      throw new NotModelled(this.regs.u64[Reg.RIP]!, 'writes to code; code that changes itself is not modelled');
    }
    return true;
  }

  /** SMAP: supervisor accesses to user pages need RFLAGS.AC; those that the processor makes by itself never may. */
  #smapForbids(access: number): boolean {
    if (!(this.u32[2 * Reg.CR4]! & CR4_SMAP)) return false;
    return (access & Access.IMPLICIT) !== 0 || !(this.u32[2 * Reg.RFLAGS]! & Flag.AC);
  }

  #note(operand: MemoryOperand): void {
    this.#noteChecked(operand.size, operand.access);
  }

  /** Enters the access that was checked last into the journal and the list of words that were read. */
  noteAccess(size: number, access: number): void {
    if (this.u32[2 * Reg.DR7]! & DR7_ENABLED) this.watch(this.#operandHigh, this.#operandLow, size, access);
    this.#noteChecked(size, access);
  }

  #noteChecked(size: number, access: number): void {
    if (this.memory.perms & Perm.DEVICE) this.#refuseDevice();
    const inFirst = this.#secondOffset < 0 ? size : 0x1000 - (this.#operandLow & 0xfff);
    this.#noteRange(this.#operandOffset, inFirst, access);
    if (this.#secondOffset >= 0) this.#noteRange(this.#secondOffset, size - inFirst, access);
  }

  #noteRange(offset: number, size: number, access: number): void {
    const first = offset >>> 3;
    const last = (offset + size - 1) >>> 3;
    for (let word = first; word <= last; word++) {
      const whole = offset <= word * 8 && offset + size >= word * 8 + 8;
      if (access & Access.READ || !whole) this.noteRead(word);
      if (access & Access.WRITE) this.memory.willWrite(word);
    }
  }

  /** Notes that what follows depends on the word (buffer offset / 8). */
  noteRead(word: number): void {
    if (this.readCount === this.reads.length) {
      const grown = new Int32Array(this.reads.length * 2);
      grown.set(this.reads);
      this.reads = grown;
    }
    this.reads[this.readCount++] = word;
  }

  /** Buffer offset of the access that was checked last (which must not cross a page). */
  get accessOffset(): number {
    return this.#operandOffset;
  }

  /** Whether the access that was checked last lies on two pages. */
  get accessCrosses(): boolean {
    return this.#secondOffset >= 0;
  }

  /** Reads up to 8 bytes at the access that was checked last. */
  loadChecked(size: number): bigint {
    if (size === 8 && this.#secondOffset < 0) return this.memory.view.getBigUint64(this.#operandOffset, true);
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.memory.u8[this.#byteOffset(i)]!);
    return value;
  }

  /** Writes up to 8 bytes at the access that was checked last. */
  storeChecked(size: number, value: bigint): void {
    if (size === 8 && this.#secondOffset < 0) {
      this.memory.view.setBigUint64(this.#operandOffset, value, true);
      return;
    }
    for (let i = 0; i < size; i++) {
      this.memory.u8[this.#byteOffset(i)] = Number(BigInt.asUintN(8, value >> BigInt(8 * i)));
    }
  }

  #byteOffset(i: number): number {
    const inFirst = 0x1000 - (this.#operandLow & 0xfff);
    return this.#secondOffset < 0 || i < inFirst ? this.#operandOffset + i : this.#secondOffset + i - inFirst;
  }

  /** Sets the fault to an exception without an error code; always false. */
  raise(vector: number): false {
    return this.#fault(vector, 0, false);
  }

  /** Sets the fault to an exception with an error code; always false. */
  raiseWith(vector: number, code: number): false {
    return this.#fault(vector, code, true);
  }

  #fault(vector: number, code: number, hasCode: boolean): false {
    this.faultVector = vector;
    this.faultCode = code;
    this.hasFaultCode = hasCode;
    return false;
  }

  #pageFault(high: number, low: number, code: number): false {
    this.faultHigh = high;
    this.faultLow = low;
    return this.#fault(Vector.PF, code, true);
  }

  /** A branch to a non-canonical address is refused with #GP(0) at the branch (SDM vol. 2, CALL, JMP and RET). */
  #reachesCanonical(instruction: Instruction): boolean {
    const { iced } = instruction;
    let target: bigint;
    if (instruction.returns || iced.op0Kind === OpKind.Memory) {
      // A CALL also pushes: the operand that it only reads holds the target.
      const operand = instruction.memory.find((one) => one.access === Access.READ);
      if (!operand || !this.#check(operand, (this.u32[2 * Reg.CS]! & 3) === 3)) return false;
      target = this.loadChecked(operand.size);
    } else {
      target = this.regs.u64[registerNumber(iced.op0Register)]!;
    }
    return this.isCanonical(Number(target >> 32n)) ? true : this.#fault(Vector.GP, 0, true);
  }

  /** #DE is found before the engine divides: divisor zero, or a quotient that does not fit (SDM vol. 2, DIV and IDIV). */
  #dividable(instruction: Instruction): boolean {
    const iced = instruction.iced;
    const memory = iced.op0Kind === OpKind.Memory;
    const size = memory ? instruction.memory[0]!.size : RegisterExt.size(iced.op0Register);
    const bits = BigInt(8 * size);
    const u64 = this.regs.u64;
    let divisor: bigint;
    if (memory) {
      divisor = this.loadChecked(size);
    } else {
      const value = u64[registerNumber(iced.op0Register)]!;
      divisor = isHighByte(iced.op0Register) ? (value >> 8n) & 0xffn : BigInt.asUintN(Number(bits), value);
    }
    if (divisor === 0n) return this.raise(Vector.DE);
    const rax = u64[Reg.RAX]!;
    const dividend =
      size === 1
        ? rax & 0xffffn
        : (BigInt.asUintN(Number(bits), u64[Reg.RDX]!) << bits) | BigInt.asUintN(Number(bits), rax);
    if (instruction.mnemonic === Mnemonic.Div) {
      return (dividend / divisor) >> bits === 0n ? true : this.raise(Vector.DE);
    }
    const quotient = BigInt.asIntN(Number(2n * bits), dividend) / BigInt.asIntN(Number(bits), divisor);
    return quotient === BigInt.asIntN(Number(bits), quotient) ? true : this.raise(Vector.DE);
  }
}

/** The first address of the page after the one that high:low is on. */
function nextPage(high: number, low: number): [high: number, low: number] {
  const next = ((low | 0xfff) + 1) >>> 0;
  return [next === 0 ? (high + 1) >>> 0 : high, next];
}

function isHighByte(register: Register): boolean {
  return register === Register.AH || register === Register.BH || register === Register.CH || register === Register.DH;
}

/**
 * How far from the begin of a bit string the operand of BT lies that holds a bit, in bytes: the bit's number is signed, and as wide as
 * the operand (SDM vol. 2, BT and table 3-2).
 */
function bitStringOffset(register: bigint, size: number): bigint {
  const bits = BigInt(8 * size);
  const number = BigInt.asIntN(8 * size, register);
  return ((number - (((number % bits) + bits) % bits)) / bits) * BigInt(size);
}
