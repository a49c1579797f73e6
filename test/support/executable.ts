/** Small kernels: assembly, linked by the machine's own tools to an executable at the addresses of a real one. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Entry code of one handler, which calls the C function `exc_nmi` outside of it; what is in capitals is for the test to fill in. */
export function kernelSource({
  handler = 'push %rdi\n call exc_nmi\n pop %rdi\n iretq',
  functions = '',
  data = '',
} = {}): string {
  return `
	.section .entry.text,"ax",@progbits
	.globl	__entry_text_start, __entry_text_end, asm_exc_nmi
__entry_text_start:
asm_exc_nmi:
	${handler}
asm_exc_nmi_last:
	int3
__entry_text_end:
	.text
	.globl	exc_nmi, sync_regs
	.type	exc_nmi, @function
exc_nmi:
	addl	$1, %gs:calls
	ret
	.skip	16, 0xcc
sync_regs:
	movq	%rdi, %rax
	ret
	.skip	16, 0xcc
	${functions}
	.section .data..percpu,"aw",@progbits
	.globl	cpu_tss_rw, calls
cpu_tss_rw:
	.skip	4096
calls:
	.quad	0
	.section .rodata,"a",@progbits
	.globl	constant
constant:
	.quad	0x1122334455667788
	.data
	.globl	variable
variable:
	.quad	0x99
	.bss
	.globl	blank
blank:
	.skip	65536
	${data}
`;
}

const SCRIPT = `
SECTIONS {
  . = 0xffffffff81000000;
  .text : { *(.text) . = ALIGN(4096); *(.entry.text) }
  .rodata ALIGN(4096) : { *(.rodata) }
  .data ALIGN(4096) : { *(.data) }
  .bss ALIGN(4096) : { *(.bss) }
  .data..percpu 0 : { *(.data..percpu) }
  /DISCARD/ : { *(.note*) }
}
`;

/** Assembles and links; returns the path of the executable, in a folder of its own. */
export function makeExecutable(source: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'entrace-executable-'));
  const at = (name: string): string => join(folder, name);
  writeFileSync(at('kernel.s'), source);
  writeFileSync(at('kernel.ld'), SCRIPT);
  execFileSync('as', ['-o', at('kernel.o'), at('kernel.s')]);
  execFileSync('ld', [
    '-T',
    at('kernel.ld'),
    '-e',
    'asm_exc_nmi',
    '--no-warn-rwx-segments',
    '-o',
    at('vmlinux'),
    at('kernel.o'),
  ]);
  return at('vmlinux');
}
