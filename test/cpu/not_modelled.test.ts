import assert from 'node:assert/strict';
import { NotModelled } from '../../src/cpu/not_modelled.js';
import { InputError } from '../../src/errors.js';
import * as broken from '../support/broken.js';
import { KERNEL_STACK } from '../support/machine.js';
import { rule } from '../support/rule.js';

/** What the machine has no state for: each must be refused, since executing it would change what no snapshot holds. */
const REFUSED: Readonly<Record<string, string>> = {
  'movups %xmm0, (%rsp)': '.byte 0x0f, 0x11, 0x04, 0x24',
  'pxor %xmm1, %xmm0': '.byte 0x66, 0x0f, 0xef, 0xc1',
  'movd %mm0, %eax': '.byte 0x0f, 0x7e, 0xc0',
  emms: '.byte 0x0f, 0x77',
  fld1: '.byte 0xd9, 0xe8',
  'fldcw (%rsp)': '.byte 0xd9, 0x2c, 0x24',
  fninit: '.byte 0xdb, 0xe3',
  fwait: '.byte 0x9b',
  'fxsave (%rsp)': '.byte 0x0f, 0xae, 0x04, 0x24',
  'ldmxcsr (%rsp)': '.byte 0x0f, 0xae, 0x14, 0x24',
  'stmxcsr (%rsp)': '.byte 0x0f, 0xae, 0x1c, 0x24',
  'cvtss2si (%rsp), %eax': '.byte 0xf3, 0x0f, 0x2d, 0x04, 0x24',
  'xsave (%rsp)': '.byte 0x0f, 0xae, 0x24, 0x24',
  xgetbv: '.byte 0x0f, 0x01, 0xd0',
  rdpkru: '.byte 0x0f, 0x01, 0xee',
  rdtsc: 'rdtsc',
  rdtscp: 'rdtscp',
  rdrand: '.byte 0x0f, 0xc7, 0xf0',
  vmmcall: '.byte 0x0f, 0x01, 0xd9',
  stgi: '.byte 0x0f, 0x01, 0xdc',
  xbegin: '.byte 0xc7, 0xf8, 0, 0, 0, 0',
  xabort: '.byte 0xc6, 0xf8, 0',
  mwait: '.byte 0x0f, 0x01, 0xc9',
  incsspq: '.byte 0xf3, 0x48, 0x0f, 0xae, 0xe8',
  uiret: '.byte 0xf3, 0x0f, 0x01, 0xec',
  popcnt: '.byte 0xf3, 0x48, 0x0f, 0xb8, 0xc1',
  'movbe (%rsp), %eax': '.byte 0x0f, 0x38, 0xf0, 0x04, 0x24',
  xlatb: '.byte 0xd7',
  'movl %eax, (%ebx): a 32-bit address': '.byte 0x67, 0x89, 0x03',
  'addr32 rep movsb': '.byte 0x67, 0xf3, 0xa4',
  'movw %ds, (%ebx): a 32-bit address': '.byte 0x67, 0x8c, 0x1b',
  'data16 ret': '.byte 0x66, 0xc3',
  'data16 jmp *%rax': '.byte 0x66, 0xff, 0xe0',
};

for (const [name, text] of Object.entries(REFUSED)) {
  rule(`${name} is refused, and the state is as before`, broken.executingAnything, (make) => {
    const rig = make(`start: nop\nhere: ${text}\n nop\n`, { regs: { RSP: KERNEL_STACK - 0x400n } }).step();
    const before = rig.machine.snapshot();
    let refused: unknown;
    try {
      rig.step();
    } catch (error) {
      refused = error;
    }
    assert.ok(refused instanceof NotModelled);
    assert.ok(refused instanceof InputError);
    assert.equal(refused.address, rig.label('here'));
    assert.match(refused.message, /^0xffffffff81000001: /);
    assert.deepEqual(rig.machine.u32, before.registers);
    assert.equal(Buffer.compare(rig.machine.memory.u8, before.memory.bytes), 0);
  });
}

rule('a write to code is refused: code that changes itself is not modelled', broken.executingAnything, (make) => {
  const rig = make('start: movb %al, (%rbx)\n', { regs: { CR0: 0x80040033n } });
  rig.set({ RBX: rig.label('start') });
  assert.throws(() => rig.step(), NotModelled);
});

rule('EFER without NXE is refused', broken.executingAnything, (make) => {
  const rig = make('start: wrmsr\n', { regs: { RCX: 0xc0000080n, RAX: 0x501n, RDX: 0n } });
  assert.throws(() => rig.step(), NotModelled);
});

rule(
  'a branch or a push with an address-size prefix is no 32-bit access, and is executed',
  broken.skippingFaults,
  (make) => {
    const rig = make('start: .byte 0x67, 0xe8, 0, 0, 0, 0\nafter: .byte 0x67, 0x50\n .byte 0x0f, 0x0b\n').step(2);
    assert.equal(rig.word(KERNEL_STACK - 8n), rig.label('after'));
    assert.equal(rig.get('RSP'), KERNEL_STACK - 16n);
    assert.equal(rig.step().delivered, 6);
  },
);
