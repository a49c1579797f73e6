/** What the processor remembers between instructions, and the deliveries that are still open. */
import type { FrameView } from '../../view.js';
import { type Span, span, wrap } from '../frame.js';
import type { PaneContent, PaneInput, Row } from '../pane.js';
import { writerText } from './stack.js';

export function processorPane({ view, width }: PaneInput): PaneContent {
  const names = Math.max(0, ...view.events.map(({ name }) => name.length));
  const rows: Row[] = view.events.map(({ name, value, set, changed }) => ({
    spans: [
      span(set ? ' ! ' : '   ', 'event'),
      span(name.padEnd(names + 2), 'label'),
      span(value, changed ? 'changed' : set ? 'event' : 'plain'),
      span(changed ? ' *' : '', 'changed'),
    ],
  }));
  rows.push({
    spans: [span(view.deliveries.length === 0 ? ' no delivery is open' : ' open deliveries, outermost first', 'bold')],
  });
  for (const frame of view.deliveries) {
    for (const spans of deliveryLines(frame, width)) rows.push({ spans, item: String(frame.id) });
  }
  return { rows, anchor: 0 };
}

function deliveryLines(frame: FrameView, width: number): Span[][] {
  const lines = wrap(
    `  ${frame.owner} interrupts ${frame.interrupted} at ${frame.boundary}, frame on the ${frame.stack} stack`,
    width,
    5,
  );
  const spans = lines.map((text) => [span(text)]);
  if (frame.overwritten) {
    for (const text of wrap(`     OVERWRITTEN by ${writerText(frame.overwritten)}`, width, 7))
      spans.push([span(text, 'bad')]);
  }
  return spans;
}
