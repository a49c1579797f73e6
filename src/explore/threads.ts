/**
 * Runs a search in worker threads, so that the main thread can draw progress and hear Ctrl-C. Each thread has a machine
 * and a visited set of its own and takes every n-th outermost fork point: states that interrupt different places differ
 * in what they have saved, so there is little to share.
 */
import { availableParallelism } from 'node:os';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { InputError } from '../errors.js';
import { byKind } from '../harness/events.js';
import { Image } from '../image/image.js';
import { machineFor } from '../platforms/boot.js';
import type { Subject } from '../platforms/subject.js';
import type { Profile } from '../profiles/profile.js';
import { PROPERTIES } from '../properties/index.js';
import type { Bound, Places } from './bound.js';
import { search } from './explorer.js';
import {
  byAddress,
  type Covered,
  type Failure,
  isShorter,
  type Progress,
  type SearchOptions,
  type SearchResult,
  withoutVacuity,
} from './result.js';

/** What a search needs, as plain data. */
export interface SearchRequest {
  readonly subject: Subject;
  readonly profile: Profile;
  /** Names of the properties to check. */
  readonly properties: readonly string[];
  readonly bound: Bound;
  readonly places: Places;
  readonly maxStates?: number;
  readonly maxMemory?: number;
  readonly exact?: boolean;
  readonly workers?: number;
  /** One failure is enough. */
  readonly untilFailure?: boolean;
  /** The result has to say which code it is about. */
  readonly wantCode?: boolean;
  /** The result has to say what was fired everywhere (SearchOptions.wantSchedules): with one worker. */
  readonly wantSchedules?: boolean;
}

interface ThreadData {
  readonly entrace: 'search';
  readonly request: SearchRequest;
  readonly part: { readonly index: number; readonly count: number };
  /** One word: 0 go on, 1 interrupted, 2 another thread has stopped. */
  readonly control: Int32Array;
}

type Message =
  | { readonly kind: 'progress'; readonly progress: Progress }
  | { readonly kind: 'result'; readonly result: SearchResult }
  | { readonly kind: 'input'; readonly message: string; readonly notes: readonly string[] };

const REASONS: readonly (string | undefined)[] = [undefined, 'interrupted', 'another thread has stopped'];

/** A search under way. */
export interface RunningSearch {
  readonly result: Promise<SearchResult>;
  /** Ends it soon; the result then says what was covered. */
  readonly interrupt: () => void;
}

export function startSearch(request: SearchRequest, onProgress?: (progress: Progress) => void): RunningSearch {
  const count = Math.min(request.workers ?? 1, 4 * availableParallelism());
  const control = new Int32Array(new SharedArrayBuffer(4));
  const latest: Progress[] = [];
  const threads = Array.from({ length: count }, (_, index) =>
    runThread({ entrace: 'search', request, part: { index, count }, control }, (progress) => {
      latest[index] = progress;
      onProgress?.(sum(latest.filter(Boolean), count));
    }),
  );
  const result = Promise.all(threads).then((results) => withoutVacuity(merge(results), request.bound));
  return { result, interrupt: () => Atomics.store(control, 0, 1) };
}

function runThread(data: ThreadData, onProgress: (progress: Progress) => void): Promise<SearchResult> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: portable(data) });
    worker.on('message', (message: Message) => {
      if (message.kind === 'progress') onProgress(message.progress);
      else if (message.kind === 'result') resolve(message.result);
      else reject(new InputError(message.message, message.notes));
    });
    worker.on('error', reject);
    worker.on('exit', () => reject(new Error('a search thread has ended without a result')));
  });
}

function sum(parts: readonly Progress[], count: number): Progress {
  const known = parts.length === count && parts.every((p) => p.done !== undefined);
  return {
    states: parts.reduce((n, p) => n + p.states, 0),
    transitions: parts.reduce((n, p) => n + p.transitions, 0),
    failures: parts.reduce((n, p) => n + p.failures, 0),
    bound: parts[0]!.bound,
    done: known ? parts.reduce((n, p) => n + p.done!, 0) / count : undefined,
  };
}

/** States that two threads have both visited are counted twice; failures are not. */
function merge(results: readonly SearchResult[]): SearchResult {
  if (results.length === 1) return results[0]!;
  const best = new Map<string, Failure>();
  for (const failure of results.flatMap((r) => r.failures)) {
    const key = `${failure.property} ${failure.event} ${failure.address}`;
    const known = best.get(key);
    if (!known || isShorter(failure, known)) best.set(key, failure);
  }
  const failures = [...best.values()].sort(byAddress);
  // Each thread that another one has stopped only repeats that; the reason is the other one's.
  const reasons = results.flatMap((r) => r.stopped ?? []);
  const stopped = reasons.find((reason) => reason !== REASONS[2]) ?? reasons[0];
  const panicked = results.find((r) => r.panicked !== undefined)?.panicked;
  return {
    verdict: failures.length > 0 ? 'fails' : stopped === undefined ? 'holds' : 'open',
    states: results.reduce((n, r) => n + r.states, 0),
    transitions: results.reduce((n, r) => n + r.transitions, 0),
    seconds: Math.max(...results.map((r) => r.seconds)),
    lastRoundSeconds: Math.max(...results.map((r) => r.lastRoundSeconds)),
    failures,
    stopped,
    covered: least(results.flatMap((r) => (r.covered ? [r.covered] : []))),
    bytesPerState: Math.max(...results.map((r) => r.bytesPerState)),
    ...(panicked === undefined ? {} : { panicked }),
    fired: [...new Set(results.flatMap((r) => r.fired))].sort(byKind),
    rounds: Math.max(...results.map((r) => r.rounds)),
    ...(results.every((r) => r.code) ? { code: results.flatMap((r) => r.code!) } : {}),
  };
}

/** What all threads have covered: the one that came least far speaks for all. */
function least(parts: readonly Covered[]): Covered | undefined {
  const size = (bound: Bound | undefined): number => Object.values(bound ?? {}).reduce((n, k) => n + k, 0);
  return [...parts].sort((a, b) => size(a.closed) - size(b.closed) || a.first - b.first)[0];
}

/** What can be sent to a thread: classes do not survive the way, so the image goes as its data. */
interface Portable extends Omit<ThreadData, 'request'> {
  readonly request: Omit<SearchRequest, 'subject'> & {
    readonly subject: Omit<Subject, 'image' | 'unpatched'> & {
      readonly image: Pick<Image, 'sections' | 'symbols' | 'tested' | 'sources'>;
    };
  };
}

function portable({ request, ...rest }: ThreadData): Portable {
  const { unpatched: _, ...subject } = request.subject;
  const { sections, symbols, tested, sources } = subject.image;
  return {
    ...rest,
    request: { ...request, subject: { ...subject, image: { sections, symbols, tested, sources } } },
  };
}

function revive({ request, ...rest }: Portable): ThreadData {
  const { sections, symbols, tested, sources } = request.subject.image;
  const image = new Image(sections, symbols, tested, sources);
  return { ...rest, request: { ...request, subject: { ...request.subject, image } } };
}

/** The search in this thread; `part` is one of several threads' share of it. */
export function searchHere(
  request: SearchRequest,
  options: Pick<SearchOptions, 'part' | 'shouldStop' | 'onProgress'> = {},
): SearchResult {
  const { subject, profile, properties, bound, places, maxStates, maxMemory, exact, untilFailure, wantSchedules } =
    request;
  const machine = machineFor(subject, profile);
  const result = search(
    machine,
    subject,
    PROPERTIES.filter((p) => properties.includes(p.name)),
    {
      bound,
      places,
      ...(maxStates !== undefined ? { maxStates } : {}),
      ...(maxMemory !== undefined ? { maxMemory } : {}),
      exact: exact ?? false,
      untilFailure: untilFailure ?? false,
      wantSchedules: wantSchedules ?? false,
      ...options,
    },
  );
  if (!request.wantCode) return result;
  const code = machine.cpu.decoder.instructions.map(({ address, length }) => ({ address, length }));
  return { ...result, code };
}

function runInThread(data: ThreadData): void {
  const port = parentPort!;
  const { request, part, control } = data;
  try {
    let last = 0;
    const result = searchHere(request, {
      part,
      shouldStop: () => REASONS[Atomics.load(control, 0)],
      onProgress: (progress) => {
        const now = performance.now();
        if (now - last < 100) return;
        last = now;
        port.postMessage({ kind: 'progress', progress } satisfies Message);
      },
    });
    if (result.stopped !== undefined) Atomics.compareExchange(control, 0, 0, 2);
    port.postMessage({ kind: 'result', result } satisfies Message);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    port.postMessage({ kind: 'input', message: error.message, notes: error.notes } satisfies Message);
  }
}

if (!isMainThread && (workerData as ThreadData | undefined)?.entrace === 'search')
  runInThread(revive(workerData as Portable));
