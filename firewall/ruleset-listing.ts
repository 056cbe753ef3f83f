/**
 * A table as `nft --stateless list table` prints it, in a form that two listings can be compared in: whatever
 * order the objects were made in, without what counts or ages by itself. Pure.
 */
export interface TableListing {
  /** `flags owner` and the like. */
  readonly head: string
  /** Text of each object by its kind and name (`chain output`), without the elements of sets. */
  readonly objects: ReadonlyMap<string, string>
  /**
   * Elements by the set's name, sorted; a set whose elements come and go by themselves isn't there. None at all
   * where the listing left them out (`--terse`).
   */
  readonly elements: ReadonlyMap<string, readonly string[]> | undefined
}

const OBJECT = /^\t(\S.*?) \{$/
const SET = /^(?:set|map) (.*)/
const ELEMENTS = /^\t\telements = \{/
/** Elements that time out, that packets add, and control groups, which come and go. */
const AGEING = /^\t\t(?:flags .*\b(?:timeout|dynamic)\b|type .*\bcgroupsv2\b)/m

export function parseListing(text: string, withElements: boolean): TableListing {
  const head: string[] = []
  const objects = new Map<string, string>()
  const elements = new Map<string, string[]>()
  const lines = text.split('\n')
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i] ?? ''
    const name = OBJECT.exec(line)?.[1]
    if (name === undefined) {
      if (line.trim() !== '' && line !== '}') head.push(line.trim())
      continue
    }
    const end = lines.indexOf('\t}', i)
    const body = lines.slice(i + 1, end === -1 ? undefined : end)
    const start = body.findIndex((each) => ELEMENTS.test(each))
    const plain = (start === -1 ? body : body.slice(0, start)).join('\n')
    objects.set(name, plain)
    const set = SET.exec(name)?.[1]
    if (set !== undefined && !AGEING.test(plain))
      elements.set(set, start === -1 ? [] : elementsOf(body.slice(start)))
    if (end === -1) break
    i = end
  }
  return { head: head.join('\n'), objects, elements: withElements ? elements : undefined }
}

function elementsOf(lines: readonly string[]): string[] {
  return lines
    .join(' ')
    .replace(ELEMENTS, '')
    .replace(/\s*\}\s*$/, '')
    .split(',')
    .map((element) => element.trim().replace(/\s+/g, ' '))
    .filter((element) => element !== '')
    .sort()
}

/**
 * What of `standing` isn't as in `expected`, in a few words; undefined where nothing is. Elements are compared
 * where both listings have them.
 */
export function differenceOf(expected: TableListing, standing: TableListing): string | undefined {
  if (expected.head !== standing.head) return `flags: ${standing.head || 'none'}`
  for (const [name, text] of expected.objects) {
    const found = standing.objects.get(name)
    if (found === undefined) return `${name} is gone`
    if (found !== text) return `${name} is another`
  }
  for (const name of standing.objects.keys()) {
    if (!expected.objects.has(name)) return `${name} is strange`
  }
  if (!expected.elements || !standing.elements) return undefined
  for (const [name, list] of expected.elements) {
    if (list.join() !== standing.elements.get(name)?.join()) return `elements of ${name} are others`
  }
  return undefined
}

const DECLARED = /^add (chain|set|map|counter|quota|limit|flowtable) (\S+) (\S+) ([^\s{;]+)/

/** Objects of a table that the script that makes the table doesn't name: somebody else put them there. */
export function strangersIn(listing: TableListing, script: string, family: string, table: string): string[] {
  const own = new Set<string>()
  for (const line of script.split('\n')) {
    const [, kind, of, at, name] = DECLARED.exec(line) ?? []
    if (of === family && at === table) own.add(`${kind} ${name}`)
  }
  return [...listing.objects.keys()].filter((name) => !own.has(name))
}

/** Elements that the script adds to a set, sorted. */
export function elementsIn(script: string, family: string, table: string, set: string): string[] {
  const start = `add element ${family} ${table} ${set} {`
  return script
    .split('\n')
    .filter((line) => line.startsWith(start))
    .flatMap((line) =>
      line
        .slice(start.length)
        .replace(/\}\s*$/, '')
        .split(','),
    )
    .map((element) => element.trim())
    .filter((element) => element !== '')
    .sort()
}
