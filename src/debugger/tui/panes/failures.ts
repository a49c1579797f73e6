/** What is broken on this path, where, and which transition is to blame. */
import { type Span, span, widthOf, wrap } from '../frame.js';
import type { PaneContent, PaneInput, Row } from '../pane.js';
import { writerText } from './stack.js';

export function failuresPane({ view, width }: PaneInput): PaneContent {
  const rows: Row[] = [];
  if (view.failures.length === 0)
    rows.push({ spans: [span('  no property is broken on this path, as far as it is known', 'good')] });
  // The one that is here, or the next one: what comes first on the path may be another consequence of the same write.
  const here = view.failures.findIndex(({ index }) => index >= view.position.index);
  let anchor = 0;
  view.failures.forEach((failure, i) => {
    if (i === here) anchor = rows.length;
    const item = `failure ${i}`;
    const add = (spans: readonly Span[], at = item): void => void rows.push({ spans, item: at });
    for (const text of wrap(`${failure.property} BROKEN: ${failure.sentence}`, width - 1, 2))
      add([span(` ${text}`, 'bad')]);
    const when =
      failure.index > view.position.index ? ', ahead' : failure.index === view.position.index ? ', here' : ', behind';
    add([span(`   at ${failure.boundary} in ${failure.owner}, state ${failure.index}${when}`)]);
    for (const text of wrap(failure.explanation, width - 4, 2)) add([span(`   ${text}`)]);
    for (const { what, expected, found } of failure.differences) {
      const name = span(`     ${what.padEnd(10)} `, 'label');
      const wanted = span(`expected ${expected} `);
      const is = span(`found ${found}`, 'changed');
      if (widthOf([name, wanted, is]) <= width) add([name, wanted, is]);
      else {
        add([name, wanted]);
        add([span(' '.repeat(name.text.length + 3)), is]);
      }
    }
    const { cause } = failure;
    if (cause) {
      const text = `caused by ${writerText(cause)}${cause.place ? ` (${cause.place})` : ''}: ${cause.what}`;
      for (const line of wrap(text, width - 4, 2)) add([span(`   ${line}`, 'event')], `cause ${i}`);
    }
  });
  return { rows, anchor, above: 0, ...(view.failures.length > 0 && { note: 'enter goes there, or to the cause' }) };
}
