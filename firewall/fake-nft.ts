import { FirewallError } from './errors.ts'
import type { NamedCounter, Nft } from './nft.ts'

export interface FakeNft extends Nft {
  /** Scripts that were applied, in order. */
  readonly applied: readonly string[]
  readonly counters: Map<string, Record<string, NamedCounter>>
  /** The next `apply` rejects with this error, once. */
  failNext(error: FirewallError): void
}

/**
 * An nft without a kernel: knows which tables stand and which chains they have, and nothing of what rules mean.
 */
export function fakeNft(): FakeNft {
  const tables = new Map<string, { owned: boolean; chains: Set<string>; rules: number }>()
  const counters = new Map<string, Record<string, NamedCounter>>()
  const applied: string[] = []
  let failure: FirewallError | undefined
  const absent = (line: string) =>
    new FirewallError('rules-refused', `nft: No such table: ${line}`, 'add the table first')
  const execute = (line: string) => {
    const [verb, object, family, table, chain] = line.split(' ')
    const key = `${family} ${table}`
    if (verb === 'add' && object === 'table' && !tables.has(key))
      tables.set(key, { owned: line.includes('flags owner'), chains: new Set(), rules: 0 })
    const found = tables.get(key)
    if (!found) throw absent(line)
    if (verb === 'delete' && object === 'table') tables.delete(key)
    if (verb === 'flush' && object === 'table') found.rules = 0
    if (verb === 'add' && object === 'chain' && chain) found.chains.add(chain)
    if (verb === 'add' && object === 'rule') found.rules++
  }
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
      const table = tables.get(`${family} ${name}`)
      if (!table) return undefined
      const chains = [...table.chains].map((chain) => ({ chain: { family, table: name, name: chain } }))
      const rules = Array.from({ length: table.rules }, () => ({ rule: { family, table: name } }))
      return { nftables: [{ table: { family, name } }, ...chains, ...rules] }
    },
    listCounters: async (family, table) => counters.get(`${family} ${table}`) ?? {},
    async ownership(family, name) {
      const table = tables.get(`${family} ${name}`)
      return table ? (table.owned ? 'owned' : 'unowned') : 'absent'
    },
  }
}
