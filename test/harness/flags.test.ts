import assert from 'node:assert/strict';
import { Mnemonic } from 'iced-x86';
import { Flag, Reg } from '../../src/cpu/registers.js';
import { EventState } from '../../src/harness/event_state.js';
import * as broken from '../support/broken.js';
import { KERNEL_STACK, USER_STACK } from '../support/machine.js';
import { rule } from '../support/rule.js';

const user = '.section .text.user,"ax"\n';
const all = 0x3f7fd7n & ~BigInt(Flag.TF | Flag.VM);

rule('PUSHFQ pushes RFLAGS with RF and VM clear', [broken.showingRf, broken.ignoring(Mnemonic.Pushfq)], (make) => {
  const rig = make('start: pushfq\n', { regs: { RFLAGS: all } }).step();
  assert.equal(rig.get('RSP'), KERNEL_STACK - 8n);
  assert.equal(rig.word(KERNEL_STACK - 8n), all & ~BigInt(Flag.RF));
});

rule('POPFQ in ring 0 loads all flags but RF, VM, VIF and VIP; RF is cleared', broken.losing(Reg.RFLAGS), (make) => {
  const rig = make('start: popfq\n', { regs: { RSP: KERNEL_STACK - 8n, RFLAGS: 0x10002n } });
  rig.setWord(KERNEL_STACK - 8n, all);
  rig.step();
  assert.equal(rig.get('RFLAGS'), all & ~BigInt(Flag.RF | Flag.VIF | Flag.VIP));
  assert.equal(rig.get('RSP'), KERNEL_STACK);
});

rule('POPFQ in ring 3 with IOPL 0 loads neither IF nor IOPL', broken.loadingPrivilegedFlags, (make) => {
  const rig = make(`${user}start: popfq\n popfq\n`, { regs: { RSP: USER_STACK - 16n } });
  rig.setWord(USER_STACK - 16n, 0x3001n);
  rig.setWord(USER_STACK - 8n, 0x0n);
  assert.equal(rig.step().get('RFLAGS'), 0x203n);
  assert.equal(rig.step().get('RFLAGS'), 0x202n);
});

rule('POPFQ in ring 3 with IOPL 3 loads IF and keeps IOPL', broken.ignoringIopl, (make) => {
  const rig = make(`${user}start: popfq\n`, { regs: { RSP: USER_STACK - 8n, RFLAGS: 0x3202n } });
  rig.setWord(USER_STACK - 8n, 0x1n);
  assert.equal(rig.step().get('RFLAGS'), 0x3003n);
});

rule('C-2: POPFQ that sets IF casts no shadow', broken.castingShadows, (make) => {
  const rig = make('start: popfq\n', { regs: { RSP: KERNEL_STACK - 8n, RFLAGS: 2n } });
  rig.setWord(KERNEL_STACK - 8n, 0x202n);
  rig.step();
  assert.equal(rig.flag(Flag.IF), true);
  assert.equal(rig.event(EventState.STI_SHADOW), false);
});

rule('CLI clears IF, STI sets it', [broken.ignoring(Mnemonic.Cli), broken.ignoring(Mnemonic.Sti)], (make) => {
  const rig = make('start: cli\n sti\n').step();
  assert.equal(rig.get('RFLAGS'), 2n);
  assert.equal(rig.step().get('RFLAGS'), 0x202n);
});

rule(
  'C-2: STI with IF clear casts a shadow over one instruction',
  [broken.withoutShadows, broken.withEndlessShadows],
  (make) => {
    const rig = make('start: sti\n nop\n', { regs: { RFLAGS: 2n } }).step();
    assert.equal(rig.event(EventState.STI_SHADOW), true);
    assert.equal(rig.step().event(EventState.STI_SHADOW), false);
  },
);

rule('C-2: STI with IF set casts no shadow', broken.castingShadows, (make) => {
  assert.equal(make('start: sti\n').step().event(EventState.STI_SHADOW), false);
});

rule('C-2: the second of two STI casts no shadow', broken.withEndlessShadows, (make) => {
  assert.equal(
    make('start: sti\n sti\n', { regs: { RFLAGS: 2n } })
      .step(2)
      .event(EventState.STI_SHADOW),
    false,
  );
});

for (const mnemonic of ['cli', 'sti']) {
  rule(`${mnemonic.toUpperCase()} in ring 3 with IOPL below 3 is #GP(0)`, broken.withoutPrivilege, (make) => {
    for (const iopl of [0n, 1n, 2n]) {
      const rig = make(`${user}start: ${mnemonic}\n`, { regs: { RFLAGS: 2n | (iopl << 12n) } }).step();
      assert.equal(rig.delivered, 13);
      assert.equal(rig.errorCode, 0n);
    }
  });

  rule(`${mnemonic.toUpperCase()} in ring 3 with IOPL 3 is allowed`, broken.ignoringIopl, (make) => {
    const rig = make(`${user}start: ${mnemonic}\n`, { regs: { RFLAGS: 0x3002n } }).step();
    assert.equal(rig.delivered, undefined);
    assert.equal(rig.flag(Flag.IF), mnemonic === 'sti');
  });
}

rule('STAC sets AC, CLAC clears it', [broken.ignoring(Mnemonic.Stac), broken.ignoring(Mnemonic.Clac)], (make) => {
  const rig = make('start: stac\n clac\n').step();
  assert.equal(rig.get('RFLAGS'), 0x40202n);
  assert.equal(rig.step().get('RFLAGS'), 0x202n);
});

rule('STAC and CLAC in ring 3 are #UD', broken.withoutPrivilege, (make) => {
  assert.equal(make(`${user}start: stac\n`).step().delivered, 6);
  assert.equal(make(`${user}start: clac\n`).step().delivered, 6);
});

rule('HLT in ring 3 is #GP(0)', broken.withoutPrivilege, (make) => {
  const rig = make(`${user}start: hlt\n`).step();
  assert.equal(rig.delivered, 13);
  assert.equal(rig.errorCode, 0n);
});

rule('a breakpoint cannot be fired while the processor is halted', broken.withoutHalt, (make) => {
  const rig = make('start: hlt\n nop\n').step();
  assert.equal(rig.machine.may('bp'), false);
  assert.equal(rig.machine.may('nmi'), true);
});

rule('any instruction that completes clears RF, microcode too', broken.keepingRfForever, (make) => {
  for (const text of ['nop', 'cli', 'swapgs', 'pushfq', 'movl %ss, %eax', 'hlt']) {
    assert.equal(
      make(`start: ${text}\n`, { regs: { RFLAGS: 0x10202n } })
        .step()
        .flag(Flag.RF),
      false,
      text,
    );
  }
});

rule('PUSHF with a 16-bit operand pushes the lower 16 flags', broken.ignoring(Mnemonic.Pushf), (make) => {
  const rig = make('start: .byte 0x66, 0x9c\n', { regs: { RFLAGS: all, RSP: KERNEL_STACK - 8n } });
  rig.setWord(KERNEL_STACK - 16n, -1n);
  rig.step();
  assert.equal(rig.get('RSP'), KERNEL_STACK - 10n);
  assert.equal(rig.word(KERNEL_STACK - 16n), ((all & 0xffffn) << 48n) | 0xffffffffffffn);
});

rule('POPF with a 16-bit operand keeps the upper flags', broken.losing(Reg.RFLAGS), (make) => {
  const rig = make('start: .byte 0x66, 0x9d\n', { regs: { RFLAGS: 0x240202n, RSP: KERNEL_STACK - 8n } });
  rig.setWord(KERNEL_STACK - 8n, 0xffffffff_ffff3447n);
  rig.step();
  assert.equal(rig.get('RFLAGS'), 0x243447n);
  assert.equal(rig.get('RSP'), KERNEL_STACK - 6n);
});

rule('POPF with a 16-bit operand loads IF and IOPL by the ring', broken.withoutPrivilege, (make) => {
  const rig = make(`${user}start: .byte 0x66, 0x9d\n`, { regs: { RSP: USER_STACK - 8n } });
  rig.setWord(USER_STACK - 8n, 0x3001n);
  assert.equal(rig.step().get('RFLAGS'), 0x203n);
});
