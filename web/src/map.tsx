/** The map: boundaries down, events across. */
import { useMemo, useRef, useState } from 'preact/hooks';
import type { CellState, MapCell, MapRow, MapView } from '../../src/web/protocol';

export interface Cell {
  readonly address: string;
  readonly event: string;
}

interface Props {
  readonly map: MapView;
  /** Only what breaks this one counts as failing; empty: any. */
  readonly property: string;
  readonly chosen: Cell | undefined;
  /** `about`: the property that the cell fails, if it does. */
  readonly choose: (cell: Cell, about: string | undefined) => void;
}

export const SYMBOLS: Readonly<Record<CellState, string>> = {
  fails: '✗',
  holds: '✓',
  open: '?',
  idle: '–',
  never: '·',
};

const MEANINGS: Readonly<Record<CellState, string>> = {
  fails: 'fails: fired here last, it breaks a property',
  holds: 'holds: fired here, it breaks nothing',
  open: 'not known: the search is not closed, or it is broken without any event',
  idle: 'reached, but never fired here',
  never: 'not reachable',
};

type Shown = 'code' | 'all' | 'failing';

export function BoundaryMap({ map, property, chosen, choose }: Props) {
  const [shown, setShown] = useState<Shown>('code');
  const [focus, setFocus] = useState('');
  const grid = useRef<HTMLTableElement>(null);
  const states = useMemo(
    () =>
      map.sections.map(({ file, rows }) => ({ file, rows: rows.filter((row) => isShown(row, shown, property, map)) })),
    [map, shown, property],
  );
  const used = useMemo(() => statesOf(map, property), [map, property]);
  const first = states.flatMap((s) => s.rows).find((row) => row.address)?.address;
  // One cell can always be come to with Tab: the last one, unless it is not shown any more.
  const isThere = states.some((s) => s.rows.some((row) => focus.startsWith(`${row.address} `)));
  const focused = isThere ? focus : first === undefined ? '' : `${first} 0`;

  const move = (event: KeyboardEvent): void => {
    const cells = [...grid.current!.querySelectorAll<HTMLElement>('td[data-cell]')];
    const at = cells.indexOf(document.activeElement as HTMLElement);
    const across = map.events.length;
    const steps: Readonly<Record<string, number>> = {
      ArrowDown: across,
      ArrowUp: -across,
      ArrowRight: 1,
      ArrowLeft: -1,
      PageDown: 20 * across,
      PageUp: -20 * across,
      Home: -at,
      End: cells.length - 1 - at,
    };
    const step = steps[event.key];
    if (at < 0 || step === undefined) return;
    event.preventDefault();
    const to = cells[Math.min(Math.max(at + step, at % across), cells.length - across + (at % across))];
    (step === 1 || step === -1 || event.key === 'Home' || event.key === 'End' ? cells[at + step] : to)?.focus();
  };

  return (
    <div class="map">
      <div class="legend">
        <label class="field inline">
          <span>Lines</span>
          <select value={shown} onChange={(event) => setShown(event.currentTarget.value as Shown)}>
            <option value="code">with code</option>
            <option value="all">all</option>
            <option value="failing">that fail</option>
          </select>
        </label>
        {used.map((state) => (
          <span key={state} class="key" title={MEANINGS[state]}>
            <b class={`cell ${state}`}>{SYMBOLS[state]}</b> {MEANINGS[state].split(':')[0]}
          </span>
        ))}
      </div>
      <div class="scroll">
        {/* biome-ignore lint/a11y/noNoninteractiveElementToInteractiveRole: a table is what a grid of cells degrades to. */}
        <table role="grid" aria-label="Boundaries and events" ref={grid} onKeyDown={move}>
          <thead>
            <tr>
              <th scope="col" class="number">
                line
              </th>
              <th scope="col">source</th>
              <th scope="col" class="boundary">
                boundary
              </th>
              {map.events.map((event) => (
                <th key={event} scope="col" class="event">
                  {event}
                </th>
              ))}
            </tr>
          </thead>
          {states.map(({ file, rows }) => (
            <tbody key={file}>
              {rows.length > 0 && (
                <tr class="file">
                  <th scope="rowgroup" colSpan={3}>
                    {file}
                  </th>
                </tr>
              )}
              {rows.map((row, i) => (
                <tr key={row.address ?? `${row.line} ${i}`} class={row.cells ? '' : 'quiet'}>
                  <td class="number">{row.line > 0 ? row.line : ''}</td>
                  <td class="source">
                    <code>{row.text}</code>
                  </td>
                  <td class="boundary">{row.boundary}</td>
                  {row.cells === undefined && map.events.length > 0 && <td colSpan={map.events.length} />}
                  {row.cells?.map((cell, k) => {
                    const event = map.events[k]!;
                    const state = stateFor(cell, property, map);
                    const name = `${row.address} ${k}`;
                    const isChosen = chosen?.address === row.address && chosen?.event === event;
                    const pick = (): void =>
                      choose(
                        { address: row.address!, event },
                        state === 'fails' ? property || cell.properties![0] : undefined,
                      );
                    return (
                      <td
                        key={event}
                        // biome-ignore lint/a11y/noNoninteractiveElementToInteractiveRole: the cells of a grid are what is operated.
                        role="gridcell"
                        data-cell={`${event}@${row.boundary}`}
                        data-state={state}
                        class={`cell ${state}`}
                        tabIndex={name === focused ? 0 : -1}
                        aria-selected={isChosen}
                        aria-label={`${event} at ${row.boundary}: ${wordsOf(cell, state)}`}
                        title={`${event} at ${row.boundary}\n${wordsOf(cell, state)}`}
                        onFocus={() => setFocus(name)}
                        onClick={pick}
                        onKeyDown={(pressed) => {
                          if (pressed.key !== 'Enter' && pressed.key !== ' ') return;
                          pressed.preventDefault();
                          pick();
                        }}
                      >
                        {SYMBOLS[state]}
                        {state === 'fails' && <small>{countOf(cell, property)}</small>}
                      </td>
                    );
                  })}
                </tr>
              ))}
            </tbody>
          ))}
        </table>
      </div>
    </div>
  );
}

/** What breaks another property than the one that is shown has, for this one, held; if the search is closed. */
function stateFor(cell: MapCell, property: string, { uninterrupted }: MapView): CellState {
  if (property === '' || cell.properties?.includes(property)) return cell.state;
  const state = cell.state === 'fails' ? cell.otherwise! : cell.state;
  // Where the path without events breaks it already, no event is to blame, and none has been shown not to be.
  return state === 'holds' && uninterrupted.includes(property) ? 'open' : state;
}

function wordsOf(cell: MapCell, state: CellState): string {
  return state === 'fails' ? `fails: ${cell.properties!.join(', ')}` : MEANINGS[state];
}

/** How many properties, if it is more than the one that is said elsewhere. */
function countOf(cell: MapCell, property: string): string {
  return property === '' && cell.properties!.length > 1 ? String(cell.properties!.length) : '';
}

function isShown(row: MapRow, shown: Shown, property: string, map: MapView): boolean {
  if (shown === 'all') return true;
  if (shown === 'failing') return row.cells?.some((cell) => stateFor(cell, property, map) === 'fails') ?? false;
  return row.cells !== undefined || /^[^\s#/*][^\s]*:/.test(row.text);
}

function statesOf(map: MapView, property: string): CellState[] {
  const found = new Set(
    map.sections.flatMap((s) => s.rows.flatMap((row) => row.cells?.map((cell) => stateFor(cell, property, map)) ?? [])),
  );
  return (Object.keys(SYMBOLS) as CellState[]).filter((state) => found.has(state));
}
