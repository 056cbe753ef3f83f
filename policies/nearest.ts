/** Longer strings are no slip of the finger, and the work stays bounded. */
const LONGEST = 64

/** Edits between two strings: insertion, deletion, replacement, swap of neighbours (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = []
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      let best = Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + cost)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, before[j - 2]! + 1)
      }
      row.push(best)
    }
    before = previous
    previous = row
  }
  return previous[b.length]!
}

/** The candidate that was probably meant, or undefined where none is near (a third of its letters may differ). */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  if (word.length > LONGEST) return undefined
  const plain = (text: string) => text.toLowerCase().replace(/[-_]/g, '')
  let found: string | undefined
  let least = Number.POSITIVE_INFINITY
  for (const candidate of candidates) {
    if (candidate.length > LONGEST) continue
    const distance = editDistance(plain(word), plain(candidate))
    if (distance < least && distance <= Math.max(1, Math.ceil(candidate.length / 3))) {
      least = distance
      found = candidate
    }
  }
  return found
}
