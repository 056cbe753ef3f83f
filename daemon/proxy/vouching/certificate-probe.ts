/**
 * Asks the server at an address for its certificate under a name, as the agent would, and says what that tells.
 *
 * Threat model: the name was written by the agent, and so was all that it says in DNS. What it can't write is a
 * certificate that the system's roots vouch for. The name goes out in the very spelling of the agent's ClientHello:
 * a server that doesn't know `Example.org.` shows what it shows to strangers.
 */
import { checkServerIdentity, connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls'
import { messageOf } from '../../base/errors.ts'
import { connectTo, type Report } from '../upstream/reach.ts'

export interface Inquiry {
  readonly address: string
  readonly port: number
  /** In lower case, without a trailing dot. */
  readonly name: string
  /** As the agent sent it. */
  readonly sni: string
  /** As the agent sent it: a server may choose its certificate by that. */
  readonly alpn: readonly string[]
}

export interface Finding {
  /** `shared`: the certificate holds a governed name too. `unreached`: nobody answered. */
  readonly standing: 'own' | 'shared' | 'none' | 'unreached'
  /** In words, for the record. */
  readonly why: string
}

export interface Probing {
  readonly contextFor: (name: string) => SecureContext
  /** Is it, or does it hold as a wildcard, a name of the catalogue? @param held a dNSName of a certificate */
  readonly governs: (held: string) => boolean
  readonly report: Report
}

const PROBE_MS = 5000
const MAX_ALPN = 16

/** Never rejects. Nothing is sent but the handshake. */
export function probe({ contextFor, governs, report }: Probing, inquiry: Inquiry): Promise<Finding> {
  const { address, port, name, sni, alpn } = inquiry
  const socket = connectTo({ address, port }, report)
  // Errors are the TLS socket's; the one below it must not throw for want of a listener.
  socket.on('error', () => {})
  return new Promise((resolve) => {
    let connected = false
    const done = (finding: Finding) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(finding)
    }
    const failed = (why: string) =>
      done({ standing: connected ? 'none' : 'unreached', why: `${address} port ${port}: ${why}` })
    const timer = setTimeout(() => failed('no certificate in time'), PROBE_MS)
    socket.once('connect', () => {
      connected = true
    })
    let tls: TLSSocket
    try {
      tls = connectTls({
        socket,
        secureContext: contextFor(name),
        servername: sni,
        ...(alpn.length > 0 ? { ALPNProtocols: alpn.slice(0, MAX_ALPN) } : {}),
        rejectUnauthorized: true,
        checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate),
      })
    } catch (error) {
      // A spelling that node:tls doesn't take.
      return failed(messageOf(error))
    }
    tls.once('error', (error) => failed(messageOf(error)))
    tls.once('close', () => failed('it closed the connection in the TLS handshake'))
    tls.once('secureConnect', () => {
      const governed = namesOf(tls).find(governs)
      if (governed === undefined) done({ standing: 'own', why: `${address} has a certificate for ${name}` })
      else done({ standing: 'shared', why: `the certificate of ${name} at ${address} is also ${governed}’s` })
    })
  })
}

/** What the certificate is for: in doubt too much, since that is looked into and not let through. */
function namesOf(tls: TLSSocket): string[] {
  const certificate = tls.getPeerX509Certificate()
  const held = certificate?.subjectAltName?.matchAll(/DNS:"?([^",\s]+)/g) ?? []
  const common = certificate?.subject.matchAll(/^CN=(.+)$/gm) ?? []
  return [...held, ...common].map(([, name]) => name as string)
}
