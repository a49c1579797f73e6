/**
 * The platform `xen`: selectors, vectors, IST map and stacks as Xen has them from 4.14 on (without shadow stacks). A PV guest
 * is ring 3, the hypervisor ring 0. The IST numbers are those of the fix of XSA-260 (4.11), which gave #DB a stack; before it
 * there were three, in another order, which makes no difference to a handler of NMI or #MC.
 *
 * A processor's stacks lie in 8 pages, aligned to their size:
 *
 *   0     not used (shadow stacks)
 *   1..4  IST: #MC, NMI, #DB, #DF
 *   5     not mapped
 *   6, 7  the primary stack, with struct cpu_info at its top
 *
 * cpu_info begins with the registers of the guest. RSP0 points behind their SS, so an entry from the guest pushes them where
 * they belong; what follows says which processor runs. All stacks of a processor lie in the same 8 pages, so it finds
 * cpu_info from whatever RSP it has. GS is the guest's, always: there is no SWAPGS.
 */
import { FRAME, flatSegments, gates, savedRegisters, slots, stack } from './parts.js';
import type { Platform, Stack } from './platform.js';
import { SMBASE, SMM_CODE } from './smm.js';

const PAGE = 0x1000n;
/** The image's own 1 GiB. */
const IMAGE = 0xffff82d080000000n;
/** Xen's heap lies in the direct map of all memory; what each processor has for itself is allocated from it. */
const PERCPU = 0xffff830040000000n;
const IDT = 0xffff830041000000n;
const TABLES = 0xffff830042000000n;
const STACKS = 0xffff830043000000n;
/** STACK_SIZE, 32 KiB. */
const STACK_SIZE = 8n * PAGE;
/** In the fixed mappings below the image. */
const INTERRUPT_PAGES = { localApic: 0xffff82cffffe0000n, ioApic: 0xffff82cffffdf000n };

/** The words of cpu_info behind the guest's SS: ES, DS, FS, GS, and the processor's own. */
const BEHIND_FRAME = 96n;
/** Of its own: offsets from there. */
const PROCESSOR_ID = 32;
const PER_CPU_OFFSET = 48;

const page = (n: bigint): bigint => STACKS + n * PAGE;

const stacks: readonly Stack[] = [
  stack('machine check', page(1n), PAGE, { body: true }),
  stack('NMI', page(2n), PAGE, { body: true }),
  stack('debug', page(3n), PAGE, { body: true }),
  stack('double fault', page(4n), PAGE, {}),
  stack('primary', page(6n), 2n * PAGE - BEHIND_FRAME, { context: true, body: true }),
  stack('user', 0x7fffffffe000n, PAGE, { context: true, user: true }),
];

/** Xen's part of the GDT begins behind the 14 pages that belong to the guest. */
const SELECTORS = { kernelCs: 0xe008, kernelSs: 0xe010, userCs: 0xe033, userSs: 0xe02b, tss: 0xe040 };

/** What the manuals call the exceptions, as in `entry_NMI`: the names since 4.18. */
const SHORT: Readonly<Record<number, string>> = {
  ...{ 0: 'DE', 1: 'DB', 2: 'NMI', 3: 'BP', 4: 'OF', 5: 'BR', 6: 'UD', 7: 'NM', 8: 'DF', 10: 'TS', 11: 'NP', 12: 'SS' },
  ...{ 13: 'GP', 14: 'PF', 16: 'MF', 17: 'AC', 18: 'MC', 19: 'XM', 29: 'VC' },
};

export const XEN: Platform = {
  name: 'xen',
  defaults: 'platforms/xen.S',
  imageOffset: IMAGE,
  layout: {
    text: IMAGE + 0x200000n,
    rodata: IMAGE + 0x400000n,
    data: IMAGE + 0x600000n,
    'user-text': 0x400000n,
    'user-data': 0x600000n,
    percpu: PERCPU,
    'smm-text': SMBASE + SMM_CODE,
  },
  smbase: SMBASE,
  selectors: SELECTORS,
  gdt: flatSegments(SELECTORS),
  idtBase: IDT,
  idtWritable: true,
  gdtBase: TABLES,
  tssBase: TABLES + 0x10000n,
  stacks,
  cr3: 0x7e000000n,
  isolation: {
    marker: 'xpti',
    cr3: 0x7e001000n,
    areas: [
      { start: IDT, end: STACKS + 0x1000000n },
      // Paging has no part in how firmware reaches SMRAM.
      { start: SMBASE, end: SMBASE + 0x100000n },
    ],
    sections: ['.text.entry'],
    rsp0: 'primary',
  },
  interruptPages: INTERRUPT_PAGES,
  ist: new Map([
    [1, 'machine check'],
    [2, 'NMI'],
    [3, 'debug'],
    [4, 'double fault'],
  ]),
  rsp0: 'primary',
  fred: {
    entry: 'entry_FRED_R3',
    config: 0n,
    // NMI and #DB stay at level 0; no event has level 1.
    stacks: ['NMI', 'machine check', 'double fault'],
    levels: new Map([
      [18, 2],
      [8, 3],
    ]),
  },
  kernelStack: 'primary',
  userStack: 'user',
  vectors: gates({
    newer: (vector) => `entry_${SHORT[vector]}`,
    interrupts: 'common_interrupt',
    ist: { 1: 3, 2: 2, 8: 4, 18: 1 },
  }),
  ldt: { marker: 'ldt', selector: 0xe050 },
  exceptionTable: '__ex_table',
  syscallEntry: 'lstar_enter',
  // SYSCALL loads CS 0xe008 and SS 0xe010; SYSRET loads CS 0xe023 + 16 and SS 0xe023 + 8.
  star: (0xe023n << 48n) | (0xe008n << 32n),
  // TF IF DF NT RF VM AC
  fmask: 0x74700n,
  userGsBase: 0x00007ffff7d84740n,
  guestGsBase: 0xffff888012340000n,
  cParts: ['do_nmi', 'do_nmi_crash', 'do_machine_check', 'do_debug', 'do_int3', 'do_page_fault', 'do_IRQ'],
  bodies: ['default_do_nmi', 'do_nmi'],
  ptRegsWords: 21,
  ownWords: [
    { stack: 'primary', offset: PROCESSOR_ID, value: 'number' },
    { stack: 'primary', offset: PER_CPU_OFFSET, value: 'percpu' },
  ],
  stackVariables: {},
  systemCode: {
    marker: 'autogen_entrypoints',
    defaults: 'platforms/xen.S',
    contexts: 'xen_hypervisor',
    entryText: ['_stextentry', '_etextentry'],
    entryFunctions: [
      ...['switch_to_kernel', 'test_all_events', 'test_guest_events', 'process_softirqs', 'process_mce', 'process_nmi'],
      ...['process_trap', 'create_bounce_frame', 'continue_pv_domain', 'ret_from_intr'],
      'arch/x86/x86_64/entry.o.unlikely',
    ],
    helpers: /^(__x86_.*|search_pre_exception_table)$/,
    initial: ['__init_begin', '__init_end'],
    // Xen's last 128 MiB of its own GiB, which hold nothing.
    beside: {
      text: 0xffff82d078000000n,
      rodata: 0xffff82d078400000n,
      data: 0xffff82d078800000n,
      'user-text': 0x400000n,
      'user-data': 0x600000n,
      percpu: PERCPU,
      'smm-text': SMBASE + SMM_CODE,
    },
  },
  sleepers: ['schedule', 'do_softirq'],
  work: ['work_pending', 'softirq_pending'],
  crash: {
    serves: ['trap_nop', 'do_nmi_crash'],
    stops: ['crash_stopped'],
    takesOver: ['crash_kernel', '__start_xen'],
    notes: ['crash_notes'],
  },
  workBeforeUser: ['softirq_pending'],
  panics: ['fatal_trap', 'panic', 'machine_halt', 'machine_restart'],
  processorStride: { percpu: 0x40000n, idt: 0x1000n, tables: 0x40000n, stacks: STACK_SIZE },
  balanced: ['nmi_state'],
  nmiLayouts: [
    {
      marker: 'handle_ist_exception',
      slots: slots(['original frame', FRAME], ['cpu_user_regs', savedRegisters('entry_vector')]),
    },
    { marker: 'nmi', slots: slots(['original frame', FRAME]) },
  ],
  symbols: {
    nmi_stack_top: page(3n),
    // Of the first processor. Xen writes each processor's into a stub of its own, at which LSTAR points.
    stack_bottom: page(8n) - BEHIND_FRAME,
    // Of the first processor, too; the others' lie behind them, at the distances of processorStride.
    idt_table: IDT,
    tss_page: TABLES + 0x10000n,
    local_apic_page: INTERRUPT_PAGES.localApic,
    io_apic_page: INTERRUPT_PAGES.ioApic,
  },
};
