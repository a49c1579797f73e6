/** The debugger's view. */
import type { DebuggerState } from '../../src/web/protocol';
import type { Send } from './app';

export function DebuggerPane({ state }: { state: DebuggerState | null; send: Send; visible: boolean }) {
  return <p>{state?.opened ?? 'Nothing is open.'}</p>;
}
