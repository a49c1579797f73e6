#!/usr/bin/env node
/** The command `entrace`: one file for each subcommand, loaded when it is called. */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { InputError } from '../errors.js';
import { printable } from '../printable.js';
import { EXIT } from './exit.js';

function collect(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value];
}

function positive(value: string): number {
  const n = Number(value.replace(/_/g, ''));
  if (!Number.isSafeInteger(n) || n < 1) throw new InvalidArgumentError('expected a whole number above 0.');
  return n;
}

function port(value: string): number {
  const n = Number(value);
  if (!Number.isInteger(n) || n < 0 || n > 65535) throw new InvalidArgumentError('expected a port number, 0 to 65535.');
  return n;
}

/** Reads `NAME` or `NAME=VALUE` as -D does. */
function define(value: string, previous: Readonly<Record<string, string>> = {}): Record<string, string> {
  const match = /^([A-Za-z_]\w*)(?:=(.*))?$/s.exec(value);
  if (!match) throw new InvalidArgumentError('expected NAME or NAME=VALUE.');
  return { ...previous, [match[1]!]: match[2] ?? '1' };
}

/** The options of SourceOptions: how assembly files are read. */
function sourceOptions(command: Command, what = ''): Command {
  return command
    .option('-D, --define <name=value>', `${what}define a preprocessor macro`, define)
    .option('-I, --include-dir <dir>', `${what}look for included files here too`, collect)
    .option('--include <file>', `${what}read this file first, as -include does for gcc`, collect)
    .addOption(
      new Option('--assembler <name>', `${what}what assembles: keystone, or gnu (the gcc of this machine)`)
        .choices(['keystone', 'gnu'])
        .default('keystone'),
    );
}

/** The options of CodeOptions: how real code is run. */
function codeOptions(command: Command, what = ''): Command {
  return command
    .option(
      '--features <list>',
      `${what}features of the processor that real code is patched for (pti,fsgsbase,smap; none)`,
    )
    .option('--stub <name[=file]>', `${what}a stand-in for this function: the usual one, or that of the file`, collect)
    .option('--through <name>', `${what}run this C function of an executable itself, with all that it calls`, collect);
}

const program = new Command('entrace')
  .description(
    'Runs x86-64 entry code on an emulated CPU, fires NMIs and exceptions at every instruction boundary, and finds the schedule that breaks it.',
  )
  .version('0.1.0')
  .exitOverride()
  .showHelpAfterError('(entrace --help shows what there is)')
  .addHelpText(
    'after',
    '\nExit status: 0 holds, 1 a property failed, 2 bad input or usage, 3 the search was not closed, 70 an error in entrace.',
  );

codeOptions(sourceOptions(program.command('explore')))
  .description('fire events at every boundary, nested up to a bound, and check every property in every state')
  .argument(
    '<image...>',
    'assembly files (.S), objects, or a kernel (vmlinux, bzImage, xen-syms): together the code under test',
  )
  .option('--platform <name>', 'conventions of the system software: linux, or xen', 'linux')
  .option(
    '--profile <list>',
    'rules of the silicon: intel, amd, fred, or a .yaml file; several, separated by commas, are compared',
    'intel',
  )
  .option('--knob <name=value>', 'change one rule of each profile (entrace profiles lists them)', collect)
  .option(
    '--context <name>',
    'what is interrupted: kernel, user, user-rsp, syscall-gap, or a .S file of your own',
    'kernel',
  )
  .option('--events <bound>', 'how many events of each kind', 'nmi=2,bp=1')
  .option(
    '--at <kind=range>',
    'where a kind may fire: LABEL..LABEL, LABEL+n, or before an access: write:SYMBOL, read:SYMBOL (bp: the body, by default)',
    collect,
  )
  .option('--property <list>', 'check only these properties, separated by commas')
  .option('--save <dir>', 'write each minimal failing schedule to a file for replay')
  .option('--json <file>', 'write the result as JSON (- for standard output)')
  .option('--workers <n>', 'search in n threads', positive, 1)
  .option('--max-states <n>', 'stop after n states', positive)
  .option('--max-memory <MiB>', 'stop when the visited set of a thread needs more', positive, 4096)
  .addOption(new Option('--exact', 'keep dead memory words in the states (slow; checks the reduction)'))
  .action(async (image: string[], options) => {
    const { explore } = await import('./explore.js');
    process.exitCode = await explore(image, options);
  });

program
  .command('test')
  .description('run scenarios, each in its bound, and compare what comes out with what must')
  .argument('[path...]', 'scenario files (.yaml) and folders that hold some (scenarios, by default)')
  .option('--filter <text>', 'only cases whose name, title or race contains this text')
  .option('--short', 'leave out what is marked as long')
  .option('--shard <i/n>', 'only the i-th of n parts of the suite')
  .option(
    '--reporter <name[=file]>',
    'text, ktap, junit, json or catalogue; to a file if one is named (repeatable)',
    collect,
  )
  .option('--cache [dir]', 'keep results, and explore again only what has changed (.entrace/cache, by default)')
  .option('--save <dir>', 'where the paths of unexpected failures go', join('.entrace', 'paths'))
  .option('--workers <n>', 'run in n processes', positive, availableParallelism())
  .option('--timeout <seconds>', 'stop a scenario that gives no sign of life for so long', positive, 300)
  .action(async (paths: string[], options) => {
    const { test } = await import('./test.js');
    process.exitCode = await test(paths, { ...options, reporter: options.reporter ?? ['text'] });
  });

/** The options of SearchOptions; `what` they are for. */
function searchOptions(command: Command, what: string): Command {
  return codeOptions(sourceOptions(command, `${what}: `), `${what}: `)
    .option('--platform <name>', `${what}: as for explore`, 'linux')
    .option('--profile <list>', `${what}: as for explore`, 'intel')
    .option('--knob <name=value>', `${what}: as for explore`, collect)
    .option('--context <list>', `${what}: contexts, separated by commas`, 'kernel')
    .option('--events <bound>', `${what}: as for explore`, 'nmi=2,bp=1')
    .option('--at <kind=range>', `${what}: as for explore`, collect)
    .option('--property <list>', `${what}: as for explore`);
}

searchOptions(program.command('ablate'), 'for assembly files')
  .description('alter one instruction, constant or order at a time, and print which alterations a search notices')
  .argument('<image|scenario...>', 'assembly files that hold, or scenarios (.yaml) of one image')
  .option('--only <range>', 'alter only LABEL..LABEL or LABEL+n (repeatable)', collect)
  .option('--mutant <name>', "only this alteration, as it is printed: 'remove nmi+3' (repeatable)", collect)
  .option('--known <file>', 'a .yaml file with survivors: and why each survives; any other one is an error')
  .option('--markdown <file>', 'write the result as a page')
  .option('--verbose', 'print what is caught too')
  .option('--cache [dir]', 'keep results, and explore again only what has changed (.entrace/cache, by default)')
  .option('--workers <n>', 'run in n processes', positive, availableParallelism())
  .option('--timeout <seconds>', 'stop a search that gives no sign of life for so long', positive, 300)
  .action(async (files: string[], options) => {
    const { ablate } = await import('./ablate.js');
    process.exitCode = await ablate(files, options);
  });

searchOptions(program.command('diff'), 'for assembly files')
  .description('explore two versions of the same code, and print what the new one mends and breaks')
  .argument(
    '<old>',
    'assembly files, separated by commas, or a result: of explore --json, or test --reporter json=FILE',
  )
  .argument('<new>', 'the same')
  .option('--json', 'print one JSON object')
  .option('--workers <n>', 'run in n processes', positive, availableParallelism())
  .option('--timeout <seconds>', 'stop a search that gives no sign of life for so long', positive, 300)
  .action(async (before: string, after: string, options) => {
    const { diff } = await import('./diff.js');
    process.exitCode = await diff(before, after, options);
  });

program
  .command('schema')
  .description('print the JSON schema of scenario files')
  .action(async () => {
    const { schema } = await import('./schema.js');
    process.exitCode = schema();
  });

program
  .command('replay')
  .description('run one saved schedule strictly, and report what it breaks')
  .argument('<path>', 'a file that explore --save wrote')
  .option('--trace', 'print every instruction of the path')
  .action(async (path: string, options) => {
    const { replay } = await import('./replay.js');
    process.exitCode = await replay(path, options);
  });

program
  .command('profiles')
  .description('print the rules of the silicon, side by side, and where they are documented')
  .argument('[list]', 'profiles, separated by commas: names or .yaml files (all that come with entrace, by default)')
  .option('--json', 'print them as one JSON object')
  .action(async (list: string | undefined, options) => {
    const { profiles } = await import('./profiles.js');
    process.exitCode = profiles(list, options);
  });

/** The options of DebugOptions: what is debugged. */
function debugOptions(command: Command): Command {
  return codeOptions(sourceOptions(command))
    .argument(
      '<target...>',
      'assembly files (.S), objects or a kernel; or a scenario (.yaml), or a path file (.json): these begin at their failure',
    )
    .option('--platform <name>', 'conventions of the system software: linux, or xen', 'linux')
    .option('--profile <name>', 'rules of the silicon: intel, amd, fred, or a .yaml file', 'intel')
    .option('--knob <name=value>', 'change one rule of the profile', collect)
    .option('--context <name>', 'what is interrupted, as for explore', 'kernel')
    .option('--case <name>', 'of a scenario with several contexts or profiles: the one to open');
}

/** The flags that say what an image is run with, and that were given: a scenario or a path file says it itself. */
function given(command: Command): string[] {
  const own = new Set(['--case', '--batch', '--commands', '--port']);
  return command.options
    .filter((option) => command.getOptionValueSource(option.attributeName()) === 'cli' && !own.has(option.long!))
    .map((option) => option.long!);
}

debugOptions(program.command('debug'))
  .description('step through entry code, forwards and backwards, and fire events by hand')
  .option('--batch', 'read commands from a file or a pipe instead of drawing the screen')
  .option('-x, --commands <file>', 'run the commands in this file first (repeatable)', collect)
  .action(async (target: string[], options, command: Command) => {
    const { debug } = await import('./debug.js');
    process.exitCode = await debug(target, { ...options, given: given(command) });
  });

debugOptions(program.command('gdb'))
  .description('serve the debugger to gdb, on 127.0.0.1: target remote, with reverse execution')
  .option('--port <n>', 'the port to listen on (a free one, by default)', port)
  .action(async (target: string[], options, command: Command) => {
    const { gdb } = await import('./gdb.js');
    process.exitCode = await gdb(target, { ...options, given: given(command) });
  });

program
  .command('serve')
  .description('serve the page: editor, search, map of boundaries and events, debugger; on 127.0.0.1')
  .argument('[file]', 'the assembly file that the editor begins with')
  .option('--port <n>', 'the port to listen on (a free one, by default)', port)
  .action(async (file: string | undefined, options) => {
    const { serve } = await import('./serve.js');
    process.exitCode = await serve(file, options);
  });

program
  .command('dap')
  .description('speak the Debug Adapter Protocol on standard input and output, for VS Code and others')
  .action(async () => {
    const { dap } = await import('./dap.js');
    process.exitCode = await dap();
  });

sourceOptions(program.command('asm'))
  .description('assemble a file as explore does, or look into an object or a kernel')
  .argument('<file>', 'an assembly file (.S); for a listing also an object, an executable or a shipped kernel')
  .option('-o, --output <file>', 'write an ELF64 relocatable object')
  .option('--list', 'print the listing: offsets, bytes, instructions, source lines')
  .option(
    '--features <list>',
    'list the code as patched at boot on a processor with these features (pti,fsgsbase,smap; default; none)',
  )
  .option('--only <range>', 'list only a function, LABEL..LABEL or LABEL+n (repeatable)', collect)
  .action(async (file: string, options) => {
    const { asm } = await import('./asm.js');
    process.exitCode = await asm(file, options);
  });

// Whoever reads the output may have gone (| head). The exit status still tells the verdict.
process.stderr.on('error', () => undefined);
process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
  if (code === 'EPIPE') return;
  process.stderr.write(`entrace: standard output: cannot be written (${code})\n`);
  process.exit(EXIT.USAGE);
});

try {
  // gcc's spelling of --include.
  await program.parseAsync(process.argv.map((argument) => (argument === '-include' ? '--include' : argument)));
} catch (error) {
  if (error instanceof CommanderError) {
    // Help and version end with 0; every misuse with 2.
    process.exitCode = error.exitCode === 0 ? 0 : EXIT.USAGE;
  } else if (error instanceof InputError) {
    const lines = [`entrace: ${error.message}`, ...error.notes.map((note) => `  ${note}`)];
    process.stderr.write(`${lines.map(printable).join('\n')}\n`);
    process.exitCode = EXIT.USAGE;
  } else {
    const { message, stack } = error instanceof Error ? error : new Error(String(error));
    process.stderr.write(`entrace: an error in entrace itself, not in the code under test: ${message}\n`);
    process.stderr.write(process.env.ENTRACE_DEBUG ? `${stack}\n` : '  ENTRACE_DEBUG=1 shows where\n');
    process.exitCode = EXIT.BUG;
  }
}
