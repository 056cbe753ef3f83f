/** What a record must say to be the one of an attempt. */
import type { LogRecord } from '../../../daemon/recorder/record.ts'

export type Wanted = (record: LogRecord) => boolean

interface Common {
  /** Of who made the socket; null: that must not be known. */
  readonly uid?: number | null
  /** Original destination's. */
  readonly port?: number
  readonly address?: string
}

export function exchange(
  wanted: Common & {
    readonly provider?: string
    readonly outcome?: string
    readonly status?: number
    readonly name?: string
    readonly flag?: string
    readonly mismatch?: boolean
  },
): Wanted {
  return (record) => {
    if (record.kind !== 'exchange') return false
    const { server, agent, provider, outcome, http, flags } = record
    return (
      isOf(wanted, agent, server.originalDestination) &&
      same(wanted.provider, provider) &&
      same(wanted.outcome, outcome) &&
      same(wanted.status, http.status) &&
      same(wanted.name, server.name) &&
      same(wanted.mismatch, server.destinationMismatch) &&
      (wanted.flag === undefined || (flags?.includes(wanted.flag) ?? false))
    )
  }
}

export function refusal(
  wanted: Common & {
    /** Of the rule's name after the policy's. */
    readonly rule: string | RegExp
    readonly serverName?: string
    readonly protocol?: string
  },
): Wanted {
  return (record) => {
    if (record.kind !== 'refusal') return false
    const rule = record.rule.slice(record.rule.indexOf('/') + 1)
    return (
      isOf(wanted, record.agent, record.originalDestination) &&
      (typeof wanted.rule === 'string' ? wanted.rule === rule : wanted.rule.test(rule)) &&
      same(wanted.serverName, record.serverName) &&
      same(wanted.protocol, record.protocol)
    )
  }
}

/** A connection refused for this reason. */
export const because =
  (reason: RegExp, ...further: Wanted[]): Wanted =>
  (record) =>
    record.kind === 'refusal' && reason.test(record.reason) && further.every((wanted) => wanted(record))

function isOf(
  wanted: Common,
  agent: { readonly uid?: number | undefined },
  destination: { readonly address: string; readonly port: number } | undefined,
): boolean {
  const isWho = wanted.uid === null ? agent.uid === undefined : same(wanted.uid, agent.uid)
  return isWho && same(wanted.port, destination?.port) && same(wanted.address, destination?.address)
}

function same<T>(wanted: T | undefined, found: T | undefined): boolean {
  return wanted === undefined || wanted === found
}

/** An exchange whose request has this in its target. */
export const asked =
  (target: string, ...further: Wanted[]): Wanted =>
  (record) =>
    record.kind === 'exchange' &&
    record.http.target?.includes(target) === true &&
    further.every((wanted) => wanted(record))

/** An exchange that failed with this code. */
export const failed =
  (code: string): Wanted =>
  (record) =>
    record.kind === 'exchange' && record.error?.code === code
