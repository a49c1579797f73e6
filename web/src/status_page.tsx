/** What stands there while there is no session. */
import type { Status } from './connection';

const TEXTS: Readonly<Record<Status, readonly [title: string, text: string]>> = {
  connecting: ['Connecting', 'to entrace serve on this machine.'],
  open: ['Connecting', 'to entrace serve on this machine.'],
  lost: ['No connection', 'entrace serve does not answer; trying again.'],
  token: [
    'Wrong token',
    'Open the link that entrace serve has printed in its terminal; it has the token of the session.',
  ],
  occupied: ['In use', 'Another page has this session. Take it over, and that page loses it; nothing else is lost.'],
  taken: ['Taken over', 'Another page has taken this session over.'],
  ended: ['Ended', 'entrace serve has ended. Start it again, and open the link that it prints.'],
};

export function StatusPage({ status, takeOver }: { status: Status; takeOver: () => void }) {
  const [title, text] = TEXTS[status];
  return (
    <main class="status" data-status={status}>
      <h1>entrace</h1>
      <h2>{title}</h2>
      <p>{text}</p>
      {(status === 'occupied' || status === 'taken') && (
        <button type="button" class="primary" onClick={takeOver}>
          {status === 'occupied' ? 'Take over' : 'Take it back'}
        </button>
      )}
    </main>
  );
}
