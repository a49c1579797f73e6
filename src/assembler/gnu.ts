/**
 * `--assembler gnu`: the machine's own compiler instead of Keystone. It preprocesses and assembles the file (`gcc -c`), and the
 * object is read as any other.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { moduleFromElf } from '../elf/module.js';
import { readElf } from '../elf/reader.js';
import { InputError } from '../errors.js';
import type { Module } from '../image/module.js';
import type { AssembleOptions } from './index.js';

/** Bytes of messages that are read, and lines of them that are shown. */
const MESSAGES = 1 << 20;
const SHOWN = 12;

/** Assembles a file with `gcc -c`. Throws InputError with gcc's own messages. */
export function assembleWithGnu(file: string, options: AssembleOptions): Module {
  if (!existsSync(file)) throw new InputError(`${file}: no such file`);
  const assembler = gnuVersion();
  const directory = mkdtempSync(join(tmpdir(), 'entrace-as-'));
  try {
    const object = join(directory, 'object.o');
    const result = spawnSync('gcc', [...argumentsFor(file, options), '-o', object], {
      encoding: 'utf8',
      maxBuffer: MESSAGES,
      env: { ...process.env, LC_ALL: 'C' },
    });
    if (result.status !== 0) throw refusal(file, result.stderr, result.error);
    const module = moduleFromElf(readElf(readFileSync(object), file));
    return { ...module, assembler };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function argumentsFor(file: string, options: AssembleOptions): string[] {
  const { defines = {}, includePaths = [], forcedIncludes = [] } = options;
  // gcc knows assembly that is to be preprocessed by its name; -g: source lines for the line map.
  const language = /\.(S|s|sx)$/.test(file) ? [] : ['-x', 'assembler-with-cpp'];
  return [
    ...['-c', '-m64', '-fno-pie', '-g'],
    ...Object.entries(defines).map(([name, value]) => `-D${name}=${value}`),
    ...includePaths.flatMap((path) => ['-I', path]),
    ...forcedIncludes.flatMap((path) => ['-include', path]),
    ...language,
    // A name that begins with a dash is no option.
    file.startsWith('-') ? `./${file}` : file,
  ];
}

/** What GNU as calls itself; an InputError if there is no compiler for x86-64 here. */
export function gnuVersion(): string {
  const ask = (program: string, argument: string): string | undefined => {
    const { status, stdout } = spawnSync(program, [argument], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C' },
    });
    return status === 0 ? stdout.split('\n')[0]!.trim() : undefined;
  };
  const machine = ask('gcc', '-dumpmachine');
  if (machine === undefined)
    throw new InputError(
      '--assembler gnu: there is no gcc on the PATH; install gcc and binutils, or leave the option out',
    );
  if (!machine.startsWith('x86_64'))
    throw new InputError(
      `--assembler gnu: gcc is for ${machine}, not for x86_64; put one for x86_64 first on the PATH`,
    );
  return ask('as', '--version') ?? 'gcc';
}

/** gcc's messages: the first that is an error, and what else it says. */
function refusal(file: string, messages: string, failure: Error | undefined): InputError {
  const lines = messages.split('\n').filter((line) => /^\S+:\d+(:\d+)?: .*(error|Error): /.test(line));
  const [first, ...others] = lines;
  if (first === undefined) {
    const said = messages.split('\n').find((line) => line.trim() !== '') ?? failure?.message ?? 'it says nothing';
    return new InputError(`${file}: gcc refuses it: ${said}`);
  }
  const more = others.length > SHOWN ? [`… ${others.length - SHOWN} more errors`] : [];
  return new InputError(first.replace(/: (fatal )?[eE]rror: /, ': '), [
    ...others.slice(0, SHOWN),
    ...more,
    'said by gcc',
  ]);
}
