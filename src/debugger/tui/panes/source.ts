/** Source around the cursor: breakpoints, line numbers, the current line, and the boundaries of each line. */
import { expandTabs } from '../../tabs.js';
import { type Span, span, widthOf } from '../frame.js';
import type { PaneContent, PaneInput, Row } from '../pane.js';
import { breakpointSign } from './breakpoints.js';

/** The boundaries of a line stand at its right end if so many columns are left. */
const GAP = 2;

export function sourcePane({ view, signs, width }: PaneInput): PaneContent {
  const { source, position } = view;
  if (!source) {
    return {
      rows: [{ spans: [span(`  no source is known for ${position.boundary}; pane 2 has the code`, 'dim')] }],
      anchor: 0,
    };
  }
  const digits = String(source.total).length;
  let anchor = 0;
  const rows: Row[] = source.lines.map((line, i) => {
    if (line.current) anchor = i;
    const spans: Span[] = [
      span(breakpointSign(view, line.breakpoints, signs), 'bad'),
      span(`${String(line.number).padStart(digits)} `, 'dim'),
      line.current ? span(`${signs.here} `, 'current') : span('  '),
      span(expandTabs(line.text), line.current ? 'current' : line.boundaries.length > 0 ? 'plain' : 'dim'),
    ];
    const [first] = line.boundaries;
    if (first) {
      // Several boundaries come from one line where a macro is used.
      const here = line.boundaries.find(({ boundary }) => boundary === position.boundary) ?? first;
      const label = here.boundary + (line.boundaries.length > 1 ? ` (${line.boundaries.length})` : '');
      const gap = width - widthOf(spans) - label.length;
      if (gap >= GAP) spans.push(span(' '.repeat(gap)), span(label, line.current ? 'current' : 'label'));
    }
    return { spans, item: String(line.number) };
  });
  return { rows, anchor, note: position.place ?? source.file };
}
