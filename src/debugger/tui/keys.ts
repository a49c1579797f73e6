/** The keys: what each does, in the words of the help page. Their names are terminal-kit's. */

export interface Key {
  /** As terminal-kit calls them: `s`, `CTRL_C`, `PAGE_UP`. */
  readonly names: readonly string[];
  /** For people. */
  readonly shown: string;
  /** On the line at the bottom; keys without it are on the help page only. */
  readonly brief?: string;
  readonly help: string;
}

export interface KeyGroup {
  readonly title: string;
  readonly keys: readonly Key[];
}

function key(names: readonly string[], shown: string, help: string, brief?: string): Key {
  return { names, shown, help, ...(brief !== undefined && { brief }) };
}

export const KEYS: readonly KeyGroup[] = [
  {
    title: 'Moving in time (capitals: backwards)',
    keys: [
      key(['s', 'S'], 's S', 'one instruction or event', 'step'),
      key(['n', 'N'], 'n N', 'the same, over handlers and calls', 'next'),
      key(['f', 'F'], 'f F', 'to the end of this handler or function; back to where it was entered', 'finish'),
      key(['c', 'C'], 'c C', 'on to a breakpoint, a failure or the end; back to the start', 'cont'),
      key(
        ['u', 'U'],
        'u U',
        'until: NMIs blocked or not, latched; a delivery, a failure, the context given back …',
        'until',
      ),
      key(['[', ']'], '[ ]', 'to the previous, to the next event of the path'),
      key(['g'], 'g', 'to the failure; again: to the next one', 'failure'),
      key(['CTRL_C'], 'Ctrl-C', 'interrupts what runs long'),
    ],
  },
  {
    title: 'Another path',
    keys: [
      key(['e'], 'e', 'fire an event here: a menu of those that are possible, and why the others are not', 'event'),
      key(['k'], 'k', 'skip: do not fire what the path fires here, execute the instruction', 'skip'),
      key(['t'], 't', 'the tree of paths; Enter goes to a branch', 'tree'),
      key(['x'], 'x', 'compare this path with another branch: the first difference', 'compare'),
    ],
  },
  {
    title: 'Questions and breakpoints',
    keys: [
      key(['w'], 'w', 'who wrote the selected register or stack word', 'who'),
      key(['a'], 'a', 'to the answer: the transition that did it'),
      key(['b'], 'b', 'set or delete a breakpoint on the selected line or instruction', 'break'),
      key([':'], ':', 'a command of the line mode; Tab completes, Up has the last ones, :help lists them', 'command'),
    ],
  },
  {
    title: 'Panes',
    keys: [
      key(['TAB', 'SHIFT_TAB'], 'Tab', 'the next pane; with Shift the one before'),
      key(
        ['1', '2', '3', '4', '5', '6', '7', '8', '9', '0'],
        '1-9 0',
        'source, code, registers, processor, stack, timeline, branches, failures, output, breakpoints',
      ),
      key(
        ['UP', 'DOWN', 'PAGE_UP', 'PAGE_DOWN', 'HOME', 'END', 'LEFT', 'RIGHT'],
        'arrows',
        'select in the pane; Page Up and Down, Home, End, too; Escape follows the cursor again',
      ),
      key(
        ['ENTER', 'KP_ENTER'],
        'Enter',
        'go there: run to the line, to the state, to the write of the word, to the branch',
      ),
      key(['z'], 'z', 'this pane on the whole screen, and back'),
      key(['d'], 'd', 'source or disassembly, where there is room for one'),
      key(['i'], 'i', 'AT&T or Intel syntax'),
      key(['p'], 'p', 'registers and stacks of the next processor, where there are several'),
      key(['+', '-'], '+ -', 'more or fewer states in a column of the timeline'),
      key(['ESCAPE'], 'Esc', 'closes menus, drops the selection'),
      key(['CTRL_L'], 'Ctrl-L', 'draws the screen anew'),
      key(['CTRL_Z'], 'Ctrl-Z', 'back to the shell for a while; fg returns'),
      key(['?'], '?', 'this page', 'keys'),
      key(['q'], 'q', 'quit', 'quit'),
    ],
  },
];
