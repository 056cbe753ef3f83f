/**
 * Who is who: certificates and keys, names that lie about their addresses, and callers who are gone. Numbers 70 to 73,
 * 76 to 78 and 81 of docs/bypass.md, under `standard`.
 */
import t from 'tap'
import { OPENAI } from '../lab/addresses.ts'
import { enterLab } from '../lab/enter.ts'
import { answered, get, inTurn, printed } from './bypass/attempts.ts'
import type { BypassCase } from './bypass/case.ts'
import { authorityEnds } from './bypass/identity/authority-ends.ts'
import { hostsFiles, rebinding } from './bypass/identity/lying-names.ts'
import { secretsPried } from './bypass/identity/secrets-pried.ts'
import { sentElsewhere } from './bypass/identity/sent-elsewhere.ts'
import { upstreamCertificates } from './bypass/identity/upstream-certificates.ts'
import { vanishingCalls } from './bypass/names.ts'
import { asked, exchange } from './bypass/records.ts'
import { runSuites } from './bypass/suite.ts'
import { openWorld } from './bypass/world.ts'

t.setTimeout(300_000)
await enterLab(import.meta.url)
const world = await openWorld()
const { lab } = world
t.teardown(() => world.stop())

const AGENT = 4001
const { address4, name } = OPENAI
const all = inTurn(world)
const vanishing = { address: address4, port: 80, host: name, count: 40 } as const

const vanished: BypassCase = {
  ...{ result: 'captured', saw: 'proxy', counter: 'redirected' },
  number: 81,
  traces: 80,
  name: 'calls whose process is gone when they arrive, ended and reset, between calls of somebody who stays',
  attempt: async () => {
    const gone = lab.run('agent1', vanishingCalls({ ...vanishing, target: '/v1/models?gone' }), {
      cwd: '/',
    })
    const reset = lab.run(
      'agent1',
      vanishingCalls({ ...vanishing, target: '/v1/models?reset', reset: true }),
      { cwd: '/' },
    )
    const stays = all('agent2', ...Array.from({ length: 10 }, () => get(`http://${name}/v1/models?stays`)))
    return [await gone, await reset, ...(await stays)]
  },
  client: (t, [gone, reset, ...stays]) => {
    t.match([printed(gone!), printed(reset!)], [[{ sent: 40 }], [{ sent: 40 }]])
    answered(t, stays)
  },
  records: [asked('?gone', exchange({ uid: null, port: 80 })), asked('?stays', exchange({ uid: 4002 }))],
}

const cases: readonly BypassCase[] = [
  ...upstreamCertificates(world),
  secretsPried(world),
  vanished,
  sentElsewhere(world),
  rebinding(world),
  hostsFiles(world),
  authorityEnds(world),
]

runSuites(world, [{ policy: 'standard', cases }])

void t.test('who was gone is told as nobody or as himself, and never as somebody else', async (t) => {
  const records = world
    .recordsAfter(-1)
    .filter((each) => /\?(gone|reset)/.test(('http' in each && each.http.target) || ''))
  t.ok(records.length >= 40, `${records.length} records`)
  for (const record of records) {
    if (record.kind !== 'exchange') continue
    t.ok([undefined, AGENT].includes(record.agent.uid), 'uid')
    for (const { name } of record.agent.processes ?? []) t.match(name, /^python3/)
  }
})
