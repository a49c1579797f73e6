/** The report that a person reads. */
import { dirname, isAbsolute, relative } from 'node:path';
import { styleText } from 'node:util';
import { type Bound, printBound } from '../explore/bound.js';
import type { Covered, Failure, ScheduledEvent, SearchResult } from '../explore/result.js';
import type { LineRow } from '../image/module.js';
import type { Subject } from '../platforms/subject.js';
import type { Changes } from '../profiles/profile.js';
import { hex } from '../properties/describe.js';
import { causeOf } from './cause.js';
import { plural, runs } from './names.js';
import { nmiStack } from './stack.js';
import type { Broken, Step, Trace } from './trace.js';

export type Paint = (style: 'red' | 'green' | 'yellow' | 'bold' | 'dim' | 'cyan', text: string) => string;

/** Colours for a terminal; plain text for anything else, or when NO_COLOR is set. */
export function paintFor(stream: { isTTY?: boolean }): Paint {
  const colours = stream.isTTY === true && !process.env.NO_COLOR;
  return (style, text) => (colours ? styleText(style, text, { validateStream: false }) : text);
}

/** How many instructions before the failure are shown. */
const LAST_INSTRUCTIONS = 12;

export interface Heading {
  readonly files: readonly string[];
  readonly platform: string;
  /** With its changed knobs, as a person reads it. */
  readonly profile: string;
  /** The changed knobs of the profile, if there are any. */
  readonly knobs?: Changes;
  readonly context: string;
  readonly bound: Bound;
  /** Where events may fire, for each kind that is confined; as a person reads it. */
  readonly places: readonly string[];
  /** The checked properties, if they are not all. */
  readonly properties: readonly string[] | undefined;
}

/** Verdict and figures: two or three lines. */
export function summary(heading: Heading, result: SearchResult, paint: Paint): string {
  const lines = [
    `${paint('bold', heading.files.join(' '))}: ${verdictText(result.verdict, paint)}`,
    `  for every placement of ${printBound(heading.bound)}, context ${heading.context}, platform ${heading.platform}, profile ${heading.profile}`,
    `  ${plural(result.states, 'state')}, ${plural(result.transitions, 'transition')}, ${result.seconds.toFixed(1)} s, ${
      result.stopped === undefined ? 'closed' : paint('yellow', 'not closed')
    }`,
  ];
  if (heading.places.length > 0) lines.splice(2, 0, `  ${heading.places.join('; ')}`);
  if (heading.properties) lines.push(`  checked: ${heading.properties.join(', ')} only`);
  if (result.stopped !== undefined) {
    lines.push(`  stopped: ${result.stopped}`);
    if (result.covered) lines.push(`  covered: ${covered(result.covered)}`);
  }
  return lines.join('\n');
}

function verdictText(verdict: SearchResult['verdict'], paint: Paint): string {
  if (verdict === 'holds') return paint('green', 'holds');
  return verdict === 'fails' ? paint('red', 'FAILS') : paint('yellow', 'open');
}

/** What a stopped search can still say. */
function covered(c: Covered): string {
  const whole = c.closed ? `everything up to ${printBound(c.closed)}` : 'no bound completely';
  const part =
    c.of > 0
      ? `; of ${printBound(c.bound)}, first events at ${c.first} of ${plural(c.of, 'boundary')} of the context`
      : '';
  return whole + part;
}

/** The windows of one property: its sentence and, for each kind of last event, the boundaries. */
export function windows(property: string, sentence: string, failures: readonly Failure[], paint: Paint): string {
  const lines = [`${paint('red', property)}: ${sentence}`];
  const kinds = [...new Set(failures.map((f) => f.event))];
  for (const kind of kinds) {
    const list = failures.filter((f) => f.event === kind);
    const at = runs(list.map((f) => f.boundary));
    lines.push(
      kind === 'none'
        ? '  is broken without any event'
        : `  is broken by ${kind} at ${plural(new Set(list.map((f) => f.boundary)).size, 'boundary')}: ${at}`,
    );
  }
  return lines.join('\n');
}

/** One schedule in full: what fires, where it fails and why, what led there, the stack. */
export function counterexample(trace: Trace, broken: Broken, path: readonly ScheduledEvent[], paint: Paint): string {
  const { subject } = trace.run;
  const lines: string[] = [];
  const step = trace.steps[broken.step];
  lines.push('  schedule');
  if (path.length === 0) lines.push('    no event at all');
  const fired = trace.steps.filter((s) => s.fired !== undefined);
  const eventWidth = Math.max(4, ...path.map((e) => e.event.length));
  path.forEach((e, i) => {
    const hit = e.hit > 1 ? ` (time ${e.hit})` : '';
    const processor = fired[i]?.processor;
    const on = processor === undefined ? '' : ` on CPU ${processor}`;
    lines.push(
      `    ${i + 1}. ${e.event.padEnd(eventWidth)} at ${paint('bold', e.boundary)}${hit}${on}${suffix(place(subject, e.address))}`,
    );
  });
  if (step) {
    lines.push(
      `  fails at ${paint('bold', subject.image.name(step.address))} in ${step.owner}${suffix(place(subject, step.address))}`,
    );
  }
  lines.push(`    ${broken.explanation}`);
  if (broken.differences.length > 0) {
    const width = Math.max(...broken.differences.map((d) => d.what.length), 8);
    lines.push(`    ${'register'.padEnd(width)}  ${'expected'.padEnd(18)}  found`);
    for (const d of broken.differences) {
      lines.push(`    ${d.what.padEnd(width)}  ${hex(d.expected).padEnd(18)}  ${paint('red', hex(d.found))}`);
    }
  }
  const cause = causeOf(trace, broken);
  if (cause) {
    const { step: by } = cause;
    const where = `${paint('bold', subject.image.name(by.address))}`;
    const who = by.delivered ? `the delivery of ${by.delivered} at ${where}` : `${where} in ${by.owner}`;
    lines.push(`  caused by ${who}${suffix(place(subject, by.address))}, which ${cause.what}`);
    if (by.line && !by.delivered) lines.push(`    ${oneLine(by.line.text)}`);
  }
  lines.push('  last instructions');
  lines.push(...lastInstructions(trace, broken.step, paint).map((line) => `    ${line}`));
  const stack = nmiStack(trace, broken.step);
  if (stack.some((w) => w.writer)) {
    lines.push(`  NMI stack before ${step ? subject.image.name(step.address) : 'the start'}`);
    const lowest = stack.findLastIndex((w) => w.writer);
    let slot = '';
    for (const w of stack.slice(0, lowest + 1)) {
      const name = w.slot === slot ? '' : w.slot;
      slot = w.slot;
      const marked = cause?.step.writes.some((write) => write.address === w.address);
      const writer = w.writer
        ? `${w.writer.owner}${w.writer.delivery ? ' delivered at' : ''} ${w.writer.boundary}`
        : '';
      const line =
        `    top-${String(w.below).padEnd(4)} ${name.padEnd(20)} ${w.word.padEnd(9)} ${w.text.padEnd(46)} ${writer}`.trimEnd();
      lines.push(marked ? paint('red', `${line}  <-`) : line);
    }
  }
  return lines.join('\n');
}

function lastInstructions(trace: Trace, at: number, paint: Paint): string[] {
  const { image } = trace.run.subject;
  const steps = trace.steps.slice(Math.max(0, at - LAST_INSTRUCTIONS + 1), at + 1);
  const width = Math.max(...steps.map((s) => image.name(s.address).length), 0);
  const ownerWidth = Math.max(8, ...steps.map((s) => s.owner.length));
  return steps.map((s) => {
    const name = image.name(s.address).padEnd(width);
    const text = s.vmx === undefined ? describe(s) : `${describe(s)} -- ${s.vmx}`;
    const line = `${s.owner.padEnd(ownerWidth)} ${name}  ${text.padEnd(36)}${lineOf(s.line)}`.trimEnd();
    return s.index === at ? paint('bold', line) : line;
  });
}

/** What a transition was, in a few words. */
export function describe(step: Step): string {
  if (step.delivered !== undefined && step.fired === undefined && !step.line)
    return `-- ${step.delivered} is delivered --`;
  if (step.fired !== undefined && step.switchedTo !== undefined) return `-- switch to CPU ${step.switchedTo} --`;
  if (step.fired !== undefined) {
    return step.delivered ? `-- ${step.fired} fired: ${step.delivered} --` : `-- ${step.fired} fired: pending --`;
  }
  const text = step.line ? oneLine(step.line.text) : '';
  return step.delivered ? `${text} -- raises ${step.delivered}` : text;
}

function oneLine(text: string): string {
  return text.trim().replace(/\s+/g, ' ');
}

function lineOf(row: LineRow | undefined): string {
  // Line 0: of an object without line numbers.
  return row && row.position.line > 0 ? `  ${shortPath(row.position.file)}:${row.position.line}` : '';
}

function place(subject: Subject, address: bigint): string {
  return lineOf(subject.image.locate(address)?.line).trim();
}

function suffix(text: string): string {
  return text ? ` (${text})` : '';
}

/** Where paths have been saved, and what can be done with them. */
export function savedNote(files: readonly string[]): string {
  const first = shortPath(files[0]!);
  return `${plural(files.length, 'path')} saved in ${shortPath(dirname(files[0]!))}; entrace replay ${first} runs the first, and entrace debug steps through it`;
}

/** A path relative to the working directory when it lies below it. */
export function shortPath(path: string): string {
  if (!isAbsolute(path)) return path;
  const short = relative(process.cwd(), path);
  return short.startsWith('..') ? path : short;
}
