/** Random instructions for the comparison with GNU as. The same seed gives the same instructions. */

/** mulberry32: small, fast, good enough to pick operands. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const R64 = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
const R32 = 'eax ecx edx ebx esp ebp esi edi r8d r9d r10d r11d r12d r13d r14d r15d'.split(' ');
const R16 = 'ax cx dx bx sp bp si di r8w r9w r10w r11w r12w r13w r14w r15w'.split(' ');
const R8 = 'al cl dl bl spl bpl sil dil r8b r9b r10b r11b r12b r13b r14b r15b'.split(' ');
const HIGH = ['ah', 'ch', 'dh', 'bh'];
const SEGMENTS = ['fs', 'gs', 'fs', 'gs', 'gs', 'es', 'cs', 'ss', 'ds'];
const EDGES = [0n, 1n, 2n, 7n, 8n, 16n, 127n, 128n, 129n, 255n, 256n, 0x7fffn, 0x8000n, 0xffffn, 0x10000n, 0x7fffffffn];
const CONDITIONS = 'o no b c nae ae nb nc e z ne nz be na a nbe s ns p pe np po l nge ge nl le ng g nle'.split(' ');

type Size = 1 | 2 | 4 | 8;
const SUFFIX = { 1: 'b', 2: 'w', 4: 'l', 8: 'q' };

export class RandomInstructions {
  constructor(private readonly random: () => number) {}

  private pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.random() * list.length)]!;
  }

  private chance(p: number): boolean {
    return this.random() < p;
  }

  private size(...sizes: Size[]): Size {
    return this.pick(sizes.length > 0 ? sizes : ([1, 2, 4, 8] as const));
  }

  private register(size: Size): string {
    if (size === 1) return `%${this.chance(0.15) ? this.pick(HIGH) : this.pick(R8)}`;
    return `%${this.pick(size === 2 ? R16 : size === 4 ? R32 : R64)}`;
  }

  private number(value: bigint): string {
    const negative = value < 0n;
    const magnitude = negative ? -value : value;
    const text = this.chance(0.5)
      ? magnitude.toString()
      : this.chance(0.7)
        ? `0x${magnitude.toString(16)}`
        : this.chance(0.5)
          ? `0${magnitude.toString(8)}`
          : `(${magnitude.toString()}*1+0)`;
    return negative ? `-${text}` : text;
  }

  /** A number that fits in `bits`, signed or unsigned. */
  private value(bits: number): bigint {
    const limit = 1n << BigInt(bits);
    let value = this.chance(0.6) ? this.pick(EDGES) : BigInt(Math.floor(this.random() * 2 ** Math.min(bits, 32)));
    if (this.chance(0.35)) value = -value;
    if (value < -(limit / 2n)) value = -(limit / 2n);
    if (value >= limit) value = limit - 1n;
    return value;
  }

  private immediate(size: Size): string {
    let value = this.value(size === 8 ? 31 : size * 8);
    if (size === 8 && this.chance(0.1)) value = -0x80000000n;
    if (size === 4 && this.chance(0.1)) value = this.pick([0xffffffffn, 0xffffff80n, 0xffffff7fn, 0x80000000n]);
    return `$${this.number(value)}`;
  }

  private displacement(): string {
    if (this.chance(0.3)) return '';
    let value = this.value(31);
    if (this.chance(0.1)) value = -0x80000000n;
    return this.number(value);
  }

  private memory(): string {
    const segment = this.chance(0.15) ? `%${this.pick(SEGMENTS)}:` : '';
    const kind = this.random();
    if (kind < 0.08) return `${segment}${this.number(this.value(31) & 0x7fffffffn)}`;
    if (kind < 0.14) return `${segment}${this.number(this.value(31))}(%rip)`;
    if (kind < 0.22) return `${segment}symbol+${this.number(this.value(16) & 0xffffn)}(%rip)`;
    if (kind < 0.28)
      return `${segment}symbol(${this.chance(0.5) ? this.register(8) : `,${this.index()},${this.pick(['1', '2', '4', '8'])}`})`;
    const wide = this.chance(0.93);
    const base = wide ? this.register(8) : this.register(4);
    if (this.chance(0.5)) return `${segment}${this.displacement()}(${base})`;
    const index = wide ? this.index() : `%${this.pick(R32.filter((name) => name !== 'esp'))}`;
    const scale = this.chance(0.2) ? '' : `,${this.pick(['1', '2', '4', '8'])}`;
    return `${segment}${this.displacement()}(${this.chance(0.15) ? '' : base},${index}${scale})`;
  }

  private index(): string {
    return `%${this.pick(R64.filter((name) => name !== 'rsp'))}`;
  }

  private suffixed(name: string, size: Size, needed: boolean): string {
    return needed || this.chance(0.5) ? name + SUFFIX[size] : name;
  }

  /** Two operands of one size: register or memory to register or memory, or an immediate. */
  private twoOperands(name: string, size: Size, withImmediate: boolean): string {
    const form = this.random();
    if (withImmediate && form < 0.4) {
      if (this.chance(0.6))
        return `${this.suffixed(name, size, false)} ${this.immediate(size)}, ${this.register(size)}`;
      return `${this.suffixed(name, size, true)} ${this.immediate(size)}, ${this.memory()}`;
    }
    const mnemonic = this.suffixed(name, size, false);
    if (form < 0.6) return `${mnemonic} ${this.register(size)}, ${this.register(size)}`;
    // A high byte register cannot go with an extended one: the reference refuses those, they are dropped.
    if (form < 0.8) return `${mnemonic} ${this.register(size)}, ${this.memory()}`;
    return `${mnemonic} ${this.memory()}, ${this.register(size)}`;
  }

  private oneOperand(name: string, size: Size): string {
    if (this.chance(0.5)) return `${this.suffixed(name, size, false)} ${this.register(size)}`;
    return `${this.suffixed(name, size, true)} ${this.memory()}`;
  }

  next(): string {
    const form = this.random();
    if (form < 0.25)
      return this.twoOperands(this.pick(['add', 'or', 'adc', 'sbb', 'and', 'sub', 'xor', 'cmp']), this.size(), true);
    if (form < 0.42) return this.twoOperands('mov', this.size(), true);
    if (form < 0.46) return this.twoOperands('test', this.size(), true);
    if (form < 0.49) return this.twoOperands('xchg', this.size(), false);
    if (form < 0.54)
      return this.oneOperand(this.pick(['not', 'neg', 'mul', 'imul', 'div', 'idiv', 'inc', 'dec']), this.size());
    if (form < 0.62) return this.shift();
    if (form < 0.67) return this.stack();
    if (form < 0.71) return `${this.suffixed('lea', 8, false)} ${this.memory()}, ${this.register(8)}`;
    if (form < 0.75) return this.extension();
    if (form < 0.79) {
      const size = this.size(2, 4, 8);
      const source = this.chance(0.5) ? this.register(size) : this.memory();
      return `cmov${this.pick(CONDITIONS)} ${source}, ${this.register(size)}`;
    }
    if (form < 0.82) return `set${this.pick(CONDITIONS)} ${this.chance(0.5) ? this.register(1) : this.memory()}`;
    if (form < 0.86) return this.bits();
    if (form < 0.89) {
      const size = this.size(2, 4, 8);
      const first = this.immediate(size);
      const second = this.chance(0.5) ? this.register(size) : this.memory();
      return this.chance(0.3)
        ? `imul ${this.chance(0.5) ? this.register(size) : this.memory()}, ${this.register(size)}`
        : `imul ${first}, ${second}, ${this.register(size)}`;
    }
    if (form < 0.92) return this.locked();
    if (form < 0.95) return this.system();
    if (form < 0.97)
      return `${this.pick(['call', 'jmp', 'callq', 'jmpq'])} *${this.chance(0.5) ? this.register(8) : this.memory()}`;
    return this.symbolic();
  }

  private shift(): string {
    const name = this.pick(['shl', 'shr', 'sar', 'sal', 'rol', 'ror', 'rcl', 'rcr']);
    if (this.chance(0.2)) {
      const size = this.size(2, 4, 8);
      const amount = this.chance(0.5) ? '%cl' : `$${this.number(BigInt(Math.floor(this.random() * size * 8)))}`;
      return `${this.suffixed(this.pick(['shld', 'shrd']), size, false)} ${amount}, ${this.register(size)}, ${this.chance(0.5) ? this.register(size) : this.memory()}`;
    }
    const size = this.size();
    const amounts = ['', '$1, ', '%cl, ', `$${this.number(BigInt(Math.floor(this.random() * size * 8)))}, `];
    const amount = this.pick(amounts);
    if (this.chance(0.6)) return `${this.suffixed(name, size, false)} ${amount}${this.register(size)}`;
    return `${this.suffixed(name, size, true)} ${amount}${this.memory()}`;
  }

  private stack(): string {
    const name = this.pick(['push', 'pop']);
    if (name === 'push' && this.chance(0.3)) return `${this.suffixed('push', 8, false)} ${this.immediate(8)}`;
    const size = this.pick([8, 8, 8, 2] as const);
    if (this.chance(0.5)) return `${this.suffixed(name, size, false)} ${this.register(size)}`;
    return `${this.suffixed(name, size, true)} ${this.memory()}`;
  }

  private extension(): string {
    const [from, to] = this.pick([
      [1, 2],
      [1, 4],
      [1, 8],
      [2, 4],
      [2, 8],
    ] as const);
    const sign = this.pick(['z', 's']);
    if (this.chance(0.15)) return `movslq ${this.chance(0.5) ? this.register(4) : this.memory()}, ${this.register(8)}`;
    if (this.chance(0.3)) return `mov${sign}x ${this.register(from)}, ${this.register(to)}`;
    const source = this.chance(0.5) ? this.register(from) : this.memory();
    return `mov${sign}${SUFFIX[from]}${SUFFIX[to]} ${source}, ${this.register(to)}`;
  }

  private bits(): string {
    const size = this.size(2, 4, 8);
    if (this.chance(0.25)) {
      const source = this.chance(0.5) ? this.register(size) : this.memory();
      return `${this.suffixed(this.pick(['bsf', 'bsr', 'popcnt', 'tzcnt', 'lzcnt']), size, false)} ${source}, ${this.register(size)}`;
    }
    const name = this.pick(['bt', 'bts', 'btr', 'btc']);
    const memory = this.chance(0.5);
    const which = this.chance(0.5) ? this.register(size) : `$${this.number(BigInt(Math.floor(this.random() * 128)))}`;
    return `${this.suffixed(name, size, memory)} ${which}, ${memory ? this.memory() : this.register(size)}`;
  }

  private locked(): string {
    const size = this.size();
    const form = this.random();
    const lock = this.chance(0.8) ? 'lock ' : '';
    if (form < 0.3) return `${lock}${this.suffixed('cmpxchg', size, false)} ${this.register(size)}, ${this.memory()}`;
    if (form < 0.6) return `${lock}${this.suffixed('xadd', size, false)} ${this.register(size)}, ${this.memory()}`;
    if (form < 0.7) return `${lock}${this.pick(['cmpxchg8b', 'cmpxchg16b'])} ${this.memory()}`;
    if (form < 0.8)
      return `${lock}${this.suffixed(this.pick(['inc', 'dec', 'not', 'neg']), size, true)} ${this.memory()}`;
    return `${lock}${this.suffixed(this.pick(['add', 'or', 'and', 'sub', 'xor']), size, true)} ${this.immediate(size)}, ${this.memory()}`;
  }

  private system(): string {
    switch (Math.floor(this.random() * 12)) {
      case 0:
        return `${this.pick(['lgdt', 'lidt', 'sgdt', 'sidt', 'invlpg', 'fxsave', 'fxrstor64', 'xsave', 'xrstor64', 'ldmxcsr', 'stmxcsr', 'verw', 'lldt', 'ltr', 'str', 'sldt', 'smsw', 'lmsw', 'clflush', 'prefetcht0'])} ${this.memory()}`;
      case 1:
        return `mov %cr${this.pick([0, 2, 3, 4, 8])}, ${this.register(8)}`;
      case 2:
        return `mov ${this.register(8)}, %cr${this.pick([0, 2, 3, 4, 8])}`;
      case 3:
        return `mov ${this.register(8)}, %dr${this.pick([0, 1, 2, 3, 6, 7])}`;
      case 4:
        return `mov %dr${this.pick([0, 1, 2, 3, 6, 7])}, ${this.register(8)}`;
      case 5:
        return `mov %${this.pick(['ds', 'es', 'ss', 'fs', 'gs', 'cs'])}, ${this.chance(0.3) ? this.memory() : this.register(this.size(2, 4, 8))}`;
      case 6:
        return `mov ${this.chance(0.3) ? this.memory() : this.register(this.size(2, 4, 8))}, %${this.pick(['ds', 'es', 'ss', 'fs', 'gs'])}`;
      case 7:
        return `${this.pick(['rdfsbase', 'rdgsbase', 'wrfsbase', 'wrgsbase', 'rdrand', 'rdseed'])} ${this.register(this.size(4, 8))}`;
      case 8:
        return `${this.pick(['str', 'sldt', 'smsw'])} ${this.register(this.size(2, 4, 8))}`;
      case 9:
        return `${this.pick(['lldt', 'ltr', 'verr', 'verw', 'lmsw'])} ${this.register(2)}`;
      case 10:
        return `${this.pick(['nopw', 'nopl', 'nopq'])} ${this.memory()}`;
      default:
        return `invpcid ${this.memory()}, ${this.register(8)}`;
    }
  }

  /** Values that a relocation or the end of the file fills in. */
  private symbolic(): string {
    const name = this.pick(['symbol', 'symbol+8', 'local', 'local-4', 'outside']);
    switch (Math.floor(this.random() * 7)) {
      case 0:
        return `${this.pick(['mov', 'movq', 'add', 'cmp', 'test'])} $${name}, ${this.register(8)}`;
      case 1:
        return `${this.pick(['movl', 'cmpl', 'andl', 'testl'])} $${name}, ${this.register(4)}`;
      case 2:
        return `${this.pick(['movq', 'cmpq', 'addq'])} $${name}, ${this.memory()}`;
      case 3:
        return `push${this.pick(['', 'q'])} $${name}`;
      case 4:
        return `movabs${this.pick(['', 'q'])} $${name}, ${this.register(8)}`;
      case 5:
        return `${this.pick(['call', 'jmp', 'jne', 'callq'])} ${name}`;
      default:
        return `mov ${name}, ${this.register(this.size(4, 8))}`;
    }
  }
}

/** Programs for the comparison of relaxation: jumps over each other, alignment, and spaces, near the ±128-byte edge. */
export class RandomPrograms {
  constructor(private readonly random: () => number) {}

  private pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.random() * list.length)]!;
  }

  private upTo(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  /** Lines of one program; labels start with `prefix`. */
  next(prefix: string): string {
    const items = 10 + this.upTo(60);
    const labels = Math.max(2, Math.floor(items / 4));
    const placed = new Map<number, number[]>();
    for (let label = 0; label < labels; label++) {
      const at = this.upTo(items);
      placed.set(at, [...(placed.get(at) ?? []), label]);
    }
    const lines: string[] = [];
    for (let label = 0; label < labels; label++) {
      if (this.random() < 0.15) lines.push(`.globl ${prefix}_${label}`);
      else if (this.random() < 0.04) lines.push(`.weak ${prefix}_${label}`);
    }
    const spread = this.pick([8, 30, 60, 120]);
    const target = () => `${prefix}_${this.upTo(labels)}${this.random() < 0.05 ? this.pick(['+1', '-2', '+100']) : ''}`;
    for (let i = 0; i < items; i++) {
      for (const label of placed.get(i) ?? []) lines.push(`${prefix}_${label}:`);
      const form = this.random();
      if (form < 0.4) lines.push(`${this.pick(['jmp', 'jmp', 'je', 'jnz', 'ja', 'jl'])} ${target()}`);
      else if (form < 0.45) lines.push(`call ${target()}`);
      else if (form < 0.7) lines.push(`.skip ${this.upTo(spread)}, 0xcc`);
      else if (form < 0.78)
        lines.push(`.p2align ${1 + this.upTo(6)}${this.pick(['', '', ',0xcc', ',,7', ',,15', ',0x90'])}`);
      else if (form < 0.82)
        lines.push(
          '.skip 4f-3f, 0xee',
          `.pushsection .replacement, "ax"`,
          `3: .skip ${this.upTo(12)}`,
          '4: .popsection',
        );
      else if (form < 0.84) lines.push(`.org . + ${this.upTo(20)}, 0xdd`);
      else if (form < 0.88) lines.push(`.long ${target()} - ${target()}`);
      else if (form < 0.9) lines.push(`lea ${target()}(%rip), %rax`);
      else if (form < 0.93) lines.push(`jmp ${this.pick(['outside', 'outside+4'])}`);
      else if (form < 0.96) lines.push('1: nop', `${this.pick(['jmp 1b', 'jne 1b', 'jmp 1f', 'je 1f'])}`, '1:');
      else lines.push(`pushq $(${target()} - ${target()})`);
    }
    return lines.join('\n');
  }
}
