/** Symbols that have been written into a kernel in each form that there was come out again. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { InputError } from '../../src/errors.js';
import { type AddressForm, kallsyms, type LoadedSection } from '../../src/kernel/kallsyms.js';
import { findTokenTable } from '../../src/kernel/token_table.js';
import { kernel, RODATA, someSymbols, TEXT, TEXT_SIZE } from './kernels.js';
import { type Form, symbolTable, tokens } from './tables.js';

const FORMS: readonly (readonly [name: string, form: Form, is: AddressForm])[] = [
  [
    'up to 4.5: addresses, markers of 8 bytes',
    { order: 'before', addresses: 'absolute', markerSize: 8, sequences: false, uleb128: false, align: 8 },
    'absolute',
  ],
  [
    'from 4.6: a base, markers of 8 bytes',
    { order: 'before', addresses: 'percpu', markerSize: 8, sequences: false, uleb128: false, align: 8 },
    'base-relative with absolute per-CPU',
  ],
  [
    'from 4.20: markers of 4 bytes',
    { order: 'before', addresses: 'percpu', markerSize: 4, sequences: false, uleb128: false, align: 8 },
    'base-relative with absolute per-CPU',
  ],
  [
    'without absolute per-CPU symbols',
    { order: 'before', addresses: 'base', markerSize: 4, sequences: false, uleb128: true, align: 8 },
    'base-relative',
  ],
  [
    '6.2: sequences, long names',
    { order: 'before', addresses: 'percpu', markerSize: 4, sequences: true, uleb128: true, align: 8 },
    'base-relative with absolute per-CPU',
  ],
  [
    '6.2 without a base',
    { order: 'before', addresses: 'absolute', markerSize: 4, sequences: true, uleb128: true, align: 8 },
    'absolute',
  ],
  [
    'from 6.4: addresses behind the tokens',
    { order: 'behind', addresses: 'percpu', markerSize: 4, sequences: true, uleb128: true, align: 8 },
    'base-relative with absolute per-CPU',
  ],
  [
    '6.4 without a base',
    { order: 'behind', addresses: 'absolute', markerSize: 4, sequences: true, uleb128: true, align: 8 },
    'absolute',
  ],
  [
    'from 6.15: a base, no per-CPU symbols at 0',
    { order: 'behind', addresses: 'base', markerSize: 4, sequences: true, uleb128: true, align: 8 },
    'base-relative',
  ],
  [
    'from 7.0: offsets from their own place',
    { order: 'behind', addresses: 'place', markerSize: 4, sequences: true, uleb128: true, align: 8 },
    'place-relative',
  ],
];

for (const [name, form, is] of FORMS) {
  for (const count of [257, 511, 512, 513, 6000]) {
    test(`${name}: ${count} symbols`, () => {
      const percpu = form.addresses === 'percpu' || form.addresses === 'absolute';
      // Lengths of one byte cannot say more than 255; those of 128 and more are then not taken for two bytes.
      const entries = someSymbols(count, percpu, form.uleb128 ? 400 : 150);
      const found = kallsyms(
        kernel((start) => symbolTable(entries, form, start, TEXT)),
        'vmlinux',
      );
      assert.equal(found?.form, is);
      const bases = { '.text': TEXT, '.data..percpu': 0n } as Readonly<Record<string, bigint>>;
      assert.deepEqual(
        found?.symbols.map((s) => `${bases[s.section]! + s.value} ${s.name}`),
        entries.map((e) => `${e.address} ${e.name}`),
      );
      const bindings = { T: 'global', A: 'global', t: 'local', W: 'weak' } as Readonly<Record<string, string>>;
      assert.deepEqual(
        found?.symbols.map(({ binding }) => binding),
        entries.map(({ letter }) => bindings[letter]),
      );
    });
  }
}

test('sizes reach to the next symbol, or to the end of the section', () => {
  const entries = someSymbols(300, false).map((entry, i) => ({ ...entry, address: TEXT + BigInt(16 * (i >> 1)) }));
  entries.push({ address: TEXT + BigInt(TEXT_SIZE), letter: 'T', name: '_etext' });
  const found = kallsyms(
    kernel((start) => symbolTable(entries, FORMS[6]![1], start, TEXT)),
    'vmlinux',
  )!;
  assert.deepEqual(
    found.symbols.slice(0, 4).map(({ size }) => size),
    [16n, 16n, 16n, 16n],
  );
  assert.deepEqual(
    found.symbols.slice(-3).map(({ name, section, size }) => [name, section, size]),
    [
      ...entries.slice(-3, -1).map(({ name }) => [name, '.text', BigInt(TEXT_SIZE - 16 * 149)]),
      ['_etext', '.text', 0n],
    ],
  );
});

test('of several local symbols of one name none has it alone', () => {
  const entries = someSymbols(300, false).map((entry) => ({ ...entry, letter: 't' }));
  for (const [i, name, letter] of [
    [10, 'twice', 't'],
    [20, 'twice', 't'],
    [30, 'shared', 'T'],
    [40, 'shared', 't'],
  ] as const) {
    entries[i] = { ...entries[i]!, name, letter };
  }
  const found = kallsyms(kernel((start) => symbolTable(entries, FORMS[6]![1], start, TEXT)), 'vmlinux')!; // biome-ignore format: one line
  assert.deepEqual(
    [10, 20, 30, 40].map((i) => found.symbols[i]!.name),
    ['twice#2', 'twice#3', 'shared', 'shared#2'],
  );
});

test('no kallsyms', () => {
  assert.equal(
    kallsyms(
      kernel(() => Buffer.alloc(0)),
      'vmlinux',
    ),
    undefined,
  );
});

test('tokens', () => {
  const [{ data }] = kernel((start) => symbolTable(someSymbols(300, false), FORMS[6]![1], start, TEXT)) as [
    LoadedSection,
  ];
  assert.deepEqual(findTokenTable(data, 0)?.tokens, tokens());
});

test('tokens whose last does not end before the index', () => {
  const table = symbolTable(someSymbols(300, false), FORMS[6]![1], RODATA, TEXT);
  const { start, end } = findTokenTable(table, 0)!;
  const length = tokens().join('.').length;
  table.fill(0x41, start + length, end - 512);
  assert.equal(findTokenTable(table, 0), undefined);
});

/** Where the parts of a table of 6.4 stand, in its bytes. */
const COUNT = 600;
const LATE = FORMS[6]![1];
const whole = (start: bigint): Buffer => symbolTable(someSymbols(COUNT, true), LATE, start, TEXT);

const DAMAGES: readonly (readonly [name: string, damage: (table: Buffer, at: Parts) => void, message: RegExp])[] = [
  ['a count that cannot be', (b) => b.writeUInt32LE(0x7fffffff, 0), /no names that markers lead to stand before it/],
  ['another count', (b) => b.writeUInt32LE(COUNT + 256, 0), /no names that markers lead to/],
  [
    'a marker out of range',
    (b, { markers }) => b.writeUInt32LE(0x00ffffff, markers + 4),
    /no names that markers lead to/,
  ],
  [
    'a marker beside a name',
    (b, { markers }) => b.writeUInt32LE(b.readUInt32LE(markers + 4) + 1, markers + 4),
    /no names/,
  ],
  ['a name beyond the table', (b, { markers }) => b.writeUInt8(0x7f, b.readUInt32LE(markers + 8) + 8), /no names/],
  ['a name without a letter', (b) => b.writeUInt8(0x35, 9), /no names that markers lead to/],
  ['a name of no length', (b) => b.writeUInt8(0, 8), /no names that markers lead to/],
  ['a base that is none', (b, { base }) => b.writeBigUInt64LE(0x1234n, base), /no table of 600 addresses that lie in/],
  ['another base', (b, { base }) => b.writeBigUInt64LE(TEXT + 0x10000000n, base), /no table of 600 addresses/],
  ['addresses out of order', (b, { offsets }) => b.writeInt32LE(-5, offsets), /no table of 600 addresses/],
];

interface Parts {
  readonly markers: number;
  readonly offsets: number;
  readonly base: number;
}

for (const [name, damage, message] of DAMAGES) {
  test(`damaged: ${name}`, () => {
    const table = whole(RODATA);
    const found = findTokenTable(table, 0)!;
    const offsets = (found.end + 7) & ~7;
    // 600 names have 3 markers of 4 bytes, and 4 bytes to align what follows.
    damage(table, { markers: found.start - 16, offsets, base: offsets + 4 * COUNT });
    assert.throws(
      () => kallsyms(kernel(() => table), 'vmlinux'), // biome-ignore format: one line
      (error) => {
        assert.ok(error instanceof InputError, String((error as Error).stack));
        assert.match(error.message, message);
        assert.match(
          error.message,
          /^vmlinux: section \.rodata: kallsyms \(token table at 0xffffffff82[0-9a-f]+\): [^\n]+$/,
        );
        return true;
      },
    );
  });
}

test('damaged: tokens that do not end', () => {
  const table = whole(RODATA);
  const { start } = findTokenTable(table, 0)!;
  table.fill(0x41, start + 100, start + 110);
  // Without tokens nothing says that there is a table.
  assert.equal(kallsyms(kernel(() => table), 'vmlinux'), undefined); // biome-ignore format: one line
});
