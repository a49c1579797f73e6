/** Many short texts against GNU as at once. */
import type { Assembler } from '../../src/assembler/index.js';
import type { Module } from '../../src/image/module.js';
import { assembleWithGnu, sectionDifferences } from './gnu.js';

/** Each text in a section of its own, so that one call of GNU as does for all. */
function inSections(texts: readonly string[]): string[] {
  return texts.map((text, i) => `.section .s${i}, "ax"\n${text}\n`);
}

/** Numbers of the texts that GNU as refuses, by the lines that its messages name. */
function refused(texts: readonly string[], message: string): Set<number> {
  const starts: number[] = [];
  let line = 1;
  for (const text of texts) {
    starts.push(line);
    line += text.split('\n').length - 1;
  }
  const numbers = new Set<number>();
  for (const match of message.matchAll(/^input\.S:(\d+): Error:/gm)) {
    const at = Number(match[1]);
    numbers.add(starts.findLastIndex((start) => start <= at));
  }
  return numbers;
}

/** Compares texts with GNU as, one section each; texts that GNU as refuses must be refused here, too. */
export function compare(assembler: Assembler, texts: readonly string[]): { differences: string[]; compared: number } {
  const sections = inSections(texts);
  let wrong = new Set<number>();
  let gnu: ReturnType<typeof assembleWithGnu>;
  try {
    gnu = assembleWithGnu(sections.join(''), {}, ['-Wa,-W']);
  } catch (error) {
    wrong = refused(sections, (error as Error).message);
    if (wrong.size === 0) throw error;
    gnu = assembleWithGnu(sections.map((text, i) => (wrong.has(i) ? text.replace(/[^\n]/g, '') : text)).join(''), {}, [
      '-Wa,-W',
    ]);
  }
  const differences: string[] = [];
  sections.forEach((text, i) => {
    let module: Module;
    try {
      module = assembler.assembleText(text, 'snippet');
    } catch (error) {
      if (!wrong.has(i)) differences.push(`${texts[i]}: ${(error as Error).message}`);
      return;
    }
    if (wrong.has(i)) differences.push(`${texts[i]}: accepted, GNU as refuses it`);
    else
      for (const difference of sectionDifferences(`.s${i}`, module, gnu))
        differences.push(`${texts[i]}: ${difference}`);
  });
  return { differences, compared: texts.length - wrong.size };
}
