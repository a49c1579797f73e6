/**
 * The gates of a Linux kernel. A whole kernel says them itself, in the tables by which it fills its IDT (arch/x86/kernel/idt.c, since
 * 4.14); of an object, the names of the entries and the platform's table tell them. External interrupts go through stubs that push their
 * vector (irq_entries_start, arch/x86/include/asm/idtentry.h and entry_64.S before).
 */
import { InputError } from '../errors.js';
import { GateType } from '../harness/descriptors.js';
import type { Platform, VectorEntry } from './platform.js';
import type { CodeFacts, Variable } from './system_code.js';

/** In the order in which the kernel loads them, a later one over an earlier; ist_idts is of kernels before 5.2. */
const TABLES = ['early_idts', 'early_pf_idts', 'def_idts', 'ist_idts', 'apic_idts', 'ia32_idt'];

/** A kernel that has it says what all its exceptions go through. */
const MAIN_TABLE = 'def_idts';
const NMI = 2;

/** struct idt_data: 32-bit vector and segment, 16 bits (IST 0..2, type 8..12, DPL 13..14, present 15), padding, 64-bit address. */
const IDT_DATA = { SIZE: 24, SEGMENT: 4, BITS: 8, ADDRESS: 16 } as const;

const FIRST_EXTERNAL = 0x20;
const VECTORS = 0x100;
/** INT 80h, for any program. */
const INT80: VectorEntry = {
  vector: 0x80,
  symbols: ['interrupt_0x80', 'asm_int80_emulation', 'entry_INT80_compat'],
  ist: 0,
  dpl: 3,
};

export function linuxGates(platform: Platform, facts: CodeFacts): readonly VectorEntry[] {
  const said = facts.variable(MAIN_TABLE)?.address !== undefined;
  const known = said ? platform.vectors.filter(({ vector }) => vector >= FIRST_EXTERNAL) : platform.vectors;
  const gates = new Map(known.map((entry) => [entry.vector, entry]));
  for (const entry of interruptStubs(facts)) gates.set(entry.vector, entry);
  if (INT80.symbols.some((name) => facts.defines(name))) gates.set(INT80.vector, INT80);
  for (const name of TABLES) {
    const table = facts.variable(name);
    if (table?.address === undefined) continue;
    for (const entry of gatesOf(table, name, platform, facts)) gates.set(entry.vector, entry);
  }
  if (!gates.has(NMI)) {
    throw new InputError(`${facts.executable!.name}: ${MAIN_TABLE} has no gate for NMIs (vector ${NMI})`);
  }
  return [...gates.values()].sort((a, b) => a.vector - b.vector);
}

/** The stubs of external interrupts, and of vectors that nothing was to use: as long as each other, 16 bytes if they begin with ENDBR64. */
function interruptStubs(facts: CodeFacts): VectorEntry[] {
  const first = facts.variable('irq_entries_start');
  if (first === undefined) return [];
  const isEndbr64 = Buffer.from(first.bytes.subarray(0, 4)).equals(Buffer.from([0xf3, 0x0f, 0x1e, 0xfa]));
  const size = isEndbr64 ? 16 : 8;
  const count = Math.min(Math.floor(first.bytes.length / size), VECTORS - FIRST_EXTERNAL);
  const stub = (vector: number, symbol: string, number: number): VectorEntry => ({
    ...{ vector, symbols: [symbol], offset: size * number, ist: 0, dpl: 0 },
  });
  const stubs = Array.from({ length: count }, (_, i) => stub(FIRST_EXTERNAL + i, 'irq_entries_start', i));
  // Since 5.2. What vectors of the system's own are for, a whole kernel's tables say.
  const spurious = facts.variable('spurious_entries_start');
  const rest = Math.min(spurious ? Math.floor(spurious.bytes.length / size) : 0, VECTORS - FIRST_EXTERNAL - count);
  for (let i = 0; i < rest; i++) stubs.push(stub(FIRST_EXTERNAL + count + i, 'spurious_entries_start', i));
  return stubs;
}

function gatesOf({ bytes }: Variable, table: string, platform: Platform, facts: CodeFacts): VectorEntry[] {
  const file = facts.executable!.name;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: Math.floor(bytes.byteLength / IDT_DATA.SIZE) }, (_, i) => {
    const at = i * IDT_DATA.SIZE;
    const vector = view.getUint32(at, true);
    const bits = view.getUint16(at + IDT_DATA.BITS, true);
    const address = view.getBigUint64(at + IDT_DATA.ADDRESS, true);
    const symbol = facts.symbolAt(address);
    const isGate = ((bits >> 8) & 31) === GateType.INTERRUPT && (bits & 0x8000) !== 0;
    const segment = view.getUint32(at + IDT_DATA.SEGMENT, true);
    if (vector >= VECTORS || !isGate || segment !== platform.selectors.kernelCs || symbol === undefined) {
      throw new InputError(
        `${file}: ${table}+0x${at.toString(16)}: vector ${vector}, segment 0x${segment.toString(16)}, bits 0x${bits.toString(16)}, address 0x${address.toString(16)} is no interrupt gate to a function of this kernel; its table has another form than any known version's`,
      );
    }
    return { vector, symbols: [symbol], ist: bits & 7, dpl: (bits >> 13) & 3 };
  });
}
