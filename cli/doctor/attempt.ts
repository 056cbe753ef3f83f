/**
 * One try to get past the gateway, run by doctor under an unprivileged uid:
 * `node attempt.ts '{"protocol":"udp","address":"203.0.113.10","port":443}'` prints `{"outcome":"…"}`.
 *
 * A try is one datagram or one connection with a few bytes that mean nothing to anybody, should it ever arrive.
 */
import { createSocket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'
import { pathToFileURL } from 'node:url'

export interface Attempt {
  readonly protocol: 'tcp' | 'udp'
  readonly address: string
  readonly port: number
}

/** `refused`: an error came back; `passed`: bytes went out or an answer came; `silent`: neither, within the time. */
export interface Outcome {
  readonly outcome: 'refused' | 'passed' | 'silent'
  /** The system's error code, where there was one. */
  readonly code?: string
}

const WAIT_MS = 2000
const PROBE = Buffer.from('agent-anchor doctor\r\n')

function tcp({ address, port }: Attempt): Promise<Outcome> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port })
    const timer = setTimeout(() => done({ outcome: 'silent' }), WAIT_MS)
    const done = (outcome: Outcome) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(outcome)
    }
    // A redirected connection is accepted by the proxy, which then decides: only what follows tells.
    socket.on('connect', () => socket.write(PROBE))
    socket.on('data', () => done({ outcome: 'passed' }))
    socket.on('error', (error: NodeJS.ErrnoException) => done(refused(error)))
    socket.on('close', () => done({ outcome: 'refused', code: 'closed' }))
  })
}

function udp({ address, port }: Attempt): Promise<Outcome> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
    const timer = setTimeout(() => done({ outcome: 'silent' }), WAIT_MS)
    const done = (outcome: Outcome) => {
      clearTimeout(timer)
      socket.close()
      resolve(outcome)
    }
    socket.on('message', () => done({ outcome: 'passed' }))
    socket.on('error', (error: NodeJS.ErrnoException) => done(refused(error)))
    // Connected, so that a refusal by ICMP comes back as an error too.
    socket.connect(port, address, () => {
      socket.send(PROBE, (error) => {
        if (error) done(refused(error))
      })
    })
  })
}

const refused = ({ code }: NodeJS.ErrnoException): Outcome => ({
  outcome: 'refused',
  ...(code === undefined ? {} : { code }),
})

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const attempt = JSON.parse(process.argv[2] ?? '') as Attempt
  process.stdout.write(JSON.stringify(await (attempt.protocol === 'udp' ? udp(attempt) : tcp(attempt))))
}
