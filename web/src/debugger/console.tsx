/** The commands of the line mode. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { ConsoleEntry } from '../../../src/web/protocol';
import type { Send } from '../app';

export function Console({ entries, send }: { entries: readonly ConsoleEntry[]; send: Send }) {
  const [line, setLine] = useState('');
  const [choices, setChoices] = useState<readonly string[]>([]);
  const past = useRef(0);
  const log = useRef<HTMLDivElement>(null);
  useEffect(() => {
    past.current = 0;
    log.current?.scrollTo({ top: log.current.scrollHeight });
  }, [entries]);

  const complete = async (): Promise<void> => {
    const found = (await send({ type: 'complete', line })) as readonly string[] | undefined;
    if (found === undefined) return;
    setChoices(found.length > 1 ? found : []);
    const common = commonStart(found);
    if (common.length > line.length) setLine(common);
  };
  const onKey = (event: KeyboardEvent): void => {
    if (event.key === 'Tab' && !event.shiftKey && line !== '') {
      event.preventDefault();
      void complete();
      return;
    }
    if (event.key === 'Escape') (event.currentTarget as HTMLElement).blur();
    const step = event.key === 'ArrowUp' ? 1 : event.key === 'ArrowDown' ? -1 : 0;
    if (step === 0) return;
    event.preventDefault();
    past.current = Math.min(Math.max(past.current + step, 0), entries.length);
    setLine(past.current === 0 ? '' : entries[entries.length - past.current]!.command);
  };
  return (
    <section class="box console" aria-label="Console">
      <h2>
        Console <span class="faint">help lists the commands</span>
      </h2>
      <div class="log" ref={log} role="log">
        {entries.map(({ command, lines, error }, i) => (
          <div key={i}>
            <div class="typed">&gt; {command}</div>
            <pre class={error ? 'bad' : ''}>{lines.join('\n')}</pre>
            {!error && command.startsWith('who ') && i === entries.length - 1 && (
              <button type="button" onClick={() => void send({ type: 'command', line: 'goto who' })}>
                go there
              </button>
            )}
          </div>
        ))}
      </div>
      {choices.length > 0 && <div class="choices mono">{choices.join('  ')}</div>}
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (line.trim() === '') return;
          setLine('');
          setChoices([]);
          void send({ type: 'command', line });
        }}
      >
        <span aria-hidden="true">&gt;</span>
        <input
          id="command"
          aria-label="Command"
          placeholder="who rdi"
          value={line}
          spellcheck={false}
          autocomplete="off"
          onInput={(event) => setLine(event.currentTarget.value)}
          onKeyDown={onKey}
        />
      </form>
    </section>
  );
}

function commonStart(texts: readonly string[]): string {
  const [first = '', ...rest] = texts;
  let length = first.length;
  for (const text of rest) while (!text.startsWith(first.slice(0, length))) length--;
  return first.slice(0, length);
}
