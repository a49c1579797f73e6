/** The tree of paths, and the breakpoints. */
import type { BranchView, View } from '../../../src/debugger/view';
import type { Send } from '../app';

export function Branches({ view, send }: { view: View; send: Send }) {
  const { branches, breakpoints } = view;
  return (
    <section class="box branches" aria-label="Branches and breakpoints">
      <h2>Branches</h2>
      <div class="body">
        <Children of={undefined} branches={branches} send={send} />
        {breakpoints.length > 0 && (
          <>
            <h3>Breakpoints</h3>
            <ul class="plain">
              {breakpoints.map(({ number, text, enabled, hits }) => (
                <li key={number} class="row">
                  <label>
                    <input
                      type="checkbox"
                      checked={enabled}
                      aria-label={`breakpoint ${number} is enabled`}
                      onChange={() => void send({ type: 'breakpoint', number, action: enabled ? 'disable' : 'enable' })}
                    />
                    {number}
                  </label>
                  <code>{text}</code>
                  {hits > 0 && <span class="faint">hit {hits} times</span>}
                  <button
                    type="button"
                    aria-label={`delete breakpoint ${number}`}
                    onClick={() => void send({ type: 'breakpoint', number, action: 'delete' })}
                  >
                    ✕
                  </button>
                </li>
              ))}
            </ul>
          </>
        )}
      </div>
    </section>
  );
}

interface ChildrenProps {
  readonly of: number | undefined;
  readonly branches: readonly BranchView[];
  readonly send: Send;
}

function Children({ of, branches, send }: ChildrenProps) {
  const own = branches.filter((branch) => branch.parent === of);
  if (own.length === 0) return null;
  return (
    <ul class="tree">
      {own.map((branch) => (
        <li key={branch.id} data-branch-id={branch.id}>
          <button
            type="button"
            class="branch"
            aria-current={branch.current ? 'true' : undefined}
            title="go to its end"
            onClick={() => void send({ type: 'go', index: branch.length, branch: branch.id })}
          >
            {branch.current ? '▶ ' : ''}
            {branch.name}
          </button>
          <span class="faint">
            {branch.parent === undefined ? '' : ` at ${branch.fork} ${branch.forkBoundary}: ${branch.forkAction};`}
            {` ${branch.length} transitions`}
          </span>
          {branch.failed.length > 0 && <span class="bad"> ✗ {branch.failed.join(', ')}</span>}
          {branch.failed.length === 0 && branch.ended !== undefined && <span class="good"> ✓</span>}
          {branch.ended !== undefined && <span class="faint"> {branch.ended}</span>}
          <div class="fired">
            {branch.events.map(({ index, boundary, event }) => (
              <button
                key={index}
                type="button"
                title={`go to ${index}`}
                onClick={() => void send({ type: 'go', index, branch: branch.id })}
              >
                {event}@{boundary}
              </button>
            ))}
          </div>
          <Children of={branch.id} branches={branches} send={send} />
        </li>
      ))}
    </ul>
  );
}
