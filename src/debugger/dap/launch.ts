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

const name = z.string().min(1);

/** Editors put fields of their own beside these. The descriptions are what an editor shows: examples/vscode/package.json has them. */
export const launchArguments = z.looseObject({
  program: z
    .union([name, z.array(name).min(1)])
    .describe(
      'Assembly files (.S), objects or a kernel; or a scenario (.yaml) or a path file (.json): these begin at their failure.',
    ),
  cwd: name.optional().describe('The folder that relative names are in.'),
  platform: z.string().default('linux').describe('Conventions of the system software: linux, or xen.'),
  profile: z.string().default('intel').describe('Rules of the silicon: intel, amd, fred, or a .yaml file.'),
  knobs: z
    .record(z.string(), z.union([z.string(), z.boolean()]))
    .default({})
    .describe('Rules of the profile that are changed (entrace profiles lists them).'),
  context: z
    .string()
    .default('kernel')
    .describe('What is interrupted: kernel, user, user-rsp, syscall-gap, or a .S file of your own.'),
  case: z.string().optional().describe('Of a scenario with several contexts or profiles: the one to open.'),
  defines: z
    .record(z.string().regex(/^[A-Za-z_]\w*$/), z.union([z.string(), z.number(), z.boolean()]))
    .default({})
    .describe('Preprocessor macros, as -D.'),
  includeDirs: z.array(name).default([]).describe('Folders that included files are looked for in, as -I.'),
  includes: z.array(name).default([]).describe('Files that are read first, as -include.'),
  assembler: z
    .enum(ASSEMBLERS)
    .default('keystone')
    .describe('What assembles: keystone, or gnu (the gcc of this machine).'),
  features: z
    .string()
    .optional()
    .describe('Features of the processor that real code is patched for: pti,fsgsbase,smap; none.'),
  stubs: z
    .record(z.string(), name.nullable())
    .default({})
    .describe('Functions that get a stand-in: that of the file, or the usual one (null).'),
  through: z
    .array(z.string())
    .default([])
    .describe('C functions of an executable that are run themselves, with all that they call.'),
  stopOnEntry: z
    .boolean()
    .default(true)
    .describe('Stop where the path begins, or at the failure of a counterexample; otherwise continue from there.'),
});

export type LaunchArguments = z.infer<typeof launchArguments>;

/** `true` is 1, as -D without a value has it. */
function definition(value: string | number | boolean): string {
  return typeof value === 'boolean' ? (value ? '1' : '0') : String(value);
}

/** Rejects with an InputError for whatever is wrong with the files. */
export function openLaunched(launch: LaunchArguments): Promise<Debugger> {
  const path = (file: string): string => resolve(launch.cwd ?? '.', file);
  const { platform, context, profile, assembler, features, through } = launch;
  return openDebugger([launch.program].flat().map(path), {
    platform,
    profile: isProfileFile(profile) ? path(profile) : profile,
    knobs: checkChanges(launch.knobs),
    context: isContextFile(context) ? path(context) : context,
    sources: {
      defines: Object.fromEntries(Object.entries(launch.defines).map(([macro, value]) => [macro, definition(value)])),
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
