/**
 * Stand-ins: assembly that takes the place of functions that the image calls and does not define. They clobber what the
 * C calling convention (System V AMD64) lets a function clobber, with values that are easy to recognise, not with zero.
 */

/** What the stand-ins leave in the caller-saved registers: "poison", the register's number in the low byte. */
const POISONED = ['rax', 'rcx', 'rdx', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11'];
const POISON = 0xdead0000n;

function poison(registers: readonly string[]): string {
  return registers
    .map((name, i) => `\tmovl\t$0x${(POISON + BigInt(i)).toString(16)}, %e${name.replace(/^r/, '')}\n`)
    .join('');
}

function poisonAll(): string {
  const old = POISONED.filter((name) => !/\d/.test(name));
  const numbered = POISONED.filter((name) => /\d/.test(name));
  return (
    poison(old) +
    numbered.map((name, i) => `\tmovl\t$0x${(POISON + BigInt(old.length + i)).toString(16)}, %${name}d\n`).join('')
  );
}

/**
 * Assembly for the given functions. A body saves and uses a callee-saved register and keeps a word on its
 * stack, so that an event inside it has something to damage; any other function poisons and returns.
 */
export function standInSource(functions: readonly string[], bodies: ReadonlySet<string>): string {
  const parts = functions.map((name) => {
    const head = `\t.globl\t${name}, ${name}_end\n\t.type\t${name}, @function\n${name}:\n`;
    const tail = `${name}_end:\n\tint3\n`;
    if (!bodies.has(name)) return `${head}${poisonAll()}\tret\n${tail}`;
    return (
      `${head}\tpushq\t%rbx\n\tmovq\t%rdi, %rbx\n\tpushq\t%rdi\n${poisonAll()}` +
      `\taddq\t$1, %rbx\n\tcmpl\t%r8d, %eax\n\tpopq\t%rdi\n\tpopq\t%rbx\n\tret\n${tail}`
    );
  });
  return `\t.text\n${parts.join('\n')}`;
}
