/**
 * Linux' numbers for processor features: word * 32 + bit. Words that CPUID fills are the same in all versions; words 3, 7, 8,
 * 11 and 21 are Linux' own and move. What an image or its sources say about themselves goes before this table.
 */

/**
 * arch/x86/include/asm/cpufeatures.h of Linux 6.1, by word: one name for each bit, `-` for a free one, `@n` goes on at bit n;
 * behind `=` the name in /proc/cpuinfo where it is another one. A few bits
 * that 6.1 has not are those of later versions.
 */
const WORDS: readonly (readonly [word: number, bits: string])[] = [
  [
    0,
    `
    fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - ds=dts acpi mmx fxsr
    xmm=sse xmm2=sse2 selfsnoop=ss ht acc=tm ia64 pbe`,
  ],
  [1, `@11 syscall @19 mp nx - mmxext - - fxsr_opt gbpages=pdpe1gb rdtscp - lm 3dnowext 3dnow`],
  [2, `recovery longrun - lrti`],
  [
    3,
    `
    cxmmx k6_mtrr cyrix_arr centaur_mcr k8 - p3 p4 constant_tsc up art arch_perfmon pebs bts syscall32
    sysenter32 rep_good amd_lbr_v2 lfence_rdtsc acc_power nopl always xtopology tsc_reliable nonstop_tsc cpuid
    extd_apicid amd_dcm aperfmperf rapl nonstop_tsc_s3 tsc_known_freq`,
  ],
  [
    4,
    `
    xmm3=pni pclmulqdq dtes64 mwait=monitor dscpl=ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm -
    pcid dca xmm4_1=sse4_1 xmm4_2=sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave osxsave avx f16c
    rdrand hypervisor`,
  ],
  [5, `- - xstore=rng xstore_en=rng_en - - xcrypt=ace xcrypt_en=ace_en ace2 ace2_en phe phe_en pmm pmm_en`],
  [
    6,
    `
    lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt - lwp
    fma4 tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - bpext ptsc perfctr_llc mwaitx`,
  ],
  [
    7,
    `
    ring3mwait cpuid_fault cpb epb cat_l3 cat_l2 cdp_l3 invpcid_single hw_pstate proc_feedback xcompacted pti
    kernel_ibrs rsb_vmexit intel_ppin cdp_l2 msr_spec_ctrl ssbd mba rsb_ctxsw perfmon_v2 use_ibpb use_ibrs_fw
    spec_store_bypass_disable ls_cfg_ssbd ibrs ibpb stibp zen l1tf_pteinv ibrs_enhanced msr_ia32_feat_ctl`,
  ],
  [
    8,
    `
    tpr_shadow vnmi flexpriority ept vpid coherency_sfw_no @15 vmmcall xenpv ept_ad vmcall vmw_vmmcall pvunlock
    vcpupreempt tdx_guest`,
  ],
  [
    9,
    `
    fsgsbase tsc_adjust sgx bmi1 hle avx2 fdp_excptn_only smep bmi2 erms invpcid rtm cqm zero_fcs_fds mpx rdt_a
    avx512f avx512dq rdseed adx smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd sha_ni
    avx512bw avx512vl`,
  ],
  [10, `xsaveopt xsavec xgetbv1 xsaves xfd`],
  [
    11,
    `
    cqm_llc cqm_occup_llc cqm_mbm_total cqm_mbm_local fence_swapgs_user fence_swapgs_kernel split_lock_detect
    per_thread_mba sgx1 sgx2 entry_ibpb rrsba_ctrl retpoline retpoline_lfence rethunk unret use_ibpb_fw
    rsb_vmexit_lite clear_cpu_buf call_depth
    msr_tsx_ctrl - - user_shstk srso srso_alias ibpb_on_vmexit apic_msrs_fence zen2 zen3
    zen4 zen1`,
  ],
  [12, `@4 avx_vnni avx512_bf16 @17 fred lkgs`],
  [
    13,
    `
    clzero irperf xsaveerptr - rdpru @9 wbnoinvd - - amd_ibpb - amd_ibrs amd_stibp - amd_stibp_always_on @23
    amd_ppin amd_ssbd virt_ssbd amd_ssb_no cppc - btc_no amd_ibpb_ret brs`,
  ],
  [14, `dtherm ida arat - pln - pts hwp hwp_notify hwp_act_window hwp_epp hwp_pkg_req @19 hfi`],
  [
    15,
    `
    npt lbrv svml=svm_lock nrips=nrip_save tscratemsr=tsc_scale vmcbclean=vmcb_clean flushbyasid decodeassists -
    - pausefilter - pfthreshold avic - v_vmsave_vmload vgif - x2avic - v_spec_ctrl @28 svme_addr_chk`,
  ],
  [
    16,
    `
    - avx512vbmi umip pku ospke waitpkg avx512_vbmi2 - gfni vaes vpclmulqdq avx512_vnni avx512_bitalg tme
    avx512_vpopcntdq - la57 @22 rdpid - bus_lock_detect cldemote - movdiri movdir64b enqcmd sgx_lc`,
  ],
  [17, `overflow_recov succor - smca`],
  [
    18,
    `
    - - avx512_4vnniw avx512_4fmaps fsrm @8 avx512_vp2intersect srbds_ctrl md_clear rtm_always_abort -
    tsx_force_abort serialize hybrid_cpu tsxldtrk - pconfig arch_lbr ibt - amx_bf16 avx512_fp16 amx_tile
    amx_int8 spec_ctrl intel_stibp flush_l1d arch_capabilities core_capabilities spec_ctrl_ssbd`,
  ],
  [19, `sme sev vm_page_flush sev_es @9 v_tsc_aux sme_coherent`],
  [20, `@5 verw_clear - - autoibrs @27 sbpb ibpb_brtype srso_no`],
  [
    21,
    `
    amd_lbr_pmc_freeze clear_bhb_loop bhi_ctrl clear_bhb_hw clear_bhb_loop_on_vmexit indirect_thunk_its @11
    tsa_sq_no tsa_l1_no clear_cpu_buf_vm ibpb_exit_to_user`,
  ],
  [
    22,
    `
    bug_f00f bug_fdiv bug_coma bug_amd_tlb_mmatch bug_amd_apic_c1e bug_11ap bug_fxsave_leak bug_clflush_monitor
    bug_sysret_ss_attrs bug_espfix bug_null_seg bug_swapgs_fence bug_monitor bug_amd_e400 bug_cpu_meltdown
    bug_spectre_v1 bug_spectre_v2 bug_spec_store_bypass bug_l1tf bug_mds bug_msbds_only bug_swapgs bug_taa
    bug_itlb_multihit bug_srbds bug_mmio_stale_data bug_mmio_unknown bug_retbleed bug_eibrs_pbrsb bug_smt_rsb
    bug_gds`,
  ],
  [23, `bug_srso bug_div0 bug_rfds bug_bhi bug_ibpb_no_ret bug_its bug_its_native_only - - bug_tsa bug_vmscape`],
];

export interface FeatureName {
  readonly number: number;
  /** As in X86_FEATURE_…, in lower case; a bug begins with `bug_`. */
  readonly name: string;
  /** In /proc/cpuinfo, if it is another one. */
  readonly alias: string | undefined;
}

/** Numbers and names of Linux 6.1. */
export const LINUX_FEATURES: readonly FeatureName[] = WORDS.flatMap(([word, bits]) => {
  let bit = 0;
  return bits
    .trim()
    .split(/\s+/)
    .flatMap((entry) => {
      if (entry.startsWith('@')) {
        bit = Number(entry.slice(1));
        return [];
      }
      const number = word * 32 + bit++;
      const [name, alias] = entry.split('=') as [string, string | undefined];
      return name === '-' ? [] : [{ number, name, alias }];
    });
});
