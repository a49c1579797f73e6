/** The platforms by name. */
import { InputError } from '../errors.js';
import { LINUX } from './linux.js';
import type { Platform } from './platform.js';
import { XEN } from './xen.js';

export const PLATFORMS: readonly Platform[] = [LINUX, XEN];

export function platformNamed(name: string): Platform {
  const found = PLATFORMS.find((p) => p.name === name);
  if (!found)
    throw new InputError(
      `there is no platform '${name}'; the platforms are ${PLATFORMS.map((p) => p.name).join(', ')}`,
    );
  return found;
}
