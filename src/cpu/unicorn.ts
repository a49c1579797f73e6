/**
 * The binding to the Unicorn engine (the C library libunicorn 2, called through koffi), in the shape of unicorn.js's class.
 * Nothing outside this file knows how the engine is reached: a WebAssembly build can take its place here.
 *
 * Measured limits of libunicorn 2.0.1 that the callers respect: paging stays off (guest memory is mapped at the virtual
 * addresses that the code uses); the engine never executes an instruction that raises an exception or that touches a
 * system register: those are the harness's microcode.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import { InputError } from '../errors.js';

const UC_ARCH_X86 = 4;
const UC_MODE_64 = 8;
const UC_PROT_ALL = 7;

/** Register numbers of the engine's x86 interface (unicorn/x86.h). */
export const UC_X86_REG = {
  EFLAGS: 25,
  RAX: 35,
  RBP: 36,
  RBX: 37,
  RCX: 38,
  RDI: 39,
  RDX: 40,
  RIP: 41,
  RSI: 43,
  RSP: 44,
  R8: 106,
  R9: 107,
  R10: 108,
  R11: 109,
  R12: 110,
  R13: 111,
  R14: 112,
  R15: 113,
  FS_BASE: 250,
  GS_BASE: 251,
} as const;

/** Result codes of the engine that the callers tell apart (unicorn/unicorn.h). */
export const UC_ERR = {
  OK: 0,
  READ_UNMAPPED: 6,
  WRITE_UNMAPPED: 7,
  FETCH_UNMAPPED: 8,
  INSN_INVALID: 10,
  EXCEPTION: 21,
} as const;

/** Host memory that both the engine and typed arrays see; `address` is the host's. */
export interface SharedBuffer {
  readonly buffer: ArrayBuffer;
  readonly address: bigint;
}

const HOST_PAGE = 4096n;

/**
 * Allocates `bytes` of page-aligned host memory that lives as long as the process. The first `zeroed` of them are zero; the others need no
 * memory of the host until they are written.
 */
export function allocateShared(bytes: number, zeroed = bytes): SharedBuffer {
  const raw = koffi.alloc('uint8_t', bytes + Number(HOST_PAGE));
  const address = koffi.address(raw);
  const aligned = (address + HOST_PAGE - 1n) & ~(HOST_PAGE - 1n);
  const whole = koffi.view(raw, bytes + Number(HOST_PAGE)) as ArrayBuffer;
  new Uint8Array(whole, Number(aligned - address), zeroed).fill(0);
  // A view that starts at the aligned address: typed arrays on it need no offset of their own.
  const buffer = koffi.view(aligned, bytes) as ArrayBuffer;
  return { buffer, address: aligned };
}

type Handle = unknown;

interface Library {
  readonly uc_version: (major: number[], minor: number[]) => number;
  readonly uc_open: (arch: number, mode: number, out: Handle[]) => number;
  readonly uc_close: (uc: Handle) => number;
  readonly uc_strerror: (code: number) => string;
  readonly uc_mem_map_ptr: (uc: Handle, address: bigint, size: bigint, perms: number, host: bigint) => number;
  readonly uc_reg_read_batch: (uc: Handle, ids: unknown, values: unknown, count: number) => number;
  readonly uc_reg_write_batch: (uc: Handle, ids: unknown, values: unknown, count: number) => number;
  readonly uc_emu_start: (uc: Handle, begin: number | bigint, until: number, timeout: number, count: number) => number;
}

let library: Library | undefined;

/** Where a copy of the library that was unpacked without root stands: `.setup/lib` beside package.json. */
function candidates(): string[] {
  const fromEnvironment = process.env.ENTRACE_LIBUNICORN;
  if (fromEnvironment) return [fromEnvironment];
  const local = fileURLToPath(new URL('../../../.setup/lib/libunicorn.so.2', import.meta.url));
  return existsSync(local) ? [local, 'libunicorn.so.2'] : ['libunicorn.so.2'];
}

function loadLibrary(): Library {
  if (library) return library;
  const names = candidates();
  let lib: ReturnType<typeof koffi.load> | undefined;
  let loaded = '';
  for (const name of names) {
    try {
      lib = koffi.load(name);
      loaded = name;
      break;
    } catch {
      // The next candidate; if none loads, the error below names the package.
    }
  }
  if (!lib) {
    throw new InputError(
      `the Unicorn library cannot be loaded (tried ${names.join(', ')}); install Debian's package libunicorn2, ` +
        'or run `make setup`, or set ENTRACE_LIBUNICORN to the file',
    );
  }
  let found: Library;
  try {
    found = {
      uc_version: lib.func('unsigned int uc_version(_Out_ unsigned int *major, _Out_ unsigned int *minor)'),
      uc_open: lib.func('int uc_open(int arch, int mode, _Out_ void **uc)'),
      uc_close: lib.func('int uc_close(void *uc)'),
      uc_strerror: lib.func('const char *uc_strerror(int code)'),
      uc_mem_map_ptr: lib.func(
        'int uc_mem_map_ptr(void *uc, uint64_t address, uint64_t size, uint32_t perms, void *ptr)',
      ),
      uc_reg_read_batch: lib.func('int uc_reg_read_batch(void *uc, void *ids, void *values, int count)'),
      uc_reg_write_batch: lib.func('int uc_reg_write_batch(void *uc, void *ids, void *values, int count)'),
      // The address is declared signed: a canonical address is then a plain JavaScript number, which is cheaper than a BigInt.
      uc_emu_start: lib.func(
        'int uc_emu_start(void *uc, int64_t begin, int64_t until, uint64_t timeout, size_t count)',
      ),
    };
  } catch (error) {
    throw new InputError(
      `${loaded}: is not the Unicorn library, or too old: it lacks a function that entrace needs (${(error as Error).message}); ` +
        'install version 2.0.1 or newer (Debian: libunicorn2), or correct ENTRACE_LIBUNICORN',
    );
  }
  const major = [0];
  const minor = [0];
  found.uc_version(major, minor);
  if ((major[0] ?? 0) < 2) {
    throw new InputError(
      `${loaded}: the Unicorn library is version ${major[0]}.${minor[0]}; entrace needs 2.0.1 or newer (Debian: libunicorn2)`,
    );
  }
  library = found;
  return found;
}

/** A list of engine registers and the memory that their values are read into and written from, prepared once. */
export interface RegisterBatch {
  readonly count: number;
  readonly ids: unknown;
  readonly pointers: unknown;
}

/** One engine: 64-bit mode, flat, always at its own CPL 0, paging off. */
export class Unicorn {
  readonly #lib: Library;
  readonly #uc: Handle;

  constructor() {
    this.#lib = loadLibrary();
    const out: Handle[] = [null];
    this.#check(this.#lib.uc_open(UC_ARCH_X86, UC_MODE_64, out), 'uc_open');
    this.#uc = out[0];
  }

  #check(code: number, call: string): void {
    if (code !== UC_ERR.OK) throw new Error(`${call}: ${this.strerror(code)}`);
  }

  strerror(code: number): string {
    return this.#lib.uc_strerror(code);
  }

  /** Maps `size` bytes (whole pages) of host memory at guest address `address`. */
  mem_map_ptr(address: bigint, size: number, host: bigint): void {
    this.#check(
      this.#lib.uc_mem_map_ptr(this.#uc, address, BigInt(size), UC_PROT_ALL, host),
      `uc_mem_map_ptr(0x${address.toString(16)}, 0x${size.toString(16)})`,
    );
  }

  /** Binds each of the engine registers `ids` to the 64-bit word at the host address of the same place in `addresses`. */
  batch(ids: readonly number[], addresses: readonly bigint[]): RegisterBatch {
    const idMemory = koffi.alloc('int', ids.length);
    new Int32Array(koffi.view(idMemory, ids.length * 4) as ArrayBuffer).set(ids);
    const pointerMemory = koffi.alloc('uint64_t', ids.length);
    const pointers = new BigUint64Array(koffi.view(pointerMemory, ids.length * 8) as ArrayBuffer);
    pointers.set(addresses);
    return { count: ids.length, ids: idMemory, pointers: pointerMemory };
  }

  reg_read_batch(batch: RegisterBatch): void {
    this.#lib.uc_reg_read_batch(this.#uc, batch.ids, batch.pointers, batch.count);
  }

  reg_write_batch(batch: RegisterBatch): void {
    this.#lib.uc_reg_write_batch(this.#uc, batch.ids, batch.pointers, batch.count);
  }

  /** Executes `count` instructions from `begin`, an address as a signed number (exact) or BigInt; returns a UC_ERR code. */
  emu_start(begin: number | bigint, count: number): number {
    return this.#lib.uc_emu_start(this.#uc, begin, 0, 0, count);
  }

  close(): void {
    this.#lib.uc_close(this.#uc);
  }
}
