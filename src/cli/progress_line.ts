/** A line on the terminal that shows how far a long search has come; nothing where there is no terminal. */
import cliProgress from 'cli-progress';
import type { Progress } from '../explore/result.js';

/** Searches that are done sooner than this need no line, in ms. */
const QUIET = 700;

export class ProgressLine {
  readonly #began = performance.now();
  #bar: cliProgress.SingleBar | undefined;

  constructor(readonly stream: NodeJS.WriteStream) {}

  show(progress: Progress): void {
    if (!this.stream.isTTY || performance.now() - this.#began < QUIET) return;
    if (!this.#bar) {
      this.#bar = new cliProgress.SingleBar({
        stream: this.stream,
        clearOnComplete: true,
        hideCursor: true,
        gracefulExit: false,
        barsize: 24,
        format: (options, params, payload) =>
          `${cliProgress.Format.BarFormat(params.progress, options)} ${payload.states} states, ${payload.failures} windows, ${payload.rate}/s  (Ctrl-C ends it)`,
      });
      this.#bar.start(1000, 0, { states: '', failures: '', rate: '' });
    }
    const seconds = (performance.now() - this.#began) / 1000;
    this.#bar.update(Math.floor(1000 * (progress.done ?? 0)), {
      states: progress.states.toLocaleString('en-US'),
      failures: progress.failures,
      rate: Math.round(progress.transitions / seconds).toLocaleString('en-US'),
    });
  }

  end(): void {
    this.#bar?.stop();
  }
}
