/** Debian's kernel and hypervisor: their symbols agree with the sources, and with the symbol table that they were built with. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { moduleFromElf } from '../../src/elf/module.js';
import { readElf } from '../../src/elf/reader.js';
import { InputError } from '../../src/errors.js';
import type { Module, ModuleSection, ModuleSymbol } from '../../src/image/module.js';
import { moduleFromKernel } from '../../src/kernel/module.js';
import { unpackKernel } from '../../src/kernel/unpack.js';
import { isBootImage, xenModule } from '../../src/kernel/xen.js';
import { downloaded } from '../support/downloads.js';

const sectionOf = (module: Module, { section }: ModuleSymbol): ModuleSection | undefined =>
  module.sections.find(({ name }) => name === section);

const addressOf = (module: Module, symbol: ModuleSymbol): bigint =>
  (sectionOf(module, symbol)?.address ?? 0n) + symbol.value;

function bytesAt(module: Module, address: bigint, size: number): Buffer {
  const section = module.sections.find(
    (s) => address >= s.address! && address + BigInt(size) <= s.address! + BigInt(s.data.length),
  );
  assert.ok(section, `no section holds 0x${address.toString(16)}`);
  const start = Number(address - section.address!);
  return Buffer.from(section.data.subarray(start, start + size));
}

test('Linux: kallsyms and the code agree with entry_64.o', async (t) => {
  const path = downloaded(t, 'linux/vmlinuz');
  const objectPath = downloaded(t, 'linux/entry_64.o');
  if (path === undefined || objectPath === undefined) return;
  const kernel = await moduleFromKernel(readFileSync(path), 'vmlinuz');
  assert.ok(kernel.symbols.length > 90_000, `${kernel.symbols.length} symbols`);

  const object = moduleFromElf(readElf(readFileSync(objectPath), 'entry_64.o'));
  const entry = object.sections.find(({ name }) => name === '.entry.text')!;
  const known = new Map<string, ModuleSymbol[]>();
  for (const symbol of kernel.symbols) known.set(symbol.name, [...(known.get(symbol.name) ?? []), symbol]);
  // The kernel holds the section as a whole: its symbols all lie as far from their addresses as the first.
  const named = object.symbols.filter((s) => s.section === entry.name && s.type !== 'section' && !/^\.L/.test(s.name));
  assert.ok(named.length > 60, `${named.length} symbols of entry_64.o`);
  const base = addressOf(kernel, known.get('asm_exc_nmi')![0]!) - named.find((s) => s.name === 'asm_exc_nmi')!.value;
  for (const symbol of named) {
    const addresses = (known.get(symbol.name) ?? []).map((s) => addressOf(kernel, s));
    assert.ok(addresses.includes(base + symbol.value), `${symbol.name}: ${addresses}`);
    if (symbol.binding === 'global') assert.equal(known.get(symbol.name)![0]!.binding, 'global', symbol.name);
  }
  // And its bytes are the object's, but for what is relocated.
  const shipped = bytesAt(kernel, base, entry.size);
  const own = Buffer.from(entry.data);
  for (const { offset } of entry.relocations) {
    shipped.fill(0, offset, offset + 4);
    own.fill(0, offset, offset + 4);
  }
  assert.equal(Buffer.compare(shipped, own), 0);
});

test('Linux: what lies where', async (t) => {
  const path = downloaded(t, 'linux/vmlinuz');
  if (path === undefined) return;
  const kernel = await moduleFromKernel(readFileSync(path), 'vmlinuz');
  const one = (name: string): ModuleSymbol => {
    const found = kernel.symbols.filter((s) => s.name === name);
    assert.equal(found.length, 1, name);
    return found[0]!;
  };
  const text = kernel.sections.find(({ name }) => name === '.text')!;
  assert.deepEqual([one('_text').section, one('_text').value, one('_text').type], ['.text', 0n, 'func']);
  assert.deepEqual([one('_etext').section, one('_etext').value], ['.text', BigInt(text.size)]);
  // Per-CPU data is linked at 0, where nothing else lies.
  for (const name of ['cpu_tss_rw', 'gdt_page', 'fixed_percpu_data']) {
    assert.deepEqual([one(name).section, one(name).binding], ['.data..percpu', 'global']);
  }
  assert.equal(one('gdt_page').size, 4096n);
  // Linux, arch/x86/include/asm/desc_defs.h, struct idt_data: vector, segment, bits, address; the first is #DE.
  const idts = one('def_idts');
  const entry = bytesAt(kernel, addressOf(kernel, idts), 24);
  assert.equal(entry.readUInt32LE(0), 0);
  assert.equal(entry.readBigUInt64LE(16), addressOf(kernel, one('asm_exc_divide_error')));
  const outside = kernel.symbols.filter(({ section }) => section === 'absolute').map(({ name }) => name);
  assert.deepEqual(outside, ['__end_rodata']);
});

test('Linux: an unpacked vmlinux, and one that is only compressed', async (t) => {
  const path = downloaded(t, 'linux/vmlinuz');
  if (path === undefined) return;
  const { bytes } = await unpackKernel(readFileSync(path), 'vmlinuz');
  const plain = await moduleFromKernel(bytes, 'vmlinux');
  const zipped = await moduleFromKernel(gzipSync(bytes, { level: 1 }), 'vmlinux.gz');
  assert.deepEqual(zipped.symbols, plain.symbols);
  assert.deepEqual(
    zipped.sections.map(({ name, address, size }) => `${name} ${address} ${size}`),
    plain.sections.map(({ name, address, size }) => `${name} ${address} ${size}`),
  );
});

/** `name address binding` of each symbol; the numbers of those that have the same name in the same file are left out. */
const described = (module: Module, symbols: readonly ModuleSymbol[]): string[] =>
  symbols.map((s) => `${s.name.replace(/#\d+$/, '')} ${addressOf(module, s).toString(16)} ${s.binding}`).sort();

test('Xen: the table agrees with the symbol table of xen-syms', async (t) => {
  const path = downloaded(t, 'xen/xen.gz');
  const symsPath = downloaded(t, 'xen/xen-syms');
  if (path === undefined || symsPath === undefined) return;
  const xen = await moduleFromKernel(readFileSync(path), 'xen.gz');
  const syms = moduleFromElf(readElf(readFileSync(symsPath), 'xen-syms'));
  // Two constants are no addresses; the name of the base lies before the image.
  const constants = new Set(['FIXADDR_X_SIZE', 'start_pa']);
  const own = described(xen, xen.symbols);
  const theirs = described(
    syms,
    syms.symbols.filter(({ name }) => !constants.has(name)),
  );
  assert.deepEqual(
    theirs.filter((symbol) => !own.includes(symbol)),
    [],
  );
  assert.deepEqual(
    own.filter((symbol) => !theirs.includes(symbol)),
    [],
  );
  assert.equal(own.length, theirs.length);
  assert.ok(own.length > 6000, `${own.length} symbols`);
  assert.equal(new Set(xen.symbols.map(({ name }) => name)).size, xen.symbols.length);
  assert.ok(xen.symbols.some(({ name, section }) => name === 'nmi' && section === '.text'));
});

test('Xen: the image holds the bytes of xen-syms, where they are code, data and read-only', async (t) => {
  const path = downloaded(t, 'xen/xen.gz');
  const symsPath = downloaded(t, 'xen/xen-syms');
  if (path === undefined || symsPath === undefined) return;
  const xen = await moduleFromKernel(readFileSync(path), 'xen.gz');
  const syms = moduleFromElf(readElf(readFileSync(symsPath), 'xen-syms'));
  assert.deepEqual(
    xen.sections.map(({ name, write, exec }) => `${name} ${write} ${exec}`),
    ['.text false true', '.rodata false false', '.init.text false true', '.data true false', '.bss true false'],
  );
  for (const section of syms.sections.filter(({ data }) => data.length > 0)) {
    const { name, address, data } = section;
    assert.equal(Buffer.compare(bytesAt(xen, address!, data.length), data), 0, name);
    const home = xen.sections.find((s) => address! >= s.address! && address! < s.address! + BigInt(s.size))!;
    assert.equal(home.exec, section.exec, name);
    // xen-syms calls .rodata writable, for its relocations were applied in it.
    if (!/^\.(rodata|note)/.test(name)) assert.equal(home.write, section.write, name);
  }
});

test('Xen: damaged images', async (t) => {
  const path = downloaded(t, 'xen/xen.gz');
  if (path === undefined) return;
  const image = gunzipSync(readFileSync(path));
  assert.ok(isBootImage(image));
  const damaged = (message: RegExp, damage: (bytes: Buffer) => Buffer | undefined): void => {
    const copy = Buffer.from(image);
    assert.throws(
      () => xenModule(damage(copy) ?? copy, 'xen'),
      (error) => {
        assert.ok(error instanceof InputError, String((error as Error).stack));
        assert.match(error.message, message);
        return true;
      },
    );
  };
  const programs = image.readUInt32LE(28);
  damaged(/^xen: ends after 40 bytes, within the ELF header of 52/, (b) => b.subarray(0, 40));
  damaged(/^xen: is a 32-bit ELF file for machine 40;/, (b) => void b.writeUInt16LE(40, 18));
  damaged(/^xen: the 2 program headers at offset 0x7fffffff end beyond/, (b) => void b.writeUInt32LE(0x7fffffff, 28));
  damaged(/^xen: has program headers of another size/, (b) => void b.writeUInt16LE(56, 42));
  damaged(/^xen: segment 0: .* do not fit the file/, (b) => void b.writeUInt32LE(0x7fffffff, programs + 16));
  damaged(/^xen: is a 32-bit ELF file with 0 loaded segments/, (b) => void b.writeUInt32LE(4, programs));
  damaged(/^xen: is a 32-bit ELF file without Xen's symbol table/, (b) => void b.fill(0, image.length >> 1));
  damaged(/^xen: Xen's symbol table: no table of \d+ offsets that lie in the image/, (b) => {
    // Another load address than the symbols have.
    b.writeUInt32LE(0x20000000, programs + 12);
    return undefined;
  });
  damaged(/^xen: the virtual addresses of this hypervisor cannot be told/, (b) => {
    for (let at = 0x80; at + 8 <= b.length; at += 8)
      if (b.readUInt32LE(at + 4) === 0xffff82d0) b.writeUInt32LE(0, at + 4);
    return undefined;
  });
});
