/** Signals while something runs: they stop it, and afterwards they are nobody's business again. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { interruptible } from '../../src/cli/interrupt.js';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

let ended: (how: string) => void = () => undefined;

function listeners(): number {
  return SIGNALS.reduce((n, signal) => n + process.listenerCount(signal), 0);
}

test('each signal stops what runs; nothing listens afterwards, also when it fails', async () => {
  const before = listeners();
  for (const signal of SIGNALS) {
    const stopped = await interruptible(
      () => ended(signal),
      () => {
        setImmediate(() => process.emit(signal, signal));
        return new Promise<string>((resolve) => {
          ended = resolve;
        });
      },
    );
    assert.equal(stopped, signal);
    assert.equal(listeners(), before);
  }
  const failing = interruptible(
    () => undefined,
    () => Promise.reject(new Error('failed')),
  );
  assert.equal(listeners(), before + SIGNALS.length);
  await assert.rejects(failing, /failed/);
  assert.equal(listeners(), before);
});
