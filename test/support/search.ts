/**
 * Searches in tests: an image from files of asm/, from text, or from a file of asm/ with a piece of it changed; the
 * result as a table of windows that can be written down and compared.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, isAbsolute, join } from 'node:path';
import { Assembler } from '../../src/assembler/index.js';
import { type Bound, parseBound, parsePlaces } from '../../src/explore/bound.js';
import { search } from '../../src/explore/explorer.js';
import type { Failure, SearchOptions, SearchResult } from '../../src/explore/result.js';
import type { Machine } from '../../src/harness/machine.js';
import { machineFor } from '../../src/platforms/boot.js';
import { platformNamed } from '../../src/platforms/index.js';
import { ASM_DIRECTORY, buildSubject, type Subject } from '../../src/platforms/subject.js';
import { type Changes, chooseProfile, profileNamed } from '../../src/profiles/profile.js';
import { selectProperties } from '../../src/properties/index.js';
import { runs } from '../../src/report/names.js';
import { traceOf } from '../../src/report/path.js';
import type { Trace } from '../../src/report/trace.js';

/** The contexts that come with the platform. */
export const CONTEXTS = ['kernel', 'user', 'user-rsp', 'syscall-gap'] as const;

const assembler = await Assembler.create();
export const directory = mkdtempSync(join(tmpdir(), 'entrace-search-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
let files = 0;

/** The path of a file of asm/. */
export function asm(name: string): string {
  return isAbsolute(name) ? name : join(ASM_DIRECTORY, name);
}

/** A file with this text. */
export function source(text: string, name = 'handler.S'): string {
  const file = join(directory, `${files++}-${name}`);
  writeFileSync(file, text);
  return file;
}

/** A copy of a file of asm/ in which each `[old, new]` has been replaced; each old text must occur exactly once. */
export function mutant(name: string, ...changes: readonly (readonly [string, string])[]): string {
  let text = readFileSync(asm(name), 'utf8');
  for (const [from, to] of changes) {
    const parts = text.split(from);
    if (parts.length !== 2) throw new Error(`${name}: ${JSON.stringify(from)} occurs ${parts.length - 1} times`);
    text = parts.join(to);
  }
  return source(text, basename(name));
}

export interface Setting {
  /** A name of asm/contexts, or a file. */
  readonly context?: string;
  readonly platform?: string;
  readonly events?: string;
  readonly at?: readonly string[];
  readonly property?: string;
  readonly profile?: string;
  /** What differs from that profile. */
  readonly knobs?: Changes;
  readonly defines?: Readonly<Record<string, string>>;
  readonly exact?: boolean;
  readonly maxStates?: number;
  readonly maxMemory?: number;
  readonly shouldStop?: () => string | undefined;
  readonly onProgress?: SearchOptions['onProgress'];
  readonly part?: SearchOptions['part'];
  readonly wantSchedules?: boolean;
  /** What to break in the machine before the search. */
  readonly broken?: (machine: Machine) => void;
}

/** property → kind of the last event → boundaries, sorted by address, runs drawn together. */
export type Windows = Readonly<Record<string, Readonly<Record<string, string>>>>;

export interface Explored {
  readonly subject: Subject;
  readonly result: SearchResult;
  readonly windows: Windows;
}

/** The image of the files (names of asm/, or paths) in a context. */
export function subjectOf(images: string | readonly string[], setting: Setting = {}): Subject {
  return buildSubject(assembler, {
    files: [images].flat().map(asm),
    platform: platformNamed(setting.platform ?? 'linux'),
    context: setting.context ?? 'kernel',
    ...(setting.defines ? { defines: setting.defines } : {}),
  });
}

/** Searches exhaustively, in this thread; platform `linux`, context `kernel` and nmi=2,bp=1 unless the setting says otherwise. */
export function explore(images: string | readonly string[], setting: Setting = {}): Explored {
  const subject = subjectOf(images, setting);
  const machine = machineFor(subject, chooseProfile(setting.profile ?? 'intel', setting.knobs).profile);
  setting.broken?.(machine);
  const { exact, maxStates, maxMemory, shouldStop, onProgress, part, wantSchedules } = setting;
  const result = search(machine, subject, selectProperties(setting.property), {
    bound: boundOf(setting),
    places: parsePlaces(setting.at ?? [], subject.image, subject.platform, boundOf(setting)),
    ...(exact === undefined ? {} : { exact }),
    ...(maxStates === undefined ? {} : { maxStates }),
    ...(maxMemory === undefined ? {} : { maxMemory }),
    ...(shouldStop === undefined ? {} : { shouldStop }),
    ...(onProgress === undefined ? {} : { onProgress }),
    ...(part === undefined ? {} : { part }),
    ...(wantSchedules === undefined ? {} : { wantSchedules }),
  });
  return { subject, result, windows: windowsOf(result.failures) };
}

export function boundOf(setting: Setting): Bound {
  return parseBound(setting.events ?? 'nmi=2,bp=1');
}

/** Verdict and windows: what a test compares. A search that was stopped says so. */
export function verdict(images: string | readonly string[], setting: Setting = {}): object {
  const { result, windows } = explore(images, setting);
  return { verdict: result.verdict, ...(result.stopped === undefined ? {} : { stopped: result.stopped }), ...windows };
}

export function windowsOf(failures: readonly Failure[]): Windows {
  const table: Record<string, Record<string, string[]>> = {};
  for (const failure of failures) {
    table[failure.property] ??= {};
    const row = table[failure.property]!;
    row[failure.event] ??= [];
    row[failure.event]!.push(failure.boundary);
  }
  return Object.fromEntries(
    Object.entries(table).map(([property, row]) => [
      property,
      Object.fromEntries(Object.entries(row).map(([event, boundaries]) => [event, runs(boundaries)])),
    ]),
  );
}

/** All failures as single lines, for comparing two searches: what breaks, where, and by what schedule. */
export function failureLines(result: SearchResult): string[] {
  return result.failures.map((f) => `${f.property} ${f.event} ${f.boundary}: ${schedule(f.path)}`).sort();
}

export function schedule(path: Failure['path']): string {
  return path.map((e) => `${e.event}@${e.boundary}${e.hit > 1 ? `#${e.hit}` : ''}`).join(' ');
}

/** The strict run of a failure's schedule; `events` of it, all by default. */
export function runOf(explored: Explored, failure: Failure, events = failure.path.length, profile = 'intel'): Trace {
  return traceOf(explored.subject, profileNamed(profile), failure.path.slice(0, events));
}

const SAVED = ['rdi', 'rsi', 'rdx', 'rcx', 'rax', 'r8', 'r9', 'r10', 'r11', 'rbx', 'rbp', 'r12', 'r13', 'r14', 'r15'];

/** Places in the text of `plainHandler` where a test puts instructions in. */
export interface Pieces {
  /** Before the body is called, with all registers saved; `cld` unless given. */
  readonly before?: string;
  /** After the body. */
  readonly after?: string;
  /** With all registers restored and RSP at the hardware frame; `iretq` unless given. */
  readonly exit?: string;
  /** Behind everything. */
  readonly more?: string;
}

/** An NMI handler for code that runs with the kernel's GS: saves all registers, calls do_nmi, restores them, returns. */
export function plainHandler(pieces: Pieces = {}): string {
  return source(`	.text
	.globl	nmi
nmi:
	pushq	$-1
${SAVED.map((r) => `	pushq	%${r}\n`).join('')}
	${pieces.before ?? 'cld'}
	movq	%rsp, %rdi
	xorl	%esi, %esi
	call	do_nmi
	${pieces.after ?? ''}
nmi_restore:
${SAVED.toReversed()
  .map((r) => `	popq	%${r}\n`)
  .join('')}	addq	$8, %rsp
	${pieces.exit ?? 'iretq'}
	${pieces.more ?? ''}
`);
}
