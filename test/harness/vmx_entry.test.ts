/** VM entries: their checks, and the injection of events. */
import assert from 'node:assert/strict';
import { Flag } from '../../src/cpu/registers.js';
import { EventState } from '../../src/harness/event_state.js';
import { type FieldName, VMCS_REVISION } from '../../src/harness/vmcs.js';
import { ENTRY_FAILURE, ExitReason, Interruptibility, PinBased, ProcessorBased } from '../../src/harness/vmx.js';
import type { Profile } from '../../src/profiles/profile.js';
import * as broken from '../support/broken_vmx.js';
import type { Rig } from '../support/machine.js';
import { type Make, rule } from '../support/rule.js';
import {
  exitReason,
  type Fields,
  failedCheck,
  field,
  GUEST_STACK,
  guestRuns,
  INTERRUPT_0X14,
  launch,
  makeVmx,
  NMI,
  pin,
  processor,
  setField,
} from '../support/vmx.js';

const { STI, MOV_SS } = Interruptibility;
const TF = BigInt(Flag.TF);
const VIRTUAL = PinBased.NMI_EXITING | PinBased.VIRTUAL_NMIS;
const GUEST = ' nop\n nop\n nop\n vmcall\n';

function enter(make: Make, fields: Fields, profile: Partial<Profile> = {}): Rig {
  return launch(makeVmx(make, GUEST, fields, { profile }));
}

/** The entry has failed because of the guest's state: an exit to the host, with nothing saved and nothing injected. */
function rejects(rig: Rig, check: RegExp): void {
  assert.match(failedCheck(rig) ?? 'no check has failed', check);
  assert.equal(exitReason(rig), ExitReason.INVALID_GUEST_STATE);
  assert.equal(field(rig, 'EXIT_REASON'), BigInt(ENTRY_FAILURE + ExitReason.INVALID_GUEST_STATE));
  assert.equal(guestRuns(rig), false);
  assert.equal(rig.rip, rig.label('exit'));
  assert.equal(field(rig, 'GUEST_RSP'), GUEST_STACK);
}

/** The entry has failed behind VMLAUNCH, with VMfailValid. */
function fails(rig: Rig, error: number, check: RegExp): void {
  assert.match(failedCheck(rig) ?? 'no check has failed', check);
  assert.deepEqual([rig.rip, rig.flag(Flag.ZF), rig.flag(Flag.CF)], [rig.label('failed'), true, false]);
  assert.equal(field(rig, 'INSTRUCTION_ERROR'), BigInt(error));
}

function accepts(rig: Rig): void {
  assert.equal(failedCheck(rig), undefined);
  assert.equal(guestRuns(rig), true);
}

const without = (mask: bigint) => (value: bigint) => value & ~mask;
const withBits = (mask: bigint) => (value: bigint) => value | mask;
const always = (value: bigint) => () => value;

// External interrupts.

rule(
  "F-1': an external interrupt is injected only with RFLAGS.IF = 1",
  [broken.repairing('GUEST_RFLAGS', withBits(0x200n)), broken.withoutInjection],
  (make) => {
    rejects(
      enter(make, { ENTRY_INTERRUPTION_INFORMATION: INTERRUPT_0X14, GUEST_RFLAGS: 2n }),
      /external interrupt is injected, and guest RFLAGS.IF is 0 \(SDM 26\.3\.1\.4\)/,
    );
  },
);

for (const [name, state] of [
  ['STI', STI],
  ['MOV SS', MOV_SS],
] as const) {
  rule(
    `F-1': an external interrupt is not injected with blocking by ${name}`,
    [broken.repairing('GUEST_INTERRUPTIBILITY', always(0n)), broken.withoutInjection],
    (make) => {
      rejects(
        enter(make, { ENTRY_INTERRUPTION_INFORMATION: INTERRUPT_0X14, GUEST_INTERRUPTIBILITY: BigInt(state) }),
        /external interrupt is injected with blocking by STI or MOV SS \(SDM 26\.3\.1\.5\)/,
      );
    },
  );
}

rule("F-1': an injected interrupt goes through the guest's IDT at its RIP", broken.withoutInjection, (make) => {
  const rig = enter(make, { ENTRY_INTERRUPTION_INFORMATION: INTERRUPT_0X14 });
  accepts(rig);
  assert.equal(rig.delivered, 0x14);
  assert.equal(rig.rip, rig.label('v20'));
  assert.deepEqual(rig.frame(), {
    ...{ rip: rig.label('guest'), cs: 0x10n, rflags: 0x202n, rsp: GUEST_STACK, ss: 0x18n },
  });
});

rule("F-1': a failed entry leaves the event to be injected, an exit takes it away", broken.withoutInjection, (make) => {
  const rig = enter(make, { ENTRY_INTERRUPTION_INFORMATION: INTERRUPT_0X14, GUEST_RFLAGS: 2n });
  assert.equal(field(rig, 'ENTRY_INTERRUPTION_INFORMATION'), INTERRUPT_0X14);
  const entered = launch(
    makeVmx(make, `${GUEST}v20: vmcall\n`, { ENTRY_INTERRUPTION_INFORMATION: INTERRUPT_0X14 }),
  ).step();
  assert.equal(exitReason(entered), ExitReason.VMCALL);
  assert.equal(field(entered, 'ENTRY_INTERRUPTION_INFORMATION'), INTERRUPT_0X14 & 0x7fffffffn);
});

// NMIs.

rule(
  "F-1': an NMI is not injected with blocking by MOV SS",
  [broken.repairing('GUEST_INTERRUPTIBILITY', always(0n)), broken.withoutInjection],
  (make) => {
    rejects(
      enter(make, { ENTRY_INTERRUPTION_INFORMATION: NMI, GUEST_INTERRUPTIBILITY: BigInt(MOV_SS) }),
      /NMI is injected with blocking by MOV SS/,
    );
  },
);

rule(
  "F-1', K-5: an NMI is not injected with blocking by STI on processors that require it",
  broken.otherStiRule,
  (make) => {
    const fields = { ENTRY_INTERRUPTION_INFORMATION: NMI, GUEST_INTERRUPTIBILITY: BigInt(STI) };
    rejects(enter(make, fields, { stiShadowBlocksNmi: true }), /NMI is injected with blocking by STI/);
    accepts(enter(make, fields, { stiShadowBlocksNmi: false }));
  },
);

rule(
  "F-1', K-3: an NMI is not injected while virtual NMIs are blocked",
  [broken.repairing('GUEST_INTERRUPTIBILITY', always(0n)), broken.withoutInjection],
  (make) => {
    const fields = { ENTRY_INTERRUPTION_INFORMATION: NMI, GUEST_INTERRUPTIBILITY: BigInt(Interruptibility.NMI) };
    rejects(enter(make, { ...fields, PIN_BASED_CONTROLS: pin(VIRTUAL) }), /injected while virtual NMIs are blocked/);
    // Without virtual NMIs bit 3 is the processor's own latch, which does not hold an injected one back.
    const rig = enter(make, fields);
    assert.equal(rig.delivered, 2);
    assert.equal(rig.event(EventState.NMI_BLOCKED), true);
  },
);

rule(
  "F-1': an injected NMI blocks virtual NMIs, or without these the real ones",
  [broken.enteringWithout(EventState.VIRTUAL_NMI_BLOCKED), broken.enteringWithout(EventState.NMI_BLOCKED)],
  (make) => {
    const rig = enter(make, { ENTRY_INTERRUPTION_INFORMATION: NMI, PIN_BASED_CONTROLS: pin(VIRTUAL) });
    assert.equal(rig.delivered, 2);
    assert.deepEqual([rig.event(EventState.VIRTUAL_NMI_BLOCKED), rig.event(EventState.NMI_BLOCKED)], [true, false]);
    const plain = enter(make, { ENTRY_INTERRUPTION_INFORMATION: NMI });
    assert.equal(plain.delivered, 2);
    assert.deepEqual([plain.event(EventState.VIRTUAL_NMI_BLOCKED), plain.event(EventState.NMI_BLOCKED)], [false, true]);
  },
);

// Interruptibility, activity, pending debug exceptions.

rule("F-1': blocking by STI needs RFLAGS.IF = 1", broken.repairing('GUEST_RFLAGS', withBits(0x200n)), (make) => {
  rejects(
    enter(make, { GUEST_INTERRUPTIBILITY: BigInt(STI), GUEST_RFLAGS: 2n }),
    /blocking by STI, and guest RFLAGS.IF is 0/,
  );
  accepts(enter(make, { GUEST_INTERRUPTIBILITY: BigInt(MOV_SS), GUEST_RFLAGS: 2n }));
});

rule(
  "F-1': blocking by STI and by MOV SS cannot be at once",
  broken.repairing('GUEST_INTERRUPTIBILITY', without(BigInt(STI))),
  (make) => {
    rejects(enter(make, { GUEST_INTERRUPTIBILITY: BigInt(STI | MOV_SS) }), /by STI and by MOV SS at once/);
  },
);

for (const [name, state] of [
  ['STI', STI],
  ['MOV SS', MOV_SS],
] as const) {
  rule(
    `F-1', K-4: TF = 1 with blocking by ${name} needs a pending single step, and TF = 0 none`,
    [broken.repairing('GUEST_PENDING_DEBUG', withBits(0x4000n)), broken.repairing('GUEST_PENDING_DEBUG', always(0n))],
    (make) => {
      const fields = { GUEST_INTERRUPTIBILITY: BigInt(state), GUEST_RFLAGS: 0x202n | TF };
      rejects(enter(make, fields), /TF is 1 .* no single step is pending/);
      rejects(
        enter(make, { ...fields, GUEST_RFLAGS: 0x202n, GUEST_PENDING_DEBUG: 0x4000n }),
        /single step is pending .*TF is 0/,
      );
      accepts(enter(make, { ...fields, GUEST_PENDING_DEBUG: 0x4000n }));
      // With branch trace, single steps are after branches only.
      accepts(enter(make, { ...fields, GUEST_DEBUGCTL: 2n }));
    },
  );
}

rule(
  "A-6, F-1': in activity state HLT only interrupts, NMIs, #DB and #MC are injected, and they wake the guest",
  [broken.enteringAwake, broken.withoutInjection],
  (make) => {
    const halted = { GUEST_ACTIVITY: 1n };
    const inject = (information: bigint): Rig =>
      enter(make, { ...halted, ENTRY_INTERRUPTION_INFORMATION: information });
    for (const [information, vector] of [
      [INTERRUPT_0X14, 0x14],
      [NMI, 2],
      [0x80000301n, 1],
      [0x80000312n, 18],
    ] as const) {
      const rig = inject(information);
      assert.equal(rig.delivered, vector);
      assert.equal(rig.event(EventState.HALTED), false);
    }
    rejects(inject(0x80000306n), /injected in activity state HLT/);
    const rig = enter(make, halted);
    assert.deepEqual([guestRuns(rig), rig.event(EventState.HALTED)], [true, true]);
    assert.deepEqual(rig.actions([]), []);
  },
);

rule("F-1': activity state HLT and blocking exclude each other", broken.enteringAwake, (make) => {
  const fields = { GUEST_ACTIVITY: 1n, GUEST_INTERRUPTIBILITY: BigInt(STI) };
  rejects(enter(make, fields), /activity state HLT with blocking/);
});

rule("F-1': other activity states are not supported", broken.repairing('GUEST_ACTIVITY', always(0n)), (make) => {
  for (const state of [2n, 3n, 4n]) rejects(enter(make, { GUEST_ACTIVITY: state }), /is not supported/);
});

/** Fields of the guest that are wrong by themselves. */
const WRONG: readonly (readonly [FieldName, bigint, RegExp])[] = [
  ['GUEST_RFLAGS', 0x200n, /reserved bits/],
  ['GUEST_RFLAGS', 0x20a02n | 0x8n, /reserved bits/],
  ['GUEST_RFLAGS', 0x20202n, /VM is 1/],
  ['GUEST_RIP', 0x800000000000n, /RIP is not canonical/],
  ['GUEST_CR0', 0x80050013n, /lacks PE, NE or PG/],
  ['GUEST_CR4', 0x60n, /lacks VMXE/],
  ['GUEST_CR4', 0x2040n, /lacks PAE/],
  ['GUEST_CR3', 1n << 52n, /CR3 has reserved bits/],
  ['GUEST_TR_SELECTOR', 0x44n, /TR selector is local/],
  ['GUEST_TR_ACCESS_RIGHTS', 0x89n, /busy 64-bit TSS/],
  ['GUEST_SS_SELECTOR', 0x1bn, /RPLs/],
  ['GUEST_FS_BASE', 0x800000000000n, /GUEST_FS_BASE is not canonical/],
  ['GUEST_GDTR_LIMIT', 0x10000n, /limit of a descriptor table/],
  ['GUEST_INTERRUPTIBILITY', 0x20n, /reserved bits/],
  ['GUEST_INTERRUPTIBILITY', 4n, /blocking by SMI/],
  ['GUEST_PENDING_DEBUG', 0x10n, /reserved bits/],
  ['VMCS_LINK_POINTER', 0n, /link pointer/],
];
for (const [name, value, check] of WRONG) {
  rule(`26.3.1: a VM entry rejects ${name} 0x${value.toString(16)}`, named(name, value), (make) =>
    rejects(enter(make, { [name]: value }), check),
  );
}

/** The machine enters as if the field had its usual value. */
function named(name: FieldName, wrong: bigint) {
  const usual: Fields = {
    GUEST_RFLAGS: 0x202n,
    GUEST_CR0: 0x80050033n,
    GUEST_CR4: 0x2060n,
    GUEST_TR_SELECTOR: 0x40n,
    GUEST_TR_ACCESS_RIGHTS: 0x8bn,
    GUEST_SS_SELECTOR: 0x18n,
    VMCS_LINK_POINTER: 0xffffffffffffffffn,
    GUEST_GDTR_LIMIT: 0x8fn,
  };
  return broken.repairing(name, (value) => (value === wrong ? (usual[name] ?? 0n) : value));
}

// Controls.

/** Events that cannot be injected, whatever the guest is. */
const BAD_EVENTS: readonly (readonly [bigint, Fields, RegExp])[] = [
  [0x80001014n, {}, /reserved bits/],
  [0x80000114n, {}, /type 1, which is reserved/],
  [0x80000701n, {}, /type 7, which is reserved/],
  [0x80000203n, {}, /NMI whose vector is not 2/],
  [0x80000320n, {}, /vector above 31/],
  [0x8000030dn, {}, /lacks an error code/],
  [0x80000b06n, {}, /must not have an error code/],
  [0x80000814n, {}, /must not have an error code/],
  [0x80000b0dn, { ENTRY_EXCEPTION_ERROR_CODE: 0x10000n }, /more than 16 bits/],
  [0x80000414n, { ENTRY_INSTRUCTION_LENGTH: 0n }, /instruction length is 0/],
  [0x80000603n, { ENTRY_INSTRUCTION_LENGTH: 16n }, /instruction length is 16/],
];
for (const [information, fields, check] of BAD_EVENTS) {
  rule(
    `26.2.1.3: the event 0x${information.toString(16)} is not injected: ${check.source}`,
    [broken.withoutInjection, broken.neverFailing],
    (make) => fails(enter(make, { ENTRY_INTERRUPTION_INFORMATION: information, ...fields }), 7, check),
  );
}

rule(
  '26.2.1.1: virtual NMIs need NMI exiting, and NMI-window exiting needs virtual NMIs',
  [broken.repairing('PIN_BASED_CONTROLS', withBits(BigInt(VIRTUAL))), broken.neverFailing],
  (make) => {
    fails(enter(make, { PIN_BASED_CONTROLS: pin(PinBased.VIRTUAL_NMIS) }), 7, /"virtual NMIs" is 1/);
    const window = { PROCESSOR_BASED_CONTROLS: processor(ProcessorBased.NMI_WINDOW_EXITING) };
    fails(enter(make, window), 7, /"NMI-window exiting" is 1/);
    accepts(enter(make, { ...window, PIN_BASED_CONTROLS: pin(VIRTUAL) }));
  },
);

rule('26.2.1: reserved bits of controls are as the capability MSRs say', broken.neverFailing, (make) => {
  fails(enter(make, { PIN_BASED_CONTROLS: 0n }), 7, /pin-based controls/);
  fails(enter(make, { PROCESSOR_BASED_CONTROLS: processor(1 << 27) }), 7, /processor-based controls/);
  fails(enter(make, { EXIT_CONTROLS: 0n }), 7, /VM-exit controls/);
  fails(enter(make, { ENTRY_CONTROLS: 0n }), 7, /VM-entry controls/);
});

rule("26.2.2 to 26.2.4: the host's state is checked too", broken.neverFailing, (make) => {
  fails(enter(make, { HOST_CR4: 0x60n }), 8, /host CR4 lacks VMXE/);
  fails(enter(make, { HOST_CS_SELECTOR: 0x13n }), 8, /CS selector has an RPL/);
  fails(enter(make, { HOST_TR_SELECTOR: 0n }), 8, /TR selector is null/);
  fails(enter(make, { HOST_RIP: 0x800000000000n }), 8, /host RIP is not canonical/);
  fails(enter(make, { HOST_GS_BASE: 0x800000000000n }), 8, /HOST_GS_BASE is not canonical/);
});

rule('26.1: a VMCS is launched once, and then resumed; VMCLEAR makes it launchable', broken.neverFailing, (make) => {
  const host =
    ' vmcall\nexit: vmlaunch\n nop\n vmclear vmcs_pointer(%rip)\n vmptrld vmcs_pointer(%rip)\n vmresume\n vmlaunch\n';
  const rig = launch(makeVmx(make, host)).step(2);
  assert.deepEqual([rig.flag(Flag.ZF), field(rig, 'INSTRUCTION_ERROR')], [true, 4n]);
  rig.step(4);
  assert.deepEqual([rig.flag(Flag.ZF), field(rig, 'INSTRUCTION_ERROR')], [true, 5n]);
  rig.step();
  assert.equal(guestRuns(rig), true);
});

rule('26.1, K-19: a VM entry fails while events are blocked by MOV SS', broken.neverFailing, (make) => {
  const rig = makeVmx(make, ' vmcall\nexit: mov %ss, %eax\n mov %eax, %ss\n vmresume\n');
  launch(rig).step(4);
  assert.deepEqual([guestRuns(rig), rig.flag(Flag.ZF), field(rig, 'INSTRUCTION_ERROR')], [false, true, 26n]);
});

// What an entry loads.

rule(
  '26.3.2: the guest begins with its registers, in its shadows',
  [broken.enteringWithout(EventState.STI_SHADOW), broken.enteringWithout(EventState.VIRTUAL_NMI_BLOCKED)],
  (make) => {
    const rig = makeVmx(make, GUEST, {
      GUEST_INTERRUPTIBILITY: BigInt(STI | Interruptibility.NMI),
      PIN_BASED_CONTROLS: pin(VIRTUAL),
      GUEST_RSP: GUEST_STACK - 0x100n,
      GUEST_RFLAGS: 0xad7n | 0x200n,
      GUEST_FS_BASE: 0x1234000n,
    });
    launch(rig);
    assert.deepEqual(rig.all('RIP', 'RSP', 'RFLAGS', 'CS', 'FS_BASE'), {
      RIP: rig.label('guest'),
      RSP: GUEST_STACK - 0x100n,
      RFLAGS: 0xad7n | 0x200n,
      CS: 0x10n,
      FS_BASE: 0x1234000n,
    });
    assert.deepEqual([rig.event(EventState.STI_SHADOW), rig.event(EventState.VIRTUAL_NMI_BLOCKED)], [true, true]);
    rig.step();
    assert.deepEqual([rig.event(EventState.STI_SHADOW), rig.event(EventState.VIRTUAL_NMI_BLOCKED)], [false, true]);
  },
);

rule(
  '26.6.1: an entry that injects ends blocking by STI and MOV SS',
  broken.enteringWith(EventState.STI_SHADOW),
  (make) => {
    const rig = enter(make, { ENTRY_INTERRUPTION_INFORMATION: NMI, GUEST_INTERRUPTIBILITY: BigInt(STI) });
    assert.equal(rig.delivered, 2);
    assert.equal(rig.event(EventState.STI_SHADOW), false);
  },
);

rule(
  '26.6.3: pending debug exceptions of the guest are delivered after the entry',
  broken.enteringWithout(EventState.PENDING_BS | EventState.PENDING_B0),
  (make) => {
    const rig = enter(make, { GUEST_PENDING_DEBUG: 0x5001n });
    assert.equal(rig.delivered, undefined);
    rig.step();
    assert.deepEqual([rig.delivered, rig.get('DR6') & 0xffffn], [1, 0x4ff1n]);
    assert.equal(rig.frame().rip, rig.label('guest'));
  },
);

rule(
  '26.6.3, D-12: an injected event takes the place of pending debug exceptions, and those without a valid cause are none',
  broken.enteringWith(EventState.PENDING_BS),
  (make) => {
    const pending = (fields: Fields): boolean => {
      const rig = enter(make, { GUEST_PENDING_DEBUG: 0x4000n, ...fields });
      return rig.event(EventState.PENDING_BS) || rig.event(EventState.PENDING_B0);
    };
    for (const information of [0x80000301n, 0x80000501n, NMI, INTERRUPT_0X14, 0x80000603n]) {
      const fields = { ENTRY_INTERRUPTION_INFORMATION: information, ENTRY_INSTRUCTION_LENGTH: 1n };
      assert.equal(pending(fields), false);
    }
    assert.equal(pending({ GUEST_PENDING_DEBUG: 1n }), false);
  },
);

rule(
  '26.6.3: an injected INT3 leaves what MOV SS has deferred pending, as an executed one does',
  broken.enteringWithout(EventState.PENDING_BS),
  (make) => {
    const rig = enter(make, {
      ...{ GUEST_PENDING_DEBUG: 0x4000n, GUEST_RFLAGS: 0x202n | TF, GUEST_INTERRUPTIBILITY: BigInt(MOV_SS) },
      ...{ ENTRY_INTERRUPTION_INFORMATION: 0x80000603n, ENTRY_INSTRUCTION_LENGTH: 1n },
    });
    assert.deepEqual([rig.delivered, rig.event(EventState.PENDING_BS)], [3, true]);
  },
);

rule(
  '26.5.1: an injected exception has its error code, a software interrupt its length',
  broken.withoutInjection,
  (make) => {
    const fault = enter(make, { ENTRY_INTERRUPTION_INFORMATION: 0x80000b0dn, ENTRY_EXCEPTION_ERROR_CODE: 0x18n });
    assert.deepEqual([fault.delivered, fault.errorCode, fault.frame(true).rip], [13, 0x18n, fault.label('guest')]);
    const int3 = { ENTRY_INTERRUPTION_INFORMATION: 0x80000603n, ENTRY_INSTRUCTION_LENGTH: 1n };
    const trap = enter(make, int3);
    assert.deepEqual([trap.delivered, trap.frame().rip], [3, trap.label('guest') + 1n]);
  },
);

rule(
  '26.5.1: an injected exception does not cause an exit by the exception bitmap',
  broken.withoutInjection,
  (make) => {
    const rig = makeVmx(make, GUEST, { ENTRY_INTERRUPTION_INFORMATION: 0x80000306n });
    setField(rig, 'EXCEPTION_BITMAP', 0xffffffffn);
    assert.equal(launch(rig).delivered, 6);
    assert.equal(exitReason(rig), -1);
  },
);

rule('a VMCS of another format is not made current', broken.ignoringVmx, (make) => {
  const rig = makeVmx(make, GUEST);
  rig.setWord(0xffff888010001000n, BigInt(VMCS_REVISION + 1));
  rig.step(2);
  assert.deepEqual([rig.flag(Flag.CF), rig.get('VMCS_POINTER')], [true, 0xffffffffffffffffn]);
});
