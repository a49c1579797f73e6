/** Breakpoints and watchpoints. */
import type { View } from '../../view.js';
import { span } from '../frame.js';
import type { PaneContent, PaneInput } from '../pane.js';
import type { Signs } from '../signs.js';

/** The column in front of a line: its breakpoint's sign, another one while all of them are disabled. */
export function breakpointSign(view: View, numbers: readonly number[], signs: Signs): string {
  if (numbers.length === 0) return ' ';
  const enabled = view.breakpoints.some((breakpoint) => breakpoint.enabled && numbers.includes(breakpoint.number));
  return enabled ? signs.breakpoint : signs.disabled;
}

export function breakpointsPane({ view, signs }: PaneInput): PaneContent {
  if (view.breakpoints.length === 0) {
    return {
      rows: [{ spans: [span('  none; b sets one on the selected line, :watch and :break do, too', 'dim')] }],
      anchor: 0,
    };
  }
  const rows = view.breakpoints.map(({ number, text, enabled, hits }) => ({
    item: String(number),
    spans: [
      span(`${enabled ? signs.breakpoint : signs.disabled} `, 'bad'),
      span(`${String(number).padStart(2)}  ${text}`, enabled ? 'plain' : 'dim'),
      span(`  ${enabled ? '' : 'disabled, '}${hits === 1 ? '1 hit' : `${hits} hits`}`, 'dim'),
    ],
  }));
  return { rows, anchor: 0, note: 'enter: enable, disable; b: delete' };
}
