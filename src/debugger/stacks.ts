/** The stacks: each word with its name, its frame and who wrote it. */
import { Reg } from '../cpu/registers.js';
import { hex } from '../properties/describe.js';
import { symbolic } from '../report/names.js';
import { slotNames } from '../report/stack.js';
import type { Debugger } from './debugger.js';
import { allStacks, writerOf } from './frames.js';
import type { History } from './history.js';
import type { FrameView, StackView, StackWordView } from './view.js';

/** Words that a view shows of one stack at most; more are left out at its lower end, or, where RSP lies lower, at its top. */
const MAX_WORDS = 256;
/** How many of them lie below RSP then. */
const BELOW = 16;

/** The stacks that RSP lies in, that have frames, or that were written to. */
export function stacksOf(
  debug: Debugger,
  history: History,
  frames: readonly FrameView[],
  processor: number,
): StackView[] {
  const { machine } = debug.run;
  const { memory } = machine;
  const { index } = debug.cursor;
  const writers = history.writers(index);
  const rsp = machine.cpu.regs.u64[machine.processors.place(processor, Reg.RSP) / 2]!;
  const slots = slotNames(debug.subject, (address) => memory.peek64(address));
  const last = new Set(index > 0 ? history.wordsWritten(index - 1) : []);
  return allStacks(debug).flatMap((stack): StackView[] => {
    const base = BigInt.asUintN(64, stack.base);
    const top = BigInt.asUintN(64, stack.top);
    const current = rsp > base && rsp <= top;
    const own = frames.filter((f) => f.open && BigInt(f.top) > base && BigInt(f.top) <= top && f.bottom !== f.top);
    const words: StackWordView[] = [];
    let lowest = 0;
    // What RSP points to is shown in any case, with what lies above it.
    const depth = current ? Number(top - rsp) / 8 : 0;
    const first = Math.max(1, Math.floor(depth) - MAX_WORDS + BELOW);
    const count = Math.min(first + MAX_WORDS - 1, Number(top - base) / 8);
    for (let i = first; i <= count; i++) {
      const address = top - BigInt(8 * i);
      const offset = memory.translateAddress(address);
      if (offset < 0) break;
      const writer = writers.get(offset >>> 3);
      const value = memory.view.getBigUint64(offset, true);
      const slot = slots.get(address);
      const frame = own.findLast((f) => address >= BigInt(f.bottom) && address < BigInt(f.top));
      const hasRsp = rsp >= address && rsp < address + 8n;
      if (writer !== undefined || (current && rsp <= address)) lowest = words.length + 1;
      const word = slot?.word ?? (frame ? frameWord(frame, address) : '');
      words.push({
        address: hex(address),
        below: 8 * i,
        value: hex(value),
        note: symbolic(debug.subject, 'rip', value).split(' ').slice(1).join(' ') || undefined,
        slot: slot?.slot ?? '',
        word,
        frame: frame?.id,
        writer: writer === undefined ? undefined : writerOf(debug, history, writer),
        rsp: hasRsp,
        changed: last.has(offset >>> 3),
      });
    }
    if (!current && own.length === 0 && lowest === 0) return [];
    return [{ name: stack.name, base: hex(base), top: hex(top), current, words: words.slice(0, lowest), frames: own }];
  });
}

/** From the top down (SDM vol. 3, figure 6-9); with FRED (FRED specification, 5.2). */
const FRAME_WORDS = ['SS', 'RSP', 'RFLAGS', 'CS', 'RIP', 'error code'];
const FRED_WORDS = ['reserved', 'event data', 'SS', 'RSP', 'RFLAGS', 'CS', 'RIP', 'error code'];

/** What the processor has pushed at an address of a frame. */
function frameWord(frame: FrameView, address: bigint): string {
  const words = Number(BigInt(frame.top) - BigInt(frame.bottom)) / 8;
  const place = Number(BigInt(frame.top) - address) / 8 - 1;
  return (words > FRAME_WORDS.length ? FRED_WORDS : FRAME_WORDS)[place] ?? '';
}
