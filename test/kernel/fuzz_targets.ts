/** Damaged bzImages, compressed files, and symbol tables of kernels. */
import { kallsyms } from '../../src/kernel/kallsyms.js';
import { findTokenTable } from '../../src/kernel/token_table.js';
import { unpackKernel } from '../../src/kernel/unpack.js';
import { xenModule } from '../../src/kernel/xen.js';
import type { Field, Seed, Target } from '../support/fuzz.js';
import { kernel, RODATA, someSymbols, TEXT, xenImage } from './kernels.js';
import { bzImage, compressed, METHODS, type MethodName, PAYLOAD_AT, payload, piped, sample } from './packers.js';
import { type Form, symbolTable } from './tables.js';

/** Large enough for several blocks where a packer can be told to make them. */
const BYTES = sample(60_000);
const BOOT_HEADER: readonly Field[] = [
  { offset: 0x1f1, size: 1 },
  { offset: 0x1fe, size: 2 },
  { offset: 0x202, size: 4 },
  { offset: 0x206, size: 2 },
  { offset: 0x248, size: 4 },
  { offset: 0x24c, size: 4 },
];

/** Each byte of the first and the last of what is packed: headers, and what stands at the end. */
function ends(from: number, to: number): Field[] {
  const some = Math.min(64, to - from);
  const at = [
    ...Array.from({ length: some }, (_, i) => from + i),
    ...Array.from({ length: some }, (_, i) => to - 1 - i),
  ];
  return at.map((offset) => ({ offset, size: 1 }));
}

/** Without checksums, damage comes to where it is not expected. */
const UNCHECKED: Partial<Record<MethodName, readonly [string, ...string[]]>> = {
  xz: ['xz', '--check=none', '--block-size=20000', '--x86', '--lzma2', '-c'],
  zstd: ['zstd', '-q', '--no-check', '-c'],
  lzo: ['lzop', '-F', '-c'],
};

function packedSeeds(method: MethodName): () => readonly Seed[] {
  let known: readonly Seed[] | undefined;
  return () => {
    if (known) return known;
    const whole = compressed(method, BYTES);
    if (!whole) throw new Error(`there is no program for ${method}: run make setup conformance`);
    const image = bzImage(payload(method, whole, BYTES.length));
    const end = PAYLOAD_AT + whole.length;
    const size: Field = { offset: method === 'gzip' ? end - 4 : end, size: 4 };
    const seeds: Seed[] = [
      { name: 'bzImage', bytes: image, fields: [...BOOT_HEADER, size, ...ends(PAYLOAD_AT, end)] },
      { name: 'by itself', bytes: whole, fields: ends(0, whole.length) },
    ];
    const unchecked = UNCHECKED[method] && piped(BYTES, UNCHECKED[method]);
    if (unchecked) seeds.push({ name: 'without checksums', bytes: unchecked, fields: ends(0, unchecked.length) });
    known = seeds;
    return known;
  };
}

const PACKED = METHODS.map((method): Target => {
  const open = async (bytes: Uint8Array): Promise<void> => void (await unpackKernel(bytes, 'damaged'));
  return { name: method, seeds: packedSeeds(method), open };
});

const FORMS: readonly Form[] = [
  { order: 'before', addresses: 'absolute', markerSize: 8, sequences: false, uleb128: false, align: 8 },
  { order: 'before', addresses: 'percpu', markerSize: 4, sequences: true, uleb128: true, align: 8 },
  { order: 'behind', addresses: 'percpu', markerSize: 4, sequences: true, uleb128: true, align: 8 },
  { order: 'behind', addresses: 'place', markerSize: 4, sequences: true, uleb128: true, align: 8 },
];

/** The first numbers of each table, and the lengths of the first names. */
function tableFields(bytes: Buffer): Field[] {
  const { start, end } = findTokenTable(bytes, 0)!;
  const places = (from: number, count: number, size: Field['size']): Field[] =>
    Array.from({ length: count }, (_, i) => ({ offset: from + i * size, size }));
  return [
    ...places(0, 32, 4),
    ...places(start - 32, 8, 4),
    ...places(start, 16, 1),
    ...places(end - 512, 16, 2),
    ...places(end - 16, 8, 2),
    ...places(end, 32, 4),
  ].filter(({ offset, size }) => offset >= 0 && offset + size <= bytes.length);
}

const KALLSYMS: Target = {
  name: 'kallsyms',
  seeds: () =>
    FORMS.map((form) => {
      const percpu = form.addresses === 'percpu' || form.addresses === 'absolute';
      const bytes = symbolTable(someSymbols(600, percpu, 300), form, RODATA, TEXT);
      return { name: `${form.order} ${form.addresses}`, bytes, fields: tableFields(bytes) };
    }),
  open: (bytes) => void kallsyms(kernel(() => Buffer.from(bytes)), 'damaged'), // biome-ignore format: one line
};

const XEN: Target = {
  name: 'xen',
  seeds: () => {
    const bytes = xenImage(0xffff82d040000000n);
    const header = [16, 18, 42, 44].map((offset): Field => ({ offset, size: 2 }));
    const program = [28, ...Array.from({ length: 8 }, (_, i) => 52 + 4 * i)].map(
      (offset): Field => ({ offset, size: 4 }),
    );
    return [{ name: 'image', bytes, fields: [...header, ...program, ...program, ...tableFields(bytes)] }];
  },
  open: (bytes) => void xenModule(bytes, 'damaged'),
};

export const KERNEL_TARGETS: readonly Target[] = [...PACKED, KALLSYMS, XEN];
