import assert from 'node:assert/strict';
import * as broken from '../support/broken.js';
import { KERNEL_STACK, type Options } from '../support/machine.js';
import { type Make, rule } from '../support/rule.js';

type Regs = NonNullable<Options['regs']>;

function divides(make: Make, text: string, regs: Regs, result: Regs): void {
  const rig = make(`start: ${text}\n`, { regs }).step();
  assert.equal(rig.delivered, undefined, text);
  assert.deepEqual(rig.all(...(Object.keys(result) as (keyof Regs)[])), result);
}

function faults(make: Make, text: string, regs: Regs): void {
  const rig = make(`start: ${text}\n`, { regs });
  const before = rig.all('RAX', 'RDX', 'RSP', 'RFLAGS');
  rig.step();
  assert.equal(rig.delivered, 0, text);
  assert.equal(rig.frame().rip, rig.label('start'));
  assert.deepEqual(rig.all('RAX', 'RDX'), { RAX: before.RAX, RDX: before.RDX });
  assert.equal(rig.frame().rflags, before.RFLAGS! | 0x10000n);
  assert.equal(rig.frame().rsp, before.RSP);
}

const bad = [broken.skippingFaults, broken.savingNextRip];

rule('DIV and IDIV by zero are #DE at the instruction', bad, (make) => {
  for (const name of ['div', 'idiv']) {
    faults(make, `${name}b %bl`, { RBX: 0x1100n });
    faults(make, `${name}w %bx`, { RBX: 0x110000n });
    faults(make, `${name}l %ebx`, { RBX: 0x1100000000n });
    faults(make, `${name}q %rbx`, { RBX: 0n });
  }
});

rule('a quotient of DIV that does not fit is #DE; one that just fits is not', bad, (make) => {
  faults(make, 'divb %bl', { RAX: 0x200n, RBX: 2n });
  divides(make, 'divb %bl', { RAX: 0x1ffn, RBX: 2n }, { RAX: 0x1ffn });
  faults(make, 'divq %rbx', { RAX: 0n, RDX: 5n, RBX: 5n });
  divides(make, 'divq %rbx', { RAX: 0xffffffffffffffffn, RDX: 4n, RBX: 5n }, { RAX: 0xffffffffffffffffn, RDX: 4n });
  faults(make, 'divl %ebx', { RAX: 0n, RDX: 0xffff00000001n, RBX: 1n });
});

rule('a quotient of IDIV that does not fit is #DE: the lowest number by -1', bad, (make) => {
  faults(make, 'idivq %rbx', { RAX: 1n << 63n, RDX: -1n, RBX: -1n });
  faults(make, 'idivl %ebx', { RAX: 0x80000000n, RDX: 0xffffffffn, RBX: 0xffffffffn });
  faults(make, 'idivw %bx', { RAX: 0x8000n, RDX: 0xffffn, RBX: 0xffffn });
  faults(make, 'idivb %bl', { RAX: 0xff80n, RBX: 0xffn });
  divides(make, 'idivq %rbx', { RAX: 1n << 63n, RDX: -1n, RBX: 1n }, { RAX: 1n << 63n, RDX: 0n });
});

rule('IDIV rounds towards zero, and the remainder has the sign of the dividend', broken.losing(0), (make) => {
  divides(make, 'idivq %rbx', { RAX: -7n, RDX: -1n, RBX: 2n }, { RAX: 0xfffffffffffffffdn, RDX: 0xffffffffffffffffn });
  divides(make, 'idivq %rbx', { RAX: 7n, RDX: 0n, RBX: -2n }, { RAX: 0xfffffffffffffffdn, RDX: 1n });
});

rule('a 32-bit division clears the upper halves of RAX and RDX', broken.losing(0), (make) => {
  divides(make, 'divl %ebx', { RAX: 0xffffffff0000000an, RDX: 0xffffffff00000000n, RBX: 3n }, { RAX: 3n, RDX: 1n });
});

rule('DIV by a high byte divides by that byte', broken.withOtherDivisor, (make) => {
  faults(make, 'divb %bh', { RAX: 0x10n, RBX: 0x00ffn });
  divides(make, 'divb %bh', { RAX: 0x11n, RBX: 0x0300n }, { RAX: 0x0205n });
  divides(make, 'divb %bh', { RAX: 0x11n, RBX: 0x03ffn }, { RAX: 0x0205n, RBX: 0x03ffn });
});

rule('DIV by AH divides AX by its own upper byte', bad, (make) => {
  faults(make, 'divb %ah', { RAX: 0x0010n });
  // The quotient of AX by AH is at least 0x100.
  faults(make, 'divb %ah', { RAX: 0x0110n });
});

rule('DIV by memory reads the divisor there', bad, (make) => {
  const rig = make('start: divl 4(%rsp)\n', { regs: { RSP: KERNEL_STACK - 8n, RAX: 100n, RDX: 0n } });
  rig.setWord(KERNEL_STACK - 8n, 7n << 32n);
  assert.deepEqual(rig.step().all('RAX', 'RDX'), { RAX: 14n, RDX: 2n });
  const zero = make('start: divl (%rsp)\n', { regs: { RSP: KERNEL_STACK - 8n, RAX: 100n, RDX: 0n } });
  zero.setWord(KERNEL_STACK - 8n, 7n << 32n);
  assert.equal(zero.step().delivered, 0);
  assert.equal(zero.frame().rip, zero.label('start'));
});

rule('a page fault of the divisor comes before #DE', broken.withoutCr2, (make) => {
  const rig = make('start: divl (%rbx)\n', { regs: { RBX: 0x1000n } }).step();
  assert.equal(rig.delivered, 14);
  assert.equal(rig.get('CR2'), 0x1000n);
});

rule('#DE pushes no error code', broken.withErrorCodeAlways, (make) => {
  const rig = make('start: divl %ebx\n', { regs: { RBX: 0n } }).step();
  assert.equal(rig.get('RSP'), KERNEL_STACK - 40n);
});
