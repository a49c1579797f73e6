/** What a run has found, as text: the table at its end, failures, and CONFORMANCE.md. */

import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { BootRow } from './booted_kernel.js';
import { DEVIATIONS, type Peer } from './deviations.js';
import type { EventReport } from './events.js';
import { FAMILIES } from './generate.js';
import { RULES } from './rules.js';
import { STATE_NAMES } from './state.js';
import type { Failure, PeerReport, Report } from './suite.js';

const PEER_NAMES: Readonly<Record<Peer, string>> = { qemu: 'QEMU', bochs: 'Bochs' };
const hex = (value: bigint): string => `0x${value.toString(16)}`;

/** The lines that describe a failure: the program as it ran, its start, what differs. */
export function failureLines(failure: Failure, seed: number): string[] {
  const { run, program, peer } = failure;
  const lines = [
    `${PEER_NAMES[peer]}: program ${failure.number} of seed ${seed} differs${failure.shrunk ? ', shrunk' : ''}:`,
  ];
  for (const { rip, cpl, instruction, vector } of run.trace) {
    const text = instruction ? (instruction.invalid ? '(invalid)' : instruction.iced.toString()) : '(no instruction)';
    lines.push(`  ${hex(rip)} ring ${cpl}  ${text}${vector === undefined ? '' : `  -> vector ${vector}`}`);
  }
  const { start } = program;
  lines.push(
    `  start: ${STATE_NAMES.filter((name) => start[name] !== 0n)
      .map((n) => `${n}=${hex(start[n])}`)
      .join(' ')}`,
  );
  if (failure.differences.length === 0) lines.push('  the peer stands still');
  for (const { place, here, peer: there } of failure.differences.slice(0, 12)) {
    lines.push(
      `  ${/^[0-9a-f]+$/.test(place) ? `0x${place}` : place}: here ${hex(here)}, ${PEER_NAMES[peer]} ${hex(there)}`,
    );
  }
  if (failure.differences.length > 12) lines.push(`  … ${failure.differences.length - 12} more`);
  return lines;
}

/** The table at the end of a run. */
export function summaryLines(report: Report): string[] {
  const lines: string[] = [];
  for (const [peer, one] of report.peers) {
    const differing = report.failures.filter((failure) => failure.peer === peer).length;
    const explained = one.compared - one.agreed - differing;
    lines.push(
      `${PEER_NAMES[peer]}: ${one.compared} programs compared, ${one.agreed} agree, ${explained} differ as listed, ${differing} differ`,
    );
    for (const { id, peers, what } of DEVIATIONS) {
      if (!peers.includes(peer)) continue;
      const hits = (one.deviations.get(id) ?? 0) + (one.withheld.get(id) ?? 0);
      lines.push(
        `  ${String(hits).padStart(6)}  ${id}: ${what}${hits === 0 ? '  (never seen: is it out of date?)' : ''}`,
      );
    }
  }
  for (const [why, n] of report.unfit) lines.push(`not compared, ${why}: ${n}`);
  return lines;
}

/** Names of tests by the tag that they begin with, from the sources. */
function testsByTag(root: string): Map<string, Set<string>> {
  const tests = new Map<string, Set<string>>();
  for (const directory of ['test/harness', 'test/cpu']) {
    for (const file of readdirSync(join(root, directory), { recursive: true }) as string[]) {
      if (!file.endsWith('.test.ts')) continue;
      const text = readFileSync(join(root, directory, file), 'utf8');
      for (const [, tag] of text.matchAll(/\brule\(\s*['"`]([A-G](?:-\d+'?)?): /g)) {
        const key = `${tag} ${basename(file)}`;
        const set = tests.get(tag!) ?? new Set();
        set.add(`${basename(file, '.test.ts')}`);
        tests.set(tag!, set);
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
    }
  }
  return tests;
}

const counts = new Map<string, number>();

function instructionCell(tag: string, report: PeerReport | undefined, notComparable: string | undefined): string {
  if (notComparable !== undefined) return `not comparable: ${notComparable}`;
  if (!report) return 'not run';
  const names = FAMILIES.filter((family) => family.rules.includes(tag)).map(({ name }) => name);
  if (names.length === 0) return 'no family of instructions';
  let programs = 0;
  let deviating = 0;
  let differing = 0;
  for (const name of names) {
    const family = report.families.get(name);
    programs += family?.programs ?? 0;
    deviating += family?.deviating ?? 0;
    differing += family?.differing ?? 0;
  }
  return `${programs} programs, ${differing} differ, ${deviating} as listed`;
}

function eventCell(tag: string, events: EventReport | undefined): string {
  const rows = events?.rows.filter((row) => row.rules.includes(tag)) ?? [];
  if (rows.length === 0) return '';
  const schedules = rows.reduce((sum, row) => sum + row.schedules, 0);
  const differing = rows.reduce((sum, row) => sum + row.differences.length, 0);
  return `; events: ${schedules} schedules, ${differing} differ`;
}

/** CONFORMANCE.md. `events` is the report of the events' comparison with QEMU, if it was run. */
export function conformanceDocument(
  report: Report,
  seed: number,
  root: string,
  events?: EventReport,
  boots: readonly BootRow[] = [],
): string {
  counts.clear();
  const tests = testsByTag(root);
  const lines = [
    '# Conformance',
    '',
    `Written by \`make conformance\`: ${report.programs} random programs (seed ${seed}), run here, on QEMU's TCG and on Bochs, compared in all`,
    'registers, flags, frames and memory. Families of instructions overlap: a program counts for each that it contains.',
    '',
    '| | what | tests | QEMU | Bochs | manual |',
    '|---|---|---|---|---|---|',
  ];
  for (const { tag, what, section, notComparable } of RULES) {
    const files = [...(tests.get(tag) ?? [])].sort();
    const number = files.reduce((sum, file) => sum + (counts.get(`${tag} ${file}.test.ts`) ?? 0), 0);
    const tested = number === 0 ? 'none' : `${number}: ${files.join(', ')}`;
    const fromEvents = eventCell(tag, events);
    const qemu = instructionCell(tag, report.peers.get('qemu'), notComparable);
    const bochs = instructionCell(tag, report.peers.get('bochs'), notComparable);
    lines.push(
      `| ${tag} | ${what} | ${tested} | ${fromEvents && notComparable ? fromEvents.slice(2) : qemu + fromEvents} | ${bochs} | ${section} |`,
    );
  }
  lines.push('', '## Families of instructions', '', '| family | QEMU | Bochs |', '|---|---|---|');
  const cell = (peer: Peer, name: string): string => {
    const family = report.peers.get(peer)?.families.get(name);
    return family
      ? `${family.programs} programs, ${family.differing} differ, ${family.deviating} as listed`
      : 'not run';
  };
  for (const { name } of FAMILIES) lines.push(`| ${name} | ${cell('qemu', name)} | ${cell('bochs', name)} |`);
  lines.push('', '## Where a peer does not do what the manual says', '');
  lines.push(
    'A program that differs is run again on a machine that deviates as listed, and must then agree in everything.',
    '',
  );
  lines.push('| | peer | what | programs | manual | its words |', '|---|---|---|---|---|---|');
  for (const { id, peers, what, section, words } of DEVIATIONS) {
    const seen = peers.map((peer) => {
      const one = report.peers.get(peer);
      const withheld = one?.withheld.get(id) ?? 0;
      return `${one?.deviations.get(id) ?? 0}${withheld > 0 ? ` (${withheld} not run)` : ''}`;
    });
    lines.push(
      `| ${id} | ${peers.map((peer) => PEER_NAMES[peer]).join(', ')} | ${what} | ${seen.join(', ')} | ${section} | ${words} |`,
    );
  }
  if (events) {
    lines.push('', '## Events at every boundary, compared with QEMU', '');
    lines.push('| handler | rules | schedules | boundaries | differ |', '|---|---|---|---|---|');
    for (const row of events.rows) {
      lines.push(
        `| ${row.handler}: ${row.what} | ${row.rules.join(', ')} | ${row.schedules} | ${row.boundaries} | ${row.differences.length} |`,
      );
    }
    lines.push('', '| departure | rule | manual | QEMU | schedules |', '|---|---|---|---|---|');
    for (const one of events.departures) {
      lines.push(`| ${one.name} | ${one.rule} | ${one.manual} | ${one.qemu} | ${one.schedules} |`);
    }
  }
  if (boots.length > 0) {
    lines.push('', '## Boot-time patching, compared with what has booted under QEMU', '');
    lines.push(
      "All code of Debian's kernel, and all of Xen's .text, byte by byte. Apart from it are places that the running system turns: static",
      'keys, trampolines of static calls, in Xen calls through pointers that it fills while it boots.',
    );
    lines.push('', '| what | processor | command line | bytes of code | patched | turned since | places that differ |');
    lines.push('|---|---|---|---|---|---|---|');
    for (const { name, cpu, commandLine, bytes, patchedBytes, turned, differences } of boots) {
      lines.push(
        `| ${name} | ${cpu} | ${commandLine} | ${bytes} | ${patchedBytes} | ${turned} | ${differences.length} |`,
      );
    }
  }
  return `${lines.join('\n')}\n`;
}
