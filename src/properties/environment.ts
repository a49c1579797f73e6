import { Reg } from '../cpu/registers.js';
import { USER_SPACE } from '../platforms/isolation.js';
import { hex } from './describe.js';
import { type Monitor, RecordWord, Word } from './monitor.js';
import type { Property } from './property.js';

function wrong(m: Monitor): string[] {
  const { platform } = m.subject;
  const u64 = m.machine.cpu.regs.u64;
  const list: string[] = [];
  const { percpu } = m.processor;
  const ownGs = usesGs(m);
  if (ownGs && u64[Reg.GS_BASE] !== percpu)
    list.push(`GS base is ${hex(u64[Reg.GS_BASE]!)}, not this CPU's ${hex(percpu)}`);
  if (ownGs && !userBaseKept(m)) {
    list.push(`KERNEL_GS_BASE is ${hex(u64[Reg.KERNEL_GS_BASE]!)}, not the user's GS base ${hex(platform.userGsBase)}`);
  }
  if (u64[Reg.CS] !== BigInt(platform.selectors.kernelCs)) list.push(`CS is ${hex(u64[Reg.CS]!)}`);
  if (!inKernelSpace(m)) list.push(`CR3 is ${hex(u64[Reg.CR3]!)}: the ${m.machine.memory.space} address space`);
  // A delivery that changed CPL leaves a null SS.
  if (u64[Reg.SS] !== 0n && u64[Reg.SS] !== BigInt(platform.selectors.kernelSs))
    list.push(`SS is ${hex(u64[Reg.SS]!)}`);
  const stack = m.stackInUse();
  if (!stack?.body)
    list.push(`RSP is ${hex(u64[Reg.RSP]!)}, ${stack ? `on the ${stack.name} stack` : 'on no stack of the kernel'}`);
  return list;
}

export const environment: Property = {
  name: 'environment',
  sentence:
    "the C part runs with this CPU's GS base and the user's in KERNEL_GS_BASE, the kernel's CR3, CS and SS, on a stack of the kernel",
  ends: false,
  enteredC: (m) => !sound(m),
  explain: (m) => wrong(m).join('; '),
};

/** The software reaches its per-CPU area by GS. */
function usesGs({ subject }: Monitor): boolean {
  return subject.platform.guestGsBase === undefined;
}

/** CR3 selects the kernel's mappings, in whatever process. */
function inKernelSpace(m: Monitor): boolean {
  return m.machine.memory.space !== USER_SPACE;
}

/**
 * Whether KERNEL_GS_BASE holds the user's GS base. That may be one which the user has chosen: then it is a base of before the
 * delivery. An entry that has loaded the kernel's without SWAPGS has left KERNEL_GS_BASE alone.
 */
function userBaseKept(m: Monitor): boolean {
  const { u64 } = m.machine.cpu.regs;
  const base = u64[Reg.KERNEL_GS_BASE]!;
  if (base === m.subject.platform.userGsBase) return true;
  if (u64[Reg.GS_BASE] !== m.processor.percpu || m.words[Word.DEPTH] === 0) return false;
  const record = m.innermost;
  return base === m.recorded(record + RecordWord.GS_BASE) || base === m.recorded(record + RecordWord.KERNEL_GS_BASE);
}

/** The same as `wrong` without making sentences: it runs at each entry. */
function sound(m: Monitor): boolean {
  const { platform } = m.subject;
  const u32 = m.machine.u32;
  const ss = u32[2 * Reg.SS]!;
  return (
    inKernelSpace(m) &&
    (!usesGs(m) || (m.machine.cpu.regs.u64[Reg.GS_BASE] === m.processor.percpu && userBaseKept(m))) &&
    u32[2 * Reg.CS] === platform.selectors.kernelCs &&
    (ss === 0 || ss === platform.selectors.kernelSs) &&
    m.stackInUse()?.body === true
  );
}
