/**
 * Opens a connection to a provider: the route's addresses in turn, then TLS for the validated name. A provider
 * that can't be verified is an error and never falls back to anything.
 */
import type { Socket } from 'node:net'
import { connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls'
import { messageOf } from '../../base/errors.ts'
import type { Route } from '../names/directory.ts'
import { ProxyError } from '../proxy-error.ts'
import { type Protocol, UpstreamConnection } from './connection.ts'
import { type Report, reach } from './reach.ts'

export interface Dial {
  readonly name: string
  readonly port: number
  readonly route: Route
  /** Undefined for plain HTTP. */
  readonly tls: { readonly context: SecureContext; readonly session: Buffer | undefined } | undefined
  /** What may be spoken, the best first. */
  readonly protocols: readonly Protocol[]
  /** A TLS session that the next connection to this name can take up. */
  readonly onSession: (session: Buffer) => void
  readonly report: Report
}

const HANDSHAKE_MS = 10_000

/**
 * Whether the server asked who its client is: a client knows of signature algorithms that both can do from a
 * CertificateRequest only (RFC 8446, 4.3.2; RFC 5246, 7.4.4). Not of a session that was taken up again.
 */
// Null once the handle is gone: node's types don't say so, and a throw here ends the worker.
const wantsCertificate = (tls: TLSSocket): boolean =>
  ((tls.getSharedSigalgs() as string[] | null)?.length ?? 0) > 0

/** @throws ProxyError upstream_unreachable, upstream_untrusted, upstream_wants_certificate, upstream_tls_failed */
export async function dial(options: Dial): Promise<UpstreamConnection> {
  const { name, port, route, tls } = options
  const { socket, endpoint } = await reach(name, route.addresses, port, options.report)
  if (!tls) return new UpstreamConnection(socket, endpoint)
  const secured = await secure(socket, options, tls)
  const protocol = secured.alpnProtocol === 'h2' ? 'h2' : 'http/1.1'
  return new UpstreamConnection(secured, endpoint, wantsCertificate(secured), protocol)
}

function secure(
  socket: Socket,
  options: Dial,
  { context, session }: NonNullable<Dial['tls']>,
): Promise<TLSSocket> {
  // From here on errors are the TLS socket's; the one below it must not throw for want of a listener.
  socket.on('error', () => {})
  return new Promise((resolve, reject) => {
    const tls = connectTls({
      socket,
      secureContext: context,
      servername: options.name,
      ALPNProtocols: [...options.protocols],
      rejectUnauthorized: true,
      ...(session ? { session } : {}),
    })
    const timer = setTimeout(() => tls.destroy(new Error('the TLS handshake timed out')), HANDSHAKE_MS)
    const ended = () => tls.destroy(new Error('the provider closed the connection in the TLS handshake'))
    const failed = (error: Error) => {
      clearTimeout(timer)
      reject(refusal(options.name, tls, error))
    }
    tls.once('error', failed)
    tls.once('end', ended)
    tls.on('session', (session: Buffer) => {
      // In a session that is taken up again nobody asks: then it would not be told that somebody had.
      if (!wantsCertificate(tls)) options.onSession(session)
    })
    tls.once('secureConnect', () => {
      clearTimeout(timer)
      tls.off('error', failed)
      tls.off('end', ended)
      resolve(tls)
    })
  })
}

function refusal(name: string, tls: TLSSocket, error: Error): ProxyError {
  // Set by node:tls where the chain or the name was what failed.
  const reason = tls.authorizationError as unknown
  if (reason) {
    return new ProxyError(
      'upstream_untrusted',
      `the certificate that ${name} showed is not trusted: ${messageOf(error)}`,
      'If this provider is genuine, install its root into the trust store of this machine.',
      error,
    )
  }
  if (wantsCertificate(tls)) return certificateWanted(name, error)
  return new ProxyError(
    'upstream_tls_failed',
    `no TLS connection to ${name}: ${reasonOf(error)}`,
    'Check that the provider is reached, and not a portal or an inspecting proxy.',
    error,
  )
}

/** A provider that wants to see a client certificate and sent its client away. */
export function certificateWanted(name: string, error: Error | undefined): ProxyError {
  const said = error === undefined ? '' : `: ${reasonOf(error)}`
  return new ProxyError(
    'upstream_wants_certificate',
    `${name} asks for a client certificate, and an agent's own can't be passed on through the gateway${said}`,
    'Use a credential in a header, or ask the administrator of this machine for an exemption.',
    error,
  )
}

/** What OpenSSL says went wrong, without its own line numbers. */
function reasonOf(error: Error & { readonly reason?: string }): string {
  return error.reason ?? messageOf(error)
}
