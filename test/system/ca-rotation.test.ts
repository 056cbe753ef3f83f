/**
 * The CA's life in a running gateway: a catalogue that outgrows it, its rotation under calls, its end, a clock that is
 * wrong. What each state of health says to do is done, by the command that it names.
 */
import { X509Certificate } from 'node:crypto'
import { appendFileSync, copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import t, { type Test } from 'tap'
import { isAuthorityOfGateway } from '../../ca/authority-name.ts'
import { certificateBlocks } from '../../ca/system-roots.ts'
import { readLiveState } from '../../cli/live-state.ts'
import type { HealthCode } from '../../daemon/base/health-codes.ts'
import { askToReload } from '../../daemon/supervisor/ask-to-reload.ts'
import { governedDomains } from '../../daemon/supervisor/authority/misfit.ts'
import { fingerprintOf } from '../../daemon/supervisor/authority/note.ts'
import { renewAuthority } from '../../daemon/supervisor/authority/rotation.ts'
import { type AuthorityPlace, openAuthorities } from '../../daemon/supervisor/authority/store.ts'
import { authorityPlace } from '../../daemon/supervisor/identity.ts'
import { loadRules } from '../../daemon/supervisor/rules.ts'
import { openHostKeyVault } from '../../daemon/vault/host-key.ts'
import { machineTrustStore } from '../../installers/trust.ts'
import { shippedDirectory } from '../../policies/shipped.ts'
import { EXAMPLE, OPENAI } from '../lab/addresses.ts'
import { chatCall, curlCommand } from '../lab/client-commands.ts'
import { enterLab } from '../lab/enter.ts'
import { startGateway } from '../lab/gateway.ts'
import { caused, remedied } from '../lab/health.ts'
import { startLab } from '../lab/lab.ts'
import { NODE } from '../lab/places.ts'
import { BUNDLE } from '../lab/trust.ts'

t.setTimeout(240_000)
await enterLab(import.meta.url)

const POLICIES = '/etc/agent-anchor/policies'
const DAY_MS = 86_400_000

const lab = await startLab()
const gateway = await startGateway()
const { config, paths } = gateway
t.teardown(async () => {
  await gateway.stop()
  await lab.stop()
})

async function place(): Promise<AuthorityPlace> {
  const origin = readFileSync(paths.verifierKey, 'utf8').split('+')[0] ?? ''
  return authorityPlace(paths, await openHostKeyVault(config.vault.hostKeyFile), origin)
}
const states = async () => (await readLiveState(config)).health
const rotate = async (t: Test, ...flags: string[]) => {
  const { code, stdout, stderr } = await gateway.cli('trust', 'rotate', ...flags)
  t.equal(code, 0, stdout + stderr)
  return stdout
}
/** Causes a state, does what its remedy says, and sees it go. */
const remedy = async (t: Test, code: HealthCode, command: string, ...flags: string[]) => {
  const { remedy } = await caused(t, states, code)
  t.match(remedy, command, `${code} names the command`)
  const said = await rotate(t, ...flags)
  await remedied(t, states, code)
  return said
}
const call = ({ name }: { name: string }) =>
  lab.run('agent1', curlCommand({ url: `https://${name}/v1/models`, headers: { Authorization: 'Bearer x' } }))
const certificatesIn = (file: string) =>
  [...certificateBlocks(readFileSync(file, 'utf8'))].map((pem) => new X509Certificate(pem))
const idOf = (certificate: X509Certificate) => fingerprintOf(certificate.toString())
/** What the machine trusts of ours. */
const trusted = () => certificatesIn(BUNDLE).filter(isAuthorityOfGateway).map(idOf).sort()
const published = () => certificatesIn(paths.caCertificate).map(idOf)
/** Who signed the leaf that is shown now. */
async function signer({ name, address4 }: { name: string; address4: string }): Promise<string> {
  const script = `openssl s_client -connect '${address4}:443' -servername '${name}' -showcerts </dev/null 2>/dev/null`
  const shown = [...certificateBlocks((await lab.run('agent1', ['/bin/sh', '-c', script])).stdout)]
  return fingerprintOf(shown[1] ?? '')
}
/** The catalogue's own providers, and one more. */
function catalogueWith(host: string): void {
  const file = `${POLICIES}/providers.yaml`
  mkdirSync(POLICIES, { recursive: true })
  copyFileSync(`${shippedDirectory}/providers.yaml`, file)
  appendFileSync(
    file,
    `\n  in_house:\n    telemetryName: in_house\n    style: openai-chat\n    hosts: [${host}]\n`,
  )
}
/** Node as an agent that lives through it all: its roots are those of its start; one call for each line on stdin. */
const longLived = lab.spawnAs(
  'agent2',
  [
    NODE,
    '-e',
    `const https = require('node:https')
     const agent = new https.Agent({ keepAlive: true, maxSockets: 1 })
     require('node:readline').createInterface({ input: process.stdin }).on('line', (fresh) => {
       const from = fresh ? {} : { agent }
       https.get('https://${OPENAI.name}/v1/models', { ...from, headers: { authorization: 'Bearer y' } }, (answer) => {
         answer.resume().on('end', () => console.log(answer.statusCode + (answer.req.reusedSocket ? ' again' : '')))
       }).on('error', (error) => console.log(error.code))
     })`,
  ],
  { cwd: '/', stdio: 'pipe' },
)
t.teardown(() => void longLived.kill('SIGKILL'))
const answers: string[] = []
longLived.stdout?.on('data', (chunk: Buffer) => answers.push(...chunk.toString().trim().split('\n')))
/** @param how anything: on a connection of its own */
async function ask(how = ''): Promise<string | undefined> {
  const before = answers.length
  longLived.stdin?.write(`${how}\n`)
  while (answers.length === before) await new Promise((resolve) => setTimeout(resolve, 20))
  return answers.at(-1)
}

t.test('a catalogue that outgrew the CA: one command, and no connection is dropped', async (t) => {
  const [former = ''] = published()
  t.equal(await ask(), '200')
  const { headers, body, url } = chatCall('sk-lab', 'one two three four five six seven eight', true)
  const stream = lab.run(
    'agent1',
    curlCommand({ url, headers: { ...headers, 'x-lab': 'pace=1000' }, body: body! }, ['--max-time', '90']),
    { timeoutMs: 90_000 },
  )
  t.match(await call(EXAMPLE), { code: 0 }, 'a site of nobody’s at first')
  t.not(await signer(EXAMPLE), former)
  catalogueWith(EXAMPLE.name)
  const reloaded = await gateway.cli('policy', 'reload')
  t.equal(reloaded.code, 0, reloaded.stderr)
  t.match(reloaded.stdout, /may not speak for www\.example\.org yet, .*: run agent-anchor trust rotate/)
  t.not((await call(EXAMPLE)).code, 0, 'governed, and the CA may not speak for it')
  const said = await remedy(t, 'ca.outgrown', 'agent-anchor trust rotate')
  t.match(said, /both keys signed is in the log/)
  const [, successor = ''] = published()
  t.same(published(), [former, successor])
  t.same(trusted(), [former, successor].sort(), 'both are trusted')
  t.match(await call(EXAMPLE), { code: 0 }, 'who starts now knows the successor')
  t.equal(await signer(EXAMPLE), successor, 'which alone may speak for it')
  t.equal(await signer(OPENAI), former, 'for all others the CA signs that everybody knows')
  t.match(
    (await gateway.cli('status')).stdout,
    /its successor [0-9a-f]{16}… is trusted too, and signs from 20/,
  )
  t.equal(await ask('fresh'), '200', 'also for who started before')

  await rotate(t, '--switch')
  t.equal(await signer(OPENAI), successor)
  t.same(published(), [successor, former])
  t.match(await call(OPENAI), { code: 0 })
  t.equal(await ask(), '200 again', 'a connection of before lives on')
  t.not(await ask('fresh'), '200', 'and who missed the overlap does not trust it')

  await remedy(t, 'ca.former-trusted', 'agent-anchor trust rotate --finish', '--finish')
  t.same(published(), [successor])
  t.same(trusted(), [successor])
  t.match(await call(OPENAI), { code: 0 })
  t.match((await stream).stdout, /\[DONE\]/, 'a stream outlived it all')

  const rows = (await gateway.json('records', '--kind', 'audit', '--limit', '1000')).records as {
    record: { event: string; detail: { step: string; from: string; to: string } }
  }[]
  t.same(
    rows
      .filter(({ record }) => record.event === 'ca-rotated')
      .map(({ record: { detail } }) => [detail.step, detail.from, detail.to])
      .reverse(),
    ['introduced', 'distributed', 'signing', 'finished'].map((step) => [step, former, successor]),
    'each step is in the log once',
  )
  t.equal((await gateway.json('verify')).verified, true)
})

t.test('a rotation that was interrupted is told, goes on, and can be taken back', async (t) => {
  const before = published()
  // What is left of a command that dies before the trust stores have the successor.
  const wish = { permittedDomains: governedDomains(loadRules(config)), now: new Date() }
  await renewAuthority(await place(), wish, { always: true })
  await askToReload(paths.supervisorState)
  t.match(await call(OPENAI), { code: 0 })
  await remedy(t, 'ca.not-distributed', 'agent-anchor trust rotate')
  t.equal(published().length, 2)
  t.match(await rotate(t, '--abort'), /as before/)
  t.same(published(), before)
  t.same(trusted(), before)
  t.match(await call(OPENAI), { code: 0 })
})

t.test('a CA for every site is too wide for a policy that no longer intercepts all', async (t) => {
  writeFileSync(
    `${POLICIES}/standard.yaml`,
    'apiVersion: agent-anchor/v1\nkind: Policy\nname: standard\nproxy: { unknownName: intercept }\n',
  )
  t.equal((await gateway.cli('policy', 'reload')).code, 0)
  await remedy(t, 'ca.outgrown', 'agent-anchor trust rotate')
  rmSync(`${POLICIES}/standard.yaml`)
  t.equal((await gateway.cli('policy', 'reload')).code, 0)
  await remedy(t, 'ca.too-wide', 'agent-anchor trust rotate')
  await rotate(t, '--switch')
  await rotate(t, '--finish')
  t.equal(published().length, 1)
})

/** Starts the gateway again with a CA that ends so many milliseconds from now. */
async function restartWithCaEnding(inMs: number): Promise<void> {
  await gateway.stop()
  for (const file of [paths.caCertificate, paths.caSealedKey]) await rm(file)
  const born = new Date(Date.now() + inMs)
  born.setUTCFullYear(born.getUTCFullYear() - 10)
  const wish = { permittedDomains: governedDomains(loadRules(config)), now: born }
  const { inOrder } = await openAuthorities(await place(), wish)
  await machineTrustStore().install(inOrder.map(({ certificatePem }) => certificatePem))
  await gateway.start()
}

t.test('a CA that ends within 30 days is warned of, and its successor ends that', async (t) => {
  await restartWithCaEnding(29 * DAY_MS)
  t.match(await call(OPENAI), { code: 0 })
  await remedy(t, 'ca.expiring', 'agent-anchor trust rotate')
  t.match(await call(OPENAI), { code: 0 })
})

t.test('a CA that has ended, or is not valid yet: calls fail, and work after the one command', async (t) => {
  for (const [code, endsIn] of [
    ['ca.expired', -DAY_MS],
    ['ca.not-yet-valid', 4000 * DAY_MS],
  ] as const) {
    await rotate(t, '--abort').catch(() => {})
    await restartWithCaEnding(endsIn)
    t.not((await call(OPENAI)).code, 0)
    await remedy(t, code, 'agent-anchor trust rotate')
    t.match(await call(OPENAI), { code: 0 }, `${code}: the successor signs at once`)
  }
})
