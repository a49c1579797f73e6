import assert from 'node:assert/strict';
import test from 'node:test';
import { Assembler } from '../../src/assembler/index.js';
import { assembleWithGnu, differencesFrom, gnuMissing } from './gnu.js';
import { SAMPLES } from './samples.js';

const skip = gnuMissing ?? false;

for (const { name, text } of SAMPLES) {
  test(`dialect: ${name}`, { skip }, async () => {
    const gnu = assembleWithGnu(text, {}, ['-Wa,-W']);
    assert.deepEqual(differencesFrom((await Assembler.create()).assembleText(text, 'sample.S'), gnu), []);
  });
}

/** What GNU as takes in another way, or takes and this assembler does not: refused with a line, never silently different. */
const REFUSED: readonly (readonly [text: string, message: string])[] = [
  ['.code32\nnop', 's.S:1:1: .code32: only 64-bit code is supported; expected .code64'],
  [
    '.section .x,"axG",@progbits,a,comdat\nnop\n.section .x,"axG",@progbits,b,comdat\nnop',
    's.S:3:37: section .x is already there, but not in this group; expected another name for this one',
  ],
  ['.incbin "x"', 's.S:1:1: .incbin is not supported; expected .byte'],
  ['.reloc ., R_X86_64_64, a', 's.S:1:11: .reloc of type R_X86_64_64; expected R_X86_64_NONE, which changes nothing'],
  ['.quad %rax', 's.S:1:7: register %rax in an expression; expected a number or a label'],
  ['jmp a\na = %rax', 's.S:2:5: register %rax in an expression; expected a number or a label'],
  ['.altmacro\n.macro m a\n.endm\nm <1', 's.S:4:3: string without a closing quote; expected a closing >'],
  ['.nops 12, 12', 's.S:1:9: NOPs of 12 bytes; expected 0 to 11'],
  ['.uleb128 a - b', 's.S:1:10: the value is not known; expected labels of the same section'],
];

for (const [text, message] of REFUSED) {
  test(`refused: ${JSON.stringify(text)}`, async () => {
    const assembler = await Assembler.create();
    assert.throws(() => assembler.assembleText(text, 's.S'), { message });
  });
}
