/** entrace gdb: the remote serial protocol. */
import { startGdbServer } from '../debugger/gdb/start.js';
import { openDebugger } from '../debugger/open.js';
import { type DebugOptions, debugSettings } from './debug_options.js';
import { EXIT } from './exit.js';
import { interruptible } from './interrupt.js';

export async function gdb(
  target: readonly string[],
  options: DebugOptions & { readonly port?: number },
): Promise<number> {
  const debug = await openDebugger(target, debugSettings(options));
  const server = await startGdbServer(debug, options.port ?? 0);
  const lines = [
    `${debug.title}: ${debug.lastStop.text}`,
    `  gdb -x ${server.commands}`,
    `  gdb -ex 'target remote 127.0.0.1:${server.port}'   (plain: without the commands nmi, mc, fire, who, latch, stacks, branches)`,
    'Ctrl-C ends the server',
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
  // The terminal is closed: the files are to go then, too.
  process.on('SIGHUP', server.close);
  try {
    await interruptible(server.close, () => server.ended);
  } finally {
    process.off('SIGHUP', server.close);
  }
  return EXIT.HOLDS;
}
