/**
 * A request that a `traffic` rule of the policy decides, made up from what the rule asks for, so that doctor can see the
 * rule work. The policy's own judgement says whether it is one. Pure.
 */
import { operationOf } from '../../daemon/recorder/derive/operation.ts'
import { CANARY_NAME } from '../../daemon/supervisor/canary.ts'
import { CANARY_CALLS, CANARY_CHAT, CANARY_MODEL } from '../../installers/canary-calls.ts'
import { explain } from '../../policies/explain.ts'
import type { Rules } from '../../policies/policy.ts'
import { describedRequest } from '../policy/described-request.ts'

type Rule = Rules['policy']['traffic']['rules'][number]

export interface RuleCall {
  readonly host: string
  readonly method: string
  readonly path: string
  readonly body: string
}

/** What each built-in detector finds; secret or personal of nobody (RFC 2606; the scheme's and the standard's own samples). */
const SAMPLES: Readonly<Record<string, string>> = {
  secrets: `sk-${'Canary0123456789'.repeat(2)}`,
  email: 'canary@example.org',
  card: '4111 1111 1111 1111',
  iban: 'GB82 WEST 1234 5698 7654 32',
}
/** Above, a request is a load on the machine that doctor must not be. */
const MOST_BYTES = 1 << 20
const PORT = 443
const MOST_HOSTS = 4

/**
 * @param uid who will make it
 * @param addressOf a known address of a name
 * @returns why there is none, where there is none
 */
export function ruleCall(
  rules: Rules,
  rule: Rule,
  uid: number,
  addressOf: (host: string) => string | undefined,
): RuleCall | string {
  const found = [...candidates(rules, rule)].find((call) => decides(rules, rule, uid, addressOf, call))
  if (found === undefined)
    return 'no request of a made-up user could be found that it decides: agent-anchor policy test runs cases'
  // What is let through would reach the provider.
  if (rule.action !== 'block' && found.host !== CANARY_NAME)
    return `it lets pass what goes to ${found.host}, where doctor sends nothing: agent-anchor policy test runs cases`
  return found
}

/** Those whose addresses {@link ruleCall} asks for, but for the canary. */
export const hostsToCall = (rules: Rules): string[] => [
  ...new Set(
    rules.policy.traffic.rules
      .filter(({ action }) => action === 'block')
      .flatMap((rule) => hostsFor(rules, rule).slice(1)),
  ),
]

function* candidates(rules: Rules, rule: Rule): Generator<RuleCall> {
  const method = rule.methods?.[0] ?? 'POST'
  const [model = CANARY_MODEL] = (rule.models ?? []).map(literal)
  const body = bodyFor(rule, model)
  if (body === undefined) return
  for (const host of hostsFor(rules, rule))
    for (const path of pathsFor(rule, method, model)) yield { host, method, path, body }
}

/** The canary first: nobody else need see it. */
function hostsFor({ catalogue }: Rules, { hosts, providers }: Rule): string[] {
  const ofProviders = catalogue.providers
    .filter(({ id }) => providers === undefined || providers.includes(id) || providers.includes('*'))
    .flatMap((provider) => provider.hosts)
  const named = [...(hosts ?? []), ...(providers === undefined ? [] : ofProviders)]
  return [CANARY_NAME, ...named.filter((host) => !/[*#]/.test(host) && host !== CANARY_NAME)].slice(
    0,
    MOST_HOSTS,
  )
}

function pathsFor({ paths, operations }: Rule, method: string, model: string): string[] {
  const known = [...CANARY_CALLS.map(({ path }) => path), '/v1/embeddings', '/v1/completions'].map((path) =>
    path.replaceAll(CANARY_MODEL, encodeURIComponent(model)),
  )
  const named = known.filter((path) => {
    const { name } = operationOf(method, path, undefined)
    return operations === undefined || operations.some((each) => each === name)
  })
  return [...(paths ?? []).map(literal), ...named]
}

function bodyFor({ tools, content, largerThan = 0 }: Rule, model: string): string | undefined {
  if (largerThan >= MOST_BYTES || content?.some((name) => SAMPLES[name] === undefined)) return undefined
  const text = (content ?? []).map((name) => SAMPLES[name]).join(' ')
  const made = {
    ...CANARY_CHAT.request,
    model,
    ...(tools && { tools: tools.slice(0, 1).map((name) => ({ name: literal(name) })) }),
    ...(text && { text }),
  }
  const short = JSON.stringify(made)
  if (short.length > largerThan) return short
  return JSON.stringify({ ...made, padding: '.'.repeat(largerThan) })
}

/** A text that the pattern fits. */
const literal = (glob: string) => glob.replace('/**/', '/').replaceAll('*', 'x')

function decides(
  rules: Rules,
  rule: Rule,
  uid: number,
  addressOf: (host: string) => string | undefined,
  { host, method, path, body }: RuleCall,
): boolean {
  const address = addressOf(host)
  if (address === undefined) return false
  const described = { host, address, port: PORT, method, path, body, signed: false, agent: { uid } }
  const { verdict } = explain(rules.policy, describedRequest(rules, described)).traffic
  return verdict.rule === rule.name && verdict.action === rule.action
}
