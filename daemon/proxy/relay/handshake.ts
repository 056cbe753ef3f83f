/** How an agent's TLS handshake ends. */
import type { TLSSocket } from 'node:tls'
import { messageOf } from '../../base/errors.ts'

const HANDSHAKE_MS = 15_000
/** A connection that was opened ahead stays for a while. */
const AT_ONCE_MS = 1000

export interface HandshakeEvents {
  /** @param isSaid it isn't only that the connection ended */
  failed(reason: string, isSaid: boolean): void
  /** It finished, and the client went at once without having sent anything. */
  left(): void
}

export function watchHandshake(tls: TLSSocket, { failed, left }: HandshakeEvents): void {
  let done = false
  const over = (reason?: string, isSaid = true) => {
    if (done) return
    done = true
    clearTimeout(timer)
    if (reason !== undefined) failed(reason, isSaid)
  }
  const timer = setTimeout(() => {
    over('it took too long')
    tls.destroy()
  }, HANDSHAKE_MS)
  tls.once('secure', () => {
    over()
    const finished = performance.now()
    let spoke = false
    tls.once('data', () => {
      spoke = true
    })
    const gone = () => {
      if (!spoke && performance.now() - finished < AT_ONCE_MS) left()
      spoke = true
    }
    // Its end or its reset, not ours.
    tls.once('end', gone)
    tls.once('error', gone)
  })
  tls.once('error', (error: NodeJS.ErrnoException) => over(messageOf(error), !isCut(error)))
  tls.once('close', () => over('it closed the connection', false))
}

/** A connection that was cut says no more than one that was closed. */
const isCut = ({ code }: NodeJS.ErrnoException) => code === 'ECONNRESET' || code === 'EPIPE'
