/** What the policy wants kept of one exchange that is over, from its frames. */
import type { z } from 'zod'
import type { BodyFacts, ExchangeFacts } from '../../../policies/exchange-facts.ts'
import { judgeRecord, type RecordVerdict } from '../../../policies/exchange-rules.ts'
import type { Policy } from '../../../policies/policy.ts'
import { BodyContent } from '../../../policies/request-content.ts'
import { known } from '../../../policies/truth.ts'
import { askedByHead, methodOverrides } from '../derive/asked-by-head.ts'
import { decodeContent } from '../derive/content-coding.ts'
import { type Head, parseHead, requestLine } from '../derive/http-head.ts'
import type { JournalFrame } from '../intake/journal-entry.ts'
import { EndPayload, OpenPayload } from '../payloads.ts'
import { FrameType } from '../protocol.ts'
import { messagesOf } from '../web-socket-body.ts'
import { redactedBody } from './redacted-body.ts'

/** A body longer than this is not looked into. */
export const MAX_READ = 16 << 20

export type Frames = Iterable<JournalFrame | 'damaged'>

/** What Open says of the exchange. */
export function openOf(frames: Frames): z.infer<typeof OpenPayload> | undefined {
  for (const frame of frames) {
    if (frame !== 'damaged' && frame.type === FrameType.Open) return payload(OpenPayload, frame)
  }
  return undefined
}

/** @returns undefined where the exchange's beginning can't be read */
export function judgedFrom(policy: Policy, frames: Frames): RecordVerdict | undefined {
  let open: z.infer<typeof OpenPayload> | undefined
  let end: z.infer<typeof EndPayload> | undefined
  let head: Buffer | undefined
  let answerHead: Buffer | undefined
  const body: Buffer[] = []
  let size = 0
  const answer: Buffer[] = []
  let answerSize = 0
  const wantsAnswer = policy.records.rules.some(asksOfContent)
  for (const frame of frames) {
    if (frame === 'damaged') continue
    if (frame.type === FrameType.Open) open ??= payload(OpenPayload, frame)
    else if (frame.type === FrameType.End) end = payload(EndPayload, frame)
    else if (frame.type === FrameType.RequestHead) head ??= frame.payload
    else if (frame.type === FrameType.RequestBody) {
      size += frame.payload.length
      if (size <= MAX_READ) body.push(frame.payload)
    } else if (frame.type === FrameType.ResponseHead) answerHead = frame.payload
    else if (frame.type === FrameType.ResponseBody && wantsAnswer) {
      answerSize += frame.payload.length
      if (answerSize <= MAX_READ) answer.push(frame.payload)
    }
  }
  if (open === undefined) return undefined
  const parsed = parseHead(head ?? Buffer.alloc(0))
  const { method = '', target = '' } = requestLine(parsed)
  const isTurn = open.webSocket !== undefined
  const facts: ExchangeFacts = {
    name: open.serverName,
    provider: open.provider,
    ...open.originalDestination,
    agent: end?.agent ?? open.agent,
    agentPending: false,
    method,
    target,
    overrides: methodOverrides((name) => parsed.fields.get(name)),
    ...askedByHead(method, target, open.style, isTurn),
    body: open.keepBodies
      ? bodyFacts(parsed, body, size, isTurn)
      : unreadable('bodies with tokens or keys are not kept', 0),
    answer(own, names) {
      if (!open?.keepBodies || answerSize > MAX_READ) return 'unknown'
      const sent = Buffer.concat(answer)
      const redacted = redactedBody(
        { head: parseHead(answerHead ?? Buffer.alloc(0)), isTurn, sent },
        own,
        names,
      )
      return redacted ? known(redacted.count > 0) : 'unknown'
    },
  }
  return judgeRecord(policy, facts)
}

/** Of the answer too: `redact` looks into that by itself. */
const asksOfContent = ({ action, content }: Policy['records']['rules'][number]): boolean =>
  content !== undefined && action !== 'redact'

function bodyFacts(head: Head, parts: readonly Buffer[], size: number, isTurn: boolean): BodyFacts {
  if (size > MAX_READ) return unreadable(`longer than ${MAX_READ >> 20} MiB`, size)
  if (isTurn) return { state: 'read', size, content: new BodyContent(saidIn(Buffer.concat(parts))) }
  const decoded = decodeContent(head, Buffer.concat(parts))
  if ('unparsed' in decoded) return { ...unreadable(decoded.unparsed, size), whole: true }
  return { state: 'read', size, content: new BodyContent(decoded.bytes) }
}

/** What a client says in a turn of a WebSocket, most often one message of JSON. */
const saidIn = (body: Buffer): Buffer =>
  Buffer.from([...messagesOf(body)].map(({ bytes }) => bytes.toString('utf8')).join('\n'))

const unreadable = (why: string, size: number) => ({ state: 'unreadable', why, size, whole: false }) as const

function payload<T>(schema: z.ZodType<T>, frame: JournalFrame): T | undefined {
  try {
    return schema.safeParse(JSON.parse(frame.payload.toString('utf8'))).data
  } catch {
    return undefined
  }
}
