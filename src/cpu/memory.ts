/**
 * Guest memory: one host buffer, mapped into the engine at the virtual addresses that the code uses, and seen by
 * TypeScript as typed arrays on the same bytes. Every write goes through, or is announced to, the journal, so that a
 * search can take it back word by word.
 */
import { allocateShared, type Unicorn } from './unicorn.js';

export const PAGE_SIZE = 4096;

/** Page permissions, as bits. Supervisor access to a page is allowed whatever its USER bit says (no SMAP here). */
export const Perm = { WRITE: 1, EXEC: 2, USER: 4 } as const;

export interface Region {
  readonly name: string;
  /** Page-aligned. */
  readonly address: bigint;
  /** Bytes, a multiple of the page size. */
  readonly size: number;
  readonly perms: number;
  /** State of a device: it has words, a journal and a place in every snapshot, but no guest address. */
  readonly hidden?: true;
}

/** Number of entries of the direct-mapped translation cache. */
const TLB_SIZE = 64;

export class GuestMemory {
  readonly regions: readonly Region[];
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly view: DataView;
  /** Size of all regions together, in 8-byte words. */
  readonly words: number;

  /** Permissions of the page that `translate` found last. */
  perms = 0;

  // The journal: for each write to a word (index into the buffer, 8 bytes each), what was there before.
  journalWord = new Int32Array(1 << 12);
  journalLow = new Uint32Array(1 << 12);
  journalHigh = new Uint32Array(1 << 12);
  journalLength = 0;

  readonly #hostAddress: bigint;
  readonly #offsets: number[] = [];
  readonly #pages = new Map<number, number>();
  readonly #pagePerms: Uint8Array;
  readonly #tlbHigh = new Int32Array(TLB_SIZE).fill(-1);
  readonly #tlbLow = new Int32Array(TLB_SIZE).fill(-1);
  readonly #tlbOffset = new Int32Array(TLB_SIZE);

  constructor(regions: readonly Region[]) {
    this.regions = [...regions].sort((a, b) => (a.address < b.address ? -1 : 1));
    let total = 0;
    for (const region of this.regions) {
      this.#offsets.push(total);
      total += region.size;
    }
    const shared = allocateShared(total);
    this.#hostAddress = shared.address;
    this.u8 = new Uint8Array(shared.buffer);
    this.u32 = new Uint32Array(shared.buffer);
    this.view = new DataView(shared.buffer);
    this.words = total / 8;
    this.#pagePerms = new Uint8Array(total / PAGE_SIZE);
    this.regions.forEach((region, i) => {
      if (region.hidden) return;
      for (let at = 0; at < region.size; at += PAGE_SIZE) {
        const address = BigInt.asUintN(64, region.address + BigInt(at));
        const offset = this.#offsets[i]! + at;
        this.#pages.set(pageKey(Number(address >> 32n), Number(address & 0xffffffffn)), offset);
        this.#pagePerms[offset / PAGE_SIZE] = region.perms;
      }
    });
  }

  /**
   * Maps every region into the engine, on the same bytes. The engine does not execute the last instruction of a page
   * unless it can fetch from the next one too, so it also gets an empty page after code; nothing else knows of that one.
   */
  mapInto(engine: Unicorn): void {
    this.regions.forEach((region, i) => {
      if (region.hidden) return;
      engine.mem_map_ptr(region.address, region.size, this.#hostAddress + BigInt(this.#offsets[i]!));
    });
    const guarded = new Set<bigint>();
    for (const region of this.regions) {
      const end = BigInt.asUintN(64, region.address + BigInt(region.size));
      if (region.hidden || !(region.perms & Perm.EXEC) || end === 0n || this.translateAddress(end) >= 0 || guarded.has(end)) continue;
      engine.mem_map_ptr(end, PAGE_SIZE, allocateShared(PAGE_SIZE).address);
      guarded.add(end);
    }
  }

  /** The buffer offset of the byte at guest address high:low, or -1 if nothing is mapped there; sets `perms`. */
  translate(high: number, low: number): number {
    const page = low & ~0xfff;
    const slot = ((low >>> 12) ^ high) & (TLB_SIZE - 1);
    let offset: number;
    if (this.#tlbLow[slot] === page && this.#tlbHigh[slot] === (high | 0)) {
      offset = this.#tlbOffset[slot]!;
    } else {
      const found = this.#pages.get(pageKey(high, low));
      if (found === undefined) return -1;
      offset = found;
      this.#tlbHigh[slot] = high | 0;
      this.#tlbLow[slot] = page;
      this.#tlbOffset[slot] = offset;
    }
    this.perms = this.#pagePerms[offset >>> 12]!;
    return offset + (low & 0xfff);
  }

  translateAddress(address: bigint): number {
    return this.translate(Number(BigInt.asUintN(64, address) >> 32n), Number(address & 0xffffffffn));
  }

  /** The guest address of a buffer offset. */
  addressOf(offset: number): bigint {
    let i = this.regions.length - 1;
    while (i > 0 && this.#offsets[i]! > offset) i--;
    return BigInt.asUintN(64, this.regions[i]!.address + BigInt(offset - this.#offsets[i]!));
  }

  /** The first word (buffer offset / 8) of the hidden region with this name; -1 if there is none. */
  hiddenWord(name: string): number {
    const i = this.regions.findIndex((region) => region.hidden && region.name === name);
    return i < 0 ? -1 : this.#offsets[i]! / 8;
  }

  /** Notes in the journal what word `word` (buffer offset / 8) holds now: to be called before it is written. */
  willWrite(word: number): void {
    const n = this.journalLength;
    if (n === this.journalWord.length) this.#growJournal();
    this.journalWord[n] = word;
    this.journalLow[n] = this.u32[2 * word]!;
    this.journalHigh[n] = this.u32[2 * word + 1]!;
    this.journalLength = n + 1;
  }

  /** Takes back every write after the journal had `length` entries. */
  undoTo(length: number): void {
    for (let i = this.journalLength - 1; i >= length; i--) {
      const word = this.journalWord[i]!;
      this.u32[2 * word] = this.journalLow[i]!;
      this.u32[2 * word + 1] = this.journalHigh[i]!;
    }
    this.journalLength = length;
  }

  #growJournal(): void {
    const size = this.journalWord.length * 2;
    const grow = <T extends Int32Array | Uint32Array>(old: T, fresh: T): T => {
      fresh.set(old);
      return fresh;
    };
    this.journalWord = grow(this.journalWord, new Int32Array(size));
    this.journalLow = grow(this.journalLow, new Uint32Array(size));
    this.journalHigh = grow(this.journalHigh, new Uint32Array(size));
  }

  /** Reads `length` bytes from `address` for people and loaders; undefined where something is not mapped. */
  peek(address: bigint, length: number): Uint8Array | undefined {
    const out = new Uint8Array(length);
    for (let i = 0; i < length; i++) {
      const offset = this.translateAddress(address + BigInt(i));
      if (offset < 0) return undefined;
      out[i] = this.u8[offset]!;
    }
    return out;
  }

  /** Reads the 64-bit word at `address`; undefined where nothing is mapped. */
  peek64(address: bigint): bigint | undefined {
    const bytes = this.peek(address, 8);
    return bytes && new DataView(bytes.buffer).getBigUint64(0, true);
  }

  /** Stores bytes at `address` outside any journal: for loading, before the machine runs. */
  load(address: bigint, bytes: Uint8Array): void {
    bytes.forEach((byte, i) => {
      const offset = this.translateAddress(address + BigInt(i));
      if (offset < 0) throw new RangeError(`nothing is mapped at 0x${(address + BigInt(i)).toString(16)}`);
      this.u8[offset] = byte;
    });
  }

  load64(address: bigint, value: bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
    this.load(address, bytes);
  }
}

/** One number for the page of an address: exact, since it has 52 bits. */
function pageKey(high: number, low: number): number {
  return (high >>> 0) * 0x100000 + (low >>> 12);
}
