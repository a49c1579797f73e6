/** "The code that runs is the code that a booted kernel runs": Debian's kernel boots under QEMU, and all of its code is compared. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { BOOTS, bootedMemory, compareBooted, kernelImage, qemuMissing } from '../../conformance/booted_kernel.js';
import { downloaded } from '../support/downloads.js';

/** Debian's .text alone. Bytes. */
const LEAST_CODE = 10_000_000;
const LEAST_PATCHED = 300_000;
const SMAP = 9 * 32 + 20;
/** The others are for `make conformance`. */
const SHORT = 2;

const missing = qemuMissing();
for (const [i, boot] of BOOTS.slice(0, SHORT).entries()) {
  test(`${boot.name}: all code is what the booted kernel has`, { skip: missing ?? false }, async (t) => {
    const file = downloaded(t, 'linux/vmlinuz');
    if (file === undefined) return;
    const image = await kernelImage(file);
    const ram = await bootedMemory(file, boot);
    const found = compareBooted(image, ram);
    assert.deepEqual(found.differences, []);
    assert.ok(
      found.bytes > LEAST_CODE && found.patchedBytes > LEAST_PATCHED,
      `${found.patchedBytes} of ${found.bytes}`,
    );
    // What has been turned on or off since is little.
    assert.ok(found.keys < 200 && found.trampolines < 20, `${found.keys} keys, ${found.trampolines} trampolines`);
    if (i > 0) return;
    const other = compareBooted(image, ram, (features) => features.delete(SMAP));
    assert.ok(other.differences.some(({ place }) => place.startsWith('asm_exc_nmi+')));
  });
}
