/** The editor. It lives in a shadow tree: there its styles need no inline style sheet, which the server's policy forbids. */
import { defaultKeymap, history, historyKeymap, insertTab } from '@codemirror/commands';
import { HighlightStyle, StreamLanguage, syntaxHighlighting } from '@codemirror/language';
import { gas } from '@codemirror/legacy-modes/mode/gas';
import { type Diagnostic, lintGutter, lintKeymap, setDiagnostics } from '@codemirror/lint';
import { EditorState, Transaction } from '@codemirror/state';
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightActiveLineGutter,
  keymap,
  lineNumbers,
} from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { useEffect, useRef } from 'preact/hooks';
import type { Problem, EditorView as ServerEditor } from '../../src/web/protocol';
import type { Send } from './app';

/** Milliseconds without typing after which the text is sent. */
const QUIET = 300;

const COLOURS = HighlightStyle.define([
  { tag: tags.comment, color: 'var(--comment)' },
  { tag: [tags.variableName, tags.keyword], color: 'var(--register)' },
  { tag: tags.number, color: 'var(--number)' },
  { tag: tags.string, color: 'var(--string)' },
  { tag: [tags.definition(tags.variableName), tags.tagName], color: 'var(--label)' },
  { tag: tags.meta, color: 'var(--directive)' },
]);

const LOOK = EditorView.theme({
  '&': { height: '100%', color: 'var(--text)', backgroundColor: 'var(--field)', fontSize: 'var(--code-size)' },
  '&.cm-focused': { outline: '2px solid var(--focus)', outlineOffset: '-2px' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.45' },
  '.cm-gutters': { color: 'var(--faint)', backgroundColor: 'var(--panel)', border: 'none' },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'var(--active)' },
  '.cm-content': { caretColor: 'var(--text)', tabSize: '8' },
  '.cm-cursor': { borderLeftColor: 'var(--text)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': {
    background: 'var(--selection)',
  },
  '.cm-tooltip': { color: 'var(--text)', backgroundColor: 'var(--panel)', border: '1px solid var(--line)' },
  '.cm-diagnostic-error': { borderLeft: '4px solid var(--bad)' },
  // CodeMirror's own are images in the style sheet, which the server's policy forbids.
  '.cm-lintRange-error': { backgroundImage: 'none', textDecoration: 'underline wavy var(--bad)' },
  '.cm-lint-marker-error': { content: 'normal', color: 'var(--bad)', lineHeight: '1' },
  '.cm-lint-marker-error::before': { content: '"✗"' },
  '.cm-panels': { color: 'var(--text)', backgroundColor: 'var(--panel)' },
});

/** GNU as, with comments as entry code has them. */
const GAS = StreamLanguage.define({ ...gas, languageData: { commentTokens: { block: { open: '/*', close: '*/' } } } });

export function Editor({ editor, send }: { editor: ServerEditor; send: Send }) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(undefined);
  const file = useRef(editor.file);
  const timer = useRef<number>(undefined);
  /** A text that the server has not got, because the connection was lost. */
  const failed = useRef<string>(undefined);
  const sender = useRef(send);
  sender.current = send;

  /** What fails twice is given up: it may be what the connection is closed for. */
  const transmit = async (): Promise<void> => {
    const text = view.current!.state.doc.toString();
    const isSecond = failed.current === text;
    const reply = await sender.current({ type: 'edit', file: file.current, text });
    failed.current = reply === undefined && !isSecond ? text : undefined;
  };

  /** Sends the text now if it is still to be sent. */
  const flush = (): void => {
    if (timer.current === undefined) return;
    clearTimeout(timer.current);
    timer.current = undefined;
    void transmit();
  };

  useEffect(() => {
    const root = host.current!.shadowRoot ?? host.current!.attachShadow({ mode: 'open' });
    const created = new EditorView({
      root,
      parent: root as unknown as Element,
      state: EditorState.create({
        doc: editor.text,
        extensions: [
          lineNumbers(),
          highlightActiveLine(),
          highlightActiveLineGutter(),
          history(),
          drawSelection(),
          EditorState.tabSize.of(8),
          GAS,
          syntaxHighlighting(COLOURS),
          lintGutter(),
          LOOK,
          EditorView.contentAttributes.of({ 'aria-label': 'Assembly source; Escape, then Tab leaves it' }),
          keymap.of([
            {
              key: 'Mod-Enter',
              run: () => {
                flush();
                void sender.current({ type: 'explore' });
                return true;
              },
            },
            { key: 'Tab', run: insertTab },
            ...lintKeymap,
            ...defaultKeymap,
            ...historyKeymap,
          ]),
          EditorView.domEventHandlers({ blur: () => flush() }),
          EditorView.updateListener.of((update) => {
            const isTyped = update.transactions.some((t) => t.annotation(Transaction.remote) !== true);
            if (!update.docChanged || !isTyped) return;
            clearTimeout(timer.current);
            timer.current = window.setTimeout(flush, QUIET);
          }),
        ],
      }),
    });
    view.current = created;
    window.addEventListener('pagehide', flush);
    return () => {
      window.removeEventListener('pagehide', flush);
      created.destroy();
    };
  }, []);

  useEffect(() => {
    const { current } = view;
    if (current === undefined) return;
    // What comes back while more is typed is older than what stands there.
    const isOther = file.current !== editor.file;
    if (isOther) {
      clearTimeout(timer.current);
      timer.current = undefined;
      failed.current = undefined;
    }
    file.current = editor.file;
    const text = current.state.doc.toString();
    if (timer.current === undefined && failed.current === text && text !== editor.text) {
      // What was typed while there was no connection is newer.
      void transmit();
    } else if (timer.current === undefined && text !== editor.text) {
      current.dispatch({
        changes: { from: 0, to: current.state.doc.length, insert: editor.text },
        annotations: Transaction.remote.of(true),
        ...(isOther ? { selection: { anchor: 0 }, scrollIntoView: true } : {}),
      });
    }
    current.dispatch(setDiagnostics(current.state, diagnosticsOf(current, editor.problem)));
  }, [editor]);

  const { problem } = editor;
  return (
    <>
      <div class="editor" ref={host} />
      {problem && (
        <div class="problem" role="status" data-line={problem.line}>
          <button
            type="button"
            class="link"
            disabled={problem.line === undefined}
            onClick={() => goTo(view.current!, problem)}
          >
            {problem.message}
          </button>
          {problem.notes.map((note) => (
            <div key={note} class="note">
              {note}
            </div>
          ))}
        </div>
      )}
    </>
  );
}

function positionOf(view: EditorView, { line = 1, column = 1 }: Problem): number {
  const { doc } = view.state;
  const at = doc.line(Math.min(line, doc.lines));
  return Math.min(at.from + column - 1, at.to);
}

function diagnosticsOf(view: EditorView, problem: Problem | null): Diagnostic[] {
  if (problem?.line === undefined) return [];
  const from = positionOf(view, problem);
  const line = view.state.doc.lineAt(from);
  const to = Math.max(from, line.to);
  return [{ from: from === to ? line.from : from, to, severity: 'error', message: problem.message }];
}

function goTo(view: EditorView, problem: Problem): void {
  const anchor = positionOf(view, problem);
  view.dispatch({ selection: { anchor }, effects: EditorView.scrollIntoView(anchor, { y: 'center' }) });
  view.focus();
}
