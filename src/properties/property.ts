/** A property: what must hold, as a value with a name, a sentence for people, and hooks that say whether it is broken. */
import type { Monitor } from './monitor.js';

export interface Property {
  readonly name: string;
  /** What must hold, in one sentence. */
  readonly sentence: string;
  /** Once it is broken nothing that follows means anything: no further event is fired on that path. */
  readonly ends: boolean;
  /** It compares registers: when it is broken, the report lists those that differ. */
  readonly comparesRegisters?: true;
  /** After an event has been delivered; its record is the innermost. True: broken. */
  readonly delivered?: (m: Monitor) => boolean;
  /** When a return gives the interrupted code of `record` (an offset into the monitor's words) back. */
  readonly returned?: (m: Monitor, record: number) => boolean;
  /** After a CALL to the C part of a handler. */
  readonly enteredC?: (m: Monitor) => boolean;
  /** After the C part has returned, or given up for good; `call` is its offset into the monitor's words. */
  readonly leftC?: (m: Monitor, call: number) => boolean;
  /** After a call of a function that may sleep. */
  readonly enteredSleeper?: (m: Monitor) => boolean;
  readonly enteredBody?: (m: Monitor) => boolean;
  /** After every instruction that the harness executes itself: those that can change system state. */
  readonly executedMicrocode?: (m: Monitor) => boolean;
  /** After every branch, and every instruction that the harness executes itself. */
  readonly left?: (m: Monitor) => boolean;
  /** After every instruction. */
  readonly stepped?: (m: Monitor) => boolean;
  /** When the processor has come to where it stops for good, or where another kernel takes over. */
  readonly gaveUp?: (m: Monitor) => boolean;
  /** When the path has come to its end. */
  readonly ended?: (m: Monitor) => boolean;
  /** Why it is broken, said right after a hook returned true: the facts, in one or two lines. */
  readonly explain: (m: Monitor) => string;
}
