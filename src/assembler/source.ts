/** Source lines with their origin (file, include stack, macro stack), and the error that names all of it. */
import { InputError } from '../errors.js';
import type { SourcePosition } from '../image/module.js';

/** One file being read, and the `#include` that asked for it. */
export interface FileFrame {
  /** What it is called in messages: in a preprocessor's output, what its line markers say. */
  readonly file: string;
  /** The file that is really read. */
  readonly path: string;
  /** Undefined for the file that was given to the assembler. */
  readonly includedFrom: { readonly frame: FileFrame; readonly line: number } | undefined;
  readonly depth: number;
}

/** One running expansion of `.macro`, `.rept`, `.irp` or `.irpc`. */
export interface Expansion {
  /** What is being expanded, as it is to be printed: a macro's name, or `.rept`. */
  readonly name: string;
  /** The line that asked for the expansion. */
  readonly from: SourceLine;
  readonly depth: number;
}

/** One logical line: comments removed, continuation lines joined, C macros replaced. */
export interface SourceLine {
  readonly text: string;
  readonly frame: FileFrame;
  readonly line: number;
  /** `columns[i]` is the source column (from 1) of `text[i]`; undefined when that is simply i + 1. */
  readonly columns: readonly number[] | undefined;
  /** Innermost expansion that produced the line. */
  readonly expansion: Expansion | undefined;
}

/** A place inside a line: `offset` counts characters of `line.text`. */
export interface Place {
  readonly line: SourceLine;
  readonly offset: number;
}

export function positionOf(place: Place): SourcePosition {
  const { line, offset } = place;
  const column = line.columns ? (line.columns[Math.min(offset, line.columns.length - 1)] ?? 1) : offset + 1;
  return { file: line.frame.file, line: line.line, column };
}

/** The lines that invoked the running macros, outermost first. */
export function expansionStack(line: SourceLine): SourcePosition[] {
  const stack: SourcePosition[] = [];
  for (let expansion = line.expansion; expansion; expansion = expansion.from.expansion)
    stack.unshift({ file: expansion.from.frame.file, line: expansion.from.line });
  return stack;
}

function stackNotes(line: SourceLine): string[] {
  const notes: string[] = [];
  let shown = 0;
  for (let expansion = line.expansion; expansion; expansion = expansion.from.expansion) {
    // A runaway recursion would otherwise print hundreds of equal lines.
    if (++shown > 12) {
      notes.push(`… ${expansion.depth} more expansions`);
      break;
    }
    const kind = expansion.name.startsWith('.') ? '' : 'macro ';
    notes.push(`in expansion of ${kind}${expansion.name} at ${expansion.from.frame.file}:${expansion.from.line}`);
  }
  for (let frame = line.frame; frame.includedFrom; frame = frame.includedFrom.frame) {
    if (notes.length > 24) break;
    notes.push(`included from ${frame.includedFrom.frame.file}:${frame.includedFrom.line}`);
  }
  return notes;
}

/** Source text that cannot be assembled. Message: `file:line:column: what; expected …`; notes: macro and include stack. */
export class AssemblyError extends InputError {
  override readonly name: string = 'AssemblyError';
  constructor(
    readonly position: SourcePosition,
    what: string,
    expected?: string,
    notes: readonly string[] = [],
  ) {
    const where = `${position.file}:${position.line}${position.column === undefined ? '' : `:${position.column}`}`;
    super(`${where}: ${what}${expected === undefined ? '' : `; expected ${expected}`}`, notes);
  }
}

/** An error at a place, with the macro and include stack of that place. */
export function errorAt(place: Place, what: string, expected?: string): AssemblyError {
  return new AssemblyError(positionOf(place), what, expected, stackNotes(place.line));
}
