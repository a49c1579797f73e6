/** Registers: what changed, from what, and where they point to. Flags by name. */
import type { RegisterView, View } from '../../view.js';
import { type Span, span, widthOf } from '../frame.js';
import type { PaneContent, PaneInput, Row } from '../pane.js';

/** `rdi      0xfffffe0000006fa0 *` */
const NAME = 9;
const VALUE = 18;

/** Where two stand in a row: `rdi 0xfffffe0000006fa0*`, and a blank between them. */
const SHORT = 5;
const COLUMN = SHORT + VALUE + 2;

export function registersPane({ view, state, width, height }: PaneInput): PaneContent {
  const general = view.registers.filter(({ group }) => group === 'general');
  const others = view.registers.filter(({ group }) => group !== 'general' && group !== 'flags');
  const rflags = view.registers.find(({ group }) => group === 'flags');
  const rows: Row[] = [];
  // A low pane has two in a row, without their notes: all general ones are to be seen at once.
  const columns = height < general.length + 2 && width >= 2 * COLUMN - 1 ? 2 : 1;
  if (columns === 1) {
    for (const register of general) rows.push({ spans: wide(register), item: register.name });
  } else {
    const half = Math.ceil(general.length / 2);
    for (let i = 0; i < half; i++) {
      const spans = [...brief(general[i]!, SHORT), span(' ')];
      const second = general[i + half];
      if (second) spans.push(...brief(second, SHORT));
      rows.push({ spans, item: general[i]!.name });
    }
  }
  if (rflags) rows.push({ spans: brief(rflags), item: rflags.name });
  for (const line of flagLines(view, width)) rows.push({ spans: line });
  const names = Math.max(NAME, ...others.map(({ name }) => name.length + 2));
  for (const register of others) rows.push({ spans: wide(register, names), item: register.name });
  const note = noteOf(view, state.selection.registers, columns);
  const { processor, processors } = view.position;
  const shown = state.processor ?? processor;
  const other = shown === processor ? '' : ` (CPU ${processor} runs)`;
  const cpu = processors > 1 ? `CPU ${shown}${other}` : undefined;
  const title = [cpu, note].filter((part) => part !== undefined).join(', ');
  return { rows, anchor: 0, ...(title && { note: title }) };
}

/** A star behind a register that the last transition changed. */
function brief({ name, value, before }: RegisterView, columns = NAME): Span[] {
  return [
    span(` ${name.padEnd(columns - 1)}`, 'label'),
    span(value.padEnd(VALUE), before === undefined ? 'plain' : 'changed'),
    before === undefined ? span(' ') : span('*', 'changed'),
  ];
}

function wide(register: RegisterView, columns = NAME): Span[] {
  const spans = brief(register, columns);
  if (register.note !== undefined) spans.push(span(` ${register.note}`, 'good'));
  if (register.before !== undefined) spans.push(span(` was ${register.before}`, 'dim'));
  return spans;
}

/** What the selected register, or the one that just changed, has to say and the narrow form has no room for. */
function noteOf(view: View, selected: string | undefined, columns: number): string | undefined {
  const register =
    view.registers.find(({ name }) => name === selected) ??
    (columns > 1 ? view.registers.find(({ group, before }) => group === 'general' && before !== undefined) : undefined);
  if (!register || (register.note === undefined && register.before === undefined)) return undefined;
  const parts = [register.note, register.before && `was ${register.before}`].filter((part) => part !== undefined);
  return `${register.name}: ${parts.join(', ')}`;
}

/** Set flags in capitals, the others in small letters; a star for a change. */
function flagLines(view: View, width: number): Span[][] {
  const lines: Span[][] = [];
  let line: Span[] = [span(' '.repeat(NAME))];
  for (const { name, set, changed } of view.flags) {
    const text = `${set ? name.toUpperCase() : name.toLowerCase()}${changed ? '*' : ''} `;
    if (widthOf(line) + text.length > width && line.length > 1) {
      lines.push(line);
      line = [span(' '.repeat(NAME))];
    }
    line.push(span(text, changed ? 'changed' : set ? 'bold' : 'dim'));
  }
  if (line.length > 1) lines.push(line);
  return lines;
}
