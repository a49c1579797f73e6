/** entrace dap: the Debug Adapter Protocol on standard input and output. */
import { DapSession } from '../debugger/dap/session.js';
import { EXIT } from './exit.js';
import { interruptible } from './interrupt.js';

export async function dap(): Promise<number> {
  const session = new DapSession();
  await interruptible(
    () => session.shutdown(),
    () => {
      session.start(process.stdin, process.stdout);
      return session.ended;
    },
  );
  return EXIT.HOLDS;
}
