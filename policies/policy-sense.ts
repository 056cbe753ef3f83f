/** What a policy may not say although each setting by itself could: settings that would promise what isn't done. */
import type { z } from 'zod'
import type { Catalogue } from './catalogue.ts'
import { nearest } from './nearest.ts'
import type { PolicySchema } from './policy-schema.ts'

type Settings = z.output<typeof PolicySchema>

const DNS_PORT = 53

export function makesSense(policy: Settings, catalogue: Catalogue, context: z.RefinementCtx): void {
  const wrong = (path: (string | number)[], message: string) =>
    context.addIssue({ code: 'custom', path, message })
  subjects(policy, wrong)
  fence(policy, wrong)
  proxy(policy, wrong)
  providers(policy, catalogue, wrong)
  traffic(policy, wrong)
}

type Wrong = (path: (string | number)[], message: string) => void

function subjects({ enforcement: { subjects, exempt } }: Settings, wrong: Wrong): void {
  const { users, groups, cgroups, containers } = subjects
  const at = (key: string) => ['enforcement', 'subjects', key]
  if (users === 'everyone') {
    for (const key of ['groups', 'cgroups'] as const) {
      if (subjects[key].length === 0) continue
      wrong(
        at(key),
        `everyone is governed already: leave \`${key}\` out, or list \`users\` in place of \`everyone\``,
      )
    }
    return
  }
  if (users.length + groups.length + cgroups.length === 0 && !containers) {
    wrong(at('users'), 'this governs nobody: name users, groups or cgroups, or leave `containers` on')
  }
  for (const key of ['users', 'groups', 'cgroups'] as const) {
    const governed: readonly (string | number)[] = key === 'users' ? users : subjects[key]
    for (const [index, entry] of exempt[key].entries()) {
      if (!governed.includes(entry)) continue
      wrong(['enforcement', 'exempt', key, index], `\`${entry}\` is among \`subjects\` too: it can't be both`)
    }
  }
}

function fence({ enforcement }: Settings, wrong: Wrong): void {
  const { fence, allow, dns, local, logGroup, dnsLogGroup } = enforcement
  if (logGroup === dnsLogGroup)
    wrong(['enforcement', 'dnsLogGroup'], 'this is `logGroup` already: they must differ')
  if (fence !== 'everything' && allow.length > 0) {
    wrong(
      ['enforcement', 'allow'],
      '`allow` opens a fence that refuses everything: set `fence: everything`, or leave it out',
    )
  }
  const resolves = allow.some(({ protocol, ports }) => protocol === 'udp' && ports.includes(DNS_PORT))
  if (fence === 'everything' && dns === 'direct' && !resolves) {
    wrong(
      ['enforcement', 'dns'],
      'with `fence: everything` nobody could resolve a name: set `dns: guarded`, or allow UDP port 53 to somebody',
    )
  }
  const seen = new Set<number>()
  for (const [index, { port }] of local.entries()) {
    if (seen.has(port))
      wrong(['enforcement', 'local', index, 'port'], 'this port stands here twice: keep one')
    seen.add(port)
  }
}

function proxy({ enforcement, proxy }: Settings, wrong: Wrong): void {
  if (proxy.longNames === 'refuse' && enforcement.dns !== 'guarded') {
    wrong(
      ['proxy', 'longNames'],
      'names are seen only by the DNS guard: set `dns: guarded`, or `longNames: pass`',
    )
  }
  if (proxy.unknownName !== 'intercept') {
    if (proxy.exceptions.length === 0) return
    wrong(
      ['proxy', 'exceptions'],
      '`exceptions` are those of `unknownName: intercept`: set that, or leave them out',
    )
  } else if (proxy.unlistedCalls === 'pass') {
    wrong(
      ['proxy', 'unlistedCalls'],
      '`unknownName: intercept` looks for calls that this lets pass unrecorded: set `record` or `refuse`',
    )
  }
}

function providers({ enforcement, traffic }: Settings, catalogue: Catalogue, wrong: Wrong): void {
  const ids = catalogue.providers.map(({ id }) => id)
  const known = new Set(ids)
  const unknown = (id: string) => {
    const guess = nearest(id, ids)
    return `the catalogue has no provider \`${id.slice(0, 80)}\`${guess ? `; did you mean \`${guess}\`?` : ''}`
  }
  for (const [index, { provider }] of enforcement.local.entries()) {
    if (!known.has(provider)) wrong(['enforcement', 'local', index, 'provider'], unknown(provider))
  }
  for (const [index, rule] of traffic.rules.entries()) {
    for (const [place, id] of (rule.providers ?? []).entries()) {
      const path = ['traffic', 'rules', index, 'providers', place]
      if (id !== '*' && !known.has(id)) wrong(path, unknown(id))
      if (id === '*' && rule.providers?.length !== 1)
        wrong(path, '`*` takes in every provider: let it stand alone')
    }
  }
}

function traffic({ enforcement, traffic }: Settings, wrong: Wrong): void {
  const names = new Set<string>()
  let closed = false
  for (const [index, rule] of traffic.rules.entries()) {
    const path = ['traffic', 'rules', index]
    if (closed) wrong(path, 'this rule is never reached: the one before it matches everything')
    if (names.has(rule.name))
      wrong([...path, 'name'], `another rule is called \`${rule.name}\`: give each a name of its own`)
    names.add(rule.name)
    const { providers, hosts, addresses, ports, users } = rule
    closed = [providers, hosts, addresses, ports, users].every((condition) => condition === undefined)
  }
  if (traffic.default !== 'block') return
  if (!traffic.rules.some(({ action }) => action === 'allow')) {
    wrong(['traffic', 'default'], 'this would let nothing leave the machine: allow something in `rules`')
  }
  if (enforcement.fence !== 'everything') {
    wrong(
      ['traffic', 'default'],
      'what does not go through the proxy would leave all the same: set `fence: everything`',
    )
  }
}
