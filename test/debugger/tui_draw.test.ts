/** The full screen as a function of a view, a size and what the user looks at: no terminal is needed. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { type Drawing, draw, hit, reachable } from '../../src/debugger/tui/draw.js';
import { wrap } from '../../src/debugger/tui/frame.js';
import { PANES, type PaneName } from '../../src/debugger/tui/pane.js';
import { NAMES, stateAt, timelineWindow } from '../../src/debugger/tui/panes/timeline.js';
import { ASCII, signsOf, UNICODE } from '../../src/debugger/tui/signs.js';
import { INITIAL, type ScreenState } from '../../src/debugger/tui/state.js';
import type { View } from '../../src/debugger/view.js';
import { FAILURE, openCounterexample, SECOND_NMI } from '../support/counterexample.js';

const debug = await openCounterexample();
const failing = debug.view({ around: 'all' });

function viewAt(index: number): View {
  debug.go(index);
  return debug.view({ around: 'all' });
}

function screen(
  view: View,
  width: number,
  height: number,
  change: Partial<ScreenState> = {},
  signs = UNICODE,
): { readonly drawing: Drawing; readonly rows: string[] } {
  const drawing = draw(view, { width, height }, { ...INITIAL, ...change }, signs);
  return { drawing, rows: Array.from({ length: height }, (_, y) => drawing.frame.text(y)) };
}

/** One pane on the whole of a roomy screen, without its title. */
function pane(view: View, name: PaneName, change: Partial<ScreenState> = {}, width = 100, height = 70): string[] {
  return screen(view, width, height, { focus: name, zoom: true, ...change }).rows.slice(3, -1);
}

function rowWith(rows: readonly string[], part: string): string {
  const found = rows.find((row) => row.includes(part));
  assert.ok(found !== undefined, `no row with ${JSON.stringify(part)} in\n${rows.join('\n')}`);
  return found;
}

test('at the failure: who runs, where, what broke, and the current line', () => {
  const { rows } = screen(failing, 80, 24);
  assert.match(rows[0]!, /^ context {2}context_start\+0 \(time 2\) {2}pushq %rbx .*175\/188/);
  assert.match(rows[1]!, /^ FAILURE: context is broken: rdi is not what it was/);
  assert.match(rows[2]!, /^─\[1 source\]─+ asm\/contexts\/kernel\.S:12 ─$/);
  assert.match(rowWith(rows, '►'), /^ 12 ► +pushq +%rbx +context_start\+0$/);
  assert.match(rows[23]!, /sS step .*\? keys {2}q quit$/);
});

test('a changed register has a star, says what it was, and what it points to', () => {
  const lost = viewAt(failing.failures[0]!.cause!.index + 1);
  assert.equal(lost.position.boundary, 'nested_nmi+7');
  const rows = pane(lost, 'registers');
  assert.match(rowWith(rows, ' rdi '), /rdi +0xfffffe0000006fa0\* NMI stack top-96 was 0x707070707070707$/);
  assert.doesNotMatch(rowWith(rows, ' rsi '), /\*/);
  // A low pane: two in a row, and the note in its title.
  const low = screen(lost, 100, 30).rows;
  assert.match(rowWith(low, 'rdi 0x'), /rdi 0xfffffe0000006fa0\*/);
  assert.match(rowWith(low, '3 registers'), /rdi: NMI stack top-/);
});

test('flags are named: capitals for those that are set', () => {
  const flags = ['CF', 'ZF', 'IF'].map((name, i) => ({ name, set: i === 2, changed: i === 1 }));
  assert.match(rowWith(pane({ ...failing, flags }, 'registers'), 'IF'), /^ +cf zf\* IF$/);
});

test('the map of the stack: frames with their owner, who destroyed them, slots, writers, and RSP', () => {
  const view = viewAt(SECOND_NMI + 2);
  const rows = pane(view, 'stack', {}, 120);
  const from = rows.findIndex((row) => row.includes("NMI 1's frame: context at context_start+0"));
  assert.deepEqual(
    rows.slice(from, from + 9).map((row) => row.trimEnd().replace(/ {2,}/g, ' ')),
    [
      " ┌ NMI 1's frame: context at context_start+0",
      ' │ OVERWRITTEN by NMI 2 delivered at nmi_restore+15',
      " ┌ NMI 2's frame: NMI 1 at nmi_restore+15",
      ' -8 │ original frame SS 0x18 NMI 2 delivered at nmi_restore+15',
      ' -16 │ RSP 0xfffffe0000006ef8 NMI stack top-264 NMI 2 delivered at nmi_restore+15',
      ' -24 │ RFLAGS 0x2 NMI 2 delivered at nmi_restore+15',
      ' -32 │ CS 0x10 NMI 2 delivered at nmi_restore+15',
      ' -40 └ RIP 0xffffffff8100014b nmi_restore+15 NMI 2 delivered at nmi_restore+15',
      '► -48 rdx 0x202020202020202 NMI 2 nmi+0',
    ],
  );
  assert.equal(rows.filter((row) => row.startsWith('►')).length, 1, 'one word is at RSP');
});

test('the stack is shown so that RSP is to be seen, the selected word if there is one', () => {
  const view = viewAt(SECOND_NMI);
  const narrow = screen(view, 120, 40).rows;
  assert.equal(narrow.filter((row) => /│► +-264 /.test(row)).length, 1);
  const [top] = view.stacks.find(({ current }) => current)!.words;
  const { rows, drawing } = screen(view, 120, 40, { focus: 'stack', selection: { stack: top!.address } });
  const y = rows.findIndex((row) => / -8 /.test(row));
  assert.ok(y > 0);
  const cell = drawing.frame.roles[y * 120 + 70]!;
  assert.ok(cell & 0x80, 'the selected word is marked');
});

test('each column of a lane tells its value: dots at rest, a line otherwise; the cursor has its number', () => {
  const view = viewAt(SECOND_NMI);
  const scale = 1;
  const rows = screen(view, 250, 30, { scale, zoom: true, focus: 'timeline' }).rows.slice(3);
  const [marks, latch] = rows as [string, string];
  const lane = view.timeline.lanes.find(({ name }) => name === 'latch')!;
  let compared = 0;
  for (const { from, to, value, set } of lane.segments) {
    const begin = NAMES + Math.max(from, view.timeline.from) - view.timeline.from;
    assert.equal(latch[begin], '│', `segment at state ${from}`);
    for (let column = begin + 1 + value.length; column < NAMES + to - view.timeline.from; column++) {
      assert.equal(latch[column], set ? '━' : '·', `column ${column}`);
      compared++;
    }
  }
  assert.ok(compared > 50);
  for (const { index, kind } of view.timeline.marks) {
    if (kind === 'event') assert.equal(marks[NAMES + index - view.timeline.from], 'E', `event at ${index}`);
  }
  const ruler = rowWith(rows, 'state  ');
  assert.equal(ruler[NAMES + view.timeline.cursor - view.timeline.from], '^');
  assert.ok(ruler.includes(`^${SECOND_NMI}`));
});

test('columns of the timeline lead to their states at every scale', () => {
  const { timeline } = failing;
  for (const scale of [1 / 4, 1 / 2, 1, 2, 16]) {
    for (let index = timeline.from; index <= timeline.to; index += Math.max(1, scale)) {
      const column = NAMES + Math.floor((index - timeline.from) / scale);
      assert.equal(stateAt(timeline, column, scale), index);
    }
  }
  assert.equal(stateAt(timeline, NAMES - 1, 1), undefined);
  assert.deepEqual(timelineWindow(1000, 500, 108, 1), { from: 451, to: 549 });
  assert.deepEqual(timelineWindow(1000, 1000, 108, 1), { from: 902, to: 1000 });
  assert.equal(timelineWindow(50, 20, 108, 1).from, 0);
});

test('what is broken: where, what was found, and who is to blame', () => {
  const rows = pane(failing, 'failures').map((row) => row.trim());
  const from = rows.findIndex((row) => row.startsWith('context BROKEN'));
  assert.deepEqual(rows.slice(from, from + 5), [
    'context BROKEN: what was interrupted outside the code under test is given back bit for bit',
    'at irq_return+0 in NMI 1, state 175, here',
    'rdi is not what it was',
    'rdi        expected 0x707070707070707 found 0xfffffe0000006fa0',
    'caused by NMI 2 nested_nmi+6 (asm/linux_nmi_rfc.S:81): changed rdi',
  ]);
});

test('a narrow pane cuts neither what was expected nor what was found', () => {
  const rows = pane(failing, 'failures', {}, 58).map((row) => row.trimEnd());
  const at = rows.findIndex((row) => row.includes('rdi        expected 0x707070707070707'));
  assert.match(rows[at + 1]!, /^ +found 0xfffffe0000006fa0$/);
});

test('what the processor remembers, and which deliveries are open', () => {
  const rows = pane(viewAt(SECOND_NMI + 2), 'processor');
  assert.match(rowWith(rows, 'NMI latch'), /^ ! NMI latch .*blocked/);
  assert.match(rowWith(rows, 'NMI 2 interrupts'), /NMI 2 interrupts NMI 1 at nmi_restore\+15/);
  assert.match(rowWith(rows, 'OVERWRITTEN'), /OVERWRITTEN by NMI 2 delivered at nmi_restore\+15/);
});

test('instructions with their labels; branches; breakpoints; output', () => {
  const view = viewAt(SECOND_NMI);
  assert.match(
    rowWith(pane(view, 'code'), '►'),
    /^ ► 0xf+8100014b 48 81 c4 80 00 00 00 +nmi_restore\+15 +addq \$0x80, %rsp/,
  );
  assert.match(rowWith(pane(view, 'branches'), '►'), /^► 0 counterexample {2}breaks .*context {2}188 transitions$/);
  const breakpoints = [
    { number: 1, text: 'break nmi', enabled: true, hits: 1 },
    { number: 2, text: 'break nmi+1', enabled: false, hits: 0 },
  ];
  const rows = pane({ ...view, breakpoints }, 'breakpoints');
  assert.equal(rows[0]!.trimEnd(), '●  1  break nmi  1 hit');
  assert.equal(rows[1]!.trimEnd(), '○  2  break nmi+1  disabled, 0 hits');
  const output = [
    { text: ':who rdi', kind: 'command' as const },
    { text: 'x'.repeat(150), kind: 'text' as const },
  ];
  const printed = pane(view, 'output', { output });
  assert.deepEqual(printed.slice(0, 3), [':who rdi', 'x'.repeat(100), `  ${'x'.repeat(50)}`]);
});

test('every size: panes within the screen, none over another, all of them reachable', () => {
  for (let width = 40; width <= 240; width += 11) {
    for (let height = 12; height <= 80; height += 5) {
      for (const zoom of [false, true]) {
        const { drawing, rows } = screen(failing, width, height, { zoom });
        const taken = new Set<number>();
        for (const { place } of drawing.panes) {
          assert.ok(place.height >= 2 && place.width >= 19, `${place.pane} at ${width}x${height} has room`);
          for (let y = place.y; y < place.y + place.height; y++) {
            for (let x = place.x; x < place.x + place.width; x++) {
              assert.ok(x < width && y < height - 1, `${place.pane} is within ${width}x${height}`);
              assert.ok(!taken.has(y * width + x), `${place.pane} at ${width}x${height} lies over another`);
              taken.add(y * width + x);
            }
          }
        }
        if (!zoom)
          assert.deepEqual(
            [...PANES].filter((name) => !reachable(drawing).includes(name)),
            [],
          );
        assert.match(rows[height - 1]!, /q quit$/);
      }
    }
  }
});

test('a screen that is too small says so', () => {
  assert.match(screen(failing, 39, 24).rows.join('\n'), /39x24 is too small,\n40x12 is needed/);
  assert.match(screen(failing, 200, 11).rows.join('\n'), /too small/);
  screen(failing, 1, 1);
});

test('without UTF-8 there is nothing but ASCII, and the signs are still there', () => {
  const { rows } = screen(failing, 120, 40, {}, ASCII);
  assert.match(rows.join('\n'), /^[\n -~]*$/);
  assert.match(rowWith(rows, 'pushq   %rbx'), /^ 12 > /);
  assert.equal(signsOf({ LANG: 'C' }), ASCII);
  assert.equal(signsOf({}), ASCII);
  assert.equal(signsOf({ LANG: 'de_DE.UTF-8' }), UNICODE);
  assert.equal(signsOf({ LANG: 'C.utf8' }), UNICODE);
  assert.equal(signsOf({ LANG: 'de_DE.UTF-8', LC_ALL: 'C' }), ASCII);
});

test('what a source file contains cannot get at the terminal or shift a row', () => {
  const { source } = failing;
  const text = '\u001b[31mred\u0007\u009b2J 漢字 e\u0301 \u{1f600}\tend';
  const lines = source!.lines.map((line) => (line.number === 13 ? { ...line, text } : line));
  const row = rowWith(screen({ ...failing, source: { ...source!, lines } }, 80, 24).rows, 'red');
  assert.equal(row.slice(0, 46).trimEnd(), ' 13   ?[31mred??2J ?? e? ?    end');
});

test('a menu says why what cannot be chosen cannot', () => {
  const rows = [
    { key: '1', text: 'nmi' },
    { key: '2', text: 'bp', refused: 'not in the body' },
  ];
  const shown = screen(failing, 80, 24, { menu: { title: 'fire', rows, selected: 0 } }).rows;
  assert.match(rowWith(shown, '1  nmi'), /│ ► 1 {2}nmi +│/);
  assert.match(rowWith(shown, '2  bp'), /2 {2}bp {2}no: not in the body/);
});

test('the command line shows its cursor, and the end of what is longer than the screen', () => {
  const prompt = { text: 'who rdi', at: 3, candidates: [] };
  const { drawing, rows } = screen(failing, 80, 24, { prompt });
  assert.equal(rows[23], ':who rdi');
  assert.deepEqual(drawing.frame.cursor, { x: 4, y: 23 });
  const long = { text: `${'a'.repeat(200)}b`, at: 201, candidates: ['one', 'two'] };
  const cut = screen(failing, 80, 24, { prompt: long });
  assert.match(cut.rows[23]!, /^:a{76}b$/);
  assert.deepEqual(cut.drawing.frame.cursor, { x: 78, y: 23 });
  assert.equal(cut.rows[22], ' one  two');
});

test('a point of the screen leads to the row of its pane', () => {
  const { drawing } = screen(failing, 80, 24);
  const y = Array.from({ length: 24 }, (_, i) => drawing.frame.text(i)).findIndex((row) => row.startsWith(' 12 ►'));
  const found = hit(drawing, 5, y)!;
  assert.equal(found.pane.place.pane, 'source');
  assert.equal(found.pane.rows[found.row]!.item, '12');
  assert.equal(hit(drawing, 5, 2)!.row, -1);
  assert.equal(hit(drawing, 5, 0), undefined);
});

test('long lines are broken at blanks, and lose nothing', () => {
  for (const text of ['one two three four five six seven eight', 'x'.repeat(70), '', 'short']) {
    const lines = wrap(text, 20);
    assert.ok(lines.every((line) => line.length <= 20));
    assert.equal(lines.join('').replaceAll(' ', ''), text.replaceAll(' ', ''));
  }
});

test('the view that was drawn is the one at the failure', () => {
  assert.equal(failing.position.index, FAILURE);
});
