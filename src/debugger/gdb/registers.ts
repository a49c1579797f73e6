/**
 * The registers that gdb gets, in the order of their numbers, and how their values go over the wire.
 *
 * Source: GDB manual, "i386 Features": org.gnu.gdb.i386.core, org.gnu.gdb.i386.segments; "Packets": g, p.
 */
import { REGISTER_NAMES } from '../../cpu/registers.js';

export interface GdbRegister {
  /** As gdb calls it. */
  readonly name: string;
  /** As the debugger calls it; undefined for one that the machine does not have, and gdb insists on. */
  readonly source: string | undefined;
  readonly bits: number;
  /** Of the target description. */
  readonly type: string;
  readonly feature: 'core' | 'segments' | 'machine' | 'debugger';
  /** Of `info registers GROUP`; undefined: the one that gdb knows. */
  readonly group?: string;
}

const POINTERS = new Set(['rsp', 'rbp', 'rip']);
const GENERAL = 'rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip'.split(' ');
const SEGMENTS = 'cs ss ds es fs gs'.split(' ');
const X87_STACK = 'st0 st1 st2 st3 st4 st5 st6 st7'.split(' ');
const X87_CONTROL = 'fctrl fstat ftag fiseg fioff foseg fooff fop'.split(' ');

/** What gdb prints by the names of its bits. */
const FLAG_TYPES = new Set(['cr0', 'cr4', 'efer', 'dr6', 'events']);

function pointer(name: string): string {
  return name === 'rip' ? 'code_ptr' : POINTERS.has(name) ? 'data_ptr' : 'int64';
}

const CORE: readonly GdbRegister[] = [
  ...GENERAL.map((name) => ({ name, source: name, bits: 64, type: pointer(name) })),
  { name: 'eflags', source: 'rflags', bits: 32, type: 'i386_eflags' },
  ...SEGMENTS.map((name) => ({ name, source: name, bits: 32, type: 'int32' })),
  ...X87_STACK.map((name) => ({ name, source: undefined, bits: 80, type: 'i387_ext' })),
  ...X87_CONTROL.map((name) => ({ name, source: undefined, bits: 32, type: 'int', group: 'float' })),
].map((register) => ({ ...register, feature: 'core' as const }));

const BASES: readonly GdbRegister[] = ['fs_base', 'gs_base'].map((name) => ({
  ...{ name, source: name, bits: 64, type: 'int64', feature: 'segments' as const },
}));

const KNOWN = new Set([...CORE, ...BASES].map(({ source }) => source));

/** All that entry code can change besides: control registers, MSRs, tables, what the processor remembers between instructions. */
const MACHINE: readonly GdbRegister[] = REGISTER_NAMES.filter((name) => !KNOWN.has(name) && name !== 'processor').map(
  (name) => ({
    ...{ name, source: name, bits: 64, feature: 'machine' as const, group: 'system' },
    type: FLAG_TYPES.has(name) ? `${name}_flags` : 'uint64',
  }),
);

/**
 * Where the cursor stands; gdb cannot write them. `runs`: the thread that runs; `moved`: the last monitor command has moved the cursor,
 * and gdb has not heard of it yet.
 */
export const PLACE_REGISTERS = ['branch', 'state', 'runs', 'moved'] as const;
export type PlaceRegister = (typeof PLACE_REGISTERS)[number];

const PLACE: readonly GdbRegister[] = PLACE_REGISTERS.map((name) => ({
  ...{ name, source: undefined, bits: 32, type: 'uint32', feature: 'debugger' as const, group: 'debugger' },
}));

export const GDB_REGISTERS: readonly GdbRegister[] = [...CORE, ...BASES, ...MACHINE, ...PLACE];

/** Little-endian, in hexadecimal; `x` for each digit where there is no value. */
export function wireValue({ bits }: GdbRegister, value: bigint | undefined): string {
  const bytes = bits / 8;
  if (value === undefined) return 'xx'.repeat(bytes);
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt.asUintN(64, value));
  return buffer.toString('hex', 0, bytes);
}

export function valueOfWire(bytes: Uint8Array): bigint {
  return [...bytes].reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}
