/*
 * Writing to gates of an IDT that is in use: the part that asm/xen_tables.S and asm/xen_kexec.S share.
 *
 * Source: 77ad1faa6b61 "x86/kexec: Change NMI and MCE handling on kexec path" (seed 002_b809f1a81997fd97), which added
 * the helpers for NMI and #MC, whose gates nothing can keep from being used while they are written.
 *
 * A gate is 16 bytes, which the processor reads as two halves and software writes in several pieces:
 *
 *	gate+8	upper half: bits 63:32 of the handler's address
 *	gate	lower half:
 *		63:48	bits 31:16 of the address
 *		47	present
 *		46:45	DPL
 *		44:40	type
 *		34:32	IST
 *		31:16	code segment
 *		15:0	bits 15:0 of the address
 *
 * Only an aligned store of 8 bytes is one step. All handlers lie in the hypervisor's own 1 GiB, so the upper half never
 * changes, and the lower one alone says everything: write that and nothing else.
 *
 * The variants of the write are the ways in which it goes wrong, and one that does not:
 *
 *	(none)			the lower half alone
 *	GATE_UPPER_FIRST	both halves; nothing changes with the first one
 *	GATE_LOWER_FIRST	both halves, the lower one first
 *	GATE_DISABLED		not present while the halves are written
 *	GATE_CLEARED		zeroed, then copied, as assigning a structure can be compiled
 *	GATE_FIELDS		the address in fields of 16 bits, as assigning its members is
 */
#define GATE_INTERRUPT		(0x8e << 40)
/* All of a lower half but the address. */
#define GATE_SETTINGS		0x0000ffffffff0000

	.text

/*
 * _write_gate_lower: rdi = gate, rax and rdx = the lower and the upper half that it is to have. Stops where the upper
 * half would change.
 */
_write_gate_lower:
#if defined(GATE_CLEARED)
	movq	$0, (%rdi)
	movq	$0, 8(%rdi)
	movq	%rax, (%rdi)
	movq	%rdx, 8(%rdi)
#elif defined(GATE_DISABLED)
	andb	$0x7f, 5(%rdi)
	movq	%rdx, 8(%rdi)
	movq	%rax, (%rdi)
#elif defined(GATE_LOWER_FIRST)
	movq	%rax, (%rdi)
	movq	%rdx, 8(%rdi)
#elif defined(GATE_UPPER_FIRST)
	movq	%rdx, 8(%rdi)
	movq	%rax, (%rdi)
#elif defined(GATE_FIELDS)
	movw	%ax, (%rdi)
	shrq	$32, %rax
	movl	%eax, 4(%rdi)
	movl	%edx, 8(%rdi)
#else
	cmpq	%rdx, 8(%rdi)
	jne	.Lupper_half_changes
	movq	%rax, (%rdi)
#endif
	ret

.Lupper_half_changes:
	ud2

/* _set_gate_lower: rdi = gate, rsi = handler. An interrupt gate of ring 0 without IST. Changes rax, rdx. */
_set_gate_lower:
	movabsq	$(GATE_INTERRUPT | __HYPERVISOR_CS << 16), %rax
	jmp	.Lwith_address

/* _update_gate_addr_lower: rdi = gate, rsi = handler. All but the address, the IST too, stays. Changes rax, rdx. */
_update_gate_addr_lower:
	movabsq	$GATE_SETTINGS, %rax
	andq	(%rdi), %rax

.Lwith_address:
	movzwl	%si, %edx
	orq	%rdx, %rax
	movl	%esi, %edx
	andl	$0xffff0000, %edx
	shlq	$32, %rdx
	orq	%rdx, %rax
	movq	%rsi, %rdx
	shrq	$32, %rdx
	jmp	_write_gate_lower

/* set_ist: rdi = gate, sil = IST. A byte of its own, hence one step too. */
set_ist:
	movb	%sil, 4(%rdi)
	ret
