/** What is searched for, and the buttons that begin it. */
import { useEffect, useState } from 'preact/hooks';
import type { Choices, EditorView, SearchView, Settings } from '../../src/web/protocol';
import type { Send } from './app';

interface Props {
  readonly choices: Choices;
  readonly editor: EditorView;
  readonly settings: Settings;
  readonly search: SearchView | null;
  readonly send: Send;
  readonly debug: () => Promise<void>;
}

export function SettingsForm({ choices, editor, settings, search, send, debug }: Props) {
  const change = (part: Partial<Settings>): void => void send({ type: 'settings', settings: { ...settings, ...part } });
  const contexts = choices.contexts[settings.platform] ?? [];
  const running = search?.state === 'running';
  return (
    <form
      class="settings"
      aria-label="Settings"
      onSubmit={(event) => {
        event.preventDefault();
        if (!running) void send({ type: 'explore' });
      }}
    >
      <Choice
        label="File"
        value={editor.file}
        of={choices.files}
        wide
        choose={(file) => send({ type: 'choose', file })}
      />
      <Choice
        label="Platform"
        value={settings.platform}
        of={choices.platforms}
        choose={(platform) => {
          const kept = choices.contexts[platform]?.includes(settings.context);
          change({ platform, ...(kept ? {} : { context: 'kernel' }) });
        }}
      />
      <Choice label="Context" value={settings.context} of={contexts} choose={(context) => change({ context })} />
      <Choice
        label="Profile"
        value={settings.profile}
        of={choices.profiles}
        choose={(profile) => change({ profile })}
      />
      <Field
        label="Events"
        value={settings.events}
        hint={`how many of each kind: ${choices.events.join(', ')}`}
        commit={(events) => change({ events })}
      />
      <Field
        label="At"
        value={settings.at}
        hint="where a kind may fire: bp=do_nmi..do_nmi_end; empty: bp and faults in the body, others anywhere"
        placeholder="anywhere"
        commit={(at) => change({ at })}
      />
      <Field
        label="Properties"
        value={settings.properties}
        hint={`separated by commas: ${choices.properties.map((p) => p.name).join(', ')}`}
        placeholder="all"
        commit={(properties) => change({ properties })}
      />
      <Field
        label="-D"
        value={settings.defines}
        hint="macros for the preprocessor: NAME or NAME=VALUE, separated by blanks"
        placeholder="NAME=VALUE"
        commit={(defines) => change({ defines })}
      />
      <div class="buttons">
        {running ? (
          <button type="button" class="primary" onClick={() => send({ type: 'stop' })}>
            Stop
          </button>
        ) : (
          <button type="submit" class="primary" title="Ctrl-Enter in the editor">
            Explore
          </button>
        )}
        <button type="button" onClick={() => void debug()}>
          Debug from the start
        </button>
        <button type="button" disabled={!editor.changed} onClick={() => send({ type: 'revert' })}>
          Revert
        </button>
        <span class="note">{editor.changed ? 'changed; the file itself is left alone' : ''}</span>
      </div>
    </form>
  );
}

interface ChoiceProps {
  readonly label: string;
  readonly value: string;
  readonly of: readonly string[];
  readonly wide?: boolean;
  readonly choose: (value: string) => void;
}

function Choice({ label, value, of, wide, choose }: ChoiceProps) {
  const all = of.includes(value) ? of : [value, ...of];
  return (
    <label class={wide ? 'field wide' : 'field'}>
      <span>{label}</span>
      <select aria-label={label} value={value} onChange={(event) => choose(event.currentTarget.value)}>
        {all.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

interface FieldProps {
  readonly label: string;
  readonly value: string;
  readonly hint: string;
  readonly placeholder?: string;
  readonly commit: (value: string) => void;
}

/** A text that is sent when it is done. */
function Field({ label, value, hint, placeholder, commit }: FieldProps) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  return (
    <label class="field">
      <span>{label}</span>
      <input
        aria-label={label}
        value={text}
        title={hint}
        placeholder={placeholder ?? ''}
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => setText(event.currentTarget.value)}
        onChange={(event) => commit(event.currentTarget.value)}
      />
    </label>
  );
}
