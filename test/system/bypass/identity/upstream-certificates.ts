/** Certificates that a provider demands or shows: numbers 70 and 71. */
import { ASKING, MUTUAL, OPENAI } from '../../../lab/addresses.ts'
import { curlCommand } from '../../../lab/client-commands.ts'
import type { CertificateKind } from '../../../lab/internet/messages.ts'
import { CLIENT_CERTIFICATE } from '../../../lab/places.ts'
import type { Outcome } from '../../../lab/process.ts'
import { answered, get, inTurn } from '../attempts.ts'
import type { BypassCase } from '../case.ts'
import { leafOfOurs } from '../certificates.ts'
import { asked, exchange, failed } from '../records.ts'
import type { World } from '../world.ts'

const { name } = OPENAI
const models = `https://${name}/v1/models`
const AGENT = 4001

const KINDS: readonly CertificateKind[] = ['expired', 'wrong-name', 'unknown-root', 'self-signed']

/** The provider shows that certificate from now on, and to everybody: whoever is connected is broken off. */
export async function show(world: World, kind: CertificateKind | 'ours'): Promise<void> {
  if (kind === 'ours')
    await world.lab.ask({ type: 'credentials', site: name, ...(await leafOfOurs(world, name)) })
  else await world.lab.ask({ type: 'certificate', site: name, kind })
  await world.lab.ask({ type: 'listening', site: name, on: false })
  await world.lab.ask({ type: 'listening', site: name, on: true })
}

const captured = { result: 'captured', saw: 'proxy', counter: 'redirected' } as const
const refused = { result: 'refused', saw: 'nothing', counter: 'redirected' } as const

export function upstreamCertificates(world: World): readonly BypassCase[] {
  const { lab } = world
  const all = inTurn(world)
  return [
    {
      ...captured,
      number: 70,
      traces: 4,
      name: 'a provider that demands a client certificate ends the call and the record says why; one that only asks for it does without, and the record says so',
      attempt: async () => {
        const shown = ['--cert', CLIENT_CERTIFICATE]
        const outcomes = await all(
          'agent1',
          ...[MUTUAL, ASKING].flatMap((site) =>
            ['-4', '-6'].map((family) =>
              get(`https://${site.name}/openai/v1/models?wants${family}`, family, ...shown),
            ),
          ),
        )
        const met = outcomes.filter(({ stdout }) => /^HTTP\/1\.1 200 /.test(stdout)).length
        if (!world.isEnforcing() && met !== 4) throw new Error(outcomes.map(({ stderr }) => stderr).join())
        return outcomes
      },
      client: (t, [demanded4, demanded6, ...wanted]) => {
        for (const { stdout, stderr } of [demanded4!, demanded6!])
          t.match(stdout, /^HTTP\/1\.1 502 [\s\S]*upstream_wants_certificate/, stderr)
        answered(t, wanted)
      },
      records: ['-4', '-6'].flatMap((family) => [
        asked(
          `?wants${family}`,
          failed('upstream_wants_certificate'),
          exchange({ name: MUTUAL.name, uid: AGENT }),
        ),
        asked(
          `?wants${family}`,
          exchange({ name: ASKING.name, status: 200, flag: 'client-certificate-wanted' }),
        ),
      ]),
    },
    {
      ...refused,
      number: 71,
      traces: 8,
      name: "a provider whose certificate is expired, another's, of an unknown CA, of its own making or of the gateway's own CA gets nothing",
      attempt: async () => {
        const outcomes: Outcome[] = []
        for (const kind of [...KINDS, ...(world.isEnforcing() ? ['ours' as const] : [])]) {
          await show(world, kind)
          const call = { url: `${models}?${kind}`, body: '{"prompt":"to nobody"}' }
          for (const family of ['-4', '-6'])
            outcomes.push(await lab.run('agent1', curlCommand(call, ['-k', family])))
        }
        await show(world, 'good')
        return outcomes
      },
      client: (t, outcomes) => {
        t.equal(outcomes.length, 10)
        for (const { stdout, stderr } of outcomes)
          t.match(stdout, /^HTTP\/1\.1 502 [\s\S]*upstream_untrusted/, stderr)
      },
      records: [...KINDS, 'ours'].map((kind) =>
        asked(
          `?${kind}`,
          exchange({ outcome: 'upstream-untrusted', uid: AGENT }),
          failed('upstream_untrusted'),
        ),
      ),
    },
  ]
}
