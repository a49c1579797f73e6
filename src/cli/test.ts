/** entrace test: a suite of scenarios, in processes of their own, with its reports. */
import { closeSync, existsSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../errors.js';
import { paintFor } from '../report/text.js';
import { chooseCache } from '../scenarios/cache.js';
import { Pool } from '../scenarios/pool.js';
import { chooseReporter, type Ran, type Reporter } from '../scenarios/reporters/reporter.js';
import { fileNameOf, parseShard, suiteOf } from '../scenarios/suite.js';
import { EXIT } from './exit.js';
import { interruptible } from './interrupt.js';
import { refuseSource } from './output.js';
import { SuiteProgress } from './progress_line.js';

export interface TestOptions {
  readonly reporter: readonly string[];
  readonly filter?: string;
  readonly shard?: string;
  readonly short?: boolean;
  readonly workers: number;
  readonly timeout: number;
  readonly cache?: string | true;
  readonly save: string;
}

/** Where scenarios are looked for without a path. */
const DEFAULT_PATH = 'scenarios';

export async function test(paths: readonly string[], options: TestOptions): Promise<number> {
  if (paths.length === 0 && !existsSync(DEFAULT_PATH)) {
    throw new InputError(`there is no folder ${DEFAULT_PATH} here; name scenarios (.yaml) or folders that hold some`);
  }
  const reporters = options.reporter.map(chooseReporter);
  const toStdout = reporters.filter((r) => r.file === undefined);
  if (toStdout.length > 1) {
    throw new InputError(
      `--reporter: ${toStdout.map((r) => r.name).join(' and ')} both write to standard output; give all but one a file (${toStdout[1]!.name}=FILE)`,
    );
  }
  const { cases, refused } = suiteOf(paths.length > 0 ? paths : [DEFAULT_PATH], {
    ...(options.filter === undefined ? {} : { filter: options.filter }),
    ...(options.shard === undefined ? {} : { shard: parseShard(options.shard) }),
    short: options.short ?? false,
  });
  const cache = chooseCache(options.cache);
  const sources = cases.flatMap(({ scenario }) => scenario.files);
  const outputs = reporters.map(({ file, make }) => {
    if (file === undefined) return new Output(make(paintFor(process.stdout)), undefined);
    refuseSource(file, '--reporter', sources);
    return new Output(make(paintFor({})), file);
  });

  const began = performance.now();
  const progress = new SuiteProgress(process.stderr, cases.length);
  const ran: Ran[] = [];
  const report = (one: Ran): void => {
    ran.push(one);
    progress.clear();
    for (const output of outputs) output.write(output.reporter.outcome?.(one, ran.length));
  };
  for (const output of outputs) output.write(output.reporter.begin?.(cases.length + refused.length));
  for (const outcome of refused) report({ case: undefined, outcome });
  const jobs = cases.map((one) => {
    const save = join(options.save, fileNameOf(one));
    return { name: one.name, title: one.scenario.title, cases: [one], save };
  });
  const pool = new Pool(jobs, {
    workers: options.workers,
    timeout: options.timeout,
    colours: process.stdout.isTTY === true && !process.env.NO_COLOR,
    cache,
    onOutcome: (outcome, index) => report({ case: cases[index]!, outcome }),
    onProgress: (running, done) => progress.show(running, done),
  });
  try {
    await interruptible(
      () => pool.stop(),
      () => pool.run(),
    );
  } finally {
    progress.clear();
  }
  const left = cases.length + refused.length - ran.length;
  const end = { ran, left, seconds: (performance.now() - began) / 1000 };
  for (const output of outputs) output.close(output.reporter.end(end));
  return statusOf(ran, left);
}

function statusOf(ran: readonly Ran[], left: number): number {
  const has = (...statuses: readonly string[]): boolean => ran.some(({ outcome }) => statuses.includes(outcome.status));
  if (has('unmet', 'crashed', 'hung')) return EXIT.FAILS;
  if (has('bad-input')) return EXIT.USAGE;
  return has('open') || left > 0 ? EXIT.OPEN : EXIT.HOLDS;
}

/** Where a reporter writes. The file is opened before anything is run: a report that cannot be written is lost. */
class Output {
  readonly #descriptor: number | undefined;

  constructor(
    readonly reporter: Reporter,
    readonly file: string | undefined,
  ) {
    this.#descriptor = file === undefined ? undefined : this.#attempt(() => openSync(file, 'w'));
  }

  write(text: string | undefined): void {
    if (!text) return;
    if (this.#descriptor === undefined) process.stdout.write(text);
    else this.#attempt(() => writeSync(this.#descriptor!, text));
  }

  close(text: string): void {
    this.write(text);
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
  }

  #attempt<T>(body: () => T): T {
    try {
      return body();
    } catch (error) {
      throw new InputError(`--reporter: ${this.file} cannot be written (${(error as NodeJS.ErrnoException).code})`);
    }
  }
}
