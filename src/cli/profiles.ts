/** entrace profiles: what differs between processors, side by side, with where that is documented. */
import { KNOB_NAMES, KNOBS, type KnobName } from '../profiles/knobs.js';
import { BUILT_IN, type ProfileDocument, profileDocument } from '../profiles/profile_file.js';
import { type Paint, paintFor } from '../report/text.js';
import { EXIT } from './exit.js';

export interface ProfilesOptions {
  readonly json?: boolean;
}

/** Text is broken into lines of this length where the width of the terminal is not known, and at most there. */
const WIDTH = 80;
const WIDEST = 110;
const NARROWEST = 40;

export function profiles(list: string | undefined, options: ProfilesOptions): number {
  const names = list?.split(',').map((name) => name.trim()) ?? BUILT_IN;
  const documents = [...new Set(names)].map(profileDocument);
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ profiles: documents.map(toJson) }, null, 2)}\n`);
  } else {
    const width = Math.min(WIDEST, Math.max(NARROWEST, process.stdout.columns ?? WIDTH));
    process.stdout.write(`${page(documents, paintFor(process.stdout), width)}\n`);
  }
  return EXIT.HOLDS;
}

function toJson({ name, title, extends: base, settings }: ProfileDocument): object {
  return { name, title, ...(base === undefined ? {} : { extends: base }), knobs: settings };
}

/** Titles; for several profiles a table of the values; then each knob with its sources. */
function page(documents: readonly ProfileDocument[], paint: Paint, width: number): string {
  const longest = Math.max(...documents.map((d) => d.name.length));
  const titles = documents.map(({ name, title, extends: base }) => {
    const text = base === undefined ? title : `${title} (extends ${base})`;
    return hanging(`${paint('bold', name)}${' '.repeat(longest - name.length)}  `, longest + 2, text, width);
  });
  const parts = [titles.join('\n')];
  if (documents.length > 1) parts.push(table(documents, paint));
  parts.push(...KNOB_NAMES.map((knob) => explained(knob, documents, paint, width)));
  return parts.join('\n\n');
}

function differs(knob: KnobName, documents: readonly ProfileDocument[]): boolean {
  return new Set(documents.map((d) => d.settings[knob].value)).size > 1;
}

function table(documents: readonly ProfileDocument[], paint: Paint): string {
  const first = Math.max(...KNOB_NAMES.map((knob) => knob.length));
  const columns = documents.map((d) => [d.name, ...KNOB_NAMES.map((knob) => String(d.settings[knob].value))]);
  const widths = columns.map((column) => Math.max(...column.map((cell) => cell.length)));
  const row = (n: number): string =>
    columns
      .map((column, i) => column[n]!.padEnd(widths[i]!))
      .join('  ')
      .trimEnd();
  const lines = KNOB_NAMES.map((knob, i) => {
    const line = `${differs(knob, documents) ? '*' : ' '} ${knob.padEnd(first)}  ${row(i + 1)}`;
    return differs(knob, documents) ? paint('bold', line) : line;
  });
  return [`  ${'knob'.padEnd(first)}  ${row(0)}`, ...lines, '* the profiles differ'].join('\n');
}

/** A knob: its values, and for each group of profiles that agree on it value, note and source. */
function explained(knob: KnobName, documents: readonly ProfileDocument[], paint: Paint, width: number): string {
  const groups = new Map<string, string[]>();
  for (const { name, settings } of documents) {
    const key = JSON.stringify(settings[knob]);
    groups.set(key, [...(groups.get(key) ?? []), name]);
  }
  const schema = KNOBS[knob];
  const values = 'options' in schema ? schema.options.join(', ') : 'true, false';
  const lines = [`${paint('bold', knob)} (${values})`];
  for (const names of groups.values()) {
    const { value, note, source } = documents.find((d) => d.name === names[0])!.settings[knob];
    const who = documents.length > 1 ? `${names.join(', ')}: ` : '';
    lines.push(hanging('  ', 4, `${who}${value}. ${note}`, width, 2));
    lines.push(hanging('    source: ', 6, source, width, 12));
  }
  return lines.join('\n');
}

/** `text` broken at spaces, after `lead` (`leadWidth` columns, if that is not `indent`) and with further lines indented. */
function hanging(lead: string, indent: number, text: string, width: number, leadWidth = indent): string {
  const lines: string[] = [];
  let line = '';
  let room = width - leadWidth;
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + 1 + word.length > room) {
      lines.push(line);
      line = '';
      room = width - indent;
    }
    line += line === '' ? word : ` ${word}`;
  }
  return lead + [...lines, line].join(`\n${' '.repeat(indent)}`);
}
