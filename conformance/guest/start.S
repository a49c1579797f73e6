# From reset to 64-bit mode, in the last bytes of a 64 KiB ROM. Everything else, page tables included, lies in RAM
# already. After a shutdown the machine is reset and comes here again, with RAM as it was.

	.code16
	.globl _start
_start:
	cli
	cld
	movl	$0x20, %eax			# CR4.PAE
	movl	%eax, %cr4
	movl	$BOOT_CR3, %eax
	movl	%eax, %cr3
	movl	$0xc0000080, %ecx		# EFER: LME, NXE
	movl	$0x900, %eax
	xorl	%edx, %edx
	wrmsr
	lgdtl	%cs:(ROM_BASE - 0xf0000 + gdtr - _start)
	movl	$0x80000011, %eax		# PE, ET and PG at once: straight to IA-32e mode
	movl	%eax, %cr0
	ljmpl	$8, $ENTRY_PHYSICAL

	.balign 8
gdt:	.quad	0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdtr:	.word	23
	.long	ROM_BASE + gdt - _start

	.org	0xf0				# the reset vector, 16 bytes below the end
	ljmp	$0xf000, $0xff00
	.org	0x100, 0
