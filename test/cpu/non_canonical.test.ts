import assert from 'node:assert/strict';
import * as broken from '../support/broken.js';
import { KERNEL_STACK } from '../support/machine.js';
import { rule } from '../support/rule.js';

const HOLE = [0x0000800000000000n, 0xffff7fffffffffffn, 0x8000000000000000n];

for (const address of HOLE) {
  rule(
    `an access to 0x${address.toString(16)} is #GP(0); CR2 stays`,
    [broken.withOtherVectors, broken.withErrorCodeMissing],
    (make) => {
      for (const text of ['movq (%rbx), %rax', 'movb %al, (%rbx)', 'incl (%rbx)', 'call *(%rbx)']) {
        const rig = make(`start: ${text}\n`, { regs: { RBX: address, CR2: 0x77n } }).step();
        assert.equal(rig.delivered, 13, text);
        assert.equal(rig.errorCode, 0n);
        assert.equal(rig.frame(true).rip, rig.label('start'));
        assert.equal(rig.get('CR2'), 0x77n);
      }
    },
  );
}

rule('an access through RSP or RBP to a non-canonical address is #SS(0)', broken.withOtherVectors, (make) => {
  const gates = { 12: { ist: 1 } };
  for (const text of [
    'pushq %rax',
    'popq %rax',
    'call 1f\n1:',
    'ret',
    'movq 8(%rsp), %rax',
    'pushfq',
    'popfq',
    'push %fs',
  ]) {
    const rig = make(`start: ${text}\n`, { regs: { RSP: 0x0000900000000000n }, gates }).step();
    assert.equal(rig.delivered, 12, text);
    assert.equal(rig.errorCode, 0n);
    assert.equal(rig.frame(true).rsp, 0x0000900000000000n);
  }
  assert.equal(
    make('start: movq -8(%rbp), %rax\n', { regs: { RBP: 0x0000800000000008n }, gates }).step().delivered,
    12,
  );
});

rule('an access that crosses into the hole is #GP(0)', broken.ignoringSecondPage, (make) => {
  const regions = [{ name: 'last user page', address: 0x00007ffffffff000n, size: 4096, perms: 3 }];
  const rig = make('start: movq (%rbx), %rax\n', { regions, regs: { RBX: 0x00007ffffffffffcn } }).step();
  assert.equal(rig.delivered, 13);
});

for (const text of ['jmp *%rbx', 'call *%rbx', 'jmp *(%rsp)', 'call *(%rsp)', 'ret']) {
  rule(
    `${text} to a non-canonical address is #GP(0) at the branch, which changes nothing`,
    broken.skippingFaults,
    (make) => {
      const rig = make(`start: ${text}\n`, { regs: { RBX: 0x0000800000000000n, RSP: KERNEL_STACK - 8n } });
      rig.setWord(KERNEL_STACK - 8n, 0x0000800000000000n);
      rig.step();
      assert.equal(rig.delivered, 13);
      assert.equal(rig.errorCode, 0n);
      assert.equal(rig.frame(true).rip, rig.label('start'));
      assert.equal(rig.frame(true).rsp, KERNEL_STACK - 8n);
    },
  );
}

rule('addresses wrap around at 2^64', broken.losing(0), (make) => {
  const rig = make('start: movq 0x10(%rbx,%rcx,8), %rax\n', {
    regs: { RBX: 0xfffffffffffffff0n, RCX: (KERNEL_STACK - 8n) >> 3n },
  });
  rig.setWord(KERNEL_STACK - 8n, 0x1234n);
  assert.equal(rig.step().get('RAX'), 0x1234n);
});
