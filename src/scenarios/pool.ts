/**
 * Runs jobs in processes of their own: one that crashes or hangs takes only its job with it. Results come in the order of
 * the jobs, whichever is done first.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Outcome, outcomeOf } from './outcome.js';
import type { Job, Told, WorkerOptions } from './worker.js';

export interface PoolOptions extends WorkerOptions {
  /** How many processes. */
  readonly workers: number;
  /** Seconds without a sign of life after which a process counts as hung. */
  readonly timeout: number;
  /** Called for each job, in the order of the jobs. */
  readonly onOutcome: (outcome: Outcome, index: number) => void;
  /** Called when something moves, for a progress line. */
  readonly onProgress?: (running: readonly { readonly name: string; readonly states: number }[], done: number) => void;
  /** The module that a process runs; another one for tests. */
  readonly module?: string;
}

const MODULE = fileURLToPath(new URL('worker.js', import.meta.url));

/** A process that has grown to more bytes than this is not given another job: the engine's memory is not given back. */
const MOST_MEMORY = 1.5 * 2 ** 30;

/** How much of what a crashed process has said last is repeated, in characters. */
const LAST_WORDS = 400;

export class Pool {
  readonly #outcomes: (Outcome | undefined)[];
  readonly #queue: number[];
  readonly #running = new Map<Process, { readonly name: string; states: number }>();
  #reported = 0;
  #stopped = false;

  constructor(
    readonly jobs: readonly Job[],
    readonly options: PoolOptions,
  ) {
    this.#outcomes = jobs.map(() => undefined);
    // The long ones first, so that none is left to run alone at the end.
    const order = jobs.map((_, i) => i);
    const isLong = (i: number): boolean => jobs[i]!.cases.some(({ scenario }) => scenario.long);
    this.#queue = [...order.filter(isLong), ...order.filter((i) => !isLong(i))];
  }

  /** The outcomes of all jobs; without those that had not been done when the pool was stopped. */
  async run(): Promise<Outcome[]> {
    const count = Math.min(this.options.workers, this.jobs.length);
    await Promise.all(Array.from({ length: count }, () => this.#lane()));
    return this.#outcomes.filter((o) => o !== undefined);
  }

  /** Ends all processes; what they were at is not done. */
  stop(): void {
    this.#stopped = true;
    for (const process of this.#running.keys()) process.kill();
  }

  /** One process after the other, until no job is left. */
  async #lane(): Promise<void> {
    let process: Process | undefined;
    for (;;) {
      const index = this.#stopped ? undefined : this.#queue.shift();
      if (index === undefined) break;
      process ??= new Process(this.options);
      const outcome = await this.#runOne(process, index);
      if (process.spent) {
        process.end();
        process = undefined;
      }
      if (outcome) this.#done(index, outcome);
    }
    process?.end();
  }

  async #runOne(process: Process, index: number): Promise<Outcome | undefined> {
    const job = this.jobs[index]!;
    const began = performance.now();
    const running = { name: job.name, states: 0 };
    this.#running.set(process, running);
    this.#progress();
    const ended = await process.run(job, this.options.timeout, (states) => {
      running.states = states;
      this.#progress();
    });
    this.#running.delete(process);
    if (this.#stopped) return undefined;
    if ('outcome' in ended) return ended.outcome;
    const { name, title } = job;
    const { status, problem } = ended;
    return outcomeOf({ name, title, status, problems: [problem], seconds: (performance.now() - began) / 1000 });
  }

  #done(index: number, outcome: Outcome): void {
    this.#outcomes[index] = outcome;
    for (let next = this.#outcomes[this.#reported]; next; next = this.#outcomes[this.#reported]) {
      this.options.onOutcome(next, this.#reported++);
    }
    this.#progress();
  }

  #progress(): void {
    const done = this.#outcomes.reduce((n, o) => n + (o ? 1 : 0), 0);
    this.options.onProgress?.([...this.#running.values()], done);
  }
}

type Ended = { readonly outcome: Outcome } | { readonly status: 'crashed' | 'hung'; readonly problem: string };

/** A process that runs one job after the other. */
class Process {
  /** Not to be given another job. */
  spent = false;
  readonly #child: ChildProcess;
  #lastWords = '';
  #told: (told: Told) => void = () => undefined;
  #closed: (code: number | null, signal: string | null) => void = () => undefined;

  constructor({ colours, cache, module }: PoolOptions) {
    const kept = cache && { directory: cache.directory, program: cache.program };
    const options: WorkerOptions = { colours, cache: kept };
    this.#child = fork(module ?? MODULE, [JSON.stringify(options)], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      serialization: 'advanced',
    });
    this.#child.stderr!.on('data', (data) => {
      this.#lastWords = `${this.#lastWords}${data}`.slice(-LAST_WORDS);
    });
    this.#child.on('message', (told: Told) => this.#told(told));
    // A message to a process that has just ended: its end is what counts.
    this.#child.on('error', () => undefined);
    this.#child.on('close', (code, signal) => this.#closed(code, signal));
  }

  /** How the job went; `alive` is called with the number of states for each sign of life. */
  run(job: Job, timeout: number, alive: (states: number) => void): Promise<Ended> {
    return new Promise((resolve) => {
      let hung = false;
      let timer: NodeJS.Timeout | undefined;
      const watch = (): void => {
        clearTimeout(timer);
        timer = setTimeout(() => {
          hung = true;
          this.kill();
        }, timeout * 1000);
      };
      this.#told = (told) => {
        if (told.kind === 'alive') {
          watch();
          alive(told.states);
          return;
        }
        clearTimeout(timer);
        this.spent = told.memory > MOST_MEMORY;
        resolve({ outcome: told.outcome });
      };
      this.#closed = (code, signal) => {
        clearTimeout(timer);
        this.spent = true;
        if (hung) return resolve({ status: 'hung', problem: `no sign of life for ${timeout} s: stopped (--timeout)` });
        const words = this.#lastWords.trim().replace(/\s+/g, ' ');
        const how = signal ? `by ${signal}` : `with status ${code}`;
        resolve({
          status: 'crashed',
          problem: `the process that ran it has ended ${how}${words ? `: ${words}` : ''}`,
        });
      };
      watch();
      if (this.#child.connected) this.#child.send(job);
      else this.#closed(this.#child.exitCode, this.#child.signalCode);
    });
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** Lets it go: it ends by itself. */
  end(): void {
    if (this.#child.connected) this.#child.disconnect();
  }
}
