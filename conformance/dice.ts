/** A list of numbers from which a generator makes its choices, one after the other; 0 always chooses the simplest. */
export class Dice {
  #at = 0;

  constructor(readonly rolls: readonly number[]) {}

  /** A number from 0 to n - 1; 0 when the rolls have run out. */
  below(n: number): number {
    const roll = this.rolls[this.#at++] ?? 0;
    return roll % n;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  /** True once in n; never with a roll of 0. */
  once(n: number): boolean {
    return this.below(n) === n - 1;
  }

  /** 16 bits. */
  word(): bigint {
    return BigInt(this.below(0x10000));
  }

  long(): bigint {
    return this.word() | (this.word() << 16n);
  }

  quad(): bigint {
    return this.long() | (this.long() << 32n);
  }

  /** A number that instructions find interesting. */
  value(): bigint {
    switch (this.below(8)) {
      case 0:
        return BigInt(this.below(16));
      case 1:
        return BigInt.asUintN(64, -1n - BigInt(this.below(4)));
      case 2:
        return 1n << BigInt(this.below(64));
      case 3:
        return (1n << BigInt(this.below(64))) - 1n;
      case 4:
        return this.word();
      case 5:
        return this.long();
      default:
        return this.quad();
    }
  }
}
