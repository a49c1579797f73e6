/** The timeline: one lane for each thing that is followed, marks for what happened, and the cursor, which can be dragged. */
import { useRef } from 'preact/hooks';
import type { MarkView, TimelineView, ViewRequest } from '../../../src/debugger/view';
import type { Send } from '../app';

interface Props {
  readonly timeline: TimelineView;
  readonly request: ViewRequest;
  readonly boundary: string;
  readonly send: Send;
}

const SYMBOLS: Readonly<Record<MarkView['kind'], string>> = {
  event: '▼',
  delivery: '↘',
  return: '↗',
  failure: '✗',
  edit: '✎',
  fork: 'Y',
};

/** States to both sides when only the neighbourhood is shown. */
const NEAR = 60;

export function Timeline({ timeline, request, boundary, send }: Props) {
  const { from, to, length, cursor, lanes, marks } = timeline;
  const tracks = useRef<HTMLDivElement>(null);
  // One request at a time; of those that come meanwhile the last one counts.
  const wanted = useRef<number>(undefined);
  const moving = useRef(false);
  /** Where the last request goes: keys that are pressed fast count from there. */
  const aim = useRef(cursor);
  const dragging = useRef(false);
  const states = to - from + 1;
  const percent = (index: number): string => `${(100 * (index - from)) / states}%`;

  const go = async (index: number): Promise<void> => {
    wanted.current = Math.min(Math.max(index, 0), length);
    aim.current = wanted.current;
    if (moving.current) return;
    moving.current = true;
    while (wanted.current !== undefined) {
      const next: number = wanted.current;
      wanted.current = undefined;
      await send({ type: 'go', index: next });
    }
    moving.current = false;
  };
  const indexAt = (event: PointerEvent): number => {
    const { left, width } = tracks.current!.getBoundingClientRect();
    return Math.min(Math.max(from + Math.floor(((event.clientX - left) / width) * states), from), to);
  };
  const show = (range: { from: number; to: number } | undefined): void => {
    const { timeline: _, ...kept } = request;
    void send({ type: 'view', request: { ...kept, ...(range ? { timeline: range } : {}) } });
  };
  const onKey = (event: KeyboardEvent): void => {
    const at = moving.current ? aim.current : cursor;
    const steps: Readonly<Record<string, number>> = {
      ArrowLeft: at - 1,
      ArrowRight: at + 1,
      PageDown: at - 10,
      PageUp: at + 10,
      Home: 0,
      End: length,
    };
    const index = steps[event.key];
    if (index === undefined) return;
    event.preventDefault();
    void go(index);
  };
  const bring = { event: 0, delivery: 1, return: 1, fork: 2, edit: 3, failure: 4 } as const;
  return (
    <section class="timeline" aria-label="Timeline">
      <div class="names">
        <div class="zoom">
          <button type="button" title="the whole path" onClick={() => show({ from: 0, to: length })}>
            all
          </button>
          <button
            type="button"
            title="the neighbourhood of the cursor"
            onClick={() => show({ from: Math.max(0, cursor - NEAR), to: Math.min(length, cursor + NEAR) })}
          >
            near
          </button>
        </div>
        {lanes.map(({ name }) => (
          <div key={name}>{name}</div>
        ))}
      </div>
      <div
        class="tracks"
        ref={tracks}
        role="slider"
        tabIndex={0}
        aria-label="Place in the path"
        aria-valuemin={0}
        aria-valuemax={length}
        aria-valuenow={cursor}
        aria-valuetext={`${cursor} of ${length}, ${boundary}`}
        onKeyDown={onKey}
        onPointerDown={(event) => {
          if (event.button !== 0) return;
          dragging.current = true;
          tracks.current!.setPointerCapture(event.pointerId);
          // It stays as it is while it is dragged.
          show({ from, to });
          void go(indexAt(event));
        }}
        onPointerMove={(event) => {
          if (dragging.current) void go(indexAt(event));
        }}
        onPointerUp={() => {
          dragging.current = false;
        }}
        onPointerCancel={() => {
          dragging.current = false;
        }}
      >
        <div class="marks">
          {[...marks]
            .sort((a, b) => bring[a.kind] - bring[b.kind])
            .map((mark) => (
              <span
                key={`${mark.kind} ${mark.index} ${mark.text}`}
                class={`mark ${mark.kind}`}
                style={{ left: percent(mark.index) }}
                title={`${mark.index}: ${mark.text}`}
                data-mark={`${mark.kind} ${mark.index}`}
              >
                {SYMBOLS[mark.kind]}
                <small>{mark.kind === 'event' || mark.kind === 'failure' ? mark.text : ''}</small>
              </span>
            ))}
        </div>
        {lanes.map(({ name, segments }) => (
          <div key={name} class="lane" data-lane={name}>
            {segments.map((segment) => {
              const begin = Math.max(segment.from, from);
              const end = Math.min(segment.to, to + 1);
              return (
                <span
                  key={segment.from}
                  class={segment.set ? 'segment set' : 'segment'}
                  style={{ left: percent(begin), width: `${(100 * (end - begin)) / states}%` }}
                  title={`${name}: ${segment.value}, ${segment.from} to ${segment.to - 1}`}
                >
                  {segment.value}
                </span>
              );
            })}
          </div>
        ))}
        <div class="cursor" style={{ left: percent(cursor), width: `max(2px, ${100 / states}%)` }} />
      </div>
    </section>
  );
}
