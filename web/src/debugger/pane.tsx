/** The debugger's view: everything that its core says about the state at the cursor, and the verbs. */
import { useEffect, useRef } from 'preact/hooks';
import type { DebuggerState } from '../../../src/web/protocol';
import type { Send } from '../app';
import { Branches } from './branches';
import { Console } from './console';
import { Failures } from './failures';
import { Disassembly, Source } from './listing';
import { Processor } from './processor';
import { Stacks } from './stacks';
import { Timeline } from './timeline';
import { Toolbar, verbOfKey } from './toolbar';

/** Milliseconds for which a verb may run and keys still wait for it: those that are pressed fast, not those that find it still running. */
const PATIENCE = 300;

interface Props {
  readonly state: DebuggerState | null;
  readonly send: Send;
  readonly visible: boolean;
}

export function DebuggerPane({ state, send, visible }: Props) {
  const latest = useRef({ state, send, visible });
  latest.current = { state, send, visible };
  const busySince = useRef<number>(undefined);
  if (state?.busy) busySince.current ??= performance.now();
  else busySince.current = undefined;

  // Wherever the focus is, unless something is typed there.
  useEffect(() => {
    const onKey = (event: KeyboardEvent): void => {
      const { state: now, send: tell, visible: isShown } = latest.current;
      if (!isShown || now === null || event.ctrlKey || event.metaKey || event.altKey) return;
      const at = event.composedPath()[0];
      if (at instanceof HTMLInputElement || at instanceof HTMLTextAreaElement || at instanceof HTMLSelectElement)
        return;
      if (event.key === 'Escape' && now.busy) {
        void tell({ type: 'interrupt' });
        return;
      }
      if (event.key === ':' || event.key === '/') {
        event.preventDefault();
        document.getElementById('command')?.focus();
        return;
      }
      const verb = verbOfKey(event.key);
      if (verb === undefined || performance.now() > (busySince.current ?? Number.POSITIVE_INFINITY) + PATIENCE) return;
      event.preventDefault();
      void tell({ type: 'verb', verb });
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, []);

  if (state === null) {
    return (
      <div class="nothing">
        <p>Nothing is open. Explore, and open a cell of the map; or debug from the start.</p>
      </div>
    );
  }
  const { view, busy, request, opened } = state;
  const { position } = view;
  const command = (line: string): void => void send({ type: 'command', line });
  return (
    <div class="debugger" data-busy={busy} data-index={position.index} data-branch={position.branch}>
      <div class="top">
        <div class="state">
          <section class="where" aria-label="Position" aria-live="polite">
            <div class="line">
              <b class="mono" data-at={position.boundary}>
                {position.boundary}
              </b>
              {position.hit > 1 && <span>time {position.hit}</span>}
              <span class="owner">{position.owner}</span>
              {position.processors > 1 && <span>CPU {position.processor}</span>}
              <code class="instruction">{position.instruction}</code>
              <span class="faint mono">{position.place}</span>
              <span class="faint">
                {position.index} of {position.length}, branch {position.branchName}
              </span>
              {position.ahead !== undefined && position.ahead !== 'step' && (
                <span class="ahead">ahead: {position.ahead}</span>
              )}
            </div>
            <div class={`stop ${position.stop.reason}`} data-stop={position.stop.reason}>
              {busy ? 'running …' : position.stop.text}
              {position.ended !== undefined && <span class="ended"> — {position.ended}</span>}
            </div>
            <div class="faint opened" title={opened}>
              {opened}
            </div>
          </section>
          <Toolbar view={view} busy={busy} send={send} />
        </div>
        <Failures failures={view.failures} position={position} send={send} />
      </div>
      <Timeline timeline={view.timeline} request={request} boundary={position.boundary} send={send} />
      <div class="panes">
        <div class="column">
          <Source view={view} send={send} />
          <Disassembly view={view} request={request} send={send} />
        </div>
        <div class="column">
          <Stacks view={view} command={command} />
        </div>
        <div class="column">
          <Processor view={view} command={command} />
          <Branches view={view} send={send} />
          <Console entries={state.console} send={send} />
        </div>
      </div>
    </div>
  );
}
