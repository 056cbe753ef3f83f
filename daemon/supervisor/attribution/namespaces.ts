/** The other network namespaces of this machine, and the sockets in them: that is where containers are. */
import { closeSync, openSync, readlinkSync, readSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { numbers } from './holders.ts'
import { findInTable, type TableSocket, tableKey, tablesOf } from './net-table.ts'
import type { OwnerFlow } from './owner.ts'
import type { Pace } from './pace.ts'

/** By the namespace's name in /proc: processes in it, of which one is enough. */
export type Namespaces = Map<string, number[]>

const PROCESSES_EACH = 4
/** A table of more is read no further: 100,000 sockets in one container. */
const MAX_TABLE = 16 << 20
const CHUNK = 64 << 10
const INTERFACES_MS = 1000

export async function otherNamespaces(pace: Pace): Promise<Namespaces> {
  const namespaces: Namespaces = new Map()
  const own = namespaceOf('self')
  for (const pid of numbers('/proc')) {
    if (pace.step()) await pace.rested()
    const name = namespaceOf(pid)
    if (name === undefined || name === own) continue
    const pids = namespaces.get(name) ?? []
    if (pids.length < PROCESSES_EACH) namespaces.set(name, [...pids, pid])
  }
  return namespaces
}

function namespaceOf(pid: number | 'self'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`)
  } catch {
    return undefined
  }
}

/** The sockets that fit each flow, of all these namespaces. */
export async function findInNamespaces(
  flows: readonly OwnerFlow[],
  namespaces: Namespaces,
  pace: Pace,
): Promise<Map<OwnerFlow, TableSocket[]>> {
  const found = new Map<OwnerFlow, TableSocket[]>()
  const tables = new Map<string, Map<string, OwnerFlow[]>>()
  for (const flow of flows) {
    for (const table of tablesOf(flow)) {
      const key = tableKey(flow, table)
      if (key === undefined) continue
      const keys = tables.get(table) ?? new Map<string, OwnerFlow[]>()
      tables.set(table, keys.set(key, [...(keys.get(key) ?? []), flow]))
    }
  }
  for (const [name, pids] of namespaces) {
    for (const [table, keys] of tables) {
      const sockets = await readTable(name, pids, table, new Set(keys.keys()), pace)
      for (const [key, socket] of sockets) {
        for (const flow of keys.get(key) ?? []) found.set(flow, [...(found.get(flow) ?? []), socket])
      }
    }
  }
  return found
}

async function readTable(
  namespace: string,
  pids: readonly number[],
  table: string,
  keys: ReadonlySet<string>,
  pace: Pace,
): Promise<Map<string, TableSocket>> {
  for (const pid of pids) {
    let fd: number
    try {
      fd = openSync(`/proc/${pid}/net/${table}`, 'r')
    } catch {
      continue
    }
    try {
      // The pid may be another's by now. What is open is of the namespace that it had when it was opened.
      if (namespaceOf(pid) === namespace) return await readRows(fd, keys, pace)
    } catch {
      // The process went while it was read.
    } finally {
      closeSync(fd)
    }
  }
  return new Map()
}

async function readRows(
  fd: number,
  keys: ReadonlySet<string>,
  pace: Pace,
): Promise<Map<string, TableSocket>> {
  const found = new Map<string, TableSocket>()
  const buffer = Buffer.allocUnsafe(CHUNK)
  let rest = ''
  for (let total = 0; total < MAX_TABLE; ) {
    const size = readSync(fd, buffer, 0, CHUNK, null)
    if (size === 0) break
    total += size
    const text = rest + buffer.toString('latin1', 0, size)
    const end = text.lastIndexOf('\n') + 1
    rest = text.slice(end)
    for (const [key, socket] of findInTable(text.slice(0, end), keys)) found.set(key, socket)
    if (pace.step()) await pace.rested()
  }
  return found
}

let own = new Set<string>()
let looked = Number.NEGATIVE_INFINITY

/** An address of this machine: whoever uses it has its socket here and in no container. */
export function isLocal(address: string): boolean {
  const now = performance.now()
  if (now - looked > INTERFACES_MS) {
    looked = now
    own = new Set(
      Object.values(networkInterfaces()).flatMap((device) => device?.map((one) => one.address) ?? []),
    )
  }
  return address.startsWith('127.') || own.has(address)
}
