/** The library's public face: what a suite of one's own needs to run a search and look at what it found. */
export { type AssembleOptions, Assembler, AssemblyError } from './assembler/index.js';
export { InputError } from './errors.js';
export { type Bound, type Place, type Places, parseBound, parsePlaces, printBound } from './explore/bound.js';
export {
  type Failure,
  type Progress,
  type ScheduledEvent,
  type SearchOptions,
  type SearchResult,
  search,
} from './explore/explorer.js';
export { type RunningSearch, type SearchRequest, startSearch } from './explore/threads.js';
export { type Action, EVENT_KINDS, type EventKind, Machine, type Snapshot } from './harness/machine.js';
export { type Firing, type Observer, Run } from './hooks/run.js';
export { addressOf, atHit, onAccess, type Range, type RunState, type Trigger } from './hooks/triggers.js';
export { Image } from './image/image.js';
export type { Module } from './image/module.js';
export { type BuildOptions, buildSubject, machineFor, type Subject } from './platforms/boot.js';
export { platformNamed } from './platforms/index.js';
export type { Platform } from './platforms/platform.js';
export { PROFILES, type Profile, profileNamed } from './profiles/profile.js';
export { PROPERTIES, selectProperties } from './properties/index.js';
export type { Property } from './properties/property.js';
export { traceOf } from './report/path.js';
export { type Broken, type Step, Trace } from './report/trace.js';
