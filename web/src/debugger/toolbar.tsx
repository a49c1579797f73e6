/** The verbs as buttons and keys, and the events that can be fired. */
import { useState } from 'preact/hooks';
import type { View } from '../../../src/debugger/view';
import type { Request } from '../../../src/web/protocol';
import type { Send } from '../app';

type Verb = Extract<Request, { type: 'verb' }>['verb'];
type Target = Extract<Request, { type: 'until' }>['target'];

interface VerbButton {
  readonly verb: Verb;
  readonly key: string;
  readonly label: string;
  readonly title: string;
}

const FORWARD: readonly VerbButton[] = [
  {
    verb: 'step',
    key: 's',
    label: 'Step',
    title: 'one transition: an instruction, or the event that the branch fires here',
  },
  { verb: 'next', key: 'n', label: 'Next', title: 'over a handler or a call' },
  { verb: 'finish', key: 'f', label: 'Finish', title: 'to the end of the running handler or function' },
  { verb: 'continue', key: 'c', label: 'Continue', title: 'to the next breakpoint, failure, or the end of the path' },
];

const BACKWARD: readonly VerbButton[] = [
  { verb: 'reverseContinue', key: 'C', label: 'Continue', title: 'back to a breakpoint, a failure, or the start' },
  { verb: 'reverseFinish', key: 'F', label: 'Finish', title: 'back to where the handler or function was entered' },
  { verb: 'reverseNext', key: 'N', label: 'Next', title: 'back over a handler or a call' },
  { verb: 'reverseStep', key: 'S', label: 'Step', title: 'back by one transition' },
];

const SKIP: VerbButton = {
  verb: 'skip',
  key: 'k',
  label: 'Skip',
  title: 'do not fire the event that the branch fires here: execute the instruction, in a branch of its own',
};

const TARGETS: readonly (readonly [target: Target, text: string])[] = [
  ['delivery', 'a delivery'],
  ['failure', 'a failure'],
  ['masked', 'NMIs blocked'],
  ['unmasked', 'NMIs unblocked'],
  ['latched', 'an NMI latched'],
  ['given-back', 'the context given back'],
  ['event', 'an event of the branch'],
];

export function verbOfKey(key: string): Verb | undefined {
  return [...FORWARD, ...BACKWARD, SKIP].find((button) => button.key === key)?.verb;
}

export function Toolbar({ view, busy, send }: { view: View; busy: boolean; send: Send }) {
  const [target, setTarget] = useState<Target>('delivery');
  const { ahead } = view.position;
  const isEvent = ahead !== undefined && ahead !== 'step' && !ahead.startsWith('edit');
  const until = (direction: 1 | -1): void => void send({ type: 'until', target, direction });
  const button = ({ verb, key, label, title }: VerbButton, back: boolean, disabled = busy) => (
    <button
      key={verb}
      type="button"
      data-verb={verb}
      title={`${title} (${key})`}
      aria-label={back ? `${label} back` : label}
      aria-keyshortcuts={key}
      // Not `disabled`: that takes the focus away, each time that a verb runs.
      aria-disabled={disabled}
      onClick={() => {
        if (!disabled) void send({ type: 'verb', verb });
      }}
    >
      {back && '◂ '}
      {label} <kbd>{key}</kbd>
      {!back && verb !== 'skip' && ' ▸'}
    </button>
  );
  return (
    <div class="toolbar">
      <div role="toolbar" aria-label="Verbs" class="verbs">
        <span class="group">{BACKWARD.map((b) => button(b, true))}</span>
        <span class="group">{FORWARD.map((b) => button(b, false))}</span>
        <span class="group">{button(SKIP, false, busy || !isEvent)}</span>
        <span class="group">
          <button type="button" title="back to it" aria-label="Run back to" disabled={busy} onClick={() => until(-1)}>
            ◂
          </button>
          <label>
            <span class="hidden">Run to</span>
            <select value={target} onChange={(event) => setTarget(event.currentTarget.value as Target)}>
              {TARGETS.map(([name, text]) => (
                <option key={name} value={name}>
                  {text}
                </option>
              ))}
            </select>
          </label>
          <button type="button" title="on to it" aria-label="Run on to" disabled={busy} onClick={() => until(1)}>
            ▸
          </button>
        </span>
        <button
          type="button"
          class="interrupt"
          title="end the verb that is under way (Escape)"
          disabled={!busy}
          onClick={() => void send({ type: 'interrupt' })}
        >
          Interrupt
        </button>
      </div>
      <Fire view={view} busy={busy} send={send} />
    </div>
  );
}

/** All events; one that the machine does not take here says why when it is pointed at, focused or pressed. */
function Fire({ view, busy, send }: { view: View; busy: boolean; send: Send }) {
  const [hint, setHint] = useState<string>();
  const shown = view.actions.find(({ event }) => event === hint);
  return (
    <div role="toolbar" aria-label="Fire an event here" class="fire">
      <span class="faint">Fire here:</span>
      {view.actions.map(({ event, possible, reason }) => (
        <button
          key={event}
          type="button"
          data-fire={event}
          class={possible ? '' : 'impossible'}
          aria-disabled={!possible || busy}
          title={reason ?? `fire ${event} at this boundary`}
          aria-description={reason}
          onMouseEnter={() => setHint(event)}
          onFocus={() => setHint(event)}
          onMouseLeave={() => setHint(undefined)}
          onBlur={() => setHint(undefined)}
          onClick={() => {
            setHint(event);
            if (possible && !busy) void send({ type: 'fire', event });
          }}
        >
          {event}
        </button>
      ))}
      <span class="reason" role="status">
        {shown?.reason !== undefined && `${shown.event}: ${shown.possible ? '' : 'not here, '}${shown.reason}`}
      </span>
    </div>
  );
}
