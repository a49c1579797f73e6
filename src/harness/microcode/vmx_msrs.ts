/** IA32_FEATURE_CONTROL and the VMX capability MSRs (SDM vol. 3, appendix A; vol. 4, table 2-2). All are read-only: the firmware has locked the first. */
import type { Machine } from '../machine.js';
import { encodingOf, FIELD_NAMES, VMCS_REVISION } from '../vmcs.js';
import { ALLOWED, type Allowed, FIXED } from '../vmx.js';
import type { Msr } from './model_specific_registers.js';

/** Lock; VMX outside SMX. */
const FEATURE_CONTROL = 0x5n;
/** IA32_VMX_BASIC: the size of a VMCS, write-back memory for it, and that the TRUE MSRs are there. */
const BASIC = BigInt(VMCS_REVISION) | (4096n << 32n) | (6n << 50n) | (1n << 55n);
/** IA32_VMX_MISC: activity state HLT. */
const MISC = 1n << 6n;
/** Controls that were 1 before the TRUE MSRs came: CR3 exiting; debug controls. */
const DEFAULT_PROCESSOR = 0x18000;
const DEFAULT_DEBUG = 0x4;

function constant(value: bigint): Msr {
  return {
    read: (machine: Machine) => (machine.profile.vendor === 'intel' ? value : undefined),
    write: () => false,
  };
}

function controls({ ones, may }: Allowed, more = 0): Msr {
  return constant(BigInt((ones | more) >>> 0) | (BigInt(may >>> 0) << 32n));
}

const highestIndex = Math.max(...FIELD_NAMES.map((name) => (encodingOf(name) >>> 1) & 0x1ff));

export const VMX_MSRS: readonly (readonly [number, Msr])[] = [
  [0x3a, constant(FEATURE_CONTROL)],
  [0x480, constant(BASIC)],
  [0x481, controls(ALLOWED.pin)],
  [0x482, controls(ALLOWED.processor, DEFAULT_PROCESSOR)],
  [0x483, controls(ALLOWED.exit, DEFAULT_DEBUG)],
  [0x484, controls(ALLOWED.entry, DEFAULT_DEBUG)],
  [0x485, constant(MISC)],
  [0x486, constant(BigInt(FIXED.CR0))],
  [0x487, constant(0xffffffffn)],
  [0x488, constant(BigInt(FIXED.CR4))],
  [0x489, constant(0x3727ffn)],
  [0x48a, constant(BigInt(highestIndex << 1))],
  [0x48d, controls(ALLOWED.pin)],
  [0x48e, controls(ALLOWED.processor)],
  [0x48f, controls(ALLOWED.exit)],
  [0x490, controls(ALLOWED.entry)],
];
