/**
 * Page-table isolation: user mode runs in an address space that maps of the kernel only what an entry needs before it
 * has loaded the kernel's CR3. The kernel's address space maps all, user memory without execution.
 */
import { type AddressSpace, PAGE_SIZE, Perm, type Region } from '../cpu/memory.js';
import type { Module, ModuleSymbol } from '../image/module.js';
import { type Platform, processorOf } from './platform.js';
import type { Subject } from './subject.js';

const KERNEL = 'kernel';
/** Name of the address space of user mode, with isolation. */
export const USER_SPACE = 'user';
const SECOND_PROCESS = 'second process';

/** Whether the image asks for isolation. */
export function isIsolated({ image, platform }: Subject): boolean {
  return image.globals.has(platform.isolation.marker);
}

/** The beginnings of the names of sections that need pages of their own in an image of these modules. */
export function apartSections(modules: readonly Module[], { isolation, symbols }: Platform): readonly string[] {
  const isMarker = (s: ModuleSymbol): boolean =>
    s.name === isolation.marker && s.section !== 'undefined' && s.binding !== 'local';
  return symbols[isolation.marker] !== undefined || modules.some((module) => module.symbols.some(isMarker))
    ? isolation.sections
    : [];
}

/** The platform for an image that is isolated without saying so itself. */
export function isolated(platform: Platform): Platform {
  return { ...platform, symbols: { ...platform.symbols, [platform.isolation.marker]: 1n } };
}

/**
 * The address spaces of the machine: one for all, or the kernel's and the user's. Without isolation an image can ask for the
 * page tables of another process, which map the same.
 */
export function addressSpaces({ image, platform }: Subject): AddressSpace[] {
  const { cr3, isolation, secondProcess } = platform;
  const kernel = { name: KERNEL, cr3 };
  if (image.globals.has(isolation.marker)) return [kernel, { name: USER_SPACE, cr3: isolation.cr3 }];
  if (secondProcess === undefined || !image.globals.has(secondProcess.marker)) return [kernel];
  return [kernel, { name: SECOND_PROCESS, cr3: secondProcess.cr3 }];
}

/** The regions with their rights in each address space; one of which only some pages are shared is taken apart. */
export function inAddressSpaces(regions: readonly Region[], subject: Subject): Region[] {
  if (!isIsolated(subject)) return [...regions];
  const shared = sharedPages(subject);
  const { areas } = subject.platform.isolation;
  const isShared = (page: bigint): boolean =>
    shared.has(page) || areas.some(({ start, end }) => page >= start && page < end);
  return regions.flatMap((region) => {
    if (region.hidden || region.smram) return [region];
    const { perms } = region;
    if (perms & Perm.USER) return [{ ...region, spaces: { [KERNEL]: perms & ~Perm.EXEC, [USER_SPACE]: perms } }];
    return runs(region, isShared).map(({ inBoth, ...run }) => ({
      ...region,
      ...run,
      spaces: inBoth ? { [KERNEL]: perms, [USER_SPACE]: perms } : { [KERNEL]: perms },
    }));
  });
}

/** The pages of the image's sections that the user's address space maps, for all processors. */
function sharedPages({ image, platform, processors }: Subject): Set<bigint> {
  const pages = new Set<bigint>();
  for (const section of image.sections) {
    if (!platform.isolation.sections.some((name) => section.name.startsWith(name))) continue;
    for (let n = 0; n < (section.segment === 'percpu' ? processors : 1); n++) {
      const first = section.loadAddress + processorOf(platform, n).percpu - platform.layout.percpu;
      for (let page = first & ~0xfffn; page < first + BigInt(section.size); page += BigInt(PAGE_SIZE)) pages.add(page);
    }
  }
  for (const [from, to] of platform.isolation.parts ?? []) {
    const start = image.find(from);
    const end = typeof to === 'number' ? (start?.address ?? 0n) + BigInt(to) : image.find(to)?.address;
    const section = start && image.sectionAt(start.address);
    if (!start || end === undefined || !section?.fixed) continue;
    for (let n = 0; n < (section.segment === 'percpu' ? processors : 1); n++) {
      const distance = section.loadAddress - section.address + processorOf(platform, n).percpu - platform.layout.percpu;
      for (let at = start.address & ~0xfffn; at < end; at += BigInt(PAGE_SIZE)) pages.add(at + distance);
    }
  }
  return pages;
}

interface Run {
  readonly address: bigint;
  size: number;
  readonly inBoth: boolean;
}

/** A region as runs of pages that are all shared or all not. */
function runs(region: Region, isShared: (page: bigint) => boolean): Run[] {
  const list: Run[] = [];
  for (let at = 0; at < region.size; at += PAGE_SIZE) {
    const address = region.address + BigInt(at);
    const inBoth = isShared(address);
    const last = list.at(-1);
    if (last?.inBoth === inBoth) last.size += PAGE_SIZE;
    else list.push({ address, size: PAGE_SIZE, inBoth });
  }
  return list;
}
