/**
 * The lists of MSRs that VM exits store and load and VM entries load (SDM vol. 3, 24.7.2, 24.8.2; 26.4, 27.4, 27.6): entries of
 * 16 bytes at a physical address, the number of the MSR in the lower 32 bits, then 32 bits that must be 0, then its value. All
 * happens within the entry or exit: no event comes between, which a host that uses RDMSR and WRMSR cannot have.
 */
import { NotModelled } from '../cpu/not_modelled.js';
import { Reg } from '../cpu/registers.js';
import type { Machine } from './machine.js';
import { type FieldName, readField, readField32 } from './vmcs.js';

/** A list by the names of its two fields. */
interface List {
  readonly address: FieldName;
  readonly count: FieldName;
}

const EXIT_STORE: List = { address: 'EXIT_MSR_STORE_ADDRESS', count: 'EXIT_MSR_STORE_COUNT' };
const EXIT_LOAD: List = { address: 'EXIT_MSR_LOAD_ADDRESS', count: 'EXIT_MSR_LOAD_COUNT' };
const ENTRY_LOAD: List = { address: 'ENTRY_MSR_LOAD_ADDRESS', count: 'ENTRY_MSR_LOAD_COUNT' };

const ENTRY_SIZE = 16n;
const MSR_FS_BASE = 0xc0000100;
const MSR_GS_BASE = 0xc0000101;
const X2APIC = 0x800;
const X2APIC_COUNT = 0x100;

/** The list whose address is not a multiple of 16, if it is not empty (26.2.1.2, 26.2.1.3); undefined: none. */
export function misalignedList(machine: Machine): string | undefined {
  return [EXIT_STORE, EXIT_LOAD, ENTRY_LOAD].find(
    ({ address, count }) => readField32(machine, count) !== 0 && readField32(machine, address) % Number(ENTRY_SIZE),
  )?.address;
}

/** A VM exit stores the guest's values, then loads the host's. */
export function switchMsrsAtExit(machine: Machine, load: boolean): void {
  const failed = (load ? loadList(machine, EXIT_LOAD) : storeList(machine)) !== 0;
  if (failed) throw new NotModelled(rip(machine), 'leaves a guest with a list of MSRs that aborts VMX operation');
}

/** A VM entry loads the guest's values; the number of the entry that cannot be loaded, from 1; 0: all have been. */
export function loadMsrsAtEntry(machine: Machine): number {
  return loadList(machine, ENTRY_LOAD);
}

function rip(machine: Machine): bigint {
  return machine.cpu.regs.u64[Reg.RIP]!;
}

/** The first word (buffer offset / 8) of entry `i`, counted from 0. */
function entryAt(machine: Machine, list: List, i: number): number {
  const word = machine.memory.physicalWord(readField(machine, list.address) + ENTRY_SIZE * BigInt(i));
  if (word < 0) throw new NotModelled(rip(machine), 'uses a list of MSRs where there is no memory');
  return word;
}

/** The number of the MSR; -1 if the upper half is not 0, or if it is one of the x2APIC's, which no list may have. */
function numberAt(machine: Machine, word: number): number {
  machine.cpu.noteRead(word);
  const number = machine.memory.u32[2 * word]!;
  if (machine.memory.u32[2 * word + 1] !== 0) return -1;
  return number >= X2APIC && number < X2APIC + X2APIC_COUNT ? -1 : number;
}

function storeList(machine: Machine): number {
  const { memory } = machine;
  const count = readField32(machine, EXIT_STORE.count);
  for (let i = 0; i < count; i++) {
    const word = entryAt(machine, EXIT_STORE, i);
    const number = numberAt(machine, word);
    const value = number < 0 ? undefined : machine.msrs.read(machine, number, { address: rip(machine) });
    if (value === undefined) return i + 1;
    memory.willWrite(word + 1);
    memory.view.setBigUint64(8 * (word + 1), value, true);
  }
  return 0;
}

function loadList(machine: Machine, list: List): number {
  const count = readField32(machine, list.count);
  for (let i = 0; i < count; i++) {
    const word = entryAt(machine, list, i);
    const number = numberAt(machine, word);
    if (number < 0 || number === MSR_FS_BASE || number === MSR_GS_BASE) return i + 1;
    machine.cpu.noteRead(word + 1);
    const value = machine.memory.view.getBigUint64(8 * (word + 1), true);
    if (!machine.msrs.write(machine, number, value, { address: rip(machine) })) return i + 1;
  }
  return 0;
}
