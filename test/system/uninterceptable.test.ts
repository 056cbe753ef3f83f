/** Clients that refuse the gateway's certificate, and servers that ask for one of the client's. */
import { mkdirSync, writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import type { LogRecord } from '../../daemon/recorder/record.ts'
import { MUTUAL, OPENAI } from '../lab/addresses.ts'
import { enterLab } from '../lab/enter.ts'
import { CLIENT_CERTIFICATE } from '../lab/places.ts'
import type { Outcome } from '../lab/process.ts'
import { answered, get, inTurn } from './bypass/attempts.ts'
import { because, refusal, type Wanted } from './bypass/records.ts'
import { openWorld } from './bypass/world.ts'

t.setTimeout(240_000)
await enterLab(import.meta.url)
const world = await openWorld()
t.teardown(() => world.stop())

const POLICIES = '/etc/agent-anchor/policies'
mkdirSync(POLICIES, { recursive: true })
writeFileSync(
  `${POLICIES}/lenient.yaml`,
  JSON.stringify({
    ...{ apiVersion: 'agent-anchor/v1', kind: 'Policy', name: 'lenient' },
    proxy: { uninterceptable: 'splice' },
  }),
)

const AGENT = 4001
const PATIENCE_MS = 15_000
const all = inTurn(world)
const models = `https://${OPENAI.name}/v1/models`
/** Knows the provider's root and no other. */
const ROOT = '/usr/local/share/ca-certificates/laboratory-root.crt'
const bundled = get(models, '--capath', '/nonexistent', '--cacert', ROOT)
/** CURLE_PEER_FAILED_VERIFICATION */
const UNTRUSTED = 60

async function recorded(t: Test, leaf: number, what: string, wanted: Wanted): Promise<void> {
  const end = Date.now() + PATIENCE_MS
  while (!world.recordsAfter(leaf).some(wanted)) {
    if (Date.now() > end) throw new Error(`no record of ${what} within ${PATIENCE_MS} ms`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  t.pass(`a record of ${what}`)
}

interface Doctor {
  readonly refusing: readonly Record<string, unknown>[]
}

await world.enforce('standard')

t.test('a client with roots of its own fails each time; doctor says which, and what mends it', async (t) => {
  const leaf = world.newestLeaf()
  const outcomes = await all('agent1', bundled, bundled)
  t.same(
    outcomes.map(({ code }) => code),
    [UNTRUSTED, UNTRUSTED],
  )
  const refused = because(
    /unknown_ca/,
    refusal({ uid: AGENT, rule: 'client-refused', serverName: OPENAI.name }),
  )
  await recorded(t, leaf, 'the refusal', refused)
  // A call that ends within milliseconds may be gone before a busy machine has looked whose it was.
  const byCurl = async () => {
    const { refusing } = (await world.gateway.json('doctor')) as unknown as Doctor
    return refusing.find(({ process }) => process === 'curl')
  }
  let found = await byCurl()
  for (const end = Date.now() + PATIENCE_MS; !found && Date.now() < end; found = await byCurl())
    await all('agent1', bundled)
  t.match(found, {
    why: 'certificate-refused',
    executable: /\/curl$/,
    uid: AGENT,
    serverName: OPENAI.name,
    remedy: /proxy\.uninterceptable: splice/,
  })
  const { stdout } = await world.gateway.cli('doctor')
  t.match(stdout, /curl \(uid 4001\) refuses the gateway's certificate for api\.openai\.com: /)
})

/** Whoever answers that call by the provider's own certificate; each worker has to learn it. */
async function until(call: string[], isRight: (outcome: Outcome) => boolean): Promise<Outcome> {
  const end = Date.now() + PATIENCE_MS
  let [outcome] = await all('agent1', call)
  while (!isRight(outcome!) && Date.now() < end) [outcome] = await all('agent1', call)
  return outcome!
}

const unread = (name: string): Wanted => refusal({ uid: AGENT, rule: 'uninterceptable', serverName: name })
const isExchangeOf =
  (uid: number) =>
  (record: LogRecord): boolean =>
    record.kind === 'exchange' && record.agent.uid === uid && record.server.name === OPENAI.name

t.test('where the policy lets it through, it passes unread, and nobody else does', async (t) => {
  await world.enforce('lenient')
  const leaf = world.newestLeaf()
  const [first] = await all('agent1', bundled)
  t.equal(first!.code, UNTRUSTED, 'not before it was seen to refuse')
  answered(t, [await until(bundled, ({ code }) => code === 0)])
  await recorded(t, leaf, 'what was let through', unread(OPENAI.name))
  t.notOk(world.recordsAfter(leaf).some(isExchangeOf(AGENT)), 'it is not read')
  answered(t, await all('agent2', get(models)))
  await recorded(t, leaf, 'another user’s call', isExchangeOf(4002))
})

t.test('the same of a server that asks for a client certificate', async (t) => {
  const leaf = world.newestLeaf()
  const call = get(`https://${MUTUAL.name}/openai/v1/models`, '-4', '--cert', CLIENT_CERTIFICATE)
  const [first] = await all('agent1', call)
  t.match(first!.stdout, /upstream_wants_certificate/, 'at first it gets nothing')
  answered(t, [await until(call, ({ stdout }) => /^HTTP\/1\.1 200 /.test(stdout))])
  await recorded(t, leaf, 'what was let through', unread(MUTUAL.name))
})
