/** C's binary operators on 64-bit numbers, for those who read expressions: conditions of the preprocessor and of the debugger. */

/** From the weakest to the strongest; those of one level are taken from the left. */
export const C_OPERATORS: readonly (readonly string[])[] = [
  ['||'],
  ['&&'],
  ['|'],
  ['^'],
  ['&'],
  ['==', '!='],
  ['<', '<=', '>', '>='],
  ['<<', '>>'],
  ['+', '-'],
  ['*', '/', '%'],
];

/**
 * Both operands have a sign, or none; the result may need more than 64 bits. A shift by more than there are shifts everything out. Undefined
 * for a division by zero.
 */
export function applyOperator(operator: string, a: bigint, b: bigint): bigint | undefined {
  const flag = (value: boolean): bigint => (value ? 1n : 0n);
  switch (operator) {
    case '||':
      return flag(a !== 0n || b !== 0n);
    case '&&':
      return flag(a !== 0n && b !== 0n);
    case '|':
      return a | b;
    case '^':
      return a ^ b;
    case '&':
      return a & b;
    case '==':
      return flag(a === b);
    case '!=':
      return flag(a !== b);
    case '<':
      return flag(a < b);
    case '<=':
      return flag(a <= b);
    case '>':
      return flag(a > b);
    case '>=':
      return flag(a >= b);
    case '<<':
      return b < 0n || b > 63n ? 0n : a << b;
    case '>>':
      return a >> (b < 0n || b > 63n ? 64n : b);
    case '+':
      return a + b;
    case '-':
      return a - b;
    case '*':
      return a * b;
    default:
      if (b === 0n) return undefined;
      return operator === '/' ? a / b : a % b;
  }
}
