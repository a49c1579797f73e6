/**
 * What the debugger shows, as plain data: every front end draws these and computes nothing itself. All of it goes through JSON:
 * addresses and values are text, `0x…` in 64 bits without leading zeros.
 */

/** `0xffffffff81000040` */
export type Hex = string;

/** Why the cursor came to stand where it stands. */
export type StopReason =
  | 'start'
  | 'step'
  | 'target'
  | 'breakpoint'
  | 'watchpoint'
  | 'failure'
  | 'end'
  | 'loop'
  | 'limit'
  | 'not-modelled'
  | 'interrupted'
  | 'moved';

export interface Stop {
  readonly reason: StopReason;
  /** For people: "breakpoint 2 at nested_nmi+0", "context is broken: rdi is not what it was". One line. */
  readonly text: string;
  /** The breakpoint or watchpoint, if it was one. */
  readonly number?: number;
  /** For a watchpoint on memory: the address that was accessed. */
  readonly address?: Hex;
}

/** Where the cursor stands: in a branch of the tree of paths, behind so many transitions. */
export interface PositionView {
  readonly branch: number;
  readonly branchName: string;
  readonly index: number;
  /** Transitions of the branch that are known, from the very start. */
  readonly length: number;
  readonly address: Hex;
  /** `nested_nmi+6` */
  readonly boundary: string;
  /** How many states of the path so far, this one included, stood at this boundary. */
  readonly hit: number;
  /** Whose code runs: "context", "NMI 1", "CPU 1 #BP 2". */
  readonly owner: string;
  /** The running processor, and how many there are. */
  readonly processor: number;
  readonly processors: number;
  /** `asm/linux_nmi_rfc.S:81`; undefined where no source is known. */
  readonly place: string | undefined;
  /** The instruction, in the syntax that is chosen. */
  readonly instruction: string;
  /** What the branch does from here: "step", "nmi" (an event), "edit"; undefined at its end. */
  readonly ahead: string | undefined;
  /** Why the path cannot go on; undefined if it can. */
  readonly ended: string | undefined;
  readonly stop: Stop;
}

export interface SourceLineView {
  readonly number: number;
  readonly text: string;
  /** The line of the instruction at RIP. */
  readonly current: boolean;
  /** Boundaries that come from this line; empty for a comment. */
  readonly boundaries: readonly { readonly address: Hex; readonly boundary: string }[];
  /** Numbers of the breakpoints on them. */
  readonly breakpoints: readonly number[];
}

/** Source text around the cursor; undefined in View where the file is not known. */
export interface SourceView {
  readonly file: string;
  readonly lines: readonly SourceLineView[];
  /** Lines of the whole file. */
  readonly total: number;
}

export interface InstructionView {
  readonly address: Hex;
  readonly boundary: string;
  /** The label, where one begins here. */
  readonly label: string | undefined;
  /** `48 8d 7c 24 d0` */
  readonly bytes: string;
  readonly text: string;
  readonly current: boolean;
  readonly breakpoints: readonly number[];
  readonly place: string | undefined;
}

export type RegisterGroup = 'general' | 'flags' | 'segment' | 'control' | 'msr' | 'debug' | 'table';

export interface RegisterView {
  /** Lower case: `rdi`, `gs_base`. */
  readonly name: string;
  readonly group: RegisterGroup;
  readonly value: Hex;
  /** What it points to: "nmi_restore+15", "NMI stack top-264"; or undefined. */
  readonly note: string | undefined;
  /** The last transition changed it; then this was its value. */
  readonly before: Hex | undefined;
}

export interface FlagView {
  readonly name: string;
  readonly set: boolean;
  readonly changed: boolean;
}

/** Something the processor remembers between instructions: the NMI latch, a shadow, SMM … */
export interface EventStateView {
  readonly name: string;
  /** `blocked`, `blocked, one pending`, `open` */
  readonly value: string;
  /** It is not in its resting state. */
  readonly set: boolean;
  readonly changed: boolean;
}

/** The frame that a delivery pushed. */
export interface FrameView {
  /** Number of the delivery in the path. */
  readonly id: number;
  /** "NMI 2": the event that pushed it. */
  readonly owner: string;
  /** Whose code it must give back. */
  readonly interrupted: string;
  readonly processor: number;
  /** The boundary that was interrupted. */
  readonly boundary: string;
  readonly stack: string;
  /** Lowest address, and the one behind its last byte. */
  readonly bottom: Hex;
  readonly top: Hex;
  /** The transition that delivered it. */
  readonly index: number;
  /** Its handler has not given back yet. */
  readonly open: boolean;
  /** The first write by code of others, or by another delivery, into it since. */
  readonly overwritten: WriterView | undefined;
}

export interface WriterView {
  readonly index: number;
  readonly owner: string;
  readonly boundary: string;
  /** The processor wrote it, delivering the owner's event. */
  readonly delivery: boolean;
}

export interface StackWordView {
  readonly address: Hex;
  /** Bytes below the top of the stack. */
  readonly below: number;
  readonly value: Hex;
  /** What it means: a label, a place in a stack; or undefined. */
  readonly note: string | undefined;
  /** The platform's name of the stretch: "saved", "copied", "pt_regs", or "". */
  readonly slot: string;
  /** "RIP", "rdi", or "". */
  readonly word: string;
  /** Id of the delivery in whose frame it lies. */
  readonly frame: number | undefined;
  readonly writer: WriterView | undefined;
  /** RSP points to it. */
  readonly rsp: boolean;
  /** The last transition wrote it. */
  readonly changed: boolean;
}

export interface StackView {
  readonly name: string;
  readonly base: Hex;
  readonly top: Hex;
  /** RSP lies in it. */
  readonly current: boolean;
  /** From the top down. Words that were never written are left out below the lowest one that was, or RSP. */
  readonly words: readonly StackWordView[];
  /** Frames that lie on it and are not given back yet, outermost first. */
  readonly frames: readonly FrameView[];
}

/** One value of a lane, for the transitions from `from` up to, and not including, `to` (indices of states). */
export interface Segment {
  readonly from: number;
  readonly to: number;
  readonly value: string;
  /** It is not the lane's resting value. */
  readonly set: boolean;
}

export interface LaneView {
  /** latch, CPL, GS, CR3, stack, body, owner */
  readonly name: string;
  readonly segments: readonly Segment[];
}

export interface MarkView {
  readonly index: number;
  readonly kind: 'event' | 'delivery' | 'return' | 'failure' | 'edit' | 'fork';
  readonly text: string;
}

/** States `from` to `to` (inclusive) of the branch. */
export interface TimelineView {
  readonly from: number;
  readonly to: number;
  readonly length: number;
  readonly cursor: number;
  readonly lanes: readonly LaneView[];
  readonly marks: readonly MarkView[];
}

export interface BranchView {
  readonly id: number;
  readonly name: string;
  /** Undefined for the first one. */
  readonly parent: number | undefined;
  /** The state at which it leaves its parent. */
  readonly fork: number;
  readonly forkBoundary: string;
  /** What it does there: "nmi", "step", "edit rdi". */
  readonly forkAction: string;
  readonly length: number;
  readonly current: boolean;
  /** How its path ended, in words; undefined while it goes on. */
  readonly ended: string | undefined;
  /** Names of the properties that it breaks. */
  readonly failed: readonly string[];
  /** All events of its path. */
  readonly events: readonly { readonly index: number; readonly boundary: string; readonly event: string }[];
}

export interface FailureView {
  readonly property: string;
  readonly sentence: string;
  /** The state behind the transition that broke it. */
  readonly index: number;
  readonly boundary: string;
  readonly owner: string;
  readonly explanation: string;
  readonly differences: readonly { readonly what: string; readonly expected: Hex; readonly found: Hex }[];
  /** The transition that is to blame, and what it did. */
  readonly cause: (WriterView & { readonly what: string; readonly place: string | undefined }) | undefined;
}

/** An event that could be fired here, or not. */
export interface ActionView {
  readonly event: string;
  readonly possible: boolean;
  /** Why not; or what would come of it if it is not delivered at once. */
  readonly reason: string | undefined;
}

export interface BreakpointView {
  readonly number: number;
  /** `break nmi+3 if rdi == 0`, as one would type it. */
  readonly text: string;
  readonly enabled: boolean;
  /** How often it stopped the debugger. */
  readonly hits: number;
}

export interface View {
  readonly title: string;
  readonly position: PositionView;
  readonly source: SourceView | undefined;
  readonly disassembly: readonly InstructionView[];
  readonly registers: readonly RegisterView[];
  readonly flags: readonly FlagView[];
  readonly events: readonly EventStateView[];
  /** Deliveries that are open, outermost first. */
  readonly deliveries: readonly FrameView[];
  readonly stacks: readonly StackView[];
  readonly timeline: TimelineView;
  readonly branches: readonly BranchView[];
  /** Properties that are broken on this path, up to the cursor and beyond it. */
  readonly failures: readonly FailureView[];
  readonly actions: readonly ActionView[];
  readonly breakpoints: readonly BreakpointView[];
}

/** How much of it is wanted. */
export interface ViewRequest {
  readonly syntax?: 'att' | 'intel';
  /** Lines of source and instructions before and behind the current one; the whole file if 'all'. */
  readonly around?: number | 'all';
  /** Another file, or another line of it in the middle, than the current one. */
  readonly file?: string;
  readonly line?: number;
  /** The disassembly around this address instead of the current one. */
  readonly at?: Hex;
  /** States of the timeline, 20,000 at most; without it, about 200 around the cursor. */
  readonly timeline?: { readonly from: number; readonly to: number };
  /** Registers and stacks of this processor instead of the running one. */
  readonly processor?: number;
}

/** What a command printed. */
export interface CommandResult {
  readonly lines: readonly string[];
  /** The command was wrong: `lines` says what, and what to do. */
  readonly error: boolean;
  /** The cursor was moved, or the tree, a breakpoint or a setting changed: views are to be drawn anew. */
  readonly changed: boolean;
  /** `quit` */
  readonly quit: boolean;
}
