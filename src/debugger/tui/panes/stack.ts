/**
 * The stacks as maps: named words, who wrote them, where RSP is, and the frames that deliveries have pushed, as brackets
 * with their owner in front of their words.
 */
import type { FrameView, StackView, StackWordView, View, WriterView } from '../../view.js';
import { fit, type Span, span, wrap } from '../frame.js';
import type { PaneContent, PaneInput, Row } from '../pane.js';
import type { Signs } from '../signs.js';

/** Columns: RSP's sign, distance from the top, bracket, name, and what is left for value and writer. */
const MARK = 2;
const BELOW = 6;
const BRACKET = 2;
const NAME = 17;
const LONG_NAME = 20;
const VALUE = 19;
/** What lies above RSP, the frames, is what one looks for. */
const ABOVE = 0.75;
/** From here on names of slots have more room. */
const WIDE = 70;
/** From here on a value has both its number and its meaning. */
const ROOMY = 84;

export function writerText({ owner, boundary, delivery }: WriterView): string {
  return delivery ? `${owner} delivered at ${boundary}` : `${owner} ${boundary}`;
}

export function stackPane({ view, state, signs, width }: PaneInput): PaneContent {
  const rows: Row[] = [];
  let anchor = 0;
  // The one that runs first: it is what one looks at.
  const stacks = [...view.stacks].sort((a, b) => Number(b.current) - Number(a.current));
  for (const stack of stacks) {
    rows.push({
      spans: [
        span(` ${stack.name} stack`, 'bold'),
        span(`  top ${stack.top}`, 'dim'),
        span(stack.current ? `  RSP is here ` : '', 'current'),
      ],
    });
    let slot = '';
    const rsp = stack.current ? stack.words.find((word) => word.rsp) : undefined;
    for (const word of stack.words) {
      for (const frame of framesFrom(stack, word)) rows.push(...heading(frame, width, signs));
      if (word.rsp) anchor = rows.length;
      rows.push({
        spans: wordSpans(
          stack,
          word,
          word.slot === slot ? '' : word.slot,
          width,
          signs,
          rsp !== undefined && word.below > rsp.below,
        ),
        item: word.address,
      });
      slot = word.slot;
    }
  }
  if (rows.length === 0) rows.push({ spans: [span('  no stack is known', 'dim')] });
  const note = noteOf(view, state.selection.stack);
  return { rows, anchor, above: ABOVE, ...(note !== undefined && { note }) };
}

/** Frames whose highest word this is, outermost first. */
function framesFrom(stack: StackView, word: StackWordView): FrameView[] {
  const end = BigInt(word.address) + 8n;
  return stack.frames.filter(({ top }) => BigInt(top) === end);
}

/** The upper edge of a frame's box: whose it is, what it must give back, and who has destroyed it. */
function heading(frame: FrameView, width: number, signs: Signs): Row[] {
  const indent = ' '.repeat(MARK + BELOW);
  const item = `frame ${frame.id}`;
  const lines = wrap(
    `${frame.owner}'s frame: ${frame.interrupted} at ${frame.boundary}`,
    width - MARK - BELOW - BRACKET,
    0,
  );
  const rows: Row[] = lines.map((text, i) => ({
    item,
    spans: [span(`${indent}${i === 0 ? signs.topLeft : signs.vertical} `, 'frame'), span(text, 'frame')],
  }));
  if (frame.overwritten) {
    const text = `OVERWRITTEN by ${writerText(frame.overwritten)}`;
    for (const line of wrap(text, width - MARK - BELOW - BRACKET, 2)) {
      rows.push({ item, spans: [span(`${indent}${signs.vertical} `, 'frame'), span(line, 'bad')] });
    }
  }
  return rows;
}

function wordSpans(
  stack: StackView,
  word: StackWordView,
  slot: string,
  width: number,
  signs: Signs,
  // Below RSP: nobody's any more.
  dead: boolean,
): Span[] {
  const address = BigInt(word.address);
  const within = stack.frames.filter(({ bottom, top }) => BigInt(bottom) <= address && address < BigInt(top));
  const last = within.some(({ bottom }) => BigInt(bottom) === address);
  const bracket = within.length === 0 ? ' ' : last ? signs.bottomLeft : signs.vertical;
  const role = word.changed ? 'changed' : dead ? 'dim' : 'plain';
  const names = width >= WIDE ? LONG_NAME : NAME;
  const spans = [
    word.rsp ? span(`${signs.here} `, 'current') : span(word.changed ? '* ' : '  ', 'changed'),
    span(`-${word.below}`.padStart(BELOW - 1).padEnd(BELOW), 'dim'),
    span(`${bracket} `, 'frame'),
    span(name(slot === word.word ? '' : slot, word.word, names - 1, signs), 'label'),
  ];
  const rest = width - MARK - BELOW - BRACKET - names;
  if (width >= ROOMY) {
    const note = Math.max(0, Math.floor((rest - VALUE) * 0.42));
    spans.push(span(word.value.padEnd(VALUE), role));
    spans.push(span(`${fit(word.note ?? '', note - 1, signs.more)} `, 'good'));
    if (word.writer) spans.push(span(fit(writerText(word.writer), rest - VALUE - note, signs.more).trimEnd(), 'dim'));
  } else {
    spans.push(span(fit(word.note ?? word.value, VALUE, signs.more), role === 'plain' && word.note ? 'good' : role));
    if (word.writer && rest > VALUE + 4) {
      const text = word.writer.delivery ? `${word.writer.owner} frame` : writerText(word.writer);
      spans.push(span(` ${fit(text, rest - VALUE - 1, signs.more).trimEnd()}`, 'dim'));
    }
  }
  return spans;
}

/** `saved   RSP`: the slot's name only where it begins. */
function name(slot: string, word: string, width: number, signs: Signs): string {
  const left = slot === '' ? '' : fit(slot, width - 1 - word.length, signs.more).trimEnd();
  return `${left.padEnd(width - word.length)}${word} `;
}

/** All about the selected word, which its row may have no room for. */
function noteOf(view: View, selected: string | undefined): string | undefined {
  const word = view.stacks.flatMap(({ words }) => words).find(({ address }) => address === selected);
  if (!word) return undefined;
  const meaning = word.note === undefined ? '' : ` ${word.note}`;
  return `${word.address}: ${word.value}${meaning}${word.writer ? `, by ${writerText(word.writer)}` : ''}`;
}
