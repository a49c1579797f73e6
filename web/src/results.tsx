/** Progress, verdict, map and second axis. */
import { useState } from 'preact/hooks';
import type { AxisView, MapView, ProgressView, SearchView } from '../../src/web/protocol';
import type { Send } from './app';
import { Axis } from './axis';
import type { Ask } from './connection';
import { BoundaryMap, type Cell } from './map';

interface Props {
  readonly search: SearchView | null;
  readonly revision: number;
  readonly send: Send;
  readonly open: (request: Ask) => Promise<void>;
}

/** What is looked at in a map. */
interface Picked {
  readonly map: MapView;
  /** Empty: all. */
  readonly property: string;
  readonly axis: AxisView | undefined;
}

const VERDICTS = { holds: '✓ holds', fails: '✗ FAILS', open: '? open' } as const;

export function Results({ search, revision, send, open }: Props) {
  const [picked, setPicked] = useState<Picked>();

  if (search === null) {
    return (
      <section class="results empty" aria-label="Result">
        <p>
          <b>Explore</b> fires the events at every boundary of the code and checks every property in every state. The
          result is a map: source lines down, events across, each cell a placement of the last event.
        </p>
        <p>
          <b>Debug from the start</b> opens the interrupted context at its first instruction.
        </p>
      </section>
    );
  }
  const { map, verdict, problem, windows } = search;
  // What was picked in the map of another search is gone with it.
  const { property, axis } = picked !== undefined && picked.map === map ? picked : { property: '', axis: undefined };
  /** `about`: the property whose failures the second axis is for; none for a cell that holds. */
  const choose = async ({ address, event }: Cell, about: string | undefined): Promise<void> => {
    const reply = await send({ type: 'axis', address, event, ...(about === undefined ? {} : { property: about }) });
    if (reply && map) setPicked({ map, property, axis: reply as AxisView });
  };
  return (
    <section class="results" aria-label="Result" data-state={search.state}>
      <div class="verdict" aria-live="polite">
        {search.state === 'running' && <Progress progress={search.progress} />}
        {problem && (
          <div class="problem" role="status">
            {problem.message}
            {problem.notes.map((note) => (
              <div key={note} class="note">
                {note}
              </div>
            ))}
          </div>
        )}
        {verdict && (
          <>
            <p class="title">
              <span class={`badge ${verdict}`} data-verdict={verdict}>
                {VERDICTS[verdict]}
              </span>{' '}
              <b class="mono">{search.file}</b>
            </p>
            <pre class="report">{search.report.slice(search.report.indexOf('\n') + 1).replace(/^ {2}/gm, '')}</pre>
          </>
        )}
        {verdict && search.revision !== revision && (
          <p class="stale" role="status">
            Code or settings have changed since: this is the result of what was there before.
          </p>
        )}
      </div>
      {map && windows.length > 0 && (
        <div class="windows" role="radiogroup" aria-label="Property shown in the map">
          {[{ property: '', text: '' }, ...windows].map((w) => {
            const [sentence = '', ...where] = w.text.split('\n');
            return (
              <label key={w.property} class="window" title={sentence}>
                <input
                  type="radio"
                  name="property"
                  value={w.property}
                  checked={property === w.property}
                  onChange={() => setPicked({ map, property: w.property, axis: undefined })}
                />
                {w.property === '' ? (
                  <span>all properties</span>
                ) : (
                  <span>
                    <b class="bad">✗ {w.property}</b> {where.map((text) => text.trim()).join('; ')}
                  </span>
                )}
              </label>
            );
          })}
        </div>
      )}
      {map?.uninterrupted.map((name) => (
        <p key={name} class="problem">
          {name} is broken without any event; the map says what events break besides{' '}
          <button type="button" onClick={() => void open({ type: 'open-uninterrupted', property: name })}>
            Open this path
          </button>
        </p>
      ))}
      {map && (
        <div class={axis ? 'both' : 'one'}>
          <BoundaryMap map={map} property={property} chosen={axis} choose={(cell, about) => void choose(cell, about)} />
          {axis && (
            <Axis
              axis={axis}
              map={map}
              choose={(about) => void choose(axis, about)}
              open={open}
              close={() => setPicked({ map, property, axis: undefined })}
            />
          )}
        </div>
      )}
    </section>
  );
}

function Progress({ progress }: { progress: ProgressView | null }) {
  const { states = 0, transitions = 0, failures = 0, done = null, bound = '', seconds = 0 } = progress ?? {};
  const count = (n: number): string => n.toLocaleString('en-US');
  return (
    <div class="progress">
      <progress aria-label="Search" max={1} {...(done === null ? {} : { value: done })} />
      <span>
        {done === null ? '' : `${Math.floor(100 * done)}% `}
        {bound === '' ? 'starting' : `of ${bound}`}: {count(states)} states, {count(transitions)} transitions,{' '}
        {count(failures)} windows, {seconds.toFixed(1)} s
      </span>
    </div>
  );
}
