/** The page: what the server says, drawn; what is done here, sent to it. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { ProgressView, SessionView } from '../../src/web/protocol';
import { type Ask, Connection, Refusal, type Status } from './connection';
import { DebuggerPane } from './debugger/pane';
import { Editor } from './editor';
import { Results } from './results';
import { SettingsForm } from './settings';
import { StatusPage } from './status_page';
import { applyTheme, keptTheme, type Theme } from './theme';

export type Tab = 'explore' | 'debug';

/** Sends a request; what the server refuses is shown, and comes back as undefined. */
export type Send = (request: Ask) => Promise<unknown>;

const TABS: readonly { readonly id: Tab; readonly title: string }[] = [
  { id: 'explore', title: 'Explore' },
  { id: 'debug', title: 'Debugger' },
];

export function App() {
  const [status, setStatus] = useState<Status>('connecting');
  const [session, setSession] = useState<SessionView>();
  const [tab, showTab] = useState<Tab>(keptTab());
  const [notice, setNotice] = useState<string>();
  const [theme, setTheme] = useState<Theme>(keptTheme());
  const connection = useRef<Connection>(undefined);

  const setTab = (chosen: Tab): void => {
    sessionStorage.setItem('tab', chosen);
    showTab(chosen);
  };

  useEffect(() => {
    const change = (part: Partial<SessionView>): void =>
      setSession((before) => (before === undefined ? before : { ...before, ...part }));
    connection.current = new Connection((message) => {
      switch (message.type) {
        case 'session':
          setSession(message.session);
          break;
        case 'editor':
          change({ editor: message.editor, settings: message.settings });
          break;
        case 'search':
          change({ search: message.search });
          break;
        case 'progress':
          setSession((before) => withProgress(before, message.progress));
          break;
        case 'debugger':
          change({ debugger: message.debugger });
          break;
        case 'busy':
          setSession((before) => withBusy(before, message.busy));
          break;
        case 'error':
          setNotice(message.problem.message);
          break;
      }
    }, setStatus);
  }, []);

  const send: Send = async (request) => {
    try {
      const reply = await connection.current!.ask(request);
      setNotice(undefined);
      return reply;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      setNotice([error.message, ...error.notes].join('\n'));
      return undefined;
    }
  };

  if (session === undefined || (status !== 'open' && status !== 'lost' && status !== 'connecting')) {
    return <StatusPage status={status} takeOver={() => connection.current?.connect(true)} />;
  }
  const { choices, editor, settings, search } = session;
  const debug = async (request: Ask): Promise<void> => {
    if ((await send(request)) !== undefined) setTab('debug');
  };
  return (
    <>
      <header>
        <h1>entrace</h1>
        <div role="tablist" aria-label="Views" onKeyDown={(event) => moveTab(event, tab, setTab)}>
          {TABS.map(({ id, title }) => (
            <button
              key={id}
              type="button"
              role="tab"
              id={`tab-${id}`}
              aria-selected={tab === id}
              aria-controls={`panel-${id}`}
              tabIndex={tab === id ? 0 : -1}
              onClick={() => setTab(id)}
            >
              {title}
            </button>
          ))}
        </div>
        <span class="grow file">{editor.file}</span>
        {status !== 'open' && <span class="lost">connection lost; trying again …</span>}
        <label class="theme">
          <span class="hidden">Colours</span>
          <select
            aria-label="Colours"
            value={theme}
            onChange={(event) => {
              const chosen = event.currentTarget.value as Theme;
              applyTheme(chosen);
              setTheme(chosen);
            }}
          >
            <option value="system">as the system</option>
            <option value="light">light</option>
            <option value="dark">dark</option>
          </select>
        </label>
      </header>
      {notice !== undefined && (
        <div class="notice" role="alert">
          <span>{notice}</span>
          <button type="button" aria-label="Dismiss" onClick={() => setNotice(undefined)}>
            ✕
          </button>
        </div>
      )}
      <main>
        <div
          id="panel-explore"
          role="tabpanel"
          aria-labelledby="tab-explore"
          hidden={tab !== 'explore'}
          class="explore"
        >
          <section class="code" aria-label="Code under test">
            <SettingsForm
              choices={choices}
              editor={editor}
              settings={settings}
              search={search}
              send={send}
              debug={() => debug({ type: 'debug' })}
            />
            <Editor editor={editor} send={send} />
          </section>
          <Results search={search} revision={editor.revision} send={send} open={debug} />
        </div>
        <div id="panel-debug" role="tabpanel" aria-labelledby="tab-debug" hidden={tab !== 'debug'} class="debug">
          <DebuggerPane state={session.debugger} send={send} visible={tab === 'debug'} />
        </div>
      </main>
    </>
  );
}

function withProgress(session: SessionView | undefined, progress: ProgressView): SessionView | undefined {
  const search = session?.search;
  return session === undefined || !search ? session : { ...session, search: { ...search, progress } };
}

function withBusy(session: SessionView | undefined, busy: boolean): SessionView | undefined {
  const state = session?.debugger;
  return session === undefined || !state ? session : { ...session, debugger: { ...state, busy } };
}

/** A page that is loaded again shows what it has shown. */
function keptTab(): Tab {
  return sessionStorage.getItem('tab') === 'debug' ? 'debug' : 'explore';
}

function moveTab(event: KeyboardEvent, tab: Tab, setTab: (tab: Tab) => void): void {
  if (event.key !== 'ArrowLeft' && event.key !== 'ArrowRight') return;
  const other = tab === 'explore' ? 'debug' : 'explore';
  setTab(other);
  document.getElementById(`tab-${other}`)?.focus();
}
