/** `agent-anchor doctor` on a machine whose enforcement holds, and on one where it doesn't. */
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { cosigner } from '../../daemon/ledger/cosignature.ts'
import { enterLab } from '../lab/enter.ts'
import { startGateway } from '../lab/gateway.ts'
import { startLab } from '../lab/lab.ts'
import { spawnIn } from '../lab/network.ts'
import { NODE, PATH } from '../lab/places.ts'
import { tool } from '../lab/process.ts'

await enterLab(import.meta.url)
t.setTimeout(180_000)
const lab = await startLab()
t.teardown(() => lab.stop())

const POLICIES = '/etc/agent-anchor/policies'
const RULES = `apiVersion: agent-anchor/v1
kind: Policy
name: standard
traffic:
  rules:
    - {name: no-opus, action: block, models: ['*opus*']}
    - {name: no-claude, action: block, providers: [anthropic]}
    - {name: no-keys, action: block, content: [secrets]}
    - {name: no-mail, action: redact, content: [email]}
    - {name: embeddings, action: allow, operations: [embeddings]}
    - {name: openai, action: allow, providers: [openai]}
`

interface Answer {
  readonly holds: boolean
  readonly checks: readonly { check: string; result: string; detail: string; proof?: true }[]
}

for (const policy of ['strict', 'lockdown', 'observe']) {
  t.test(`under ${policy} each try is caught, and the kernel's counters say so`, async (t) => {
    const gateway = await startGateway(`anchoring: {maxDelayMs: 1000}\npolicy: ${policy}\n`)
    t.teardown(() => gateway.stop())
    const { holds, checks } = (await gateway.json('doctor')) as unknown as Answer
    const proofs = checks.filter(({ proof }) => proof)
    for (const { check, result, detail } of proofs) t.equal(result, 'held', `${check}: ${detail}`)
    t.equal(holds, true)
    t.ok(proofs.length >= 9, `${proofs.length} proofs`)
    const names = checks.map(({ check }) => check).join('\n')
    for (const wanted of [/own port on 127/, /QUIC.*IPv4/, /QUIC.*IPv6/, /ordinary call/, /each wire style/])
      t.match(names, wanted)
    t.equal(/foreign resolver/.test(names), policy === 'strict' || policy === 'lockdown')
  })
}

t.test('what is not enforced is found, though the gateway says that it runs', async (t) => {
  const gateway = await startGateway('anchoring: {maxDelayMs: 1000}\n')
  t.teardown(() => gateway.stop())
  // A frozen guard restores nothing; the lease ends, and then the fence is taken away.
  gateway.process.kill('SIGSTOP')
  const owner = await lab.run('root', ['pkill', '-KILL', '-x', 'nft'])
  t.equal(owner.code, 0)
  t.equal((await lab.run('root', ['nft', 'flush', 'ruleset'])).code, 0)
  const open = await gateway.cli('doctor')
  t.equal(open.code, 1, open.stdout + open.stderr)
  t.match(open.stdout, /FAILED/)
  t.match(open.stdout, /NOT proved/)
  gateway.process.kill('SIGCONT')
})

t.test('without a gateway nothing is tried, and the exit code says so', async (t) => {
  const gateway = await startGateway()
  await gateway.stop()
  const none = await gateway.cli('doctor')
  t.equal(none.code, 3, none.stdout + none.stderr)
  t.match(none.stdout, /was stopped/)
})

t.test(
  'what a machine holds beside the gateway is looked at, and an archive of it has no secret',
  async (t) => {
    const secret = (where: string) => `sk-canary${where}0123456789`
    const { verifierKey } = cosigner('nobody.example', Buffer.alloc(32, 1))
    mkdirSync(POLICIES, { recursive: true })
    writeFileSync(`${POLICIES}/standard.yaml`, RULES)
    t.teardown(() => rmSync(`${POLICIES}/standard.yaml`))
    const gateway = await startGateway(
      `anchoring: {maxDelayMs: 1000}
# ${secret('Comment')}
chains:
  - {name: far, kind: rpc, chainId: 5, rpc: ['http://127.0.0.1:1/v3/${secret('Rpc')}']}
ledger: {witnesses: {atLeast: 1, of: [{url: 'http://127.0.0.1:2/${secret('Witness')}/', key: '${verifierKey}'}]}}
`,
    )
    t.teardown(() => gateway.stop())
    writeFileSync(`${gateway.config.policiesDir}/own.yaml`, `# token: ${secret('Policy')}\n`)
    const call = await lab.run('agent1', [
      ...['curl', '-sS', '-H', `Authorization: Bearer ${secret('Header')}`],
      ...['-d', JSON.stringify({ model: 'gpt-5', messages: [{ role: 'user', content: secret('Prompt') }] })],
      'https://api.openai.com/v1/chat/completions',
    ])
    t.equal(call.code, 0, call.stderr)
    const old = spawnIn('host', 'root', [NODE, '-e', 'setTimeout(() => {}, 1e6); console.log(1)'], {
      env: { PATH, OPENAI_API_KEY: secret('Process') },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await new Promise((resolve) => old.stdout?.once('data', resolve))
    t.teardown(() => old.kill('SIGKILL'))

    const raw =
      'add table ip theirs; add chain ip theirs out { type filter hook output priority raw; }; add rule ip theirs out ip daddr 203.0.113.9 notrack'
    t.equal((await lab.run('root', ['nft', raw])).code, 0)
    t.teardown(() => lab.run('root', ['nft', 'delete table ip theirs']))
    const former = lab.spawnAs('agent2', [NODE, '-e', 'setTimeout(() => {}, 1e6); console.log(1)'], {
      ...{ cwd: '/', stdio: ['ignore', 'pipe', 'inherit'] },
    })
    await new Promise((resolve) => former.stdout?.once('data', resolve))
    t.teardown(() => former.kill('SIGKILL'))
    t.equal((await gateway.cli('trust', 'rotate')).code, 0)

    const done = await gateway.cli('doctor', '--bundle', '/root/bundle.tar.gz')
    t.comment(done.stdout)
    t.equal(done.code, 4, done.stdout + done.stderr)
    t.match(done.stdout, new RegExp(`LOOK +running programs .*pid ${old.pid}.*NODE_EXTRA_CA_CERTS`))
    t.match(
      done.stdout,
      new RegExp(`LOOK +running programs .*pid ${former.pid}.*the CA's successor, which is to sign`),
    )
    t.match(done.stdout, /held +curl, as a login has it .*trusts the CA/)
    t.match(done.stdout, /held +permissions/)
    t.match(done.stdout, /LOOK +rules of the table ip theirs +its chain out .*notrack/)
    t.match(done.stdout, /held +clock +within 5 s of api\.openai\.com/)
    t.match(done.stdout, /held +a call in each wire style +each of 8 recorded/)
    for (const [rule, what] of [
      ['no-opus: block', 'a made-up call to canary\\.agent-anchor\\.internal was refused'],
      ['no-claude: block', 'a made-up call to api\\.anthropic\\.com was refused'],
      ['no-keys: block', 'a made-up call to canary'],
      ['no-mail: redact', 'a call to the canary was redacted'],
      ['embeddings: allow', 'a call to the canary was let through'],
    ] as const)
      t.match(done.stdout, new RegExp(`held +the rule ${rule} +${what}`), rule)
    t.match(done.stdout, /NOT RUN +the rule openai: allow .*api\.openai\.com, where doctor sends nothing/)
    const seen = (await lab.wireLog()).flatMap(({ exchanges }) => exchanges)
    t.notOk(
      seen.some(({ head }) => /canary=/.test(head.toString())),
      'no provider got any of it',
    )
    t.match(done.stdout, /enforcement holds/)
    t.match(done.stdout, /bundle\.tar\.gz, for whoever helps you, holds .*doctor\.json.*gateway\.yaml/)
    t.equal(statSync('/root/bundle.tar.gz').mode & 0o777, 0o600)
    mkdirSync('/root/bundle')
    await tool(['tar', '-xzf', '/root/bundle.tar.gz', '-C', '/root/bundle'])
    const files = readdirSync('/root/bundle/agent-anchor')
    const all = files.map((name) => readFileSync(`/root/bundle/agent-anchor/${name}`, 'utf8')).join('\n')
    t.notMatch(all, 'canaryComment')
    t.notMatch(all, /sk-canary/, 'no secret of the configuration, a policy, a call or a process')
    t.match(all, '127.0.0.1:1', 'but what helps')
    t.match(readFileSync('/root/bundle/agent-anchor/rules.txt', 'utf8'), 'table inet aa_fence')
    t.match(readFileSync('/root/bundle/agent-anchor/log.txt', 'utf8'), 'capturing')
    const { hostKeyFile } = gateway.config.vault
    for (const form of ['hex', 'base64'] as const) t.notMatch(all, readFileSync(hostKeyFile).toString(form))
  },
)
