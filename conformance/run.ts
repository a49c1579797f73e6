/** `make conformance`: random programs here, on QEMU and on Bochs; writes CONFORMANCE.md when everything was run. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import { InputError } from '../src/errors.js';
import { BOOTS, type BootRow, bootedMemory, compareBooted, kernelImage } from './booted_kernel.js';
import { bootedXen, compareXen, XEN_PROCESSORS } from './booted_xen.js';
import type { Peer } from './deviations.js';
import { runEvents } from './events.js';
import { conformanceDocument, failureLines, summaryLines } from './report.js';
import { PEERS, peerMissing, runSuite } from './suite.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Programs that differ and are printed. */
const MOST_SHOWN = 40;

interface Arguments {
  readonly programs: number;
  readonly seed: number;
  readonly peer: string;
  readonly only?: number;
  readonly events: boolean;
  readonly shrink: boolean;
}

function integer(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value > 0x7fffffff)
    throw new InvalidArgumentError('expected a number from 0 to 2147483647');
  return value;
}

function peersOf(name: string): readonly Peer[] {
  if (name === 'both') return PEERS;
  const peer = PEERS.find((one) => one === name);
  if (!peer) throw new InputError(`there is no peer '${name}'; the peers are qemu, bochs and both`);
  return [peer];
}

async function main(): Promise<number> {
  const command = new Command('conformance')
    .description('compares the machine with QEMU and Bochs, by random programs')
    .option('--programs <n>', 'programs to compare', integer, 20_000)
    .option('--seed <n>', 'where the random numbers begin', integer, 1)
    .option('--peer <name>', 'qemu, bochs or both', 'both')
    .option('--only <n>', 'run this one of the programs that the seed gives', integer)
    .option('--no-events', 'leave out the comparison of events at every boundary')
    .option('--no-shrink', 'show programs that differ as they are')
    .parse();
  const options = command.opts<Arguments>();
  const peers = peersOf(options.peer);
  for (const peer of peers) {
    const missing = peerMissing(peer);
    if (missing !== undefined) throw new InputError(`${missing}: install it, or choose another peer with --peer`);
  }
  console.log(`${options.programs} programs, seed ${options.seed}, on ${peers.join(' and ')}`);
  const begun = Date.now();
  const report = await runSuite({
    programs: options.programs,
    seed: options.seed,
    peers,
    shrink: options.shrink,
    ...(options.only === undefined ? {} : { only: options.only }),
    progress: (done, failures) =>
      console.log(`${done} programs, ${failures} differ, ${Math.round((Date.now() - begun) / 1000)} s`),
  });
  for (const failure of report.failures.slice(0, MOST_SHOWN))
    console.log(failureLines(failure, options.seed).join('\n'));
  console.log(summaryLines(report).join('\n'));
  if (options.only !== undefined || peers.length < PEERS.length || !options.events) {
    return report.failures.length === 0 ? 0 : 1;
  }
  const events = await runEvents();
  for (const row of events.rows) {
    console.log(`events, ${row.handler}: ${row.schedules} schedules, ${row.differences.length} differ`);
    for (const line of row.differences.slice(0, 5)) console.log(`  ${line}`);
  }
  const boots = await runBoots();
  writeFileSync(join(ROOT, 'CONFORMANCE.md'), conformanceDocument(report, options.seed, ROOT, events, boots));
  const differing =
    report.failures.length +
    events.rows.reduce((sum, row) => sum + row.differences.length, 0) +
    boots.reduce((sum, row) => sum + row.differences.length, 0);
  return differing === 0 ? 0 : 1;
}

/** Debian's kernel and hypervisor, booted on several processors; nothing where they have not been downloaded. */
async function runBoots(): Promise<BootRow[]> {
  const downloads = join(ROOT, 'downloads');
  const kernel = join(downloads, 'linux', 'vmlinuz');
  const xen = join(downloads, 'xen', 'xen.gz');
  if (!existsSync(kernel) || !existsSync(xen)) {
    console.log(`boots: not compared: ${downloads} is not there (scripts/downloads.sh)`);
    return [];
  }
  const rows: BootRow[] = [];
  const add = (row: BootRow): void => {
    rows.push(row);
    console.log(`boot, ${row.name}: ${row.patchedBytes} bytes patched, ${row.differences.length} places differ`);
    for (const { place, here, booted } of row.differences.slice(0, 5)) console.log(`  ${place}: ${here}, ${booted}`);
  };
  const linux = await kernelImage(kernel);
  for (const boot of BOOTS) {
    const { keys, trampolines, ...found } = compareBooted(linux, await bootedMemory(kernel, boot));
    add({ ...boot, ...found, turned: keys + trampolines });
  }
  const hypervisor = await kernelImage(join(downloads, 'xen', 'xen-syms'));
  for (const cpu of XEN_PROCESSORS) {
    const found = compareXen(hypervisor, await bootedXen(xen, cpu));
    add({ name: 'Xen', cpu, commandLine: '', ...found, turned: found.pointers });
  }
  return rows;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof InputError)) throw error;
  console.error(`conformance: ${error.message}`);
  process.exitCode = 2;
}
