/** The machine check: SDM vol. 3, 6.15 "Interrupt 18" and chapter 15. */
import assert from 'node:assert/strict';
import { Mnemonic } from 'iced-x86';
import { Vector } from '../../src/cpu/cpu.js';
import { EventState } from '../../src/harness/event_state.js';
import { enableMachineCheck, machineCheckRegion } from '../../src/harness/machine_check.js';
import * as broken from '../support/broken.js';
import * as machineCheck from '../support/broken_smm.js';
import type { Options, Rig } from '../support/machine.js';
import { type Make, rule } from '../support/rule.js';
import { makeSmm } from '../support/smm.js';

const Msr = {
  MCG_CAP: 0x179n,
  MCG_STATUS: 0x17an,
  MCG_CTL: 0x17bn,
  CTL: 0x400n,
  STATUS: 0x401n,
  ADDR: 0x402n,
  MISC: 0x403n,
};
const VAL = 1n << 63n;
const OVER = 1n << 62n;
const UC = 1n << 61n;
const EN = 1n << 60n;

const code = 'start: nop\n nop\nv18: nop\n iretq\nv2: nop\n iretq\n';

/** A Rig with bank 0, reporting all errors. */
function withBank(make: Make, text: string, options: Options = {}): Rig {
  const rig = make(text, { ...options, regions: [machineCheckRegion(1), ...(options.regions ?? [])] });
  enableMachineCheck(rig.machine.memory, 1);
  return rig;
}

/** What RDMSR would read; the rig goes on as it was. */
function read(rig: Rig, msr: bigint): bigint | undefined {
  const copy = rig.machine.snapshot();
  rig.set({ RCX: msr, RIP: rig.label('reading'), CS: 0x10n }).step();
  const value = rig.delivered === undefined ? (rig.get('RDX') << 32n) | rig.get('RAX') : undefined;
  rig.machine.restore(copy);
  return value;
}

const reading = `${code}reading: rdmsr\n`;

/** Writes an MSR; the vector of the exception, if it raises one. Then the rig is back where it was. */
function write(rig: Rig, msr: bigint, value: bigint): number | undefined {
  const before = rig.all('RIP', 'RSP', 'RFLAGS', 'CS', 'SS');
  rig.set({ RCX: msr, RAX: value & 0xffffffffn, RDX: value >> 32n, RIP: rig.label('writing'), CS: 0x10n }).step();
  const { delivered } = rig;
  rig.set(before);
  return delivered;
}

rule(
  'E-1: #MC is delivered whatever IF is, in the shadows, and while NMIs are blocked',
  machineCheck.maskingMachineChecks,
  (make) => {
    const cases: readonly Rig[] = [
      make(code, { regs: { RFLAGS: 2n } }).step(),
      make('start: cli\n sti\n nop\nv18: nop\n').step(2),
      make('start: movl %ss, %eax\n movl %eax, %ss\n nop\nv18: nop\n').step(2),
      make(code).nmi(),
    ];
    for (const rig of cases) {
      const at = rig.rip;
      assert.equal(rig.fire('mc').delivered, Vector.MC);
      assert.equal(rig.rip, rig.label('v18'));
      assert.equal(rig.frame().rip, at);
    }
  },
);

rule('E-1: #MC sets MCIP and RIPV, and pushes no error code', machineCheck.withoutMcip, (make) => {
  const rig = make(reading).fire('mc');
  assert.equal(rig.event(EventState.MCIP), true);
  assert.equal(read(rig, Msr.MCG_STATUS), 5n);
  assert.equal(rig.frame().cs, 0x10n);
});

rule('E-1: a second #MC while MCIP is set shuts the processor down', machineCheck.otherMcipRule, (make) => {
  const rig = make(code).fire('mc').step().fire('mc');
  assert.equal(rig.event(EventState.SHUTDOWN), true);
  assert.equal(rig.machine.happened.shutdown, true);
  const tolerant = make(code, { profile: { machineCheckWhileMcipShutsDown: false } })
    .fire('mc')
    .step()
    .fire('mc');
  assert.equal(tolerant.delivered, Vector.MC);
  assert.equal(tolerant.frame().rip, tolerant.label('v18') + 1n);
});

rule(
  'E-1: a handler that clears MCG_STATUS can be interrupted by another #MC',
  broken.ignoring(Mnemonic.Wrmsr),
  (make) => {
    const rig = make('start: nop\nv18: mov $0x17a, %ecx\n xor %eax, %eax\n xor %edx, %edx\n wrmsr\n nop\n').fire('mc');
    rig.step(4);
    assert.equal(rig.event(EventState.MCIP), false);
    assert.equal(rig.fire('mc').delivered, Vector.MC);
  },
);

rule('E-1: #MC with CR4.MCE clear shuts the processor down', machineCheck.withMceAlways, (make) => {
  assert.equal(
    make(code, { regs: { CR4: 0x20n } })
      .fire('mc')
      .event(EventState.SHUTDOWN),
    true,
  );
});

rule('E-1: INT 18 runs the handler without MCIP; a real one may come then', machineCheck.withMcipAlways, (make) => {
  const rig = make('start: int $18\n nop\nv18: nop\n').step();
  assert.equal(rig.delivered, Vector.MC);
  assert.equal(rig.event(EventState.MCIP), false);
  assert.equal(rig.fire('mc').event(EventState.SHUTDOWN), false);
  assert.equal(rig.delivered, Vector.MC);
});

rule(
  'E-1: a machine check is logged in bank 0; another one before it is cleared overflows',
  machineCheck.withoutLog,
  (make) => {
    const rig = withBank(make, reading, { profile: { machineCheckWhileMcipShutsDown: false } });
    assert.equal(read(rig, Msr.STATUS), 0n);
    rig.fire('mc');
    assert.equal(read(rig, Msr.STATUS)! & ~0xffffn, VAL | UC | EN);
    rig.fire('mc');
    assert.equal(read(rig, Msr.STATUS)! & ~0xffffn, VAL | OVER | UC | EN);
  },
);

rule('E-1: an error that the bank does not report is logged, and not signalled', machineCheck.reportingAll, (make) => {
  for (const msr of [Msr.CTL, Msr.MCG_CTL]) {
    const rig = withBank(make, `${code}writing: wrmsr\n nop\n`);
    write(rig, msr, 0n);
    rig.fire('mc');
    assert.equal(rig.delivered, undefined);
    assert.equal(rig.event(EventState.MCIP), false);
    assert.equal(rig.rip, rig.label('start'));
  }
});

rule('E-1: the machine-check MSRs take what the manual lets them take', machineCheck.withWritableBank, (make) => {
  const rig = withBank(make, `${code}writing: wrmsr\n nop\nreading: rdmsr\n`);
  assert.equal(read(rig, Msr.MCG_CAP), 0x101n);
  assert.equal(write(rig, Msr.MCG_CAP, 0n), Vector.GP);
  for (const msr of [Msr.CTL, Msr.MCG_CTL]) {
    assert.equal(read(rig, msr), 0xffffffffffffffffn);
    assert.equal(write(rig, msr, 0x123456789n), undefined);
    assert.equal(read(rig, msr), 0x123456789n);
  }
  for (const msr of [Msr.STATUS, Msr.ADDR, Msr.MISC]) {
    assert.equal(write(rig, msr, 1n << 40n), Vector.GP);
    assert.equal(write(rig, msr, 0n), undefined);
    assert.equal(read(rig, msr), 0n);
  }
  assert.equal(write(rig, Msr.MCG_STATUS, 4n), undefined);
  assert.equal(rig.event(EventState.MCIP), true);
  assert.equal(read(rig, Msr.MCG_STATUS), 4n);
  assert.equal(write(rig, Msr.MCG_STATUS, 8n), Vector.GP);
  assert.equal(write(rig, Msr.MCG_STATUS, 0n), undefined);
  assert.equal(rig.event(EventState.MCIP), false);
});

rule('E-1: software clears the log by writing 0', broken.ignoring(Mnemonic.Wrmsr), (make) => {
  const rig = withBank(make, `${code}writing: wrmsr\n nop\nreading: rdmsr\n`).fire('mc');
  assert.notEqual(read(rig, Msr.STATUS), 0n);
  write(rig, Msr.STATUS, 0n);
  assert.equal(read(rig, Msr.STATUS), 0n);
});

rule('E-1: in SMM CR4.MCE is clear: #MC shuts the processor down', machineCheck.withMceAlways, (make) => {
  const rig = makeSmm(make, code, 'smi_handler: nop\n rsm\nsmm_machine_check: iretq\n').fire('smi');
  assert.equal(rig.event(EventState.SMM), true);
  assert.equal(rig.fire('mc').event(EventState.SHUTDOWN), true);
});

rule('E-1: SMM code that sets CR4.MCE gets #MC by its own IDT', broken.ignoring(Mnemonic.Mov), (make) => {
  const setting =
    'smi_handler: mov %cr4, %rax\n or $0x40, %rax\n mov %rax, %cr4\n nop\n rsm\nsmm_machine_check: nop\n iretq\n';
  const rig = makeSmm(make, code, setting).fire('smi').step(3).fire('mc');
  assert.equal(rig.delivered, Vector.MC);
  assert.equal(rig.rip, rig.label('smm_machine_check'));
  // Its IRET is one in SMM, too.
  assert.equal(rig.step(2).event(EventState.SMM_IRET), true);
});

rule('A-5: #MC does not block NMIs', machineCheck.blockingNmisOnMachineCheck, (make) => {
  const rig = make(code).fire('mc');
  assert.equal(rig.machine.nmi.blocked, false);
  assert.equal(rig.nmi().delivered, Vector.NMI);
  assert.equal(rig.frame().rip, rig.label('v18'));
});

rule('A-5: the IRET of the #MC handler unblocks NMIs', broken.neverUnblocking, (make) => {
  const rig = make(code).nmi().fire('mc').nmi().step();
  assert.equal(rig.machine.nmi.blocked, true);
  assert.equal(rig.step().rip, rig.label('v2'));
  assert.equal(rig.machine.nmi.blocked, false);
  // The NMI that was pending comes before the next instruction of the NMI handler.
  assert.equal(rig.step().delivered, Vector.NMI);
  assert.equal(rig.frame().rip, rig.label('v2'));
});
