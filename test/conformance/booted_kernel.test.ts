/** "The code that runs is the code that a booted kernel runs": Debian's kernel boots under QEMU, and all of its code is compared. */
import assert from 'node:assert/strict';
import test from 'node:test';
import {
  BOOTS,
  type Boot,
  bootedMemory,
  compareBooted,
  kernelImage,
  qemuMissing,
} from '../../conformance/booted_kernel.js';
import { bootedXen, compareXen, XEN_PROCESSORS } from '../../conformance/booted_xen.js';
import { downloaded } from '../support/downloads.js';

/** Debian's .text alone. Bytes. */
const LEAST_CODE = 10_000_000;
const LEAST_PATCHED = 300_000;
const SMAP = 9 * 32 + 20;

const missing = qemuMissing();
/** The others are for `make conformance`. */
const [boot] = BOOTS as [Boot];

test(`${boot.name}: all code is what the booted kernel has`, { skip: missing ?? false }, async (t) => {
  const file = downloaded(t, 'linux/vmlinuz');
  if (file === undefined) return;
  const image = await kernelImage(file);
  const ram = await bootedMemory(file, boot);
  const found = compareBooted(image, ram);
  assert.deepEqual(found.differences, []);
  assert.ok(found.bytes > LEAST_CODE && found.patchedBytes > LEAST_PATCHED, `${found.patchedBytes} of ${found.bytes}`);
  // What has been turned on or off since is little.
  assert.ok(found.keys < 200 && found.trampolines < 20, `${found.keys} keys, ${found.trampolines} trampolines`);
  const other = compareBooted(image, ram, (features) => features.delete(SMAP));
  assert.ok(other.differences.some(({ place }) => place.startsWith('asm_exc_nmi+')));
});

test('Xen: all of .text is what the booted hypervisor has', { skip: missing ?? false }, async (t) => {
  const symbols = downloaded(t, 'xen/xen-syms');
  const file = downloaded(t, 'xen/xen.gz');
  if (symbols === undefined || file === undefined) return;
  const found = compareXen(await kernelImage(symbols), await bootedXen(file, XEN_PROCESSORS[0]));
  assert.deepEqual(found.differences, []);
  assert.ok(found.bytes > 1_000_000 && found.patchedBytes > 3000, `${found.patchedBytes} of ${found.bytes}`);
  assert.ok(found.pointers < 300, `${found.pointers} calls through pointers`);
});
