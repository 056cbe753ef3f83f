/**
 * Passes bytes both ways between an agent and where it meant to go, as they are: half-closes, resets and
 * backpressure included. Nothing is recorded.
 */
import { connect, type Socket } from 'node:net'
import type { Endpoint } from '../recorder/protocol.ts'

/** Looks at what the agent sends before it goes out: `undefined` wants more, `cut` ends both sides. */
export type Inspect = (bytes: Buffer) => 'pass' | 'cut' | undefined

const KEEP_ALIVE_MS = 60_000

/**
 * Dials `destination` and couples it with `agent` until both are closed.
 * @param first bytes that were already read from the agent
 * @param inspect for a connection on which the agent has said nothing yet
 */
export function splice(agent: Socket, destination: Endpoint, first: Buffer, inspect?: Inspect): void {
  const remote = connect({
    host: destination.address,
    port: destination.port,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
  })
  agent.setKeepAlive(true, KEEP_ALIVE_MS)
  if (first.length > 0) remote.write(first)
  couple(remote, agent)
  if (inspect) inspected(agent, remote, inspect)
  else forward(agent, remote)
  forward(remote, agent)
  if (agent.readableEnded) remote.end()
  agent.resume()
}

/** Data, backpressure and half-close from one to the other. */
function forward(from: Socket, to: Socket): void {
  from.on('data', (bytes: Buffer) => {
    if (!to.write(bytes)) from.pause()
  })
  to.on('drain', () => from.resume())
  from.on('end', () => to.end())
}

/** One side's breaking breaks the other in the same way. */
function couple(a: Socket, b: Socket): void {
  for (const [one, other] of [
    [a, b],
    [b, a],
  ] as const) {
    one.on('error', () => {
      if (!other.destroyed) other.resetAndDestroy()
    })
    one.on('close', () => {
      if (!other.destroyed && !one.readableEnded) other.destroySoon()
    })
  }
}

function inspected(agent: Socket, remote: Socket, inspect: Inspect): void {
  let seen: Buffer = Buffer.alloc(0)
  const look = (bytes: Buffer) => {
    seen = seen.length === 0 ? bytes : Buffer.concat([seen, bytes])
    const verdict = inspect(seen)
    if (verdict === undefined) return
    agent.off('data', look)
    if (verdict === 'cut') {
      agent.destroy()
      remote.destroy()
      return
    }
    agent.off('end', endEarly)
    forward(agent, remote)
    if (!remote.write(seen)) agent.pause()
  }
  const endEarly = () => {
    if (seen.length > 0) remote.write(seen)
    remote.end()
  }
  agent.on('data', look)
  agent.on('end', endEarly)
}
