/** Serves one debugger to gdb, on 127.0.0.1: to one client at a time, and to the next when that one is gone. */
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { InputError } from '../../errors.js';
import { GdbConnection } from './connection.js';
import { packet } from './packets.js';
import type { SessionOptions } from './session.js';

const HOST = '127.0.0.1';
/** The one that is served, and those that are being told so. */
const MOST_CONNECTIONS = 16;

export interface GdbServer {
  readonly port: number;
  /** When it is closed, or a client said `monitor quit`; rejects on an error in the debugger itself. */
  readonly ended: Promise<void>;
  close(): void;
}

/** `port` 0: a free one. */
export async function serveGdb(options: Omit<SessionOptions, 'output'>, port: number): Promise<GdbServer> {
  let served: GdbConnection | undefined;
  let isClosing = false;
  const server = createServer({ keepAlive: true });
  server.maxConnections = MOST_CONNECTIONS;
  let end: () => void = () => undefined;
  let fail: (error: unknown) => void = () => undefined;
  const ended = new Promise<void>((resolve, reject) => {
    [end, fail] = [resolve, reject];
  });

  const close = (): void => {
    isClosing = true;
    server.close();
    if (served) served.close();
    else end();
  };
  const serve = (socket: Socket): void => {
    if (isClosing || socket.destroyed) return void socket.destroy();
    const connection = new GdbConnection(socket, options);
    served = connection;
    connection.ended.then((how) => {
      served = undefined;
      if (isClosing) end();
      else if (how === 'quit') close();
    }, fail);
  };
  const whenFree = ({ ended: free }: GdbConnection, socket: Socket): void => {
    const next = (): void => (served ? refuse(socket) : serve(socket));
    free.then(next, next);
  };
  server.on('connection', (socket) => {
    socket.setNoDelay(true);
    if (!served) serve(socket);
    else if (served.isClosed) whenFree(served, socket);
    else refuse(socket);
  });

  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(new InputError(`--port ${port}: cannot be listened on (${error.code}); choose another, or leave it out`));
    });
    server.listen(port, HOST, resolve);
  });
  server.on('error', fail);
  return { port: (server.address() as AddressInfo).port, ended, close };
}

/** An error is what gdb shows of the first thing that it reads. */
function refuse(socket: Socket): void {
  socket.on('error', () => undefined);
  socket.resume();
  socket.end(packet('E.another gdb is connected: entrace serves one at a time'));
}
