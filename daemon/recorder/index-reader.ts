/** The index for the CLI: read-only, beside a running recorder, without locks. */
import path from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { RecorderError } from './errors.ts'
import { INDEX_FILE, openIndexDatabase, placeOf, readable } from './index/database.ts'
import { goneBy } from './index/erased.ts'
import { parseLeaf, type Row } from './index/row.ts'
import type { AuditRecord } from './record.ts'

export interface ListFilter {
  /** At most so many, newest first. Default 50. */
  readonly limit?: number | undefined
  /** Only leaves before this one: the last of the page before. */
  readonly before?: number | undefined
  readonly kind?: string | undefined
  readonly provider?: string | undefined
  readonly uid?: number | undefined
}

export interface IndexStats {
  readonly records: number
  readonly byKind: Readonly<Record<string, number>>
  /** RFC 3339. */
  readonly newest: string | undefined
}

export interface RecordIndex {
  list(filter?: ListFilter): Row[]
  /**
   * By id or the start of one.
   * @throws RecorderError AMBIGUOUS where several ids begin so.
   */
  get(idOrPrefix: string): Row | undefined
  /** The audit record that says why the content of a record is gone; undefined where it isn't. */
  gone(record: Pick<Row, 'id' | 'leaf'>): AuditRecord | undefined
  /** Whether a part has a place in a pack. @param digest hex */
  holds(digest: string): boolean
  stats(): IndexStats
  close(): void
}

const DEFAULT_LIMIT = 50

/**
 * @param dir the recorder's directory; one without an index reads as empty
 * @throws RecorderError DAMAGED, here and from each query
 */
export function openIndex(dir: string): RecordIndex {
  const file = path.join(dir, INDEX_FILE)
  const database = openIndexDatabase(file)
  if (database === undefined) {
    return {
      list: () => [],
      get: () => undefined,
      gone: () => undefined,
      holds: () => false,
      stats: () => ({ records: 0, byKind: {}, newest: undefined }),
      close: () => {},
    }
  }
  return {
    list: (filter = {}) => readable(file, () => list(database, filter)),
    get: (idOrPrefix) => readable(file, () => get(database, idOrPrefix)),
    gone: (record) => readable(file, () => gone(database, record)),
    holds: (digest) => readable(file, () => placeOf(database, Buffer.from(digest, 'hex')) !== undefined),
    stats: () => readable(file, () => stats(database)),
    close: () => database.close(),
  }
}

function list(database: DatabaseSync, filter: ListFilter): Row[] {
  const { limit = DEFAULT_LIMIT, before, ...columns } = filter
  const conditions = Object.entries(columns).filter(([, value]) => value !== undefined)
  const where = [
    ...conditions.map(([column]) => `${COLUMNS[column as keyof typeof COLUMNS]} = ?`),
    ...(before === undefined ? [] : ['leaf < ?']),
  ]
  const values = [...conditions.map(([, value]) => value!), ...(before === undefined ? [] : [before])]
  const sql = `SELECT * FROM record ${where.length > 0 ? `WHERE ${where.join(' AND ')}` : ''}
    ORDER BY leaf DESC LIMIT ?`
  return database.prepare(sql).all(...values, limit) as unknown as Row[]
}

const COLUMNS = { kind: 'kind', provider: 'provider', uid: 'uid' } as const

function get(database: DatabaseSync, idOrPrefix: string): Row | undefined {
  const prefix = idOrPrefix.toLowerCase()
  if (!/^[0-9a-f-]{1,36}$/.test(prefix)) return undefined
  // `g` is behind every digit an id can go on with.
  const rows = database
    .prepare('SELECT * FROM record WHERE id >= ? AND id < ? ORDER BY id LIMIT 2')
    .all(prefix, `${prefix}g`) as unknown as Row[]
  if (rows.length < 2) return rows[0]
  throw new RecorderError(
    'AMBIGUOUS',
    `several records begin with ${idOrPrefix}`,
    'Give more characters of the id.',
  )
}

function gone(database: DatabaseSync, { id, leaf }: Pick<Row, 'id' | 'leaf'>): AuditRecord | undefined {
  const by = goneBy(database, id, leaf)
  if (by === undefined) return undefined
  const row = database.prepare('SELECT bytes FROM record WHERE leaf = ?').get(by)
  const record = row?.bytes instanceof Uint8Array ? parseLeaf(row.bytes) : undefined
  return record?.kind === 'audit' ? record : undefined
}

function stats(database: DatabaseSync): IndexStats {
  const kinds = database.prepare('SELECT kind, count(*) AS n FROM record GROUP BY kind').all() as {
    kind: string
    n: number
  }[]
  const newest = database.prepare('SELECT time FROM record ORDER BY leaf DESC LIMIT 1').get()
  return {
    records: kinds.reduce((total, { n }) => total + n, 0),
    byKind: Object.fromEntries(kinds.map(({ kind, n }) => [kind, n])),
    newest: typeof newest?.time === 'string' ? newest.time : undefined,
  }
}
