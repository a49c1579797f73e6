import assert from 'node:assert/strict';
import { Mnemonic } from 'iced-x86';
import { Flag } from '../../src/cpu/registers.js';
import { Origin } from '../../src/harness/delivery.js';
import * as broken from '../support/broken.js';
import { RSP0_STACK, USER_CS } from '../support/machine.js';
import { rule } from '../support/rule.js';

const user = '.section .text.user,"ax"\n';

rule('INT n and INT3 save the address after the instruction', broken.savingOwnRip, (make) => {
  const int = make('start: int $0x1e\n nop\n').step();
  assert.equal(int.rip, int.label('v30'));
  assert.equal(int.frame().rip, int.label('start') + 2n);
  const int3 = make('start: int3\n nop\n').step();
  assert.equal(int3.rip, int3.label('v3'));
  assert.equal(int3.frame().rip, int3.label('start') + 1n);
  assert.equal(int3.machine.happened.origin, Origin.SOFTWARE);
});

rule('INT 3 in its two-byte form saves the address after both bytes', broken.savingOwnRip, (make) => {
  const rig = make('start: .byte 0xcd, 3\n nop\n').step();
  assert.equal(rig.frame().rip, rig.label('start') + 2n);
});

rule('INT n pushes no error code, whatever the vector', broken.withErrorCodeAlways, (make) => {
  for (const vector of [8, 13, 14]) {
    const rig = make(`start: int $${vector}\n`);
    const rsp = rig.get('RSP');
    assert.equal(rig.step().get('RSP'), rsp - 40n);
  }
});

rule('INT n in ring 3 needs a gate with DPL 3; otherwise #GP(n * 8 + 2)', broken.withoutGateDpl, (make) => {
  const rig = make(`${user}start: int $0x1e\n`).step();
  assert.equal(rig.delivered, 13);
  assert.equal(rig.errorCode, 0x1en * 8n + 2n);
  assert.equal(rig.frame(true).rip, rig.label('start'));
});

rule('INT n in ring 3 through a gate with DPL 3 goes to ring 0 on RSP0', broken.ignoringRsp0, (make) => {
  const rig = make(`${user}start: int $0x1e\n`, { gates: { 30: { dpl: 3 } } }).step();
  assert.equal(rig.rip, rig.label('v30'));
  assert.equal(rig.get('RSP'), RSP0_STACK - 40n);
  assert.equal(rig.frame().cs, BigInt(USER_CS));
});

rule('INT n in ring 0 goes through a gate with DPL 0', broken.ignoring(Mnemonic.Int), (make) => {
  const rig = make('start: int $0x1e\n').step();
  assert.equal(rig.rip, rig.label('v30'));
});

rule('INT n through a gate that is not present is #NP with EXT clear', broken.withOtherErrorCodes, (make) => {
  const rig = make('start: int3\n', { gates: { 3: { present: false } } }).step();
  assert.equal(rig.delivered, 11);
  assert.equal(rig.errorCode, 3n * 8n + 2n);
});

rule('INT n pushes RF as 0', broken.withRfInEveryFrame, (make) => {
  const rig = make('start: int3\n', { regs: { RFLAGS: 0x10202n } }).step();
  assert.equal(rig.frame().rflags, 0x202n);
  assert.equal(rig.flag(Flag.RF), false);
});

for (const [name, bytes] of Object.entries({ UD0: '0x0f, 0xff, 0xc0', UD1: '0x0f, 0xb9, 0xc0', UD2: '0x0f, 0x0b' })) {
  rule(
    `${name} is #UD at the instruction, without an error code`,
    [broken.savingNextRip, broken.withErrorCodeAlways],
    (make) => {
      const rig = make(`start: nop\n .byte ${bytes}\n`).step(2);
      assert.equal(rig.delivered, 6);
      assert.equal(rig.frame().rip, rig.label('start') + 1n);
    },
  );
}

rule('an encoding that is not valid in 64-bit mode is #UD', broken.savingNextRip, (make) => {
  for (const bytes of ['0x06', '0x0f, 0x04', '0xf0, 0x01, 0xc0', '0xc5, 0x00, 0x00']) {
    const rig = make(`start: .byte ${bytes}\n nop\n nop\n`).step();
    assert.equal(rig.delivered, 6, bytes);
    assert.equal(rig.frame().rip, rig.label('start'), bytes);
  }
});
