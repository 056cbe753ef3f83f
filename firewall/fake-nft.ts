import { FirewallError } from './errors.ts'
import type { NamedCounter, Nft } from './nft.ts'

export interface FakeNft extends Nft {
  /** Scripts that were applied, in order. */
  readonly applied: readonly string[]
  readonly counters: Map<string, Record<string, NamedCounter>>
  /** The next `apply` rejects with this error, once. */
  failNext(error: FirewallError): void
}

interface FakeTable {
  readonly owned: boolean
  /** Lines of each object's body by its kind and name: a declaration, then rules. */
  readonly objects: Map<string, string[]>
  readonly elements: Map<string, Set<string>>
}

/**
 * An nft without a kernel: knows which tables stand and what was put into them, and nothing of what rules mean.
 */
export function fakeNft(): FakeNft {
  const tables = new Map<string, FakeTable>()
  const counters = new Map<string, Record<string, NamedCounter>>()
  const applied: string[] = []
  let failure: FirewallError | undefined
  const absent = (line: string) =>
    new FirewallError('rules-refused', `nft: No such table: ${line}`, 'add the table first')
  const execute = (line: string) => {
    const [verb, object, family, table, name = ''] = line.split(' ')
    const key = `${family} ${table}`
    const rest = line.split(' ').slice(5).join(' ')
    if (verb === 'add' && object === 'table' && !tables.has(key))
      tables.set(key, { owned: line.includes('flags owner'), objects: new Map(), elements: new Map() })
    const found = tables.get(key)
    if (!found) throw absent(line)
    const { objects, elements } = found
    const declare = () => {
      if (!objects.has(`${object} ${name}`))
        objects.set(`${object} ${name}`, rest === '' ? [] : [rest.replace(/^\{ | \}$/g, '')])
    }
    if (object === 'table') {
      if (verb === 'delete') tables.delete(key)
      if (verb === 'flush') for (const [id, body] of objects) if (id.startsWith('chain ')) body.splice(1)
    } else if (object === 'rule') {
      const body = objects.get(`chain ${name}`) ?? []
      if (verb === 'insert') body.splice(1, 0, rest)
      else body.push(rest)
      objects.set(`chain ${name}`, body)
    } else if (object === 'element') {
      const set = elements.get(name) ?? new Set()
      for (const element of rest
        .replace(/[{}]/g, '')
        .split(',')
        .map((each) => each.trim())) {
        if (verb === 'delete') set.delete(element)
        else set.add(element)
      }
      elements.set(name, set)
    } else if (verb === 'flush' && object === 'set') elements.get(name)?.clear()
    else if (verb === 'delete') objects.delete(`${object} ${name}`)
    else declare()
  }
  const standing = (family: string, name: string) => tables.get(`${family} ${name}`)
  return {
    applied,
    counters,
    failNext: (error) => {
      failure = error
    },
    async apply(script) {
      const error = failure
      failure = undefined
      if (error) throw error
      for (const line of script.split('\n').filter(Boolean)) execute(line)
      applied.push(script)
    },
    async check() {},
    async listTable(family, name) {
      const table = standing(family, name)
      if (!table) return undefined
      const chains = [...table.objects.keys()].filter((id) => id.startsWith('chain '))
      const rules = chains.flatMap((id) => (table.objects.get(id) ?? []).slice(1))
      return {
        nftables: [
          { table: { family, name } },
          ...chains.map((id) => ({ chain: { family, table: name, name: id.slice(6) } })),
          ...rules.map(() => ({ rule: { family, table: name } })),
        ],
      }
    },
    async listText(family, name, options) {
      const table = standing(family, name)
      return table && textOf(family, name, table, options.elements)
    },
    listCounters: async () =>
      [...counters].flatMap(([of, named]) => {
        const [family = '', table = ''] = of.split(' ')
        return Object.entries(named).map(([name, count]) => ({ family, table, name, ...count }))
      }),
    async ownership(family, name) {
      const table = standing(family, name)
      return table ? (table.owned ? 'owned' : 'unowned') : 'absent'
    },
  }
}

function textOf(family: string, name: string, table: FakeTable, withElements: boolean): string {
  const lines = [`table ${family} ${name} {`]
  for (const [id, body] of table.objects) {
    lines.push(`\t${id} {`, ...body.map((line) => `\t\t${line}`))
    const elements = table.elements.get(id.replace(/^\S+ /, ''))
    if (withElements && id.startsWith('set ') && elements?.size)
      lines.push(`\t\telements = { ${[...elements].join(',\n\t\t\t     ')} }`)
    lines.push('\t}')
  }
  return `${lines.join('\n')}\n}\n`
}
