/**
 * Requests and answers of HTTP/2 as their field lists say them (RFC 9113 section 8), read strictly.
 *
 * Threat model: what one server lets pass in a field another takes for a line of HTTP/1.1. So fields that could mean
 * something else after a translation are refused: names in capitals, line ends and NUL in values, fields of the
 * connection, pseudo-header fields that are doubled, late or unknown, and more than one length.
 */
import type { HeaderField } from '../../wire/hpack.ts'
import { hostOf } from '../http/authority.ts'
import { badTarget, type RequestTarget } from '../http/framing.ts'
import { FIELD_NAME, type Field, FORBIDDEN_IN_LINE, MAX_FIELDS, MAX_HEAD } from '../http/head.ts'
import { ProxyError, type ProxyErrorCode } from '../proxy-error.ts'
import type { HeaderList } from './receiver.ts'

export interface RequestFields {
  readonly method: string
  /** As HTTP/1.1 would say it: extended CONNECT would be a GET that asks for an upgrade. */
  readonly asked: string
  readonly target: RequestTarget
  /** Bytes of the body, where the request says so. */
  readonly length: number | undefined
  /** Extended CONNECT (RFC 8441): what comes after its head, both ways, is no HTTP. */
  readonly tunnel: boolean
  /** What comes after it is a WebSocket's. */
  readonly webSocket: boolean
  readonly grpc: boolean
  readonly head: RecordedHead
}

/** What a record's head is written from. */
export interface RecordedHead {
  readonly fields: readonly Field[]
}

const REQUEST_PSEUDO = new Set([':method', ':scheme', ':authority', ':path'])
const TUNNEL_PSEUDO = new Set([...REQUEST_PSEUDO, ':protocol'])
const RESPONSE_PSEUDO = new Set([':status'])
const NO_PSEUDO = new Set<string>()
/** Section 8.2.2. */
const OF_CONNECTION = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
])
const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const PATH = /^\/[\x21-\x7e\x80-\xff]*$/
/** Not gRPC-Web, whose errors stand in a body. */
const GRPC = /^application\/grpc(?:[+;]|$)/i
const STATUS = /^[1-9]\d\d$/

/**
 * @param tunnels the provider takes extended CONNECT
 * @throws ProxyError malformed_field, malformed_host, head_too_large, conflicting_length, unsupported_target
 */
export function readRequest(list: HeaderList, tunnels: boolean): RequestFields {
  const pseudo = checked(list, tunnels ? TUNNEL_PSEUDO : REQUEST_PSEUDO)
  const tunnel = pseudo.has(':protocol')
  const method = needed(pseudo, ':method')
  const path = pseudo.get(':path')
  if (!METHOD.test(method)) throw malformed('a method that is none')
  if ((method === 'CONNECT') !== tunnel) throw badTarget('CONNECT, or :protocol without it,')
  if (!/^https?$/.test(needed(pseudo, ':scheme'))) throw badTarget('a scheme other than http and https')
  if (path === undefined) throw malformed('no :path')
  if (!PATH.test(path) && !(path === '*' && method === 'OPTIONS')) throw badTarget('a :path that is no path')
  return {
    method,
    asked: tunnel ? 'GET' : method,
    target: { path, hosts: hostsOf(list.fields) },
    length: tunnel ? undefined : lengthOf(list.fields),
    tunnel,
    webSocket: pseudo.get(':protocol')?.toLowerCase() === 'websocket',
    grpc: list.fields.some(({ name, value }) => name === 'content-type' && GRPC.test(value)),
    head: recordedHead(list.fields),
  }
}

/** @returns the status. @throws ProxyError malformed_field, head_too_large */
export function readResponse(list: HeaderList): number {
  const status = needed(checked(list, RESPONSE_PSEUDO), ':status')
  // Nothing switches protocols on a stream (section 8.6).
  if (!STATUS.test(status) || status === '101') throw malformed('a status that is none')
  return Number(status)
}

/** @returns them as a trailer section of HTTP/1.1. @throws ProxyError malformed_field, head_too_large */
export function readTrailers(list: HeaderList): string {
  checked(list, NO_PSEUDO)
  if (!list.endStream) throw malformed('fields in the middle of a body')
  return list.fields.map(({ name, value }) => `${name}: ${value}\r\n`).join('')
}

export function recordedHead(fields: readonly HeaderField[]): RecordedHead {
  return {
    fields: fields.map(({ name, value }) => ({
      name,
      value,
      line: `${name}: ${value}`,
      valueAt: name.length + 2,
    })),
  }
}

/** @returns the pseudo-header fields */
function checked({ fields, tooLong }: HeaderList, allowed: ReadonlySet<string>): Map<string, string> {
  if (tooLong) {
    throw new ProxyError(
      'head_too_large',
      `header fields of over ${MAX_HEAD} bytes, or more than ${MAX_FIELDS}`,
      'Send fewer and shorter header fields.',
    )
  }
  const pseudo = new Map<string, string>()
  let plain = false
  for (const { name, value } of fields) {
    if (FORBIDDEN_IN_LINE.test(value)) throw malformed('a control character in a field')
    if (name.startsWith(':')) {
      if (plain) throw malformed('a pseudo-header field after the others')
      if (!allowed.has(name)) throw malformed('an unknown pseudo-header field')
      if (pseudo.has(name)) throw malformed(`more than one ${name}`)
      pseudo.set(name, value)
      continue
    }
    plain = true
    if (!FIELD_NAME.test(name) || name !== name.toLowerCase()) throw malformed('a field name')
    if (OF_CONNECTION.has(name)) throw malformed(`${name}, which HTTP/2 doesn't have`)
    if (name === 'te' && value.toLowerCase() !== 'trailers') throw malformed('TE other than trailers')
  }
  return pseudo
}

function needed(pseudo: ReadonlyMap<string, string>, name: string): string {
  const value = pseudo.get(name)
  if (value === undefined) throw malformed(`no ${name}`)
  return value
}

/** Servers go by the one or the other. */
function hostsOf(fields: readonly HeaderField[]): string[] {
  const hosts = fields
    .filter(({ name }) => name === ':authority' || name === 'host')
    .map(({ value }) => hostOf(value))
  const named = hosts.filter((host) => host !== undefined)
  if (hosts.length === 0 || named.length < hosts.length) {
    throw malformed(hosts.length === 0 ? 'no :authority' : 'an :authority that is no host', 'malformed_host')
  }
  return [...new Set(named)]
}

function lengthOf(fields: readonly HeaderField[]): number | undefined {
  const lengths = fields.filter(({ name }) => name === 'content-length')
  const [first] = lengths
  if (!first) return undefined
  if (lengths.length > 1 || !/^\d{1,15}$/.test(first.value))
    throw wrongLength('a Content-Length that is no number')
  return Number(first.value)
}

/** A body that isn't as long as its head says. */
export const wrongLength = (what: string) =>
  new ProxyError('conflicting_length', `ambiguous length: ${what}`, 'Frame the message in exactly one way.')

const malformed = (what: string, code: ProxyErrorCode = 'malformed_field') =>
  new ProxyError(code, `malformed HTTP/2: ${what}`, 'Send HTTP/2 as RFC 9113 asks; this was not forwarded.')
