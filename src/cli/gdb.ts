/** entrace gdb: the remote serial protocol. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commandFile } from '../debugger/gdb/command_file.js';
import { serveGdb } from '../debugger/gdb/server.js';
import { symbolFile } from '../debugger/gdb/symbol_file.js';
import { openDebugger } from '../debugger/open.js';
import { type DebugOptions, debugSettings } from './debug_options.js';
import { EXIT } from './exit.js';
import { interruptible } from './interrupt.js';

export async function gdb(
  target: readonly string[],
  options: DebugOptions & { readonly port?: number },
): Promise<number> {
  const debug = await openDebugger(target, debugSettings(options));
  const directory = mkdtempSync(join(tmpdir(), 'entrace-gdb-'));
  try {
    const { elf, sources } = symbolFile(debug.subject, directory);
    const symbols = join(directory, 'entrace.elf');
    const commands = join(directory, 'entrace.gdb');
    writeFileSync(symbols, elf);
    for (const [file, text] of sources) writeFileSync(file, text);
    const server = await serveGdb({ debug, symbols }, options.port ?? 0);
    writeFileSync(commands, commandFile(server.port));
    const lines = [
      `${debug.title}: ${debug.lastStop.text}`,
      `gdb -x ${commands}`,
      '  with nmi, mc, fire, latch, stacks, branches and who as commands; monitor help has all of them',
      `gdb -ex 'target remote 127.0.0.1:${server.port}'`,
      '  without; Ctrl-C ends the server',
    ];
    process.stdout.write(`${lines.join('\n')}\n`);
    await interruptible(server.close, () => server.ended);
    return EXIT.HOLDS;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
