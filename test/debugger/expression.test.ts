/** Expressions of conditions, print and set. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { parseExpression } from '../../src/debugger/expression.js';
import { InputError } from '../../src/errors.js';
import { opened, rfc } from '../support/debugger.js';
import { source } from '../support/search.js';

const debug = await rfc();

function value(text: string): bigint {
  return parseExpression(text, debug.image).value(debug);
}

test("C's operators, with C's ranks, on 64 bits without a sign", () => {
  for (const [text, expected] of [
    ['1 + 2 * 3', 7n],
    ['(1 + 2) * 3', 9n],
    ['1 << 4 + 1', 32n],
    ['7 & 3 == 3', 1n],
    ['1 | 2 ^ 3 & 2', 1n],
    ['-1', 0xffffffffffffffffn],
    ['~0 >> 60', 15n],
    ['1 << 64', 0n],
    ['2 < 3 && 3 <= 3 && 4 > 3 && 3 >= 3', 1n],
    ['1 == 2 || !0', 1n],
    ['0x10 % 7 - 10 / 3', 0xffffffffffffffffn],
    ['-1 > 1', 1n],
    ['-1 >> 64', 0n],
    ['0 && [0x10]', 0n],
    ['1 || 1 / 0', 1n],
    ['10 - 4 - 3', 3n],
  ] as const) {
    assert.equal(value(text), expected, text);
  }
});

test('registers, flags, the latch, symbols and memory have names', () => {
  debug.go(1);
  assert.equal(value('rip'), debug.image.resolve('nmi')!);
  assert.equal(value('$rip == nmi && %rip == nmi'), 1n);
  assert.equal(value('latch + pending + cpl + depth'), 2n);
  assert.equal(value('index'), 1n);
  assert.equal(value('IF'), 0n);
  assert.equal(value('[rsp]'), debug.image.resolve('context_start')!);
  assert.equal(value('*rsp'), value('qword[rsp]'));
  assert.equal(value('dword[rsp]'), value('[rsp]') & 0xffffffffn);
  assert.equal(value('word [rsp]'), value('[rsp]') & 0xffffn);
  assert.equal(value('byte[rsp + 1]'), (value('[rsp]') >> 8n) & 0xffn);
  assert.equal(value('eax'), value('rax') & 0xffffffffn);
});

test('what is wrong is named, with what was meant', () => {
  for (const [text, message] of [
    ['', "'': expected a number, a name or a bracket at the end"],
    ['1 +', "'1 +': expected a number, a name or a bracket at the end"],
    ['(1', "'(1': expected ')' here"],
    ['1 2', "'1 2': '2': expected an operator or the end here"],
    ['rdx = 1', "'rdx = 1': '= 1': is no number, name or operator"],
    ['rxd', "'rxd': 'rxd': there is no register, flag or symbol 'rxd'; did you mean rdx?"],
    ['0x1ffffffffffffffff', "'0x1ffffffffffffffff': '0x1ffffffffffffffff': does not fit in 64 bits"],
    ['1 / 0', 'division by zero'],
    ['[0x10]', '0x10: nothing is mapped there'],
    ["'", "''': ''': is no number, name or operator"],
    ['constructor', "'constructor': 'constructor': there is no register, flag or symbol 'constructor'"],
  ] as const) {
    assert.throws(
      () => value(text),
      (error: Error) => {
        assert.ok(error instanceof InputError);
        assert.ok(error.message.startsWith(message), `${text}: ${error.message}`);
        return true;
      },
    );
  }
  assert.throws(() => value('('.repeat(10_000)), InputError);
});

test('a variable of the per-CPU area is where that lies, not where it is linked', async () => {
  const handler = source(`
	.globl	nmi, counter
	.text
nmi:	incq	%gs:counter
	iretq
	.section .data..percpu,"aw",@progbits
	.quad	0
counter:
	.quad	7
`);
  const other = await opened(handler);
  assert.equal(other.image.find('counter')!.address, 8n);
  const address = parseExpression('counter', other.image).value(other);
  assert.equal(address, other.readRegister('gs_base') + 8n);
  assert.equal(other.memory(address, 8), 7n);
});
