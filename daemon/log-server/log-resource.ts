/**
 * What c2sp.org/tlog-tiles serves, out of a log's directory: the newest checkpoint, and every tile and entry bundle that
 * it covers, of every width. Nothing beyond the checkpoint is given out: who reads may count on each byte being signed for.
 *
 * Threat model: the path is a stranger's. It must be exactly the name of a tile, so that it can lead nowhere else.
 */
import { promisify } from 'node:util'
import { constants, gzip } from 'node:zlib'
import type { Answer, Request } from '../http/bounded-server.ts'
import { readCosigned } from '../ledger/cosigned-file.ts'
import { encodeBundle } from '../ledger/entry-bundle.ts'
import { LedgerError } from '../ledger/errors.ts'
import { noteText } from '../ledger/note.ts'
import { openReader } from '../ledger/reader.ts'
import { parseTilePath, type TileAddress, widthAt } from '../ledger/tile-path.ts'
import { readEntries, readTile } from '../ledger/tile-store.ts'

const NOT_FOUND: Answer = { status: 404 }
const IMMUTABLE = 'public, max-age=31536000, immutable'
/** A monitor that asks more often learns nothing: a new one comes every second at most, by default. */
const CHECKPOINT_CACHE = 'public, max-age=1'
/** A bundle is a megabyte at most; the fastest level leaves a fifth of it. */
const GZIP = { level: constants.Z_BEST_SPEED }
const compress = promisify(gzip)

/** @param entries whether entry bundles are served: leaves say who called whom, and when */
export function logResource(dir: string, entries: boolean): (request: Request) => Promise<Answer> {
  const reader = openReader(dir)
  return async ({ method, path, gzip: compressed }) => {
    if (method !== 'GET' && method !== 'HEAD') return { status: 405, headers: { allow: 'GET, HEAD' } }
    const checkpoint = reader.checkpoint()
    if (checkpoint === undefined) return NOT_FOUND
    if (path === '/checkpoint') {
      return {
        status: 200,
        headers: { 'cache-control': CHECKPOINT_CACHE },
        body: newestNote(dir, checkpoint.note),
      }
    }
    const address = addressIn(path)
    if (address === undefined || (address.level === 'entries' && !entries)) return NOT_FOUND
    if (address.width > widthAt(address.level, address.index, checkpoint.size)) return NOT_FOUND
    const body = twice(() => bytesOf(dir, address))
    const headers = { 'content-type': 'application/octet-stream', 'cache-control': IMMUTABLE }
    // Hashes don't compress.
    if (address.level !== 'entries') return { status: 200, headers, body }
    const varying = { ...headers, vary: 'accept-encoding' }
    if (!compressed) return { status: 200, headers: varying, body }
    return {
      status: 200,
      headers: { ...varying, 'content-encoding': 'gzip' },
      body: await compress(body, GZIP),
    }
  }
}

/** With its cosignatures, where witnesses were as fast as the log. */
function newestNote(dir: string, note: string): string {
  const cosigned = readCosigned(dir)?.note
  return cosigned !== undefined && noteText(cosigned) === noteText(note) ? cosigned : note
}

function addressIn(path: string): TileAddress | undefined {
  try {
    return path.startsWith('/') ? parseTilePath(path.slice(1)) : undefined
  } catch (error) {
    if (error instanceof LedgerError) return undefined
    throw error
  }
}

/** Of the last widths only some stand as files; each is the beginning of a wider one. */
function bytesOf(dir: string, address: TileAddress): Buffer {
  if (address.level !== 'entries') return Buffer.concat(readTile(dir, address))
  return encodeBundle(readEntries(dir, address.index, address.width).map(({ bytes }) => bytes))
}

/** A partial tile may have gone for a wider one between the look for it and the reading. */
function twice<T>(read: () => T): T {
  try {
    return read()
  } catch {
    return read()
  }
}
