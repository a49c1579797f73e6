/** Properties that are broken on this path. */
import type { FailureView, PositionView } from '../../../src/debugger/view';
import type { Send } from '../app';

interface Props {
  readonly failures: readonly FailureView[];
  readonly position: PositionView;
  readonly send: Send;
}

export function Failures({ failures, position, send }: Props) {
  return (
    <section class="box failures" aria-label="Failures">
      <h2>Properties broken on this path: {failures.length}</h2>
      <div class="body">
        {failures.length === 0 && <p class="good">✓ none</p>}
        {failures.map(({ property, sentence, index, boundary, owner, explanation, differences, cause }) => (
          <div key={property} class="broken" data-property={property}>
            <div class="head">
              <b class="bad" title={sentence}>
                ✗ {property}
              </b>
              <button
                type="button"
                disabled={position.index === index}
                aria-label={`go to where ${property} breaks`}
                onClick={() => void send({ type: 'go', index })}
              >
                go to
              </button>
              {cause && (
                <button
                  type="button"
                  disabled={position.index === cause.index}
                  aria-label={`go to the cause of ${property}`}
                  onClick={() => void send({ type: 'go', index: cause.index })}
                >
                  cause
                </button>
              )}
            </div>
            <div>
              {boundary} in {owner}: {explanation}
            </div>
            {differences.map(({ what, expected, found }) => (
              <div key={what} class="mono">
                {what}: {found} instead of {expected}
              </div>
            ))}
            {cause && (
              <div class="faint">
                caused by {cause.owner} at {cause.boundary}, which {cause.what}
              </div>
            )}
          </div>
        ))}
      </div>
    </section>
  );
}
