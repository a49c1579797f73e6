/** The terminal: keys and clicks in, frames out; given back as it was, whatever happens. */
import { PassThrough } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import termkit from 'terminal-kit';
import type { MouseEvent } from './controller.js';
import type { Size } from './draw.js';
import { type Frame, ROLES, type Role, SELECTED } from './frame.js';

type Attributes = NonNullable<termkit.ScreenBuffer.Attributes>;

/** Colours that are to be read on a dark and on a light ground; without them bold and inverse text still tells. */
const STYLES: Readonly<Record<Role, Attributes>> = {
  plain: {},
  dim: { color: 'gray' },
  bold: { bold: true },
  current: { bold: true, color: 'yellow' },
  changed: { bold: true, color: 'magenta' },
  bad: { bold: true, color: 'red' },
  good: { color: 'green' },
  event: { bold: true, color: 'cyan' },
  frame: { color: 'cyan' },
  label: { color: 'brightBlue' },
  border: { color: 'gray' },
  focus: { bold: true },
  bar: { inverse: true },
};

export interface TerminalListener {
  key(name: string): void;
  mouse(event: MouseEvent): void;
  /** The size has changed, or the screen has been taken back: all is to be drawn. */
  redraw(): void;
  /** A signal asks for the end; SIGHUP also when the input has ended, for then the terminal has gone. */
  end(signal: NodeJS.Signals): void;
}

export class Terminal {
  readonly #input = new CleanInput();
  readonly #terminal: termkit.Terminal;
  readonly #listener: TerminalListener;
  /** By the byte of a cell, in terminal-kit's own form: it would be made anew for each piece of text. */
  readonly #attributes: readonly number[];
  /** One for each row of the screen: only those that have changed are looked at. */
  #rows: termkit.ScreenBuffer[] = [];
  #last: Frame | undefined;
  #taken = false;
  #suspended: NodeJS.Timeout | undefined;
  readonly #handlers: readonly (readonly [NodeJS.Signals, () => void])[];
  /** Before Node prints an exception that nobody catches, too. */
  readonly #onExit = (): void => this.give();

  constructor(listener: TerminalListener, colour: boolean) {
    this.#listener = listener;
    const { generic, appId, safe, isSSH } = guess();
    this.#terminal = termkit.createTerminal({
      stdin: this.#input as unknown as NodeJS.ReadStream,
      stdout: process.stdout,
      stderr: process.stderr,
      generic,
      ...(safe && { appId }),
      isTTY: true,
      isSSH,
    } as unknown as termkit.Terminal.CreateOptions);
    this.#attributes = Array.from({ length: 256 }, (_, byte) => {
      const { color, ...style } = STYLES[ROLES[byte & ~SELECTED] ?? 'plain'];
      const shown = colour && color !== undefined ? { color } : { defaultColor: true };
      const attributes = {
        ...style,
        ...shown,
        bgDefaultColor: true,
        ...((byte & SELECTED) !== 0 && { inverse: true }),
      };
      // The declaration says that nothing is returned.
      return termkit.ScreenBuffer.object2attr(attributes) as unknown as number;
    });
    this.#terminal.on('key', (name: string) => this.#key(name));
    this.#terminal.on('mouse', (name: string, data: { x: number; y: number }) => this.#mouse(name, data));
    this.#terminal.on('resize', () => this.#taken && this.#redraw());
    this.#handlers = [
      ['SIGTERM', () => listener.end('SIGTERM')],
      ['SIGHUP', () => listener.end('SIGHUP')],
      ['SIGINT', () => listener.key('CTRL_C')],
      ['SIGTSTP', () => this.#suspend()],
      ['SIGCONT', () => this.#resume()],
    ];
  }

  get size(): Size {
    return { width: process.stdout.columns, height: process.stdout.rows };
  }

  /** The alternate screen, raw keys, the mouse. */
  take(): void {
    if (this.#taken) return;
    this.#taken = true;
    this.#rows = [];
    for (const [signal, handler] of this.#handlers)
      if (!process.listeners(signal).includes(handler)) process.on(signal, handler);
    process.on('exit', this.#onExit);
    this.#input.open(() => this.#listener.end('SIGHUP'));
    this.#terminal.fullscreen(true);
    this.#terminal.hideCursor();
    this.#terminal.grabInput({ mouse: 'button' });
  }

  /** Back to the shell's screen and mode; safe to call twice, and when the process ends. */
  give(): void {
    if (!this.#taken) return;
    this.#taken = false;
    process.off('exit', this.#onExit);
    this.#terminal.grabInput(false);
    this.#input.close();
    this.#terminal.styleReset();
    this.#terminal.hideCursor(false);
    this.#terminal.fullscreen(false);
  }

  /** For good: signals have their own meaning again. */
  close(): void {
    this.give();
    clearInterval(this.#suspended);
    for (const [signal, handler] of this.#handlers) process.off(signal, handler);
  }

  /** Writes what differs from the frame before. */
  draw(frame: Frame): void {
    if (!this.#taken) return;
    const last = this.#rows.length > 0 ? this.#last : undefined;
    const whole = last?.width !== frame.width || last.height !== frame.height;
    // One write for all: a terminal that draws in between would show half of it.
    process.stdout.cork();
    if (whole) {
      const row = { dst: this.#terminal, width: frame.width, height: 1, x: 1 };
      this.#rows = Array.from({ length: frame.height }, (_, y) => new termkit.ScreenBuffer({ ...row, y: y + 1 }));
      this.#terminal.clear();
    }
    for (const [y, row] of this.#rows.entries()) {
      if (!whole && sameRow(frame, last, y)) continue;
      this.#putRow(row, frame, y);
      row.draw({ delta: true });
    }
    if (frame.cursor) {
      this.#terminal.moveTo(frame.cursor.x + 1, frame.cursor.y + 1);
      this.#terminal.hideCursor(false);
    } else if (last?.cursor) this.#terminal.hideCursor();
    process.stdout.uncork();
    this.#last = frame;
  }

  /** In runs of cells that look the same. */
  #putRow(buffer: termkit.ScreenBuffer, frame: Frame, y: number): void {
    const row = y * frame.width;
    let begin = 0;
    while (begin < frame.width) {
      const role = frame.roles[row + begin]!;
      let end = begin + 1;
      while (end < frame.width && frame.roles[row + end] === role) end++;
      const text = frame.chars.slice(row + begin, row + end).join('');
      buffer.put({ x: begin, y: 0, attr: this.#attributes[role]!, wrap: false, dx: 1, dy: 0 }, text);
      begin = end;
    }
  }

  #redraw(): void {
    this.#rows = [];
    this.#listener.redraw();
  }

  #key(name: string): void {
    if (name === 'CTRL_Z') process.kill(process.pid, 'SIGTSTP');
    else if (name === 'CTRL_L') this.#redraw();
    else this.#listener.key(name);
  }

  #mouse(name: string, { x, y }: { readonly x: number; readonly y: number }): void {
    const at = { x: x - 1, y: y - 1 };
    if (name === 'MOUSE_LEFT_BUTTON_PRESSED') this.#listener.mouse({ kind: 'press', ...at });
    else if (name === 'MOUSE_WHEEL_UP') this.#listener.mouse({ kind: 'up', ...at });
    else if (name === 'MOUSE_WHEEL_DOWN') this.#listener.mouse({ kind: 'down', ...at });
  }

  /** Ctrl-Z: the shell gets its terminal, and this process stops until fg. */
  #suspend(): void {
    this.give();
    // Neither signals nor an input that is not read keep Node alive until SIGCONT has been seen.
    this.#suspended ??= setInterval(() => undefined, 2 ** 31 - 1);
    process.kill(process.pid, 'SIGSTOP');
  }

  #resume(): void {
    clearInterval(this.#suspended);
    this.#suspended = undefined;
    this.take();
    this.#redraw();
  }
}

function sameRow(a: Frame, b: Frame, y: number): boolean {
  for (let i = y * a.width; i < (y + 1) * a.width; i++) {
    if (a.chars[i] !== b.chars[i] || a.roles[i] !== b.roles[i]) return false;
  }
  return true;
}

/** What terminal-kit makes of TERM and its like. */
function guess(): { generic: string; appId: string; safe: boolean; isSSH: boolean } {
  const { guessTerminal } = termkit as unknown as {
    guessTerminal: () => { generic?: string; appId?: string; safe: boolean; isSSH: boolean };
  };
  const { generic, appId, safe, isSSH } = guessTerminal();
  return { generic: generic ?? 'xterm', appId: appId ?? 'xterm', safe, isSSH };
}

/**
 * Standard input as valid UTF-8, whole characters only. terminal-kit loops forever on a byte that continues a
 * character which has not begun (`onStdin`), and a read may end in the middle of one.
 */
class CleanInput extends PassThrough {
  #decoder = new StringDecoder('utf8');
  #ended: () => void = () => undefined;
  readonly #onData = (chunk: Buffer): void => {
    const text = this.#decoder.write(chunk);
    if (text !== '') this.write(text);
  };
  readonly #onEnd = (): void => this.#ended();

  open(ended: () => void): void {
    this.#ended = ended;
    this.#decoder = new StringDecoder('utf8');
    process.stdin.on('data', this.#onData);
    process.stdin.on('end', this.#onEnd);
    process.stdin.on('error', this.#onEnd);
    process.stdin.resume();
  }

  close(): void {
    process.stdin.off('data', this.#onData);
    process.stdin.off('end', this.#onEnd);
    process.stdin.off('error', this.#onEnd);
    process.stdin.pause();
  }

  setRawMode(raw: boolean): this {
    process.stdin.setRawMode(raw);
    return this;
  }
}
