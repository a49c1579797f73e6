/* A program that makes a system call by INT 0x80 and looks at the result. It is part of the code under test: it is not given back unchanged. */
	.section .text.user,"ax",@progbits

	.globl	int80_program
int80_program:
	movl	$1000, %eax
	int	$0x80
	cmpq	$-38, %rax
	jne	no_system_call
	jmp	context_end
no_system_call:
	jmp	no_system_call
int80_program_end:
