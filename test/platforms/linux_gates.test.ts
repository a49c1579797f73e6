/** The IDT of Linux kernels: from the tables of a whole kernel, and from the names of an object's entries. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Assembler } from '../../src/assembler/index.js';
import { InputError } from '../../src/errors.js';
import type { Module } from '../../src/image/module.js';
import { machineFor } from '../../src/platforms/boot.js';
import { LINUX } from '../../src/platforms/linux.js';
import { linuxGates } from '../../src/platforms/linux_gates.js';
import type { VectorEntry } from '../../src/platforms/platform.js';
import { readBinaries } from '../../src/platforms/read_module.js';
import { buildSubject } from '../../src/platforms/subject.js';
import { CodeFacts } from '../../src/platforms/system_code.js';
import { profileNamed } from '../../src/profiles/profile.js';
import { downloaded } from '../support/downloads.js';

const TEXT = 0xffffffff81000000n;
const TABLES = 0xffffffff82000000n;

interface Gate {
  readonly vector: number;
  readonly bits: number;
  readonly address: bigint;
  readonly segment?: number;
}

/** A kernel of 256 NOPs with these tables, and functions at these addresses. */
function kernel(
  tables: Readonly<Record<string, readonly Gate[]>>,
  functions: Readonly<Record<string, number>>,
): Module {
  const all = Object.entries(tables);
  const data = new Uint8Array(24 * all.reduce((n, [, gates]) => n + gates.length, 0));
  const view = new DataView(data.buffer);
  const symbols: Module['symbols'][number][] = [];
  let at = 0;
  for (const [name, gates] of all) {
    const place = { section: '.init.data', value: BigInt(at), size: BigInt(24 * gates.length) } as const;
    symbols.push({ name, ...place, binding: 'local', type: 'object' });
    for (const { vector, bits, address, segment = 0x10 } of gates) {
      view.setUint32(at, vector, true);
      view.setUint32(at + 4, segment, true);
      view.setUint16(at + 8, bits, true);
      view.setBigUint64(at + 16, address, true);
      at += 24;
    }
  }
  for (const [name, offset] of Object.entries(functions)) {
    const place = { section: '.text', value: BigInt(offset), size: 0n } as const;
    symbols.push({ name, ...place, binding: 'global', type: 'func' });
  }
  const section = { align: 16, alloc: true, write: false, relocations: [], lines: [] };
  return {
    name: 'vmlinux',
    sections: [
      { ...section, name: '.text', exec: true, address: TEXT, size: 256, data: new Uint8Array(256).fill(0x90) },
      { ...section, name: '.init.data', exec: false, address: TABLES, size: data.length, data },
    ],
    symbols,
    sources: new Map(),
  };
}

const gatesOf = (module: Module): ReadonlyMap<number, VectorEntry> =>
  new Map(linuxGates(LINUX, new CodeFacts([module])).map((entry) => [entry.vector, entry]));

/** Bits of struct idt_data: present, an interrupt gate. */
const INTERRUPT_GATE = 0x8e00;
const nmi: Gate = { vector: 2, bits: INTERRUPT_GATE | 2, address: TEXT };

test('def_idts says handlers, IST slots and levels, and that there is no gate for anything else', () => {
  const gates = gatesOf(
    kernel(
      { def_idts: [nmi, { vector: 4, bits: INTERRUPT_GATE | 0x6000, address: TEXT + 16n }] },
      { asm_exc_nmi: 0, asm_exc_overflow: 16 },
    ),
  );
  assert.deepEqual(gates.get(2), { vector: 2, symbols: ['asm_exc_nmi'], ist: 2, dpl: 0 });
  assert.deepEqual(gates.get(4), { vector: 4, symbols: ['asm_exc_overflow'], ist: 0, dpl: 3 });
  assert.deepEqual(
    [...gates.keys()].filter((vector) => vector < 32),
    [2, 4],
  );
});

test('a later table is loaded over an earlier one', () => {
  const at = (offset: bigint, ist: number): Gate => ({ vector: 1, bits: INTERRUPT_GATE | ist, address: TEXT + offset });
  const functions = { asm_exc_nmi: 0, early: 16, main: 32, late: 48 };
  const tables = { early_idts: [at(16n, 0)], def_idts: [nmi, at(32n, 3)] };
  assert.deepEqual(gatesOf(kernel(tables, functions)).get(1)?.symbols, ['main']);
  const late = gatesOf(kernel({ ...tables, ist_idts: [at(48n, 4)] }, functions)).get(1);
  assert.deepEqual([late?.symbols, late?.ist], [['late'], 4]);
});

test('what is no gate to a function is refused with its place', () => {
  const wrong: Gate[] = [
    { ...nmi, vector: 256 },
    { ...nmi, bits: 0x8f02 },
    { ...nmi, bits: 0x0e02 },
    { ...nmi, address: TEXT + 1n },
    { ...nmi, segment: 0x18 },
  ];
  for (const gate of wrong) {
    assert.throws(
      () => gatesOf(kernel({ def_idts: [nmi, gate] }, { asm_exc_nmi: 0 })),
      /^InputError: vmlinux: def_idts\+0x18: vector .* is no interrupt gate/,
    );
  }
  const none = kernel({ def_idts: [{ ...nmi, vector: 3 }] }, { asm_exc_nmi: 0 });
  assert.throws(() => gatesOf(none), InputError);
});

const assembler = await Assembler.create();

/** Stubs as arch/x86/include/asm/idtentry.h makes them, each `size` bytes long, from vector 0x20 to 0xeb and from there on. */
function stubs(size: number, begin: string): VectorEntry[] {
  const row = (name: string, from: number, to: number): string =>
    `	.globl ${name}\n${name}:\n	.set vector, ${from}\n	.rept ${to - from}\n0:	${begin}\n	.byte 0x6a, vector\n	jmp common\n` +
    `	.fill 0b + ${size} - ., 1, 0xcc\n	.set vector, vector + 1\n	.endr\n	.size ${name}, . - ${name}\n`;
  const text = `	.text\ncommon:	nop\n	.balign 16\n${row('irq_entries_start', 0x20, 0xec)}${row('spurious_entries_start', 0xec, 0x100)}`;
  return [...linuxGates(LINUX, new CodeFacts([assembler.assembleText(text, 'stubs.S')]))];
}

test('each external interrupt has a stub of its own, 8 bytes long, or 16 with ENDBR64', () => {
  for (const [size, begin] of [
    [8, ''],
    [16, 'endbr64'],
  ] as const) {
    const gates = new Map(stubs(size, begin).map((entry) => [entry.vector, entry]));
    const place = (vector: number): unknown[] => [gates.get(vector)?.symbols, gates.get(vector)?.offset];
    assert.deepEqual(place(0x20), [['irq_entries_start'], 0]);
    assert.deepEqual(place(0xeb), [['irq_entries_start'], 0xcb * size]);
    assert.deepEqual(place(0xec), [['spurious_entries_start'], 0]);
    assert.deepEqual(place(0xff), [['spurious_entries_start'], 19 * size]);
  }
});

test("the machine's IDT is what the shipped kernel's table says, and follows a change of it", async (t) => {
  const file = downloaded(t, 'linux/vmlinuz');
  if (file === undefined) return;
  const binaries = await readBinaries([file]);
  const gate = (modules: ReadonlyMap<string, Module>): readonly [ist: number, handler: bigint, nmi: bigint] => {
    const subject = buildSubject(assembler, { files: [file], platform: LINUX, context: 'kernel' }, modules);
    const { memory } = machineFor(subject, profileNamed('intel'));
    const low = memory.peek64(LINUX.idtBase + 32n)!;
    const high = memory.peek64(LINUX.idtBase + 40n)!;
    const handler = (low & 0xffffn) | ((low >> 32n) & 0xffff0000n) | (high << 32n);
    return [Number((low >> 32n) & 7n), handler, subject.image.globals.get('asm_exc_nmi')!.address];
  };
  const [ist, handler, address] = gate(binaries);
  assert.deepEqual([ist, handler], [2, address]);

  const [name, kernelModule] = [...binaries][0]!;
  const table = kernelModule.symbols.find((s) => s.name === 'def_idts')!;
  const changed: Module = {
    ...kernelModule,
    sections: kernelModule.sections.map((section) => {
      if (section.name !== table.section) return section;
      const data = new Uint8Array(section.data);
      const view = new DataView(data.buffer);
      for (let at = Number(table.value); at < Number(table.value + table.size); at += 24) {
        if (view.getUint32(at, true) === 2) data[at + 8] = (data[at + 8]! & ~7) | 4;
      }
      return { ...section, data };
    }),
  };
  assert.equal(gate(new Map([[name, changed]]))[0], 4);
});
