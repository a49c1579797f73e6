/** The tree of paths: where each branch leaves its parent, what it does there, and what becomes of it. */
import type { BranchView } from '../../view.js';
import { type Span, span, wrap } from '../frame.js';
import type { PaneContent, PaneInput, Row } from '../pane.js';

export function branchesPane({ view, signs, width }: PaneInput): PaneContent {
  const rows: Row[] = [];
  let anchor = 0;
  const seen = new Set<number>();
  const add = (branch: BranchView, depth: number): void => {
    if (seen.has(branch.id)) return;
    seen.add(branch.id);
    if (branch.current) anchor = rows.length;
    const indent = depth === 0 ? '' : `${'  '.repeat(depth - 1)}${signs.bottomLeft}${signs.horizontal}`;
    const spans: Span[] = [
      branch.current ? span(`${signs.here} `, 'current') : span('  '),
      span(indent, 'border'),
      span(`${branch.id} ${branch.name}`, branch.current ? 'current' : 'bold'),
    ];
    if (branch.failed.length > 0) spans.push(span(`  breaks ${branch.failed.join(', ')}`, 'bad'));
    else if (branch.ended !== undefined) spans.push(span(`  ${branch.ended}`, 'good'));
    spans.push(span(`  ${branch.length} transitions`, 'dim'));
    const item = String(branch.id);
    rows.push({ spans, item });
    const events = branch.events.map(({ event, boundary }) => `${event} at ${boundary}`).join(', ');
    const leaves = `leaves ${branch.parent} at state ${branch.fork}, ${branch.forkBoundary}, by ${branch.forkAction}; `;
    const forked = branch.parent === undefined ? '' : leaves;
    const margin = 4 + indent.length;
    for (const text of wrap(' '.repeat(margin) + forked + (events || 'no event'), width, margin + 2)) {
      rows.push({ spans: [span(text, 'dim')], item });
    }
    for (const child of view.branches) if (child.parent === branch.id) add(child, depth + 1);
  };
  for (const branch of view.branches) if (branch.parent === undefined) add(branch, 0);
  return { rows, anchor, ...(view.branches.length > 1 && { note: 'enter goes there, x compares' }) };
}
