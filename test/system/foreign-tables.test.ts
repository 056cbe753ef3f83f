/**
 * Enforcement comes and goes, is tampered with and killed, on a machine where Docker, ufw, firewalld, libvirt and
 * kube-proxy keep their tables: all that isn't ours stays byte for byte as it was, and goes on doing its work.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { EXAMPLE, GREETING, GREETING_PORT, LINK } from '../lab/addresses.ts'
import { startContainer } from '../lab/containers.ts'
import { enterLab } from '../lab/enter.ts'
import { FOREIGN_RULESETS } from '../lab/foreign-tables.ts'
import { type Gateway, startGateway } from '../lab/gateway.ts'
import { startLab } from '../lab/lab.ts'
import { spawnIn } from '../lab/network.ts'
import { NODE, PATH, REPOSITORY } from '../lab/places.ts'
import { collect, type Outcome } from '../lab/process.ts'
import { childrenOf } from '../lab/processes.ts'

t.setTimeout(200_000)
await enterLab(import.meta.url)
const lab = await startLab()
t.teardown(() => lab.stop())
const container = await startContainer({ kind: 'bridge', bridge: 'docker0' })
const NETWORK = '192.0.2.0/28'
/** Where Docker publishes the container's port 80. */
const PUBLISHED = 8080
/** A port of the machine's own that ufw lets in, and one that it drops. */
const [ALLOWED, DROPPED] = [22, 2323]
/** Where the gateway takes what was redirected. */
const PROXY_PORT = 18_443
const RESTORED_MS = 20_000
const OURS = /^table (?:inet|netdev) aa_(?:fence|redirect) \{.*\n(?:[^}].*\n|\n)*\}\n/gm

const here = (argv: readonly string[], input = ''): Promise<Outcome> =>
  collect(spawnIn('host', 'root', argv, { env: { PATH, LC_ALL: 'C' }, stdio: 'pipe' }), { input })
const there = (argv: readonly string[]): Promise<Outcome> =>
  collect(spawnIn('internet', 'root', argv, { env: { PATH }, stdio: 'pipe' }))
const nft = async (script: string) => {
  const { code, stderr } = await here(['nft', '-f', '-'], script)
  if (code !== 0) throw new Error(stderr)
}
const ruleset = async () => (await here(['nft', '--stateless', '--handle', 'list', 'ruleset'])).stdout

/** Without handles, which a restoration changes. */
const fence = async () =>
  (await here(['nft', '--stateless', 'list', 'table', 'inet', 'aa_fence'])).stdout +
  (await here(['nft', '--stateless', 'list', 'table', 'netdev', 'aa_fence'])).stdout

/** All that the kernel's network has been told by others. */
async function machine(): Promise<Record<string, string>> {
  const [rules, settings, ...routing] = await Promise.all([
    ruleset(),
    here(['sysctl', '-a', '--pattern', '^net\\.']),
    ...[
      ['rule'],
      ['-6', 'rule'],
      ['route', 'show', 'table', 'all'],
      ['-6', 'route', 'show', 'table', 'all'],
      ['link'],
      ['address'],
    ].map((what) => here(['ip', ...what])),
  ])
  return {
    rules: rules.replace(OURS, ''),
    // How many there are now is nobody's setting.
    settings: settings!.stdout.replace(/^net\.netfilter\.nf_conntrack_count = .*\n/m, ''),
    routing: routing.map(({ stdout }) => stdout).join('\n'),
  }
}

/** What the tables of others are there for. */
async function functions(): Promise<Record<string, boolean>> {
  const curl = ['curl', '-sS', '--max-time', '5']
  const closed = ['curl', '-sS', '--connect-timeout', '1']
  const [published, allowed, dropped, four, six, greeting, contained] = await Promise.all([
    there([...curl, `http://${LINK.host4}:${PUBLISHED}/`]),
    there([...curl, `http://${LINK.host4}:${ALLOWED}/`]),
    there([...closed, `http://${LINK.host4}:${DROPPED}/`]),
    lab.run('agent1', [...curl, '-4', `https://${EXAMPLE.name}/`]),
    lab.run('agent1', [...curl, '-6', `https://${EXAMPLE.name}/`]),
    container.run(['/usr/bin/python3', '-c', GREETED, EXAMPLE.address4, `${GREETING_PORT}`]),
    container.run([...curl, '-4', '-k', `https://${EXAMPLE.name}/`]),
  ])
  const seen = (await lab.wireLog()).filter(({ port }) => port === GREETING_PORT)
  return {
    'Docker’s published port': published?.code === 0,
    'a port that ufw lets in': allowed?.code === 0,
    // 28: nobody answered.
    'a port that ufw drops is dropped': dropped?.code === 28,
    'a foreign site over IPv4': four?.code === 0,
    'a foreign site over IPv6': six?.code === 0,
    'a container reaches a foreign port': greeting?.stdout === GREETING,
    'a container reaches a foreign site': contained?.code === 0,
    'as Docker masquerades it': seen.at(-1)?.remoteAddress === LINK.host4,
  }
}
const GREETED = `
import socket, sys
stream = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5)
sys.stdout.write(stream.recv(100).decode())
`

const servers = [
  container.spawn(['/usr/bin/python3', '-m', 'http.server', '80'], { stdio: 'ignore' }),
  ...[ALLOWED, DROPPED].map((port) =>
    spawnIn('host', 'root', ['/usr/bin/python3', '-m', 'http.server', `${port}`], {
      env: { PATH },
      stdio: 'ignore',
    }),
  ),
]
t.teardown(() => {
  for (const server of servers) server.kill()
})

const tables = Object.values(FOREIGN_RULESETS)
  .join('')
  .replaceAll('172.17.0.0/16', NETWORK)
  .replaceAll('172.17.0.2', container.address4)
  // As firewalld has it where Docker put its bridge into a zone.
  .replace('ip saddr @blocked drop\n', 'ip saddr @blocked drop\n\t\tiifname "docker0" accept\n')
  // This rule of firewalld's (RFC3964_IPv4) refuses ::1 unless the packet leaves by lo, and one that is being
  // redirected has the uplink noted still: calls over IPv6 are refused where it stands (docs/operating.md).
  .replaceAll('ip6 daddr { ::/96, ::ffff:0.0.0.0/96, 2002::/24', 'ip6 daddr { 2002::/24')
  .replace('iifname "eth0" goto filter_IN_public\n', 'iifname "docker0" accept\n$&')
  // ufw drops what containers send to the machine: `ufw allow in on docker0 to any port 18443 proto tcp`.
  .replace(
    'chain ufw-user-input {\n',
    `$&\t\tiifname "docker0" tcp dport ${PROXY_PORT} counter packets 0 bytes 0 accept\n`,
  )

async function until(what: () => Promise<boolean>): Promise<boolean> {
  const end = Date.now() + RESTORED_MS
  while (!(await what())) {
    if (Date.now() > end) return false
    await sleep(100)
  }
  return true
}
const stands = async () => {
  const text = await ruleset()
  return ['inet aa_fence', 'netdev aa_fence', 'inet aa_redirect', 'netdev aa_redirect'].every((table) =>
    text.includes(`table ${table} {`),
  )
}

void t.test('a machine with the tables of others', async (t) => {
  await nft(tables)
  let before = await machine()
  // New devices give themselves addresses, after a second in which they ask whether somebody has them.
  const settled = await until(async () => {
    const last = before
    await sleep(1500)
    before = await machine()
    return before.routing === last.routing && !before.routing?.includes('tentative')
  })
  t.ok(settled, 'the network has come to rest')
  for (const name of [
    'docker-bridges',
    'firewalld',
    'kube-proxy',
    'libvirt_network',
    'ufw-user-input',
    'eth0in',
  ])
    t.match(before.rules, name)
  const same = async (when: string) => {
    const now = await machine()
    for (const what of ['rules', 'settings', 'routing']) t.equal(now[what], before[what], `${what} ${when}`)
  }
  const working = await functions()
  t.same(
    Object.values(working),
    Object.values(working).map(() => true),
    'they work',
    { working },
  )
  const work = async (when: string) => t.same(await functions(), working, `they work ${when}`)
  await same('after use')

  let gateway: Gateway = await startGateway()
  t.ok(await until(stands), 'enforcement stands')
  await same('with the gateway')
  await work('with the gateway')

  const standing = await fence()
  for (const script of [
    'delete table inet aa_fence',
    'delete table netdev aa_fence',
    'flush chain inet aa_fence output',
    'insert rule inet aa_fence output accept',
  ]) {
    await nft(script)
    t.ok(await until(async () => (await fence()) === standing), `restored after ${script}`)
  }
  const { pid } = (await gateway.state())!
  for (const helper of childrenOf(pid).filter(({ name }) => name === 'nft'))
    process.kill(helper.pid, 'SIGKILL')
  await sleep(300)
  t.ok(await until(stands), 'restored after the end of its helpers')
  await same('after restorations')

  await gateway.stop()
  await same('with the fence alone')
  gateway = await startGateway('policy: strict\nanchoring: {maxDelayMs: 1000}\n')
  await until(stands)
  await same('with another policy')
  await gateway.kill()
  t.ok(await until(async () => !(await ruleset()).includes('aa_redirect')))
  await same('after the daemon was killed')

  const program = `
    import { removeFence } from '${REPOSITORY}/firewall/fence.ts'
    import { systemNft } from '${REPOSITORY}/firewall/nft.ts'
    await removeFence(systemNft())`
  const removed = await here([NODE, '--input-type=module', '--eval', program])
  t.equal(removed.code, 0, removed.stderr)
  await same('after removal')
  t.equal(await ruleset(), before.rules, 'and nothing of ours is left')
  await work('after removal')
})
