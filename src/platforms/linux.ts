/** The platform `linux`: selectors, vectors, IST map, per-CPU area and stacks as the kernel has them. */
import { FRAME, flatSegments, gates, savedRegisters, slots, stack } from './parts.js';
import type { Platform, Stack } from './platform.js';
import { SMBASE, SMM_CODE } from './smm.js';

const PAGE = 0x1000n;
/** The per-CPU entry areas: IDT, GDT, entry stack, TSS, exception stacks. */
const CPU_ENTRY_AREA = 0xfffffe0000000000n;
const ENTRY_STACK = CPU_ENTRY_AREA + 0x2000n;
const GDT = CPU_ENTRY_AREA + 0x1000n;
const TSS = CPU_ENTRY_AREA + 0x3000n;
const EXCEPTION_STACKS = CPU_ENTRY_AREA + 0x5000n;
const THREAD_STACK = 0xffffc90000010000n;
const PERCPU = 0xffff88807fc00000n;
/** In the fixed mappings at the top of the address space. */
const INTERRUPT_PAGES = { localApic: 0xffffffffff5fd000n, ioApic: 0xffffffffff5fc000n };
const KERNEL_CR3 = 0x1a0a000n;

/**
 * The exception stacks lie one above the other without gaps, as in the kernels up to 4.14. Below the double fault stack,
 * the thread stack, the user's and those of #VC (5.10) nothing is mapped; below the entry stack lies the GDT, which cannot be
 * written.
 */
const stacks: readonly Stack[] = [
  stack('double fault', EXCEPTION_STACKS, PAGE, {}),
  stack('NMI', EXCEPTION_STACKS + PAGE, PAGE, { body: true }),
  stack('debug', EXCEPTION_STACKS + 2n * PAGE, PAGE, { body: true }),
  stack('machine check', EXCEPTION_STACKS + 3n * PAGE, PAGE, { body: true }),
  stack('thread', THREAD_STACK, 2n * PAGE, { context: true, body: true }),
  stack('user', 0x7fffffffe000n, PAGE, { context: true, user: true }),
  stack('entry', ENTRY_STACK, PAGE, {}),
  stack('VC', EXCEPTION_STACKS + 5n * PAGE, PAGE, { body: true }),
  stack('VC fallback', EXCEPTION_STACKS + 7n * PAGE, PAGE, { body: true }),
];

const topOf = (name: string): bigint => stacks.find((s) => s.name === name)!.top;

const SELECTORS = { kernelCs: 0x10, kernelSs: 0x18, userCs: 0x33, userSs: 0x2b, tss: 0x40, cpuNumber: 0x78 };

const vectors = gates({
  // Since 5.8.
  newer: (_vector, older) => `asm_exc_${older.toLowerCase()}`,
  interrupts: 'asm_common_interrupt',
  ist: { 1: 3, 2: 2, 8: 1, 18: 4 },
});

const PT_REGS = savedRegisters('orig_rax');

export const LINUX: Platform = {
  name: 'linux',
  defaults: 'platforms/linux.S',
  imageOffset: 0xffffffff80000000n,
  layout: {
    text: 0xffffffff81000000n,
    rodata: 0xffffffff82000000n,
    data: 0xffffffff82400000n,
    'user-text': 0x400000n,
    'user-data': 0x600000n,
    percpu: PERCPU,
    'smm-text': SMBASE + SMM_CODE,
  },
  smbase: SMBASE,
  selectors: SELECTORS,
  gdt: flatSegments(SELECTORS),
  idtBase: CPU_ENTRY_AREA,
  // Read-only, as it is mapped there.
  idtWritable: false,
  gdtBase: GDT,
  tssBase: TSS,
  stacks,
  cr3: KERNEL_CR3,
  isolation: {
    marker: 'pti',
    // The user's top-level table follows the kernel's: bit 12 tells them apart.
    cr3: 0x1a0b000n,
    areas: [{ start: CPU_ENTRY_AREA, end: CPU_ENTRY_AREA + 0x8000000000n }],
    sections: ['.entry.text', '.data..percpu..user_mapped'],
    rsp0: 'entry',
  },
  secondProcess: { marker: 'second_process', cr3: KERNEL_CR3 + 0x2000n },
  interruptPages: INTERRUPT_PAGES,
  ist: new Map([
    [1, 'double fault'],
    [2, 'NMI'],
    [3, 'debug'],
    [4, 'machine check'],
    [5, 'VC'],
  ]),
  rsp0: 'thread',
  fred: {
    entry: 'asm_fred_entrypoint_user',
    // 64 bytes below RSP stay free when an event is delivered at the level in use.
    config: 0x40n,
    stacks: ['debug', 'NMI', 'double fault'],
    levels: new Map([
      [1, 1],
      [2, 2],
      [18, 2],
      [8, 3],
    ]),
  },
  kernelStack: 'thread',
  userStack: 'user',
  vectors,
  ldt: { marker: 'ldt', selector: 0x50 },
  exceptionTable: '__ex_table',
  syscallEntry: 'entry_SYSCALL_64',
  // SYSCALL loads CS 0x10 and SS 0x18; SYSRET loads CS 0x23 + 16 and SS 0x23 + 8.
  star: (0x23n << 48n) | (0x10n << 32n),
  // CF PF AF ZF SF TF IF DF OF IOPL NT RF AC ID
  fmask: 0x257fd5n,
  userGsBase: 0x00007ffff7d84740n,
  guestGsBase: undefined,
  cParts: [
    ...['do_nmi', 'exc_nmi', 'do_debug', 'exc_debug', 'do_int3', 'do_general_protection', 'do_stack_segment'],
    ...['do_segment_not_present', 'do_double_fault', 'do_machine_check', 'do_syscall_64', 'do_int80', 'do_IRQ'],
    ...['exc_machine_check', 'exc_vmm_communication'],
  ],
  bodies: ['default_do_nmi', 'do_nmi', 'exc_nmi'],
  ptRegsWords: 21,
  ownWords: [],
  stackVariables: { cpu_current_top_of_stack: 'thread' },
  systemCode: {
    // Since 4.15; each version's SYSCALL entry parks the user's RSP in it.
    marker: 'cpu_tss_rw',
    defaults: 'platforms/linux_kernel.S',
    contexts: 'linux_kernel',
    entryText: ['__entry_text_start', '__entry_text_end'],
    helpers:
      /^(sync_regs|fixup_bad_iret|vc_switch_off_ist|__x86_.*|entry_ibpb|.*_untrain_ret|clear_bhb_loop|__switch_to)$/,
    initial: ['__init_begin', '__init_end'],
    // Where modules are loaded.
    beside: {
      text: 0xffffffffc0000000n,
      rodata: 0xffffffffc0400000n,
      data: 0xffffffffc0800000n,
      'user-text': 0x400000n,
      'user-data': 0x600000n,
      percpu: PERCPU,
      'smm-text': SMBASE + SMM_CODE,
    },
  },
  sleepers: ['schedule', 'do_softirq', 'prepare_exit_to_usermode', 'exit_to_user_mode_loop'],
  work: ['work_pending'],
  workBeforeUser: [],
  panics: ['panic', 'mce_panic'],
  processorStride: { percpu: 0x40000n, idt: 0n, tables: 0x40000n, stacks: 0x40000n },
  balanced: ['nmi_state', 'debug_stack_usage', 'update_debug_stack', 'nmi_warnings'],
  nmiLayouts: [
    {
      marker: 'restart_nmi',
      slots: slots(
        ['original frame', FRAME],
        ['rdx', ['rdx']],
        ['executing', ['executing']],
        ['saved', FRAME],
        ['copied', FRAME],
        ['pt_regs', PT_REGS],
      ),
    },
    {
      marker: 'first_nmi',
      slots: slots(
        ['original frame', FRAME],
        ['rdx', ['rdx']],
        ['executing', ['executing']],
        ['copied (iret frame)', FRAME],
        ['saved (outermost)', FRAME],
        ['pt_regs', PT_REGS],
      ),
    },
    { marker: 'nmi', slots: slots(['original frame', FRAME], ['pt_regs', PT_REGS]) },
    {
      marker: 'asm_fred_entrypoint_user',
      slots: slots(['event', ['reserved', 'event data']], ['original frame', FRAME], ['pt_regs', PT_REGS]),
    },
  ],
  symbols: {
    nmi_stack_top: topOf('NMI'),
    thread_stack_top: topOf('thread'),
    vc_stack_top: topOf('VC'),
    vc_fallback_stack_top: topOf('VC fallback'),
    percpu_area: PERCPU,
    cpu_gdt: GDT,
    cpu_tss: TSS,
    kernel_cr3: KERNEL_CR3,
    local_apic_page: INTERRUPT_PAGES.localApic,
    io_apic_page: INTERRUPT_PAGES.ioApic,
  },
};
