/** The debugger: a tree of paths and a cursor in it. */
import type { Subject } from '../platforms/subject.js';
import type { Profile } from '../profiles/profile.js';
import type { CommandResult, Stop, View, ViewRequest } from './view.js';

/** -1: the same verb backwards. */
export type Direction = 1 | -1;

/** What `until` runs to. */
export type Target =
  /** A boundary, when it is reached for the hit-th time of the whole path; without a hit, the next time. */
  | { readonly kind: 'boundary'; readonly address: bigint; readonly hit?: number }
  /** A delivery: the next one, or the next one of this event ("NMI", "#PF"). */
  | { readonly kind: 'delivery'; readonly event?: string }
  /** A property breaks: any, or this one. */
  | { readonly kind: 'failure'; readonly property?: string }
  | { readonly kind: 'unmasked' | 'latched' | 'given-back' | 'event' };

export interface WatchRange {
  readonly kind: 'write' | 'read' | 'access';
  readonly address: bigint;
  readonly length: number;
}

/** What a debugger is made for. All that it throws for bad input is an InputError. */
export declare class Debugger {
  readonly title: string;
  readonly subject: Subject;
  readonly profile: Profile;
  /** A verb is under way; every other one is refused. */
  readonly busy: boolean;
  readonly lastStop: Stop;
  readonly position: { readonly branch: number; readonly index: number };

  // Verbs. `signal` ends one that runs long; what it has reached stays.
  step(count?: number, signal?: AbortSignal): Promise<Stop>;
  reverseStep(count?: number, signal?: AbortSignal): Promise<Stop>;
  /** Over a handler or a call. */
  next(count?: number, signal?: AbortSignal): Promise<Stop>;
  reverseNext(count?: number, signal?: AbortSignal): Promise<Stop>;
  /** To the end of the running handler or function; backwards, to where it was entered. */
  finish(signal?: AbortSignal): Promise<Stop>;
  reverseFinish(signal?: AbortSignal): Promise<Stop>;
  continue(signal?: AbortSignal): Promise<Stop>;
  reverseContinue(signal?: AbortSignal): Promise<Stop>;
  until(target: Target, direction?: Direction, signal?: AbortSignal): Promise<Stop>;
  /** Fires an event here. Where the branch does something else here, a new branch begins, or the one that does this goes on. */
  fire(event: string): Stop;
  /** Executes the next instruction where the branch fires an event. */
  skip(): Stop;
  /** To a state of a branch, by their numbers. */
  go(index: number, branch?: number): Stop;

  // Edits: each begins a branch.
  writeRegister(name: string, value: bigint, processor?: number): Stop;
  writeMemory(address: bigint, bytes: Uint8Array): Stop;

  readRegister(name: string, processor?: number): bigint;
  /** The value of an expression here, as conditions have them. */
  evaluate(expression: string): bigint;
  /** Undefined where something is not mapped. */
  readMemory(address: bigint, length: number): Uint8Array | undefined;

  /** Returns its number. `condition`: an expression; `hit`: only the hit-th time. */
  addBreakpoint(address: bigint, condition?: string, hit?: number): number;
  addWatchpoint(watch: WatchRange, condition?: string): number;
  /** Stops when the value of an expression changes: `gs_base`, `latch`, `[rsp+8]`. */
  addChangeWatchpoint(expression: string, condition?: string): number;
  deleteBreakpoint(number: number): void;
  enableBreakpoint(number: number, enabled: boolean): void;

  view(request?: ViewRequest): View;
  /** A command of the line mode: every front end has a way to type one. Never rejects. */
  command(line: string, signal?: AbortSignal): Promise<CommandResult>;
  /** What could be typed there. */
  complete(line: string): string[];
  /** Called whenever a view may have changed; returns the way to end it. */
  subscribe(listener: () => void): () => void;
}
