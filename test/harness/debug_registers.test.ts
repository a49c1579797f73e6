/** MOV to and from debug registers, general detect, INT1, and the model-specific registers (SDM vol. 3, 17.2 and 17.4.1). */
import assert from 'node:assert/strict';
import { Mnemonic } from 'iced-x86';
import { NotModelled } from '../../src/cpu/not_modelled.js';
import { Flag, Reg } from '../../src/cpu/registers.js';
import { arm, BD, BS, dr6, On } from '../support/breakpoints.js';
import * as broken from '../support/broken.js';
import * as debug from '../support/broken_debug.js';
import { KERNEL_CS, KERNEL_STACK, USER_CS } from '../support/machine.js';
import { rule } from '../support/rule.js';

const user = '.section .text.user,"ax"\n';
const TF = BigInt(Flag.TF);
const RF = BigInt(Flag.RF);
const GD = 0x2000n;

rule('C-5: DR0 to DR3 hold any 64-bit address', broken.ignoring(Mnemonic.Mov), (make) => {
  const value = 0x8123456789abcdefn;
  for (let n = 0; n < 4; n++) {
    const rig = make(`start: mov %rbx, %dr${n}\n mov %dr${n}, %rcx\n`, { regs: { RBX: value } }).step(2);
    assert.deepEqual([rig.get(`DR${n as 0}`), rig.get('RCX'), rig.delivered], [value, value, undefined]);
  }
});

rule('C-5: the fixed bits of DR6 and DR7 read as they are fixed', debug.storingRawDebugRegisters, (make) => {
  const rig = make('start: mov %rbx, %dr6\n mov %rbx, %dr7\n', { regs: { RBX: 0xffffdfffn } }).step(2);
  assert.deepEqual(rig.all('DR6', 'DR7'), { DR6: 0xffffcfffn, DR7: 0xffff07ffn });
  rig.set({ RBX: 0n, RIP: rig.label('start') }).step(2);
  assert.deepEqual(rig.all('DR6', 'DR7'), { DR6: 0xffff0ff0n, DR7: 0x400n });
});

rule('C-5: an upper half in DR6 or DR7 is #GP(0)', broken.skippingFaults, (make) => {
  for (const n of [6, 7] as const) {
    const rig = make(`start: mov %rbx, %dr${n}\n`, { regs: { RBX: 0x100000400n } }).step();
    assert.deepEqual([rig.delivered, rig.get('DR6'), rig.get('DR7')], [13, 0xffff0ff0n, 0x400n]);
    assert.equal(rig.errorCode, 0n);
  }
});

rule('C-5: with CR4.DE clear DR4 is DR6 and DR5 is DR7', debug.withDe(true), (make) => {
  const rig = make('start: mov %rbx, %dr4\n mov %rcx, %dr5\n mov %dr4, %rsi\n mov %dr5, %rdi\n', {
    regs: { RBX: 0x4000n, RCX: 0x2n },
  }).step(4);
  assert.deepEqual(rig.all('DR6', 'DR7', 'RSI', 'RDI'), {
    DR6: dr6(BS),
    DR7: 0x402n,
    RSI: dr6(BS),
    RDI: 0x402n,
  });
});

rule('C-5: with CR4.DE set DR4 and DR5 are #UD', debug.withDe(false), (make) => {
  for (const text of ['mov %rbx, %dr4', 'mov %dr5, %rbx'])
    assert.equal(make(`start: ${text}\n`, { regs: { CR4: 0x68n } }).step().delivered, 6);
});

rule('C-5: debug registers are ring 0 alone: #GP(0)', broken.withoutPrivilege, (make) => {
  for (const text of ['mov %rbx, %dr0', 'mov %dr7, %rbx']) {
    const rig = make(`${user}start: ${text}\n`).step();
    assert.deepEqual([rig.delivered, rig.errorCode], [13, 0n]);
  }
});

rule(
  'C-5: DR7.GD makes an access #DB with BD, a fault with RF in its image, and is cleared by it',
  [debug.withoutGeneralDetect, debug.keepingGd, debug.pushingOtherRf, debug.withoutDr6],
  (make) => {
    for (const text of ['mov %rbx, %dr0', 'mov %dr6, %rbx']) {
      const rig = make(`start: nop\nhere: ${text}\n`, { regs: { DR7: 0x400n | GD, DR0: 5n } }).step(2);
      assert.equal(rig.delivered, 1);
      assert.deepEqual(rig.all('DR0', 'DR6', 'DR7'), { DR0: 5n, DR6: dr6(BD), DR7: 0x400n });
      assert.deepEqual([rig.frame().rip, rig.frame().rflags & RF], [rig.label('here'), RF]);
    }
  },
);

rule('C-5: #DB clears nothing of DR7 but GD', debug.disablingBreakpoints, (make) => {
  const rig = make('start: mov %dr0, %rbx\n', { regs: { DR7: 0xffff27ffn, DR0: 1n, DR1: 1n, DR2: 1n, DR3: 1n } });
  assert.equal(rig.step().get('DR7'), 0xffff07ffn);
});

rule('C-5: software alone clears DR6', debug.clearingDr6, (make) => {
  const rig = make('start: mov %dr0, %rbx\nv1: mov %dr6, %rcx\n', { regs: { DR6: dr6(0x8005), DR7: 0x400n | GD } });
  assert.equal(rig.step(2).get('RCX'), dr6(0x8005 | BD));
});

rule(
  'INT1 is #DB after itself, from every ring whatever the DPL of the gate, and reports nothing',
  [broken.ignoring(Mnemonic.Int1), debug.reportingInt1, debug.refusingInt1, debug.restartingInt1],
  (make) => {
    for (const [section, cs] of [
      ['', KERNEL_CS],
      [user, USER_CS],
    ] as const) {
      const rig = make(`${section}start: int1\nafter: nop\n`, { regs: { RFLAGS: 0x10202n | TF } }).step();
      assert.deepEqual([rig.delivered, rig.get('DR6')], [1, dr6(0)]);
      assert.deepEqual([rig.frame().rip, rig.frame().cs], [rig.label('after'), BigInt(cs)]);
      // RF is pushed as 0, and TF is no trap.
      assert.equal(rig.frame().rflags, 0x202n | TF);
      assert.notEqual(rig.step().delivered, 1);
    }
  },
);

rule('INT1 whose delivery faults is restarted, and the error code says EXT', debug.restartingInt1, (make) => {
  const rig = make('start: nop\nhere: int1\nafter: nop\n', { gates: { 1: { present: false } } }).step(2);
  assert.deepEqual([rig.delivered, rig.errorCode], [11, BigInt(8 + 2 + 1)]);
  assert.equal(rig.frame(true).rip, rig.label('here'));
  const sound = make('start: nop\nhere: int1\nafter: nop\n').step(2);
  assert.equal(sound.frame().rip, sound.label('after'));
});

rule('INT1 clears DR7.GD', debug.keepingGd, (make) => {
  assert.equal(
    make('start: int1\n', { regs: { DR7: 0x400n | GD } })
      .step()
      .get('DR7'),
    0x400n,
  );
});

const wrmsr = (msr: number, low: bigint, high = 0n): { RCX: bigint; RAX: bigint; RDX: bigint } => ({
  RCX: BigInt(msr),
  RAX: low,
  RDX: high,
});

rule(
  'IA32_DEBUGCTL takes 0; what would trace branches is refused, what is reserved is #GP(0)',
  broken.executingAnything,
  (make) => {
    assert.equal(make('start: wrmsr\n', { regs: wrmsr(0x1d9, 0n) }).step().delivered, undefined);
    assert.throws(() => make('start: wrmsr\n', { regs: wrmsr(0x1d9, 2n) }).step(), NotModelled);
    assert.equal(make('start: wrmsr\n', { regs: wrmsr(0x1d9, 1n << 5n) }).step().delivered, 13);
    assert.equal(
      make('start: rdmsr\n', { regs: wrmsr(0x1d9, 7n) })
        .step()
        .get('RAX'),
      0n,
    );
  },
);

rule(
  'C-5: the address masks exist where the profile says so, and have 32 bits',
  debug.otherwise('breakpointAddressMasks'),
  (make) => {
    const masks = [
      [0xc0011027, Reg.DR0_MASK],
      [0xc0011019, Reg.DR1_MASK],
      [0xc001101a, Reg.DR2_MASK],
      [0xc001101b, Reg.DR3_MASK],
    ] as const;
    for (const [msr, register] of masks) {
      const amd = make('start: wrmsr\n xor %eax, %eax\n rdmsr\n', {
        regs: wrmsr(msr, 0xfffn),
        profile: { breakpointAddressMasks: true },
      }).step(3);
      assert.deepEqual(
        [amd.delivered, amd.machine.cpu.regs.u64[register], amd.get('RAX')],
        [undefined, 0xfffn, 0xfffn],
      );
      const wide = make('start: wrmsr\n', { regs: wrmsr(msr, 0n, 1n), profile: { breakpointAddressMasks: true } });
      assert.equal(wide.step().delivered, 13);
      for (const text of ['wrmsr', 'rdmsr']) {
        const intel = make(`start: ${text}\n`, { regs: wrmsr(msr, 0n), profile: { breakpointAddressMasks: false } });
        assert.equal(intel.step().delivered, 13);
      }
    }
  },
);

rule('C-5: a mask takes bits out of the comparison', debug.ignoringMasks, (make) => {
  const rig = make('start: movq %rax, -8(%rsp)\n nop\n', {
    regs: { DR0: KERNEL_STACK - 0x100n, DR7: arm(0, On.WRITE), DR0_MASK: 0xfffn },
  });
  assert.equal(rig.step(2).delivered, 1);
  const code = make('start: nop\n nop\nhere: nop\n', { regs: { DR7: arm(0, On.INSTRUCTION), DR0_MASK: 1n } });
  code.set({ DR0: code.label('here') + 1n });
  assert.deepEqual([code.step(3).delivered, code.frame().rip], [1, code.label('here')]);
});
