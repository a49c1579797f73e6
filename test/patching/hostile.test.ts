/** Damaged tables are refused by name, and with their place; nothing else ever happens. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { InputError } from '../../src/errors.js';
import { fromText, sample, subjectOf, withFeatures } from './support.js';

/** Code with one place, and a table that the case writes. */
function withTable(name: string, content: string): string {
  return `.globl nmi, __x86_return_thunk, __x86_indirect_thunk_rax
nmi:
site: call __x86_indirect_thunk_rax
back: .byte 0xe9
.long __x86_return_thunk - . - 4
bad: .byte 0x06
iretq
__x86_return_thunk: ret
__x86_indirect_thunk_rax: jmp *%rax
.section .rodata, "a"
data: .quad 0
.section .altinstr_replacement, "ax"
new: clac
.section ${name}, "a"
${content}
`;
}

const entry = (fields: string): string => withTable('.altinstructions', fields);

const CASES: readonly (readonly [what: string, text: string, message: RegExp])[] = [
  [
    'an entry that is cut off',
    entry('.long site - ., new - .; .word 300; .byte 5, 3; .long site - .'),
    /\.altinstructions\+0xc: the last entry has 4 of 12 bytes/,
  ],
  [
    'an original outside of code',
    entry('.long data - ., new - .; .word 300; .byte 5, 3'),
    /\.altinstructions\+0x0: its original \(0x[0-9a-f]+, 5 bytes\) is not inside code/,
  ],
  [
    'an original that goes beyond its section',
    entry('.long site - ., new - .; .word 300; .byte 250, 3'),
    /\.altinstructions\+0x0: its original .* is not inside code/,
  ],
  [
    'a replacement outside of the image',
    entry('.long site - ., 0x7fffffff; .word 300; .byte 5, 3'),
    /\.altinstructions\+0x0: its replacement \(0x[0-9a-f]+, 3 bytes\) is not in the image/,
  ],
  [
    'a replacement that is longer than the original',
    entry('.long site - ., new - .; .word 300; .byte 2, 3'),
    /its replacement \(3 bytes\) is longer than its original \(2\)/,
  ],
  [
    'a feature that no kernel has',
    entry('.long site - ., new - .; .word 2000; .byte 5, 3'),
    /there is no feature 62\*32\+16/,
  ],
  [
    'a list of sites that is cut off',
    withTable('.return_sites', '.long back - .; .byte 1'),
    /\.return_sites\+0x0: 5 bytes are no whole number of entries of 4/,
  ],
  [
    'a site in data',
    withTable('.retpoline_sites', '.long site - ., data - .'),
    /\.retpoline_sites\+0x4: the site 0x[0-9a-f]+ is no instruction in code/,
  ],
  [
    'a site that is no instruction',
    withTable('.return_sites', '.long bad - .'),
    /\.return_sites\+0x0: the site 0x[0-9a-f]+ is no instruction/,
  ],
  [
    'a static call without a key',
    withTable('.static_call_sites', '.long site - ., 0x7ffffff0'),
    /\.static_call_sites\+0x0: its site .* or its key .* is not in the image/,
  ],
  [
    'static calls that are cut off',
    withTable('.static_call_sites', '.long site - .'),
    /4 bytes are no whole number of entries of 8/,
  ],
  [
    'paravirt sites without pv_ops',
    withTable('.parainstructions', '.quad site; .byte 1, 7; .skip 6'),
    /\.parainstructions\+0x0: paravirt sites can be patched only in a whole kernel/,
  ],
  [
    'symbols around a table that are not in order',
    `.globl nmi, __alt_instructions, __alt_instructions_end\nnmi: iretq\n.data\n__alt_instructions_end: .quad 0\n__alt_instructions: .quad 0\n`,
    /__alt_instructions \(0x[0-9a-f]+\) and __alt_instructions_end \(0x[0-9a-f]+\) are not in order/,
  ],
];

for (const [what, text, message] of CASES) {
  test(`${what} is refused`, () => {
    assert.throws(
      () => withFeatures(fromText(text)),
      (error) => error instanceof InputError && message.test(error.message) && !error.message.includes('\n'),
    );
  });
}

test('call depth tracking is refused by name', () => {
  const image = sample('thunks.S');
  assert.throws(() => withFeatures(image, 'call_depth'), /there is no feature 'call_depth'|call depth tracking/);
});

test('entries that overlap are applied in their order', () => {
  const text = entry(
    '.long site - ., new - .; .word 300; .byte 5, 3\n.long site + 1 - ., new - .; .word 300; .byte 4, 3',
  );
  const image = withFeatures(fromText(text), subjectOf(fromText(text)).names.name(300));
  const section = image.sectionAt(image.find('site')!.address)!;
  assert.equal(Buffer.from(section.data.subarray(0, 5)).toString('hex'), '0f0f01ca90');
});
