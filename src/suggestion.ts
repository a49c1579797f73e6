/** Near misses in names. */

/** Names with more wrong letters than this share of their length are no near miss. */
const SHARE = 1 / 3;

/** ` (did you mean NAME?)` for the nearest of `names`, with the space before it; empty if none is near. */
export function didYouMean(word: string, names: readonly string[]): string {
  const ranked = names
    .map((name) => ({ name, wrong: distance(word.toLowerCase(), name.toLowerCase()) }))
    .sort((a, b) => a.wrong - b.wrong);
  const best = ranked[0];
  return best && best.wrong <= Math.max(1, Math.floor(SHARE * best.name.length)) ? ` (did you mean ${best.name}?)` : '';
}

/** The `most` names that are nearest to a word: near misses first, then names that hold it or are held in it. */
export function nearNames(word: string, names: readonly string[], most: number): string[] {
  const small = word.toLowerCase();
  const ranked = [...new Set(names)].flatMap((name) => {
    const other = name.toLowerCase();
    const wrong = distance(small, other);
    const near = wrong <= Math.max(1, Math.floor(SHARE * name.length));
    return near || other.includes(small) || small.includes(other) ? [{ name, rank: near ? wrong : 1000 + wrong }] : [];
  });
  return ranked
    .sort((a, b) => a.rank - b.rank)
    .slice(0, most)
    .map(({ name }) => name);
}

/** Letters to insert, delete, replace or exchange with their neighbour. */
function distance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let least = Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, rows[i - 1]![j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        least = Math.min(least, rows[i - 2]![j - 2]! + 1);
      }
      row.push(least);
    }
    rows.push(row);
  }
  return rows[a.length]![b.length]!;
}
