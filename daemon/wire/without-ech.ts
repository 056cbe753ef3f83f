/**
 * An answer without ECH: the keys by which a client would hide its server name from the proxy (RFC 9849) come in
 * SVCB and HTTPS records (RFC 9848), whatever they are answers to. Everything else stays byte for byte, names'
 * pointers excepted that reach over what was cut.
 */
import { type DnsMessage, FLAG, type ResourceRecord, TYPE } from './dns-message.ts'
import { paramsWithoutEch, readServiceBinding } from './svc-params.ts'

/** Bytes `start` to `end` of the old message give way to others. */
interface Change {
  readonly start: number
  readonly end: number
  readonly bytes: Buffer
}

/**
 * Records whose data begin with names that may be compressed, after so many octets: RFC 1035, and those that
 * receivers must take compressed (RFC 3597 section 4).
 */
const NAMES_IN_DATA: ReadonlyMap<number, { readonly skip: number; readonly names: number }> = new Map([
  ...[2, 3, 4, 5, 7, 8, 9, 12, 39].map((type) => [type, { skip: 0, names: 1 }] as const),
  ...[6, 14, 17].map((type) => [type, { skip: 0, names: 2 }] as const),
  // SVCB and HTTPS among them: their target must not be compressed, but a lenient reader would take it.
  ...[15, 18, 21, 36, 64, 65].map((type) => [type, { skip: 2, names: 1 }] as const),
  [24, { skip: 18, names: 1 }],
  [26, { skip: 2, names: 2 }],
  [30, { skip: 0, names: 1 }],
  [33, { skip: 6, names: 1 }],
])

/**
 * The same message where there is no ECH in it. Else one without, its AD bit cleared (RFC 4035 section 3.2.3: not
 * all of it is as it was signed). `undefined` where a service binding can't be read, or a name points into what
 * is to be cut: nothing can be promised of such an answer.
 */
export function withoutEch(message: DnsMessage): Buffer | undefined {
  const { bytes } = message
  const records = [...message.answers, ...message.authorities, ...message.additionals]
  const changes: Change[] = []
  for (const record of records) {
    if (record.type !== TYPE.SVCB && record.type !== TYPE.HTTPS) continue
    const binding = readServiceBinding(bytes, record.dataStart, record.end)
    if (binding === undefined) return undefined
    if (!binding.ech) continue
    const params = paramsWithoutEch(bytes, binding)
    if (params === undefined) return undefined
    const size = Buffer.alloc(2)
    size.writeUInt16BE(binding.paramsStart - record.dataStart + params.length)
    changes.push({ start: record.dataStart - 2, end: record.dataStart, bytes: size })
    changes.push({ start: binding.paramsStart, end: record.end, bytes: params })
  }
  if (changes.length === 0) return bytes
  const moved = movedPointers(bytes, records, changes)
  if (moved === undefined) return undefined
  const result = apply(bytes, [...changes, ...moved])
  result.writeUInt16BE(result.readUInt16BE(2) & ~FLAG.authenticData, 2)
  return result
}

function movedPointers(
  bytes: Buffer,
  records: readonly ResourceRecord[],
  changes: readonly Change[],
): Change[] | undefined {
  const moved: Change[] = []
  for (const { at, to } of pointersOf(bytes, records)) {
    const place = translate(changes, to)
    if (place === undefined || translate(changes, at) === undefined) return undefined
    if (!staysWhole(bytes, changes, to)) return undefined
    if (place === to) continue
    const pointer = Buffer.alloc(2)
    pointer.writeUInt16BE(0xc000 | place)
    moved.push({ start: at, end: at + 2, bytes: pointer })
  }
  return moved
}

/** Whether the name at a place, which may be read out of anything, lies and leads outside of what is changed. */
function staysWhole(bytes: Buffer, changes: readonly Change[], name: number): boolean {
  let at = name
  let length = bytes[at] ?? 0
  while (length > 0 && length < 0xc0) {
    at += 1 + length
    length = bytes[at] ?? 0
  }
  const isPointer = length >= 0xc0 && at + 2 <= bytes.length
  const end = at + (isPointer ? 2 : 1)
  if (changes.some((change) => change.start < end && change.end > name)) return false
  if (!isPointer) return true
  const next = bytes.readUInt16BE(at) & 0x3fff
  // Forward, or round in a circle: no reader takes it (RFC 1035 section 4.1.4).
  return next < name && staysWhole(bytes, changes, next)
}

/** Where a place of the old message lies in the new one; `undefined` within what is changed. */
function translate(changes: readonly Change[], place: number): number | undefined {
  let moved = place
  for (const { start, end, bytes } of changes) {
    if (place >= end) moved += bytes.length - (end - start)
    else if (place >= start) return undefined
  }
  return moved
}

function apply(bytes: Buffer, changes: readonly Change[]): Buffer {
  const parts: Buffer[] = []
  let at = 0
  for (const change of changes.toSorted((a, b) => a.start - b.start)) {
    parts.push(bytes.subarray(at, change.start), change.bytes)
    at = change.end
  }
  return Buffer.concat([...parts, bytes.subarray(at)])
}

/** Each pointer that can stand in the records: where it lies, and to where it points. */
function pointersOf(bytes: Buffer, records: readonly ResourceRecord[]): { at: number; to: number }[] {
  const found: { at: number; to: number }[] = []
  const walk = (start: number, end: number): number => {
    let at = start
    while (at < end) {
      const length = bytes[at] ?? 0
      if (length >= 0xc0) {
        if (at + 2 > end) return end
        found.push({ at, to: bytes.readUInt16BE(at) & 0x3fff })
        return at + 2
      }
      at += 1 + length
      if (length === 0) break
    }
    return at
  }
  for (const record of records) {
    walk(record.start, record.dataStart)
    const inside = NAMES_IN_DATA.get(record.type)
    if (inside === undefined) continue
    let at = record.dataStart + inside.skip
    for (let left = inside.names; left > 0; left -= 1) at = walk(at, record.end)
  }
  return found
}
