/** The fields of a launch configuration, and what they open. */
import { resolve } from 'node:path';
import { z } from 'zod';
import { ASSEMBLERS } from '../../assembler/index.js';
import { featureWords } from '../../platforms/features.js';
import { isContextFile } from '../../platforms/subject.js';
import { checkChanges } from '../../profiles/profile.js';
import { isProfileFile } from '../../profiles/profile_file.js';
import type { Debugger } from '../debugger.js';
import { openDebugger } from '../open.js';

/** Editors put fields of their own beside these. */
export const launchArguments = z.looseObject({
  program: z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]),
  /** The folder that relative names are in; the adapter's own without it. */
  cwd: z.string().min(1).optional(),
  platform: z.string().default('linux'),
  profile: z.string().default('intel'),
  /** As --knob. */
  knobs: z.record(z.string(), z.union([z.string(), z.boolean()])).default({}),
  context: z.string().default('kernel'),
  case: z.string().optional(),
  /** As -D, -I and --include. */
  defines: z.record(z.string().regex(/^[A-Za-z_]\w*$/), z.union([z.string(), z.number(), z.boolean()])).default({}),
  includeDirs: z.array(z.string().min(1)).default([]),
  includes: z.array(z.string().min(1)).default([]),
  assembler: z.enum(ASSEMBLERS).default('keystone'),
  /** As --features, --stub (null: the usual stand-in) and --through. */
  features: z.string().optional(),
  stubs: z.record(z.string(), z.string().min(1).nullable()).default({}),
  through: z.array(z.string()).default([]),
  /** Stand at the beginning, or at the failure of a counterexample; otherwise continue from there. */
  stopOnEntry: z.boolean().default(true),
});

export type LaunchArguments = z.infer<typeof launchArguments>;

/** `true` is 1, as -D without a value has it. */
function definition(value: string | number | boolean): string {
  return typeof value === 'boolean' ? (value ? '1' : '0') : String(value);
}

/** Rejects with an InputError for whatever is wrong with the files. */
export function openLaunched(launch: LaunchArguments): Promise<Debugger> {
  const path = (name: string): string => resolve(launch.cwd ?? '.', name);
  const { platform, context, profile, assembler, features, through } = launch;
  return openDebugger([launch.program].flat().map(path), {
    platform,
    profile: isProfileFile(profile) ? path(profile) : profile,
    knobs: checkChanges(launch.knobs),
    context: isContextFile(context) ? path(context) : context,
    sources: {
      defines: Object.fromEntries(Object.entries(launch.defines).map(([name, value]) => [name, definition(value)])),
      includePaths: launch.includeDirs.map(path),
      forcedIncludes: launch.includes.map(path),
      assembler,
    },
    code: {
      features: featureWords(features),
      stubs: Object.entries(launch.stubs).map(([name, file]) => ({
        name,
        file: file === null ? undefined : path(file),
      })),
      through,
    },
    ...(launch.case === undefined ? {} : { case: launch.case }),
  });
}
