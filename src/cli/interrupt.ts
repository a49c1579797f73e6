/** Ctrl-C while something long runs: it is told to stop, and what has been done is still reported. */

/** What `body` comes to. Until then SIGINT and SIGTERM call `stop`, and do not end the program. */
export async function interruptible<T>(stop: () => void, body: () => Promise<T>): Promise<T> {
  const onSignal = (): void => stop();
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  try {
    return await body();
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  }
}
