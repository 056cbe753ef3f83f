/** The recorder's own, writing side of index.sqlite. */
import { rmSync } from 'node:fs'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { Committed, PackPosition, Place, PlaceIndex } from '../bodies/place.ts'
import { INDEX_VERSION, SCHEMA, UNCLAIMED } from './database.ts'
import { type IndexedLeaf, parseLeaf } from './row.ts'

export class IndexWriter implements PlaceIndex {
  /** For the queries of erasure and retention. */
  readonly database: DatabaseSync
  readonly #insertRecord: StatementSync
  readonly #insertPlace: StatementSync
  readonly #claim: StatementSync
  readonly #insertErased: StatementSync
  readonly #insertExpired: StatementSync
  readonly #setPosition: StatementSync
  readonly #findPlace: StatementSync
  readonly #findRecord: StatementSync

  readonly #file: string

  private constructor(file: string, database: DatabaseSync) {
    this.#file = file
    this.database = database
    this.#insertRecord = database.prepare(
      `INSERT OR IGNORE INTO record VALUES (:leaf, :id, :time, :kind, :provider, :uid, :model, :status,
        :outcome, :input_tokens, :output_tokens, :bytes)`,
    )
    // A manifest that is there already, in this pack or in the one that it was taken from, may have its record.
    this.#insertPlace = database.prepare(
      `INSERT INTO place VALUES (:key, :pack, :offset, :length, ifnull(
          (SELECT max(leaf) FROM place WHERE key = :key), :leaf))
        ON CONFLICT DO UPDATE SET "offset" = excluded."offset", length = excluded.length`,
    )
    this.#claim = database.prepare('UPDATE place SET leaf = ? WHERE key = ?')
    this.#insertErased = database.prepare('INSERT OR IGNORE INTO erased VALUES (?, ?)')
    this.#insertExpired = database.prepare('INSERT OR IGNORE INTO expired VALUES (?, ?)')
    this.#setPosition = database.prepare('INSERT OR REPLACE INTO position VALUES (1, ?, ?)')
    this.#findPlace = database.prepare('SELECT 1 FROM place WHERE key = ? AND pack = ?')
    this.#findRecord = database.prepare('SELECT 1 FROM record WHERE id = ?')
  }

  /**
   * Opens the index; one that is damaged or of another version is thrown away and begins empty.
   * `check` looks at every page, which takes seconds on a large one.
   */
  static open(file: string, check: boolean): IndexWriter {
    try {
      return new IndexWriter(file, prepare(file, check))
    } catch (error) {
      if (!isDamaged(error)) throw error
      return IndexWriter.#anew(file)
    }
  }

  static #anew(file: string): IndexWriter {
    for (const suffix of ['', '-wal', '-shm']) rmSync(file + suffix, { force: true })
    return new IndexWriter(file, prepare(file, false))
  }

  /** An empty index in the place of this one, which closes. */
  rebuilt(): IndexWriter {
    this.close()
    return IndexWriter.#anew(this.#file)
  }

  /** The first leaf it doesn't know. */
  nextLeaf(): number {
    const row = this.database.prepare('SELECT max(leaf) AS leaf FROM record').get()
    const leaf = row?.leaf
    return typeof leaf === 'number' ? leaf + 1 : 0
  }

  counts(): { readonly records: number; readonly places: number } {
    const count = (table: 'record' | 'place'): number =>
      Number(this.database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.n)
    return { records: count('record'), places: count('place') }
  }

  /** Time of the newest record, RFC 3339. */
  lastTime(): string | undefined {
    const row = this.database.prepare('SELECT time FROM record ORDER BY leaf DESC LIMIT 1').get()
    return typeof row?.time === 'string' ? row.time : undefined
  }

  lastAudit(): { event: string; time: string } | undefined {
    const row = this.database
      .prepare("SELECT bytes FROM record WHERE kind = 'audit' ORDER BY leaf DESC LIMIT 1")
      .get()
    if (!(row?.bytes instanceof Uint8Array)) return undefined
    const record = parseLeaf(row.bytes)
    return record.kind === 'audit' ? { event: record.event, time: record.time } : undefined
  }

  position(): PackPosition {
    const row = this.database.prepare('SELECT pack, "offset" FROM position').get()
    return (row as unknown as PackPosition | undefined) ?? { pack: 0, offset: 0 }
  }

  /** Packs with a part that is told of, ascending, each with the newest leaf of its parts. */
  *packs(): Generator<{ pack: number; last: number }> {
    const next = this.database.prepare(
      'SELECT min(pack) AS pack FROM place WHERE leaf IS NOT NULL AND pack > ?',
    )
    const last = this.database.prepare(
      'SELECT max(leaf) AS last FROM place WHERE pack = ? AND leaf IS NOT NULL',
    )
    for (let pack = next.get(-1)?.pack; typeof pack === 'number'; pack = next.get(pack)?.pack) {
      yield { pack, last: Number(last.get(pack)?.last) }
    }
  }

  /** Where the last part that a record names ends in a pack; 0 where there is none. */
  claimedEnd(pack: number): number {
    const row = this.database
      .prepare('SELECT max("offset" + length) AS end FROM place WHERE pack = ? AND leaf >= 0')
      .get(pack)
    return Number(row?.end ?? 0)
  }

  /** Everything of a pack from `offset` on, which ends there now. */
  forget(pack: number, offset: number): void {
    this.transaction(() => {
      this.database.prepare('DELETE FROM place WHERE pack = ? AND "offset" >= ?').run(pack, offset)
      this.#setPosition.run(pack, offset)
    })
  }

  has(id: string): boolean {
    return this.#findRecord.get(id) !== undefined
  }

  isIn(key: Buffer, pack: number): boolean {
    return this.#findPlace.get(key, pack) !== undefined
  }

  /** All or nothing. A leaf that is there already is left as it is. Places come before the leaves that name them. */
  add(leaves: readonly IndexedLeaf[], committed?: Committed): void {
    this.transaction(() => {
      for (const place of committed?.places ?? []) this.#addPlace(place)
      if (committed !== undefined) {
        this.#setPosition.run(committed.position.pack, committed.position.offset)
      }
      for (const leaf of leaves) this.#addLeaf(leaf)
    })
  }

  /** Otherwise a power loss takes back the last commits, which is no harm while packs and ledger have what they say. */
  makeDurable(): void {
    this.database.exec('PRAGMA synchronous = FULL')
    try {
      // A commit syncs the whole WAL.
      const { pack, offset } = this.position()
      this.transaction(() => this.#setPosition.run(pack, offset))
    } finally {
      this.database.exec('PRAGMA synchronous = NORMAL')
    }
  }

  transaction(write: () => void): void {
    this.database.exec('BEGIN')
    try {
      write()
      this.database.exec('COMMIT')
    } catch (error) {
      if (this.database.isTransaction) this.database.exec('ROLLBACK')
      throw error
    }
  }

  close(): void {
    this.database.close()
  }

  #addPlace({ key, pack, offset, length, manifest }: Place): void {
    this.#insertPlace.run({ key, pack, offset, length, leaf: manifest ? UNCLAIMED : null })
  }

  #addLeaf({ row, digests, erasure }: IndexedLeaf): void {
    if (this.#insertRecord.run({ ...row }).changes === 0) return
    for (const digest of digests) this.#claim.run(row.leaf, digest)
    if (erasure?.kind === 'expired') this.#insertExpired.run(erasure.before, row.leaf)
    if (erasure?.kind === 'erased') for (const id of erasure.ids) this.#insertErased.run(id, row.leaf)
  }
}

function prepare(file: string, check: boolean): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: 5000 })
  try {
    // Nothing here needs to be durable at once: what a crash takes is read again from the ledger and the packs.
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
    const { user_version: version } = database.prepare('PRAGMA user_version').get() as {
      user_version: number
    }
    if (version !== 0 && version !== INDEX_VERSION) throw new Unusable()
    database.exec(SCHEMA)
    database.exec(`PRAGMA user_version = ${INDEX_VERSION}`)
    if (check) {
      const found = database.prepare('PRAGMA quick_check(1)').get() as { quick_check: string }
      if (found.quick_check !== 'ok') throw new Unusable()
    }
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

class Unusable extends Error {}

/** SQLITE_ERROR from the schema, SQLITE_CORRUPT, SQLITE_FORMAT, SQLITE_NOTADB (sqlite.org/rescode.html). */
const DAMAGED = new Set([1, 11, 24, 26])

function isDamaged(error: unknown): boolean {
  if (error instanceof Unusable) return true
  const code = (error as { errcode?: unknown }).errcode
  return typeof code === 'number' && DAMAGED.has(code & 0xff)
}
