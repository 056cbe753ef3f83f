/** The agents of the stress test: who they are, where they stand and what they try. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { LINK, OPENAI, RELAY } from '../../lab/addresses.ts'
import type { Container } from '../../lab/containers.ts'
import type { Lab } from '../../lab/lab.ts'
import { REPOSITORY } from '../../lab/places.ts'

/** The proxy's transparent port, as the default configuration has it. */
const PROXY_PORT = 18_443

type Place = 'host' | 'container'

interface Way {
  /** Of those in storm.py. */
  readonly way: string
  readonly from: Place
  /** Accounts that take turns. */
  readonly users: readonly string[]
  readonly agents: number
  /** Means nothing without a gateway. */
  readonly needsGateway?: boolean
}

export interface Told {
  readonly way: string
  readonly from: Place
  readonly user: string
  readonly attempts: number
  readonly answered: number
  readonly errors: Readonly<Record<string, number>>
}

export interface Agent extends Way {
  readonly number: number
  readonly user: string
}

export interface Running {
  readonly over: Promise<Told[]>
  stop(): void
}

const AGENTS = ['agent1', 'agent2']
/** Accounts that some gateway might have exempted, this one's own among them. */
const EVERYBODY = [
  'agent1',
  'root',
  'nobody',
  'daemon',
  'agent-anchor',
  'agent-anchor-sensor',
  '_apt',
  'mail',
]
const ROOT = ['root']
const on = (
  from: Place,
  way: string,
  agents: number,
  users: readonly string[],
  more: Partial<Way> = {},
): Way => ({
  ...{ from, way, agents, users },
  ...more,
})

const WAYS: readonly Way[] = [
  on('host', 'IPv4', 8, EVERYBODY),
  on('host', 'IPv6', 8, EVERYBODY),
  on('host', 'mapped', 2, AGENTS),
  on('host', 'plain HTTP', 3, AGENTS),
  on('host', 'other ports', 3, AGENTS),
  on('host', 'kept open', 4, AGENTS),
  on('host', 'bound to the device', 2, ROOT),
  on('host', 'UDP and QUIC', 4, EVERYBODY),
  on('host', 'UDP-Lite', 2, AGENTS),
  on('host', 'other protocols', 2, ROOT),
  on('host', 'IP_HDRINCL', 2, ROOT),
  on('host', 'feigned', 2, ROOT),
  on('host', 'AF_PACKET', 4, ROOT),
  on('host', 'CONNECT', 2, AGENTS),
  on('host', 'SOCKS', 2, AGENTS),
  on('host', "the proxy's own port", 2, AGENTS, { needsGateway: true }),
  on('container', 'IPv4', 2, ROOT),
  on('container', 'IPv6', 2, ROOT),
  on('container', 'other ports', 2, ROOT),
  on('container', 'UDP and QUIC', 2, ROOT),
  on('container', 'other protocols', 1, ROOT),
  on('container', 'IP_HDRINCL', 1, ROOT),
  on('container', 'AF_PACKET, routed', 2, ROOT),
]

export function cast(
  lab: Lab,
  container: Container,
  seed: number,
): {
  readonly agents: readonly Agent[]
  /** One agent for each way. */
  readonly ways: readonly Agent[]
  /** Starts agents of one account and place; without a count they go on until they are stopped. */
  start(agents: readonly Agent[], more?: { readonly count: number }): Running
} {
  let number = 0
  const byWay = WAYS.map((way) =>
    Array.from(
      { length: way.agents },
      (_, turn): Agent => ({
        ...way,
        number: number++,
        user: way.users[turn % way.users.length]!,
      }),
    ),
  )
  const inside = {
    source4: container.address4,
    source6: container.address6,
    gateway4: container.gateway4,
    gateway6: container.gateway6,
  }
  const outside = {
    source4: LINK.host4,
    source6: LINK.host6,
    gateway4: LINK.internet4,
    gateway6: LINK.internet6,
  }
  return {
    agents: byWay.flat(),
    ways: byWay.map(([first]) => first!),
    start(some, more) {
      const [{ from, user }] = some as readonly [Agent]
      const asked = {
        agents: some.map(({ way, number }) => ({ way, agent: number, seed: seed + number })),
        ...{ four: OPENAI.address4, six: OPENAI.address6, name: OPENAI.name, relay: RELAY.address4 },
        ...(from === 'host' ? outside : inside),
        doors: ['127.0.0.1', '::1', LINK.host4, LINK.host6].map((address) => [address, PROXY_PORT]),
        ...more,
      }
      const program = `${REPOSITORY}/test/lab/attackers/storm.py`
      const argv = ['/usr/bin/python3', '-B', program, JSON.stringify(asked)]
      const child =
        from === 'host' ? lab.spawnAs(user, argv, { cwd: '/' }) : container.spawn(argv, { cwd: '/' })
      return { over: told(child, { from, user }), stop: () => void child.stdin!.end() }
    },
  }
}

async function told(child: ChildProcess, who: Pick<Told, 'from' | 'user'>): Promise<Told[]> {
  const output: Buffer[] = []
  const errors: Buffer[] = []
  child.stdout!.on('data', (chunk: Buffer) => output.push(chunk))
  child.stderr!.on('data', (chunk: Buffer) => errors.push(chunk))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${JSON.stringify(who)}: ${Buffer.concat(errors)}`)
  const lines = Buffer.concat(output).toString().trim().split('\n')
  return lines.map((line) => ({ ...(JSON.parse(line) as Told), ...who }))
}
