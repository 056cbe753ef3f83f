/** TCP connections to servers; each is reported as soon as it has a local port, before anything is sent on it. */
import { connect, type Socket } from 'node:net'
import { messageOf } from '../../base/errors.ts'
import type { Endpoint } from '../../recorder/protocol.ts'
import { KEEP_ALIVE_MS } from '../keep-alive.ts'
import { ProxyError } from '../proxy-error.ts'

/** A connection of the gateway's own to a server, as the kernel names its ends. */
export interface Dialled {
  readonly local: Endpoint
  readonly remote: Endpoint
}

export type Report = (flow: Dialled) => void

/** While another address is left to try, one that doesn't answer gets this long; the last one longer. */
const TRY_MS = 1500
const LAST_TRY_MS = 10_000

/** Begins to connect. What is written meanwhile goes out after the report. */
export function connectTo(remote: Endpoint, report: Report): Socket {
  const socket = connect({
    host: remote.address,
    port: remote.port,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
  })
  socket.once('connect', () => {
    const { localAddress, localPort } = socket
    if (localAddress !== undefined && localPort !== undefined) {
      report({ local: { address: localAddress, port: localPort }, remote })
    }
  })
  return socket
}

/**
 * Connects to the first of the addresses that answers.
 * @param name whose addresses they are, for the error
 * @throws ProxyError upstream_unreachable
 */
export async function reach(
  name: string,
  addresses: readonly string[],
  port: number,
  report: Report,
): Promise<{ readonly socket: Socket; readonly endpoint: Endpoint }> {
  const failures: string[] = []
  for (const [i, address] of addresses.entries()) {
    const endpoint = { address, port }
    try {
      const timeout = i + 1 < addresses.length ? TRY_MS : LAST_TRY_MS
      return { socket: await connected(connectTo(endpoint, report), endpoint, timeout), endpoint }
    } catch (error) {
      failures.push(messageOf(error))
    }
  }
  throw new ProxyError(
    'upstream_unreachable',
    `${name} could not be reached: ${failures.join('; ')}`,
    'Check this machine’s network and what stands between it and the provider.',
  )
}

function connected(socket: Socket, { address, port }: Endpoint, timeout: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
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
