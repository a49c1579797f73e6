/**
 * The packets that make the debugger go, forwards and backwards.
 *
 * Source: GDB manual, "Packets": bc, bs, c, s, vCont.
 */
import { InputError } from '../../errors.js';
import type { Debugger } from '../debugger.js';
import { whereLines } from '../print.js';
import type { Stop } from '../view.js';
import { positionOf } from '../views.js';
import type { GdbBreakpoints } from './breakpoints.js';
import { Signal, signalReply, stopReply, stopText, type Verb } from './stop_reply.js';
import type { GdbThreads } from './threads.js';

/** What a packet wants of some threads. */
interface Action {
  readonly kind: Verb['kind'];
  /** 0: none. */
  readonly signal: number;
  /** Undefined: all that no other action names. */
  readonly processor: number | undefined;
}

/** gdb's SIGINFO: `signal SIGINFO` asks where the debugger stands, and executes nothing. */
const SIGINFO = 0x8e;

const MALFORMED = 'E01';
const UNKNOWN = '';

export class GdbVerbs {
  /** Of the thread that `Hc` has named, which bs is for. */
  stepped: number | undefined;
  #running: AbortController | undefined;
  #interrupted = false;

  constructor(
    private readonly debug: Debugger,
    private readonly threads: GdbThreads,
    private readonly breakpoints: GdbBreakpoints,
    private readonly say: (text: string) => void,
  ) {}

  /** Ends what runs; or, if its packet has come but is not carried out yet, the next verb. */
  interrupt(isMoreComing = false): void {
    if (this.#running) this.#running.abort();
    else this.#interrupted = isMoreComing;
  }

  /** What `body` comes to, which `interrupt` ends. */
  async interruptible<T>(body: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const running = new AbortController();
    this.#running = running;
    if (this.#interrupted) running.abort();
    try {
      return await body(running.signal);
    } finally {
      this.#running = undefined;
      this.#interrupted = false;
    }
  }

  /** `s`, `c`, `S05`, `C05`, for the thread that runs; with an address they would be a jump. */
  async plain(text: string): Promise<string> {
    const action = this.#action(text);
    return action && !text.includes(':') ? this.#resume([action]) : MALFORMED;
  }

  /** What follows `vCont;`. */
  async vCont(text: string): Promise<string> {
    const actions = text.split(';').map((action) => this.#action(action));
    return actions.includes(undefined) ? MALFORMED : this.#resume(actions as Action[]);
  }

  /** What follows `b`. */
  async reverse(kind: string): Promise<string> {
    const { debug } = this;
    if (kind === 'c') return this.#run((signal) => debug.reverseContinue(signal), { kind: 'continue', direction: -1 });
    if (kind !== 's') return UNKNOWN;
    if (this.stepped !== undefined && this.stepped !== this.threads.running) return this.#refuse(this.stepped);
    return this.#run((signal) => debug.reverseStep(1, signal), { kind: 'step', direction: -1 }, this.stepped);
  }

  /** `s:1`, `c`, `C05:-1`. */
  #action(text: string): Action | undefined {
    const match = /^(?:([sc])|([SC])([0-9a-f]{2}))(?::(-1|[0-9a-f]{1,8}))?$/.exec(text);
    if (!match) return undefined;
    const [, plain, withSignal, signal = '0', thread = '-1'] = match;
    const kind = (plain ?? withSignal!).toLowerCase() === 's' ? 'step' : 'continue';
    const isAny = thread === '-1' || thread === '0';
    const processor = isAny ? undefined : this.threads.processorOf(thread);
    if (!isAny && processor === undefined) return undefined;
    return { kind, signal: Number.parseInt(signal, 16), processor };
  }

  /** The first action that is for the processor that runs counts. */
  async #resume(actions: readonly Action[]): Promise<string> {
    const { debug } = this;
    const { running } = this.threads;
    // The others stay where they are, as when gdb steps over a breakpoint: it dies if one of them reports a stop then.
    const only = actions.length === 1 ? actions[0]!.processor : undefined;
    // It goes to the thread that gdb believes to run.
    if (actions.some(({ signal }) => signal === SIGINFO)) return this.#whereabouts(only);
    const parked = actions.find((a) => a.kind === 'step' && a.processor !== undefined && a.processor !== running);
    const action = actions.find(({ processor }) => processor === undefined || processor === running);
    // gdb means to step over the breakpoint at which that processor was parked, and to go on with all. A SIGTRAP would be the breakpoint
    // once more, no signal a stop; one that programs get and ignore makes gdb put the step off.
    if (only !== undefined && only !== running && !this.threads.chosen.has(only)) {
      return signalReply(Signal.WINCH, this.threads.report(only));
    }
    if (parked || !action) return this.#refuse(parked?.processor ?? only ?? running, only);
    const verb = { kind: action.kind, direction: 1 } as const;
    if (action.kind === 'step') return this.#run((signal) => debug.step(1, signal), verb, only);
    return this.#run((signal) => debug.continue(signal), verb, only);
  }

  async #run(go: (signal: AbortSignal) => Promise<Stop>, verb: Verb, only?: number): Promise<string> {
    const from = this.threads.running;
    try {
      const stop = await this.interruptible(go);
      const { running } = this.threads;
      const hit = this.breakpoints.hit(stop, this.debug.readRegister('rip'));
      const text = stopText(stop, hit);
      if (text !== undefined) this.say(text);
      this.#sayWhatIsAhead();
      if (only !== undefined && only !== running) return this.#whereabouts(only);
      return stopReply(stop, hit, { ...verb, crosses: running !== from }, this.threads.report());
    } catch (error) {
      // gdb waits for a stop, and takes no other answer.
      if (!(error instanceof InputError)) throw error;
      this.say(error.message);
      return this.#whereabouts(only);
    }
  }

  /** That the branch fires an event here, which gdb's next step will be. */
  #sayWhatIsAhead(): void {
    const [, ...notes] = whereLines(this.debug, positionOf(this.debug, this.debug.history));
    for (const note of notes) this.say(note.trim());
  }

  #refuse(processor: number, only?: number): string {
    this.say(`CPU ${processor} is parked: nothing was executed (monitor fire switch lets the next one run)`);
    return this.#whereabouts(only);
  }

  /** A stop without a signal: gdb reads everything anew, and shows it. `only`: of a thread that gdb insists on. */
  #whereabouts(only?: number): string {
    const { running } = this.threads;
    if (only !== undefined && only !== running) this.say(`CPU ${running} runs: thread ${running + 1} selects it`);
    return signalReply(Signal.NONE, this.threads.report(only));
  }
}
