/**
 * Calls to the canary provider, which must each be recorded as what they are: one in each wire style, and one for each
 * `traffic` rule of the policy, which must do what it says. All are made at once, by one ordinary process.
 *
 * No provider gets any of them: what a rule lets pass goes to the canary, and what it blocks ends at the gateway, which
 * may have opened its own connection to the provider by then and sends nothing on it.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemBundlePath } from '../../ca/system-roots.ts'
import { messageOf } from '../../daemon/base/errors.ts'
import { parseLeaf } from '../../daemon/recorder/index/row.ts'
import type { LogRecord } from '../../daemon/recorder/record.ts'
import { CANARY_ADDRESS, CANARY_NAME } from '../../daemon/supervisor/canary.ts'
import { CANARY_CALLS, CANARY_USAGE } from '../../installers/canary-calls.ts'
import { ofExchange } from '../../policies/exchange-conditions.ts'
import type { Rules } from '../../policies/policy.ts'
import type { Evidence } from '../evidence.ts'
import { asUser } from './as-user.ts'
import type { Check } from './check.ts'
import type { Call, Made } from './make-calls.ts'
import { ruleCall } from './rule-call.ts'

const RECORD_MS = 5000
const LOOK_MS = 100
/** Records of one run of doctor, and of whoever else calls meanwhile. */
const MOST_RECORDS = 1000

/** A call, and what its records must say. */
interface Canary {
  readonly check: string
  readonly call: Call
  /** What is wrong with the outcome; undefined where nothing is. */
  readonly answer: (made: Made) => string | undefined
  /** Whether the record is this call's; */
  readonly isIts: (record: LogRecord) => boolean
  /** and what is wrong with it. */
  readonly record: (record: LogRecord) => string | undefined
  readonly held: string
}

interface Ground {
  readonly evidence: Pick<Evidence, 'index'>
  readonly rules: Rules
  /** Who calls. */
  readonly uid: number
  /** A known address of a provider's name. */
  readonly addressOf: (host: string) => string | undefined
}

/** While the canary stands. */
export async function* canaryChecks(ground: Ground): AsyncGenerator<Check> {
  const { traffic } = ground.rules.policy
  const styles = CANARY_CALLS.map(styleCanary)
  const rules = traffic.rules.map((rule) => ruleCanary(ground, rule))
  const canaries = [...styles, ...rules.filter((each): each is Canary => 'call' in each)]
  const unmade = rules.filter((each): each is Check => !('call' in each))
  try {
    const since = new Date().toISOString()
    const calls = JSON.stringify(canaries.map(({ call }) => call))
    const made = JSON.parse(await asUser(ground.uid, 'make-calls.ts', systemBundlePath(), calls)) as Made[]
    const found = await recordsOf(ground.evidence, canaries, since)
    const checks = canaries.map((canary, i) => judged(canary, made[i], found[i]))
    yield* together(checks.slice(0, styles.length))
    yield* checks.slice(styles.length)
  } catch (error) {
    yield { check: 'canaries', result: 'not-run', proof: true, detail: messageOf(error) }
  }
  yield* unmade
}

function judged({ check, answer, record, held }: Canary, made: Made | undefined, found?: LogRecord): Check {
  const wrong =
    (made === undefined ? 'it was not made' : answer(made)) ??
    (found === undefined ? 'no record of it came' : record(found))
  return wrong === undefined
    ? { check, result: 'held', detail: held, proof: true }
    : { check, result: 'failed', detail: wrong, proof: true }
}

const NAME = 'a call in each wire style'

/** One line for what is well. */
function together(checks: readonly Check[]): readonly Check[] {
  if (checks.some(({ result }) => result !== 'held')) return checks
  const detail = `each of ${checks.length} recorded with its model and its tokens`
  return [{ check: NAME, result: 'held', detail, proof: true }]
}

function styleCanary({ style, path, request }: (typeof CANARY_CALLS)[number]): Canary {
  const { marked, isIts } = marker(path)
  const body = JSON.stringify(request)
  return {
    check: `a call in the wire style ${style}`,
    call: { host: CANARY_NAME, address: CANARY_ADDRESS, method: 'POST', path: marked, body },
    answer: (made) => ('status' in made && made.status === 200 ? undefined : said(made)),
    isIts,
    record(record) {
      if (record.kind !== 'exchange') return `it became a ${record.kind}`
      const { derived } = record
      const { input, output } = CANARY_USAGE
      const read =
        derived['gen_ai.request.model'] !== undefined &&
        derived['gen_ai.usage.input_tokens'] === input &&
        derived['gen_ai.usage.output_tokens'] === output
      return read ? undefined : `record ${record.id} says another model or other tokens than it had`
    },
    held: '',
  }
}

function ruleCanary(ground: Ground, rule: Rules['policy']['traffic']['rules'][number]): Canary | Check {
  const check = `the rule ${rule.name}: ${rule.action}`
  const addressOf = (host: string) => (host === CANARY_NAME ? CANARY_ADDRESS : ground.addressOf(host))
  const call = ruleCall(ground.rules, rule, ground.uid, addressOf)
  if (typeof call === 'string') return { check, result: 'not-run', detail: call }
  const address = addressOf(call.host) ?? ''
  const wanted = `${ground.rules.policy.name}/traffic/${rule.name}`
  const { marked, isIts } = marker(call.path)
  const blocks = rule.action === 'block'
  return {
    check,
    call: { ...call, address, path: marked },
    answer: (made) => (('status' in made && made.status === 200) === blocks ? said(made) : undefined),
    // One that a rule refuses by its name or address never gets to say its path.
    isIts: (record) =>
      isIts(record) ||
      (blocks && record.kind === 'refusal' && record.rule === wanted && record.agent.uid === ground.uid),
    record(record) {
      // That a connection may be made is no news to its requests' records.
      if (record.kind === 'exchange' && !blocks && !ofExchange(rule)) return undefined
      const by = record.kind === 'exchange' ? record.policy.rule : ruleOf(record)
      return by === wanted ? undefined : `record ${record.id} says that ${by} decided`
    },
    held: blocks
      ? `a made-up call to ${call.host} was refused and recorded`
      : `a call to the canary was ${rule.action === 'redact' ? 'redacted' : 'let through'} and recorded`,
  }
}

const ruleOf = (record: LogRecord) => (record.kind === 'refusal' ? record.rule : record.kind)

/** Tells a call's record from those of all others. */
function marker(path: string) {
  const mark = `canary=${randomBytes(6).toString('hex')}`
  return {
    marked: `${path}?${mark}`,
    isIts: (record: LogRecord) => record.kind === 'exchange' && record.http.target?.endsWith(mark) === true,
  }
}

const said = (made: Made) =>
  'status' in made ? `it was answered with the status ${made.status}` : `it failed: ${made.failed}`

/** Waits for those that are still on their way. */
async function recordsOf(
  { index }: Ground['evidence'],
  canaries: readonly Canary[],
  since: string,
): Promise<(LogRecord | undefined)[]> {
  for (const end = Date.now() + RECORD_MS; ; await sleep(LOOK_MS)) {
    const rows = (['exchange', 'refusal'] as const).flatMap((kind) =>
      index.list({ kind, limit: MOST_RECORDS }).filter(({ time }) => time >= since),
    )
    const records = rows.map(({ bytes }) => parseLeaf(bytes))
    const found = canaries.map(({ isIts }) => records.find(isIts))
    if (found.every((each) => each !== undefined) || Date.now() > end) return found
  }
}
