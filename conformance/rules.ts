/** The rules of the machine, by tag: where the manual has them, and what the peers can say about them. */
export interface RuleEntry {
  readonly tag: string;
  readonly what: string;
  readonly section: string;
  /** Why programs without events from outside say nothing about it; undefined if they do. */
  readonly notComparable?: string;
}

const OUTSIDE = 'no events from outside in programs';
const NO_DEVICE = 'the mechanism is not reached by single instructions';

export const RULES: readonly RuleEntry[] = [
  { tag: 'A-1', what: 'NMI at a boundary, whatever IF is; it blocks NMIs, INT 2 does not', section: 'SDM 3, 6.7' },
  { tag: 'A-2', what: 'one NMI is latched, others collapse', section: 'SDM 3, 6.7.1', notComparable: OUTSIDE },
  {
    tag: 'A-3',
    what: 'any IRET unblocks NMIs, also one that faults',
    section: 'SDM 3, 6.7.1; 25.3',
    notComparable: OUTSIDE,
  },
  { tag: 'A-4', what: 'nothing else unblocks NMIs', section: 'SDM 3, 6.7.1', notComparable: OUTSIDE },
  { tag: 'A-5', what: 'NMI blocking and #MC', section: 'SDM 3, 6.7.1; 15', notComparable: OUTSIDE },
  { tag: 'A-6', what: 'an NMI wakes a halted processor', section: 'SDM 2, HLT', notComparable: OUTSIDE },
  { tag: 'A-7', what: 'SMM and NMIs', section: 'SDM 3, 34.8', notComparable: OUTSIDE },
  { tag: 'B-1', what: 'delivery: stack, frame, flags', section: 'SDM 3, 6.12 to 6.14' },
  { tag: 'B-2', what: 'IRETQ: pops, checks, faults', section: 'SDM 2, IRET' },
  {
    tag: 'B-3',
    what: 'IRET to a 16-bit stack segment',
    section: 'SDM 2, IRET',
    notComparable: 'compatibility mode is not entered',
  },
  { tag: 'B-4', what: 'double faults and shutdown', section: 'SDM 3, 6.15, table 6-5' },
  { tag: 'B-5', what: 'gates that are not present, bad stacks', section: 'SDM 3, 6.13 to 6.15' },
  { tag: 'B-6', what: 'gates are read in halves', section: 'SDM 3, 8.1.1', notComparable: 'one processor' },
  { tag: 'C-1', what: 'priorities at one boundary', section: 'SDM 3, table 6-2' },
  { tag: 'C-2', what: 'the STI shadow', section: 'SDM 3, 6.8.3', notComparable: OUTSIDE },
  { tag: 'C-3', what: 'the MOV SS shadow; #DB that is held back', section: 'SDM 3, 6.8.3' },
  { tag: 'C-4', what: 'a delivery ends the shadows', section: 'SDM 3, 26.6.1', notComparable: OUTSIDE },
  { tag: 'C-5', what: 'breakpoints, single steps, RF', section: 'SDM 3, 17.3.1' },
  { tag: "D-1'", what: 'SYSCALL', section: 'SDM 2, SYSCALL' },
  { tag: "D-2'", what: 'SYSRET', section: 'SDM 2, SYSRET' },
  { tag: "D-3'", what: 'SYSENTER and SYSEXIT', section: 'SDM 2, SYSENTER, SYSEXIT' },
  { tag: "D-4'", what: 'SWAPGS, FSGSBASE, the MSRs of the bases', section: 'SDM 2, SWAPGS, WRFSBASE, WRMSR' },
  { tag: 'E-1', what: 'machine checks', section: 'SDM 3, 15.3', notComparable: OUTSIDE },
  { tag: "F-1'", what: 'VM entry: checks of event injection', section: 'SDM 3, 26.3.1', notComparable: NO_DEVICE },
  { tag: "F-2'", what: 'VM exits and the latch', section: 'SDM 3, 27', notComparable: NO_DEVICE },
  { tag: "F-3'", what: 'SVM: GIF', section: 'APM 2, 15.17', notComparable: NO_DEVICE },
  { tag: 'G', what: 'FRED', section: 'FRED specification', notComparable: 'the peers do not have it' },
];
