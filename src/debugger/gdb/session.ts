/**
 * One gdb's dealings with the debugger: each packet is a verb, a question, or an edit.
 *
 * Source: GDB manual, appendix "GDB Remote Serial Protocol": Packets, General Query Packets, vCont; "Reverse Execution".
 */
import { InputError } from '../../errors.js';
import type { Debugger } from '../debugger.js';
import { type BreakpointType, GdbBreakpoints, isBreakpointType } from './breakpoints.js';
import { fromHex, hexText, PACKET_SIZE } from './packets.js';
import { GdbState } from './state.js';
import { Signal, signalReply } from './stop_reply.js';
import { TARGET_DESCRIPTION } from './target_description.js';
import { GdbThreads } from './threads.js';
import { GdbVerbs } from './verbs.js';

/** What a packet comes to. */
export interface Answer {
  /** The data of the packet that answers it; undefined: none. */
  readonly reply: string | undefined;
  /** No acknowledgements from here on. */
  readonly noAck?: true;
  /** The connection ends behind the reply; `quit`: the server too. */
  readonly end?: 'detach' | 'quit';
}

export interface SessionOptions {
  readonly debug: Debugger;
  /** Path of the ELF that gdb is to read. */
  readonly symbols: string;
  /** Shows text to gdb's user, while a verb or a monitor command runs. */
  readonly output: (text: string) => void;
}

/** What the command file says first: hints for those who do without it are not needed. */
const HAS_COMMAND_FILE = 'gdb-command-file';

const MALFORMED = 'E01';
const UNKNOWN = '';

const HELP = [
  'in gdb',
  '  monitor COMMAND                           any of these; gdb does not notice by itself when one moves the debugger',
  '  signal SIGINFO                            shows gdb where the debugger stands; nothing is executed',
  '  set breakpoint always-inserted on         so that monitor commands stop at the breakpoints of gdb too',
  '  info registers system, debugger           MSRs, control registers, tables; branch and state ($branch, $state)',
  '  info threads                              one for each processor',
];

export class GdbSession {
  readonly #debug: Debugger;
  readonly #breakpoints: GdbBreakpoints;
  readonly #threads: GdbThreads;
  readonly #verbs: GdbVerbs;
  readonly #state: GdbState;
  #hasCommandFile = false;

  constructor(private readonly options: SessionOptions) {
    const { debug } = options;
    this.#debug = debug;
    this.#breakpoints = new GdbBreakpoints(debug);
    this.#threads = new GdbThreads(debug);
    this.#state = new GdbState(debug, this.#threads);
    this.#verbs = new GdbVerbs(debug, this.#threads, this.#breakpoints, (text) => this.#say(text));
  }

  /** ^C. `isMoreComing`: there are packets that are not answered yet. */
  interrupt(isMoreComing: boolean): void {
    this.#verbs.interrupt(isMoreComing);
  }

  /** Leaves the debugger as if gdb had not been there; the paths stay. */
  close(): void {
    this.#verbs.interrupt();
    this.#breakpoints.removeAll();
  }

  async answer(data: Buffer): Promise<Answer> {
    try {
      return await this.#answer(data);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      // Replies have one character for each byte.
      return { reply: Buffer.from(`E.${error.message}`).toString('latin1') };
    }
  }

  async #answer(data: Buffer): Promise<Answer> {
    const text = data.toString('latin1');
    const rest = text.slice(1);
    switch (text[0]) {
      case '?':
        return { reply: signalReply(Signal.TRAP, this.#threads.report()) };
      case 'g':
        return { reply: this.#state.readAll() };
      case 'G':
        return { reply: this.#state.writeAll(rest) };
      case 'p':
        return { reply: this.#state.readOne(rest) };
      case 'P':
        return { reply: this.#state.writeOne(rest) };
      case 'm':
        return { reply: this.#state.readMemory(rest) };
      case 'M':
        return { reply: this.#state.writeMemory(rest, fromHex(rest.slice(rest.indexOf(':') + 1))) };
      case 'X':
        return { reply: this.#state.writeMemory(rest, data.subarray(data.indexOf(':') + 1)) };
      case 'H':
        return { reply: this.#select(rest) };
      case 'T':
        return { reply: this.#threads.isAlive(rest) ? 'OK' : MALFORMED };
      case 'c':
      case 's':
      case 'C':
      case 'S':
        return { reply: await this.#verbs.plain(text) };
      case 'b':
        return { reply: await this.#verbs.reverse(rest) };
      case 'v':
        return { reply: await this.#verbose(text) };
      case 'Z':
      case 'z':
        return { reply: this.#breakpoint(text) };
      case 'q':
      case 'Q':
        return this.#query(text);
      case 'D':
        return { reply: 'OK', end: 'detach' };
      case 'k':
        return { reply: undefined, end: 'detach' };
      default:
        return { reply: UNKNOWN };
    }
  }

  /** `Hg1`, `Hc-1`; 0 is any thread, -1 all. */
  #select(text: string): string {
    const isAny = ['0', '-1'].includes(text.slice(1));
    const processor = this.#threads.processorOf(text.slice(1));
    if (processor === undefined && !isAny) return MALFORMED;
    if (text[0] === 'g') this.#threads.selected = processor ?? this.#threads.running;
    else if (text[0] === 'c') this.#verbs.stepped = processor;
    else return UNKNOWN;
    return 'OK';
  }

  #breakpoint(text: string): string {
    const match = /^([Zz])(\d),([0-9a-f]{1,16}),([0-9a-f]{1,8})$/i.exec(text);
    // A condition for the stub to evaluate (`;X…`) is not announced: gdb does that.
    if (!match) return /^[Zz][0-4]/.test(text) ? MALFORMED : UNKNOWN;
    if (!isBreakpointType(match[2]!)) return UNKNOWN;
    const type = Number(match[2]) as BreakpointType;
    const [address, length] = [BigInt(`0x${match[3]}`), Number.parseInt(match[4]!, 16)];
    if (match[1] === 'Z') this.#breakpoints.insert(type, address, length);
    else this.#breakpoints.remove(type, address, length);
    return 'OK';
  }

  async #verbose(text: string): Promise<string> {
    if (text === 'vCont?') return 'vCont;c;C;s;S';
    return text.startsWith('vCont;') ? this.#verbs.vCont(text.slice('vCont;'.length)) : UNKNOWN;
  }

  async #query(text: string): Promise<Answer> {
    const name = /^[qQ][A-Za-z]*/.exec(text)![0];
    const rest = text.slice(name.length + 1);
    switch (name) {
      case 'qSupported':
        return { reply: SUPPORTED };
      case 'QStartNoAckMode':
        return { reply: 'OK', noAck: true };
      case 'qAttached':
        return { reply: '1' };
      case 'qC':
        return { reply: `QC${(this.#threads.running + 1).toString(16)}` };
      case 'qfThreadInfo':
        return { reply: `m${this.#threads.list}` };
      case 'qsThreadInfo':
        return { reply: 'l' };
      case 'qThreadExtraInfo': {
        const processor = this.#threads.processorOf(rest);
        if (processor === undefined) return { reply: MALFORMED };
        return { reply: hexText(`CPU ${processor} ${this.#threads.state(processor)}`) };
      }
      case 'qXfer':
        return { reply: this.#transfer(rest) };
      case 'qRcmd':
        return this.#monitor(rest);
      default:
        return { reply: UNKNOWN };
    }
  }

  /** `features:read:target.xml:0,fff`. */
  #transfer(text: string): string {
    const match = /^([a-z-]+):read:([^:]*):([0-9a-f]{1,8}),([0-9a-f]{1,8})$/.exec(text);
    if (!match) return MALFORMED;
    const [, object, annex] = match;
    const [offset, length] = [Number.parseInt(match[3]!, 16), Number.parseInt(match[4]!, 16)];
    const content =
      object === 'features' && annex === 'target.xml'
        ? TARGET_DESCRIPTION
        : object === 'exec-file'
          ? this.options.symbols
          : object === 'threads' && annex === ''
            ? this.#threads.xml
            : undefined;
    if (content === undefined) return object === 'features' ? 'E00' : UNKNOWN;
    const bytes = Buffer.from(content).subarray(offset, offset + Math.min(length, PACKET_SIZE / 2));
    const isLast = offset + bytes.length >= Buffer.byteLength(content);
    return `${isLast ? 'l' : 'm'}${bytes.toString('latin1')}`;
  }

  async #monitor(digits: string): Promise<Answer> {
    const bytes = fromHex(digits);
    if (!bytes) return { reply: MALFORMED };
    const line = bytes.toString().trim() || 'help';
    if (line === HAS_COMMAND_FILE) {
      this.#hasCommandFile = true;
      this.#say(`${this.#debug.title}: ${this.#debug.lastStop.text}`);
      return { reply: 'OK' };
    }
    const before = this.#standing();
    const { lines, quit } = await this.#verbs.interruptible((signal) => this.#debug.command(line, signal));
    const hasMoved = this.#standing() !== before;
    this.#threads.moved = hasMoved;
    const hint = hasMoved && !this.#hasCommandFile ? ['(gdb has not noticed: signal SIGINFO shows it this state)'] : [];
    const help = line === 'help' ? HELP : [];
    for (const text of [...lines, ...help, ...hint]) this.#say(text);
    return { reply: 'OK', ...(quit ? { end: 'quit' } : {}) };
  }

  #standing(): string {
    const { branch, index } = this.#debug.position;
    return `${branch},${index}`;
  }

  #say(text: string): void {
    this.options.output(`${text}\n`);
  }
}

const SUPPORTED = [
  `PacketSize=${PACKET_SIZE.toString(16)}`,
  'QStartNoAckMode+',
  'qXfer:features:read+',
  'qXfer:exec-file:read+',
  'qXfer:threads:read+',
  'ReverseStep+',
  'ReverseContinue+',
  'swbreak+',
  'hwbreak+',
  'vContSupported+',
].join(';');
