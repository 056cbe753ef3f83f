/**
 * The data of SVCB and HTTPS records (RFC 9460 section 2.2): priority, target, and parameters in strictly rising
 * order of their keys. What breaks that order is malformed, and clients must not use it; nor do we.
 */
import { addressText, readName } from './dns-message.ts'

/** RFC 9460 section 14.3.2; `ech` RFC 9848 section 5. */
const KEY = { mandatory: 0, ipv4hint: 4, ech: 5, ipv6hint: 6 } as const

export interface ServiceBinding {
  /** 0: an alias of `target`. */
  readonly priority: number
  /** `.`: the owner itself; where priority is 0: no such service. */
  readonly target: string
  /** Of ipv4hint and ipv6hint. */
  readonly hints: readonly string[]
  readonly ech: boolean
  /** Offset of the first parameter. */
  readonly paramsStart: number
  readonly params: readonly SvcParam[]
}

interface SvcParam {
  readonly key: number
  readonly start: number
  readonly valueStart: number
  readonly end: number
}

/** @param start,end where in `bytes` the record's data lie */
export function readServiceBinding(bytes: Buffer, start: number, end: number): ServiceBinding | undefined {
  const data = bytes.subarray(0, end)
  if (start + 2 > end) return undefined
  const target = readName(data, start + 2)
  if (target === undefined) return undefined
  const params = readParams(data, target.end)
  if (params === undefined) return undefined
  const hints: string[] = []
  for (const param of params) {
    const size = param.key === KEY.ipv4hint ? 4 : param.key === KEY.ipv6hint ? 16 : undefined
    if (size === undefined) continue
    for (let at = param.valueStart; at < param.end; at += size) {
      const address = addressText(data.subarray(at, Math.min(at + size, param.end)), size)
      if (address === undefined) return undefined
      hints.push(address)
    }
  }
  return {
    priority: data.readUInt16BE(start),
    target: target.name,
    hints,
    ech: params.some(({ key }) => key === KEY.ech),
    paramsStart: target.end,
    params,
  }
}

function readParams(data: Buffer, start: number): SvcParam[] | undefined {
  const params: SvcParam[] = []
  let last = -1
  let at = start
  while (at < data.length) {
    if (at + 4 > data.length) return undefined
    const key = data.readUInt16BE(at)
    const valueStart = at + 4
    const end = valueStart + data.readUInt16BE(at + 2)
    if (key <= last || end > data.length) return undefined
    params.push({ key, start: at, valueStart, end })
    last = key
    at = end
  }
  return params
}

/**
 * The parameters less `ech`, which goes from the list of mandatory keys too, as that would make clients ignore the
 * whole record (RFC 9460 section 8). `undefined` where that list can't be one.
 */
export function paramsWithoutEch(bytes: Buffer, { params }: ServiceBinding): Buffer | undefined {
  const kept: Buffer[] = []
  for (const { key, start, valueStart, end } of params) {
    if (key === KEY.ech) continue
    if (key !== KEY.mandatory) {
      kept.push(bytes.subarray(start, end))
      continue
    }
    if (end === valueStart || (end - valueStart) % 2 !== 0) return undefined
    const keys: number[] = []
    for (let at = valueStart; at < end; at += 2) keys.push(bytes.readUInt16BE(at))
    const left = keys.filter((each) => each !== KEY.ech)
    if (left.length === 0) continue
    const mandatory = Buffer.alloc(4 + 2 * left.length)
    mandatory.writeUInt16BE(KEY.mandatory, 0)
    mandatory.writeUInt16BE(2 * left.length, 2)
    for (const [i, each] of left.entries()) mandatory.writeUInt16BE(each, 4 + 2 * i)
    kept.push(mandatory)
  }
  return Buffer.concat(kept)
}
