/** Xen's boot image, with a table that was written here: at the addresses that Xen has had. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { InputError } from '../../src/errors.js';
import { xenModule } from '../../src/kernel/xen.js';
import { xenImage } from './kernels.js';

for (const base of [0xffff82d040000000n, 0xffff82d080000000n, 0xffff828c80000000n]) {
  test(`at 0x${base.toString(16)}`, () => {
    const xen = xenModule(xenImage(base), 'xen');
    assert.deepEqual(
      xen.sections.slice(0, 4).map(({ name, address, exec, write }) => [name, address! - base, exec, write]),
      [
        ['.text', 0x200000n, true, false],
        ['.rodata', 0x201000n, false, false],
        ['.init.text', 0x202000n, true, false],
        ['.data', 0x203000n, false, true],
      ],
    );
    assert.equal(xen.sections[4]!.name, '.bss');
    const found = xen.symbols.find(({ name }) => name === 'symbol_300')!;
    // The 300th of 400 symbols in 16 KiB.
    assert.deepEqual([found.section, found.value, found.binding], ['.data', 0n, 'global']);
    assert.ok(xen.symbols.some(({ name, binding }) => name === 'arch/x86/file301.c#local_0' && binding === 'local'));
  });
}

for (const few of [0, 5]) {
  test(`${few} pointers to tell the addresses from`, () => {
    const image = xenImage(0xffff82d040000000n);
    image.fill(0, 0x80 + 0x3000 + 16 * few, 0x80 + 0x3400);
    assert.throws(
      () => xenModule(image, 'xen'),
      (error) =>
        error instanceof InputError && /virtual addresses of this hypervisor cannot be told/.test(error.message),
    );
  });
}

test('pointers that do not agree', () => {
  const image = xenImage(0xffff82d040000000n);
  for (let at = 0x80 + 0x3000; at < 0x80 + 0x3400; at += 32) {
    image.writeUInt32LE(((image.readUInt32LE(at) & 0x3fffffff) | 0x80000000) >>> 0, at);
  }
  assert.throws(() => xenModule(image, 'xen'), /virtual addresses of this hypervisor cannot be told/);
});
