/** What the preprocessor gives to the assembler, against `gcc -c`: the same text with the same files must give the same object. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { Assembler, type SourceSettings } from '../../src/assembler/index.js';
import { InputError } from '../../src/errors.js';
import { assembleWithGnu, differencesFrom, gnuMissing } from './gnu.js';

const skip = gnuMissing ?? false;

interface Case {
  readonly name: string;
  readonly text: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly flags?: readonly string[];
  readonly settings?: SourceSettings;
}

const CASES: readonly Case[] = [
  {
    name: '-include, -I and -D, in their order',
    text: '#include <b.h>\n.byte FROM_B, FORCED, VALUE, ONE\n',
    files: { 'force.h': '#define FORCED 5\n#include "inc/c.h"\n', 'inc/b.h': '#define FROM_B 3\n', 'inc/c.h': '' },
    flags: ['-Iinc', '-DVALUE=7', '-DONE', '-include', 'force.h'],
    settings: { includePaths: ['inc'], defines: { VALUE: '7', ONE: '1' }, forcedIncludes: ['force.h'] },
  },
  {
    name: 'include_next goes on behind the directory of the file',
    text: '#include <x.h>\n.byte A, B\n',
    files: { 'one/x.h': '#define A 1\n#include_next <x.h>\n', 'two/x.h': '#define B 2\n', 'x.h': '#error own\n' },
    flags: ['-Ione', '-Itwo'],
    settings: { includePaths: ['one', 'two'] },
  },
  {
    name: 'guards, #pragma once, __has_include, computed includes',
    text: `#include "g.h"
#include "g.h"
#include "o.h"
#include "o.h"
#if __has_include(<g.h>) && !__has_include("none.h") && defined(__has_include)
.byte 1
#endif
#define FILE "o.h"
#include FILE
.byte N
#ifdef __has_attribute
.byte 2
#endif
`,
    files: { 'g.h': '#ifndef G\n#define G\n.byte 9\n#endif\n', 'o.h': '#pragma once\n.byte 8\n#define N 4\n' },
    flags: ['-I.'],
    settings: { includePaths: ['.'] },
  },
  {
    name: 'is_enabled, as the kernel has it',
    text: `#define __ARG_PLACEHOLDER_1 0,
#define __take_second_arg(__ignored, val, ...) val
#define ____or(arg1_or_junk, y) __take_second_arg(arg1_or_junk 1, y)
#define ___or(x, y) ____or(__ARG_PLACEHOLDER_##x, y)
#define __or(x, y) ___or(x, y)
#define __is_defined(x) ___is_defined(x)
#define ___is_defined(val) ____is_defined(__ARG_PLACEHOLDER_##val)
#define ____is_defined(arg1_or_junk) __take_second_arg(arg1_or_junk 1, 0)
#define IS_ENABLED(option) __or(__is_defined(option), __is_defined(option##_MODULE))
#define CONFIG_A 1
#define CONFIG_B_MODULE 1
#if IS_ENABLED(CONFIG_A) && IS_ENABLED(CONFIG_B) && !IS_ENABLED(CONFIG_C)
.byte IS_ENABLED(CONFIG_A), IS_ENABLED(CONFIG_C)
#endif
`,
  },
  {
    name: 'strings of arguments keep backslashes',
    text: `#define S(x...) #x
#define T(x...) S(x)
.macro m a, n
.ascii "[\\\\a]"
.byte \\\\n
.endm
#define TWO(n) .byte n; .byte n
.macro k reg
m T(mov %\\reg, "a\\n" ), 1
.endm
TWO(4)
.ascii T(say "hi\\t" \\there)
`,
  },
  {
    name: 'variadic macros and pasting',
    text: `#define V(f, ...) .byte f , ## __VA_ARGS__
#define W(args...) .word args
#define CAT(a, b) a##b
#define XCAT(a, b) CAT(a, b)
#define L 3
V(1)
V(1, 2, 3)
W(4, 5)
CAT(.by, te) XCAT(L, 1)
.set XCAT(sym, L), 6
.byte sym3, __LINE__, __COUNTER__, __COUNTER__
`,
  },
  {
    name: 'predefined macros',
    text: `#if __GNUC__ >= 12 && defined(__x86_64__) && defined(__LP64__) && !defined(__KERNEL__)
.quad __LONG_MAX__ - 0, linux, __SIZEOF_LONG__, __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#endif
`.replace('__LONG_MAX__ - 0', '__INT_MAX__'),
  },
];

for (const { name, text, files = {}, flags = [], settings = {} } of CASES) {
  test(`preprocessor: ${name}`, { skip }, async () => {
    const gnu = assembleWithGnu(text, files, ['-fno-pie', ...flags]);
    const readFile = (path: string): string => {
      const found = files[path];
      if (found === undefined) throw new InputError(`${path}: no such file`);
      return found;
    };
    const module = (await Assembler.create()).assembleText(text, 'input.S', { ...settings, readFile });
    assert.deepEqual(differencesFrom(module, gnu), []);
  });
}

test('line markers give positions, the include stack and __FILE__', async () => {
  const text = `# 1 "top.S"
nop
# 1 "dir/sub.h" 1
nop
bad bad
# 3 "top.S" 2
nop
`;
  const assembler = await Assembler.create();
  assert.throws(() => assembler.assembleText(text, 'x.i', {}), {
    message: 'dir/sub.h:2:1: unknown instruction "bad"; expected an instruction, a directive or a macro',
    notes: ['included from top.S:2'],
  });
  const module = assembler.assembleText(text.replace('bad bad', '.ascii __FILE__'), 'x.i', {});
  const lines = module.sections[0]!.lines.map(({ position }) => `${position.file}:${position.line}`);
  assert.deepEqual(lines, ['top.S:1', 'dir/sub.h:1', 'top.S:3']);
  assert.match(Buffer.from(module.sections[0]!.data).toString('latin1'), /dir\/sub\.h/);
});

test('a forced include that is missing is named', async () => {
  const assembler = await Assembler.create();
  assert.throws(() => assembler.assembleText('nop', 's.S', { forcedIncludes: ['none.h'] }), {
    message: '<command line>:1:1: cannot find include file "none.h"; expected it in .',
  });
});
