/** The recorder's own, writing side of index.sqlite. */
import { rmSync } from 'node:fs'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { Committed } from '../bodies/pack-store.ts'
import type { PackPosition, Place, PlaceIndex } from '../bodies/place.ts'
import { INDEX_VERSION, SCHEMA } from './database.ts'
import { parseLeaf, type Row } from './row.ts'

export class IndexWriter implements PlaceIndex {
  readonly #database: DatabaseSync
  readonly #insertRecord: StatementSync
  readonly #insertPlace: StatementSync
  readonly #setPosition: StatementSync
  readonly #findPlace: StatementSync
  readonly #findRecord: StatementSync

  readonly #file: string

  private constructor(file: string, database: DatabaseSync) {
    this.#file = file
    this.#database = database
    this.#insertRecord = database.prepare(
      `INSERT OR IGNORE INTO record VALUES (:leaf, :id, :time, :kind, :provider, :uid, :model, :status,
        :outcome, :input_tokens, :output_tokens, :bytes)`,
    )
    this.#insertPlace = database.prepare('INSERT OR REPLACE INTO place VALUES (?, ?, ?, ?)')
    this.#setPosition = database.prepare('INSERT OR REPLACE INTO position VALUES (1, ?, ?)')
    this.#findPlace = database.prepare('SELECT pack, "offset", length FROM place WHERE key = ?')
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
    const row = this.#database.prepare('SELECT max(leaf) AS leaf FROM record').get()
    const leaf = row?.leaf
    return typeof leaf === 'number' ? leaf + 1 : 0
  }

  /** Time of the newest record, RFC 3339. */
  lastTime(): string | undefined {
    const row = this.#database.prepare('SELECT time FROM record ORDER BY leaf DESC LIMIT 1').get()
    return typeof row?.time === 'string' ? row.time : undefined
  }

  lastAudit(): { event: string; time: string } | undefined {
    const row = this.#database
      .prepare("SELECT bytes FROM record WHERE kind = 'audit' ORDER BY leaf DESC LIMIT 1")
      .get()
    if (!(row?.bytes instanceof Uint8Array)) return undefined
    const record = parseLeaf(row.bytes)
    return record.kind === 'audit' ? { event: record.event, time: record.time } : undefined
  }

  position(): PackPosition {
    const row = this.#database.prepare('SELECT pack, "offset" FROM position').get()
    return (row as unknown as PackPosition | undefined) ?? { pack: 0, offset: 0 }
  }

  has(id: string): boolean {
    return this.#findRecord.get(id) !== undefined
  }

  placeOf(key: Buffer): Omit<Place, 'key'> | undefined {
    return this.#findPlace.get(key) as unknown as Omit<Place, 'key'> | undefined
  }

  /** All or nothing. A row whose leaf or id is there already is left as it is. */
  add(rows: readonly Row[], committed?: Committed): void {
    this.#database.exec('BEGIN')
    try {
      for (const row of rows) this.#insertRecord.run({ ...row })
      for (const place of committed?.places ?? []) {
        this.#insertPlace.run(place.key, place.pack, place.offset, place.length)
      }
      if (committed !== undefined) {
        this.#setPosition.run(committed.position.pack, committed.position.offset)
      }
      this.#database.exec('COMMIT')
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      throw error
    }
  }

  close(): void {
    this.#database.close()
  }
}

function prepare(file: string, check: boolean): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: 5000 })
  try {
    // Nothing here needs to be durable: what a crash takes is read again from the ledger and the packs.
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
