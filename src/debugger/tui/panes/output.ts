/** What commands have printed. */
import { span, wrap } from '../frame.js';
import type { PaneContent, PaneInput, Row } from '../pane.js';

export function outputPane({ state, width }: PaneInput): PaneContent {
  const rows: Row[] = [];
  state.output.forEach(({ text, kind }, i) => {
    // What goes on in the next row stands to the right of where it began.
    for (const line of wrap(text, width, /^ */.exec(text)![0].length + 2)) {
      rows.push({
        spans: [span(line, kind === 'command' ? 'bold' : kind === 'error' ? 'bad' : 'plain')],
        item: String(i),
      });
    }
  });
  if (rows.length === 0) rows.push({ spans: [span('  : begins a command; what it prints stands here', 'dim')] });
  return { rows, anchor: rows.length - 1 };
}
