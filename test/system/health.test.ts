/**
 * States of health of a whole gateway: each is caused in the real system, told, and gone once its remedy is applied.
 * The chain's own are in chain-*.test.ts, a full disk's in disk-full.test.ts.
 */
import { chmodSync, mkdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { readLiveState } from '../../cli/live-state.ts'
import type { HealthCode } from '../../daemon/base/health-codes.ts'
import { type ChildName, kindOf } from '../../daemon/supervisor/child-name.ts'
import { enterLab } from '../lab/enter.ts'
import { startGateway } from '../lab/gateway.ts'
import { killUntilTold } from '../lab/gateway-children.ts'
import { caused, remedied } from '../lab/health.ts'
import { startLab } from '../lab/lab.ts'
import { spawnIn } from '../lab/network.ts'
import { PATH, REPOSITORY } from '../lab/places.ts'
import { tool } from '../lab/process.ts'

t.setTimeout(240_000)
await enterLab(import.meta.url)
const lab = await startLab({ wireLog: false })

const POLICIES = '/etc/agent-anchor/policies'
const RESOLV_CONF = '/etc/resolv.conf'

/**
 * In front of the machine's nft: how it is to be. An old kernel refuses chains at the egress hook, which come by the
 * interactive nft, whole or as a file to include.
 */
const NFT = '/usr/local/bin/nft'
const NFT_MODE = '/run/nft-mode'
const nftIs = (mode: 'as-it-is' | 'of-an-old-kernel' | 'broken') => writeFileSync(NFT_MODE, mode)
const OLD_KERNEL = `import re, sys
for line in iter(sys.stdin.readline, ''):
    named = re.match('include "(.*)"', line)
    if 'hook egress' in (open(named[1]).read() if named else line):
        print('Error: Could not process rule: Operation not supported', file=sys.stderr, flush=True)
    else:
        print(line, end='', flush=True)
`
writeFileSync('/run/old-kernel.py', OLD_KERNEL)
writeFileSync(
  NFT,
  `#!/bin/sh
mode=$(cat ${NFT_MODE})
if [ "$mode" = broken ]; then echo "Error: no such luck" >&2; exit 1; fi
if [ "$mode $*" = 'of-an-old-kernel -i' ]; then
  pipe=/run/old-kernel.$$
  mkfifo "$pipe"
  exec 3<&0
  python3 /run/old-kernel.py <&3 >"$pipe" &
  exec /usr/sbin/nft -i <"$pipe" 3<&-
fi
exec /usr/sbin/nft "$@"
`,
  { mode: 0o755 },
)

/** Somebody else's program; ends with its standard input, or when it is killed. */
async function other(argv: readonly string[]) {
  const child = spawnIn('host', 'root', argv, { env: { PATH }, stdio: ['pipe', 'pipe', 'inherit'] })
  await new Promise((resolve, reject) => {
    child.stdout?.once('data', resolve)
    child.once('exit', () => reject(new Error(`${argv.join(' ')} ended`)))
  })
  return {
    async end() {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGKILL')
      await ended
    },
  }
}

nftIs('as-it-is')
const gateway = await startGateway('policy: strict\nanchoring: {maxDelayMs: 1000}\n')
t.teardown(async () => {
  await gateway.stop()
  await lab.stop()
})
const states = async () => (await readLiveState(gateway.config)).health
const run = (...argv: string[]) => lab.run('root', argv)
const pidOf = async (name: ChildName) =>
  (await gateway.state())?.children.find((child) => child.name === name)?.pid

t.test('what does not run is said, what is starting too, and both pass', async (t) => {
  await gateway.stop()
  const { remedy } = await caused(t, states, 'daemon.not-running')
  t.match(remedy, 'agent-anchor daemon')
  writeFileSync(gateway.paths.evidence, 'as a bad disk leaves it\n')
  const starting = gateway.start()
  await caused(t, states, 'daemon.phase')
  await remedied(t, states, 'daemon.not-running')
  await starting
  await remedied(t, states, 'daemon.phase')
})

t.test('evidence that was damaged is told, by a record too, until somebody has looked at it', async (t) => {
  const { title, remedy } = await caused(t, states, 'daemon.evidence-damaged')
  const file = `${gateway.paths.evidence}.damaged`
  t.match(title, file)
  t.match(remedy, /agent-anchor records --kind gap.*remove/s)
  t.match(await run('cat', file), { stdout: 'as a bad disk leaves it\n' })
  t.match((await gateway.cli('records', '--kind', 'gap')).stdout, 'evidence-unreadable')
  rmSync(file)
  await remedied(t, states, 'daemon.evidence-damaged')
})

t.test('a child that dies is told, and comes back by itself', async (t) => {
  const children = ((await gateway.state())?.children ?? []).map(({ name }) => name)
  const kinds = new Set<string>()
  for (const name of children) {
    const kind = kindOf(name)
    if (kinds.has(kind)) continue
    kinds.add(kind)
    await killUntilTold(t, gateway, name)
  }
  t.same([...kinds].sort(), ['development-chain', 'dns-guard', 'proxy', 'recorder', 'sensor'])
})

t.test('a recorder that hangs is told, and ends by its pid', async (t) => {
  const pid = await pidOf('recorder')
  process.kill(pid ?? 0, 'SIGSTOP')
  const { remedy } = await caused(t, states, 'recorder.silent')
  t.match(remedy, `kill -9 ${pid}`)
  process.kill(pid ?? 0, 'SIGKILL')
  await remedied(t, states, 'recorder.silent')
})

t.test('records that can’t be put away wait, and go on once the disk takes them', async (t) => {
  const { ledger } = gateway.paths
  const { mode } = statSync(ledger)
  chmodSync(ledger, 0o500)
  await run('curl', '-sS', 'https://api.openai.com/v1/models')
  const { remedy } = await caused(t, states, 'recorder.finalise')
  t.comment(remedy)
  chmodSync(ledger, mode)
  await remedied(t, states, 'recorder.finalise')
})

t.test('a policy that can’t be taken is told, until its files are put right', async (t) => {
  mkdirSync(`${POLICIES}/strict.d`, { recursive: true })
  const file = `${POLICIES}/strict.d/10-bad.yaml`
  writeFileSync(file, 'apiVersion: agent-anchor/v1\nkind: PolicyAddition\ntraffic: 3\n')
  t.equal((await gateway.cli('policy', 'reload')).code, 1)
  const { remedy } = await caused(t, states, 'policy.rejected')
  t.match(remedy, /agent-anchor policy validate; .*agent-anchor policy reload/)
  t.match((await gateway.cli('policy', 'validate')).stderr, /10-bad\.yaml:3/)
  rmSync(file)
  t.equal((await gateway.cli('policy', 'reload')).code, 0)
  await remedied(t, states, 'policy.rejected')
})

t.test('rules that somebody takes away, and can’t be put up again', async (t) => {
  nftIs('broken')
  t.equal((await run('/usr/sbin/nft', 'delete table inet aa_fence')).code, 0)
  // The redirect's owner, and who watches the rules.
  t.equal((await run('pkill', '-KILL', '-x', 'nft')).code, 0)
  await caused(t, states, 'enforcement.redirect')
  await caused(t, states, 'enforcement.unwatched')
  await caused(t, states, 'enforcement.fence')
  nftIs('as-it-is')
  await remedied(t, states, 'enforcement.redirect')
  await remedied(t, states, 'enforcement.unwatched')
  await gateway.stop()
  await run('/usr/sbin/nft', 'delete table inet aa_fence')
  await gateway.start()
  await remedied(t, states, 'enforcement.fence')
  const { remedy } = await caused(t, states, 'enforcement.unfenced')
  t.match(remedy, /records --kind gap.* restart the gateway/)
  t.match((await gateway.cli('records', '--kind', 'gap')).stdout, 'not-running')
  await gateway.stop()
  await gateway.start()
  await remedied(t, states, 'enforcement.unfenced')
})

t.test('rules that somebody changes are restored, and it is said who did', async (t) => {
  t.equal((await run('/usr/sbin/nft', 'insert rule inet aa_fence output accept')).code, 0)
  const { remedy } = await caused(t, states, 'enforcement.tampered')
  t.match(remedy, 'agent-anchor records --kind audit')
  t.match((await gateway.cli('records', '--kind', 'audit')).stdout, 'ruleset-changed')
})

t.test('a machine on which much is missing, and what is put right while the gateway runs', async (t) => {
  await gateway.stop()
  nftIs('of-an-old-kernel')
  await tool(['mount', '-t', 'tmpfs', 'nothing', `${REPOSITORY}/node_modules/pcap`])
  const strict = readFileSync(`${REPOSITORY}/policies/strict.yaml`, 'utf8')
  writeFileSync(
    `${POLICIES}/strict.yaml`,
    strict.replace(/^enforcement:$/m, 'enforcement:\n  exempt: { users: [ghost] }'),
  )
  const resolvers = readFileSync(RESOLV_CONF, 'utf8')
  // As before the network is up.
  writeFileSync(RESOLV_CONF, '')
  rmSync(gateway.paths.addresses, { force: true })
  const journal = `${gateway.paths.chainState}/development.journal.json`
  rmSync(journal)
  mkdirSync(journal)
  const argv = ['python3', `${REPOSITORY}/test/lab/attackers/queue_holder.py`, '{"device": "eth0"}']
  const holder = await other(argv)
  await gateway.start()
  await remedied(t, states, 'enforcement.tampered')

  const there: HealthCode[] = [
    ...(['enforcement.egress', 'sensor.blind', 'policy.missing-accounts'] as const),
    ...(['enforcement.addresses', 'enforcement.names'] as const),
    ...(['enforcement.driver-queues', 'chain.stopped'] as const),
  ]
  for (const code of there) {
    const { title, remedy } = await caused(t, states, code)
    t.comment(`${title}\n  ${remedy}`)
  }
  const gone = new Set<HealthCode>(['enforcement.driver-queues', 'chain.stopped'])
  // The network comes up: nothing is restarted for it.
  writeFileSync(RESOLV_CONF, resolvers)
  for (const code of ['enforcement.addresses', 'enforcement.names'] as const) {
    await remedied(t, states, code)
    gone.add(code)
  }
  await holder.end()
  await remedied(t, states, 'enforcement.driver-queues')
  rmdirSync(journal)
  await remedied(t, states, 'chain.stopped')

  await gateway.stop()
  nftIs('as-it-is')
  await tool(['umount', `${REPOSITORY}/node_modules/pcap`])
  rmSync(`${POLICIES}/strict.yaml`)
  await gateway.start()
  for (const code of there.filter((code) => !gone.has(code))) await remedied(t, states, code)
  t.same(await states(), [])
})
