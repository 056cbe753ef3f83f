/** What agents and the gateway's own accounts may get at, and a CA that only has our name: number 72. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { OPENAI, RELAY } from '../../../lab/addresses.ts'
import type { Outcome } from '../../../lab/process.ts'
import { userNamed } from '../../../lab/users.ts'
import { answered, get, inTurn, printed } from '../attempts.ts'
import type { BypassCase } from '../case.ts'
import { asked, exchange } from '../records.ts'
import { coreLimits, forgery, pry, targetsFor } from '../secrets.ts'
import type { World } from '../world.ts'

const { name } = OPENAI
const ACCOUNTS = ['agent1', 'nobody', 'agent-anchor-proxy', 'agent-anchor-sensor', 'agent-anchor'] as const
const FORGED = '/home/agent1/forged'
const FORGED_PORT = 8444

/** An agent that serves as the provider with a CA of the very name of ours, and one that is lured to it. */
async function behindForgery(world: World): Promise<Outcome[]> {
  const { lab } = world
  const genuine = readFileSync(world.gateway.paths.caCertificate, 'utf8')
  const made = await lab.run('agent1', ['/bin/sh', '-c', forgery(genuine, name, FORGED)])
  if (made.code !== 0) throw new Error(made.stderr)
  const files = ['-cert', 'leaf.crt', '-key', 'leaf.key', '-cert_chain', 'ca.crt']
  const server = lab.spawnAs(
    'agent1',
    ['openssl', 's_server', '-accept', String(FORGED_PORT), '-www', ...files],
    {
      cwd: FORGED,
    },
  )
  await once(server.stdout!, 'data')
  const at = (address: string, port: number) => [
    `https://${name}:${port}/v1/models?forged`,
    ...['--resolve', `${name}:${port}:${address}`],
  ]
  const outcomes = await inTurn(world)(
    'agent2',
    get(...(at('127.0.0.1', FORGED_PORT) as [string])),
    get(...(at('127.0.0.1', FORGED_PORT) as [string]), '-k'),
    get(...(at(RELAY.address4, 443) as [string])),
  )
  server.kill('SIGKILL')
  await once(server, 'exit')
  return outcomes
}

export function secretsPried(world: World): BypassCase {
  let cores: string[] = []
  return {
    ...{ result: 'captured', saw: 'proxy', counter: 'redirected' },
    number: 72,
    name: "every file, process and socket pried at by agents and by the gateway's own accounts; a CA of the same name is believed by nobody",
    open: false,
    attempt: async () => {
      const outcomes: Outcome[] = []
      for (const account of ACCOUNTS) {
        const targets = await targetsFor(world, userNamed(account).uid)
        outcomes.push(await world.lab.run(account, pry(targets), { cwd: '/' }))
      }
      cores = await coreLimits(world)
      return [...outcomes, ...(await behindForgery(world))]
    },
    client: (t, outcomes) => {
      for (const [index, account] of ACCOUNTS.entries()) {
        const [told] = printed<{ opened: string[]; refused: number }>(outcomes[index]!)
        t.same(told?.opened, [], `${account} gets at nothing`, { stderr: outcomes[index]?.stderr })
        t.ok((told?.refused ?? 0) > 200, `${told?.refused} attempts`)
      }
      const [forged, careless, lured] = outcomes.slice(ACCOUNTS.length)
      t.equal(forged?.code, 60, `an honest client does not believe it: ${forged?.stderr}`)
      t.equal(careless?.code, 0, `the forgery serves who verifies nothing: ${careless?.stderr}`)
      t.same([...new Set(cores)], ['0'], 'nobody leaves a core')
      answered(t, [lured!])
    },
    records: [
      asked('?forged', exchange({ uid: 4002, status: 200, mismatch: true, address: RELAY.address4 })),
    ],
  }
}
