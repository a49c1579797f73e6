/** The guest: a ROM that enters 64-bit mode, and RAM with page tables, the executor, template and programs in place. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PAGE_SIZE, Perm, type Region } from '../src/cpu/memory.js';
import { InputError } from '../src/errors.js';
import {
  isText,
  LIVE_BYTES,
  LIVE_REGIONS,
  LIVE_WORDS,
  STUB_BASE,
  STUB_REGION,
  TEMPLATE,
  TEXT_SLOTS,
} from './layout.js';
import { type Program, type Result, readResults, recordOf } from './program.js';
import { STATE_NAMES, STUBS } from './state.js';

export const RAM_BYTES = 64 << 20;

// Physical addresses.
const IMAGE = 0x100000;
const CONTROL = IMAGE;
const SAVED = 0x101000;
const STACK_TOP = 0x104000;
const EXECUTOR = 0x104000;
const STUB_PAGES = 0x108000;
const BOOT_CR3 = 0x110000;
const MAIN_CR3 = 0x111000;
const TABLES = 0x112000;
const LIVE = 0x200000;
const TEMPLATE_COPY = 0x300000;
const INPUT = 0x400000;
export const OUTPUT = 0x2000000;
/** The first byte after the programs. */
const INPUT_END = OUTPUT;

/** The virtual address of physical address 0 in the executor's view: within reach of absolute 32-bit addresses. */
const ALIAS = 0xffffffffa0000000n;
const virtual = (physical: number): bigint => ALIAS + BigInt(physical);

const ROM_BYTES = 0x10000;
const ROM_START = 0xff00;
const LARGE_PAGE = 1 << 21;
/** No emulator allots memory in smaller blocks. */
const BLOCK = 0x10000;

// Words of the control block.
const Control = { COUNT: 0, INDEX: 8, INPUT: 16, OUTPUT: 24, BLOCKS: 40, DONE: 48 } as const;

/** CR3 with the address space that programs run in. */
export const PROGRAM_CR3 = BigInt(MAIN_CR3);

const SOURCES = fileURLToPath(new URL('../../conformance/guest', import.meta.url));

/** Why the guest cannot be assembled here; undefined if it can. */
export function binutilsMissing(): string | undefined {
  const missing = ['as', 'ld', 'objcopy'].filter((name) => spawnSync(name, ['--version']).status !== 0);
  return missing.length > 0 ? `${missing.join(', ')}: not installed (package binutils)` : undefined;
}

export interface Guest {
  readonly rom: Uint8Array;
  /** RAM from 0 on, without programs. */
  readonly ram: Uint8Array;
}

/** Assembles the guest. */
export function buildGuest(): Guest {
  const place = mkdtempSync(join(tmpdir(), 'entrace-guest-'));
  try {
    const symbols = {
      BOOT_CR3,
      MAIN_CR3,
      ENTRY_PHYSICAL: EXECUTOR,
      CONTROL_PHYSICAL: CONTROL,
      ROM_BASE: 0xf0000 + ROM_START,
      CONTROL: virtual(CONTROL),
      SAVED: virtual(SAVED),
      STACK_TOP: virtual(STACK_TOP),
      LIVE: virtual(LIVE),
      TEMPLATE: virtual(TEMPLATE_COPY),
      LIVE_WORDS,
      STATE_WORDS: STATE_NAMES.length,
      RECORD_PATCHES: 4,
      RECORD_HEADER: 8 * STATE_NAMES.length,
      STUBS,
      BLOCK,
      ...Object.fromEntries(STATE_NAMES.map((name, i) => [`S_${name}`, 8 * i])),
    };
    const definitions = Object.entries(symbols).flatMap(([name, value]) => [
      '--defsym',
      `${name}=0x${BigInt.asUintN(64, BigInt(value)).toString(16)}`,
    ]);
    const tool = (program: string, ...args: string[]): void => {
      try {
        execFileSync(program, args, { cwd: place, stdio: 'pipe', encoding: 'utf8' });
      } catch (error) {
        throw new InputError(`the guest cannot be assembled: ${program}: ${(error as Error).message}`);
      }
    };
    for (const name of ['start', 'executor']) {
      tool('as', '--64', ...definitions, '-o', `${name}.o`, join(SOURCES, `${name}.S`));
    }
    tool('objcopy', '-O', 'binary', '-j', '.text', 'start.o', 'start.bin');
    const at = (address: bigint): string => `0x${BigInt.asUintN(64, address).toString(16)}`;
    tool(
      'ld',
      ...['-e', 'entry', '-z', 'noexecstack', `-Ttext=${at(virtual(EXECUTOR))}`],
      ...[`--section-start=.stubs=${at(STUB_BASE)}`, '-o', 'executor', 'executor.o'],
    );
    tool('objcopy', '-O', 'binary', '-j', '.text', 'executor', 'text.bin');
    tool('objcopy', '-O', 'binary', '-j', '.stubs', 'executor', 'stubs.bin');
    const rom = new Uint8Array(ROM_BYTES).fill(0xf4);
    rom.set(readFileSync(join(place, 'start.bin')), ROM_START);
    const ram = new Uint8Array(INPUT);
    ram.set(readFileSync(join(place, 'text.bin')), EXECUTOR);
    ram.set(readFileSync(join(place, 'stubs.bin')), STUB_PAGES);
    ram.set(TEMPLATE, LIVE);
    ram.set(TEMPLATE, TEMPLATE_COPY);
    buildTables(new DataView(ram.buffer));
    return { rom, ram };
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

/** Page table entry bits (SDM vol. 3, 4.5). */
const Entry = { PRESENT: 1n, WRITE: 2n, USER: 4n, LARGE: 0x80n, NO_EXECUTE: 1n << 63n } as const;

function buildTables(ram: DataView): void {
  let free = TABLES;
  const entryOf = (root: number, address: bigint, level: number): number => {
    let table = root;
    for (let at = 3; ; at--) {
      const entry = table + 8 * Number((address >> BigInt(12 + 9 * at)) & 0x1ffn);
      if (at === level) return entry;
      const value = ram.getBigUint64(entry, true);
      if (value !== 0n) {
        table = Number(value & 0xffffff000n);
      } else {
        // Rights are decided by the last level alone.
        ram.setBigUint64(entry, BigInt(free) | Entry.PRESENT | Entry.WRITE | Entry.USER, true);
        table = free;
        free += PAGE_SIZE;
      }
    }
  };
  const map = (region: Region, physical: number): void => {
    const rights =
      (region.perms & Perm.WRITE ? Entry.WRITE : 0n) |
      (region.perms & Perm.USER ? Entry.USER : 0n) |
      (region.perms & Perm.EXEC ? 0n : Entry.NO_EXECUTE);
    for (let at = 0; at < region.size; at += PAGE_SIZE) {
      const entry = entryOf(MAIN_CR3, region.address + BigInt(at), 0);
      ram.setBigUint64(entry, BigInt(physical + at) | Entry.PRESENT | rights, true);
    }
  };
  const large = (root: number, address: bigint, physical: number): void => {
    const value = BigInt(physical) | Entry.PRESENT | Entry.WRITE | Entry.LARGE;
    ram.setBigUint64(entryOf(root, address, 1), value, true);
  };
  for (let at = 0; at < RAM_BYTES; at += LARGE_PAGE) {
    large(BOOT_CR3, virtual(at), at);
    large(BOOT_CR3, BigInt(at), at);
    large(MAIN_CR3, virtual(at), at);
  }
  map(STUB_REGION, STUB_PAGES);
  let physical = LIVE;
  for (const region of LIVE_REGIONS) {
    map(region, physical);
    for (let slot = 1; isText(region) && slot < TEXT_SLOTS; slot++) {
      map({ ...region, address: region.address + BigInt(slot * PAGE_SIZE) }, physical);
    }
    physical += region.size;
  }
  if (free > LIVE || LIVE + LIVE_BYTES > TEMPLATE_COPY || TEMPLATE_COPY + LIVE_BYTES > INPUT) {
    throw new RangeError('the parts of the guest overlap');
  }
}

/** RAM from `IMAGE` on with the programs in place. */
export function ramWith(guest: Guest, programs: readonly Program[]): Uint8Array {
  const records = programs.map(recordOf);
  const total = records.reduce((sum, record) => sum + record.length, 0);
  if (INPUT + total > INPUT_END) throw new RangeError('too many programs for one batch');
  const ram = new Uint8Array(INPUT + total);
  ram.set(guest.ram);
  const view = new DataView(ram.buffer);
  const control = (word: number, value: number | bigint): void =>
    view.setBigUint64(CONTROL + word, BigInt(value), true);
  control(Control.COUNT, BigInt(programs.length));
  control(Control.INPUT, BigInt.asUintN(64, virtual(INPUT)));
  control(Control.OUTPUT, BigInt.asUintN(64, virtual(OUTPUT)));
  control(Control.BLOCKS, Math.ceil((ram.length - IMAGE) / BLOCK));
  let at = INPUT;
  for (const record of records) {
    ram.set(record, at);
    at += record.length;
  }
  return ram;
}

/** Where the image that `ramWith` makes begins: nothing below it is used. */
export const IMAGE_START = IMAGE;
export const CONTROL_BYTES = 64;
export const VIRTUAL_CONTROL = virtual(CONTROL);
export const VIRTUAL_OUTPUT = virtual(OUTPUT);

/** How far the guest has come, from its control block. */
export function progressOf(control: Uint8Array): { index: number; outputBytes: number; done: boolean } {
  const view = new DataView(control.buffer, control.byteOffset, control.byteLength);
  return {
    index: Number(view.getBigUint64(Control.INDEX, true)),
    outputBytes: Number(view.getBigUint64(Control.OUTPUT, true) - BigInt.asUintN(64, VIRTUAL_OUTPUT)),
    done: view.getBigUint64(Control.DONE, true) === 1n,
  };
}

export { CONTROL as CONTROL_PHYSICAL, type Result, readResults };
