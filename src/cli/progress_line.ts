/** A line on the terminal that shows how far a long search has come; nothing where there is no terminal. */
import cliProgress from 'cli-progress';
import { printBound } from '../explore/bound.js';
import type { Progress } from '../explore/result.js';

/** Searches that are done sooner than this need no line, in ms. */
const QUIET = 700;

/** A bar that leaves nothing on the terminal when it stops. */
function barOn(stream: NodeJS.WriteStream, format: string | cliProgress.GenericFormatter): cliProgress.SingleBar {
  return new cliProgress.SingleBar({
    stream,
    clearOnComplete: true,
    hideCursor: true,
    gracefulExit: false,
    barsize: 16,
    format,
  });
}

export class ProgressLine {
  readonly #began = performance.now();
  #bar: cliProgress.SingleBar | undefined;

  constructor(readonly stream: NodeJS.WriteStream) {}

  show(progress: Progress): void {
    if (!this.stream.isTTY || performance.now() - this.#began < QUIET) return;
    if (!this.#bar) {
      this.#bar = barOn(
        this.stream,
        (options, params, payload) =>
          `${cliProgress.Format.BarFormat(params.progress, options)} ${payload.percent} of ${payload.bound}: ${payload.states} states, ${payload.rate}/s, ${payload.failures} windows`,
      );
      this.#bar.start(1000, 0, { percent: '', bound: '', states: '', failures: '', rate: '' });
    }
    const seconds = (performance.now() - this.#began) / 1000;
    this.#bar.update(Math.floor(1000 * (progress.done ?? 0)), {
      percent: progress.done === undefined ? '' : `${Math.floor(100 * progress.done)}%`,
      bound: printBound(progress.bound),
      states: progress.states.toLocaleString('en-US'),
      failures: progress.failures,
      rate: Math.round(progress.transitions / seconds).toLocaleString('en-US'),
    });
  }

  end(): void {
    this.#bar?.stop();
  }
}

/** A line that shows how far a suite has come and what is running; to be cleared before anything else is written. */
export class SuiteProgress {
  #bar: cliProgress.SingleBar | undefined;

  constructor(
    readonly stream: NodeJS.WriteStream,
    readonly total: number,
  ) {}

  show(running: readonly { readonly name: string; readonly states: number }[], done: number): void {
    if (!this.stream.isTTY) return;
    if (!this.#bar) {
      this.#bar = barOn(this.stream, '{bar} {value}/{total} {running}');
      this.#bar.start(this.total, done, { running: '' });
    }
    const names = running.map(({ name, states }) =>
      states > 0 ? `${name} (${states.toLocaleString('en-US')} states)` : name,
    );
    this.#bar.update(done, { running: names.join(', ') });
  }

  clear(): void {
    this.#bar?.stop();
    this.#bar = undefined;
  }
}
