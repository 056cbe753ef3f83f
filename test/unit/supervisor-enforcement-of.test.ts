import t, { type Test } from 'tap'
import { accountsIn, enforcementOf, withIds } from '../../daemon/supervisor/enforcement-of.ts'
import { policyAccounts } from '../../daemon/supervisor/policy-accounts.ts'
import { loadRules } from '../../daemon/supervisor/rules.ts'
import { validateEnforcement } from '../../firewall/enforcement.ts'
import { loadPolicy, type Policy } from '../../policies/policy.ts'
import { shippedDirectory } from '../../policies/shipped.ts'

const USERS: Record<string, number> = { root: 0, 'systemd-timesync': 997, alice: 1000, deploy: 1001 }
const GROUPS: Record<string, number> = { agents: 2000 }
const accounts = { user: (name: string) => USERS[name], group: (name: string) => GROUPS[name] }
const machine = { bridges: ['docker0', 'br-*'], dnsPort: 18053 }

const shipped = (name: string) => loadPolicy({ dir: shippedDirectory, name }).policy
const NOBODY = { uids: [], gids: [], cgroups: [] }

function own(t: Test, settings: string): Policy {
  const head = 'apiVersion: agent-anchor/v1\nkind: Policy\nname: mine\n'
  return loadPolicy({ dir: t.testdir({ 'mine.yaml': head + settings }), name: 'mine' }).policy
}

t.test('standard: web ports and providers of everybody, containers included', async (t) => {
  t.strictSame(enforcementOf(shipped('standard'), accounts, machine), {
    enforcement: {
      fence: 'providers',
      redirect: 'ports',
      ports: [80, 443],
      bridges: ['docker0', 'br-*'],
      subjects: 'everyone',
      exempt: NOBODY,
      allowed: [],
      localPorts: [],
      logGroup: 71,
      dnsLogGroup: 72,
      resolversRefused: false,
    },
    missing: [],
  })
})

t.test(
  'strict: everything, names through the guard, time and DHCP from accounts that are there',
  async (t) => {
    const { enforcement, missing } = enforcementOf(shipped('strict'), accounts, machine)
    t.match(enforcement, { fence: 'everything', redirect: 'all', dnsPort: 18053, resolversRefused: true })
    t.strictSame(enforcement.allowed, [
      { protocol: 'udp', ports: [123], uids: [997, 0] },
      { protocol: 'udp', ports: [67, 547], uids: [0] },
    ])
    t.ok(missing.every(({ kind, where }) => kind === 'user' && where === 'allow'))
    t.strictSame(missing.map(({ name }) => name).sort(), [
      '_chrony',
      'chrony',
      'dhcpcd',
      'ntp',
      'ntpsec',
      'systemd-network',
    ])
  },
)

t.test('what passes is left out where nobody is there to send it', async (t) => {
  const none = { user: () => undefined, group: () => undefined }
  t.strictSame(enforcementOf(shipped('strict'), none, machine).enforcement.allowed, [])
})

t.test('subjects, exemptions and local services come through, who is missing is named', async (t) => {
  const policy = own(
    t,
    `enforcement:
  subjects: { users: [alice, 1234, carol], groups: [agents, crew], cgroups: [system.slice/a.service], containers: false }
  exempt: { users: [deploy, dave], groups: [3000], cgroups: [user.slice] }
  local: [{ port: 11434, provider: ollama }]
`,
  )
  const { enforcement, missing } = enforcementOf(policy, accounts, machine)
  t.strictSame(enforcement.bridges, [])
  t.match(enforcement, {
    subjects: { uids: [1000, 1234], gids: [2000], cgroups: ['system.slice/a.service'] },
    exempt: { uids: [1001], gids: [3000], cgroups: ['user.slice'] },
    localPorts: [11434],
  })
  t.strictSame(missing, [
    { kind: 'user', name: 'carol', where: 'subjects.users' },
    { kind: 'group', name: 'crew', where: 'subjects.groups' },
    { kind: 'user', name: 'dave', where: 'exempt.users' },
  ])
  t.strictSame(accountsIn(policy), {
    users: ['alice', 'carol', 'dave', 'deploy'],
    groups: ['agents', 'crew'],
  })
})

t.test('the firewall takes what any shipped policy asks for', async (t) => {
  for (const name of ['observe', 'standard', 'strict', 'lockdown']) {
    const { enforcement } = enforcementOf(shipped(name), accounts, machine)
    t.doesNotThrow(() =>
      validateEnforcement({
        ...enforcement,
        proxyUids: [990],
        redirectPort: 18443,
        guardedPorts: [],
        uplinks: [],
        leaseMs: 10_000,
        addresses4: [],
        addresses6: [],
      }),
    )
  }
})

t.test('traffic rules get ids in place of names; a rule for nobody goes', async (t) => {
  const policy = own(
    t,
    `traffic:
  rules:
    - { name: a, action: block, users: [alice, nobody-here, 7], providers: [groq] }
    - { name: b, action: block, users: [nobody-here] }
    - { name: c, action: allow }
`,
  )
  const resolved = withIds(policy, accounts)
  t.strictSame(
    resolved.policy.traffic.rules.map(({ name, users }) => [name, users]),
    [
      ['a', [1000, 7]],
      ['c', undefined],
    ],
  )
  t.equal(resolved.policy.hash, policy.hash)
  t.strictSame(resolved.missing, [
    { kind: 'user', name: 'nobody-here', where: 'traffic.rules.a' },
    { kind: 'user', name: 'nobody-here', where: 'traffic.rules.b' },
  ])
})

t.test('accounts are looked up in this machine’s database', async (t) => {
  const policy = own(
    t,
    'enforcement: { subjects: { users: [root, no-such-user-here], groups: [root, no-such-group-here] } }\n',
  )
  const found = await policyAccounts(policy)
  t.equal(found.user('root'), 0)
  t.equal(found.group('root'), 0)
  t.equal(found.user('no-such-user-here'), undefined)
  t.equal(found.group('no-such-group-here'), undefined)
})

t.test('the hosts of public chains and of witnesses are the gateway’s own', async (t) => {
  const rpc = ['https://RPC.example.org/v2/key', 'http://[2001:DB8::7]:8545', 'http://198.51.100.7:8545/']
  const { ownHosts, policy } = loadRules({
    policiesDir: shippedDirectory,
    policy: 'lockdown',
    chains: [
      { name: 'development', kind: 'development' },
      { name: 'a', kind: 'rpc', chainId: 1, rpc },
      { name: 'b', kind: 'rpc', chainId: 2, rpc: rpc.slice(0, 1) },
    ],
    ledger: {
      checkpointIntervalMs: 1000,
      witnesses: { atLeast: 1, of: [{ url: 'https://witness.example.org/w/', key: 'unused here' }] },
    },
  })
  t.equal(policy.name, 'lockdown')
  t.strictSame(ownHosts, ['198.51.100.7', '2001:db8::7', 'rpc.example.org', 'witness.example.org'])
})

t.test('named agents and rules of records get ids too', async (t) => {
  const { policy } = loadPolicy({ dir: shippedDirectory, name: 'standard' })
  const asked = {
    ...policy,
    agents: [
      { name: 'builder', users: ['alice', 'nobody-here'] },
      { name: 'ghost', groups: ['no-group'] },
      { name: 'team', groups: ['agents', 7] },
    ],
    records: { ...policy.records, rules: [{ name: 'hers', action: 'discard' as const, users: ['alice'] }] },
  }
  t.strictSame(accountsIn(asked), { users: ['alice', 'nobody-here'], groups: ['agents', 'no-group'] })
  const known = {
    user: (name: string) => (name === 'alice' ? 1001 : undefined),
    group: (name: string) => (name === 'agents' ? 50 : undefined),
  }
  const { policy: named, missing } = withIds(asked, known)
  t.strictSame(named.agents, [
    { name: 'builder', users: [1001] },
    { name: 'team', groups: [50, 7] },
  ])
  t.strictSame(named.records.rules, [{ name: 'hers', action: 'discard', users: [1001] }])
  t.strictSame(
    missing.map(({ kind, name, where }) => `${kind} ${name} ${where}`),
    ['user nobody-here agents.builder', 'group no-group agents.ghost'],
  )
  t.equal(named.hash, policy.hash)
})
