/**
 * Runs cases in processes of their own: one that crashes or hangs takes only its case with it. Results come in the order of
 * the cases, whichever is done first.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Outcome } from './run_case.js';
import type { Case } from './scenario.js';
import type { Job, Told, WorkerOptions } from './worker.js';

export interface PoolOptions extends WorkerOptions {
  /** How many processes. */
  readonly workers: number;
  /** Seconds without a sign of life after which a process counts as hung. */
  readonly timeout: number;
  /** Where the paths of a case are saved. */
  readonly saveTo: (one: Case) => string;
  /** Called for each case, in the order of the cases. */
  readonly onOutcome: (outcome: Outcome) => void;
  /** Called when something moves, for a progress line. */
  readonly onProgress?: (running: readonly { readonly name: string; readonly states: number }[], done: number) => void;
  /** The module that a process runs; another one for tests. */
  readonly module?: string;
}

const MODULE = fileURLToPath(new URL('worker.js', import.meta.url));

/** A process that has grown to more bytes than this is not given another case: the engine's memory is not given back. */
const MOST_MEMORY = 1.5 * 2 ** 30;

/** How much of what a crashed process has said last is repeated, in characters. */
const LAST_WORDS = 400;

export class Pool {
  readonly #outcomes: (Outcome | undefined)[];
  readonly #queue: number[];
  readonly #running = new Map<ChildProcess, { readonly name: string; states: number }>();
  #reported = 0;
  #stopped = false;

  constructor(
    readonly cases: readonly Case[],
    readonly options: PoolOptions,
  ) {
    this.#outcomes = cases.map(() => undefined);
    // The long ones first, so that none is left to run alone at the end.
    const order = cases.map((_, i) => i);
    this.#queue = [...order.filter((i) => cases[i]!.scenario.long), ...order.filter((i) => !cases[i]!.scenario.long)];
  }

  /** The outcomes of all cases; without those that had not been done when the pool was stopped. */
  async run(): Promise<Outcome[]> {
    const count = Math.min(this.options.workers, this.cases.length);
    await Promise.all(Array.from({ length: count }, () => this.#lane()));
    return this.#outcomes.filter((o) => o !== undefined);
  }

  /** Ends all processes; what they were at is not done. */
  stop(): void {
    this.#stopped = true;
    for (const child of this.#running.keys()) child.kill('SIGKILL');
  }

  /** One process after the other, until no case is left. */
  async #lane(): Promise<void> {
    let child: ChildProcess | undefined;
    for (;;) {
      const index = this.#stopped ? undefined : this.#queue.shift();
      if (index === undefined) break;
      child ??= this.#fork();
      const { outcome, reusable } = await this.#runOne(child, index);
      if (!reusable) {
        if (child.connected) child.disconnect();
        child = undefined;
      }
      if (outcome) this.#done(index, outcome);
    }
    if (child?.connected) child.disconnect();
  }

  #fork(): ChildProcess {
    const { colours, cache, module } = this.options;
    const options: WorkerOptions = { colours, cache };
    return fork(module ?? MODULE, [JSON.stringify(options)], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      serialization: 'advanced',
    });
  }

  #runOne(child: ChildProcess, index: number): Promise<{ outcome: Outcome | undefined; reusable: boolean }> {
    const one = this.cases[index]!;
    const began = performance.now();
    const running = { name: one.name, states: 0 };
    this.#running.set(child, running);
    return new Promise((resolve) => {
      let words = '';
      let hung = false;
      let timer: NodeJS.Timeout;
      const watch = (): void => {
        clearTimeout(timer);
        timer = setTimeout(() => {
          hung = true;
          child.kill('SIGKILL');
        }, this.options.timeout * 1000);
      };
      const finish = (outcome: Outcome | undefined, reusable: boolean): void => {
        clearTimeout(timer);
        child.removeAllListeners();
        child.stderr!.removeAllListeners();
        this.#running.delete(child);
        resolve({ outcome, reusable });
      };
      const lost = (status: 'crashed' | 'hung', problem: string): Outcome => ({
        name: one.name,
        title: one.scenario.title,
        status,
        problems: [problem],
        report: undefined,
        saved: [],
        result: undefined,
        cached: false,
        seconds: (performance.now() - began) / 1000,
      });
      child.stderr!.on('data', (data) => {
        words = `${words}${data}`.slice(-LAST_WORDS);
      });
      child.on('message', (told: Told) => {
        if (told.kind === 'alive') {
          running.states = told.states;
          watch();
          this.#progress();
        } else finish(told.outcome, told.memory < MOST_MEMORY);
      });
      child.on('error', () => undefined);
      child.on('close', (code, signal) => {
        if (this.#stopped) finish(undefined, true);
        else if (hung)
          finish(lost('hung', `no sign of life for ${this.options.timeout} s: stopped (--timeout)`), false);
        else {
          const last = words.trim().replace(/\s+/g, ' ');
          const how = signal ? `by ${signal}` : `with status ${code}`;
          finish(lost('crashed', `the process that ran it has ended ${how}${last ? `: ${last}` : ''}`), false);
        }
      });
      watch();
      child.send({ case: one, save: this.options.saveTo(one) } satisfies Job);
      this.#progress();
    });
  }

  #done(index: number, outcome: Outcome): void {
    this.#outcomes[index] = outcome;
    for (let next = this.#outcomes[this.#reported]; next; next = this.#outcomes[++this.#reported]) {
      this.options.onOutcome(next);
    }
    this.#progress();
  }

  #progress(): void {
    const done = this.#outcomes.reduce((n, o) => n + (o ? 1 : 0), 0);
    this.options.onProgress?.([...this.#running.values()], done);
  }
}
