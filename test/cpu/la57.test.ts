/** 5-level paging: linear addresses of 57 bits (SDM vol. 3, 4.5; vol. 1, 3.3.7.1). */
import assert from 'node:assert/strict';
import { Perm, type Region } from '../../src/cpu/memory.js';
import { Tss } from '../../src/harness/descriptors.js';
import * as broken from '../support/broken.js';
import * as memory from '../support/broken_memory.js';
import { KERNEL_STACK, type Options, TSS } from '../support/machine.js';
import { rule } from '../support/rule.js';

const LA57: Options = { profile: { la57: true }, regs: { CR4: 0x1060n } };
/** Canonical with 57 bits, not with 48. */
const FAR = 0xff11000000000000n;
const FAR_CODE = 0x0070123456789000n;
const FAR_USER = 0x0080000000000000n;
const regions: readonly Region[] = [
  { name: 'far', address: FAR, size: 0x2000, perms: Perm.WRITE },
  { name: 'far code', address: FAR_CODE, size: 0x1000, perms: Perm.EXEC },
  { name: 'last user page', address: FAR_USER * 2n - 0x1000n, size: 0x1000, perms: Perm.EXEC | Perm.USER },
];

rule('with 57 bits, an access to an address that needs them is no fault', memory.with48BitAddresses, (make) => {
  const options = { ...LA57, regions, regs: { ...LA57.regs, RBX: FAR + 0x10n } };
  const rig = make('start: movq %rax, (%rbx)\n movq (%rbx), %rcx\n', options).step(2);
  assert.equal(rig.delivered, undefined);
  assert.equal(rig.get('RCX'), rig.get('RAX'));
});

rule('with 48 bits it is #GP(0)', memory.with57BitAddresses, (make) => {
  const rig = make('start: movq %rax, (%rbx)\n', { regions, regs: { RBX: FAR + 0x10n } }).step();
  assert.equal(rig.delivered, 13);
  assert.equal(rig.errorCode, 0n);
});

rule(
  'with 57 bits, an address that is not mapped is #PF, and one beyond is #GP(0)',
  memory.with48BitAddresses,
  (make) => {
    for (const [address, vector] of [
      [0x00ffffffffffe000n, 14],
      [0x0100000000000000n, 13],
      [0xff00000000000000n, 14],
      [0xfeffffffffffffffn, 13],
    ] as const) {
      const rig = make('start: movb (%rbx), %al\n', { ...LA57, regs: { ...LA57.regs, RBX: address } }).step();
      assert.equal(rig.delivered, vector);
    }
  },
);

rule('with 57 bits, code runs there: branches, calls, returns', memory.with48BitAddresses, (make) => {
  const text = 'start: call *%rbx\nback: nop\n';
  const rig = make(text, { ...LA57, regions, regs: { ...LA57.regs, RBX: FAR_CODE + 0x123n } });
  // inc %rax; jne .+2; nop; ret
  rig.machine.memory.load(FAR_CODE + 0x123n, Uint8Array.from([0x48, 0xff, 0xc0, 0x75, 0x01, 0xf4, 0xc3]));
  rig.step(2);
  assert.equal(rig.get('RAX'), 0xa0a0a0a0a0a0a0a1n);
  assert.equal(rig.rip, FAR_CODE + 0x126n);
  rig.step(2);
  assert.equal(rig.delivered, undefined);
  assert.equal(rig.rip, rig.label('back'));
  assert.equal(rig.get('RSP'), KERNEL_STACK);
});

rule('with 57 bits, events are delivered to a stack and a handler there', memory.with48BitAddresses, (make) => {
  const rig = make('start: nop\n', { ...LA57, regions, gates: { 2: { ist: 1, target: FAR_CODE } } });
  rig.setWord(TSS + BigInt(Tss.IST1), FAR + 0x2000n);
  rig.machine.memory.load(FAR_CODE, Uint8Array.from([0x48, 0xcf]));
  rig.nmi();
  assert.equal(rig.delivered, 2);
  assert.equal(rig.rip, FAR_CODE);
  assert.equal(rig.get('RSP'), FAR + 0x2000n - 40n);
  rig.step();
  assert.equal(rig.rip, rig.label('start'));
});

rule('with 57 bits, IRET and SYSRET go there', memory.with48BitAddresses, (make) => {
  const target = FAR_USER * 2n - 0x800n;
  const sysret = make('start: sysretq\n', { ...LA57, regions, regs: { ...LA57.regs, RCX: target, R11: 2n } });
  assert.equal(sysret.step().rip, target);
  const iret = make('start: iretq\n', { ...LA57, regions, regs: { ...LA57.regs, RSP: KERNEL_STACK - 40n } });
  [target, 0x33n, 2n, 0x1000n, 0x2bn].forEach((word, i) => {
    iret.setWord(KERNEL_STACK - 40n + BigInt(8 * i), word);
  });
  assert.equal(iret.step().rip, target);
});

rule('with 48 bits, they are #GP(0)', memory.with57BitAddresses, (make) => {
  const target = FAR_USER * 2n - 0x800n;
  const sysret = make('start: sysretq\n', { regions, regs: { RCX: target, R11: 2n } }).step();
  assert.equal(sysret.delivered, 13);
  const iret = make('start: iretq\n', { regions, regs: { RSP: KERNEL_STACK - 40n } });
  [target, 0x33n, 2n, 0x1000n, 0x2bn].forEach((word, i) => {
    iret.setWord(KERNEL_STACK - 40n + BigInt(8 * i), word);
  });
  assert.equal(iret.step().delivered, 13);
});

rule('with 57 bits, bases and entry points in MSRs may be there', memory.with48BitAddresses, (make) => {
  for (const msr of [0xc0000082n, 0xc0000101n, 0xc0000102n]) {
    const regs = { ...LA57.regs, RCX: msr, RAX: FAR & 0xffffffffn, RDX: FAR >> 32n };
    assert.equal(make('start: wrmsr\n', { ...LA57, regs }).step().delivered, undefined);
  }
  const regs = { CR4: 0x11060n, RAX: FAR };
  assert.equal(
    make('start: wrgsbase %rax\n', { ...LA57, regs })
      .step()
      .get('GS_BASE'),
    FAR,
  );
});

rule('with 48 bits, these are #GP(0)', memory.with57BitAddresses, (make) => {
  const regs = { RCX: 0xc0000082n, RAX: FAR & 0xffffffffn, RDX: FAR >> 32n };
  assert.equal(make('start: wrmsr\n', { regs }).step().delivered, 13);
  const base = { CR4: 0x10060n, RAX: FAR };
  assert.equal(make('start: wrgsbase %rax\n', { regs: base }).step().delivered, 13);
});

rule('with 57 bits, GS-relative operands reach there', broken.skippingFaults, (make) => {
  const rig = make('start: movq %gs:8, %rax\n movq %gs:0x2000, %rax\n', {
    ...LA57,
    regions,
    regs: { ...LA57.regs, GS_BASE: FAR },
  });
  rig.setWord(FAR + 8n, 0x77n);
  assert.equal(rig.step().get('RAX'), 0x77n);
  assert.equal(rig.step().delivered, 14);
  assert.equal(rig.get('CR2'), FAR + 0x2000n);
});
