import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Config, loadConfig } from '../../daemon/config/config.ts'
import { ConfigError } from '../../daemon/config/config-error.ts'
import { type Enforcement, validateEnforcement } from '../../firewall/enforcement.ts'

const directory = t.testdir()
const file = join(directory, 'gateway.yaml')
const absent = join(directory, 'absent.yaml')
const example = join(import.meta.dirname, '../../installers/gateway.yaml')

const nobody = { uids: [], gids: [], cgroups: [] }
const enforcement: Enforcement = {
  fence: 'providers',
  redirect: 'ports',
  ports: [443],
  addresses4: [],
  addresses6: [],
  bridges: [],
  proxyUids: [1],
  subjects: 'everyone',
  exempt: nobody,
  allowed: [],
  redirectPort: 18443,
  localPorts: [],
  guardedPorts: [],
  logGroup: 71,
  dnsLogGroup: 72,
  resolversRefused: false,
  uplinks: [],
  leaseMs: 10_000,
}

const WITNESS_KEY = 'witness.example/w1+d9ed62c5+BO1JKMYo0cLG6ukDOJBZlWEpWSc6XGP5NjbBRhSshzfR'
const LOG_KEY = 'other.example/log+b55a11f5+AcqTrBcFGHBx1nuDx/8O/oEI6OxFMFdddyaHkzPb2r58'
const WITNESS = `{url: 'https://witness.example/', key: '${WITNESS_KEY}'}`

function load(text: string): Config {
  writeFileSync(file, text)
  return loadConfig(file)
}

function failure(text: string): ConfigError {
  try {
    load(text)
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  throw new Error(`this was taken: ${text}`)
}

t.test('without a file, every default holds', async (t) => {
  t.strictSame(loadConfig(undefined, absent), {
    stateDir: '/var/lib/agent-anchor',
    runtimeDir: '/run/agent-anchor',
    logDir: '/var/log/agent-anchor',
    policiesDir: '/etc/agent-anchor/policies',
    policy: 'standard',
    ca: { overlap: 7 * 86_400_000 },
    vault: { provider: 'auto', hostKeyFile: '/etc/agent-anchor/host.key' },
    listen: { ports: { transparent: 18443, dns: 18053, developmentChain: 18545 } },
    proxy: { workers: 'auto', sniffTimeoutMs: 3000 },
    shutdown: { drainMs: 20_000 },
    bridges: [
      'docker0',
      'br-*',
      'podman*',
      'cni*',
      'cali*',
      'lxc*',
      'lxdbr*',
      'incusbr*',
      'virbr*',
      'veth*',
      'flannel*',
      'nerdctl*',
      've-*',
      'vb-*',
      'vz-*',
    ],
    dns: { upstreams: [] },
    recording: { durability: 'before-forward' },
    retention: { whenDiskFull: 'refuse' },
    ledger: { checkpointIntervalMs: 1000 },
    anchoring: { preset: 'bounded' },
    chains: [{ name: 'development', kind: 'development' }],
  })
})

t.test("the installer's file shows exactly the defaults, and every setting", async (t) => {
  const defaults = loadConfig(undefined, absent)
  t.strictSame(loadConfig(example), defaults)
  const text = readFileSync(example, 'utf8')
  const keys = (value: object): string[] =>
    Object.entries(value).flatMap(([key, inner]) => [
      ...(Array.isArray(value) ? [] : [key]),
      ...(typeof inner === 'object' && inner !== null ? keys(inner) : []),
    ])
  for (const key of keys(defaults)) t.match(text, new RegExp(`^ *(- )?${key}:`, 'm'), key)
})

t.test('a setting left out of a given part has its default too', async (t) => {
  t.match(load('listen:\n  ports:\n    transparent: 1000\nproxy: {}\n'), {
    listen: { ports: { transparent: 1000, dns: 18053, developmentChain: 18545 } },
    proxy: { workers: 'auto', sniffTimeoutMs: 3000 },
  })
})

t.test('a named file that is absent is an error, and so is an empty one', async (t) => {
  t.throws(() => loadConfig(absent), { code: 'CONFIG_MISSING', message: absent, remedy: /defaults/ })
  t.equal(failure('# nothing\n').code, 'CONFIG_INVALID')
})

t.test('an unknown key is refused at every level with file, line and column', async (t) => {
  const cases: [text: string, place: string, guess: string][] = [
    ['statedir: /x\n', '1:1', 'stateDir'],
    ['listen:\n  port: {}\n', '2:3', 'ports'],
    ['listen:\n  ports:\n    transparant: 1\n', '3:5', 'transparent'],
    ['vault: {hostKey: /x}\n', '1:9', 'hostKeyFile'],
    [
      'chains:\n  - {name: a, kind: development, rcp: []}\n',
      '2:34',
      'known here: `name`, `owner`, `policy`, `kind`',
    ],
    [
      'chains:\n  - {name: a, kind: rpc, chainId: 1, rpc: ["http://x"], contarct: "0x"}\n',
      '2:57',
      'contract',
    ],
  ]
  for (const [text, place, guess] of cases) {
    const { code, message } = failure(text)
    t.equal(code, 'CONFIG_INVALID')
    t.match(message, `${file}:${place}: unknown key`, text)
    t.match(message, guess, text)
  }
})

t.test('values that cannot work are refused', async (t) => {
  const cases: [text: string, message: RegExp][] = [
    ['stateDir: var/lib\n', /absolute path/],
    ['stateDir: /var/../lib\n', /write the path without/],
    ['stateDir: /var/lib/\n', /write the path without/],
    ['stateDir: /\n', /root directory/],
    ['stateDir: "/var/\\0x"\n', /write the path without/],
    ['vault: {hostKeyFile: host.key}\n', /absolute path/],
    ['vault: {provider: pkcs11}\n', /needs `pkcs11` with the path of its `module`/],
    ['vault: {pkcs11: {module: /x.so, token: ""}}\n', /a label is of 1 to 32/],
    [`runtimeDir: /run/${'x'.repeat(100)}\n`, /too long a name/],
    ['logDir: /var/lib/agent-anchor/log\n', /`logDir` and `stateDir` must not be/],
    ['runtimeDir: /var/log/agent-anchor\n', /`logDir` and `runtimeDir` must not be/],
    ['listen: {ports: {transparent: 0}}\n', /at least 1/],
    ['listen: {ports: {transparent: 65536}}\n', /at most 65535/],
    ['listen: {ports: {transparent: 80.5}}\n', /whole number/],
    ['listen: {ports: {transparent: "18443"}}\n', /must be a number, not text/],
    ['listen: {ports: {transparent: 18545}}\n', /the ports must differ/],
    ['listen: {ports: {transparent: 5, developmentChain: 5}}\n', /:1:52: .*the ports must differ/],
    ['policy: ../strict\n', /a policy name is of lower-case/],
    ['policy: [strict]\n', /must be text, not a list/],
    ['listen: {ports: {dns: 18443}}\n', /:1:23: .*`transparent` already: the ports must differ/],
    ['listen: {ports: {dns: 53}}\n', /:1:23: .*port 53 is what the guard stands in for/],
    ['dns: {upstreams: [resolver.example]}\n', /:1:19: .*a DNS server is an address/],
    ['dns: {upstreams: ["192.0.2.53:0"]}\n', /a DNS server is an address/],
    ['dns: {upstreams: ["192.0.2.53:65536"]}\n', /a DNS server is an address/],
    ['dns: {upstreams: ["[192.0.2.53]:53"]}\n', /a DNS server is an address/],
    ['dns: {upstreams: ["fe80::1%eth0"]}\n', /a DNS server is an address/],
    ['proxy: {workers: 0}\n', /at least 1/],
    ['proxy: {workers: some}\n', /`auto` or a number/],
    ['proxy: {sniffTimeoutMs: 3s}\n', /must be a number/],
    ['bridges: [docker0, docker0]\n', /twice/],
    ['bridges: ["docker0; flush ruleset"]\n', /interface name/],
    ['bridges: ["a@b"]\n', /interface name/],
    ['bridges: ["*"]\n', /interface name/],
    ['recording: {durability: never}\n', /`before-forward`, `async`/],
    ['retention: {maxAge: 90 weeks}\n', /`48h`, `90d`/],
    ['retention: {maxAge: 0d}\n', /`48h`, `90d`/],
    ['retention: {maxSize: 50GB}\n', /`512MiB`, `50GiB`/],
    ['retention: {whenDiskFull: delete}\n', /`refuse`, `expire`/],
    ['ledger: {origin: "a b"}\n', /log origin/],
    ['ledger: {origin: a+b}\n', /log origin/],
    ['ledger: {origin: ""}\n', /log origin/],
    ['ledger: {http: {listen: 8480}}\n', /must be text/],
    ['ledger: {http: {listen: "127.0.0.1"}}\n', /an address with a port/],
    ['ledger: {http: {listen: "localhost:8480"}}\n', /an address with a port/],
    ['ledger: {http: {listen: "::1:8480"}}\n', /an address with a port/],
    ['ledger: {http: {listen: "0.0.0.0:80"}}\n', /from 1024 on/],
    ['ledger: {http: {listen: "0.0.0.0:8480", entries: some}}\n', /true or false/],
    ['ledger: {witnesses: {atLeast: 1, of: []}}\n', /at least 1/],
    [`ledger: {witnesses: {atLeast: 2, of: [${WITNESS}]}}\n`, /fewer witnesses/],
    [`ledger: {witnesses: {atLeast: 1, of: [${WITNESS}, ${WITNESS}]}}\n`, /stands here twice/],
    [`ledger: {witnesses: {atLeast: 1, of: [{url: 'http://w', key: '${LOG_KEY}'}]}}\n`, /of type 0x04/],
    [`ledger: {witness: {listen: '[::]:8481', name: w.example, logs: ['${WITNESS_KEY}']}}\n`, /of type 0x01/],
    [
      "ledger: {witness: {listen: '[::]:8481', name: 'a b', logs: ['x']}}\n",
      /printable ASCII[\s\S]*not a verifier key/,
    ],
    ['chains: []\n', /at least one chain/],
    ['chains: [{name: a, kind: rpc}]\n', /missing key `chainId`[\s\S]*missing key `rpc`/],
    ['chains: [{name: a, kind: rpc, chainId: 1, rpc: ["file:///etc/passwd"]}]\n', /http/],
    ['chains: [{name: a, kind: rpc, chainId: 1, rpc: []}]\n', /at least 1 entries/],
    ['chains: [{name: a, kind: rpc, chainId: 1, rpc: ["http://x"], contract: 0x1}]\n', /must be text/],
    ['chains: [{name: a, kind: rpc, chainId: 1, rpc: ["http://x"], contract: "0x1"}]\n', /40 hex digits/],
    ['chains: [{name: a, kind: development}, {name: b, kind: development}]\n', /development chain already/],
    [
      'chains: [{name: a, kind: development}, {name: a, kind: rpc, chainId: 1, rpc: ["http://x"]}]\n',
      /another chain/,
    ],
    ['chains: [{name: a}]\n', /missing key `chainId`[\s\S]*ethereum, sepolia, base[\s\S]*missing key `rpc`/],
    ['chains: [{name: base}]\n', /missing key `rpc`/],
    ['chains: [{name: base, kind: lava}]\n', /`development`, `rpc`/],
    ['chains: [{name: base, chainId: 1, rpc: ["http://x"]}]\n', /Base has the chain id 8453, not 1/],
    ['chains: [{name: base, kind: development}]\n', /is the network Base/],
    ['chains: [{name: base, rpc: ["http://x"], currency: POL}]\n', /Base pays in ETH/],
    [
      'chains: [{name: base, rpc: ["http://x"]}, {name: b, chainId: 8453, rpc: ["http://y"]}]\n',
      /`base` is chain 8453 already/,
    ],
    ['chains: [{name: base, rpc: ["http://x"], fees: {strategy: quick}}]\n', /percentile from 1 to 99/],
    ['chains: [{name: base, rpc: ["http://x"], fees: {strategy: 0}}]\n', /percentile|at least 1/],
    ['chains: [{name: base, rpc: ["http://x"], fees: {maxPerDay: 1e-7}}]\n', /plain decimal number/],
    ['chains: [{name: base, rpc: ["http://x"], fees: {maxPerDay: -1}}]\n', /plain decimal number/],
    ['chains: [{name: base, rpc: ["http://x"], fees: {maxperday: 1}}]\n', /did you mean `maxPerDay`/],
    ['chains: [{name: a, chainId: 5, rpc: ["http://x"], fees: {model: x}}]\n', /`op-stack`/],
    ['chains: [{name: a, kind: development, owner: "0x1"}]\n', /40 hex digits/],
    ['chains: [{name: a, kind: development, policy: HEAD}]\n', /head/],
    ['chains:\n', /must be a list, not nothing/],
  ]
  for (const [text, message] of cases) t.match(failure(text).message, message, text)
})

t.test('a policy is named, not listed: any plain name is taken', async (t) => {
  for (const policy of ['strict', 'my-own-2']) t.equal(load(`policy: ${policy}\n`).policy, policy)
})

t.test('the firewall takes every default bridge', async (t) => {
  const { bridges } = loadConfig(undefined, absent)
  t.strictSame(validateEnforcement({ ...enforcement, bridges }).bridges, [...bridges].sort())
})

t.test('DNS servers are read with and without a port', async (t) => {
  const text =
    'dns:\n  upstreams: [192.0.2.53, "192.0.2.53:5353", 2001:DB8:0::53, "[2001:db8::53]:5353", "[::1]"]\n'
  t.strictSame(load(text).dns.upstreams, [
    { address: '192.0.2.53', port: 53 },
    { address: '192.0.2.53', port: 5353 },
    { address: '2001:db8::53', port: 53 },
    { address: '2001:db8::53', port: 5353 },
    { address: '::1', port: 53 },
  ])
})

t.test('a log is served and witnessed only where that is set', async (t) => {
  const { http, witness, witnesses } = loadConfig(undefined, absent).ledger
  t.same([http, witness, witnesses], [undefined, undefined, undefined])
  const { ledger } = load(`ledger:
  http: {listen: '[::]:8480'}
  witnesses: {atLeast: 1, of: [${WITNESS}]}
  witness: {listen: '127.0.0.1:8481', name: w.example/us, logs: ['${LOG_KEY}']}
`)
  t.strictSame(ledger.http, { listen: { address: '::', port: 8480 }, entries: false })
  t.strictSame(ledger.witnesses?.of, [{ url: 'https://witness.example/', key: WITNESS_KEY }])
  t.strictSame(ledger.witness?.listen, { address: '127.0.0.1', port: 8481 })
})

t.test('a public chain is taken as given', async (t) => {
  const chain = {
    name: 'sepolia',
    kind: 'rpc',
    chainId: 11155111,
    rpc: ['https://rpc.example.com/v2/key'],
  } as const
  t.strictSame(load(`chains: [${JSON.stringify(chain)}]\n`).chains, [chain])
  const contract = `0x${'aB'.repeat(20)}`
  const full = { ...chain, contract, owner: contract, policy: 'history', confirmations: 12 }
  t.strictSame(load(`chains: [${JSON.stringify(full)}]\n`).chains, [full])
})

t.test('a network known by name needs an endpoint and nothing else', async (t) => {
  const rpc = ['https://rpc.example.com/v2/key']
  const text = `chains: [{name: base, rpc: ${JSON.stringify(rpc)}}, {name: development}, {name: my-chain, chainId: 7777, rpc: ["http://x"]}]\n`
  t.strictSame(load(text).chains, [
    { name: 'base', kind: 'rpc', chainId: 8453, rpc },
    { name: 'development', kind: 'development' },
    { name: 'my-chain', kind: 'rpc', chainId: 7777, rpc: ['http://x'] },
  ])
})

t.test('fees are taken digit by digit, strategies as percentiles', async (t) => {
  const fees = (text: string) => {
    const [chain] = load(`chains: [{name: base, rpc: ["http://x"], fees: {${text}}}]\n`).chains
    return chain?.kind === 'rpc' ? chain.fees : undefined
  }
  t.strictSame(fees('strategy: slow'), { percentile: 10 })
  t.strictSame(fees('strategy: fast, maxPerDay: 0.05, maxPerAnchor: "0.0000005"'), {
    maxPerDay: '0.05',
    maxPerAnchor: '0.0000005',
    percentile: 90,
  })
  t.strictSame(fees('strategy: 75, maxGwei: 3'), { maxGwei: '3', percentile: 75 })
})

t.test('a configuration is plain, frozen data', async (t) => {
  const config = load('bridges: [br0]\n')
  t.strictSame(structuredClone(config), JSON.parse(JSON.stringify(config)))
  for (const part of [config, config.listen.ports, config.bridges, config.chains[0]])
    t.ok(Object.isFrozen(part))
})

t.test('the environment changes nothing', async (t) => {
  const script = `import { loadConfig } from ${JSON.stringify(join(import.meta.dirname, '../../daemon/config/config.ts'))}
console.log(JSON.stringify(loadConfig(undefined, ${JSON.stringify(absent)})))`
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    env: {
      AGENT_ANCHOR_STATE_DIR: '/elsewhere',
      AGENT_ANCHOR_CONFIG: example,
      STATE_DIRECTORY: '/elsewhere',
      RUNTIME_DIRECTORY: '/elsewhere',
      XDG_CONFIG_HOME: '/elsewhere',
      HOME: '/elsewhere',
      PORT: '1',
    },
  })
  t.equal(child.stdout.toString(), `${JSON.stringify(loadConfig(undefined, absent))}\n`)
})
