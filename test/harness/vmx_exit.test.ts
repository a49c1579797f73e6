/** VM exits: what causes them, what they save and load; VMX instructions. */
import assert from 'node:assert/strict';
import { Flag, Reg } from '../../src/cpu/registers.js';
import { EventState } from '../../src/harness/event_state.js';
import { encodingOf } from '../../src/harness/vmcs.js';
import { ALLOWED, ExitControl, ExitReason, PinBased, ProcessorBased } from '../../src/harness/vmx.js';
import * as broken from '../support/broken_vmx.js';
import { KERNEL_STACK, type Rig } from '../support/machine.js';
import { type Make, rule } from '../support/rule.js';
import { makeSmm } from '../support/smm.js';
import {
  BITMAPS,
  exitReason,
  type Fields,
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
  VMCS,
} from '../support/vmx.js';

const VIRTUAL = { PIN_BASED_CONTROLS: pin(PinBased.NMI_EXITING | PinBased.VIRTUAL_NMIS) };
const INTERRUPTS = { PIN_BASED_CONTROLS: pin(PinBased.EXTERNAL_INTERRUPT_EXITING) };
const CLI = { GUEST_RFLAGS: 2n };
const GUEST = ' nop\n nop\n nop\n vmcall\n';

/** Launches a guest and executes so many instructions of it. */
function run(make: Make, text: string, fields: Fields = {}, steps = 0): Rig {
  return launch(makeVmx(make, text, fields)).step(steps);
}

// NMIs.

rule(
  "F-2': an NMI in a guest with NMI exiting goes to the host and leaves NMIs blocked there",
  [broken.exitingUnblocked, broken.withoutExits],
  (make) => {
    const rig = run(make, GUEST, VIRTUAL, 1).nmi();
    assert.equal(exitReason(rig), ExitReason.EXCEPTION_OR_NMI);
    assert.equal(field(rig, 'EXIT_INTERRUPTION_INFORMATION'), NMI);
    assert.deepEqual([guestRuns(rig), rig.rip], [false, rig.label('exit')]);
    assert.deepEqual([rig.event(EventState.NMI_BLOCKED), rig.event(EventState.NMI_PENDING)], [true, false]);
    assert.equal(field(rig, 'GUEST_RIP'), rig.label('guest') + 1n);
  },
);

rule("F-2', X-21: other exits leave NMIs as they are", broken.exitingBlocked, (make) => {
  const rig = run(make, ' vmcall\n', VIRTUAL, 1);
  assert.equal(exitReason(rig), ExitReason.VMCALL);
  assert.equal(rig.event(EventState.NMI_BLOCKED), false);
});

rule('without NMI exiting an NMI is delivered in the guest', broken.enteringWith(EventState.NMI_EXITING), (make) => {
  const rig = run(make, GUEST, {}, 1).nmi();
  assert.deepEqual([rig.delivered, guestRuns(rig), rig.rip], [2, true, rig.label('v2')]);
});

rule(
  'A-4: with virtual NMIs a pending NMI exits at once, although the host had NMIs blocked',
  [broken.keepingLatchInGuest, broken.withoutExits],
  (make) => {
    // The first exit blocks NMIs; another one arrives in the host; RET and VMRESUME do not unblock, but the guest is left.
    const rig = run(make, `${GUEST}exit: vmresume\n`, VIRTUAL, 1).nmi();
    assert.equal(rig.nmi().delivered, undefined);
    rig.step();
    assert.equal(guestRuns(rig), true);
    assert.deepEqual(rig.actions([]), ['step']);
    rig.step();
    assert.deepEqual([exitReason(rig), rig.rip], [ExitReason.EXCEPTION_OR_NMI, rig.label('exit')]);
    assert.equal(field(rig, 'GUEST_RIP'), rig.label('guest') + 1n);
  },
);

rule('A-6: an NMI exits from a guest that is halted, and says so', broken.enteringAwake, (make) => {
  const rig = run(make, GUEST, { ...VIRTUAL, GUEST_ACTIVITY: 1n }).nmi();
  assert.deepEqual([exitReason(rig), field(rig, 'GUEST_ACTIVITY')], [0, 1n]);
  assert.equal(rig.event(EventState.HALTED), false);
});

rule(
  'an NMI waits for the end of a MOV SS in the guest, too',
  broken.enteringWithout(EventState.MOV_SS_SHADOW),
  (make) => {
    const rig = run(make, GUEST, { ...VIRTUAL, GUEST_INTERRUPTIBILITY: 2n }).nmi();
    assert.equal(exitReason(rig), -1);
    assert.equal(exitReason(rig.step(2)), 0);
  },
);

// Virtual NMIs.

const IRET_GUEST = `	pushq	$0x18
	pushq	%rsp
	pushfq
	pushq	$0x10
	pushq	$1f
	iretq
1:	vmcall
`;

rule("F-2': IRET in the guest ends the blocking of virtual NMIs", broken.iretWithoutEffect, (make) => {
  const rig = run(make, IRET_GUEST, { ...VIRTUAL, GUEST_INTERRUPTIBILITY: 8n }, 5);
  assert.equal(rig.event(EventState.VIRTUAL_NMI_BLOCKED), true);
  rig.step();
  assert.equal(rig.event(EventState.VIRTUAL_NMI_BLOCKED), false);
  rig.step();
  assert.deepEqual([exitReason(rig), field(rig, 'GUEST_INTERRUPTIBILITY')], [ExitReason.VMCALL, 0n]);
});

rule('IRET in the guest leaves NMIs blocked if they exit and are not virtual', broken.iretUnblockingHost, (make) => {
  const exiting = { PIN_BASED_CONTROLS: pin(PinBased.NMI_EXITING), GUEST_INTERRUPTIBILITY: 8n };
  const rig = run(make, IRET_GUEST, exiting, 6);
  assert.equal(rig.event(EventState.NMI_BLOCKED), true);
  rig.step();
  assert.equal(field(rig, 'GUEST_INTERRUPTIBILITY'), 8n);
});

rule(
  'K-3: an IRET whose fault exits has unblocked virtual NMIs, and bit 12 says so',
  broken.clearing('EXIT_INTERRUPTION_INFORMATION'),
  (make) => {
    const fields = { ...VIRTUAL, GUEST_INTERRUPTIBILITY: 8n, EXCEPTION_BITMAP: 1n << 13n };
    const rig = run(make, ` pushq $0\n pushq $0\n pushq $0\n pushq $0\n pushq $0\nbad: iretq\n`, fields, 6);
    assert.equal(exitReason(rig), 0);
    assert.equal(field(rig, 'EXIT_INTERRUPTION_INFORMATION'), 0x80001b0dn);
    assert.equal(field(rig, 'GUEST_INTERRUPTIBILITY'), 0n);
    assert.equal(field(rig, 'GUEST_RIP'), rig.label('bad'));
  },
);

rule(
  'an NMI window opens when virtual NMIs are not blocked any more',
  [broken.iretWithoutEffect, broken.withoutExits],
  (make) => {
    const window = { ...VIRTUAL, PROCESSOR_BASED_CONTROLS: processor(ProcessorBased.NMI_WINDOW_EXITING) };
    const rig = run(make, IRET_GUEST, { ...window, GUEST_INTERRUPTIBILITY: 8n }, 6);
    assert.equal(exitReason(rig), -1);
    rig.step();
    assert.deepEqual([exitReason(rig), field(rig, 'EXIT_INTERRUPTION_INFORMATION')], [ExitReason.NMI_WINDOW, 0n]);
    assert.equal(rig.event(EventState.NMI_BLOCKED), false);
    assert.equal(exitReason(run(make, GUEST, { ...window, ...CLI }, 1)), ExitReason.NMI_WINDOW);
  },
);

// External interrupts.

rule('an external interrupt exits whatever RFLAGS.IF is, and stays at the host', broken.withoutExits, (make) => {
  const rig = run(make, GUEST, { ...INTERRUPTS, ...CLI }, 1).fire('intr:0x14');
  assert.equal(exitReason(rig), ExitReason.EXTERNAL_INTERRUPT);
  assert.equal(field(rig, 'EXIT_INTERRUPTION_INFORMATION'), 0n);
  assert.deepEqual([rig.event(EventState.INTR_PENDING), rig.flag(Flag.IF)], [true, false]);
});

rule(
  'an external interrupt is acknowledged by the exit if the host has asked for it',
  broken.clearing('EXIT_INTERRUPTION_INFORMATION'),
  (make) => {
    const EXIT_CONTROLS = BigInt(ALLOWED.exit.ones | ExitControl.HOST_64_BIT | ExitControl.ACKNOWLEDGE_INTERRUPT);
    const rig = run(make, GUEST, { ...INTERRUPTS, EXIT_CONTROLS }, 1).fire('intr:0x14');
    assert.equal(field(rig, 'EXIT_INTERRUPTION_INFORMATION'), INTERRUPT_0X14);
    assert.equal(rig.event(EventState.INTR_PENDING), false);
  },
);

rule(
  'without external-interrupt exiting an interrupt is delivered in the guest where IF lets it',
  broken.enteringWith(EventState.INTERRUPT_EXITING),
  (make) => {
    assert.equal(run(make, GUEST, {}, 1).fire('intr:0x14').delivered, 0x14);
    const rig = run(make, GUEST, CLI, 1).fire('intr:0x14');
    assert.deepEqual([rig.delivered, exitReason(rig)], [undefined, -1]);
  },
);

rule(
  'an interrupt window opens with RFLAGS.IF, behind the shadow of STI',
  [broken.withoutExits, broken.enteringWithout(EventState.WINDOW_EXITING)],
  (make) => {
    const window = { PROCESSOR_BASED_CONTROLS: processor(ProcessorBased.INTERRUPT_WINDOW_EXITING) };
    const rig = run(make, ' nop\n sti\n nop\n vmcall\n', { ...window, ...CLI }, 3);
    assert.deepEqual([exitReason(rig), rig.rip], [-1, rig.label('guest') + 3n]);
    rig.step();
    assert.deepEqual(
      [exitReason(rig), field(rig, 'GUEST_RIP')],
      [ExitReason.INTERRUPT_WINDOW, rig.label('guest') + 3n],
    );
  },
);

// Instructions and exceptions.

/** Instructions that exit, with their reason and what the host must have asked for. */
const INSTRUCTIONS: readonly (readonly [string, number, Fields, number])[] = [
  ['cpuid', ExitReason.CPUID, {}, 2],
  ['vmcall', ExitReason.VMCALL, {}, 3],
  ['hlt', ExitReason.HLT, { PROCESSOR_BASED_CONTROLS: processor(ProcessorBased.HLT_EXITING) }, 1],
  ['rdmsr', ExitReason.RDMSR, {}, 2],
  ['wrmsr', ExitReason.WRMSR, {}, 2],
  ['vmresume', ExitReason.VMRESUME, {}, 3],
  ['vmxoff', ExitReason.VMXOFF, {}, 3],
  ['vmread %rax, %rcx', ExitReason.VMREAD, {}, 3],
  ['invd', ExitReason.INVD, {}, 2],
  ['mov %rax, %cr3', ExitReason.CR_ACCESS, { PROCESSOR_BASED_CONTROLS: processor(ProcessorBased.CR3_LOAD_EXITING) }, 3],
];
for (const [text, reason, fields, length] of INSTRUCTIONS) {
  rule(`${text} in a guest exits`, broken.executingInGuest, (make) => {
    const rig = run(make, ` ${text}\n`, fields, 1);
    assert.equal(exitReason(rig), reason);
    assert.deepEqual(
      [field(rig, 'EXIT_REASON'), field(rig, 'EXIT_INSTRUCTION_LENGTH')],
      [BigInt(reason), BigInt(length)],
    );
    assert.deepEqual([rig.rip, field(rig, 'GUEST_RIP')], [rig.label('exit'), rig.label('guest')]);
  });
}

rule('HLT and MOV CR3 exit only where the host has asked for it', broken.enteringAwake, (make) => {
  const rig = run(make, ' mov %cr3, %rax\n mov %rax, %cr3\n hlt\n', { GUEST_ACTIVITY: 0n }, 3);
  assert.deepEqual([exitReason(rig), rig.event(EventState.HALTED)], [-1, true]);
  // A halted guest stays so when it is entered again.
  assert.equal(run(make, GUEST, { GUEST_ACTIVITY: 1n }).event(EventState.HALTED), true);
});

const withoutBitmaps = broken.repairing('PROCESSOR_BASED_CONTROLS', (value) => value & ~(1n << 28n));

rule('MSR bitmaps select the MSRs whose accesses exit', withoutBitmaps, (make) => {
  const fields = { PROCESSOR_BASED_CONTROLS: processor(ProcessorBased.USE_MSR_BITMAPS), MSR_BITMAPS: BITMAPS };
  const access = (msr: bigint, text: string): number => {
    const rig = makeVmx(make, ` ${text}\n`, fields, { regs: { RCX: msr, RAX: 0n, RDX: 0n } });
    // Reads of C0000101H, writes of 174H.
    rig.setWord(0xffff888010002000n + 1024n + 0x20n, 1n << 1n);
    rig.setWord(0xffff888010002000n + 2048n + 0x28n, 1n << 52n);
    return exitReason(launch(rig).step());
  };
  assert.equal(access(0xc0000101n, 'rdmsr'), ExitReason.RDMSR);
  assert.equal(access(0xc0000100n, 'rdmsr'), -1);
  assert.equal(access(0x174n, 'rdmsr'), -1);
  assert.equal(access(0x174n, 'wrmsr'), ExitReason.WRMSR);
  assert.equal(access(0x40000000n, 'rdmsr'), ExitReason.RDMSR);
});

rule(
  'the exception bitmap selects the exceptions that exit',
  [broken.withoutExceptionBitmap, broken.withFullExceptionBitmap],
  (make) => {
    const rig = run(make, ' nop\n ud2\n', { EXCEPTION_BITMAP: 1n << 6n }, 2);
    assert.deepEqual([exitReason(rig), field(rig, 'EXIT_INTERRUPTION_INFORMATION')], [0, 0x80000306n]);
    // RF as the handler would have found it in its frame.
    assert.deepEqual([field(rig, 'GUEST_RIP'), field(rig, 'GUEST_RFLAGS')], [rig.label('guest') + 1n, 0x10202n]);
    const other = run(make, ' ud2\n', { EXCEPTION_BITMAP: 1n << 7n }, 1);
    assert.deepEqual([exitReason(other), other.delivered], [-1, 6]);
  },
);

rule(
  'INT3 exits as a software exception, at its own address; INT n does not',
  broken.withoutExceptionBitmap,
  (make) => {
    const rig = run(make, ' nop\n int3\n', { EXCEPTION_BITMAP: 1n << 3n }, 2);
    assert.deepEqual(
      [field(rig, 'EXIT_INTERRUPTION_INFORMATION'), field(rig, 'EXIT_INSTRUCTION_LENGTH')],
      [0x80000603n, 1n],
    );
    assert.equal(field(rig, 'GUEST_RIP'), rig.label('guest') + 1n);
    assert.equal(run(make, ' .byte 0xcd, 3\n', { EXCEPTION_BITMAP: 1n << 3n }, 1).delivered, 3);
  },
);

rule('a page fault that exits leaves CR2 alone and gives its address', broken.withoutExceptionBitmap, (make) => {
  const rig = run(make, ' movabs $0x123456789000, %rax\n mov %rbx, (%rax)\n', { EXCEPTION_BITMAP: 1n << 14n }, 2);
  assert.deepEqual(
    [field(rig, 'EXIT_QUALIFICATION'), field(rig, 'EXIT_INTERRUPTION_ERROR_CODE'), rig.get('CR2')],
    [0x123456789000n, 2n, 0n],
  );
  const filtered = { EXCEPTION_BITMAP: 1n << 14n, PAGE_FAULT_MASK: 2n, PAGE_FAULT_MATCH: 0n };
  assert.equal(run(make, ' movabs $0x123456789000, %rax\n mov %rbx, (%rax)\n', filtered, 2).delivered, 14);
});

rule(
  'a #DB that exits gives its cause and leaves DR6 alone',
  [broken.withoutExceptionBitmap, broken.exitingWithTraps],
  (make) => {
    const rig = run(make, ' nop\n nop\n', { EXCEPTION_BITMAP: 2n, GUEST_RFLAGS: 0x302n }, 2);
    assert.deepEqual([exitReason(rig), field(rig, 'EXIT_QUALIFICATION'), rig.get('DR6')], [0, 0x4000n, 0xffff0ff0n]);
    assert.equal(field(rig, 'GUEST_RIP'), rig.label('guest') + 1n);
    // The host is not being stepped.
    assert.equal(rig.event(EventState.PENDING_BS), false);
  },
);

rule('a triple fault of the guest is an exit', broken.exitingBlocked, (make) => {
  const rig = run(make, ' ud2\n', { GUEST_IDTR_LIMIT: 0n }, 1);
  assert.equal(exitReason(rig), ExitReason.TRIPLE_FAULT);
  assert.deepEqual([rig.event(EventState.SHUTDOWN), rig.event(EventState.NMI_BLOCKED)], [false, false]);
});

rule(
  'a machine check in a guest exits by the exception bitmap, or goes through its IDT',
  broken.withoutExceptionBitmap,
  (make) => {
    const fields = { EXCEPTION_BITMAP: 1n << 18n };
    const rig = makeVmx(make, GUEST, { ...fields, GUEST_CR4: 0x2060n });
    launch(rig).step().fire('mc');
    assert.deepEqual([exitReason(rig), field(rig, 'EXIT_INTERRUPTION_INFORMATION')], [0, 0x80000312n]);
    assert.equal(run(make, GUEST, {}, 1).fire('mc').delivered, 18);
  },
);

rule('a breakpoint that is fired in a guest exits at its INT3', broken.withoutExceptionBitmap, (make) => {
  const rig = run(make, GUEST, { EXCEPTION_BITMAP: 1n << 3n }, 1).bp();
  assert.deepEqual([field(rig, 'GUEST_RIP'), field(rig, 'EXIT_INSTRUCTION_LENGTH')], [rig.label('guest'), 1n]);
});

rule(
  'an SMI in a guest goes to SMM as outside, and RSM goes back to the guest',
  broken.forgettingGuestInSmm,
  (make) => {
    const fields = { ...VIRTUAL, GUEST_INTERRUPTIBILITY: 8n };
    const rig = makeVmx((text, options) => makeSmm(make, text, 'smi_handler: rsm\n', options), GUEST, fields);
    launch(rig).step().fire('smi');
    assert.deepEqual([rig.rip, guestRuns(rig)], [rig.label('smi_handler'), false]);
    // SMM is outside VMX operation.
    assert.equal(rig.event(EventState.VMX_ROOT), false);
    rig.step();
    assert.deepEqual([rig.rip, guestRuns(rig)], [rig.label('guest') + 1n, true]);
    assert.equal(rig.event(EventState.VIRTUAL_NMI_BLOCKED), true);
    assert.equal(exitReason(rig.nmi()), 0);
  },
);

// IDT-vectoring information.

rule(
  "F-2', K-2: an exit during the delivery of an event names that event",
  [broken.clearing('IDT_VECTORING_INFORMATION'), broken.withoutExceptionBitmap],
  (make) => {
    // The guest's stack cannot be written: the injected interrupt's frame faults.
    const fields = { EXCEPTION_BITMAP: 1n << 14n, GUEST_RSP: 0x1000n };
    const rig = run(make, GUEST, { ...fields, ENTRY_INTERRUPTION_INFORMATION: INTERRUPT_0X14 });
    assert.equal(exitReason(rig), 0);
    assert.equal(field(rig, 'EXIT_INTERRUPTION_INFORMATION'), 0x80000b0en);
    assert.equal(field(rig, 'IDT_VECTORING_INFORMATION'), INTERRUPT_0X14);
    assert.equal(field(rig, 'GUEST_RIP'), rig.label('guest'));
    // IF was set when the delivery began and still is: the event can be injected again.
    assert.equal(field(rig, 'GUEST_RFLAGS') & 0x200n, 0x200n);
  },
);

rule(
  "F-2', K-3: an exit during the injection of an NMI finds virtual NMIs blocked: injecting it again fails",
  broken.clearing('GUEST_INTERRUPTIBILITY'),
  (make) => {
    const fields = { ...VIRTUAL, EXCEPTION_BITMAP: 1n << 14n, GUEST_RSP: 0x1000n };
    const rig = run(make, `${GUEST}exit: vmresume\n`, { ...fields, ENTRY_INTERRUPTION_INFORMATION: NMI });
    assert.deepEqual([field(rig, 'IDT_VECTORING_INFORMATION'), field(rig, 'GUEST_INTERRUPTIBILITY')], [NMI, 8n]);
    setField(rig, 'ENTRY_INTERRUPTION_INFORMATION', NMI);
    setField(rig, 'GUEST_RSP', GUEST_STACK);
    rig.step();
    assert.match(rig.machine.happened.failedCheck ?? '', /injected while virtual NMIs are blocked/);
    setField(rig, 'GUEST_INTERRUPTIBILITY', 0n);
    assert.equal(rig.step().delivered, 2);
  },
);

rule('an INT n whose delivery exits is named with its length', broken.clearing('EXIT_INSTRUCTION_LENGTH'), (make) => {
  const rig = run(make, ' nop\n int $0x14\n', { EXCEPTION_BITMAP: 1n << 14n, GUEST_RSP: 0x1000n }, 2);
  assert.equal(field(rig, 'IDT_VECTORING_INFORMATION'), 0x80000414n);
  assert.deepEqual([field(rig, 'EXIT_INSTRUCTION_LENGTH'), field(rig, 'GUEST_RIP')], [2n, rig.label('guest') + 1n]);
});

// What an exit saves and loads.

rule(
  '27.5: the host goes on with its own registers, RFLAGS 2 and no shadow',
  [broken.exitingInShadow, broken.loadingOther(Reg.RSP), broken.loadingOther(Reg.GS_BASE)],
  (make) => {
    const fields = { GUEST_INTERRUPTIBILITY: 1n, GUEST_GS_BASE: 0x5000n, GUEST_IDTR_LIMIT: 0x1ffn };
    const rig = run(make, ' vmcall\n', fields, 1);
    assert.equal(field(rig, 'GUEST_INTERRUPTIBILITY'), 1n);
    assert.deepEqual(rig.all('RSP', 'RFLAGS', 'GS_BASE', 'IDTR_LIMIT', 'DR7'), {
      RSP: KERNEL_STACK,
      RFLAGS: 2n,
      GS_BASE: 0xffff888000000000n,
      IDTR_LIMIT: 0xffffn,
      DR7: 0x400n,
    });
    assert.equal(rig.event(EventState.STI_SHADOW), false);
    assert.deepEqual([field(rig, 'GUEST_GS_BASE'), field(rig, 'GUEST_IDTR_LIMIT')], [0x5000n, 0x1ffn]);
  },
);

rule(
  'K-4: an exit behind a MOV SS with TF = 1 saves the single step that is still to come',
  broken.clearing('GUEST_PENDING_DEBUG'),
  (make) => {
    const rig = run(make, ' mov %ss, %eax\n mov %eax, %ss\n vmcall\n', {}, 1);
    rig.set({ RFLAGS: 0x302n }).step(2);
    assert.deepEqual([field(rig, 'GUEST_INTERRUPTIBILITY'), field(rig, 'GUEST_PENDING_DEBUG')], [2n, 0x4000n]);
  },
);

// VMX instructions.

rule('VMX instructions are #UD outside VMX operation and #GP in ring 3', broken.ignoringVmx, (make) => {
  for (const text of ['vmlaunch', 'vmread %rax, %rcx', 'vmxoff', 'vmcall', 'vmptrld (%rsp)', 'vmxon (%rsp)']) {
    assert.equal(make(`start: ${text}\n`).step().delivered, 6, text);
  }
  // There is no VMXON region at 0: VMfailInvalid.
  const rig = make('start: vmxon -8(%rsp)\n', { regs: { CR4: 0x2060n } }).step();
  assert.deepEqual([rig.delivered, rig.flag(Flag.CF)], [undefined, true]);
  const user = run(make, ' vmcall\n.section .text.user,"ax"\nuser: vmread %rax, %rcx\n.text\n', {}, 1);
  user.set({ RIP: user.label('user'), CS: 0x33n, SS: 0x2bn }).step();
  assert.deepEqual([user.delivered, user.errorCode], [13, 0n]);
});

rule(
  'VMREAD and VMWRITE name fields by their encodings, and VMX operation ends with VMXOFF',
  [broken.ignoringVmx, broken.neverFailing],
  (make) => {
    const text = ` vmcall
exit:	mov	$${encodingOf('GUEST_EFER')}, %edx
	movabs	$0x1122334455667788, %rax
	vmwrite	%rax, %rdx
	inc	%edx
	vmread	%rdx, %rbx
	mov	$${encodingOf('EXIT_REASON')}, %edx
	vmwrite	%rax, %rdx
	mov	$0x5554, %edx
	vmread	%rdx, %rcx
	vmcall
	vmptrst	(%rsp)
	vmxoff
	vmxoff
`;
    const rig = run(make, text, {}, 1);
    rig.set({ RSP: KERNEL_STACK - 0x100n });
    rig.step(5);
    assert.deepEqual([field(rig, 'GUEST_EFER'), rig.get('RBX')], [0x1122334455667788n, 0x11223344n]);
    rig.step(2);
    assert.deepEqual([rig.flag(Flag.ZF), field(rig, 'INSTRUCTION_ERROR')], [true, 13n]);
    rig.step(2);
    assert.deepEqual([rig.flag(Flag.ZF), field(rig, 'INSTRUCTION_ERROR')], [true, 12n]);
    rig.step();
    assert.deepEqual([rig.flag(Flag.ZF), field(rig, 'INSTRUCTION_ERROR')], [true, 1n]);
    rig.step();
    assert.equal(rig.word(KERNEL_STACK - 0x100n), VMCS);
    rig.step();
    assert.equal(rig.step().delivered, 6);
  },
);

rule('in VMX operation CR4.VMXE cannot be cleared', broken.ignoringVmx, (make) => {
  const rig = run(make, ' vmcall\nexit: mov %rax, %cr4\n', {}, 1);
  assert.equal(rig.set({ RAX: 0x60n }).step().delivered, 13);
});

rule('the capability MSRs say what the controls may be', broken.executingInGuest, (make) => {
  const read = (msr: bigint): bigint => {
    const rig = make('start: rdmsr\n', { regs: { RCX: msr } }).step();
    return (rig.get('RDX') << 32n) | rig.get('RAX');
  };
  assert.equal(read(0x3an), 5n);
  assert.equal(read(0x48dn), (0x3fn << 32n) | 0x16n);
  assert.equal(make('start: rdmsr\n', { regs: { RCX: 0x480n }, profile: { vendor: 'amd' } }).step().delivered, 13);
  assert.equal(run(make, ' rdmsr\n', {}, 1).rip, run(make, ' rdmsr\n', {}, 1).label('exit'));
});
