/** A process that runs cases one after the other, as `pool.ts` hands them to it. */
import type { Mutant } from '../ablation/mutants.js';
import { searchHere } from '../explore/threads.js';
import { paintFor } from '../report/text.js';
import { Cache } from './cache.js';
import type { Outcome } from './outcome.js';
import { runCase } from './run_case.js';
import type { Case } from './scenario.js';

/** What a worker is told once, as its argument. */
export interface WorkerOptions {
  readonly colours: boolean;
  readonly cache: { readonly directory: string; readonly program: string } | undefined;
}

/** What a worker is told: cases to be run one after the other, up to the first that does not come to what it must. */
export interface Job {
  readonly name: string;
  readonly title: string;
  readonly cases: readonly Case[];
  /** The image is altered by it. */
  readonly mutant?: Mutant;
  /** Where the paths of unexpected failures are saved. */
  readonly save?: string;
}

/** What it says: that it is at work, or that it is done. */
export type Told =
  | { readonly kind: 'alive'; readonly states: number }
  | { readonly kind: 'done'; readonly outcome: Outcome; readonly memory: number };

/** A sign of life each so many ms. */
const BEAT = 500;

const options = JSON.parse(process.argv[2]!) as WorkerOptions;
const cache = options.cache && new Cache(options.cache.directory, options.cache.program);
const paint = paintFor({ isTTY: options.colours });

function tell(told: Told): void {
  process.send!(told);
}

async function run(job: Job): Promise<Outcome> {
  let last = performance.now();
  let outcome: Outcome | undefined;
  for (const one of job.cases) {
    outcome = await runCase(one, {
      paint,
      ...(cache ? { cache } : {}),
      ...(job.mutant ? { mutant: job.mutant } : {}),
      ...(job.save === undefined ? {} : { save: job.save }),
      search: (request) =>
        searchHere(request, {
          onProgress: ({ states }) => {
            if (performance.now() - last < BEAT) return;
            last = performance.now();
            tell({ kind: 'alive', states });
          },
        }),
    });
    if (outcome.status !== 'met') break;
  }
  return { ...outcome!, name: job.name };
}

process.on('message', (job: Job) => {
  run(job).then(
    (outcome) => tell({ kind: 'done', outcome, memory: process.memoryUsage.rss() }),
    (error: Error) => {
      process.stderr.write(`${process.env.ENTRACE_DEBUG ? error.stack : error.message}\n`, () => process.exit(1));
    },
  );
});
// The parent has gone: nobody wants the results.
process.on('disconnect', () => process.exit(0));
