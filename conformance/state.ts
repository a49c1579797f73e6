/** The registers that a program starts with and ends with, in the order in which the guest stores them: 8 bytes each. */

/** STUB is the number of the stub that was reached: a vector, or one of Stub; in a start state it is not used. */
export const STATE_NAMES = [
  'STUB',
  ...(['RAX', 'RCX', 'RDX', 'RBX', 'RSP', 'RBP', 'RSI', 'RDI'] as const),
  ...(['R8', 'R9', 'R10', 'R11', 'R12', 'R13', 'R14', 'R15'] as const),
  ...(['RIP', 'RFLAGS', 'CS', 'SS', 'DS', 'ES', 'FS', 'GS'] as const),
  ...(['FS_BASE', 'GS_BASE', 'KERNEL_GS_BASE'] as const),
  ...(['CR0', 'CR2', 'CR3', 'CR4', 'EFER', 'STAR', 'LSTAR', 'FMASK', 'TSC_AUX'] as const),
  ...(['SYSENTER_CS', 'SYSENTER_ESP', 'SYSENTER_EIP'] as const),
  ...(['GDTR_BASE', 'GDTR_LIMIT', 'IDTR_BASE', 'IDTR_LIMIT', 'TR', 'LDTR'] as const),
  ...(['DR0', 'DR1', 'DR2', 'DR3', 'DR6', 'DR7'] as const),
] as const;

export type StateName = (typeof STATE_NAMES)[number];
export type State = Record<StateName, bigint>;

/** What a program may come to besides the handler of a vector. */
export const Stub = { SYSCALL: 256, SYSENTER: 257, SHUTDOWN: 0xffffffffffffffffn } as const;
export const STUBS = 258;

export function stateFrom(words: BigUint64Array): State {
  return Object.fromEntries(STATE_NAMES.map((name, i) => [name, words[i]!])) as State;
}

export function stateWords(state: State): BigUint64Array {
  return BigUint64Array.from(STATE_NAMES, (name) => BigInt.asUintN(64, state[name]));
}
