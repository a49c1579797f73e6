/** The second axis of a cell: where the earlier events of its schedules lie; each opens a path through it. */
import type { AxisView, MapCell, MapView } from '../../src/web/protocol';
import type { Ask } from './connection';

interface Props {
  readonly axis: AxisView;
  readonly map: MapView;
  readonly choose: (property: string) => void;
  readonly open: (request: Ask) => Promise<void>;
  readonly close: () => void;
}

export function Axis({ axis, map, choose, open, close }: Props) {
  const { address, event, boundary, property, rows, missing } = axis;
  const cell = map.sections.flatMap((s) => s.rows).find((row) => row.address === address)?.cells?.[
    map.events.indexOf(event)
  ];
  const fails = property !== null;
  const which = { address, event, ...(fails ? { property } : {}) };
  const isFired = cell !== undefined && (cell.state === 'fails' || cell.state === 'holds');
  const used = axis.events.filter((_, k) => rows.some((row) => row.cells[k]));
  return (
    <section class="axis" aria-label="Second axis">
      <div class="head">
        <h2>
          {event} at {boundary}
        </h2>
        <button type="button" aria-label="Close" onClick={close}>
          ✕
        </button>
      </div>
      {fails ? (
        <label class="field inline">
          <span class="bad">✗ breaks</span>
          <select value={property} onChange={(changed) => choose(changed.currentTarget.value)}>
            {cell!.properties!.map((name) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </label>
      ) : (
        <p>{isFired ? wordsOf(cell) : ''}</p>
      )}
      <div>
        <button
          type="button"
          class="primary"
          disabled={!isFired}
          onClick={() => void open({ type: 'open', ...which })}
          title="The shortest schedule that ends here, in the debugger"
        >
          Open the shortest path
        </button>
      </div>
      {missing !== null && <p class="note">{missing}</p>}
      {missing === null && rows.length === 0 && (
        <p class="note">{isFired ? 'No event comes before it.' : 'The event is never fired here.'}</p>
      )}
      {rows.length > 0 && (
        <>
          <p class="note">Where the events before it lie{fails ? ', if it fails' : ''}. Each opens a path.</p>
          <div class="scroll">
            <table aria-label="Earlier events">
              <thead>
                <tr>
                  <th scope="col">boundary</th>
                  <th scope="col" class="text">
                    source
                  </th>
                  {used.map((name) => (
                    <th key={name} scope="col" class="event">
                      {name}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {rows.map((row) => (
                  <tr key={row.address}>
                    <th scope="row" class="boundary">
                      {row.boundary}
                    </th>
                    <td class="text" title={row.place}>
                      <code>{row.text}</code>
                    </td>
                    {used.map((name) => {
                      const isThere = row.cells[axis.events.indexOf(name)];
                      return (
                        <td key={name} class="event">
                          {isThere ? (
                            <button
                              type="button"
                              class={fails ? 'cell fails' : 'cell holds'}
                              data-through={`${name}@${row.boundary}`}
                              aria-label={`open the path with ${name} at ${row.boundary}`}
                              onClick={() =>
                                void open({ type: 'open', ...which, through: { address: row.address, event: name } })
                              }
                            >
                              {fails ? '✗' : '✓'}
                            </button>
                          ) : (
                            '·'
                          )}
                        </td>
                      );
                    })}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </>
      )}
    </section>
  );
}

/** Of a cell that breaks nothing of what is looked at. */
function wordsOf(cell: MapCell): string {
  return cell.otherwise === 'open'
    ? '? breaks nothing that is shown, so far: the search is not closed'
    : '✓ breaks nothing that is shown';
}
