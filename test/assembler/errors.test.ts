import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { Assembler, AssemblyError } from '../../src/assembler/index.js';
import { InputError } from '../../src/errors.js';

const assembler = await Assembler.create();

function failure(text: string, files: Readonly<Record<string, string>> = {}): AssemblyError {
  try {
    assembler.assembleText(text, 'test.S', {
      readFile: (path) => {
        const content = files[path];
        if (content === undefined) throw Object.assign(new Error(path), { code: 'ENOENT' });
        return content;
      },
    });
  } catch (error) {
    assert.ok(error instanceof AssemblyError, String(error));
    assert.ok(error instanceof InputError);
    assert.ok(!error.message.includes('\n'), 'the message is one line');
    return error;
  }
  return assert.fail(`assembled: ${text}`);
}

const MESSAGES: readonly (readonly [text: string, message: string])[] = [
  ['frob %rax', 'test.S:1:1: unknown instruction "frob"; expected an instruction, a directive or a macro'],
  ['\n  nop; frob', 'test.S:2:8: unknown instruction "frob"; expected an instruction, a directive or a macro'],
  ['movq $1', 'test.S:1:1: operands do not fit "movq"; expected operands that the instruction can take'],
  ['movq %foo, %rax', 'test.S:1:6: unknown register "%foo"; expected a register of x86-64'],
  ['movq $(1+, %rax', 'test.S:1:10: ","; expected an expression'],
  ['movl $1, %rax', 'test.S:1:1: operand size of movl and its register differ; expected a 32-bit register'],
  ['movl $1,%eax extra', 'test.S:1:14: "extra" after %eax; expected the end of the statement'],
  ['.frob 1', 'test.S:1:1: unknown directive ".frob"; expected a directive of GNU as that this assembler knows'],
  ['jmp 1b', 'test.S:1:5: there is no label 1: before this line; expected 1f, or a 1: above'],
  ['nop\njmp 1f', 'test.S:2:5: there is no label 1: after this line; expected 1: below'],
  ['foo: nop\nfoo: nop', 'test.S:2:1: symbol "foo" is already defined at test.S:1; expected another name'],
  ['.quad foo-bar', 'test.S:1:7: cannot subtract "bar", which is not defined; expected a label of section .text'],
  [
    '.if foo\n.endif',
    'test.S:1:5: the condition of .if is not known at this point; expected a number, or labels with only fixed-size code between them',
  ],
  ['.set a, b\n.set b, a\n.quad a', 'test.S:1:9: symbol "b" is defined by itself'],
  ['.byte 300', 'test.S:1:7: value 0x12c does not fit in 8 bits; expected a smaller value'],
  ['movb $300, %al', 'test.S:1:6: immediate 0x12c does not fit in 8 bits; expected -0x80 to 0xff'],
  ['.quad 1/0', 'test.S:1:8: division by zero; expected a divisor other than 0'],
  ['.long 099', 'test.S:1:7: bad number "099"; expected a decimal, 0x, 0b or octal number, or a label like 1b'],
  ['.align 3', 'test.S:1:9: alignment 3; expected a power of two'],
  ['nop\nnop\n.org 1', 'test.S:3:1: .org 0x1 goes back from 0x2; expected at least 0x2'],
  ['jrcxz 1f\n.skip 200\n1:', 'test.S:1:7: "1f" is 200 bytes away; expected a target within 8 bits'],
  ['.bss\n.long 5', 'test.S:2:7: section .bss has no contents in the file; expected zeros, or a section like .data'],
  ['mov 1(%rax,%rbx,3), %rcx', 'test.S:1:5: bad scale; expected 1, 2, 4 or 8'],
  ['mov %ah, %r8b', 'test.S:1:5: %ah cannot be used in an instruction with a REX prefix; expected a low byte register'],
  ['pushl %eax', 'test.S:1:1: "pushl" does not exist in 64-bit mode; expected a 64-bit instruction'],
  ['call 8(%rax)', 'test.S:1:6: call through memory needs "*"; expected call *…'],
  ['mov foo@GOTPCREL(%rip), %rax', 'test.S:1:5: @GOTPCREL is not supported; expected a plain symbol'],
  ['.intel_syntax noprefix', 'test.S:1:1: Intel syntax is not supported; expected AT&T syntax (.att_syntax)'],
  ['.code32', 'test.S:1:1: .code32: only 64-bit code is supported; expected .code64'],
  ['.popsection', 'test.S:1:1: .popsection without .pushsection'],
  ['.ascii "abc', 'test.S:1:8: string without a closing quote; expected a closing "'],
  ['.macro m\n nop', 'test.S:1:1: .macro without .endm; expected .endm'],
  ['.if 1\nnop', 'test.S:1:1: .if without .endif; expected .endif before the end of the file'],
  ['.endif', 'test.S:1:1: .endif without .if'],
  [
    '.macro a\n.endm\n.macro a\n.endm',
    'test.S:3:1: macro a is already defined at test.S:1; expected another name, or .purgem before',
  ],
  ['.macro m a:req\n nop\n.endm\n m', 'test.S:4:3: macro m needs a value for parameter "a"'],
  ['.macro m a\n.endm\nm 1, 2', 'test.S:3:6: too many arguments for macro m; expected at most 1 (a)'],
  [
    '.macro m a\n.endm\nm a=1, 2',
    'test.S:3:8: positional argument behind a keyword argument of macro m; expected name=value',
  ],
  ['.error "stop here"', 'test.S:1:1: stop here'],
  ['#error this is bad', 'test.S:1:1: #error this is bad'],
  ['#if 1\nnop', 'test.S:1:1: #if without #endif; expected #endif before the end of the file'],
  ['#if 1 +\n#endif', 'test.S:1:4: expression of #if ends too early; expected a number or a name'],
  ['#else', 'test.S:1:1: #else without #if'],
  ['#define F(x) x\nF(1,2) nop', 'test.S:2:1: macro F got 2 arguments; expected 1 (x)'],
  ['#include "nope.h"', 'test.S:1:1: cannot find include file "nope.h"; expected it in .'],
  ['nop /* abc', 'test.S:1:1: comment without an end; expected "*/"'],
];

for (const [text, message] of MESSAGES) {
  test(`error: ${JSON.stringify(text)}`, () => assert.equal(failure(text).message, message));
}

test('an error in a macro names the body line and every invocation', () => {
  const error = failure('.macro inner a\n frob \\a\n.endm\n.macro outer b\n nop\n inner \\b\n.endm\n\n outer 5\n');
  assert.equal(
    error.message,
    'test.S:2:2: unknown instruction "frob"; expected an instruction, a directive or a macro',
  );
  assert.deepEqual(error.notes, ['in expansion of macro inner at test.S:6', 'in expansion of macro outer at test.S:9']);
});

test('an error in an included file names the files that include it', () => {
  const error = failure('nop\n#include "a.h"\n', { 'a.h': '\n#include "b.h"\n', 'b.h': '  frob\n' });
  assert.equal(error.message, 'b.h:1:3: unknown instruction "frob"; expected an instruction, a directive or a macro');
  assert.deepEqual(error.notes, ['included from a.h:2', 'included from test.S:2']);
});

test('an error in a macro of an included file names both stacks', () => {
  const error = failure('#include "a.h"\n.rept 2\n m 7\n.endr\n', { 'a.h': '.macro m x\n movq $\\x, %bad\n.endm\n' });
  assert.equal(error.message, 'a.h:2:12: unknown register "%bad"; expected a register of x86-64');
  assert.deepEqual(error.notes, [
    'in expansion of macro m at test.S:3',
    'in expansion of .rept at test.S:2',
    'included from test.S:1',
  ]);
});

test('files that cannot be read are named in one line', () => {
  const missing = join(tmpdir(), 'entrace-no-such-file.S');
  assert.throws(() => assembler.assemble(missing), { name: 'InputError', message: `${missing}: no such file` });
  assert.throws(() => assembler.assemble(tmpdir()), {
    name: 'InputError',
    message: `${tmpdir()}: is a directory; expected an assembler file`,
  });
});

const LIMITS: readonly (readonly [name: string, text: string, message: RegExp])[] = [
  ['macro recursion', '.macro m\n m\n.endm\n m', /^test\.S:2:\d+: macros nested deeper than 200/],
  ['a macro that multiplies', '.macro m\n .rept 1000\n m\n .endr\n.endm\n m', /macros nested deeper than 200/],
  ['an include of itself', '#include "self.h"', /^self\.h:1:1: files included deeper than 100/],
  ['.rept', '.rept 99999999\nnop\n.endr', /^test\.S:1:1: \.rept 99999999; expected at most 1000000 repetitions$/],
  ['nested .rept', '.rept 100000\n.rept 100000\nnop\n.endr\n.endr', /more than 2000000 lines/],
  ['.skip', '.skip 0xffffffffff', /0xffffffffff bytes; expected a count of 0 to 67108864$/],
  [
    '.skip after .skip',
    '.skip 0x3ffffff\n.skip 0x3ffffff',
    /^test\.S:2:1: section \.text is larger than 67108864 bytes/,
  ],
  ['.org', '.org 0xffffffff81000000', /^test\.S:1:1: \.org 0xffffffff81000000 is too large/],
  ['alignment', '.p2align 40', /alignment to 2 to the 40; expected at most 2 to the 20$/],
  ['brackets', `.byte ${'('.repeat(5000)}1`, /expression nested deeper than 200$/],
  [
    'C macros that grow',
    `#define A0 1 1\n${Array.from({ length: 40 }, (_, i) => `#define A${i + 1} A${i} A${i}`).join('\n')}\nA40`,
    /macros of this line grow without end/,
  ],
  ['a .skip of itself', 'a: .skip b-a\nnop\nb:', /^test\.S:1:4: the sizes of jumps and spaces do not settle/],
];

for (const [name, text, message] of LIMITS) {
  test(`limit: ${name}`, () => {
    assert.match(failure(text, { 'self.h': '#include "self.h"\n' }).message, message);
  });
}

test('a long macro stack is cut in the notes', () => {
  const { notes } = failure('.macro m\n m\n.endm\n m');
  assert.ok(notes.length < 20);
  assert.match(notes.at(-1)!, /more expansions$/);
});
