/** entrace debug: the full screen, or the line mode. */
import { Readable } from 'node:stream';
import { type LineModeEnd, printOpening, runLines } from '../debugger/line_mode.js';
import { openDebugger } from '../debugger/open.js';
import { readBytes } from '../files.js';
import { type DebugOptions, debugSettings } from './debug_options.js';
import { EXIT } from './exit.js';

/** Bytes of a file of commands. */
const MAX_COMMANDS = 1 << 20;

export async function debug(
  target: readonly string[],
  options: DebugOptions & { readonly batch?: boolean; readonly commands?: readonly string[] },
): Promise<number> {
  const scripts = (options.commands ?? []).map((file) =>
    readBytes(file, 'a file of commands', MAX_COMMANDS, `--commands ${file}`).toString(),
  );
  const opened = await openDebugger(target, debugSettings(options));
  const { stdin, stdout } = process;
  const terminal = stdin.isTTY === true && stdout.isTTY === true;
  const screen = terminal && !options.batch;
  // Each Ctrl-C is for the command that runs then.
  let controller = new AbortController();
  const onInterrupt = (): void => {
    if (!opened.busy && !stdin.isTTY) process.exit(130);
    controller.abort();
    controller = new AbortController();
  };
  process.on('SIGINT', onInterrupt);
  const signal = (): AbortSignal => controller.signal;
  try {
    if (!screen || scripts.length > 0) await printOpening(opened, stdout);
    let end: LineModeEnd = 'end';
    for (const script of scripts) {
      end = await runLines(opened, Readable.from([script]), stdout, { terminal: false, signal });
      if (end !== 'end') break;
    }
    if (end === 'end' && screen) {
      const { runScreen } = await import('../debugger/tui/screen.js');
      await runScreen(opened);
    } else if (end === 'end' && (terminal || scripts.length === 0)) {
      end = await runLines(opened, stdin, stdout, { terminal, signal });
    }
    return end === 'error' ? EXIT.USAGE : EXIT.HOLDS;
  } finally {
    process.off('SIGINT', onInterrupt);
  }
}
