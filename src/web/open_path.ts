/** The debugger on what the page has: no file of it need be on the disk. */
import type { Debugger } from '../debugger/debugger.js';
import { debuggerOf, follow } from '../debugger/open.js';
import type { ScheduledEvent } from '../explore/result.js';
import type { Subject } from '../platforms/subject.js';
import type { Profile } from '../profiles/profile.js';
import { shortPath } from '../report/text.js';
import type { Settings } from './messages.js';
import { definesOf } from './workspace.js';

export interface Opening {
  readonly subject: Subject;
  readonly profile: Profile;
  readonly settings: Settings;
  /** Undefined: at the start of the context. */
  readonly path: readonly ScheduledEvent[] | undefined;
  /** Where it is to stand: where this, or anything, breaks on the path. */
  readonly property: string | undefined;
}

export async function openPath({ subject, profile, settings, path, property }: Opening): Promise<Debugger> {
  const files = subject.image.tested.map(shortPath);
  const debug = await debuggerOf(subject, profile, `${files.join(' ')} in context ${settings.context}`, {
    image: subject.image.hash,
    files,
    defines: definesOf(settings),
    platform: settings.platform,
    profile: settings.profile,
    context: settings.context,
  });
  if (path !== undefined) follow(debug, path, property);
  return debug;
}
