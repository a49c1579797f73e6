/** The library's public face: what a suite of one's own needs to run a search and look at what it found. */
export { type AssembleOptions, Assembler, AssemblyError } from './assembler/index.js';
export { Debugger, type Direction, type Target } from './debugger/debugger.js';
export { type DebugSettings, openDebugger } from './debugger/open.js';
export type * from './debugger/view.js';
export { InputError } from './errors.js';
export { type Bound, type Place, type Places, parseBound, parsePlaces, printBound } from './explore/bound.js';
export { search } from './explore/explorer.js';
export type { Failure, Progress, ScheduledEvent, SearchOptions, SearchResult } from './explore/result.js';
export { type RunningSearch, type SearchRequest, startSearch } from './explore/threads.js';
export { EVENT_NAMES, type Event, eventNamed } from './harness/events.js';
export { type Action, Machine, type Snapshot } from './harness/machine.js';
export { type Firing, type Observer, Run } from './hooks/run.js';
export { addressOf, atHit, onAccess, type Range, type RunState, type Trigger } from './hooks/triggers.js';
export { Image } from './image/image.js';
export type { Module } from './image/module.js';
export { machineFor } from './platforms/boot.js';
export { platformNamed } from './platforms/index.js';
export type { Platform } from './platforms/platform.js';
export {
  type BuildOptions,
  buildSubject,
  type CodeSettings,
  loadSubject,
  type Stub,
  type Subject,
} from './platforms/subject.js';
export { PROFILES, type Profile, profileNamed } from './profiles/profile.js';
export { PROPERTIES, selectProperties } from './properties/index.js';
export type { Property } from './properties/property.js';
export { traceOf } from './report/path.js';
export { type Broken, type Step, Trace } from './report/trace.js';
export type { Outcome, Result, Status } from './scenarios/outcome.js';
export { type ScenarioFields, type SuiteMember, scenario, scenarioIn } from './scenarios/suite_member.js';
