/** The platform `xen` for the hypervisor's own code. */
import type { Platform } from './platform.js';
import type { CodeFacts } from './system_code.js';

export function xenHypervisor(platform: Platform, _facts: CodeFacts): Platform {
  return platform;
}
