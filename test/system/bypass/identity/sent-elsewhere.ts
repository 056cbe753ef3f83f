/** A provider that sends its client to the machine's metadata service: number 78. */
import { METADATA, OPENAI } from '../../../lab/addresses.ts'
import type { Outcome } from '../../../lab/process.ts'
import { answered, get, inTurn } from '../attempts.ts'
import type { BypassCase } from '../case.ts'
import { nft } from '../lifecycle.ts'
import { metadataVisits } from '../names.ts'
import { asked, exchange } from '../records.ts'
import type { World } from '../world.ts'

const models = `https://${OPENAI.name}/v1/models`
const AGENT = 4001
const ELSEWHERE = `http://${METADATA.address4}/latest/meta-data/`

/** A machine's own rule about who may ask its metadata service. */
const GUARDED = `add table inet metadata
add chain inet metadata out { type filter hook output priority 0; }
add rule inet metadata out meta skuid ${AGENT} ip daddr ${METADATA.address4} reject`

export function sentElsewhere(world: World): BypassCase {
  const all = inTurn(world)
  let elsewhere: ReturnType<typeof metadataVisits>
  async function attempt(): Promise<Outcome[]> {
    const before = await world.sight()
    const away = ['-L', '-H', `x-lab: status=302, location=${ELSEWHERE}, alt-svc=h3`]
    const outcomes = [
      ...(await all('agent1', get(`${models}?elsewhere`, ...away), get(ELSEWHERE))),
      ...(await all('agent2', get(`${models}?elsewhere`, ...away))),
    ]
    await nft(GUARDED)
    outcomes.push(
      ...(await all('agent1', get(`${models}?elsewhere`, ...away), get(ELSEWHERE))),
      ...(await all('agent2', get(ELSEWHERE))),
    )
    await nft('delete table inet metadata')
    elsewhere = metadataVisits(before, await world.sight())
    return outcomes
  }

  return {
    ...{ result: 'captured', saw: 'proxy', counter: 'redirected' },
    number: 78,
    traces: 4,
    name: 'a provider that sends its client to the metadata service: who follows gets there or is refused as without the gateway, and never as the proxy',
    attempt,
    client: (t, outcomes) => {
      const [followed, direct, other, barred, barredDirect, otherDirect] = outcomes
      for (const { stdout, stderr } of [followed!, other!]) {
        t.match(stdout, /^HTTP\/1\.1 302 [\s\S]*HTTP\/1\.1 200 [\s\S]*No provider lives/, stderr)
        t.notMatch(stdout.slice(0, stdout.indexOf('HTTP/1.1 200')), /alt-svc/i)
      }
      answered(t, [direct!, otherDirect!])
      t.same([barred?.code, barredDirect?.code], [7, 7], 'a rule about the agent holds for it')
      t.equal(elsewhere.proxy.length, 0, 'the proxy was not there')
      t.equal(elsewhere.others.length, 4)
    },
    records: [asked('?elsewhere', exchange({ uid: AGENT, status: 302 }))],
  }
}
