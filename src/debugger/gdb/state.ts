/**
 * The packets that read and write registers and memory.
 *
 * Source: GDB manual, "Packets": g, G, m, M, p, P, X.
 */
import { InputError } from '../../errors.js';
import type { Debugger } from '../debugger.js';
import { fromHex, hexNumber, PACKET_SIZE } from './packets.js';
import { GDB_REGISTERS, type GdbRegister, type PlaceRegister, valueOfWire, wireValue } from './registers.js';
import type { GdbThreads } from './threads.js';

const MALFORMED = 'E01';
const NO_MEMORY = 'E0e';

/** Bytes that are read in one answer at most: two digits each. */
const MOST_MEMORY = PACKET_SIZE / 2;

export class GdbState {
  constructor(
    private readonly debug: Debugger,
    private readonly threads: GdbThreads,
  ) {}

  #value({ name, source, feature }: GdbRegister): bigint | undefined {
    if (feature === 'debugger') return this.#place(name as PlaceRegister);
    return source === undefined ? undefined : this.debug.readRegister(source, this.threads.selected);
  }

  #place(name: PlaceRegister): bigint {
    const { branch, index } = this.debug.position;
    return BigInt({ branch, state: index, runs: this.threads.running + 1, moved: Number(this.threads.moved) }[name]);
  }

  #wire(register: GdbRegister): string {
    return wireValue(register, this.#value(register));
  }

  /** `g` */
  readAll(): string {
    return GDB_REGISTERS.map((register) => this.#wire(register)).join('');
  }

  /** What follows `p`. */
  readOne(text: string): string {
    const register = GDB_REGISTERS[Number(hexNumber(text) ?? -1)];
    return register ? this.#wire(register) : MALFORMED;
  }

  /** What follows `P`. */
  writeOne(text: string): string {
    const [number, digits] = text.split('=');
    const register = GDB_REGISTERS[Number(hexNumber(number) ?? -1)];
    const bytes = digits === undefined ? undefined : fromHex(digits);
    if (!register || !bytes || bytes.length !== register.bits / 8) return MALFORMED;
    this.#write(register, bytes);
    return 'OK';
  }

  #write({ name, source, feature }: GdbRegister, bytes: Uint8Array): void {
    if (feature === 'debugger') throw new InputError(`${name} is where the debugger stands; move it with monitor goto`);
    if (source === undefined) throw new InputError(`the machine has no ${name}`);
    this.debug.writeRegister(source, valueOfWire(bytes), this.threads.selected);
  }

  /** What follows `G`. Only what differs is an edit. */
  writeAll(digits: string): string {
    const width = GDB_REGISTERS.reduce((sum, { bits }) => sum + bits / 4, 0);
    if (digits.length !== width) return MALFORMED;
    let at = 0;
    const changes: (readonly [GdbRegister, Buffer])[] = [];
    for (const register of GDB_REGISTERS) {
      const own = digits.slice(at, at + register.bits / 4).toLowerCase();
      at += own.length;
      if (own === this.#wire(register) || register.feature === 'debugger') continue;
      const bytes = fromHex(own);
      if (!bytes) return MALFORMED;
      changes.push([register, bytes]);
    }
    for (const [register, bytes] of changes) this.#write(register, bytes);
    return 'OK';
  }

  /** What follows `m`: gives what is mapped from the first byte on; an error if that is not. */
  readMemory(text: string): string {
    const range = parseRange(text);
    if (!range || range.length === 0) return MALFORMED;
    const length = Math.min(range.length, MOST_MEMORY);
    const whole = this.debug.readMemory(range.address, length);
    if (whole) return Buffer.from(whole).toString('hex');
    // What is mapped is mapped in pages, but a region may end anywhere.
    let [mapped, unmapped] = [0, length];
    while (unmapped - mapped > 1) {
      const middle = (mapped + unmapped) >> 1;
      if (this.debug.readMemory(range.address, middle)) mapped = middle;
      else unmapped = middle;
    }
    const part = mapped > 0 ? this.debug.readMemory(range.address, mapped) : undefined;
    return part ? Buffer.from(part).toString('hex') : NO_MEMORY;
  }

  /** What follows `M` or `X`, and the bytes that it ends with. */
  writeMemory(text: string, bytes: Buffer | undefined): string {
    const colon = text.indexOf(':');
    const range = colon < 0 ? undefined : parseRange(text.slice(0, colon));
    if (!range || bytes?.length !== range.length) return MALFORMED;
    // gdb asks like this whether X is understood.
    if (range.length > 0) this.debug.writeMemory(range.address, bytes);
    return 'OK';
  }
}

/** `ADDRESS,LENGTH`, both in hexadecimal. */
function parseRange(text: string): { address: bigint; length: number } | undefined {
  const match = /^([0-9a-f]{1,16}),([0-9a-f]{1,8})$/i.exec(text);
  return match ? { address: BigInt(`0x${match[1]}`), length: Number.parseInt(match[2]!, 16) } : undefined;
}
