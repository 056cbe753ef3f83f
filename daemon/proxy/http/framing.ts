/**
 * Where a message ends and whether its connection goes on (RFC 9112 §6, §9). The one place that reads
 * Content-Length, Transfer-Encoding, Connection, Upgrade and Host.
 */
import { ProxyError } from '../proxy-error.ts'
import { hostOf } from './authority.ts'
import type { Field, RequestHead, ResponseHead } from './head.ts'

export type Framing =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' }
  | { readonly kind: 'until-close' }

const NONE: Framing = { kind: 'none' }

/** @throws ProxyError conflicting_length, unsupported_transfer_coding */
export function requestFraming(head: RequestHead): Framing {
  return explicitFraming(head.fields, head.version) ?? NONE
}

/** @throws ProxyError conflicting_length, unsupported_transfer_coding */
export function responseFraming(head: ResponseHead, requestMethod: string): Framing {
  const explicit = explicitFraming(head.fields, head.version)
  if (requestMethod === 'HEAD' || head.status < 200 || head.status === 204 || head.status === 304) return NONE
  return explicit ?? { kind: 'until-close' }
}

function explicitFraming(fields: readonly Field[], version: '1.0' | '1.1'): Framing | undefined {
  let length: string | undefined
  let coding: string | undefined
  for (const { name, value } of fields) {
    if (name === 'content-length') {
      if (length !== undefined) throw conflict('more than one Content-Length')
      length = value
    } else if (name === 'transfer-encoding') {
      if (coding !== undefined) throw unsupported()
      coding = value
    }
  }
  if (coding !== undefined) {
    if (length !== undefined) throw conflict('both Content-Length and Transfer-Encoding')
    if (version !== '1.1' || coding.toLowerCase() !== 'chunked') throw unsupported()
    return { kind: 'chunked' }
  }
  if (length === undefined) return undefined
  if (!/^\d{1,15}$/.test(length)) throw conflict('a Content-Length that is no number')
  return { kind: 'length', length: Number(length) }
}

const conflict = (what: string) =>
  new ProxyError('conflicting_length', `ambiguous length: ${what}`, 'Frame the message in exactly one way.')
const unsupported = () =>
  new ProxyError(
    'unsupported_transfer_coding',
    'a Transfer-Encoding other than one "chunked" on HTTP/1.1',
    'Use "Transfer-Encoding: chunked" or Content-Length.',
  )

/** RFC 9112 §9.3: does the connection outlive this message, going by its own head? */
export function persists(head: RequestHead | ResponseHead): boolean {
  if (hasToken(head.fields, 'connection', 'close')) return false
  return head.version === '1.1' || hasToken(head.fields, 'connection', 'keep-alive')
}

/** The client asks to leave HTTP on this connection (RFC 9110 §7.8). */
export function asksForUpgrade(head: RequestHead): boolean {
  return (
    hasToken(head.fields, 'connection', 'upgrade') && head.fields.some((field) => field.name === 'upgrade')
  )
}

/** Seconds the server says it keeps an idle connection, from `Keep-Alive: timeout=N`. */
export function keepAliveSeconds(head: ResponseHead): number | undefined {
  for (const { name, value } of head.fields) {
    const seconds = name === 'keep-alive' ? /(?:^|[,\s])timeout=(\d{1,6})/i.exec(value)?.[1] : undefined
    if (seconds !== undefined) return Number(seconds)
  }
  return undefined
}

function hasToken(fields: readonly Field[], name: string, token: string): boolean {
  for (const field of fields) {
    if (field.name !== name) continue
    if (field.value.length === token.length && field.value.toLowerCase() === token) return true
    for (const part of field.value.split(',')) if (part.trim().toLowerCase() === token) return true
  }
  return false
}

const ABSOLUTE = /^https?:\/\/([^/?#]*)(.*)$/i

export interface RequestTarget {
  /** Path and query. */
  readonly path: string
  /** The hosts that Host and an absolute target name: at most two, most often one. */
  readonly hosts: readonly string[]
}

/**
 * Where a request says that it goes.
 * @throws ProxyError malformed_host, unsupported_target
 */
export function readTarget(head: RequestHead): RequestTarget {
  const hosts: string[] = []
  for (const field of head.fields) {
    if (field.name !== 'host') continue
    if (hosts.length > 0) throw badHost('more than one Host')
    hosts.push(hostNamed(field.value, 'Host'))
  }
  if (hosts.length === 0 && head.version === '1.1') throw badHost('no Host')
  if (head.method === 'CONNECT') throw badTarget('CONNECT')
  if (head.target.startsWith('/') || (head.target === '*' && head.method === 'OPTIONS')) {
    return { path: head.target, hosts }
  }
  const absolute = ABSOLUTE.exec(head.target)
  if (!absolute) throw badTarget('a request target that is no path')
  hosts.push(hostNamed(absolute[1] as string, 'the request target'))
  return { path: absolute[2] === '' ? '/' : (absolute[2] as string), hosts }
}

function hostNamed(authority: string, where: string): string {
  const host = hostOf(authority)
  if (host === undefined) throw badHost(`${where} that is no host name`)
  return host
}

/** A request that names another server than its connection was opened to. */
export const misdirected = (name: string) =>
  new ProxyError(
    'misdirected_request',
    `the request names another server than the connection was opened to (${name})`,
    'Open one connection for each server name.',
  )

const badHost = (what: string) =>
  new ProxyError(
    'malformed_host',
    `the request has ${what}`,
    'Send exactly one Host field with the server name.',
  )
export const badTarget = (what: string) =>
  new ProxyError(
    'unsupported_target',
    `${what} is not forwarded to a provider`,
    'Send a path as request target.',
  )
