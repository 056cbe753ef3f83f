/**
 * The lines of the evidence journal: JSON with a checksum of the line (`sum`), and the checksum of the line before
 * (`after`), so that what was changed, taken out or put elsewhere is told from what was written. Pure.
 *
 * Threat model: it finds damage, not forgery, against which stand the log and the chain. Lines missing at the end can't
 * be told from lines that a power loss kept from the disk: a torn last line is no damage.
 */
import { z } from 'zod'
import { formatSummed, parseSummed } from '../base/summed-json.ts'
import { type Evidence, FromSupervisor } from '../recorder/messages.ts'

/** With the id that it will have, and keeps however often it is sent. */
export type IdentifiedEvidence = Evidence & { readonly id: string }

const Line = z.union([
  z.strictObject({ told: FromSupervisor }),
  z.strictObject({ draft: FromSupervisor, open: z.boolean() }),
  z.strictObject({ recorded: z.array(z.string()) }),
])
type Line = z.input<typeof Line>

export interface Held {
  readonly evidence: IdentifiedEvidence
  /** It ends when its process ends. */
  readonly open: boolean
}

export interface Fault {
  /** Byte at which the line begins. */
  readonly offset: number
  readonly what: string
}

export interface Reading {
  /** What isn't in the log, by its id, oldest first. */
  readonly held: Map<string, Held>
  readonly faults: readonly Fault[]
  /** The last line was cut short, as a power loss does it. */
  readonly torn: boolean
}

const LINE_FEED = 0x0a
/** Behind a line: `"}` and the line feed. Before these stands its sum, in hex. */
const [TAIL, SUM] = [3, 64]
const LINE_END = /"sum":"[0-9a-f]{64}"\}/

/** Formats the lines of one file, in their order. */
export function lineChain(): (line: Line) => Buffer {
  let after = ''
  return (line) => {
    const bytes = formatSummed({ ...line, after })
    after = sumOf(bytes)
    return bytes
  }
}

/** Whatever the bytes are: each line that is whole counts, and what is wrong with the others is told. */
export function readEvidence(bytes: Buffer): Reading {
  const held = new Map<string, Held>()
  const faults: Fault[] = []
  let torn = false
  /** Of the line before; undefined where nobody can read it. */
  let last: string | undefined = ''
  for (const { offset, text } of linesOf(bytes)) {
    const whole = text.at(-1) === LINE_FEED
    const line = parse(whole ? text : Buffer.concat([text, Buffer.of(LINE_FEED)]))
    if (line === undefined) {
      // A line that was cut short lacks its end.
      torn = !whole && !LINE_END.test(text.toString('latin1'))
      if (!torn) faults.push({ offset, what: 'a line is not what was written' })
      last = undefined
      continue
    }
    if (last !== undefined && line.after !== last)
      faults.push({ offset, what: 'what stood before this line is gone' })
    last = line.sum
    apply(line.said, held)
  }
  return { held, faults, torn }
}

function apply(said: Line, held: Map<string, Held>): void {
  if ('recorded' in said) for (const id of said.recorded) held.delete(id)
  else {
    const evidence = ('told' in said ? said.told : said.draft) as IdentifiedEvidence
    held.set(evidence.id, { evidence, open: 'open' in said && said.open })
  }
}

function* linesOf(bytes: Buffer): Generator<{ readonly offset: number; readonly text: Buffer }> {
  for (let offset = 0; offset < bytes.length; ) {
    const feed = bytes.indexOf(LINE_FEED, offset)
    const end = feed < 0 ? bytes.length : feed + 1
    yield { offset, text: bytes.subarray(offset, end) }
    offset = end
  }
}

/** With its line feed. Undefined for what was not written here. */
function parse(text: Buffer) {
  try {
    const { after, ...rest } = parseSummed(text) as { readonly after?: unknown }
    const said = Line.parse(rest)
    return 'recorded' in said || isEvidence('told' in said ? said.told : said.draft)
      ? { said, after, sum: sumOf(text) }
      : undefined
  } catch {
    return undefined
  }
}

const sumOf = (line: Buffer): string => line.toString('latin1', line.length - TAIL - SUM, line.length - TAIL)

function isEvidence(message: FromSupervisor): boolean {
  return ['audit', 'gap', 'refusal', 'leak'].includes(message.type) && 'id' in message && !!message.id
}
