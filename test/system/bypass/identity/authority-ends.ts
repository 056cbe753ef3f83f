/** Clocks of the clients' own, and a CA that runs out: number 73. It leaves another CA behind, so it comes last. */
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { OPENAI } from '../../../lab/addresses.ts'
import { chatCall, curlCommand } from '../../../lab/client-commands.ts'
import type { Outcome } from '../../../lab/process.ts'
import { answered, get, inTurn } from '../attempts.ts'
import type { BypassCase } from '../case.ts'
import { callAt, installAgain, restartWithOldAuthority, shownCertificate } from '../certificates.ts'
import { refusedAtOnce } from '../lifecycle.ts'
import { asked, because, exchange, refusal } from '../records.ts'
import type { World } from '../world.ts'

const { address4, address6, name } = OPENAI
const models = `https://${name}/v1/models`
const AGENT = 4001
const DAY = 86_400
/** Until the CA ends, at first: a machine that takes long to start gets longer. */
const LEFT_MS = 12_000
const LEAST_MS = 3000
/** Each has its own leaves, and renews one near its end while it still serves it: more calls than twice as many. */
const WORKERS = availableParallelism()
const CALLS_NEAR_THE_END = 4 * WORKERS

export function authorityEnds(world: World): BypassCase {
  const { lab } = world
  const all = inTurn(world)
  let serials: string[] = []
  let streamed: Outcome | undefined
  let renewed = false
  /** A call while there is no daemon. */
  let between: Outcome | undefined

  /** A stream that goes on while the CA, and with it every leaf, runs out. */
  async function overTheEnd(): Promise<Outcome[]> {
    let end = 0
    for (let left = LEFT_MS; end - Date.now() < LEAST_MS; left *= 2) {
      end = await restartWithOldAuthority(world, left, async () => {
        between = await lab.run('agent1', get(`${models}?between`))
      })
    }
    const { headers, body, url } = chatCall(
      'sk-lab',
      'one two three four five six seven eight nine ten',
      true,
    )
    const pace = Math.ceil((end - Date.now() + 2000) / 10)
    const stream = lab.run(
      'agent2',
      [
        ...curlCommand({ url, headers: { ...headers, 'x-lab': `pace=${pace}` }, body: body! }, [
          '--max-time',
          '60',
        ]),
      ],
      { timeoutMs: 60_000 },
    )
    serials = []
    for (let turn = 0; turn < CALLS_NEAR_THE_END; turn++) {
      serials.push((await lab.run('agent1', shownCertificate(address4, name))).stdout)
      await sleep(150)
    }
    const before = await lab.run('agent1', get(`${models}?before-the-end`))
    await sleep(Math.max(0, end - Date.now()) + 1500)
    const after = await lab.run('agent1', get(`${models}?after-the-end`))
    streamed = await stream
    renewed = await installAgain(world)
    return [before, after, await lab.run('agent1', get(`${models}?another-ca`))]
  }

  return {
    ...{ result: 'captured', saw: 'proxy' },
    number: 73,
    counter: 'refused_tcp',
    traces: 3,
    name: 'clients with clocks of their own; a CA that runs out under a stream and between calls, and the one that an install puts in its place',
    attempt: async () => [
      ...(await all(
        'agent1',
        callAt(40 * DAY, address4, name, '/v1/models?in-forty-days'),
        callAt(-7200, address6, name, '/v1/models?two-hours-ago'),
        callAt(1200, address4, name, '/v1/models?in-twenty-minutes'),
      )),
      ...(world.isEnforcing() ? await overTheEnd() : []),
    ],
    client: (t, [late, early, near, before, after, renewal]) => {
      t.match(late, { stdout: '', stderr: /certificate has expired/ })
      t.match(early, { stdout: '', stderr: /certificate is not yet valid/ })
      answered(t, [near!, before!, renewal!])
      t.ok(new Set(serials).size > WORKERS, 'a leaf near its end was renewed', { serials })
      t.ok(refusedAtOnce(between!), 'refused while no gateway runs')
      t.match(after, { code: 35, stdout: '' })
      t.match(streamed?.stdout, /\[DONE\]/, 'the stream outlived them')
      t.ok(renewed, 'an install makes a new CA')
    },
    records: [
      because(
        /handshake.*expired/,
        refusal({ uid: AGENT, rule: 'governed-name', serverName: name, address: address4 }),
      ),
      because(
        /handshake.*bad_certificate/,
        refusal({ uid: AGENT, rule: 'client-refused', address: address6 }),
      ),
      ...['in-twenty-minutes', 'before-the-end', 'another-ca'].map((each) =>
        asked(each, exchange({ status: 200 })),
      ),
      because(/valid from/, refusal({ uid: AGENT, rule: 'governed-name', serverName: name })),
    ],
  }
}
