/** entrace serve: the page, on 127.0.0.1, until Ctrl-C. */
import { startWebServer } from '../web/server.js';
import { Session } from '../web/session.js';
import { Workspace } from '../web/workspace.js';
import { EXIT } from './exit.js';
import { interruptible } from './interrupt.js';

export async function serve(file: string | undefined, options: { readonly port?: number }): Promise<number> {
  const workspace = await Workspace.create(file);
  const server = await startWebServer(new Session(workspace), options.port);
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  process.stdout.write(`${server.link}\nCtrl-C ends it\n`);
  await interruptible(end, () => ended);
  await server.close();
  return EXIT.HOLDS;
}
