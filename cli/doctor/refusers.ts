/** Clients that lately could not be intercepted, from the records: which program, where to, and what mends it. */
import type { ClientVariable } from '../../ca/client-environment.ts'
import { clientRemedy } from '../../ca/client-remedy.ts'
import type { Agent, LogRecord } from '../../daemon/recorder/record.ts'

export interface Refuser {
  /** `certificate-refused`: it would not take ours. `certificate-wanted`: its server wants one of its own. */
  readonly why: 'certificate-refused' | 'certificate-wanted'
  readonly serverName: string
  readonly executable?: string
  /** What it calls itself. */
  readonly process?: string
  readonly uid?: number
  readonly count: number
  /** RFC 3339, of the newest. */
  readonly last: string
  readonly remedy: string
}

export interface Remedies {
  readonly variables: readonly ClientVariable[]
  /** The authority's PEM. */
  readonly certificateFile: string
}

const CERTIFICATE_WANTED = 'upstream_wants_certificate'
const ITS_OWN =
  "an agent's own client certificate can't be passed on: use a credential in a header, or let it pass unread (`proxy.uninterceptable: splice` in the policy)"

/** @param records newest first */
export function refusers(records: Iterable<LogRecord>, remedies: Remedies): Refuser[] {
  const found = new Map<string, Refuser>()
  for (const record of records) {
    const sight = sightOf(record)
    if (!sight) continue
    const [process] = sight.agent.processes ?? []
    const key = JSON.stringify([sight.why, sight.serverName, process?.executable, sight.agent.uid])
    const known = found.get(key)
    found.set(
      key,
      known
        ? { ...known, count: known.count + 1 }
        : {
            why: sight.why,
            serverName: sight.serverName,
            ...(process?.executable === undefined ? {} : { executable: process.executable }),
            ...(process === undefined ? {} : { process: process.name }),
            ...(sight.agent.uid === undefined ? {} : { uid: sight.agent.uid }),
            count: 1,
            last: record.time,
            remedy:
              sight.why === 'certificate-wanted'
                ? ITS_OWN
                : clientRemedy(
                    process?.executable,
                    remedies.variables,
                    remedies.certificateFile,
                    sight.agent.container,
                  ),
          },
    )
  }
  return [...found.values()]
}

function sightOf(record: LogRecord): { why: Refuser['why']; serverName: string; agent: Agent } | undefined {
  if (record.kind === 'refusal' && record.rule.endsWith('/client-refused')) {
    return { why: 'certificate-refused', serverName: record.serverName ?? 'unknown', agent: record.agent }
  }
  if (record.kind === 'exchange' && record.error?.code === CERTIFICATE_WANTED) {
    return { why: 'certificate-wanted', serverName: record.server.name, agent: record.agent }
  }
  return undefined
}
