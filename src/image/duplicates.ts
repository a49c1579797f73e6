/** What several modules hold and only one of them keeps: section groups and COMMON symbols (gABI, Section Groups; SHN_COMMON). */
import { InputError } from '../errors.js';
import type { Module, ModuleSection, ModuleSymbol } from './module.js';

/** The modules as they are linked together: what another one has instead is an undefined symbol. */
export function withoutDuplicates(modules: readonly Module[]): readonly Module[] {
  return withOneCommon(withOneGroup(modules));
}

/** Of section groups with one signature, the first is kept. */
function withOneGroup(modules: readonly Module[]): readonly Module[] {
  const seen = new Set<string>();
  return modules.map((module) => {
    const dropped = new Set(module.sections.filter(({ group }) => group !== undefined && seen.has(group)));
    for (const { group } of module.sections) if (group !== undefined) seen.add(group);
    return withoutSections(module, dropped);
  });
}

/** Where no module defines it otherwise, the first module that has a COMMON symbol gets one that is large enough for all. */
function withOneCommon(modules: readonly Module[]): readonly Module[] {
  const homes = modules.flatMap((module) => {
    const sections = new Map(module.sections.map((section) => [section.name, section]));
    return module.symbols.flatMap((symbol) => {
      const section = sections.get(symbol.section);
      return section?.common ? [{ module, section, name: symbol.name }] : [];
    });
  });
  if (homes.length === 0) return modules;
  // "The link editor honors the common definition and ignores the weak ones."
  const defined = new Set(
    modules.flatMap((module) => {
      const common = new Set(homes.filter((home) => home.module === module).map(({ name }) => name));
      const strong = ({ name, section, binding }: ModuleSymbol): boolean =>
        binding === 'global' && section !== 'undefined' && !common.has(name);
      return module.symbols.filter(strong).map(({ name }) => name);
    }),
  );
  const kept = new Map<string, ModuleSection>();
  for (const { section, name } of homes) {
    const known = kept.get(name) ?? section;
    const size = Math.max(known.size, section.size);
    kept.set(name, { ...known, size, align: Math.max(known.align, section.align) });
  }
  const placed = new Set<string>(defined);
  return modules.map((module) => {
    const own = homes.filter((home) => home.module === module);
    if (own.length === 0) return module;
    const dropped = new Set(own.filter(({ name }) => placed.has(name)).map(({ section }) => section));
    const larger = new Map(own.map(({ section, name }) => [section, kept.get(name)!]));
    for (const { name } of own) placed.add(name);
    const rest = withoutSections(module, dropped);
    const size = new Map(own.map(({ section, name }) => [section.name, BigInt(kept.get(name)!.size)]));
    return {
      ...rest,
      sections: rest.sections.map((section) => larger.get(section) ?? section),
      symbols: rest.symbols.map((symbol) => ({ ...symbol, size: size.get(symbol.section) ?? symbol.size })),
    };
  });
}

function withoutSections(module: Module, dropped: ReadonlySet<ModuleSection>): Module {
  if (dropped.size === 0) return module;
  const names = new Set([...dropped].map(({ name }) => name));
  const isLost = ({ section, binding }: ModuleSymbol): boolean => names.has(section) && binding === 'local';
  const lost = new Map(module.symbols.filter(isLost).map(({ name, section }) => [name, section]));
  const sections = module.sections.filter((section) => !dropped.has(section));
  for (const { name, relocations } of sections) {
    const use = relocations.find(({ symbol }) => lost.has(symbol));
    if (!use) continue;
    throw new InputError(
      `${module.name}: section ${name} at offset 0x${use.offset.toString(16)} refers to ${use.symbol} in section ${lost.get(use.symbol)}, in whose place another file's group is linked; make the symbol global, or give one of the files`,
    );
  }
  return {
    ...module,
    sections,
    symbols: module.symbols.flatMap((symbol): ModuleSymbol[] => {
      if (!names.has(symbol.section)) return [symbol];
      return symbol.binding === 'local' ? [] : [{ ...symbol, section: 'undefined', value: 0n, calledOnly: false }];
    }),
  };
}
