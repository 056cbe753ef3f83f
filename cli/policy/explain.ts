/** `agent-anchor policy explain`: which rule decides of a request, described or recorded, and why. */
import { readFileSync } from 'node:fs'
import { openBodies } from '../../daemon/recorder/body-reader.ts'
import { RecorderError } from '../../daemon/recorder/errors.ts'
import { ExchangeRecord } from '../../daemon/recorder/record.ts'
import { withIds } from '../../daemon/supervisor/enforcement-of.ts'
import { policyAccounts } from '../../daemon/supervisor/policy-accounts.ts'
import { DescribedRequest } from '../../policies/cases-schema.ts'
import type { ExchangeFacts } from '../../policies/exchange-facts.ts'
import type { Explanation, Step } from '../../policies/explain.ts'
import type { Rules } from '../../policies/policy.ts'
import { FileUnusable, NoExchange, UnfitRequest } from '../cli-error.ts'
import type { GlobalOptions } from '../command.ts'
import { findRecord, openEvidence } from '../evidence.ts'
import { printable, table } from '../terminal.ts'
import { describedRequest, recordedRequest } from './described-request.ts'

export interface ExplainOptions {
  readonly record?: string
  readonly provider?: string
  readonly host?: string
  readonly method?: string
  readonly path?: string
  readonly model?: string
  readonly tool?: string[]
  readonly text?: string
  readonly body?: string
  readonly signed?: boolean
  readonly uid?: number
  readonly unit?: string
  readonly container?: string
  readonly executable?: string
  readonly sha256?: string
}

/** The rules with ids in place of users' and groups' names, as the daemon has them. */
export async function inForce(rules: Rules): Promise<Rules> {
  const people = await policyAccounts(rules.policy)
  return { ...rules, policy: withIds(rules.policy, people).policy }
}

export function describedFacts(rules: Rules, options: ExplainOptions): ExchangeFacts {
  const { tool, path, body, uid, unit, container, executable, sha256, record: _, ...shown } = options
  const agent = {
    ...(uid !== undefined && { uid }),
    // Who is told of one of these is known to be in no other.
    ...((unit ?? container) !== undefined && { cgroup: '/' }),
    ...(unit !== undefined && { unit }),
    ...(container !== undefined && { container }),
    ...(executable !== undefined && { executable }),
    ...(sha256 !== undefined && { sha256 }),
  }
  const { provider, host, method, model, text, signed } = shown
  const asked = DescribedRequest.safeParse({
    ...(provider !== undefined && { provider }),
    ...(host !== undefined && { host }),
    ...(method !== undefined && { method }),
    ...(path !== undefined && { path }),
    ...(model !== undefined && { model }),
    ...(tool !== undefined && { tools: tool }),
    ...(text !== undefined && { text }),
    ...(body !== undefined && { body: bodyOf(body) }),
    ...(signed !== undefined && { signed }),
    agent,
  })
  if (asked.success) return describedRequest(rules, asked.data)
  const [issue] = asked.error.issues
  throw new UnfitRequest(String(issue?.path[0]), issue?.message ?? '')
}

function bodyOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new FileUnusable('read', file, error)
  }
}

export interface Asked {
  readonly facts: ExchangeFacts
  /** Hash of the policy that the record names. */
  readonly recordedUnder?: string
}

/** @throws CliError NOT_ROOT, NO_EXCHANGE; ReceiptError NO_SUCH_RECORD */
export async function recordedFacts(options: GlobalOptions, id: string): Promise<Asked> {
  const evidence = await openEvidence(options, 'policy explain --record')
  const row = findRecord(evidence, id)
  const record = ExchangeRecord.safeParse(JSON.parse(Buffer.from(row.bytes).toString('utf8'))).data
  if (record === undefined) throw new NoExchange(id)
  const bodies = openBodies(evidence.paths.recorderState, await evidence.bodyKey())
  const stored = ({ digest, stored }: typeof record.request.body) => {
    if (!stored) return undefined
    try {
      return bodies.read(digest).bytes
    } catch (error) {
      // Erased since: what it held can't be told.
      if (error instanceof RecorderError && error.code === 'NOT_FOUND') return undefined
      throw error
    }
  }
  try {
    const facts = recordedRequest(record, stored(record.request.head), stored(record.request.body))
    return { facts, recordedUnder: record.policy.hash }
  } finally {
    bodies.close()
  }
}

export function explanationText(
  { policy }: Rules,
  { facts, recordedUnder = policy.hash }: Asked,
  found: Explanation,
): string {
  const { traffic, records } = found
  const decided = (section: string, rule: string | undefined) =>
    rule === undefined
      ? `${policy.name}: no rule of ${section} matches, so the default holds`
      : `${policy.name}/${section}/${rule}`
  const { found: kinds = [], unknown = [] } = traffic.verdict
  const lines = [
    `${facts.method} ${facts.target} to ${facts.name} (${facts.provider})`,
    ...(recordedUnder === policy.hash
      ? []
      : [`recorded under another policy (${recordedUnder}): this is what the present one says`]),
    '',
    `request: ${traffic.verdict.action}, by ${decided('traffic', traffic.verdict.rule)}`,
    ...(kinds.length > 0 ? [`         it holds ${kinds.join(', ')}`] : []),
    ...(unknown.length > 0 ? [`         could not be told or done: ${unknown.join(', ')}`] : []),
    ...stepsText(traffic.steps),
    `record:  ${records.verdict.action}, by ${decided('records', records.verdict.rule)}`,
    ...stepsText(records.steps),
  ]
  return lines.map(printable).join('\n')
}

function stepsText(steps: readonly Step[]): string[] {
  const rows = steps.map(({ rule, action, matches, because }) => [
    `         ${rule}`,
    action,
    matches === 'yes' ? 'matches' : matches === 'no' ? 'no' : 'can’t be told',
    because.length > 0 ? because.join(', ') : 'it asks nothing',
  ])
  return rows.length === 0 ? [] : table(rows).split('\n')
}
