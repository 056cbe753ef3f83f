/** A rule's conditions against what is known of a request: each yes, no, unknown, or awaited (truth.ts). */
import { UNLISTED } from './catalogue-schema.ts'
import type { ExchangeFacts } from './exchange-facts.ts'
import { matchesPath, type PathForms, pathForms } from './governed-path.ts'
import { compileHosts, type HostMatcher } from './host-matcher.ts'
import { isNamed } from './named-agents.ts'
import { compileNetworks, type NetworkMatcher } from './network.ts'
import { onceEach } from './once-each.ts'
import type { Policy } from './policy.ts'
import { matchesText } from './text-glob.ts'
import { all, any, known, type Truth } from './truth.ts'

export type Rule = Policy['traffic']['rules'][number] | Policy['records']['rules'][number]

/** Conditions that only a request can be asked about; a rule with one of them is asked about each request. */
export const ofExchange = ({
  agents,
  methods,
  paths,
  operations,
  models,
  tools,
  largerThan,
  content,
}: Rule): boolean =>
  [agents, methods, paths, operations, models, tools, largerThan, content].some((one) => one !== undefined)

interface Compiled {
  readonly hosts?: HostMatcher<true>
  readonly addresses?: NetworkMatcher
  readonly models?: readonly string[]
  readonly tools?: readonly string[]
}

const compiled = onceEach(
  (rule: Rule): Compiled => ({
    ...(rule.hosts && { hosts: compileHosts(rule.hosts.map((host) => [host, true] as const)) }),
    ...(rule.addresses && { addresses: compileNetworks(rule.addresses) }),
    ...(rule.models && { models: rule.models.map((glob) => glob.toLowerCase()) }),
    ...(rule.tools && { tools: rule.tools.map((glob) => glob.toLowerCase()).flatMap(spellings) }),
  }),
)

/** Google takes `google_search` and `googleSearch` for one name. */
const spellings = (glob: string): string[] => [glob, glob.replaceAll('_', '')]

/** Each condition of a rule that isn't met by now, by its key; empty where all hold. */
export interface Weighed {
  readonly truth: Truth
  /** Keys of the conditions that decide `truth`: those that are `no`, or else awaited, or else unknown. */
  readonly because: readonly string[]
}

/**
 * @param policy whose agents and detectors the rule names
 * @param extent `every`: of several models, tools or processes all must match, as for a rule that allows
 */
export function weigh(policy: Policy, rule: Rule, facts: ExchangeFacts, extent: 'every' | 'some'): Weighed {
  const truths = Object.entries(conditionsOf(policy, rule, facts, extent))
  const found: [string, Truth][] = []
  // In the order of what they cost, so that a body isn't searched for a rule that can't match.
  for (const [key, test] of truths) {
    if (test === undefined) continue
    const truth = test()
    found.push([key, truth])
    if (truth === 'no') break
  }
  const truth = all(found.map(([, each]) => each))
  return { truth, because: found.filter(([, each]) => each === truth).map(([key]) => key) }
}

function conditionsOf(
  policy: Policy,
  rule: Rule,
  facts: ExchangeFacts,
  extent: 'every' | 'some',
): Record<string, (() => Truth) | undefined> {
  const { hosts, addresses, models, tools } = compiled(rule)
  const { agent, agentPending } = facts
  const unsure: Truth = agentPending ? 'awaited' : 'unknown'
  return {
    ports: rule.ports && (() => known(rule.ports!.includes(facts.port))),
    providers: rule.providers && (() => known(ofProvider(rule.providers!, facts.provider))),
    hosts: hosts && (() => known(hosts.find(facts.name) !== undefined)),
    addresses: addresses && (() => known(addresses.has(facts.address))),
    methods: rule.methods && (() => ofMethods(rule.methods!, facts, extent)),
    paths: rule.paths && (() => ofPath(rule.paths!, pathForms(facts.target))),
    operations: rule.operations && (() => ofOperations(rule.operations!, facts.operations, extent)),
    users: rule.users && (() => (agent.uid === undefined ? unsure : known(rule.users!.includes(agent.uid)))),
    agents:
      rule.agents &&
      (() => any(rule.agents!.map((name) => isNamed(policy.agents, name, agent, agentPending, extent)))),
    largerThan: rule.largerThan === undefined ? undefined : () => isLarger(facts, rule.largerThan!),
    models: models && (() => ofModels(models, facts, extent)),
    tools: tools && (() => ofBody(facts, (content) => matching(tools, content.tools(), extent))),
    content:
      rule.content &&
      (() =>
        any([
          ofText(facts, (content) => content.finds(policy.detectors, rule.content!).length > 0),
          facts.answer?.(policy.detectors, rule.content!) ?? 'no',
        ])),
  }
}

/** `*` is the whole catalogue: what it lacks is in no list. */
const ofProvider = (wanted: readonly string[], id: string): boolean =>
  wanted.includes(id) || (wanted.includes('*') && id !== UNLISTED)

function ofPath(patterns: readonly string[], forms: PathForms): Truth {
  if (patterns.some((pattern) => matchesPath(pattern, forms))) return 'yes'
  return forms.sound ? 'no' : 'unknown'
}

function isLarger({ body }: ExchangeFacts, bytes: number): Truth {
  if (body.state === 'awaited') return body.declared === undefined ? 'awaited' : known(body.declared > bytes)
  if (body.state === 'unreadable' && !body.whole) return body.size > bytes ? 'yes' : 'unknown'
  return known(body.size > bytes)
}

function ofMethods(
  wanted: readonly string[],
  { method, overrides = [] }: ExchangeFacts,
  extent: 'every' | 'some',
): Truth {
  const isWanted = (name: string) => wanted.includes(name.toUpperCase())
  const asked = [method, ...overrides]
  return known(extent === 'every' ? asked.every(isWanted) : asked.some(isWanted))
}

function ofOperations(wanted: readonly string[], asked: readonly string[], extent: 'every' | 'some'): Truth {
  const isWanted = (name: string) => wanted.includes(name)
  return known(asked.length > 0 && (extent === 'every' ? asked.every(isWanted) : asked.some(isWanted)))
}

/** The path's word and the body's count both: a server may go by either. */
function ofModels(globs: readonly string[], facts: ExchangeFacts, extent: 'every' | 'some'): Truth {
  const { pathModels } = facts
  const ofPath = pathModels.length === 0 ? undefined : matching(globs, new Set(pathModels), extent)
  const inBody = ofBody(facts, (content) => matching(globs, content.models(), extent))
  if (ofPath === undefined) return inBody
  const names = facts.body.state === 'read' && facts.body.content.models().size > 0
  // Where the path has the model, a body without one, or that nobody can read, says nothing else.
  if (!names && facts.body.state !== 'awaited') return ofPath
  return extent === 'every' ? all([ofPath, inBody]) : any([ofPath, inBody])
}

type Content = Extract<ExchangeFacts['body'], { state: 'read' }>['content']

function ofText({ body }: ExchangeFacts, test: (content: Content) => boolean): Truth {
  if (body.state === 'awaited') return body.declared === 0 ? 'no' : 'awaited'
  return body.state === 'read' ? known(!body.content.empty && test(body.content)) : 'unknown'
}

function ofBody({ body }: ExchangeFacts, test: (content: Content) => Truth): Truth {
  if (body.state === 'awaited') return body.declared === 0 ? 'no' : 'awaited'
  if (body.state === 'unreadable') return 'unknown'
  if (body.content.empty) return 'no'
  return body.content.notJson === undefined ? test(body.content) : 'unknown'
}

function matching(globs: readonly string[], names: ReadonlySet<string>, extent: 'every' | 'some'): Truth {
  if (names.size === 0) return 'no'
  const matches = (name: string) => globs.some((glob) => matchesText(glob, name.toLowerCase()))
  return known(extent === 'every' ? [...names].every(matches) : [...names].some(matches))
}
