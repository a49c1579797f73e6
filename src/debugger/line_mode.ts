/** The line mode: commands from a file, a pipe or a terminal, and what they print. */
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { printable } from '../printable.js';
import { LAST_WORD } from './commands.js';
import type { Debugger } from './debugger.js';

export const PROMPT = '(entrace) ';

/** How the commands of one source went. */
export type LineModeEnd = 'end' | 'quit' | 'error';

/** What the debugger stands at, when it is opened. */
export async function printOpening(debug: Debugger, output: Writable): Promise<void> {
  const { lines } = await debug.command('where');
  output.write(`${[debug.title, debug.lastStop.text, ...lines].join('\n')}\n`);
}

/**
 * Runs one command after the other. Those that nobody types are printed first, and the first that is wrong ends them; at a terminal one
 * that is wrong only says so. `interrupted` ends a verb that runs long.
 */
export async function runLines(
  debug: Debugger,
  input: Readable,
  output: Writable,
  options: { readonly terminal: boolean; readonly signal: () => AbortSignal },
): Promise<LineModeEnd> {
  const { terminal, signal } = options;
  const lines = createInterface({
    input,
    ...(terminal ? { output, completer: (line: string) => completions(debug, line) } : {}),
    prompt: PROMPT,
    terminal,
  });
  // At a terminal the interface takes Ctrl-C for itself: it is for the verb that runs.
  lines.on('SIGINT', () => process.emit('SIGINT'));
  if (terminal) lines.prompt();
  try {
    for await (const line of lines) {
      if (!terminal && line.trim() !== '') output.write(`${PROMPT}${printable(line)}\n`);
      const result = await debug.command(line, signal());
      if (result.lines.length > 0) output.write(`${result.error ? 'error: ' : ''}${result.lines.join('\n')}\n`);
      if (result.error && !terminal) return 'error';
      if (result.quit) return 'quit';
      if (terminal) lines.prompt();
    }
    return 'end';
  } finally {
    lines.close();
  }
}

/** What readline asks for: the ways to end the last word. */
function completions(debug: Debugger, line: string): [string[], string] {
  return [debug.complete(line), LAST_WORD.exec(line)![0]];
}
