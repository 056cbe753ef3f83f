/**
 * What `nft monitor` prints, put together to transactions: pure but for the callbacks. One line a change, then
 * one line that names the new generation of the ruleset and the process that made it:
 *
 *     insert rule inet aa_fence output accept
 *     # new generation 4 by process 32334 (nft)
 *
 * nft can't always print a change: it loses track of sets (1.0.6 does after a rule with a set of its own is
 * replaced), and then says so on stderr only. A generation without changes is told all the same.
 *
 * Threat model: comments of rules and names of processes are other people's words, and may hold line breaks. A
 * line made up that way can only pretend a generation; generations count without gaps, so the true line that
 * follows gives it away, and it is told as {@link TransactionListener.lost}.
 */
export interface TouchedTable {
  readonly family: string
  readonly name: string
  /** The first change to it of the highest weight, as nft printed it, printable and cut. */
  readonly what: string
  readonly weight: Weight
  readonly changes: number
}

/** `turns`: sends packets elsewhere or keeps them from being tracked. `hooks`: hangs a chain into their way. */
export type Weight = 'turns' | 'hooks' | 'other'

export interface Transaction {
  /** Number of the ruleset's generation; undefined where none was told. */
  readonly generation: number | undefined
  /** The process as the first pid namespace of the machine counts it; undefined where the kernel didn't say. */
  readonly pid: number | undefined
  readonly process: string | undefined
  /** None where nft could not print what was changed. */
  readonly tables: readonly TouchedTable[]
}

export interface TransactionListener {
  committed(transaction: Transaction): void
  /** Something may have gone by unseen, or isn't what it says it is. */
  lost(why: string): void
}

const CHANGE =
  /^(?:add|insert|replace|delete|destroy|create|reset) (?:ct [a-z]+|[a-z]+) (ip6?|inet|arp|bridge|netdev) "?([^\s"]+)"?/
/** In somebody's comment the words are no harm: a change is told with more weight than it has. */
const TURNS = /\b(?:dnat|snat|masquerade|redirect|tproxy|notrack|queue|dup|fwd|synproxy)\b/
const HOOKS = /\bhook \w+/
const WEIGHTS: readonly Weight[] = ['other', 'hooks', 'turns']
const GENERATION = /^# new generation (\d+)(?: by process (\d+) \((.*)\))?$/
const LOST = /^# ERROR/
/** Far more than any tool keeps; a transaction over it is not taken apart. */
const MOST_TABLES = 4096
const MOST_SHOWN = 160

export interface TransactionReader {
  line(text: string): void
  /** Ends a transaction that no generation followed: devices that go take chains along without one. */
  idle(): void
}

export function transactionReader(listener: TransactionListener): TransactionReader {
  let tables = new Map<string, Touched>()
  let overflow = false
  let generation: number | undefined

  const commit = (number?: number, pid?: number, process?: string) => {
    const touched = [...tables.values()]
    tables = new Map()
    if (overflow) listener.lost(`a transaction touched more than ${MOST_TABLES} tables`)
    overflow = false
    listener.committed({ generation: number, pid, process, tables: touched })
  }
  const change = (text: string, family: string, name: string) => {
    const key = `${family} ${name}`
    const table = tables.get(key)
    const weight = weightOf(text)
    if (!table && tables.size >= MOST_TABLES) overflow = true
    else if (!table) tables.set(key, { family, name, what: shown(text), weight, changes: 1 })
    else {
      table.changes += 1
      if (WEIGHTS.indexOf(weight) > WEIGHTS.indexOf(table.weight))
        Object.assign(table, { what: shown(text), weight })
    }
  }
  const closed = (number: number, pid?: string, process?: string) => {
    const expected = generation === undefined || number === generation + 1
    generation = number
    // A generation may skip 0 when it wraps (nf_tables_commit): told as lost once in 2^32, which costs a look.
    if (!expected) listener.lost('the generations of the ruleset do not follow each other')
    commit(number, pid === undefined ? undefined : Number(pid), process && shown(process))
  }

  return {
    line(text) {
      const [, family, name] = CHANGE.exec(text) ?? []
      if (family !== undefined && name !== undefined) return change(text, family, name)
      const [, number, pid, process] = GENERATION.exec(text) ?? []
      if (number !== undefined) return closed(Number(number), pid, process)
      if (LOST.test(text)) listener.lost('the kernel dropped news of the ruleset')
    },
    idle() {
      if (tables.size > 0) commit()
    },
  }
}

type Touched = { -readonly [Key in keyof TouchedTable]: TouchedTable[Key] }

function weightOf(text: string): Weight {
  if (TURNS.test(text)) return 'turns'
  return HOOKS.test(text) ? 'hooks' : 'other'
}

/** Printable ASCII, cut: it goes into records. */
function shown(text: string): string {
  return text
    .slice(0, MOST_SHOWN)
    .replace(/[^\x20-\x7e]/g, '?')
    .trim()
}
