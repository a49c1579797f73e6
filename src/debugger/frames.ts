/** The frames that deliveries have pushed, what became of them, and who has written where. */
import { processorOf, type Stack } from '../platforms/platform.js';
import { hex } from '../properties/describe.js';
import type { Debugger } from './debugger.js';
import type { History } from './history.js';
import { type Delivery, Kind, Row } from './log.js';
import type { FrameView, WriterView } from './view.js';

/** All stacks of all processors. */
export function allStacks(debug: Debugger): Stack[] {
  const { platform, processors } = debug.subject;
  return Array.from({ length: processors }, (_, n) => processorOf(platform, n).stacks).flat();
}

/** The stack that a push below `top` goes to. */
export function stackOf(debug: Debugger, top: bigint): Stack | undefined {
  return allStacks(debug).find((stack) => top > stack.base && top <= stack.top);
}

export function writerOf(debug: Debugger, history: History, index: number): WriterView {
  return {
    index,
    owner: history.owner(index),
    boundary: debug.image.name(history.address(index)),
    delivery: (history.row(index, Row.KIND) & Kind.DELIVERED) !== 0,
  };
}

/** The first transition, after the delivery and before it was given back, by which others than its handler have written into its frame. */
export function overwriter(debug: Debugger, history: History, delivery: Delivery): WriterView | undefined {
  const { memory } = debug.run.machine;
  const offset = memory.translateAddress(delivery.bottom);
  if (offset < 0 || delivery.bottom === delivery.top) return undefined;
  const first = offset >>> 3;
  const words = Number(delivery.top - delivery.bottom) / 8;
  const index = history.firstWrite(
    first,
    first + words,
    delivery.index + 1,
    (i) => history.owner(i) !== named(debug, delivery),
  );
  const closed = history.closedAt(delivery);
  return index === undefined || (closed !== undefined && index >= closed) ? undefined : writerOf(debug, history, index);
}

/** The delivery as an owner. */
function named(debug: Debugger, { name, processor }: Delivery): string {
  return debug.subject.processors > 1 ? `CPU ${processor} ${name}` : name;
}

/** All of the path up to the cursor, oldest first. */
export function framesOf(debug: Debugger, history: History): FrameView[] {
  const open = new Set(debug.cursor.owners.open.flatMap((list, n) => list.map((name) => `${n} ${name}`)));
  return history.deliveries.map((delivery, id) => {
    const isOpen = open.has(`${delivery.processor} ${delivery.name}`);
    return {
      id,
      owner: named(debug, delivery),
      interrupted: delivery.interrupted,
      processor: delivery.processor,
      boundary: debug.image.name(delivery.address),
      stack: stackOf(debug, delivery.top)?.name ?? '',
      bottom: hex(delivery.bottom),
      top: hex(delivery.top),
      index: delivery.index,
      open: isOpen,
      overwritten: isOpen ? overwriter(debug, history, delivery) : undefined,
    };
  });
}

export function openFrames(frames: readonly FrameView[]): FrameView[] {
  return frames.filter(({ open }) => open);
}
