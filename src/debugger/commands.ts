import type { Debugger } from './debugger.js';
import type { CommandResult } from './view.js';
export async function runCommand(_debug: Debugger, _line: string, _signal?: AbortSignal): Promise<CommandResult> {
  return { lines: [], error: false, changed: false, quit: false };
}
export function complete(_debug: Debugger, _line: string): string[] {
  return [];
}
