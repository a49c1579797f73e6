/** The stacks, from the top down: each frame that a delivery pushed is a box until its return takes it away. */
import type { FrameView, StackView, StackWordView, View } from '../../../src/debugger/view';

type Command = (line: string) => void;

export function Stacks({ view, command }: { view: View; command: Command }) {
  // The one in use first; those that nobody has used are not worth their place.
  const used = view.stacks.filter((s) => s.current || s.words.length > 0);
  const sorted = [...used].sort((a, b) => Number(b.current) - Number(a.current));
  const frames = new Map(view.deliveries.map((frame) => [frame.id, frame]));
  for (const { frames: own } of view.stacks) for (const frame of own) frames.set(frame.id, frame);
  return (
    <section class="box stacks" aria-label="Stacks">
      <h2>Stacks</h2>
      <div class="body">
        {sorted.map((stack) => (
          <Stack key={stack.name} stack={stack} frames={frames} command={command} />
        ))}
      </div>
    </section>
  );
}

/** Words that lie beside each other in one frame, or in none. */
interface Run {
  readonly frame: number | undefined;
  readonly words: readonly StackWordView[];
}

function runsOf(words: readonly StackWordView[]): Run[] {
  const runs: { frame: number | undefined; words: StackWordView[] }[] = [];
  for (const word of words) {
    const last = runs.at(-1);
    if (last && last.frame === word.frame) last.words.push(word);
    else runs.push({ frame: word.frame, words: [word] });
  }
  return runs;
}

interface StackProps {
  readonly stack: StackView;
  readonly frames: ReadonlyMap<number, FrameView>;
  readonly command: Command;
}

function Stack({ stack, frames, command }: StackProps) {
  const { name, current, words, top } = stack;
  let slot = '';
  const slotOf = (word: StackWordView): string => {
    const shown = word.slot === slot ? '' : word.slot;
    slot = word.slot;
    return shown;
  };
  return (
    <div class={current ? 'stack current' : 'stack'} data-stack={name}>
      <h3>
        {name} stack {current && <span class="tag">in use</span>} <span class="faint mono">top {top}</span>
      </h3>
      {words.length === 0 && <p class="faint">empty</p>}
      {runsOf(words).map((run) => {
        const frame = run.frame === undefined ? undefined : frames.get(run.frame);
        const rows = run.words.map((word) => (
          <Word key={word.address} word={word} slot={slotOf(word)} command={command} />
        ));
        const table = (
          <table>
            <tbody>{rows}</tbody>
          </table>
        );
        const key = run.words[0]!.address;
        if (frame === undefined) return <div key={key}>{table}</div>;
        return (
          <div
            key={key}
            class={frame.overwritten ? 'frame overwritten' : 'frame'}
            data-frame={frame.owner}
            data-frame-state={frame.overwritten ? 'overwritten' : frame.open ? 'open' : 'closed'}
          >
            <div class="caption">
              <b>{frame.owner}</b> interrupted {frame.interrupted} at {frame.boundary}
              {frame.overwritten && (
                <span class="bad">
                  {' '}
                  ✗ overwritten by {frame.overwritten.owner}
                  {frame.overwritten.delivery ? ', delivered' : ''} at {frame.overwritten.boundary}
                </span>
              )}
            </div>
            {table}
          </div>
        );
      })}
    </div>
  );
}

function Word({ word, slot, command }: { word: StackWordView; slot: string; command: Command }) {
  const { address, below, value, note, writer, rsp, changed } = word;
  const by = writer ? `${writer.owner} ${writer.boundary}${writer.delivery ? ' (delivery)' : ''}` : '';
  return (
    <tr class={`${rsp ? 'rsp' : ''} ${changed ? 'changed' : ''}`} data-word={address}>
      <td class="arrow" title={rsp ? 'RSP' : undefined}>
        {rsp ? '▶' : ''}
      </td>
      <td class="below">
        <button
          type="button"
          class="link"
          title={`${address}: who wrote this word?`}
          aria-label={`who wrote the word at ${address}`}
          onClick={() => command(`who [${address}]`)}
        >
          -{below}
        </button>
      </td>
      <td class="slot">{slot}</td>
      <td class="word">{word.word}</td>
      <td class="value">
        {changed && <span title="just written">*</span>}
        {value} {note !== undefined && <span class="points">{note}</span>}
      </td>
      <td class="writer" title={by}>
        {by}
      </td>
    </tr>
  );
}
