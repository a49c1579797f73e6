/** Source and disassembly, each with the place of the cursor and its breakpoints. */
import { useEffect, useRef } from 'preact/hooks';
import type { View, ViewRequest } from '../../../src/debugger/view';
import type { Send } from '../app';

/** Keeps the current row in sight. */
function useCurrent(key: string) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const row = box.current?.querySelector<HTMLElement>('tr[aria-current]');
    if (!row || !box.current) return;
    const { scrollTop, clientHeight } = box.current;
    const above = row.offsetTop < scrollTop + 2 * row.offsetHeight;
    const below = row.offsetTop > scrollTop + clientHeight - 3 * row.offsetHeight;
    if (above || below) box.current.scrollTop = row.offsetTop - clientHeight / 2;
  }, [key]);
  return box;
}

interface BreakProps {
  readonly address: string;
  readonly boundary: string;
  readonly numbers: readonly number[];
  readonly send: Send;
}

function Break({ address, boundary, numbers, send }: BreakProps) {
  const isSet = numbers.length > 0;
  return (
    <button
      type="button"
      class={isSet ? 'break set' : 'break'}
      aria-pressed={isSet}
      aria-label={`breakpoint at ${boundary}`}
      title={isSet ? `breakpoint ${numbers.join(', ')}; press to take it away` : `set a breakpoint at ${boundary}`}
      onClick={() => void send({ type: 'toggle', address })}
    >
      {isSet ? '●' : '○'}
    </button>
  );
}

export function Source({ view, send }: { view: View; send: Send }) {
  const { source, position } = view;
  const box = useCurrent(`${source?.file} ${position.place} ${position.index}`);
  return (
    <section class="box source" aria-label="Source">
      <h2>
        Source <span class="faint mono">{source?.file}</span>
      </h2>
      <div class="body" ref={box}>
        {source === undefined ? (
          <p class="faint">No source is known here.</p>
        ) : (
          <table>
            <tbody>
              {source.lines.map(({ number, text, current, boundaries, breakpoints }) => {
                const [first] = boundaries;
                return (
                  <tr key={number} aria-current={current ? 'true' : undefined} data-line={number}>
                    <td class="gutter">
                      {first && (
                        <Break address={first.address} boundary={first.boundary} numbers={breakpoints} send={send} />
                      )}
                    </td>
                    <td class="arrow">{current ? '▶' : ''}</td>
                    <td class="number">
                      {first ? (
                        <button
                          type="button"
                          class="link"
                          title={`run on to ${first.boundary}`}
                          aria-label={`run on to line ${number}`}
                          onClick={() =>
                            void send({ type: 'until', target: 'boundary', address: first.address, direction: 1 })
                          }
                        >
                          {number}
                        </button>
                      ) : (
                        number
                      )}
                    </td>
                    <td class={first ? '' : 'quiet'}>
                      <code>{text}</code>
                    </td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        )}
      </div>
    </section>
  );
}

export function Disassembly({ view, request, send }: { view: View; request: ViewRequest; send: Send }) {
  const { disassembly, position } = view;
  const box = useCurrent(`${position.address} ${position.index}`);
  const syntax = request.syntax ?? 'att';
  return (
    <section class="box disassembly" aria-label="Disassembly">
      <h2>
        Disassembly
        <select
          aria-label="Syntax"
          value={syntax}
          onChange={(event) => {
            const chosen = event.currentTarget.value as 'att' | 'intel';
            void send({ type: 'view', request: { ...request, syntax: chosen } });
          }}
        >
          <option value="att">AT&T</option>
          <option value="intel">Intel</option>
        </select>
      </h2>
      <div class="body" ref={box}>
        <table>
          <tbody>
            {disassembly.flatMap(({ address, boundary, label, bytes, text, current, breakpoints }) => [
              ...(label === undefined
                ? []
                : [
                    <tr key={`${address} label`} class="label">
                      <td colSpan={5}>{label}:</td>
                    </tr>,
                  ]),
              <tr key={address} aria-current={current ? 'true' : undefined}>
                <td class="gutter">
                  <Break address={address} boundary={boundary} numbers={breakpoints} send={send} />
                </td>
                <td class="arrow">{current ? '▶' : ''}</td>
                <td class="boundary" title={address}>
                  {boundary}
                </td>
                <td>
                  <code title={bytes}>{text}</code>
                </td>
                <td class="bytes">{bytes}</td>
              </tr>,
            ])}
          </tbody>
        </table>
      </div>
    </section>
  );
}
