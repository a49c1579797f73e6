/**
 * The platform `xen` for the hypervisor's own executable (xen-syms, xen.gz), from 4.14 on: what C code has set up by the time that
 * entry code runs. Selectors, stacks, IST slots and RSP0 are the platform's already (load_system_tables).
 *
 * Processor 0 is the one that runs. Its per-CPU variables are the executable's own, at distance 0 (__per_cpu_offset[0]). What it
 * runs is a vCPU of a PV guest's kernel, without anything pending: struct vcpu and what its pointers lead to are zero but for
 * what entry code goes by.
 */

import { Reg } from '../cpu/registers.js';
import { InputError } from '../errors.js';
import type { Module } from '../image/module.js';
import type { Place, Platform, StartWord } from './platform.js';
import type { CodeFacts } from './system_code.js';
import { generatedEntries, vcpuFields } from './xen_structures.js';

/** From the top of the primary stack, which is where cpu_info keeps the guest's SS, to fields of cpu_info (asm/include/xen.h). */
const CPUINFO = {
  CURRENT_VCPU: 40,
  XEN_CR3: 64,
  PV_CR3: 72,
  /** Two halves: shadow_spec_ctrl, which is the guest's value, and xen_spec_ctrl. */
  SPEC_CTRL: 80,
  /** Byte 4: spec_ctrl_flags; 5: root_pgt_changed; 6: use_pv_cr3. */
  FLAGS: 88,
} as const;
const USE_PV_CR3 = 1n << 48n;
/** spec_ctrl_flags (asm/spec_ctrl.h): SCF_use_shadow and the others, as init_speculation_mitigations sets them with a feature. */
const SCF_USE_SHADOW = 1n << 32n;
const SCF_OF: readonly (readonly [feature: string, flags: bigint])[] = [
  ['sc_msr_pv', 1n << 33n],
  ['sc_rsb_pv', 1n << 34n],
  ['ibpb_entry_pv', (1n << 36n) | (1n << 37n)],
  ['spec_bhb_loops', 1n << 38n],
];
/** SPEC_CTRL of the hypervisor, where it has one; its guest's is 0. */
const IBRS = 1n;

/** asm/platforms/xen_hypervisor.S: struct vcpu, and pages for what it points to. */
const VCPU = 'running_vcpu';
const VCPU_SIZE = 0x2000;
const POINTEES = 'running_vcpu_pointees';
const POINTEE_SIZE = 0x1000;
const POINTEE_COUNT = 8;

/** PV guests' INT 80h, which has an entry of its own: with a gate that ring 3 may use (pv_trap_init). */
const INT80 = 0x80;
/** IRQs and what else comes from outside begin here; below are exceptions. */
const FIRST_EXTERNAL = 0x20;
/** #VC, which a processor without SEV-ES never raises. */
const VMM_COMMUNICATION = 29;

export function xenHypervisor(platform: Platform, { executable }: CodeFacts): Platform {
  if (executable === undefined) return platform;
  return {
    ...platform,
    // A trampoline that C code writes for each processor, which goes to lstar_enter.
    syscallEntry: 'lstar_stub',
    isolation: { ...platform.isolation, parts: [platform.systemCode.entryText] },
    ownWords: platform.ownWords.filter(({ value }) => value === 'number'),
    oneProcessor: true,
    exceptionTablesBetween: [
      ['__start___ex_table', '__stop___ex_table'],
      ['__start___pre_ex_table', '__stop___pre_ex_table'],
    ],
    startWords: startWords(executable, platform),
    startRegisters: [{ register: Reg.SPEC_CTRL, value: IBRS, ring: 0, feature: 'sc_msr_pv' }],
    cParts: [
      ...platform.cParts,
      // Not pv_hypercall and do_general_protection: they may change the guest's registers.
      ...['do_invalid_op', 'do_device_not_available', 'do_trap', 'do_entry_CP', 'do_unhandled_trap', 'do_double_fault'],
    ],
    panics: [...platform.panics, 'do_double_fault', 'do_unhandled_trap'],
    work: [...platform.work, 'irq_stat'],
    workBeforeUser: [...platform.workBeforeUser, 'irq_stat'],
    systemCode: { ...platform.systemCode, defaults: 'platforms/xen_hypervisor.S' },
    symbols: { ...platform.symbols, ...gateSymbols(executable) },
  };
}

/** What entry code finds in cpu_info, and in the structures of the running vCPU. */
function startWords(executable: Module, platform: Platform): StartWord[] {
  const { pointers, cr3, flags } = vcpuFields(executable, platform);
  if (pointers.length > POINTEE_COUNT || pointers.some((offset) => offset > VCPU_SIZE - 8)) {
    throw new InputError(
      `${executable.name}: its entry code follows ${pointers.length} pointers of struct vcpu (${pointers.join(', ')}), which no known version of Xen has`,
    );
  }
  const cpuInfo = (offset: number): Place => ({ stack: platform.kernelStack, offset });
  const vcpu = (offset: number): Place => ({ symbol: VCPU, offset });
  return [
    { at: cpuInfo(CPUINFO.CURRENT_VCPU), value: vcpu(0) },
    { at: cpuInfo(CPUINFO.XEN_CR3), value: platform.cr3, isolated: true, ring: 3 },
    { at: cpuInfo(CPUINFO.PV_CR3), value: platform.isolation.cr3, isolated: true },
    { at: cpuInfo(CPUINFO.FLAGS), value: USE_PV_CR3, isolated: true, ring: 3 },
    { at: cpuInfo(CPUINFO.SPEC_CTRL), value: IBRS << 32n, feature: 'sc_msr_pv' },
    { at: cpuInfo(CPUINFO.FLAGS), value: SCF_USE_SHADOW, feature: 'sc_msr_pv', ring: 3 },
    ...SCF_OF.map(([feature, value]) => ({ at: cpuInfo(CPUINFO.FLAGS), value, feature })),
    ...pointers.map((offset, i) => ({ at: vcpu(offset), value: { symbol: POINTEES, offset: i * POINTEE_SIZE } })),
    ...(flags === undefined ? [] : [{ at: vcpu(flags), value: 1n }]),
    ...(cr3 === undefined ? [] : [{ at: vcpu(cr3), value: platform.cr3 }]),
  ];
}

/** The entries by the names that the platform's gates have for them. */
function gateSymbols(executable: Module): Record<string, bigint> {
  const symbols: Record<string, bigint> = {};
  for (const [vector, address] of generatedEntries(executable)) {
    if (vector >= FIRST_EXTERNAL) symbols[`interrupt_0x${vector.toString(16)}`] = address;
    if (vector === VMM_COMMUNICATION) symbols.entry_VC = address;
  }
  const int80 = executable.symbols.find((s) => s.name === 'int80_direct_trap');
  const section = int80 && executable.sections.find((s) => s.name === int80.section);
  if (section?.address !== undefined) {
    symbols[`interrupt_0x${INT80.toString(16)}`] = section.address + int80!.value;
    symbols[`dpl_${INT80}`] = 3n;
  }
  return symbols;
}
