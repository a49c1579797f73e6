/** Serves a debugger to gdb, with the files that gdb is to read. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Debugger } from '../debugger.js';
import { commandFile } from './command_file.js';
import { type GdbServer, serveGdb } from './server.js';
import { symbolFile } from './symbol_file.js';

export interface StartedGdbServer extends GdbServer {
  /** For `gdb -x`. */
  readonly commands: string;
  /** Labels and lines of the image, an ELF. */
  readonly symbols: string;
}

/** `port` 0: a free one. The files lie in a directory of their own, which is removed when `ended` settles. */
export async function startGdbServer(debug: Debugger, port: number): Promise<StartedGdbServer> {
  const directory = mkdtempSync(join(tmpdir(), 'entrace-gdb-'));
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  try {
    const { elf, sources } = symbolFile(debug.subject, directory);
    const symbols = join(directory, 'entrace.elf');
    const commands = join(directory, 'entrace.gdb');
    writeFileSync(symbols, elf);
    for (const [file, text] of sources) writeFileSync(file, text);
    const server = await serveGdb({ debug, symbols }, port);
    writeFileSync(commands, commandFile(server.port));
    return { ...server, commands, symbols, ended: server.ended.finally(remove) };
  } catch (error) {
    remove();
    throw error;
  }
}
