/* A guest comes from a host with FRED, in a system call, and goes on here. Its RCX holds an address of its own. */
	.text

	.globl	context_start
	.globl	context_end
context_start:
	leaq	guest_code, %rdi
	movabsq	$0x7fffffffef00, %rsi
	leaq	guest_loop, %rcx
	movl	$0x202, %r11d
	call	save_on_fred
	jmp	resume_guest

	.section .text.user,"ax",@progbits
guest_loop:
	jmp	guest_loop
guest_code:
	addq	%rdi, %rsi
	movq	%rdx, %r8
context_end:
	jmp	context_end
