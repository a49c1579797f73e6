/** The map of code that is not one instruction a line, and of searches that are not closed. */
import assert from 'node:assert/strict';
import { basename } from 'node:path';
import test from 'node:test';
import { mapOf } from '../../src/web/map.js';
import type { CellState, MapView } from '../../src/web/protocol.js';
import { explore, type Setting, source } from '../support/search.js';

function map(file: string, setting: Setting): MapView {
  const { subject, result } = explore(file, { ...setting, wantSchedules: true });
  return mapOf(subject, result, result.schedules!);
}

function states(view: MapView, event: string): Set<CellState> {
  const k = view.events.indexOf(event);
  return new Set(view.sections.flatMap((s) => s.rows.flatMap((row) => row.cells?.[k]?.state ?? [])));
}

const MACROS = `	.macro	twice what
	nop
	\\what
	.endm
	.text
	.globl	nmi
nmi:
	twice	cld
	iretq
dead:	ud2
`;

test('what a macro makes stands at the line that asks for it, a row for each boundary', () => {
  const file = source(MACROS);
  const { sections } = map(file, { events: 'nmi=1' });
  const own = sections.find((s) => basename(s.file) === basename(file))!;
  assert.deepEqual(
    own.rows.filter((row) => row.cells).map((row) => [row.line, row.boundary, row.text, row.cells![0]!.state]),
    [
      [8, 'nmi+0', '\ttwice\tcld', 'idle'],
      [8, 'nmi+1', '\t  cld', 'idle'],
      [9, 'nmi+2', '\tiretq', 'idle'],
      [10, 'dead+0', 'dead:\tud2', 'never'],
    ],
  );
  assert.deepEqual(
    own.rows.map((row) => row.line),
    [1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 10],
  );
  // The context comes after it, with each of its boundaries; what nothing has reached is left out.
  assert.deepEqual(sections.map((s) => basename(s.file)).slice(1), ['kernel.S']);
  assert.ok(sections[1]!.rows.some((row) => row.boundary === 'context_start+0' && row.cells![0]!.state === 'fails'));
});

test('an event that can never be fired opens the verdict, but what was fired is known', () => {
  const view = map(source(MACROS), { events: 'nmi=2,bp=1' });
  assert.ok(states(view, 'nmi').has('holds'));
  assert.ok(!states(view, 'nmi').has('open'));
  assert.deepEqual([...states(view, 'bp')].sort(), ['idle', 'never']);
});

test('a search that is not closed says of no cell that it holds', () => {
  const stopped = map('linux_nmi_rfc.S', { maxStates: 15_000 });
  assert.deepEqual(
    [...states(stopped, 'nmi')].filter((state) => state !== 'fails'),
    ['open'],
  );
  assert.ok(states(map('linux_nmi_rfc.S', {}), 'nmi').has('holds'));
  assert.ok(
    stopped.sections.some((s) => basename(s.file) === 'kernel.S'),
    'the context is reached all the same',
  );
  // Nor of one that fails, for a property that it does not break.
  const otherwise = (view: MapView): string[] =>
    view.sections.flatMap((s) => s.rows.flatMap((row) => row.cells?.flatMap((cell) => cell.otherwise ?? []) ?? []));
  assert.deepEqual([...new Set(otherwise(stopped))], ['open']);
  assert.deepEqual([...new Set(otherwise(map('linux_nmi_rfc.S', {})))], ['holds']);
});

test('what the context breaks without any event', () => {
  const context = source(
    '\t.text\n\t.globl context_start, context_end\ncontext_start:\n1:\tjmp 1b\ncontext_end:\tnop\n',
  );
  const view = map('linux_nmi.S', { context, events: 'nmi=1' });
  assert.deepEqual(view.uninterrupted, ['progress']);
});
