/** Exit statuses of every command. */
export const EXIT = {
  /** All properties hold and the bound was closed. */
  HOLDS: 0,
  /** A property failed. */
  FAILS: 1,
  /** Bad input or usage. */
  USAGE: 2,
  /** The search stopped before it closed the bound: never a pass. */
  OPEN: 3,
  /** An error in entrace itself: says nothing about the code under test. */
  BUG: 70,
} as const;
