/** Serves one debugger to gdb, on 127.0.0.1: to one client at a time, and to the next when that one is gone. */
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { InputError } from '../../errors.js';
import { GdbConnection } from './connection.js';
import { PacketReader, packet } from './packets.js';
import type { SessionOptions } from './session.js';

const HOST = '127.0.0.1';
/** The one that is served, and those that are being told so. */
const MOST_CONNECTIONS = 16;

/** How long a client waits for the one before it to go, in ms. */
const PATIENCE = 300;

/** The same for one that is to be refused, and says nothing. */
const SILENCE = 3000;

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
  const sockets = new Set<Socket>();
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
    // What a client has started is waited for.
    if (!served) end();
    for (const socket of sockets) socket.destroy();
  };
  const serve = (socket: Socket): void => {
    if (isClosing || socket.destroyed) return void socket.destroy();
    const connection = new GdbConnection(socket, options);
    served = connection;
    const gone = (how?: 'detach' | 'quit'): void => {
      served = undefined;
      if (isClosing) end();
      else if (how === 'quit') close();
    };
    connection.ended.then(gone, (error: unknown) => {
      fail(error);
      gone('quit');
    });
  };
  /** The one that is served may be gone, and the news of it on its way. */
  const decide = async (socket: Socket, { ended: free }: GdbConnection): Promise<void> => {
    socket.on('error', () => undefined);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, PATIENCE);
    });
    await Promise.race([free.catch(() => undefined), late]);
    clearTimeout(timer);
    // Until what it ran has ended, however long that takes.
    if (served?.isClosed) await served.ended.catch(() => undefined);
    if (served) refuse(socket);
    else serve(socket);
  };
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.setNoDelay(true);
    if (served) void decide(socket, served);
    else serve(socket);
  });

  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(new InputError(`--port ${port}: cannot be listened on (${error.code}); choose another, or leave it out`));
    });
    server.listen(port, HOST, resolve);
  });
  server.on('error', (error) => {
    fail(error);
    close();
  });
  return { port: (server.address() as AddressInfo).port, ended, close };
}

/** gdb shows an error that answers its first packet; what comes before that it does not read. */
function refuse(socket: Socket): void {
  const reader = new PacketReader();
  const timer = setTimeout(() => socket.destroy(), SILENCE);
  socket.on('close', () => clearTimeout(timer));
  socket.on('data', (bytes) => {
    const isPacket = [...reader.push(bytes as Buffer)].some(({ kind }) => kind === 'packet');
    if (!isPacket || socket.writableEnded) return;
    socket.end(Buffer.concat([Buffer.from('+'), packet('E.another gdb is connected: entrace serves one at a time')]));
  });
}
