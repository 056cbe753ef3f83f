/** What an answer says about the name that was asked for: its aliases, its addresses, its service's targets. */
import { addressOf, CLASS_IN, type DnsMessage, FLAG, readName, TYPE } from './dns-message.ts'
import { readServiceBinding } from './svc-params.ts'

export interface AnswerEntry {
  readonly address: string
  /** Of the record that held it. */
  readonly ttlSeconds: number
}

export interface DnsAnswer {
  /** The name asked for, then what it is an alias of (CNAME), in order; lower case, without a final dot. */
  readonly names: readonly string[]
  /** Where an SVCB or HTTPS record sends clients, under the same server name (RFC 9460 sections 2.4 and 9). */
  readonly targets: readonly string[]
  /** A, AAAA and the hints of SVCB and HTTPS records, each address once. */
  readonly entries: readonly AnswerEntry[]
}

/** Chains of resolvers' own limit are 8 to 16 long (BIND, Unbound). */
const MAX_ALIASES = 32
const MAX_TARGETS = 32

/** `undefined` where the message is no answer to a question of class IN. */
export function readAnswer(message: DnsMessage): DnsAnswer | undefined {
  const { bytes, question } = message
  if ((message.flags & FLAG.response) === 0 || question?.class !== CLASS_IN) return undefined
  const names = chain(message, question.name)
  const targets = new Set<string>()
  const found = new Map<string, number>()
  const learn = (address: string, ttlSeconds: number) => {
    found.set(address, Math.max(found.get(address) ?? 0, ttlSeconds))
  }
  for (const record of message.answers) {
    if (record.class !== CLASS_IN || !names.includes(record.name)) continue
    if (record.type === TYPE.SVCB || record.type === TYPE.HTTPS) {
      const binding = readServiceBinding(bytes, record.dataStart, record.end)
      for (const address of binding?.hints ?? []) learn(address, record.ttl)
      if (binding && binding.target !== '.' && targets.size < MAX_TARGETS) targets.add(binding.target)
    }
  }
  // Additional records count too: those of a service's target come there (RFC 9460 section 4.1).
  for (const record of [...message.answers, ...message.additionals]) {
    if (!names.includes(record.name) && !targets.has(record.name)) continue
    const address = addressOf(bytes, record)
    if (address !== undefined) learn(address, record.ttl)
  }
  return {
    names,
    targets: [...targets],
    entries: Array.from(found, ([address, ttlSeconds]) => ({ address, ttlSeconds })),
  }
}

function chain({ bytes, answers }: DnsMessage, name: string): string[] {
  const alias = new Map<string, string>()
  for (const record of answers) {
    if (record.type !== TYPE.CNAME || record.class !== CLASS_IN) continue
    const target = readName(bytes.subarray(0, record.end), record.dataStart)
    if (target?.end === record.end) alias.set(record.name, target.name)
  }
  const names = [name]
  for (let next = alias.get(name); next !== undefined; next = alias.get(next)) {
    if (names.includes(next) || names.length > MAX_ALIASES) break
    names.push(next)
  }
  return names
}
