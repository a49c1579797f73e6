/**
 * The processors as gdb's threads, and what gdb believes of them. Thread 1 is CPU 0.
 *
 * Source: GDB manual, "Packets": H, T; "Thread List Format".
 */
import type { Debugger } from '../debugger.js';
import { hexNumber } from './packets.js';

export class GdbThreads {
  /** Whose registers are meant: those of the thread that `Hg` has named, or that has stopped since. */
  selected: number;
  /** The last monitor command has moved the debugger, of which gdb has not heard yet. */
  moved = false;

  /** Processors whose threads the user has chosen since the last stop: that is when gdb asks whether a thread is alive. */
  readonly chosen = new Set<number>();

  constructor(private readonly debug: Debugger) {
    this.selected = debug.processor;
  }

  /** The number of the processor that runs. */
  get running(): number {
    return this.debug.processor;
  }

  get #count(): number {
    return this.debug.subject.processors;
  }

  /** The processor of a thread, `1` and so on; undefined if there is none. */
  processorOf(thread: string): number | undefined {
    const number = Number(hexNumber(thread) ?? 0);
    return number >= 1 && number <= this.#count ? number - 1 : undefined;
  }

  /** Whether there is such a thread. */
  isAlive(thread: string): boolean {
    const processor = this.processorOf(thread);
    if (processor !== undefined) this.chosen.add(processor);
    return processor !== undefined;
  }

  /** gdb hears of a stop, and means that thread from then on; by itself, the one that runs. Gives the thread's number. */
  report(processor = this.running): number {
    this.moved = false;
    this.chosen.clear();
    this.selected = processor;
    return processor + 1;
  }

  /** `1,2` */
  get list(): string {
    return Array.from({ length: this.#count }, (_, n) => (n + 1).toString(16)).join(',');
  }

  state(processor: number): string {
    return processor === this.running ? 'runs' : 'parked';
  }

  get xml(): string {
    const threads = Array.from({ length: this.#count }, (_, n) => {
      return `<thread id="${(n + 1).toString(16)}" core="${n}" name="CPU ${n}">${this.state(n)}</thread>`;
    });
    return `<?xml version="1.0"?>\n<threads>\n${threads.join('\n')}\n</threads>\n`;
  }
}
