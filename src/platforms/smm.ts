/**
 * SMRAM as the firmware leaves it behind: where things are in it, relative to SMBASE, and its descriptor tables.
 *
 *   8000H  SMM code, the sections named `….smm` of the image
 *   E000H  GDT; E800H IDT, with gates for what the image has a handler for
 *   F000H  for each processor, whose SMBASE lies 4 KiB above that of the one before: a page with its stack and, from
 *          FC00H on, its state save area
 *
 * It is mapped outside SMM, too, for supervisors; hiding it is the chipset's business.
 */
import { type GuestMemory, PAGE_SIZE, Perm, type Region } from '../cpu/memory.js';
import { InputError } from '../errors.js';
import { codeSegment, dataSegment, GateType, idtGate } from '../harness/descriptors.js';
import type { SmmCode } from '../harness/smm.js';

/** SMBASE of the first processor, where the firmware has put it. */
export const SMBASE = 0x7f000000n;

/** Offset of SMM code from SMBASE, and the room for it. */
export const SMM_CODE = 0x8000n;
const CODE_SIZE = 0x6000;
const GDT = 0xe000n;
const IDT = 0xe800n;
const OWN_PAGE = 0xf000n;
const STACK_TOP = 0xfc00;

const CS = 0x10;
const SS = 0x18;
const VECTORS = 32;
const HANDLERS: readonly (readonly [number, string])[] = [
  [2, 'smm_nmi'],
  [18, 'smm_machine_check'],
];

/** SMBASE of processor `n`. */
export function smbaseOf(smbase: bigint, n: number): bigint {
  return smbase + BigInt(n * PAGE_SIZE);
}

/** The memory besides the code. */
export function smramRegions(smbase: bigint, processors: number): Region[] {
  return [
    { name: 'SMM tables', address: smbase + GDT, size: PAGE_SIZE, perms: 0 },
    { name: 'SMRAM', address: smbase + OWN_PAGE, size: processors * PAGE_SIZE, perms: Perm.WRITE },
  ];
}

/**
 * Fills the tables; `find` gives the address of a symbol, `codeSize` is that of the code in bytes. Undefined where there is no
 * SMM code; an InputError where it is too large, or has one of its two entry points only.
 */
export function loadSmram(
  memory: GuestMemory,
  smbase: bigint,
  find: (name: string) => bigint | undefined,
  codeSize: number,
): SmmCode | undefined {
  const handler = find('smi_handler');
  const handlerWithIret = find('smi_handler_iret');
  if (handler === undefined && handlerWithIret === undefined) return undefined;
  if (handler === undefined || handlerWithIret === undefined) {
    throw new InputError(
      `SMM code must define both smi_handler and smi_handler_iret; ${handler === undefined ? 'smi_handler' : 'smi_handler_iret'} is missing`,
    );
  }
  if (codeSize > CODE_SIZE) throw new InputError(`SMM code has ${codeSize} bytes; there is room for ${CODE_SIZE}`);
  memory.load64(smbase + GDT + BigInt(CS), codeSegment(0));
  memory.load64(smbase + GDT + BigInt(SS), dataSegment(0));
  for (const [vector, name] of HANDLERS) {
    const target = find(name);
    if (target === undefined) continue;
    const [low, high] = idtGate(target, CS, 0, 0, GateType.INTERRUPT);
    memory.load64(smbase + IDT + BigInt(16 * vector), low);
    memory.load64(smbase + IDT + BigInt(16 * vector + 8), high);
  }
  return {
    ...{ handler, handlerWithIret, stack: STACK_TOP, cs: CS, ss: SS },
    gdt: { base: smbase + GDT, limit: SS + 7 },
    idt: { base: smbase + IDT, limit: 16 * VECTORS - 1 },
  };
}
