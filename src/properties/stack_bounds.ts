import { Reg } from '../cpu/registers.js';
import { hex } from './describe.js';
import type { Property } from './property.js';

export const stackBounds: Property = {
  name: 'stack-bounds',
  sentence: 'the stack pointer stays between base and top of the stack in use',
  ends: false,
  stepped: (m) => !m.withinStack(),
  delivered: (m) => !m.withinOwnStack(),
  explain: (m) => {
    const stack = m.stackInUse();
    const rsp = m.machine.cpu.regs.u64[Reg.RSP]!;
    return stack
      ? `RSP is ${hex(rsp)}, outside of the ${stack.name} stack (${hex(stack.base)} to ${hex(stack.top)})`
      : `RSP is ${hex(rsp)}, on no stack`;
  },
};
