/** What a policy may not say although each setting by itself could: settings that would promise what isn't done. */
import type { z } from 'zod'
import type { Catalogue } from './catalogue.ts'
import { BUILT_IN_DETECTORS } from './detectors/detect.ts'
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
  namedThings(policy, wrong)
  content(policy, wrong)
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

function providers(policy: Settings, catalogue: Catalogue, wrong: Wrong): void {
  const ids = catalogue.providers.map(({ id }) => id)
  const known = new Set(ids)
  const unknown = (id: string) => `the catalogue has no provider \`${id.slice(0, 80)}\`${guessed(id, ids)}`
  for (const [index, { provider }] of policy.enforcement.local.entries()) {
    if (!known.has(provider)) wrong(['enforcement', 'local', index, 'provider'], unknown(provider))
  }
  for (const { path, rule } of rulesOf(policy)) {
    for (const [place, id] of (rule.providers ?? []).entries()) {
      const at = [...path, 'providers', place]
      if (id !== '*' && !known.has(id)) wrong(at, unknown(id))
      if (id === '*' && rule.providers?.length !== 1)
        wrong(at, '`*` takes in every provider: let it stand alone')
    }
  }
}

const guessed = (word: string, candidates: readonly string[]): string => {
  const guess = nearest(word, candidates)
  return guess === undefined ? '' : `; did you mean \`${guess}\`?`
}

type Rule = Settings['traffic']['rules'][number] | Settings['records']['rules'][number]

function rulesOf({ traffic, records }: Settings): { path: (string | number)[]; rule: Rule }[] {
  return [
    ...traffic.rules.map((rule, i) => ({ path: ['traffic', 'rules', i], rule })),
    ...records.rules.map((rule, i) => ({ path: ['records', 'rules', i], rule })),
  ]
}

/** Rules are called by one name each, and call agents and detectors by names that there are. */
function namedThings(policy: Settings, wrong: Wrong): void {
  const agents = policy.agents.map(({ name }) => name)
  const own = policy.detectors.map(({ name }) => name)
  const detectors = [...BUILT_IN_DETECTORS, ...own]
  for (const [index, { name }] of policy.detectors.entries()) {
    if (detectors.indexOf(name) !== BUILT_IN_DETECTORS.length + index)
      wrong(
        ['detectors', index, 'name'],
        `another detector is called \`${name}\`: give each a name of its own`,
      )
  }
  for (const [index, { name, ...asked }] of policy.agents.entries()) {
    if (Object.keys(asked).length === 0)
      wrong(['agents', index], `this says nothing of \`${name}\`: anybody would be it`)
  }
  for (const { path, rule } of rulesOf(policy)) {
    for (const [place, name] of (rule.agents ?? []).entries()) {
      if (!agents.includes(name))
        wrong(
          [...path, 'agents', place],
          `there is no agent \`${name}\` in \`agents\`${guessed(name, agents)}`,
        )
    }
    for (const [place, name] of (rule.content ?? []).entries()) {
      if (!detectors.includes(name))
        wrong([...path, 'content', place], `there is no detector \`${name}\`${guessed(name, detectors)}`)
    }
  }
}

function content({ traffic, records }: Settings, wrong: Wrong): void {
  for (const [index, { action, content, cannotTell }] of traffic.rules.entries()) {
    const path = ['traffic', 'rules', index]
    if (action === 'redact' && content === undefined)
      wrong(path, '`redact` replaces what `content` finds: name detectors there')
    if (action === 'allow' && cannotTell !== undefined)
      wrong([...path, 'cannotTell'], 'a rule that allows never matches what it can’t tell: leave this out')
  }
  for (const [index, { action, content }] of records.rules.entries()) {
    if (action === 'redact' && content === undefined)
      wrong(['records', 'rules', index], '`redact` replaces what `content` finds: name detectors there')
  }
}

function traffic({ enforcement, traffic, records }: Settings, wrong: Wrong): void {
  reachable('traffic', traffic.rules, wrong)
  reachable('records', records.rules, wrong)
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

function reachable(section: 'traffic' | 'records', rules: readonly Rule[], wrong: Wrong): void {
  const names = new Set<string>()
  let closed = false
  for (const [index, rule] of rules.entries()) {
    const path = [section, 'rules', index]
    if (closed) wrong(path, 'this rule is never reached: the one before it matches everything')
    if (names.has(rule.name))
      wrong([...path, 'name'], `another rule is called \`${rule.name}\`: give each a name of its own`)
    names.add(rule.name)
    const { name: _, action, ...conditions } = rule
    // In the record, `content` is what is replaced and no condition.
    const asked = Object.keys(conditions).filter(
      (key) => section === 'traffic' || action !== 'redact' || key !== 'content',
    )
    closed = asked.length === 0
  }
}
