/**
 * Opens a connection to a provider: the route's addresses in turn, then TLS for the validated name. A provider
 * that can't be verified is an error and never falls back to anything.
 */
import { connect, type Socket } from 'node:net'
import { connect as connectTls, type SecureContext, type TLSSocket } from 'node:tls'
import { messageOf } from '../../base/errors.ts'
import type { Route } from '../names/directory.ts'
import { ProxyError } from '../proxy-error.ts'
import { UpstreamConnection } from './connection.ts'

export interface Dial {
  readonly name: string
  readonly port: number
  readonly route: Route
  /** Undefined for plain HTTP. */
  readonly tls: { readonly context: SecureContext; readonly session: Buffer | undefined } | undefined
  /** A TLS session that the next connection to this name can take up. */
  readonly onSession: (session: Buffer) => void
}

/** While another address is left to try, one that doesn't answer gets this long; the last one longer. */
const TRY_MS = 1500
const LAST_TRY_MS = 10_000
const HANDSHAKE_MS = 10_000
const KEEP_ALIVE_MS = 60_000

/** @throws ProxyError upstream_unreachable, upstream_untrusted, upstream_tls_failed */
export async function dial(options: Dial): Promise<UpstreamConnection> {
  const { addresses } = options.route
  const failures: string[] = []
  for (const [i, address] of addresses.entries()) {
    try {
      const socket = await reach(address, options.port, i + 1 < addresses.length ? TRY_MS : LAST_TRY_MS)
      const endpoint = { address, port: options.port }
      if (!options.tls) return new UpstreamConnection(socket, endpoint)
      return new UpstreamConnection(await secure(socket, options, options.tls), endpoint)
    } catch (error) {
      if (error instanceof ProxyError) throw error
      failures.push(messageOf(error))
    }
  }
  throw new ProxyError(
    'upstream_unreachable',
    `${options.name} could not be reached: ${failures.join('; ')}`,
    'Check this machine’s network and what stands between it and the provider.',
  )
}

function reach(address: string, port: number, timeout: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: address,
      port,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    })
    const timer = setTimeout(() => socket.destroy(new Error(`connect timed out ${address}:${port}`)), timeout)
    const failed = (error: Error) => {
      clearTimeout(timer)
      reject(error)
    }
    socket.once('error', failed)
    socket.once('connect', () => {
      clearTimeout(timer)
      socket.off('error', failed)
      resolve(socket)
    })
  })
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
      ALPNProtocols: ['http/1.1'],
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
    tls.on('session', options.onSession)
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
  return new ProxyError(
    'upstream_tls_failed',
    `no TLS connection to ${name}: ${messageOf(error)}`,
    'Check that the provider is reached, and not a portal or an inspecting proxy.',
    error,
  )
}
