/**
 * One gdb's dealings with the debugger: each packet is a verb, a question, or an edit.
 *
 * Source: GDB manual, appendix "GDB Remote Serial Protocol": Packets, General Query Packets, vCont; "Reverse Execution".
 */
import { InputError } from '../../errors.js';
import type { Debugger } from '../debugger.js';
import { whereLines } from '../print.js';
import type { Stop } from '../view.js';
import { positionOf } from '../views.js';
import { type BreakpointType, GdbBreakpoints, isBreakpointType } from './breakpoints.js';
import { fromHex, hexNumber, hexText, PACKET_SIZE } from './packets.js';
import { GDB_REGISTERS, type GdbRegister, type PlaceRegister, valueOfWire, wireValue } from './registers.js';
import { Signal, type StopAccount, signalReply, stopReply, stopText, type Verb } from './stop_reply.js';
import { TARGET_DESCRIPTION } from './target_description.js';

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

/** gdb's SIGINFO: `signal SIGINFO` asks where the debugger stands, and executes nothing. */
const SIGINFO = 0x8e;

/** What the command file says first: hints for those who do without it are not needed. */
const HAS_COMMAND_FILE = 'gdb-command-file';

const MALFORMED = 'E01';
const NO_MEMORY = 'E0e';
const UNKNOWN = '';

/** Bytes that are read in one answer at most: two digits each. */
const MOST_MEMORY = PACKET_SIZE / 2;

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
  /** Of the thread that `Hg` has named, if it has named one. */
  #processor: number | undefined;
  /** The same for `Hc`, whose thread bs moves. */
  #steppedProcessor: number | undefined;
  #running: AbortController | undefined;
  #interrupted = false;
  #moved = false;
  #hasCommandFile = false;

  constructor(private readonly options: SessionOptions) {
    this.#debug = options.debug;
    this.#breakpoints = new GdbBreakpoints(options.debug);
  }

  /** ^C: ends what runs; or the next verb, which the client has sent already. */
  interrupt(isMoreComing: boolean): void {
    if (this.#running) this.#running.abort();
    else this.#interrupted = isMoreComing;
  }

  /** Leaves the debugger as if gdb had not been there; the paths stay. */
  close(): void {
    this.#running?.abort();
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
        return { reply: signalReply(Signal.TRAP, this.#current + 1) };
      case 'g':
        return { reply: GDB_REGISTERS.map((register) => this.#wire(register)).join('') };
      case 'G':
        return { reply: this.#writeAll(rest) };
      case 'p':
        return { reply: this.#readOne(rest) };
      case 'P':
        return { reply: this.#writeOne(rest) };
      case 'm':
        return { reply: this.#readMemory(rest) };
      case 'M':
        return { reply: this.#writeMemory(rest, fromHex(rest.slice(rest.indexOf(':') + 1))) };
      case 'X':
        return { reply: this.#writeMemory(rest, data.subarray(data.indexOf(':') + 1)) };
      case 'H':
        return { reply: this.#select(rest) };
      case 'T':
        return { reply: this.#processorOfThread(rest) === undefined ? MALFORMED : 'OK' };
      case 'c':
      case 's':
      case 'C':
      case 'S':
        return { reply: await this.#resumeAsNamed(text) };
      case 'b':
        return { reply: await this.#reverse(rest) };
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

  /** The number of the processor that runs. */
  get #current(): number {
    return this.#debug.processor;
  }

  #account(stop: Stop, verb: Verb): StopAccount {
    const hit = this.#breakpoints.hit(stop, this.#debug.readRegister('rip'));
    return { stop, hit, verb, thread: this.#current + 1 };
  }

  // Registers and memory.

  #value({ name, source, feature }: GdbRegister): bigint | undefined {
    if (feature === 'debugger') return this.#place(name as PlaceRegister);
    return source === undefined ? undefined : this.#debug.readRegister(source, this.#processor);
  }

  #place(name: PlaceRegister): bigint {
    const { branch, index } = this.#debug.position;
    return BigInt({ branch, state: index, moved: Number(this.#moved) }[name]);
  }

  #wire(register: GdbRegister): string {
    return wireValue(register, this.#value(register));
  }

  #readOne(text: string): string {
    const register = GDB_REGISTERS[Number(hexNumber(text) ?? -1)];
    return register ? this.#wire(register) : MALFORMED;
  }

  #writeOne(text: string): string {
    const [number, digits] = text.split('=');
    const register = GDB_REGISTERS[Number(hexNumber(number) ?? -1)];
    const bytes = digits === undefined ? undefined : fromHex(digits);
    if (!register || !bytes || bytes.length !== register.bits / 8) return MALFORMED;
    this.#write(register, bytes);
    return 'OK';
  }

  #write({ name, source, feature }: GdbRegister, bytes: Uint8Array): void {
    if (feature === 'debugger') throw new InputError(`${name} is where the debugger stands; move it with monitor goto`);
    if (source === undefined) throw new InputError(`the machine has no ${name}`);
    this.#debug.writeRegister(source, valueOfWire(bytes), this.#processor);
  }

  /** Only what differs is an edit. */
  #writeAll(digits: string): string {
    const width = GDB_REGISTERS.reduce((sum, { bits }) => sum + bits / 4, 0);
    if (digits.length !== width) return MALFORMED;
    let at = 0;
    const changes: (readonly [GdbRegister, Buffer])[] = [];
    for (const register of GDB_REGISTERS) {
      const own = digits.slice(at, at + register.bits / 4).toLowerCase();
      at += own.length;
      if (own === this.#wire(register) || register.feature === 'debugger') continue;
      const bytes = fromHex(own);
      if (!bytes) return MALFORMED;
      changes.push([register, bytes]);
    }
    for (const [register, bytes] of changes) this.#write(register, bytes);
    return 'OK';
  }

  /** What is mapped from the first byte on; an error if that is not. */
  #readMemory(text: string): string {
    const range = parseRange(text);
    if (!range) return MALFORMED;
    const length = Math.min(range.length, MOST_MEMORY);
    const whole = this.#debug.readMemory(range.address, length);
    if (whole) return Buffer.from(whole).toString('hex');
    // What is mapped is mapped in pages, but a region may end anywhere.
    let [mapped, unmapped] = [0, length];
    while (unmapped - mapped > 1) {
      const middle = (mapped + unmapped) >> 1;
      if (this.#debug.readMemory(range.address, middle)) mapped = middle;
      else unmapped = middle;
    }
    const part = mapped > 0 ? this.#debug.readMemory(range.address, mapped) : undefined;
    return part ? Buffer.from(part).toString('hex') : NO_MEMORY;
  }

  #writeMemory(text: string, bytes: Buffer | undefined): string {
    const colon = text.indexOf(':');
    const range = colon < 0 ? undefined : parseRange(text.slice(0, colon));
    if (!range || bytes?.length !== range.length) return MALFORMED;
    // gdb asks like this whether X is understood.
    if (range.length > 0) this.#debug.writeMemory(range.address, bytes);
    return 'OK';
  }

  // Threads.

  /** `1` to the number of processors. */
  #processorOfThread(text: string): number | undefined {
    const thread = Number(hexNumber(text) ?? 0);
    return thread >= 1 && thread <= this.#debug.subject.processors ? thread - 1 : undefined;
  }

  /** `Hg1`, `Hc-1`; 0 is any thread, -1 all. */
  #select(text: string): string {
    const isAny = ['0', '-1'].includes(text.slice(1));
    const processor = this.#processorOfThread(text.slice(1));
    if (processor === undefined && !isAny) return MALFORMED;
    if (text[0] === 'g') this.#processor = processor;
    else if (text[0] === 'c') this.#steppedProcessor = processor;
    else return UNKNOWN;
    return 'OK';
  }

  #threads(): string {
    const current = this.#current;
    const threads = Array.from({ length: this.#debug.subject.processors }, (_, n) => {
      const thread = (n + 1).toString(16);
      return `<thread id="${thread}" core="${n}" name="CPU ${n}">${n === current ? 'runs' : 'parked'}</thread>`;
    });
    return `<?xml version="1.0"?>\n<threads>\n${threads.join('\n')}\n</threads>\n`;
  }

  // Verbs.

  /** `s`, `c`, `S05`, `C05`, each for the thread that runs. */
  #resumeAsNamed(text: string): Promise<string> | string {
    const match = /^(?:[sc]|([SC])([0-9a-f]{2}))$/.exec(text);
    if (!match) return MALFORMED;
    return this.#resume([{ kind: text[0]!.toLowerCase(), signal: Number.parseInt(match[2] ?? '0', 16) }]);
  }

  /** The first action that is for the processor that runs counts. */
  #resume(actions: readonly Action[]): Promise<string> | string {
    // It goes to the thread that gdb believes to run.
    if (actions.some(({ signal }) => signal === SIGINFO)) return this.#whereabouts();
    const current = this.#current;
    const action = actions.find(({ processor }) => processor === undefined || processor === current);
    const parked = actions.find(
      ({ kind, processor }) => processor !== undefined && processor !== current && kind === 's',
    );
    if (parked || !action) return this.#refuseParked(parked?.processor);
    const debug = this.#debug;
    if (action.kind === 's') return this.#run((signal) => debug.step(1, signal), { kind: 'step', direction: 1 });
    return this.#run((signal) => debug.continue(signal), { kind: 'continue', direction: 1 });
  }

  #reverse(kind: string): Promise<string> | string {
    const debug = this.#debug;
    const direction = -1;
    if (kind === 'c') return this.#run((signal) => debug.reverseContinue(signal), { kind: 'continue', direction });
    if (kind !== 's') return UNKNOWN;
    const processor = this.#steppedProcessor;
    if (processor !== undefined && processor !== this.#current) return this.#refuseParked(processor);
    return this.#run((signal) => debug.reverseStep(1, signal), { kind: 'step', direction });
  }

  async #run(go: (signal: AbortSignal) => Promise<Stop>, verb: Verb): Promise<string> {
    const running = new AbortController();
    this.#running = running;
    if (this.#interrupted) running.abort();
    try {
      const account = this.#account(await go(running.signal), verb);
      this.#say(stopText(account));
      this.#sayWhatIsAhead();
      this.#moved = false;
      return stopReply(account);
    } catch (error) {
      // gdb waits for a stop, and takes no other answer.
      if (!(error instanceof InputError)) throw error;
      this.#say(error.message);
      return this.#whereabouts();
    } finally {
      this.#running = undefined;
      this.#interrupted = false;
    }
  }

  /** That the branch fires an event here, which gdb's next step will be. */
  #sayWhatIsAhead(): void {
    const [, ...notes] = whereLines(this.#debug, positionOf(this.#debug, this.#debug.history));
    for (const note of notes) this.#say(note.trim());
  }

  #refuseParked(processor: number | undefined): string {
    const who = processor === undefined ? 'that processor' : `CPU ${processor}`;
    this.#say(`${who} is parked while CPU ${this.#current} runs: nothing was executed (monitor fire switch)`);
    return this.#whereabouts();
  }

  /** A stop without a signal: gdb reads everything anew, and shows it. */
  #whereabouts(): string {
    this.#moved = false;
    return signalReply(Signal.NONE, this.#current + 1);
  }

  #say(text: string | undefined): void {
    if (text !== undefined) this.options.output(`${text}\n`);
  }

  // The rest.

  #breakpoint(text: string): string {
    const match = /^([Zz])(\d),([0-9a-f]{1,16}),([0-9a-f]{1,8})$/i.exec(text);
    // A condition for the stub to evaluate (`;X…`) is not announced: gdb does that.
    if (!match) return /^[Zz][0-4],/.test(text) ? MALFORMED : UNKNOWN;
    if (!isBreakpointType(match[2]!)) return UNKNOWN;
    const type = Number(match[2]) as BreakpointType;
    const [address, length] = [BigInt(`0x${match[3]}`), Number.parseInt(match[4]!, 16)];
    if (match[1] === 'Z') this.#breakpoints.insert(type, address, length);
    else this.#breakpoints.remove(type, address, length);
    return 'OK';
  }

  async #verbose(text: string): Promise<string> {
    if (text === 'vCont?') return 'vCont;c;C;s;S';
    if (!text.startsWith('vCont;')) return UNKNOWN;
    const actions = text
      .slice('vCont;'.length)
      .split(';')
      .map((action) => this.#action(action));
    return actions.includes(undefined) ? MALFORMED : this.#resume(actions as Action[]);
  }

  /** `s:1`, `c`, `C05:-1`. */
  #action(text: string): Action | undefined {
    const match = /^(?:([sc])|([SC])([0-9a-f]{2}))(?::(-1|[0-9a-f]{1,8}))?$/.exec(text);
    if (!match) return undefined;
    const [, plain, withSignal, signal = '0', thread = '-1'] = match;
    const kind = (plain ?? withSignal!).toLowerCase();
    const common = { kind, signal: Number.parseInt(signal, 16) };
    if (thread === '-1' || thread === '0') return common;
    const processor = this.#processorOfThread(thread);
    return processor === undefined ? undefined : { ...common, processor };
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
        return { reply: `QC${(this.#current + 1).toString(16)}` };
      case 'qfThreadInfo':
        return {
          reply: `m${Array.from({ length: this.#debug.subject.processors }, (_, n) => (n + 1).toString(16)).join(',')}`,
        };
      case 'qsThreadInfo':
        return { reply: 'l' };
      case 'qThreadExtraInfo': {
        const processor = this.#processorOfThread(rest);
        if (processor === undefined) return { reply: MALFORMED };
        return { reply: hexText(`CPU ${processor} ${processor === this.#current ? 'runs' : 'parked'}`) };
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
            ? this.#threads()
            : undefined;
    if (content === undefined) return object === 'features' ? 'E00' : UNKNOWN;
    const bytes = Buffer.from(content).subarray(offset, offset + Math.min(length, MOST_MEMORY));
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
    const running = new AbortController();
    this.#running = running;
    const { lines, quit } = await this.#debug.command(line, running.signal).finally(() => {
      this.#running = undefined;
    });
    const hasMoved = this.#standing() !== before;
    if (hasMoved) this.#moved = true;
    const hint = hasMoved && !this.#hasCommandFile ? ['(gdb has not noticed: signal SIGINFO shows it this state)'] : [];
    const help = line === 'help' ? HELP : [];
    for (const text of [...lines, ...help, ...hint]) this.#say(text);
    return { reply: 'OK', ...(quit ? { end: 'quit' } : {}) };
  }

  #standing(): string {
    const { branch, index } = this.#debug.position;
    return `${branch},${index}`;
  }
}

interface Action {
  /** `s` or `c`. */
  readonly kind: string;
  /** 0: none. */
  readonly signal: number;
  /** Undefined: each that no other action names. */
  readonly processor?: number;
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

/** `ADDRESS,LENGTH`, both in hexadecimal. */
function parseRange(text: string): { address: bigint; length: number } | undefined {
  const match = /^([0-9a-f]{1,16}),([0-9a-f]{1,8})$/i.exec(text);
  return match ? { address: BigInt(`0x${match[1]}`), length: Number.parseInt(match[2]!, 16) } : undefined;
}
