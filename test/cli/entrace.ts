/** Runs the command as a process of its own, in a directory of its own. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ASM_DIRECTORY } from '../../src/platforms/subject.js';

export const MAIN = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
export const directory = mkdtempSync(join(tmpdir(), 'entrace-cli-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));

export const asm = (name: string): string => join(ASM_DIRECTORY, name);

/** A file in the directory; its name. */
export function file(name: string, content: string | Uint8Array): string {
  writeFileSync(join(directory, name), content);
  return name;
}

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Ways {
  readonly env?: Readonly<Record<string, string>>;
  /** What standard input has; nothing, without it. */
  readonly input?: string;
  /** Called with the process once it runs. */
  readonly started?: (child: ReturnType<typeof spawn>) => void;
}

export function entrace(args: readonly string[], ways: Ways = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, NODE_OPTIONS: '', ...ways.env };
    const child = spawn(process.execPath, [MAIN, ...args], { cwd: directory, env });
    let stdout = '';
    let stderr = '';
    child.stdin.end(ways.input ?? '');
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.on('error', reject);
    child.on('close', (status) => resolve({ status, stdout, stderr }));
    ways.started?.(child);
  });
}

/** Runs `job` for each item, two at a time. */
export async function each<T>(items: readonly T[], job: (item: T) => Promise<void>): Promise<void> {
  const left = items[Symbol.iterator]();
  const work = async (): Promise<void> => {
    for (const item of left) await job(item);
  };
  await Promise.all([work(), work()]);
}
