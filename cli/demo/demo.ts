/** What the demo shows, in order. It runs inside the laboratory; each step says what held or throws why not. */
import { readFileSync, writeFileSync } from 'node:fs'
import { messageOf } from '../../daemon/base/errors.ts'
import { type Gateway, startGateway } from '../../test/lab/gateway.ts'
import { type Lab, startLab } from '../../test/lab/lab.ts'
import { askAnthropic, askOpenAi, curl, DEMO_KEYS } from './agents.ts'
import { expect, type Record, records, search, tileOf, untilAnchored } from './evidence.ts'

export interface StepResult {
  readonly step: string
  readonly ok: boolean
  readonly lines: readonly string[]
}

interface Stage {
  readonly lab: Lab
  readonly gateway: Gateway
}

type Step = [title: string, show: (stage: Stage) => Promise<string[]>]

const RECEIPT = '/root/receipt.json'

const steps: readonly Step[] = [
  [
    'Two unmodified agents call their providers; nothing is configured in them',
    async ({ lab, gateway }) => {
      await askOpenAi(lab, 'agent1', { stream: false, family: '-4' })
      await askOpenAi(lab, 'agent1', { stream: true, family: '-6' })
      await askAnthropic(lab, 'agent2', { stream: false, family: '-6' })
      await askAnthropic(lab, 'agent2', { stream: true, family: '-4' })
      const found = await records(gateway, 4, '--kind', 'exchange')
      expect(found.length === 4, 'four exchanges are in the log')
      return found.map(describe)
    },
  ],
  [
    'NO_PROXY=* changes nothing: the kernel hands the connection over',
    async ({ lab, gateway }) => {
      const answer = await curl(lab, 'agent1', ['https://api.openai.com/v1/models'], {
        NO_PROXY: '*',
        no_proxy: '*',
      })
      expect(answer.code === 0, answer.stderr)
      const [newest] = await records(gateway, 5, '--kind', 'exchange')
      return [describe(newest as Record)]
    },
  ],
  [
    'A hard-coded address and QUIC are refused, and the attempt is evidence',
    async ({ lab, gateway }) => {
      const before = (await lab.wireLog()).length
      for (const address of ['203.0.113.10', '[2001:db8:113::10]']) {
        const answer = await curl(lab, 'agent1', ['-k', `https://${address}/v1/models`])
        expect(answer.code !== 0, `${address} is refused`)
      }
      const udp = await lab.run('agent1', [
        process.execPath,
        '-e',
        "require('dgram').createSocket('udp4').send('x', 443, '203.0.113.10', (error) => process.exit(error ? 7 : 0))",
      ])
      expect(udp.code === 7, 'UDP 443 is refused to the sender')
      expect((await lab.wireLog()).length === before, 'the provider saw nothing of it')
      const [refusal] = await records(gateway, 1, '--kind', 'refusal')
      return [
        `refusal of ${describeAgent(refusal as Record)}: ${(refusal as Record).record.reason}`,
        'the provider saw nothing',
      ]
    },
  ],
  [
    'A site that is no provider keeps its own certificate and is not recorded',
    async ({ lab }) => [await plainSite(lab)],
  ],
  [
    'kill -9 in the middle of a stream: providers are out of reach, the rest works',
    async ({ lab, gateway }) => {
      const cut = askOpenAi(lab, 'agent1', { stream: true, family: '-4', pace: 300 }).catch(messageOf)
      await new Promise((resolve) => setTimeout(resolve, 900))
      await gateway.kill()
      await cut
      const before = (await lab.wireLog()).length
      expect(
        (await curl(lab, 'agent2', ['https://api.anthropic.com/v1/models'])).code !== 0,
        'provider out of reach',
      )
      expect((await lab.wireLog()).length === before, 'the provider saw nothing')
      return ['api.anthropic.com: refused by the fence', await plainSite(lab)]
    },
  ],
  [
    'After a restart the cut exchange is in the log, as interrupted',
    async ({ gateway }) => {
      await gateway.start()
      const found = await records(gateway, 6, '--kind', 'exchange')
      const interrupted = found.find(({ outcome }) => outcome === 'interrupted')
      expect(interrupted !== undefined, 'the interrupted exchange is there')
      return [describe(interrupted as Record)]
    },
  ],
  [
    'Every byte that is stored verifies; one flipped byte is found, and named',
    async ({ gateway }) => {
      const clean = await gateway.json('verify', '--offline')
      expect(clean.verified === true, JSON.stringify(clean))
      const tile = tileOf(gateway)
      const bytes = readFileSync(tile)
      const forged = Buffer.from(bytes)
      forged[7] = (forged[7] ?? 0) ^ 1
      writeFileSync(tile, forged)
      const { verified, findings } = (await gateway.json('verify', '--offline')) as {
        verified: boolean
        findings: { result: string; detail: string }[]
      }
      writeFileSync(tile, bytes)
      const named = findings.find(({ result, detail }) => result === 'failed' && detail.includes(tile))
      expect(!verified && named !== undefined, `the damage to ${tile} is named`)
      return ['clean: verified', `one bit flipped: ${named?.detail}`]
    },
  ],
  [
    'No API key is stored, in clear or coded',
    async ({ gateway }) => {
      const places = [gateway.config.stateDir, gateway.config.logDir, gateway.config.runtimeDir]
      const files = search(places, DEMO_KEYS)
      expect(files.length === 0, `a key stands in ${files.join(', ')}`)
      return [`searched ${places.join(', ')} for the keys that the agents sent`]
    },
  ],
  [
    'A receipt proves one record to somebody who has nothing of ours',
    async ({ gateway }) => {
      const [newest] = await records(gateway, 1, '--provider', 'openai')
      await untilAnchored(gateway, (newest as Record).id)
      const exported = await gateway.cli('export', (newest as Record).id, '-o', RECEIPT)
      expect(exported.code === 0, exported.stderr)
      const known = ['verify', '--receipt', RECEIPT, '--key', gateway.paths.verifierKey]
      const verified = await gateway.cli(...known)
      expect(verified.code === 0, verified.stdout)
      const offline = await gateway.cli(...known, '--offline')
      expect(offline.code === 0, offline.stdout)
      return verified.stdout.trimEnd().split('\n')
    },
  ],
]

/** Runs every step; after one that fails the others still run, so that the whole picture shows. */
export async function runDemo(say: (line: string) => void): Promise<StepResult[]> {
  const lab = await startLab()
  const gateway = await startGateway()
  say(
    `A private internet and host stand; the gateway captures ${(gateway.startMs / 1000).toFixed(1)} s after its start.`,
  )
  const results: StepResult[] = []
  try {
    for (const [step, show] of steps) {
      const result = await show({ lab, gateway }).then(
        (lines) => ({ step, ok: true, lines }),
        (error: unknown) => ({ step, ok: false, lines: messageOf(error).split('\n') }),
      )
      say(`\n${result.ok ? '✓' : '✗'} ${step}`)
      for (const line of result.lines) say(`    ${line}`)
      results.push(result)
    }
    const status = await gateway.cli('status')
    say(`\n${status.stdout.trimEnd()}`)
  } finally {
    await gateway.stop()
    await lab.stop()
  }
  return results
}

async function plainSite(lab: Lab): Promise<string> {
  const answer = await curl(lab, 'agent1', ['-v', 'https://www.example.org/'])
  expect(answer.code === 0, answer.stderr)
  const issuer = /issuer: (.*)/.exec(answer.stderr)?.[1] ?? ''
  expect(!issuer.includes('Agent Anchor'), `its certificate is by ${issuer}`)
  return `www.example.org: answered, certificate by ${issuer.trim()}`
}

const describeAgent = ({ uid }: Record) => (uid === null ? 'an unknown agent' : `uid ${uid}`)

const describe = (record: Record): string =>
  `${record.id}  ${describeAgent(record)} → ${record.provider}  ${record.model ?? '-'}  ${record.status ?? '-'}  ${record.outcome}` +
  (record.input_tokens === null ? '' : `  ${record.input_tokens}+${record.output_tokens} tokens`)
