/** The options of the commands that open a debugger. */
import type { DebugSettings } from '../debugger/open.js';
import { parseChanges } from '../profiles/profile.js';
import { type CodeOptions, codeSettings, type SourceOptions, sourceSettings } from './search_options.js';

export interface DebugOptions extends SourceOptions, CodeOptions {
  readonly platform: string;
  readonly profile: string;
  readonly knob?: readonly string[];
  readonly context: string;
  readonly case?: string;
  /** Flags of these that were given. */
  readonly given: readonly string[];
}

export function debugSettings(options: DebugOptions): DebugSettings {
  return {
    platform: options.platform,
    profile: options.profile,
    knobs: parseChanges(options.knob ?? []),
    context: options.context,
    sources: sourceSettings(options),
    code: codeSettings(options),
    ...(options.case === undefined ? {} : { case: options.case }),
    given: options.given,
  };
}
