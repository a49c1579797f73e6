/**
 * Guest memory: one host buffer, mapped into the engine at the virtual addresses that the code uses, and seen by
 * TypeScript as typed arrays on the same bytes. Every write goes through, or is announced to, the journal, so that a
 * search can take it back word by word.
 *
 * Address spaces (SDM vol. 3, 4.2 and 4.6): CR3 selects one of those that were declared; a region says where in them it is
 * mapped, and with which rights. What is mapped at an address is the same memory in each of them. There are no page
 * tables in memory, and translations are never stale: a new CR3 is in force with the next access.
 *
 * SMRAM is mapped in system-management mode only, whatever CR3 is: each address space is there twice, with it and without.
 */
import { allocateShared, type Unicorn } from './unicorn.js';

export const PAGE_SIZE = 4096;

/** Rights of a page, as bits: writable, executable, for user mode. On a DEVICE page lie registers of a device: see Device. */
export const Perm = { WRITE: 1, EXEC: 2, USER: 4, DEVICE: 8 } as const;

export interface Region {
  readonly name: string;
  /** Page-aligned. */
  readonly address: bigint;
  /** Bytes, a multiple of the page size. */
  readonly size: number;
  readonly perms: number;
  /** Rights by the names of the address spaces that map it; without this, all do, with `perms`. */
  readonly spaces?: Readonly<Record<string, number>>;
  /** Physical address of its first byte, a multiple of the page size, for those who name memory by it (VMX). */
  readonly physical?: bigint;
  /** State of a device: it has words, a journal and a place in every snapshot, but no guest address. */
  readonly hidden?: true;
  /** SMRAM: mapped in system-management mode only. */
  readonly smram?: true;
  /** Of an executable, much of which is never used: a page of data is filled when it is. Code is never written, so no snapshot has it. */
  readonly onUse?: true;
}

/** What memory holds: all but the regions that are filled on use, and of those the pages that have been used, by buffer offset. */
export interface MemorySnapshot {
  readonly bytes: Uint8Array;
  readonly used: ReadonlyMap<number, Uint8Array>;
}

/** Page tables, as CR3 names them. */
export interface AddressSpace {
  readonly name: string;
  /** The physical address in CR3, 4 KiB aligned. The bits below it (PCID, PWT, PCD) and bit 63 select nothing. */
  readonly cr3: bigint;
}

/** Number of entries of the direct-mapped translation cache. */
const TLB_SIZE = 64;
/** Among the rights of a page: it is executable in some address space, so it must not be written in any. */
export const CODE = 0x40;
/** In place of the rights of a page that is not mapped. */
const UNMAPPED = 0x80;
const CR3_ADDRESS_LOW = ~0xfff;
const CR3_ADDRESS_HIGH = 0x7fffffff;

/** What an address space maps, and its translation cache. */
class Mapping {
  /** Rights of each page of the buffer, or UNMAPPED. */
  readonly perms: Uint8Array;
  readonly tlbHigh = new Int32Array(TLB_SIZE).fill(-1);
  readonly tlbLow = new Int32Array(TLB_SIZE).fill(-1);
  readonly tlbOffset = new Int32Array(TLB_SIZE);
  readonly cr3High: number;
  readonly cr3Low: number;

  constructor(
    readonly name: string,
    cr3: bigint,
    pages: number,
  ) {
    this.perms = new Uint8Array(pages).fill(UNMAPPED);
    this.cr3High = Number(cr3 >> 32n) & CR3_ADDRESS_HIGH;
    this.cr3Low = Number(cr3 & 0xffffffffn) & CR3_ADDRESS_LOW;
  }
}

/** For a machine in which CR3 selects nothing. */
export const ONE_SPACE: readonly AddressSpace[] = [{ name: 'all', cr3: 0n }];

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
  /** What a page that is filled on use begins with, by its buffer offset. */
  readonly #contents = new Map<number, { readonly at: number; readonly bytes: Uint8Array }[]>();
  /** Which of them have been used. */
  readonly #used = new Set<number>();
  /** Where in the buffer the regions begin that are filled on use, and behind them code that no snapshot has. */
  readonly #firstOnUse: number;
  readonly #firstConstant: number;
  readonly #mappings: readonly Mapping[];
  /** The same with SMRAM. */
  readonly #mappingsInSmm: readonly Mapping[];
  // The mapping that is selected, and its parts.
  #mapping: Mapping;
  #pagePerms: Uint8Array;
  #tlbHigh: Int32Array;
  #tlbLow: Int32Array;
  #tlbOffset: Int32Array;

  /** `spaces`: the address spaces that CR3 can select, the one at the start first; without any, CR3 selects nothing. */
  constructor(
    regions: readonly Region[],
    readonly spaces: readonly AddressSpace[] = ONE_SPACE,
  ) {
    this.regions = [...regions].sort((a, b) => (a.address < b.address ? -1 : 1));
    let total = 0;
    const place = (onUse: boolean, code: boolean): void =>
      this.regions.forEach((region, i) => {
        if ((region.onUse ?? false) !== onUse || (onUse && isCode(region) !== code)) return;
        this.#offsets[i] = total;
        total += region.size;
      });
    place(false, false);
    this.#firstOnUse = total;
    place(true, false);
    // Code is there from the start: the engine translates the target of a branch before anybody looks at it.
    this.#firstConstant = total;
    place(true, true);
    const shared = allocateShared(total, this.#firstOnUse);
    this.#hostAddress = shared.address;
    this.u8 = new Uint8Array(shared.buffer);
    // A page of code may have less in it than the page is long.
    this.u8.fill(0, this.#firstConstant);
    this.u32 = new Uint32Array(shared.buffer);
    this.view = new DataView(shared.buffer);
    this.words = total / 8;
    const mappings = (): Mapping[] => spaces.map(({ name, cr3 }) => new Mapping(name, cr3, total / PAGE_SIZE));
    this.#mappings = mappings();
    this.#mappingsInSmm = mappings();
    this.#mapping = this.#mappings[0]!;
    this.#pagePerms = this.#mapping.perms;
    this.#tlbHigh = this.#mapping.tlbHigh;
    this.#tlbLow = this.#mapping.tlbLow;
    this.#tlbOffset = this.#mapping.tlbOffset;
    this.regions.forEach((region, i) => {
      if (region.hidden) return;
      const code = isCode(region) ? CODE : 0;
      const mapped = region.smram ? this.#mappingsInSmm : [...this.#mappings, ...this.#mappingsInSmm];
      for (let at = 0; at < region.size; at += PAGE_SIZE) {
        const address = BigInt.asUintN(64, region.address + BigInt(at));
        const offset = this.#offsets[i]! + at;
        this.#pages.set(pageKey(Number(address >> 32n), Number(address & 0xffffffffn)), offset);
        for (const { name, perms } of mapped) {
          const rights = region.spaces ? region.spaces[name] : region.perms;
          if (rights !== undefined) perms[offset / PAGE_SIZE] = rights | code;
        }
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
      if (region.hidden || !isCode(region) || end === 0n || this.translateAddress(end) >= 0 || guarded.has(end))
        continue;
      engine.mem_map_ptr(end, PAGE_SIZE, allocateShared(PAGE_SIZE).address);
      guarded.add(end);
    }
  }

  /** The name of the address space that is selected. */
  get space(): string {
    return this.#mapping.name;
  }

  /**
   * Makes the address space that a CR3 value selects, with SMRAM if `smm`, the current one; false, and nothing changes, if
   * there is none.
   */
  selectSpace(cr3High: number, cr3Low: number, smm = false): boolean {
    const high = cr3High & CR3_ADDRESS_HIGH;
    const low = cr3Low & CR3_ADDRESS_LOW;
    const mappings = smm ? this.#mappingsInSmm : this.#mappings;
    const mapping =
      this.spaces === ONE_SPACE ? mappings[0] : mappings.find((m) => m.cr3Low === low && m.cr3High === high);
    if (mapping === undefined) return false;
    this.#mapping = mapping;
    this.#pagePerms = mapping.perms;
    this.#tlbHigh = mapping.tlbHigh;
    this.#tlbLow = mapping.tlbLow;
    this.#tlbOffset = mapping.tlbOffset;
    return true;
  }

  /**
   * The buffer offset of the byte at guest address high:low, or -1 if the current address space maps nothing there; sets
   * `perms`.
   */
  translate(high: number, low: number): number {
    const page = low & ~0xfff;
    const slot = ((low >>> 12) ^ high) & (TLB_SIZE - 1);
    let offset: number;
    if (this.#tlbLow[slot] === page && this.#tlbHigh[slot] === (high | 0)) {
      offset = this.#tlbOffset[slot]!;
    } else {
      const found = this.#pageAt(high, low);
      if (found === undefined || this.#pagePerms[found >>> 12] === UNMAPPED) return -1;
      offset = found;
      this.#tlbHigh[slot] = high | 0;
      this.#tlbLow[slot] = page;
      this.#tlbOffset[slot] = offset;
    }
    this.perms = this.#pagePerms[offset >>> 12]!;
    return offset + (low & 0xfff);
  }

  /** The same for those who watch, and for accesses to SMRAM that are part of an SMI: whatever is selected, -1 where nothing is. */
  locate(high: number, low: number): number {
    const offset = this.translate(high, low);
    if (offset >= 0) return offset;
    const found = this.#pageAt(high, low);
    return found === undefined ? -1 : found + (low & 0xfff);
  }

  /** The buffer offset of the page of a guest address, with its contents in it. */
  #pageAt(high: number, low: number): number | undefined {
    const found = this.#pages.get(pageKey(high, low));
    if (found !== undefined && this.#isOnUse(found) && !this.#used.has(found)) this.#fill(found);
    return found;
  }

  #isOnUse(page: number): boolean {
    return page >= this.#firstOnUse && page < this.#firstConstant;
  }

  #fill(page: number): void {
    this.#used.add(page);
    this.u8.fill(0, page, page + PAGE_SIZE);
    for (const { at, bytes } of this.#contents.get(page) ?? []) this.u8.set(bytes, at);
  }

  translateAddress(address: bigint): number {
    return this.locate(Number(BigInt.asUintN(64, address) >> 32n), Number(address & 0xffffffffn));
  }

  /** The guest address of a buffer offset. */
  addressOf(offset: number): bigint {
    const i = this.regions.findIndex(({ size }, n) => offset >= this.#offsets[n]! && offset < this.#offsets[n]! + size);
    return BigInt.asUintN(64, this.regions[i]!.address + BigInt(offset - this.#offsets[i]!));
  }

  /** The buffer offset of the region with this name; -1 if there is none. */
  offsetOf(name: string): number {
    return this.#offsets[this.regions.findIndex((region) => region.name === name)] ?? -1;
  }

  /** The first word (buffer offset / 8) of the hidden region with this name; -1 if there is none. */
  hiddenWord(name: string): number {
    const i = this.regions.findIndex((region) => region.hidden && region.name === name);
    return i < 0 ? -1 : this.#offsets[i]! / 8;
  }

  /** The word (buffer offset / 8) at a physical address that is a multiple of 8; -1 where no region says that it is there. */
  physicalWord(address: bigint): number {
    const i = this.regions.findIndex(
      ({ physical, size }) => physical !== undefined && address >= physical && address < physical + BigInt(size),
    );
    return i < 0 ? -1 : (this.#offsets[i]! + Number(address - this.regions[i]!.physical!)) / 8;
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

  snapshot(): MemorySnapshot {
    const page = (at: number): [number, Uint8Array] => [at, this.u8.slice(at, at + PAGE_SIZE)];
    return { bytes: this.u8.slice(0, this.#firstOnUse), used: new Map([...this.#used].map(page)) };
  }

  restore({ bytes, used }: MemorySnapshot): void {
    this.u8.set(bytes);
    for (const at of this.#used) {
      const page = used.get(at);
      if (page) this.u8.set(page, at);
      else this.#fill(at);
    }
    this.journalLength = 0;
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

  /**
   * Stores bytes at `address` outside any journal: for loading, before the machine runs. What goes to a region that is filled on use is
   * kept, not copied, until then.
   */
  load(address: bigint, bytes: Uint8Array): void {
    this.#eachPage(address, bytes, (at, part) => {
      const page = at & -PAGE_SIZE;
      if (!this.#isOnUse(page) || this.#used.has(page)) {
        this.u8.set(part, at);
        return;
      }
      const contents = this.#contents.get(page);
      if (contents) contents.push({ at, bytes: part });
      else this.#contents.set(page, [{ at, bytes: part }]);
    });
  }

  /** Hands out the part of each page that the bytes at `address` cover, with its buffer offset. */
  #eachPage(address: bigint, bytes: Uint8Array, body: (offset: number, part: Uint8Array) => void): void {
    for (let done = 0; done < bytes.length; ) {
      const at = BigInt.asUintN(64, address + BigInt(done));
      const page = this.#pages.get(pageKey(Number(at >> 32n), Number(at & 0xffffffffn)));
      if (page === undefined) throw new RangeError(`nothing is mapped at 0x${at.toString(16)}`);
      const inPage = Number(at & BigInt(PAGE_SIZE - 1));
      const length = Math.min(bytes.length - done, PAGE_SIZE - inPage);
      body(page + inPage, bytes.subarray(done, done + length));
      done += length;
    }
  }

  load64(address: bigint, value: bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
    this.load(address, bytes);
  }
}

function isCode(region: Region): boolean {
  return Object.values(region.spaces ?? { all: region.perms }).some((perms) => (perms & Perm.EXEC) !== 0);
}

/** One number for the page of an address: exact, since it has 52 bits. */
function pageKey(high: number, low: number): number {
  return (high >>> 0) * 0x100000 + (low >>> 12);
}
