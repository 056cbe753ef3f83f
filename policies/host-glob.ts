/**
 * Patterns of host names, matched label by label in time linear in the name.
 *
 * - `*` stands for one or more characters of one label, or for a whole label: `*.openai.azure.com`,
 *   `*-aiplatform.googleapis.com`
 * - `#` stands for one or more digits of one label: `api#.cursor.sh`
 * - `**` stands for one or more whole labels: `**.githubcopilot.com` (the bare name is listed beside it)
 *
 * A label holds one `*` or `#` at most, a pattern one `**`, so nothing is ever tried twice: a hostile name
 * can't make a match slow. There are no regular expressions from files here.
 */

/** A label's pattern: what it begins with, what stands between, what it ends with. */
type LabelPattern =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'some' | 'digits'; readonly start: string; readonly end: string }

export interface HostGlob {
  readonly source: string
  /** Whole labels at the end without a wildcard: `openai.azure.com`; all of it for a literal name. */
  readonly suffix: string
  readonly literal: boolean
  readonly before: readonly LabelPattern[]
  /** True where `**` stands between `before` and `after`. */
  readonly deep: boolean
  readonly after: readonly LabelPattern[]
}

/**
 * Second levels under which countries sell names (`co.uk`, `com.cn`): as broad as a top-level domain. The Public
 * Suffix List knows more, but a list that ages isn't needed to catch a slip of the pen.
 */
const SOLD_SECOND_LEVELS = new Set([
  'ac',
  'co',
  'com',
  'edu',
  'go',
  'gob',
  'gov',
  'mil',
  'ne',
  'net',
  'nom',
  'or',
  'org',
])

const LABEL = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)$/
const PATTERN = /^([a-z0-9_-]*)([*#])([a-z0-9_-]*)$/

/**
 * Reads a pattern; a string is what is wrong with it and what to do about it.
 * @param reach `own`: of one owner's names, so neither a public suffix nor all below one; `any`: also `localhost`,
 * `**.internal`, a whole top-level domain
 */
export function parseGlob(source: string, reach: 'own' | 'any' = 'own'): HostGlob | string {
  if (source.length > 253) return 'a host name has 253 characters at most'
  if (source !== source.toLowerCase()) return 'write host names in lower case'
  const labels = source.split('.')
  const deepAt = labels.indexOf('**')
  if (deepAt !== labels.lastIndexOf('**')) return '`**` may stand in a pattern once'
  const patterns: LabelPattern[] = []
  for (const label of labels) {
    const pattern = parseLabel(label)
    if (typeof pattern === 'string') return pattern
    patterns.push(pattern)
  }
  const suffix = literalSuffix(patterns)
  const literal = suffix === source
  if (suffix === '')
    return `\`${source}\` is too broad: it takes in every domain; end it in a label without a wildcard`
  if (reach === 'own') {
    const excess = beyondOwn(source, { literal, suffix, labels: labels.length })
    if (excess !== undefined) return excess
  }
  return {
    source,
    suffix,
    literal,
    before: deepAt === -1 ? patterns : patterns.slice(0, deepAt),
    deep: deepAt !== -1,
    after: deepAt === -1 ? [] : patterns.slice(deepAt + 1),
  }
}

function beyondOwn(
  source: string,
  { literal, suffix, labels }: { literal: boolean; suffix: string; labels: number },
): string | undefined {
  if (!literal && isTooBroad(suffix)) {
    return `\`${source}\` is too broad: it takes in everything under \`${suffix}\`; name the provider's own domain`
  }
  if (literal && labels < 2) return `\`${source}\` has one label; give the full name`
  if (literal && isTooBroad(source)) return `\`${source}\` is a public suffix; give the provider's own name`
  return undefined
}

function parseLabel(label: string): LabelPattern | string {
  if (label === '**') return { kind: 'some', start: '', end: '' }
  if (label === '') return 'a host name has no empty label (look for `..`, or a dot at an end)'
  if (LABEL.test(label)) return { kind: 'literal', text: label }
  const [, start, wildcard, end] = PATTERN.exec(label) ?? []
  if (start === undefined || end === undefined || label.length > 63) {
    return `\`${label}\` is neither a label of a host name nor one with a single \`*\` or \`#\``
  }
  return { kind: wildcard === '#' ? 'digits' : 'some', start, end }
}

function literalSuffix(patterns: readonly LabelPattern[]): string {
  const texts: string[] = []
  for (const pattern of patterns.toReversed()) {
    if (pattern.kind !== 'literal') break
    texts.unshift(pattern.text)
  }
  return texts.join('.')
}

function isTooBroad(suffix: string): boolean {
  const labels = suffix.split('.')
  if (labels.length < 2) return true
  return labels.length === 2 && labels[1]!.length === 2 && SOLD_SECOND_LEVELS.has(labels[0]!)
}

/** Does the name, split into its labels, match? */
export function matchesGlob(glob: HostGlob, labels: readonly string[]): boolean {
  const fixed = glob.before.length + glob.after.length
  if (glob.deep ? labels.length <= fixed : labels.length !== fixed) return false
  return (
    glob.before.every((pattern, i) => matchesLabel(pattern, labels[i]!)) &&
    glob.after.every((pattern, i) => matchesLabel(pattern, labels[labels.length - glob.after.length + i]!))
  )
}

function matchesLabel(pattern: LabelPattern, label: string): boolean {
  if (pattern.kind === 'literal') return label === pattern.text
  const { start, end } = pattern
  if (label.length <= start.length + end.length) return false
  if (!label.startsWith(start) || !label.endsWith(end)) return false
  return pattern.kind === 'some' || /^[0-9]+$/.test(label.slice(start.length, label.length - end.length))
}

/** A first label that a matching name could have. */
export function exampleLabel({ before: [first] }: HostGlob): string {
  if (first === undefined) return 'x'
  if (first.kind === 'literal') return first.text
  return `${first.start}${first.kind === 'digits' ? '0' : 'x'}${first.end}`
}
