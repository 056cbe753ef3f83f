/** Facts of a request that somebody describes, or that is recorded, as rules are asked about it. */
import type { z } from 'zod'
import { MAX_EXAMINED } from '../../daemon/proxy/examination/examination.ts'
import { askedByHead } from '../../daemon/recorder/derive/asked-by-head.ts'
import { decodeContent } from '../../daemon/recorder/derive/content-coding.ts'
import { parseHead } from '../../daemon/recorder/derive/http-head.ts'
import type { ExchangeRecord } from '../../daemon/recorder/record.ts'
import { callShape } from '../../policies/call-shape.ts'
import type { DescribedRequest } from '../../policies/cases-schema.ts'
import { matchHost } from '../../policies/catalogue.ts'
import { type Provider, UNLISTED } from '../../policies/catalogue-schema.ts'
import type { BodyFacts, ExchangeFacts } from '../../policies/exchange-facts.ts'
import { nearest } from '../../policies/nearest.ts'
import type { Rules } from '../../policies/policy.ts'
import { BodyContent } from '../../policies/request-content.ts'
import { NoProvider } from '../cli-error.ts'

type Described = z.output<typeof DescribedRequest>

/** @throws CliError NO_PROVIDER */
export function describedRequest({ catalogue }: Rules, asked: Described): ExchangeFacts {
  const ids = catalogue.providers.map(({ id }) => id)
  if (asked.provider !== undefined && !ids.includes(asked.provider))
    throw new NoProvider(asked.provider, nearest(asked.provider, ids))
  const known = catalogue.providers.find(({ id }) => id === asked.provider)
  const host = asked.host ?? known?.hosts[0] ?? 'unlisted.example'
  const provider = known ?? matchHost(catalogue, host)
  const { executable, sha256, ...agent } = asked.agent
  const process = { ...(executable && { executable }), ...(sha256 && { sha256 }) }
  return {
    ...ofPath(asked.method, asked.path, provider),
    name: host,
    provider: provider?.id ?? UNLISTED,
    address: asked.address,
    port: asked.port,
    agent: { ...agent, ...(executable || sha256 ? { processes: [process] } : {}) },
    agentPending: false,
    method: asked.method,
    target: asked.path,
    body: describedBody(asked),
    fixed: asked.signed ? 'it is signed' : undefined,
  }
}

function ofPath(method: string, path: string, provider: Provider | undefined) {
  return askedByHead(method, path, callShape(method, path) ?? provider?.style, false)
}

function describedBody({ model, tools, text, body, size }: Described): BodyFacts {
  if (size !== undefined && size > MAX_EXAMINED) {
    return { state: 'unreadable', why: `a body above ${MAX_EXAMINED >> 20} MiB`, size, whole: false }
  }
  const made = {
    ...(model && { model }),
    ...(tools && { tools: tools.map((name) => ({ name })) }),
    ...(text && { text }),
  }
  const bytes = Buffer.from(body ?? (Object.keys(made).length > 0 ? JSON.stringify(made) : ''))
  return { state: 'read', size: size ?? bytes.length, content: new BodyContent(bytes) }
}

/**
 * @param head of the request as stored; undefined where it isn't there any more
 * @param body as stored; undefined where it is not
 */
export function recordedRequest(
  record: ExchangeRecord,
  head: Buffer | undefined,
  body: Buffer | undefined,
): ExchangeFacts {
  const { method = '', target = '' } = record.http
  return {
    ...ofPath(method, target, undefined),
    name: record.server.name,
    provider: record.provider,
    ...record.server.originalDestination,
    agent: record.agent,
    agentPending: false,
    method,
    target,
    body: recordedBody(record, head, body),
    fixed: undefined,
  }
}

function recordedBody(
  { request }: ExchangeRecord,
  head: Buffer | undefined,
  body: Buffer | undefined,
): BodyFacts {
  const { size } = request.body
  const unreadable = (why: string) => ({ state: 'unreadable', why, size, whole: true }) as const
  if (size === 0) return { state: 'read', size, content: new BodyContent(Buffer.alloc(0)) }
  if (head === undefined || body === undefined) return unreadable('the body is not stored')
  const decoded = decodeContent(parseHead(head), body)
  if ('unparsed' in decoded) return unreadable(decoded.unparsed)
  return { state: 'read', size, content: new BodyContent(decoded.bytes) }
}
