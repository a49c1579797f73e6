/** Instructions around the cursor, with their labels. */
import { type Span, span, widthOf } from '../frame.js';
import type { PaneContent, PaneInput, Row } from '../pane.js';
import { breakpointSign } from './breakpoints.js';

/** Columns of the instruction's bytes, where the pane is wide enough for them. */
const BYTES = 24;
const WIDE = 78;

export function codePane({ view, signs, width }: PaneInput): PaneContent {
  const rows: Row[] = [];
  let anchor = 0;
  const wide = width >= WIDE;
  const names = Math.max(0, ...view.disassembly.map(({ boundary }) => boundary.length));
  for (const instruction of view.disassembly) {
    if (instruction.label !== undefined) rows.push({ spans: [span(`  ${instruction.label}:`, 'label')] });
    if (instruction.current) anchor = rows.length;
    const role = instruction.current ? 'current' : 'plain';
    const spans: Span[] = [
      span(breakpointSign(view, instruction.breakpoints, signs), 'bad'),
      instruction.current ? span(`${signs.here} `, 'current') : span('  '),
    ];
    if (wide) {
      spans.push(span(`${instruction.address} `, 'dim'));
      spans.push(span(`${instruction.bytes.slice(0, BYTES).padEnd(BYTES)} `, 'dim'));
    }
    spans.push(span(`${instruction.boundary.padEnd(Math.min(names, 24))} `, 'label'), span(instruction.text, role));
    const { place } = instruction;
    if (place !== undefined) {
      const gap = width - widthOf(spans) - place.length;
      if (gap >= 2) spans.push(span(' '.repeat(gap)), span(place, 'dim'));
    }
    rows.push({ spans, item: instruction.address });
  }
  return { rows, anchor, note: view.position.address };
}
