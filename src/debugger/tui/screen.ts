/** The full-screen view of `entrace debug`. */
import { InputError } from '../../errors.js';
import type { Debugger } from '../debugger.js';
import { Controller } from './controller.js';
import { signsOf } from './signs.js';
import { Terminal } from './terminal.js';

/** Until the user quits. Rejects with an InputError if there is no terminal that could show a screen. */
export async function runScreen(debugger_: Debugger): Promise<void> {
  const { TERM, NO_COLOR } = process.env;
  if (TERM === undefined || TERM === '' || TERM === 'dumb') {
    const what = TERM === 'dumb' ? 'TERM=dumb: this terminal' : 'TERM is not set: a terminal without a name';
    throw new InputError(`${what} cannot show a screen; use --batch, and commands on standard input or with -x FILE`);
  }
  let end: (error?: unknown) => void = () => undefined;
  const done = new Promise<void>((resolve, reject) => {
    end = (error) => (error === undefined ? resolve() : reject(error));
  });
  let scheduled = false;
  let open = true;
  let killed: NodeJS.Signals | undefined;
  /** However much has changed by the next turn of the event loop, it is drawn once. */
  const redraw = (): void => {
    if (scheduled) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      if (!open) return;
      try {
        terminal.draw(controller.draw(terminal.size).frame);
      } catch (error) {
        end(error);
      }
    });
  };
  const controller = new Controller(debugger_, signsOf(process.env), redraw, end);
  const terminal = new Terminal(
    {
      key: (name) => controller.key(name),
      mouse: (event) => controller.mouse(event),
      redraw,
      end: (signal) => {
        killed = signal;
        end();
      },
    },
    // https://no-color.org: whatever it is set to, but for nothing.
    NO_COLOR === undefined || NO_COLOR === '',
  );
  try {
    terminal.take();
    redraw();
    await done;
  } finally {
    open = false;
    controller.close();
    terminal.close();
  }
  // What started this is to see that a signal ended it.
  if (killed !== undefined) process.kill(process.pid, killed);
}
