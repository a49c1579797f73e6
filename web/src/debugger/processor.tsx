/** Event state, deliveries that are open, flags and registers. */
import type { RegisterGroup, RegisterView, View } from '../../../src/debugger/view';

const GROUPS: readonly (readonly [group: RegisterGroup, title: string])[] = [
  ['general', 'General'],
  ['flags', 'Flags'],
  ['segment', 'Segments'],
  ['control', 'Control'],
  ['msr', 'MSRs'],
  ['debug', 'Debug'],
  ['table', 'Tables'],
];

/** Shown without being asked for. */
const OPEN: ReadonlySet<RegisterGroup> = new Set(['general', 'flags', 'segment']);

export function Processor({ view, command }: { view: View; command: (line: string) => void }) {
  const { events, flags, deliveries, registers } = view;
  return (
    <section class="box processor" aria-label="Processor">
      <h2>Processor</h2>
      <div class="body">
        <dl class="events">
          {events.map(({ name, value, set, changed }) => (
            <div key={name} class={set ? 'set' : ''} data-event-state={name}>
              <dt>{name}</dt>
              <dd>
                {changed && <span title="just changed">*</span>}
                {value}
              </dd>
            </div>
          ))}
        </dl>
        {deliveries.length > 0 && (
          <>
            <h3>Deliveries to be given back</h3>
            <ol class="deliveries">
              {deliveries.map(({ id, owner, interrupted, boundary, stack, overwritten }) => (
                <li key={id}>
                  <b>{owner}</b> on the {stack} stack, interrupted {interrupted} at {boundary}
                  {overwritten && <span class="bad"> ✗ frame overwritten</span>}
                </li>
              ))}
            </ol>
          </>
        )}
        <div class="flags" data-flags>
          {flags.map(({ name, set, changed }) => (
            <span
              key={name}
              class={`${set ? 'set' : ''} ${changed ? 'changed' : ''}`}
              title={changed ? 'just changed' : ''}
            >
              {set ? name.toUpperCase() : name.toLowerCase()}
              {changed ? '*' : ''}
            </span>
          ))}
        </div>
        {GROUPS.map(([group, title]) => {
          const own = registers.filter((r) => r.group === group);
          const changed = own.some((r) => r.before !== undefined);
          if (own.length === 0) return null;
          return (
            <details key={group} open={OPEN.has(group)}>
              <summary>
                {title}
                {changed && !OPEN.has(group) ? ' *' : ''}
              </summary>
              <table class="registers">
                <tbody>
                  {own.map((register) => (
                    <Register key={register.name} register={register} command={command} />
                  ))}
                </tbody>
              </table>
            </details>
          );
        })}
      </div>
    </section>
  );
}

function Register({ register, command }: { register: RegisterView; command: (line: string) => void }) {
  const { name, value, note, before } = register;
  return (
    <tr class={before === undefined ? '' : 'changed'} data-register={name}>
      <th scope="row">
        <button
          type="button"
          class="link"
          title={`who changed ${name} last?`}
          aria-label={`who changed ${name}`}
          onClick={() => command(`who ${name}`)}
        >
          {name}
        </button>
      </th>
      <td class="value" title={before === undefined ? undefined : `was ${before}`}>
        {before === undefined ? '' : '*'}
        {value} {note !== undefined && <span class="points">{note}</span>}
      </td>
    </tr>
  );
}
