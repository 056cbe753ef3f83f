/** Who takes part: the world, its servers, and agents under every uid, group and namespace that matters. */
import type { ChildProcess } from 'node:child_process'
import { mkdirSync, readdirSync, rmdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { type Nft, systemNft } from '../../../firewall/nft.ts'
import { startGuard } from './guard.ts'
import {
  AGENT_UID,
  CLOCK_UID,
  EXEMPT_GID,
  EXEMPT_UID,
  GUARDED_PORT,
  LOCAL_PORT,
  PROXY_UID,
  SERVICE_UID,
  SUBJECT_GID,
} from './places.ts'
import { type StandIn, startProxy } from './proxy.ts'
import { Agent, CGROUP, countArrivals, makeWorld, message, sh, startRole, type Where } from './world.ts'

export interface Cast {
  readonly script: string
  readonly nft: Nft
  readonly farSide: ChildProcess
  readonly proxy: StandIn
  readonly agent: Agent
  readonly root: Agent
  /** Under the proxy's uid. */
  readonly exempt: Agent
  /** Of the service behind the guarded port. */
  readonly member: Agent
  readonly clock: Agent
  readonly exemptUser: Agent
  readonly exemptGroup: Agent
  readonly subjectGroup: Agent
  /** An agent's uid with CAP_NET_RAW. */
  readonly rawAgent: Agent
  /** In the bridged container. */
  readonly container: Agent
  /** Root in a container on a macvlan of the uplink. */
  readonly virtual: Agent
  readonly outsider: Agent
  /** Another agent, stopped with the rest. */
  hire(where: Where): Agent
  stop(): Promise<void>
}

export async function assemble(script: string): Promise<Cast> {
  makeWorld()
  countArrivals()
  // nft names control groups by their place below this directory.
  sh('mount', '-t', 'cgroup2', 'cgroup2', '/sys/fs/cgroup')
  mkdirSync(`/sys/fs/cgroup/${CGROUP}`)
  const farSide = startRole(script, 'far-side', { namespace: 'internet' })
  await message(farSide)
  const proxy = await startProxy()
  const guard = await startGuard()
  const servers = await Promise.all(
    [GUARDED_PORT, LOCAL_PORT].map(async (port) => {
      const server = createServer((socket) => void socket.on('error', () => {}).end('service'))
      await new Promise<void>((listening) => server.listen(port, '::', listening))
      return server
    }),
  )
  const agents: Agent[] = []
  const hire = (where: Where) => {
    const agent = new Agent(script, where)
    agents.push(agent)
    return agent
  }
  return {
    script,
    nft: systemNft(),
    farSide,
    proxy,
    agent: hire({ uid: AGENT_UID }),
    root: hire({ uid: 0 }),
    exempt: hire({ uid: PROXY_UID }),
    member: hire({ uid: SERVICE_UID }),
    clock: hire({ uid: CLOCK_UID }),
    exemptUser: hire({ uid: EXEMPT_UID, raw: true }),
    exemptGroup: hire({ uid: AGENT_UID, gid: EXEMPT_GID }),
    subjectGroup: hire({ uid: SERVICE_UID, gid: SUBJECT_GID }),
    rawAgent: hire({ uid: AGENT_UID, raw: true }),
    container: hire({ uid: AGENT_UID, namespace: 'container' }),
    virtual: hire({ uid: 0, namespace: 'virtual' }),
    outsider: hire({ uid: 0, namespace: 'internet' }),
    hire,
    async stop() {
      await Promise.all(agents.map((agent) => agent.stop()))
      farSide.disconnect()
      for (const server of servers) server.close()
      await guard.close()
      await proxy.close()
      removeGroup(`/sys/fs/cgroup/${CGROUP}`)
    },
  }
}

/** With what a test that failed left in it. */
function removeGroup(path: string): void {
  for (const entry of readdirSync(path, { withFileTypes: true }))
    if (entry.isDirectory()) removeGroup(`${path}/${entry.name}`)
  rmdirSync(path)
}
