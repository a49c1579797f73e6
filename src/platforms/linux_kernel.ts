/** The platform `linux` for the kernel's own entry code, from 4.15 on: how versions differ is told by their symbols. */
import { MAX_PROCESSORS } from '../harness/processors.js';
import { linuxGates } from './linux_gates.js';
import { stack } from './parts.js';
import type { Platform, Stack, StartWord } from './platform.js';
import type { CodeFacts } from './system_code.js';

const PAGE = 0x1000n;
/** arch/x86/include/asm/cpu_entry_area.h: the read-only IDT, then for each processor GDT, entry stack, TSS, exception stacks. */
const CPU_ENTRY_AREA = 0xfffffe0000000000n;
const GDT = CPU_ENTRY_AREA + PAGE;
const ENTRY_STACK = CPU_ENTRY_AREA + 2n * PAGE;
const EXCEPTION_STACKS = CPU_ENTRY_AREA + 0x8000n;
const THREAD_STACK = 0xffffc90000010000n;
/** THREAD_SIZE without KASAN: 16 KiB. */
const THREAD_PAGES = 4n;

/** The exception stacks from the lowest on; #VC has two since 5.10. */
const EXCEPTIONS = ['double fault', 'NMI', 'debug', 'machine check', 'VC', 'VC fallback'];

/** EXCEPTION_STKSZ: two pages since 5.16, one before; a whole kernel says it by the size of its stacks. */
function exceptionStackSize(facts: CodeFacts): bigint {
  const all = facts.extent('exception_stacks');
  const count = facts.mentions('exc_vmm_communication') || facts.mentions('kernel_exc_vmm_communication') ? 6 : 4;
  return all !== undefined && all >= count * 4096 && all < count * 8192 ? PAGE : 2n * PAGE;
}

/** What C functions that are run themselves go by: all processors are online. An NMI handler does nothing on one that is not. */
function startWords(facts: CodeFacts): StartWord[] {
  const online = '__cpu_online_mask';
  if (facts.executable === undefined || !facts.defines(online)) return [];
  return [{ at: { symbol: online, offset: 0 }, value: (1n << BigInt(MAX_PROCESSORS)) - 1n }];
}

export function linuxKernel(platform: Platform, facts: CodeFacts): Platform {
  const size = exceptionStackSize(facts);
  // Below each lies a guard page, which is not mapped.
  const exceptionStack = (name: string, i: number): Stack =>
    stack(
      name,
      EXCEPTION_STACKS + BigInt(i) * (size + PAGE) + PAGE,
      size,
      name === 'double fault' ? {} : { body: true },
    );
  const exceptionStacks = EXCEPTIONS.map(exceptionStack);
  const top = (name: string): bigint => exceptionStacks.find((s) => s.name === name)!.top;
  return {
    ...platform,
    gdtBase: GDT,
    vectors: linuxGates(platform, facts),
    startWords: startWords(facts),
    tssVariable: 'cpu_tss_rw',
    stacks: [
      ...exceptionStacks,
      stack('thread', THREAD_STACK, THREAD_PAGES * PAGE, { context: true, body: true }),
      platform.stacks.find((s) => s.name === 'user')!,
      stack('entry', ENTRY_STACK, PAGE, {}),
    ],
    // With page-table isolation or without (TSS.SP0, 4.15).
    rsp0: 'entry',
    isolation: {
      ...platform.isolation,
      parts: [platform.systemCode.entryText, ['cpu_tss_rw', Number(PAGE)]],
    },
    cParts: [
      ...platform.cParts,
      ...[
        'exc_divide_error',
        'exc_overflow',
        'exc_bounds',
        'exc_invalid_op',
        'exc_device_not_available',
        'exc_invalid_tss',
      ],
      ...[
        'exc_segment_not_present',
        'exc_stack_segment',
        'exc_general_protection',
        'exc_page_fault',
        'exc_alignment_check',
      ],
      ...['exc_coprocessor_error', 'exc_simd_coprocessor_error', 'exc_int3', 'exc_double_fault', 'noist_exc_debug'],
      ...['noist_exc_machine_check', 'common_interrupt', 'spurious_interrupt', 'user_exc_vmm_communication'],
      ...['kernel_exc_vmm_communication', 'int80_emulation', 'syscall_exit_to_user_mode'],
    ],
    bodies: ['default_do_nmi', 'exc_nmi', 'do_nmi'],
    percpuVariables: { own: 'this_cpu_off', all: '__per_cpu_offset' },
    symbols: {
      ...platform.symbols,
      nmi_stack_top: top('NMI'),
      thread_stack_top: THREAD_STACK + THREAD_PAGES * PAGE,
      vc_stack_top: top('VC'),
      vc_fallback_stack_top: top('VC fallback'),
      cpu_gdt: GDT,
    },
  };
}
