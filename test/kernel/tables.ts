/** Writes symbol tables as Linux (scripts/kallsyms.c) and Xen (tools/symbols.c) do, in each form that they have had. */

export interface Entry {
  readonly address: bigint;
  /** As nm prints it. */
  readonly letter: string;
  readonly name: string;
}

export interface Form {
  /** Up to 6.3 the addresses stand before the names, later behind the tokens. */
  readonly order: 'before' | 'behind';
  readonly addresses: 'absolute' | 'base' | 'percpu' | 'place' | 'xen';
  readonly markerSize: 4 | 8;
  /** kallsyms_seqs_of_names: 6.2 and later. */
  readonly sequences: boolean;
  /** Whether lengths from 128 on have two bytes. */
  readonly uleb128: boolean;
  readonly align: 4 | 8;
}

/** Every byte that names consist of stands for itself, the others for what is frequent. */
export function tokens(): string[] {
  const list: string[] = [];
  const frequent = ['__', 'sys_', '_init', 'tT', 'nmi', 'exc_', 'handler', 'entry', '.cold', '_64'];
  for (let i = 0; i < 256; i++) {
    const letter = String.fromCharCode(i);
    list.push(/[A-Za-z0-9_.$#/]/.test(letter) ? letter : (frequent.shift() ?? `x${i.toString(16)}_y`));
  }
  return list;
}

function encodedName(text: string, list: readonly string[], uleb128: boolean): number[] {
  const bytes: number[] = [];
  for (let at = 0; at < text.length; ) {
    let best = -1;
    list.forEach((token, i) => {
      if (text.startsWith(token, at) && (best < 0 || token.length > list[best]!.length)) best = i;
    });
    bytes.push(best);
    at += list[best]!.length;
  }
  const length = bytes.length < 0x80 || !uleb128 ? [bytes.length] : [(bytes.length & 0x7f) | 0x80, bytes.length >> 7];
  return [...length, ...bytes];
}

class Bytes {
  readonly parts: Buffer[] = [];
  length = 0;

  constructor(private readonly start: bigint) {}

  add(bytes: Uint8Array | readonly number[]): void {
    this.parts.push(Buffer.from(bytes));
    this.length += bytes.length;
  }

  align(to: number): void {
    this.add(Buffer.alloc((to - (this.length % to)) % to));
  }

  get address(): bigint {
    return this.start + BigInt(this.length);
  }
}

const words = (values: readonly (number | bigint)[], size: 2 | 4 | 8): Buffer => {
  const bytes = Buffer.alloc(values.length * size);
  values.forEach((value, i) => {
    for (let k = 0; k < size; k++) bytes[i * size + k] = Number(BigInt.asUintN(8, BigInt(value) >> BigInt(8 * k)));
  });
  return bytes;
};

/** The bytes of the table, which begin at `start`; the entries are sorted by address. Per-CPU ones lie below `base`. */
export function symbolTable(entries: readonly Entry[], form: Form, start: bigint, base: bigint): Buffer {
  const list = tokens();
  const out = new Bytes(start);
  const addresses = (): void => {
    out.align(form.align);
    if (form.addresses === 'absolute') {
      out.add(words(entries.map(({ address }) => address), 8)); // biome-ignore format: one line
      return;
    }
    const table = out.address;
    const offset = (address: bigint, i: number): bigint => {
      if (form.addresses === 'place') return address - (table + BigInt(4 * i));
      if (form.addresses === 'percpu') return address < base ? address : base - address - 1n;
      return address - base;
    };
    out.add(words(entries.map(({ address }, i) => offset(address, i)), 4)); // biome-ignore format: one line
    if (form.addresses === 'place' || form.addresses === 'xen') return;
    out.align(form.align);
    out.add(words([base], 8));
  };
  if (form.order === 'before') addresses();
  out.align(form.align);
  out.add(words([entries.length], 4));
  out.align(form.align);
  const markers: number[] = [];
  const names: number[] = [];
  entries.forEach(({ letter, name }, i) => {
    if (i % 256 === 0) markers.push(names.length);
    names.push(...encodedName(letter + name, list, form.uleb128));
  });
  out.add(names);
  out.align(form.align);
  out.add(words(markers, form.markerSize));
  const sequences = (): void => {
    out.align(form.align);
    out.add(entries.flatMap((_, i) => [i >> 16, (i >> 8) & 0xff, i & 0xff]));
  };
  if (form.sequences && form.order === 'before') sequences();
  out.align(form.align);
  let at = 0;
  const index: number[] = [];
  for (const token of list) {
    index.push(at);
    out.add(Buffer.from(`${token}\0`, 'latin1'));
    at += token.length + 1;
  }
  out.align(form.align);
  out.add(words(index, 2));
  if (form.order === 'behind') addresses();
  if (form.sequences && form.order === 'behind') sequences();
  return Buffer.concat(out.parts);
}
