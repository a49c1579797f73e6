/** A Rig with a VMCS that is ready for a VM entry, and its fields. */
import { PAGE_SIZE, Perm } from '../../src/cpu/memory.js';
import type { Reg } from '../../src/cpu/registers.js';
import { type FieldName, fieldOffset, VMCS_REVISION } from '../../src/harness/vmcs.js';
import { ALLOWED, EntryControl, ExitControl, inGuest } from '../../src/harness/vmx.js';
import {
  GDT,
  IDT,
  KERNEL_CS,
  KERNEL_GS,
  KERNEL_SS,
  KERNEL_STACK,
  type Options,
  type Rig,
  SPARE,
  TASK,
  TSS,
} from './machine.js';
import type { Make } from './rule.js';

/** The VMXON region, the VMCS and the MSR bitmaps, one page each. */
const PAGES = 0xffff888010000000n;
export const PHYSICAL = 0x10000000n;
export const VMCS = PHYSICAL + 0x1000n;
export const BITMAPS = PHYSICAL + 0x2000n;
export const GUEST_STACK = 0xffffc90000203000n;

/** Type, vector and the valid bit, as in the VM-entry interruption information. */
export const INTERRUPT_0X14 = 0x80000014n;
export const NMI = 0x80000202n;

export type Fields = Readonly<Partial<Record<FieldName, bigint>>>;

/** Code in front of a guest: it enters VMX operation and the guest. A failed instruction halts at `failed`; exits go to `exit`. */
const HOST = `start:
	vmxon	vmxon_pointer(%rip)
	vmptrld	vmcs_pointer(%rip)
	vmlaunch
failed:
	hlt
resume:
	vmresume
	hlt
	.data
	.balign	8
vmxon_pointer: .quad 0x10000000
vmcs_pointer: .quad 0x10001000
	.text
guest:
`;

/** A machine that will enter the guest `text` (ring 0, on GUEST_STACK), with these fields instead of the usual ones. */
export function makeVmx(make: Make, text: string, fields: Fields = {}, options: Options = {}): Rig {
  const exit = /^exit:/m.test(text) ? '' : '\n\thlt\nexit:\n\thlt\n';
  const rig = make(`${HOST}${text}${exit}`, {
    ...options,
    regions: [
      { name: 'VMX', address: PAGES, size: 3 * PAGE_SIZE, perms: Perm.WRITE, physical: PHYSICAL },
      ...(options.regions ?? []),
      { name: 'guest stack', address: GUEST_STACK - 0x2000n, size: 2 * PAGE_SIZE, perms: Perm.WRITE },
    ],
    regs: { CR4: 0x2060n, ...options.regs },
  });
  rig.setWord(PAGES, BigInt(VMCS_REVISION));
  rig.setWord(PAGES + 0x1000n, BigInt(VMCS_REVISION));
  const host = (name: keyof typeof Reg): bigint => rig.get(name);
  const usual: Fields = {
    PIN_BASED_CONTROLS: BigInt(ALLOWED.pin.ones),
    PROCESSOR_BASED_CONTROLS: BigInt(ALLOWED.processor.ones),
    EXIT_CONTROLS: BigInt(ALLOWED.exit.ones | ExitControl.HOST_64_BIT),
    ENTRY_CONTROLS: BigInt(ALLOWED.entry.ones | EntryControl.GUEST_IA32E),
    VMCS_LINK_POINTER: 0xffffffffffffffffn,
    HOST_CR0: host('CR0'),
    HOST_CR3: host('CR3'),
    HOST_CR4: host('CR4'),
    HOST_CS_SELECTOR: BigInt(KERNEL_CS),
    HOST_SS_SELECTOR: BigInt(KERNEL_SS),
    HOST_TR_SELECTOR: BigInt(TASK),
    HOST_GS_BASE: KERNEL_GS,
    HOST_TR_BASE: TSS,
    HOST_GDTR_BASE: GDT,
    HOST_IDTR_BASE: IDT,
    HOST_RSP: KERNEL_STACK,
    HOST_RIP: rig.label('exit'),
    GUEST_CR0: host('CR0'),
    GUEST_CR3: host('CR3'),
    GUEST_CR4: host('CR4'),
    GUEST_CS_SELECTOR: BigInt(KERNEL_CS),
    GUEST_SS_SELECTOR: BigInt(KERNEL_SS),
    GUEST_TR_SELECTOR: BigInt(TASK),
    GUEST_CS_ACCESS_RIGHTS: 0xa09bn,
    GUEST_SS_ACCESS_RIGHTS: 0xc093n,
    GUEST_TR_ACCESS_RIGHTS: 0x8bn,
    GUEST_LDTR_ACCESS_RIGHTS: 0x10000n,
    GUEST_GS_BASE: KERNEL_GS,
    GUEST_TR_BASE: TSS,
    GUEST_TR_LIMIT: host('TR_LIMIT'),
    GUEST_GDTR_BASE: GDT,
    GUEST_GDTR_LIMIT: BigInt(SPARE + 8 * 8 - 1),
    GUEST_IDTR_BASE: IDT,
    GUEST_IDTR_LIMIT: host('IDTR_LIMIT'),
    GUEST_DR7: 0x400n,
    GUEST_RSP: GUEST_STACK,
    GUEST_RIP: rig.label('guest'),
    GUEST_RFLAGS: 0x202n,
  };
  for (const [name, value] of Object.entries({ ...usual, ...fields })) setField(rig, name as FieldName, value);
  return rig;
}

/** The bits of controls that must be set, and `more`. */
export function pin(more: number): bigint {
  return BigInt(ALLOWED.pin.ones | more);
}

export function processor(more: number): bigint {
  return BigInt((ALLOWED.processor.ones | more) >>> 0);
}

export function field(rig: Rig, name: FieldName): bigint {
  return rig.word(PAGES + 0x1000n + BigInt(fieldOffset(name)));
}

export function setField(rig: Rig, name: FieldName, value: bigint): void {
  rig.setWord(PAGES + 0x1000n + BigInt(fieldOffset(name)), value);
}

/** Executes VMXON, VMPTRLD and VMLAUNCH. */
export function launch(rig: Rig): Rig {
  return rig.step(3);
}

export function guestRuns(rig: Rig): boolean {
  return inGuest(rig.machine);
}

/** Basic reason of the exit that the last transition was; -1 if it was none. */
export function exitReason(rig: Rig): number {
  return rig.machine.happened.vmExit;
}

/** What a failed VM entry has been told. */
export function failedCheck(rig: Rig): string | undefined {
  return rig.machine.happened.failedCheck;
}
