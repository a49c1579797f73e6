/** Why the run stopped, in the protocol's words. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { InputError } from '../../errors.js';
import type { FailureView, StopReason, View } from '../view.js';
import type { Breakpoints } from './breakpoints.js';

/** Reasons of the protocol; for those that it has no word for, the client shows the description. */
const REASONS: Readonly<Record<StopReason, string>> = {
  start: 'entry',
  step: 'step',
  target: 'goto',
  breakpoint: 'breakpoint',
  watchpoint: 'data breakpoint',
  failure: 'exception',
  end: 'pause',
  loop: 'pause',
  limit: 'pause',
  'not-modelled': 'exception',
  interrupted: 'pause',
  moved: 'goto',
};

/** Processors are threads, numbered from 1. */
export function threadOf(processor: number): number {
  return processor + 1;
}

export function stoppedBody(view: View, breakpoints: Breakpoints): DebugProtocol.StoppedEvent['body'] {
  const { stop, processor } = view.position;
  const hit = stop.number === undefined ? undefined : breakpoints.hit(stop.number);
  return {
    reason: hit?.stop ?? REASONS[stop.reason],
    description: stop.text,
    text: stop.text,
    threadId: threadOf(processor),
    allThreadsStopped: true,
    ...(hit ? { hitBreakpointIds: [hit.id] } : {}),
  };
}

/** For the debug console: where the cursor stands, and why. */
export function standing({ position }: View): string {
  const { branchName, index, boundary, owner, instruction, stop } = position;
  return `${branchName} ${index}: ${boundary} (${owner})  ${instruction}\n${stop.text}\n`;
}

/** The last failure up to the cursor; of several at once, the one that the stop names. */
function failureAt({ failures, position }: View): FailureView | undefined {
  const before = failures.filter(({ index }) => index <= position.index);
  const last = Math.max(...before.map(({ index }) => index));
  const at = before.filter(({ index }) => index === last);
  return at.find(({ property }) => position.stop.text.startsWith(`${property} `)) ?? at[0];
}

export function exceptionInfo(view: View): DebugProtocol.ExceptionInfoResponse['body'] {
  const { stop } = view.position;
  if (stop.reason === 'not-modelled') {
    return {
      exceptionId: 'not modelled',
      description: stop.text,
      breakMode: 'always',
      details: { message: stop.text },
    };
  }
  const failure = failureAt(view);
  if (failure === undefined) throw new InputError('no property is broken up to here');
  const { property, sentence, boundary, owner, explanation, differences, cause } = failure;
  const lines = [
    `state ${failure.index}, at ${boundary} (${owner})`,
    ...differences.map(({ what, expected, found }) => `${what}: expected ${expected}, found ${found}`),
    ...(cause
      ? [`cause: ${cause.what}, by ${cause.owner} at ${[cause.boundary, cause.place].filter(Boolean).join(', ')}`]
      : []),
  ];
  return {
    exceptionId: property,
    description: sentence,
    breakMode: 'always',
    details: { typeName: property, message: explanation, stackTrace: lines.join('\n') },
  };
}
