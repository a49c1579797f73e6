/**
 * The handlers at whose boundaries events are injected: small ones, each for a rule of the machine, and the project's own with
 * their contexts.
 */
import { join } from 'node:path';
import { Assembler } from '../src/assembler/index.js';
import type { Machine } from '../src/harness/machine.js';
import { machineFor } from '../src/platforms/boot.js';
import { LINUX } from '../src/platforms/linux.js';
import { ASM_DIRECTORY, buildSubject } from '../src/platforms/subject.js';
import type { Profile } from '../src/profiles/profile.js';
import { type Options, Rig } from '../test/support/machine.js';
import { ROOT } from './events_peer.js';

export interface Handler {
  readonly name: string;
  /** Tags of rules.md that it is about. */
  readonly rules: readonly string[];
  readonly what: string;
  /** The events that are injected. */
  readonly events: readonly string[];
  /** Two events, too: the first at every so many boundaries, the second at every one after it; 0: single events only. */
  readonly pairs: number;
  readonly make: (profile: Profile) => Promise<Start>;
}

/** A machine in the start state, and the boundary at which a path has ended. */
export interface Start {
  readonly machine: Machine;
  readonly end: bigint;
}

/** A handler from a text: it begins at `start` and ends at `end`. */
function small(
  name: string,
  rules: readonly string[],
  what: string,
  text: string,
  options: Options & { readonly events?: readonly string[]; readonly pairs?: number } = {},
): Handler {
  return {
    name,
    rules,
    what,
    events: options.events ?? ['nmi'],
    pairs: options.pairs ?? 1,
    make: async (profile) => {
      const rig = new Rig(text, { ...options, profile, regs: { CR3: BigInt(ROOT), ...options.regs } });
      return { machine: rig.machine, end: rig.label('end') };
    },
  };
}

const USER = '.section .text.user,"ax"\n';
const KERNEL = '.text\n';

/** Ten instructions that have something to lose: flags, stack words, a backward string direction. */
const CONTEXT = `start:	pushq	%rbx
	addq	%rdi, %rsi
	movq	(%rsp), %r9
	std
	leaq	5(%rdx,%rcx), %r10
	adcq	%r13, %r14
	cld
	popq	%r15
end:	jmp	end
`;

const SMALL: readonly Handler[] = [
  small(
    'plain handler',
    ['A-1', 'A-2', 'A-3'],
    'NMI handler of a few instructions on the interrupted stack',
    `${CONTEXT}v2:	pushq	%rax
	movq	8(%rsp), %rax
	incq	%rax
	popq	%rax
	iretq
`,
  ),
  small(
    'plain handler, ring 3',
    ['A-1', 'A-3', 'B-1'],
    'NMI in ring 3: RSP0, null SS, return to ring 3',
    `${USER}${CONTEXT}${KERNEL}v2:	movq	%ss, %rax
	pushq	%rax
	popq	%rax
	iretq
`,
  ),
  small(
    'handler on an IST stack',
    ['A-3', 'B-1'],
    'NMI handler with an IST stack; a second NMI after its IRET starts at the same top',
    `${CONTEXT}v2:	pushq	$-1
	pushq	%rdi
	movq	16(%rsp), %rdi
	popq	%rdi
	addq	$8, %rsp
	iretq
`,
    { gates: { 2: { ist: 2 } } },
  ),
  small(
    'unaligned stack',
    ['B-1'],
    'RSP is aligned before the frame is pushed and restored by IRET',
    `start:	subq	$3, %rsp
	nop
	subq	$10, %rsp
	addq	$13, %rsp
end:	jmp	end
v2:	pushq	%rbx
	popq	%rbx
	iretq
`,
  ),
  small(
    'breakpoint in the handler',
    ['A-2', 'A-3', 'B-1'],
    "the IRET of a breakpoint's handler unblocks NMIs inside the NMI handler; the second frame destroys the first",
    `${CONTEXT}v2:	pushq	%rax
	int3
	popq	%rax
	iretq
v3:	nop
	iretq
`,
    { gates: { 2: { ist: 2 } } },
  ),
  small(
    'breakpoint in the handler, same stack',
    ['A-2', 'A-3'],
    'NMIs nest on the interrupted stack once a breakpoint has unblocked them',
    `${CONTEXT}v2:	pushq	%rax
	int3
	popq	%rax
	iretq
v3:	iretq
`,
  ),
  small(
    'page fault in the handler',
    ['A-3', 'B-1', 'C-5'],
    'a page fault inside the NMI handler: error code, CR2, RF in the frame; its IRET unblocks NMIs',
    `${CONTEXT}v2:	pushq	%rax
	movq	0x1234, %rax
after:	popq	%rax
	iretq
v14:	movq	$after, 8(%rsp)
	addq	$8, %rsp
	iretq
`,
  ),
  small(
    'general protection in ring 3',
    ['A-3', 'B-1'],
    'CLI in ring 3 faults; NMIs in the handler of the fault, which goes on after the instruction',
    `${USER}start:	nop
	cli
	nop
end:	jmp	end
${KERNEL}v13:	incq	8(%rsp)
	addq	$8, %rsp
	iretq
v2:	nop
	iretq
`,
  ),
  small(
    'software NMI',
    ['A-1'],
    'INT 2 runs the handler without blocking NMIs: a real one nests in it',
    `start:	nop
	int	$2
	nop
end:	jmp	end
v2:	nop
	nop
	iretq
`,
  ),
  small(
    'SYSCALL and SYSRET',
    ['A-4', "D-1'", "D-2'"],
    'SYSCALL and SYSRET neither block nor unblock NMIs; NMIs with a user stack pointer in ring 0',
    `${USER}start:	nop
	syscall
after:	nop
end:	jmp	end
${KERNEL}	.globl	syscall_entry
syscall_entry:
	swapgs
	movq	%rsp, %r12
	swapgs
	sysretq
v2:	nop
	iretq
`,
    { gates: { 2: { ist: 1 } } },
  ),
  small(
    'SYSRET out of the handler',
    ['A-4'],
    'an NMI handler that leaves with SYSRET leaves NMIs blocked',
    `${USER}start:	nop
after:	nop
	int	$3
	nop
end:	jmp	end
${KERNEL}v2:	movq	$after, %rcx
	movl	$0x202, %r11d
	sysretq
v3:	iretq
`,
  ),
  small(
    'RET and POPF out of the handler',
    ['A-4'],
    'an NMI handler that leaves with POPF and RET leaves NMIs blocked',
    `start:	nop
	nop
	nop
	int3
	nop
end:	jmp	end
v2:	movq	24(%rsp), %rax
	movq	(%rsp), %rcx
	movq	%rcx, -8(%rax)
	pushq	16(%rsp)
	popfq
	leaq	-8(%rax), %rsp
	ret
v3:	iretq
`,
    { gates: { 2: { ist: 3 } } },
  ),
  small(
    'IRET to the next instruction',
    ['A-3'],
    'the handler unblocks NMIs itself with an IRET to its own next instruction',
    `start:	nop
	nop
end:	jmp	end
v2:	movq	%ss, %rax
	movq	%rsp, %rcx
	pushq	%rax
	pushq	%rcx
	pushfq
	movq	%cs, %rax
	pushq	%rax
	pushq	$on
	iretq
on:	nop
	iretq
`,
  ),
  small(
    'STI',
    ['C-2'],
    'NMIs directly after STI, which holds back external interrupts only (profile knob)',
    `start:	cli
	nop
	sti
	nop
	sti
	sti
	pushfq
	popfq
	nop
end:	jmp	end
v2:	sti
	nop
	cli
	iretq
`,
  ),
  small(
    'MOV SS',
    ['C-3', 'C-4'],
    'NMIs directly after MOV SS',
    `start:	movl	%ss, %eax
	nop
	movl	%eax, %ss
	nop
	movl	%eax, %ss
	movl	%eax, %ss
	nop
	movl	%eax, %ss
	int3
	nop
end:	jmp	end
v2:	nop
	iretq
v3:	nop
	iretq
`,
  ),
  small(
    'HLT',
    ['A-6', 'C-2'],
    'an NMI wakes the processor from HLT, also directly after STI; its frame names the next instruction',
    `start:	nop
	hlt
	cli
	sti
	hlt
	nop
end:	jmp	end
v2:	nop
	iretq
`,
  ),
  small(
    'repeated string instruction',
    ['A-1', 'C-5'],
    'NMIs between the iterations of REP MOVSQ and REP STOSB: the frame names the instruction itself',
    `start:	leaq	-64(%rsp), %rdi
	leaq	-32(%rsp), %rsi
	movl	$3, %ecx
	rep movsq
	movl	$2, %ecx
	rep stosb
	nop
end:	jmp	end
v2:	pushq	%rcx
	popq	%rcx
	iretq
`,
    { gates: { 2: { ist: 1 } } },
  ),
  small(
    'gate that is not present',
    ['B-4', 'B-5'],
    'an NMI whose delivery faults is lost; NMIs stay blocked until the IRET of the #NP handler',
    `${CONTEXT}v11:	nop
	addq	$8, %rsp
	iretq
`,
    { gates: { 2: { present: false } } },
  ),
  small(
    'faulting IRET',
    ['A-3', 'B-2'],
    'an IRET with a bad selector in the NMI handler faults; NMIs in the handler of the fault',
    `start:	nop
	nop
end:	jmp	end
v2:	xorq	$0x48, 8(%rsp)
	iretq
v13:	addq	$8, %rsp
	movq	24(%rsp), %rax
	xorq	$0x48, 8(%rax)
	iretq
`,
  ),
  small(
    'double fault',
    ['B-4', 'B-5'],
    'an NMI on a stack that is not mapped: the page fault cannot be delivered either and becomes #DF, on its own stack',
    `start:	nop
	movq	%rsp, %rbx
	movabsq	$0xffffc90000001000, %rsp
	nop
	nop
	movq	%rbx, %rsp
end:	jmp	end
v2:	nop
	iretq
v8:	addq	$8, %rsp
	movq	%rbx, 24(%rsp)
	iretq
`,
    { gates: { 8: { ist: 1 } } },
  ),
  small(
    'shutdown',
    ['B-4'],
    'neither the NMI nor #DF can be delivered: the processor shuts down',
    `start:	nop
	movq	%rsp, %rbx
	xorl	%esp, %esp
	movq	%rbx, %rsp
end:	jmp	end
`,
    { pairs: 0 },
  ),
  small(
    'machine check',
    ['A-5', 'E-1'],
    'NMIs and machine checks in each other; a machine check while MCIP is set shuts the processor down',
    `start:	nop
	cli
	nop
end:	jmp	end
v2:	nop
	nop
	iretq
v18:	nop
	iretq
`,
    { events: ['nmi', 'mc'], gates: { 18: { ist: 4 } } },
  ),
  small(
    'machine check that is over',
    ['A-5', 'E-1'],
    'a machine check whose handler clears MCIP can be followed by another one',
    `start:	nop
	nop
end:	jmp	end
v2:	nop
	iretq
v18:	movl	$0x17a, %ecx
	rdmsr
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	iretq
`,
    { events: ['nmi', 'mc'] },
  ),
  small(
    'machine check with CR4.MCE clear',
    ['E-1'],
    'it shuts the processor down',
    `start:	nop
	nop
end:	jmp	end
`,
    { events: ['mc'], pairs: 0, regs: { CR4: 0x20n } },
  ),
  small(
    'external interrupts',
    ['A-1', 'C-1', 'C-2', 'C-4'],
    'NMIs and interrupts by MSI: IF, the shadow of STI, priorities, EOI',
    `start:	nop
	cli
	nop
	sti
	nop
	cli
	sti
	hlt
	nop
end:	jmp	end
v2:	nop
	iretq
v29:	pushq	%rax
	movabsq	$local_apic_page, %rax
	movl	$0, 0xb0(%rax)
	popq	%rax
	iretq
`,
    { events: ['nmi', 'msi:0x1d'], regs: { APIC_BASE: 0xfee00900n } },
  ),
  small(
    'external interrupts of two classes',
    ['A-1', 'C-1'],
    'an interrupt of a higher class nests, one of the same or a lower class waits for the EOI',
    `start:	nop
	nop
end:	jmp	end
v19:	sti
	nop
	movabsq	$local_apic_page, %rax
	movl	$0, 0xb0(%rax)
	iretq
v29:	sti
	movabsq	$local_apic_page, %rax
	nop
	movl	$0, 0xb0(%rax)
	iretq
`,
    { events: ['msi:0x13', 'msi:0x1d'], regs: { APIC_BASE: 0xfee00900n } },
  ),
];

const assembler = await Assembler.create();

function own(
  file: string,
  context: string,
  pairs: number,
  options: { body?: string; events?: string[] } = {},
): Handler {
  const { body, events = ['nmi'] } = options;
  const files = [file, ...(body === undefined ? [] : [body])].map((f) => join(ASM_DIRECTORY, `${f}.S`));
  const kinds = events.length > 1 ? `, ${events.join(' and ')}` : '';
  return {
    name: `${file}, ${context}${body === undefined ? '' : `, ${body}`}${kinds}`,
    rules: events.includes('smi') ? ['A-7', 'B-1'] : ['A-1', 'A-2', 'A-3', 'B-1'],
    what: `asm/${file}.S in the context ${context}${body === undefined ? '' : `, body asm/${body}.S`}${kinds}`,
    events,
    pairs,
    make: async (profile) => {
      const subject = buildSubject(assembler, { files, platform: LINUX, context });
      return { machine: machineFor(subject, profile), end: subject.image.globals.get('context_end')!.address };
    },
  };
}

const CONTEXTS = ['kernel', 'user', 'user-rsp', 'syscall-gap'];
const FILES = ['linux_nmi', 'linux_nmi_rfc', 'linux_nmi_plain'];

export const HANDLERS: readonly Handler[] = [
  ...SMALL,
  ...FILES.flatMap((file) => CONTEXTS.map((context) => own(file, context, 6))),
  ...FILES.flatMap((file) => CONTEXTS.map((context) => own(file, context, 6, { body: 'body_int3' }))),
  own('linux_nmi', 'kernel', 5, { events: ['nmi', 'smi'] }),
];
