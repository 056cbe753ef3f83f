/** A foreign name that a connection goes by, put so that the server it would reach can be asked about it. */
import type { Decision } from '../../../policies/decision.ts'
import type { ConnectionFacts } from '../relay/facts.ts'
import type { Sniffed } from '../sniff/sniff.ts'
import type { Inquiry } from './certificate-probe.ts'

export interface Claim {
  readonly name: string
  /** Its message gives no second name. */
  readonly sole: boolean
  /** What is said under it is read on its way: plain HTTP/1. */
  readonly read: boolean
  /** All of the question but the address. */
  readonly about: Omit<Inquiry, 'address'>
  /** Whose questions are counted together. */
  readonly asker: string
}

/** Certificates of sites that also speak plain HTTP are here. */
const HTTPS_PORT = 443

/** @returns undefined where no foreign name is what lets it through: there is none, or it is a tunnel's */
export function claimOf(
  { action, provider, name }: Decision,
  sniffed: Sniffed | undefined,
  { agent, client, originalDestination }: ConnectionFacts,
): Claim | undefined {
  if (action === 'inspect' || provider || name === undefined || !sniffed || sniffed.tunnel) return undefined
  const { protocol, names, sni, alpn } = sniffed
  if (protocol !== 'tls' && protocol !== 'http' && protocol !== 'h2-preface') return undefined
  const tls = protocol === 'tls'
  const port = tls ? originalDestination.port : HTTPS_PORT
  return {
    name,
    sole: !sniffed.doubtful && names.every((one) => one === name),
    read: protocol === 'http',
    about: { name, sni: (tls ? sni : undefined) ?? name, port, alpn },
    asker: agent.uid === undefined ? `client ${client.address}` : `uid ${agent.uid}`,
  }
}
