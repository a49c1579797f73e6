/** What people type: commands in the debug console, expressions elsewhere, values of variables. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { hex } from '../../properties/describe.js';
import type { Adapter } from './adapter.js';
import type { Reply } from './requests.js';

/** In the debug console every text is a command of the line mode; in a hover or the list of watches it is an expression. */
export async function evaluate(adapter: Adapter, asked: { expression: string; context: string }): Promise<Reply> {
  const { expression, context } = asked;
  if (context === 'repl') {
    const { lines, news, quit } = await adapter.command(expression);
    const afterwards = quit ? () => adapter.client.quit() : news;
    return { body: { result: lines.join('\n'), variablesReference: 0 }, ...(afterwards ? { afterwards } : {}) };
  }
  const value = hex(adapter.target.evaluate(expression));
  const name = expression.trim().replace(/^[%$]/, '').toLowerCase();
  const note = adapter.view().registers.find((register) => register.name === name)?.note;
  return {
    body: { result: note === undefined ? value : `${value}  ${note}`, variablesReference: 0, memoryReference: value },
  };
}

/** An edit: it begins a branch. */
export function setVariable(
  adapter: Adapter,
  asked: { readonly variablesReference: number; readonly name: string; readonly value: string },
): Reply {
  const { target } = adapter;
  const place = adapter.variables.place(asked.variablesReference, asked.name);
  const value = target.evaluate(asked.value);
  if (place.kind === 'register') target.writeRegister(place.name, value, place.processor);
  else {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(value);
    target.writeMemory(place.address, bytes);
  }
  return { body: { value: hex(value), memoryReference: hex(value) }, afterwards: () => adapter.edited() };
}

/** `column`: behind the last character, in the client's count. */
export function completions(adapter: Adapter, text: string, column: number): DebugProtocol.CompletionItem[] {
  const line = text.slice(0, adapter.client.columnFrom(column) - 1);
  return adapter.target.complete(line).map((label) => {
    // What it stands in place of: the most that has been typed of it.
    let length = Math.min(label.length, line.length);
    while (!line.endsWith(label.slice(0, length))) length--;
    return { label, start: adapter.client.columnTo(line.length - length + 1), length };
  });
}
